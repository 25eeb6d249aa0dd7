//! Reading tables that are summed up from another one: `of`, `count` and `sum`.

use std::ops::Range;

use eventlift_language::problem::did_you_mean;
use eventlift_language::{Reader, Table as TomlTable};

use super::read_source::column_named;
use crate::rollup::Rollup;
use crate::table::Table;

/// A name, and where it is.
type Named = (String, Range<usize>);

/// What a table says about how it is summed up; what it names may come later in the file.
pub(super) struct SummedUp {
    /// The place of the table.
    table: usize,
    /// Where its name is.
    span: Range<usize>,
    of: Named,
    /// Where its key is.
    key: Range<usize>,
    count: Option<Named>,
    /// Columns of the table, and those of the other table that they sum up.
    sums: Vec<(Named, Named)>,
}

impl SummedUp {
    /// Takes the keys out of a `[table.…]`; none where it is a table that events change. What is wrong is noted.
    pub(super) fn read<'i>(
        reader: &mut Reader<'i>,
        table: &mut TomlTable<'i>,
        place: usize,
        span: &Range<usize>,
    ) -> Option<Self> {
        if !table.has("of") {
            for key in ["count", "sum"] {
                let Some(value) = table.take(key) else { continue };
                let hint = "`of = \"orders\"` names the table whose rows are summed up";
                reader.note(&value.span(), format!("`{key}` needs `of`"), Some(hint.to_owned()));
            }
            return None;
        }
        let key = table.entries.get("key").map_or_else(|| span.clone(), |value| value.span());
        let has_count = table.has("count");
        let count = reader.get_spanned(table, "count");
        if !has_count {
            let hint = "the integer column that counts the rows of the other table: count = \"orders\"";
            reader.note(span, "a table that is summed up needs `count`", Some(hint.to_owned()));
        }
        let sums = sums(reader, table);
        let of = reader.get_spanned(table, "of")?;
        Some(Self { table: place, span: span.clone(), of, key, count, sums })
    }

    /// Finds what it names among all tables of the file.
    pub(super) fn resolve(&self, reader: &mut Reader<'_>, tables: &[Table], all: &[Self]) -> Option<Rollup> {
        let made = tables.get(self.table)?;
        let of = self.other_table(reader, tables, all)?;
        let other = tables.get(of)?;
        let problems = reader.problems.len();
        let key_names = made.key.iter().map(|place| &made.columns[*place].name);
        let group = key_names.filter_map(|name| column_named(reader, other, &self.key, name)).collect();
        let count = self.count.as_ref().and_then(|(name, span)| column_named(reader, made, span, name));
        let mut sums = Vec::new();
        for ((into, into_span), (from, from_span)) in &self.sums {
            let into = column_named(reader, made, into_span, into);
            let from = column_named(reader, other, from_span, from);
            sums.extend(from.zip(into));
        }
        if reader.problems.len() > problems {
            return None;
        }
        let rollup = Rollup { table: self.table, of, group, count: count?, sums };
        let Some(problem) = rollup.problem(tables) else { return Some(rollup) };
        let hint = format!(
            "the columns of its key are columns of the same name and type in `{}`; the others are `count` or in `sum`",
            other.name
        );
        reader.note(&self.span, format!("the table `{}`: {problem}", made.name), Some(hint));
        None
    }

    /// The place of the table that it sums up, which has to be one that events change.
    fn other_table(&self, reader: &mut Reader<'_>, tables: &[Table], all: &[Self]) -> Option<usize> {
        let (name, span) = &self.of;
        let is_summed_up = |place: usize| all.iter().any(|other| other.table == place);
        let Some(place) = tables.iter().position(|table| table.name == *name) else {
            let changed = tables.iter().enumerate().filter(|(place, _)| !is_summed_up(*place));
            let names: Vec<&str> = changed.map(|(_, table)| table.name.as_str()).collect();
            let hint = did_you_mean(name, names.iter().copied())
                .or_else(|| (!names.is_empty()).then(|| format!("events change {}", names.join(", "))));
            reader.note(span, format!("there is no table `{name}`"), hint);
            return None;
        };
        if is_summed_up(place) {
            let hint = "`of` names a table of this file that events change";
            reader.note(span, format!("`{name}` is summed up itself"), Some(hint.to_owned()));
            return None;
        }
        Some(place)
    }
}

/// `sum = { column here = "column there" }`.
fn sums<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>) -> Vec<(Named, Named)> {
    let Some(value) = table.take("sum") else { return Vec::new() };
    let Some(sums) = reader.table(value, "`sum`") else { return Vec::new() };
    let mut named = Vec::new();
    for (key, value) in sums.entries {
        let (into, span) = (key.get_ref().clone().into_owned(), value.span());
        let Some(from) = reader.deserialize::<String>(value, &format!("`sum.{into}`")) else { continue };
        named.push(((into, key.span()), (from, span)));
    }
    named
}
