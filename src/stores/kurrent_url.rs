//! What URLs of KurrentDB may hold, whether its client was built in or not.

/// The parameters that mean something, as they are documented.
pub(crate) const PARAMETERS: [&str; 13] = [
    "tls",
    "tlsVerifyCert",
    "tlsCaFile",
    "nodePreference",
    "maxDiscoverAttempts",
    "discoveryInterval",
    "gossipTimeout",
    "keepAliveInterval",
    "keepAliveTimeout",
    "defaultDeadline",
    "connectionName",
    "userCertFile",
    "userKeyFile",
];

/// One that other clients have, and that is taken without an effect.
const WITHOUT_EFFECT: &str = "throwOnAppendFailure";

/// A parameter as it is documented, in whatever case it is written.
pub(crate) fn parameter(name: &str) -> Option<&'static str> {
    PARAMETERS.into_iter().chain([WITHOUT_EFFECT]).find(|known| known.eq_ignore_ascii_case(name))
}
