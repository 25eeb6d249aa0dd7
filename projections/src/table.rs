//! What a read model's table looks like.

use eventlift_language::Shown;
use serde::{Deserialize, Serialize};

use crate::row::Row;
use crate::value::{ColumnType, Value};

/// A table of a read model, or the table of an aggregate's snapshots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Its name in the database.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The places in `columns` of those that make the key, in the key's order. Never empty.
    pub key: Vec<usize>,
    /// Its indexes beside the key's.
    pub indexes: Vec<Index>,
    /// What its rows are.
    pub kind: TableKind,
}

/// What the rows of a table are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Rows of a read model.
    ReadModel,
    /// Snapshots of aggregates, in the columns of [`Table::of_snapshots`].
    Snapshots,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values; null is a value of every type, except in a key.
    pub column_type: ColumnType,
}

/// An index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Index {
    /// The places of its columns, in order. Never empty.
    pub columns: Vec<usize>,
    /// Whether no two rows may have the same values in them; null differs from null.
    pub unique: bool,
}

/// The columns of a table of snapshots, in order.
pub mod snapshot_columns {
    /// The stream: the key.
    pub const STREAM: usize = 0;
    /// The revision of the last event that is in the state.
    pub const REVISION: usize = 1;
    /// The position of that event, as text.
    pub const POSITION: usize = 2;
    /// The fingerprint of the rules and the fold that made the state.
    pub const FINGERPRINT: usize = 3;
    /// The state, in JSON.
    pub const STATE: usize = 4;
}

impl Table {
    /// A table of a read model with these columns, in order, the first of which is its key.
    pub fn read_model<N: Into<String>>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = (N, ColumnType)>,
    ) -> Self {
        let columns = columns.into_iter().map(|(name, column_type)| Column { name: name.into(), column_type });
        Self {
            name: name.into(),
            columns: columns.collect(),
            key: vec![0],
            indexes: Vec::new(),
            kind: TableKind::ReadModel,
        }
    }

    /// The same with another key: the columns of these names, in this order. [`problem`](Self::problem) tells of a name
    /// that no column has.
    pub fn keyed_by(self, names: &[&str]) -> Self {
        Self { key: self.places(names), ..self }
    }

    /// The same with an index of the columns of these names, in this order, in which values may repeat.
    /// [`problem`](Self::problem) tells of a name that no column has.
    pub fn indexed_by(mut self, names: &[&str]) -> Self {
        self.indexes.push(Index { columns: self.places(names), unique: false });
        self
    }

    /// The places of columns; one that is not there has a place behind the last.
    fn places(&self, names: &[&str]) -> Vec<usize> {
        names.iter().map(|name| self.column(name).unwrap_or(self.columns.len())).collect()
    }

    /// The table of an aggregate's snapshots.
    pub fn of_snapshots(name: impl Into<String>) -> Self {
        let columns = [
            ("stream", ColumnType::Text),
            ("revision", ColumnType::Integer),
            ("position", ColumnType::Text),
            ("fingerprint", ColumnType::Text),
            ("state", ColumnType::Json),
        ];
        let columns = columns.map(|(name, column_type)| Column { name: name.to_owned(), column_type });
        Self {
            name: name.into(),
            columns: columns.into(),
            key: vec![snapshot_columns::STREAM],
            indexes: Vec::new(),
            kind: TableKind::Snapshots,
        }
    }

    /// The place of a column, by its name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The types of the key's columns, in the key's order.
    pub fn key_types(&self) -> Vec<ColumnType> {
        self.key.iter().map(|place| self.columns[*place].column_type).collect()
    }

    /// What is wrong with the table, if anything: names that no database takes or that are there twice, no key, a key
    /// of a type that can't be one, places that are no columns.
    pub fn problem(&self) -> Option<String> {
        let names = std::iter::once(&self.name).chain(self.columns.iter().map(|column| &column.name));
        if let Some(name) = names.clone().find(|name| !is_identifier(name)) {
            return Some(format!("{name:?} is no name for a table or column (letters, digits and _, 63 at most)"));
        }
        let lower = self.name.to_ascii_lowercase();
        if lower.starts_with("eventlift_") {
            return Some(format!("{:?} begins with `eventlift_`, as the ledger's own tables do", self.name));
        }
        if lower.starts_with("sqlite_") {
            return Some(format!("{:?} begins with `sqlite_`, which SQLite keeps for itself", self.name));
        }
        for (place, column) in self.columns.iter().enumerate() {
            // Databases don't tell names apart by their case.
            if self.columns[..place].iter().any(|other| other.name.eq_ignore_ascii_case(&column.name)) {
                return Some(format!("the column `{}` is there twice", column.name));
            }
        }
        if self.key.is_empty() {
            return Some("it has no key".to_owned());
        }
        let places = self.key.iter().chain(self.indexes.iter().flat_map(|index| &index.columns));
        if places.clone().any(|place| *place >= self.columns.len()) {
            return Some("a key or index names a column that is not there".to_owned());
        }
        if self.indexes.iter().any(|index| index.columns.is_empty()) {
            return Some("an index has no columns".to_owned());
        }
        let unfit = self.key.iter().map(|place| &self.columns[*place]).find(|c| !c.column_type.can_be_key());
        unfit.map(|column| {
            format!("the column `{}` is of the type {}, which can't be a key", column.name, column.column_type)
        })
    }

    /// What is wrong with the tables of a projection, if anything: with one of them, or that a name is there twice.
    pub fn problem_of_all(tables: &[Self]) -> Option<String> {
        if tables.is_empty() {
            return Some("there is no table".to_owned());
        }
        for (number, table) in tables.iter().enumerate() {
            if let Some(problem) = table.problem() {
                return Some(format!("table `{}`: {problem}", table.name));
            }
            if tables[..number].iter().any(|other| other.name.eq_ignore_ascii_case(&table.name)) {
                return Some(format!("the table `{}` is there twice", table.name));
            }
        }
        None
    }

    /// Why a row can't be one of this table, if it can't: too many or too few values, or one of another type. Nulls
    /// in the key are left to [`Row::key`].
    pub fn misfit(&self, row: &Row) -> Option<String> {
        if row.0.len() != self.columns.len() {
            return Some(format!("a row has {} values, the table {} columns", row.0.len(), self.columns.len()));
        }
        let fits = |(column, value): &(&Column, &Value)| value.column_type().is_none_or(|t| t == column.column_type);
        let (column, value) = self.columns.iter().zip(&row.0).find(|pair| !fits(pair))?;
        Some(format!("the column `{}` is of the type {}, but {} is not", column.name, column.column_type, Shown(value)))
    }

    /// Says that two rows have these values in a unique index.
    pub fn same_values(&self, index: &Index, values: &[&Value]) -> String {
        let names: Vec<&str> = index.columns.iter().map(|place| &*self.columns[*place].name).collect();
        let values: Vec<String> = values.iter().map(|value| Shown(value).to_string()).collect();
        let values = values.join(", ");
        format!("two rows have the same values in the unique index of {}: {values}", names.join(", "))
    }
}

fn is_identifier(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    begins && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_of_names() {
        let columns = [("id", ColumnType::Text), ("shop", ColumnType::Integer), ("at", ColumnType::Time)];
        let table = Table::read_model("orders", columns);
        assert_eq!((&table.key[..], table.problem()), (&[0][..], None));
        let table = table.keyed_by(&["shop", "id"]).indexed_by(&["at", "id"]);
        assert_eq!((&table.key[..], &table.indexes[0].columns[..]), (&[1, 0][..], &[2, 0][..]));
        assert_eq!(table.problem(), None);
        let missing = Some("a key or index names a column that is not there".to_owned());
        assert_eq!(table.clone().keyed_by(&["nothing"]).problem(), missing);
        assert_eq!(table.indexed_by(&["nothing"]).problem(), missing);
    }
}
