//! Commands go on by themselves when a store could not be reached for a while, and say so.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};

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

/// How long nothing may get on before it is looked whether the servers still answer.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a server may take to answer then.
const ANSWER: Duration = Duration::from_secs(30);

/// Attempts something until it comes through or does not pass, and returns how often it was tried again. The reason
/// and the wait are said on standard error: standard output is for the report.
///
/// Sockets are sqlx's own and can't be told to notice that the other side is gone, so while nothing gets on, `reach`
/// asks the servers now and then. Where nobody answers, the attempt is dropped as one that has failed with that. An
/// answer proves less: a connection that only the network has forgotten stays as it is.
pub(super) async fn going_on<T, E, F, R>(
    policy: &RetryPolicy,
    format: Format,
    stop: &Stop,
    attempt: impl Fn(Heartbeat) -> F,
    reach: impl Fn() -> R,
) -> Result<(T, u32), E>
where
    E: MayPass + Display + From<StoreError>,
    F: Future<Output = Result<T, E>>,
    R: Future<Output = Result<(), StoreError>>,
{
    let reach = &reach;
    let watched = |heartbeat: Heartbeat| {
        let attempt = attempt(heartbeat.clone());
        async move {
            tokio::select! {
                biased;
                ended = attempt => ended,
                gone = nobody_answers(heartbeat, reach) => Err(gone.into()),
            }
        }
    };
    go_on(policy, stop, watched, |next| say(format, &next)).await
}

/// Returns once nothing gets on and nobody answers.
async fn nobody_answers<R: Future<Output = Result<(), StoreError>>>(
    heartbeat: Heartbeat,
    reach: impl Fn() -> R,
) -> StoreError {
    loop {
        let seen = heartbeat.last();
        tokio::time::sleep(SILENCE).await;
        if seen.is_none() || heartbeat.last() != seen {
            continue;
        }
        let error = match tokio::time::timeout(ANSWER, reach()).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(_) => {
                let late = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", ANSWER.as_secs()));
                StoreError::new("reach", "a server", StoreErrorKind::Unavailable(Box::new(late)))
            }
        };
        // One that is busy, or lets nobody else in, is there.
        if error.nobody_answered() {
            return error;
        }
    }
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn refused() -> Result<(), StoreError> {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        Err(StoreError::new("open", "it", StoreErrorKind::Unavailable(Box::new(refused))))
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hears_nothing_of_a_server_that_is_gone_is_dropped() {
        let silent = |heartbeat: Heartbeat| async move {
            heartbeat.begun();
            pending::<Result<(), CommandError>>().await
        };
        let policy = RetryPolicy { give_up_after: Duration::from_secs(1), ..RetryPolicy::default() };
        let error = going_on(&policy, Format::Json, &Stop::never(), silent, refused).await.unwrap_err();
        assert!(matches!(error, CommandError::Store(error) if error.nobody_answered()));
        let error = going_on(&policy, Format::Json, &Stop::never(), silent, pending).await.unwrap_err();
        assert!(matches!(error, CommandError::Store(error) if error.nobody_answered()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_gets_on_or_whose_server_answers_is_left_alone() {
        let slow = |heartbeat: Heartbeat| async move {
            heartbeat.begun();
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok::<_, CommandError>(())
        };
        let answers = || async { Ok(()) };
        going_on(&RetryPolicy::default(), Format::Json, &Stop::never(), slow, answers).await.unwrap();
        let busy = |heartbeat: Heartbeat| async move {
            heartbeat.begun();
            for done in 1..1000 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                heartbeat.progressed(done);
            }
            Ok::<_, CommandError>(())
        };
        going_on(&RetryPolicy::default(), Format::Json, &Stop::never(), busy, refused).await.unwrap();
    }
}
