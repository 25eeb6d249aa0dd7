//! Checks of numbers that neither 64 bits nor a double hold, to the last digit.
//!
//! The library of JSON Schemas holds numbers as Rust's own, so it would round such a number first. Here it sees a marked
//! text in its place, in the data and in `const` and `enum`, and the keywords that tell numbers from text or compare them
//! are our own. Only data and schemas with such a number come here.

use eventlift_language::json::{self, Decimal};
use eventlift_language::{Reason, Shown, hides_values};
use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What the text that stands for a number begins with: characters that are nobody's.
const MARK: &str = "\u{10fffd}\u{10fffc}number:";
/// What stands in front of a keyword's name in the name of a member that has all digits of its number.
const DIGITS_OF: &str = "x-eventlift-digits-";

/// Keywords whose value is a number that numbers are compared with.
const COMPARING: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
/// Keywords that are about text, and say nothing about numbers.
const ABOUT_TEXT: [&str; 6] = ["minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"];
/// Keywords whose members have names that are no keywords.
const OF_NAMES: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// Whether a JSON text has a number that is changed when it is read as one of Rust's.
pub(super) fn has_long_numbers(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9')) {
        rest = &rest[at..];
        let end = match rest[0] {
            b'"' => end_of_text(rest),
            _ => rest.iter().position(|byte| !is_of_number(*byte)).unwrap_or(rest.len()),
        };
        if rest[0] != b'"' && std::str::from_utf8(&rest[..end]).is_ok_and(is_long) {
            return true;
        }
        rest = &rest[end..];
    }
    false
}

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

/// Where a text ends that begins with its quotation mark.
fn end_of_text(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// Whether a number is another one when it is read as one of Rust's.
fn is_long(number: &str) -> bool {
    /// So many digits are a double's, whatever they are.
    const SHORT: usize = 15;
    if number.len() <= SHORT && !number.contains(['e', 'E']) {
        return false;
    }
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return false;
    }
    // As the library's numbers are read.
    let read = serde_json::from_str::<serde_json::Number>(number).ok();
    let read = read.and_then(|read| Decimal::parse(&read.to_string()));
    json::is_number(number) && (read.is_none() || read != Decimal::parse(number))
}

/// The text that stands for a number; the same for numbers of the same value.
fn marked(number: &str) -> String {
    match Decimal::parse(number) {
        Some(decimal) => format!("{MARK}{}", decimal.plain().unwrap_or_else(|| decimal.normal_text())),
        None => format!("{MARK}{number}"),
    }
}

/// Data as the library sees it.
fn with_marks(json: &RawValue) -> serde_json::Result<Value> {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text)?;
            let members = members.0.into_iter().map(|(name, value)| Ok((name, with_marks(value)?)));
            members.collect::<serde_json::Result<_>>().map(Value::Object)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            items.into_iter().map(with_marks).collect::<serde_json::Result<_>>().map(Value::Array)
        }
        Some(b'-' | b'0'..=b'9') if is_long(text) => Ok(Value::String(marked(text))),
        _ => serde_json::from_str(text),
    }
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> serde::Deserialize<'a> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'a> serde::de::Visitor<'a> for Visitor {
            type Value = Members<'a>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A schema as the library sees it: marks in `const` and `enum`, and the digits of what is compared with beside it.
fn schema_with_marks(json: &RawValue, are_names: bool) -> serde_json::Result<Value> {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text)?;
            let mut schema = Map::new();
            for (name, value) in members.0 {
                let keyword = if are_names { "" } else { &*name };
                if matches!(keyword, "const" | "enum") {
                    schema.insert(name, with_marks(value)?);
                    continue;
                }
                if COMPARING.contains(&keyword) && is_long(value.get()) {
                    let digits = format!("{DIGITS_OF}{name}");
                    // The library asks for a number; what it is does not matter.
                    schema.insert(name, Value::from(1));
                    schema.insert(digits, Value::String(value.get().to_owned()));
                    continue;
                }
                let of_names = OF_NAMES.contains(&keyword);
                schema.insert(name, schema_with_marks(value, of_names)?);
            }
            Ok(Value::Object(schema))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let items = items.into_iter().map(|item| schema_with_marks(item, false));
            items.collect::<serde_json::Result<_>>().map(Value::Array)
        }
        // Examples and defaults, which nothing is compared with.
        Some(b'-' | b'0'..=b'9') if is_long(text) => Ok(Value::String(marked(text))),
        _ => serde_json::from_str(text),
    }
}

/// A schema that compares every number exactly.
pub(super) struct ExactValidator(Validator);

impl ExactValidator {
    /// Compiles a schema.
    pub(super) fn new(text: &str) -> Result<Self, Reason> {
        let raw: &RawValue = serde_json::from_str(text).map_err(Reason::new)?;
        let schema = schema_with_marks(raw, false).map_err(Reason::new)?;
        let dialect = schema.get("$schema").cloned();
        let mut options = jsonschema::options();
        for keyword in COMPARING {
            options = options
                .with_keyword(keyword, move |schema, value, _: Location| Comparing::compile(keyword, schema, value));
        }
        for keyword in ABOUT_TEXT {
            let dialect = dialect.clone();
            options = options.with_keyword(keyword, move |_, value, _: Location| {
                Ok(Box::new(Apart { numbers: Numbers::Pass, others: alone(keyword, value, dialect.as_ref())? }))
            });
        }
        options = options.with_keyword("type", move |_, value, _: Location| {
            let names = |name: &str| match value {
                Value::Array(names) => names.iter().any(|one| one == name),
                one => one == name,
            };
            let (number, integer) = (names("number"), names("integer"));
            let numbers = Numbers::Typed { number, integer, named: value.to_string() };
            Ok(Box::new(Apart { numbers, others: alone("type", value, dialect.as_ref())? }))
        });
        let validator = options.build(&schema).map_err(|error| Reason::new(unmarked(&error.to_string())))?;
        Ok(Self(validator))
    }

    /// Checks data. Fails with the path of the first violation, and what is wrong.
    pub(super) fn check(&self, data: &[u8]) -> Result<(), (String, String)> {
        let whole = |error: serde_json::Error| (String::new(), error.to_string());
        let raw: &RawValue = serde_json::from_slice(data).map_err(whole)?;
        if raw.get().contains(MARK) {
            return Err((String::new(), "it holds a text that is kept for numbers".to_owned()));
        }
        let data = with_marks(raw).map_err(whole)?;
        self.0.validate(&data).map_err(|error| {
            let problem = if hides_values() { error.masked().to_string() } else { error.to_string() };
            (error.instance_path().to_string(), unmarked(&problem))
        })
    }
}

/// A message in which numbers are numbers again.
fn unmarked(message: &str) -> String {
    let mut out = message.to_owned();
    for keyword in COMPARING {
        // A schema in a message has the digits beside the number that stands for them.
        while let Some((before, behind)) = out.split_once(&format!("\"{DIGITS_OF}{keyword}\":\"")) {
            let Some((digits, behind)) = behind.split_once('"') else { break };
            let bound = format!("\"{keyword}\":");
            let before = before.trim_end_matches(',').replacen(&format!("{bound}1"), &format!("{bound}{digits}"), 1);
            out = format!("{before}{behind}");
        }
    }
    let mut parts = out.split(MARK);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.truncate(shown.strip_suffix('"').map_or(shown.len(), str::len));
        let end = part.find(|c: char| !c.is_ascii() || !is_of_number(c as u8)).unwrap_or(part.len());
        shown.push_str(&part[..end]);
        shown.push_str(part[end..].strip_prefix('"').unwrap_or(&part[end..]));
    }
    shown
}

/// The digits of a number, marked or not; none of anything else.
fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => text.strip_prefix(MARK).map(str::to_owned),
        _ => None,
    }
}

fn is_marked(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.starts_with(MARK))
}

/// A schema of nothing but one keyword.
fn alone<'a>(keyword: &str, value: &'a Value, dialect: Option<&Value>) -> Result<Validator, ValidationError<'a>> {
    let mut schema = Map::new();
    if let Some(dialect) = dialect {
        schema.insert("$schema".to_owned(), dialect.clone());
    }
    schema.insert(keyword.to_owned(), value.clone());
    jsonschema::options().build(&Value::Object(schema))
}

/// A keyword that the library looks after, except for numbers that it does not see.
struct Apart {
    numbers: Numbers,
    others: Validator,
}

enum Numbers {
    Pass,
    Typed { number: bool, integer: bool, named: String },
}

impl Apart {
    fn passes(&self, value: &Value) -> bool {
        match &self.numbers {
            Numbers::Pass => true,
            Numbers::Typed { number, integer, .. } => {
                *number || *integer && digits(value).is_some_and(|digits| !digits.contains('.'))
            }
        }
    }
}

impl<'i> Keyword<'i> for Apart {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if !is_marked(instance) {
            return self.others.validate(instance);
        }
        if self.passes(instance) {
            return Ok(());
        }
        let found = digits(instance).unwrap_or_default();
        Err(ValidationError::custom(match &self.numbers {
            Numbers::Pass => found,
            Numbers::Typed { named, .. } => format!("{} is not of type {named}", Shown(found)),
        }))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        if is_marked(instance) { self.passes(instance) } else { self.others.is_valid(instance) }
    }
}

/// A keyword that compares numbers.
struct Comparing {
    keyword: &'static str,
    /// As it is written.
    bound: String,
    is_excluded: bool,
}

impl Comparing {
    fn compile<'a>(
        keyword: &'static str,
        schema: &'a Map<String, Value>,
        value: &'a Value,
    ) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
        let long = schema.get(&format!("{DIGITS_OF}{keyword}")).and_then(Value::as_str);
        // Draft 4 has true or false for `exclusiveMinimum`, which is about the `minimum` beside it.
        let beside = match keyword {
            "minimum" => "exclusiveMinimum",
            "maximum" => "exclusiveMaximum",
            _ => keyword,
        };
        let is_excluded = keyword.starts_with("exclusive") || schema.get(beside) == Some(&Value::Bool(true));
        let bound = long.map_or_else(|| value.to_string(), str::to_owned);
        Ok(Box::new(Self { keyword, bound, is_excluded }))
    }

    /// What is wrong with a number.
    fn problem(&self, value: &Value) -> Option<String> {
        let found = digits(value)?;
        let bound = Decimal::parse(&self.bound)?;
        let Some(number) = Decimal::parse(&found) else {
            return Some(format!("{} has an exponent too large to compare", Shown(found)));
        };
        let order = number.cmp(&bound);
        let message = match self.keyword {
            "minimum" | "exclusiveMinimum" => match (order.is_lt(), order.is_eq() && self.is_excluded) {
                (false, false) => return None,
                (true, _) => "less than the minimum of",
                (false, true) => "not more than the minimum, which is excluded, of",
            },
            "maximum" | "exclusiveMaximum" => match (order.is_gt(), order.is_eq() && self.is_excluded) {
                (false, false) => return None,
                (true, _) => "greater than the maximum of",
                (false, true) => "not less than the maximum, which is excluded, of",
            },
            _ => match is_multiple(&number, &bound) {
                Some(true) => return None,
                Some(false) => "not a multiple of",
                None => "too long to tell whether it is a multiple of",
            },
        };
        Some(format!("{} is {message} {}", Shown(found), self.bound))
    }
}

/// Whether a number is a multiple of another one. None where their digits are more than 38 together.
fn is_multiple(number: &Decimal, of: &Decimal) -> Option<bool> {
    let scaled = (0..=38).find_map(|places| Some((number.scaled(places)?, of.scaled(places)?)));
    let (number, of) = scaled?;
    number.checked_rem(of).map(|rest| rest == 0)
}

impl<'i> Keyword<'i> for Comparing {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.problem(instance).map_or(Ok(()), |problem| Err(ValidationError::custom(problem)))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.problem(instance).is_none()
    }
}

#[cfg(test)]
mod tests {
    use eventlift_language::showing_values;

    use super::*;

    #[test]
    fn long_numbers_are_told_from_others() {
        for json in [
            "9007199254740993.0",
            r#"{"a":[12345678901234567.89]}"#,
            "1e400",
            "18446744073709551616",
            "[0.1000000000000000055]",
        ] {
            assert!(has_long_numbers(json.as_bytes()), "{json}");
        }
        for json in [
            "9007199254740993",
            "-9223372036854775808",
            "18446744073709551615",
            "10.10",
            "1e3",
            "1.50e-7",
            "0.1",
            r#"{"a":"12345678901234567.89 \" 1e400","b":-1}"#,
            "123456789012345.5",
            "1e22",
        ] {
            assert!(!has_long_numbers(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn long_numbers_are_compared_to_the_last_digit() {
        let draft_4 = r#""$schema":"http://json-schema.org/draft-04/schema#","#;
        for (schema, good, bad) in [
            (r#"{"maximum":9007199254740992}"#, "9007199254740992.0", "9007199254740992.0000000001"),
            (r#"{"maximum":9007199254740993.5}"#, "9007199254740993.5", "9007199254740994"),
            (r#"{"exclusiveMaximum":9007199254740993.5}"#, "9007199254740993.4", "9007199254740993.50"),
            (r#"{"minimum":123456789012345678901}"#, "123456789012345678901", "123456789012345678900"),
            (r#"{"exclusiveMinimum":0.1}"#, "0.10000000000000000001", "0.1000000000000000000000"),
            (r#"{DRAFT4"minimum":0.1,"exclusiveMinimum":true}"#, "0.10000000000000000001", "0.1000000000000000000000"),
            (r#"{"multipleOf":0.01}"#, "12345678901234567.89", "12345678901234567.891"),
            (r#"{"multipleOf":3}"#, "123456789012345678903", "123456789012345678901"),
            (r#"{"const":12345678901234567.89}"#, "12345678901234567.890", "12345678901234567.88"),
            (
                r#"{"const":{"a":[12345678901234567.89]}}"#,
                r#"{"a":[12345678901234567.89]}"#,
                r#"{"a":[12345678901234567.9]}"#,
            ),
            (r#"{"enum":[1,1e400]}"#, "10e399", "1e401"),
            (r#"{"type":"integer"}"#, "123456789012345678901", "1.0000000000000000001"),
            (r#"{"type":["number","null"]}"#, "1e400", r#""1e400""#),
            (r#"{"items":{"type":"integer"}}"#, "[123456789012345678901]", "[1,123456789012345678901.5]"),
            (r#"{"type":"string"}"#, r#""x""#, "123456789012345678901"),
            (r#"{"type":["string","null"]}"#, r#""x""#, "123456789012345678901"),
            (
                r#"{"uniqueItems":true}"#,
                "[123456789012345678901,123456789012345678902]",
                "[123456789012345678901.0,123456789012345678901]",
            ),
            (
                r#"{"properties":{"const":{"maximum":123456789012345678901}}}"#,
                r#"{"const":123456789012345678901}"#,
                r#"{"const":123456789012345678902}"#,
            ),
            (
                r##"{"$ref":"#/definitions/n","definitions":{"n":{"maximum":123456789012345678901}}}"##,
                "123456789012345678901",
                "123456789012345678902",
            ),
            (r#"{"not":{"maximum":123456789012345678901}}"#, "123456789012345678902", "123456789012345678901"),
            (r#"{"anyOf":[{"minLength":3},{"pattern":"^x"}],"maxLength":5}"#, "123456789012345678901", r#""no""#),
        ] {
            let schema = schema.replace("DRAFT4", draft_4);
            let validator = ExactValidator::new(&schema).unwrap_or_else(|reason| panic!("{schema}: {reason}"));
            assert_eq!(validator.check(good.as_bytes()), Ok(()), "{schema} {good}");
            let (_, problem) = validator.check(bad.as_bytes()).expect_err(&format!("{schema} {bad}"));
            assert!(!problem.contains(MARK) && !problem.contains(DIGITS_OF), "{problem}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        let validator = ExactValidator::new(r#"{"properties":{"n":{"type":"string"},"m":{"maximum":0.3}}}"#).unwrap();
        let said = |data: &str| showing_values(|| validator.check(data.as_bytes()).unwrap_err());
        let place = |path: &str, problem: &str| (path.to_owned(), problem.to_owned());
        assert_eq!(
            said(r#"{"n":123456789012345678901}"#),
            place("/n", r#"123456789012345678901 is not of type "string""#)
        );
        let long = "0.30000000000000000001 is greater than the maximum of 0.3";
        assert_eq!(said(r#"{"m":0.30000000000000000001}"#), place("/m", long));
        let validator = ExactValidator::new(r#"{"not":{"maximum":18446744073709551616.5,"minimum":1}}"#).unwrap();
        let not = r#"{"maximum":18446744073709551616.5,"minimum":1} is not allowed for 7"#;
        assert_eq!(showing_values(|| validator.check(b"7").unwrap_err()), place("", not));
    }

    #[test]
    fn messages_have_numbers_in_them() {
        let text = format!("\"{}\" is not one of \"{}\"", marked("1e40"), marked("1.50000000000000000000001"));
        assert_eq!(unmarked(&text), format!("1{} is not one of 1.50000000000000000000001", "0".repeat(40)));
    }
}
