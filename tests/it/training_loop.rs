//! Training loops of one's own.

use gradus::prelude::*;

#[test]
fn weights_thawed_after_the_loop_was_made_learn() {
    let x = Tensor::from([[1.0f64, 2.0], [0.5, -1.0]]);
    let first = |frozen: bool| {
        let mut model = Sequential::new([2]).add(Dense::new(3)).add(Dense::new(1)).build_as(1).unwrap();
        model.set_trainable("dense", !frozen).unwrap();
        let mut steps = model.training_loop();
        let mut gradient = |model: &Model<f64>| {
            steps.clear();
            steps.forward(model, &[&x]).unwrap();
            steps.output_gradient(model, 0).unwrap().as_mut_slice().fill(1.0);
            steps.backward(model, &[&x]).unwrap();
            steps.gradient(model, "dense/kernel").unwrap().to_vec()
        };
        let before = gradient(&model);
        model.set_trainable("dense", true).unwrap();
        (before, gradient(&model))
    };
    let (frozen, thawed) = first(true);
    let (always, again) = first(false);
    assert!(frozen.iter().all(|&g| g == 0.0), "{frozen:?}");
    assert!(always.iter().any(|&g| g != 0.0));
    assert_eq!((&thawed, &again), (&always, &always));
}
