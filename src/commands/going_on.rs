//! Commands go on by themselves when a store could not be reached for a while, and say so.

use std::fmt::Display;

use eventlift_events::StoreError;

use super::error::CommandError;
use super::output::{Format, say_error};
use crate::pipeline::{Heartbeat, MayPass, NextTry, PipelineError, RetryPolicy, Stop, go_on};
use crate::rebuild::RebuildError;

impl MayPass for CommandError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Pipeline(error) => error.store_error(),
            Self::Rebuild(error) => error.store_error(),
            _ => None,
        }
    }
}

impl MayPass for RebuildError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Source(error) | Self::ReadModels(error) => Some(error),
            Self::Lift(error) => PipelineError::store_error(error),
            _ => None,
        }
    }
}

/// Attempts something until it comes through or does not pass, and returns how often it was tried again. The reason
/// and the wait are said on standard error: standard output is for the report.
pub(super) async fn going_on<T, E: MayPass + Display, F: Future<Output = Result<T, E>>>(
    policy: &RetryPolicy,
    format: Format,
    stop: &Stop,
    attempt: impl FnMut(Heartbeat) -> F,
) -> Result<(T, u32), E> {
    go_on(policy, stop, attempt, |next| say(format, &next)).await
}

fn say<E: Display>(format: Format, next: &NextTry<'_, E>) {
    let NextTry { error, wait, retries } = next;
    let seconds = wait.as_secs_f64();
    match format {
        Format::Text => say_error(format_args!("{error}; trying again in {seconds:.1} s ({})", nth(*retries))),
        Format::Json => {
            let retry = serde_json::json!({
                "retry": { "message": error.to_string(), "wait_seconds": seconds, "retries": retries }
            });
            say_error(retry);
        }
    }
}

fn nth(retries: u32) -> String {
    match retries {
        1 => "the first time".to_owned(),
        retries => format!("the {retries}{} time", suffix(retries)),
    }
}

fn suffix(number: u32) -> &'static str {
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

/// What a report says about it; nothing where nothing was tried again.
pub(super) fn went_on(retries: u32) -> Option<String> {
    match retries {
        0 => None,
        1 => Some("a store could not be reached; it went on by itself once".to_owned()),
        retries => Some(format!("stores could not be reached; it went on by itself {retries} times")),
    }
}
