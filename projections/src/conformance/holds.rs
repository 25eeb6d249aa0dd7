//! One builder at a time.

use eventlift_events::StoreErrorKind;
use eventlift_events::conformance::Verdict;

use super::subject::{ReadModelsUnderTest, equal, holds, refused};

/// A second hold is refused, from the same handle and from another, until the first is dropped.
pub async fn a_hold_keeps_others_out(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (one, other) = (store.read_models().await?, store.read_models().await?);
    for _ in 0..2 {
        let held = one.hold("p").await?;
        for handle in [&one, &other] {
            equal("whether it is held", &true, &handle.is_held("p").await?)?;
            let error = refused("a second hold", handle.hold("p").await)?;
            holds(matches!(error.kind, StoreErrorKind::Locked(_)), format_args!("it is locked: {error}"))?;
        }
        drop(held);
        equal("whether it is held", &false, &other.is_held("p").await?)?;
    }
    other.hold("p").await?;
    Ok(())
}

/// Every projection is held by itself, however it is called.
pub async fn holds_are_independent(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let long = "long".repeat(100);
    let longer = format!("{long}er");
    let names = ["p", "p2", "p/2", "p 2", "../p", "ü", "", "%", &long, &longer];
    let mut held = Vec::new();
    for name in names {
        equal(format!("whether {name:?} is held"), &false, &store.is_held(name).await?)?;
        held.push(store.hold(name).await?);
        refused("a second hold", store.hold(name).await)?;
    }
    drop(held);
    for name in names {
        store.hold(name).await?;
    }
    Ok(())
}
