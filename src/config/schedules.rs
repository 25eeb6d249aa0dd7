//! `[schedule.NAME]`: what is built when.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{WrongValue, did_you_mean};
use crate::serve::{InvalidSchedule, Schedule, Task};

const EXAMPLE: &str =
    "for example rebuild = [\"customers\"], rebuild = \"changed\", rebuild = \"all\" or update = \"all\"";

/// `[schedule.NAME]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [schedule.NAME]")]
pub(super) struct Written {
    cron: String,
    time_zone: Option<String>,
    rebuild: Option<toml::Value>,
    update: Option<toml::Value>,
}

pub(super) fn read(written: BTreeMap<String, Written>) -> Result<Vec<Schedule>, WrongValue> {
    written.into_iter().map(|(name, written)| schedule(&name, &written)).collect()
}

fn schedule(name: &str, written: &Written) -> Result<Schedule, WrongValue> {
    let task = match (&written.rebuild, &written.update) {
        (Some(what), None) => rebuild(name, what)?,
        (None, Some(what)) => update(name, what)?,
        (Some(_), Some(_)) => {
            return Err(wrong(name, Some("update"), "has both `rebuild` and `update`")
                .hint("make two schedules of it; an update is part of every rebuild"));
        }
        (None, None) => return Err(wrong(name, None, "says neither `rebuild` nor `update`").hint(EXAMPLE)),
    };
    let zone = written.time_zone.as_deref().unwrap_or("UTC");
    Schedule::new(name, &written.cron, zone, task).map_err(|invalid| {
        let key = match invalid {
            InvalidSchedule::TimeZone { .. } => "time_zone",
            _ => "cron",
        };
        let hint = match &invalid {
            InvalidSchedule::TimeZone { name } => zone_hint(name),
            other => other.hint(),
        };
        WrongValue {
            keys: keys(name, Some(key)),
            message: format!("[schedule.{name}] {key}: {invalid}"),
            hint: Some(hint),
        }
    })
}

fn rebuild(name: &str, what: &toml::Value) -> Result<Task, WrongValue> {
    match what.as_str() {
        Some("changed") => Ok(Task::RebuildChanged),
        Some("all") => Ok(Task::RebuildAll),
        Some(word) => Err(no_choice(name, "rebuild", word, &["changed", "all"])),
        None => Ok(Task::Rebuild(names(name, "rebuild", what)?)),
    }
}

fn update(name: &str, what: &toml::Value) -> Result<Task, WrongValue> {
    match what.as_str() {
        Some("all") => Ok(Task::UpdateAll),
        Some(word) => Err(no_choice(name, "update", word, &["all"])),
        None => Ok(Task::Update(names(name, "update", what)?)),
    }
}

/// The names of projections in a list: at least one, each once.
fn names(name: &str, key: &str, what: &toml::Value) -> Result<Vec<String>, WrongValue> {
    let no_list = || wrong(name, Some(key), &format!("{key}: {what} is no list of projections")).hint(EXAMPLE);
    let list = what.as_array().filter(|list| !list.is_empty()).ok_or_else(no_list)?;
    let mut names: Vec<String> = Vec::new();
    for entry in list {
        let projection = entry.as_str().filter(|projection| !projection.is_empty()).ok_or_else(no_list)?;
        if names.iter().any(|seen| seen == projection) {
            return Err(wrong(name, Some(key), &format!("{key}: {projection} is named twice")).hint("take one away"));
        }
        names.push(projection.to_owned());
    }
    Ok(names)
}

fn no_choice(name: &str, key: &str, word: &str, words: &[&str]) -> WrongValue {
    let hint = did_you_mean(word, words.iter().copied())
        .unwrap_or_else(|| format!("a projection is named in a list: {key} = [\"{word}\"]"));
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    let message = format!("{key}: {word:?} is neither {} nor a list of projections", words.join(" nor "));
    wrong(name, Some(key), &message).hint(&hint)
}

pub(super) fn zone_hint(name: &str) -> String {
    let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    did_you_mean(name, zones.iter().map(String::as_str))
        .unwrap_or_else(|| "a time zone is a name such as \"Europe/Berlin\" or \"UTC\"".to_owned())
}

fn wrong(name: &str, key: Option<&str>, message: &str) -> WrongValue {
    let separator = if message.contains(": ") { " " } else { ": " };
    WrongValue { keys: keys(name, key), message: format!("[schedule.{name}]{separator}{message}"), hint: None }
}

fn keys(name: &str, key: Option<&str>) -> Vec<String> {
    ["schedule", name].into_iter().chain(key).map(str::to_owned).collect()
}

impl WrongValue {
    pub(super) fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }
}
