//! Law: lifting by a chain is lifting by its steps, one registry each, one after the other.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_transformers::{Reason, Registry, RegistryBuilder, Upcaster};
use proptest::prelude::*;

/// What a step does from its version to the next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Append,
    DropEven,
    Double,
    /// A part of type B beside the event.
    Fork,
    /// Two guarded upcasters and a fallback.
    Choose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![Just(Step::Append), Just(Step::DropEven), Just(Step::Double), Just(Step::Fork), Just(Step::Choose)]
}

fn append(text: &'static str) -> impl Fn(Event) -> Result<Event, Reason> + Send + Sync + 'static {
    move |mut event| {
        event.data = Payload::json([event.data.bytes(), text.as_bytes()].concat());
        Ok(event)
    }
}

fn add(builder: RegistryBuilder, step: Step, from: u32) -> RegistryBuilder {
    let to = from + 1;
    match step {
        Step::Append => builder.upcaster(Upcaster::new("A", from, to, "", append("a"))),
        Step::DropEven => builder.upcaster(Upcaster::new("A", from, to, "", |event: Event| {
            Ok((event.data.len() % 2 == 1).then_some(event))
        })),
        Step::Double => builder
            .upcaster(Upcaster::new("A", from, to, "", |event: Event| Ok(vec![event.clone(), append("d")(event)?]))),
        Step::Fork => builder.upcaster(
            Upcaster::new("A", from, to, "", |event: Event| {
                let mut other = append("f")(event.clone())?;
                other.event_type = EventType::new("B").map_err(Reason::new)?;
                other.version = SchemaVersion::FIRST;
                Ok(vec![other, event])
            })
            .into_schemas([("B", 1), ("A", to)]),
        ),
        Step::Choose => builder
            .upcaster(Upcaster::new("A", from, to, "", append("c")).when(|event| Ok(event.data.len() % 3 == 0)))
            .upcaster(Upcaster::new("A", from, to, "", append("cc")).when(|event| Ok(event.data.len() % 3 == 1)))
            .upcaster(Upcaster::new("A", from, to, "", append("ccc"))),
    }
}

fn event(version: u32, data: String) -> Event {
    Event {
        id: EventId::text("e-1").unwrap(),
        stream: StreamName::new("a-1").unwrap(),
        revision: Revision(1),
        position: Position::new(2),
        event_type: EventType::new("A").unwrap(),
        version: SchemaVersion::new(version).unwrap(),
        data: Payload::json(data),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

proptest! {
    #[test]
    fn a_chain_is_the_composition_of_its_steps(
        steps in prop::collection::vec(step(), 1..7),
        data in "x{0,5}",
        start in 0_usize..7,
    ) {
        let current = steps.len() as u32 + 1;
        let first = (start % steps.len()) as u32 + 1;
        let base = |current| Registry::builder().current("A", current).current("B", 1);
        let numbered = || (1..current).zip(steps.iter().copied());
        let chain = numbered().fold(base(current), |builder, (from, step)| add(builder, step, from)).build().unwrap();
        let original = event(first, data);
        let mut out = Vec::new();
        chain.lift(original.clone(), &mut out).unwrap();

        let mut expected = vec![original.clone()];
        for (from, step) in numbered().skip(first as usize - 1) {
            let registry = add(base(from + 1), step, from).build().unwrap();
            let mut next = Vec::new();
            for event in expected {
                registry.lift(event, &mut next).unwrap();
            }
            expected = next;
        }
        for (index, event) in expected.iter_mut().enumerate() {
            // Ids count over the whole result, so that nested splits can't clash.
            event.id = original.id.of_part(index, &format!("{} {}", original.event_type, original.version));
        }
        prop_assert_eq!(&out, &expected);
        let ids: HashSet<&EventId> = out.iter().map(|event| &event.id).collect();
        prop_assert_eq!(ids.len(), out.len());
        prop_assert!(out.iter().all(|event| event.version.number() == current || event.event_type.as_str() == "B"));
    }
}
