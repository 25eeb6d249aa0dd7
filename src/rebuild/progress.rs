//! How far a rebuild is, for whoever watches it.

/// How far a rebuild is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RebuildProgress {
    /// What it is doing.
    pub phase: Phase,
    /// Events that were read.
    pub events: u64,
    /// Rows that were loaded.
    pub rows: u64,
}

/// What a rebuild is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Reading and folding events.
    #[default]
    Folding,
    /// Loading rows beside the live tables.
    Loading,
    /// Building their indexes.
    Indexing,
    /// Applying what the store has got meanwhile.
    CatchingUp,
    /// Swapping the new tables in.
    Swapping,
    /// Applying new events to the live tables.
    Updating,
}
