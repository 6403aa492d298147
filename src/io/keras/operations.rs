//! Operators between tensors (`x * 2`, `x[:, 1:3]`), which are nodes of a graph but no layers.

use std::ops::Bound;

use super::json::{Object, Problem, Raw, Settings, parse, spelled};
use super::made::Step;
use super::merging::Join;
use super::tensors::{Argument, Call, Named};
use crate::layers::LayerConfig;
use crate::layers::merging::{Add, Multiply, Subtract};
use crate::layers::operators::{Absolute, Arithmetic, Divide, Negative, Operation, Power, Slice};

/// The module of operators.
pub(super) const MODULE: &str = "keras.src.ops.";

/// Operators that Keras adds to compute masks.
const MASKS: [&str; 7] = ["Any", "Concatenate", "ExpandDims", "LogicalOr", "NotEqual", "OnesLike", "ZerosLike"];

/// Whether Keras may have added it for masks alone.
pub(super) fn for_masks(object: &Object) -> bool {
    object.module.as_deref() == Some("keras.src.ops.numpy") && MASKS.contains(&&*object.class_name)
}

/// What an operator's call computes, and from which tensors.
pub(super) fn step<'s, 'a>(class: &str, call: &'s Call<'a>) -> Result<(Step, Vec<&'s Named<'a>>), Problem> {
    let layer = |layer: LayerConfig, x| Ok((Step::Layer(Box::new(layer)), vec![x]));
    if let Some((name, _)) = call.kwargs.first() {
        return Err(format!("it is called with {name:.80}=..., which is not known here"));
    }
    let operation = match class {
        "Add" => Operation::Add,
        "Subtract" => Operation::Subtract,
        "Multiply" => Operation::Multiply,
        "TrueDivide" => Operation::Divide,
        "Power" => Operation::Power,
        _ => {
            return match (class, &call.args[..]) {
                ("Negative", [Argument::Tensor(x, _)]) => layer(LayerConfig::Negative(Negative::new()), x),
                ("Absolute", [Argument::Tensor(x, _)]) => layer(LayerConfig::Absolute(Absolute::new()), x),
                ("GetItem", [Argument::Tensor(x, _), key]) => layer(LayerConfig::Slice(slice(key)?), x),
                _ => Err("an operator between tensors, which is not built".to_owned()),
            };
        }
    };
    match &call.args[..] {
        [Argument::Tensor(a, first), Argument::Tensor(b, second)] => {
            // NumPy's rule, which counts axes from the last, is that of the merging layers where there are as many.
            if first.is_none() || first != second {
                return Err("an operator between tensors of different numbers of axes; bring them to the same with keras.layers.Reshape".to_owned());
            }
            let join = match operation {
                Operation::Add => Join::Add(Add::new()),
                Operation::Subtract => Join::Subtract(Subtract::new()),
                Operation::Multiply => Join::Multiply(Multiply::new()),
                Operation::Divide => Join::Divide(Divide::new()),
                Operation::Power => Join::Power(Power::new()),
            };
            Ok((Step::Join(join), vec![a, b]))
        }
        [Argument::Tensor(x, _), Argument::Constant(c)] => {
            layer(LayerConfig::Arithmetic(Arithmetic::new(operation, number(c)?)), x)
        }
        [Argument::Constant(c), Argument::Tensor(x, _)] => {
            layer(LayerConfig::Arithmetic(Arithmetic::new(operation, number(c)?).number_first(true)), x)
        }
        _ => Err("an operator with something else than tensors and numbers".to_owned()),
    }
}

fn number(raw: Raw) -> Result<f64, Problem> {
    parse(raw).map_err(|_| format!("{}, where a tensor or a number is expected", spelled(raw)))
}

/// `x[:, …]`: the batch is whole, then a position or a range of each axis.
fn slice(key: &Argument) -> Result<Slice, Problem> {
    let one = std::slice::from_ref(key);
    let [batch, axes @ ..] = (match key {
        Argument::List(entries) => &entries[..],
        _ => one,
    }) else {
        return Err("x[()], which takes nothing".to_owned());
    };
    if range(batch)? != Some((1, (Bound::Unbounded, Bound::Unbounded))) {
        return Err("a part of the batch; x[:, ...] takes parts of every sample".to_owned());
    }
    axes.iter().try_fold(Slice::new(), |slice, axis| match (axis, range(axis)?) {
        (_, Some((step, range))) => Ok(slice.every(step, range)),
        (Argument::Constant(raw), None) => match parse(raw) {
            Ok(position) => Ok(slice.at(position)),
            Err(_) => Err(format!("{}, where positions and ranges of axes are expected", spelled(raw))),
        },
        _ => Err("x[...] with something else than positions and ranges".to_owned()),
    })
}

/// The step and the ends of a range.
type Range = (usize, (Bound<isize>, Bound<isize>));

/// A range of an axis; none for something else.
fn range(axis: &Argument) -> Result<Option<Range>, Problem> {
    let Argument::Constant(raw) = axis else { return Ok(None) };
    let Some(object) = Object::read(raw).ok().filter(|object| object.class_name == "__slice__") else {
        return Ok(None);
    };
    let mut s = Settings::read(object.config)?;
    let mut take =
        |name: &str| s.take(name).map(|raw| parse(raw).map_err(|_| format!("{name}={}", spelled(raw)))).transpose();
    let (start, stop, step): (Option<isize>, Option<isize>, Option<isize>) =
        (take("start")?, take("stop")?, take("step")?);
    let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0);
    let step = step.ok_or_else(|| format!("{}: steps are at least 1 here", spelled(object.config)))?;
    s.finish()?;
    Ok(Some((step, (start.map_or(Bound::Unbounded, Bound::Included), stop.map_or(Bound::Unbounded, Bound::Excluded)))))
}
