//! Who does something, as the ledger says it.

/// The user and the host that this process runs as: `anna@db1`. What the system does not tell is `unknown`.
pub fn who() -> String {
    let known = |name: Result<String, whoami::Error>| name.ok().filter(|name| !name.is_empty());
    let user = known(whoami::username()).unwrap_or_else(|| "unknown".to_owned());
    let host = known(whoami::hostname()).unwrap_or_else(|| "unknown".to_owned());
    format!("{user}@{host}")
}
