//! Every field of an event comes back exactly.

use bytes::Bytes;
use uuid::Uuid;

use super::observe::{comes_back, comes_back_or_is_refused, holds_exactly, load, sealed_writer};
use super::sample::{event, event_type, events, interleaved, stream, text_id, time, version};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::error::StoreErrorKind;
use crate::event::{Event, EventId};
use crate::payload::{ContentType, Payload};
use crate::position::Position;
use crate::stream::Revision;

/// What a store writes is what it reads, field by field.
pub async fn every_field_comes_back(store: &dyn StoreUnderTest) -> Verdict {
    comes_back(store, &interleaved()).await
}

fn with_data(number: u64, data: Payload) -> Event {
    Event { data, ..event(number, &format!("order-{number}"), 0) }
}

fn with_each_as_data(payloads: Vec<Payload>) -> Vec<Event> {
    payloads.into_iter().zip(1..).map(|(payload, number)| with_data(number, payload)).collect()
}

/// JSON, binary, other media types, `null` and nothing at all are kept apart, as data and as metadata.
pub async fn every_kind_of_payload_comes_back(store: &dyn StoreUnderTest) -> Verdict {
    let is_transactional = store.writer().await?.capabilities().transactions;
    let mut events = with_each_as_data(vec![
        Payload::json("{}"),
        Payload::json("null"),
        Payload::empty(),
        Payload::json(r#""text""#),
        Payload::json("[]"),
        Payload::json("0"),
        Payload::json("false"),
        Payload::json(r#""""#),
        Payload::binary(&b"\x00\xff"[..]),
        Payload::binary("{}"),
        Payload::binary("null"),
        Payload::new("plain text", ContentType::parse("text/plain")),
        Payload::new("<a/>", ContentType::parse("application/xml; charset=utf-8")),
        Payload::new("{}", ContentType::parse("application/vnd.shop.order+json")),
        Payload::new(&b"\x00\x01\xfe\xff"[..], ContentType::parse("application/avro")),
        Payload::new("{}", ContentType::parse("Application/JSON")),
        Payload::new("[1.10]", ContentType::parse("application/json; charset=utf-8")),
        Payload::new("{}", ContentType::parse("application/x+json;a=\"b;c\"")),
        // What claims to be JSON and is not.
        Payload::new("{\"a\"", ContentType::parse("application/x+json")),
        Payload::new(&b"{\0}\0"[..], ContentType::parse("application/json; charset=utf-16")),
        Payload::new(&b"\"\xfc\""[..], ContentType::parse("application/json; charset=iso-8859-1")),
    ]);
    for metadata in [Payload::empty(), Payload::json("null"), Payload::json("{}"), Payload::json(r#"{"a": 1}"#)] {
        for data in [Payload::empty(), Payload::json("{}"), Payload::binary(&b"\xff"[..])] {
            let number = events.len() as u64 + 1;
            let event = Event { metadata: metadata.clone(), ..with_data(number, data) };
            // A store that keeps other versions in the metadata has no place for them in `null`.
            events.push(if is_transactional { event } else { Event { version: version(1), ..event } });
        }
    }
    comes_back(store, &events).await
}

/// JSON is bytes to a store: spaces, key order, repeated keys, escapes and digits stay.
pub async fn json_comes_back_to_the_byte(store: &dyn StoreUnderTest) -> Verdict {
    const TEXTS: [&str; 14] = [
        r#" { "b" : 1 ,  "a":2 } "#,
        "{\t\"tabs\"\t:\ttrue}",
        r#"{"z":1,"a":2,"m":3}"#,
        r#"{"same":1,"same":2}"#,
        r#"{"zero":"\u0000"}"#,
        r#"{"unpaired high":"\ud800","unpaired low":"\udc00","wrong way":"\udc00\ud800"}"#,
        r#"{"paired":"\ud83d\ude00","letter":"\u0041","slash":"\/","quote":"\""}"#,
        r#"{"\u006bey":"escaped key"}"#,
        r#"{"past 2^53":9007199254740993,"past u64":184467440737095516160,"long":0.10000000000000000000000000001}"#,
        r#"{"price":10.10,"exponent":1E+2,"small":1e-400,"large":1e400,"minus zero":-0,"point":-0.0}"#,
        r#"{"":""}"#,
        r#"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"#,
        "{\"line separators\":\"\u{2028}\u{2029}\u{85}\",\"delete\":\"\u{7f}\"}",
        r#"{"it's":"it''s; drop table events; -- $1 ? %s \\N \\."}"#,
    ];
    // What is no Unicode text can't be a value of it, so a store that keeps values refuses it.
    const NO_TEXT: [&str; 3] = [r"\u0000", r"\ud800", r"\udc00"];
    let can = store.writer().await?.capabilities();
    let mut events = Vec::new();
    for text in TEXTS {
        let is_value = !NO_TEXT.iter().any(|escape| text.contains(escape));
        let number = events.len() as u64 + 1;
        if is_value || can.exact_data {
            events.push(with_data(number, Payload::json(text)));
        }
        let number = events.len() as u64 + 1;
        if is_value || can.exact_metadata {
            events.push(Event { metadata: Payload::json(text), ..with_data(number, Payload::json("{}")) });
        }
    }
    comes_back(store, &events).await
}

/// Binary data keeps all 256 byte values, alone and in any company.
pub async fn every_byte_value_comes_back(store: &dyn StoreUnderTest) -> Verdict {
    let ascending: Vec<u8> = (0..=255).collect();
    let descending: Vec<u8> = (0..=255).rev().collect();
    let mut payloads = vec![Payload::binary(ascending), Payload::binary(descending)];
    payloads.extend((0..=255_u8).map(|byte| Payload::binary(vec![byte])));
    comes_back(store, &with_each_as_data(payloads)).await
}

/// Text that has been through many encodings' bugs: combining marks, right to left, past the basic plane, look-alikes
/// that normalisation would merge, and the byte order mark.
const TEXTS: [&str; 12] = [
    "Zoë",
    "Zoe\u{308}",
    "ﬁ",
    "Ω Ω",
    "日本語",
    "עברית و عربي",
    "\u{202e}reversed",
    "👩‍👩‍👧‍👦 👍🏽",
    "𝕏",
    "\u{feff}mark",
    "İstanbul ß ı",
    "quote ' \" ` \\ % _ ; $1 ? :a {b}",
];

/// Unicode stays as it is in every field that holds text; neither case nor normal form changes.
pub async fn text_of_every_script_comes_back(store: &dyn StoreUnderTest) -> Verdict {
    let mut events = Vec::new();
    for (text, number) in TEXTS.into_iter().zip(1..) {
        let json = format!(r#"{{"text":"{}"}}"#, text.replace('\\', "\\\\").replace('"', "\\\""));
        events.push(Event {
            stream: stream(&format!("{text}-{text}")),
            event_type: event_type(text),
            data: Payload::json(json.clone()),
            metadata: Payload::json(json.clone()),
            attributes: json.into(),
            ..event(number, "replaced", 0)
        });
    }
    for (name, number) in ["case-a", "CASE-a", "Case-A", "case-A", "case-a ", " case-a"].into_iter().zip(100..) {
        events.push(Event { event_type: event_type(name), ..event(number, name, 0) });
    }
    comes_back(store, &events).await
}

/// Very long names, and names of separators or control characters: kept, or refused as unsupported.
pub async fn odd_names_come_back_or_are_refused(store: &dyn StoreUnderTest) -> Verdict {
    let names = [
        ("a name of 255 characters", "n".repeat(255)),
        ("a name of 4,096 characters", "n".repeat(4_096)),
        ("another name of 4,096 characters, different in the last", "n".repeat(4_095) + "m"),
        ("a name of 70,000 characters", "n".repeat(70_000)),
        ("a name that is a separator", "-".to_owned()),
        ("a name without a category", "-1".to_owned()),
        ("a name with an empty id", "user-".to_owned()),
        ("a name of one space", " ".to_owned()),
        ("a name with a line break", "user-1\nuser-2".to_owned()),
        ("a name with a carriage return", "user-1\r".to_owned()),
        ("a name with a tab", "user\t1".to_owned()),
        ("a name with a NUL", "user\0-1".to_owned()),
        ("a name that a NUL would cut to another", "user".to_owned()),
        ("a name with slashes", "../user/1".to_owned()),
        ("a name with a wildcard", "user%-*".to_owned()),
    ];
    let named = names.into_iter().zip(1_u64..).map(|((what, name), number)| {
        let named = Event { event_type: event_type(&name), ..event(number, &name, 0) };
        (what.to_owned(), named)
    });
    comes_back_or_is_refused(store, &named.collect::<Vec<_>>()).await
}

/// Payloads that are rarely met: kept, or refused as unsupported.
pub async fn odd_payloads_come_back_or_are_refused(store: &dyn StoreUnderTest) -> Verdict {
    let other = |text: &str| Payload::new("x", ContentType::parse(text));
    let payloads = [
        ("JSON with line breaks", Payload::json("{\n  \"a\": 1\r\n}\n")),
        ("broken JSON", Payload::json("{\"a\":")),
        ("a word labelled JSON", Payload::json("NaN")),
        ("two values labelled JSON", Payload::json("{} {}")),
        ("one space labelled JSON", Payload::json(" ")),
        ("bytes that are not UTF-8, labelled JSON", Payload::json(&b"{\"a\":\"\xff\"}"[..])),
        ("JSON with a byte order mark", Payload::json("\u{feff}{}")),
        ("JSON with a raw NUL", Payload::json("{\"a\":\"\0\"}")),
        ("JSON nested 10,000 deep", Payload::json("[".repeat(10_000) + &"]".repeat(10_000))),
        ("a media type with odd spaces", other("  text/plain ;charset = utf-8 ")),
        ("a media type that is none", other("Ünïcode \u{1F600}")),
        ("an empty media type", other("")),
    ];
    let mut odd: Vec<(String, Event)> = Vec::new();
    for (what, payload) in payloads.into_iter().chain([("binary bytes", Payload::binary(&b"\x00\xff"[..]))]) {
        let number = odd.len() as u64 + 1;
        odd.push((format!("{what}, as data"), with_data(number, payload.clone())));
        let as_metadata = Event { metadata: payload, ..with_data(number + 1, Payload::json("{}")) };
        odd.push((format!("{what}, as metadata"), as_metadata));
    }
    comes_back_or_is_refused(store, &odd).await
}

/// UUIDs come back as they are; the empty one has to where the store has transactions. Ids of other text come back too, unless
/// the store refuses them as unsupported.
pub async fn ids_of_every_kind_come_back(store: &dyn StoreUnderTest) -> Verdict {
    let empty = store.writer().await?.capabilities().transactions.then_some(0);
    let uuids = empty.into_iter().chain([1, u128::MAX, 0x0190_163d_8694_739b_aea5_966c_26f8_ad91]);
    let of_uuids = uuids
        .map(|bits| EventId::uuid(Uuid::from_u128(bits)))
        .zip(1..)
        .map(|(id, number)| Event { id, ..event(number, "uuids", number - 1) });
    let of_uuids: Vec<Event> = of_uuids.collect();
    comes_back(store, &of_uuids).await?;

    const OTHERS: [&str; 10] = [
        "order-1",
        "1",
        "01",
        " 1",
        "CBE326DA-5260-5F9D-88A8-A35A0B819073",
        "cbe326da52605f9d88a8a35a0b819073",
        "{cbe326da-5260-5f9d-88a8-a35a0b819073}",
        "b0f7b7e1\u{308}é👍",
        "it's \"quoted\"",
        "0x00",
    ];
    let mut kept = of_uuids;
    for (text, number) in OTHERS.into_iter().zip(100..) {
        let event = Event { id: text_id(text), ..event(number, text, 0) };
        let mut writer = store.writer().await?;
        match writer.append(std::slice::from_ref(&event), None).await {
            Ok(()) => kept.push(event),
            Err(error) if matches!(error.kind, StoreErrorKind::Unsupported(_)) => {}
            Err(error) => return Err(Failure::from(error).when(format_args!("id {text:?}"))),
        }
    }
    holds_exactly(store, &kept).await
}

/// Times keep their microseconds, before and after 1970; without the capability, the store's own times are not absurd.
pub async fn times_come_back(store: &dyn StoreUnderTest) -> Verdict {
    const YEAR: i64 = 31_556_952_000_000;
    let times = [
        0,
        1,
        -1,
        999_999,
        -999_999,
        1_000_000,
        -1_000_001,
        1_714_564_800_123_456,
        -62_135_596_800_000_000,
        YEAR * 8_000,
    ];
    let of_times = times.into_iter().zip(1..);
    let of_times: Vec<Event> = of_times
        .map(|(micros, number)| Event { recorded_at: time(micros), ..event(number, "times", number - 1) })
        .collect();
    comes_back(store, &of_times).await
}

/// Attributes are carried to the byte, where the capability says so.
pub async fn attributes_come_back(store: &dyn StoreUnderTest) -> Verdict {
    let texts = [
        "",
        "{}",
        r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"}"#,
        r#"{ "b":1.0, "a":"\u0000" }"#,
    ];
    let with_attributes = texts.into_iter().zip(1..);
    let with_attributes: Vec<Event> = with_attributes
        .map(|(text, number)| Event {
            attributes: Bytes::from_static(text.as_bytes()),
            ..event(number, "order-1", number - 1)
        })
        .collect();
    comes_back(store, &with_attributes).await
}

/// Positions are kept as given, gaps and 0 included; or given by the store in the order of the appends.
pub async fn positions_come_back(store: &dyn StoreUnderTest) -> Verdict {
    let mut given = events(&["order-1", "order-2", "order-1", "order-3", "order-2", "order-1"]);
    for (event, position) in given.iter_mut().zip([0, 1, 5, 1_000, 1 << 40, i64::MAX as u64 - 1]) {
        event.position = Position::new(position);
    }
    load(store, &given).await?;
    holds_exactly(store, &given).await
}

/// A position or revision too large for the store is refused, never cut.
pub async fn positions_that_do_not_fit_are_refused(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = sealed_writer(store).await?;
    if !writer.capabilities().explicit_positions {
        return Ok(());
    }
    let mut kept = vec![event(1, "order-1", 0)];
    writer.append(&kept, None).await?;
    let candidates = [Position::new(i64::MAX as u64 + 1), Position::new(u64::MAX), Position::pair(u64::MAX, 3)];
    for (position, number) in candidates.into_iter().zip(2..) {
        let event = Event { position, ..event(number, &format!("order-{number}"), 0) };
        if writer.append(std::slice::from_ref(&event), None).await.is_ok() {
            kept.push(event);
        }
    }
    let beyond = Event { revision: Revision(u64::MAX), version: version(u32::MAX), ..event(9, "order-1", 0) };
    holds(writer.append(&[beyond], None).await.is_err(), "revision 2^64-1 of a stream with one event is refused")?;
    drop(writer);
    holds_exactly(store, &kept).await
}

/// Reader and writer of one store say the same about it, and do so each time it is opened.
pub async fn readers_and_writers_agree_on_the_store(store: &dyn StoreUnderTest) -> Verdict {
    let writer = store.writer().await?;
    let reader = store.reader().await?;
    equal("the reader's identity", writer.identity(), reader.identity())?;
    let (written, read) = (writer.capabilities(), reader.capabilities());
    equal("the reader's explicit_positions", &written.explicit_positions, &read.explicit_positions)?;
    equal("the reader's global_order", &written.global_order, &read.global_order)?;
    equal("the reader's sets_time", &written.sets_time, &read.sets_time)?;
    equal("the reader's attributes", &written.attributes, &read.attributes)?;
    let identity = writer.identity().clone();
    drop(writer);
    equal("the identity of the same store opened again", &identity, store.writer().await?.identity())
}
