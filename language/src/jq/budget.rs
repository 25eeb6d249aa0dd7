//! What one evaluation may use, and what it has used so far.
//!
//! Values have no context of their own to count in, so the count is kept per thread; evaluations don't nest.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::value::Value;
use crate::reason::Reason;

/// What one evaluation of a filter, on one event, may use before it counts as run away.
///
/// Steps, memory and depth are the same on every run; time depends on the machine, so it is meant as the last resort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JqLimits {
    /// Calls of user-defined and recursive filters, items iterated over, values calculated and 256-byte blocks copied.
    /// The bytes of the input count as so many more. Default: 1,000,000, which takes about half a second.
    /// A filter that defines a recursive filter with filters as arguments (`def f(g): … f(g) …`) gets 100,000 at most,
    /// since the interpreter keeps the arguments of all its calls.
    pub steps: u64,
    /// Wall-clock time, looked at every 128 steps. A single step is never interrupted. Default: 5 s.
    pub time: Duration,
    /// Bytes of values held at the same time, without the input. Default: 256 MiB.
    pub memory: usize,
    /// Bytes of stack, which is what recursion that is not in tail position uses. Where the calling thread has less
    /// left, the evaluation gets a stack of its own, at a price of some microseconds. Default: 1280 KiB.
    pub stack: usize,
    /// How deep arrays and objects may be nested in the input; in results 8 levels more. At most 256, the default.
    pub depth: usize,
}

impl Default for JqLimits {
    fn default() -> Self {
        Self { steps: 1_000_000, time: Duration::from_secs(5), memory: 256 << 20, stack: 1280 << 10, depth: MAX_DEPTH }
    }
}

/// Deeper values could overflow the stack where nobody counts: when they are compared, written or dropped.
pub(super) const MAX_DEPTH: usize = 256;

/// Results may be so much deeper than input, since an event wraps its data, and filters wrap what they calculate with.
const WRAPPING: usize = 8;

/// Stack for what happens between two looks at it.
const STACK_MARGIN: usize = 512 << 10;

const STEPS_BETWEEN_LOOKS_AT_THE_CLOCK: u32 = 128;

/// See [`JqLimits::steps`].
const MAX_STEPS_PILING_UP: u64 = 100_000;

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exhausted {
    Steps,
    Time,
    Memory,
    Stack,
    Depth,
    /// Something that jq has and eventlift has not.
    Refused,
}

struct Budget {
    limits: Cell<Option<JqLimits>>,
    steps_left: Cell<u64>,
    until_clock: Cell<u32>,
    deadline: Cell<Option<Instant>>,
    held: Cell<usize>,
    stack_floor: Cell<usize>,
    exhausted: Cell<Option<Exhausted>>,
    refusal: RefCell<Option<Reason>>,
    opened_duplicates: Cell<bool>,
}

thread_local! {
    static BUDGET: Budget = const {
        Budget {
            limits: Cell::new(None),
            steps_left: Cell::new(0),
            until_clock: Cell::new(0),
            deadline: Cell::new(None),
            held: Cell::new(0),
            stack_floor: Cell::new(0),
            exhausted: Cell::new(None),
            refusal: RefCell::new(None),
            opened_duplicates: Cell::new(false),
        }
    };
}

/// Runs `evaluate` within the limits. `input_bytes` buy steps of their own. Says why when they were exceeded, whatever
/// `evaluate` made of it.
pub(super) fn within<T>(
    limits: &JqLimits,
    input_bytes: usize,
    evaluate: impl FnOnce() -> Result<T, Reason>,
) -> Result<T, Reason> {
    let stack = limits.stack + STACK_MARGIN;
    stacker::maybe_grow(stack, stack + (64 << 10), || {
        start(limits, input_bytes);
        let result = evaluate();
        let exceeded = BUDGET.with(|b| b.exhausted.get().map(|what| reason(what, limits)));
        BUDGET.with(|b| b.limits.set(None));
        exceeded.map_or(result, Err)
    })
}

/// The same for filters whose calls may pile up what recurses when it is dropped: fewer steps, on a stack that is
/// large enough to drop what they can pile up.
pub(super) fn within_piling_up<T>(
    limits: &JqLimits,
    evaluate: impl FnOnce() -> Result<T, Reason>,
) -> Result<T, Reason> {
    const STACK_PER_STEP: usize = 1 << 10;
    let limits = JqLimits { steps: limits.steps.min(MAX_STEPS_PILING_UP), ..*limits };
    let stack = limits.stack + STACK_MARGIN + limits.steps as usize * STACK_PER_STEP;
    stacker::grow(stack, || within(&limits, 0, evaluate))
}

fn start(limits: &JqLimits, input_bytes: usize) {
    BUDGET.with(|b| {
        b.limits.set(Some(*limits));
        b.steps_left.set(limits.steps.saturating_add(input_bytes as u64));
        b.until_clock.set(STEPS_BETWEEN_LOOKS_AT_THE_CLOCK);
        b.deadline.set(Instant::now().checked_add(limits.time));
        b.held.set(0);
        b.stack_floor.set(stacker::remaining_stack().map_or(0, |left| left.saturating_sub(limits.stack)));
        b.exhausted.set(None);
        b.refusal.take();
        b.opened_duplicates.set(false);
    });
}

fn reason(what: Exhausted, limits: &JqLimits) -> Reason {
    let (what, hint) = match what {
        Exhausted::Steps => {
            (format!("it took more than {} steps", limits.steps), "look for a recursion or a generator without an end")
        }
        Exhausted::Time => {
            (format!("it took longer than {:?}", limits.time), "look for a recursion or a generator without an end")
        }
        Exhausted::Memory => (
            format!("it held more than {} bytes of memory", limits.memory),
            "look for text or arrays that grow without an end",
        ),
        Exhausted::Stack => (
            format!("it recursed deeper than {} bytes of stack", limits.stack),
            "look for a recursion without an end, or make the recursive call the last thing that the filter does",
        ),
        Exhausted::Depth => (
            format!("a value became nested deeper than {} levels", limits.depth.min(MAX_DEPTH) + WRAPPING),
            "look for arrays or objects that are wrapped without an end",
        ),
        Exhausted::Refused => match BUDGET.with(|b| b.refusal.take()) {
            Some(refusal) => return refusal,
            None => ("it came to something that eventlift has not".to_owned(), "write it otherwise"),
        },
    };
    Reason::new(format_args!("the jq filter ran away: {what}")).hint(hint)
}

/// Spends steps. False once anything is exhausted.
pub(super) fn spend(steps: u64) -> bool {
    BUDGET.with(|b| {
        if b.exhausted.get().is_some() {
            return false;
        }
        // Values are also made outside evaluations: input that is read, events that are described.
        if b.limits.get().is_none() {
            return true;
        }
        match b.steps_left.get().checked_sub(steps) {
            Some(left) => b.steps_left.set(left),
            None => b.exhausted.set(Some(Exhausted::Steps)),
        }
        match b.until_clock.get().checked_sub(1) {
            Some(left) => b.until_clock.set(left),
            None => {
                b.until_clock.set(STEPS_BETWEEN_LOOKS_AT_THE_CLOCK);
                if b.deadline.get().is_some_and(|deadline| Instant::now() > deadline) {
                    b.exhausted.set(Some(Exhausted::Time));
                }
            }
        }
        b.exhausted.get().is_none()
    })
}

/// Spends a step and looks at the stack. False once anything is exhausted.
pub(super) fn enter() -> bool {
    let stack_is_left = BUDGET.with(|b| stacker::remaining_stack().is_none_or(|left| left > b.stack_floor.get()));
    if !stack_is_left {
        exhaust(Exhausted::Stack);
    }
    spend(1)
}

/// Whether so many bytes more can be held; to be asked before they are allocated.
pub(super) fn fits(bytes: usize) -> bool {
    let fits = BUDGET.with(|b| match b.limits.get() {
        Some(limits) => b.held.get().saturating_add(bytes) <= limits.memory,
        None => true,
    });
    if !fits {
        exhaust(Exhausted::Memory);
    }
    fits
}

/// The same, and spends steps for copying them. False once anything is exhausted.
pub(super) fn afford(bytes: usize) -> bool {
    fits(bytes) && spend(1 + bytes as u64 / 256)
}

/// What a filter sees of an exhausted budget. It may catch it, but not go on.
pub(super) fn exhausted() -> jaq_core::Error<Value> {
    jaq_core::Error::str("the jq filter ran away")
}

/// Ends the evaluation at something that jq has and eventlift has not: a filter that caught the error would go on with
/// another result than jq's.
pub(super) fn refuse(reason: impl Into<Reason>) -> jaq_core::Error<Value> {
    let reason = reason.into();
    let error = jaq_core::Error::str(&reason.message);
    BUDGET.with(|b| {
        if b.limits.get().is_some() && b.exhausted.get().is_none() {
            b.refusal.replace(Some(reason));
        }
    });
    exhaust(Exhausted::Refused);
    error
}

/// Whether a value nested so deep exceeds the limit.
pub(super) fn is_too_deep(depth: u32) -> bool {
    BUDGET.with(|b| b.limits.get().is_some_and(|limits| depth as usize > limits.depth.min(MAX_DEPTH) + WRAPPING))
}

/// Notes that a value became too deep.
pub(super) fn exhaust_depth() {
    exhaust(Exhausted::Depth);
}

fn exhaust(what: Exhausted) {
    BUDGET.with(|b| {
        if b.limits.get().is_some() && b.exhausted.get().is_none() {
            b.exhausted.set(Some(what));
        }
    });
}

/// Notes that an object was changed in which a key occurs twice, so that one of the two got lost.
pub(super) fn note_opened_duplicates() {
    BUDGET.with(|b| b.opened_duplicates.set(true));
}

/// Whether that was noted in this evaluation.
pub(super) fn opened_duplicates() -> bool {
    BUDGET.with(|b| b.opened_duplicates.get())
}

/// Bytes that a value holds; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(usize);

impl Held {
    /// Counts bytes that were allocated.
    pub(super) fn new(bytes: usize) -> Self {
        let mut held = Self(0);
        held.set(bytes);
        held
    }

    /// Counts nothing: bytes of the input.
    pub(super) const fn nothing() -> Self {
        Self(0)
    }

    /// Changes the count.
    pub(super) fn set(&mut self, bytes: usize) {
        let within = BUDGET.with(|b| {
            let now = b.held.get().saturating_sub(self.0).saturating_add(bytes);
            b.held.set(now);
            b.limits.get().is_none_or(|limits| now <= limits.memory)
        });
        self.0 = bytes;
        if !within {
            exhaust(Exhausted::Memory);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        BUDGET.with(|b| b.held.set(b.held.get().saturating_sub(self.0)));
    }
}
