//! Where a service may write, as far as the target's ledger says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{CheckpointStore, Timestamp};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::watched::Watched;
use crate::cutover::{CutOver, WritersUse};
#[cfg(any(feature = "sqlite", feature = "file"))]
use crate::stores::StoreConfig;

/// The store that events are to be written to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WriteTo {
    /// The source, or the store that there was before anything was migrated.
    Source,
    /// The target.
    Target,
}

impl WriteTo {
    /// `source` or `target`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

impl fmt::Display for WriteTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Nothing is to be written now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("failed to let a write pass: {why}; ask again in {} ms", .retry_after.as_millis())]
pub struct Fenced {
    /// When to ask again, from now.
    pub retry_after: Duration,
    /// Why.
    pub why: WhyFenced,
}

/// Why nothing is to be written now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyFenced {
    /// Writers are being switched from one store to the other.
    Switching,
    /// Nobody knows: the ledger can't be read.
    LedgerUnreadable,
}

impl fmt::Display for WhyFenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Switching => "writers are being switched to another store",
            Self::LedgerUnreadable => "the migration's ledger can't be read",
        })
    }
}

/// What a gate does when the ledger can't be read for longer than the last answer is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    /// Nothing is written until it can.
    Closed,
    /// Writes go on to where they went, to the source where nothing was ever read. A fence that was seen stays closed
    /// until it expires.
    Open,
}

/// How a gate looks at the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GateSettings {
    /// How long an answer of the ledger is used before it is asked again.
    pub cached_for: Duration,
    /// How long the ledger may take to answer.
    pub answer_within: Duration,
    /// What [`Fenced::retry_after`] says.
    pub retry_after: Duration,
    /// How long the last answer holds while the ledger can't be read.
    pub last_known_for: Duration,
    /// What holds after that.
    pub outage: Outage,
}

impl Default for GateSettings {
    /// Answers are used for 100 ms; while the ledger can't be read, the last one holds for 5 seconds, and then the gate
    /// is closed.
    fn default() -> Self {
        Self {
            cached_for: Duration::from_millis(100),
            answer_within: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            last_known_for: Duration::from_secs(5),
            outage: Outage::Closed,
        }
    }
}

/// Says where to write. Clones share what they know.
///
/// Nothing runs in the background: the ledger is looked at by whoever asks when the last look is older than
/// [`GateSettings::cached_for`]. One looks at a time, the others wait for what it finds.
#[derive(Clone)]
pub struct MigrationGate {
    shared: Arc<Shared>,
}

struct Shared {
    watched: Watched,
    settings: GateSettings,
    known: watch::Sender<Known>,
    /// Held by the one that looks.
    looking: Mutex<()>,
}

/// What the ledger said last.
#[derive(Clone, Default)]
struct Known {
    cut_over: Option<CutOver>,
    /// When it said so; none where it never answered.
    read_at: Option<Instant>,
    /// When it was asked last, whether it answered or not.
    asked_at: Option<Instant>,
}

impl MigrationGate {
    /// A gate over a ledger that is open.
    pub fn over(ledger: Arc<dyn CheckpointStore>, settings: GateSettings) -> Self {
        Self::new(Watched::Given(ledger), settings)
    }

    /// A gate over the ledger of a target. It is opened when the gate is asked first, and again after it failed; while
    /// there is none, writes go to the source. Nothing is ever created or changed.
    #[cfg(any(feature = "sqlite", feature = "file"))]
    pub fn of_target(target: StoreConfig, settings: GateSettings) -> Self {
        Self::new(Watched::Opened(Box::new(target), Mutex::new(None)), settings)
    }

    fn new(watched: Watched, settings: GateSettings) -> Self {
        let known = watch::Sender::new(Known::default());
        Self { shared: Arc::new(Shared { watched, settings, known, looking: Mutex::new(()) }) }
    }

    /// Where to write now, or that nothing is to be written and when to ask again.
    ///
    /// While an answer is fresh, this waits for nothing. Otherwise it waits for the ledger, for
    /// [`GateSettings::answer_within`] at most. A fence is over when it expires, without another look.
    pub async fn check(&self) -> Result<WriteTo, Fenced> {
        let shared = &*self.shared;
        if !shared.is_fresh() {
            let looking = shared.looking.lock().await;
            // Whoever waited finds what the one before has seen.
            if !shared.is_fresh() {
                shared.look().await;
            }
            drop(looking);
        }
        let known = shared.known.borrow().clone();
        known.answer(&shared.settings)
    }
}

impl Shared {
    fn is_fresh(&self) -> bool {
        self.known.borrow().asked_at.is_some_and(|asked| asked.elapsed() < self.settings.cached_for)
    }

    async fn look(&self) {
        let found = tokio::time::timeout(self.settings.answer_within, self.watched.cut_over()).await;
        let now = Instant::now();
        self.known.send_modify(|known| {
            known.asked_at = Some(now);
            if let Ok(Ok(cut_over)) = found {
                known.cut_over = cut_over;
                known.read_at = Some(now);
            }
        });
    }
}

impl Known {
    fn answer(&self, settings: &GateSettings) -> Result<WriteTo, Fenced> {
        let holds_for = settings.cached_for + settings.last_known_for;
        let is_known = self.read_at.is_some_and(|read| read.elapsed() < holds_for);
        if !is_known && settings.outage == Outage::Closed {
            return Err(Fenced { retry_after: settings.retry_after, why: WhyFenced::LedgerUnreadable });
        }
        let writers_use = self.cut_over.as_ref().map(|cut_over| cut_over.writers_use(Timestamp::now()));
        match writers_use.unwrap_or(WritersUse::Source) {
            WritersUse::Source => Ok(WriteTo::Source),
            WritersUse::Target => Ok(WriteTo::Target),
            WritersUse::Neither => Err(Fenced { retry_after: settings.retry_after, why: WhyFenced::Switching }),
        }
    }
}

impl fmt::Debug for MigrationGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MigrationGate").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
