//! What jq and its readers take for different things: `//` beside an assignment.

use jaq_core::load::lex::{StrPart, Tok, Token};

/// The first `//` that stands beside an assignment with nothing but operators that bind closer between. jq gives `=`
/// the higher precedence of the two, people and the interpreter give it the lower one.
pub(super) fn ambiguous<'s>(tokens: &[Token<&'s str>]) -> Option<&'s str> {
    /// What has been seen of the expression so far.
    #[derive(Default, Clone, Copy)]
    struct Seen<'s> {
        assignment: bool,
        alternative: Option<&'s str>,
    }
    let mut seen = Seen::default();
    // `if` begins an expression inside another one, which goes on after `end`; `def` one up to its semicolon.
    let mut outer = Vec::new();
    for Token(text, token) in tokens {
        match token {
            Tok::Block(inside) => {
                if let Some(found) = ambiguous(inside) {
                    return Some(found);
                }
            }
            Tok::Str(parts) => {
                let terms = parts.iter().filter_map(|part| match part {
                    StrPart::Term(token) => Some(std::slice::from_ref(token)),
                    _ => None,
                });
                if let Some(found) = terms.into_iter().find_map(ambiguous) {
                    return Some(found);
                }
            }
            _ => {}
        }
        match *text {
            "if" | "def" => outer.push(std::mem::take(&mut seen)),
            "end" => seen = outer.pop().unwrap_or_default(),
            "|" | "," | "then" | "elif" | "else" => seen = Seen::default(),
            ";" => seen = outer.pop().unwrap_or_default(),
            "=" | "|=" | "+=" | "-=" | "*=" | "/=" | "%=" | "//=" => seen.assignment = true,
            "//" => seen.alternative = seen.alternative.or(Some(text)),
            _ => {}
        }
        if seen.assignment
            && let Some(found) = seen.alternative
        {
            return Some(found);
        }
    }
    None
}
