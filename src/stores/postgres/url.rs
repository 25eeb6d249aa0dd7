//! What a URL says, looked at before sqlx does: sqlx ignores parameters that it doesn't know, and a mistyped `sslmode`
//! would be a connection that anybody can read.

use std::path::PathBuf;
use std::time::Duration;

use ::url::Url;

use super::config::InvalidPostgres;

/// The parameters that mean something, those of libpq first.
const PARAMETERS: [&str; 21] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connect_timeout",
    "application_name",
    "options",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "ssl-mode",
    "ssl-root-cert",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "statement-cache-capacity",
    "sslnegotiation",
    "gssencmode",
];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// How long a connection attempt may take, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A URL whose every parameter has a meaning. Not to be printed: it may hold a password.
pub(super) struct ServerUrl(Url);

impl ServerUrl {
    /// Fails where it is no URL of a PostgreSQL server. No message holds what may be a password.
    pub(super) fn parse(url: &str) -> Result<Self, InvalidPostgres> {
        let invalid = |problem: &str| Err(InvalidPostgres::Url(problem.to_owned()));
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return invalid("it starts with postgres:// or postgresql://");
        }
        let Ok(parsed) = Url::parse(url) else {
            return invalid(
                "such as postgres://user@host:5432/database; / ? # @ : in a password are %2F %3F %23 %40 %3A",
            );
        };
        // A password with a slash, say, ends too early, and its rest would be taken for something that may be shown.
        let ats = usize::from(!parsed.username().is_empty() || parsed.password().is_some());
        if url.matches('@').count() > ats || parsed.fragment().is_some() {
            return invalid("/ ? # @ : in a password, and @ elsewhere, are written %2F %3F %23 %40 %3A");
        }
        if parsed.host_str().is_some_and(|host| host.contains(',') || host.contains("%2C")) {
            return invalid("it names several hosts; name the one to use");
        }
        let url = Self(parsed);
        url.check_parameters()?;
        url.connect_timeout()?;
        Ok(url)
    }

    fn check_parameters(&self) -> Result<(), InvalidPostgres> {
        for (key, value) in self.0.query_pairs() {
            let option = key.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
            if !option && !PARAMETERS.contains(&&*key) {
                let known = PARAMETERS[..13].join(", ");
                return Err(InvalidPostgres::Parameter(format!("`{key}` is none of {known}")));
            }
            let unsupported = match &*key {
                "sslmode" | "ssl-mode" => !is_ssl_mode(&value),
                "sslnegotiation" => value != "postgres",
                "gssencmode" => value == "require",
                _ => false,
            };
            if unsupported {
                let modes = SSL_MODES.join(", ");
                let known =
                    if key.starts_with("sslmode") || key == "ssl-mode" { modes.as_str() } else { "leave it out" };
                return Err(InvalidPostgres::Parameter(format!("`{key}` can't be {value:?} ({known})")));
            }
        }
        let mode = std::env::var("PGSSLMODE").unwrap_or_default();
        if self.parameter(&["sslmode", "ssl-mode"]).is_none() && !mode.is_empty() && !is_ssl_mode(&mode) {
            return Err(InvalidPostgres::Parameter(format!("PGSSLMODE can't be {mode:?} ({})", SSL_MODES.join(", "))));
        }
        Ok(())
    }

    /// Whether it holds a password.
    pub(super) fn has_password(&self) -> bool {
        self.0.password().is_some() || self.parameter(&["password"]).is_some()
    }

    /// The same without it.
    pub(super) fn without_password(&self) -> String {
        let mut url = self.0.clone();
        // Fails where there is no host, and then there is no password in front of it.
        let _ = url.set_password(None);
        let kept: Vec<(String, String)> =
            self.0.query_pairs().into_owned().filter(|(key, _)| key != "password").collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        url.into()
    }

    /// The file that a parameter such as `sslrootcert` names, or the variable that stands for it.
    pub(super) fn file(&self, parameter: &str) -> Option<PathBuf> {
        let (names, variable): (&[&str], &str) = match parameter {
            "sslrootcert" => (&["sslrootcert", "ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT"),
            "sslcert" => (&["sslcert", "ssl-cert"], "PGSSLCERT"),
            _ => (&["sslkey", "ssl-key"], "PGSSLKEY"),
        };
        let named = self.parameter(names).or_else(|| std::env::var(variable).ok())?;
        // sqlx takes the certificate itself, too.
        if named.trim_start().starts_with("-----BEGIN") { None } else { Some(PathBuf::from(named)) }
    }

    /// How long a connection attempt may take. None: as long as it takes.
    pub(super) fn connect_timeout(&self) -> Result<Option<Duration>, InvalidPostgres> {
        let named = self.parameter(&["connect_timeout"]);
        let Some(seconds) = named.or_else(|| std::env::var("PGCONNECT_TIMEOUT").ok()) else {
            return Ok(Some(CONNECT_TIMEOUT));
        };
        match seconds.trim().parse::<i64>() {
            // As in libpq.
            Ok(seconds) => Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)),
            Err(_) => {
                Err(InvalidPostgres::Parameter(format!("`connect_timeout` is {seconds:?}, no number of seconds")))
            }
        }
    }

    fn parameter(&self, names: &[&str]) -> Option<String> {
        let named = self.0.query_pairs().filter(|(key, _)| names.contains(&&**key));
        // The last one holds, as in sqlx.
        named.last().map(|(_, value)| value.into_owned())
    }
}

fn is_ssl_mode(value: &str) -> bool {
    SSL_MODES.contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        ServerUrl::parse(url).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        assert!(
            problem("postgres://anna@db/shop?sslmod=verify-full").contains("`sslmod` is none of sslmode, sslrootcert")
        );
        assert!(problem("postgres://anna@db/shop?sslmode=verify_full").contains("`sslmode` can't be \"verify_full\""));
        assert!(problem("postgres://anna@db/shop?connect_timeout=soon").contains("`connect_timeout` is \"soon\""));
        assert!(problem("postgres://anna@one,two/shop").contains("several hosts"));
        assert!(problem("mysql://anna@db/shop").contains("postgres://"));
    }

    #[test]
    fn a_password_that_ends_early_is_not_shown() {
        for url in [
            "postgres://anna:12/s3cret@db/shop",
            "postgres://anna:12?s3cret@db/shop",
            "postgres://anna:12?s3cret=x@db/shop",
            "postgres://anna:12#s3cret@db/shop",
            "postgres://anna:s3cret/x@db/shop",
            "postgres://anna:s3cret#x@db/shop",
            "postgres://an na:s3cret@:db/shop",
        ] {
            assert!(!problem(url).contains("s3cret"), "{url}: {}", problem(url));
        }
    }

    #[test]
    fn a_password_can_be_left_out() {
        let bare = |url: &str| ServerUrl::parse(url).unwrap().without_password();
        assert_eq!(bare("postgres://anna:s3cret@db:5433/shop"), "postgres://anna@db:5433/shop");
        assert_eq!(bare("postgres://db/shop?password=x&sslmode=require"), "postgres://db/shop?sslmode=require");
        assert_eq!(bare("postgres:///shop?host=/tmp"), "postgres:///shop?host=%2Ftmp");
    }

    #[test]
    fn the_wait_for_a_connection_is_that_of_libpq() {
        let wait = |query: &str| {
            let url = ServerUrl::parse(&format!("postgres://anna@db/shop{query}"));
            url.unwrap().connect_timeout().unwrap().map(|wait| wait.as_secs())
        };
        assert_eq!(wait(""), Some(10));
        assert_eq!(wait("?connect_timeout=3"), Some(3));
        assert_eq!(wait("?connect_timeout=0"), None);
    }
}
