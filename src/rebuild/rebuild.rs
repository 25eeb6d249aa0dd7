//! A rebuild: one scan folds everything that is wanted, what comes of it is loaded beside the live tables and swapped in.

use std::path::PathBuf;
use std::sync::Arc;

use eventlift_events::Timestamp;
use eventlift_projections::{Origin, Projection, ReadModelStore, RebuildAction, RebuildOutcome, Side};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{RebuildError, RebuildRefusal};
use super::feed::{Feed, Reading};
use super::fold::Fold;
use super::options::FoldOptions;
use super::origin::{changes, origin};
use super::progress::RebuildProgress;
use super::scan::{Scan, prove_all};
use super::session::{Built, Session, Wanted};
use crate::pipeline::Stop;

/// Builds projections anew, or brings them up to date.
pub struct Rebuild {
    feed: Feed,
    store: Arc<dyn ReadModelStore>,
    wanted: Vec<Wanted>,
    options: FoldOptions,
    reading: Reading,
    schedule: Option<(String, Timestamp)>,
    stop: Stop,
    progress: watch::Sender<RebuildProgress>,
}

/// How a rebuild ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Whether everything is in; false if it was asked to stop before.
    pub done: bool,
    /// What became of the projections, in the order of their names.
    pub built: Vec<Built>,
    /// How many events had been folded by a rebuild that was killed, and were gone on from.
    pub resumed_events: u64,
    /// Projections that another process held, which were left out of a scheduled rebuild, in the order of their names.
    pub held: Vec<String>,
}

impl Rebuild {
    /// A rebuild that nothing can stop.
    pub fn new(feed: Feed, store: Arc<dyn ReadModelStore>, wanted: Vec<Wanted>, options: FoldOptions) -> Self {
        let progress = watch::Sender::new(RebuildProgress::default());
        let reading = Reading::default();
        Self { feed, store, wanted, options, reading, schedule: None, stop: Stop::never(), progress }
    }

    /// The same, listening to a request to stop.
    pub fn stop_on(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// The same, reading events in this way.
    pub fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// The same, for a schedule and the time that was due. It leaves out the projections that another process holds,
    /// and those that are done, or have failed, for that time already; all others are built in one scan.
    pub fn scheduled(self, name: impl Into<String>, due: Timestamp) -> Self {
        Self { schedule: Some((name.into(), due)), ..self }
    }

    /// How far it is, now and from now on.
    pub fn progress(&self) -> watch::Receiver<RebuildProgress> {
        self.progress.subscribe()
    }

    /// Builds the projections anew from the first event on, and swaps all of them in at once. Where it fails, or is
    /// asked to stop, the live tables stay what they are.
    pub async fn run(self) -> Result<Outcome, RebuildError> {
        if self.schedule.is_none() {
            prove_all(&self.feed, &self.projections()).await?;
        }
        let (mut session, held) = self.session(RebuildAction::Rebuild).await?;
        match self.build(&mut session).await {
            Ok(Some(resumed_events)) => {
                let built = session.end(RebuildOutcome::Done).await?;
                Ok(Outcome { done: true, built, resumed_events, held })
            }
            Ok(None) => {
                session.end(RebuildOutcome::Stopped).await?;
                Ok(Outcome { done: false, built: Vec::new(), resumed_events: 0, held })
            }
            Err(error) => {
                session.fail(&error).await;
                Err(error)
            }
        }
    }

    /// Brings the live builds up to date with what the store has got since their checkpoints, in transactions with the
    /// checkpoints. Refuses those that the projection as it is now would not have built.
    pub async fn update(self) -> Result<Outcome, RebuildError> {
        let (mut session, held) = self.session(RebuildAction::Update).await?;
        let updated = match self.refuse_changed(&session).await {
            Ok(()) => session.update(&self.feed, self.options.on_failure, &self.reading, &self.stop).await,
            Err(error) => Err(error),
        };
        if let Err(error) = updated {
            session.fail(&error).await;
            return Err(error);
        }
        let done = !self.stop.is_asked();
        let outcome = if done { RebuildOutcome::Done } else { RebuildOutcome::Stopped };
        Ok(Outcome { done, built: session.end(outcome).await?, resumed_events: 0, held })
    }

    /// The session, and the projections that it leaves out because another process holds them.
    async fn session(&self, action: RebuildAction) -> Result<(Session, Vec<String>), RebuildError> {
        let (store, progress) = (Arc::clone(&self.store), self.progress.clone());
        match &self.schedule {
            Some(due) => Session::open_scheduled(store, &self.wanted, action, due, progress).await,
            None => Ok((Session::open(store, &self.wanted, action, progress).await?, Vec::new())),
        }
    }

    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        self.wanted.iter().map(|wanted| Arc::clone(&wanted.projection)).collect()
    }

    /// Folds, loads, catches up and swaps. Returns how many events were gone on from, or none if it was asked to stop.
    async fn build(&self, session: &mut Session) -> Result<Option<u64>, RebuildError> {
        let projections = session.projections();
        if projections.is_empty() {
            return Ok(Some(0));
        }
        if self.schedule.is_some() {
            // Inside the session, so that the ledger says what became of the time that was due.
            prove_all(&self.feed, &projections).await?;
        }
        let ready = session.ready(&self.feed, self.options.on_failure).await?;
        let places: Vec<usize> = (0..projections.len()).filter(|place| !ready[*place]).collect();
        let folder = self.folder(&projections);
        let mut resumed_events = 0;
        let mut put_aside = None;
        if !places.is_empty() {
            let origins: Vec<Origin> = projections.iter().map(|p| origin(&self.feed, &**p)).collect();
            let key = self.key(&places, &projections, &origins);
            let options = FoldOptions { folder: folder.clone(), ..self.options.clone() };
            let folding = places.iter().map(|place| Arc::clone(&projections[*place])).collect();
            let scan = Scan { feed: &self.feed, reading: &self.reading, stop: &self.stop, progress: &self.progress };
            let Some((folded, resumed)) = scan.fold(folding, &key, &options).await? else { return Ok(None) };
            resumed_events = resumed;
            session.load(&folded, &places, &origins, &self.options).await?;
            put_aside = Some(folded);
        }
        session.catch_up(&self.feed, self.options.on_failure, &self.reading, &self.stop).await?;
        if self.stop.is_asked() {
            return Ok(None);
        }
        session.swap().await?;
        // Also what rebuilds before this one left, that nothing goes on from any more.
        drop(put_aside);
        folder.as_deref().map_or(Ok(()), Fold::forget_left)?;
        Ok(Some(resumed_events))
    }

    async fn refuse_changed(&self, session: &Session) -> Result<(), RebuildError> {
        for projection in session.projections() {
            let name = projection.name();
            let builds = self.store.builds(name).await.map_err(RebuildError::ReadModels)?;
            let changes = changes(builds.live.as_ref(), &origin(&self.feed, &*projection));
            if !changes.is_empty() {
                return Err(RebuildRefusal::Changed { projection: name.to_owned(), changes }.into());
            }
            // No keys: it only looks whether the tables are what the record says, also where there are no new events.
            for table in 0..builds.live.as_ref().map_or(0, |live| live.tables.len()) {
                self.store.rows(Side::Live, name, table, &[]).await.map_err(RebuildError::ReadModels)?;
            }
            let Some(end) = builds.live.and_then(|live| live.checkpoint) else { continue };
            if !self.feed.holds(end).await? {
                let store = self.feed.reader().identity().to_string();
                return Err(RebuildRefusal::OtherContent { projection: name.to_owned(), store, end }.into());
            }
        }
        Ok(())
    }

    /// What a killed fold must have been of, to be gone on from.
    fn key(&self, places: &[usize], projections: &[Arc<dyn Projection>], origins: &[Origin]) -> String {
        let mut key = format!("{}\n{:?}", self.store.identity().key, self.options.on_failure);
        for place in places {
            let Origin { source, fingerprint, .. } = &origins[*place];
            key.push_str(&format!("\n{} {source} {fingerprint}", projections[*place].name()));
        }
        key
    }

    /// A folder of its own for each set of projections. Whatever else has changed, it is the same one, so that what can't
    /// be gone on from is not left in another one for ever.
    fn folder(&self, projections: &[Arc<dyn Projection>]) -> Option<PathBuf> {
        let mut set = self.store.identity().key.clone();
        projections.iter().for_each(|projection| set.push_str(&format!("\n{}", projection.name())));
        self.options.folder.as_ref().map(|folder| folder.join(format!("{:016x}", xxh3_64(set.as_bytes()))))
    }
}
