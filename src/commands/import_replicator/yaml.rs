//! YAML, and JSON as a part of it, as a tree that knows its lines.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::Problem;

/// Deeper than any configuration, and no danger to the stack.
const DEEPEST: usize = 64;

/// So many values, those of aliases counted as often as they are used: a few lines of YAML could stand for billions.
const MOST: usize = 100_000;

/// A value and the line that it begins in, from 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a value is. Numbers and booleans are text, as they are for the Replicator.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    /// Text of several lines (`|`), which may be YAML again.
    Block(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, its line, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

impl Value {
    /// The kind in words, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) | Self::Block(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a group of settings",
        }
    }
}

/// Reads the first document.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut tree = Tree { parser: Parser::new_from_str(text), anchors: HashMap::new(), left: MOST };
    loop {
        match tree.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Node { line: 1, value: Value::Null }),
            (event, span) => return tree.node(event, &span, 0),
        }
    }
}

struct Tree<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, (Node, usize)>,
    /// How many values may still come.
    left: usize,
}

impl<'t> Tree<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(next) => next.map_err(|error| not_yaml(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node, Problem> {
        let line = span.start.line();
        if depth > DEEPEST {
            return Err(Problem::at(line, format!("it is nested more than {DEEPEST} deep")));
        }
        let before = self.left;
        self.spend(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(text.into_owned(), style), anchor),
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => {
                let unknown = || Problem::at(line, "it refers to a value that contains it, or that is not there");
                let (node, size) = self.anchors.get(&anchor).cloned().ok_or_else(unknown)?;
                self.spend(size, line)?;
                return Ok(node);
            }
            _ => return Err(Problem::at(line, "it ends in the middle of a value")),
        };
        let node = Node { line, value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), before - self.left));
        }
        Ok(node)
    }

    fn spend(&mut self, values: usize, line: usize) -> Result<(), Problem> {
        let too_many = || Problem::at(line, format!("it holds more than {MOST} values"));
        self.left = self.left.checked_sub(values).ok_or_else(too_many)?;
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(entries));
            }
            let line = span.start.line();
            let key = match self.node(event, &span, depth + 1)?.value {
                Value::Text(key) | Value::Block(key) => key,
                Value::Null => String::new(),
                Value::List(_) | Value::Map(_) => return Err(Problem::at(line, "a key is no text")),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            entries.push(Entry { key, line, value });
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    match style {
        ScalarStyle::Plain if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        ScalarStyle::Literal => Value::Block(text),
        _ => Value::Text(text),
    }
}

fn not_yaml(error: &ScanError) -> Problem {
    let place = error.marker();
    Problem::at(place.line(), format!("it is no YAML: {} (column {})", error.info(), place.col() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Null => format!("{}:null", node.line),
            Value::Text(text) => format!("{}:{text}", node.line),
            Value::Block(text) => format!("{}:|{text:?}", node.line),
            Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let shown = |entry: &Entry| format!("{}@{}={}", entry.key, entry.line, shown(&entry.value));
                format!("{{{}}}", entries.iter().map(shown).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn values_know_their_lines() {
        let text = "a: 1\nb:\n  - x\n  - y: ~\nc: |\n  one\n  two\nd: \"null\"\n";
        assert_eq!(shown(&parse(text).unwrap()), "{a@1=1:1 b@2=[3:x {y@4=4:null}] c@5=6:|\"one\\ntwo\\n\" d@8=8:null}");
        assert_eq!(shown(&parse("{\"a\": {\n\"b\": [true, 2]}}").unwrap()), "{a@1={b@2=[2:true 2:2]}}");
        assert_eq!(shown(&parse("").unwrap()), "1:null");
        assert_eq!(shown(&parse("# nothing\n---\n").unwrap()), "3:null");
        assert_eq!(shown(&parse("a: &x [1]\nb: *x\n").unwrap()), "{a@1=[1:1] b@2=[1:1]}");
    }

    #[test]
    fn what_is_no_yaml_is_named_with_its_line() {
        for (text, line) in [("a: 1\nb: [1\n", 3), ("a: 1\n b: 2\n", 2), ("a: *x\n", 1), ("[a]: 1\nb: 2", 1)] {
            assert_eq!(parse(text).unwrap_err().line, Some(line), "{text:?}");
        }
    }

    #[test]
    fn what_would_fill_the_memory_or_the_stack_is_refused() {
        let mut laughs = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..10 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs += &format!("a{level}: &a{level} [{inner}]\n");
        }
        assert!(parse(&laughs).unwrap_err().message.contains("values"));
        assert!(parse(&"[".repeat(5_000)).is_err());
        let deep: String = (0..500).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert!(parse(&deep).unwrap_err().message.contains("deep"));
    }
}
