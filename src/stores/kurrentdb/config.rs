//! Where the server is, what is carried, and which keys of metadata hold what the server has no place for.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventlift_events::StoreError;
use eventstore::ClientSettings;
use serde::Deserialize;
use url::Url;

use super::connection;
use crate::stores::attribute::Attribute;
use crate::stores::distinct_ids::Ids;
use crate::stores::kurrent_url::{PARAMETERS, parameter};
use crate::stores::version_pattern::VersionPattern;

/// What a URL may begin with.
pub(crate) const SCHEMES: [&str; 8] =
    ["esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover", "kurrent", "kurrent+discover", "kdb", "kdb+discover"];

/// Streams that are appended to at the same time, where nothing else is said.
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(64).unwrap(); // not zero, which the compiler checks

/// The ledger's file, where nothing else is said.
const LEDGER: &str = "kurrentdb.eventlift";

/// A KurrentDB server or cluster, and how it is spoken to. Prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct KurrentServer {
    /// `esdb://user@host:2113?tls=false`, `kurrentdb+discover://user@cluster:2113`; several hosts are separated by commas.
    pub url: String,
    /// A file that holds the password, and nothing else. Refused where others than its owner may read it.
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
}

/// A KurrentDB server as a store of events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KurrentConfig {
    /// The server.
    pub server: KurrentServer,
    /// The database that keeps the ledger of runs into this store, since the server has no place for it. Runs that go on
    /// need it; where it is lost, a run begins anew and finds out what is there already.
    pub ledger: PathBuf,
    /// How many streams are appended to at the same time.
    pub in_flight: NonZeroUsize,
    /// In which order events are appended. Not set: by stream for a target.
    pub order: Option<Order>,
    /// What becomes of the metadata of streams, of their deletions and truncations. Not set: carried between two servers.
    pub stream_metadata: Option<StreamMetadata>,
    /// Which keys of an event's metadata hold what the server has no place for.
    pub metadata: MetadataKeys,
    /// Where the ids are unique that are read.
    pub ids: Ids,
}

/// In which order events are appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Every stream in its order, several streams at the same time.
    Stream,
    /// All events in the order of the source, one append after the other: each waits for the one before.
    Global,
}

/// What becomes of the metadata of streams (`$maxAge`, `$tb`, access rights, keys of the user's own) and of deletions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMetadata {
    /// It is read and written as events of the streams `$$<stream>`, and `$tombstone-<stream>` for streams that are
    /// deleted for good.
    Carry,
    /// It is counted, and not read.
    LeaveOut,
}

/// Which keys of an event's metadata hold what the server has no place for. They are added at the end of metadata that is
/// a JSON object, or that is empty, and taken out again when it is read. Metadata of any other kind stays as it is, and
/// such events lose what the keys would hold.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataKeys {
    /// When the event was recorded first. Default `$originalTime`.
    pub time: Attribute,
    /// The revision it had in the source. Default `$originalRevision`.
    pub revision: Attribute,
    /// The position it had in the source. Default `$originalPosition`.
    pub position: Attribute,
    /// The schema version, where it is not 1. Default `$schemaVersion`. With `type` it is part of the type's name, as
    /// `version_pattern` says.
    pub version: Attribute,
    /// How the version is written, with `{version}` and perhaps `{type}` in it: `{type}.v{version}`. Needed with `version =
    /// "type"`, otherwise a number.
    pub version_pattern: Option<String>,
    /// Attributes of other stores. Default `$attributes`.
    pub attributes: Attribute,
}

impl Default for MetadataKeys {
    fn default() -> Self {
        Self {
            time: Attribute::named("$originalTime"),
            revision: Attribute::named("$originalRevision"),
            position: Attribute::named("$originalPosition"),
            version: Attribute::named("$schemaVersion"),
            version_pattern: None,
            attributes: Attribute::named("$attributes"),
        }
    }
}

impl MetadataKeys {
    /// Nothing is added to any event.
    pub fn none() -> Self {
        Self {
            time: Attribute::NONE,
            revision: Attribute::NONE,
            position: Attribute::NONE,
            version: Attribute::NONE,
            version_pattern: None,
            attributes: Attribute::NONE,
        }
    }

    /// How the version is part of a type's name, where it is.
    pub(super) fn version_in_type(&self) -> Result<Option<VersionPattern>, InvalidKurrent> {
        if self.version.name() != Some("type") {
            return match &self.version_pattern {
                None => Ok(None),
                Some(_) => Err(InvalidKurrent::Metadata("version_pattern goes with version = \"type\"".to_owned())),
            };
        }
        let Some(pattern) = &self.version_pattern else {
            let problem = "version = \"type\" needs version_pattern, such as {type}.v{version}";
            return Err(InvalidKurrent::Metadata(problem.to_owned()));
        };
        let pattern = VersionPattern::parse(pattern).map_err(InvalidKurrent::Metadata)?;
        match pattern.names_type() {
            true => Ok(Some(pattern)),
            false => Err(InvalidKurrent::Metadata("version_pattern has no {type} in it".to_owned())),
        }
    }

    /// The keys that are in use, each once.
    fn names(&self) -> Vec<&str> {
        let version = self.version.name().filter(|name| *name != "type");
        let others = [&self.time, &self.revision, &self.position, &self.attributes].map(Attribute::name);
        others.into_iter().chain([version]).flatten().collect()
    }

    fn check(&self) -> Result<(), InvalidKurrent> {
        self.version_in_type()?;
        let names = self.names();
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(InvalidKurrent::Metadata("a key is empty".to_owned()));
            }
            if names[..index].contains(name) {
                return Err(InvalidKurrent::Metadata(format!("the key `{name}` is to hold two things")));
            }
        }
        Ok(())
    }
}

/// Why a table of configuration is no KurrentDB store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKurrent {
    /// The URL is none. The text holds no password.
    #[error("`url` is no KurrentDB URL ({0})")]
    Url(String),
    /// The URL has a parameter that would be ignored.
    #[error("`url` has a parameter that can't be used: `{0}` is none of {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
    /// Two places for one password.
    #[error("`password_file` and `password_env` exclude one another, and a password in the URL")]
    TwoPasswords,
    /// A password without a user.
    #[error("there is a password, and no user in the URL (esdb://user@host:2113)")]
    NoUser,
    /// Keys of metadata that contradict one another.
    #[error("`metadata`: {0}")]
    Metadata(String),
    /// A key is wrong; the text is the parser's.
    #[error("{0}")]
    Key(String),
}

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    ledger: Option<PathBuf>,
    in_flight: Option<NonZeroUsize>,
    order: Option<Order>,
    stream_metadata: Option<StreamMetadata>,
    #[serde(default)]
    metadata: MetadataKeys,
}

/// The client waits before it connects the first time, half a second by default: less, and more often, unless the URL says
/// otherwise.
fn with_quick_discovery(url: &str, parts: &Url) -> String {
    let mut url = url.to_owned();
    for (name, value) in [("discoveryInterval", "50"), ("maxDiscoverAttempts", "10")] {
        if !parts.query_pairs().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            let separator = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{separator}{name}={value}"));
        }
    }
    url
}

impl KurrentServer {
    /// A server by its URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), password_file: None, password_env: None }
    }

    /// The URL in parts. Several hosts are no host to the parser, so the first stands for all.
    fn parts(&self) -> Result<Url, InvalidKurrent> {
        let invalid = |problem: &str| InvalidKurrent::Url(problem.to_owned());
        let example = "such as esdb://user@host:2113?tls=false; / ? # @ : in a password are %2F %3F %23 %40 %3A";
        let (scheme, rest) = self.url.split_once("://").ok_or_else(|| invalid(example))?;
        if !SCHEMES.contains(&scheme) {
            return Err(invalid("it starts with esdb:// or kurrentdb://, or with +discover in front of the colon"));
        }
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (place, query) = rest.split_at(end);
        if place.matches('@').count() > 1 || query.contains(['@', '#']) {
            return Err(invalid("/ ? # @ : in a password, and @ elsewhere, are written %2F %3F %23 %40 %3A"));
        }
        let first = place.split(',').next().unwrap_or(place);
        Url::parse(&format!("{scheme}://{first}{query}")).map_err(|_| invalid(example))
    }

    /// Whether the URL holds a password.
    pub(super) fn has_password(&self) -> bool {
        self.parts().is_ok_and(|url| url.password().is_some())
    }

    /// What the client is made of; `password` is the one that is not in the URL. Fails where the URL is none.
    pub(super) fn settings(&self, password: Option<&str>) -> Result<ClientSettings, InvalidKurrent> {
        let parts = self.parts()?;
        for (name, _) in parts.query_pairs() {
            // The client ignores others, and a mistyped `tls` would be a connection that anybody can read.
            if parameter(&name).is_none() {
                return Err(InvalidKurrent::Parameter(name.into_owned()));
            }
        }
        let url = match password {
            None => self.url.clone(),
            Some(_) if parts.username().is_empty() => return Err(InvalidKurrent::NoUser),
            Some(password) => {
                let mut first = parts.clone();
                // Fails where there is no host, and there is one.
                let _ = first.set_password(Some(password));
                let user = format!("{}:{}", first.username(), first.password().unwrap_or_default());
                self.url.replacen(&format!("{}@", parts.username()), &format!("{user}@"), 1)
            }
        };
        let url = with_quick_discovery(&url, &parts);
        // The parser's message may hold a part of the URL, and that may hold the password.
        let problem = "such as esdb://user@host:2113?tls=false, and its parameters have values that can be";
        url.parse().map_err(|_| InvalidKurrent::Url(problem.to_owned()))
    }

    /// The hosts, each with its port, and whether they are only asked where the others are.
    fn hosts(&self) -> Option<(Vec<String>, bool)> {
        let settings = self.settings(None).ok()?;
        let hosts = settings.hosts().iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
        Some((hosts, settings.is_dns_discovery_enabled()))
    }

    /// How long an answer may take, where the URL says so: `defaultDeadline`, in milliseconds.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let url = self.parts().ok()?;
        let (_, millis) = url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("defaultDeadline"))?;
        millis.parse().ok().map(Duration::from_millis)
    }

    /// The URL without user, password and parameters.
    fn shown(&self) -> String {
        let Some((hosts, discovers)) = self.hosts() else { return "kurrentdb://…".to_owned() };
        format!("kurrentdb{}://{}", if discovers { "+discover" } else { "" }, hosts.join(","))
    }

    /// What makes it the same server, in whatever order its hosts are named.
    pub(super) fn key(&self) -> String {
        let mut hosts = self.hosts().unwrap_or_default().0;
        hosts.sort_unstable();
        format!("kurrentdb://{}", hosts.join(","))
    }

    /// The URL without a password, and whether there was one. Fails where it is no URL of a KurrentDB server.
    pub fn url_without_password(&self) -> Result<(String, bool), InvalidKurrent> {
        let parts = self.parts()?;
        let Some(password) = parts.password() else { return Ok((self.url.clone(), false)) };
        Ok((self.url.replacen(&format!(":{password}@"), "@", 1), true))
    }

    fn checked(self) -> Result<Self, InvalidKurrent> {
        self.settings(None)?;
        let places = [self.has_password(), self.password_file.is_some(), self.password_env.is_some()];
        if places.into_iter().filter(|given| *given).count() > 1 {
            return Err(InvalidKurrent::TwoPasswords);
        }
        let has_password = self.password_file.is_some() || self.password_env.is_some();
        if has_password && self.parts()?.username().is_empty() {
            return Err(InvalidKurrent::NoUser);
        }
        Ok(self)
    }
}

impl fmt::Debug for KurrentServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KurrentServer").field("url", &self.shown()).finish_non_exhaustive()
    }
}

impl fmt::Display for KurrentServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl KurrentConfig {
    /// Whether somebody answers, without opening it.
    pub(in crate::stores) async fn reach(&self) -> Result<(), StoreError> {
        connection::reach(&self.server, self).await
    }

    /// What makes it the same server, in whatever order its hosts are named.
    pub(in crate::stores) fn key(&self) -> String {
        self.server.key()
    }

    /// The order in which a writer appends.
    pub(super) fn order(&self) -> Order {
        self.order.unwrap_or(Order::Stream)
    }

    /// What a writer does with the metadata of streams.
    pub(super) fn stream_metadata(&self) -> StreamMetadata {
        self.stream_metadata.unwrap_or(StreamMetadata::Carry)
    }

    /// How events are written, for people.
    pub(in crate::stores) fn how_it_is_written(&self) -> Vec<String> {
        let order = match self.order {
            Some(Order::Global) => {
                "appended in the order of the source, one append after the other: as many round trips as events of one \
                 stream are followed by those of another"
                    .to_owned()
            }
            _ => format!(
                "appended stream by stream, up to {} at the same time: each stream keeps its order, the order across \
                 streams changes (order = \"global\" keeps it, with a round trip for each change of the stream)",
                self.in_flight
            ),
        };
        let progress =
            format!("progress is kept in {}; where that is lost, appends are repeated", self.ledger.display());
        vec![order, progress]
    }

    /// A server with everything as it is by default; the ledger is in this file.
    pub fn new(url: impl Into<String>, ledger: impl Into<PathBuf>) -> Self {
        Self {
            server: KurrentServer::new(url),
            ledger: ledger.into(),
            in_flight: IN_FLIGHT,
            order: None,
            stream_metadata: None,
            metadata: MetadataKeys::default(),
            ids: Ids::default(),
        }
    }

    /// Reads the keys of a store; relative paths start at `folder`.
    pub(in crate::stores) fn from_table(table: toml::Table, folder: &Path) -> Result<Self, InvalidKurrent> {
        let written: Written =
            table.try_into().map_err(|e: toml::de::Error| InvalidKurrent::Key(e.message().to_owned()))?;
        let server = KurrentServer {
            url: written.url,
            password_file: written.password_file.map(|file| folder.join(file)),
            password_env: written.password_env,
        };
        written.metadata.check()?;
        Ok(Self {
            server: server.checked()?,
            ledger: folder.join(written.ledger.unwrap_or_else(|| PathBuf::from(LEDGER))),
            in_flight: written.in_flight.unwrap_or(IN_FLIGHT),
            order: written.order,
            stream_metadata: written.stream_metadata,
            metadata: written.metadata,
            ids: Ids::default(),
        })
    }
}

impl fmt::Display for KurrentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<KurrentConfig, InvalidKurrent> {
        KurrentConfig::from_table(toml::from_str(text).unwrap(), Path::new("/project"))
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        let shown = |url: &str| config(&format!("url = {url:?}")).unwrap().to_string();
        assert_eq!(shown("esdb://admin:secret@host:2113?tls=false"), "kurrentdb://host:2113");
        assert_eq!(shown("kurrentdb+discover://admin:s%40cret@cluster"), "kurrentdb+discover://cluster:2113");
        assert_eq!(shown("esdb://a:secret@one:1,two:2,three"), "kurrentdb://one:1,two:2,three:2113");
        let server = KurrentServer::new("esdb://a:secret@one:1,two:2?tls=false");
        assert_eq!(server.url_without_password(), Ok(("esdb://a@one:1,two:2?tls=false".to_owned(), true)));
        assert!(!format!("{server:?}").contains("secret"));
        assert_eq!(server.key(), KurrentServer::new("esdb://two:2,one:1").key());
    }

    #[test]
    fn what_the_client_would_ignore_is_refused() {
        let refused = |text: &str| config(text).unwrap_err().to_string();
        assert!(refused("url = \"esdb://host?tsl=false\"").contains("`tsl` is none of tls"));
        assert!(refused("url = \"esdb://host?tls=perhaps\"").contains("no KurrentDB URL"));
        assert!(
            refused("url = \"esdb://a:b/secret@host\"").contains("%2F"),
            "{}",
            refused("url = \"esdb://a:b/secret@host\"")
        );
        assert!(refused("url = \"esdb://a:b@host\"\npassword_env = \"X\"").contains("exclude one another"));
        assert!(refused("url = \"esdb://host\"\npassword_env = \"X\"").contains("no user"));
        assert!(refused("url = \"esdb://host\"\n[metadata]\ntime = \"a\"\nversion = \"a\"").contains("two things"));
        assert!(refused("url = \"esdb://host\"\n[metadata]\nversion = \"type\"").contains("version_pattern"));
        assert!(refused("url = \"esdb://host\"\n[metadata]\nversion_pattern = \"{version}\"").contains("goes with"));
    }

    #[test]
    fn a_password_from_elsewhere_gets_into_the_settings() {
        let server = KurrentServer::new("esdb://admin@one:1,two:2?tls=false");
        let settings = server.settings(Some("s/e@c:r?t")).unwrap();
        assert_eq!(settings.hosts().len(), 2);
        assert!(settings.default_authenticated_user().is_some());
    }

    #[test]
    fn keys_have_defaults() {
        let read = config("url = \"esdb://host\"").unwrap();
        assert_eq!(read.ledger, Path::new("/project/kurrentdb.eventlift"));
        assert_eq!((read.in_flight.get(), read.order, read.stream_metadata), (64, None, None));
        let none = config("url = \"esdb://host\"\norder = \"global\"\n[metadata]\ntime = \"none\"").unwrap();
        assert_eq!((none.order, none.metadata.time), (Some(Order::Global), Attribute::NONE));
    }
}
