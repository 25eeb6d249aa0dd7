//! The user's part of a cut-over: hooks, checks, and what is said of every step.

use std::io::Write;
use std::ops::ControlFlow;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventlift_events::Scope;
use tokio::process::Command;

use super::checks::{CheckOptions, run_checks};
use super::output::Format;
use crate::checks::{Verdict, When};
use crate::config::{Hook, HookAction, HookStore, Project};
use crate::cutover::{Attendant, Boundary, CutOverStep, Failure, Moment};
use crate::stores::StoreConfig;

/// How much of what a program says goes into an error.
const SAID: usize = 2_000;

/// Stands by a cut-over for a project.
pub(super) struct StandBy<'a> {
    project: &'a Project,
    target: &'a StoreConfig,
    /// What is migrated.
    scope: Scope,
    run: String,
    format: Format,
    begun: Instant,
}

impl<'a> StandBy<'a> {
    pub(super) fn new(
        project: &'a Project,
        target: &'a StoreConfig,
        scope: Scope,
        run: String,
        format: Format,
    ) -> Self {
        Self { project, target, scope, run, format, begun: Instant::now() }
    }

    fn hooks_of(&self, moment: Moment) -> &'a [Hook] {
        let settings = &self.project.cutover;
        match moment {
            Moment::Fence => &settings.fence,
            Moment::Lift => &settings.lift,
            Moment::Switch => &settings.switch,
            Moment::SwitchBack => &settings.switch_back,
        }
    }

    async fn run(&self, moment: Moment, hook: &Hook) -> Result<(), Failure> {
        let done = async {
            match &hook.action {
                HookAction::Sql { sql, on } => self.run_sql(sql, *on).await,
                HookAction::Command(command) => self.run_command(moment, command).await,
                HookAction::Webhook { url, bearer_env } => {
                    self.call(moment, url, bearer_env.as_deref(), hook.timeout).await
                }
            }
        };
        match tokio::time::timeout(hook.timeout, done).await {
            Ok(done) => done,
            Err(_) => Err(Failure(format!("{} took longer than {:?}", name(hook), hook.timeout))),
        }
    }

    async fn run_sql(&self, sql: &str, on: HookStore) -> Result<(), Failure> {
        let store = match on {
            HookStore::Source => &self.project.source,
            HookStore::Target => self.target,
        };
        store.execute(sql).await.map_err(|error| Failure(error.to_string()))
    }

    async fn run_command(&self, moment: Moment, command: &[String]) -> Result<(), Failure> {
        let Some((program, arguments)) = command.split_first() else { return Ok(()) };
        let started = Command::new(program)
            .args(arguments)
            .current_dir(&self.project.folder)
            .env("EVENTLIFT_RUN", &self.run)
            .env("EVENTLIFT_MOMENT", moment.as_str())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = started.await.map_err(|error| Failure(format!("{program} can't be started: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        let end = said.char_indices().map(|(at, _)| at).find(|at| *at >= SAID).unwrap_or(said.len());
        Err(Failure(format!("{program} ended with {}: {}", output.status, &said[..end])))
    }

    #[cfg(feature = "webhook")]
    async fn call(
        &self,
        moment: Moment,
        url: &str,
        bearer_env: Option<&str>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let body = serde_json::json!({
            "moment": moment.as_str(),
            "run": self.run,
            "source": self.project.source.to_string(),
            "target": self.target.to_string(),
        });
        let token = match bearer_env {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| {
                Failure(format!("the environment variable {name} is not set, which holds the webhook's token"))
            })?),
        };
        let (url, body) = (url.to_owned(), body.to_string());
        let called = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).build().into();
            let mut request = agent.post(&url).header("content-type", "application/json");
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            request.send(body).map(|_| ()).map_err(|error| {
                // The path may be a secret, as chat systems have it.
                Failure(format!("the webhook at {} has failed: {error}", host(&url)))
            })
        });
        called.await.unwrap_or_else(|error| Err(Failure(format!("the webhook has failed: {error}"))))
    }

    #[cfg(not(feature = "webhook"))]
    async fn call(&self, _: Moment, url: &str, _: Option<&str>, _: Duration) -> Result<(), Failure> {
        Err(Failure(format!("the webhook at {} can't be called: eventlift was built without `webhook`", host(url))))
    }
}

/// What a hook is called, without what may be secret in it.
fn name(hook: &Hook) -> String {
    match &hook.action {
        HookAction::Sql { .. } => "the statement".to_owned(),
        HookAction::Command(command) => command.first().cloned().unwrap_or_default(),
        HookAction::Webhook { url, .. } => format!("the webhook at {}", host(url)),
    }
}

/// The host of a URL, without user, path and query.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[async_trait]
impl Attendant for StandBy<'_> {
    async fn hooks(&mut self, moment: Moment) -> Result<(), Failure> {
        for hook in self.hooks_of(moment) {
            self.run(moment, hook).await?;
        }
        Ok(())
    }

    fn has_hooks(&self, moment: Moment) -> bool {
        !self.hooks_of(moment).is_empty()
    }

    async fn checks(&mut self) -> Result<(), Failure> {
        let options = CheckOptions { scope: self.scope.clone(), ..CheckOptions::default() };
        let report = run_checks(self.project, When::Cutover, options).await;
        let report = report.map_err(|error| Failure(error.to_string()))?;
        let failed = report.results.iter().filter(|result| result.verdict == Verdict::Fail);
        let failed: Vec<String> = failed.map(ToString::to_string).collect();
        if failed.is_empty() { Ok(()) } else { Err(Failure(failed.join("; "))) }
    }

    fn reached(&mut self, boundary: Boundary) -> ControlFlow<()> {
        if self.format == Format::Text && boundary.recorded {
            say(boundary.step, self.begun.elapsed());
        }
        ControlFlow::Continue(())
    }
}

fn say(step: CutOverStep, since: Duration) {
    let what = match step {
        CutOverStep::Lifted => "the fence is lifted: writers use the source",
        CutOverStep::Begun => "catching up and comparing; writers use the source meanwhile",
        CutOverStep::Fenced => "the source refuses writes",
        CutOverStep::Drained => "everything is in the target",
        CutOverStep::Verified => "both sides are the same",
        CutOverStep::Checked => "the checks have passed",
        CutOverStep::Confirmed => "the fence stands for good",
        CutOverStep::Switched => "writers are switched to the target",
        CutOverStep::Done => "writers use the target",
        CutOverStep::BackFenced => "the target refuses writes",
        CutOverStep::BackDrained => "everything is in the source",
        CutOverStep::BackSwitched => "writers are switched back to the source",
        CutOverStep::RolledBack => "writers use the source again",
    };
    // Where standard error is closed, nobody hears it.
    let _ = writeln!(std::io::stderr(), "{:8.3} s  {what}", since.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_host_is_shown() {
        assert_eq!(host("https://user:secret@example.com:8080/services/T0/secret?token=1"), "example.com:8080");
        assert_eq!(host("http://example.com"), "example.com");
    }
}
