//! The classic first model of Keras, on 100 generated samples of 10 features: scaled to 0..1, split, trained, measured.

use gradus::prelude::*;
use gradus::random::{Key, Purpose};

/// 100 samples of 10 features between −1 and 1. Each feature speaks for one of the two classes, the first more than the
/// last; the sum decides.
fn samples(seed: u64) -> (Tensor, Tensor) {
    let key = Key::new(seed, Purpose::Data);
    let x = Tensor::from_fn([100, 10], |i| 2.0 * key.unit(i as u64) as f32 - 1.0);
    let score = |row: &[f32]| {
        row.iter().zip([4.0, -3.0, 2.0, -1.0, 1.0, -1.0, 0.5, -0.5, 0.2, 0.1]).map(|(x, w)| x * w).sum::<f32>()
    };
    let classes: Vec<usize> = (0..100).map(|i| usize::from(score(x.row(i)) > 0.0)).collect();
    (x, Tensor::from_labels(&classes))
}

/// Trains, and measures on the test samples: accuracy, and recall, the part of class 1 that is found.
pub fn run(seed: u64, verbose: Verbose) -> Result<Scores, Error> {
    let (x, y) = samples(seed);
    let parts = train_test_split(&x, &y, &Split::default().test_size(0.2).seed(seed).stratify(true))?;

    // The scaler learns smallest and largest values from the training samples only.
    let scaler = MinMaxScaler::fit(&parts.x_train)?;
    let (x_train, x_test) = (scaler.transform(&parts.x_train)?, scaler.transform(&parts.x_test)?);

    let mut model = Sequential::new([10])
        .add(Dense::new(10).activation(Activation::Relu))
        .add(Dense::new(20).activation(Activation::Relu))
        .add(Dense::new(2).activation(Activation::Softmax))
        .build(seed)?;
    let metrics = (Accuracy::default(), Recall::default().class_id(1));
    model.compile(Adam::default().learning_rate(0.01), CategoricalCrossentropy::default(), metrics)?;
    model.fit(&x_train, &parts.y_train, &Fit::default().epochs(20).batch_size(8).verbose(verbose))?;
    model.evaluate(&x_test, &parts.y_test)
}

fn main() -> Result<(), Error> {
    println!("\ntest {}", run(0, Verbose::Auto)?);
    Ok(())
}
