//! A run listens, while it runs, to what other commands ask of it, says how it is, and asks the query that may slow it
//! down. And asking a run that follows to hand over its target.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::error::CommandError;
use crate::config::{ControlFile, Project, RunningFile};
use crate::pipeline::{ControlHandle, LoadQuery, StoreSide, Throttle, ThrottleState};
use crate::stores::Asking;

/// How often a run looks what is asked of it, and whoever asked looks what came of it.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it says at most how it is.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// The longest that the throttle's query may take.
const QUERY_PATIENCE: Duration = Duration::from_secs(10);

/// The throttle of a run, and what it listens to as long as this lives.
pub(super) struct Listening {
    pub(super) throttle: Throttle,
    project: Project,
    tasks: Vec<JoinHandle<()>>,
}

impl Listening {
    /// Begins to listen.
    pub(super) fn begin(project: &Project) -> Self {
        let (handle, control) = ControlHandle::new();
        let file = ControlFile::read(project).unwrap_or_default();
        // What was asked of the run before it was stopped holds from its first event on.
        handle.wish(file.wish);
        let throttle = Throttle::new(project.throttle.clone(), control);
        let ear = Ear { project: project.clone(), throttle: throttle.clone(), handle };
        let mut tasks = vec![tokio::spawn(ear.listen())];
        if let Some(query) = project.throttle.query.clone() {
            tasks.push(tokio::spawn(ask_again_and_again(project.clone(), query, throttle.clone())));
        }
        Self { throttle, project: project.clone(), tasks }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // Only a run that began has said how it is.
        if self.throttle.run().is_some() {
            RunningFile::remove(&self.project);
        }
    }
}

/// What listens for a run.
struct Ear {
    project: Project,
    throttle: Throttle,
    handle: ControlHandle,
}

impl Ear {
    async fn listen(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said: Option<(Instant, ThrottleState)> = None;
        // The first one comes at once; a run that is over soon leaves no file.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.look();
            let state = self.throttle.state();
            let is_news = said.as_ref().is_none_or(|(at, known)| *known != state && at.elapsed() >= SAY_EVERY);
            if let Some(run) = self.throttle.run().filter(|_| is_news) {
                let running = RunningFile { run: Some(run), throttle: state.clone(), ..RunningFile::default() };
                // In a folder that can't be written, nobody hears how it is; the run goes on.
                let _ = running.write(&self.project);
                said = Some((Instant::now(), state));
            }
        }
    }

    fn look(&self) {
        // A file that can't be read asks for nothing new.
        let Ok(file) = ControlFile::read(&self.project) else { return };
        if !file.is_about(self.throttle.run()) {
            return self.handle.wish(Default::default());
        }
        self.handle.wish(file.wish);
    }
}

async fn ask_again_and_again(project: Project, query: LoadQuery, throttle: Throttle) {
    let store = match query.store {
        StoreSide::Source => Some(&project.source),
        StoreSide::Target => project.target.as_ref(),
    };
    let Some(store) = store else { return };
    loop {
        let answer = match store.ask(&query.sql, QUERY_PATIENCE).await {
            Ok(answer) => answer.number(),
            Err(error) => Err(error.to_string()),
        };
        throttle.answered(answer);
        tokio::time::sleep(query.every).await;
    }
}

/// What came of asking a run to hand over its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandedOver {
    /// Nobody was writing to it.
    NobodyWrote,
    /// Whoever was writing to it has committed what was read, and ended.
    Ended,
}

/// Asks the `migrate --follow` that writes to a project's target to commit what it has read and to let go of it, and waits
/// until nobody writes to the target any more. Fails where somebody still does after `patience`; whatever comes of it, nothing
/// is asked for any more afterwards.
pub async fn ask_to_hand_over(project: &Project, patience: Duration) -> Result<HandedOver, CommandError> {
    let target = project.require_target()?;
    if target.holder().await?.is_none() {
        return Ok(HandedOver::NobodyWrote);
    }
    let _request = target.request(Asking::ForGood).await?;
    let begun = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY / 2).await;
        let Some(holder) = target.holder().await? else { return Ok(HandedOver::Ended) };
        if begun.elapsed() >= patience {
            return Err(CommandError::NotHandedOver {
                target: target.to_string(),
                seconds: patience.as_secs_f64(),
                statement: holder.session.map(|session| format!("SELECT pg_terminate_backend({session})")),
                holder: Some(holder.to_string()),
            });
        }
    }
}

/// Changes what is asked for, of the run that is at work where it is known.
pub(super) fn change(project: &Project, change: impl FnOnce(&mut ControlFile)) -> Result<ControlFile, CommandError> {
    let path = project.control_file().display().to_string();
    // One that can't be read is of no use to anybody: it is written anew.
    let mut file = ControlFile::read(project).unwrap_or_default();
    let running = RunningFile::read(project).ok().flatten().and_then(|running| running.run);
    if !file.is_about(running) {
        file = ControlFile::default();
    }
    file.run = running.or(file.run);
    change(&mut file);
    file.clone().write(project).map_err(|source| CommandError::Write { path, source })?;
    Ok(file)
}
