//! Makes all checks of one time.

use std::sync::Arc;

use eventlift_events::{EventReader, EventType, ReadRequest, Scope, StoreError, Timestamp};
use eventlift_transformers::Registry;
use futures_util::StreamExt;

use super::built_in::{self, OF_STORES};
use super::check::{Check, CheckSettings, Severity, Subject, Test, When};
use super::events::EventLooks;
use super::expectation::Expectation;
use super::report::{CheckReport, CheckResult};
use crate::pipeline::{Look, PipelineError, Policies, Stop, Survey, SurveyOptions, survey, survey_looking};
use crate::stores::{ReadModelConfig, StoreConfig};

/// What checks are made of.
pub struct Checks<'a> {
    /// What is configured.
    pub settings: &'a CheckSettings,
    /// What is allowed in the source.
    pub policies: Policies,
    /// Which events are migrated.
    pub scope: Scope,
    /// Where events are read.
    pub source: &'a StoreConfig,
    /// Where they are written, where there is a store for that.
    pub target: Option<&'a StoreConfig>,
    /// Where read models are, where there are some.
    pub read_models: Option<&'a ReadModelConfig>,
    /// The rules.
    pub registry: Arc<Registry>,
    /// The names of checks that are not made.
    pub skip: &'a [String],
    /// Ends scans early; what they would have found is not found then.
    pub stop: &'a Stop,
}

/// What a scan of the source has found.
pub struct Surveyed {
    /// What it holds.
    pub survey: Survey,
    /// What the checks saw that look at events, where they were shown any.
    pub looks: Option<EventLooks>,
}

impl Checks<'_> {
    /// Surveys the source, and shows its events to the checks where they need to see them, or where they are read anyway:
    /// one scan for both. Behind a position, they are shown none.
    pub async fn survey(
        &self,
        reader: &dyn EventReader,
        options: &SurveyOptions,
        seen: impl FnMut(u64),
    ) -> Result<Surveyed, PipelineError> {
        let mut looks =
            EventLooks::new(self.settings, When::Before, Subject::Source, Arc::clone(&self.registry), self.skip);
        let is_shown = options.after.is_none() && (looks.need_a_scan() || options.reads_everything(reader));
        if !is_shown {
            let survey = survey(reader, &self.registry, options, self.stop, seen).await?;
            return Ok(Surveyed { survey, looks: None });
        }
        let survey = survey_looking(reader, &self.registry, options, self.stop, seen, &mut looks).await?;
        Ok(Surveyed { survey, looks: Some(looks) })
    }

    /// Makes the checks of a time. Before a migration, `surveyed` is what a scan has found; without it the source is
    /// scanned where it can be.
    ///
    /// A check that can't be made has failed, and says why. Fails itself only where a store can't be read or reached.
    pub async fn run(&self, when: When, surveyed: Option<Surveyed>) -> Result<CheckReport, PipelineError> {
        let at = Timestamp::now().to_string();
        let mut results = Vec::new();
        if when == When::Before {
            results.extend(self.built_in(surveyed).await?);
        } else {
            for subject in [Subject::Source, Subject::Target] {
                results.extend(self.of_events(when, subject).await?);
            }
        }
        if when == When::Before {
            results.extend(self.of_events(when, Subject::Target).await?);
        }
        for check in self.settings.at(when) {
            if self.skips(&check.name) {
                results.push(CheckResult::skipped(&check.name));
            } else if let Test::Sql { sql, expect } = &check.test {
                results.push(self.of_query(check, sql, expect).await.map_err(PipelineError::Target)?);
            }
        }
        Ok(CheckReport { when, at, results })
    }

    fn skips(&self, name: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == name)
    }

    async fn built_in(&self, surveyed: Option<Surveyed>) -> Result<Vec<CheckResult>, PipelineError> {
        let surveyed = match surveyed {
            Some(surveyed) => Some(surveyed),
            None => self.scan_source().await?,
        };
        let mut results = Vec::new();
        if let Some(Surveyed { survey, looks }) = surveyed {
            results.extend(built_in::surveyed(&survey, self.policies));
            match looks {
                Some(looks) => results.extend(looks.results()),
                None => {
                    let reader = self.source.reader().await.map_err(PipelineError::Source)?;
                    results.push(built_in::last_time(&*reader).await.map_err(PipelineError::Source)?);
                }
            }
        }
        for name in OF_STORES {
            results.extend(self.of_stores(name).await.map_err(PipelineError::Target)?);
        }
        for result in &mut results {
            // What was found on the way is not said.
            if self.skips(&result.name) {
                *result = CheckResult::skipped(&result.name);
            }
        }
        Ok(results)
    }

    async fn of_stores(&self, name: &'static str) -> Result<Option<CheckResult>, StoreError> {
        if self.skips(name) {
            return Ok(Some(CheckResult::skipped(name)));
        }
        let [room, privileges, _] = OF_STORES;
        let result = match self.target {
            Some(target) if name == room => built_in::room(self.source, target).await,
            None if name == room => return Ok(None),
            _ if name == privileges => built_in::privileges(self.source, self.target).await,
            _ => built_in::clocks(self.source, self.target).await,
        };
        built_in::made(name, result).map(Some)
    }

    /// Reads the whole source; none where it can't be read again.
    async fn scan_source(&self) -> Result<Option<Surveyed>, PipelineError> {
        if self.source.is_standard_stream() {
            return Ok(None);
        }
        let reader = self.source.reader().await.map_err(PipelineError::Source)?;
        if !reader.is_rereadable() {
            return Ok(None);
        }
        let options = SurveyOptions {
            scope: self.scope.clone(),
            after: None,
            samples: 0,
            limit: None,
            policies: self.policies,
            gaps_are_found_later: false,
        };
        let mut looks =
            EventLooks::new(self.settings, When::Before, Subject::Source, Arc::clone(&self.registry), self.skip);
        let survey = survey_looking(&*reader, &self.registry, &options, self.stop, |_| {}, &mut looks).await?;
        Ok(Some(Surveyed { survey, looks: Some(looks) }))
    }

    /// The user's own checks in jq, over the events of a store, in one scan; where there is none, the store isn't read.
    async fn of_events(&self, when: When, subject: Subject) -> Result<Vec<CheckResult>, PipelineError> {
        let store = match subject {
            Subject::Source => Some(self.source),
            _ => self.target,
        };
        let mut looks = EventLooks::new(self.settings, when, subject, Arc::clone(&self.registry), self.skip);
        let Some(store) = store.filter(|_| !looks.checks().is_empty()) else { return Ok(Vec::new()) };
        if subject == Subject::Source && when == When::Before {
            return Ok(Vec::new());
        }
        let failed = |error| match subject {
            Subject::Source => PipelineError::Source(error),
            _ => PipelineError::Target(error),
        };
        let reader = match store.reader().await {
            Ok(reader) => reader,
            // Nothing is there before the first run.
            Err(error) if matches!(error.kind, eventlift_events::StoreErrorKind::Missing) => {
                return Ok(looks.own_results());
            }
            Err(error) => return Err(failed(error)),
        };
        let scope = match looks.types() {
            Some(types) => Scope::Types(types),
            None => Scope::All,
        };
        let mut batches = reader.read(ReadRequest::new(scope));
        while let Some(batch) = batches.next().await {
            batch.map_err(failed)?.iter().for_each(|event| looks.look(event));
            if self.stop.is_asked() {
                break;
            }
        }
        Ok(looks.own_results())
    }

    async fn of_query(&self, check: &Check, sql: &str, expect: &Expectation) -> Result<CheckResult, StoreError> {
        let patience = self.settings.statement_timeout;
        let answer = match check.subject {
            Subject::Source => self.source.ask(sql, patience).await,
            Subject::Target => match self.target {
                Some(target) => target.ask(sql, patience).await,
                None => return Ok(CheckResult::fail(&check.name, "the project has no [target]")),
            },
            Subject::ReadModels => match self.read_models {
                Some(read_models) => read_models.ask(sql, patience).await,
                None => return Ok(CheckResult::fail(&check.name, "the project has no [read_models]")),
            },
        };
        let compared = match answer {
            Err(error) if error.nobody_answered() => return Err(error),
            // A check that can't be made has not passed, whatever its severity.
            Err(error) => {
                let result = CheckResult::fail(&check.name, &error);
                return Ok(error.hint.iter().fold(result, CheckResult::hint));
            }
            Ok(answer) => expect.compare(&answer),
        };
        Ok(match (compared, check.severity) {
            (Ok(()), _) => CheckResult::pass(&check.name),
            (Err(problem), Severity::Fail) => CheckResult::fail(&check.name, problem),
            (Err(problem), Severity::Warn) => CheckResult::warn(&check.name, problem),
        })
    }
}

impl EventLooks {
    /// The types that the user's own checks are about; none for all.
    fn types(&self) -> Option<std::collections::BTreeSet<EventType>> {
        if self.needs_all_types() {
            return None;
        }
        let of_check = |check: &Check| match &check.test {
            Test::Jq(jq) => jq.types().cloned().unwrap_or_default(),
            Test::Sql { .. } => Default::default(),
        };
        Some(self.checks().iter().flat_map(of_check).collect())
    }

    /// What came of the user's own checks.
    fn own_results(self) -> Vec<CheckResult> {
        let own = self.checks().len();
        let mut results = self.results();
        results.split_off(results.len() - own)
    }
}
