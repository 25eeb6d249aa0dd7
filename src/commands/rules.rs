//! The rules of a project.

use eventlift_transformers::{Definitions, Registry};

use super::error::CommandError;
use crate::config::Project;

/// Reads and compiles the definitions of a project.
pub(super) fn definitions(project: &Project) -> Result<Definitions, CommandError> {
    Ok(Definitions::load(project.definitions()?, &project.read_keys()?)?)
}

/// The rules of a project, proved.
pub(super) fn registry(project: &Project) -> Result<Registry, CommandError> {
    Ok(definitions(project)?.register(Registry::builder()).build()?)
}
