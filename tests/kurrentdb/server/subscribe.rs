//! Reads that never end: what is there first, then what comes.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use super::database::{LogPosition, Readable, Record};
use super::exceptions::{invalid_position, stream_deleted};
use super::filter::Filter;
use super::messages::{CaughtUp, Checkpoint, Position, ReadContent, ReadOptions, SubscriptionConfirmation};
use super::read::{Outlet, Over, behind, log_position, name, revision};

/// How many events that a filter allows one page holds.
const PAGE: usize = 32;

/// A subscription to `$all`, and how far it is.
struct All<'a> {
    outlet: &'a mut Outlet,
    filter: Option<Filter>,
    /// The last event or checkpoint that was sent: events behind it follow.
    reached: Option<LogPosition>,
    /// The last checkpoint that was sent: none is sent twice.
    checkpoint: Option<LogPosition>,
    /// Where the next page begins.
    from: LogPosition,
    /// Events that were looked at since the last checkpoint.
    examined: u64,
}

pub(super) async fn subscribe_to_all(
    outlet: &mut Outlet,
    options: &ReadOptions,
    filter: Option<Filter>,
) -> Result<(), Over> {
    let mut grown = outlet.node.database.grown();
    let newest = outlet.node.database.all_backwards(LogPosition::END, 1).first().map(|record| record.position);
    let reached = match log_position(options) {
        Some(LogPosition::END) => newest,
        position => position,
    };
    confirm(outlet).await?;
    if reached.is_some_and(|reached| outlet.node.database.is_within_a_record(reached)) {
        return outlet.fail(invalid_position()).await;
    }
    let from = reached.unwrap_or(LogPosition::START);
    let mut all = All { outlet, filter, reached, checkpoint: None, from, examined: 0 };
    if reached < newest {
        all.catch_up().await?;
    }
    all.caught_up().await?;
    loop {
        grown.mark_unchanged();
        all.go_on().await?;
        tokio::select! {
            changed = grown.changed() => changed.map_err(|_| Over)?,
            () = all.outlet.closed() => return Err(Over),
        }
    }
}

impl All<'_> {
    /// Page by page, with a checkpoint behind the page that completes an interval, and one at the end.
    async fn catch_up(&mut self) -> Result<(), Over> {
        let window = self.filter.as_ref().map_or(PAGE, |filter| usize::try_from(filter.window).unwrap_or(PAGE));
        let interval = self.filter.as_ref().map_or(u64::MAX, |filter| filter.interval);
        loop {
            let page_start = self.from;
            let records = self.outlet.node.database.all_forwards(page_start, window);
            let mut examined = 0;
            let mut sent = 0;
            for record in &records {
                examined += 1;
                self.from = behind(record);
                if self.allows(record) {
                    sent += 1;
                    self.event(record).await?;
                }
                if sent == PAGE {
                    break;
                }
            }
            if self.reached < Some(page_start) && page_start < self.from {
                self.reached = Some(page_start);
            }
            self.examined += examined;
            if sent < PAGE && records.len() < window {
                self.reached = self.reached.or(Some(LogPosition::START));
                self.examined = 0;
                return self.checkpoint().await;
            }
            if self.examined >= interval {
                self.examined %= interval;
                self.checkpoint().await?;
            }
        }
    }

    /// What came since: a checkpoint is at the event that completes an interval.
    async fn go_on(&mut self) -> Result<(), Over> {
        loop {
            let records = self.outlet.node.database.all_forwards(self.from, PAGE);
            if records.is_empty() {
                return Ok(());
            }
            for record in &records {
                self.from = behind(record);
                if self.reached >= Some(record.position) {
                    continue;
                }
                if self.allows(record) {
                    self.event(record).await?;
                }
                self.examined += 1;
                if self.filter.as_ref().is_some_and(|filter| self.examined >= filter.interval) {
                    self.examined = 0;
                    self.reached = Some(record.position);
                    self.checkpoint().await?;
                }
            }
        }
    }

    fn allows(&self, record: &Record) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.allows(record))
    }

    async fn event(&mut self, record: &Record) -> Result<(), Over> {
        if self.reached >= Some(record.position) {
            return Ok(());
        }
        self.reached = Some(record.position);
        self.outlet.event(record, true).await
    }

    /// Only readers with a filter get them.
    async fn checkpoint(&mut self) -> Result<(), Over> {
        let Some(position) = self.reached.filter(|_| self.filter.is_some()) else { return Ok(()) };
        if self.checkpoint >= Some(position) {
            return Ok(());
        }
        self.checkpoint = Some(position);
        let checkpoint =
            Checkpoint { commit_position: position.commit, prepare_position: position.prepare, timestamp: Some(now()) };
        self.outlet.send(ReadContent::Checkpoint(checkpoint)).await
    }

    async fn caught_up(&mut self) -> Result<(), Over> {
        let position =
            self.reached.map(|reached| Position { commit_position: reached.commit, prepare_position: reached.prepare });
        let caught_up = CaughtUp { timestamp: Some(now()), stream_revision: None, position };
        self.outlet.send(ReadContent::CaughtUp(caught_up)).await
    }
}

pub(super) async fn subscribe_to_stream(outlet: &mut Outlet, options: &ReadOptions) -> Result<(), Over> {
    let Ok(stream) = name(options) else { return Err(Over) };
    let mut grown = outlet.node.database.grown();
    let last = match outlet.node.database.readable(&stream) {
        Readable::Deleted => return outlet.fail(stream_deleted(&stream)).await,
        Readable::NoStream => -1,
        Readable::Revisions { last, .. } => last,
    };
    let mut reached = match revision(options) {
        None => -1,
        Some(i64::MAX) => last,
        Some(revision) => revision,
    };
    confirm(outlet).await?;
    let mut is_live = false;
    loop {
        grown.mark_unchanged();
        reached = events_behind(outlet, &stream, reached).await?;
        if !is_live {
            is_live = true;
            let stream_revision = (reached >= 0).then_some(reached);
            let caught_up = CaughtUp { timestamp: Some(now()), stream_revision, position: None };
            outlet.send(ReadContent::CaughtUp(caught_up)).await?;
        }
        tokio::select! {
            changed = grown.changed() => changed.map_err(|_| Over)?,
            () = outlet.closed() => return Err(Over),
        }
    }
}

/// Sends what is there behind the revision, and says how far it got. A tombstone is the last event of all.
async fn events_behind(outlet: &mut Outlet, stream: &str, mut reached: i64) -> Result<i64, Over> {
    loop {
        if let Readable::Deleted = outlet.node.database.readable(stream) {
            if let Some(tombstone) = outlet.node.database.stream(stream).pop() {
                outlet.event(&tombstone, false).await?;
            }
            outlet.fail(stream_deleted(stream)).await?;
        }
        let records = outlet.node.database.stream_forwards(stream, reached.saturating_add(1), PAGE);
        let Some(last) = records.last() else { return Ok(reached) };
        for record in &records {
            outlet.event(record, false).await?;
        }
        reached = last.revision;
    }
}

async fn confirm(outlet: &mut Outlet) -> Result<(), Over> {
    let subscription_id = uuid::Uuid::new_v4().to_string();
    outlet.send(ReadContent::Confirmation(SubscriptionConfirmation { subscription_id })).await
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: since.subsec_nanos().cast_signed() }
}
