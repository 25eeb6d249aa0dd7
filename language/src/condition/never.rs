//! Conditions that can never hold, as far as that follows from what they say.

use std::cmp::Ordering;

use super::{Check, Clause, CompiledCondition, Constant, Source};
use crate::json::{Decimal, Kind, Pointer};

/// Why no event can fulfil all clauses; none where that does not follow from them.
pub(super) fn contradiction(clauses: &[Clause]) -> Option<String> {
    let mut all = Vec::new();
    flatten(clauses, &mut all);
    envelope(&all).or_else(|| fields(&all))
}

/// The clauses that all have to hold, those of every `all` among them.
fn flatten<'c>(clauses: &'c [Clause], all: &mut Vec<&'c Clause>) {
    for clause in clauses {
        match clause {
            Clause::All(conditions) => conditions.iter().for_each(|condition| flatten(&condition.clauses, all)),
            other => all.push(other),
        }
    }
}

impl CompiledCondition {
    /// Whether it can't hold for any event of this type, this version and a stream of this category, as far as they
    /// are given.
    pub fn excludes(&self, event_type: Option<&str>, version: Option<u32>, category: Option<&str>) -> bool {
        let mut all = Vec::new();
        flatten(&self.clauses, &mut all);
        all.iter().any(|clause| match clause {
            Clause::EventType(names) => event_type.is_some_and(|one| !names.iter().any(|name| name == one)),
            Clause::EventTypeMatches(regex) => event_type.is_some_and(|one| !regex.is_match(one)),
            Clause::Version(numbers) => version.is_some_and(|one| !numbers.contains(&one)),
            Clause::Category(names) => category.is_some_and(|one| !names.iter().any(|name| name == one)),
            Clause::Stream(names) => {
                let is_in = |stream: &str, one| stream.split_once('-').map_or(stream, |(first, _)| first) == one;
                category.is_some_and(|one| !names.iter().any(|name| is_in(name, one)))
            }
            _ => false,
        })
    }
}

fn envelope(clauses: &[&Clause]) -> Option<String> {
    let (mut types, mut streams, mut categories) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_types, mut of_streams) = (Vec::new(), Vec::new());
    let mut versions = Vec::new();
    let (mut before, mut after) = (None, None);
    for clause in clauses {
        match clause {
            Clause::EventType(names) => types.push(names),
            Clause::Stream(names) => streams.push(names),
            Clause::Category(names) => categories.push(names),
            Clause::EventTypeMatches(regex) => of_types.push(regex),
            Clause::StreamMatches(regex) => of_streams.push(regex),
            Clause::Version(numbers) => versions.push(numbers),
            Clause::Before(moment) => before = Some(before.map_or(*moment, |other| (*moment).min(other))),
            Clause::After(moment) => after = Some(after.map_or(*moment, |other| (*moment).max(other))),
            Clause::Field { .. } | Clause::All(_) | Clause::Any(_) | Clause::Not(_) => {}
        }
    }
    let never = |what: &str| Some(format!("no event has {what} that fits all of the condition"));
    if none_in_all(&types, |name: &str| of_types.iter().all(|regex| regex.is_match(name))) {
        return never("a type");
    }
    if none_in_all(&categories, |_: &str| true) {
        return never("a category");
    }
    let in_categories = |stream: &str| {
        let category = stream.split_once('-').map_or(stream, |(category, _)| category);
        categories.iter().all(|names| names.iter().any(|name| name == category))
    };
    if none_in_all(&streams, |name: &str| of_streams.iter().all(|regex| regex.is_match(name)) && in_categories(name)) {
        return never("a stream");
    }
    if none_in_all(&versions, |_: &u32| true) {
        return never("a version");
    }
    if let (Some(before), Some(after)) = (before, after)
        && before.micros().saturating_sub(after.micros()) <= 1
    {
        return Some("no moment is after `recorded_after` and before `recorded_before`".to_owned());
    }
    None
}

/// Whether there are lists, and nothing is in each of them and fits.
fn none_in_all<T, N: ?Sized>(lists: &[&Vec<T>], fits: impl Fn(&N) -> bool) -> bool
where
    T: PartialEq + std::borrow::Borrow<N>,
{
    let Some((first, others)) = lists.split_first() else { return false };
    !first.iter().any(|one| others.iter().all(|list| list.contains(one)) && fits(one.borrow()))
}

fn fields(clauses: &[&Clause]) -> Option<String> {
    let mut tested: Vec<(Source, &Pointer, Vec<&Check>)> = Vec::new();
    for clause in clauses {
        let Clause::Field { source, pointer, checks } = clause else { continue };
        // Of several values, each test may hold for another one.
        if pointer.has_wildcard() {
            continue;
        }
        match tested.iter_mut().find(|(of, path, _)| of == source && *path == pointer) {
            Some((_, _, all)) => all.extend(checks),
            None => tested.push((*source, pointer, checks.iter().collect())),
        }
    }
    tested.iter().find_map(|(_, pointer, checks)| Some(format!("{pointer} {}", field(checks)?)))
}

/// Why no value passes all tests.
fn field(checks: &[&Check]) -> Option<String> {
    let needs_value = |check: &&&Check| !matches!(check, Check::Exists(false) | Check::NoneOf(_));
    if checks.iter().any(|check| matches!(check, Check::Exists(false))) {
        return checks.iter().any(|check| needs_value(&check)).then(|| "is to be missing, and to be there".to_owned());
    }
    let possible = |kind: &Kind| checks.iter().all(|check| check.may_be(*kind));
    if !Kind::ALL.iter().any(possible) {
        return Some("can't be of all the types that are asked for".to_owned());
    }
    let listed = checks.iter().find_map(|check| match check {
        Check::OneOf(constants) => Some(constants),
        _ => None,
    });
    if let Some(constants) = listed {
        let passes = |constant: &Constant| checks.iter().all(|check| check.passes(constant));
        return (!constants.iter().any(passes)).then(|| "can't be any of the values that are listed".to_owned());
    }
    bounds(checks)
}

/// A bound, and whether it is itself within.
type End<'c> = Option<(&'c Decimal, bool)>;

fn bounds(checks: &[&Check]) -> Option<String> {
    let (mut lowest, mut highest): (End<'_>, End<'_>) = (None, None);
    for check in checks {
        let Check::Compares(bound, orders) = check else { continue };
        let including = orders.contains(&Ordering::Equal);
        if orders.contains(&Ordering::Greater) {
            if lowest.is_none_or(|(before, _)| bound > before) || lowest == Some((bound, true)) {
                lowest = Some((bound, including));
            }
        } else if highest.is_none_or(|(before, _)| bound < before) || highest == Some((bound, true)) {
            highest = Some((bound, including));
        }
    }
    let ((low, from), (high, to)) = (lowest?, highest?);
    let is_empty = low > high || low == high && !(from && to);
    is_empty.then(|| "can't be above the one bound and below the other".to_owned())
}

impl Check {
    /// Whether a value of this kind may pass.
    fn may_be(&self, kind: Kind) -> bool {
        match self {
            Check::Exists(exists) => *exists,
            Check::NoneOf(_) => true,
            Check::TypeIs(kinds) => kinds.contains(&kind),
            Check::OneOf(constants) => constants.iter().any(|constant| constant.kind() == kind),
            Check::StartsWith(_) => kind == Kind::String,
            Check::Compares(..) => kind == Kind::Number,
        }
    }

    /// Whether a constant passes.
    fn passes(&self, constant: &Constant) -> bool {
        match (self, constant) {
            (Check::Exists(exists), _) => *exists,
            (Check::TypeIs(kinds), _) => kinds.contains(&constant.kind()),
            (Check::OneOf(constants), _) => constants.contains(constant),
            (Check::NoneOf(constants), _) => !constants.contains(constant),
            (Check::StartsWith(start), Constant::Text(text)) => text.starts_with(start.as_str()),
            (Check::Compares(bound, orders), Constant::Number(number)) => orders.contains(&number.cmp(bound)),
            (Check::StartsWith(_) | Check::Compares(..), _) => false,
        }
    }
}

impl Constant {
    fn kind(&self) -> Kind {
        match self {
            Constant::Text(_) => Kind::String,
            Constant::Number(_) => Kind::Number,
            Constant::Boolean(_) => Kind::Boolean,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Condition;

    fn compiled(text: &str) -> Result<(), String> {
        let condition: Condition = toml::from_str(text).unwrap();
        condition.compile().map(|_| ()).map_err(|reason| reason.message)
    }

    #[test]
    fn what_can_never_hold_is_refused() {
        for (text, expected) in [
            ("path = '/a'\nat_least = 3\nat_most = 2", "above the one bound"),
            ("path = '/a'\ngreater_than = 3\nat_most = 3", "above the one bound"),
            ("path = '/a'\ngreater_than = '9007199254740993'\nless_than = '9007199254740992'", "above the one bound"),
            ("path = '/a'\nexists = true\nmissing = true", "to be missing"),
            ("path = '/a'\nexists = false\nequals = 1", "to be missing"),
            ("path = '/a'\nequals = 'x'\nnot_equals = 'x'", "values that are listed"),
            ("path = '/a'\nin = ['x', 'y']\nnot_in = ['y', 'x']", "values that are listed"),
            ("path = '/a'\nequals = 1\nat_least = 2", "values that are listed"),
            ("path = '/a'\nequals = 'x'\nstarts_with = 'y'", "values that are listed"),
            ("path = '/a'\nequals = 'x'\ntype_is = 'number'", "of all the types"),
            ("path = '/a'\nstarts_with = 'x'\nat_least = 2", "of all the types"),
            ("all = [{ path = '/a', equals = 1 }, { path = '/a', equals = 2 }]", "values that are listed"),
            (
                "all = [{ data = '/a', at_least = 2 }, { all = [{ data = '/a', less_than = 2 }] }]",
                "above the one bound",
            ),
            ("event_type = 'A'\nevent_type_matches = '^B'", "has a type"),
            ("stream = 'a-1'\ncategory = 'b'", "has a stream"),
            ("stream = ['a-1', 'b-1']\nstream_matches = '^c'", "has a stream"),
            ("version = 1\nall = [{ version = 2 }]", "has a version"),
            ("recorded_after = '2024-05-01T00:00:00Z'\nrecorded_before = '2024-05-01T00:00:00Z'", "no moment"),
            ("event_type = []", "`event_type` names nothing"),
            ("category = []", "`category` names nothing"),
            ("stream = []", "`stream` names nothing"),
            ("version = []", "`version` names nothing"),
            ("version = 0", "no version 0"),
            ("event_type = ''", "`event_type` holds an empty name"),
            ("category = 'a-b'", "the category \"a-b\" holds a `-`"),
            ("category = 'a*'", "stands for nothing"),
            ("stream = 'a-*'", "stands for nothing"),
            ("event_type = ['A', 'B*']", "stands for nothing"),
            ("path = '/a'\nin = []", "`in` lists nothing"),
            ("path = '/a'\nnot_in = []", "`not_in` lists nothing"),
            ("path = '/a'\nstarts_with = ''", "`starts_with` is empty"),
            ("stream_matches = ''", "empty"),
            ("stream_matches = '[^\\s\\S]'", "nothing that it matches"),
            ("any = [{ path = '/a', at_least = 3, at_most = 2 }, { version = 1 }]", "above the one bound"),
        ] {
            let message = compiled(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn what_may_hold_is_not() {
        for text in [
            "path = '/a'\nat_least = 2\nat_most = 2",
            "path = '/a/*'\nequals = 1\nat_least = 2",
            "all = [{ path = '/a/*/b', equals = 1 }, { path = '/a/*/b', equals = 2 }]",
            "path = '/a'\nexists = false\nnot_equals = 1",
            "path = '/a'\nin = [1, 'x']\nstarts_with = 'x'",
            "path = '/a'\nin = [1, 'x']\nat_least = 1",
            "any = [{ path = '/a', equals = 1 }, { path = '/a', equals = 2 }]",
            "stream = ['a-1', 'b-1']\ncategory = 'b'",
            "event_type = ['A', 'BC']\nevent_type_matches = '^B'",
            "recorded_after = '2024-05-01T00:00:00Z'\nrecorded_before = '2024-05-01T00:00:00.000002Z'",
            "path = '/a'\nequals = 'x'\nall = [{ data = '/a', equals = 'y' }]",
        ] {
            assert_eq!(compiled(text), Ok(()), "{text}");
        }
    }
}
