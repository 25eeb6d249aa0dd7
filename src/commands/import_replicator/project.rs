//! The project that is written.

use super::finding::Finding;

/// What a configuration comes to.
#[derive(Default)]
pub(super) struct Project {
    pub(super) source: Store,
    /// None where the sink is no store that events can be migrated to.
    pub(super) target: Option<Store>,
    /// Lines of `[target]` behind the URL.
    pub(super) target_lines: Vec<String>,
    /// Whether the Replicator added what it knew of the original to the metadata.
    pub(super) adds_metadata: bool,
    pub(super) runs_continuously: bool,
    pub(super) rules: Vec<Rule>,
    pub(super) findings: Vec<Finding>,
}

/// A store of the project.
#[derive(Default)]
pub(super) struct Store {
    pub(super) url: String,
    pub(super) has_password: bool,
    /// What was assumed, for comments.
    pub(super) notes: Vec<String>,
}

/// A rule of the project.
pub(super) struct Rule {
    pub(super) name: String,
    /// Where it comes from, in one line.
    pub(super) comment: String,
    pub(super) what: What,
}

/// What a rule does.
pub(super) enum What {
    /// It drops events.
    Drops {
        /// The condition, in TOML.
        when: String,
        /// An event that it drops, and one that it does not, in TOML.
        dropped: Option<String>,
        kept: Option<String>,
    },
    /// Nothing yet: this is to be decided first.
    Undecided(String),
}

/// The variables that passwords are read from.
const SOURCE_PASSWORD: &str = "EVENTLIFT_SOURCE_PASSWORD";
const TARGET_PASSWORD: &str = "EVENTLIFT_TARGET_PASSWORD";

impl Project {
    /// The variables that have to hold passwords.
    pub(super) fn password_variables(&self) -> impl Iterator<Item = &'static str> {
        let source = self.source.has_password.then_some(SOURCE_PASSWORD);
        let target = self.target.as_ref().is_some_and(|target| target.has_password).then_some(TARGET_PASSWORD);
        source.into_iter().chain(target)
    }

    /// The text of `eventlift.toml`.
    pub(super) fn config_text(&self, file: &str) -> String {
        let mut text = format!(
            "# What `eventlift import-replicator` made of {file}.
# No URL here holds a password. It is read from the variable that `password_env` names, or, with
# `password_file` in place of that, from a file.

[source]
"
        );
        text.push_str(&store_text(&self.source, SOURCE_PASSWORD));
        match &self.target {
            Some(target) => {
                text.push_str("\n[target]\n");
                text.push_str(&store_text(target, TARGET_PASSWORD));
                self.target_lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
                text.push_str(&self.metadata_text());
            }
            None => text.push_str(
                "
# The sink was no store that eventlift writes to. Name another one, without which there is nothing to migrate to:
# [target]
# store = \"sqlite\"
# path = \"lifted.db\"
",
            ),
        }
        text.push_str(
            "
[policy]
# Streams that were truncated or scavenged have gaps, over which the Replicator went as well.
revisions = \"sparse\"
",
        );
        text
    }

    fn metadata_text(&self) -> String {
        let [time, revision, position] = match self.adds_metadata {
            true => ["$originalCreatedDate", "$originalEventNumber", "$originalPosition"],
            false => ["none"; 3],
        };
        let why = match self.adds_metadata {
            true => "The keys under which the Replicator kept what the original was.",
            false => "With a transformation the Replicator adds nothing to the metadata.",
        };
        format!(
            "\n# {why}\n[target.metadata]\ntime = \"{time}\"\nrevision = \"{revision}\"\nposition = \"{position}\"\n"
        )
    }

    /// The text of the file of rules; none where there are no rules.
    pub(super) fn rules_text(&self, file: &str) -> Option<String> {
        if self.rules.is_empty() {
            return None;
        }
        let mut text = format!("# The filters and transformations of {file}.\n");
        self.rules.iter().for_each(|rule| text.push_str(&rule_text(rule)));
        Some(text)
    }
}

fn store_text(store: &Store, password: &str) -> String {
    let mut text = String::new();
    store.notes.iter().for_each(|note| text.push_str(&format!("# Note: {note}.\n")));
    text.push_str(&format!("url = {}\n", toml::Value::from(&*store.url)));
    let comment = if store.has_password { "" } else { "# " };
    text.push_str(&format!("{comment}password_env = \"{password}\"\n"));
    text
}

fn rule_text(rule: &Rule) -> String {
    let mut text = format!("\n# {}\n[[rule]]\nname = {}\n", rule.comment, toml::Value::from(&*rule.name));
    match &rule.what {
        What::Undecided(question) => text.push_str(&format!("undecided = {}\n", toml::Value::from(&**question))),
        What::Drops { when, dropped, kept } => {
            text.push_str(&format!("when = {when}\ndrop = true\n"));
            if let Some(given) = dropped {
                text.push_str(&test_text("is left out", given, "then = []"));
            }
            if let Some(given) = kept {
                text.push_str(&test_text("stays", given, "fails_with = \"the rule does not take the event\""));
            }
        }
    }
    text
}

fn test_text(name: &str, given: &str, expected: &str) -> String {
    format!("\n[[rule.test]]\nname = \"{name}\"\ngiven = {given}\n{expected}\n")
}
