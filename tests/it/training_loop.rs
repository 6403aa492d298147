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

/// A batch that no memory holds is an error and not the end of the program; the pass before it stands.
#[test]
fn a_batch_that_is_too_large() {
    for size in [1, FREE] {
        let layers = Sequential::new([size]).add(RepeatVector::new(1 << 20)).add(GlobalAveragePooling1d::new());
        let model = layers.build(0).unwrap();
        let mut steps = model.training_loop();
        let (small, large) =
            (Tensor::from([[3.0]]), Tensor::zeros(if size == 1 { [1 << 24, 1] } else { [1 << 16, 1 << 8] }));
        steps.forward(&model, &[&small]).unwrap();
        let error = steps.forward(&model, &[&large]).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
        assert!(error.to_string().starts_with("forward: what the layers compute for a batch of "), "{error}");
        assert_eq!(steps.output(&model, 0).unwrap(), &small);
        steps.output_gradient(&model, 0).unwrap().as_mut_slice().fill(1.0);
        steps.backward(&model, &[&small]).unwrap();
        assert!((steps.input_gradient(&model, 0).unwrap().as_slice()[0] - 1.0).abs() < 1e-3);
    }
}

#[test]
fn gradients_of_outputs_are_written_before_each_pass_back() {
    let mut g = Graph::new();
    let x = g.input("x", [2]);
    let (a, b) = (g.add_named("a", Dense::new(1), x), g.add_named("b", Dense::new(3), x));
    let model = g.build_as::<f64>([a, b], 1).unwrap();
    let (mut own, x) = (model.training_loop(), Tensor::from([[1.0, 2.0], [3.0, 4.0]]));
    own.forward(&model, &[&x]).unwrap();
    let back = |own: &mut TrainingLoop<f64>| own.backward(&model, &[&x]).unwrap_err().to_string();
    assert!(back(&mut own).contains("the gradient of the output a has not been written"));
    own.output_gradient(&model, 0).unwrap().as_mut_slice().fill(1.0);
    let error = back(&mut own);
    assert_eq!(
        error,
        "backward: the gradient of the output b has not been written; write it into output_gradient before each pass back, zeros where \
         there is none"
    );
    *own.output_gradient(&model, 1).unwrap() = Tensor::zeros([3, 1]);
    assert!(back(&mut own).contains("expected a gradient of shape [2, 3] for the output b, got [3, 1]"));
    own.output_gradient(&model, 1).unwrap().as_mut_slice().fill(0.0);
    own.backward(&model, &[&x]).unwrap();
    assert_eq!(own.gradient(&model, "a/kernel").unwrap(), [4.0, 6.0]);
    // What was written is used up.
    assert!(back(&mut own).contains("output a"));
}
