//! Two texts of one value have one form, and texts of two values have two.
#![allow(clippy::unwrap_used)]

use eventlift_language::json::value_form;
use proptest::prelude::*;

/// A value, apart from how it is written.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Word(&'static str),
    /// An integer and how many of its digits are decimals.
    Number(i64, usize),
    Text(String),
    Array(Vec<Value>),
    /// Keys ascend.
    Object(Vec<(String, Value)>),
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(Value::Word),
        (any::<i64>(), 0..6_usize).prop_map(|(number, decimals)| Value::Number(number, decimals)),
        ".{0,6}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-c\u{e9}\"]{0,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes the value in one of many ways, chosen by the seed.
fn written(value: &Value, seed: &mut u64, out: &mut String) {
    space(seed, out);
    match value {
        Value::Word(word) => out.push_str(word),
        Value::Number(number, decimals) => number_text(*number, *decimals, seed, out),
        Value::Text(text) => string(text, seed, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                written(item, seed, out);
            }
            space(seed, out);
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().map(|(key, value)| (key, value)).collect();
            if !members.is_empty() {
                let by = random(seed) as usize % members.len();
                members.rotate_left(by);
            }
            let overridden = members.first().copied().filter(|_| random(seed).is_multiple_of(3));
            out.push('{');
            if let Some((key, _)) = overridden {
                string(key, seed, out);
                out.push_str(":[{\"x\":1}],");
            }
            for (index, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                space(seed, out);
                string(key, seed, out);
                space(seed, out);
                out.push(':');
                written(value, seed, out);
            }
            out.push('}');
        }
    }
    space(seed, out);
}

fn number_text(number: i64, decimals: usize, seed: &mut u64, out: &mut String) {
    let zeros = random(seed) as usize % 3;
    match random(seed) % 3 {
        0 => out.push_str(&format!("{number}e-{decimals}")),
        1 => out.push_str(&format!("{number}{}E{:+}", "0".repeat(zeros), -(decimals as i64) - zeros as i64)),
        _ => {
            let digits = format!("{:0>width$}", number.unsigned_abs(), width = decimals + 1);
            let (whole, fraction) = digits.split_at(digits.len() - decimals);
            let sign = if number < 0 { "-" } else { "" };
            out.push_str(&format!("{sign}{whole}.{fraction}0{}", "0".repeat(zeros)));
        }
    }
}

fn string(text: &str, seed: &mut u64, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if random(seed).is_multiple_of(3) || character < ' ' || character == '"' || character == '\\' {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(character);
        }
    }
    out.push('"');
}

fn space(seed: &mut u64, out: &mut String) {
    out.push_str(["", "", " ", "\n\t"][random(seed) as usize % 4]);
}

/// xorshift64*.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
}

fn text_of(value: &Value, seed: u64) -> String {
    let mut out = String::new();
    written(value, &mut (seed | 1), &mut out);
    out
}

/// The same value with numbers that are equal written as one.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number, decimals) => {
            let (mut number, mut decimals) = (*number, *decimals);
            while decimals > 0 && number % 10 == 0 {
                (number, decimals) = (number / 10, decimals - 1);
            }
            Value::Number(number, decimals)
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), normal(value))).collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_value_has_one_form(value in any_value(), one in any::<u64>(), other in any::<u64>()) {
        let (one, other) = (text_of(&value, one), text_of(&value, other));
        prop_assert!(value_form(&one).is_some(), "{}", one);
        prop_assert_eq!(value_form(&one), value_form(&other), "{} {}", one, other);
    }

    #[test]
    fn two_values_have_two_forms(one in any_value(), other in any_value(), seed in any::<u64>()) {
        let (first, second) = (text_of(&one, seed), text_of(&other, seed));
        prop_assert_eq!(value_form(&first) == value_form(&second), normal(&one) == normal(&other));
    }
}
