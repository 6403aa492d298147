//! From a template's text to tokens, with the white space taken away that tags take.

use super::failure::Failure;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Text between tags.
    Data(String),
    /// `{%` and `%}`.
    BlockBegin,
    BlockEnd,
    /// `{{` and `}}`.
    PrintBegin,
    PrintEnd,
    Name(String),
    Str(String),
    Int(i64),
    Float(f64),
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

/// Python's white space: Unicode's, and the separators of ASCII.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The tokens of a template, each with its line from 1, by the rules of Jinja2 with `trim_blocks` and `lstrip_blocks`.
pub fn tokens(source: &str) -> Result<Vec<(Token, u32)>, Failure> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { rest: source, line: 1, line_begins: true, out: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.text()?;
    }
    lexer.push(Token::End);
    Ok(lexer.out)
}

struct Lexer<'s> {
    rest: &'s str,
    line: u32,
    /// Whether what was read last ended with a line.
    line_begins: bool,
    out: Vec<(Token, u32)>,
}

impl<'s> Lexer<'s> {
    fn push(&mut self, token: Token) {
        self.out.push((token, self.line));
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Failure> {
        Err(Failure::new(self.line, problem))
    }

    /// Takes so many bytes.
    fn take(&mut self, len: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.rest = rest;
        taken
    }

    fn take_spaces(&mut self) {
        self.take(self.rest.len() - self.rest.trim_start_matches(is_space).len());
    }

    /// Text up to the next tag, and that tag.
    fn text(&mut self) -> Result<(), Failure> {
        let tag = |at: &usize| matches!(self.rest.as_bytes().get(at + 1), Some(b'%' | b'{' | b'#'));
        let Some(at) = self.rest.match_indices('{').map(|(at, _)| at).find(tag) else {
            let all = self.take(self.rest.len()).to_owned();
            self.push(Token::Data(all));
            return Ok(());
        };
        let kind = self.rest.as_bytes()[at + 1];
        let mut text = &self.rest[..at];
        let sign = self.rest.as_bytes().get(at + 2).copied();
        if sign == Some(b'-') {
            text = text.trim_end_matches(is_space);
        } else if sign != Some(b'+') && kind != b'{' {
            text = self.without_indent(text);
        }
        if !text.is_empty() {
            self.push(Token::Data(text.to_owned()));
        }
        self.take(at + 2);
        if matches!(sign, Some(b'-' | b'+')) {
            self.take(1);
        }
        match kind {
            b'#' => self.comment(),
            b'%' => match raw(self.rest, "raw", false) {
                Some(len) => self.raw(len),
                None => self.tag(Token::BlockBegin),
            },
            _ => self.tag(Token::PrintBegin),
        }
    }

    /// A text without the white space behind its last line's end.
    fn without_indent<'t>(&self, text: &'t str) -> &'t str {
        let line = text.rfind('\n').map_or(0, |at| at + 1);
        let indented = (line > 0 || self.line_begins) && text[line..].chars().all(is_space);
        if indented { &text[..line] } else { text }
    }

    fn comment(&mut self) -> Result<(), Failure> {
        let Some(at) = self.rest.find("#}") else { return self.fail("a comment {# does not end") };
        let sign = self.rest[..at].chars().next_back();
        self.take(at + 2);
        self.end_of_tag(sign);
        Ok(())
    }

    /// White space behind the end of a block or comment, by the sign before it.
    fn end_of_tag(&mut self, sign: Option<char>) {
        let before = self.rest;
        match sign {
            Some('-') => self.take_spaces(),
            Some('+') => {}
            _ => drop(self.take(usize::from(self.rest.starts_with('\n')))),
        }
        self.line_begins = before[..before.len() - self.rest.len()].ends_with('\n');
    }

    /// `raw %}` to `{% endraw %}`, of which the first so many bytes are the first tag's.
    fn raw(&mut self, len: usize) -> Result<(), Failure> {
        if self.take(len).trim_end_matches(is_space).ends_with("-%}") {
            self.take_spaces();
        }
        for (at, _) in self.rest.match_indices("{%") {
            let sign = self.rest.as_bytes().get(at + 2).copied().filter(|sign| matches!(sign, b'-' | b'+'));
            let behind = at + 2 + usize::from(sign.is_some());
            let Some(len) = raw(&self.rest[behind..], "endraw", true) else { continue };
            let mut text = &self.rest[..at];
            if sign == Some(b'-') {
                text = text.trim_end_matches(is_space);
            } else if sign.is_none() {
                // Behind the beginning of a raw block no line begins.
                self.line_begins = false;
                text = self.without_indent(text);
            }
            self.push(Token::Data(text.to_owned()));
            let tag = self.take(behind + len);
            self.end_of_tag(tag[..tag.len() - 2].chars().next_back());
            return Ok(());
        }
        self.fail("{% raw %} does not end")
    }

    /// What stands between the delimiters of a tag.
    fn tag(&mut self, begin: Token) -> Result<(), Failure> {
        let is_block = begin == Token::BlockBegin;
        self.push(begin);
        let mut open = Vec::new();
        loop {
            if open.is_empty() {
                let end = if is_block { "%}" } else { "}}" };
                let sign = self.rest.chars().next().filter(|c| *c == '-' || (is_block && *c == '+'));
                let signed = sign.is_some_and(|_| self.rest[1..].starts_with(end));
                if signed || self.rest.starts_with(end) {
                    self.push(if is_block { Token::BlockEnd } else { Token::PrintEnd });
                    self.take(end.len() + usize::from(signed));
                    if is_block || signed {
                        self.end_of_tag(sign.filter(|_| signed));
                    } else {
                        self.line_begins = false;
                    }
                    return Ok(());
                }
            }
            let Some(first) = self.rest.chars().next() else { return self.fail("a tag does not end") };
            match first {
                c if is_space(c) => self.take_spaces(),
                '0'..='9' => self.number()?,
                '\'' | '"' => self.string(first)?,
                c if c.is_alphanumeric() || c == '_' => {
                    let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                    let name = self.rest[..end.unwrap_or(self.rest.len())].to_owned();
                    self.push(Token::Name(name.clone()));
                    self.take(name.len());
                }
                _ => {
                    let Some(sign) = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)) else {
                        return self.fail(format!("{first:?} has no meaning here"));
                    };
                    match sign {
                        "(" => open.push(")"),
                        "[" => open.push("]"),
                        "{" => open.push("}"),
                        ")" | "]" | "}" if open.pop() != Some(sign) => {
                            return self.fail(format!("{sign:?} closes nothing that was opened"));
                        }
                        _ => {}
                    }
                    self.push(Token::Sign(sign));
                    self.take(sign.len());
                }
            }
        }
    }

    fn number(&mut self) -> Result<(), Failure> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
        let (text, whole) = (self.rest, digits(self.rest));
        let starts_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let mut len = whole;
        if text[len..].starts_with('.') && starts_digit(&text[len + 1..]) {
            len += 1 + digits(&text[len + 1..]);
        }
        if text[len..].starts_with(['e', 'E']) {
            let sign = usize::from(text[len + 1..].starts_with(['+', '-']));
            if starts_digit(&text[len + 1 + sign..]) {
                len += 1 + sign + digits(&text[len + 1 + sign..]);
            }
        }
        let number = text[..len].replace('_', "");
        let token =
            if len > whole { number.parse().map(Token::Float).ok() } else { number.parse().map(Token::Int).ok() };
        let odd = text[..whole].ends_with('_') || (len == whole && number.len() > 1 && number.starts_with('0'));
        // 0x1f, 0b1: in Jinja2 numbers, here none.
        let other = number == "0" && text[len..].starts_with(['x', 'X', 'b', 'B', 'o', 'O']);
        match token.filter(|_| !odd && !other) {
            Some(token) => {
                self.push(token);
                self.take(len);
                Ok(())
            }
            None => self.fail(format!("the number {:?} is not built", &text[..len + usize::from(other)])),
        }
    }

    fn string(&mut self, quote: char) -> Result<(), Failure> {
        let mut escaped = false;
        let end = self.rest[1..].find(|c: char| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return self.fail("a string does not end") };
        match unescaped(&self.rest[1..=end]) {
            Ok(text) => self.push(Token::Str(text)),
            Err(problem) => return self.fail(problem),
        }
        self.take(end + 2);
        Ok(())
    }
}

/// The length of `raw %}` behind `{%`, white space included, if it is there.
fn raw(text: &str, word: &str, may_keep: bool) -> Option<usize> {
    let rest = text.trim_start_matches(is_space).strip_prefix(word)?.trim_start_matches(is_space);
    let sign = usize::from(rest.starts_with('-') || (may_keep && rest.starts_with('+')));
    rest[sign..].starts_with("%}").then(|| text.len() - rest.len() + sign + 2)
}

/// A string's contents, by Python's escapes.
fn unescaped(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { break };
        rest = &rest[c.len_utf8()..];
        let digits = |radix: u32, most: usize| rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let code = match c {
            'x' if digits(16, 2) == 2 => Some((2, 16)),
            'u' if digits(16, 4) == 4 => Some((4, 16)),
            'U' if digits(16, 8) == 8 => Some((8, 16)),
            'x' | 'u' | 'U' | 'N' => return Err(format!("the escape \\{c} in a string is not built, or too short")),
            _ => None,
        };
        if let Some((len, radix)) = code {
            let code = u32::from_str_radix(&rest[..len], radix).ok().and_then(char::from_u32);
            out.push(code.ok_or_else(|| format!("\\{c}{} is no character", &rest[..len]))?);
            rest = &rest[len..];
            continue;
        }
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\u{b}'),
            '0'..='7' => {
                let more = digits(8, 2);
                let octal = format!("{c}{}", &rest[..more]);
                out.extend(u32::from_str_radix(&octal, 8).ok().and_then(char::from_u32));
                rest = &rest[more..];
            }
            _ => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text alone, tags as `·`.
    fn shown(source: &str) -> String {
        let text = |(token, _): (Token, u32)| match token {
            Token::Data(text) => text,
            Token::BlockBegin | Token::PrintBegin => "·".to_owned(),
            _ => String::new(),
        };
        tokens(source).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn tags_take_white_space() {
        for (source, text) in [
            ("a\n  {% x %}\nb", "a\n·b"),
            ("a {% x %}\n\nb", "a ·\nb"),
            ("a \n {%- x -%} \n b", "a·b"),
            ("a\n  {%+ x +%}\nb", "a\n  ·\nb"),
            ("  {{ x }}\nb", "  ·\nb"),
            ("a {{- x -}}\n b", "a·b"),
            ("{% x %}\n  {% y %}z", "··z"),
            ("{{ x }}  {% y %}z", "·  ·z"),
            ("a\n  {# x #}\nb\n", "a\nb"),
            ("a {#- x -#} b", "ab"),
            ("b\r\n\r", "b\n"),
            ("{% raw %} {{ x }} {% endraw %}\nz", " {{ x }} z"),
            ("{%- raw -%} a {%- endraw -%} z", "az"),
            ("{{ {'a': {}} }}", "·"),
        ] {
            assert_eq!(shown(source), text, "{source:?}");
        }
    }

    #[test]
    fn strings_and_numbers() {
        let only = |source: &str| tokens(&format!("{{{{{source}}}}}")).unwrap()[1].0.clone();
        assert_eq!(only(r#"'\n\x41\u00e9\'\d\101\\'"#), Token::Str("\nAé'\\dA\\".into()));
        assert_eq!(only("1_000"), Token::Int(1000));
        assert_eq!(only("1.5e1"), Token::Float(15.0));
        for bad in
            ["{{ 'a", "{{ a", "{# a", "{{ ! }}", "{{ ) }}", "{{ 0x1f }}", "{{ 99999999999999999999 }}", "{% raw %}"]
        {
            assert!(tokens(bad).is_err(), "{bad}");
        }
        assert_eq!(tokens("\n\n{{ ! }}").unwrap_err().line, 3);
    }
}
