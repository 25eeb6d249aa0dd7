//! Events as rows of binary COPY.

use eventlift_events::{ContentType, Event, Payload};

use super::config::PayloadColumn;
use super::layout::EventsTable;

/// Of an index entry PostgreSQL takes 2,704 bytes; this leaves room for what else is in it.
const MAX_NAME_BYTES: usize = 2_600;
/// Of a field PostgreSQL takes 1 GiB, less a little.
const MAX_FIELD_BYTES: usize = 0x3fff_0000;
/// 2000-01-01, where PostgreSQL counts from, in microseconds since 1970.
const TIME_ORIGIN: i64 = 946_684_800_000_000;
/// 4714-11-24 BC, the first day of PostgreSQL's calendar, in microseconds since 2000.
const FIRST_TIME: i64 = -211_813_488_000_000_000;

/// What starts a binary COPY: the signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends it.
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Whether a table can hold an event exactly, as far as that can be told without parsing its payloads; if not, why.
pub(super) fn check(event: &Event) -> Result<(), String> {
    if event.position.minor().is_some() {
        return Err(format!("position {} has two numbers, and the table has one", event.position));
    }
    if i64::try_from(event.position.major()).is_err() {
        return Err(format!("position {} does not fit a bigint", event.position));
    }
    if i64::try_from(event.revision.0).is_err() {
        return Err(format!("revision {} does not fit a bigint", event.revision));
    }
    if event.recorded_at.micros() - TIME_ORIGIN < FIRST_TIME {
        return Err(format!("it was recorded at {}, and PostgreSQL's calendar starts in 4713 BC", event.recorded_at));
    }
    name("stream's name", event.stream.as_str())?;
    name("type's name", event.event_type.as_str())?;
    if event.id.as_uuid().is_none() {
        name("id", &event.id.to_string())?;
    }
    for payload in [&event.data, &event.metadata] {
        text("content type", payload.content_type().as_str())?;
        if payload.len() > MAX_FIELD_BYTES {
            return Err(format!("a payload of {} bytes is more than a field holds", payload.len()));
        }
    }
    match std::str::from_utf8(&event.attributes) {
        Ok(attributes) => text("text of attributes", attributes),
        Err(_) => Err("its attributes are not UTF-8".to_owned()),
    }
}

fn name(what: &str, name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("its {what} has {} bytes, and an index takes {MAX_NAME_BYTES}", name.len()));
    }
    text(what, name)
}

fn text(what: &str, text: &str) -> Result<(), String> {
    if text.as_bytes().contains(&0) {
        return Err(format!("its {what} holds a NUL, which PostgreSQL's text can't"));
    }
    if text.len() > MAX_FIELD_BYTES {
        return Err(format!("its {what} has {} bytes, more than a field holds", text.len()));
    }
    Ok(())
}

/// Writes events as rows.
pub(super) struct Encoder<'a> {
    /// Where they go.
    pub(super) table: &'a EventsTable,
    /// Whether JSON is looked through before it is taken for JSON; otherwise the server refuses what is none.
    pub(super) is_careful: bool,
}

impl Encoder<'_> {
    /// Writes a [checked](check) event behind what the buffer holds.
    pub(super) fn row(&self, row: &mut Vec<u8>, event: &Event) {
        let bytes_columns = self.table.bytes_columns().count();
        row.extend_from_slice(&(12 + bytes_columns as i16).to_be_bytes());
        // Checked before: both fit.
        bigint(row, event.position.major() as i64);
        field(row, event.stream.as_str().as_bytes());
        bigint(row, event.revision.0 as i64);
        match event.id.as_uuid() {
            Some(uuid) => {
                let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
                field(row, uuid.hyphenated().encode_lower(&mut buffer).as_bytes());
            }
            None => field(row, event.id.to_string().as_bytes()),
        }
        field(row, event.event_type.as_str().as_bytes());
        bigint(row, i64::from(event.version.number()));
        bigint(row, event.recorded_at.micros() - TIME_ORIGIN);
        let data = self.payload(row, &event.data, self.table.data);
        let metadata = self.payload(row, &event.metadata, self.table.metadata);
        if self.table.data != PayloadColumn::Bytea {
            optional(row, data);
        }
        if self.table.metadata != PayloadColumn::Bytea {
            optional(row, metadata);
        }
        content_type(row, &event.data);
        content_type(row, &event.metadata);
        optional(row, Some(&event.attributes[..]).filter(|attributes| !attributes.is_empty()));
    }

    /// Writes a payload into its own column, and yields what belongs into the column for bytes instead.
    fn payload<'p>(&self, row: &mut Vec<u8>, payload: &'p Payload, column: PayloadColumn) -> Option<&'p [u8]> {
        let bytes = &payload.bytes()[..];
        if bytes.is_empty() {
            null(row);
            return None;
        }
        if column == PayloadColumn::Bytea {
            field(row, bytes);
            return None;
        }
        if !self.is_json(payload) {
            null(row);
            return Some(bytes);
        }
        match column {
            PayloadColumn::Jsonb => {
                const VERSION: u8 = 1;
                length(row, bytes.len() + 1);
                row.push(VERSION);
                row.extend_from_slice(bytes);
            }
            PayloadColumn::Json | PayloadColumn::Bytea => field(row, bytes),
        }
        None
    }

    fn is_json(&self, payload: &Payload) -> bool {
        let bytes = payload.bytes();
        match (payload.is_json(), self.is_careful) {
            (false, _) => false,
            (true, false) => std::str::from_utf8(bytes).is_ok(),
            (true, true) => payload.holds_json(),
        }
    }
}

fn length(row: &mut Vec<u8>, bytes: usize) {
    // Checked before: no field is that long.
    row.extend_from_slice(&(bytes as i32).to_be_bytes());
}

pub(super) fn field(row: &mut Vec<u8>, bytes: &[u8]) {
    length(row, bytes.len());
    row.extend_from_slice(bytes);
}

fn null(row: &mut Vec<u8>) {
    row.extend_from_slice(&(-1_i32).to_be_bytes());
}

fn optional(row: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => field(row, bytes),
        None => null(row),
    }
}

pub(super) fn bigint(row: &mut Vec<u8>, value: i64) {
    field(row, &value.to_be_bytes());
}

fn content_type(row: &mut Vec<u8>, payload: &Payload) {
    match payload.content_type() {
        ContentType::Json => null(row),
        other => field(row, other.as_str().as_bytes()),
    }
}
