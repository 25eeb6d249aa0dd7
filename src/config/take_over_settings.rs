//! `[take_over]`: how long whoever writes to a store is waited for.

use std::time::Duration;

use serde::Deserialize;

use super::WrongValue;

/// What `eventlift.toml` says about getting hold of a store that somebody writes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakeOverSettings {
    /// How long they are waited for without a sign that they get on.
    pub patience: Duration,
    /// How long they are waited for in all.
    pub give_up_after: Duration,
    /// Whether the session of a process that is gone is ended at the server, where this user may.
    pub end_sessions: bool,
}

impl Default for TakeOverSettings {
    fn default() -> Self {
        // A server finds out within about a minute that the machine at the other end is gone.
        Self { patience: Duration::from_secs(90), give_up_after: Duration::from_secs(3600), end_sessions: true }
    }
}

/// `[take_over]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    patience: Option<String>,
    give_up_after: Option<String>,
    end_sessions: Option<bool>,
}

impl Written {
    pub(super) fn settings(self) -> Result<TakeOverSettings, WrongValue> {
        let defaults = TakeOverSettings::default();
        Ok(TakeOverSettings {
            patience: length_of_time("patience", self.patience, defaults.patience)?,
            give_up_after: length_of_time("give_up_after", self.give_up_after, defaults.give_up_after)?,
            end_sessions: self.end_sessions.unwrap_or(defaults.end_sessions),
        })
    }
}

fn length_of_time(key: &str, text: Option<String>, default: Duration) -> Result<Duration, WrongValue> {
    let Some(text) = text else { return Ok(default) };
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| WrongValue {
        keys: vec!["take_over".to_owned(), key.to_owned()],
        message: format!("[take_over] {key}: {text:?} is no length of time"),
        hint: Some("a length of time is text such as \"30s\", \"5min\" or \"1h 30m\"".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_documented() {
        let written = |text: &str| toml::from_str::<Written>(text).unwrap().settings();
        assert_eq!(written("").unwrap(), TakeOverSettings::default());
        let settings = written("patience = \"5min\"\ngive_up_after = \"0s\"\nend_sessions = false").unwrap();
        let (patience, give_up_after) = (Duration::from_secs(300), Duration::ZERO);
        assert_eq!(settings, TakeOverSettings { patience, give_up_after, end_sessions: false });
        assert!(written("patience = \"soon\"").unwrap_err().message.contains("no length of time"));
    }
}
