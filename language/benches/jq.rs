//! What a filter costs per event: `cargo bench --features jq --bench jq`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use eventlift_events::Payload;
use eventlift_language::JqFilter;

const EVENTS: u32 = 200_000;

fn main() {
    let data = concat!(
        r#"{"id":"cbe326da-5260-5f9d-88a8-a35a0b819073","first_name":"Ada","last_name":"Lovelace","email":"ada@example.org","#,
        r#""address":{"street":"12 St James's Square","city":"London","zip":"SW1Y 4JH","country":"GB"},"#,
        r#""tags":["founder","analyst"],"balance":10.10,"orders":12345678901234567890,"active":true,"note":null,"source":"import"}"#
    );
    let data = Payload::json(data);
    println!("{} bytes, {EVENTS} events", data.len());
    for source in [
        ".",
        ".active = false",
        r#".full_name = "\(.first_name) \(.last_name)" | del(.first_name, .last_name)"#,
        ".balance = dec_add(.balance; 0.90) | .name = need(.last_name)",
        "def f(x): x | ascii_upcase; .address.country |= f(.) | .tags |= map(. + \"!\")",
    ] {
        match JqFilter::compile(source) {
            Ok(filter) => measure(source, &filter, &data),
            Err(error) => println!("{source}: {error}"),
        }
    }
}

fn measure(source: &str, filter: &JqFilter, data: &Payload) {
    let started = Instant::now();
    for _ in 0..EVENTS {
        if let Err(reason) = filter.apply_data(black_box(data)) {
            println!("{source}: {reason}");
            return;
        }
    }
    println!("{:>7.0} ns/event  {source}", started.elapsed().as_nanos() as f64 / f64::from(EVENTS));
}
