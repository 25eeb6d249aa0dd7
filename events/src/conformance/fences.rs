//! What a fence promises, for stores that can be fenced.
//!
//! A store under test says in a [`FenceUnderTest`] how it is fenced, and how a service writes to it. One line stamps a
//! test for every check, as for the suite of stores: `fence_conformance_tests!(store: …, block_on: …)`, with
//! `ignore: "why"` where a server is needed. `store:` makes a new store, sealed and without events.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;

use super::sample::{event, stream};
use super::subject::{Failure, Verdict, equal, holds};
use crate::checkpoint::RunId;
use crate::error::{StoreError, StoreErrorKind};
use crate::fence::{Fence, FenceNotice};
use crate::store::EventWriter;
use crate::timestamp::Timestamp;

/// A store that can be fenced. It is sealed and empty when a check gets it.
#[async_trait]
pub trait FenceUnderTest: Send + Sync {
    /// A fence with a connection of its own.
    async fn fence(&self) -> Result<Box<dyn Fence>, StoreError>;

    /// eventlift's own writer.
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError>;

    /// Begins a transaction as a service does, on a connection of its own, and adds one event in it: the first of the
    /// stream `service-<number>`. What the store says where it refuses.
    async fn begin(&self, number: u64) -> Result<Box<dyn Write>, String>;

    /// Changes an event as a service would that is not to: an update, and a deletion. What the store says to each.
    async fn change(&self, number: u64) -> [Result<(), String>; 2];
}

/// A transaction of a service that has added an event.
#[async_trait]
pub trait Write: Send {
    /// Commits it.
    async fn commit(self: Box<Self>) -> Result<(), String>;
    /// Rolls it back.
    async fn roll_back(self: Box<Self>);
}

/// A check by its name.
pub struct FenceCheck {
    /// The name of its function in [`fence_checks`](super::fence_checks).
    pub name: &'static str,
    /// Runs it on an empty store.
    pub run: for<'a> fn(&'a dyn FenceUnderTest) -> super::Running<'a>,
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);
const MESSAGE: &str = "the shop's events are in the new store: it's \"lifted\" \\ 100 % — zu spät 👍";

fn notice(run: RunId, expires_in: Option<Duration>) -> Result<FenceNotice, Failure> {
    let set_at = Timestamp::now();
    let end = expires_in.map(|span| {
        let micros = set_at.micros().saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        Timestamp::from_micros(micros).map_err(Failure::new)
    });
    Ok(FenceNotice { run, message: MESSAGE.to_owned(), set_at, expires_at: end.transpose()? })
}

async fn write(store: &dyn FenceUnderTest, number: u64) -> Result<(), String> {
    store.begin(number).await?.commit().await
}

async fn passes(store: &dyn FenceUnderTest, number: u64, when: &str) -> Verdict {
    let written = write(store, number).await;
    written.map_err(|error| Failure::new(format_args!("{when}: expected a write to pass, but got: {error}")))
}

async fn refuses(store: &dyn FenceUnderTest, number: u64, when: &str) -> Verdict {
    let Err(error) = write(store, number).await else {
        return Err(Failure::new(format_args!("{when}: expected a write to be refused, but it passed")));
    };
    holds(error.contains(MESSAGE), format_args!("the error has the message ({when}), but it is: {error}"))?;
    let events = held(store, number).await?;
    equal(format_args!("what the refused write left ({when})"), &0, &events)
}

/// How many events of a service's stream are there: 0 or 1.
async fn held(store: &dyn FenceUnderTest, number: u64) -> Result<u64, Failure> {
    let writer = store.writer().await?;
    let heads = writer.heads(&[stream(&format!("service-{number}"))]).await?;
    Ok(heads.iter().flatten().count() as u64)
}

fn failed(result: Result<(), StoreError>, what: &str) -> Result<StoreError, Failure> {
    match result {
        Err(error) => Ok(error),
        Ok(()) => Err(Failure::new(format_args!("expected {what} to fail, but it succeeded"))),
    }
}

/// While it stands every write of others fails with the message, and none of them leaves anything; lifted, they pass.
/// Lifting twice is lifting once.
pub async fn a_fence_refuses_writes_until_it_is_lifted(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run) = (store.fence().await?, RunId::random());
    equal("the fence of a new store", &None, &fence.standing().await?)?;
    passes(store, 1, "before").await?;
    let notice = notice(run, Some(LONG))?;
    fence.set(&notice, LONG).await?;
    equal("the fence that stands", &Some(notice), &fence.standing().await?)?;
    refuses(store, 2, "fenced").await?;
    for change in store.change(1).await {
        let Err(error) = change else {
            return Err(Failure::new("expected an update and a deletion to be refused, but one passed"));
        };
        holds(error.contains(MESSAGE), format_args!("the error has the message, but it is: {error}"))?;
    }
    equal("the event that was to be changed", &1, &held(store, 1).await?)?;
    fence.lift(run).await?;
    equal("the fence, lifted", &None, &fence.standing().await?)?;
    passes(store, 2, "lifted").await?;
    fence.lift(run).await?;
    passes(store, 3, "lifted twice").await
}

/// It ceases to refuse anything when it expires, though nobody lifts it; another one can be set then, by any run.
pub async fn a_fence_expires_by_itself(store: &dyn FenceUnderTest) -> Verdict {
    let mut fence = store.fence().await?;
    fence.set(&notice(RunId::random(), Some(Duration::from_millis(1_500)))?, SHORT).await?;
    refuses(store, 1, "fenced").await?;
    drop(fence);
    // The store's clock is all that can tell.
    let fence = store.fence().await?;
    while fence.standing().await?.is_some() {}
    passes(store, 1, "expired").await?;
    let (mut fence, other) = (fence, RunId::random());
    let next = notice(other, Some(LONG))?;
    fence.set(&next, LONG).await?;
    equal("the fence of another run", &Some(next), &fence.standing().await?)?;
    refuses(store, 2, "fenced again").await?;
    fence.lift(other).await?;
    passes(store, 2, "lifted").await
}

/// A fence that would have expired before it is set is refused, and nothing stands then.
pub async fn a_fence_that_is_late_is_not_set(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run) = (store.fence().await?, RunId::random());
    let set_at = Timestamp::from_micros(Timestamp::now().micros() - 2_000_000).map_err(Failure::new)?;
    let end = Timestamp::from_micros(set_at.micros() + 1_000_000).map_err(Failure::new)?;
    let late = FenceNotice { set_at, expires_at: Some(end), ..notice(run, None)? };
    failed(fence.set(&late, SHORT).await, "a fence that has expired")?;
    equal("the fence", &None, &fence.standing().await?)?;
    passes(store, 1, "not fenced").await
}

/// Confirmed, it stands for good; confirming again changes nothing. One that has expired, was lifted, or never was set
/// can't be confirmed, and no fence stands then.
pub async fn only_a_fence_that_stands_is_confirmed(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run) = (store.fence().await?, RunId::random());
    failed(fence.confirm(run).await, "confirming what was never set")?;
    fence.set(&notice(run, Some(Duration::from_millis(200)))?, SHORT).await?;
    while fence.standing().await?.is_some() {}
    failed(fence.confirm(run).await, "confirming what has expired")?;
    equal("the fence that has expired", &None, &fence.standing().await?)?;
    passes(store, 1, "expired").await?;

    let set = notice(run, Some(Duration::from_secs(2)))?;
    fence.set(&set, SHORT).await?;
    fence.confirm(run).await?;
    let confirmed = FenceNotice { expires_at: None, ..set.clone() };
    equal("the fence, confirmed", &Some(confirmed.clone()), &fence.standing().await?)?;
    let end = set.expires_at.map_or(0, |end| end.micros());
    while Timestamp::now().micros() <= end {
        refuses(store, 2, "confirmed").await?;
    }
    refuses(store, 2, "past the end that it had").await?;
    fence.confirm(run).await?;
    equal("the fence, confirmed twice", &Some(confirmed), &fence.standing().await?)?;
    fence.lift(run).await?;
    failed(fence.confirm(run).await, "confirming what was lifted")?;
    passes(store, 2, "lifted").await
}

/// A run's fence is set again in its own place: with another message, for longer, or for good.
pub async fn a_fence_takes_the_place_of_the_same_runs(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run) = (store.fence().await?, RunId::random());
    fence.set(&FenceNotice { message: "an earlier one".to_owned(), ..notice(run, Some(LONG))? }, LONG).await?;
    let next = notice(run, None)?;
    store.fence().await?.set(&next, LONG).await?;
    equal("the fence", &Some(next), &fence.standing().await?)?;
    refuses(store, 1, "set again").await?;
    fence.lift(run).await?;
    passes(store, 1, "lifted").await
}

/// Another run can't set, confirm or lift a fence that stands, and it stands on.
pub async fn a_fence_belongs_to_its_run(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run, other) = (store.fence().await?, RunId::random(), RunId::random());
    let notice_of_run = notice(run, Some(LONG))?;
    fence.set(&notice_of_run, LONG).await?;
    let mut others = store.fence().await?;
    let refused = [
        failed(others.set(&notice(other, Some(LONG))?, SHORT).await, "setting another run's fence")?,
        failed(others.confirm(other).await, "confirming another run's fence")?,
        failed(others.lift(other).await, "lifting another run's fence")?,
    ];
    for error in refused {
        let is_named = matches!(error.kind, StoreErrorKind::Locked(_)) && error.to_string().contains(&run.to_string());
        holds(is_named, format_args!("the error says which run holds it, but it is: {error}"))?;
    }
    equal("the fence", &Some(notice_of_run), &others.standing().await?)?;
    refuses(store, 1, "still fenced").await?;
    fence.lift(run).await?;
    passes(store, 1, "lifted").await
}

/// A transaction that has written is waited for: the fence does not stand before it has ended, and what it committed
/// is there. Where it does not end in time, setting fails, and the writer goes on undisturbed.
pub async fn a_write_under_way_is_waited_for(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run) = (store.fence().await?, RunId::random());
    let begin = async |number| {
        let begun = store.begin(number).await;
        begun.map_err(|error| Failure::new(format_args!("expected a transaction to begin, but got: {error}")))
    };
    let under_way = begin(1).await?;
    let error = failed(fence.set(&notice(run, Some(LONG))?, SHORT).await, "a fence while a write is under way")?;
    holds(error.may_pass(), format_args!("it may pass a little later, but it is: {error}"))?;
    equal("the fence that could not be set", &None, &fence.standing().await?)?;
    under_way.commit().await.map_err(Failure::new)?;
    passes(store, 2, "not fenced").await?;

    let under_way = begin(3).await?;
    let (set, committed) = join(fence.set(&notice(run, Some(LONG))?, LONG), under_way.commit()).await;
    set?;
    committed.map_err(Failure::new)?;
    equal("the event that was under way", &1, &held(store, 3).await?)?;
    refuses(store, 4, "fenced").await?;
    fence.lift(run).await?;

    begin(5).await?.roll_back().await;
    fence.set(&notice(run, Some(LONG))?, LONG).await?;
    equal("the event that was rolled back", &0, &held(store, 5).await?)?;
    fence.lift(run).await?;
    passes(store, 5, "lifted").await
}

/// eventlift's own writer passes, appends and takes out again, and others are refused before, between and after.
pub async fn eventlifts_own_writer_passes(store: &dyn FenceUnderTest) -> Verdict {
    let (mut fence, run) = (store.fence().await?, RunId::random());
    let mut before = store.writer().await?;
    before.append(&[event(1, "order-1", 0)], None).await?;
    fence.set(&notice(run, None)?, LONG).await?;
    // One that was open before, and one that is opened now.
    before.append(&[event(2, "order-1", 1)], None).await?;
    drop(before);
    refuses(store, 1, "after an append that passed").await?;
    let mut writer = store.writer().await?;
    writer.append(&[event(3, "order-1", 2)], None).await?;
    let progress = super::sample::progress(RunId::random(), 3);
    writer.withdraw(&[(stream("order-1"), crate::stream::Revision(2))], &progress).await?;
    equal("the last revision", &vec![Some(crate::stream::Revision(1))], &writer.heads(&[stream("order-1")]).await?)?;
    // A refused append must not leave a hole either.
    let taken = writer.append(&[event(9, "order-1", 7)], None).await;
    holds(taken.is_err(), "a gap is refused")?;
    drop(writer);
    refuses(store, 1, "after one that was refused").await?;
    fence.lift(run).await?;
    passes(store, 1, "lifted").await
}

/// A fence stands when whoever set it is gone, and can be confirmed and lifted by the same run from elsewhere.
pub async fn a_fence_outlives_whoever_set_it(store: &dyn FenceUnderTest) -> Verdict {
    let run = RunId::random();
    let notice = notice(run, Some(LONG))?;
    let mut fence = store.fence().await?;
    fence.set(&notice, LONG).await?;
    drop(fence);
    refuses(store, 1, "its handle is gone").await?;
    let mut again = store.fence().await?;
    equal("the fence", &Some(notice), &again.standing().await?)?;
    again.confirm(run).await?;
    drop(again);
    refuses(store, 1, "confirmed from elsewhere").await?;
    store.fence().await?.lift(run).await?;
    passes(store, 1, "lifted from elsewhere").await
}

/// Hands the names of all checks of fences to a macro, behind the arguments given.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_fence_check {
    ($receiver:ident $arguments:tt) => {
        $crate::$receiver! { $arguments
            a_fence_refuses_writes_until_it_is_lifted
            a_fence_expires_by_itself
            a_fence_that_is_late_is_not_set
            only_a_fence_that_stands_is_confirmed
            a_fence_takes_the_place_of_the_same_runs
            a_fence_belongs_to_its_run
            a_write_under_way_is_waited_for
            eventlifts_own_writer_passes
            a_fence_outlives_whoever_set_it
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fence_check_table {
    (() $($name:ident)*) => {
        /// Every check of a fence.
        pub const FENCE_CHECKS: &[FenceCheck] = &[$(
            FenceCheck { name: stringify!($name), run: |store| Box::pin($name(store)) },
        )*];
    };
}

__every_fence_check!(__fence_check_table());

/// Stamps one `#[test]` for every check of a fence: `fence_conformance_tests!(store: …, block_on: …)`.
#[macro_export]
macro_rules! fence_conformance_tests {
    (store: $store:expr, block_on: $block_on:expr $(,)?) => {
        $crate::__every_fence_check!(__stamp_fence_tests(($store)($block_on)));
    };
    (store: $store:expr, block_on: $block_on:expr, ignore: $reason:literal $(,)?) => {
        $crate::__every_fence_check!(__stamp_ignored_fence_tests(($store)($block_on)($reason)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stamp_fence_tests {
    ((($store:expr) ($block_on:expr)) $($name:ident)*) => {
        $(
            #[test]
            fn $name() -> $crate::conformance::Verdict {
                ($block_on)(async {
                    let store = $store;
                    $crate::conformance::fence_checks::$name(&store).await
                })
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stamp_ignored_fence_tests {
    ((($store:expr) ($block_on:expr) ($reason:literal)) $($name:ident)*) => {
        $(
            #[test]
            #[ignore = $reason]
            fn $name() -> $crate::conformance::Verdict {
                ($block_on)(async {
                    let store = $store;
                    $crate::conformance::fence_checks::$name(&store).await
                })
            }
        )*
    };
}
