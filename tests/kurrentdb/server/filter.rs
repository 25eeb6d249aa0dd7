//! Which events of `$all` a reader asked for.

use regex::Regex;
use tonic::Status;

use super::database::Record;
use super::messages::{Expression, FilterBy, FilterOptions, Window};

/// As many events as the server looks at before it takes a breath, unless the reader says otherwise.
const DEFAULT_WINDOW: u64 = 32;

/// A filter with the window it was asked with.
pub(super) struct Filter {
    by_stream: bool,
    text: Text,
    /// How many events one page looks at, at most.
    pub(super) window: u64,
    /// After how many events that were looked at a checkpoint is due.
    pub(super) interval: u64,
}

enum Text {
    Regex(Regex),
    Prefixes(Vec<String>),
}

impl Filter {
    /// Refuses what the server refuses: no filter, no window, an interval of nothing, a regex that is none.
    pub(super) fn read(options: &FilterOptions) -> Result<Self, Status> {
        let (by_stream, expression) = match &options.filter {
            Some(FilterBy::StreamIdentifier(expression)) => (true, expression),
            Some(FilterBy::EventType(expression)) => (false, expression),
            None => return Err(Status::invalid_argument("'None' is not a valid FilterOptions")),
        };
        let window = match options.window {
            Some(Window::Max(max)) => u64::from(max).max(1),
            Some(Window::Count(_)) => DEFAULT_WINDOW,
            None => return Err(Status::invalid_argument("'None' is not a valid WindowOneofCase")),
        };
        if options.checkpoint_interval_multiplier == 0 {
            return Err(Status::unknown("checkpointIntervalMultiplier ('0') must be a non-zero value."));
        }
        let interval = window * u64::from(options.checkpoint_interval_multiplier);
        Ok(Self { by_stream, text: Text::read(expression)?, window, interval })
    }

    pub(super) fn allows(&self, record: &Record) -> bool {
        let text: &str = if self.by_stream { &record.stream } else { &record.event_type };
        match &self.text {
            Text::Regex(regex) => regex.is_match(text),
            Text::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix.as_str())),
        }
    }
}

impl Text {
    fn read(expression: &Expression) -> Result<Self, Status> {
        if expression.regex.is_empty() {
            return Ok(Self::Prefixes(expression.prefix.clone()));
        }
        Regex::new(&expression.regex).map(Self::Regex).map_err(|error| Status::unknown(error.to_string()))
    }
}
