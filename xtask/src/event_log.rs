//! A made-up event log: 50,000 interleaved streams, random ids, about 300 bytes an event, one in ten of an old version.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use uuid::Uuid;

use crate::random::Random;

/// How many streams the events are spread over.
const STREAMS: usize = 50_000;

/// A rule that lifts what is old of them.
pub(crate) const UPCAST: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
"#;

/// The same, and two events of one.
pub(crate) const SPLIT: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
split = [
    { type = "UserCreated", version = 2 },
    { type = "UserCreated", version = 2, data = [{ remove = "/note" }, { remove = "/email" }] },
]
"#;

/// Writes a log of CloudEvents lines. The same number of events is always the same log.
pub(crate) fn write(path: &Path, events: usize) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut random = Random::new();
    let mut revisions = vec![0_u32; STREAMS];
    for number in 0..events {
        let stream = (random.next() % STREAMS as u64) as usize;
        let revision = revisions[stream];
        revisions[stream] += 1;
        let id = Uuid::from_u64_pair(random.next(), random.next());
        let (kind, version, data) = data(&mut random, number);
        writeln!(
            file,
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"urn:eventlift\",\"type\":\"{kind}\",\
             \"subject\":\"user-{stream:05}\",\"time\":\"2024-05-01T12:00:00Z\",\
             \"dataschema\":\"urn:schema:{kind}:{version}\",\"datacontenttype\":\"application/json\",\
             \"sequence\":\"{number:020}\",\"streamrevision\":{revision},\"data\":{data},\
             \"metadata\":{{\"correlation_id\":\"{:016x}\",\"user\":\"u{}\"}}}}",
            random.next(),
            random.next() % 1000,
        )?;
    }
    file.flush()
}

fn data(random: &mut Random, number: usize) -> (&'static str, u32, String) {
    let (note, amount) = (random.next(), random.next() % 100_000);
    let filler = "the quick brown fox jumps over the lazy dog and goes home";
    if number.is_multiple_of(10) {
        let data = format!(
            "{{\"user_id\":{number},\"first_name\":\"Ada{amount}\",\"last_name\":\"Lovelace\",\
             \"email\":\"ada{amount}@example.com\",\"address\":{{\"street\":\"{amount} Main Street\",\"city\":\"London\"}},\
             \"note\":\"{note:016x} {filler}\"}}"
        );
        return ("UserCreated", 1, data);
    }
    let data = format!(
        "{{\"order_id\":{number},\"amount\":{}.{:02},\"currency\":\"EUR\",\"lines\":[{{\"sku\":\"{note:016x}\",\
         \"quantity\":{}}}],\"state\":\"placed\",\"note\":\"{note:016x} {filler}\"}}",
        amount / 100,
        amount % 100,
        amount % 7 + 1,
    );
    ("OrderPlaced", 1, data)
}
