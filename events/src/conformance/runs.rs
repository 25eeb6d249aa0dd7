//! The ledger of runs.

use super::sample::{run, time};
use super::subject::{StoreUnderTest, Verdict, equal};
use crate::checkpoint::{RunRecord, RunState};

/// Runs come in the order they were recorded in first; recording one again replaces it in its place.
pub async fn the_ledger_keeps_runs_in_order(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = store.writer().await?;
    equal("the ledger of an empty store", &Vec::new(), &writer.runs().await?)?;
    let mut runs = vec![run(1), run(2), run(3)];
    for run in &runs {
        writer.record_run(run).await?;
    }
    equal("the ledger", &runs, &writer.runs().await?)?;
    let replaced = [(0, RunState::Done, 500), (1, RunState::Sealing, 400), (1, RunState::Loading, 300)];
    for (index, state, minutes) in replaced {
        let updated_at = time(runs[index].started_at.micros() + minutes * 60_000_000);
        runs[index] = RunRecord { state, updated_at, fingerprint: format!("{state} again"), ..runs[index].clone() };
        writer.record_run(&runs[index]).await?;
        equal("the ledger with a run replaced", &runs, &writer.runs().await?)?;
    }
    drop(writer);
    equal("the ledger, reopened", &runs, &store.writer().await?.runs().await?)
}

/// Every field of a run is kept: text of any script, many parts in their order, no parts, and all states.
pub async fn the_ledger_keeps_every_field(store: &dyn StoreUnderTest) -> Verdict {
    let parts = (0..100).rev().map(|number| (format!("transformers/ü {number}.toml:{number}"), format!("{number:x}")));
    let runs = vec![
        RunRecord {
            state: RunState::Sealing,
            source: "postgres://shop@db/ev'ents?a=\"b\" 👍".to_owned(),
            fingerprint: "é\u{301}\n\t".to_owned(),
            parts: parts.collect(),
            updated_at: time(i64::from(i32::MAX) * 1_000_000 + 1),
            tool: "1.0.0-β".to_owned(),
            ..run(1)
        },
        RunRecord { state: RunState::Done, parts: Vec::new(), source: String::new(), tool: String::new(), ..run(2) },
        RunRecord { parts: vec![("same".to_owned(), "a".to_owned()), ("same".to_owned(), "b".to_owned())], ..run(3) },
    ];
    let mut writer = store.writer().await?;
    for run in &runs {
        writer.record_run(run).await?;
    }
    equal("the ledger", &runs, &writer.runs().await?)?;
    drop(writer);
    equal("the ledger, reopened", &runs, &store.writer().await?.runs().await?)
}
