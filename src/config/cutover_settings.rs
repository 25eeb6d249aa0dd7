//! `[cutover]`: how the source is fenced, and what switches writers.

use std::time::Duration;

use serde::Deserialize;

use super::WrongValue;

/// What `eventlift.toml` says about a cut-over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutOverSettings {
    /// How long the source may refuse writes before everything is ready for the switch.
    pub budget: Duration,
    /// How long writes under way are waited for.
    pub patience: Duration,
    /// The source is fenced once carrying over what has come takes no longer than this.
    pub settled: Duration,
    /// What writers are told that the fence keeps out; a text of its own if none.
    pub message: Option<String>,
    /// What fences the source, where the store has no fence of its own, or beside it.
    pub fence: Vec<Hook>,
    /// What lifts that fence.
    pub lift: Vec<Hook>,
    /// What switches writers to the target.
    pub switch: Vec<Hook>,
    /// What switches them back to the source.
    pub switch_back: Vec<Hook>,
}

/// Something of the user's that is done at a cut-over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// What.
    pub action: HookAction,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a hook does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookAction {
    /// Statements, in one transaction of one of the stores.
    Sql {
        /// The statements.
        sql: String,
        /// Where.
        on: HookStore,
    },
    /// A program and its arguments, started in the project's folder.
    Command(Vec<String>),
    /// A POST request with the run, the moment and the stores as JSON; any answer of the 200s is success.
    Webhook {
        /// Its URL, which may hold a secret.
        url: String,
        /// The environment variable that holds a token to be sent along.
        bearer_env: Option<String>,
    },
}

/// A store that a hook's statements run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookStore {
    /// The source.
    Source,
    /// The target.
    Target,
}

impl Default for CutOverSettings {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(30),
            patience: Duration::from_secs(5),
            settled: Duration::from_millis(250),
            message: None,
            fence: Vec::new(),
            lift: Vec::new(),
            switch: Vec::new(),
            switch_back: Vec::new(),
        }
    }
}

/// `[cutover]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    budget: Option<String>,
    patience: Option<String>,
    settled: Option<String>,
    message: Option<String>,
    fence: Vec<WrittenHook>,
    lift: Vec<WrittenHook>,
    switch: Vec<WrittenHook>,
    switch_back: Vec<WrittenHook>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHook {
    sql: Option<String>,
    on: Option<HookStore>,
    command: Option<Vec<String>>,
    webhook: Option<String>,
    bearer_env: Option<String>,
    timeout: Option<String>,
}

impl Written {
    pub(super) fn settings(self) -> Result<CutOverSettings, WrongValue> {
        let defaults = CutOverSettings::default();
        let settings = CutOverSettings {
            budget: length_of_time("budget", self.budget, defaults.budget)?,
            patience: length_of_time("patience", self.patience, defaults.patience)?,
            settled: length_of_time("settled", self.settled, defaults.settled)?,
            message: self.message,
            fence: hooks("fence", self.fence)?,
            lift: hooks("lift", self.lift)?,
            switch: hooks("switch", self.switch)?,
            switch_back: hooks("switch_back", self.switch_back)?,
        };
        // A fence that nothing lifts would keep writers out for good when a cut-over fails.
        if !settings.fence.is_empty() && settings.lift.is_empty() {
            return Err(wrong("lift", "`fence` has hooks, and `lift` has none that take them back")
                .hint("say under `lift` how writers are let in again"));
        }
        Ok(settings)
    }
}

fn hooks(key: &str, written: Vec<WrittenHook>) -> Result<Vec<Hook>, WrongValue> {
    written.into_iter().map(|hook| hook.read(key)).collect()
}

impl WrittenHook {
    fn read(self, key: &str) -> Result<Hook, WrongValue> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let timeout = length_of_time(key, self.timeout, TIMEOUT)?;
        let action = match (self.sql, self.command, self.webhook) {
            (Some(sql), None, None) => {
                let on = self.on.ok_or_else(|| {
                    wrong(key, "a hook with `sql` says on which store").hint("`on = \"source\"` or `on = \"target\"`")
                })?;
                HookAction::Sql { sql, on }
            }
            (None, Some(command), None) if command.is_empty() => {
                return Err(wrong(key, "`command` is empty")
                    .hint("a program and its arguments, such as [\"systemctl\", \"restart\", \"shop\"]"));
            }
            (None, Some(command), None) => HookAction::Command(command),
            (None, None, Some(url)) if !(url.starts_with("https://") || url.starts_with("http://")) => {
                return Err(wrong(key, "`webhook` is no URL").hint("it starts with https:// or http://"));
            }
            (None, None, Some(url)) => HookAction::Webhook { url, bearer_env: self.bearer_env.clone() },
            _ => {
                return Err(wrong(key, "a hook is one of `sql`, `command` and `webhook`"));
            }
        };
        if self.bearer_env.is_some() && !matches!(action, HookAction::Webhook { .. }) {
            return Err(wrong(key, "`bearer_env` goes with `webhook` only"));
        }
        if self.on.is_some() && !matches!(action, HookAction::Sql { .. }) {
            return Err(wrong(key, "`on` goes with `sql` only"));
        }
        Ok(Hook { action, timeout })
    }
}

fn wrong(key: &str, message: &str) -> WrongValue {
    WrongValue {
        keys: vec!["cutover".to_owned(), key.to_owned()],
        message: format!("[cutover] {key}: {message}"),
        hint: None,
    }
}

fn length_of_time(key: &str, text: Option<String>, default: Duration) -> Result<Duration, WrongValue> {
    let Some(text) = text else { return Ok(default) };
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        wrong(key, &format!("{text:?} is no length of time"))
            .hint("a length of time is text such as \"500ms\", \"30s\" or \"2min\"")
    })
}
