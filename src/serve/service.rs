//! The loop that waits for schedules and has their tasks done.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{StoreError, Timestamp};
use eventlift_projections::{ReadModelStore, RebuildOutcome, RebuildRun};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::due::{Decision, Due, decide};
use super::jobs::{JobFailure, JobOutcome, Jobs};
use super::line::{ServeEvent, ServeLine};
use super::schedule::Schedule;
use super::seen::{Seen, SeenSchedules};
use super::status::{LastRun, ScheduleState, ScheduleStatus, ServeStatus};
use crate::pipeline::Stop;

/// The longest sleep, so that a clock that was set is noticed; also how long to wait before trying again.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment. It may jump in either direction.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Has the tasks of schedules done when they are due.
///
/// Tasks of different schedules run at the same time, those of one after each other. A time that came while nothing
/// was running, or while the schedule's last task was, is made up for once, at once. A task that fails is tried again
/// at its next time; one whose projections another process holds is tried again until its next time.
pub struct Serve {
    entries: Vec<Entry>,
    store: Arc<dyn ReadModelStore>,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    stop: Stop,
    seen: SeenSchedules,
    say: Box<dyn FnMut(&ServeLine) + Send>,
    status: watch::Sender<ServeStatus>,
    /// The runs of schedules in the ledger, as they were when they were read last.
    runs: Vec<RebuildRun>,
    outcome: ServeOutcome,
}

/// What became of the tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct ServeOutcome {
    /// How many are done.
    pub done: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were stopped; they go on at the next start.
    pub stopped: u64,
    /// How many times a task met projections that another process holds.
    pub skipped: u64,
    /// How many schedules wait at the end for a clock that was set back.
    pub clock_behind: u64,
}

/// Why the service can't work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The runs in the ledger can't be read.
    #[error("failed to read the runs of the schedules: {0}")]
    Ledger(#[source] StoreError),
    /// What is remembered of the schedules can't be read or written.
    #[error("failed to remember the schedules in {}: {source}", .path.display())]
    Seen {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ServeError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ledger(error) => error.hint.clone(),
            Self::Seen { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => Some(
                "delete the file: what has run is in the ledger, and schedules that never ran begin anew".to_owned(),
            ),
            Self::Seen { .. } => Some("is there room and permission?".to_owned()),
        }
    }
}

/// A schedule and where it stands.
struct Entry {
    schedule: Schedule,
    seen: Seen,
    state: ScheduleState,
    last: Option<LastRun>,
    /// The time for which it was said that another process is at work.
    said_held: Option<Timestamp>,
    /// Not to be tried before.
    not_before: Option<Instant>,
}

/// A task that is at work.
struct Running {
    entry: usize,
    due: Due,
    begun: Instant,
}

type JobResult = Result<JobOutcome, JobFailure>;

impl Serve {
    /// A service for these schedules, with their runs in the ledger of `store`. It remembers only in memory what the
    /// ledger does not hold, and says nothing.
    pub fn new(
        schedules: Vec<Schedule>,
        store: Arc<dyn ReadModelStore>,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        stop: Stop,
    ) -> Self {
        let now = clock.now();
        let entries = schedules.into_iter().map(|schedule| Entry::new(schedule, now)).collect();
        let status = watch::Sender::new(ServeStatus::default());
        let (seen, say, runs, outcome) =
            (SeenSchedules::in_memory(), Box::new(|_: &_| ()), Vec::new(), ServeOutcome::default());
        Self { entries, store, jobs, clock, stop, seen, say, status, runs, outcome }
    }

    /// Remembers schedules here, so that a time that was missed before the first run is made up for after a restart.
    pub fn remember_in(self, seen: SeenSchedules) -> Self {
        Self { seen, ..self }
    }

    /// Says what happens.
    pub fn say(self, say: impl FnMut(&ServeLine) + Send + 'static) -> Self {
        Self { say: Box::new(say), ..self }
    }

    /// What it is doing, from its start on.
    pub fn status(&self) -> watch::Receiver<ServeStatus> {
        self.status.subscribe()
    }

    /// Serves until it is asked to stop, and until what is running then has ended. Fails only at the start.
    pub async fn run(mut self) -> Result<ServeOutcome, ServeError> {
        self.begin().await?;
        for entry in 0..self.entries.len() {
            let schedule = &self.entries[entry].schedule;
            let (task, times) = (schedule.task().to_string(), schedule.times());
            let next = schedule.next_after(self.clock.now());
            self.tell(entry, ServeEvent::Watching { task, times, next });
        }
        let mut jobs = JobSet::default();
        while !self.stop.is_asked() {
            self.start_due(&mut jobs).await;
            self.publish();
            let sleep = self.sleep();
            tokio::select! {
                Some(ended) = jobs.next() => {
                    self.end(ended);
                    // What it recorded tells a clock that is set back from now on. Unread, that is told later.
                    self.runs = scheduled_runs(&*self.store).await.unwrap_or(std::mem::take(&mut self.runs));
                }
                () = tokio::time::sleep(sleep) => {}
                () = self.stop.clone().asked() => {}
            }
        }
        let stopping = ServeEvent::Stopping { running: jobs.running.len() };
        (self.say)(&ServeLine { at: self.clock.now(), schedule: None, event: stopping });
        Ok(self.finish(jobs).await)
    }

    /// Runs what is due now, and ends.
    pub async fn run_once(mut self) -> Result<ServeOutcome, ServeError> {
        self.begin().await?;
        let mut jobs = JobSet::default();
        self.start_due(&mut jobs).await;
        self.publish();
        Ok(self.finish(jobs).await)
    }

    /// Reads what was before.
    async fn begin(&mut self) -> Result<(), ServeError> {
        self.runs = scheduled_runs(&*self.store).await.map_err(ServeError::Ledger)?;
        let now = self.clock.now();
        for entry in &mut self.entries {
            let last_due = self.runs.iter().filter_map(|run| due_of(run, &entry.schedule)).max();
            entry.seen = self.seen.see(&entry.schedule, last_due, now);
            entry.last = last_due.and_then(|due| last_of(&self.runs, &entry.schedule, due));
        }
        let failed =
            |source| ServeError::Seen { path: self.seen.path().map(PathBuf::from).unwrap_or_default(), source };
        self.seen.save().map_err(failed)
    }

    /// Starts the tasks that are due.
    async fn start_due(&mut self, jobs: &mut JobSet) {
        for entry in 0..self.entries.len() {
            if !self.entries[entry].may_start() {
                continue;
            }
            let mut decision = self.decide(entry);
            if matches!(decision, Decision::Due(_)) {
                // Another process may have done it meanwhile.
                match scheduled_runs(&*self.store).await {
                    Ok(runs) => self.runs = runs,
                    Err(error) => {
                        self.entries[entry].not_before = Some(Instant::now() + LONGEST_SLEEP);
                        let event = ServeEvent::LedgerUnreadable { message: error.to_string(), hint: error.hint };
                        self.tell(entry, event);
                        continue;
                    }
                }
                decision = self.decide(entry);
            }
            self.follow(entry, decision, jobs);
        }
    }

    fn decide(&self, entry: usize) -> Decision {
        let entry = &self.entries[entry];
        decide(&entry.schedule, &entry.seen, &self.runs, self.clock.now())
    }

    /// Does what was decided.
    fn follow(&mut self, index: usize, decision: Decision, jobs: &mut JobSet) {
        let was_behind = matches!(self.entries[index].state, ScheduleState::ClockBehind(_));
        if was_behind && !matches!(decision, Decision::ClockBehind { .. }) {
            self.tell(index, ServeEvent::ClockCaughtUp);
        }
        match decision {
            Decision::Wait { until } => self.entries[index].state = ScheduleState::Waiting(until),
            Decision::ClockBehind { until } => {
                self.entries[index].state = ScheduleState::ClockBehind(until);
                if !was_behind {
                    self.tell(index, ServeEvent::ClockBehind { until });
                }
            }
            Decision::Due(due) => {
                if self.entries[index].said_held != Some(due.at) {
                    self.tell(index, ServeEvent::Started { task: due.task.to_string(), due: due.at });
                }
                self.entries[index].state = ScheduleState::Running { due: due.at, begun_at: self.clock.now() };
                jobs.start(index, due, Arc::clone(&self.jobs), self.stop.clone());
            }
        }
    }

    /// Takes note of how a task ended.
    fn end(&mut self, (running, result): (Running, JobResult)) {
        let Running { entry: index, due: Due { at: due, .. }, begun } = running;
        let (seconds, ended_at) = (begun.elapsed().as_secs_f64(), self.clock.now());
        let mut failure = None;
        let event = match result {
            Ok(JobOutcome::Held(projections)) => return self.held(index, due, projections),
            Ok(JobOutcome::Stopped) => {
                self.outcome.stopped += 1;
                // Whoever stopped it has not asked for it to be begun again at once.
                self.entries[index].not_before = Some(Instant::now() + LONGEST_SLEEP);
                self.entries[index].state = ScheduleState::Waiting(Some(due));
                return self.tell(index, ServeEvent::Stopped { due });
            }
            Ok(JobOutcome::Done(summary)) => {
                self.outcome.done += 1;
                ServeEvent::Done { due, summary, seconds }
            }
            Err(JobFailure { message, hint }) => {
                self.outcome.failed += 1;
                failure = Some(message.clone());
                ServeEvent::Failed { due, message, hint, seconds }
            }
        };
        let entry = &mut self.entries[index];
        entry.last = Some(LastRun { due, ended_at, failure });
        entry.seen.done = Some(due);
        entry.state = ScheduleState::Waiting(entry.schedule.next_after(ended_at));
        self.seen.done(&entry.schedule, &entry.seen);
        self.tell(index, event);
        if let Err(error) = self.seen.save() {
            let path = self.seen.path().map(PathBuf::from).unwrap_or_default();
            let error = ServeError::Seen { path, source: error };
            self.tell(index, ServeEvent::NotRemembered { message: error.to_string() });
        }
    }

    fn held(&mut self, index: usize, due: Timestamp, projections: Vec<String>) {
        self.outcome.skipped += 1;
        let entry = &mut self.entries[index];
        entry.not_before = Some(Instant::now() + LONGEST_SLEEP);
        entry.state = ScheduleState::Held { due, projections: projections.clone() };
        if entry.said_held.replace(due) != Some(due) {
            self.tell(index, ServeEvent::Skipped { due, projections });
        }
    }

    /// Waits for what is running.
    async fn finish(mut self, mut jobs: JobSet) -> ServeOutcome {
        while let Some(ended) = jobs.next().await {
            self.end(ended);
            self.publish();
        }
        let is_behind = |entry: &&Entry| matches!(entry.state, ScheduleState::ClockBehind(_));
        self.outcome.clock_behind = self.entries.iter().filter(is_behind).count() as u64;
        self.outcome
    }

    fn tell(&mut self, entry: usize, event: ServeEvent) {
        let schedule = Some(self.entries[entry].schedule.name().to_owned());
        (self.say)(&ServeLine { at: self.clock.now(), schedule, event });
    }

    fn publish(&self) {
        let schedules = self.entries.iter().map(Entry::status).collect();
        self.status.send_replace(ServeStatus { schedules });
    }

    /// Until the next time that something is due or to be tried again.
    fn sleep(&self) -> Duration {
        let (now, instant) = (self.clock.now(), Instant::now());
        self.entries.iter().map(|entry| entry.sleep(now, instant)).min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }
}

impl Entry {
    fn new(schedule: Schedule, now: Timestamp) -> Self {
        let state = ScheduleState::Waiting(schedule.next_after(now));
        let seen = Seen { since: now, done: None };
        Self { schedule, seen, state, last: None, said_held: None, not_before: None }
    }

    fn may_start(&self) -> bool {
        let is_running = matches!(self.state, ScheduleState::Running { .. });
        !is_running && self.not_before.is_none_or(|not_before| not_before <= Instant::now())
    }

    fn sleep(&self, now: Timestamp, instant: Instant) -> Duration {
        let until = match self.state {
            ScheduleState::Waiting(Some(until)) | ScheduleState::ClockBehind(until) => until,
            _ => return LONGEST_SLEEP,
        };
        let micros = until.micros().saturating_sub(now.micros()).max(1_000);
        let not_before = self.not_before.map_or(Duration::ZERO, |not_before| not_before.duration_since(instant));
        Duration::from_micros(micros.unsigned_abs()).max(not_before)
    }

    fn status(&self) -> ScheduleStatus {
        ScheduleStatus {
            name: self.schedule.name().to_owned(),
            task: self.schedule.task().to_string(),
            times: self.schedule.times(),
            state: self.state.clone(),
            last: self.last.clone(),
        }
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("seen", &self.seen).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// The tasks that are at work.
#[derive(Default)]
struct JobSet {
    tasks: JoinSet<JobResult>,
    running: HashMap<Id, Running>,
}

impl JobSet {
    fn start(&mut self, entry: usize, due: Due, jobs: Arc<dyn Jobs>, stop: Stop) {
        let task = due.clone();
        let handle = self.tasks.spawn(async move { jobs.run(&task, &stop).await });
        self.running.insert(handle.id(), Running { entry, due, begun: Instant::now() });
    }

    /// The next that ends; none where none is at work.
    async fn next(&mut self) -> Option<(Running, JobResult)> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(broken_off(error))),
        };
        Some((self.running.remove(&id)?, result))
    }
}

fn broken_off(error: JoinError) -> JobFailure {
    let hint = Some("this is a mistake in eventlift; please report it".to_owned());
    JobFailure { message: format!("the task broke off: {error}"), hint }
}

async fn scheduled_runs(store: &dyn ReadModelStore) -> Result<Vec<RebuildRun>, StoreError> {
    let mut runs = store.runs().await?;
    runs.retain(|run| run.schedule.is_some());
    Ok(runs)
}

fn due_of(run: &RebuildRun, schedule: &Schedule) -> Option<Timestamp> {
    let (name, due) = run.schedule.as_ref()?;
    (name == schedule.name()).then_some(*due)
}

/// How the runs for a time ended: failed, where one of them did; none where none has ended.
fn last_of(runs: &[RebuildRun], schedule: &Schedule, due: Timestamp) -> Option<LastRun> {
    let failure = |run: &RebuildRun| match &run.outcome {
        RebuildOutcome::Failed(error) => Some(error.clone()),
        RebuildOutcome::Done | RebuildOutcome::Running | RebuildOutcome::Stopped => None,
    };
    let of_due = || runs.iter().filter(|run| due_of(run, schedule) == Some(due));
    let ended = of_due().filter(|run| matches!(run.outcome, RebuildOutcome::Done | RebuildOutcome::Failed(_)));
    let ended_at = ended.map(|run| run.updated_at).max()?;
    Some(LastRun { due, ended_at, failure: of_due().find_map(failure) })
}
