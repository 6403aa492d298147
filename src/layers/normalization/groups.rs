//! Mean and variance of groups of channels over the positions of a sample: LayerNorm and GroupNorm.

use super::gamma_beta::GammaBeta;
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Pass, Slot};
use crate::tensor::{Float, Shape, Tensor};

/// The runs of contiguous values that belong to one group of a sample.
#[inline(always)]
fn runs<T>(sample: &[T], [_, channels, groups]: [usize; 3], group: usize) -> impl Iterator<Item = &[T]> + Clone {
    let each = channels / groups;
    sample.chunks_exact(channels).map(move |row| &row[group * each..(group + 1) * each])
}

fn runs_mut<T>(sample: &mut [T], [_, channels, groups]: [usize; 3], group: usize) -> impl Iterator<Item = &mut [T]> {
    let each = channels / groups;
    sample.chunks_exact_mut(channels).map(move |row| &mut row[group * each..(group + 1) * each])
}

/// x̂ of a group whose squares overflow, and 1/√(σ² + ε), by way of x over its largest magnitude; NaN where x is not finite.
fn normalise_scaled<T: Float>(x: &[T], sizes: [usize; 3], group: usize, [inv_n, epsilon]: [T; 2], y: &mut [T]) -> T {
    let values = runs(x, sizes, group).flatten();
    let top = values.clone().fold(T::zero(), |m, v| if v.abs() > m { v.abs() } else { m });
    let shift = values.clone().next().map_or(T::zero(), |&v| v / top);
    let mean = values.clone().map(|&v| v / top - shift).sum::<T>() * inv_n;
    let variance = values.map(|&v| (v / top - shift - mean).powi(2)).sum::<T>() * inv_n;
    if variance == T::zero() {
        // Equal values, far from 0 as they are, have no deviation.
        runs_mut(y, sizes, group).for_each(|y| y.fill(T::zero()));
        return T::one() / epsilon.sqrt();
    }
    let r = T::one() / (variance + epsilon / top / top).sqrt();
    for (y, x) in runs_mut(y, sizes, group).zip(runs(x, sizes, group)) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x / top - shift - mean) * r);
    }
    r / top
}

/// What [`forward`] keeps of a batch whose samples have so many groups: x̂ and a factor of each group. See
/// [`Layer::space_for`](crate::Layer::space_for).
pub(super) fn space(x: Shape, groups: usize, backward: bool) -> usize {
    if backward { x.len().saturating_add(groups.saturating_mul(x.first())) } else { 0 }
}

/// y from x; samples have `sizes` positions, channels and groups. The slot keeps x̂, and 1/√(σ² + ε) of each group of each sample.
pub(super) fn forward<T: Float>(
    affine: &GammaBeta,
    epsilon: f64,
    sizes: [usize; 3],
    pass: &mut Pass<'_, T>,
    slot: &mut Slot<T>,
    x: &Tensor<T>,
    y: &mut Tensor<T>,
) {
    let [positions, channels, groups] = sizes;
    let sample = positions * channels;
    let samples = x.len() / sample;
    let keeps = pass.needs_backward();
    let [normalised, inverse] = slot.buffers();
    normalised.resize(if keeps { x.shape() } else { Shape::from([0]) });
    inverse.resize([if keeps { samples * groups } else { 0 }]);
    let (normalised, inverse) =
        (ChunksMut(normalised.as_mut_slice(), sample), ChunksMut(inverse.as_mut_slice(), groups));
    let cut = (ChunksMut(y.as_mut_slice(), sample), normalised, inverse);
    let (gamma, beta, epsilon) = (affine.gamma(pass), affine.beta(pass), T::of(epsilon));
    let inv_n = T::one() / T::of((sample / groups) as f64);
    parallel::par_chunks(0..samples, parallel::parts(samples, 6 * sample), cut, &|range, (y, normalised, inverse)| {
        for (i, (y, at)) in y.0.chunks_exact_mut(sample).zip(range).enumerate() {
            let x = &x.as_slice()[at * sample..][..sample];
            for group in 0..groups {
                let mean = runs(x, sizes, group).map(rows::sum).sum::<T>() * inv_n;
                let variance = runs(x, sizes, group).map(|x| rows::sum_of_squares(x, mean)).sum::<T>() * inv_n;
                let mut r = T::one() / (variance + epsilon).sqrt();
                if variance.is_finite() {
                    for (y, x) in runs_mut(y, sizes, group).zip(runs(x, sizes, group)) {
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * r);
                    }
                } else {
                    r = normalise_scaled(x, sizes, group, [inv_n, epsilon], y);
                }
                if keeps {
                    inverse.0[i * groups + group] = r;
                }
            }
            if keeps {
                normalised.0[i * sample..(i + 1) * sample].copy_from_slice(y);
            }
            for y in y.chunks_exact_mut(channels) {
                y.iter_mut().enumerate().for_each(|(c, y)| *y = *y * gamma(c) + beta(c));
            }
        }
    });
}

/// dx, dγ and dβ from dy.
pub(super) fn backward<T: Float>(
    affine: &GammaBeta,
    sizes: [usize; 3],
    pass: &mut Pass<'_, T>,
    slot: &mut Slot<T>,
    x: &Tensor<T>,
    dy: &mut Tensor<T>,
    dx: Option<&mut Tensor<T>>,
) {
    let [positions, channels, groups] = sizes;
    let sample = positions * channels;
    let [normalised, inverse] = slot.buffers();
    let (normalised, inverse) = (normalised.as_slice(), inverse.as_slice());
    // dβ += Σ rows of dy, dγ += Σ rows of dy·x̂
    rows::sum_rows(dy.as_slice(), affine.beta_gradient(pass));
    rows::sum_row_products(dy.as_slice(), normalised, affine.gamma_gradient(pass));
    let Some(dx) = dx else { return };
    let (gamma, samples) = (affine.gamma(pass), x.len() / sample);
    let inv_n = T::one() / T::of((sample / groups) as f64);
    let cut = (ChunksMut(dx.as_mut_slice(), sample), ChunksMut(dy.as_mut_slice(), sample));
    parallel::par_chunks(0..samples, parallel::parts(samples, 8 * sample), cut, &|range, (dx, dy)| {
        for ((dx, g), at) in dx.0.chunks_exact_mut(sample).zip(dy.0.chunks_exact_mut(sample)).zip(range) {
            let normalised = &normalised[at * sample..][..sample];
            // g = γ·dy, in place of dy
            for g in g.chunks_exact_mut(channels) {
                g.iter_mut().enumerate().for_each(|(c, g)| *g *= gamma(c));
            }
            for group in 0..groups {
                let each = runs(g, sizes, group).zip(runs(normalised, sizes, group));
                let mean_g = runs(g, sizes, group).map(rows::sum).sum::<T>() * inv_n;
                let mean_gx = each.clone().map(|(g, n)| rows::dot(g, n)).sum::<T>() * inv_n;
                let r = inverse[at * groups + group];
                // dx = r·(g − mean(g) − x̂·mean(g·x̂))
                for (dx, (g, n)) in runs_mut(dx, sizes, group).zip(each) {
                    dx.iter_mut().zip(g).zip(n).for_each(|((dx, &g), &n)| *dx = r * (g - mean_g - n * mean_gx));
                }
            }
        }
    });
}
