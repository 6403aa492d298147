//! The loss of a batch and its gradient, with and without weights.

use gradus::losses::*;
use gradus::{Float, Loss, Tensor};

use crate::case::{Case, Config, Errors, Outcome, set};

/// Names of cases, and Keras's names of the classes.
const CLASSES: [(&str, &str); 18] = [
    ("binary_crossentropy", "binary_crossentropy"),
    ("binary_focal_crossentropy", "binary_focal_crossentropy"),
    ("categorical_crossentropy", "categorical_crossentropy"),
    ("categorical_focal_crossentropy", "categorical_focal_crossentropy"),
    ("categorical_hinge", "categorical_hinge"),
    ("cosine_similarity", "cosine_similarity"),
    ("hinge", "hinge"),
    ("huber", "huber"),
    ("kl_divergence", "kl_divergence"),
    ("kld", "kl_divergence"),
    ("log_cosh", "log_cosh"),
    ("mae", "mean_absolute_error"),
    ("mape", "mean_absolute_percentage_error"),
    ("mse", "mean_squared_error"),
    ("msle", "mean_squared_logarithmic_error"),
    ("poisson", "poisson"),
    ("sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
    ("squared_hinge", "squared_hinge"),
];

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
    loss.check_targets(&y_true, y_pred.shape()).map_err(|e| e.to_string())?;
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
        "binary_crossentropy" => {
            let loss = set(BinaryCrossentropy::default(), c.flag("from_logits")?, BinaryCrossentropy::from_logits);
            Box::new(set(loss, c.number("label_smoothing")?, BinaryCrossentropy::label_smoothing))
        }
        "binary_focal_crossentropy" => {
            // Without balancing Keras takes no notice of alpha.
            let alpha = c.number("alpha")?.unwrap_or(0.25);
            let balanced = c.flag("apply_class_balancing")?.unwrap_or(false);
            let loss = set(BinaryFocalCrossentropy::default(), c.number("gamma")?, BinaryFocalCrossentropy::gamma);
            let loss = set(loss, balanced.then_some(alpha), BinaryFocalCrossentropy::alpha);
            let loss = set(loss, c.flag("from_logits")?, BinaryFocalCrossentropy::from_logits);
            Box::new(set(loss, c.number("label_smoothing")?, BinaryFocalCrossentropy::label_smoothing))
        }
        "categorical_crossentropy" => {
            type Loss = CategoricalCrossentropy;
            let loss = set(Loss::default(), c.flag("from_logits")?, Loss::from_logits);
            Box::new(set(loss, c.number("label_smoothing")?, Loss::label_smoothing))
        }
        "categorical_focal_crossentropy" => {
            type Loss = CategoricalFocalCrossentropy;
            let loss = set(Loss::default(), c.number("gamma")?, Loss::gamma);
            let loss = set(loss, c.number("alpha")?, Loss::alpha);
            let loss = set(loss, c.flag("from_logits")?, Loss::from_logits);
            Box::new(set(loss, c.number("label_smoothing")?, Loss::label_smoothing))
        }
        "categorical_hinge" => Box::new(CategoricalHinge::default()),
        "cosine_similarity" => Box::new(CosineSimilarity::default()),
        "hinge" => Box::new(Hinge::default()),
        "huber" => Box::new(set(Huber::default(), c.number("delta")?, Huber::delta)),
        "kl_divergence" => Box::new(KlDivergence::default()),
        "log_cosh" => Box::new(LogCosh::default()),
        "mean_absolute_error" => Box::new(MeanAbsoluteError::default()),
        "mean_absolute_percentage_error" => Box::new(MeanAbsolutePercentageError::default()),
        "mean_squared_error" => Box::new(MeanSquaredError::default()),
        "mean_squared_logarithmic_error" => Box::new(MeanSquaredLogarithmicError::default()),
        "poisson" => Box::new(Poisson::default()),
        "sparse_categorical_crossentropy" => {
            type Loss = SparseCategoricalCrossentropy;
            Box::new(set(Loss::default(), c.flag("from_logits")?, Loss::from_logits))
        }
        "squared_hinge" => Box::new(SquaredHinge::default()),
        other => return Err(format!("not a known loss: {other}")),
    })
}
