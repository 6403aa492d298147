//! Sums of squared errors that may lie anywhere in f64.

/// Σ w·e² in three sums: of usual errors, and of those whose squares would leave f64, scaled down and up. Blue 1978, "A portable
/// Fortran program to find the Euclidean norm of a vector".
pub(super) struct Squares;

/// Beyond these magnitudes squares are scaled, by 2⁻⁶⁰⁰ and its inverse.
const LARGE: f64 = 1e150;
const SMALL: f64 = 1e-150;
const EXPONENT: i32 = 600;
const DOWN: f64 = f64::from_bits((1023 - EXPONENT as u64) << 52);

impl Squares {
    pub const SUMS: usize = 3;

    /// Adds the square of y − ŷ.
    pub fn add([usual, large, small]: &mut [f64; Self::SUMS], y: f64, prediction: f64, weight: f64) {
        let error = (prediction - y).abs();
        match error {
            // Two numbers at both ends of f64.
            e if e.is_infinite() => *large += (prediction * DOWN - y * DOWN).powi(2) * weight,
            e if e > LARGE => *large += (e * DOWN).powi(2) * weight,
            e if e < SMALL => *small += (e / DOWN).powi(2) * weight,
            e => *usual += e.powi(2) * weight,
        }
    }

    /// The sum as a number times a power of two, 2¹²⁰⁰, 1 or 2⁻¹²⁰⁰.
    pub fn total(&[usual, large, small]: &[f64; Self::SUMS]) -> (f64, i32) {
        if large > 0.0 {
            (large + usual * DOWN * DOWN, 2 * EXPONENT)
        } else if usual == 0.0 {
            (small, -2 * EXPONENT)
        } else {
            // A sum of NaN comes here.
            (usual + small * DOWN * DOWN + large, 0)
        }
    }
}
