//! A made-up log of payments, for read models: about 300 bytes of nested data an event, in as many streams as there are
//! customers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use uuid::Uuid;

use crate::random::Random;

const METHODS: [&str; 4] = ["card", "transfer", "direct debit", "voucher"];

/// Writes a log of CloudEvents lines. The same numbers are always the same log. With as many customers as events, each
/// customer has one event.
pub(crate) fn write(path: &Path, events: usize, customers: usize) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut random = Random::new();
    let mut revisions = vec![0_u32; customers];
    for number in 0..events {
        let customer = match customers == events {
            // A prime: every customer comes once, in an order that is none.
            true => number.wrapping_mul(2_147_483_647) % customers,
            false => (random.next() % customers as u64) as usize,
        };
        let revision = revisions[customer];
        revisions[customer] += 1;
        let id = Uuid::from_u64_pair(random.next(), random.next());
        let data = data(&mut random, customer, number);
        writeln!(
            file,
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"urn:eventlift\",\"type\":\"OrderPaid\",\
             \"subject\":\"customer-{customer:07}\",\"time\":\"2024-05-01T12:00:00Z\",\
             \"dataschema\":\"urn:schema:OrderPaid:1\",\"datacontenttype\":\"application/json\",\
             \"sequence\":\"{number:020}\",\"streamrevision\":{revision},\"data\":{data},\
             \"metadata\":{{\"correlation_id\":\"{:016x}\",\"user\":\"u{}\"}}}}",
            random.next(),
            random.next() % 1000,
        )?;
    }
    file.flush()
}

fn data(random: &mut Random, customer: usize, number: usize) -> String {
    let (cents, sku) = (random.next() % 100_000, random.next());
    let method = METHODS[(random.next() % METHODS.len() as u64) as usize];
    format!(
        "{{\"order_id\":{number},\"customer\":{{\"id\":\"c-{customer:07}\",\"country\":\"DE\"}},\
         \"lines\":[{{\"sku\":\"{sku:016x}\",\"quantity\":{}}}],\
         \"payment\":{{\"cents\":{cents},\"amount\":\"{}.{:02}\",\"currency\":\"EUR\",\"method\":\"{method}\"}},\
         \"state\":\"paid\",\"note\":\"the quick brown fox jumps over the lazy dog and goes home\"}}",
        cents % 7 + 1,
        cents / 100,
        cents % 100,
    )
}
