//! The reader and the sink, which become the source and the target.

use super::Problem;
use super::connection::{self, Connection};
use super::finding::Kind;
use super::project::{Project, Rule, Store, What};
use super::section::{Section, Setting};
use super::settings::default;

const READER: &[&str] = &["connectionString", "protocol", "pageSize", "auth"];
const SINK: &[&str] = &[
    "connectionString",
    "protocol",
    "pageSize",
    "auth",
    "partitionCount",
    "router",
    "partitioner",
    "bufferSize",
    "ignoreMetadataEventsForPartitioning",
];
const AUTH: &[&str] = &[
    "type",
    "tokenEndpoint",
    "clientId",
    "clientSecret",
    "clientSecretFile",
    "clientAssertionFile",
    "clientAuthentication",
    "scope",
    "additionalParameters",
    "defaultTokenLifetimeSeconds",
    "refreshBeforeExpirySeconds",
    "tokenFile",
    "tokenFileReloadSeconds",
];

/// Reads `reader`, which has to be there.
pub(super) fn reader(settings: &mut Section<'_>, project: &mut Project, line: usize) -> Result<(), Problem> {
    let Some(mut reader) = settings.section("reader", READER)? else {
        return Err(Problem::at(line, "`reader` is missing"));
    };
    let url = connection_string(&mut reader, "reader", line)?;
    protocol(&mut reader, project)?;
    project.source = store(&url, "source", project)?;
    page_size(&mut reader, project)?;
    auth(&mut reader, project)?;
    reader.finish(&mut project.findings);
    Ok(())
}

/// Reads `sink`, which has to be there.
pub(super) fn sink(settings: &mut Section<'_>, project: &mut Project, line: usize) -> Result<(), Problem> {
    let Some(mut sink) = settings.section("sink", SINK)? else {
        return Err(Problem::at(line, "`sink` is missing"));
    };
    let url = connection_string(&mut sink, "sink", line)?;
    match protocol(&mut sink, project)? {
        Some(kafka) => {
            let question = "the sink is Kafka, to which eventlift does not migrate: name another target".to_owned();
            project.findings.push(kafka.finding(Kind::Undecided, question.clone()));
            let comment = format!("Line {}", kafka.line);
            let name = "sink.protocol: kafka".to_owned();
            project.rules.push(Rule { name, comment, what: What::Undecided(question) });
            for key in ["router", "partitioner"] {
                not_run(&mut sink, key, project)?;
            }
            if let Some(count) = sink.number("partitionCount")? {
                project.findings.push(count.finding(Kind::NoCounterpart, "it is about Kafka"));
            }
        }
        None => {
            project.target = Some(store(&url, "target", project)?);
            order(&mut sink, project)?;
            if let Some(router) = sink.text("router")? {
                project.findings.push(router.finding(Kind::NoCounterpart, "the Replicator uses it for Kafka only"));
            }
        }
    }
    if let Some(size) = sink.number("bufferSize")? {
        project.findings.push(size.finding(Kind::NoCounterpart, "how much is in memory is bounded by itself"));
    }
    if let Some(setting) = sink.flag("ignoreMetadataEventsForPartitioning")? {
        project.findings.push(setting.finding(Kind::NoCounterpart, "it is about the Replicator's partitions"));
    }
    page_size(&mut sink, project)?;
    auth(&mut sink, project)?;
    sink.finish(&mut project.findings);
    Ok(())
}

fn connection_string(section: &mut Section<'_>, name: &str, line: usize) -> Result<Setting<String>, Problem> {
    let hint = format!(
        "where it comes from REPLICATOR_{}_CONNECTIONSTRING, write it into a copy of the file, with any password",
        name.to_uppercase()
    );
    let text = section.text("connectionString")?.filter(|text| !text.value.trim().is_empty());
    text.ok_or_else(|| Problem::at(line, format!("`{name}.connectionString` is missing")).hint(hint))
}

/// The store of a connection string, and what became of that.
fn store(url: &Setting<String>, section: &str, project: &mut Project) -> Result<Store, Problem> {
    let Connection { url: address, has_password, was_tcp, mut notes } = connection::read(&url.value)
        .map_err(|reason| Problem::at(url.line, format!("`{}` can't be used: {reason}", url.key)))?;
    let mut text = format!("`url` under [{section}]");
    if has_password {
        let variable = section.to_uppercase();
        text.push_str(&format!(", without the password: put it in EVENTLIFT_{variable}_PASSWORD"));
    }
    let is_exact = !was_tcp && notes.is_empty();
    if was_tcp {
        notes.insert(0, "it is reached over gRPC, which servers have from version 20 on, not over TCP".to_owned());
    }
    notes.iter().for_each(|note| text.push_str(&format!("; {note}")));
    project.findings.push(url.finding(if is_exact { Kind::Became } else { Kind::Differs }, text));
    Ok(Store { url: address, has_password, notes })
}

/// Reads `protocol`; what the connection string is for says the rest. Yields it where it is Kafka.
fn protocol(section: &mut Section<'_>, project: &mut Project) -> Result<Option<Setting<String>>, Problem> {
    let Some(protocol) = section.text("protocol")? else { return Ok(None) };
    let is_sink = protocol.key.starts_with("sink");
    match &*protocol.value {
        "kafka" if is_sink => return Ok(Some(protocol)),
        "grpc" => project.findings.push(protocol.finding(Kind::Became, "gRPC")),
        "tcp" => project.findings.push(protocol.finding(Kind::Differs, "gRPC; eventlift does not speak TCP")),
        _ => {
            let known = if is_sink { "`grpc`, `tcp` and `kafka`" } else { "`grpc` and `tcp`" };
            return Err(Problem::at(protocol.line, format!("`{}` is none of {known}", protocol.key)));
        }
    }
    Ok(None)
}

fn page_size(section: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    if let Some(size) = section.number("pageSize")? {
        project.findings.push(size.finding(Kind::NoCounterpart, "the server sends events as they are taken"));
    }
    Ok(())
}

/// How many events are under way, and which order they keep.
fn order(sink: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    const GLOBAL: &str = "`order = \"global\"`: all events in the order of the source";
    let count = sink.number("partitionCount")?;
    let has_partitioner = not_run(sink, "partitioner", project)?;
    let number = count.as_ref().map_or(1, |count| count.value);
    if number <= 1 && !has_partitioner {
        project
            .target_lines
            .push("order = \"global\"          # one event after the other, as with one partition".to_owned());
        project.findings.push(match count {
            Some(count) => count.finding(Kind::Became, GLOBAL),
            None => default("sink.partitionCount", Kind::Became, GLOBAL),
        });
        return Ok(());
    }
    project.target_lines.push("order = \"stream\"          # each stream in its order".to_owned());
    let mut text = "`order = \"stream\"`: each stream keeps its order".to_owned();
    if number > 1 {
        project.target_lines.push(format!("in_flight = {number}"));
        text.push_str(&format!(", and `in_flight = {number}` appends are under way at the same time"));
    }
    project.findings.push(match count {
        Some(count) => count.finding(Kind::Became, text),
        None => default("sink.partitionCount", Kind::Became, &text),
    });
    Ok(())
}

/// A file of JavaScript that is not run. Whether there is one.
fn not_run(sink: &mut Section<'_>, key: &str, project: &mut Project) -> Result<bool, Problem> {
    let Some(script) = sink.text(key)?.filter(|script| !script.value.trim().is_empty()) else { return Ok(false) };
    let text = match key {
        "partitioner" => {
            "it is not run, and not needed: every stream keeps its order whatever is under way beside it; \
                          the order among the streams of a partition is not kept"
        }
        _ => "it is not run",
    };
    project.findings.push(script.finding(Kind::Differs, text));
    Ok(true)
}

fn auth(section: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    let Some(mut auth) = section.section("auth", AUTH)? else { return Ok(()) };
    let kind = auth.text("type")?;
    for key in &AUTH[1..] {
        // Whatever they say, values among them are secrets: none is shown.
        auth.take(key);
    }
    auth.finish(&mut project.findings);
    let Some(kind) = kind else { return Ok(()) };
    project.findings.push(match &*kind.value {
        "connectionString" => kind.finding(Kind::Became, "the user of the URL, and `password_env`"),
        _ => kind.finding(
            Kind::NoCounterpart,
            "eventlift takes no OAuth tokens: write a user into `url`, with `password_env`, or a certificate \
             (`userCertFile`, `userKeyFile`)",
        ),
    });
    Ok(())
}
