//! What a read asks the server for: which columns, of which rows, in what order.

use std::collections::BTreeSet;
use std::fmt;

use eventlift_events::{Needed, NeededPart, Scope};

use super::columns::{Columns, PayloadColumns};
use super::config::PayloadColumn;
use super::relation::Relation;

/// The fields of each row, in this order: position, revision, stream, id, type, schema version, time; then those of
/// data, of metadata, and the attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Selection {
    pub(super) uuid_ids: bool,
    pub(super) schema_version: bool,
    /// None where nothing of it is needed.
    pub(super) data: Option<PayloadFields>,
    /// None where the table has none, or nothing of it is needed.
    pub(super) metadata: Option<PayloadFields>,
    pub(super) attributes: bool,
}

/// The fields of a payload: whether there is none (where it may be yielded by its keys), it as a whole, unless it is
/// yielded by its keys, the value of each key, bytes that are no JSON, the content type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PayloadFields {
    pub(super) name: &'static str,
    pub(super) kind: PayloadColumn,
    /// The keys that are asked for in place of a whole object.
    pub(super) keys: Option<Vec<AskedKey>>,
    pub(super) bytes: bool,
    pub(super) content_type: bool,
}

/// A key whose value is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AskedKey {
    pub(super) name: String,
    /// It as JSON text, with the colon behind it.
    pub(super) json: String,
}

impl Selection {
    pub(super) fn new(columns: &Columns, needed: &Needed) -> Self {
        Self {
            uuid_ids: columns.uuid_ids,
            schema_version: columns.schema_version,
            data: PayloadFields::new("data", columns.data, &needed.data),
            metadata: columns.metadata.and_then(|columns| PayloadFields::new("metadata", columns, &needed.metadata)),
            attributes: columns.attributes && needed.attributes,
        }
    }

    /// How many fields a row has.
    pub(super) fn fields(&self) -> usize {
        const ALWAYS: usize = 6;
        let payloads = [&self.data, &self.metadata].into_iter().flatten().map(PayloadFields::count).sum::<usize>();
        ALWAYS + usize::from(self.schema_version) + payloads + usize::from(self.attributes)
    }

    /// The fields as SQL.
    fn sql(&self) -> String {
        let id = if self.uuid_ids { "id" } else { "id::text" };
        let mut fields: Vec<String> =
            ["position::int8", "revision::int8", "stream::text", id, "type::text"].map(str::to_owned).into();
        if self.schema_version {
            fields.push("schema_version::int8".to_owned());
        }
        fields.push("recorded_at::timestamptz".to_owned());
        for payload in [&self.data, &self.metadata].into_iter().flatten() {
            payload.push_sql(&mut fields);
        }
        if self.attributes {
            fields.push("attributes::text".to_owned());
        }
        fields.join(", ")
    }

    /// Copies the events of a scope behind one position and up to another, in order, at most `limit`.
    pub(super) fn copy(&self, table: &Relation, rows: &Rows<'_>) -> String {
        let limit = rows.limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        let condition = rows.condition();
        let order = match rows.scope {
            // A stream has an index of its own, and few events: walking along all positions for them would be slower.
            Scope::Stream(_) => "e.position + 0",
            _ => "e.position",
        };
        format!(
            "COPY (SELECT {} FROM {table} AS e WHERE {condition} ORDER BY {order}{limit}) TO STDOUT (FORMAT binary)",
            self.sql()
        )
    }
}

impl AskedKey {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), json: format!("{}:", serde_json::Value::from(name)) }
    }
}

impl PayloadFields {
    fn new(name: &'static str, columns: PayloadColumns, needed: &NeededPart) -> Option<Self> {
        let keys = match (needed, columns.kind) {
            (NeededPart::Keys(keys), _) if keys.is_empty() => return None,
            (NeededPart::Keys(keys), PayloadColumn::Jsonb) => Some(keys),
            // Looking for keys in JSON text takes the server several times as long as sending all of it, and finds the
            // last one of those that are there twice.
            _ => None,
        };
        // No key of a jsonb holds NUL, and no SQL can ask for one.
        let keys =
            keys.map(|keys| keys.iter().filter(|key| !key.contains('\0')).map(|key| AskedKey::new(key)).collect());
        Some(Self { name, kind: columns.kind, keys, bytes: columns.bytes, content_type: columns.content_type })
    }

    fn count(&self) -> usize {
        let keyed = self.keys.as_ref().map_or(0, |keys| 1 + keys.len());
        1 + keyed + usize::from(self.bytes) + usize::from(self.content_type)
    }

    fn push_sql(&self, fields: &mut Vec<String>) {
        let (name, kind) = (self.name, self.kind.as_str());
        match &self.keys {
            None => fields.push(format!("{name}::{kind}")),
            Some(keys) => {
                let labelled = if self.content_type { format!(" AND {name}_type IS NULL") } else { String::new() };
                let is_object = format!("{kind}_typeof({name}) = 'object'{labelled}");
                fields.push(format!("({name} IS NULL)"));
                fields.push(format!("CASE WHEN {is_object} THEN NULL ELSE {name}::{kind} END"));
                fields.extend(keys.iter().map(|key| format!("{name} -> {}", Literal(&key.name))));
            }
        }
        if self.bytes {
            fields.push(format!("{name}_bytes"));
        }
        if self.content_type {
            fields.push(format!("{name}_type::text"));
        }
    }
}

/// Which rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) scope: &'a Scope,
    /// Behind this position; from the very first row if none, even where its position is not valid.
    pub(super) after: Option<i64>,
    pub(super) until: i64,
    pub(super) limit: Option<u64>,
}

impl Rows<'_> {
    fn condition(&self) -> String {
        let after = self.after.map(|after| format!("position > {after} AND ")).unwrap_or_default();
        format!("{after}position <= {}{}", self.until, scope_condition(self.scope))
    }
}

/// The condition of a scope, to go behind others; empty for all events. No name in it means more than itself.
pub(super) fn scope_condition(scope: &Scope) -> String {
    match scope {
        Scope::All => String::new(),
        // A category ends at the first `-`, so none has one in it. No text of PostgreSQL's holds NUL.
        Scope::Category(category) if category.contains(['-', '\0']) => " AND false".to_owned(),
        Scope::Category(category) => format!(" AND split_part(stream::text, '-', 1) = {}", Literal(category)),
        Scope::Stream(stream) if stream.as_str().contains('\0') => " AND false".to_owned(),
        Scope::Stream(stream) => format!(" AND stream = {}", Literal(stream.as_str())),
        Scope::Types(types) => {
            let types: BTreeSet<&str> = types.iter().map(|name| name.as_str()).filter(|n| !n.contains('\0')).collect();
            let types: Vec<String> = types.into_iter().map(|name| Literal(name).to_string()).collect();
            format!(" AND type = ANY (ARRAY[{}]::text[])", types.join(", "))
        }
    }
}

/// Text as a literal that means itself whatever `standard_conforming_strings` is: COPY takes no parameters. The text
/// holds no NUL.
struct Literal<'a>(&'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E'{}'", self.0.replace('\\', "\\\\").replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_mean_themselves() {
        assert_eq!(Literal(r"it's a \ and \' too").to_string(), r"E'it''s a \\ and \\'' too'");
    }

    #[test]
    fn what_no_text_can_hold_selects_nothing() {
        assert_eq!(scope_condition(&Scope::Category("a\0".to_owned())), " AND false");
        assert_eq!(scope_condition(&Scope::Types(BTreeSet::new())), " AND type = ANY (ARRAY[]::text[])");
    }
}
