//! `. as {$a: [$b]} | …`, which binds a key's value and takes it apart: to the interpreter's parser, that is
//! `{$a, a: [$b]}`.

use jaq_core::load::lex::{StrPart, Tok, Token};

/// Writes such keys as the parser knows them, in every pattern.
pub(super) fn spelled_out(tokens: Vec<Token<&str>>) -> Vec<Token<&str>> {
    let mut out: Vec<Token<&str>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let token = if begins_pattern(&out) { pattern(token) } else { within(token) };
        out.push(token);
    }
    out
}

/// The same inside a token that is no pattern.
fn within(token: Token<&str>) -> Token<&str> {
    let Token(text, token) = token;
    let token = match token {
        Tok::Block(inside) => Tok::Block(spelled_out(inside)),
        Tok::Str(parts) => Tok::Str(
            parts
                .into_iter()
                .map(|part| match part {
                    StrPart::Term(token) => StrPart::Term(within(token)),
                    part => part,
                })
                .collect(),
        ),
        token => token,
    };
    Token(text, token)
}

/// Whether what comes next is a pattern: after `as`, or after a pattern and `?//`, which the lexer takes for two.
fn begins_pattern(before: &[Token<&str>]) -> bool {
    match before {
        [.., Token("as", Tok::Word)] => true,
        [before @ .., Token(_, Tok::Block(_) | Tok::Var), Token(question @ "?", _), Token(operator @ "//", _)] => {
            let end = question.as_ptr() as usize + question.len();
            operator.as_ptr() as usize == end && begins_pattern(before)
        }
        _ => false,
    }
}

fn pattern(token: Token<&str>) -> Token<&str> {
    let (text, inside) = match token {
        Token(text, Tok::Block(inside)) if !text.starts_with('(') => (text, inside),
        // What names a key may be any filter.
        token => return within(token),
    };
    let is_object = text.starts_with('{');
    let mut out: Vec<Token<&str>> = Vec::with_capacity(inside.len());
    let mut inside = inside.into_iter().peekable();
    while let Some(token) = inside.next() {
        let is_bound_key = is_object && matches!(token.1, Tok::Var) && matches!(inside.peek(), Some(Token(":", _)));
        if is_bound_key && let Some(name) = token.0.strip_prefix('$') {
            out.extend([token, Token(",", Tok::Sym), Token(name, Tok::Word)]);
            continue;
        }
        out.push(pattern(token));
    }
    Token(text, Tok::Block(out))
}
