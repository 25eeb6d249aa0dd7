//! Which attribute plays which role, worked out of the configuration.

use eventlift_events::SchemaVersion;

use super::config::{Attributes, FileConfig};
use crate::stores::version_pattern::VersionPattern;
use crate::stores::written_time::{FinerTimes, TimeUnit};

/// What an attribute of a line is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    SpecVersion,
    Id,
    Type,
    Stream,
    Time,
    Version,
    Order,
    Revision,
    ContentType,
    Data,
    DataBase64,
    Metadata,
    MetadataBase64,
    MetadataContentType,
    Carried,
}

/// The number of roles.
pub(super) const ROLES: usize = 15;

/// Holds [`Event::attributes`](eventlift_events::Event::attributes) as a text, where they can't be attributes of the
/// line: they are spelt unusually, or clash with a mapped name.
const CARRIED: &str = "eventliftattributes";

/// The source of events that came without one; CloudEvents needs one. Never an attribute of an event.
pub(super) const NO_SOURCE: &str = "urn:eventlift";

/// The roles of attributes.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    names: [Option<String>; ROLES],
    pub(super) version: VersionSource,
    /// The version of events that say none, where that is set.
    pub(super) absent_version: Option<SchemaVersion>,
    pub(super) time_unit: Option<TimeUnit>,
    pub(super) finer_times: FinerTimes,
    pub(super) revision_base: u64,
    pub(super) maps_source: bool,
}

/// Where the schema version is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum VersionSource {
    /// Nowhere: every event has version 1.
    Nowhere,
    /// In an attribute of its own.
    Attribute(VersionPattern),
    /// In the type.
    Type(VersionPattern),
}

impl Mapping {
    /// Works the roles out. The error says which settings contradict one another.
    pub(super) fn new(config: &FileConfig) -> Result<Self, String> {
        let attributes = &config.attributes;
        if attributes.revision_base > 1 {
            return Err(format!("revision_base is {}, but revisions count from 0 or 1", attributes.revision_base));
        }
        let version = version_source(attributes)?;
        let absent_version = match attributes.absent_version {
            None => None,
            Some(_) if version == VersionSource::Nowhere => {
                return Err("absent_version is set, but version is none".to_owned());
            }
            Some(number) => Some(
                SchemaVersion::new(number).ok_or("absent_version is 0, but schema versions go from 1".to_owned())?,
            ),
        };
        let mut names: [Option<String>; ROLES] = Default::default();
        let mut name = |role: Role, text: Option<&str>| names[role as usize] = text.map(str::to_owned);
        name(Role::SpecVersion, Some("specversion"));
        name(Role::Id, Some(&attributes.id));
        name(Role::Type, Some(&attributes.event_type));
        name(Role::Stream, Some(&attributes.stream));
        name(Role::Time, Some(&attributes.time));
        if matches!(version, VersionSource::Attribute(_)) {
            name(Role::Version, attributes.version.name());
        }
        name(Role::Order, attributes.order.name());
        name(Role::Revision, attributes.revision.name());
        name(Role::ContentType, Some("datacontenttype"));
        name(Role::Data, Some(&attributes.data));
        name(Role::DataBase64, Some(&format!("{}_base64", attributes.data)));
        if let Some(metadata) = attributes.metadata.name() {
            name(Role::Metadata, Some(metadata));
            name(Role::MetadataBase64, Some(&format!("{metadata}base64")));
            name(Role::MetadataContentType, Some(&format!("{metadata}contenttype")));
        }
        name(Role::Carried, Some(CARRIED));
        for (index, name) in names.iter().enumerate() {
            if let Some(name) = name {
                if name.is_empty() {
                    return Err("an attribute's name is empty".to_owned());
                }
                if names[..index].contains(&Some(name.clone())) {
                    return Err(format!("the attribute `{name}` is mapped to two things"));
                }
            }
        }
        let maps_source = names.contains(&Some("source".to_owned()));
        Ok(Self {
            names,
            version,
            absent_version,
            time_unit: attributes.time_unit,
            finer_times: attributes.finer_times,
            revision_base: attributes.revision_base,
            maps_source,
        })
    }

    /// All of it as text, different for different mappings.
    pub(super) fn text(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(|name| name.as_deref().unwrap_or("none")).collect();
        let version = match &self.version {
            VersionSource::Nowhere => "none".to_owned(),
            VersionSource::Attribute(pattern) => format!("{pattern}"),
            VersionSource::Type(pattern) => format!("in the type as {pattern}"),
        };
        let mut text = format!("{names:?}, version {version:?}, revisions from {}", self.revision_base);
        // What is left as it is by default adds nothing, so that runs of before go on.
        if let Some(pattern) = self.version.pattern().filter(|pattern| !pattern.texts().is_empty()) {
            text.push_str(&format!(", versions {:?}", pattern.texts()));
        }
        if let Some(absent) = self.absent_version.filter(|absent| *absent != SchemaVersion::FIRST) {
            text.push_str(&format!(", no version is {absent}"));
        }
        if let Some(unit) = self.time_unit {
            text.push_str(&format!(", times in {unit}"));
        }
        if self.finer_times == FinerTimes::Truncate {
            text.push_str(", finer times are cut off");
        }
        text
    }

    /// The texts that stand for versions, for people.
    pub(super) fn versions_line(&self) -> Option<String> {
        let texts = self.version.pattern()?.texts();
        let said: Vec<String> = texts.iter().map(|(text, version)| format!("{text:?} is version {version}")).collect();
        (!said.is_empty()).then(|| said.join(", "))
    }

    /// The role of an attribute; `None` for one that is only carried.
    pub(super) fn role(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|mapped| mapped.as_deref() == Some(name))
    }

    /// The name of the attribute with the role, if the file has it.
    pub(super) fn name(&self, role: Role) -> Option<&str> {
        self.names[role as usize].as_deref()
    }
}

impl VersionSource {
    fn pattern(&self) -> Option<&VersionPattern> {
        match self {
            Self::Nowhere => None,
            Self::Attribute(pattern) | Self::Type(pattern) => Some(pattern),
        }
    }
}

fn version_source(attributes: &Attributes) -> Result<VersionSource, String> {
    let Some(name) = attributes.version.name() else {
        return match (&attributes.version_pattern, attributes.versions.is_empty()) {
            (None, true) => Ok(VersionSource::Nowhere),
            (Some(_), _) => Err("version_pattern is set, but version is none".to_owned()),
            (None, false) => Err("versions is set, but version is none".to_owned()),
        };
    };
    let in_type = name == attributes.event_type;
    let pattern = match &attributes.version_pattern {
        Some(pattern) => VersionPattern::parse(pattern)?,
        None if in_type => {
            return Err(
                "the version is in the type, so version_pattern must say how, as in {type}.v{version}".to_owned()
            );
        }
        None if name == "dataschema" => VersionPattern::parse("urn:schema:{type}:{version}")?,
        None => VersionPattern::parse("{version}")?,
    };
    let pattern = pattern.with_texts(&attributes.versions)?;
    if !in_type {
        return Ok(VersionSource::Attribute(pattern));
    }
    if !pattern.names_type() {
        return Err(format!("the version is in the type, but the version pattern {pattern:?} has no {{type}} in it"));
    }
    Ok(VersionSource::Type(pattern))
}
