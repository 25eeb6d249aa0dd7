//! Regular expressions of .NET as those of the crate `regex`, where both take the same names.
//!
//! Both look for a match anywhere, and most is written alike. What differs is written differently (`\w`, `$`); what has no
//! equal (look-around, back-references, options) is refused with the reason. Names are compared by characters here and by
//! UTF-16 units there, which differs only where an expression counts characters beyond U+FFFF.

/// An expression that means the same here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) pattern: String,
    /// Text that it was built to match, unless that is too long.
    pub(super) example: Option<String>,
}

/// Deeper than any expression that somebody wrote.
const DEEPEST: usize = 50;

/// Examples longer than this are none.
const LONGEST_EXAMPLE: usize = 200;

/// .NET's word characters; those of the crate are some more.
const WORD: &str = r"\p{L}\p{Mn}\p{Nd}\p{Pc}";

/// Translates an expression, or says what in it has no equal.
pub(super) fn translate(text: &str) -> Result<Translated, String> {
    let mut input = Input { characters: text.chars().collect(), at: 0 };
    let whole = input.alternatives(0)?;
    if input.at < input.characters.len() {
        return Err("a `)` without its `(`".to_owned());
    }
    if let Err(error) = ::regex::Regex::new(&whole.pattern) {
        let text = error.to_string();
        return Err(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned());
    }
    let example = (whole.example.len() <= LONGEST_EXAMPLE).then_some(whole.example);
    Ok(Translated { pattern: whole.pattern, example })
}

/// A part of an expression, and text that it matches.
#[derive(Default)]
struct Piece {
    pattern: String,
    example: String,
    /// Whether it matches a place and no characters, so that a quantifier makes no sense.
    is_anchor: bool,
    /// Whether nothing may follow it in its sequence.
    is_end: bool,
}

impl Piece {
    fn new(pattern: impl Into<String>, example: impl Into<String>) -> Self {
        Self { pattern: pattern.into(), example: example.into(), ..Self::default() }
    }

    fn anchor(pattern: &str, is_end: bool) -> Self {
        Self { pattern: pattern.to_owned(), is_anchor: true, is_end, ..Self::default() }
    }

    fn literal(character: char) -> Self {
        Self::new(::regex::escape(character.encode_utf8(&mut [0; 4])), character)
    }
}

struct Input {
    characters: Vec<char>,
    at: usize,
}

impl Input {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    fn take_if(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let next = self.characters.get(self.at..self.at + length);
        let is_next = next.is_some_and(|next| next.iter().copied().eq(text.chars()));
        if is_next {
            self.at += length;
        }
        is_next
    }

    fn alternatives(&mut self, depth: usize) -> Result<Piece, String> {
        if depth > DEEPEST {
            return Err(format!("more than {DEEPEST} groups in one another"));
        }
        let mut whole = self.sequence(depth)?;
        while self.take_if("|") {
            let next = self.sequence(depth)?;
            whole.pattern.push('|');
            whole.pattern.push_str(&next.pattern);
            whole.is_end |= next.is_end;
        }
        Ok(whole)
    }

    fn sequence(&mut self, depth: usize) -> Result<Piece, String> {
        let mut whole = Piece::default();
        while let Some(next) = self.peek().filter(|next| !matches!(next, '|' | ')')) {
            if whole.is_end {
                return Err("something behind `$`".to_owned());
            }
            let atom = self.atom(next, depth)?;
            let atom = self.quantified(atom)?;
            whole.pattern.push_str(&atom.pattern);
            whole.example.push_str(&atom.example);
            whole.is_end = atom.is_end;
            if whole.example.len() > LONGEST_EXAMPLE {
                // Kept so long that the whole one is given up.
                whole.example.truncate(0);
                whole.example.push_str(&"x".repeat(LONGEST_EXAMPLE + 1));
            }
        }
        Ok(whole)
    }

    fn atom(&mut self, next: char, depth: usize) -> Result<Piece, String> {
        self.at += 1;
        match next {
            '(' => self.group(depth),
            '[' => self.class(),
            '\\' => self.escape(),
            '.' => Ok(Piece::new(".", "x")),
            '^' => Ok(Piece::anchor("^", false)),
            // Before a line break at the end as well.
            '$' => Ok(Piece::anchor(r"\n?$", true)),
            '*' | '+' | '?' => Err(format!("a `{next}` with nothing before it")),
            literal => Ok(Piece::literal(literal)),
        }
    }

    fn group(&mut self, depth: usize) -> Result<Piece, String> {
        if self.take_if("?") && !self.take_if(":") {
            let opens = self.take().unwrap_or_default();
            let closes = if opens == '<' { '>' } else { opens };
            let is_name = matches!(opens, '<' | '\'') && !matches!(self.peek(), Some('=' | '!'));
            if !is_name {
                return Err("a group with `(?`: look-around, options or a condition".to_owned());
            }
            while let Some(character) = self.take().filter(|character| *character != closes) {
                if !character.is_alphanumeric() && character != '_' {
                    return Err("a group whose name can't be read".to_owned());
                }
            }
        }
        let inner = self.alternatives(depth + 1)?;
        if !self.take_if(")") {
            return Err("a `(` without its `)`".to_owned());
        }
        Ok(Piece { pattern: format!("(?:{})", inner.pattern), is_anchor: false, ..inner })
    }

    /// The quantifier behind an atom, if there is one. Whether it is lazy changes nothing about what matches.
    fn quantified(&mut self, atom: Piece) -> Result<Piece, String> {
        let (quantifier, least) = match self.peek() {
            Some('*') => ("*".to_owned(), 0),
            Some('?') => ("?".to_owned(), 0),
            Some('+') => ("+".to_owned(), 1),
            Some('{') => match self.counted() {
                Some(counted) => counted,
                None => return Ok(atom),
            },
            _ => return Ok(atom),
        };
        if atom.is_anchor || atom.is_end {
            return Err("a quantifier behind an anchor".to_owned());
        }
        self.at += quantifier.chars().count();
        self.take_if("?");
        if matches!(self.peek(), Some('*' | '+' | '?')) {
            return Err("a quantifier behind a quantifier".to_owned());
        }
        let least = least.min(LONGEST_EXAMPLE + 1);
        let example = if atom.example.is_empty() { String::new() } else { atom.example.repeat(least) };
        Ok(Piece { pattern: atom.pattern + &quantifier, example, ..Piece::default() })
    }

    /// `{2}`, `{2,}` or `{2,5}`, which is not taken yet, and the least count; anything else is text.
    fn counted(&self) -> Option<(String, usize)> {
        let rest = self.characters.get(self.at + 1..)?;
        let inside: String = rest.iter().take_while(|character| **character != '}').collect();
        let is_closed = rest.len() > inside.chars().count();
        let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
        let is_number = |text: &str| text.chars().all(|character| character.is_ascii_digit());
        let is_counted = is_closed && !least.is_empty() && is_number(least) && is_number(most);
        is_counted.then(|| (format!("{{{inside}}}"), least.parse().unwrap_or(usize::MAX)))
    }

    fn escape(&mut self) -> Result<Piece, String> {
        let escaped = self.take().ok_or("a `\\` at the end")?;
        Ok(match escaped {
            'w' => Piece::new(format!("[{WORD}]"), "a"),
            'W' => Piece::new(format!("[^{WORD}]"), "-"),
            'd' => Piece::new(r"\d", "1"),
            'D' => Piece::new(r"\D", "a"),
            's' => Piece::new(r"\s", " "),
            'S' => Piece::new(r"\S", "a"),
            'A' => Piece::anchor("^", false),
            'z' => Piece::anchor("$", true),
            'Z' => Piece::anchor(r"\n?$", true),
            'p' | 'P' => {
                let category = self.category(escaped)?;
                let example = example_of(&format!("^{category}$"))?;
                Piece::new(category, example)
            }
            'b' | 'B' => return Err(format!("`\\{escaped}`, whose words are not quite the same here")),
            other => Piece::literal(self.character(other)?),
        })
    }

    /// `\p{Lu}`: the general categories have the same names; blocks of characters are not known here.
    fn category(&mut self, escaped: char) -> Result<String, String> {
        let mut name = String::new();
        if self.take_if("{") {
            while let Some(character) = self.take().filter(|character| *character != '}') {
                name.push(character);
            }
        }
        let is_category = matches!(name.len(), 1 | 2) && name.chars().all(|character| character.is_ascii_alphabetic());
        if is_category { Ok(format!("\\{escaped}{{{name}}}")) } else { Err(format!("`\\{escaped}{{{name}}}`")) }
    }

    /// The one character that an escape stands for.
    fn character(&mut self, escaped: char) -> Result<char, String> {
        match escaped {
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            'f' => Ok('\u{c}'),
            'v' => Ok('\u{b}'),
            'e' => Ok('\u{1b}'),
            'a' => Ok('\u{7}'),
            'x' => self.hexadecimal(2),
            'u' => self.hexadecimal(4),
            other if other.is_alphanumeric() => Err(format!("`\\{other}`")),
            other => Ok(other),
        }
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<char, String> {
        let mut number = 0;
        for _ in 0..digits {
            let digit = self.take().and_then(|digit| digit.to_digit(16)).ok_or("an incomplete `\\x` or `\\u`")?;
            number = number * 16 + digit;
        }
        char::from_u32(number).ok_or_else(|| "half of a character".to_owned())
    }

    /// What follows a `[`.
    fn class(&mut self) -> Result<Piece, String> {
        const UNCLOSED: &str = "a `[` without its `]`";
        let mut pattern = if self.take_if("^") { "[^".to_owned() } else { "[".to_owned() };
        let mut is_first = true;
        loop {
            let next = self.take().ok_or(UNCLOSED)?;
            match next {
                ']' if !is_first => break,
                '[' if self.peek() == Some(':') => return Err("a class such as `[:alpha:]`".to_owned()),
                '-' if self.peek() == Some('[') => return Err("a class without another one (`-[`)".to_owned()),
                '\\' => pattern.push_str(&self.escape_in_class()?),
                literal => pattern.push_str(&self.range(literal)?),
            }
            is_first = false;
        }
        pattern.push(']');
        let example = example_of(&format!("^{pattern}$"))?;
        Ok(Piece::new(pattern, example))
    }

    fn escape_in_class(&mut self) -> Result<String, String> {
        let escaped = self.take().ok_or("a `\\` at the end")?;
        let class = match escaped {
            'w' => WORD.to_owned(),
            'W' => format!("[^{WORD}]"),
            'd' | 'D' | 's' | 'S' => format!("\\{escaped}"),
            'p' | 'P' => self.category(escaped)?,
            other => {
                let first = self.character(other)?;
                return self.range(first);
            }
        };
        if self.peek() == Some('-') && self.characters.get(self.at + 1).is_some_and(|next| *next != ']') {
            return Err("a range that begins with a class".to_owned());
        }
        Ok(class)
    }

    /// A character of a class, or the range that begins with it.
    fn range(&mut self, first: char) -> Result<String, String> {
        let goes_on =
            self.peek() == Some('-') && self.characters.get(self.at + 1).is_some_and(|next| !matches!(next, ']' | '['));
        if !goes_on {
            return Ok(in_class(first));
        }
        self.at += 1;
        let last = match self.take() {
            Some('\\') => {
                let escaped = self.take().ok_or("a `\\` at the end")?;
                self.character(escaped)?
            }
            Some(last) => last,
            None => return Err("a range without its end".to_owned()),
        };
        Ok(format!("{}-{}", in_class(first), in_class(last)))
    }
}

/// A character as it stands in a class: plain ones as they are, so that the pattern can be read.
fn in_class(character: char) -> String {
    let is_plain = character.is_alphanumeric() || "_ .,:/@#=%+".contains(character);
    if is_plain { character.to_string() } else { format!("\\x{{{:X}}}", u32::from(character)) }
}

/// A character that an expression of one character matches, one that names are made of if there is any.
fn example_of(pattern: &str) -> Result<String, String> {
    let regex = ::regex::Regex::new(pattern).map_err(|_| "a class that can't be read".to_owned())?;
    let usual = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("-_.".chars());
    let others = (0x20..0x3000).filter_map(char::from_u32);
    let mut candidates = usual.chain(others).map(String::from);
    candidates.find(|candidate| regex.is_match(candidate)).ok_or_else(|| "a class that takes nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_match() {
        for (dotnet, yes, no) in [
            ("Foo", &["Foo", "aFoob"][..], &["foo", "Fo"][..]),
            (r"((Bad|Wrong)\w+Event)", &["BadOneEvent", "aWrongéEvent"], &["BadEvent", "Bad-Event"]),
            ("^customer-", &["customer-1"], &["a-customer-1", "customer"]),
            ("^(A|B)$", &["A", "B", "B\n"], &["AB", "A\n\n"]),
            (r"^a\.b{2}c{x", &["a.bbc{x"], &["a.bc{x", "axbbc{x"]),
            ("^[^a-c]+?$", &["xyz"], &["xaz"]),
            (r"^[\w-]+$", &["a-b_1"], &["a b", "a.b"]),
            ("^[]x]$", &["]", "x"], &["[", "\\"]),
            ("^[a[&&b]$", &["[", "&", "a"], &["c", "]"]),
            (r"^\p{Lu}\u0062\x63$", &["Abc", "Äbc"], &["abc"]),
            ("^(?<name>x)(?:y)?$", &["x", "xy"], &["y"]),
            (r"\Aa\z", &["a"], &["a\n", "ba"]),
            ("", &["", "x"], &[]),
            (r"^\d+ \$ #$", &["12 $ #"], &["x $ #"]),
        ] {
            let translated = translate(dotnet).unwrap_or_else(|reason| panic!("{dotnet}: {reason}"));
            let regex = ::regex::Regex::new(&translated.pattern).unwrap();
            for name in yes {
                assert!(regex.is_match(name), "{dotnet} → {} does not match {name:?}", translated.pattern);
            }
            for name in no {
                assert!(!regex.is_match(name), "{dotnet} → {} matches {name:?}", translated.pattern);
            }
            let example = translated.example.unwrap();
            assert!(
                regex.is_match(&example),
                "{dotnet} → {} does not match its example {example:?}",
                translated.pattern
            );
        }
    }

    #[test]
    fn what_has_no_equal_is_refused() {
        for dotnet in [
            "(?i)foo",
            "(?!x)y",
            "(?<=a)b",
            "(?<!a)b",
            r"(a)\1",
            r"\bFoo",
            r"\p{IsGreek}",
            "[a-z-[aeiou]]",
            "[[:alpha:]]",
            "a**",
            "*",
            "(",
            ")",
            "[",
            "a\\",
            "(?#x)",
            r"\k<n>",
            "^*",
            "a$b",
            r"\G",
            r"\cA",
            r"[\b]",
            "x{9999999}",
            r"\07",
        ] {
            assert!(translate(dotnet).is_err(), "{dotnet}: {:?}", translate(dotnet));
        }
        assert!(translate(&"(".repeat(10_000)).is_err());
    }
}
