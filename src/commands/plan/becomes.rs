//! What becomes of each type of the source.

use eventlift_transformers::{MergedInto, Outcome, Schema, Step, Uncovered};

use super::report::TypeLine;
use crate::pipeline::Covered;

pub(super) fn type_line(covered: Covered) -> TypeLine {
    let Covered { event_type, version, tally, coverage, .. } = covered;
    let merges = &coverage.merges;
    let (kind, becomes, mut chain): (_, _, Vec<String>) = match coverage.outcome {
        Outcome::Current => ("current", stays(merges), vec![]),
        Outcome::Lifted(steps) => {
            ("lifted", becomes(&steps, merges), steps.into_iter().map(|step| step.rule).collect())
        }
        Outcome::Uncovered(Uncovered::UnknownType) => ("uncovered", "named by no definition".to_owned(), vec![]),
        Outcome::Uncovered(Uncovered::UnknownVersion { current }) => {
            ("uncovered", format!("NO CHAIN to the current version {current}"), vec![])
        }
    };
    for merge in merges.iter().filter(|_| kind != "uncovered") {
        if !chain.contains(&merge.rule) {
            chain.push(merge.rule.clone());
        }
    }
    TypeLine {
        event_type: event_type.to_string(),
        version: version.number(),
        events: tally.events,
        bytes: tally.bytes,
        coverage: kind,
        becomes,
        chain,
        rules: coverage.rules,
    }
}

/// What becomes of a type that no upcaster takes.
fn stays(merges: &[MergedInto]) -> String {
    match merges.first() {
        Some(MergedInto { into, .. }) => format!("→ {} {} (merged)", into.event_type, into.version),
        None => "is current".to_owned(),
    }
}

/// Where chains end, in the order of the parts: what some step yields and no step starts from.
fn becomes(steps: &[Step], merges: &[MergedInto]) -> String {
    let mut seen = Vec::new();
    if let Some(first) = steps.first() {
        follow(steps, &first.from, &mut seen);
    }
    let is_end = |schema: &Schema| !steps.iter().any(|step| step.from == *schema);
    let ends = seen.into_iter().filter(|schema| is_end(schema));
    let ends: Vec<String> = ends
        .map(|end| match merges.iter().find(|merge| merge.from == *end) {
            Some(MergedInto { into, .. }) => format!("{} {} (merged)", into.event_type, into.version),
            None => format!("{} {}", end.event_type, end.version),
        })
        .collect();
    let drops = steps.iter().any(|step| step.to.is_empty());
    match (ends.is_empty(), drops) {
        (true, _) => "→ dropped".to_owned(),
        (false, true) => format!("→ {} (some dropped)", ends.join(" + ")),
        (false, false) => format!("→ {}", ends.join(" + ")),
    }
}

/// Everything that a schema becomes on its way, each once, a part's whole chain before the next part.
fn follow<'s>(steps: &'s [Step], schema: &'s Schema, seen: &mut Vec<&'s Schema>) {
    if seen.contains(&schema) {
        return;
    }
    seen.push(schema);
    for target in steps.iter().filter(|step| step.from == *schema).flat_map(|step| &step.to) {
        follow(steps, target, seen);
    }
}

#[cfg(test)]
mod tests {
    use eventlift_events::{EventType, SchemaVersion};
    use eventlift_transformers::{Definitions, Keys, Registry};

    use super::*;

    #[test]
    fn parts_are_listed_in_their_order_wherever_their_chains_end() {
        let definition = r#"
            type = "Contact"
            retired = true
            [[upcast]]
            from = 1
            split = [{ type = "Address", version = 1 }, { type = "Phone", version = 1 }, { type = "Note", version = 1 }]
        "#;
        let address = "type = 'Address'\ncurrent = 2\n[[upcast]]\nfrom = 1\n";
        let phone = "[current]\nPhone = 1\n";
        let note = "type = 'Note'\nretired = true\n[[upcast]]\nfrom = 1\ndrop = true\n";
        let files = [("a", definition), ("b", address), ("c", phone), ("d", note)];
        let files = files.map(|(path, text)| (path.into(), text.to_owned()));
        let definitions = Definitions::load(files, &Keys::new()).unwrap();
        let registry = definitions.register(Registry::builder()).build().unwrap();
        let coverage = registry.coverage(&EventType::new("Contact").unwrap(), SchemaVersion::FIRST);
        let Outcome::Lifted(steps) = coverage.outcome else { panic!("{coverage:?}") };
        assert_eq!(becomes(&steps, &[]), "→ Address 2 + Phone 1 (some dropped)");
    }
}
