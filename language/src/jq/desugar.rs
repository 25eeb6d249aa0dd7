//! Rewrites a filter so that the interpreter yields what jq yields.
//!
//! jaq reads the same language, but where jq evaluates the right side of `+` first, keeps the last of several states of
//! `reduce`, collects the paths of an update before it changes anything, or takes the paths of what is true alone left
//! of `//`, jaq does otherwise. Each such form becomes one that means the same to both.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Opt, Part, Path};

use super::alternatives;
use super::natives;

/// `update(paths; f)` is `paths |= f`.
pub(super) const UPDATE: &str = "!update";
/// `assign(paths; values)` is `paths = values`.
pub(super) const ASSIGN: &str = "!assign";
/// `last(f)`, or null where that is empty: the next state of `reduce`.
pub(super) const NEXT_STATE: &str = "!next_state";

/// Variables that no source can name.
const VALUE: &str = "$!value";
const NAMES: [&str; 16] = [
    "$!0", "$!1", "$!2", "$!3", "$!4", "$!5", "$!6", "$!7", "$!8", "$!9", "$!10", "$!11", "$!12", "$!13", "$!14",
    "$!15",
];

/// Filters whose arguments jq evaluates from the last to the first, unlike those that are defined in jq.
const LAST_ARGUMENT_FIRST: &[&str] = &[
    "atan2",
    "copysign",
    "drem",
    "fdim",
    "fma",
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "ldexp",
    "nextafter",
    "nexttoward",
    "pow",
    "remainder",
    "scalb",
    "scalbln",
    "setpath",
    "jn",
];

/// Filters that yield exactly one value, or fail, where their arguments do.
const SINGLE: &[&str] = &[
    "abs",
    "add",
    "all",
    "any",
    "ascii_downcase",
    "ascii_upcase",
    "bsearch",
    "ceil",
    "contains",
    "dec_add",
    "dec_mul",
    "dec_sub",
    "delpaths",
    "endswith",
    "explode",
    "false",
    "flatten",
    "floor",
    "fromjson",
    "has",
    "implode",
    "index",
    "indices",
    "inside",
    "join",
    "keys",
    "keys_unsorted",
    "length",
    "ltrimstr",
    "max",
    "min",
    "not",
    "null",
    "reverse",
    "rindex",
    "round",
    "rtrimstr",
    "setpath",
    "sort",
    "sqrt",
    "startswith",
    "todate",
    "to_entries",
    "tojson",
    "tonumber",
    "tostring",
    "trim",
    "true",
    "type",
    "unique",
];

/// Filters that yield exactly one value, or fail, whatever their arguments yield.
const SINGLE_WHATEVER: &[&str] = &["del", "group_by", "map", "map_values", "sort_by", "unique_by", "with_entries"];

/// Rewrites a filter.
pub(super) fn filter<'s>(source: &'s str, term: Term<&'s str>) -> Term<&'s str> {
    let defined = defined(&term);
    Desugar { source, defined, is_ours: false }.term(term)
}

/// Rewrites a definition of the standard library.
pub(super) fn definition(def: Def<&'static str>) -> Def<&'static str> {
    Desugar { source: "", defined: BTreeSet::new(), is_ours: true }.definition(def)
}

/// The names that a filter gives to filters itself.
pub(super) fn defined<'s>(term: &Term<&'s str>) -> BTreeSet<&'s str> {
    let mut defined = BTreeSet::new();
    super::instrument::visit(term, &mut |term| {
        if let Term::Def(defs, _) = term {
            defined.extend(defs.iter().map(|def| def.name));
            defined.extend(defs.iter().flat_map(|def| def.args.iter().copied()));
        }
    });
    defined
}

struct Desugar<'s> {
    source: &'s str,
    /// What the filter itself defines: such a name may yield anything.
    defined: BTreeSet<&'s str>,
    /// Whether it is a definition of ours, which can name what is private.
    is_ours: bool,
}

/// `left op right`.
pub(super) fn binary<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(left), op, Box::new(right))
}

/// `value as $name | body`.
pub(super) fn bind<'s>(value: Term<&'s str>, name: &'s str, body: Term<&'s str>) -> Term<&'s str> {
    binary(value, BinaryOp::Pipe(Some(Pattern::Var(name))), body)
}

fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    binary(left, BinaryOp::Pipe(None), right)
}

fn each(term: Term<&str>) -> Term<&str> {
    Term::Path(Box::new(term), Path(vec![(Part::Range(None, None), Opt::Essential)]))
}

fn array(items: Term<&str>) -> Term<&str> {
    Term::Arr(Some(Box::new(items)))
}

impl<'s> Desugar<'s> {
    fn boxed(&self, term: Term<&'s str>) -> Box<Term<&'s str>> {
        Box::new(self.term(term))
    }

    fn optional(&self, term: Option<Box<Term<&'s str>>>) -> Option<Box<Term<&'s str>>> {
        term.map(|term| self.boxed(*term))
    }

    fn all(&self, terms: Vec<Term<&'s str>>) -> Vec<Term<&'s str>> {
        terms.into_iter().map(|term| self.term(term)).collect()
    }

    fn term(&self, term: Term<&'s str>) -> Term<&'s str> {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) => term,
            Term::Var(name) if name == "$__loc__" => self.location(name),
            Term::Var(_) => term,
            Term::Str(format, parts) => self.text(format, parts),
            Term::Arr(items) => Term::Arr(self.optional(items)),
            Term::Obj(entries) => Term::Obj(entries.into_iter().map(|entry| self.entry(entry)).collect()),
            Term::Neg(term) => Term::Neg(self.boxed(*term)),
            Term::BinOp(left, op, right) => self.operation(*left, op, *right),
            Term::Label(name, term) => Term::Label(name, self.boxed(*term)),
            Term::Fold(name, items, pattern, args) => self.fold(name, *items, pattern, args),
            Term::TryCatch(attempt, catch) => Term::TryCatch(self.boxed(*attempt), self.optional(catch)),
            Term::IfThenElse(branches, otherwise) => {
                let branches = branches.into_iter().map(|(test, then)| (self.term(test), self.term(then)));
                Term::IfThenElse(branches.collect(), self.optional(otherwise))
            }
            Term::Def(defs, term) => {
                Term::Def(defs.into_iter().map(|def| self.definition(def)).collect(), self.boxed(*term))
            }
            Term::Call(name, args) => self.call(name, args),
            Term::Path(term, path) => self.path(*term, path),
        }
    }

    /// `def f($a)` takes a filter `a` as well in jq, whose outputs `$a` is.
    fn definition(&self, def: Def<&'s str>) -> Def<&'s str> {
        let Def { name, mut args, body } = def;
        let name = self.private(name);
        let mut body = self.term(body);
        for arg in args.iter_mut().rev() {
            let declared = *arg;
            let Some(bare) = declared.strip_prefix('$') else { continue };
            let mut is_called = false;
            super::instrument::visit(&body, &mut |term| {
                is_called |= matches!(term, Term::Call(name, args) if *name == bare && args.is_empty());
            });
            if is_called {
                body = bind(Term::Call(bare, Vec::new()), declared, body);
                *arg = bare;
            }
        }
        Def { name, args, body }
    }

    fn private(&self, name: &'s str) -> &'s str {
        if self.is_ours { natives::private(name).unwrap_or(name) } else { name }
    }

    /// `{"file": "<top-level>", "line": …}`, as jq has it.
    fn location(&self, name: &'s str) -> Term<&'s str> {
        let offset = (name.as_ptr() as usize).saturating_sub(self.source.as_ptr() as usize);
        let line = 1 + self.source.get(..offset).map_or(0, |before| before.matches('\n').count());
        let digits = line.to_string().chars().map(StrPart::Char).collect();
        let line = pipe(Term::Str(None, digits), Term::Call("tonumber", Vec::new()));
        let key = |key| Term::Str(None, vec![StrPart::Str(key)]);
        Term::Obj(vec![(key("file"), Some(key("<top-level>"))), (key("line"), Some(line))])
    }

    fn entry(&self, (key, value): (Term<&'s str>, Option<Term<&'s str>>)) -> (Term<&'s str>, Option<Term<&'s str>>) {
        match (key, value) {
            (Term::Var(name), None) if name == "$__loc__" => {
                (Term::Str(None, vec![StrPart::Str(&name[1..])]), Some(self.location(name)))
            }
            // Stays a variable, which names the key.
            (key @ Term::Var(_), None) => (key, None),
            (key, value) => (self.term(key), value.map(|value| self.term(value))),
        }
    }

    /// jq evaluates the last part first.
    fn text(&self, format: Option<&'s str>, parts: Vec<StrPart<&'s str, Term<&'s str>>>) -> Term<&'s str> {
        let mut bindings = Vec::new();
        let mut several = 0;
        for part in &parts {
            several += usize::from(matches!(part, StrPart::Term(term) if !self.is_single(term)));
        }
        let parts = parts.into_iter().map(|part| match part {
            StrPart::Term(term) if several > 1 && !self.is_single(&term) && bindings.len() < NAMES.len() => {
                let name = NAMES[bindings.len()];
                bindings.push((self.term(term), name));
                StrPart::Term(Term::Var(name))
            }
            StrPart::Term(term) => StrPart::Term(self.term(term)),
            part => part,
        });
        let text = Term::Str(format, parts.collect());
        bindings.into_iter().fold(text, |body, (value, name)| bind(value, name, body))
    }

    fn operation(&self, left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
        let (several_left, several_right) = (!self.is_single(&left), !self.is_single(&right));
        let is_alternatives = matches!(&op, BinaryOp::Pipe(Some(pattern)) if alternatives::of(pattern).is_some());
        let (left, right) = (self.term(left), self.term(right));
        match op {
            BinaryOp::Update => Term::Call(UPDATE, vec![left, right]),
            BinaryOp::Assign => Term::Call(ASSIGN, vec![left, right]),
            BinaryOp::UpdateMath(math) => {
                let change = binary(Term::Id, BinaryOp::Math(math), Term::Var(VALUE));
                bind(right, VALUE, Term::Call(UPDATE, vec![left, change]))
            }
            BinaryOp::UpdateAlt => {
                let change = binary(Term::Id, BinaryOp::Alt, Term::Var(VALUE));
                bind(right, VALUE, Term::Call(UPDATE, vec![left, change]))
            }
            BinaryOp::Alt => binary(chosen(left, several_left), BinaryOp::Alt, right),
            BinaryOp::Math(_) | BinaryOp::Cmp(_) if several_left && several_right => {
                bind(right, VALUE, binary(left, op, Term::Var(VALUE)))
            }
            BinaryOp::Pipe(Some(pattern)) => {
                let pattern = self.pattern(pattern);
                if is_alternatives {
                    return alternatives::bound(left, pattern, right);
                }
                binary(left, BinaryOp::Pipe(Some(pattern)), right)
            }
            op => binary(left, op, right),
        }
    }

    fn fold(
        &self,
        name: &'s str,
        items: Term<&'s str>,
        pattern: Pattern<&'s str>,
        args: Vec<Term<&'s str>>,
    ) -> Term<&'s str> {
        let items = self.boxed(items);
        let is_single = args.get(1).is_some_and(|update| self.is_single(update));
        let mut args = self.all(args).into_iter();
        let mut pattern = self.pattern(pattern);
        let (init, mut update, projection) = match (name, args.next(), args.next(), args.next(), args.next()) {
            (_, Some(init), Some(update), projection, None) if projection.is_none() || name == "foreach" => {
                (init, update, projection)
            }
            // What takes other arguments is no such form, and the compiler says so.
            (_, init, update, projection, more) => {
                let args = [init, update, projection, more].into_iter().flatten().chain(args).collect();
                return Term::Fold(name, items, pattern, args);
            }
        };
        if name == "reduce" && alternatives::of(&pattern).is_some() {
            // The state is `.`, and the item is bound by each alternative in turn.
            update = alternatives::bound(Term::Var(VALUE), pattern, update);
            pattern = Pattern::Var(VALUE);
        }
        if name == "reduce" {
            let update = if is_single { update } else { Term::Call(NEXT_STATE, vec![update]) };
            return Term::Fold(name, items, pattern, vec![init, update]);
        }
        if is_single {
            return Term::Fold(name, items, pattern, [init, update].into_iter().chain(projection).collect());
        }
        // The state becomes the array of all states of one step, the last of which is the next one's.
        let last = Term::Path(
            Box::new(Term::Id),
            Path(vec![(Part::Index(Term::Neg(Box::new(Term::Num("1")))), Opt::Essential)]),
        );
        let states = array(pipe(last, update));
        let yielded = match projection {
            Some(projection) => pipe(each(Term::Id), projection),
            None => each(Term::Id),
        };
        let fold = Term::Fold(name, items, pattern, vec![array(Term::Var(VALUE)), states, yielded]);
        bind(init, VALUE, fold)
    }

    fn pattern(&self, pattern: Pattern<&'s str>) -> Pattern<&'s str> {
        match pattern {
            Pattern::Var(_) => pattern,
            Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(|item| self.pattern(item)).collect()),
            Pattern::Obj(entries) => {
                let entries = entries.into_iter().map(|(key, value)| (self.term(key), self.pattern(value)));
                Pattern::Obj(entries.collect())
            }
        }
    }

    fn call(&self, name: &'s str, args: Vec<Term<&'s str>>) -> Term<&'s str> {
        let name = self.private(name);
        let several = args.iter().filter(|arg| !self.is_single(arg)).count();
        if several < 2 || !LAST_ARGUMENT_FIRST.contains(&name) || self.defined.contains(name) {
            return Term::Call(name, self.all(args));
        }
        let names = NAMES.iter().copied();
        let call = Term::Call(name, names.clone().take(args.len()).map(Term::Var).collect());
        self.all(args).into_iter().zip(names).fold(call, |body, (arg, name)| bind(arg, name, body))
    }

    /// jq evaluates the last index first, and what is indexed last.
    fn path(&self, term: Term<&'s str>, path: Path<Term<&'s str>>) -> Term<&'s str> {
        let mut bindings = Vec::new();
        let mut several = !self.is_single(&term);
        let mut bound = |index: Term<&'s str>, several: bool| {
            if !several || self.is_single(&index) || bindings.len() == NAMES.len() {
                return self.term(index);
            }
            let name = NAMES[bindings.len()];
            bindings.push((self.term(index), name));
            Term::Var(name)
        };
        let parts = path.0.into_iter().map(|(part, opt)| {
            let was_several = several;
            several |= match &part {
                Part::Index(index) => !self.is_single(index),
                Part::Range(None, None) => true,
                Part::Range(from, upto) => from.iter().chain(upto).any(|bound| !self.is_single(bound)),
            };
            let part = match part {
                Part::Index(index) => Part::Index(bound(index, was_several)),
                Part::Range(from, upto) => {
                    let upto = upto.map(|upto| bound(upto, was_several));
                    Part::Range(from.map(|from| bound(from, was_several)), upto)
                }
            };
            (part, opt)
        });
        let path = Path(parts.collect());
        let path = Term::Path(self.boxed(term), path);
        bindings.into_iter().fold(path, |body, (value, name)| bind(value, name, body))
    }

    /// Whether a term, as it was written, yields exactly one value or fails.
    fn is_single(&self, term: &Term<&'s str>) -> bool {
        let single = |term: &Term<&'s str>| self.is_single(term);
        match term {
            Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(_) => true,
            Term::Recurse | Term::Break(_) | Term::Label(..) | Term::TryCatch(..) | Term::Def(..) => false,
            Term::Str(_, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(term) if !single(term))),
            Term::Obj(entries) => entries.iter().all(|(key, value)| single(key) && value.iter().all(single)),
            Term::Neg(term) => single(term),
            Term::BinOp(_, BinaryOp::Comma, _) => false,
            Term::BinOp(left, BinaryOp::Pipe(Some(pattern)), right) => {
                single(left) && self.binds_once(pattern) && single(right)
            }
            Term::BinOp(left, _, right) => single(left) && single(right),
            Term::Fold(..) => false,
            Term::IfThenElse(branches, otherwise) => {
                branches.iter().all(|(test, then)| single(test) && single(then))
                    && otherwise.iter().all(|term| single(term))
            }
            Term::Call(name, _) if self.defined.contains(name) => false,
            Term::Call(name, args) => {
                SINGLE_WHATEVER.contains(name) || SINGLE.contains(name) && args.iter().all(single)
            }
            Term::Path(term, path) => {
                single(term)
                    && path.0.iter().all(|(part, opt)| {
                        matches!(opt, Opt::Essential)
                            && match part {
                                Part::Index(index) => single(index),
                                Part::Range(None, None) => false,
                                Part::Range(from, upto) => from.iter().chain(upto).all(single),
                            }
                    })
            }
        }
    }

    fn binds_once(&self, pattern: &Pattern<&'s str>) -> bool {
        match pattern {
            Pattern::Var(_) => true,
            Pattern::Arr(items) => items.iter().all(|item| self.binds_once(item)),
            Pattern::Obj(entries) => entries.iter().all(|(key, value)| self.is_single(key) && self.binds_once(value)),
        }
    }
}

/// What stands left of `//`: of its paths only those of true values count.
fn chosen(left: Term<&str>, several: bool) -> Term<&str> {
    if !several {
        return left;
    }
    // Nothing, also as a path.
    let nothing = bind(each(Term::Obj(Vec::new())), VALUE, Term::Id);
    pipe(left, Term::IfThenElse(vec![(Term::Id, Term::Id)], Some(Box::new(nothing))))
}
