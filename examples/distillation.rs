//! A small model from a large one: what the large one takes each digit for, and how nearly, teaches the small one digits that nobody has
//! labelled for it (Hinton et al.: "Distilling the Knowledge in a Neural Network", 2015). Probabilities at a temperature of 3 are the
//! targets of one output, labels those of another; both outputs are the same scores, and where there is no label its weight is 0.
//!
//! `cargo run --release --example distillation`

use gradus::prelude::*;

const TEMPERATURE: f64 = 3.0;
/// Digits whose labels the pupil is told.
const LABELLED: usize = 60;

/// A network whose outputs are scores, their probabilities, and the softer ones of a temperature.
fn network(hidden: &[usize], seed: u64) -> Result<Model, Error> {
    let mut g = Graph::new();
    let x = g.input("pixels", [64]);
    let h = hidden.iter().fold(x, |h, &units| g.add(Dense::new(units).activation(Activation::Relu), h));
    let scores = g.add_named("scores", Dense::new(10), h);
    let hard = g.add_named("hard", Activation::Softmax, scores);
    let cool = g.compute(scores / TEMPERATURE);
    let soft = g.add_named("soft", Activation::Softmax, cool);
    g.build([hard, soft], seed)
}

fn main() -> Result<(), Error> {
    let data = digits();
    let parts = train_test_split(&data.x.map(|v| v / 16.0), &data.y, &Split::default().test_size(0.5).stratify(true))?;
    let labels = || SparseCategoricalCrossentropy::default();
    let how = || Fit::default().batch_size(32).verbose(Verbose::Silent);
    let accuracy = |model: &Model| -> Result<f64, Error> {
        let right = model.predict_all(&parts.x_test)?[0].argmax();
        let hits = right.iter().zip(parts.y_test.to_labels()).filter(|(a, b)| **a == *b).count();
        Ok(100.0 * hits as f64 / right.len() as f64)
    };

    let mut teacher = network(&[256, 128], 1)?;
    teacher.compile_heads(Adam::default(), [Head::new("hard").loss(labels())])?;
    teacher.fit(&parts.x_train, &parts.y_train, &how().epochs(40))?;
    println!("teacher: {} weights, {:.1}% right", teacher.params().len(), accuracy(&teacher)?);

    let (few, few_labels) = (parts.x_train.rows(0..LABELLED)?, parts.y_train.rows(0..LABELLED)?);
    let mut alone = network(&[16], 2)?;
    alone.compile_heads(Adam::default(), [Head::new("hard").loss(labels())])?;
    alone.fit(&few, &few_labels, &how().epochs(400))?;
    println!("pupil by {LABELLED} labels: {} weights, {:.1}% right", alone.params().len(), accuracy(&alone)?);

    let soft = &teacher.predict_all(&parts.x_train)?[1];
    let mut taught = network(&[16], 2)?;
    // Gradients of the soft targets are smaller by the square of the temperature.
    let heads = [
        Head::new("hard").loss(labels()).loss_weight(0.3),
        Head::new("soft").loss(CategoricalCrossentropy::default()).loss_weight(0.7 * TEMPERATURE * TEMPERATURE),
    ];
    taught.compile_heads(Adam::default(), heads)?;
    let known: Vec<f32> = (0..parts.x_train.samples()).map(|i| if i < LABELLED { 1.0 } else { 0.0 }).collect();
    let how = how().epochs(60).sample_weight([("hard", &known[..])]);
    let history = taught.fit(&parts.x_train, [("hard", &parts.y_train), ("soft", soft)], &how)?;
    println!("pupil by the same labels and the teacher's answers: {:.1}% right", accuracy(&taught)?);
    let last = |name: &str| history.last(name).unwrap_or(f64::NAN);
    println!(
        "losses in the end: {:.3} of labels, {:.3} of the teacher's answers",
        last("hard_loss"),
        last("soft_loss")
    );
    Ok(())
}
