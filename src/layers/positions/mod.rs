//! What tells the steps of a sequence apart: rows of a table, sines, or heads that turn with the position.
//!
//! Samples are `[steps, features]`. Steps stand at the positions from [`Pass::position`](crate::Pass::position) on, which is 0 unless a
//! decoder goes on. A second input of shape `[steps]`, whole numbers, gives every step of every row a position of its own: where several
//! documents stand in a row each begins at 0, and padding on the left moves none. It comes from an input of the model, which looks at it
//! before it works. Each is an [`Op`](crate::Op) of one or two inputs, and behind one value a [`Part`](crate::graph::Part) as layers are.

mod position_embedding;
mod rotary;
mod rotary_positions;
mod sinusoidal_positions;

pub use position_embedding::PositionEmbedding;
pub use rotary::{Rotary, RotaryScaling};
pub use rotary_positions::RotaryPositions;
pub use sinusoidal_positions::SinusoidalPositions;

use crate::error::{Error, Result};
use crate::kernels::frequencies::Frequencies;
use crate::layer::Inputs;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// Checks samples of `[steps, features]`, and positions beside them if there are any; gives steps and features.
fn check_inputs(op: &'static str, x: &[Shape]) -> Result<[usize; 2]> {
    let (values, positions) = match *x {
        [values] => (values, None),
        [values, positions] => (values, Some(positions)),
        _ => {
            return Err(Error::shape(
                op,
                "1 or 2 inputs",
                x.len(),
                "pass the values, and their positions if they have any",
            ));
        }
    };
    let [steps, features] = *values.dims() else {
        let hint = "bring samples to steps of features, with a Reshape if need be";
        return Err(Error::shape(op, "samples of [steps, features]", values, hint));
    };
    values.need_features(op)?;
    if let Some(positions) = positions {
        let fits = matches!(*positions.dims(), [n] if n == steps || n == FREE || steps == FREE);
        if !fits {
            let expected = format!("positions of samples of [{steps}], one for each step");
            let expected = if steps == FREE { "positions of samples of [steps]".to_owned() } else { expected };
            return Err(Error::shape(op, expected, positions, "give every step a position"));
        }
    }
    Ok([steps, features])
}

/// The positions that are given.
fn given<'a, T: Float>(x: Inputs<'a, T>) -> Option<&'a [T]> {
    (x.len() > 1).then(|| x.get(1).as_slice())
}

/// Steps of a sample, and values of a step.
fn sizes<T: Float>(x: &Tensor<T>) -> [usize; 2] {
    let sample = x.shape().sample();
    [sample.first(), sample.last()]
}

/// Positions have no gradient.
fn clear_positions<T: Float>(dx: &mut [Option<Tensor<T>>]) {
    if let Some(Some(dx)) = dx.get_mut(1) {
        dx.as_mut_slice().fill(T::zero());
    }
}

/// Values of a table of angles that a pass over such inputs reads, with the frequencies themselves.
fn table_space(x: &[Shape], frequencies: Frequencies) -> usize {
    let Some(values) = x.first() else { return 0 };
    let (samples, steps) = (values.first(), values.sample().first());
    let rows = if x.len() > 1 { samples.saturating_mul(steps) } else { steps };
    rows.saturating_add(1).saturating_mul(frequencies.len().saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Builder, Op, Pass, Slot};
    use crate::params::Params;

    /// y of an op that is built and has these parameters, in inference from a position on.
    pub(super) fn forward<T: Float>(op: &dyn Op<T>, params: &Params<T>, position: usize, x: &[Tensor<T>]) -> Tensor<T> {
        let mut y = [Tensor::full(x[0].shape(), T::nan())];
        let at = [0, 1];
        let mut pass = Pass::inference(params).with_position(position);
        op.forward(&mut pass, &mut Slot::new(), Inputs::new(x, &at[..x.len()]), &mut y);
        let [y] = y;
        y
    }

    /// Values without a pattern.
    pub(super) fn values<T: Float>(shape: impl Into<Shape>) -> Tensor<T> {
        Tensor::from_fn(shape, |i| T::of(((i * 37 % 101) as f64 - 50.5) / 40.0))
    }

    /// Passes of any size, from any position on or with positions, give the rows of one pass over all.
    pub(super) fn rows_follow_from_positions<T: Float>(mut op: impl Op<T>, features: usize) {
        let mut b = Builder::new(5);
        op.build(&[[9, features].into()], &mut b).unwrap();
        let params = b.into_params();
        let x = values::<T>([2, 9, features]);
        let whole = forward(&op, &params, 0, std::slice::from_ref(&x));
        let steps = |t: &Tensor<T>, from: usize, n: usize| {
            let sample = |row: usize| t.row(row)[from * features..][..n * features].to_vec();
            Tensor::new([2, n, features], [sample(0), sample(1)].concat()).unwrap()
        };
        for (from, n) in [(0, 9), (0, 4), (4, 1), (5, 4), (8, 1), (2, 3)] {
            let part = forward(&op, &params, from, &[steps(&x, from, n)]);
            assert_eq!(part, steps(&whole, from, n), "{n} from {from}");
        }
        // In another order, and far apart.
        let order = [[3, 0, 8, 1], [2, 2, 5, 7]];
        let picked = |t: &Tensor<T>| {
            let rows = order.iter().enumerate().flat_map(|(row, order)| {
                order.iter().flat_map(move |&at| t.row(row)[at * features..][..features].iter().copied())
            });
            Tensor::new([2, 4, features], rows.collect()).unwrap()
        };
        let positions = Tensor::from_fn([2, 4], |i| T::of(order[i / 4][i % 4] as f64));
        op.build(&[[4, features].into(), [4].into()], &mut Builder::new(5)).unwrap();
        assert_eq!(forward(&op, &params, 0, &[picked(&x), positions]), picked(&whole));
    }

    /// What every one of them says of inputs that it cannot take.
    pub(super) fn refused_inputs(op: impl Op<f64> + Clone) {
        let error = |x: &[Shape]| op.clone().build(x, &mut Builder::new(0)).unwrap_err().to_string();
        assert!(
            error(&[[6].into()]).contains("expected samples of [steps, features], got [6]"),
            "{}",
            error(&[[6].into()])
        );
        assert!(error(&[[2, 3, 6].into()]).contains("expected samples of [steps, features]"));
        assert!(error(&[[3, 6].into(); 3]).contains("expected 1 or 2 inputs, got 3"));
        for positions in [Shape::from([4]), [3, 1].into(), Shape::SCALAR] {
            let text = error(&[[3, 6].into(), positions]);
            assert!(text.contains("expected positions of samples of [3], one for each step, got"), "{text}");
        }
        assert!(error(&[[3, FREE].into()]).contains("free"), "{}", error(&[[3, FREE].into()]));
    }
}
