//! Which attribute plays which role, worked out of the configuration.

use super::config::FileConfig;
use crate::stores::attribute::Attribute;
use crate::stores::version_pattern::VersionPattern;

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
        let version = version_source(&attributes.version, &attributes.event_type, &attributes.version_pattern)?;
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
        name(Role::Data, Some("data"));
        name(Role::DataBase64, Some("data_base64"));
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
        Ok(Self { names, version, revision_base: attributes.revision_base, maps_source })
    }

    /// All of it as text, different for different mappings.
    pub(super) fn text(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(|name| name.as_deref().unwrap_or("none")).collect();
        let version = match &self.version {
            VersionSource::Nowhere => "none".to_owned(),
            VersionSource::Attribute(pattern) => format!("{pattern}"),
            VersionSource::Type(pattern) => format!("in the type as {pattern}"),
        };
        format!("{names:?}, version {version:?}, revisions from {}", self.revision_base)
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

fn version_source(version: &Attribute, event_type: &str, pattern: &Option<String>) -> Result<VersionSource, String> {
    let Some(name) = version.name() else {
        return match pattern {
            None => Ok(VersionSource::Nowhere),
            Some(_) => Err("version_pattern is set, but version is none".to_owned()),
        };
    };
    let in_type = name == event_type;
    let pattern = match pattern {
        Some(pattern) => VersionPattern::parse(pattern)?,
        None if in_type => {
            return Err(
                "the version is in the type, so version_pattern must say how, as in {type}.v{version}".to_owned()
            );
        }
        None if name == "dataschema" => VersionPattern::parse("urn:schema:{type}:{version}")?,
        None => VersionPattern::parse("{version}")?,
    };
    if !in_type {
        return Ok(VersionSource::Attribute(pattern));
    }
    if !pattern.names_type() {
        return Err(format!("the version is in the type, but the version pattern {pattern:?} has no {{type}} in it"));
    }
    Ok(VersionSource::Type(pattern))
}
