//! The canonical form of a JSON value: equal for texts that say the same.

use crate::json::number::Decimal;
use crate::json::text::{bytes_of, strict};

/// Bytes that are equal for two JSON texts exactly if their values are: whatever the white space, the order of keys,
/// the escapes and the notation of numbers are. Of a key that is repeated the last value counts. Numbers are compared
/// as exact decimals (`1.0` is `1` is `10e-1`), those with exponents past ±10^18 by their text. The form is no JSON,
/// about as long as the text, and made for any depth. None where the text is no JSON.
pub fn value_form(json: &str) -> Option<Vec<u8>> {
    let mut rest = strict(json).ok()?;
    let mut form = Form { bytes: Vec::with_capacity(json.len() + 16), open: Vec::new() };
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => 1,
            b'"' => {
                let length = string_length(rest);
                form.string(&rest[..length]);
                length
            }
            b'{' => {
                form.begin_object();
                1
            }
            b'[' => {
                form.bytes.push(b'[');
                form.open.push(Open::Array);
                1
            }
            b'}' | b']' => {
                form.end();
                1
            }
            _ => {
                let length = rest.bytes().position(|b| b" \t\n\r,:]}".contains(&b)).unwrap_or(rest.len());
                form.scalar(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    Some(form.bytes)
}

/// The length of the string that valid JSON text starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// What is written so far.
struct Form {
    bytes: Vec<u8>,
    open: Vec<Open>,
}

/// An array or object that has not ended.
enum Open {
    Array,
    Object {
        /// Where its members start.
        start: usize,
        /// Its members.
        members: Vec<Member>,
        /// Whether a key comes next, and not its value.
        expects_key: bool,
    },
}

/// A member: its key, and where it starts in the form.
struct Member {
    key: Vec<u8>,
    start: usize,
}

impl Form {
    /// Every value begins with its kind and says where it ends, so that no two sequences of values look alike.
    fn string(&mut self, json: &str) {
        let content = bytes_of(json);
        let is_key = match self.open.last_mut() {
            Some(Open::Object { members, expects_key, .. }) if *expects_key => {
                members.push(Member { key: content.to_vec(), start: self.bytes.len() });
                *expects_key = false;
                true
            }
            _ => false,
        };
        self.bytes.push(b's');
        self.bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(&content);
        if !is_key {
            self.value_ended();
        }
    }

    fn scalar(&mut self, json: &str) {
        match json {
            "true" | "false" | "null" => self.bytes.push(json.as_bytes()[0]),
            number => {
                let text = Decimal::parse(number).map_or_else(|| format!("?{number}"), |exact| exact.normal_text());
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.push(b';');
            }
        }
        self.value_ended();
    }

    fn begin_object(&mut self) {
        self.bytes.push(b'{');
        let start = self.bytes.len();
        self.open.push(Open::Object { start, members: Vec::new(), expects_key: true });
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::Object { start, members, .. }) => {
                self.sort(start, members);
                self.bytes.push(b'}');
            }
            Some(Open::Array) | None => self.bytes.push(b']'),
        }
        self.value_ended();
    }

    fn value_ended(&mut self) {
        if let Some(Open::Object { expects_key, .. }) = self.open.last_mut() {
            *expects_key = true;
        }
    }

    /// Puts the members of an object in the order of their keys, the last of each key only.
    fn sort(&mut self, start: usize, members: Vec<Member>) {
        if members.windows(2).all(|pair| pair[0].key < pair[1].key) {
            return;
        }
        let ends = members.iter().skip(1).map(|member| member.start).chain([self.bytes.len()]);
        let mut placed: Vec<(&[u8], std::ops::Range<usize>)> =
            members.iter().zip(ends).map(|(member, end)| (&*member.key, member.start..end)).collect();
        // Stable, so that the last of a key stays the last.
        placed.sort_by_key(|(key, _)| *key);
        let mut sorted = Vec::with_capacity(self.bytes.len() - start);
        for (index, (key, place)) in placed.iter().enumerate() {
            let is_last = placed.get(index + 1).is_none_or(|(next, _)| next != key);
            if is_last {
                sorted.extend_from_slice(&self.bytes[place.clone()]);
            }
        }
        self.bytes.truncate(start);
        self.bytes.append(&mut sorted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_say_the_same_have_one_form() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ],\n\t\"a\" : 1 }"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"b":{"d":1,"c":2},"a":0,"b":{"c":3}}"#, r#"{"a":0,"b":{"c":3}}"#),
            (r#"{"\u0061":"\u00e9"}"#, r#"{"a":"é"}"#),
            ("[1.0,100,-0,0.10]", "[1,1e2,0.0,1E-1]"),
            ("1e999999999", "10e999999998"),
            (r#""\/\ud83d\ude00""#, r#""/😀""#),
        ] {
            assert_eq!(value_form(one).unwrap(), value_form(other).unwrap(), "{one} {other}");
        }
    }

    #[test]
    fn texts_that_say_something_else_have_another_form() {
        let texts = [
            "1",
            "2",
            "\"1\"",
            "[1]",
            "[]",
            "{}",
            "[[]]",
            "[{}]",
            "[[],[]]",
            "null",
            "true",
            "false",
            "\"\"",
            "[1,2]",
            "[12]",
            "[2,1]",
            "[[1],2]",
            "[[1,2]]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"["a",1]"#,
            r#"{"a":{"b":1}}"#,
            "9007199254740993",
            "9007199254740992",
            "-1",
            "0.1",
            "1e400",
            r#""\ud800""#,
            r#""\ud801""#,
            r#"{"":1}"#,
            "1e99999999999999999999",
        ];
        for (index, one) in texts.iter().enumerate() {
            for other in &texts[index + 1..] {
                assert_ne!(value_form(one).unwrap(), value_form(other).unwrap(), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_no_json_has_no_form_and_depth_is_no_limit() {
        for text in ["", "{", "[1,]", "01", "nul", "1 2", "{\"a\"}"] {
            assert_eq!(value_form(text), None, "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(value_form(&deep).unwrap().len(), 400_000 + value_form("1").unwrap().len());
    }
}
