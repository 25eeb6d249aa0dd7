//! JSON Schemas of event data, by type and version.

#[cfg(feature = "schema")]
mod exact;

#[cfg(feature = "schema")]
use std::sync::Arc;

use eventlift_events::Event;
#[cfg(feature = "schema")]
use eventlift_language::Fingerprint;
use eventlift_language::{Place, Reason};

/// A JSON Schema that the data of what rules yield in a type and version has to follow.
#[derive(Clone)]
pub struct JsonSchema {
    pub(crate) event_type: String,
    pub(crate) version: u32,
    pub(crate) place: Place,
    pub(crate) fingerprint: String,
    #[cfg(feature = "schema")]
    validators: Arc<Validators>,
}

#[cfg(feature = "schema")]
struct Validators {
    /// For data whose numbers the library holds; none where those of the schema are too long for it.
    usual: Option<jsonschema::Validator>,
    /// For all other data.
    exact: exact::ExactValidator,
}

impl JsonSchema {
    /// Compiles a schema. References to other documents are not followed. Fails when it is not JSON or no schema,
    /// and in builds without feature `schema`.
    #[track_caller]
    pub fn new(event_type: impl Into<String>, version: u32, text: &str) -> Result<Self, Reason> {
        Self::compile(&event_type.into(), version, text, Place::of_caller())
    }

    #[cfg(feature = "schema")]
    pub(crate) fn compile(event_type: &str, version: u32, text: &str, place: Place) -> Result<Self, Reason> {
        let not_json = |error: serde_json::Error| Reason::new(format_args!("it is not JSON: {error}"));
        let (usual, canonical) = if exact::has_long_numbers(text.as_bytes()) {
            let _: serde::de::IgnoredAny = serde_json::from_str(text).map_err(not_json)?;
            (None, text.to_owned())
        } else {
            let schema: serde_json::Value = serde_json::from_str(text).map_err(not_json)?;
            let usual = jsonschema::validator_for(&schema).map_err(|error| {
                Reason::new(format_args!("at {}: {error}", location(error.instance_path().as_str())))
            })?;
            (Some(usual), schema.to_string())
        };
        let validators = Validators { usual, exact: exact::ExactValidator::new(text)? };
        Ok(Self {
            event_type: event_type.to_owned(),
            version,
            place,
            fingerprint: Fingerprint::of("schema").field(&canonical).finish(),
            validators: Arc::new(validators),
        })
    }

    #[cfg(not(feature = "schema"))]
    pub(crate) fn compile(_: &str, _: u32, _: &str, _: Place) -> Result<Self, Reason> {
        Err(Reason::new("this build has no JSON Schema").hint("build with feature `schema`"))
    }

    /// Checks an event's data. Fails with the first violation: type, version, path and what is wrong.
    #[cfg(feature = "schema")]
    pub(crate) fn check(&self, event: &Event) -> Result<(), Reason> {
        self.follow("the result", event)
    }

    /// The same; `subject` is what the event is called.
    #[cfg(feature = "schema")]
    pub(crate) fn follow(&self, subject: &str, event: &Event) -> Result<(), Reason> {
        let context = |path: &str, what: &dyn std::fmt::Display| {
            let (event_type, version) = (&event.event_type, event.version);
            Reason::new(format_args!(
                "{subject} breaks the JSON Schema of {event_type} version {version} at {}: {what}",
                location(path)
            ))
            .hint(format_args!("the schema is at {}", self.place))
        };
        let bytes = event.data.bytes();
        let usual = self.validators.usual.as_ref().filter(|_| !exact::has_long_numbers(bytes));
        let Some(usual) = usual else {
            return self.validators.exact.check(bytes).map_err(|(path, problem)| context(&path, &problem));
        };
        let data: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| context("", &error))?;
        match usual.validate(&data) {
            Ok(()) => Ok(()),
            Err(error) => {
                let path = error.instance_path().as_str();
                // It quotes the whole value.
                let is_long = error.to_string().chars().count() > 200;
                Err(if is_long { context(path, &error.masked_with("the value")) } else { context(path, &error) })
            }
        }
    }

    #[cfg(not(feature = "schema"))]
    pub(crate) fn check(&self, _: &Event) -> Result<(), Reason> {
        // Cannot be called: without the feature no schema can be made.
        Ok(())
    }

    #[cfg(not(feature = "schema"))]
    pub(crate) fn follow(&self, _: &str, _: &Event) -> Result<(), Reason> {
        // Likewise.
        Ok(())
    }
}

#[cfg(feature = "schema")]
fn location(path: &str) -> &str {
    if path.is_empty() { "the whole document" } else { path }
}
