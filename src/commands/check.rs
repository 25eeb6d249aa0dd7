//! `check`: compiles every definition, runs their test cases, proves the chains. Needs no store; where the target has a
//! ledger, what was applied and has changed since is told.

use std::fmt;

use eventlift_language::TestResult;
use eventlift_transformers::{NoWayBack, Registry};
use serde::Serialize;

use super::applied::Applied;
use super::arguments::{CheckArguments, CheckTime};
use super::checks::{CheckOptions, run_checks};
use super::error::{CommandError, ExitCode};
use super::output::Report;
use super::read_models::projections;
use super::rules::definitions;
use crate::checks::{CheckReport as StoreReport, When};
use crate::config::{ConfigError, Project};

/// How the definitions fared.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    rules: usize,
    schemas: usize,
    /// Projections, and aggregates as projections into their snapshots.
    projections: usize,
    fingerprint: String,
    /// Those of the rules, then those of the projections.
    tests: Vec<TestLine>,
    passed: usize,
    failed: usize,
    /// What is wrong with `eventlift.toml` in the light of the definitions, and rules without the way back that it asks
    /// for.
    problems: Vec<ProblemLine>,
    /// How the rules compare with those that the target was filled with.
    applied: Applied,
    /// Whether it fails where they are others.
    #[serde(skip)]
    is_strict: bool,
    /// Whether a way back was asked for.
    #[serde(skip)]
    reverse: bool,
    /// What came of the checks of the stores; none where they were not made.
    stores: Option<StoreReport>,
}

/// What is wrong.
#[derive(Debug, Serialize)]
struct ProblemLine {
    message: String,
    hint: Option<String>,
}

/// How one test case went.
#[derive(Debug, Serialize)]
struct TestLine {
    name: String,
    place: String,
    failure: Option<String>,
}

/// Checks the definitions of a project.
pub(super) async fn check(arguments: &CheckArguments) -> Result<CheckReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let definitions = definitions(&project)?;
    let registry = definitions.register(Registry::builder()).build()?;
    let projections = projections(&project)?;
    let mut results = definitions.test(&registry);
    let mut problems: Vec<ProblemLine> = Vec::new();
    if project.reverse.enabled {
        match registry.inverse() {
            Ok(inverse) => results.extend(definitions.test_there_and_back(&registry, &inverse)),
            Err(missing) => problems.extend(missing.0.into_iter().map(ProblemLine::from)),
        }
    }
    results.extend(projections.test());
    problems.extend(wrong_in_project(&project, &projections.names()).into_iter().map(ProblemLine::from));
    let stores = match arguments.stores {
        false => None,
        true => {
            let when = match arguments.when {
                CheckTime::Before => When::Before,
                CheckTime::After => When::After,
                CheckTime::Cutover => When::Cutover,
            };
            let options = CheckOptions { skip: arguments.skip_check.clone(), ..CheckOptions::default() };
            Some(run_checks(&project, when, options).await?)
        }
    };
    let passed = results.iter().filter(|result| result.passed()).count();
    Ok(CheckReport {
        rules: registry.rule_count(),
        schemas: registry.schema_count(),
        projections: projections.names().len(),
        fingerprint: registry.fingerprint().to_owned(),
        failed: results.len() - passed,
        passed,
        tests: results.into_iter().map(TestLine::from).collect(),
        applied: Applied::look(&project, &registry).await,
        is_strict: arguments.strict,
        problems,
        reverse: project.reverse.enabled,
        stores,
    })
}

/// What is wrong with a project that has projections of these names.
fn wrong_in_project(project: &Project, projections: &[&str]) -> Vec<ConfigError> {
    let mut problems = project.wrong_schedules(projections);
    if !projections.is_empty() {
        problems.extend(project.require_read_models().err());
    }
    problems
}

impl From<ConfigError> for ProblemLine {
    fn from(error: ConfigError) -> Self {
        Self { message: error.to_string(), hint: error.hint }
    }
}

impl From<NoWayBack> for ProblemLine {
    fn from(missing: NoWayBack) -> Self {
        Self { message: format!("no way back: {missing}"), hint: missing.hint }
    }
}

impl From<TestResult> for TestLine {
    fn from(result: TestResult) -> Self {
        Self { name: result.name, place: result.place.to_string(), failure: result.failure }
    }
}

fn moment(when: When) -> &'static str {
    match when {
        When::Before => "before",
        When::After => "behind",
        When::Cutover => "at the cut-over of",
    }
}

impl Report for CheckReport {
    fn exit_code(&self) -> ExitCode {
        let are_others = self.is_strict && !self.applied.changed_rules.is_empty();
        let stores_fail = self.stores.as_ref().is_some_and(|stores| !stores.passed());
        match (self.failed == 0 && self.problems.is_empty(), are_others || stores_fail) {
            (false, _) => ExitCode::Project,
            (true, true) => ExitCode::Refused,
            (true, false) => ExitCode::Done,
        }
    }
}

impl CheckReport {
    fn write_applied(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Applied { run, changed_rules, note } = &self.applied;
        note.iter().try_for_each(|note| write!(f, "\nnote: {note}"))?;
        let Some(run) = run.as_ref().filter(|_| !changed_rules.is_empty()) else { return Ok(()) };
        let level = if self.is_strict { "error" } else { "warning" };
        write!(f, "\n{level}: these rules are not those that run {run} has applied")?;
        for line in changed_rules {
            write!(f, "\n  {}", line.change)?;
            line.applied_since.iter().try_for_each(|since| write!(f, "\n    applied since {since}"))?;
        }
        write!(
            f,
            "\nhint: `migrate` refuses to go on with them; change them back, record them with `eventlift repair` where they \
             give the same, or start a new target"
        )
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for test in &self.tests {
            match &test.failure {
                None => writeln!(f, "  ok      {} ({})", test.name, test.place)?,
                Some(failure) => writeln!(f, "  FAILED  {} ({})\n{failure}", test.name, test.place)?,
            }
        }
        let rules = if self.rules == 1 { "rule" } else { "rules" };
        let schemas = match self.schemas {
            0 => String::new(),
            1 => " and 1 JSON Schema".to_owned(),
            schemas => format!(" and {schemas} JSON Schemas"),
        };
        writeln!(f, "{} {rules}{schemas} compiled, every chain reaches its current version", self.rules)?;
        if self.reverse && !self.problems.iter().any(|problem| problem.message.starts_with("no way back")) {
            writeln!(f, "every rule has a way back")?;
        }
        match self.projections {
            0 => {}
            1 => writeln!(f, "1 projection compiled")?,
            projections => writeln!(f, "{projections} projections compiled")?,
        }
        let cases = if self.passed == 1 { "test case" } else { "test cases" };
        write!(f, "{} {cases} passed, {} failed", self.passed, self.failed)?;
        for ProblemLine { message, hint } in &self.problems {
            write!(f, "\nerror: {message}")?;
            hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))?;
        }
        if let Some(stores) = &self.stores {
            write!(f, "\n{} the migration:\n{stores}", moment(stores.when))?;
        }
        self.write_applied(f)
    }
}
