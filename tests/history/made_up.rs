//! The made-up log is worth its comparison: what can go wrong is in it.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::log::log;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    dataschema: String,
    streamrevision: u64,
    data: Data,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Data {
    sha: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    correlation_id: String,
}

#[test]
fn the_same_number_and_seed_are_the_same_log() {
    assert_eq!(log(500, 1), log(500, 1));
    assert_ne!(log(500, 1), log(500, 2));
}

#[test]
fn it_has_what_real_ones_have() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut commits, mut changed, mut deleted) = (HashSet::new(), HashSet::new(), HashSet::new());
    for text in log(5_000, 1) {
        let line: Line = serde_json::from_str(&text).unwrap();
        let Line { event_type, subject, data, metadata: Metadata { correlation_id: sha }, .. } = &line;
        if event_type == "CommitRecorded" {
            assert_eq!((data.sha.as_ref(), sha.len()), (Some(sha), 40));
            assert!(commits.insert(sha.clone()));
        } else {
            // One commit changes a file once, and is known by then.
            assert!(commits.contains(sha) && changed.insert((subject.clone(), sha.clone())), "{text}");
        }
        let path = data.path.clone().unwrap_or_default();
        let first = line.streamrevision == 0;
        let marks = [
            ("escaped", text.contains("\\u")),
            ("not escaped", !text.is_ascii()),
            ("added over itself", !first && event_type == "FileAdded"),
            ("renamed from nowhere", first && event_type == "FileRenamed"),
            ("back after its deletion", first && deleted.contains(&path)),
        ];
        if event_type == "FileDeleted" {
            deleted.insert(path);
        }
        let marks = marks.into_iter().filter(|(_, has)| *has).map(|(mark, _)| mark);
        for kind in marks.chain([line.dataschema.trim_start_matches("urn:schema:")]) {
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    let rare: Vec<_> = kinds.iter().filter(|(_, count)| **count < 30).collect();
    assert!(rare.is_empty() && kinds.len() == 12, "{kinds:?}");
}
