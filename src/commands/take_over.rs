//! Getting hold of a store to write to it. Somebody who has it is asked to let go, or left alone, as the command wants it;
//! is waited for as long as they get on; and where their process is gone, their session at the server is ended.

use std::time::Duration;

use eventlift_events::{Counts, EventRewriter, EventWriter, RunState, StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::error::CommandError;
use super::output::{Format, say_error};
use crate::config::{Project, TakeOverSettings};
use crate::pipeline::{Stop, ranges_done};
use crate::stores::{Asking, Claim, EndedSession, Holder, Request, StoreConfig};

/// How often it is looked whether the store is free.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the work of whoever has it is looked at.
const LOOK_CLOSER_EVERY: Duration = Duration::from_secs(1);
/// How often it is said who is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// So often nobody is seen to hold a store that can't be opened, before whoever it is is no run of ours.
const NOBODY_SEEN: u32 = 5;

/// What becomes of somebody who is at work on the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// They are asked to let go between two batches.
    Ask,
    /// They are left alone.
    LeaveAlone,
}

/// As what, and how, a store is taken.
#[derive(Clone, Debug)]
pub(super) struct Taking<'a> {
    claim: Claim,
    manner: Manner,
    settings: &'a TakeOverSettings,
    format: Format,
    stop: &'a Stop,
}

impl<'a> Taking<'a> {
    /// Fails at once where somebody is at work on it.
    pub(super) fn beside(claim: Claim, project: &'a Project, format: Format, stop: &'a Stop) -> Self {
        Self { claim, manner: Manner::LeaveAlone, settings: &project.take_over, format, stop }
    }

    /// Asks whoever is at work on it to let go, and waits for that as long as they get on.
    pub(super) fn asking(claim: Claim, project: &'a Project, format: Format, stop: &'a Stop) -> Self {
        Self { manner: Manner::Ask, ..Self::beside(claim, project, format, stop) }
    }

    /// What ends the waiting, and whatever the store is taken for.
    pub(super) fn stop(&self) -> &'a Stop {
        self.stop
    }

    /// Opens a store for writing.
    pub(super) async fn writer(&self, store: &StoreConfig) -> Result<Box<dyn EventWriter>, CommandError> {
        self.open(store, async || store.writer_as(&self.claim).await).await
    }

    /// Opens a store for rewriting events where they are.
    pub(super) async fn rewriter(&self, store: &StoreConfig) -> Result<Box<dyn EventRewriter>, CommandError> {
        self.open(store, async || store.rewriter_as(&self.claim).await).await
    }

    async fn open<T>(
        &self,
        store: &StoreConfig,
        open: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, CommandError> {
        let mut waiting: Option<Waiting<'_>> = None;
        loop {
            let refused = match open().await {
                Ok(opened) => return Ok(opened),
                Err(error) if matches!(error.kind, StoreErrorKind::Locked(_)) => error,
                // What is left of whoever had it may keep the ledger a while longer.
                Err(error) if waiting.is_some() && error.may_pass() && !error.nobody_answered() => error,
                Err(error) => return Err(error.into()),
            };
            let waiting = waiting.get_or_insert_with(|| Waiting::begin(store, self));
            waiting.look(refused).await?;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.clone().asked() => return Err(waiting.refused()),
            }
        }
    }
}

/// What is seen of whoever has the store.
struct Waiting<'a> {
    store: &'a StoreConfig,
    how: &'a Taking<'a>,
    begun: Instant,
    request: Option<Request>,
    holder: Option<Holder>,
    refused: Option<StoreError>,
    nobody_seen: u32,
    /// When there was a sign of work last, and what it was.
    last_sign: Instant,
    sign: Option<Sign>,
    gets_on: bool,
    looked_closer: Option<Instant>,
    said: Option<Instant>,
    /// What an administrator can run to end a session that this user can't.
    statement: Option<String>,
    has_ended: bool,
}

/// What changes while somebody works.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Sign {
    activity: String,
    state: Option<RunState>,
    updated_at: i64,
    counts: Counts,
}

impl<'a> Waiting<'a> {
    fn begin(store: &'a StoreConfig, how: &'a Taking<'a>) -> Self {
        let now = Instant::now();
        Self {
            store,
            how,
            begun: now,
            request: None,
            holder: None,
            refused: None,
            nobody_seen: 0,
            last_sign: now,
            sign: None,
            gets_on: false,
            looked_closer: None,
            said: None,
            statement: None,
            has_ended: false,
        }
    }

    fn refused(&mut self) -> CommandError {
        match self.refused.take() {
            Some(refused) => refused.into(),
            None => self.not_handed_over(),
        }
    }

    /// Looks who has the store, asks them or ends what is left of them. Fails where it is no use to wait on.
    async fn look(&mut self, refused: StoreError) -> Result<(), CommandError> {
        let is_locked = matches!(refused.kind, StoreErrorKind::Locked(_));
        self.refused = Some(refused);
        let seen = self.store.holder().await.ok().flatten();
        if seen.as_ref().map(|holder| (holder.process, holder.session))
            != self.holder.as_ref().map(|holder| (holder.process, holder.session))
        {
            // Another one is waited for from now on.
            (self.last_sign, self.sign, self.gets_on) = (Instant::now(), None, false);
            (self.statement, self.has_ended, self.looked_closer) = (None, false, None);
            if seen.is_some() {
                self.said = None;
            }
        }
        self.holder = seen;
        let Some(holder) = self.holder.clone() else {
            self.nobody_seen += u32::from(is_locked);
            return if self.nobody_seen >= NOBODY_SEEN { Err(self.refused()) } else { self.give_up() };
        };
        self.nobody_seen = 0;
        match holder.is_alive() {
            Some(false) => self.end(&holder).await,
            // A connection of this process that is being closed, or that it has lost.
            Some(true) if holder.is_this_process() && self.begun.elapsed() >= LOOK_CLOSER_EVERY => {
                self.end(&holder).await;
            }
            Some(true) if self.how.manner == Manner::LeaveAlone => return Err(self.refused()),
            _ => {}
        }
        self.look_closer().await;
        if self.gets_on && self.how.manner == Manner::LeaveAlone {
            return Err(self.refused());
        }
        if self.how.manner == Manner::Ask && self.request.is_none() {
            let asking = if self.how.claim.takes_over { Asking::ForGood } else { Asking::ForAWhile };
            self.request = Some(self.store.request(asking).await?);
        }
        self.say(&holder);
        self.give_up()
    }

    fn give_up(&mut self) -> Result<(), CommandError> {
        let TakeOverSettings { patience, give_up_after, .. } = self.how.settings;
        let is_over = self.last_sign.elapsed() >= *patience || self.begun.elapsed() >= *give_up_after;
        if is_over { Err(self.not_handed_over()) } else { Ok(()) }
    }

    fn not_handed_over(&self) -> CommandError {
        let ends = || match &self.holder {
            Some(Holder { session: Some(session), .. }) => Some(format!("SELECT pg_terminate_backend({session})")),
            _ => None,
        };
        CommandError::NotHandedOver {
            target: self.store.to_string(),
            seconds: self.begun.elapsed().as_secs_f64(),
            holder: self.holder.as_ref().map(ToString::to_string),
            statement: self.statement.clone().or_else(ends),
        }
    }

    /// Ends the session of a process that is gone.
    async fn end(&mut self, holder: &Holder) {
        if !self.how.settings.end_sessions || self.has_ended || self.statement.is_some() {
            return;
        }
        // Where it can't be ended, it is waited for.
        match self.store.end_session(holder).await {
            Ok(EndedSession::Ended) => {
                self.has_ended = true;
                if !holder.is_this_process() {
                    self.tell(holder, "its process is gone; its session at the server was ended");
                }
            }
            Ok(EndedSession::NotAllowed { statement }) => {
                let what = format!(
                    "its process is gone, and this user may not end its session; an administrator can: {statement}"
                );
                self.tell(holder, &what);
                self.statement = Some(statement);
            }
            Ok(EndedSession::Gone) | Err(_) => {}
        }
    }

    /// Looks now and then whether they get on.
    async fn look_closer(&mut self) {
        if self.looked_closer.is_some_and(|at| at.elapsed() < LOOK_CLOSER_EVERY) {
            return;
        }
        self.looked_closer = Some(Instant::now());
        // Whatever can't be looked at now is no sign.
        let activity = self.store.activity().await.unwrap_or_default();
        let mut sign = Sign { activity: activity.sign, ..self.sign.clone().unwrap_or_default() };
        if let Ok(Some((state, updated_at, counts))) = self.run().await {
            (sign.state, sign.updated_at, sign.counts) = (Some(state), updated_at, counts);
        }
        if activity.is_working || self.sign.as_ref().is_some_and(|before| *before != sign) {
            self.last_sign = Instant::now();
            self.gets_on = true;
        }
        self.sign = Some(sign);
    }

    /// How far the last run is, as the ledger has it.
    async fn run(&self) -> Result<Option<(RunState, i64, Counts)>, StoreError> {
        let Some(ledger) = self.store.ledger().await? else { return Ok(None) };
        let Some(run) = ledger.runs().await?.pop() else { return Ok(None) };
        let counts = match ledger.checkpoint(run.id).await? {
            Some(checkpoint) => checkpoint.counts,
            None => ranges_done(&ledger.load_ranges(run.id).await?),
        };
        Ok(Some((run.state, run.updated_at.micros(), counts)))
    }

    fn say(&mut self, holder: &Holder) {
        // A connection that is being closed is not worth a word at once.
        let is_worth_it = !holder.is_this_process() && self.begun.elapsed() >= LOOK_EVERY;
        if !is_worth_it || self.said.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        self.said = Some(Instant::now());
        let verb = if self.request.is_some() { "asked to let go, and waited for" } else { "waited for" };
        let done = match &self.sign {
            Some(Sign { state: Some(state), counts, .. }) => {
                format!("; its run is {state}, {} events read", counts.read)
            }
            _ => String::new(),
        };
        self.tell(holder, &format!("{verb}{done}"));
    }

    fn tell(&self, holder: &Holder, what: &str) {
        match self.how.format {
            Format::Text => say_error(format_args!("{} is held by {holder}: {what}", self.store)),
            Format::Json => {
                let sign = self.sign.clone().unwrap_or_default();
                say_error(serde_json::json!({
                    "waiting": {
                        "store": self.store.to_string(),
                        "holder": holder.to_string(),
                        "what": what,
                        "state": sign.state.map(RunState::as_str),
                        "read": sign.counts.read,
                        "seconds": self.begun.elapsed().as_secs_f64(),
                    }
                }));
            }
        }
    }
}
