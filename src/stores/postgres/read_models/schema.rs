//! The ledger's tables.

use super::super::migrations::{Component, Migration};
use super::super::relation::Relation;

/// The version of the tables that has everything a look reads.
pub(super) const READABLE: i32 = 1;

/// `tables` and `parts` are JSON; times are microseconds since 1970. A generation's quarantine is numbered as it came.
/// `changed_by` is the transaction that changed the build last, `last_load` the hash of the rows that were loaded last.
/// Whoever takes a projection raises its `epoch`.
pub(super) const READ_MODELS: Component = Component {
    name: "read_models",
    migrations: &[
        Migration {
            version: 1,
            name: "ledger",
            sql: r#"
CREATE TABLE {schema}.eventlift_projections (
    projection  text COLLATE "C" NOT NULL,
    side        text NOT NULL CHECK (side IN ('live', 'shadow', 'previous')),
    generation  bigint NOT NULL,
    source      text NOT NULL,
    fingerprint text NOT NULL,
    parts       text NOT NULL,
    tables      text NOT NULL,
    checkpoint  text,
    events      bigint NOT NULL,
    is_complete boolean NOT NULL,
    begun_at    bigint NOT NULL,
    updated_at  bigint NOT NULL,
    changed_by  xid8,
    last_load   bytea,
    PRIMARY KEY (projection, generation)
);
CREATE TABLE {schema}.eventlift_generations (
    projection text COLLATE "C" PRIMARY KEY,
    last       bigint NOT NULL,
    epoch      bigint NOT NULL
);
CREATE TABLE {schema}.eventlift_quarantine (
    projection text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    number     bigint NOT NULL,
    held_table bigint,
    held_key   bytea,
    id         text NOT NULL,
    stream     text NOT NULL,
    revision   bigint NOT NULL,
    position   text NOT NULL,
    reason     text NOT NULL,
    PRIMARY KEY (projection, generation, number)
);
CREATE TABLE {schema}.eventlift_rebuilds (
    number     bigint PRIMARY KEY,
    projection text NOT NULL,
    action     text NOT NULL,
    reason     text NOT NULL,
    schedule   text,
    due_at     bigint,
    outcome    text NOT NULL,
    begun_at   bigint NOT NULL,
    updated_at bigint NOT NULL,
    events     bigint NOT NULL,
    rows       bigint NOT NULL
);
"#,
        },
        Migration {
            version: 2,
            name: "holder",
            sql: r#"
ALTER TABLE {schema}.eventlift_generations ADD COLUMN holder text;
COMMENT ON COLUMN {schema}.eventlift_generations.holder IS 'who took the projection last; they have it as long as their session has the lock';
"#,
        },
    ],
};

/// A table of the ledger, as SQL takes it.
pub(super) fn ledger(schema: &str, name: &str) -> Relation {
    Relation::new(schema, format!("eventlift_{name}"))
}
