//! Keras's layers that join several values.

use super::json::{Problem, Settings};
use crate::graph::{Graph, Value};
use crate::layers::merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
use crate::layers::operators::{Divide, Power};
use crate::layers::{AdditiveAttention, Attention, MultiHeadAttention};

/// What takes several values.
#[derive(Clone, Debug)]
pub(super) enum Join {
    Add(Add),
    AdditiveAttention(AdditiveAttention),
    Attention(Attention),
    Average(Average),
    Concatenate(Concatenate),
    Divide(Divide),
    Dot(Dot),
    Maximum(Maximum),
    Minimum(Minimum),
    MultiHeadAttention(Box<MultiHeadAttention>),
    Multiply(Multiply),
    Power(Power),
    Subtract(Subtract),
}

/// The layer of a class of this family; none for another.
pub(super) fn join(class: &str, s: &mut Settings) -> Result<Option<Join>, Problem> {
    let axis = |axis: i64| isize::try_from(axis).map_err(|_| format!("axis {axis}"));
    Ok(Some(match class {
        "Add" => Join::Add(Add::new()),
        "Average" => Join::Average(Average::new()),
        "Maximum" => Join::Maximum(Maximum::new()),
        "Minimum" => Join::Minimum(Minimum::new()),
        "Multiply" => Join::Multiply(Multiply::new()),
        "Subtract" => Join::Subtract(Subtract::new()),
        "Concatenate" => match s.integers("axis")?.unwrap_or(vec![-1])[..] {
            [one] => Join::Concatenate(Concatenate::new().axis(axis(one)?)),
            _ => return Err("axis: one number is expected".to_owned()),
        },
        "Dot" => {
            let axes = match s.integers("axes")?.as_deref() {
                Some(&[both]) => [axis(both)?; 2],
                Some(&[first, second]) => [axis(first)?, axis(second)?],
                _ => return Err("axes: one number or two are expected".to_owned()),
            };
            Join::Dot(Dot::new(axes).normalize(s.flag_or("normalize", false)?))
        }
        _ => return Ok(None),
    }))
}

impl Join {
    /// Adds it to a graph, under a name or under its class's; gives all that it gives.
    pub fn wire(&self, g: &mut Graph, name: Option<&str>, x: &[Value]) -> Vec<Value> {
        macro_rules! wire {
            ($($class:ident)+) => {
                match (self, name) {
                    (Join::MultiHeadAttention(op), Some(name)) => g.op_outputs_named(name, (**op).clone(), x),
                    (Join::MultiHeadAttention(op), None) => g.op_outputs((**op).clone(), x),
                    $((Join::$class(op), Some(name)) => g.op_outputs_named(name, op.clone(), x),
                      (Join::$class(op), None) => g.op_outputs(op.clone(), x),)+
                }
            };
        }
        wire!(Add AdditiveAttention Attention Average Concatenate Divide Dot Maximum Minimum Multiply Power
            Subtract)
    }
}
