//! One step of learning, by hand: three sigmoid layers, the loss ½Σ(y − ŷ)², its gradient next to finite differences, and
//! plain gradient descent.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    // Exclusive or, in f64 so that differences are exact enough to compare with.
    let x = Tensor::from([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = Tensor::from([[0.0], [1.0], [1.0], [0.0]]);
    let mut model = Sequential::new([2])
        .add(Dense::new(3).activation(Activation::Sigmoid))
        .add(Dense::new(2).activation(Activation::Sigmoid))
        .add(Dense::new(1).activation(Activation::Sigmoid))
        .build_as::<f64>(1)?;
    let rate = 2.0;
    model.compile(Sgd::default().learning_rate(rate), HalfSquaredError::default(), ())?;

    // ∂loss/∂w by the backward passes, and (loss(w + h) − loss(w − h)) / 2h, weight by weight.
    let (loss, gradient) = model.gradients(&x, &y)?;
    println!("loss before the step: {loss:.6}\n");
    println!("{:<18}{:>14}{:>14}{:>14}", "weight", "value", "gradient", "differences");
    let (h, mut worst) = (1e-5, 0f64);
    for spec in model.params().specs().to_vec() {
        for at in spec.range.clone() {
            let w = model.params().values()[at];
            model.values_mut()[at] = w + h;
            let up = model.gradients(&x, &y)?.0;
            model.values_mut()[at] = w - h;
            let down = model.gradients(&x, &y)?.0;
            model.values_mut()[at] = w;
            let difference = (up - down) / (2.0 * h);
            worst = worst.max((gradient[at] - difference).abs());
            let name = format!("{}[{}]", spec.name, at - spec.range.start);
            println!("{name:<18}{w:>14.8}{:>14.8}{difference:>14.8}", gradient[at]);
        }
    }
    println!("\nlargest difference: {worst:.1e}");
    assert!(worst < 1e-9);

    // The step itself is w −= rate·gradient and nothing else.
    let before = model.params().values().to_vec();
    model.train_on_batch(&x, &y)?;
    let as_computed =
        before.iter().zip(&gradient).map(|(w, g)| w - rate * g).eq(model.params().values().iter().copied());
    println!("the step is w - {rate}·gradient: {as_computed}");
    println!("loss after 1 step:     {:.6}", model.gradients(&x, &y)?.0);
    for _ in 1..5000 {
        model.train_on_batch(&x, &y)?;
    }
    println!("loss after 5000 steps: {:.6}", model.gradients(&x, &y)?.0);
    println!("answers: {:.3?} for {:?}", model.predict(&x)?.as_slice(), y.as_slice());
    Ok(())
}
