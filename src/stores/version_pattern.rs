//! How a schema version is written in an attribute.

use std::collections::BTreeMap;

/// Text with `{version}` once and `{type}` at most once, and texts that stand for versions where the number would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VersionPattern {
    text: String,
    before: String,
    between: String,
    after: String,
    shape: Shape,
    /// What stands in the number's place, and the version that it means.
    texts: BTreeMap<String, u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    VersionOnly,
    TypeThenVersion,
    VersionThenType,
}

/// A version that can't be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Mismatch {
    /// The text has another shape.
    Shape,
    /// The number is 0 or does not fit 32 bits.
    Range,
}

const VERSION: &str = "{version}";
const TYPE: &str = "{type}";

impl VersionPattern {
    /// Reads a pattern. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((left, right)) = text.split_once(VERSION) else {
            return Err(format!("the version pattern {text:?} has no {{version}} in it"));
        };
        if text.matches(VERSION).count() > 1 || text.matches(TYPE).count() > 1 {
            return Err(format!("the version pattern {text:?} names {{version}} or {{type}} more than once"));
        }
        let (before, between, after, shape) = if let Some((before, between)) = left.split_once(TYPE) {
            (before, between, right, Shape::TypeThenVersion)
        } else if let Some((between, after)) = right.split_once(TYPE) {
            (left, between, after, Shape::VersionThenType)
        } else {
            (left, "", right, Shape::VersionOnly)
        };
        if shape != Shape::VersionOnly && between.is_empty() {
            return Err(format!("the version pattern {text:?} has nothing between {{type}} and {{version}}"));
        }
        let [text, before, between, after] = [text, before, between, after].map(str::to_owned);
        Ok(Self { text, before, between, after, shape, texts: BTreeMap::new() })
    }

    /// The same, where these texts stand for versions, in the place of the number. Every other text is a number. The
    /// error names one that stands for none.
    #[cfg(feature = "file")]
    pub(crate) fn with_texts(self, texts: &BTreeMap<String, u32>) -> Result<Self, String> {
        match texts.iter().find(|(_, version)| **version == 0) {
            Some((text, _)) => Err(format!("versions says that {text:?} is version 0, but schema versions go from 1")),
            None => Ok(Self { texts: texts.clone(), ..self }),
        }
    }

    /// What stands for versions beside numbers.
    #[cfg(feature = "file")]
    pub(crate) fn texts(&self) -> &BTreeMap<String, u32> {
        &self.texts
    }

    /// Whether `{type}` is in it.
    pub(crate) fn names_type(&self) -> bool {
        self.shape != Shape::VersionOnly
    }

    /// Whether it is nothing but the number.
    #[cfg(feature = "file")]
    pub(crate) fn is_plain_number(&self) -> bool {
        self.shape == Shape::VersionOnly && self.before.is_empty() && self.after.is_empty()
    }

    /// The version in the text, which must name this type where the pattern does.
    #[cfg(feature = "file")]
    pub(crate) fn version(&self, text: &str, event_type: &str) -> Result<u32, Mismatch> {
        let inner = self.inner(text).ok_or(Mismatch::Shape)?;
        let digits = match self.shape {
            Shape::VersionOnly => Some(inner),
            Shape::TypeThenVersion => inner.strip_prefix(event_type).and_then(|rest| rest.strip_prefix(&*self.between)),
            Shape::VersionThenType => inner.strip_suffix(event_type).and_then(|rest| rest.strip_suffix(&*self.between)),
        };
        self.number(digits.ok_or(Mismatch::Shape)?)
    }

    /// What a text in the number's place means.
    fn number(&self, text: &str) -> Result<u32, Mismatch> {
        self.texts.get(text).map_or_else(|| number(text), |version| Ok(*version))
    }

    /// The type and version that the text is made of; `None` when it is made otherwise.
    pub(crate) fn split<'a>(&self, text: &'a str) -> Result<Option<(&'a str, u32)>, Mismatch> {
        let Some(inner) = self.inner(text) else { return Ok(None) };
        // A text may have in it what separates it from the type.
        let named = |(said, version): (&String, &u32)| {
            let name = match self.shape {
                Shape::VersionOnly => None,
                Shape::TypeThenVersion => inner.strip_suffix(&**said)?.strip_suffix(&*self.between),
                Shape::VersionThenType => inner.strip_prefix(&**said)?.strip_prefix(&*self.between),
            };
            name.filter(|name| !name.is_empty()).map(|name| (name, *version))
        };
        // The shortest name: of "1" and "2.1", "A.2.1" means the latter.
        if let Some(found) = self.texts.iter().filter_map(named).min_by_key(|(name, _)| name.len()) {
            return Ok(Some(found));
        }
        let parts = match self.shape {
            Shape::VersionOnly => None,
            Shape::TypeThenVersion => inner.rsplit_once(&*self.between),
            Shape::VersionThenType => inner.split_once(&*self.between).map(|(digits, name)| (name, digits)),
        };
        let Some((name, digits)) = parts else { return Ok(None) };
        match self.number(digits) {
            Ok(version) if !name.is_empty() => Ok(Some((name, version))),
            Ok(_) | Err(Mismatch::Shape) => Ok(None),
            Err(Mismatch::Range) => Err(Mismatch::Range),
        }
    }

    /// The text for a type and version. It is read back as these unless the number stands for another version.
    pub(crate) fn write(&self, event_type: &str, version: u32) -> String {
        let Self { before, between, after, .. } = self;
        let said = self.texts.iter().find(|(_, known)| **known == version);
        let version = said.map_or_else(|| version.to_string(), |(text, _)| text.clone());
        match self.shape {
            Shape::VersionOnly => format!("{before}{version}{after}"),
            Shape::TypeThenVersion => format!("{before}{event_type}{between}{version}{after}"),
            Shape::VersionThenType => format!("{before}{version}{between}{event_type}{after}"),
        }
    }

    fn inner<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.strip_prefix(&*self.before)?.strip_suffix(&*self.after)
    }
}

impl std::fmt::Display for VersionPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Digits without leading zeros, so that every text that is read is written back the same.
fn number(digits: &str) -> Result<u32, Mismatch> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(Mismatch::Shape);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(Mismatch::Range),
        Ok(version) => Ok(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_writes_it_reads_back() {
        for text in
            ["urn:schema:{type}:{version}", "{version}", "v{version}/{type}", "{type}.v{version}", "x{version}y"]
        {
            let pattern = VersionPattern::parse(text).unwrap();
            for name in ["A", "A.v2", "a:b", "1/v"] {
                let written = pattern.write(name, 17);
                assert_eq!(pattern.version(&written, name), Ok(17), "{text} {name}");
                if pattern.names_type() && !(text.starts_with("urn") && name.contains(':')) {
                    assert_eq!(pattern.split(&written), Ok(Some((name, 17))), "{text} {name}");
                }
            }
        }
    }

    #[test]
    fn types_that_do_not_follow_the_pattern_are_left_whole() {
        let pattern = VersionPattern::parse("{type}.v{version}").unwrap();
        for text in ["Order", "Order.valid", ".v2", "Order.v02"] {
            assert_eq!(pattern.split(text), Ok(None), "{text}");
        }
        assert_eq!(pattern.split("Order.v0"), Err(Mismatch::Range));
        assert_eq!(pattern.split("Order.v99999999999"), Err(Mismatch::Range));
    }

    #[test]
    #[cfg(feature = "file")]
    fn texts_stand_for_versions() {
        let texts = [("0", 1), ("2.0.1", 3), ("2024-01-15", 4), ("", 5)];
        let texts = texts.map(|(text, version)| (text.to_owned(), version)).into();
        let plain = VersionPattern::parse("{version}").unwrap().with_texts(&texts).unwrap();
        for (text, version) in [("0", 1), ("2.0.1", 3), ("2024-01-15", 4), ("", 5), ("2", 2)] {
            assert_eq!(plain.version(text, "A"), Ok(version), "{text}");
            assert_eq!(plain.write("A", version), text);
        }
        assert_eq!(plain.version("2.0", "A"), Err(Mismatch::Shape));
        let dotted = VersionPattern::parse("{type}.{version}").unwrap().with_texts(&texts).unwrap();
        assert_eq!(dotted.split("Order.2.0.1"), Ok(Some(("Order", 3))));
        assert_eq!(dotted.split("Order.2"), Ok(Some(("Order", 2))));
        assert_eq!(dotted.split("Order"), Ok(None));
        assert!(VersionPattern::parse("{version}").unwrap().with_texts(&[("x".to_owned(), 0)].into()).is_err());
    }

    #[test]
    fn patterns_that_could_not_be_read_back_are_refused() {
        for text in ["", "{type}", "{version}{version}", "{type}{version}", "{type}-{type}-{version}"] {
            assert!(VersionPattern::parse(text).is_err(), "{text}");
        }
    }
}
