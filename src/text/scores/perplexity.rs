//! Perplexity.

use crate::error::{Error, Result};

/// e^(−mean of the log-probabilities) that a model gave the tokens that came: among how many tokens it was undecided.
///
/// Log-probabilities are natural, as those of a cross-entropy; of several texts pass all tokens together.
///
/// ```
/// let even = gradus::text::perplexity(&[0.25f64.ln(); 10])?;
/// assert!((even - 4.0).abs() < 1e-12);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] for no tokens; [`Error::Argument`] for a log-probability above 0, or NaN.
pub fn perplexity(log_probabilities: &[f64]) -> Result<f64> {
    if log_probabilities.is_empty() {
        return Err(Error::Empty { op: "perplexity", what: "the list of tokens" });
    }
    // Rounding leaves a probability of 1 a little above it.
    if let Some((i, p)) = log_probabilities.iter().enumerate().find(|(_, p)| p.is_nan() || **p > 1e-6) {
        let got = format!("{p} for token {i}");
        let hint = "pass ln p of each token, which is the negative loss";
        return Err(Error::argument("perplexity", "log_probabilities", "at most 0", got, hint));
    }
    Ok((-log_probabilities.iter().sum::<f64>() / log_probabilities.len() as f64).exp())
}
