//! An event as bytes, exactly: what is held is released as it was read.

use bytes::Bytes;
use eventlift_events::{
    ContentType, Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp,
};

/// The first byte; changes with the form.
const FORM: u8 = 1;

/// The event as bytes.
pub(in crate::pipeline) fn encode(event: &Event) -> Bytes {
    let mut out = Vec::with_capacity(event.size() + 64);
    out.push(FORM);
    put(&mut out, event.id.to_string().as_bytes());
    put(&mut out, event.stream.as_str().as_bytes());
    out.extend_from_slice(&event.revision.0.to_le_bytes());
    out.extend_from_slice(&event.position.major().to_le_bytes());
    out.push(u8::from(event.position.minor().is_some()));
    out.extend_from_slice(&event.position.minor().unwrap_or(0).to_le_bytes());
    put(&mut out, event.event_type.as_str().as_bytes());
    out.extend_from_slice(&event.version.number().to_le_bytes());
    for payload in [&event.data, &event.metadata] {
        put(&mut out, payload.content_type().as_str().as_bytes());
        put(&mut out, payload.bytes());
    }
    out.extend_from_slice(&event.recorded_at.micros().to_le_bytes());
    put(&mut out, &event.attributes);
    out.into()
}

/// The event of these bytes; none where they are no event.
pub(super) fn decode(bytes: &Bytes) -> Option<Event> {
    let mut input = Input { bytes: bytes.clone(), at: 0 };
    if input.array::<1>()? != [FORM] {
        return None;
    }
    let id = EventId::text(input.text()?).ok()?;
    let stream = StreamName::new(input.text()?).ok()?;
    let revision = Revision(input.number()?);
    let major = input.number()?;
    let [has_minor] = input.array()?;
    let minor = input.number()?;
    let position = if has_minor == 0 { Position::new(major) } else { Position::pair(major, minor) };
    let event_type = EventType::new(input.text()?).ok()?;
    let version = SchemaVersion::new(u32::from_le_bytes(input.array()?))?;
    let data = input.payload()?;
    let metadata = input.payload()?;
    let recorded_at = Timestamp::from_micros(i64::from_le_bytes(input.array()?)).ok()?;
    let attributes = input.field()?;
    let event = Event { id, stream, revision, position, event_type, version, data, metadata, recorded_at, attributes };
    (input.at == bytes.len()).then_some(event)
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&(field.len() as u64).to_le_bytes());
    out.extend_from_slice(field);
}

/// What is left to read.
struct Input {
    bytes: Bytes,
    at: usize,
}

impl Input {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let array = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn field(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let field = self.bytes.slice(self.at..end);
        self.at = end;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.field()?.to_vec()).ok()
    }

    fn payload(&mut self) -> Option<Payload> {
        let content_type = ContentType::parse(self.text()?);
        Some(Payload::new(self.field()?, content_type))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_payload() -> impl Strategy<Value = Payload> {
        (prop::collection::vec(any::<u8>(), 0..40), "(application/(json|octet-stream|xml)|)")
            .prop_map(|(bytes, content_type)| Payload::new(bytes, ContentType::parse(content_type)))
    }

    prop_compose! {
        fn any_event()(
            id in prop_oneof![".{1,12}", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"],
            stream in ".{1,12}", revision in any::<u64>(), major in any::<u64>(), minor in any::<Option<u64>>(),
            event_type in ".{1,12}", version in 1..u32::MAX, data in any_payload(), metadata in any_payload(),
            micros in -377_705_023_201_000_000..253_402_207_200_000_000_i64,
            attributes in prop::collection::vec(any::<u8>(), 0..40),
        ) -> Event {
            Event {
                id: EventId::text(id).unwrap(),
                stream: StreamName::new(stream).unwrap(),
                revision: Revision(revision),
                position: minor.map_or(Position::new(major), |minor| Position::pair(major, minor)),
                event_type: EventType::new(event_type).unwrap(),
                version: SchemaVersion::new(version).unwrap(),
                data,
                metadata,
                recorded_at: Timestamp::from_micros(micros).unwrap(),
                attributes: attributes.into(),
            }
        }
    }

    proptest! {
        #[test]
        fn events_are_read_back_exactly(event in any_event()) {
            prop_assert_eq!(decode(&encode(&event)), Some(event));
        }

        #[test]
        fn what_is_cut_off_or_longer_is_no_event(event in any_event(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&event);
            prop_assert_eq!(decode(&bytes.slice(..cut.index(bytes.len()))), None);
            let longer: Bytes = [&bytes[..], b"x"].concat().into();
            prop_assert_eq!(decode(&longer), None);
        }
    }
}
