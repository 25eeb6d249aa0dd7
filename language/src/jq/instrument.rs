//! Makes a filter count its steps: puts a call of the native [`TICK`] wherever evaluation can repeat or multiply.
//!
//! That is in front of every body of a definition, since only definitions recurse, in front of every right side of a
//! comma, and here and there in deeply nested terms. Iterating over values and calculating counts by itself.

use std::collections::HashSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

/// The native that spends a step. No source can name it.
pub(super) const TICK: &str = "!tick";

/// So many nested terms never use more stack than is kept free between two looks at it.
const TERMS_BETWEEN_TICKS: usize = 16;

/// How deep a filter's terms may be nested: evaluation recurses so deep between two ticks. It also recurses over what
/// is written as a list (keys, path steps, arguments), so each item of a list counts as deeper than the one before.
const MAX_TERM_DEPTH: usize = 400;

/// Whether a definition that takes filters as arguments calls itself. jaq's calls keep the arguments of the calls before
/// them alive as a linked list, even in tail position, and dropping that list recurses.
pub(super) fn has_growing_arguments(term: &Term<&str>) -> bool {
    let mut grows = false;
    visit(term, &mut |term| {
        if let Term::Def(defs, _) = term {
            grows |= defs.iter().any(passes_itself_filters);
        }
    });
    grows
}

fn passes_itself_filters(def: &Def<&str>) -> bool {
    let mut calls_itself = false;
    visit(&def.body, &mut |term| {
        calls_itself |= matches!(term, Term::Call(name, args) if *name == def.name && args.len() == def.args.len());
    });
    calls_itself && def.args.iter().any(|arg| !arg.starts_with('$'))
}

/// Whether a filter looks at what it catches.
pub(super) fn catches(term: &Term<&str>) -> bool {
    let mut catches = false;
    visit(term, &mut |term| catches |= matches!(term, Term::TryCatch(_, Some(_))));
    catches
}

/// The texts that stand in a filter as they are.
pub(super) fn literals(term: &Term<&str>) -> HashSet<String> {
    let mut literals = HashSet::new();
    visit(term, &mut |term| {
        let Term::Str(None, parts) = term else { return };
        let text = parts.iter().map(|part| match part {
            StrPart::Str(text) => Some((*text).to_owned()),
            StrPart::Char(character) => Some(character.to_string()),
            StrPart::Term(_) => None,
        });
        literals.extend(text.collect::<Option<String>>());
    });
    literals
}

/// Visits a term and all terms inside.
pub(super) fn visit<'s>(term: &Term<&'s str>, look: &mut impl FnMut(&Term<&'s str>)) {
    look(term);
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => {}
        Term::Str(_, parts) => {
            for part in parts {
                if let StrPart::Term(term) = part {
                    visit(term, look);
                }
            }
        }
        Term::Arr(items) => items.iter().for_each(|term| visit(term, look)),
        Term::Obj(entries) => {
            for (key, value) in entries {
                visit(key, look);
                value.iter().for_each(|term| visit(term, look));
            }
        }
        Term::Neg(term) | Term::Label(_, term) => visit(term, look),
        Term::BinOp(left, op, right) => {
            visit(left, look);
            if let BinaryOp::Pipe(Some(pattern)) = op {
                visit_pattern(pattern, look);
            }
            visit(right, look);
        }
        Term::Fold(_, items, pattern, args) => {
            visit(items, look);
            visit_pattern(pattern, look);
            args.iter().for_each(|term| visit(term, look));
        }
        Term::TryCatch(attempt, catch) => {
            visit(attempt, look);
            catch.iter().for_each(|term| visit(term, look));
        }
        Term::IfThenElse(branches, otherwise) => {
            for (test, then) in branches {
                visit(test, look);
                visit(then, look);
            }
            otherwise.iter().for_each(|term| visit(term, look));
        }
        Term::Def(defs, term) => {
            defs.iter().for_each(|def| visit(&def.body, look));
            visit(term, look);
        }
        Term::Call(_, args) => args.iter().for_each(|term| visit(term, look)),
        Term::Path(term, path) => {
            visit(term, look);
            for (part, _) in &path.0 {
                match part {
                    Part::Index(term) => visit(term, look),
                    Part::Range(from, upto) => from.iter().chain(upto).for_each(|term| visit(term, look)),
                }
            }
        }
    }
}

fn visit_pattern<'s>(pattern: &Pattern<&'s str>, look: &mut impl FnMut(&Term<&'s str>)) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(items) => items.iter().for_each(|item| visit_pattern(item, look)),
        Pattern::Obj(entries) => {
            for (key, value) in entries {
                visit(key, look);
                visit_pattern(value, look);
            }
        }
    }
}

/// A filter is nested too deeply.
pub(super) struct TooDeep;

/// Makes a user's filter count its steps.
pub(super) fn filter(term: Term<&str>) -> Result<Term<&str>, TooDeep> {
    walk(term, 0)
}

/// Makes definitions of the standard library count their steps, where they recurse.
pub(super) fn definition(def: Def<&str>) -> Result<Def<&str>, TooDeep> {
    // Those with definitions of their own, which may call themselves.
    let mut recurses = false;
    visit(&def.body, &mut |term| recurses |= matches!(term, Term::Def(..)));
    if recurses { walk_definition(def, 0) } else { Ok(def) }
}

fn check(depth: usize) -> Result<(), TooDeep> {
    if depth > MAX_TERM_DEPTH { Err(TooDeep) } else { Ok(()) }
}

fn ticking(term: Term<&str>) -> Term<&str> {
    let tick = Term::Call(TICK, Vec::new());
    Term::BinOp(Box::new(tick), BinaryOp::Pipe(None), Box::new(term))
}

fn walk_definition(def: Def<&str>, depth: usize) -> Result<Def<&str>, TooDeep> {
    Ok(Def { name: def.name, args: def.args, body: ticking(walk(def.body, depth)?) })
}

fn walk_box(term: Term<&str>, depth: usize) -> Result<Box<Term<&str>>, TooDeep> {
    Ok(Box::new(walk(term, depth)?))
}

fn walk_option(term: Option<Box<Term<&str>>>, depth: usize) -> Result<Option<Box<Term<&str>>>, TooDeep> {
    term.map(|term| walk_box(*term, depth)).transpose()
}

/// An argument that calls something counts.
fn counting_calls(arg: Term<&str>) -> Term<&str> {
    let mut calls = false;
    visit(&arg, &mut |term| calls |= matches!(term, Term::Call(name, _) if *name != TICK));
    if calls { ticking(arg) } else { arg }
}

fn walk_all(terms: Vec<Term<&str>>, depth: usize) -> Result<Vec<Term<&str>>, TooDeep> {
    terms.into_iter().enumerate().map(|(i, term)| walk(term, depth + i)).collect()
}

fn walk(term: Term<&str>, depth: usize) -> Result<Term<&str>, TooDeep> {
    let is_due = depth % TERMS_BETWEEN_TICKS == TERMS_BETWEEN_TICKS - 1;
    let term = walk_key(term, depth)?;
    Ok(if is_due { ticking(term) } else { term })
}

/// Like [`walk`], for keys of objects: those must stay what they are.
fn walk_key(term: Term<&str>, depth: usize) -> Result<Term<&str>, TooDeep> {
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
                Ok((walk_key(key, depth + i)?, value))
            });
            Term::Obj(entries.collect::<Result<_, TooDeep>>()?)
        }
        Term::Neg(term) => Term::Neg(walk_box(*term, depth)?),
        Term::BinOp(left, op, right) => walk_operation(*left, op, *right, depth)?,
        Term::Label(name, term) => Term::Label(name, walk_box(*term, depth)?),
        Term::Fold(name, items, pattern, args) => {
            Term::Fold(name, walk_box(*items, depth)?, walk_pattern(pattern, depth)?, walk_all(args, depth)?)
        }
        Term::TryCatch(attempt, catch) => Term::TryCatch(walk_box(*attempt, depth)?, walk_option(catch, depth)?),
        Term::IfThenElse(branches, otherwise) => {
            let last = depth + branches.len();
            let branches = branches.into_iter().enumerate();
            let branches = branches.map(|(i, (test, then))| Ok((walk(test, depth + i)?, walk(then, depth + i)?)));
            Term::IfThenElse(branches.collect::<Result<_, TooDeep>>()?, walk_option(otherwise, last)?)
        }
        Term::Def(defs, term) => {
            let defs = defs.into_iter().map(|def| walk_definition(def, depth));
            Term::Def(defs.collect::<Result<_, _>>()?, walk_box(*term, depth)?)
        }
        // An argument may call an argument of the call before, and so on.
        Term::Call(name, args) => Term::Call(name, walk_all(args, depth)?.into_iter().map(counting_calls).collect()),
        Term::Path(term, path) => Term::Path(walk_box(*term, depth)?, walk_path(path, depth)?),
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

fn walk_pattern(pattern: Pattern<&str>, depth: usize) -> Result<Pattern<&str>, TooDeep> {
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
            let entries =
                entries.map(|(i, (key, value))| Ok((walk_key(key, depth + i)?, walk_pattern(value, depth + i)?)));
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
