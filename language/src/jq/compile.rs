//! Compiles a filter's source, refusing what a rule must not do.

use std::collections::HashSet;

use jaq_core::load::lex::{self, Lexer, Tok, Token};
use jaq_core::load::parse::{self, Def, Parser, Term};
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Filter, compile};

use super::alternatives;
use super::destructuring;
use super::desugar;
use super::error::JqError;
use super::instrument;
use super::missing::missing;
use super::natives::{self, Data};
use super::precedence;
use super::refused::{OF_THE_LIBRARY, is_left_out_definition, refused};

/// Longer sources are refused, since parsing recurses.
const MAX_SOURCE_BYTES: usize = 32 << 10;

/// Enough for parsing the worst source of that size.
const COMPILE_STACK: usize = 256 << 20;

/// Filters of jq that are written in jq, where jaq's are others.
const DEFINITIONS: &str = include_str!("definitions.jq");

/// The definition that the filter becomes: the prelude is where jaq takes parsed definitions.
const MAIN: &str = "eventlift_filter";

/// A compiled filter.
pub(super) struct Compiled {
    /// The filter.
    pub(super) filter: Filter<Data>,
    /// Whether calls may pile up arguments that recurse when they are dropped.
    pub(super) has_growing_arguments: bool,
    /// Whether it may catch an error.
    pub(super) catches: bool,
    /// The texts that stand in it as they are.
    pub(super) literals: HashSet<String>,
}

/// Compiles a filter.
pub(super) fn compiled(source: &str) -> Result<Compiled, JqError> {
    if source.len() > MAX_SOURCE_BYTES {
        let message = format!("the filter is {} bytes long, the limit is {MAX_SOURCE_BYTES}", source.len());
        return Err(JqError::at(source, 0, message).hint("split the rule into several"));
    }
    stacker::grow(COMPILE_STACK, || {
        let term = parsed(source)?;
        if let Some(foreach) = alternatives::in_foreach(&term) {
            return Err(error_at(source, foreach, "jq has foreach with ?//, eventlift has not".to_owned())
                .hint("bind inside: foreach .[] as $x (0; …; $x as [$a] ?// $a | …)"));
        }
        if let Some(name) = of_the_library(&term) {
            return Err(error_at(source, name, format!("there is no filter {name}")).hint("it is none of jq's"));
        }
        let (catches, literals) = (instrument::catches(&term), instrument::literals(&term));
        let term = desugar::filter(source, term);
        let too_deep = |_| {
            JqError::at(source, 0, "the filter is nested too deeply")
                .hint("give parts of it a name with def, or split the rule into several")
        };
        let has_growing_arguments = instrument::has_growing_arguments(&term);
        let body = instrument::filter(term).map_err(too_deep)?;
        Ok(Compiled { filter: linked(source, body)?, has_growing_arguments, catches, literals })
    })
}

fn parsed(source: &str) -> Result<Term<&str>, JqError> {
    let tokens = Lexer::new(source).lex().map_err(|errors| lex_error(source, &errors))?;
    let tokens = alternatives::marked(destructuring::spelled_out(tokens));
    if let Some(operator) = precedence::ambiguous(&tokens) {
        return Err(error_at(source, operator, "`//` beside an assignment is ambiguous".to_owned())
            .hint("jq reads .a = .b // 1 as (.a = .b) // 1; write .a = (.b // 1), or .a //= 1"));
    }
    if let Some(Token(word @ ("import" | "include" | "module"), _)) = tokens.first() {
        return Err(refusal(source, word).unwrap_or_else(|| JqError::at(source, 0, "modules can't be loaded")));
    }
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| parse_error(source, &errors))
}

/// The first filter of the interpreter's library that jq has not, unless the filter defines one of that name.
fn of_the_library<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    let defined = desugar::defined(term);
    let mut found = None;
    instrument::visit(term, &mut |term| {
        if let Term::Call(name, _) | Term::Str(Some(name), _) = term
            && OF_THE_LIBRARY.contains(name)
            && !defined.contains(name)
        {
            found = found.or(Some(*name));
        }
    });
    found
}

/// Links the filter with the standard library.
fn linked<'s>(source: &'s str, body: Term<&'s str>) -> Result<Filter<Data>, JqError> {
    let internal = |_| JqError::at(source, 0, "jq's standard library does not load");
    let standard = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let standard = standard.filter(|def| !is_left_out_definition(def.name));
    // A later definition takes the place of an earlier one.
    let own = load::parse(DEFINITIONS, |parser| parser.defs()).ok_or_else(|| internal(()))?;
    let standard = standard.chain(own).map(desugar::definition).map(instrument::definition);
    let mut defs: Vec<Def<&str>> = standard.collect::<Result<_, _>>().map_err(|_| internal(()))?;
    defs.push(Def { name: MAIN, args: Vec::new(), body });

    let arena = Arena::default();
    let main = File { code: MAIN, path: () };
    let modules = Loader::new(defs).load(&arena, main).map_err(|_| internal(()))?;
    Compiler::default().with_funs(natives::all()).compile(modules).map_err(|errors| {
        let undefined = errors.into_iter().flat_map(|(_file, errors)| errors);
        let first = undefined.min_by_key(|(name, _)| offset(source, name).unwrap_or(usize::MAX));
        first.map_or_else(|| internal(()), |error| undefined_error(source, &error))
    })
}

/// Where a part of the source starts; none if it is not a part of it.
fn offset(source: &str, part: &str) -> Option<usize> {
    let offset = (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
    (offset + part.len() <= source.len()).then_some(offset)
}

fn error_at(source: &str, part: &str, message: String) -> JqError {
    JqError::at(source, offset(source, part).unwrap_or(source.len()), message)
}

/// Whether a point stands right before a part of the source.
fn ends_with_point(source: &str, part: &str) -> bool {
    offset(source, part).and_then(|at| source.get(..at)).is_some_and(|before| before.ends_with('.'))
}

fn lex_error(source: &str, errors: &[lex::Error<&str>]) -> JqError {
    match errors.first() {
        Some((lex::Expect::Digit, found)) if ends_with_point(source, found) => {
            error_at(source, found, "jq has numbers like 1., eventlift has not".to_owned()).hint("write 1.0")
        }
        Some((lex::Expect::Unicode, found)) if found.starts_with(['d', 'D']) => {
            error_at(source, found, "jq has surrogate pairs like \\ud83d\\ude00, eventlift has not".to_owned())
                .hint("write the character itself")
        }
        // An unclosed delimiter is reported with the text from it on.
        Some((expected, found)) => error_at(source, found, format!("expected {}", expected.as_str())),
        None => JqError::at(source, 0, "the filter can't be read"),
    }
}

fn parse_error(source: &str, errors: &[parse::TError<'_, &str>]) -> JqError {
    let Some((expected, found)) = errors.first() else {
        return JqError::at(source, 0, "the filter can't be read");
    };
    match found {
        Some(Token(text, Tok::Num)) if ends_with_point(source, text) => {
            error_at(source, text, "jq has numbers like .1, eventlift has not".to_owned()).hint("write 0.1")
        }
        Some(Token(text, _)) => {
            let start: String = text.chars().take(20).collect();
            error_at(source, text, format!("expected {}, found {start}", expected.as_str()))
        }
        None if source.trim().is_empty() => {
            JqError::at(source, 0, "the filter is empty").hint("`.` is the filter that changes nothing")
        }
        None => JqError::at(source, source.len(), format!("expected {}, but the filter ends", expected.as_str())),
    }
}

fn undefined_error(source: &str, (name, kind): &compile::Error<&str>) -> JqError {
    if let Some(refusal) = refusal(source, name) {
        return refusal;
    }
    if let Some(instead) = missing(name) {
        return error_at(source, name, format!("jq has {name}, eventlift has not")).hint(instead);
    }
    let (message, hint) = match kind {
        compile::Undefined::Filter(0) => (format!("there is no filter {name}"), "a field is written with a dot: .name"),
        compile::Undefined::Filter(args) => {
            let plural = if *args == 1 { "" } else { "s" };
            (format!("there is no filter {name} with {args} argument{plural}"), "arguments are separated by semicolons")
        }
        compile::Undefined::Var => (format!("there is no variable {name}"), "bind it first: .name as $name | …"),
        compile::Undefined::Label => (format!("there is no label {name}"), "set it first: label $name | …"),
        _ => (format!("there is no {} {name}", kind.as_str()), "a rule is complete in its own file"),
    };
    error_at(source, name, message).hint(hint)
}

fn refusal(source: &str, name: &str) -> Option<JqError> {
    let refused = refused(name)?;
    Some(error_at(source, name, format!("{name} is refused: {}", refused.why)).hint(refused.hint))
}
