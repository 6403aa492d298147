//! CSV text, row by row.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Terminator};

use super::number::{is_marker, is_number};
use super::quotes::Quotes;
use super::schema::{Location, TableSchema};
use super::settings::{Csv, Labels};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::io::{kind, open_file};
use crate::tensor::Float;

impl Csv {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is no file on a disk; [`Error::Data`] with file, line and
    /// column for an empty file, a row of another length, a cell that is empty or not a finite number, a column that does not
    /// exist or whose name another one has, a label among the features or the ignored columns, an unknown class, classes that
    /// differ in white space alone, a quote that is never closed, lines that end in carriage returns alone, text that is not
    /// UTF-8, a file of another kind, or a guess about header or labels that rows speak against; [`Error::Argument`] for a
    /// delimiter that cannot be one and class names that repeat.
    pub fn read<T: Float>(&self, path: impl AsRef<Path>) -> Result<Table<T>> {
        let path = path.as_ref();
        let (file, _) = open_file(path)?;
        self.read_from(path, file)
    }

    /// Reads text; errors call it "text".
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse<T: Float>(&self, text: &str) -> Result<Table<T>> {
        self.read_from("text", text.as_bytes())
    }

    /// Reads from anything that can be read; errors call it `name`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from<T: Float>(&self, name: impl AsRef<Path>, mut source: impl Read) -> Result<Table<T>> {
        self.table(name.as_ref(), &mut source)
    }

    /// [`read_from`](Self::read_from) without types of the caller's, so that it is compiled once.
    #[inline(never)]
    pub(crate) fn table<T: Float>(&self, name: &Path, source: &mut dyn Read) -> Result<Table<T>> {
        self.scan(name, source, &mut |_, _, _| {})?.finish()
    }

    /// Reads every row; `each` is called after a row that was good, with the byte where it begins and the line.
    pub(super) fn scan<T: Float>(
        &self,
        file: &Path,
        source: &mut dyn Read,
        each: &mut dyn FnMut(&mut TableSchema<T>, u64, u64),
    ) -> Result<TableSchema<T>> {
        if !self.delimiter.is_ascii() || matches!(self.delimiter, b'"' | b'\n' | b'\r') {
            let got = format!("{:?}", char::from(self.delimiter));
            let expected = "an ASCII character other than a quote or a line end";
            return Err(Error::argument("Csv", "delimiter", expected, got, "b',', b';' and b'\\t' are usual"));
        }
        if self.decimal_comma && self.delimiter == b',' {
            let hint = "set .delimiter(b';') or the one that stands between the cells";
            return Err(Error::argument("Csv", "delimiter", "another than the decimal comma", "a comma", hint));
        }
        if let Labels::Given(names) = &self.labels {
            let mut sorted: Vec<&String> = names.iter().collect();
            sorted.sort();
            if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
                let got = format!("{:?} twice", twice[0]);
                return Err(Error::argument("Csv", "class_names", "different", got, "name every class once"));
            }
        }
        let failed = |source| Error::Io { file: file.to_owned(), source };
        let mut source = BufReader::with_capacity(1 << 16, source);
        if let Some((problem, hint)) = kind::other_than("a CSV file", source.fill_buf().map_err(failed)?) {
            return Err(Error::Data { file: file.to_owned(), line: None, column: None, problem, hint });
        }
        let (mut skipped, mut skipped_lines) = (0, 0u64);
        for _ in 0..self.skip_lines {
            match source.skip_until(b'\n').map_err(failed)? {
                0 => break,
                bytes => skipped += bytes as u64,
            }
            skipped_lines += 1;
        }
        // With a line feed as the only end of a row, and one after the last row, the reader's line is always that after the
        // row just read; a carriage return is trimmed as space. The pair of quotes at the end reads as one more blank row, unless
        // a quote is still open: then it belongs to the open cell, and the last row is not blank.
        let lines = skipped_lines;
        let mut rows = self.reader(Quotes::new(source.chain(&b"\n\"\"\n"[..]), self.delimiter, Some(lines)));
        let mut at = Location { file, names: Cow::Borrowed(&[]), line: lines };
        let (mut record, mut schema) = (StringRecord::new(), None);
        // Where the last row's last cell begins, and what came of the row; None for a blank row.
        let mut last: Option<(u64, Result<()>)> = None;
        loop {
            let start = skipped + rows.position().byte();
            let more = match rows.read_record(&mut record) {
                Ok(more) => more,
                Err(error) => return Err(at.unreadable(error, lines)),
            };
            match last.take() {
                Some((line, _)) if !more => {
                    at.line = line;
                    let hint = "close it, or remove it if it is not the start of a quoted cell";
                    return Err(at.error(None, "a quote opens here and is never closed", hint));
                }
                Some((_, row)) => row?,
                None => {}
            }
            if !more {
                break;
            }
            let inside: usize = record.iter().map(line_feeds).sum();
            let end = lines.saturating_add(rows.position().line());
            at.line = end.saturating_sub(1 + inside as u64);
            let opening = end.saturating_sub(record.iter().next_back().map_or(0, line_feeds) as u64);
            record.trim();
            if record.len() == 1 && record[0].is_empty() {
                continue; // a blank line
            }
            let before = schema.as_ref().map_or(0, |schema: &TableSchema<T>| schema.rows);
            let row = self.row(&mut schema, &record, &mut at);
            if let Some(schema) = schema.as_mut().filter(|schema| schema.rows > before) {
                each(schema, start, at.line);
            }
            last = Some((opening, row));
        }
        match schema {
            Some(schema) if schema.rows > 0 => {
                schema.check_guesses(&mut at)?;
                Ok(schema)
            }
            Some(_) => Err(at.error(None, "there are no rows below the names", "add rows, or set .header(false)")),
            None => {
                at.line = 0;
                Err(at.error(None, "the table is empty", "check the path and .skip_lines(...)"))
            }
        }
    }

    /// A reader of rows with these settings.
    pub(super) fn reader<R: Read>(&self, source: R) -> csv::Reader<R> {
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(source)
    }

    /// One more row; the first one decides on the header.
    fn row<T: Float>(
        &self,
        schema: &mut Option<TableSchema<T>>,
        record: &StringRecord,
        at: &mut Location<'_>,
    ) -> Result<()> {
        if let Some(schema) = schema {
            return schema.row(record, at);
        }
        // With carriage returns alone, the whole text is one row.
        if record.iter().any(|cell| cell.replace("\r\n", "").contains('\r')) {
            let hint = "save the file with line feeds (Unix or Windows line ends)";
            return Err(at.error(None, "lines end in carriage returns alone (old Mac text)", hint));
        }
        let numbers = record.iter().any(|cell| is_number(cell, self.decimal_comma));
        let header = self.header.unwrap_or(!numbers);
        if let (None, true, Some(column)) =
            (self.header, header, record.iter().position(|c| !c.is_empty() && is_marker(c)))
        {
            let problem = format!("no cell is a number, and {:?} stands for a missing value", &record[column]);
            let hint = "set .header(true) if this line holds the columns' names; else fill the values in";
            return Err(at.error(Some(column), problem, hint));
        }
        if header {
            at.names = record.iter().map(str::to_owned).collect();
        }
        let made = schema.insert(TableSchema::new(self, record, at)?);
        if header { Ok(()) } else { made.row(record, at) }
    }
}

fn line_feeds(cell: &str) -> usize {
    cell.bytes().filter(|&c| c == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn parse(how: Csv, text: &str) -> Table<f64> {
        how.parse(text).unwrap()
    }

    fn message(how: Csv, text: &str) -> String {
        how.parse::<f32>(text).unwrap_err().to_string()
    }

    #[test]
    fn header_or_not() {
        let named = parse(Csv::default(), "a,b,y\n1,2,0\n3,4.5e0,1\n");
        assert_eq!(named.x, Tensor::from([[1.0, 2.0], [3.0, 4.5]]));
        assert_eq!((named.y.as_slice(), named.feature_names), ([0.0, 1.0].as_slice(), vec!["a".into(), "b".into()]));
        let bare = parse(Csv::default(), "1,2,0\n3,4.5,1");
        assert_eq!((bare.x, bare.y, bare.feature_names), (named.x.clone(), named.y.clone(), vec![]));
        assert_eq!(parse(Csv::default().header(true), "1990,1991,1992\n1,2,0\n3,4.5,1\n").x, named.x);
        let classes = parse(Csv::default().header(false).no_label().features([1]), "a,2\nb,3");
        assert_eq!((classes.x.as_slice(), classes.y.dims()), ([2.0, 3.0].as_slice(), [2, 0].as_slice()));
    }

    #[test]
    fn columns_by_name_and_position() {
        let text = "id,y,a,b\n7,0.5,1,2\n8,0.25,3,4\n";
        let table = parse(Csv::default().label("y").ignore(["id"]), text);
        assert_eq!((table.x, table.y), (Tensor::from([[1.0, 2.0], [3.0, 4.0]]), Tensor::from([0.5, 0.25])));
        assert_eq!(parse(Csv::default().label(-3).ignore([0]), text).x, Tensor::from([[1.0, 2.0], [3.0, 4.0]]));
        let two = parse(Csv::default().labels(["b", "y"]).features(["a"]), text);
        assert_eq!((two.x, two.y), (Tensor::from([[1.0], [3.0]]), Tensor::from([[2.0, 0.5], [4.0, 0.25]])));
    }

    #[test]
    fn class_names_in_sorted_order() {
        let text = "x,y\n1,dog\n2,cat\n3,dog\n4,eel\n";
        let table = parse(Csv::default(), text);
        assert_eq!(
            (table.y.as_slice(), table.class_names),
            ([1.0, 0.0, 1.0, 2.0].as_slice(), vec!["cat".into(), "dog".into(), "eel".into()])
        );
        let given = parse(Csv::default().class_names(["eel", "dog", "cat", "ant"]), text);
        assert_eq!((given.y.as_slice(), given.class_names.len()), ([1.0, 2.0, 1.0, 0.0].as_slice(), 4));
        let numbers = parse(Csv::default().classes(), "x,y\n1,10\n2,9\n3,10\n");
        assert_eq!(
            (numbers.y.as_slice(), numbers.class_names),
            ([1.0, 0.0, 1.0].as_slice(), vec!["9".into(), "10".into()])
        );
    }

    #[test]
    fn every_way_to_write_it() {
        let expected = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
        for text in [
            "\u{feff}a,b,y\n1,2,0\n3,4,1\n",
            "a,b,y\r\n1,2,0\r\n3,4,1\r\n",
            "\"a\",\"b\",\"y\"\r\n\"1\",\"2\",\"0\"\r\n\"3\",\"4\",\"1\"",
            "a , b , y\n 1,2 ,0\n\n 3 ,\t4,1\n\n\n",
            "a,b,y\n1,2,0\n\r\n3,4,1",
            "\"a, or \"\"alpha\"\"\n\",b,y\n1,2,0\n3,4,1",
        ] {
            let table = parse(Csv::default(), text);
            assert_eq!((&table.x, table.y.as_slice()), (&expected, [0.0, 1.0].as_slice()), "{text:?}");
            assert_eq!(table.feature_names.len(), 2);
        }
        assert_eq!(parse(Csv::default().delimiter(b';'), "1;2;0\n3;4;1").x, expected);
        assert_eq!(parse(Csv::default().delimiter(b'\t'), "1\t2\t0\n3\t4\t1").x, expected);
        assert_eq!(parse(Csv::default().skip_lines(1).label("y"), "2,2,no,yes\na,b,y\n1,2,0\n3,4,1").x, expected);
        assert_eq!(parse(Csv::default().label("a"), "\u{feff}a,b\n0,1").y.as_slice(), &[0.0]);
    }

    #[test]
    fn bad_rows_name_their_place() {
        let d = Csv::default;
        assert_eq!(
            message(d(), "a,b,y\n1,2,0\n\n3,1\n"),
            "text, line 4: expected 3 cells as in the first row, got 2; add or remove cells, or quote cells that hold the \
             delimiter"
        );
        assert!(
            message(d(), "a,b,y\r\n1,2,0,5\r\n")
                .starts_with("text, line 2: expected 3 cells as in the first row, got 4")
        );
        assert_eq!(
            message(d(), "a,b,y\r\n1,2,0\r\n1,two,0"),
            "text, line 3, column b: expected a number, got \"two\"; correct the cell or leave the column out with \
             .ignore(...)"
        );
        assert!(message(d(), "1,2,0\n1,two,0").starts_with("text, line 2, column 2: expected a number"));
        assert!(message(d(), "1,two,0\n1,2,0").contains("if this line is not a row"));
        assert!(message(d().skip_lines(2), "x\ny\n1,2,0\n1,two,0").starts_with("text, line 4, column 2:"));
        assert!(message(d(), "\"a\n\nb\",y\n1,0\nx,0\n").starts_with("text, line 5, column a\n\nb: expected"));
        assert_eq!(
            message(d(), "a,b,y\n1,,0\n"),
            "text, line 2, column b: the value is missing; fill it in, or remove the row"
        );
        assert!(message(d(), "a,y\nNaN,0\n").contains("line 2, column a: the value is missing (NaN)"));
        assert!(message(d(), "a,y\n1e99,0\n").contains("1e99 is not finite as f32"));
        assert!(message(d(), "a,y\ninf,0\n").contains("inf is not finite"));
        assert!(
            message(d(), "a,y\n1,0\n2,cat\n")
                .contains("line 3, column y: expected a number, got \"cat\"; correct the cell, or set .classes()")
        );
        assert!(message(d(), "a,y\n1,cat\n2,\n").contains("line 3, column y: the label is missing"));
        assert!(
            message(d().class_names(["dog"]), "a,y\n1,cat\n").contains("unknown class \"cat\"; the classes are dog")
        );
    }

    #[test]
    fn a_line_of_years_is_no_sample() {
        let d = Csv::default;
        assert_eq!(
            message(d(), "2019,2020,y\n1,2,0\n3,4,1\n"),
            "text, line 2, column 3: the label \"0\" is a number, that of line 1 the name \"y\"; set .header(true) if line 1 holds \
             the columns' names, or .classes() if all labels are names"
        );
        assert_eq!(parse(d().header(true), "2019,2020,y\n1,2,0\n3,4,1\n").feature_names, ["2019", "2020"]);
        for how in [d(), d().classes()] {
            let error = message(how, "2019,2020,kind\n1,2,cat\n3,4,dog\n5,6,cat\n");
            assert_eq!(
                error,
                "text, line 1, column 3: no other line has the class \"kind\": this line may hold the columns' names; set \
                 .header(true) if it does, .header(false) if it is a row"
            );
        }
        let bare = parse(d(), "1,2,cat\n3,4,dog\n5,6,cat\n");
        assert_eq!((bare.x.samples(), bare.y.as_slice()), (3, [0.0, 1.0, 0.0].as_slice()));
        assert_eq!(parse(d().header(false), "1,2,cat\n3,4,dog\n").class_names, ["cat", "dog"]);
        assert_eq!(parse(d(), "1,2,cat").class_names, ["cat"]);
        assert!(
            message(d().numbers(), "2019,y\n1,0\n")
                .contains("line 1, column 2: expected a number, got \"y\"; correct the cell, or set .header(true)")
        );
        assert!(message(d().class_names(["0"]), "2019,y\n1,0\n").contains("set .header(true) if this line"));
        // And a row of missing values is no header.
        assert_eq!(
            message(d(), "NA,?,cat\n1,2,dog\n"),
            "text, line 1, column 1: no cell is a number, and \"NA\" stands for a missing value; set .header(true) if this line \
             holds the columns' names; else fill the values in"
        );
        assert_eq!(parse(d().header(true), "none,mild,y\n1,2,0\n").feature_names, ["none", "mild"]);
        assert_eq!(parse(d(), ",a,y\n0,2,0\n").x.as_slice(), &[0.0, 2.0]);
    }

    #[test]
    fn labels_are_of_one_kind() {
        let d = Csv::default;
        // Missing in the first row or in another, the same.
        for (text, line) in
            [("a,y\n1,NA\n2,0\n", 2), ("a,y\n1,0\n2,NA\n", 3), ("a,y\n1,cat\n2,NA\n", 3), ("a,y\n1,?\n2,dog\n", 2)]
        {
            let error = message(d(), text);
            assert!(error.starts_with(&format!("text, line {line}, column y: the label is missing (")), "{error}");
        }
        assert!(
            message(d(), "a,y\n1,NA\n2,NL\n")
                .ends_with("give it, or remove the row; set .classes() if NA is the name of a class")
        );
        assert_eq!(parse(d().classes(), "a,y\n1,NA\n2,NL\n").class_names, ["NA", "NL"]);
        assert_eq!(
            message(d(), "a,y\n1,cat\n2,7\n"),
            "text, line 3, column y: the label \"7\" is a number, that of line 2 the name \"cat\"; correct the cell, or set \
             .classes() if all labels are names"
        );
        assert_eq!(parse(d().classes(), "a,y\n1,cat\n2,7\n").class_names, ["7", "cat"]);
        for (label, advice) in [
            ("\"1,5\"", "write it with a point"),
            ("\"1,234,567\"", "without separators of thousands"),
            ("1 234", "without separators"),
            ("1'234.5", "without separators"),
            ("1_000", "without separators"),
            ("0x1F", "in decimal"),
            ("5%", "without the sign"),
        ] {
            let error = message(d(), &format!("a,y\n1,{label}\n2,{label}\n"));
            assert!(
                error.contains("line 2, column y: the label") && error.contains(advice) && error.contains(".classes()"),
                "{error}"
            );
            let error = message(d(), &format!("a,y\n{label},0\n"));
            assert!(error.contains("line 2, column a: expected a number") && error.contains(advice), "{error}");
        }
        assert_eq!(parse(d(), "a,y\n1,10-20\n2,3D\n").class_names, ["10-20", "3D"]);
        assert!(message(d(), "a,y\ntrue,0\n").contains("write true and false as 1 and 0"));
        assert_eq!(parse(d(), "a,y\n1,true\n2,false\n").class_names, ["false", "true"]);
        for text in ["a,y\n1,New York\n2,New  York\n", "a,y\n1,New\u{a0}York\n2,New York\n"] {
            let error = message(d(), text);
            assert!(
                error.contains("column y: the classes ") && error.contains("differ in white space alone"),
                "{error}"
            );
        }
        assert!(
            message(d().classes(), "a,y\n1,1\n2,1.0\n").contains("the classes \"1\" and \"1.0\" are the same number")
        );
        assert!(
            message(d().class_names(["a", "b", "a"]), "a,y\n1,a\n")
                .contains("class_names must be different, got \"a\" twice")
        );
    }

    #[test]
    fn the_wrong_delimiter() {
        let d = Csv::default;
        for (text, setting) in [
            ("a;b;y\n1;2;0\n", "b';'"),
            ("1;2;0\n3;4;1\n", "b';'"),
            ("1,5;2,5;0\n2,5;3,5;1\n", "b';'"),
            ("1,5;0\n2,5;1\n", "b';'"),
            ("a\tb\ty\n1\t2\t0\n", "b'\\t'"),
            ("a|b|y\n1|2|0\n", "b'|'"),
        ] {
            let error = message(d(), text);
            assert!(error.contains(&format!("set .delimiter({setting})")), "{text:?}: {error}");
        }
        assert!(message(d().delimiter(b';'), "a,b,y\n1,2,0\n").contains("set .delimiter(b',')"));
        assert!(message(d().no_label(), "1;2;3\n4;5;6\n").contains("set .delimiter(b';')"));
        let european = parse(d().delimiter(b';').decimal_comma(true), "a;b;y\n1,5;-2,25e1;0,5\n3;4;1\n");
        assert_eq!(
            (european.x.as_slice(), european.y.as_slice()),
            ([1.5, -22.5, 3.0, 4.0].as_slice(), [0.5, 1.0].as_slice())
        );
        assert!(
            message(d().delimiter(b';').decimal_comma(true), "a;y\n1.5;0\n").contains("write the number with a comma")
        );
        assert!(message(d().decimal_comma(true), "1,2\n").contains("another than the decimal comma"));
    }

    #[test]
    fn spaces_before_quotes() {
        let table = parse(Csv::default(), "a, \"b, c\",y\n1, \"2\", \"two, words\"\n3,\t\"4\" , \"two, words\"\n");
        assert_eq!(table.feature_names, ["a", "b, c"]);
        assert_eq!(
            (table.x.as_slice(), table.class_names),
            ([1.0, 2.0, 3.0, 4.0].as_slice(), vec!["two, words".to_owned()])
        );
        assert_eq!(
            message(Csv::default(), "a,y\n1,0\n\"5\"1,0\n"),
            "text, line 3: text follows the closing quote of a cell; close the quote that was open before it, or write quotes \
             inside a quoted cell twice"
        );
        assert!(
            message(Csv::default().skip_lines(1), "\"x\"y\na,y\n\"5\"1,0\n").starts_with("text, line 3: text follows")
        );
    }

    #[test]
    fn names_that_several_columns_have() {
        let d = Csv::default;
        assert_eq!(
            message(d(), "a,b,a,y\n1,2,3,0\n"),
            "text, line 1: the columns 1 and 3 are both called \"a\"; rename one, leave one out with .ignore([2]), or choose by \
             position with .features([0, 1, …])"
        );
        assert_eq!(parse(d().ignore([2]), "a,b,a,y\n1,2,3,0\n").x.as_slice(), &[1.0, 2.0]);
        assert!(
            message(d().features([1, 1]), "a,b,y\n1,2,0\n")
                .contains("column b: the column is chosen twice in .features(...)")
        );
        assert!(
            message(d().labels([2, -1]), "a,b,y\n1,2,0\n")
                .contains("column y: the column is chosen twice in .labels(...)")
        );
        assert_eq!(parse(d().features([2, 0]), "a,b,a,y\n1,2,3,0\n").x.as_slice(), &[3.0, 1.0]);
    }

    #[test]
    fn skipping_past_the_end_comes_back() {
        assert!(message(Csv::default().skip_lines(usize::MAX), "1,2\n").contains("the table is empty"));
    }

    #[test]
    fn missing_columns_and_empty_files() {
        let d = Csv::default;
        assert_eq!(
            message(d().label("species"), "a,b,y\n1,2,0\n"),
            "text, line 1: there is no column \"species\"; the columns are a, b, y"
        );
        assert_eq!(
            message(d().label("y"), "1,2,0\n"),
            "text, line 1: there is no column \"y\": the table has no line of names; name the column by its position from \
             0, or set .header(true)"
        );
        assert!(message(d().label(3), "1,2,0\n").contains("there is no column 3 among 3; columns are 0 to 2"));
        assert!(message(d().label(-4), "1,2,0\n").contains("there is no column -4 among 3"));
        assert!(message(d().label("a"), "a,a,y\n1,2,0\n").contains("several columns \"a\""));
        assert!(message(d(), "1\n2\n").contains("no features are left of 1 columns"));
        for empty in ["", "\n\n", "\r\n", "\u{feff}"] {
            assert_eq!(
                message(d(), empty),
                "text: the table is empty; check the path and .skip_lines(...)",
                "{empty:?}"
            );
        }
        assert!(message(d().skip_lines(9), "1,2,0\n").contains("the table is empty"));
        // Skipping ends with the text.
        assert!(message(d().skip_lines(usize::MAX), "1,2,0\n3,4,1\n").contains("the table is empty"));
        assert!(message(d(), "a,b,y\n").contains("there are no rows below the names"));
        let _ = d().delimiter(b'1').parse::<f32>("1,2\"x\",0\n3,4,1\n");
    }

    #[test]
    fn quotes_that_stay_open() {
        let d = Csv::default;
        let open =
            "a quote opens here and is never closed; close it, or remove it if it is not the start of a quoted cell";
        for (text, line) in [
            ("1,\"2\n3,4", 1),
            ("1,\"2\n3,4\n", 1),
            ("a,y\n1,0\n\n2,\"\n\n x\n3,1\n", 4),
            ("a,y\n1,0\n\"2,1\n3,0\n", 3),
            ("a,y\n\"1\n\",\"0", 3),
            ("\"", 1),
            ("a,y\n1,0\n\"", 3),
            ("a,y\n1,0\n2,\"1\"\"", 3),
        ] {
            assert_eq!(message(d(), text), format!("text, line {line}: {open}"), "{text:?}");
        }
        assert_eq!(message(d().skip_lines(2), "\"\n\n1,\"2\n3,4"), format!("text, line 3: {open}"));
        // Closed ones, up to the last byte, and quotes within a cell.
        for text in ["a,y\n1,\"cat\"", "a,y\n1,\"cat\"\n\"\"\n", "a,y\n1,\"\ncat\n\"\r\n"] {
            assert_eq!(parse(d(), text).class_names, ["cat"], "{text:?}");
        }
        assert_eq!(parse(d(), "a,y\n1,5\" x").class_names, ["5\" x"]);
        assert!(message(d(), "a,y\n\"\n1\n\",0\nx,0\n").starts_with("text, line 5, column a: expected a number"));
    }

    #[test]
    fn labels_stay_out_of_the_features() {
        let (d, text) = (Csv::default, "a,b,y\n1,2,0\n");
        assert_eq!(
            message(d().label("y").features(["a", "y"]), text),
            "text, line 1, column y: the label is among the features, so that the model would be given its target; take it \
             out of .features(...), choose another .label(...), or set .no_label()"
        );
        assert!(message(d().features([0, 2]), text).contains("column y: the label is among the features"));
        assert!(message(d().labels(["a", "y"]).features(["b", "a"]), text).contains("column a: the label is among"));
        assert!(
            message(d().ignore([-1]), text).contains("column y: the label is among the columns to ignore; take it")
        );
        assert!(
            message(d().label(0).ignore([0]), "1,2,0\n").contains("column 1: the label is among the columns to ignore")
        );
        assert_eq!(parse(d().no_label().features(["a", "y"]), text).x.as_slice(), &[1.0, 0.0]);
    }

    #[test]
    fn delimiters_that_cannot_be() {
        for (odd, shown) in [(b'"', "'\"'"), (b'\n', "'\\n'"), (b'\r', "'\\r'"), (0xa7, "'§'")] {
            assert_eq!(
                message(Csv::default().delimiter(odd), "1,2,0\n"),
                format!(
                    "Csv: delimiter must be an ASCII character other than a quote or a line end, got {shown}; b',', b';' and \
                     b'\\t' are usual"
                )
            );
        }
    }

    #[test]
    fn lines_of_another_kind() {
        for text in ["a,b,y\r1,2,0\r3,4,1\r", "1,2,0\r3,4,1", "1\r2\r3"] {
            assert_eq!(
                message(Csv::default(), text),
                "text, line 1: lines end in carriage returns alone (old Mac text); save the file with line feeds (Unix or \
                 Windows line ends)",
                "{text:?}"
            );
        }
        assert_eq!(parse(Csv::default(), "\"a\r\nb\",y\r\n1,0\r\n").feature_names, ["a\r\nb"]);
        let title = "measured in spring, by hand\na,b,y\n1,2,0\n";
        assert_eq!(
            message(Csv::default(), title),
            "text, line 2: expected 2 cells as in the first row, got 3; correct the row, or set .skip_lines(1) if the line \
             above is a title rather than the columns' names"
        );
        assert!(
            message(Csv::default(), "measured\na,b,y\n1,2,0\n").contains("set .skip_lines(1) if this line is a title")
        );
        assert_eq!(parse(Csv::default().skip_lines(1), title).x.as_slice(), &[1.0, 2.0]);
    }

    #[test]
    fn files_that_cannot_be_read() {
        let error = Csv::default().read_from::<f32>("table.csv", &b"a,b,y\n1,2,0\n1,\xff,0\n"[..]).unwrap_err();
        assert_eq!(error.to_string(), "table.csv, line 3, column b: the text is not UTF-8; save the file as UTF-8");
        assert!(matches!(Csv::default().read::<f32>("no/such/file.csv"), Err(Error::Io { .. })));
        assert!(matches!(Csv::default().read::<f32>(env!("CARGO_MANIFEST_DIR")), Err(Error::File { .. })));
        // From the package of the unit tests.
        let iris = Csv::default().read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/data/iris.csv")).unwrap();
        assert_eq!(iris, crate::data::iris());
    }
}
