//! The gate: what it lets pass, how often it looks, and what it does when it can't.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventlift::cutover::{CutOver, CutOverStep};
use eventlift::events::{
    ByteString, Bytes, Checkpoint, CheckpointStore, LateEvents, LatePosition, NoteChange, Position, PositionRange,
    RunDetails, RunId, RunRecord, RunState, StateKey, StoreError, StoreErrorKind, Timestamp,
};
use eventlift::gate::{Fenced, GateSettings, MigrationGate, Outage, WhyFenced, WriteTo};

/// A ledger with one run whose cut-over the test decides.
#[derive(Clone)]
struct Ledger {
    run: RunId,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Says {
    Nothing,
    CutOver(CutOver),
    Error,
    /// It never answers.
    Silence,
}

impl Ledger {
    fn new(says: Says) -> Self {
        Self { run: RunId::random(), says: Arc::new(Mutex::new(says)), asked: Arc::default() }
    }

    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn gate(&self, settings: GateSettings) -> MigrationGate {
        MigrationGate::over(Arc::new(self.clone()), settings)
    }
}

#[async_trait]
impl CheckpointStore for Ledger {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Long enough for everybody else to come.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let says = self.says.lock().unwrap().clone();
        match says {
            Says::Error => Err(StoreError::new("read", "test", StoreErrorKind::Missing)),
            Says::Silence => std::future::pending().await,
            _ => Ok(vec![record(self.run)]),
        }
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        assert_eq!((run, book), (self.run, "cut-over"));
        Ok(match &*self.says.lock().unwrap() {
            Says::CutOver(cut_over) => {
                vec![(ByteString::from_static("state"), Bytes::from(serde_json::to_vec(cut_over).unwrap()))]
            }
            _ => Vec::new(),
        })
    }

    async fn record_run(&mut self, _run: &RunRecord) -> Result<(), StoreError> {
        panic!("a gate changes nothing")
    }

    async fn checkpoint(&self, _run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        Ok(None)
    }

    async fn state(&self, _run: RunId, _keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(Vec::new())
    }

    async fn positions(
        &self,
        _run: RunId,
        _after: Option<Position>,
        _limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        Ok(Vec::new())
    }

    async fn position_at(&self, _run: RunId, _source: Position) -> Result<Option<PositionRange>, StoreError> {
        Ok(None)
    }

    async fn late_of(&self, _run: RunId, _source: Position) -> Result<Vec<LatePosition>, StoreError> {
        Ok(Vec::new())
    }

    async fn late_at(&self, _run: RunId, _target: Position) -> Result<Option<LateEvents>, StoreError> {
        Ok(None)
    }

    async fn write_notes(&mut self, _run: RunId, _changes: &[NoteChange]) -> Result<(), StoreError> {
        panic!("a gate changes nothing")
    }
}

fn record(id: RunId) -> RunRecord {
    RunRecord {
        id,
        state: RunState::Done,
        source: "test".to_owned(),
        fingerprint: String::new(),
        parts: Vec::new(),
        started_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        tool: String::new(),
        details: RunDetails::default(),
    }
}

/// A cut-over at a step, whose fence expires in so many milliseconds.
fn cut_over(step: CutOverStep, expires_in: Option<i64>) -> CutOver {
    let now = Timestamp::now();
    CutOver {
        step,
        began_at: now,
        by: "anna@db1".to_owned(),
        fenced_at: Some(now),
        expires_at: expires_in.map(|millis| Timestamp::from_micros(now.micros() + millis * 1000).unwrap()),
        switched_at: None,
        source_end: None,
        target_end: None,
        problem: None,
    }
}

fn at(step: CutOverStep) -> Says {
    Says::CutOver(cut_over(step, Some(600_000)))
}

fn fenced(why: WhyFenced) -> Result<WriteTo, Fenced> {
    Err(Fenced { retry_after: GateSettings::default().retry_after, why })
}

/// Past whatever a gate has cached.
async fn later() {
    tokio::time::advance(GateSettings::default().cached_for).await;
}

#[tokio::test(start_paused = true)]
async fn writers_are_led_through_a_cut_over_and_back() {
    use CutOverStep::*;
    let ledger = Ledger::new(Says::Nothing);
    let gate = ledger.gate(GateSettings::default());
    assert_eq!(gate.check().await, Ok(WriteTo::Source));
    let closed = fenced(WhyFenced::Switching);
    for (step, expected) in [
        (Begun, Ok(WriteTo::Source)),
        (Fenced, closed),
        (Drained, closed),
        (Verified, closed),
        (Checked, closed),
        (Confirmed, closed),
        (Switched, Ok(WriteTo::Target)),
        (Done, Ok(WriteTo::Target)),
        (BackFenced, closed),
        (BackDrained, closed),
        (BackSwitched, Ok(WriteTo::Source)),
        (RolledBack, Ok(WriteTo::Source)),
        (Lifted, Ok(WriteTo::Source)),
    ] {
        ledger.says(at(step));
        later().await;
        assert_eq!(gate.check().await, expected, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_until_it_is_old() {
    let ledger = Ledger::new(Says::Nothing);
    let gate = ledger.gate(GateSettings::default());
    for _ in 0..50 {
        assert_eq!(gate.check().await, Ok(WriteTo::Source));
    }
    assert_eq!(ledger.asked(), 1);
    later().await;
    gate.check().await.unwrap();
    assert_eq!(ledger.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_look_once() {
    let ledger = Ledger::new(at(CutOverStep::Fenced));
    let gate = ledger.gate(GateSettings::default());
    let asking = (0..1000).map(|_| {
        let gate = gate.clone();
        tokio::spawn(async move { gate.check().await })
    });
    for answer in asking.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), fenced(WhyFenced::Switching));
    }
    assert_eq!(ledger.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_wait_for_a_silent_ledger_once() {
    let ledger = Ledger::new(Says::Silence);
    let settings = GateSettings { cached_for: Duration::from_secs(60), ..GateSettings::default() };
    let gate = ledger.gate(settings);
    let begun = tokio::time::Instant::now();
    let asking = (0..1000).map(|_| {
        let gate = gate.clone();
        tokio::spawn(async move { gate.check().await })
    });
    for answer in asking.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), fenced(WhyFenced::LedgerUnreadable));
    }
    assert_eq!(ledger.asked(), 1);
    assert!(begun.elapsed() < settings.answer_within * 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_holds_up_nobody() {
    let ledger = Ledger::new(Says::Silence);
    let gate = ledger.gate(GateSettings::default());
    assert!(tokio::time::timeout(Duration::from_millis(5), gate.check()).await.is_err());
    ledger.says(Says::Nothing);
    assert_eq!(gate.check().await, Ok(WriteTo::Source));
}

#[tokio::test]
async fn an_expired_fence_keeps_nobody_out() {
    let ledger = Ledger::new(Says::CutOver(cut_over(CutOverStep::Fenced, Some(-1))));
    assert_eq!(ledger.gate(GateSettings::default()).check().await, Ok(WriteTo::Source));

    // It is over without another look.
    let ledger = Ledger::new(Says::CutOver(cut_over(CutOverStep::Drained, Some(1_000))));
    let gate = ledger.gate(GateSettings { cached_for: Duration::from_secs(3_600), ..GateSettings::default() });
    let mut answer = gate.check().await;
    assert_eq!(answer, fenced(WhyFenced::Switching));
    while answer.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = gate.check().await;
    }
    assert_eq!((answer, ledger.asked()), (Ok(WriteTo::Source), 1));
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_fence_does_not_expire() {
    let ledger = Ledger::new(Says::CutOver(cut_over(CutOverStep::Confirmed, Some(-1))));
    assert_eq!(ledger.gate(GateSettings::default()).check().await, fenced(WhyFenced::Switching));
}

#[tokio::test(start_paused = true)]
async fn while_the_ledger_is_away_the_last_answer_holds_and_then_nothing_passes() {
    let ledger = Ledger::new(at(CutOverStep::Done));
    let settings = GateSettings::default();
    let gate = ledger.gate(settings);
    assert_eq!(gate.check().await, Ok(WriteTo::Target));
    ledger.says(Says::Error);
    tokio::time::advance(settings.last_known_for - Duration::from_millis(100)).await;
    assert_eq!(gate.check().await, Ok(WriteTo::Target));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(gate.check().await, fenced(WhyFenced::LedgerUnreadable));
    ledger.says(at(CutOverStep::Done));
    later().await;
    assert_eq!(gate.check().await, Ok(WriteTo::Target));
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_stays_open_keeps_what_it_knew() {
    let settings = GateSettings { outage: Outage::Open, ..GateSettings::default() };
    let never_read = Ledger::new(Says::Error);
    assert_eq!(never_read.gate(settings).check().await, Ok(WriteTo::Source));

    let ledger = Ledger::new(at(CutOverStep::Done));
    let gate = ledger.gate(settings);
    gate.check().await.unwrap();
    ledger.says(Says::Silence);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(gate.check().await, Ok(WriteTo::Target));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn the_ledger_of_a_target_is_found_once_it_is_there() {
    use eventlift::stores::StoreConfig;
    use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};

    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("target.db"));
    let settings = GateSettings { cached_for: Duration::ZERO, ..GateSettings::default() };
    let gate = MigrationGate::of_target(StoreConfig::Sqlite(config.clone()), settings);
    assert_eq!(gate.check().await, Ok(WriteTo::Source));
    assert!(!config.path.exists());

    let mut writer = SqliteWriter::open(config).unwrap();
    let run = RunId::random();
    writer.record_run(&record(run)).await.unwrap();
    assert_eq!(gate.check().await, Ok(WriteTo::Source));
    cut_over(CutOverStep::Confirmed, None).record(&mut writer, run).await.unwrap();
    assert_eq!(gate.check().await, fenced(WhyFenced::Switching));
    cut_over(CutOverStep::Done, None).record(&mut writer, run).await.unwrap();
    assert_eq!(gate.check().await, Ok(WriteTo::Target));
}

#[cfg(feature = "gate")]
mod layer {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use eventlift::gate::{GateLayer, WRITE_TO};
    use http::{Request, Response, StatusCode};
    use tower_layer::Layer;
    use tower_service::Service;

    use super::*;

    /// Answers with what the gate told it, and counts.
    #[derive(Clone, Default)]
    struct Writes(Arc<AtomicUsize>);

    impl Service<Request<String>> for Writes {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<String>) -> Self::Future {
            self.0.fetch_add(1, Ordering::SeqCst);
            let header = request.headers().get(WRITE_TO).map(|value| value.to_str().unwrap().to_owned());
            let extension = request.extensions().get::<WriteTo>().map(|write_to| write_to.as_str().to_owned());
            assert_eq!(header, extension);
            ready(Ok(Response::new(header.unwrap_or_default())))
        }
    }

    async fn send(gate: &MigrationGate, service: &Writes, method: &str) -> Response<String> {
        // What a client says itself is never believed.
        let request = Request::builder().method(method).header(WRITE_TO, "target").body(String::new()).unwrap();
        GateLayer::new(gate.clone()).layer(service.clone()).call(request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fenced_service_answers_reads_alone() {
        let ledger = Ledger::new(at(CutOverStep::Fenced));
        let settings = GateSettings { retry_after: Duration::from_millis(1_500), ..GateSettings::default() };
        let (gate, service) = (ledger.gate(settings), Writes::default());
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "REPORT"] {
            let answer = send(&gate, &service, method).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{method}");
            assert_eq!(answer.headers()["retry-after"], "2");
            assert_eq!(answer.extensions().get::<Fenced>().unwrap().why, WhyFenced::Switching);
        }
        assert_eq!(service.0.load(Ordering::SeqCst), 0);
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            let answer = send(&gate, &service, method).await;
            assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::OK, ""), "{method}");
        }
        assert_eq!(service.0.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_told_where_to_write() {
        for (says, expected) in [(Says::Nothing, "source"), (at(CutOverStep::Switched), "target")] {
            let answer = send(&Ledger::new(says).gate(GateSettings::default()), &Writes::default(), "POST").await;
            assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::OK, expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reads_do_not_wait_for_the_ledger() {
        let ledger = Ledger::new(Says::Silence);
        let answer = send(&ledger.gate(GateSettings::default()), &Writes::default(), "GET").await;
        assert_eq!((answer.status(), ledger.asked()), (StatusCode::OK, 0));
    }
}

#[cfg(all(feature = "gate", feature = "sqlite"))]
#[path = "../examples/gate.rs"]
mod example;
