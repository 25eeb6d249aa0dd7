//! About what a migration takes: a trial with the first events.

use std::time::Instant;

use eventlift_events::{Event, Position, Revision};

use super::report::Estimate;
use crate::config::Project;
use crate::pipeline::Rehearsal;

/// Events that are written for a trial, to estimate time and size.
pub(super) const TRIAL: usize = 20_000;

/// Writes the first events to a store of the target's kind in a temporary folder, and reckons from there. No estimate
/// where that fails: it is only an estimate.
pub(super) async fn estimate(project: &Project, rehearsal: &Rehearsal, read_seconds: f64) -> Option<Estimate> {
    if rehearsal.first.is_empty() {
        return None;
    }
    let folder = tempfile::tempdir().ok()?;
    let trial = project.target.as_ref()?.trial_in(folder.path())?;
    let begun = Instant::now();
    let mut writer = trial.writer().await.ok()?;
    let events: Vec<Event> = (0..).zip(&rehearsal.first).map(|(number, event)| numbered(event, number)).collect();
    writer.append(&events, None).await.ok()?;
    writer.seal(false).await.ok()?;
    drop(writer);
    let written = rehearsal.now().written as f64 / events.len() as f64;
    let bytes = std::fs::metadata(trial.local_file()?).ok()?.len();
    Some(Estimate {
        seconds: read_seconds.max(begun.elapsed().as_secs_f64() * written),
        bytes: (bytes as f64 * written) as u64,
    })
}

/// The event at a place of its own, whatever it was split from.
fn numbered(event: &Event, number: u64) -> Event {
    Event { position: Position::new(number), revision: Revision(number), ..event.clone() }
}
