//! Which attribute of a file most likely holds what, from the first of its events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use eventlift_events::{StoreError, StoreErrorKind};
use serde_json::value::RawValue;

use super::chunks::Chunks;
use super::config::{Attributes, FileConfig};
use super::reader::{display, io_error, open_plain};
use crate::stores::attribute::Attribute;
use crate::stores::version_pattern::VersionPattern;
use crate::stores::written_time::read_time;

/// How many events are looked at.
const EVENTS: usize = 2_000;

/// The longest value that is looked into; nothing that says which event it is, is longer.
const LONGEST: usize = 300;

/// More texts for versions than that are no versions.
const VERSIONS: usize = 20;

/// Names of attributes for each role, the likeliest first, in small letters and without what separates words.
const IDS: &[&str] =
    &["id", "eventid", "messageid", "uuid", "eventuuid", "eventidentifier", "identifier", "guid", "eventguid"];
const TYPES: &[&str] =
    &["type", "eventtype", "messagetype", "eventname", "payloadtype", "messagename", "name", "kind", "event", "action"];
const STREAMS: &[&str] = &[
    "subject",
    "stream",
    "streamid",
    "streamname",
    "streamuuid",
    "streamkey",
    "aggregateid",
    "aggregateidentifier",
    "aggregaterootid",
    "aggregateuuid",
    "aggregate",
    "originatorid",
    "persistenceid",
    "entityid",
    "partitionkey",
    "sourceid",
    "key",
];
const TIMES: &[&str] = &[
    "time",
    "timestamp",
    "created",
    "createdat",
    "createdutc",
    "createdon",
    "recordedat",
    "recordedon",
    "occurredat",
    "occurredon",
    "happenedat",
    "raisedat",
    "timeofrecording",
    "writetimestamp",
    "commitstamp",
    "committimestamp",
    "eventtime",
    "eventtimestamp",
    "insertedat",
    "storedat",
    "date",
    "datetime",
    "at",
    "ts",
    "when",
];
const REVISIONS: &[&str] = &[
    "streamrevision",
    "revision",
    "eventnumber",
    "streamversion",
    "streamposition",
    "aggregateversion",
    "aggregaterevision",
    "aggregaterootversion",
    "aggregatesequencenumber",
    "sequencenumber",
    "sequencenr",
    "sequence",
    "originatorversion",
    "version",
    "position",
    "seqnr",
    "seq",
    "no",
    "nr",
    "number",
    "index",
];
const ORDERS: &[&str] = &[
    "sequence",
    "globalposition",
    "globalsequence",
    "globalsequencenumber",
    "globalindex",
    "globaleventnumber",
    "globalversion",
    "position",
    "seqid",
    "ordering",
    "commitposition",
    "notificationid",
    "offset",
    "sequencenumber",
    "seq",
    "no",
    "id",
];
const VERSION_NAMES: &[&str] = &[
    "dataschema",
    "schemaversion",
    "eventversion",
    "typeversion",
    "dataversion",
    "payloadversion",
    "payloadrevision",
    "eventrevision",
    "messageschemaversion",
    "version",
    "revision",
    "v",
];
const METADATAS: &[&str] =
    &["metadata", "meta", "eventmetadata", "messagemetadata", "jsonmetadata", "headers", "context"];
const DATAS: &[&str] = &[
    "data",
    "payload",
    "eventdata",
    "messagedata",
    "jsondata",
    "body",
    "eventbody",
    "eventpayload",
    "content",
    "message",
];

/// How versions are written, the likeliest first.
const PATTERNS: &[&str] = &[
    "{version}",
    "v{version}",
    "V{version}",
    "{version}.0",
    "{version}.0.0",
    "v{version}.0",
    "{type}:{version}",
    "{type}.v{version}",
    "{type}-v{version}",
    "{type}_v{version}",
    "{type}/v{version}",
    "{type}/{version}",
];

/// How versions are written in types.
const TYPE_PATTERNS: &[&str] = &[
    "{type}.v{version}",
    "{type}_v{version}",
    "{type}-v{version}",
    "{type}:v{version}",
    "{type}#{version}",
    "{type}V{version}",
];

/// What a file seems to hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proposal {
    /// Which attribute holds what.
    pub attributes: Attributes,
    /// Whether the revisions of a stream have gaps.
    pub has_gaps: bool,
    /// Whether events of several streams have the same id.
    pub has_copies: bool,
    /// Roles that no attribute plays which every event has to have, in words; all of them.
    pub missing: Vec<&'static str>,
    /// The names of all attributes that were seen, in the order in which they came.
    pub names: Vec<String>,
}

/// Looks at the first events of a file. A file without any gets the usual names. Fails where it can't be read.
pub fn propose(config: &FileConfig) -> Result<Proposal, StoreError> {
    let sample = Sample::read(config)?;
    Ok(if sample.events.is_empty() { Proposal::default() } else { sample.proposal() })
}

/// A value, as far as it is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    /// A string, or a number as it is written.
    Said { text: String, is_number: bool },
    /// Something else, or too long.
    Other,
}

/// Some events: their attributes by name.
struct Sample {
    names: Vec<String>,
    events: Vec<HashMap<String, Seen>>,
}

impl Sample {
    fn read(config: &FileConfig) -> Result<Self, StoreError> {
        let mut sample = Self { names: Vec::new(), events: Vec::new() };
        let file = open_plain(config).map_err(|error| io_error("read", &display(&config.path), error))?;
        let mut chunks = Chunks::new(file, config.max_line_bytes);
        let mut number = 0;
        // What is broken further on is said by whoever reads the file whole.
        while let Ok(Some(chunk)) = chunks.next() {
            let lines: Vec<&str> = match &chunk.elements {
                Some(places) => places.iter().map(|place| &chunk.text[place.clone()]).collect(),
                None => chunk.text.split('\n').collect(),
            };
            for line in lines {
                number += 1;
                if line.trim().is_empty() {
                    continue;
                }
                if sample.events.len() >= EVENTS {
                    return Ok(sample);
                }
                sample.take(line).map_err(|error| {
                    let problem = format!("it is no JSON object with an event's attributes: {error}");
                    StoreError::new("read", display(&config.path), StoreErrorKind::BadInput(problem))
                        .at(format_args!("line {number}"))
                        .hint("a file to start from holds one JSON object a line, or a JSON array of them")
                })?;
            }
        }
        Ok(sample)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        // The place is relative to the line, and repeated in the message.
        let plain = |error: serde_json::Error| error.to_string().split(" at line ").next().unwrap_or("").to_owned();
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(line).map_err(plain)?;
        let mut event = HashMap::new();
        for (name, value) in members {
            if value.get() == "null" {
                continue;
            }
            if !self.names.contains(&name) {
                self.names.push(name.clone());
            }
            event.insert(name, seen(value));
        }
        self.events.push(event);
        Ok(())
    }

    fn proposal(&self) -> Proposal {
        let usual = Attributes::default();
        let mut missing = Vec::new();
        let mut required = |found: Option<String>, usual: &str, what| {
            found.unwrap_or_else(|| {
                missing.push(what);
                usual.to_owned()
            })
        };
        let said = |name: &str| self.values(name).is_some();
        let stream = required(self.first(STREAMS, &said), &usual.stream, "the stream (a text)");
        let event_type = required(
            self.first(TYPES, &|name| name != stream && self.are_texts(name)),
            &usual.event_type,
            "the type (a text)",
        );
        let is_free = |name: &str| name != stream && name != event_type;
        let unique = self.first(IDS, &|name| is_free(name) && self.is_unique(name, None));
        let has_copies = unique.is_none();
        let id = unique.or_else(|| self.first(IDS, &|name| is_free(name) && self.is_unique(name, Some(&stream))));
        let id = required(id, &usual.id, "the id (a text or whole number that no other event of its stream has)");
        let time = self.first(TIMES, &|name| is_free(name) && self.are_times(name));
        let time = required(time, &usual.time, "the time (RFC 3339, or a number since 1970)");
        let is_free = |name: &str| is_free(name) && name != id && name != time;
        let counted = self.revision(&stream, &is_free);
        let revision = counted.as_ref().map(|(name, _)| name.clone());
        let counting = counted.as_ref().map(|(_, counting)| *counting);
        let order = self.first(ORDERS, &|name| {
            (is_free(name) || name == id) && revision.as_deref() != Some(name) && self.ascends(name)
        });
        // An attribute plays one part: an id that ascends is the id, and the lines are in order anyway.
        let order = order.filter(|name| *name != id);
        let known = [Some(&stream), Some(&event_type), Some(&id), Some(&time), revision.as_ref(), order.as_ref()];
        let taken: Vec<String> = known.into_iter().flatten().cloned().collect();
        let is_free = |name: &str| taken.iter().all(|other| other != name);
        let data = self.first(DATAS, &is_free).unwrap_or(usual.data.clone());
        let metadata = self.first(METADATAS, &|name| is_free(name) && name != data);
        let mut attributes = Attributes {
            id,
            time,
            stream,
            revision: revision.map_or(Attribute::NONE, Attribute::named),
            revision_base: counting.map_or(0, |counting| counting.base),
            order: order.map_or(Attribute::NONE, Attribute::named),
            metadata: metadata.map_or(usual.metadata, Attribute::named),
            data,
            event_type,
            ..usual
        };
        self.versions(&mut attributes, &is_free);
        let has_gaps = counting.is_some_and(|counting| counting.has_gaps);
        let has_copies = has_copies && missing.is_empty();
        Proposal { attributes, has_gaps, has_copies, missing, names: self.names.clone() }
    }

    /// The first of these names that an attribute has and that passes.
    fn first(&self, likely: &[&str], passes: &dyn Fn(&str) -> bool) -> Option<String> {
        likely.iter().find_map(|wanted| self.names.iter().find(|name| plain(name) == *wanted && passes(name)).cloned())
    }

    /// What every event says in an attribute; none where one says nothing.
    fn values(&self, name: &str) -> Option<Vec<(&str, bool)>> {
        let said = self.events.iter().map(|event| match event.get(name) {
            Some(Seen::Said { text, is_number }) if !text.is_empty() => Some((&**text, *is_number)),
            _ => None,
        });
        said.collect()
    }

    fn are_texts(&self, name: &str) -> bool {
        self.values(name).is_some_and(|values| values.iter().all(|(_, is_number)| !is_number))
    }

    /// Whether each event has a value that no other has, of its stream where one is named.
    fn is_unique(&self, name: &str, stream: Option<&str>) -> bool {
        let Some(values) = self.values(name) else { return false };
        let streams = stream.and_then(|stream| self.values(stream));
        let is_id = |(text, is_number): &(&str, bool)| !is_number || is_whole(text);
        let mut seen = HashSet::new();
        let places = (0..).map(|index: usize| streams.as_ref().and_then(|streams| streams.get(index)));
        values.iter().all(is_id) && values.iter().zip(places).all(|value| seen.insert(value))
    }

    fn are_times(&self, name: &str) -> bool {
        let Some(values) = self.values(name) else { return false };
        let mut units = HashSet::new();
        values.iter().all(|(text, _)| {
            read_time(text, None).is_ok_and(|read| {
                units.insert(read.unit.map(|unit| unit.name()));
                units.len() == 1
            })
        })
    }

    fn numbers(&self, name: &str) -> Option<Vec<u64>> {
        self.values(name)?.into_iter().map(|(text, _)| if is_whole(text) { text.parse().ok() } else { None }).collect()
    }

    fn ascends(&self, name: &str) -> bool {
        self.numbers(name).is_some_and(|numbers| numbers.windows(2).all(|pair| pair[0] < pair[1]))
    }

    /// The attribute that counts the events of each stream: one without gaps if there is one.
    fn revision(&self, stream: &str, is_free: &dyn Fn(&str) -> bool) -> Option<(String, Counting)> {
        let streams = self.values(stream)?;
        let counts = |name: &str| is_free(name).then(|| Counting::of(&streams, &self.numbers(name)?)).flatten();
        let without_gaps = |name: &str| counts(name).is_some_and(|counting| !counting.has_gaps);
        // A number that each event has anew says nothing about streams where each has one event only.
        let ascends_anyway = |name: &str| self.ascends(name) && ORDERS.contains(&&*plain(name));
        let found = self.first(REVISIONS, &without_gaps);
        let found = found.or_else(|| self.first(REVISIONS, &|name| counts(name).is_some() && !ascends_anyway(name)));
        found.and_then(|name| counts(&name).map(|counting| (name, counting)))
    }

    /// Finds where the version is, and how it is written.
    fn versions(&self, attributes: &mut Attributes, is_free: &dyn Fn(&str) -> bool) {
        let is_taken = |name: &str| attributes.data == name || attributes.metadata.name() == Some(name);
        let said = |name: &str| is_free(name) && !is_taken(name);
        if let Some(name) = self.first(VERSION_NAMES, &said)
            && self.version_attribute(attributes, &name)
        {
            return;
        }
        let types = self.values(&attributes.event_type).unwrap_or_default();
        let splits = |pattern: &&&str| {
            VersionPattern::parse(pattern)
                .is_ok_and(|pattern| types.iter().any(|(text, _)| matches!(pattern.split(text), Ok(Some(_)))))
        };
        if let Some(pattern) = TYPE_PATTERNS.iter().find(splits) {
            attributes.version = Attribute::named(attributes.event_type.clone());
            attributes.version_pattern = Some((*pattern).to_owned());
            return;
        }
        // An attribute of the usual name that is no version is carried as it is.
        if self.names.iter().any(|name| name == "dataschema") {
            attributes.version = Attribute::NONE;
        }
    }

    /// Whether an attribute can be read as the version; then it is.
    fn version_attribute(&self, attributes: &mut Attributes, name: &str) -> bool {
        let types = self.values(&attributes.event_type).unwrap_or_default();
        let mut pairs: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut silent: BTreeSet<&str> = BTreeSet::new();
        for (event, (event_type, _)) in self.events.iter().zip(&types) {
            match event.get(name) {
                Some(Seen::Other) => return false,
                Some(Seen::Said { text, .. }) if !text.is_empty() => drop(pairs.insert((event_type, text))),
                _ => drop(silent.insert(event_type)),
            }
        }
        let usual = (name == "dataschema").then_some("urn:schema:{type}:{version}");
        let fits = |pattern: &&str| {
            VersionPattern::parse(pattern)
                .is_ok_and(|pattern| pairs.iter().all(|(event_type, text)| pattern.version(text, event_type).is_ok()))
        };
        let pattern = usual.into_iter().chain(PATTERNS.iter().copied()).find(|pattern| fits(pattern));
        let mut says_first: BTreeSet<&str> = BTreeSet::new();
        match pattern {
            Some(pattern) => {
                let is_default = if usual.is_some() { Some(pattern) == usual } else { pattern == "{version}" };
                attributes.version_pattern = (!is_default).then(|| pattern.to_owned());
                if let Ok(pattern) = VersionPattern::parse(pattern) {
                    let firsts = pairs.iter().filter(|(event_type, text)| pattern.version(text, event_type) == Ok(1));
                    says_first.extend(firsts.map(|(event_type, _)| *event_type));
                }
            }
            None => {
                let mut texts: Vec<&str> =
                    pairs.iter().map(|(_, text)| *text).collect::<BTreeSet<_>>().into_iter().collect();
                if texts.len() > VERSIONS {
                    return false;
                }
                texts.sort_by_key(|text| natural(text));
                attributes.versions = texts.iter().map(|text| (*text).to_owned()).zip(1..).collect();
                attributes.version_pattern = (name == "dataschema").then(|| "{version}".to_owned());
                let first = texts.first().copied();
                says_first
                    .extend(pairs.iter().filter(|(_, text)| Some(*text) == first).map(|(event_type, _)| *event_type));
            }
        }
        attributes.version = Attribute::named(name);
        if says_first.intersection(&silent).next().is_some() {
            attributes.absent_version = Some(1);
        }
        true
    }
}

/// How streams count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counting {
    base: u64,
    has_gaps: bool,
}

impl Counting {
    /// None where the revisions of a stream don't ascend.
    fn of(streams: &[(&str, bool)], revisions: &[u64]) -> Option<Self> {
        let mut last: HashMap<&str, u64> = HashMap::new();
        let (mut firsts, mut has_gaps) = (BTreeSet::new(), false);
        for ((stream, _), revision) in streams.iter().zip(revisions) {
            match last.insert(stream, *revision) {
                Some(before) if before >= *revision => return None,
                Some(before) => has_gaps |= before + 1 != *revision,
                None => drop(firsts.insert(*revision)),
            }
        }
        let base = u64::from(firsts.first() == Some(&1) && firsts.len() == 1);
        has_gaps |= firsts.iter().any(|first| *first != base);
        Some(Self { base, has_gaps })
    }
}

fn seen(value: &RawValue) -> Seen {
    let raw = value.get();
    match raw.as_bytes().first() {
        _ if raw.len() > LONGEST => Seen::Other,
        Some(b'"') => serde_json::from_str(raw).map_or(Seen::Other, |text| Seen::Said { text, is_number: false }),
        Some(b'0'..=b'9' | b'-') => Seen::Said { text: raw.to_owned(), is_number: true },
        _ => Seen::Other,
    }
}

/// A name in small letters, without what separates words.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A key by which `2.0` comes before `10.0`.
fn natural(text: &str) -> Vec<(u128, String)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let words = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[words..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| words + length);
        parts.push((rest[words..digits].parse().unwrap_or(0), rest[..words].to_owned()));
        rest = &rest[digits..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(text: &str) -> Proposal {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        std::fs::write(&path, text).unwrap();
        propose(&FileConfig::new(path)).unwrap()
    }

    #[test]
    fn the_usual_names_are_proposed_as_they_are() {
        let line = r#"{"specversion":"1.0","id":"e1","type":"A","subject":"a-1","time":"2024-01-01T00:00:00Z","dataschema":"urn:schema:A:1","streamrevision":0,"sequence":"1","data":{},"metadata":{}}"#;
        assert_eq!(proposal(line).attributes, Attributes::default());
        assert_eq!(proposal(""), Proposal::default());
    }

    #[test]
    fn other_names_are_found_by_what_they_hold() {
        let found = proposal(
            r#"[{"event_id":7,"eventType":"OrderPlaced_v2","aggregate_id":42,"version":1,"created_at":1714564800123,"payload":{},"headers":{}},
                {"event_id":8,"eventType":"OrderPlaced","aggregate_id":42,"version":2,"created_at":1714564800124,"payload":{}},
                {"event_id":9,"eventType":"OrderPlaced","aggregate_id":43,"version":1,"created_at":1714564800124,"payload":{}}]"#,
        );
        let expected = Attributes {
            id: "event_id".to_owned(),
            event_type: "eventType".to_owned(),
            stream: "aggregate_id".to_owned(),
            revision: Attribute::named("version"),
            revision_base: 1,
            time: "created_at".to_owned(),
            version: Attribute::named("eventType"),
            version_pattern: Some("{type}_v{version}".to_owned()),
            order: Attribute::NONE,
            metadata: Attribute::named("headers"),
            data: "payload".to_owned(),
            ..Attributes::default()
        };
        assert_eq!((found.attributes, found.has_gaps, found.missing.len()), (expected, false, 0));
    }

    #[test]
    fn versions_are_found_however_they_are_written() {
        let version = |versions: &[&str]| {
            let lines: Vec<String> = (0..)
                .zip(versions)
                .map(|(n, version)| {
                    format!(r#"{{"id":"{n}","type":"A","stream":"s","revision":{n},"time":"2024-01-01T00:00:00Z","payloadRevision":{version}}}"#)
                })
                .collect();
            let Attributes { version, version_pattern, versions, absent_version, .. } =
                proposal(&lines.join("\n")).attributes;
            assert_eq!(version.name(), Some("payloadRevision"));
            (version_pattern, versions.into_iter().collect::<Vec<_>>(), absent_version)
        };
        assert_eq!(version(&["1", "2"]), (None, vec![], None));
        assert_eq!(version(&["\"1.0\"", "\"2.0\""]), (Some("{version}.0".to_owned()), vec![], None));
        assert_eq!(version(&["null", "\"1\"", "\"\""]), (None, vec![], Some(1)));
        let texts = vec![("10.0.1".to_owned(), 2), ("2.0.1".to_owned(), 1)];
        assert_eq!(version(&["\"10.0.1\"", "\"2.0.1\""]), (None, texts, None));
        assert_eq!(version(&["0", "1"]).1, vec![("0".to_owned(), 1), ("1".to_owned(), 2)]);
    }

    #[test]
    fn gaps_and_copies_are_seen_and_what_is_missing_is_named_at_once() {
        let line = |id: &str, stream: &str, number: u64| {
            format!(
                r#"{{"eventId":"{id}","eventType":"A","streamId":"{stream}","eventNumber":{number},"created":"2024-01-01T00:00:00Z"}}"#
            )
        };
        let found = proposal(&[line("a", "s-1", 80), line("b", "s-1", 82), line("a", "s-2", 0)].join("\n"));
        assert!(found.has_gaps && found.has_copies && found.missing.is_empty(), "{found:?}");
        let found = proposal(r#"{"foo":1,"bar":"x"}"#);
        assert_eq!((found.missing.len(), found.names.len()), (4, 2));
    }
}
