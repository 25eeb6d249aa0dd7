//! Filters as rules that drop.

use super::Problem;
use super::finding::Kind;
use super::project::{Project, Rule, What};
use super::regex::translate;
use super::section::{Section, Setting};

/// What is looked at.
#[derive(Clone, Copy)]
enum About {
    EventType,
    Stream,
}

impl About {
    fn condition(self) -> &'static str {
        match self {
            Self::EventType => "event_type_matches",
            Self::Stream => "stream_matches",
        }
    }

    fn events(self) -> &'static str {
        match self {
            Self::EventType => "events whose type",
            Self::Stream => "events whose stream",
        }
    }

    /// An event of a test case whose type, or stream, is this.
    fn given(self, name: &str) -> String {
        let name = toml::Value::from(name);
        match self {
            Self::EventType => format!("{{ type = {name} }}"),
            Self::Stream => format!("{{ type = \"Any\", stream = {name} }}"),
        }
    }
}

/// Expressions that every name matches: names have no line breaks and are not empty.
const EVERYTHING: [&str; 8] = ["", ".", ".*", ".+", "^.*", "^.+", "^.*$", "^.+$"];

/// Adds the rules of one filter.
pub(super) fn filter(mut setting: Setting<Section<'_>>, project: &mut Project) -> Result<(), Problem> {
    let section = &mut setting.value;
    let kind = section.text("type")?;
    let (include, exclude) = (section.text("include")?, section.text("exclude")?);
    let Some(kind) = kind else {
        return Err(Problem::at(setting.line, format!("`{}.type` is missing", setting.key)).hint(KINDS));
    };
    let about = match &*kind.value {
        "eventType" => About::EventType,
        "streamName" => About::Stream,
        _ => return Err(Problem::at(kind.line, format!("`{}` is no filter of the Replicator", kind.key)).hint(KINDS)),
    };
    if include.is_none() && exclude.is_none() {
        project.findings.push(kind.finding(Kind::Became, "it names no expression, so it lets everything pass"));
    }
    if let Some(include) = include {
        if EVERYTHING.contains(&&*include.value) {
            project.findings.push(include.finding(Kind::Became, "it lets everything pass, so there is no rule"));
        } else {
            add(about, &include, true, project);
        }
    }
    if let Some(exclude) = exclude {
        add(about, &exclude, false, project);
    }
    setting.value.finish(&mut project.findings);
    Ok(())
}

const KINDS: &str = "it is `eventType` or `streamName`";

/// Adds the rule of one expression, or the question that it leaves.
fn add(about: About, written: &Setting<String>, is_include: bool, project: &mut Project) {
    let matches = if is_include { "does not match" } else { "matches" };
    let name = format!("{}: leaves out {} {matches}", written.key, about.events());
    let original = one_line(&written.value);
    let what = match translate(&written.value) {
        Ok(translated) => {
            let pattern = toml::Value::from(&*translated.pattern);
            let test = format!("{{ {} = {pattern} }}", about.condition());
            let when = if is_include { format!("{{ not = {test} }}") } else { test };
            let (matching, other) = examples(&translated.pattern, translated.example);
            let (dropped, kept) = if is_include { (other, matching) } else { (matching, other) };
            project.findings.push(written.finding(Kind::Became, format!("the rule {name:?}")));
            What::Drops {
                when,
                dropped: dropped.map(|name| about.given(&name)),
                kept: kept.map(|name| about.given(&name)),
            }
        }
        Err(reason) => {
            let question = format!("{} {matches} {original} were left out; it holds {reason}", about.events());
            project.findings.push(written.finding(Kind::Undecided, question.clone()));
            What::Undecided(question)
        }
    };
    project.rules.push(Rule { name, comment: format!("Line {}: {original}", written.line), what });
}

/// A name that matches, and one that does not, where they are found.
fn examples(pattern: &str, built: Option<String>) -> (Option<String>, Option<String>) {
    let Ok(regex) = ::regex::Regex::new(pattern) else { return (None, None) };
    let others = ["Unrelated", "unrelated-1", "other", "0", "~"].map(str::to_owned);
    let can_be_name = |name: &String| !name.is_empty() && !name.chars().any(char::is_control);
    let matching = built.into_iter().chain(others.clone()).find(|name| can_be_name(name) && regex.is_match(name));
    (matching, others.into_iter().find(|name| !regex.is_match(name)))
}

/// Text for a comment or a message: in one line.
fn one_line(text: &str) -> String {
    format!("/{}/", text.replace(char::is_control, " "))
}
