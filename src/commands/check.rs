//! `check`: compiles every definition, runs their test cases, proves the chains. Needs no store.

use std::fmt;

use eventlift_transformers::{Registry, TestResult};
use serde::Serialize;

use super::arguments::ProjectArguments;
use super::error::{CommandError, ExitCode};
use super::output::Report;
use super::rules::definitions;
use crate::config::Project;

/// How the definitions fared.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    rules: usize,
    schemas: usize,
    fingerprint: String,
    tests: Vec<TestLine>,
    passed: usize,
    failed: usize,
}

/// How one test case went.
#[derive(Debug, Serialize)]
struct TestLine {
    name: String,
    place: String,
    failure: Option<String>,
}

/// Checks the definitions of a project.
pub(super) async fn check(arguments: &ProjectArguments) -> Result<CheckReport, CommandError> {
    let project = Project::load(&arguments.project)?;
    let definitions = definitions(&project)?;
    let registry = definitions.register(Registry::builder()).build()?;
    let results = definitions.test(&registry);
    let passed = results.iter().filter(|result| result.passed()).count();
    Ok(CheckReport {
        rules: registry.rule_count(),
        schemas: registry.schema_count(),
        fingerprint: registry.fingerprint().to_owned(),
        failed: results.len() - passed,
        passed,
        tests: results.into_iter().map(TestLine::from).collect(),
    })
}

impl From<TestResult> for TestLine {
    fn from(result: TestResult) -> Self {
        Self { name: result.name, place: result.place.to_string(), failure: result.failure }
    }
}

impl Report for CheckReport {
    fn exit_code(&self) -> ExitCode {
        if self.failed == 0 { ExitCode::Done } else { ExitCode::Project }
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
        let cases = if self.passed == 1 { "test case" } else { "test cases" };
        write!(f, "{} {cases} passed, {} failed", self.passed, self.failed)
    }
}
