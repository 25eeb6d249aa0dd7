//! `check`: compiles every definition, runs their test cases, proves the chains. Needs no store.

use std::fmt;

use eventlift_language::TestResult;
use eventlift_transformers::Registry;
use serde::Serialize;

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
    /// What is wrong with `eventlift.toml` in the light of the definitions.
    problems: Vec<ProblemLine>,
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
    results.extend(projections.test());
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
        problems: problems(&project, &projections.names()).into_iter().map(ProblemLine::from).collect(),
        stores,
    })
}

/// What is wrong with a project that has projections of these names.
fn problems(project: &Project, projections: &[&str]) -> Vec<ConfigError> {
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
        if self.failed > 0 || !self.problems.is_empty() {
            return ExitCode::Project;
        }
        match self.stores.as_ref().is_none_or(StoreReport::passed) {
            true => ExitCode::Done,
            false => ExitCode::Refused,
        }
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
        Ok(())
    }
}
