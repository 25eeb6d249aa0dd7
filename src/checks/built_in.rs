//! The checks that eventlift makes by itself before a migration.

use eventlift_events::{EventReader, ReadRequest, StoreError, Timestamp};
use futures_util::StreamExt;

use super::events::AHEAD;
use super::report::CheckResult;
use crate::pipeline::{Policies, Survey};
use crate::stores::{Room, StoreConfig};

/// Every type and version of the source leads to its current version.
const COVERED: &str = "covered";
/// Ids are unique, and revisions count up without gaps.
const CONSISTENT: &str = "consistent";
/// Events of the source follow the JSON Schema of their type and version.
pub(super) const SCHEMAS: &str = "schemas";
/// Streams begin with the events that they are to begin with.
pub(super) const FIRST_EVENTS: &str = "first-events";
/// No event is of the future.
pub(super) const TIMES: &str = "times";
/// The target's disk has room.
const ROOM: &str = "room";
/// The users of the stores may do what a migration needs.
const PRIVILEGES: &str = "privileges";
/// The servers' clocks agree with this one.
const CLOCKS: &str = "clocks";

/// The names of the checks that eventlift makes by itself, in their order.
pub const BUILT_IN: [&str; 8] = [COVERED, CONSISTENT, SCHEMAS, FIRST_EVENTS, TIMES, ROOM, PRIVILEGES, CLOCKS];

/// A clock that differs by less is right, in microseconds.
const SKEW: i64 = 5_000_000;

/// What the survey of the source says.
pub(super) fn surveyed(survey: &Survey, policies: Policies) -> Vec<CheckResult> {
    let refused = survey.refused(policies);
    let covered = match refused.first() {
        None => CheckResult::pass(COVERED),
        Some(_) => {
            let names: Vec<String> =
                refused.iter().map(|covered| format!("{} version {}", covered.event_type, covered.version)).collect();
            let events = refused.iter().map(|covered| covered.tally.events).sum();
            CheckResult::fail(COVERED, format_args!("nothing covers {}", names.join(", ")))
                .of(events)
                .hint("write definitions for them, or say under [policy] that they pass")
        }
    };
    let consistent = match &survey.finding {
        None => CheckResult::pass(CONSISTENT),
        Some(finding) => CheckResult::fail(CONSISTENT, finding).hint(finding.hint()),
    };
    vec![covered, consistent]
}

/// Whether the last event of the source is of the future, where not all of them were looked at.
pub(super) async fn last_time(reader: &dyn EventReader) -> Result<CheckResult, StoreError> {
    let Some(head) = reader.head().await? else { return Ok(CheckResult::pass(TIMES)) };
    let mut batches = reader.read(ReadRequest::new(Default::default()).after(head.just_before()));
    let last = batches.next().await.transpose()?.and_then(|batch| batch.into_iter().next_back());
    let now = Timestamp::now().micros();
    Ok(match last.filter(|event| event.recorded_at.micros() > now.saturating_add(AHEAD)) {
        None => CheckResult::pass(TIMES),
        Some(event) => {
            let message = format!("the last event, {}, was recorded at {}", event.id, event.recorded_at);
            CheckResult::warn(TIMES, message).hint("whoever wrote it had a clock that is ahead")
        }
    })
}

/// Whether what the source holds has room in the target.
pub(super) async fn room(source: &StoreConfig, target: &StoreConfig) -> Result<CheckResult, StoreError> {
    let (needed, free) = (source.room().await?.used, target.room().await?.free);
    Ok(room_for(needed, free))
}

fn room_for(needed: Option<u64>, free: Option<u64>) -> CheckResult {
    let (needed, free) = match (needed, free) {
        (Some(needed), Some(free)) => (needed, free),
        (Some(needed), None) => {
            let message = format!("about {} are needed; how much is free can't be told from here", Room::text(needed));
            return CheckResult::pass(ROOM).saying(message);
        }
        _ => return CheckResult::pass(ROOM),
    };
    let message = format!("the source takes {}, and {} are free at the target", Room::text(needed), Room::text(free));
    let hint = "make room, or name another disk; what rules drop or shorten takes less";
    if free < needed / 2 {
        CheckResult::fail(ROOM, message).hint(hint)
    } else if free < needed.saturating_add(needed / 5) {
        CheckResult::warn(ROOM, message).hint(hint)
    } else {
        CheckResult::pass(ROOM).saying(message)
    }
}

/// Whether the stores' users may do what is needed.
pub(super) async fn privileges(source: &StoreConfig, target: Option<&StoreConfig>) -> Result<CheckResult, StoreError> {
    let mut missing = source.missing_privileges(false).await?;
    if let Some(target) = target {
        missing.extend(target.missing_privileges(true).await?);
    }
    let Some((first, _)) = missing.first() else { return Ok(CheckResult::pass(PRIVILEGES)) };
    let all: Vec<&str> = missing.iter().map(|(_, todo)| &**todo).collect();
    Ok(CheckResult::fail(PRIVILEGES, first).of(missing.len() as u64).hint(all.join("; ")))
}

/// Whether the clocks of the servers agree with this one.
pub(super) async fn clocks(source: &StoreConfig, target: Option<&StoreConfig>) -> Result<CheckResult, StoreError> {
    for store in [Some(source), target].into_iter().flatten() {
        let begun = Timestamp::now().micros();
        let Some(theirs) = store.clock().await? else { continue };
        let ended = Timestamp::now().micros();
        let ahead = ahead(theirs.micros(), begun, ended);
        if ahead.abs() > SKEW {
            let (seconds, direction) = (ahead.abs() / 1_000_000, if ahead > 0 { "ahead of" } else { "behind" });
            let message = format!("the clock of {store} is {seconds} s {direction} this one");
            return Ok(CheckResult::warn(CLOCKS, message).hint("let both follow one time server"));
        }
    }
    Ok(CheckResult::pass(CLOCKS))
}

/// How far a clock is ahead that was asked between two moments of this one: nothing where it was in between.
fn ahead(theirs: i64, begun: i64, ended: i64) -> i64 {
    if theirs > ended { theirs - ended } else { (theirs - begun).min(0) }
}

/// A check of eventlift's own that could not be made; where nobody answers, the whole of them is to be tried again.
pub(super) fn made(name: &str, result: Result<CheckResult, StoreError>) -> Result<CheckResult, StoreError> {
    match result {
        Err(error) if error.nobody_answered() => Err(error),
        Err(error) => Ok(CheckResult::warn(name, format_args!("it can't be told: {error}"))),
        Ok(result) => Ok(result),
    }
}

pub(super) const OF_STORES: [&str; 3] = [ROOM, PRIVILEGES, CLOCKS];

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn room_is_compared_with_what_the_source_takes() {
        let verdict = |needed, free| room_for(needed, free).verdict;
        assert_eq!(verdict(Some(100), Some(1000)), Verdict::Pass);
        assert_eq!(verdict(Some(100), Some(119)), Verdict::Warn);
        assert_eq!(verdict(Some(100), Some(49)), Verdict::Fail);
        assert_eq!(verdict(Some(100), None), Verdict::Pass);
        assert_eq!(verdict(None, Some(1)), Verdict::Pass);
    }

    #[test]
    fn a_clock_is_ahead_only_by_more_than_the_answer_took() {
        assert_eq!(ahead(15, 10, 20), 0);
        assert_eq!(ahead(25, 10, 20), 5);
        assert_eq!(ahead(4, 10, 20), -6);
    }
}
