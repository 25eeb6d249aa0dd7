//! What goes wrong on demand: by script, or at random under a seed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What becomes of one append: a unary one, or one of a batch session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and answered.
    Answer,
    /// It is not done: the call ends with UNAVAILABLE.
    Fail,
    /// It is not done, and never answered.
    Hang,
    /// It is done, but answered with a timeout: DEADLINE_EXCEEDED in a batch session, ABORTED otherwise.
    TimeOut,
    /// It is done, then the connection breaks instead of an answer.
    Lose,
}

/// What becomes of one read or subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFate {
    /// It is served.
    Serve,
    /// It ends with UNAVAILABLE after exactly so many events.
    FailAfter(u64),
    /// Its connection breaks after so many events were sent: the client may have got fewer.
    BreakAfter(u64),
    /// It sends nothing after so many events.
    HangAfter(u64),
}

#[derive(Default)]
struct Plan {
    delay: Duration,
    appends: VecDeque<Fate>,
    reads: VecDeque<ReadFate>,
    lose_rate: f64,
    random: u64,
}

/// The faults of one node. Scripted ones come first, in order, one for each append or read.
#[derive(Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
}

impl Faults {
    /// Every answer comes so much later. Appends of a batch session wait at the same time, not one after the other.
    pub(crate) fn delay(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// The fates of the next appends, behind those that are planned already.
    pub(crate) fn script_appends(&self, fates: impl IntoIterator<Item = Fate>) {
        self.plan().appends.extend(fates);
    }

    /// The fates of the next reads and subscriptions, behind those that are planned already.
    pub(crate) fn script_reads(&self, fates: impl IntoIterator<Item = ReadFate>) {
        self.plan().reads.extend(fates);
    }

    /// The next appends are not done: UNAVAILABLE.
    pub(crate) fn fail_next_appends(&self, times: usize) {
        self.script_appends(std::iter::repeat_n(Fate::Fail, times));
    }

    /// The next append is never answered, and not done.
    pub(crate) fn hang_next_append(&self) {
        self.script_appends([Fate::Hang]);
    }

    /// The next appends are done, and their connections break instead of answers.
    pub(crate) fn lose_next_answers(&self, times: usize) {
        self.script_appends(std::iter::repeat_n(Fate::Lose, times));
    }

    /// From now on, this share of the appends (0 to 1) is done and loses its answer, chosen by the seed.
    pub(crate) fn lose_answers_at_random(&self, rate: f64, seed: u64) {
        let mut plan = self.plan();
        plan.lose_rate = rate;
        plan.random = seed;
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear(&self) {
        *self.plan() = Plan::default();
    }

    pub(super) fn current_delay(&self) -> Duration {
        self.plan().delay
    }

    pub(super) fn next_append(&self) -> Fate {
        let mut plan = self.plan();
        if let Some(fate) = plan.appends.pop_front() {
            return fate;
        }
        if plan.lose_rate > 0.0 && plan.next_random() < plan.lose_rate { Fate::Lose } else { Fate::Answer }
    }

    pub(super) fn next_read(&self) -> ReadFate {
        self.plan().reads.pop_front().unwrap_or(ReadFate::Serve)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    /// From 0 to 1, by splitmix64.
    fn next_random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
