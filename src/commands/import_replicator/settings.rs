//! The settings, one by one, and what each becomes.

use super::Problem;
use super::filter::filter;
use super::finding::{Finding, Kind};
use super::project::{Project, Rule, What};
use super::section::{Section, Setting};
use super::stores::{reader, sink};
use super::yaml::{Node, Value, parse};

/// What stands directly under `replicator`.
const SETTINGS: &[&str] = &[
    "reader",
    "sink",
    "scavenge",
    "restartOnFailure",
    "runContinuously",
    "restartDelayInMilliseconds",
    "restartDelayInSeconds",
    "reportMetricsFrequencyInSeconds",
    "checkpoint",
    "transform",
    "filters",
    "debugPartitionSequences",
];
const TRANSFORM: &[&str] = &["type", "config", "bufferSize"];
const FILTER: &[&str] = &["type", "include", "exclude"];
const CHECKPOINT: &[&str] = &["type", "path", "checkpointAfter", "database", "instanceId", "seeder"];
const SEEDER: &[&str] = &["type", "path"];

/// Groups that the settings may stand in, one in another.
const DEEPEST_GROUP: usize = 5;

/// The project that a file's settings come to.
pub(super) fn translate(root: &Node) -> Result<Project, Problem> {
    let (node, first_line) = find(root)?;
    let mut project = Project::default();
    translate_settings(&node, &mut project)
        .map_err(|problem| Problem { line: problem.line.map(|line| line + first_line), ..problem })?;
    for finding in &mut project.findings {
        finding.line = finding.line.map(|line| line + first_line);
    }
    project.findings.sort_by_key(|finding| finding.line.unwrap_or(usize::MAX));
    Ok(project)
}

/// The group that holds `reader` and `sink`, and how many lines are before the text it is in: under `replicator`, and
/// that under whatever, as in values of Helm or in a config map, where it is text in a text.
fn find(root: &Node) -> Result<(Node, usize), Problem> {
    let missing = || Problem {
        line: None,
        message: "it has no `reader` and `sink`".to_owned(),
        hint: Some("they stand under `replicator`, in appsettings.yaml or in the values of Helm".to_owned()),
    };
    let mut found = Vec::new();
    look_into(root, "", 0, 0, &mut found);
    // Where both are there, those under `replicator` are the ones that it reads.
    if found.len() > 1 && found.iter().any(|settings| settings.is_named) {
        found.retain(|settings| settings.is_named);
    }
    match &found[..] {
        [] => Err(missing()),
        [one] => Ok((one.node.clone(), one.lines_before)),
        [_, second, ..] => {
            let message = "it holds the settings of several Replicators";
            Err(Problem::at(second.node.line + second.lines_before, message).hint("import them one by one"))
        }
    }
}

/// Settings that were found in a file.
struct Found {
    node: Node,
    lines_before: usize,
    /// Whether they are under the key `replicator`.
    is_named: bool,
}

fn look_into(node: &Node, key: &str, lines_before: usize, depth: usize, found: &mut Vec<Found>) {
    if depth > DEEPEST_GROUP {
        return;
    }
    match &node.value {
        Value::Map(entries) => {
            let has = |key: &str| entries.iter().any(|entry| entry.key.eq_ignore_ascii_case(key));
            if has("reader") || has("sink") {
                let is_named = key.eq_ignore_ascii_case("replicator");
                found.push(Found { node: node.clone(), lines_before, is_named });
                return;
            }
            for entry in entries {
                // The first line of a text in a text is the one behind its key.
                let before = lines_before + if matches!(entry.value.value, Value::Block(_)) { entry.line } else { 0 };
                look_into(&entry.value, &entry.key, before, depth + 1, found);
            }
        }
        Value::Block(text) => {
            if let Ok(inner) = parse(text) {
                look_into(&inner, key, lines_before, depth + 1, found);
            }
        }
        _ => {}
    }
}

fn translate_settings(node: &Node, project: &mut Project) -> Result<(), Problem> {
    let mut settings = Section::of(node, "", SETTINGS)?;
    reader(&mut settings, project, node.line)?;
    sink(&mut settings, project, node.line)?;
    scavenge(&mut settings, project)?;
    running(&mut settings, project)?;
    checkpoint(&mut settings, project)?;
    for setting in settings.list("filters", FILTER)? {
        filter(setting, project)?;
    }
    // Behind the filters, as in the Replicator: what they leave out is not transformed.
    transform(&mut settings, project)?;
    settings.finish(&mut project.findings);
    project.findings.push(Finding {
        setting: "events without data".to_owned(),
        line: None,
        kind: Kind::Differs,
        text: "they are carried as they are; the Replicator leaves them out".to_owned(),
    });
    Ok(())
}

fn scavenge(settings: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    let Some(scavenge) = settings.flag("scavenge")? else { return Ok(()) };
    let finding = if scavenge.value {
        scavenge.finding(
            Kind::Differs,
            "deleted and expired events that the source still holds are carried, and so is the metadata of their streams \
             that hides them; scavenge the source first to leave them out",
        )
    } else {
        scavenge.finding(Kind::Became, "what the source still holds is carried")
    };
    project.findings.push(finding);
    Ok(())
}

/// How the Replicator runs.
fn running(settings: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    const ENDS: &str = "`eventlift migrate` ends where the source ends";
    const FOLLOWS: &str = "`eventlift migrate --follow` carries over what comes, until it is stopped";
    let continuously = settings.flag("runContinuously")?;
    project.runs_continuously = continuously.as_ref().is_none_or(|setting| setting.value);
    let text = if project.runs_continuously { FOLLOWS } else { ENDS };
    project.findings.push(match continuously {
        Some(setting) => setting.finding(Kind::Became, text),
        None => default("runContinuously", Kind::Became, text),
    });
    let retries = "stores that can't be reached are waited for, as `[retry]` in eventlift.toml says";
    if let Some(setting) = settings.flag("restartOnFailure")? {
        project.findings.push(setting.finding(Kind::Differs, retries));
    }
    for key in ["restartDelayInMilliseconds", "restartDelayInSeconds"] {
        if let Some(setting) = settings.number(key)? {
            project.findings.push(setting.finding(Kind::NoCounterpart, retries));
        }
    }
    if let Some(setting) = settings.number("reportMetricsFrequencyInSeconds")? {
        project.findings.push(setting.finding(Kind::NoCounterpart, "`eventlift status` tells where a run stands"));
    }
    if let Some(setting) = settings.flag("debugPartitionSequences")? {
        project.findings.push(setting.finding(Kind::NoCounterpart, "it only makes the Replicator's log longer"));
    }
    Ok(())
}

fn checkpoint(settings: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    const ANEW: &str = "eventlift keeps a ledger of its own and begins at the start: what the target holds already is \
                        recognised by id and revision, and not appended twice";
    let Some(mut section) = settings.section("checkpoint", CHECKPOINT)? else {
        project.findings.push(default("checkpoint", Kind::Differs, ANEW));
        return Ok(());
    };
    let kind = section.text("type")?;
    let is_mongo = kind.as_ref().is_some_and(|kind| kind.value == "mongo");
    if let Some(kind) = &kind {
        let text = match &*kind.value {
            "file" => ANEW.to_owned(),
            "mongo" => format!("checkpoints are not read from MongoDB; {ANEW}"),
            _ => return Err(Problem::at(kind.line, "`checkpoint.type` is neither `file` nor `mongo`")),
        };
        project.findings.push(kind.finding(Kind::Differs, text));
    }
    if let Some(path) = section.text("path")? {
        // With MongoDB it is a connection string, with a password.
        let what = if is_mongo { "it is not read".to_owned() } else { format!("{:?} is not read", path.value) };
        let why = if kind.is_some() { String::new() } else { format!("; {ANEW}") };
        project.findings.push(path.finding(Kind::Differs, format!("{what}{why}")));
    }
    if let Some(after) = section.number("checkpointAfter")? {
        let text = "progress is recorded behind what was appended; an append that is repeated changes nothing";
        project.findings.push(after.finding(Kind::Differs, text));
    }
    for key in ["database", "instanceId"] {
        if let Some(setting) = section.text(key)? {
            project.findings.push(setting.finding(Kind::NoCounterpart, "eventlift needs no MongoDB"));
        }
    }
    if let Some(seeder) = section.section("seeder", SEEDER)? {
        self::seeder(seeder, project)?;
    }
    section.finish(&mut project.findings);
    Ok(())
}

fn seeder(mut seeder: Section<'_>, project: &mut Project) -> Result<(), Problem> {
    let (kind, path) = (seeder.text("type")?, seeder.text("path")?);
    match &kind {
        Some(kind) if kind.value == "chaser" => {
            let at = path.map(|path| format!(" {:?}", path.value)).unwrap_or_default();
            let question = format!(
                "the Replicator began at the position of a chaser.chk{at}, behind a backup that the target was made of; \
                 eventlift begins at the start, which is right only if the target is new or holds what the source holds"
            );
            project.findings.push(kind.finding(Kind::Undecided, question.clone()));
            let name = "checkpoint.seeder: where to begin".to_owned();
            project.rules.push(Rule { name, comment: format!("Line {}", kind.line), what: What::Undecided(question) });
        }
        Some(kind) if kind.value != "none" => {
            return Err(Problem::at(kind.line, "`checkpoint.seeder.type` is neither `none` nor `chaser`"));
        }
        _ => {}
    }
    seeder.finish(&mut project.findings);
    Ok(())
}

fn transform(settings: &mut Section<'_>, project: &mut Project) -> Result<(), Problem> {
    project.adds_metadata = true;
    let Some(mut section) = settings.section("transform", TRANSFORM)? else { return Ok(()) };
    let (kind, config) = (section.text("type")?, section.text("config")?);
    if let Some(size) = section.number("bufferSize")? {
        project.findings.push(size.finding(Kind::NoCounterpart, "how much is in memory is bounded by itself"));
    }
    section.finish(&mut project.findings);
    let Some(kind) = kind else { return Ok(()) };
    match &*kind.value.to_lowercase() {
        "default" => project.findings.push(kind.finding(Kind::Became, "events are carried as they are")),
        "js" | "http" => {
            project.adds_metadata = false;
            undecided_transform(&kind, config.as_ref(), project);
        }
        _ => {
            let text = "the Replicator knows no such transformation, and carries events as they are";
            project.findings.push(kind.finding(Kind::Became, text));
        }
    }
    Ok(())
}

/// A transformation is code that is not run: somebody has to write down as rules what it does.
fn undecided_transform(kind: &Setting<String>, config: Option<&Setting<String>>, project: &mut Project) {
    let what = match (&*kind.value.to_lowercase(), config) {
        ("http", Some(url)) => format!("the service {}", without_user(&url.value)),
        ("js", Some(path)) => path.value.replace(char::is_control, " "),
        (other, None) => format!("a transformation ({other})"),
        (other, Some(_)) => other.to_owned(),
    };
    let question = format!(
        "every event that the filters left went through {what}, which eventlift does not run: write what it changes as rules \
         here, or as upcasters, which come before the filters, and what it leaves out as rules that drop"
    );
    project.findings.push(kind.finding(Kind::Undecided, question.clone()));
    let name = format!("transform: {what}");
    project.rules.push(Rule { name, comment: format!("Line {}", kind.line), what: What::Undecided(question) });
}

/// A URL without what could be a password in it.
fn without_user(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    };
    shown.replace(char::is_control, " ")
}

/// What becomes of a setting that is not there.
pub(super) fn default(setting: &str, kind: Kind, text: &str) -> Finding {
    Finding { setting: setting.to_owned(), line: None, kind, text: text.to_owned() }
}
