//! Tables that are summed up from the rows of another table.

use eventlift_language::Reason;

use crate::row::{Row, RowKey};
use crate::table::Table;
use crate::value::{ColumnType, Value};
use eventlift_language::Numeric;

/// A table whose rows count and sum up the rows of another table of the same projection, group by group: what one
/// event alone can't say, because the group is known from an earlier one.
///
/// A group has a row while it has members. Rows whose group is null in a column belong to none. Exact sums have as few
/// decimals as they take, so that they don't show which members came and went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rollup {
    /// The place of the table that is made.
    pub table: usize,
    /// The place of the table whose rows are counted.
    pub of: usize,
    /// The columns of the other table that are the group, in the order of the key of this one, of the same types.
    pub group: Vec<usize>,
    /// The integer column of this table that counts the members.
    pub count: usize,
    /// Columns of the other table, and the columns of this table, of the same type, that sum them up. Null counts as 0.
    pub sums: Vec<(usize, usize)>,
}

impl Rollup {
    /// What is wrong with it among these tables, if anything.
    pub fn problem(&self, tables: &[Table]) -> Option<String> {
        let (Some(made), Some(of)) = (tables.get(self.table), tables.get(self.of)) else {
            return Some("a roll-up names a table that is not there".to_owned());
        };
        let column = |table: &Table, place: usize| table.columns.get(place).map(|column| column.column_type);
        let name = |table: &Table, place: usize| table.columns.get(place).map_or("", |column| &column.name).to_owned();
        if self.group.len() != made.key.len() {
            return Some(format!("its key has not as many columns as it groups `{}` by", of.name));
        }
        let unlike = made.key.iter().zip(&self.group).find(|(key, from)| column(made, **key) != column(of, **from));
        if let Some((key, from)) = unlike {
            let (key, from) = (name(made, *key), name(of, *from));
            return Some(format!("the key's column `{key}` is not of the type of `{from}` in `{}`", of.name));
        }
        if column(made, self.count) != Some(ColumnType::Integer) {
            return Some(format!("the column `{}` counts rows, but is no integer", name(made, self.count)));
        }
        let can_be_summed = |(from, into): &&(usize, usize)| {
            let types = (column(of, *from), column(made, *into));
            types.0 == types.1 && matches!(types.0, Some(ColumnType::Integer | ColumnType::Numeric))
        };
        if let Some((from, into)) = self.sums.iter().find(|sum| !can_be_summed(sum)) {
            let (from, into) = (name(of, *from), name(made, *into));
            return Some(format!("`{into}` and `{from}` in `{}` have to be both integer or both numeric", of.name));
        }
        let filled = || made.key.iter().chain([&self.count]).chain(self.sums.iter().map(|(_, into)| into));
        let unfit = (0..made.columns.len()).find(|place| filled().filter(|filled| *filled == place).count() != 1)?;
        Some(format!("the column `{}` has to be exactly one of: part of the key, the count, a sum", name(made, unfit)))
    }

    /// What is wrong with the roll-ups among the tables of a projection, if anything: with one of them, that a table is
    /// made twice, or summed up from one that is summed up itself.
    pub fn problem_of_all(rollups: &[Self], tables: &[Table]) -> Option<String> {
        for (number, rollup) in rollups.iter().enumerate() {
            let name = |place: usize| tables.get(place).map_or("", |table| &table.name);
            if rollups[..number].iter().any(|other| other.table == rollup.table) {
                return Some(format!("the table `{}` is summed up twice", name(rollup.table)));
            }
            if rollups.iter().any(|other| other.table == rollup.of) {
                return Some(format!("table `{}`: `{}` is summed up itself", name(rollup.table), name(rollup.of)));
            }
            if let Some(problem) = rollup.problem(tables) {
                return Some(format!("table `{}`: {problem}", name(rollup.table)));
            }
        }
        None
    }

    /// The key of the group that a row belongs to, if it belongs to one.
    pub fn group_of(&self, row: &Row) -> Result<Option<RowKey>, Reason> {
        if self.group.iter().any(|place| row.0[*place].is_null()) {
            return Ok(None);
        }
        RowKey::of(self.group.iter().map(|place| &row.0[*place])).map(Some)
    }

    /// Adds a member to its group's row, which is made where there is none.
    pub fn add(&self, made: &Table, group: &mut Option<Row>, key: &RowKey, member: &Row) -> Result<(), Reason> {
        if group.is_none() {
            *group = Some(self.empty(made, key)?);
        }
        self.change(made, group, member, 1)
    }

    /// Takes a member out of its group's row, which goes with the last member.
    pub fn remove(&self, made: &Table, group: &mut Option<Row>, member: &Row) -> Result<(), Reason> {
        self.change(made, group, member, -1)
    }

    fn empty(&self, made: &Table, key: &RowKey) -> Result<Row, Reason> {
        let mut row = Row::with_key(made, key)?;
        row.0[self.count] = Value::Integer(0);
        for (_, into) in &self.sums {
            row.0[*into] = match made.columns[*into].column_type {
                ColumnType::Numeric => Value::numeric(Numeric::ZERO),
                _ => Value::Integer(0),
            };
        }
        Ok(row)
    }

    fn change(&self, made: &Table, group: &mut Option<Row>, member: &Row, sign: i64) -> Result<(), Reason> {
        let Some(row) = group else {
            return Err(Reason::new(format_args!("{} has no row for a group that has members", made.name)));
        };
        let count = add(&row.0[self.count], &Value::Integer(1), sign, made, self.count)?;
        if matches!(count, Value::Integer(0)) {
            *group = None;
            return Ok(());
        }
        row.0[self.count] = count;
        for (from, into) in &self.sums {
            row.0[*into] = add(&row.0[*into], &member.0[*from], sign, made, *into)?;
        }
        Ok(())
    }
}

fn add(sum: &Value, value: &Value, sign: i64, made: &Table, column: usize) -> Result<Value, Reason> {
    let overflow = || {
        let Table { name, columns, .. } = made;
        Reason::new(format_args!("the sum in {name}.{} does not fit into its type", columns[column].name))
    };
    match (sum, value) {
        (sum, Value::Null) => Ok(sum.clone()),
        (Value::Integer(sum), Value::Integer(value)) => {
            let signed = value.checked_mul(sign).ok_or_else(overflow)?;
            sum.checked_add(signed).map(Value::Integer).ok_or_else(overflow)
        }
        (Value::Numeric(sum), Value::Numeric(value)) => {
            let changed = if sign > 0 { sum.checked_add(**value) } else { sum.checked_sub(**value) };
            changed.map(|sum| Value::numeric(sum.shortest())).ok_or_else(overflow)
        }
        _ => Err(Reason::new(format_args!("{} holds something that can't be summed up", made.name))),
    }
}
