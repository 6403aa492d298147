//! Noise in training that is not there in inference, and penalties on outputs.
//!
//! Draws are keyed by seed, layer, step and row, and made again in backward instead of kept; neither threads nor the other
//! rows of a batch change them.

mod activity_regularization;
mod alpha_dropout;
mod dropout;
mod gaussian_dropout;
mod gaussian_noise;
mod spatial_dropout;

pub use activity_regularization::ActivityRegularization;
pub use alpha_dropout::AlphaDropout;
pub use dropout::Dropout;
pub use gaussian_dropout::GaussianDropout;
pub use gaussian_noise::GaussianNoise;
pub use spatial_dropout::{SpatialDropout, SpatialDropout1d, SpatialDropout2d};

use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::kernels::random::Key;
use crate::layer::Pass;
use crate::tensor::{Float, Tensor};

/// Calls `f(key, from, to)` for every sample, `work` a value.
fn each_sample<T: Float>(
    pass: &Pass<'_, T>,
    stream: u64,
    from: &Tensor<T>,
    to: &mut Tensor<T>,
    work: usize,
    f: impl Fn(Key, &[T], &mut [T]) + Sync,
) {
    let len = from.shape().sample().len().max(1);
    parallel::rows(to.as_mut_slice(), len, len * work, |first, to| {
        let from = from.as_slice()[first * len..].chunks_exact(len);
        for (row, (from, to)) in (first..).zip(from.zip(to.chunks_exact_mut(len))) {
            f(pass.key(stream, row), from, to);
        }
    });
}

/// The cost of a uniform and of a normal draw, for the choice of threads.
const UNIFORM: usize = 8;
const NORMAL: usize = 24;

/// Values whose draws are taken together, so that what is done with them vectorises.
const VALUES: usize = 64;

/// to = scale·from + offset where it is kept, else `dropped`: one draw of 31 bits a value, two from each word of the stream.
fn mask<T: Float>(key: Key, rate: f64, from: &[T], to: &mut [T], [scale, offset, dropped]: [T; 3]) {
    let threshold = (rate * 2f64.powi(31)) as u32;
    let mut draws = [0u32; VALUES];
    let mut word = 0;
    for (from, to) in from.chunks(VALUES).zip(to.chunks_mut(VALUES)) {
        for pair in draws[..from.len().next_multiple_of(2)].chunks_exact_mut(2) {
            let bits = key.bits(word);
            (pair[0], pair[1]) = ((bits >> 33) as u32, (bits as u32) >> 1);
            word += 1;
        }
        for ((from, to), draw) in from.iter().zip(to).zip(&draws) {
            // Both are computed and one is chosen, without a branch.
            let kept = *from * scale + offset;
            *to = if *draw >= threshold { kept } else { dropped };
        }
    }
}

/// to = from / (1 − rate) where this pass keeps it, else 0; `from` itself where it drops nothing. y from x and dx from dy alike.
pub(in crate::layers) fn drop_values<T: Float>(
    pass: &Pass<'_, T>,
    stream: u64,
    rate: f64,
    from: &Tensor<T>,
    to: &mut Tensor<T>,
) {
    if !pass.training || rate == 0.0 {
        return to.as_mut_slice().copy_from_slice(from.as_slice());
    }
    // At a rate of 1 nothing is kept, and the scale is not used.
    let kept = [T::of(1.0 / (1.0 - rate)), T::zero(), T::zero()];
    each_sample(pass, stream, from, to, UNIFORM, |key, from, to| mask(key, rate, from, to, kept));
}

/// to = f(from, z), z a standard normal draw a value, taken in f64 so that f32 and f64 see the same noise.
fn normal<T: Float>(key: Key, from: &[T], to: &mut [T], f: impl Fn(T, T) -> T) {
    let mut rng = key.rng();
    for (from, to) in from.iter().zip(to) {
        let z: f64 = StandardNormal.sample(&mut rng);
        *to = f(*from, T::of(z));
    }
}

/// A rate below 1, or up to 1 where dropping all has a meaning.
pub(super) fn check_rate(op: &'static str, rate: f64, one: bool) -> Result<()> {
    if (0.0..1.0).contains(&rate) || (one && rate == 1.0) {
        return Ok(());
    }
    let expected = if one { "from 0 to 1" } else { "at least 0 and below 1" };
    Err(Error::argument(op, "rate", expected, rate, "0.5 drops half of the values"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Builder, Layer, Slot};
    use crate::params::Params;

    /// What a layer makes of ones in one training pass.
    fn noisy<L: Layer<f64>>(mut layer: L, name: &str, seed: u64, step: u64, rows: usize) -> Tensor<f64> {
        let x = Tensor::full([rows, 1001], 1.0);
        let mut b = Builder::new(0);
        b.scoped(name, None, |b| layer.build(x.shape().sample(), b)).1.unwrap();
        let params = Params::new();
        let mut y = Tensor::full(x.shape(), f64::NAN);
        let mut pass = Pass::training(&params, &mut [], seed, step, 0);
        layer.forward(&mut pass, &mut Slot::new(), &x, &mut y);
        y
    }

    fn all_layers(name: &str, seed: u64, step: u64, rows: usize) -> Vec<Tensor<f64>> {
        vec![
            noisy(Dropout::new(0.3), name, seed, step, rows),
            noisy(AlphaDropout::new(0.3), name, seed, step, rows),
            noisy(GaussianDropout::new(0.3), name, seed, step, rows),
            noisy(GaussianNoise::new(0.3), name, seed, step, rows),
        ]
    }

    #[test]
    fn impossible_samples_do_no_harm() {
        let params = Params::new();
        let (x, mut y) = (Tensor::<f32>::zeros([2, 0]), Tensor::zeros([2, 0]));
        each_sample(&Pass::inference(&params), 0, &x, &mut y, UNIFORM, |_, _, _| ());
    }

    #[test]
    fn noise_follows_from_seed_layer_step_and_row_alone() {
        let base = all_layers("a", 1, 0, 300);
        assert_eq!(base, all_layers("a", 1, 0, 300));
        for other in [all_layers("a", 2, 0, 300), all_layers("a", 1, 1, 300), all_layers("b", 1, 0, 300)] {
            base.iter().zip(&other).for_each(|(a, b)| assert_ne!(a, b));
        }
        for (all, few) in base.iter().zip(all_layers("a", 1, 0, 2)) {
            assert_ne!(all.row(0), all.row(1));
            assert_eq!(all.rows(0..2).unwrap(), few);
        }
    }

    /// Over 300,300 draws the mean of a unit-variance value has a deviation of 0.0018; bounds are at five of them.
    #[test]
    fn means_and_variances() {
        for (y, mean, variance) in [
            (noisy(Dropout::new(0.3), "a", 1, 0, 300), 1.0, 0.3f64 / 0.7),
            (noisy(GaussianDropout::new(0.3), "a", 1, 0, 300), 1.0, 0.3 / 0.7),
            (noisy(GaussianNoise::new(0.2), "a", 1, 0, 300), 1.0, 0.04),
        ] {
            let n = y.len() as f64;
            let m = y.iter().sum::<f64>() / n;
            let v = y.iter().map(|y| (y - m).powi(2)).sum::<f64>() / n;
            assert!((m - mean).abs() < 0.009 * variance.sqrt(), "{m} for {mean}");
            assert!((v / variance - 1.0).abs() < 0.02, "{v} for {variance}");
        }
    }
}
