//! The loss of a batch and its gradient, with and without weights.

use gradus::losses::*;
use gradus::{Float, Loss, Tensor};

use crate::case::{Case, Config, Errors, Outcome, set};

/// Names of cases, and Keras's names of the classes.
const CLASSES: [(&str, &str); 2] =
    [("categorical_crossentropy", "categorical_crossentropy"), ("mse", "mean_squared_error")];

pub fn run(case: &mut Case, errors: &mut Errors) -> Outcome {
    let names = CLASSES.iter().flat_map(|(short, long)| [*short, *long]);
    let class = case.class(names).ok_or("not a known loss")?;
    let mut config = case.config.clone();
    batch(case, &*loss::<f64>(class, &mut case.config.clone())?, errors)?;
    batch(case, &*loss::<f32>(class, &mut config)?, errors)?;
    case.config = config;
    Ok(None)
}

fn batch<T: Float>(case: &Case, loss: &dyn Loss<T>, errors: &mut Errors) -> Result<(), String> {
    let (y_true, y_pred) = (case.tensor::<T>("y_true")?, case.tensor::<T>("y_pred")?);
    loss.check(y_true.shape(), y_pred.shape()).map_err(|e| e.to_string())?;
    loss.check_targets(&y_true, y_pred.shape().last()).map_err(|e| e.to_string())?;
    let weights = case.find::<T>("sample_weight");
    let weights = weights.as_ref().map(Tensor::as_slice);
    let mut dy = Tensor::full(y_pred.shape(), T::nan());
    let value = loss.batch(&y_true, &y_pred, weights, y_pred.shape().rows(), Some(&mut dy));
    errors.check("value", &[T::of(value)], case.tensor::<f64>("value")?.as_slice(), 1e-9)?;
    errors.check("grad_y_pred", dy.as_slice(), case.tensor::<f64>("grad_y_pred")?.as_slice(), 1e-9)
}

/// The loss of a class, by either name, with settings under Keras's names.
pub fn loss<T: Float>(class: &str, c: &mut Config) -> Result<Box<dyn Loss<T>>, String> {
    c.value("name");
    c.only("reduction", "sum_over_batch_size".into())?;
    c.only("axis", (-1).into())?;
    let class = CLASSES.iter().find(|(short, _)| *short == class).map_or(class, |(_, long)| long);
    Ok(match class {
        "categorical_crossentropy" => {
            let loss =
                set(CategoricalCrossentropy::default(), c.flag("from_logits")?, CategoricalCrossentropy::from_logits);
            Box::new(set(loss, c.number("label_smoothing")?, CategoricalCrossentropy::label_smoothing))
        }
        "mean_squared_error" => Box::new(MeanSquaredError::default()),
        other => return Err(format!("not a known loss: {other}")),
    })
}
