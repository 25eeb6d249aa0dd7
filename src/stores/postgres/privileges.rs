//! Which GRANT is missing, by what the server said and what was being done.

use super::failure::Place;
use super::relation::Quoted;

/// What to run so that it is let pass. None where the message is of another kind, or in another language.
pub(super) fn grant(action: &str, message: &str, place: &Place) -> Option<String> {
    let role = plain(&place.user);
    if message.contains("row-level security") {
        return Some(format!(
            "a policy hides rows of the table from {role}, and none may be missed: connect as a role that may see all of \
             them, or run ALTER ROLE {role} BYPASSRLS"
        ));
    }
    let (owner, object) = match message.strip_prefix("permission denied for ") {
        Some(object) => (false, object),
        None => (true, message.strip_prefix("must be owner of ")?),
    };
    let (kind, name) = KINDS.iter().find_map(|kind| Some((*kind, object.strip_prefix(kind)?.strip_prefix(' ')?)))?;
    let name = name.trim_matches('"');
    let is_ledger = name.starts_with("eventlift_");
    let name = match &place.schema {
        Some(schema) if !["schema", "database"].contains(&kind) => format!("{}.{}", plain(schema), plain(name)),
        _ => plain(name),
    };
    if owner {
        return Some(format!(
            "let its owner, or a superuser, run: ALTER {} {name} OWNER TO {role}",
            kind.to_uppercase()
        ));
    }
    let is_read = READS.contains(&action) && !place.is_written;
    let (privileges, kind) = match kind {
        "schema" if is_read || action == "append to" => ("USAGE", "SCHEMA"),
        "schema" => ("USAGE, CREATE", "SCHEMA"),
        "database" if CREATES.contains(&action) => ("CREATE", "DATABASE"),
        "database" => ("CONNECT", "DATABASE"),
        "sequence" => ("USAGE, SELECT, UPDATE", "SEQUENCE"),
        "function" => ("EXECUTE", "FUNCTION"),
        _ if action == "fence" => ("TRIGGER", "TABLE"),
        // Views are granted as tables are.
        _ if is_read => ("SELECT", "TABLE"),
        // The ledger's own, which no run changes.
        _ if action == "prepare" => ("SELECT, INSERT", "TABLE"),
        // What is committed beside events replaces what was.
        _ if is_ledger => ("SELECT, INSERT, UPDATE, DELETE", "TABLE"),
        _ if action == REWRITE => ("SELECT, UPDATE", "TABLE"),
        _ if action == "append to" || place.is_written => ("SELECT, INSERT", "TABLE"),
        _ => ("SELECT, INSERT, UPDATE, DELETE", "TABLE"),
    };
    Some(format!("let the owner, or a superuser, run: GRANT {privileges} ON {kind} {name} TO {role}"))
}

/// Longer ones before those they end with.
const KINDS: [&str; 9] =
    ["materialized view", "foreign table", "relation", "table", "view", "sequence", "schema", "database", "function"];
const READS: [&str; 3] = ["read", "open", "read the ledger of"];
/// Events are changed where they are.
pub(super) const REWRITE: &str = "rewrite events in";
const CREATES: [&str; 2] = ["create", "prepare"];

/// A name as somebody would write it: quoted only where it must be.
fn plain(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    // A placeholder is no name.
    if bare || name.starts_with('<') { name.to_owned() } else { Quoted(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::config::PostgresServer;
    use super::*;

    #[test]
    fn the_grant_is_spelled_out() {
        let place = |url: &str, schema| Place::new("shop", &PostgresServer::new(url), schema);
        let anna = &place("postgres://anna@db/shop", Some("public"));
        let last = |action: &str, message: &str, place: &Place| {
            let hint = grant(action, message, place).unwrap();
            hint.rsplit_once("run: ").unwrap().1.to_owned()
        };
        let expected = [
            ("read", "table events", "GRANT SELECT ON TABLE public.events TO anna"),
            (
                "append to",
                "table eventlift_runs",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.eventlift_runs TO anna",
            ),
            ("swap builds in", "schema public", "GRANT USAGE, CREATE ON SCHEMA public TO anna"),
            ("append to", "table Events", "GRANT SELECT, INSERT ON TABLE public.\"Events\" TO anna"),
            (REWRITE, "table events", "GRANT SELECT, UPDATE ON TABLE public.events TO anna"),
            ("fence", "table events", "GRANT TRIGGER ON TABLE public.events TO anna"),
            ("fence", "schema public", "GRANT USAGE, CREATE ON SCHEMA public TO anna"),
            ("seal", "view v", "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.v TO anna"),
            ("read", "schema public", "GRANT USAGE ON SCHEMA public TO anna"),
            ("prepare", "schema public", "GRANT USAGE, CREATE ON SCHEMA public TO anna"),
            ("append to", "sequence s", "GRANT USAGE, SELECT, UPDATE ON SEQUENCE public.s TO anna"),
            ("open", "database \"shop\"", "GRANT CONNECT ON DATABASE shop TO anna"),
        ];
        for (action, object, statement) in expected {
            assert_eq!(last(action, &format!("permission denied for {object}"), anna), statement);
        }
        let owner = "must be owner of table events";
        assert_eq!(last("seal", owner, anna), "ALTER TABLE public.events OWNER TO anna");
        let unknown = &place("postgres://O'Neil@db/shop", None);
        assert_eq!(last("seal", owner, unknown), "ALTER TABLE events OWNER TO \"O'Neil\"");
        assert_eq!(grant("read", "keine Berechtigung für Tabelle events", anna), None);
    }
}
