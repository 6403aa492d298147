//! Quotes behind spaces: `1, "a, b"` is read as `1," a, b"`, so that the quote opens its cell and every byte keeps its place.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use crate::error::Error;

/// What stands before a text that begins with a byte-order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Text of which spaces between a delimiter and a quote are moved behind the quote; cells are trimmed later.
pub(super) struct Quotes<R> {
    source: R,
    delimiter: u8,
    at: At,
    /// Spaces at the beginning of a cell that wait for what follows them.
    held: usize,
    /// Spaces that come next.
    due: usize,
    /// How much of a byte-order mark has come; all once anything else has.
    mark: usize,
    /// Lines before the one that comes next; none where text behind a closing quote is let through.
    lines: Option<u64>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The beginning of a cell.
    Start,
    /// A cell without quotes.
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two.
    Closing,
    /// Behind the closing quote.
    Closed,
}

/// Text behind a closing quote, in this line.
#[derive(Debug)]
pub(super) struct Stray(pub u64);

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: text behind a closing quote", self.0)
    }
}

impl std::error::Error for Stray {}

impl<R: BufRead> Quotes<R> {
    /// Text whose first line has `lines` before it; without a number, text behind a closing quote is let through.
    pub fn new(source: R, delimiter: u8, lines: Option<u64>) -> Self {
        Quotes { source, delimiter, at: At::Start, held: 0, due: 0, mark: 0, lines, buffer: Vec::new() }
    }

    fn is_space(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && byte != self.delimiter
    }

    fn ends_cell(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == b'\n'
    }

    /// Text without quotes, outside a quoted cell: all but spaces that may turn out to stand before a quote.
    fn copy(&mut self, input: &[u8], out: &mut [u8]) -> usize {
        let spaces = input.iter().rev().take_while(|b| self.is_space(**b)).count();
        let body = &input[..input.len() - spaces];
        let at = match body.last() {
            Some(&last) => {
                if self.ends_cell(last) {
                    At::Start
                } else {
                    At::Plain
                }
            }
            None => self.at,
        };
        let keep = if at == At::Start { body } else { input };
        out[..keep.len()].copy_from_slice(keep);
        (self.at, self.held) = (at, input.len() - keep.len());
        keep.len()
    }

    /// Text byte by byte; how much was taken and how much was written.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        let mut written = 0;
        for (taken, &byte) in input.iter().enumerate() {
            if self.mark < MARK.len() {
                self.mark = if byte == MARK[self.mark] { self.mark + 1 } else { MARK.len() + 1 };
                if self.mark <= MARK.len() {
                    out[written] = byte;
                    written += 1;
                    continue;
                }
            }
            self.at = match (self.at, byte) {
                (At::Start, b) if self.is_space(b) => {
                    self.held += 1;
                    continue;
                }
                (At::Start, b'"') => {
                    self.at = At::Quoted;
                    self.due = std::mem::take(&mut self.held);
                    out[written] = byte;
                    if self.due > 0 {
                        return Ok((taken + 1, written + 1));
                    }
                    At::Quoted
                }
                (At::Start, _) if self.held > 0 => {
                    self.due = std::mem::take(&mut self.held);
                    self.at = At::Plain;
                    return Ok((taken, written));
                }
                (At::Start | At::Plain, b) => {
                    if self.ends_cell(b) {
                        At::Start
                    } else {
                        At::Plain
                    }
                }
                (At::Quoted, b'"') => At::Closing,
                (At::Quoted, _) | (At::Closing, b'"') => At::Quoted,
                (At::Closing | At::Closed, b) if self.ends_cell(b) => At::Start,
                (At::Closing | At::Closed, b) if b.is_ascii_whitespace() => At::Closed,
                (At::Closing | At::Closed, _) => match self.lines {
                    Some(lines) => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, Stray(lines.saturating_add(1))));
                    }
                    None => At::Closed,
                },
            };
            if let (b'\n', Some(lines)) = (byte, &mut self.lines) {
                *lines = lines.saturating_add(1);
            }
            out[written] = byte;
            written += 1;
        }
        Ok((input.len(), written))
    }
}

impl<R: BufRead> Read for Quotes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if out.is_empty() {
                return Ok(0);
            }
            if self.due > 0 {
                let n = self.due.min(out.len());
                out[..n].fill(b' ');
                self.due -= n;
                return Ok(n);
            }
            let mut input = std::mem::take(&mut self.buffer);
            input.clear();
            let next = self.source.fill_buf()?;
            input.extend_from_slice(&next[..next.len().min(out.len())]);
            if input.is_empty() {
                self.due = std::mem::take(&mut self.held);
                if self.due == 0 {
                    return Ok(0);
                }
                continue;
            }
            let outside = self.held == 0 && matches!(self.at, At::Start | At::Plain) && self.mark >= MARK.len();
            let (taken, written) = if outside && !input.contains(&b'"') {
                if let Some(lines) = &mut self.lines {
                    *lines = lines.saturating_add(input.iter().filter(|b| **b == b'\n').count() as u64);
                }
                (input.len(), self.copy(&input, out))
            } else {
                self.step(&input, out)?
            };
            self.buffer = input;
            self.source.consume(taken);
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

impl<R: BufRead + Seek> Seek for Quotes<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (self.at, self.held, self.due, self.mark) = (At::Start, 0, 0, MARK.len());
        self.source.seek(to)
    }
}

/// The line of text behind a closing quote, if that is what went wrong.
pub(super) fn stray(error: &io::Error) -> Option<u64> {
    error.get_ref()?.downcast_ref::<Stray>().map(|stray| stray.0)
}

/// What to say of it.
pub(super) fn stray_error(file: &std::path::Path, line: u64) -> Error {
    Error::Data {
        file: file.to_owned(),
        line: Some(line),
        column: None,
        problem: "text follows the closing quote of a cell".into(),
        hint: "close the quote that was open before it, or write quotes inside a quoted cell twice".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same for pieces of any size.
    fn read(text: &str, delimiter: u8) -> Result<String, u64> {
        let mut results = Vec::new();
        for piece in [1, 2, 3, 7, 1 << 12] {
            let mut out = String::new();
            let source = io::BufReader::with_capacity(piece, text.as_bytes());
            let result = Quotes::new(source, delimiter, Some(0)).read_to_string(&mut out);
            results.push(result.map(|_| out).map_err(|error| stray(&error).unwrap()));
        }
        assert!(results.windows(2).all(|w| w[0] == w[1]), "{results:?}");
        results.swap_remove(0)
    }

    #[test]
    fn quotes_open_cells_behind_spaces() {
        for (text, expected) in [
            ("1, \"a, b\",2\n", "1,\" a, b\",2\n"),
            ("1,  \t\"a\" ,2\n  \"b\"\n", "1,\"   a\" ,2\n\"  b\"\n"),
            ("\u{feff} \"a, b\"", "\u{feff}\" a, b\""),
            ("\u{feff}\"a, \"\" \"\"b\"", "\u{feff}\"a, \"\" \"\"b\""),
            ("1 , 2 ,  \n  3,", "1 , 2 ,  \n  3,"),
            ("a, 5\" x, \"\"\n", "a, 5\" x,\" \"\n"),
            ("\"a\r\n, \"\"b\"\r\n \"c\"", "\"a\r\n, \"\"b\"\r\n\" c\""),
            (" ", " "),
            ("", ""),
        ] {
            assert_eq!(read(text, b',').as_deref(), Ok(expected), "{text:?}");
        }
        // A tab that delimits is no space.
        assert_eq!(read("1\t \"a\tb\"\t", b'\t').as_deref(), Ok("1\t\" a\tb\"\t"));
    }

    #[test]
    fn text_behind_a_closing_quote() {
        assert_eq!(read("1,2\n\"5\"1,2\n", b','), Err(2));
        assert_eq!(read("1,\"2\n3,\"cat\",4\n", b','), Err(2));
        assert_eq!(read("\"a\" \"b\"", b','), Err(1));
        assert!(read("\"a\"\t,\"b\" \r\n", b',').is_ok());
    }
}
