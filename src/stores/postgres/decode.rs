//! Rows of a binary COPY as events: <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.55.9.4>.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use eventlift_events::{
    ContentType, Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp,
};
use uuid::Uuid;

use super::config::PayloadColumn;
use super::selection::{PayloadFields, Selection};

/// What a binary COPY starts with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags, and the length of what extends the header.
const HEADER: usize = SIGNATURE.len() + 8;
/// PostgreSQL counts microseconds from the year 2000.
const MICROS_TO_2000: i64 = 946_684_800_000_000;

/// Why bytes are no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRow {
    /// The position of the row, where that much could be read.
    pub(super) position: Option<i64>,
    pub(super) problem: String,
}

impl BadRow {
    fn new(problem: impl Into<String>) -> Self {
        Self { position: None, problem: problem.into() }
    }

    fn column(name: &str) -> Self {
        Self::new(format!("column {name} holds no valid value"))
    }
}

/// A COPY that is being read.
pub(super) struct Decoder<'a> {
    selection: &'a Selection,
    /// What came and is not decoded yet, behind what the rows of this batch are slices of.
    buffer: BytesMut,
    /// Where in the buffer the next row starts.
    next: usize,
    rows: Vec<RawRow>,
    /// Objects that were put together from their keys, for the rows of this batch.
    built: BytesMut,
    /// What [`Event::size`] says of the rows of this batch.
    size: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    Ended,
}

/// A row whose text and payloads are places in the batch's buffers.
struct RawRow {
    position: i64,
    revision: i64,
    stream: Range<usize>,
    id: RawId,
    event_type: Range<usize>,
    version: SchemaVersion,
    recorded_at: Timestamp,
    data: RawPayload,
    metadata: RawPayload,
    attributes: Range<usize>,
}

enum RawId {
    Uuid(Uuid),
    Text(Range<usize>),
}

struct RawPayload {
    place: Range<usize>,
    /// Whether the place is one among the objects that were put together.
    built: bool,
    content_type: Option<Range<usize>>,
}

/// A field of a row: where its bytes are; none for NULL.
type Field = Option<Range<usize>>;

impl<'a> Decoder<'a> {
    pub(super) fn new(selection: &'a Selection) -> Self {
        Self {
            selection,
            buffer: BytesMut::new(),
            next: 0,
            rows: Vec::new(),
            built: BytesMut::new(),
            size: 0,
            stage: Stage::Header,
        }
    }

    /// Another COPY of the same selection follows. What was decoded of the one before stays.
    pub(super) fn restart(&mut self) {
        self.buffer.truncate(self.next);
        self.stage = Stage::Header;
    }

    /// Whether the COPY came to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Takes what the server sent, however it is cut.
    pub(super) fn take(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// How many rows the batch has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What [`Event::size`] says of the batch.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The position of the batch's last row.
    pub(super) fn last(&self) -> Option<i64> {
        self.rows.last().map(|row| row.position)
    }

    /// Decodes the next row. False where more must come first, or none is left.
    pub(super) fn decode(&mut self) -> Result<bool, BadRow> {
        if self.stage == Stage::Header && !self.skip_header()? {
            return Ok(false);
        }
        if self.stage != Stage::Rows {
            return Ok(false);
        }
        let Some(count) = self.int16(self.next) else { return Ok(false) };
        if count == -1 {
            self.next += 2;
            self.stage = Stage::Ended;
            return Ok(false);
        }
        if usize::try_from(count) != Ok(self.selection.fields()) {
            return Err(BadRow::new(format!("the server sent {count} fields a row, not those asked for")));
        }
        let Some(end) = self.row_end(self.next + 2)? else { return Ok(false) };
        let mut fields = Fields { bytes: &self.buffer[..end], next: self.next + 2 };
        let position = fields.next().and_then(|field| fields.int8(field, "position"))?;
        let row = raw_row(position, &mut fields, self.selection, &mut self.built)
            .map_err(|bad| BadRow { position: Some(position), ..bad })?;
        self.size += row.size();
        self.rows.push(row);
        self.next = end;
        Ok(true)
    }

    /// The events of the rows decoded so far, which are slices of one buffer; the next batch starts behind them.
    pub(super) fn batch(&mut self) -> Result<Vec<Event>, BadRow> {
        // What is left over is less than what one message of the server held.
        let mut rest = BytesMut::with_capacity(self.buffer.len() + self.buffer.len() / 16);
        rest.extend_from_slice(&self.buffer[self.next..]);
        self.buffer.truncate(self.next);
        let buffer = std::mem::replace(&mut self.buffer, rest).freeze();
        let built_room = self.built.len() + self.built.len() / 16;
        let built = std::mem::replace(&mut self.built, BytesMut::with_capacity(built_room)).freeze();
        let row_room = self.rows.len();
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(row_room));
        (self.next, self.size) = (0, 0);
        // Collecting results would not know how many there will be.
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let position = row.position;
            let event = row.into_event(&buffer, &built).map_err(|bad| BadRow { position: Some(position), ..bad })?;
            events.push(event);
        }
        Ok(events)
    }

    fn skip_header(&mut self) -> Result<bool, BadRow> {
        if self.buffer.len() < self.next + HEADER {
            return Ok(false);
        }
        if !self.buffer[self.next..].starts_with(SIGNATURE) {
            return Err(BadRow::new("the server sent no binary COPY"));
        }
        let extension = self.int32(self.next + HEADER - 4).and_then(|length| usize::try_from(length).ok());
        let Some(extension) = extension else { return Err(BadRow::new("the server sent a damaged COPY")) };
        if self.buffer.len() < self.next + HEADER + extension {
            return Ok(false);
        }
        self.next += HEADER + extension;
        self.stage = Stage::Rows;
        Ok(true)
    }

    /// Where the row whose fields start here ends; none where not all of it has come.
    fn row_end(&self, start: usize) -> Result<Option<usize>, BadRow> {
        let mut at = start;
        for _ in 0..self.selection.fields() {
            let Some(length) = self.int32(at) else { return Ok(None) };
            at += 4 + match length {
                -1 => 0,
                length => usize::try_from(length).map_err(|_| BadRow::new("the server sent a damaged COPY"))?,
            };
        }
        Ok((at <= self.buffer.len()).then_some(at))
    }

    fn int16(&self, at: usize) -> Option<i16> {
        let bytes = self.buffer.get(at..at + 2)?;
        Some(i16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn int32(&self, at: usize) -> Option<i32> {
        let bytes = self.buffer.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// The fields of a row that has come as a whole.
struct Fields<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl Fields<'_> {
    fn next(&mut self) -> Result<Field, BadRow> {
        let damaged = || BadRow::new("the server sent a damaged COPY");
        let length = self.bytes.get(self.next..self.next + 4).and_then(|length| length.try_into().ok());
        let length = i32::from_be_bytes(length.ok_or_else(damaged)?);
        let start = self.next + 4;
        let Ok(length) = usize::try_from(length) else {
            self.next = start;
            return Ok(None);
        };
        self.next = start + length;
        Ok(Some(start..self.next))
    }

    fn int8(&self, field: Field, name: &str) -> Result<i64, BadRow> {
        let bytes = field.and_then(|place| self.bytes.get(place)).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i64::from_be_bytes).ok_or_else(|| BadRow::column(name))
    }

    fn present(&self, field: Field, name: &str) -> Result<Range<usize>, BadRow> {
        field.ok_or_else(|| BadRow::column(name))
    }
}

fn raw_row(
    position: i64,
    fields: &mut Fields<'_>,
    selection: &Selection,
    built: &mut BytesMut,
) -> Result<RawRow, BadRow> {
    let revision = fields.next()?;
    let revision = fields.int8(revision, "revision")?;
    let stream = fields.next()?;
    let stream = fields.present(stream, "stream")?;
    let id = fields.next()?;
    let id = raw_id(fields, id, selection.uuid_ids)?;
    let event_type = fields.next()?;
    let event_type = fields.present(event_type, "type")?;
    let version = if selection.schema_version {
        let number = fields.next()?;
        let number = fields.int8(number, "schema_version")?;
        let version = u32::try_from(number).ok().and_then(SchemaVersion::new);
        version.ok_or_else(|| BadRow::column("schema_version"))?
    } else {
        SchemaVersion::FIRST
    };
    let recorded_at = fields.next()?;
    let recorded_at = timestamp(fields.int8(recorded_at, "recorded_at")?)?;
    let data = raw_payload(fields, selection.data.as_ref(), built)?;
    let metadata = raw_payload(fields, selection.metadata.as_ref(), built)?;
    let attributes = if selection.attributes { fields.next()?.unwrap_or(0..0) } else { 0..0 };
    Ok(RawRow { position, revision, stream, id, event_type, version, recorded_at, data, metadata, attributes })
}

fn raw_id(fields: &Fields<'_>, field: Field, is_uuid: bool) -> Result<RawId, BadRow> {
    let place = fields.present(field, "id")?;
    if !is_uuid {
        return Ok(RawId::Text(place));
    }
    Uuid::from_slice(&fields.bytes[place]).map(RawId::Uuid).map_err(|_| BadRow::column("id"))
}

/// A time from microseconds since 2000, the smallest and largest of which stand for infinity.
fn timestamp(micros: i64) -> Result<Timestamp, BadRow> {
    match micros {
        i64::MAX => return Err(BadRow::new("column recorded_at holds infinity, which is no time")),
        i64::MIN => return Err(BadRow::new("column recorded_at holds -infinity, which is no time")),
        _ => {}
    }
    let since_1970 = micros.checked_add(MICROS_TO_2000);
    let timestamp = since_1970.and_then(|micros| Timestamp::from_micros(micros).ok());
    timestamp.ok_or_else(|| BadRow::new("column recorded_at holds a time outside the years -9999 to 9999"))
}

fn raw_payload(
    fields: &mut Fields<'_>,
    asked: Option<&PayloadFields>,
    built: &mut BytesMut,
) -> Result<RawPayload, BadRow> {
    let Some(asked) = asked else { return Ok(RawPayload { place: 0..0, built: false, content_type: None }) };
    let is_there = match &asked.keys {
        None => false,
        Some(_) => fields.next()?.is_some_and(|place| fields.bytes[place] == [0]),
    };
    let whole = json_text(fields, asked)?;
    let by_keys = is_there && whole.is_none();
    let object = put_together(fields, asked, by_keys, built)?;
    let bytes = if asked.bytes { fields.next()? } else { None };
    let content_type = if asked.content_type { fields.next()? } else { None };
    let there_twice = bytes.is_some() && (by_keys || whole.is_some());
    if there_twice {
        return Err(BadRow::new(format!("columns {0} and {0}_bytes both hold a payload", asked.name)));
    }
    Ok(match object {
        Some(place) => RawPayload { place, built: true, content_type },
        None => RawPayload { place: whole.or(bytes).unwrap_or(0..0), built: false, content_type },
    })
}

/// Where the text of a payload's own column is, or of one of its values.
fn json_text(fields: &mut Fields<'_>, asked: &PayloadFields) -> Result<Field, BadRow> {
    let field = fields.next()?;
    let (Some(place), PayloadColumn::Jsonb) = (field.clone(), asked.kind) else { return Ok(field) };
    // The version of jsonb's binary form, which is its text.
    match fields.bytes[place.clone()].first() {
        Some(1) => Ok(Some(place.start + 1..place.end)),
        _ => Err(BadRow::new(format!("the server sent column {} in an unknown form", asked.name))),
    }
}

/// Reads the values of the keys asked for and writes down the object that they make.
fn put_together(
    fields: &mut Fields<'_>,
    asked: &PayloadFields,
    by_keys: bool,
    built: &mut BytesMut,
) -> Result<Field, BadRow> {
    let start = built.len();
    if by_keys {
        built.extend_from_slice(b"{");
    }
    for key in asked.keys.iter().flatten() {
        let (Some(value), true) = (json_text(fields, asked)?, by_keys) else { continue };
        if built.len() > start + 1 {
            built.extend_from_slice(b",");
        }
        built.extend_from_slice(key.json.as_bytes());
        built.extend_from_slice(&fields.bytes[value]);
    }
    if !by_keys {
        return Ok(None);
    }
    built.extend_from_slice(b"}");
    Ok(Some(start..built.len()))
}

impl RawRow {
    /// What [`Event::size`] will say.
    fn size(&self) -> usize {
        let text = self.stream.len() + self.event_type.len() + self.attributes.len();
        self.data.place.len() + self.metadata.place.len() + text + 64
    }

    fn into_event(self, buffer: &Bytes, built: &Bytes) -> Result<Event, BadRow> {
        let slice = |place: Range<usize>| if place.is_empty() { Bytes::new() } else { buffer.slice(place) };
        let text = |place, name: &str| ByteString::try_from(slice(place)).map_err(|_| BadRow::column(name));
        let payload = |raw: RawPayload, name| {
            let bytes = if raw.built { built.slice(raw.place) } else { slice(raw.place) };
            let content_type = match raw.content_type {
                None => ContentType::Json,
                Some(place) => ContentType::parse(text(place, name)?),
            };
            Ok(Payload::new(bytes, content_type))
        };
        Ok(Event {
            id: match self.id {
                RawId::Uuid(uuid) => EventId::uuid(uuid),
                RawId::Text(place) => EventId::text(text(place, "id")?).map_err(|_| BadRow::column("id"))?,
            },
            stream: StreamName::new(text(self.stream, "stream")?).map_err(|_| BadRow::column("stream"))?,
            revision: Revision(u64::try_from(self.revision).map_err(|_| BadRow::column("revision"))?),
            position: Position::new(u64::try_from(self.position).map_err(|_| BadRow::column("position"))?),
            event_type: EventType::new(text(self.event_type, "type")?).map_err(|_| BadRow::column("type"))?,
            version: self.version,
            data: payload(self.data, "data_type")?,
            metadata: payload(self.metadata, "metadata_type")?,
            recorded_at: self.recorded_at,
            attributes: slice(self.attributes),
        })
    }
}
