//! What a template is made of once it is read.

use std::sync::Arc;

/// Something of a body: text, or what stands between `{{ }}` or `{% %}`.
#[derive(Debug)]
pub struct Node {
    pub line: u32,
    pub kind: NodeKind,
}

#[derive(Debug)]
pub enum NodeKind {
    Text(Arc<str>),
    Print(Expr),
    /// Conditions with their bodies, and what is done where none holds.
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    For(Box<For>),
    Set(Target, Expr),
    /// `{% set x %}…{% endset %}`.
    SetText(Target, Vec<Node>),
    Macro(Arc<Macro>),
    /// `{% generation %}…{% endgeneration %}`: what an assistant has written.
    Generation(Vec<Node>),
    Break,
    Continue,
}

#[derive(Debug)]
pub struct For {
    pub target: Target,
    pub over: Expr,
    pub only_if: Option<Expr>,
    pub body: Vec<Node>,
    /// What is done where there is nothing to go through.
    pub otherwise: Vec<Node>,
}

#[derive(Debug)]
pub struct Macro {
    pub name: Arc<str>,
    pub parameters: Vec<(Arc<str>, Option<Expr>)>,
    pub body: Vec<Node>,
}

/// What is assigned to.
#[derive(Debug)]
pub enum Target {
    Name(Arc<str>),
    /// `ns.name`.
    Attribute(Arc<str>, Arc<str>),
    Several(Vec<Target>),
}

#[derive(Debug)]
pub struct Expr {
    pub line: u32,
    /// Levels of expressions within, itself counted.
    pub depth: u32,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `a < b <= c`.
    Compare(Box<Expr>, Vec<(Compare, Expr)>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `a ~ b ~ c`.
    Joined(Vec<Expr>),
    /// `then if test else otherwise`.
    Choice {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
    Attribute(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Arguments),
    Filter(Box<Expr>, Arc<str>, Arguments),
    Test(Box<Expr>, Arc<str>, Arguments),
}

#[derive(Debug, Default)]
pub struct Arguments {
    pub by_place: Vec<Expr>,
    pub by_name: Vec<(Arc<str>, Expr)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    NotIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

impl Kind {
    /// The expressions directly within.
    pub fn parts(&self) -> Vec<&Expr> {
        fn of<'a>(one: &'a Expr, arguments: &'a Arguments) -> Vec<&'a Expr> {
            std::iter::once(one)
                .chain(&arguments.by_place)
                .chain(arguments.by_name.iter().map(|(_, value)| value))
                .collect()
        }
        match self {
            Kind::None | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Str(_) | Kind::Name(_) => Vec::new(),
            Kind::List(all) | Kind::Tuple(all) | Kind::Joined(all) => all.iter().collect(),
            Kind::Dict(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Kind::Not(a) | Kind::Negative(a) | Kind::Positive(a) | Kind::Attribute(a, _) => vec![a],
            Kind::And(a, b) | Kind::Or(a, b) | Kind::Binary(_, a, b) | Kind::Item(a, b) => vec![a, b],
            Kind::Compare(a, others) => std::iter::once(&**a).chain(others.iter().map(|(_, b)| b)).collect(),
            Kind::Choice { test, then, otherwise } => {
                [Some(test), Some(then), otherwise.as_ref()].into_iter().flatten().map(|part| &**part).collect()
            }
            Kind::Slice(a, ends) => std::iter::once(&**a).chain(ends.iter().flatten().map(|end| &**end)).collect(),
            Kind::Call(a, arguments) | Kind::Filter(a, _, arguments) | Kind::Test(a, _, arguments) => of(a, arguments),
        }
    }
}
