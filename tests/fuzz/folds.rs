//! Folds against the trivial one, event after event: two bytes an event, behind three that say how it is run.

use std::cell::RefCell;

use eventlift::rebuild::FailurePolicy;

use super::engine::Target;
use crate::fold::{fold, log_of, memories, options, reference};

pub(super) const TARGET: Target =
    Target { name: "folds", dictionary: &["\u{0}\u{d}", "\u{1}\u{11}", "\u{2}\u{0}", "\u{3}\u{1}"], always: 100, run };

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().into();
}

fn run(input: &[u8]) -> Result<String, String> {
    let [how, memory, batch, events @ ..] = input else { return Ok("too short".to_owned()) };
    let policy = if how & 1 == 0 { FailurePolicy::Stop } else { FailurePolicy::Quarantine };
    let workers = 1 + usize::from(how >> 1 & 3);
    let said: Vec<(i64, i64)> =
        events.chunks_exact(2).take(64).map(|pair| (i64::from(pair[0] % 8), i64::from(pair[1] % 64))).collect();
    let events = log_of(&said);
    let options = options(workers, memories(workers)[usize::from(memory & 3)], policy);
    let expected = reference(&events, policy);
    let folded = RUNTIME.with_borrow(|runtime| runtime.block_on(fold(&events, 1 + usize::from(batch % 32), &options)));
    if folded != expected {
        return Err(format!("{said:?} with {workers} workers became {folded:?}, not {expected:?}"));
    }
    Ok(format!("{} {workers}", if expected.is_ok() { "folded" } else { "failed" }))
}
