//! Connection strings: those of gRPC, which are URLs, and those of the older TCP client, which are pairs.
//!
//! No message holds a part of a string that could be a password.

use crate::stores::kurrent_url::parameter;

/// Where a server is, as eventlift takes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// Without a password.
    pub(super) url: String,
    /// Whether there was a password, which is left out.
    pub(super) has_password: bool,
    /// Whether it was written for TCP.
    pub(super) was_tcp: bool,
    /// What had to be assumed, or was left out, in words.
    pub(super) notes: Vec<String>,
}

/// The port of HTTP and gRPC.
const GRPC_PORT: u16 = 2113;

/// Reads a connection string of either kind.
pub(super) fn read(text: &str) -> Result<Connection, String> {
    let text = text.trim();
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') => grpc(scheme, rest),
        _ if text.contains('=') => tcp(text),
        _ => Err("it is neither a URL such as esdb://host:2113 nor pairs such as ConnectTo=tcp://host:1113".to_owned()),
    }
}

fn grpc(scheme: &str, rest: &str) -> Result<Connection, String> {
    let scheme = match &*scheme.to_ascii_lowercase() {
        "esdb" => "esdb",
        "esdb+discover" => "esdb+discover",
        "kurrentdb" | "kurrent" | "kdb" => "kurrentdb",
        "kurrentdb+discover" | "kurrent+discover" | "kdb+discover" => "kurrentdb+discover",
        _ => return Err("it begins with none of esdb://, kurrentdb:// and their +discover forms".to_owned()),
    };
    // The last `@`: a password may hold others, and what is left of it must not be taken for a host.
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(User::encoded(user)?), address),
        None => (None, rest),
    };
    let (hosts, query) = address.split_once('?').unwrap_or((address, ""));
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    let hosts = each_host(hosts, with_port)?;
    let mut notes = Vec::new();
    let parameters = parameters(query, &mut notes);
    Ok(connection(scheme, user, &hosts, &parameters, false, notes))
}

/// The parameters that are taken over, as `name=value`. The others are noted.
fn parameters(query: &str, notes: &mut Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(known) = parameter(name) else {
            notes.push(match name.chars().all(|character| character.is_ascii_alphabetic()) {
                true => format!("the parameter {name} was left out"),
                false => "a parameter was left out".to_owned(),
            });
            continue;
        };
        let is_flag = known == "tls" || known == "tlsVerifyCert";
        let value = if is_flag { value.to_ascii_lowercase() } else { value.to_owned() };
        kept.push(format!("{known}={value}"));
    }
    kept
}

/// What TCP strings say of the way to the server; all else in them is about the TCP client.
#[derive(Default)]
struct Tcp<'t> {
    connect_to: Option<&'t str>,
    gossip_seeds: Option<&'t str>,
    cluster_dns: Option<&'t str>,
    gossip_port: Option<&'t str>,
    credentials: Option<&'t str>,
    tls: Option<&'t str>,
    validates: Option<&'t str>,
    others: usize,
}

impl<'t> Tcp<'t> {
    fn read(text: &'t str) -> Self {
        let mut tcp = Self::default();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key: String = key.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
            let value = Some(value.trim());
            match &*key {
                "connectto" => tcp.connect_to = value,
                "gossipseeds" => tcp.gossip_seeds = value,
                "clusterdns" => tcp.cluster_dns = value,
                "externalgossipport" | "gossipport" | "clustergossipport" => tcp.gossip_port = value,
                "defaultusercredentials" => tcp.credentials = value,
                "usesslconnection" => tcp.tls = value,
                "validateserver" => tcp.validates = value,
                _ => tcp.others += 1,
            }
        }
        tcp
    }
}

fn tcp(text: &str) -> Result<Connection, String> {
    let tcp = Tcp::read(text);
    let mut notes = Vec::new();
    let (scheme, user, hosts) = match (tcp.connect_to, tcp.gossip_seeds, tcp.cluster_dns) {
        (Some(to), ..) => connect_to(to, &mut notes)?,
        (None, Some(seeds), _) => ("esdb", None, each_host(seeds, with_port)?),
        (None, None, Some(dns)) => {
            let port = tcp.gossip_port.map(port).transpose()?;
            ("esdb+discover", None, each_host(dns, |host, other| with_port(host, other.or(port)))?)
        }
        (None, None, None) => return Err("it holds none of ConnectTo, GossipSeeds and ClusterDns".to_owned()),
    };
    let user = match (user, tcp.credentials) {
        (Some(user), _) => Some(user),
        (None, Some(credentials)) => Some(User::plain(credentials)),
        (None, None) => None,
    };
    let mut parameters = Vec::new();
    match tcp.tls.map(str::to_ascii_lowercase).as_deref() {
        Some("true") => {}
        Some("false") => parameters.push("tls=false".to_owned()),
        _ => notes.push("UseSslConnection does not say whether there is TLS, so it is assumed".to_owned()),
    }
    if tcp.validates.is_some_and(|validates| validates.eq_ignore_ascii_case("false")) {
        parameters.push("tlsVerifyCert=false".to_owned());
    }
    if tcp.others > 0 {
        notes.push(match tcp.others {
            1 => "a setting of the TCP client was left out".to_owned(),
            others => format!("{others} settings of the TCP client were left out"),
        });
    }
    Ok(connection(scheme, user, &hosts, &parameters, true, notes))
}

/// `tcp://user:password@host:1113`, or `discover://user:password@dns:2113`.
fn connect_to(to: &str, notes: &mut Vec<String>) -> Result<(&'static str, Option<User>, String), String> {
    let (scheme, rest) = to.split_once("://").ok_or("ConnectTo is no tcp:// or discover:// address")?;
    let (user, hosts) = match rest.rsplit_once('@') {
        Some((user, hosts)) => (Some(User::encoded(user)?), hosts),
        None => (None, rest),
    };
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    match &*scheme.to_ascii_lowercase() {
        "tcp" => {
            notes.push(format!("the port of gRPC is not in it; {GRPC_PORT} is assumed"));
            Ok(("esdb", user, each_host(hosts, |host, _| with_port(host, None))?))
        }
        "discover" => Ok(("esdb+discover", user, each_host(hosts, with_port)?)),
        _ => Err("ConnectTo is no tcp:// or discover:// address".to_owned()),
    }
}

fn connection(
    scheme: &str,
    user: Option<User>,
    hosts: &str,
    parameters: &[String],
    was_tcp: bool,
    mut notes: Vec<String>,
) -> Connection {
    let had_password = user.as_ref().is_some_and(|user| user.has_password);
    let user = user.filter(|user| !user.name.is_empty());
    let has_password = had_password && user.is_some();
    if had_password && !has_password {
        notes.push("a password without a user was left out".to_owned());
    }
    let user = user.map(|user| format!("{}@", user.name)).unwrap_or_default();
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    Connection { url: format!("{scheme}://{user}{hosts}{query}"), has_password, was_tcp, notes }
}

fn port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| "a port is no number up to 65535".to_owned())
}

fn with_port(host: &str, port: Option<u16>) -> String {
    format!("{host}:{}", port.unwrap_or(GRPC_PORT))
}

/// Checks hosts separated by commas, and writes each with its port.
fn each_host(hosts: &str, write: impl Fn(&str, Option<u16>) -> String) -> Result<String, String> {
    let mut written = Vec::new();
    for host in hosts.split(',').map(str::trim) {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, text)) if !text.ends_with(']') => (name, Some(port(text)?)),
            _ => (host, None),
        };
        let is_address = name.starts_with('[') && name.ends_with(']') && name.len() > 2;
        let inner = if is_address { &name[1..name.len() - 1] } else { name };
        let may_be = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || is_address && c == ':';
        if inner.is_empty() || !inner.chars().all(may_be) {
            return Err("its host can't be read".to_owned());
        }
        written.push(write(name, port));
    }
    Ok(written.join(","))
}

/// A user, and whether there was a password.
struct User {
    /// As it stands in a URL.
    name: String,
    has_password: bool,
}

impl User {
    /// `user:password` as in a URL.
    fn encoded(text: &str) -> Result<Self, String> {
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        if name.contains(['/', '?', '#', '@']) {
            return Err("its user can't be told from the rest; write what is special in a name as %XX".to_owned());
        }
        Ok(Self { name: encode(&decode(name)), has_password: !password.is_empty() })
    }

    /// `user:password` without an encoding.
    fn plain(text: &str) -> Self {
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        Self { name: encode(name.as_bytes()), has_password: !password.is_empty() }
    }
}

/// `%XX` to bytes; what is none stays.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

fn encode(bytes: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(*byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_password_and_nothing_else() {
        for (text, url, has_password) in [
            ("esdb://admin:changeit@a.example:2113?tls=true", "esdb://admin@a.example:2113?tls=true", true),
            ("esdb+discover://a.example", "esdb+discover://a.example:2113", false),
            ("kurrent://u@a:1,b:2,c/", "kurrentdb://u@a:1,b:2,c:2113", false),
            (
                "KDB+DISCOVER://u:@a?TLS=False&keepaliveinterval=5",
                "kurrentdb+discover://u@a:2113?tls=false&keepAliveInterval=5",
                false,
            ),
            ("esdb://ad%40min:p%40@[::1]:2113", "esdb://ad%40min@[::1]:2113", true),
            ("esdb://admin:p@ss:w/o?r#d&x=;@a:2113", "esdb://admin@a:2113", true),
        ] {
            let read = read(text).unwrap();
            assert_eq!((&*read.url, read.has_password), (url, has_password), "{text}");
            assert!(!read.was_tcp && read.notes.is_empty(), "{text}: {read:?}");
        }
    }

    #[test]
    fn tcp_strings_become_urls() {
        for (text, url, has_password) in [
            (
                "ConnectTo=tcp://admin:changeit@10.0.0.7:1113; UseSslConnection=false",
                "esdb://admin@10.0.0.7:2113?tls=false",
                true,
            ),
            (
                "connect to=discover://u:p@db.example:2114;usesslconnection=True;ValidateServer=false",
                "esdb+discover://u@db.example:2114?tlsVerifyCert=false",
                true,
            ),
            (
                "GossipSeeds=a:2113,b:2113;DefaultUserCredentials=o'mally:a=b@c:d;UseSslConnection=true",
                "esdb://o%27mally@a:2113,b:2113",
                true,
            ),
            (
                "ClusterDns=db.example;ExternalGossipPort=2114;UseSslConnection=true",
                "esdb+discover://db.example:2114",
                false,
            ),
        ] {
            let read = read(text).unwrap();
            assert_eq!((&*read.url, read.has_password, read.was_tcp), (url, has_password, true), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_shows_nothing_of_it() {
        for text in [
            "",
            "secret",
            "secret://a",
            "esdb://",
            "esdb://u:secret@",
            "esdb://sec/ret:x@a:2113",
            "esdb://u:secret",
            "esdb://u:x@a b",
            "esdb://u:x@a:secret",
            "ConnectTo=secret",
            "ConnectTo=http://u:secret@a",
            "DefaultUserCredentials=u:secret",
        ] {
            let message = read(text).unwrap_err();
            assert!(!message.contains("secret") && !message.contains("ret"), "{text}: {message}");
        }
        let read = read("esdb://:secret@a?secret1=x&defaultDeadlines=1").unwrap();
        assert_eq!((&*read.url, read.has_password), ("esdb://a:2113", false));
        let notes = [
            "a parameter was left out",
            "the parameter defaultDeadlines was left out",
            "a password without a user was left out",
        ];
        assert_eq!(read.notes, notes);
    }
}
