//! The cells of a record of a table, line by line.

/// Cells of a record; a line of delimiters alone would take eight bytes for each.
pub(super) const MAX_CELLS: usize = 1 << 16;

/// What makes no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Text behind a closing quote.
    Stray,
    /// More than [`MAX_CELLS`].
    Many,
    /// A quote that is never closed.
    Open,
}

/// A record's cells as far as they have come.
#[derive(Debug)]
pub(super) struct Cells {
    delimiter: u8,
    quotes: bool,
    at: At,
    /// All cells one after another, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The beginning of a cell.
    Start,
    /// A cell without quotes.
    Plain,
    Quoted,
    /// Behind the closing quote.
    Closed,
}

impl Cells {
    pub fn new(delimiter: u8, quotes: bool) -> Self {
        Cells { delimiter, quotes, at: At::Start, text: Vec::new(), ends: Vec::new() }
    }

    /// One more line, with its end; whether the record ends with it.
    pub fn line(&mut self, line: &[u8]) -> Result<bool, Bad> {
        let body = super::pieces::without_end(line);
        let mut rest = body;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            match self.at {
                At::Quoted if byte == b'"' => match rest.split_first() {
                    Some((b'"', behind)) => {
                        self.text.push(b'"');
                        rest = behind;
                    }
                    _ => self.at = At::Closed,
                },
                At::Quoted => self.text.push(byte),
                _ if byte == self.delimiter => self.end()?,
                At::Closed if byte.is_ascii_whitespace() => {}
                At::Closed => return Err(Bad::Stray),
                At::Plain => self.text.push(byte),
                At::Start => {
                    // Spaces before a quote do not count.
                    let spaces = behind.iter().take_while(|b| matches!(b, b' ' | b'\t') && **b != self.delimiter);
                    let opens = match byte {
                        b'"' => Some(behind),
                        b' ' | b'\t' => behind[spaces.count()..].strip_prefix(b"\""),
                        _ => None,
                    };
                    match opens.filter(|_| self.quotes) {
                        Some(behind) => (self.at, rest) = (At::Quoted, behind),
                        None => {
                            self.at = At::Plain;
                            self.text.push(byte);
                        }
                    }
                }
            }
        }
        if self.at == At::Quoted {
            // A line end of Windows inside quotes is a line end.
            if body.len() < line.len() {
                self.text.push(b'\n');
            }
            return Ok(false);
        }
        self.end()?;
        Ok(true)
    }

    fn end(&mut self) -> Result<(), Bad> {
        if self.ends.len() == MAX_CELLS {
            return Err(Bad::Many);
        }
        self.ends.push(self.text.len());
        self.at = At::Start;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a cell, or of one that is not there.
    pub fn get(&self, cell: usize) -> Option<&[u8]> {
        let end = *self.ends.get(cell)?;
        let start = cell.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end)
    }

    /// Forgets all cells so far, but not whether a quote is open.
    pub fn forget(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(lines: &[&str], delimiter: u8, quotes: bool) -> Result<Vec<String>, Bad> {
        let mut cells = Cells::new(delimiter, quotes);
        for (i, line) in lines.iter().enumerate() {
            assert_eq!(cells.line(line.as_bytes())?, i + 1 == lines.len(), "{line:?}");
        }
        let cell = |i| String::from_utf8(cells.get(i).unwrap().to_vec()).unwrap();
        assert_eq!(cells.get(cells.len()), None);
        Ok((0..cells.len()).map(cell).collect())
    }

    #[test]
    fn quotes_delimiters_and_lines() {
        for (lines, expected) in [
            (&["a,b\n"] as &[&str], &["a", "b"] as &[&str]),
            (&["a,b\r\n"], &["a", "b"]),
            (&["a,b"], &["a", "b"]),
            (&[",\n"], &["", ""]),
            (&["\"a, \"\"b\"\"\",c\n"], &["a, \"b\"", "c"]),
            (&["  \"a\" , b \"c\"\n"], &["a", " b \"c\""]),
            (&["\"a\r\n", "\n", "b\",c\r\n"], &["a\n\nb", "c"]),
            (&["\"\",\"\"\"\"\n"], &["", "\""]),
            (&["ä,ß\n"], &["ä", "ß"]),
        ] {
            assert_eq!(cells(lines, b',', true).unwrap(), expected, "{lines:?}");
        }
        assert_eq!(cells(&["\"a\"b,c\n"], b',', true), Err(Bad::Stray));
        assert_eq!(cells(&[&",".repeat(MAX_CELLS - 1)], b',', true).unwrap().len(), MAX_CELLS);
        assert_eq!(cells(&[&",".repeat(MAX_CELLS)], b',', true), Err(Bad::Many));
        assert_eq!(cells(&["\"a\tb, \"\"c\n"], b'\t', false).unwrap(), ["\"a", "b, \"\"c"]);
        assert_eq!(cells(&["a\t \"b\tc\"\n"], b'\t', true).unwrap(), ["a", "b\tc"]);
    }
}
