//! `[retry]`: how long a store that can't be reached is waited for.

use std::time::Duration;

use serde::Deserialize;

use super::WrongValue;
use crate::pipeline::RetryPolicy;

/// `[retry]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    give_up_after: Option<String>,
}

impl Written {
    pub(super) fn policy(self) -> Result<RetryPolicy, WrongValue> {
        let defaults = RetryPolicy::default();
        let give_up_after = self.give_up_after.map_or(Ok(defaults.give_up_after), |text| length_of_time(&text))?;
        Ok(RetryPolicy { give_up_after, ..defaults })
    }
}

fn length_of_time(text: &str) -> Result<Duration, WrongValue> {
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| WrongValue {
        keys: vec!["retry".to_owned(), "give_up_after".to_owned()],
        message: format!("[retry] give_up_after: {text:?} is no length of time"),
        hint: Some("a length of time is text such as \"30s\", \"5min\" or \"1h 30m\"; \"0s\" is never".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [("30s", 30), ("5min", 300), ("1h 30m", 5400), ("0s", 0)] {
            assert_eq!(length_of_time(text).ok(), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "-1s", "for ever"] {
            assert!(length_of_time(text).is_err(), "{text}");
        }
    }
}
