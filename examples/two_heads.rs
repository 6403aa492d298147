//! Two questions about one picture, each with a loss, a weight and figures of its own: which digit it is, and how much ink it took.
//!
//! `cargo run --release --example two_heads`

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let data = digits();
    let x = data.x.map(|v| v / 16.0);
    let ink = Tensor::from_fn([x.samples(), 1], |i| x.row(i).iter().sum::<f32>() / 64.0);
    let n = 1400;
    let part = |t: &Tensor| -> Result<[Tensor; 2], Error> { Ok([t.rows(0..n)?, t.rows(n..t.samples())?]) };
    let ([x, x_test], [digit, digit_test], [ink, ink_test]) = (part(&x)?, part(&data.y)?, part(&ink)?);

    let mut g = Graph::new();
    let pixels = g.input("pixels", [64]);
    let h = g.add(Dense::new(96).activation(Activation::Relu), pixels);
    let h = g.add(Dropout::new(0.2), h);
    let which = g.add_named("digit", Dense::new(10).activation(Activation::Softmax), h);
    let amount = g.add_named("ink", Dense::new(1), h);
    let mut model = g.build([which, amount], 1)?;
    model.compile_heads(
        Adam::default(),
        [
            Head::new("digit").loss(SparseCategoricalCrossentropy::default()).metrics([Accuracy::default()]),
            Head::new("ink")
                .loss(MeanSquaredError::default())
                .loss_weight(5.0)
                .metrics([LossMetric::new(MeanAbsoluteError::default())]),
        ],
    )?;
    // Every other sample counts half for the digit, and all alike for the ink.
    let weights: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { 1.0 } else { 0.5 }).collect();
    let how = Fit::default()
        .epochs(15)
        .sample_weight([("digit", &weights[..])])
        .validation_data(&x_test, [("digit", &digit_test), ("ink", &ink_test)]);
    let history = model.fit(&x, [("ink", &ink), ("digit", &digit)], &how)?;
    println!("\n{history}\n");
    println!("{}", model.evaluate(&x_test, [&digit_test, &ink_test])?);
    let [which, amount]: [Tensor; 2] = model.predict_all(&x_test.rows(0..4)?)?.try_into().unwrap_or_default();
    println!("the first four: digits {:?}, ink {:.2?}", which.argmax(), amount.as_slice());
    Ok(())
}
