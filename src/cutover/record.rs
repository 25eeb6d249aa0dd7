//! How far a cut-over is, as the target's ledger keeps it: every step is recorded before the next one begins, so that it
//! can be gone on with after a crash.

use eventlift_events::{
    ByteString, Bytes, CheckpointStore, NoteChange, Position, RunId, StoreError, StoreErrorKind, Timestamp,
};
use serde::{Deserialize, Serialize};

/// The book of a run's notes that its cut-over is kept in, under one key.
pub const CUT_OVER_BOOK: &str = "cut-over";
const KEY: &str = "state";

/// The steps of a cut-over and of the way back, in their order, behind the one of a cut-over that was given up. Each says
/// what is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOverStep {
    /// The fence was lifted before anything was switched: writers use the source.
    Lifted,
    /// It was begun; writers use the source.
    Begun,
    /// The source refuses writes, until the fence expires.
    Fenced,
    /// Everything that the source holds is in the target.
    Drained,
    /// Both sides were compared, and are the same.
    Verified,
    /// The checks behind a migration have passed.
    Checked,
    /// The source's fence stands for good.
    Confirmed,
    /// The hooks have switched writers to the target.
    Switched,
    /// It is over: writers use the target.
    Done,
    /// The way back was begun: the target refuses writes.
    BackFenced,
    /// Everything that was written to the target since is in the source as well.
    BackDrained,
    /// The hooks have switched writers back to the source.
    BackSwitched,
    /// The way back is over: writers use the source again.
    RolledBack,
}

impl CutOverStep {
    /// Its name as it is stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Fenced => "fenced",
            Self::Drained => "drained",
            Self::Verified => "verified",
            Self::Checked => "checked",
            Self::Confirmed => "confirmed",
            Self::Switched => "switched",
            Self::Done => "done",
            Self::Lifted => "lifted",
            Self::BackFenced => "back_fenced",
            Self::BackDrained => "back_drained",
            Self::BackSwitched => "back_switched",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// Where writers are to write now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WritersUse {
    /// The source.
    Source,
    /// The target.
    Target,
    /// Neither for a moment: they wait and ask again.
    Neither,
}

/// A run's cut-over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CutOver {
    /// What was done last.
    pub step: CutOverStep,
    /// When it was begun, the last time.
    pub began_at: Timestamp,
    /// Who began it: user and host.
    pub by: String,
    /// When writers began to be refused; none where they were not.
    pub fenced_at: Option<Timestamp>,
    /// When the fence falls by itself, unless it is confirmed before.
    pub expires_at: Option<Timestamp>,
    /// When writers were switched; none where they were not.
    pub switched_at: Option<Timestamp>,
    /// The source's last event when it was fenced.
    pub source_end: Option<Position>,
    /// The target's last event when the source was drained: what comes behind it was written by others.
    pub target_end: Option<Position>,
    /// Why the fence was lifted, where it was.
    pub problem: Option<String>,
}

impl CutOver {
    /// Where writers are to write at a moment: a fence that has expired keeps nobody out.
    pub fn writers_use(&self, now: Timestamp) -> WritersUse {
        use CutOverStep::*;
        match self.step {
            Begun | Lifted | RolledBack | BackSwitched => WritersUse::Source,
            Fenced | Drained | Verified | Checked if self.expires_at.is_some_and(|end| now >= end) => {
                WritersUse::Source
            }
            Fenced | Drained | Verified | Checked | Confirmed | BackFenced | BackDrained => WritersUse::Neither,
            Switched | Done => WritersUse::Target,
        }
    }

    /// The cut-over of a run, where there is one.
    pub async fn of(ledger: &dyn CheckpointStore, run: RunId) -> Result<Option<Self>, StoreError> {
        let notes = ledger.notes(run, CUT_OVER_BOOK, None, usize::MAX).await?;
        let Some((_, text)) = notes.into_iter().find(|(key, _)| &**key == KEY) else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let problem = format!("its ledger holds a cut-over that can't be read: {error}");
            StoreError::new("read", "the target", StoreErrorKind::Unexpected(problem))
        })
    }

    /// Records it.
    pub async fn record(&self, ledger: &mut dyn CheckpointStore, run: RunId) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).map_err(|error| {
            StoreError::new("write notes in", "the target", StoreErrorKind::Unexpected(error.to_string()))
        })?;
        let note = NoteChange {
            book: ByteString::from_static(CUT_OVER_BOOK),
            key: ByteString::from_static(KEY),
            value: Some(Bytes::from(text)),
        };
        ledger.write_notes(run, &[note]).await
    }
}
