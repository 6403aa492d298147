//! Initial weights.
//!
//! Draws are made in f64 and rounded, so that an `f32` and an `f64` model of one seed begin at the same values.

use std::fmt::Debug;
use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal, Uniform};

use crate::error::{Error, Result};
use crate::kernels::random::KeyedRng;
use crate::memory;
use crate::tensor::{Float, Shape};

/// An initialiser of your own; any type that implements it can be passed where an [`Init`] is taken.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::{Shape, initializers::Initializer, random::KeyedRng};
///
/// #[derive(Debug)]
/// struct Ramp;
/// impl Initializer for Ramp {
///     fn fill(&self, _shape: Shape, _rng: &mut KeyedRng, values: &mut [f64]) {
///         values.iter_mut().enumerate().for_each(|(i, v)| *v = i as f64);
///     }
/// }
/// let model = Sequential::new([2]).add(Dense::new(1).kernel_initializer(Ramp)).build(0)?;
/// assert_eq!(model.weight("dense/kernel")?, &[0.0, 1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Initializer: Send + Sync + Debug {
    /// Writes the initial values of a parameter of this shape, row-major; random draws come from `rng`.
    fn fill(&self, shape: Shape, rng: &mut KeyedRng, values: &mut [f64]);
}

/// How a parameter is filled at build.
///
/// fan_in and fan_out follow Keras: the last two axes are inputs and outputs, axes before them are the receptive field and
/// multiply both; a vector counts as both.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Init {
    /// 0 everywhere.
    #[default]
    Zeros,
    /// 1 everywhere.
    Ones,
    /// One value everywhere.
    Constant(f64),
    /// Uniform in [min, max).
    Uniform {
        /// Lower bound (Keras: -0.05).
        min: f64,
        /// Upper bound (Keras: 0.05).
        max: f64,
    },
    /// Normal.
    Normal {
        /// Mean (Keras: 0).
        mean: f64,
        /// Standard deviation (Keras: 0.05).
        std: f64,
    },
    /// Normal, values beyond two standard deviations drawn again. `std` is that before truncation; what is drawn has about
    /// 0.88 of it.
    TruncatedNormal {
        /// Mean (Keras: 0).
        mean: f64,
        /// Standard deviation before truncation (Keras: 0.05).
        std: f64,
    },
    /// Uniform in ±√(6 / (fan_in + fan_out)); the default of kernels. Glorot, Bengio: "Understanding the difficulty of
    /// training deep feedforward neural networks", 2010.
    GlorotUniform,
    /// Truncated normal of variance 2 / (fan_in + fan_out). Glorot, Bengio 2010.
    GlorotNormal,
    /// Uniform in ±√(6 / fan_in), made for ReLU. He et al.: "Delving Deep into Rectifiers", 2015.
    HeUniform,
    /// Truncated normal of variance 2 / fan_in. He et al. 2015.
    HeNormal,
    /// Uniform in ±√(3 / fan_in), made for SELU. LeCun et al.: "Efficient BackProp", 1998; Klambauer et al. 2017.
    LecunUniform,
    /// Truncated normal of variance 1 / fan_in. LeCun et al. 1998.
    LecunNormal,
    /// An orthogonal matrix times `gain`: QR of a normal matrix, signs fixed by R's diagonal. Saxe et al.: "Exact solutions
    /// to the nonlinear dynamics of learning in deep linear neural networks", 2014.
    Orthogonal {
        /// Factor (Keras: 1).
        gain: f64,
    },
    /// `gain` on the diagonal, 0 elsewhere; for matrices.
    Identity {
        /// Factor (Keras: 1).
        gain: f64,
    },
    /// An initialiser of your own. A saved configuration keeps its name only: a model made from that takes its weights from
    /// the file, and to draw them anew is an error.
    #[cfg_attr(feature = "serde", serde(untagged))]
    Custom(CustomInit),
}

/// An [`Initializer`] inside an [`Init`].
#[derive(Clone, Debug)]
pub struct CustomInit(CustomKind);

#[derive(Clone, Debug)]
enum CustomKind {
    Given(Arc<dyn Initializer>),
    /// Read back from a configuration.
    #[cfg(feature = "serde")]
    Saved(String),
}

impl PartialEq for CustomInit {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl CustomInit {
    fn name(&self) -> String {
        match &self.0 {
            CustomKind::Given(init) => format!("{init:?}"),
            #[cfg(feature = "serde")]
            CustomKind::Saved(name) => name.clone(),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for CustomInit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("custom: {}", self.name()))
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for CustomInit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        match text.strip_prefix("custom: ") {
            Some(name) => Ok(CustomInit(CustomKind::Saved(name.to_owned()))),
            None => Err(serde::de::Error::custom(format!("unknown initialiser {text:?}"))),
        }
    }
}

impl<I: Initializer + 'static> From<I> for Init {
    fn from(init: I) -> Self {
        Init::Custom(CustomInit(CustomKind::Given(Arc::new(init))))
    }
}

/// (fan_in, fan_out) of a parameter's shape, as Keras counts them.
fn fans(shape: Shape) -> (f64, f64) {
    match *shape.dims() {
        [] => (1.0, 1.0),
        [n] => (n as f64, n as f64),
        [ref field @ .., n_in, n_out] => {
            let field = field.iter().map(|&n| n as f64).product::<f64>();
            (n_in as f64 * field, n_out as f64 * field)
        }
    }
}

/// Standard deviation of a standard normal truncated at ±2.
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

impl Init {
    /// Fills a parameter of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`] if a setting is not finite or the bounds are reversed; [`Error::Shape`] if the number of values is not
    /// the shape's, or if `Identity` or `Orthogonal` is asked for fewer than two axes (`Identity`: other than two);
    /// [`Error::Config`] for one of your own that was read from a file, which has its name only; [`Error::Memory`] if there is none
    /// to orthogonalise in.
    pub fn fill(&self, shape: Shape, rng: &mut KeyedRng, values: &mut [f64]) -> Result<()> {
        let len = shape.checked_len("Init::fill")?;
        if values.len() != len {
            let expected = format!("{len} values for shape {shape}");
            return Err(Error::shape("Init::fill", expected, values.len(), "pass the shape's number of values"));
        }
        self.draw(shape, rng, values)
    }

    /// Checks the settings, whatever the shape.
    ///
    /// # Errors
    /// [`Error::Argument`] if one is not finite or the bounds are reversed.
    pub fn check(&self) -> Result<()> {
        match *self {
            Init::Constant(v) => finite("Constant", "value", v).map(drop),
            Init::Uniform { min, max } => between(min, max).map(drop),
            Init::Normal { mean, std } | Init::TruncatedNormal { mean, std } => check_normal(mean, std),
            Init::Orthogonal { gain } => finite("Orthogonal", "gain", gain).map(drop),
            Init::Identity { gain } => finite("Identity", "gain", gain).map(drop),
            _ => Ok(()),
        }
    }

    /// [`fill`](Self::fill) in another element type: draws in f64, each rounded where it stays.
    pub(crate) fn draw<T: Float>(&self, shape: Shape, rng: &mut KeyedRng, values: &mut [T]) -> Result<()> {
        let (fan_in, fan_out) = fans(shape);
        let truncated = |variance: f64| (0.0, variance.sqrt() / TRUNCATED_STD);
        match *self {
            Init::Zeros => values.fill(T::zero()),
            Init::Ones => values.fill(T::one()),
            Init::Constant(v) => values.fill(T::of(finite("Constant", "value", v)?)),
            Init::Uniform { min, max } => uniform(min, max, rng, values)?,
            Init::Normal { mean, std } => normal(mean, std, f64::INFINITY, rng, values)?,
            Init::TruncatedNormal { mean, std } => normal(mean, std, 2.0, rng, values)?,
            Init::GlorotUniform => symmetric((6.0 / (fan_in + fan_out)).sqrt(), rng, values)?,
            Init::HeUniform => symmetric((6.0 / fan_in).sqrt(), rng, values)?,
            Init::LecunUniform => symmetric((3.0 / fan_in).sqrt(), rng, values)?,
            Init::GlorotNormal | Init::HeNormal | Init::LecunNormal => {
                let (mean, std) = truncated(match self {
                    Init::GlorotNormal => 2.0 / (fan_in + fan_out),
                    Init::HeNormal => 2.0 / fan_in,
                    _ => 1.0 / fan_in,
                });
                normal(mean, std, 2.0, rng, values)?;
            }
            Init::Orthogonal { gain } => {
                matrix("Orthogonal", shape, shape.rank() >= 2)?;
                orthogonal(finite("Orthogonal", "gain", gain)?, shape.rows(), shape.last(), rng, values)?;
            }
            Init::Identity { gain } => {
                matrix("Identity", shape, shape.rank() == 2)?;
                values.fill(T::zero());
                let gain = T::of(finite("Identity", "gain", gain)?);
                values.iter_mut().step_by(shape.last() + 1).take(shape.first()).for_each(|v| *v = gain);
            }
            Init::Custom(ref custom) => match &custom.0 {
                CustomKind::Given(init) => {
                    let mut drawn =
                        memory::filled("build", format!("initial values of shape {shape}"), values.len(), 0.0)?;
                    init.fill(shape, rng, &mut drawn);
                    values.iter_mut().zip(drawn).for_each(|(v, drawn)| *v = T::of(drawn));
                }
                #[cfg(feature = "serde")]
                CustomKind::Saved(name) => {
                    let problem =
                        format!("the initialiser {name} is known by its name only, so that no weights can be drawn");
                    let hint = "add the layers anew with the initialiser itself, or keep the weights of the file";
                    return Err(Error::Config { op: "build", problem, hint: hint.into() });
                }
            },
        }
        Ok(())
    }
}

fn finite(op: &'static str, name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::argument(op, name, "finite", value, "pass a number"))
}

fn matrix(op: &'static str, shape: Shape, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::shape(op, "a matrix", shape, "use another initialiser for this parameter"))
}

fn symmetric<T: Float>(limit: f64, rng: &mut KeyedRng, values: &mut [T]) -> Result<()> {
    uniform(-limit, limit, rng, values)
}

fn between(min: f64, max: f64) -> Result<Uniform<f64>> {
    Uniform::new(min, max).map_err(|_| {
        Error::argument("Uniform", "bounds", "finite, min below max", format!("{min}..{max}"), "swap or correct them")
    })
}

fn uniform<T: Float>(min: f64, max: f64, rng: &mut KeyedRng, values: &mut [T]) -> Result<()> {
    let range = between(min, max)?;
    values.iter_mut().for_each(|v| *v = T::of(range.sample(rng)));
    Ok(())
}

fn check_normal(mean: f64, std: f64) -> Result<()> {
    finite("Normal", "mean", mean)?;
    if !(std.is_finite() && std >= 0.0) {
        return Err(Error::argument("Normal", "std", "finite and not negative", std, "pass a standard deviation"));
    }
    Ok(())
}

fn normal<T: Float>(mean: f64, std: f64, cut: f64, rng: &mut KeyedRng, values: &mut [T]) -> Result<()> {
    check_normal(mean, std)?;
    for v in values {
        let mut z: f64 = StandardNormal.sample(rng);
        while z.abs() > cut {
            z = StandardNormal.sample(rng);
        }
        *v = T::of(mean + std * z);
    }
    Ok(())
}

/// Gram–Schmidt, twice for accuracy, on the shorter side of a normal `rows`×`columns` matrix.
fn orthogonal<T: Float>(gain: f64, rows: usize, columns: usize, rng: &mut KeyedRng, values: &mut [T]) -> Result<()> {
    let (n, len) = (rows.min(columns), rows.max(columns));
    let mut q = memory::filled("Orthogonal", format!("a matrix of {rows} times {columns}"), values.len(), 0.0)?;
    q.iter_mut().for_each(|v| *v = StandardNormal.sample(rng));
    for i in 0..n {
        let (done, rest) = q.split_at_mut(i * len);
        let v = &mut rest[..len];
        for _ in 0..2 {
            for u in done.chunks_exact(len) {
                let dot: f64 = u.iter().zip(&*v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(u).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        v.iter_mut().for_each(|a| *a /= norm);
    }
    for (i, v) in values.iter_mut().enumerate() {
        let (r, c) = (i / columns, i % columns);
        *v = T::of(gain * if rows <= columns { q[r * len + c] } else { q[c * len + r] });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    fn filled(init: Init, shape: impl Into<Shape>) -> Vec<f64> {
        let shape = shape.into();
        let mut values = vec![f64::NAN; shape.len()];
        init.fill(shape, &mut Key::new(5, Purpose::Init).rng(), &mut values).unwrap();
        values
    }

    fn moments(v: &[f64]) -> (f64, f64) {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        (mean, v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64)
    }

    #[test]
    fn variances_follow_their_formulas() {
        let (fan_in, fan_out) = (200.0, 300.0);
        for (init, variance) in [
            (Init::GlorotUniform, 2.0 / (fan_in + fan_out)),
            (Init::GlorotNormal, 2.0 / (fan_in + fan_out)),
            (Init::HeUniform, 2.0 / fan_in),
            (Init::HeNormal, 2.0 / fan_in),
            (Init::LecunUniform, 1.0 / fan_in),
            (Init::LecunNormal, 1.0 / fan_in),
            (Init::Normal { mean: 0.0, std: 0.05 }, 0.0025),
            (Init::Uniform { min: -0.05, max: 0.05 }, 0.01 / 12.0),
            (Init::TruncatedNormal { mean: 0.0, std: 0.05 }, (0.05 * TRUNCATED_STD).powi(2)),
        ] {
            let (mean, var) = moments(&filled(init.clone(), [200, 300]));
            assert!(mean.abs() < 0.01 * variance.sqrt() * 2.0, "{init:?} mean {mean}");
            assert!((var / variance - 1.0).abs() < 0.02, "{init:?}: {var} for {variance}");
        }
    }

    #[test]
    fn truncation_cuts_at_two_deviations() {
        assert!(filled(Init::TruncatedNormal { mean: 0.0, std: 0.5 }, [100, 100]).iter().all(|v| v.abs() <= 1.0));
    }

    #[test]
    fn orthogonal_columns_or_rows() {
        for [rows, columns] in [[7, 4], [4, 7], [5, 5]] {
            let q = filled(Init::Orthogonal { gain: 2.0 }, [rows, columns]);
            let n = rows.min(columns);
            for i in 0..n {
                for j in 0..n {
                    let dot: f64 = (0..rows.max(columns))
                        .map(|l| {
                            if rows <= columns {
                                q[i * columns + l] * q[j * columns + l]
                            } else {
                                q[l * columns + i] * q[l * columns + j]
                            }
                        })
                        .sum();
                    assert!((dot - if i == j { 4.0 } else { 0.0 }).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn fixed_ones_and_errors() {
        assert_eq!(filled(Init::Identity { gain: 3.0 }, [2, 3]), [3.0, 0.0, 0.0, 0.0, 3.0, 0.0]);
        assert_eq!(filled(Init::Identity { gain: 1.0 }, [3, 2]), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(filled(Init::Constant(0.5), [2]), [0.5, 0.5]);
        let rng = &mut Key::new(5, Purpose::Init).rng();
        assert!(Init::Identity { gain: 1.0 }.fill(Shape::from([4]), rng, &mut [0.0; 4]).is_err());
        assert!(Init::Uniform { min: 1.0, max: 0.0 }.fill(Shape::from([4]), rng, &mut [0.0; 4]).is_err());
        assert!(Init::Normal { mean: 0.0, std: -1.0 }.fill(Shape::from([4]), rng, &mut [0.0; 4]).is_err());
        assert!(Init::Constant(f64::NAN).fill(Shape::from([4]), rng, &mut [0.0; 4]).is_err());
    }

    #[cfg(feature = "files")]
    #[test]
    fn configuration_round_trip() {
        for init in [Init::GlorotUniform, Init::Constant(2.0), Init::Orthogonal { gain: 1.5 }] {
            let json = serde_json::to_string(&init).unwrap();
            assert_eq!(serde_json::from_str::<Init>(&json).unwrap(), init, "{json}");
        }
    }

    #[test]
    fn a_buffer_of_another_length_is_an_error() {
        let fill = |init: Init, shape: Shape, n: usize| {
            init.fill(shape, &mut Key::new(5, Purpose::Init).rng(), &mut vec![0.0; n]).unwrap_err().to_string()
        };
        for init in [Init::Zeros, Init::GlorotNormal, Init::Orthogonal { gain: 1.0 }, Init::Identity { gain: 2.0 }] {
            let error = fill(init.clone(), Shape::from([3, 4]), 11);
            assert!(error.starts_with("Init::fill: expected 12 values for shape [3, 4], got 11; "), "{error}");
            assert!(fill(init, Shape::from([usize::MAX, 3, 4]), 12).contains("a shape that fits in memory"));
        }
    }

    #[test]
    fn both_element_types_draw_alike() {
        let inits = [
            Init::GlorotUniform,
            Init::HeNormal,
            Init::Normal { mean: 0.5, std: 2.0 },
            Init::Orthogonal { gain: 1.5 },
            Init::Identity { gain: 0.1 },
            Init::Constant(0.3),
        ];
        for init in inits {
            let mut single = vec![f32::NAN; 35];
            init.draw(Shape::from([5, 7]), &mut Key::new(5, Purpose::Init).rng(), &mut single).unwrap();
            let double: Vec<f32> = filled(init.clone(), [5, 7]).into_iter().map(|v| v as f32).collect();
            assert_eq!(single, double, "{init:?}");
        }
    }
}
