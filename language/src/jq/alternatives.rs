//! `?//`, destructuring alternatives: `. as [$a] ?// $b | …`.
//!
//! The interpreter's parser doesn't know them. So the patterns are made one for it, marked by a variable that no source
//! can name, and taken apart again once it is parsed.

use std::collections::BTreeSet;

use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};

use super::desugar::{binary, bind};

const MARK: &str = "$!alternatives";
const VALUE: &str = "$!destructured";
const INPUT: &str = "$!input";
const BODY: &str = "!body";

/// Makes `P ?// Q` one pattern, `[mark, P, Q]`, wherever it stands.
pub(super) fn marked<'s>(tokens: Vec<Token<&'s str>>) -> Vec<Token<&'s str>> {
    let mut marked: Vec<Token<&'s str>> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(Token(text, token)) = tokens.next() {
        let token = Token(text, inside(token));
        // The lexer takes the operator for two.
        let is_operator = text == "?" && is_continued(text, tokens.peek());
        let follows_pattern = marked.last().is_some_and(is_pattern)
            && marked.iter().rev().nth(1).is_some_and(|Token(before, _)| *before == "as");
        if !is_operator || !follows_pattern {
            marked.push(token);
            continue;
        }
        tokens.next();
        let (Some(first), Some(Token(other, second))) = (marked.pop(), tokens.next()) else { continue };
        let second = Token(other, inside(second));
        marked.push(joined(first, second));
    }
    marked
}

/// Whether `//` follows without a space between.
fn is_continued(text: &str, next: Option<&Token<&str>>) -> bool {
    let end = text.as_ptr() as usize + text.len();
    next.is_some_and(|Token(next, _)| *next == "//" && next.as_ptr() as usize == end)
}

fn is_pattern(token: &Token<&str>) -> bool {
    let Token(text, token) = token;
    matches!(token, Tok::Var) || matches!(token, Tok::Block(_)) && !text.starts_with('(')
}

/// One more alternative at the end of those that there are.
fn joined<'s>(first: Token<&'s str>, second: Token<&'s str>) -> Token<&'s str> {
    let symbol = |text| Token(text, Tok::Sym);
    let mut items = match first {
        Token(_, Tok::Block(items)) if matches!(items.first(), Some(Token(MARK, _))) => items,
        first => vec![Token(MARK, Tok::Var), symbol(","), first, symbol("]")],
    };
    items.pop();
    items.extend([symbol(","), second, symbol("]")]);
    Token("[", Tok::Block(items))
}

fn inside(token: Tok<&str>) -> Tok<&str> {
    match token {
        Tok::Block(tokens) => Tok::Block(marked(tokens)),
        Tok::Str(parts) => Tok::Str(
            parts
                .into_iter()
                .map(|part| match part {
                    StrPart::Term(Token(text, token)) => StrPart::Term(Token(text, inside(token))),
                    part => part,
                })
                .collect(),
        ),
        token => token,
    }
}

/// The alternatives that a pattern stands for, if it does.
pub(super) fn of<'p, 's>(pattern: &'p Pattern<&'s str>) -> Option<&'p [Pattern<&'s str>]> {
    match pattern {
        Pattern::Arr(items) => match items.split_first() {
            Some((Pattern::Var(MARK), alternatives)) => Some(alternatives),
            _ => None,
        },
        _ => None,
    }
}

/// The first `foreach` that binds its items with alternatives: its state would have to be kept for each of them.
pub(super) fn in_foreach<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    let mut found = None;
    super::instrument::visit(term, &mut |term| {
        if let Term::Fold(name, _, pattern, _) = term
            && *name == "foreach"
            && of(pattern).is_some()
        {
            found = found.or(Some(*name));
        }
    });
    found
}

/// `value as P ?// Q | body`: the body sees the variables of all alternatives, null where one doesn't set them, and an
/// error in the pattern or in the body goes on with the next alternative.
pub(super) fn bound<'s>(value: Term<&'s str>, pattern: Pattern<&'s str>, body: Term<&'s str>) -> Term<&'s str> {
    let Pattern::Arr(items) = pattern else { return body };
    let alternatives: Vec<Pattern<&'s str>> = items.into_iter().skip(1).collect();
    let sets: Vec<BTreeSet<&'s str>> = alternatives.iter().map(variables).collect();
    let all: Vec<&'s str> = sets.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let attempt = |pattern: Pattern<&'s str>, set: &BTreeSet<&'s str>| {
        let null = || Term::Call("null", Vec::new());
        let args = all.iter().map(|name| if set.contains(name) { Term::Var(*name) } else { null() });
        let call = Term::Call(BODY, args.collect());
        binary(Term::Var(VALUE), BinaryOp::Pipe(Some(pattern)), call)
    };
    let mut attempts = alternatives.into_iter().zip(&sets).rev();
    let Some((last, set)) = attempts.next() else { return body };
    let last = attempt(last, set);
    // Where an error is caught, `.` is the error.
    let again = |next| binary(Term::Var(INPUT), BinaryOp::Pipe(None), next);
    let tried = attempts.fold(last, |next, (pattern, set)| {
        Term::TryCatch(Box::new(attempt(pattern, set)), Some(Box::new(again(next))))
    });
    let def = Def { name: BODY, args: all.clone(), body };
    bind(Term::Id, INPUT, bind(value, VALUE, Term::Def(vec![def], Box::new(tried))))
}

fn variables<'s>(pattern: &Pattern<&'s str>) -> BTreeSet<&'s str> {
    match pattern {
        Pattern::Var(name) => BTreeSet::from([*name]),
        Pattern::Arr(items) => items.iter().flat_map(variables).collect(),
        Pattern::Obj(entries) => entries.iter().flat_map(|(_, pattern)| variables(pattern)).collect(),
    }
}
