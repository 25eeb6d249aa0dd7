//! The service, with a clock that can be set, a ledger in memory, and tasks that do as they are told.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventlift::pipeline::{Stop, StopHandle};
use eventlift::projections::{ReadModelStore, RebuildOutcome, RebuildRun};
use eventlift::serve::{
    Clock, Due, JobFailure, JobOutcome, Jobs, LastRun, Schedule, ScheduleState, SeenSchedules, Serve, ServeOutcome,
    Task,
};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::clock::TestClock;
use super::ledger::{Ledger, run};
use super::times::at;

/// Builds as a rebuild does, as far as the service sees it: holds, runs in the ledger, stopping.
struct Builder {
    ledger: Arc<Ledger>,
    clock: Arc<TestClock>,
    takes: Duration,
    fails: Mutex<bool>,
}

#[async_trait]
impl Jobs for Builder {
    async fn run(&self, due: &Due, stop: &Stop) -> Result<JobOutcome, JobFailure> {
        let all = ["customers".to_owned(), "orders".to_owned()];
        let names = due.task.names().unwrap_or(&all).iter().filter(|name| !due.answered.contains(name));
        let (mut held, mut built) = (Vec::new(), Vec::new());
        for name in names {
            let Ok(_hold) = self.ledger.hold(name).await else {
                held.push(name.clone());
                continue;
            };
            let begun = RebuildRun {
                schedule: Some((due.schedule.clone(), due.at)),
                begun_at: self.clock.now(),
                updated_at: self.clock.now(),
                ..run(name, due.at, RebuildOutcome::Running)
            };
            let number = self.ledger.record_run(&begun).await.unwrap();
            let outcome = tokio::select! {
                () = stop.clone().asked() => RebuildOutcome::Stopped,
                () = sleep(self.takes) => match *self.fails.lock().unwrap() {
                    true => RebuildOutcome::Failed("overflow".to_owned()),
                    false => RebuildOutcome::Done,
                },
            };
            let ended = RebuildRun { number, outcome: outcome.clone(), updated_at: self.clock.now(), ..begun };
            self.ledger.record_run(&ended).await.unwrap();
            match outcome {
                RebuildOutcome::Done => built.push(name.clone()),
                RebuildOutcome::Failed(message) => {
                    return Err(JobFailure { message, hint: Some("widen the column".to_owned()) });
                }
                RebuildOutcome::Stopped | RebuildOutcome::Running => return Ok(JobOutcome::Stopped),
            }
        }
        match held.is_empty() {
            true => Ok(JobOutcome::Done(built.join(", "))),
            false => Ok(JobOutcome::Held(held)),
        }
    }
}

/// A machine: its clock, the ledger, the file beside the project, and what the services on it have said.
struct Machine {
    clock: Arc<TestClock>,
    ledger: Arc<Ledger>,
    builder: Arc<Builder>,
    folder: tempfile::TempDir,
    said: Arc<Mutex<Vec<String>>>,
}

/// A service that runs.
struct Running {
    handle: StopHandle,
    status: tokio::sync::watch::Receiver<eventlift::serve::ServeStatus>,
    task: JoinHandle<ServeOutcome>,
}

fn nightly(task: Task) -> Vec<Schedule> {
    vec![Schedule::new("nightly", "0 2 * * *", "UTC", task).unwrap()]
}

fn customers() -> Task {
    Task::Rebuild(vec!["customers".to_owned()])
}

impl Machine {
    fn new(start: &str, takes: Duration) -> Self {
        let (clock, ledger) = (Arc::new(TestClock::new(start)), Ledger::new());
        let builder =
            Builder { ledger: Arc::clone(&ledger), clock: Arc::clone(&clock), takes, fails: Mutex::new(false) };
        let (folder, said) = (tempfile::tempdir().unwrap(), Arc::default());
        Self { clock, ledger, builder: Arc::new(builder), folder, said }
    }

    fn serve(&self, schedules: Vec<Schedule>, stop: Stop) -> Serve {
        let said = Arc::clone(&self.said);
        let (store, jobs) =
            (Arc::clone(&self.ledger) as Arc<dyn ReadModelStore>, Arc::clone(&self.builder) as Arc<dyn Jobs>);
        Serve::new(schedules, store, jobs, Arc::clone(&self.clock) as Arc<dyn Clock>, stop)
            .remember_in(SeenSchedules::load(&self.seen()).unwrap())
            .say(move |line| {
                assert!(serde_json::to_value(line).unwrap()["event"].is_string());
                said.lock().unwrap().push(line.to_string());
            })
    }

    fn seen(&self) -> std::path::PathBuf {
        self.folder.path().join(".eventlift/schedules.json")
    }

    fn start(&self, schedules: Vec<Schedule>) -> Running {
        let (handle, stop) = StopHandle::new();
        let serve = self.serve(schedules, stop);
        let status = serve.status();
        Running { handle, status, task: tokio::spawn(async move { serve.run().await.unwrap() }) }
    }

    async fn once(&self, task: Task) -> ServeOutcome {
        self.serve(nightly(task), Stop::never()).run_once().await.unwrap()
    }

    /// What was said since this was asked last.
    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

impl Running {
    async fn stop(self) -> ServeOutcome {
        self.handle.stop();
        self.task.await.unwrap()
    }

    fn state(&self) -> ScheduleState {
        self.status.borrow().schedules[0].state.clone()
    }

    fn last(&self) -> Option<LastRun> {
        self.status.borrow().schedules[0].last.clone()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn every_time_is_run_when_it_comes() {
    let machine = Machine::new("2026-11-22T00:00:00Z", MINUTE);
    let service = machine.start(nightly(customers()));
    sleep(2 * HOUR + MINUTE / 2).await;
    let (due, begun_at) = (at("2026-11-22T02:00:00Z"), at("2026-11-22T02:00:00Z"));
    let ScheduleState::Running { due: found, begun_at: found_begun } = service.state() else {
        panic!("{:?}", service.state())
    };
    assert_eq!(found, due);
    assert!(found_begun.micros() - begun_at.micros() < 1_000_000, "{found_begun}");
    sleep(47 * HOUR).await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z", "customers 2026-11-23T02:00:00Z"]);
    assert_eq!(service.state(), ScheduleState::Waiting(Some(at("2026-11-24T02:00:00Z"))));
    let outcome = service.stop().await;
    assert_eq!(outcome, ServeOutcome { done: 2, ..ServeOutcome::default() });
    assert_eq!(
        machine.said(),
        [
            "2026-11-22T00:00:00Z nightly: rebuilding customers at 0 2 * * * UTC, next at 2026-11-22T02:00:00Z",
            "2026-11-22T02:00:00Z nightly: rebuilding customers",
            "2026-11-22T02:01:00Z nightly: done: customers (60.0 s)",
            "2026-11-23T02:00:00Z nightly: rebuilding customers",
            "2026-11-23T02:01:00Z nightly: done: customers (60.0 s)",
            "2026-11-24T01:00:30Z stopping",
        ]
        .map(str::to_owned)
    );
}

#[tokio::test(start_paused = true)]
async fn times_that_were_missed_are_made_up_for_once() {
    let machine = Machine::new("2026-11-22T00:00:00Z", MINUTE);
    // Nothing is due when a schedule is seen first, also not when that ends before its first time.
    assert_eq!(machine.once(Task::RebuildChanged).await, ServeOutcome::default());
    machine.clock.set_by(3 * 86_400 + 3 * 3600);
    assert_eq!(machine.once(Task::RebuildChanged).await.done, 1);
    assert_eq!(machine.once(Task::RebuildChanged).await, ServeOutcome::default());
    assert_eq!(machine.ledger.done(), ["customers 2026-11-25T02:00:00Z", "orders 2026-11-25T02:00:00Z"]);
    assert_eq!(
        machine.said()[0],
        "2026-11-25T03:00:00Z nightly: rebuilding what changed, which was due at 2026-11-25T02:00:00Z"
    );
    // A clock that jumps while it serves.
    let service = machine.start(nightly(customers()));
    sleep(MINUTE).await;
    machine.clock.set_by(3 * 86_400);
    sleep(10 * MINUTE).await;
    service.stop().await;
    assert_eq!(machine.ledger.done()[2..], ["customers 2026-11-28T02:00:00Z"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_repeats_nothing() {
    let machine = Machine::new("2026-11-22T01:00:00Z", MINUTE);
    let service = machine.start(nightly(customers()));
    sleep(2 * HOUR + 7 * SECOND).await;
    machine.said();
    machine.clock.set_by(-90 * 60);
    sleep(MINUTE).await;
    assert_eq!(service.state(), ScheduleState::ClockBehind(at("2026-11-22T02:01:00Z")));
    sleep(24 * HOUR).await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z"]);
    sleep(HOUR).await;
    service.stop().await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z", "customers 2026-11-23T02:00:00Z"]);
    let said = machine.said();
    assert_eq!(
        said[0],
        "2026-11-22T01:30:30Z nightly: warning: the clock is behind what was recorded; nothing is run until it shows 2026-11-22T02:01:00Z"
    );
    assert!(said[1].ends_with("nightly: the clock has caught up"), "{said:?}");
    // Also after a restart.
    machine.clock.set_by(-2 * 86_400);
    assert_eq!(machine.once(customers()).await, ServeOutcome { clock_behind: 1, ..ServeOutcome::default() });
}

#[tokio::test(start_paused = true)]
async fn a_projection_that_another_process_holds_is_built_when_it_is_free() {
    let machine = Machine::new("2026-11-22T01:00:00Z", MINUTE);
    let hold = machine.ledger.hold("orders").await.unwrap();
    let service = machine.start(nightly(Task::RebuildAll));
    sleep(HOUR + 10 * MINUTE + 7 * SECOND).await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z"]);
    let projections = vec!["orders".to_owned()];
    assert_eq!(service.state(), ScheduleState::Held { due: at("2026-11-22T02:00:00Z"), projections });
    drop(hold);
    sleep(10 * MINUTE).await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z", "orders 2026-11-22T02:00:00Z"]);
    assert_eq!(
        machine.said()[2..],
        [
            "2026-11-22T02:01:00Z nightly: skipped for now: another process builds orders".to_owned(),
            "2026-11-22T02:11:30Z nightly: done: orders (60.0 s)".to_owned(),
        ]
    );
    service.stop().await;
    let _hold = machine.ledger.hold("orders").await.unwrap();
    machine.clock.set_by(86_400);
    let outcome = machine.once(Task::RebuildAll).await;
    assert_eq!(outcome, ServeOutcome { skipped: 1, ..ServeOutcome::default() });
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_waits_for_its_next_time_and_stays_visible() {
    let machine = Machine::new("2026-11-22T01:00:00Z", MINUTE);
    *machine.builder.fails.lock().unwrap() = true;
    let service = machine.start(nightly(customers()));
    sleep(12 * HOUR).await;
    let failed = service.last().unwrap();
    assert_eq!((failed.due, failed.failure.as_deref()), (at("2026-11-22T02:00:00Z"), Some("overflow")));
    assert_eq!(machine.said()[2], "2026-11-22T02:01:00Z nightly: failed: overflow (hint: widen the column)");
    assert_eq!(service.stop().await.failed, 1);
    *machine.builder.fails.lock().unwrap() = false;
    let service = machine.start(nightly(customers()));
    sleep(MINUTE).await;
    assert_eq!(service.last().and_then(|last| last.failure).as_deref(), Some("overflow"), "after a restart as well");
    sleep(24 * HOUR).await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-23T02:00:00Z"]);
    assert_eq!(service.last().and_then(|last| last.failure), None);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_goes_on_at_the_next_start() {
    let machine = Machine::new("2026-11-22T01:59:00Z", 2 * MINUTE);
    let both = Task::Rebuild(vec!["customers".to_owned(), "orders".to_owned()]);
    let service = machine.start(nightly(both.clone()));
    sleep(4 * MINUTE).await;
    assert_eq!(service.stop().await, ServeOutcome { stopped: 1, ..ServeOutcome::default() });
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z"]);
    assert_eq!(machine.once(both.clone()).await.done, 1);
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z", "orders 2026-11-22T02:00:00Z"]);
    assert_eq!(machine.once(both).await, ServeOutcome::default());
}

#[tokio::test(start_paused = true)]
async fn schedules_run_beside_each_other() {
    let machine = Machine::new("2026-11-22T01:59:30Z", 10 * MINUTE);
    let mut schedules = nightly(customers());
    let orders = Task::Update(vec!["orders".to_owned()]);
    schedules.push(Schedule::new("often", "*/5 * * * *", "UTC", orders).unwrap());
    let service = machine.start(schedules);
    sleep(12 * MINUTE).await;
    service.stop().await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z", "orders 2026-11-22T02:00:00Z"]);
    // A task that takes longer than its period goes on at once, for the last time that came meanwhile.
    let said = machine.said();
    assert!(said.contains(&"2026-11-22T02:10:00Z often: updating orders".to_owned()), "{said:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_ledger_is_no_end_once_it_serves() {
    let machine = Machine::new("2026-11-22T01:59:30Z", MINUTE);
    let service = machine.start(nightly(customers()));
    sleep(SECOND).await;
    *machine.ledger.is_unreadable.lock().unwrap() = true;
    sleep(2 * MINUTE).await;
    let warning = "2026-11-22T02:00:00Z nightly: warning: the runs can't be read, which is tried again: \
                   failed to read memory: another run holds it (busy) (hint: wait)";
    assert_eq!(machine.said()[1], warning);
    *machine.ledger.is_unreadable.lock().unwrap() = false;
    sleep(2 * MINUTE).await;
    assert_eq!(machine.ledger.done(), ["customers 2026-11-22T02:00:00Z"]);
    service.stop().await;
    *machine.ledger.is_unreadable.lock().unwrap() = true;
    let error = machine.serve(nightly(customers()), Stop::never()).run_once().await.unwrap_err();
    assert_eq!(
        (error.to_string(), error.hint()),
        (
            "failed to read the runs of the schedules: failed to read memory: another run holds it (busy)".to_owned(),
            Some("wait".to_owned()),
        )
    );
}

#[tokio::test]
async fn a_broken_file_of_seen_schedules_is_no_silence() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("schedules.json");
    for text in ["", "{", "[]", r#"{"nightly":{"times":"x","since":"soon","done":null}}"#] {
        std::fs::write(path, text).unwrap();
        assert!(SeenSchedules::load(path).is_err(), "{text}");
    }
    // One that was just begun replaces none, and times that were changed are new ones.
    std::fs::write(path, "{}").unwrap();
    let mut seen = SeenSchedules::load(path).unwrap();
    let (nightly, now) = (&nightly(customers())[0], at("2026-11-22T00:00:00Z"));
    assert_eq!(seen.see(nightly, None, now).since, now);
    seen.save().unwrap();
    let mut again = SeenSchedules::load(path).unwrap();
    let later = at("2026-11-23T00:00:00Z");
    assert_eq!(again.see(nightly, None, later).since, now);
    let changed = Schedule::new("nightly", "0 3 * * *", "UTC", customers()).unwrap();
    assert_eq!(again.see(&changed, None, later).since, later);
}
