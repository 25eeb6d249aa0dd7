//! Whether changed rules leave what is in the target as it is: what has to be proved before they take over a run.

use std::sync::Arc;

use eventlift_events::{CheckpointStore, Event, EventReader, RunRecord};
use eventlift_transformers::Registry;

use super::error::{PipelineError, Refusal};
use super::fingerprint::Fingerprint;
use super::migration::MigrationOptions;
use super::quarantine::Apart;
use super::stop::Stop;
use super::verify::{Difference, VerifyProgress, verify_apart};

/// Fails with the first event that these rules would make something else of than what the run has written: the source
/// is lifted again up to the run's checkpoint and compared with all of the target, as [`verify`](super::verify()) does.
/// What is in quarantine is left out, since that is what rules are changed for. False if it was asked to stop before all
/// was compared; nothing is proved then.
///
/// Fails as well where the rules number events in another way than the run, where the scope is another one, and where
/// either side can't be read again. Nothing is written: recording the new fingerprint is the caller's.
#[expect(clippy::too_many_arguments, reason = "both sides, the rules, the run, and how it is read")]
pub async fn still_agrees(
    source: Arc<dyn EventReader>,
    target: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    run: &RunRecord,
    ledger: &dyn CheckpointStore,
    stop: Stop,
    seen: impl FnMut(VerifyProgress),
) -> Result<bool, PipelineError> {
    let name = run.id.to_string();
    let fingerprint =
        Fingerprint::of(&registry, &options.scope, &options.policies).of_stores(source.reading(), target.reading());
    if let Some((recorded, given)) = fingerprint.scope_change(run) {
        return Err(Refusal::OtherScope { run: name, recorded, given }.into());
    }
    if !fingerprint.goes_on_numbering(run) {
        return Err(Refusal::Renumbering { target: target.identity().to_string(), run: name }.into());
    }
    let Some(checkpoint) = ledger.checkpoint(run.id).await.map_err(PipelineError::Target)? else { return Ok(true) };
    let apart = Arc::new(Apart::of(ledger, run.id).await.map_err(PipelineError::Target)?);
    let until = Some(checkpoint.source);
    let found = match verify_apart(source, target, registry, options, until, apart, stop, seen).await {
        // A rule that fails now on an event that was lifted before.
        Err(error @ (PipelineError::Transform(_) | PipelineError::Uncovered { .. })) => {
            return Err(Refusal::BreaksLifted { run: name, problem: error.to_string() }.into());
        }
        found => found?,
    };
    match found.first {
        Some(difference) => Err(Refusal::BreaksLifted { run: name, problem: described(&difference) }.into()),
        None => Ok(found.agrees()),
    }
}

fn described(difference: &Difference) -> String {
    match (&difference.expected, &difference.found) {
        (Some(expected), Some(found)) if place(expected) == place(found) => {
            format!("{} would have other contents", place(found))
        }
        (Some(expected), Some(found)) => format!("{} would be {}", place(found), place(expected)),
        (None, Some(found)) => format!("{} would not be there", place(found)),
        (Some(expected), None) => format!("{} would be there as well", place(expected)),
        (None, None) => "some event would differ".to_owned(),
    }
}

fn place(event: &Event) -> String {
    let Event { id, stream, revision, event_type, version, .. } = event;
    format!("event {id} of stream {stream}, revision {revision} ({event_type} version {version})")
}
