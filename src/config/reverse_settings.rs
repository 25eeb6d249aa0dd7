//! `[reverse]`: whether a reverse stream is meant to be possible.

use serde::Deserialize;

/// What is asked of the way back from the target to the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReverseSettings {
    /// Whether every rule has to have a way back, so that the source can be kept up to date behind a cut-over. `plan`
    /// and `check` refuse rules that have none then.
    pub enabled: bool,
}
