//! What is said about a CSV file before it is read.

use crate::data::column::Column;

/// What the label columns hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Labels {
    /// Numbers if the first one is a number, else classes.
    Auto,
    Numbers,
    /// Names, numbered in sorted order.
    Classes,
    /// Names, numbered in this order.
    Given(Vec<String>),
}

/// Reads a table of numbers and labels from CSV.
///
/// - Header: the first line, if none of its cells is a number; [`header`](Self::header) decides otherwise. A guess that later rows
///   speak against is an error that says so, such as a line of years and names above rows of numbers.
/// - Label: the last column; [`label`](Self::label), [`labels`](Self::labels) and [`no_label`](Self::no_label) decide
///   otherwise. All other columns are features, unless [`features`](Self::features) or [`ignore`](Self::ignore) choose.
/// - Labels that are numbers stay as they are. Labels that are names become 0, 1, 2 … in sorted order, and
///   [`Table::class_names`](crate::data::Table::class_names) holds the names; [`classes`](Self::classes) and [`numbers`](Self::numbers) decide otherwise. A column
///   of both is an error, and so is a label that looks like a number written in another way (`1,5`, `0x1F`, `12 %`).
///   A second file (a test set) may lack a class and would be numbered otherwise: give it the names of the first, with
///   `.class_names(&train.class_names)` or [`.class_names(["setosa", "virginica"])`](Self::class_names).
/// - Numbers are read as `f64` and rounded to the table's type. Spaces around a cell and before its quotes do not count, quoted
///   cells, CRLF, a byte-order mark and blank lines are allowed. A missing value (an empty cell, `NA`, `NaN`, `null`, `?` …) is an
///   error, as is a quote that is never closed, or one that closes within a cell.
///
/// The text is read once, row by row.
///
/// ```
/// use gradus::prelude::*;
/// let table: Table = Csv::default().parse("length,width,species\n5.1,3.5,setosa\n6.3,3.3,virginica\n4.9,3.0,setosa\n")?;
/// assert_eq!(table.x, Tensor::from([[5.1, 3.5], [6.3, 3.3], [4.9, 3.0]]));
/// assert_eq!(table.y.as_slice(), &[0.0, 1.0, 0.0]);
/// assert_eq!(table.class_names, ["setosa", "virginica"]);
///
/// let error = Csv::default().parse::<f32>("length,width,species\n5.1,wide,setosa\n").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"text, line 2, column width: expected a number, got "wide"; correct the cell or leave the column out with .ignore(...)"#
/// );
/// let test: Table = Csv::default().class_names(&table.class_names).parse("length,width,species\n6.0,3.0,virginica\n")?;
/// assert_eq!(test.y.as_slice(), &[1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Csv {
    pub(super) header: Option<bool>,
    pub(super) delimiter: u8,
    pub(super) decimal_comma: bool,
    pub(super) skip_lines: usize,
    pub(super) label: Vec<Column>,
    pub(super) labels: Labels,
    pub(super) features: Option<Vec<Column>>,
    pub(super) ignore: Vec<Column>,
}

impl Default for Csv {
    fn default() -> Self {
        Csv {
            header: None,
            delimiter: b',',
            decimal_comma: false,
            skip_lines: 0,
            label: vec![Column::Index(-1)],
            labels: Labels::Auto,
            features: None,
            ignore: Vec::new(),
        }
    }
}

impl Csv {
    /// Whether the first line holds the columns' names; by default it does if none of its cells is a number.
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// The character between cells, in ASCII and neither a quote nor a line end; a comma by default.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Whether numbers are written with a comma in the place of the point, as in `1,5;2,25`; no by default. pandas `decimal=","`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let table: Table = Csv::default().delimiter(b';').decimal_comma(true).parse("1,5;2,25;0\n3;4,5e1;1\n")?;
    /// assert_eq!(table.x, Tensor::from([[1.5, 2.25], [3.0, 45.0]]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn decimal_comma(mut self, comma: bool) -> Self {
        self.decimal_comma = comma;
        self
    }

    /// Lines before the table (and its header) that are passed over; none by default.
    pub fn skip_lines(mut self, lines: usize) -> Self {
        self.skip_lines = lines;
        self
    }

    /// The label column, by name or position; the last one by default.
    pub fn label(mut self, column: impl Into<Column>) -> Self {
        self.label = vec![column.into()];
        self
    }

    /// Several label columns, all of numbers: `y` is then `[samples, labels]`.
    pub fn labels<C: Into<Column>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.label = columns.into_iter().map(Into::into).collect();
        self.labels = Labels::Numbers;
        self
    }

    /// No label column: `y` is empty, `[samples, 0]`.
    pub fn no_label(mut self) -> Self {
        self.label.clear();
        self
    }

    /// The feature columns, in this order; by default all that are not labels.
    pub fn features<C: Into<Column>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.features = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Columns that are left out; none by default.
    pub fn ignore<C: Into<Column>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.ignore = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Labels are names of classes even where they look like numbers; they are numbered in sorted order (by value where all
    /// are numbers).
    pub fn classes(mut self) -> Self {
        self.labels = Labels::Classes;
        self
    }

    /// Labels are names of these classes, numbered in this order: for a second file that may lack a class of the first, as in
    /// `.class_names(&train.class_names)` or `.class_names(["no", "yes"])`.
    pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.labels = Labels::Given(names.into_iter().map(Into::into).collect());
        self
    }

    /// Labels are numbers; anything else is an error.
    pub fn numbers(mut self) -> Self {
        self.labels = Labels::Numbers;
        self
    }
}
