//! Columns of tables.

/// A column of a table, by name (`"species"`) or by position from 0 (`4`), from the end if negative (`-1` is the last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By the name in the header.
    Name(String),
    /// By position; negative ones count from the end.
    Index(i32),
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Column::Name(name.to_owned())
    }
}

impl From<String> for Column {
    fn from(name: String) -> Self {
        Column::Name(name)
    }
}

impl From<i32> for Column {
    fn from(index: i32) -> Self {
        Column::Index(index)
    }
}
