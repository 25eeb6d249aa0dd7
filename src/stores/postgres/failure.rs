//! What an error of the server, or of the way to it, means for a store.

use std::error::Error;
use std::fmt;

use eventlift_events::{StoreError, StoreErrorKind};
use sqlx::postgres::PgDatabaseError;

use super::config::PostgresServer;
use super::privileges::grant;
use super::said;

/// Details may hold whole rows.
const LONGEST_DETAIL: usize = 200;

/// What the server said. sqlx's own words end with a line of the server's source code.
#[derive(Debug, thiserror::Error)]
#[error("{message}{} (SQLSTATE {code})", .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
struct Answer {
    code: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

/// What messages call a store, and who uses it: the server says neither. Prints as the store does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    shown: String,
    /// The role that is connected.
    pub(super) user: String,
    /// The schema of the tables; None where no tables are concerned.
    pub(super) schema: Option<String>,
    /// Whether what is only looked at now is to be written to.
    pub(super) is_written: bool,
}

impl Place {
    /// The same, for whoever is going to write.
    pub(super) fn written(self) -> Self {
        Self { is_written: true, ..self }
    }

    /// `shown`: the store, without a password.
    pub(super) fn new(shown: impl fmt::Display, server: &PostgresServer, schema: Option<&str>) -> Self {
        Self { shown: shown.to_string(), user: server.user(), schema: schema.map(str::to_owned), is_written: false }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Names what happened, and what to try. Where a privilege is missing the hint holds the GRANT.
pub(super) fn store_error(action: &'static str, display: &Place, error: sqlx::Error) -> StoreError {
    if let Some(reported) = reported(&error) {
        let answer = Answer {
            code: reported.code().to_owned(),
            message: said::message(reported),
            detail: said::detail(reported).filter(|detail| detail.len() <= LONGEST_DETAIL),
            hint: reported.hint().map(str::to_owned),
        };
        return answered(action, display, answer);
    }
    if let Some(problem) = tls_problem(&error) {
        let hint = tls_hint(&problem);
        return StoreError::new(action, display, StoreErrorKind::Unexpected(problem)).hint(hint);
    }
    let failed = |kind| StoreError::new(action, display, kind);
    match error {
        sqlx::Error::Protocol(problem) if problem.contains("unsupported authentication method") => {
            failed(StoreErrorKind::Unsupported(problem))
                .hint("let the server ask this user for scram-sha-256 or md5 passwords, or trust it, in pg_hba.conf")
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            failed(StoreErrorKind::Unavailable(Box::new(error)))
                .hint("see whether the server runs and can be reached from here")
        }
        error => failed(StoreErrorKind::Backend(Box::new(error))),
    }
}

/// What the server said, if it was the server.
pub(super) fn reported(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn answered(action: &'static str, display: &Place, answer: Answer) -> StoreError {
    let failed = |kind| StoreError::new(action, display, kind);
    let Answer { code, message, .. } = &answer;
    let message = message.clone();
    let hint: Option<String> = hint(code, &message).map(str::to_owned).or_else(|| answer.hint.clone());
    let error = match code.as_str() {
        // Shut down, crashed, starting, out of connections or memory, in conflict with another, locked by another.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "53200" | "40001" | "40P01" | "55P03" => {
            failed(StoreErrorKind::Unavailable(boxed(answer)))
        }
        // A breach of the protocol does not pass; a lost connection does.
        code if code.starts_with("08") && code != "08P01" => failed(StoreErrorKind::Unavailable(boxed(answer))),
        "28P01" | "28000" => failed(StoreErrorKind::Denied(message)),
        "42501" => {
            let grant = grant(action, &message, display);
            let error = failed(StoreErrorKind::Denied(message));
            return match grant.or(hint) {
                Some(hint) => error.hint(hint),
                None => error,
            };
        }
        "3D000" | "57P04" => failed(StoreErrorKind::Missing),
        "25006" => failed(StoreErrorKind::ReadOnly),
        // Locks that only writers take.
        "55000" if message.contains("recovery is in progress") || message.contains("during recovery") => {
            failed(StoreErrorKind::ReadOnly)
        }
        "53100" => failed(StoreErrorKind::Full),
        _ => failed(StoreErrorKind::Backend(boxed(answer))),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn boxed(answer: Answer) -> Box<dyn Error + Send + Sync> {
    Box::new(answer)
}

/// What to try. Messages are looked into where one code stands for several things; in another language the hint is a
/// more general one.
fn hint(code: &str, message: &str) -> Option<&'static str> {
    let hint = match code {
        "28P01" => {
            "give the password in PGPASSWORD, in ~/.pgpass, or with `password_file` or `password_env` in eventlift.toml"
        }
        "28000" if message.contains("pg_hba.conf") && message.contains("no encryption") => {
            "the server may want TLS: add sslmode=verify-full to the URL; or let pg_hba.conf let this user in from here"
        }
        "28000" if message.contains("pg_hba.conf") => "let pg_hba.conf let this user in from here",
        "28000" => "see whether the URL names the right user, and whether that one may log in",
        "3D000" | "57P04" => "make the database with `createdb`, or correct the URL",
        "25006" | "55000" if message.contains("recovery") => "this is a standby: name the primary server",
        "25006" => "name the primary server, not a standby; or see what sets `default_transaction_read_only`",
        "53100" => "make room on the server's disk, and run it again: it goes on where it stopped",
        "53300" => "raise `max_connections` at the server, or end connections that nobody needs",
        "53400" => "the server's configuration limits it: see `temp_file_limit`",
        "55P03" => {
            "another session holds a lock on it (see pg_locks); `lock_timeout` in eventlift.toml says how long is waited"
        }
        "57014" if message.contains("user request") => "somebody cancelled the statement at the server",
        "57014" => "raise `statement_timeout` in eventlift.toml, or the one that the server sets for this user",
        "25P04" => "the server ends long transactions: raise `transaction_timeout` for this user",
        "58030" | "58P01" | "XX001" | "XX002" => {
            "the server can't read or write its own files: see its log and its disk"
        }
        "22023" if message.contains("statement_timeout") || message.contains("lock_timeout") => {
            "write durations as PostgreSQL does: 500ms, 30s, 10min"
        }
        "08P01" if message.contains("startup parameter") => {
            "connect to the server itself, not to PgBouncer: settings of the session would get lost there"
        }
        _ => return None,
    };
    Some(hint)
}

/// What is wrong with TLS, where it is that. rustls' errors come as errors of input and output.
fn tls_problem(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Tls(problem) => Some(format!("TLS: {problem}")),
        sqlx::Error::Io(problem) => {
            let text = problem.to_string();
            let of_tls = ["invalid peer certificate", "received fatal alert", "peer is incompatible"];
            of_tls.iter().any(|start| text.starts_with(start)).then(|| format!("TLS: {text}"))
        }
        _ => None,
    }
}

fn tls_hint(problem: &str) -> &'static str {
    if problem.contains("not valid for name") || problem.contains("NotValidForName") {
        return "name the server as its certificate does; sslmode=verify-ca in the URL looks at who signed it alone";
    }
    if problem.contains("does not support TLS") {
        return "turn on `ssl` at the server; sslmode=disable in the URL goes without";
    }
    if problem.contains("fatal alert") {
        return "the server may want a certificate: give sslcert and sslkey in the URL, two PEM files";
    }
    "name the authority that signed the server's certificate: sslmode=verify-full&sslrootcert=/path/ca.pem in the URL; \
     sslmode=require encrypts without looking at who it is"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(shown: &str) -> Place {
        Place { shown: shown.to_owned(), user: "anna".to_owned(), schema: Some("public".to_owned()), is_written: false }
    }

    fn error(action: &'static str, code: &str, message: &str) -> StoreError {
        let answer = Answer { code: code.to_owned(), message: message.to_owned(), detail: None, hint: None };
        answered(action, &place("postgres://db/shop"), answer)
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        let passes =
            ["57P01", "57P02", "57P03", "57P05", "53300", "53200", "40001", "40P01", "55P03", "08006", "08003"];
        for code in passes {
            assert!(error("read", code, "x").may_pass(), "{code}");
        }
        for code in ["57014", "28P01", "28000", "42501", "3D000", "25006", "53100", "08P01", "42P01", "23505", "XX000"]
        {
            assert!(!error("read", code, "x").may_pass(), "{code}");
        }
        assert!(
            store_error("read", &place("db"), sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into())).may_pass()
        );
        assert!(!store_error("read", &place("db"), sqlx::Error::RowNotFound).may_pass());
    }

    #[test]
    fn a_missing_privilege_comes_with_its_grant() {
        let denied = error("append to", "42501", "permission denied for table events");
        assert_eq!(denied.to_string(), "failed to append to postgres://db/shop: permission denied for table events");
        let hint = "let the owner, or a superuser, run: GRANT SELECT, INSERT ON TABLE public.events TO anna";
        assert_eq!(denied.hint.as_deref(), Some(hint));
    }

    #[test]
    fn a_standby_is_read_only() {
        let messages = [
            ("25006", "cannot execute INSERT in a read-only transaction"),
            ("25006", "cannot execute LISTEN during recovery"),
            ("55000", "cannot acquire lock mode ExclusiveLock on database objects while recovery is in progress"),
        ];
        for (code, message) in messages {
            let error = error("append to", code, message);
            assert!(matches!(error.kind, StoreErrorKind::ReadOnly), "{message}");
            assert!(error.hint.unwrap().contains("standby"), "{message}");
        }
        assert!(!matches!(error("read", "55000", "recovery is not in progress").kind, StoreErrorKind::ReadOnly));
    }

    #[test]
    fn the_server_speaks_for_itself() {
        let answer = Answer {
            code: "23505".to_owned(),
            message: "duplicate key".to_owned(),
            detail: Some("Key (id)=(7) already exists.".to_owned()),
            hint: Some("try another".to_owned()),
        };
        let error = answered("append to", &place("db"), answer);
        assert_eq!(
            error.to_string(),
            "failed to append to db: duplicate key: Key (id)=(7) already exists. (SQLSTATE 23505)"
        );
        assert_eq!(error.hint.as_deref(), Some("try another"));
        assert!(matches!(error.kind, StoreErrorKind::Backend(_)));
    }

    #[test]
    fn each_of_these_says_what_to_try() {
        for code in ["28P01", "28000", "3D000", "25006", "53100", "53300", "55P03", "57014", "58030"] {
            assert!(error("read", code, "x").hint.is_some(), "{code}");
        }
        assert!(error("open", "28000", "no pg_hba.conf entry, no encryption").hint.unwrap().contains("sslmode"));
    }
}
