//! The parts of an object or array, found in one pass over its text.
//!
//! Accepts a subset of what serde_json does, only faster; what it does not accept is serde_json's to judge.

use std::borrow::Cow;

use crate::json::node::{Member, Node};

/// What most objects and arrays have.
const USUAL: usize = 8;

/// Values nested deeper than this are not looked into here.
const DEEPEST: u32 = 64;

/// The members of a text that is one strict JSON object, and nothing else but white space; none where it isn't, or is
/// nested too deeply to tell.
pub(super) fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut scan = Scan { text, at: 0 };
    scan.space();
    scan.take(b'{')?;
    scan.space();
    let mut members = Vec::with_capacity(USUAL);
    if scan.take(b'}').is_none() {
        loop {
            let key = scan.string()?;
            scan.colon()?;
            let value = Node::Text(Cow::Borrowed(scan.value()?));
            members.push(Member { key: Cow::Borrowed(key), value });
            scan.space();
            if scan.take(b',').is_none() {
                break;
            }
            scan.space();
        }
        scan.take(b'}')?;
    }
    scan.end()?;
    Some(members)
}

/// The items of a text that is one strict JSON array, likewise.
pub(super) fn items(text: &str) -> Option<Vec<Node<'_>>> {
    let mut scan = Scan { text, at: 0 };
    scan.space();
    scan.take(b'[')?;
    scan.space();
    let mut items = Vec::with_capacity(USUAL);
    if scan.take(b']').is_none() {
        loop {
            items.push(Node::Text(Cow::Borrowed(scan.value()?)));
            scan.space();
            if scan.take(b',').is_none() {
                break;
            }
            scan.space();
        }
        scan.take(b']')?;
    }
    scan.end()?;
    Some(items)
}

/// A place in a text. What returns an option has met what it may not where that is none.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.take(b':')
    }

    fn end(&mut self) -> Option<()> {
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    /// A value, without the white space before it.
    fn value(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at;
        match self.byte()? {
            b'{' | b'[' => self.pass_nested()?,
            _ => self.pass_scalar()?,
        }
        self.text.get(start..self.at)
    }

    fn pass_scalar(&mut self) -> Option<()> {
        match self.byte()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn pass_nested(&mut self) -> Option<()> {
        // One bit for each object or array that is open, the lowest for the innermost: 1 for an object.
        let mut open = 0_u64;
        let mut depth = 0;
        loop {
            self.space();
            let is_empty = match self.byte()? {
                bracket @ (b'{' | b'[') => {
                    let is_object = bracket == b'{';
                    self.at += 1;
                    self.space();
                    let is_empty = self.take(if is_object { b'}' } else { b']' }).is_some();
                    if !is_empty {
                        if depth == DEEPEST {
                            return None;
                        }
                        depth += 1;
                        open = open << 1 | u64::from(is_object);
                        if is_object {
                            self.key()?;
                        }
                    }
                    is_empty
                }
                _ => {
                    self.pass_scalar()?;
                    true
                }
            };
            if !is_empty {
                continue;
            }
            // A value has ended: what it is in goes on or ends as well.
            loop {
                if depth == 0 {
                    return Some(());
                }
                self.space();
                let is_in_object = open & 1 == 1;
                match self.byte()? {
                    b',' => {
                        self.at += 1;
                        if is_in_object {
                            self.space();
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if is_in_object => {}
                    b']' if !is_in_object => {}
                    _ => return None,
                }
                self.at += 1;
                open >>= 1;
                depth -= 1;
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.colon()
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let is_it = self.text.as_bytes()[self.at..].starts_with(word);
        is_it.then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        // A minus, or nothing.
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// A string, with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            self.plain();
            match self.byte()? {
                b'"' => break,
                b'\\' => self.escape()?,
                // A control character.
                _ => return None,
            }
        }
        self.at += 1;
        self.text.get(start..self.at)
    }

    /// Up to the next quote, backslash or control character.
    fn plain(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(eight) = bytes[self.at..].first_chunk::<8>() {
            let special = special(u64::from_le_bytes(*eight));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.byte().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = self.text.as_bytes().get(self.at + 1)?;
        match escaped {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.text.as_bytes().get(self.at + 2..self.at + 6)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }
}

/// The highest bit of each byte that is a quote, a backslash or a control character. Of bytes above the lowest such one
/// it may be wrong.
fn special(eight: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    // Only a byte that is too small takes the highest bit from below, and those beyond ASCII are not looked at.
    let zero = |eight: u64| eight.wrapping_sub(ONES) & !eight;
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (zero(eight ^ (ONES * 0x22)) | zero(eight ^ (ONES * 0x5c)) | control) & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// JSON text: mostly valid, with white space, escapes and nesting.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            string(),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                (prop::collection::vec(inner.clone(), 0..5), space()).prop_map(|(items, space)| {
                    let items: Vec<String> = items.iter().map(|item| format!("{space}{item}{space}")).collect();
                    format!("[{space}{}]", items.join(","))
                }),
                (prop::collection::vec((string(), inner), 0..5), space()).prop_map(|(members, space)| {
                    let member = |(key, value): &(String, String)| format!("{space}{key}{space}:{space}{value}{space}");
                    let members: Vec<String> = members.iter().map(member).collect();
                    format!("{{{space}{}}}", members.join(","))
                }),
            ]
        })
    }

    fn string() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[ -!#-\\[\\]-~]{0,12}",
            "[äß€😀\u{7f}\u{80}\u{2028}]{0,5}",
            r#"\\["\\/bfnrt]"#,
            r"\\u[0-9a-fA-F]{4}",
            Just(r"\ud800".to_owned()),
        ];
        prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    fn space() -> impl Strategy<Value = String> {
        prop_oneof![3 => Just(String::new()), 1 => "[ \n\t\r]{0,3}"]
    }

    /// The same text with something in it that may make it invalid.
    fn damaged() -> impl Strategy<Value = String> {
        let damage =
            prop_oneof!["[\"\\\\{}\\[\\],:0-9eE.+-]", "[\u{0}-\u{1f}]", Just(String::new()), Just("\u{b}".to_owned())];
        (json(), any::<prop::sample::Index>(), 0..3_usize, damage).prop_map(|(text, at, removed, damage)| {
            let mut characters: Vec<char> = text.chars().collect();
            let at = at.index(characters.len() + 1);
            let end = (at + removed).min(characters.len());
            characters.splice(at..end, damage.chars());
            characters.into_iter().collect()
        })
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let parts = |node: &Node<'_>| match node {
            Node::Object(members) => {
                members.iter().map(|member| (member.key.to_string(), member.value.json().into_owned())).collect()
            }
            Node::Array(items) => items.iter().map(|item| (String::new(), item.json().into_owned())).collect(),
            Node::Absent | Node::Text(_) => Vec::new(),
        };
        let found = members(text).map(Node::Object).or_else(|| items(text).map(Node::Array));
        let expected = Node::parse_by_serde(text).ok().filter(|node| !matches!(node, Node::Text(_)));
        prop_assert_eq!(found.as_ref().map(parts), expected.as_ref().map(parts), "{}", text);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_same_parts_are_found_in_the_same_texts(text in json(), before in space(), after in space()) {
            agrees(&format!("{before}{text}{after}"))?;
        }

        #[test]
        fn the_same_texts_are_refused(text in damaged()) {
            agrees(&text)?;
        }

        #[test]
        fn every_special_byte_is_found_where_it_is(text in "[ -~\u{0}-\u{1f}\"\\\\äß€😀\u{7f}]{8,24}") {
            let mut scan = Scan { text: &text, at: 0 };
            scan.plain();
            let expected = text.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\').unwrap_or(text.len());
            prop_assert_eq!(scan.at, expected);
        }
    }

    #[test]
    fn texts_at_the_edges_are_judged_as_serde_does() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let texts = [
            "{}",
            "[]",
            " { } ",
            "[1,]",
            "{\"a\":1,}",
            "[01]",
            "[-]",
            "[1.]",
            "[1e]",
            "[.5]",
            "[+1]",
            "{\"a\"}",
            "{a:1}",
            "[\"\\x\"]",
            "[\"\\u12g4\"]",
            "[\"\\u123",
            "[\"a",
            "[nul]",
            "[nullx]",
            "{}x",
            "[1 2]",
            "[,1]",
            "{,}",
            "[}",
            "{]",
            "[[}]",
            "{\"a\":{]}",
            "\u{feff}[]",
            "[\u{a0}1]",
            "[\"\u{1f}\"]",
            "[\"\u{7f}\"]",
            "[-0, 0e0, 0.0E-0]",
        ];
        for text in texts {
            agrees(text).unwrap();
        }
        agrees(&nested(60)).unwrap();
        // Deeper ones are left to serde_json, which takes any depth.
        assert!(members(&nested(100)).is_none());
        for depth in [63, 64, 65, 66, 200, 10_000] {
            assert!(matches!(Node::parse(&nested(depth)), Ok(Node::Object(members)) if members.len() == 1), "{depth}");
        }
    }
}
