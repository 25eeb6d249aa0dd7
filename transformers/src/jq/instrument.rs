//! Makes a filter count its steps: puts a call of the native [`TICK`] wherever evaluation can repeat or multiply.
//!
//! That is in front of every body of a definition, since only definitions recurse, and in front of every right side
//! of a comma. Iterating over values and calculating counts by itself.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

/// The native that spends a step. No source can name it.
pub(super) const TICK: &str = "!tick";

/// How deep a filter's terms may be nested: evaluation recurses so deep between two ticks. It also recurses over what
/// is written as a list (keys, path steps, arguments), so each item of a list counts as deeper than the one before.
const MAX_TERM_DEPTH: usize = 400;

/// A filter is nested too deeply.
pub(super) struct TooDeep;

/// Makes a user's filter count its steps.
pub(super) fn filter<'s>(term: Term<&'s str>) -> Result<Term<&'s str>, TooDeep> {
    walk(term, 0)
}

/// Makes definitions of the standard library count their steps, where they recurse.
pub(super) fn definition<'s>(def: Def<&'s str>) -> Result<Def<&'s str>, TooDeep> {
    // Those with definitions of their own, and the one that calls itself.
    let recurses = matches!(def.body, Term::Def(..)) || def.name == "flatten";
    if recurses { walk_definition(def, 0) } else { Ok(def) }
}

fn check(depth: usize) -> Result<(), TooDeep> {
    if depth > MAX_TERM_DEPTH { Err(TooDeep) } else { Ok(()) }
}

fn ticking<'s>(term: Term<&'s str>) -> Term<&'s str> {
    let tick = Term::Call(TICK, Vec::new());
    Term::BinOp(Box::new(tick), BinaryOp::Pipe(None), Box::new(term))
}

fn walk_definition<'s>(def: Def<&'s str>, depth: usize) -> Result<Def<&'s str>, TooDeep> {
    Ok(Def { name: def.name, args: def.args, body: ticking(walk(def.body, depth)?) })
}

fn walk_box<'s>(term: Box<Term<&'s str>>, depth: usize) -> Result<Box<Term<&'s str>>, TooDeep> {
    Ok(Box::new(walk(*term, depth)?))
}

fn walk_option<'s>(term: Option<Box<Term<&'s str>>>, depth: usize) -> Result<Option<Box<Term<&'s str>>>, TooDeep> {
    term.map(|term| walk_box(term, depth)).transpose()
}

fn walk_all<'s>(terms: Vec<Term<&'s str>>, depth: usize) -> Result<Vec<Term<&'s str>>, TooDeep> {
    terms.into_iter().enumerate().map(|(i, term)| walk(term, depth + i)).collect()
}

fn walk<'s>(term: Term<&'s str>, depth: usize) -> Result<Term<&'s str>, TooDeep> {
    check(depth)?;
    let depth = depth + 1;
    Ok(match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => term,
        Term::Str(format, parts) => {
            let parts = parts.into_iter().enumerate().map(|(i, part)| {
                check(depth + i)?;
                Ok(match part {
                    StrPart::Term(term) => StrPart::Term(walk(term, depth + i)?),
                    StrPart::Str(_) | StrPart::Char(_) => part,
                })
            });
            Term::Str(format, parts.collect::<Result<_, TooDeep>>()?)
        }
        Term::Arr(items) => Term::Arr(walk_option(items, depth)?),
        Term::Obj(entries) => {
            let entries = entries.into_iter().enumerate().map(|(i, (key, value))| {
                let value = value.map(|value| walk(value, depth + i)).transpose()?;
                Ok((walk(key, depth + i)?, value))
            });
            Term::Obj(entries.collect::<Result<_, TooDeep>>()?)
        }
        Term::Neg(term) => Term::Neg(walk_box(term, depth)?),
        Term::BinOp(left, op, right) => walk_operation(*left, op, *right, depth)?,
        Term::Label(name, term) => Term::Label(name, walk_box(term, depth)?),
        Term::Fold(name, items, pattern, args) => {
            Term::Fold(name, walk_box(items, depth)?, walk_pattern(pattern, depth)?, walk_all(args, depth)?)
        }
        Term::TryCatch(attempt, catch) => Term::TryCatch(walk_box(attempt, depth)?, walk_option(catch, depth)?),
        Term::IfThenElse(branches, otherwise) => {
            let last = depth + branches.len();
            let branches = branches.into_iter().enumerate();
            let branches = branches.map(|(i, (test, then))| Ok((walk(test, depth + i)?, walk(then, depth + i)?)));
            Term::IfThenElse(branches.collect::<Result<_, TooDeep>>()?, walk_option(otherwise, last)?)
        }
        Term::Def(defs, term) => {
            let defs = defs.into_iter().map(|def| walk_definition(def, depth));
            Term::Def(defs.collect::<Result<_, _>>()?, walk_box(term, depth)?)
        }
        Term::Call(name, args) => Term::Call(name, walk_all(args, depth)?),
        Term::Path(term, path) => Term::Path(walk_box(term, depth)?, walk_path(path, depth)?),
    })
}

fn walk_operation<'s>(
    left: Term<&'s str>,
    op: BinaryOp<&'s str>,
    right: Term<&'s str>,
    depth: usize,
) -> Result<Term<&'s str>, TooDeep> {
    let left = walk(left, depth)?;
    let mut right = walk(right, depth)?;
    let op = match op {
        BinaryOp::Pipe(Some(pattern)) => BinaryOp::Pipe(Some(walk_pattern(pattern, depth)?)),
        BinaryOp::Comma => {
            right = ticking(right);
            BinaryOp::Comma
        }
        op => op,
    };
    Ok(Term::BinOp(Box::new(left), op, Box::new(right)))
}

fn walk_pattern<'s>(pattern: Pattern<&'s str>, depth: usize) -> Result<Pattern<&'s str>, TooDeep> {
    check(depth)?;
    let depth = depth + 1;
    Ok(match pattern {
        Pattern::Var(_) => pattern,
        Pattern::Arr(items) => {
            let items = items.into_iter().enumerate().map(|(i, item)| walk_pattern(item, depth + i));
            Pattern::Arr(items.collect::<Result<_, _>>()?)
        }
        Pattern::Obj(entries) => {
            let entries = entries.into_iter().enumerate();
            let entries = entries.map(|(i, (key, value))| Ok((walk(key, depth + i)?, walk_pattern(value, depth + i)?)));
            Pattern::Obj(entries.collect::<Result<_, TooDeep>>()?)
        }
    })
}

fn walk_path<'s>(path: Path<Term<&'s str>>, depth: usize) -> Result<Path<Term<&'s str>>, TooDeep> {
    let parts = path.0.into_iter().enumerate().map(|(i, (part, opt))| {
        let depth = depth + i;
        check(depth)?;
        let bound = |term: Option<Term<&'s str>>| term.map(|term| walk(term, depth)).transpose();
        let part = match part {
            Part::Index(term) => Part::Index(walk(term, depth)?),
            Part::Range(from, upto) => Part::Range(bound(from)?, bound(upto)?),
        };
        Ok((part, opt))
    });
    Ok(Path(parts.collect::<Result<_, TooDeep>>()?))
}
