//! What a second handle sees between any two calls.

use eventlift_events::conformance::Verdict;

use super::observe::has;
use super::sample::{count_rows, delete, indexed, origin, put, step};
use super::subject::{ReadModelsUnderTest, equal};
use crate::row::Row;
use crate::store::{ReadModelStore, Side};
use eventlift_events::Position;

/// The reader sees this generation of the live build, with these rows, in both tables.
async fn sees(reader: &dyn ReadModelStore, generation: u64, rows: &[Row]) -> Verdict {
    let live = reader.builds("p").await?.live;
    equal("the live generation", &Some(generation), &live.map(|live| live.generation))?;
    has(reader, Side::Live, "p", 0, rows).await?;
    has(reader, Side::Live, "p", 1, rows).await
}

/// Before the swap all of the old build, behind it all of the new one.
pub async fn readers_see_whole_generations(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (store, reader) = (store.read_models().await?, store.read_models().await?);
    let tables = [indexed("t", true), indexed("u", false)];
    let mut old = (0, Vec::new());
    for round in 1..=4_i64 {
        let new = count_rows(&[("a", round), ("b", round * 10), ("c", round * 100)][..(round as usize % 3) + 1]);
        let generation = store.begin("p", &origin("f"), &tables).await?.generation;
        let calls = async || match round {
            1 => Ok(()),
            _ => sees(&*reader, old.0, &old.1).await,
        };
        calls().await?;
        for table in 0..2 {
            for row in &new {
                store.load("p", table, vec![row.clone()]).await?;
                calls().await?;
            }
        }
        store.complete("p", Some(Position::new(1)), 1, &[]).await?;
        calls().await?;
        store.step(Side::Shadow, "p", &step(1, 2, vec![put("d", round * 1_000)])).await?;
        calls().await?;
        store.step(Side::Shadow, "p", &step(2, 3, vec![delete("d")])).await?;
        calls().await?;
        store.swap(&["p"]).await?;
        sees(&*reader, generation, &new).await?;
        if round > 1 {
            store.undo(&["p"]).await?;
            calls().await?;
            store.undo(&["p"]).await?;
            sees(&*reader, generation, &new).await?;
        }
        old = (generation, new);
    }
    store.drop_previous("p").await?;
    sees(&*reader, old.0, &old.1).await
}

/// Rows and checkpoint of a step come together.
pub async fn readers_see_whole_steps(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (store, reader) = (store.read_models().await?, store.read_models().await?);
    super::observe::publish(&*store, "p", &[(indexed("t", false), vec![])]).await?;
    for number in 10..20 {
        let rows = vec![put("a", number), put("b", -number)];
        store.step(Side::Live, "p", &step(number.unsigned_abs(), number.unsigned_abs() + 1, rows)).await?;
        let live = reader.builds("p").await?.live.and_then(|live| live.checkpoint);
        equal("the checkpoint", &Some(Position::new(number.unsigned_abs() + 1)), &live)?;
        has(&*reader, Side::Live, "p", 0, &count_rows(&[("a", number), ("b", -number)])).await?;
    }
    Ok(())
}
