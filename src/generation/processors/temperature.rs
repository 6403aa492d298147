//! How bold a text is.

use crate::tensor::Float;

/// Divides the logits by the temperature: below 1 what is likely becomes likelier, above 1 all become more alike.
///
/// Ackley, Hinton, Sejnowski: "A Learning Algorithm for Boltzmann Machines", 1985; Transformers `TemperatureLogitsWarper`.
///
/// ```
/// let mut logits = [1.0f32, -2.0];
/// gradus::generation::processors::temperature(&mut logits, 0.5);
/// assert_eq!(logits, [2.0, -4.0]);
/// ```
pub fn temperature<T: Float>(logits: &mut [T], temperature: f64) {
    let temperature = T::of(temperature);
    logits.iter_mut().for_each(|v| *v /= temperature);
}

#[cfg(test)]
mod tests {
    use super::temperature;

    #[test]
    fn what_is_ruled_out_stays_out() {
        let mut logits = [f64::NEG_INFINITY, 3.0];
        temperature(&mut logits, 1.5);
        assert_eq!(logits, [f64::NEG_INFINITY, 2.0]);
    }
}
