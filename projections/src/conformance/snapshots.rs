//! Snapshots that services read and save.

use eventlift_events::conformance::{Failure, Verdict};
use eventlift_events::{Position, Revision};

use super::observe::{all, publish};
use super::sample::{count_rows, counts, stream};
use super::subject::{ReadModelsUnderTest, equal, refused};
use crate::aggregate::Snapshot;
use crate::row::Row;
use crate::store::Side;
use crate::table::Table;

/// The fingerprint that builds are made with here.
const FINGERPRINT: &str = "f";

fn snapshot(name: &str, revision: u64) -> Snapshot {
    Snapshot {
        stream: stream(name),
        revision: Revision(revision),
        position: Position::pair(revision * 2, 1),
        fingerprint: FINGERPRINT.to_owned(),
        state: format!(r#"{{"revision":{revision},  "name":"ü"}}"#),
    }
}

fn rows(snapshots: &[Snapshot]) -> Result<Vec<Row>, Failure> {
    snapshots.iter().map(|snapshot| snapshot.to_row().map_err(Failure::new)).collect()
}

/// A later one takes the place of an earlier one; one of the same or an earlier revision changes nothing. One that
/// other rules made gives way to any.
pub async fn a_snapshot_is_kept_and_replaced_by_later_ones(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (models, snapshots) = (store.read_models().await?, store.snapshots().await?);
    let other = Snapshot { fingerprint: "other".to_owned(), ..snapshot("user-2", 100) };
    let loaded = rows(&[snapshot("user-1", 5), other.clone()])?;
    let tables = [(counts("beside"), count_rows(&[])), (Table::of_snapshots("user_snapshots"), loaded)];
    publish(&*models, "user", &tables).await?;
    equal("a loaded snapshot", &Some(snapshot("user-1", 5)), &snapshots.snapshot("user", &stream("user-1")).await?)?;
    equal("one of other rules", &Some(other), &snapshots.snapshot("user", &stream("user-2")).await?)?;
    equal("none", &None, &snapshots.snapshot("user", &stream("user-3")).await?)?;
    for (saved, state, kept) in [(7, "[7]", 7), (6, "[6]", 7), (7, "[77]", 7), (8, "[8]", 8), (8, "[88]", 8)] {
        let state = state.to_owned();
        snapshots.save("user", &Snapshot { state, ..snapshot("user-1", saved) }).await?;
        let found = snapshots.snapshot("user", &stream("user-1")).await?.map(|found| (found.revision, found.state));
        equal("revision and state", &Some((Revision(kept), format!("[{kept}]"))), &found)?;
    }
    for (name, revision) in [("user-2", 3), ("user-3", 0)] {
        snapshots.save("user", &snapshot(name, revision)).await?;
        equal("what was saved", &Some(snapshot(name, revision)), &snapshots.snapshot("user", &stream(name)).await?)?;
    }
    equal("the rows", &3, &all(&*models, Side::Live, "user", 1).await?.len())
}

/// A service with other rules than the live build's would mix states.
pub async fn a_snapshot_of_another_fingerprint_is_refused(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (models, snapshots) = (store.read_models().await?, store.snapshots().await?);
    publish(&*models, "user", &[(Table::of_snapshots("user_snapshots"), rows(&[snapshot("user-1", 5)])?)]).await?;
    let newer = Snapshot { fingerprint: "g".to_owned(), ..snapshot("user-1", 9) };
    refused("a snapshot of another fingerprint", snapshots.save("user", &newer).await)?;
    equal("the snapshot", &Some(snapshot("user-1", 5)), &snapshots.snapshot("user", &stream("user-1")).await?)
}

/// There is nothing to read, and nowhere to save.
pub async fn snapshots_need_a_live_table(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (models, snapshots) = (store.read_models().await?, store.snapshots().await?);
    equal("none", &None, &snapshots.snapshot("user", &stream("user-1")).await?)?;
    refused("a snapshot of no aggregate", snapshots.save("user", &snapshot("user-1", 1)).await)?;
    super::observe::build(&*models, "user", &[(Table::of_snapshots("user_snapshots"), vec![])]).await?;
    refused("a snapshot into a shadow", snapshots.save("user", &snapshot("user-1", 1)).await)?;
    publish(&*models, "other", &[(counts("t"), vec![])]).await?;
    refused("a snapshot into a read model", snapshots.save("other", &snapshot("user-1", 1)).await)?;
    models.swap(&["user"]).await?;
    snapshots.save("user", &snapshot("user-1", 1)).await?;
    equal("the snapshot", &Some(snapshot("user-1", 1)), &snapshots.snapshot("user", &stream("user-1")).await?)
}
