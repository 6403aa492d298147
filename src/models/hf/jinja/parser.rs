//! From tokens to what they mean, by Jinja2's grammar.

use std::sync::Arc;

use super::failure::Failure;
use super::lexer::{Token, tokens};
use super::tree::{Arguments, Binary, Compare, Expr, For, Kind, Macro, Node, NodeKind, Target};

/// Levels of tags and of brackets within each other; real templates have a dozen.
const MOST_LEVELS: u32 = 60;
/// Levels of an expression, where `a + b + c` has three.
const MOST_DEPTH: u32 = 150;

type Parsed<T> = Result<T, Failure>;

/// The body of a template.
pub fn parse(source: &str) -> Parsed<Vec<Node>> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, level: 0, loops: 0 };
    parser.body(&[])
}

struct Parser {
    tokens: Vec<(Token, u32)>,
    at: usize,
    level: u32,
    /// Loops around, within a macro those of its own.
    loops: u32,
}

impl Parser {
    fn here(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn ahead(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.here().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Parsed<T> {
        Err(Failure::new(self.line(), problem))
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.here(), Token::Sign(s) if *s == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.here(), Token::Name(name) if name == word)
    }

    fn skip(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, token: &Token) -> Parsed<()> {
        if self.here() == token {
            self.next();
            return Ok(());
        }
        self.fail(format!("expected {}, got {}", shown(token), shown(self.here())))
    }

    fn sign(&mut self, sign: &'static str) -> Parsed<()> {
        self.expect(&Token::Sign(sign))
    }

    fn name(&mut self) -> Parsed<Arc<str>> {
        match self.next() {
            Token::Name(name) => Ok(name.into()),
            other => {
                self.at -= 1;
                self.fail(format!("expected a name, got {}", shown(&other)))
            }
        }
    }

    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.level == MOST_LEVELS {
            return self.fail(format!("more than {MOST_LEVELS} tags and brackets within each other"));
        }
        self.level += 1;
        let result = inside(self);
        self.level -= 1;
        result
    }

    fn expr(&self, line: u32, kind: Kind) -> Parsed<Expr> {
        let depth = 1 + kind.parts().iter().map(|part| part.depth).max().unwrap_or(0);
        if depth > MOST_DEPTH {
            return Err(Failure::new(line, format!("an expression of more than {MOST_DEPTH} levels")));
        }
        Ok(Expr { line, depth, kind })
    }

    /// Text and tags up to a tag that begins with one of these words, which is next then.
    fn body(&mut self, ends: &[&str]) -> Parsed<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            let line = self.line();
            let kind = match self.next() {
                Token::Data(text) => NodeKind::Text(text.into()),
                Token::PrintBegin => {
                    let shown = self.tuple(true)?;
                    self.expect(&Token::PrintEnd)?;
                    NodeKind::Print(shown)
                }
                Token::BlockBegin => {
                    if ends.iter().any(|end| self.is_word(end)) {
                        return Ok(nodes);
                    }
                    let kind = self.deeper(|p| p.statement(ends))?;
                    self.expect(&Token::BlockEnd)?;
                    kind
                }
                Token::End if ends.is_empty() => return Ok(nodes),
                Token::End => return self.fail(format!("the template ends before {}", ends.join(" or "))),
                other => return self.fail(format!("unexpected {}", shown(&other))),
            };
            nodes.push(Node { line, kind });
        }
    }

    /// The rest of a tag, and a body up to one of the words, which is taken.
    fn block(&mut self, ends: &[&str]) -> Parsed<(Vec<Node>, Token)> {
        self.skip(":");
        self.expect(&Token::BlockEnd)?;
        let body = self.body(ends)?;
        Ok((body, self.next()))
    }

    fn statement(&mut self, ends: &[&str]) -> Parsed<NodeKind> {
        let Token::Name(word) = self.next() else {
            self.at -= 1;
            return self.fail(format!("a tag begins with {}", shown(self.here())));
        };
        Ok(match &*word {
            "if" => self.condition()?,
            "for" => NodeKind::For(Box::new(self.repetition()?)),
            "set" => self.assignment()?,
            "macro" => NodeKind::Macro(Arc::new(self.macro_()?)),
            "generation" => NodeKind::Generation(self.block(&["endgeneration"])?.0),
            "break" | "continue" if self.loops == 0 => return self.fail(format!("{word} outside of a loop")),
            "break" => NodeKind::Break,
            "continue" => NodeKind::Continue,
            other if ends.is_empty() => return self.fail(format!("the tag {other:?} is not built, or ends nothing")),
            other => {
                return self
                    .fail(format!("the tag {other:?} is not built, or stands where {} is due", ends.join(" or ")));
            }
        })
    }

    fn condition(&mut self) -> Parsed<NodeKind> {
        let mut cases = Vec::new();
        loop {
            let test = self.tuple(false)?;
            let (body, end) = self.block(&["elif", "else", "endif"])?;
            cases.push((test, body));
            match end {
                Token::Name(word) if word == "elif" => {}
                Token::Name(word) if word == "else" => {
                    return Ok(NodeKind::If(cases, self.block(&["endif"])?.0));
                }
                _ => return Ok(NodeKind::If(cases, Vec::new())),
            }
        }
    }

    fn repetition(&mut self) -> Parsed<For> {
        let target = self.target("in", false)?;
        if !self.skip_word("in") {
            return self.fail(format!("expected \"in\", got {}", shown(self.here())));
        }
        let over = self.tuple(false)?;
        let only_if = if self.skip_word("if") { Some(self.expression()?) } else { None };
        if self.is_word("recursive") {
            return self.fail("recursive loops are not built");
        }
        self.loops += 1;
        let (body, end) = self.block(&["endfor", "else"])?;
        self.loops -= 1;
        let otherwise = if end == Token::Name("else".into()) { self.block(&["endfor"])?.0 } else { Vec::new() };
        Ok(For { target, over, only_if, body, otherwise })
    }

    fn assignment(&mut self) -> Parsed<NodeKind> {
        let target = self.target("", true)?;
        if self.skip("=") {
            return Ok(NodeKind::Set(target, self.tuple(true)?));
        }
        if self.is("|") {
            return self.fail("filters of a set with a body are not built");
        }
        let loops = std::mem::take(&mut self.loops);
        let body = self.block(&["endset"])?.0;
        self.loops = loops;
        Ok(NodeKind::SetText(target, body))
    }

    fn macro_(&mut self) -> Parsed<Macro> {
        let name = self.name()?;
        self.sign("(")?;
        let mut parameters = Vec::new();
        while !self.is(")") {
            if !parameters.is_empty() {
                self.sign(",")?;
            }
            let parameter = self.name()?;
            let default = if self.skip("=") { Some(self.expression()?) } else { None };
            if default.is_none() && parameters.last().is_some_and(|(_, default): &(_, Option<Expr>)| default.is_some())
            {
                return self.fail(format!("the parameter {parameter} has no default, behind one that has"));
            }
            parameters.push((parameter, default));
        }
        self.sign(")")?;
        let loops = std::mem::take(&mut self.loops);
        let body = self.block(&["endmacro"])?.0;
        self.loops = loops;
        Ok(Macro { name, parameters, body })
    }

    /// Names that are assigned to, up to a word.
    fn target(&mut self, end: &str, may_be_attribute: bool) -> Parsed<Target> {
        let (mut all, mut several) = (Vec::new(), false);
        loop {
            if !all.is_empty() && (self.is_word(end) || self.is("=") || self.is(")") || *self.here() == Token::BlockEnd)
            {
                break;
            }
            all.push(if self.skip("(") {
                let inner = self.deeper(|p| p.target(")", may_be_attribute))?;
                self.sign(")")?;
                inner
            } else {
                let name = self.name()?;
                if RESERVED.contains(&&*name) {
                    self.at -= 1;
                    return self.fail(format!("{name:?} cannot be assigned to"));
                }
                if may_be_attribute && self.skip(".") {
                    Target::Attribute(name, self.name()?)
                } else {
                    Target::Name(name)
                }
            });
            if !self.skip(",") {
                break;
            }
            several = true;
        }
        match all.pop() {
            Some(one) if !several => Ok(one),
            last => {
                all.extend(last);
                Ok(Target::Several(all))
            }
        }
    }

    /// An expression, or several with commas between them.
    fn tuple(&mut self, may_choose: bool) -> Parsed<Expr> {
        let line = self.line();
        let (mut all, mut several) = (Vec::new(), false);
        loop {
            let ends = matches!(self.here(), Token::PrintEnd | Token::BlockEnd) || self.is(")");
            if ends && (several || self.is(")")) {
                break;
            }
            all.push(if may_choose { self.expression()? } else { self.deeper(Self::or)? });
            if !self.skip(",") {
                break;
            }
            several = true;
        }
        match all.pop() {
            Some(one) if !several => Ok(one),
            last => {
                all.extend(last);
                self.expr(line, Kind::Tuple(all))
            }
        }
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.deeper(Self::choice)
    }

    fn choice(&mut self) -> Parsed<Expr> {
        let mut then = self.or()?;
        loop {
            let line = self.line();
            if !self.skip_word("if") {
                return Ok(then);
            }
            let test = Box::new(self.or()?);
            let otherwise = if self.skip_word("else") { Some(Box::new(self.expression()?)) } else { None };
            then = self.expr(line, Kind::Choice { test, then: Box::new(then), otherwise })?;
        }
    }

    fn or(&mut self) -> Parsed<Expr> {
        let mut left = self.and()?;
        loop {
            let line = self.line();
            if !self.skip_word("or") {
                return Ok(left);
            }
            let right = self.and()?;
            left = self.expr(line, Kind::Or(Box::new(left), Box::new(right)))?;
        }
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut left = self.not()?;
        loop {
            let line = self.line();
            if !self.skip_word("and") {
                return Ok(left);
            }
            let right = self.not()?;
            left = self.expr(line, Kind::And(Box::new(left), Box::new(right)))?;
        }
    }

    fn not(&mut self) -> Parsed<Expr> {
        let line = self.line();
        if self.skip_word("not") {
            let inner = self.deeper(Self::not)?;
            return self.expr(line, Kind::Not(Box::new(inner)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let first = self.sum()?;
        let mut others = Vec::new();
        loop {
            let how = match self.here() {
                Token::Sign("==") => Compare::Equal,
                Token::Sign("!=") => Compare::Unequal,
                Token::Sign("<") => Compare::Less,
                Token::Sign("<=") => Compare::AtMost,
                Token::Sign(">") => Compare::Greater,
                Token::Sign(">=") => Compare::AtLeast,
                Token::Name(word) if word == "in" => Compare::In,
                Token::Name(word) if word == "not" && *self.ahead() == Token::Name("in".into()) => {
                    self.next();
                    Compare::NotIn
                }
                _ => break,
            };
            self.next();
            others.push((how, self.sum()?));
        }
        if others.is_empty() { Ok(first) } else { self.expr(line, Kind::Compare(Box::new(first), others)) }
    }

    fn sum(&mut self) -> Parsed<Expr> {
        let mut left = self.joined()?;
        loop {
            let line = self.line();
            let how = match self.here() {
                Token::Sign("+") => Binary::Add,
                Token::Sign("-") => Binary::Subtract,
                _ => return Ok(left),
            };
            self.next();
            let right = self.joined()?;
            left = self.expr(line, Kind::Binary(how, Box::new(left), Box::new(right)))?;
        }
    }

    fn joined(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let first = self.product()?;
        if !self.is("~") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip("~") {
            all.push(self.product()?);
        }
        self.expr(line, Kind::Joined(all))
    }

    fn product(&mut self) -> Parsed<Expr> {
        let mut left = self.power()?;
        loop {
            let line = self.line();
            let how = match self.here() {
                Token::Sign("*") => Binary::Multiply,
                Token::Sign("/") => Binary::Divide,
                Token::Sign("//") => Binary::FloorDivide,
                Token::Sign("%") => Binary::Remainder,
                _ => return Ok(left),
            };
            self.next();
            let right = self.power()?;
            left = self.expr(line, Kind::Binary(how, Box::new(left), Box::new(right)))?;
        }
    }

    fn power(&mut self) -> Parsed<Expr> {
        let mut left = self.unary(true)?;
        loop {
            let line = self.line();
            if !self.skip("**") {
                return Ok(left);
            }
            let right = self.unary(true)?;
            left = self.expr(line, Kind::Binary(Binary::Power, Box::new(left), Box::new(right)))?;
        }
    }

    fn unary(&mut self, with_filters: bool) -> Parsed<Expr> {
        let line = self.line();
        let mut node = if self.skip("-") {
            let inner = self.deeper(|p| p.unary(false))?;
            self.expr(line, Kind::Negative(Box::new(inner)))?
        } else if self.skip("+") {
            let inner = self.deeper(|p| p.unary(false))?;
            self.expr(line, Kind::Positive(Box::new(inner)))?
        } else {
            self.primary()?
        };
        node = self.postfix(node)?;
        loop {
            if !with_filters {
                return Ok(node);
            }
            let line = self.line();
            if self.skip("|") {
                let name = self.name()?;
                let arguments = if self.is("(") { self.arguments()? } else { Arguments::default() };
                node = self.expr(line, Kind::Filter(Box::new(node), name, arguments))?;
            } else if self.skip_word("is") {
                node = self.test(line, node)?;
            } else if self.is("(") {
                let arguments = self.arguments()?;
                node = self.expr(line, Kind::Call(Box::new(node), arguments))?;
            } else {
                return Ok(node);
            }
        }
    }

    fn test(&mut self, line: u32, node: Expr) -> Parsed<Expr> {
        let negated = self.skip_word("not");
        let name = self.name()?;
        let goes_on = |word: &String| ["else", "or", "and"].contains(&word.as_str());
        let arguments = match self.here() {
            Token::Sign("(") => self.arguments()?,
            Token::Name(word) if goes_on(word) => Arguments::default(),
            Token::Name(word) if word == "is" => return self.fail("tests with `is` cannot be chained"),
            Token::Name(_) | Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Sign("[" | "{") => {
                let argument = self.primary()?;
                Arguments { by_place: vec![self.postfix(argument)?], by_name: Vec::new() }
            }
            _ => Arguments::default(),
        };
        let test = self.expr(line, Kind::Test(Box::new(node), name, arguments))?;
        if negated { self.expr(line, Kind::Not(Box::new(test))) } else { Ok(test) }
    }

    fn postfix(&mut self, mut node: Expr) -> Parsed<Expr> {
        loop {
            let line = self.line();
            if self.skip(".") {
                let kind = match self.next() {
                    Token::Name(name) => Kind::Attribute(Box::new(node), name.into()),
                    Token::Int(at) => Kind::Item(Box::new(node), Box::new(self.expr(line, Kind::Int(at))?)),
                    other => return self.fail(format!("expected a name behind the dot, got {}", shown(&other))),
                };
                node = self.expr(line, kind)?;
            } else if self.skip("[") {
                node = self.deeper(|p| p.subscript(line, node))?;
            } else if self.is("(") {
                let arguments = self.arguments()?;
                node = self.expr(line, Kind::Call(Box::new(node), arguments))?;
            } else {
                return Ok(node);
            }
        }
    }

    fn subscript(&mut self, line: u32, node: Expr) -> Parsed<Expr> {
        let first = if self.is(":") { None } else { Some(Box::new(self.expression()?)) };
        if !self.is(":") {
            let Some(item) = first else { return self.fail("expected what stands between [ and ]") };
            self.sign("]")?;
            return self.expr(line, Kind::Item(Box::new(node), item));
        }
        let mut ends = [first, None, None];
        for end in &mut ends[1..] {
            if self.skip(":") && !self.is(":") && !self.is("]") {
                *end = Some(Box::new(self.expression()?));
            }
        }
        self.sign("]")?;
        self.expr(line, Kind::Slice(Box::new(node), ends))
    }

    fn arguments(&mut self) -> Parsed<Arguments> {
        self.sign("(")?;
        let mut arguments = Arguments::default();
        while !self.is(")") {
            if !(arguments.by_place.is_empty() && arguments.by_name.is_empty()) {
                self.sign(",")?;
                if self.is(")") {
                    break;
                }
            }
            if self.is("*") || self.is("**") {
                return self.fail("arguments with * are not built");
            }
            if matches!(self.here(), Token::Name(_)) && *self.ahead() == Token::Sign("=") {
                let name = self.name()?;
                self.sign("=")?;
                arguments.by_name.push((name, self.expression()?));
            } else if arguments.by_name.is_empty() {
                arguments.by_place.push(self.expression()?);
            } else {
                return self.fail("an argument without a name behind one that has a name");
            }
        }
        self.sign(")")?;
        Ok(arguments)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let kind = match self.next() {
            Token::Name(name) => match &*name {
                "true" | "True" => Kind::Bool(true),
                "false" | "False" => Kind::Bool(false),
                "none" | "None" => Kind::None,
                word if RESERVED.contains(&word) => {
                    self.at -= 1;
                    return self.fail(format!("expected a value, got {word:?}"));
                }
                _ => Kind::Name(name.into()),
            },
            Token::Str(mut text) => {
                while let Token::Str(more) = self.here() {
                    text.push_str(more);
                    self.next();
                }
                Kind::Str(text.into())
            }
            Token::Int(number) => Kind::Int(number),
            Token::Float(number) => Kind::Float(number),
            Token::Sign("(") => {
                let inner = self.deeper(|p| p.tuple(true))?;
                self.sign(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => self.deeper(Self::list)?,
            Token::Sign("{") => self.deeper(Self::dict)?,
            other => {
                self.at -= 1;
                return self.fail(format!("expected a value, got {}", shown(&other)));
            }
        };
        self.expr(line, kind)
    }

    fn list(&mut self) -> Parsed<Kind> {
        let mut all = Vec::new();
        while !self.is("]") {
            if !all.is_empty() {
                self.sign(",")?;
                if self.is("]") {
                    break;
                }
            }
            all.push(self.expression()?);
        }
        self.sign("]")?;
        Ok(Kind::List(all))
    }

    fn dict(&mut self) -> Parsed<Kind> {
        let mut entries = Vec::new();
        while !self.is("}") {
            if !entries.is_empty() {
                self.sign(",")?;
                if self.is("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.sign(":")?;
            entries.push((key, self.expression()?));
        }
        self.sign("}")?;
        Ok(Kind::Dict(entries))
    }
}

/// Words that are no variables.
const RESERVED: [&str; 15] =
    ["true", "True", "false", "False", "none", "None", "if", "else", "elif", "in", "is", "and", "or", "not", "for"];

fn shown(token: &Token) -> String {
    match token {
        Token::Data(_) => "text".to_owned(),
        Token::BlockBegin => "\"{%\"".to_owned(),
        Token::BlockEnd => "\"%}\"".to_owned(),
        Token::PrintBegin => "\"{{\"".to_owned(),
        Token::PrintEnd => "\"}}\"".to_owned(),
        Token::Name(name) => format!("{name:?}"),
        Token::Str(_) => "a string".to_owned(),
        Token::Int(number) => number.to_string(),
        Token::Float(number) => number.to_string(),
        Token::Sign(sign) => format!("{sign:?}"),
        Token::End => "the end of the template".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_names_its_line() {
        for (source, line, part) in [
            ("a\n{% if x %}", 2, "before elif or else or endif"),
            ("{{ a b }}", 1, "expected \"}}\", got \"b\""),
            ("\n{% include 'x' %}", 2, "the tag \"include\" is not built"),
            ("{% for x in y recursive %}{% endfor %}", 1, "recursive"),
            ("{% break %}", 1, "outside of a loop"),
            ("{{ f(*a) }}", 1, "with * are not built"),
            ("{{ x is defined is none }}", 1, "chained"),
            ("{% endif %}", 1, "\"endif\""),
            ("{{ }}", 1, "expected a value"),
            ("{% set true = 1 %}", 1, "assigned"),
        ] {
            let failure = parse(source).unwrap_err();
            assert!(failure.problem.contains(part) && failure.line == line, "{source}: {failure:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let around = |open: &str, close: &str, n: usize| format!("{{{{ {}1{} }}}}", open.repeat(n), close.repeat(n));
        for (open, close) in
            [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("{1:", "}"), ("x[", "]"), ("1 if 1 else ", "")]
        {
            assert!(parse(&around(open, close, 10)).is_ok(), "{open}");
            assert!(parse(&around(open, close, 10_000)).is_err(), "{open}");
        }
        for more in ["+1", " and 1", "|trim", ".a", "[0]", "()", " if 1", "*2", "**2"] {
            assert!(parse(&format!("{{{{ 1{} }}}}", more.repeat(20))).is_ok(), "{more}");
            assert!(parse(&format!("{{{{ 1{} }}}}", more.repeat(10_000))).is_err(), "{more}");
        }
        assert!(parse(&format!("{{{{ 1{} }}}}", "~1".repeat(1000))).is_ok());
        let blocks = |n: usize| "{% if 1 %}".repeat(n) + &"{% endif %}".repeat(n);
        assert!(parse(&blocks(30)).is_ok() && parse(&blocks(10_000)).is_err());
    }
}
