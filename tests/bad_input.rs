//! What data and arguments can get wrong is an error that says what was expected, what came and what to do.

use gradus::prelude::*;
use proptest::prelude::*;

fn model() -> Sequential {
    let mut model = Sequential::new([3])
        .add(Dense::new(4).activation(Activation::Relu))
        .add(Dense::new(2).activation(Activation::Softmax))
        .build(1)
        .unwrap();
    model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    model
}

fn quiet() -> Fit<'static> {
    Fit::default().verbose(Verbose::Silent)
}

fn x(n: usize) -> Tensor {
    Tensor::from_fn([n, 3], |i| (i % 7) as f32 * 0.1)
}

fn y(n: usize) -> Tensor {
    Tensor::from_fn([n], |i| (i % 2) as f32)
}

/// The message of the error that `fit` must return.
fn fit_error(x: &Tensor, y: &Tensor, how: Fit<'_>) -> String {
    model().fit(x, y, &how).unwrap_err().to_string()
}

#[test]
fn wrong_feature_count() {
    assert_eq!(
        fit_error(&Tensor::zeros([5, 4]), &y(5), quiet()),
        "fit: expected inputs of shape [n, 3], n samples, got [5, 4]; pass samples of shape [3], as given to Sequential::new"
    );
    assert_eq!(
        model().predict(&Tensor::zeros([3])).unwrap_err().to_string(),
        "predict: expected inputs of shape [n, 3], n samples, got [3]; add the batch axis in front, x.reshape([1, …]), even for one \
         sample; or, if the first size counts samples, leave it out of Sequential::new"
    );
    assert!(model().predict(&Tensor::zeros(gradus::Shape::SCALAR)).unwrap_err().is_shape());
}

#[test]
fn wrong_label_count() {
    assert_eq!(
        fit_error(&x(5), &y(4), quiet()),
        "fit: expected 5 targets, one for each sample of x, got 4; make the first axes of x and y agree"
    );
    assert_eq!(
        fit_error(&x(5), &Tensor::zeros([5, 3]), quiet()),
        "CategoricalCrossentropy: expected class numbers of shape [5] or one-hot rows of shape [5, 2], got [5, 3]; make the \
         last layer's units the number of classes, and pass one target a sample"
    );
}

#[test]
fn label_out_of_range() {
    assert_eq!(
        fit_error(&x(3), &Tensor::from([0.0, 1.0, 2.0]), quiet()),
        "CategoricalCrossentropy: target in row 2 is 2, expected a whole number from 0 to 1; map class names to numbers from \
         0, and give the last layer one unit a class"
    );
    for bad in [-1.0, 0.5, f32::NAN, f32::INFINITY] {
        assert!(
            fit_error(&x(1), &Tensor::from([bad]), quiet()).contains("expected a whole number from 0 to 1"),
            "{bad}"
        );
    }
    assert!(fit_error(&x(1), &Tensor::from([[0.5, f32::NAN]]), quiet()).contains("target in row 0 is NaN"));
}

#[test]
fn empty_data() {
    assert_eq!(fit_error(&x(0), &y(0), quiet()), "fit: x has no samples; pass at least one row");
    assert_eq!(
        model().evaluate(&x(0), &y(0)).unwrap_err().to_string(),
        "evaluate: x has no samples; pass at least one row"
    );
    assert_eq!(model().predict(&x(0)).unwrap().dims(), &[0, 2]);
    assert!(
        fit_error(&x(4), &y(4), quiet().validation_data(&x(0), &y(0)))
            .starts_with("validation data: fit: x has no samples")
    );
}

#[test]
fn metrics_of_one_name_are_numbered() {
    let mut model = model();
    let metrics = [Accuracy::default(), Accuracy::default()];
    model.compile(Adam::default(), CategoricalCrossentropy::default(), metrics).unwrap();
    let history = model.fit(&x(8), &y(8), &quiet().epochs(2).validation_split(0.5)).unwrap();
    let names: Vec<_> = history.names().collect();
    assert_eq!(names, ["loss", "accuracy", "accuracy_1", "val_loss", "val_accuracy", "val_accuracy_1"]);
    assert_eq!(history.get("accuracy_1").map(<[f64]>::len), Some(2));
}

#[test]
fn settings_of_fit() {
    assert_eq!(
        fit_error(&x(4), &y(4), quiet().batch_size(0)),
        "fit: batch_size must be at least 1, got 0; 32 is usual"
    );
    for part in [1.0, -0.1, f64::NAN] {
        assert!(fit_error(&x(4), &y(4), quiet().validation_split(part)).contains("at least 0 and below 1"));
    }
    assert!(fit_error(&x(1), &y(1), quiet().validation_split(0.5)).contains("leave a sample of 1 to train on"));
    let history = model().fit(&x(4), &y(4), &quiet().epochs(2).initial_epoch(5)).unwrap();
    assert!(history.epochs.is_empty());
}

#[test]
fn nan_in_data_is_reported_with_row_and_column() {
    let mut bad = x(6);
    bad.row_mut(4)[1] = f32::NAN;
    assert_eq!(
        fit_error(&bad, &y(6), quiet().check_finite(true)),
        "fit: x has NaN in row 4, column 1; remove or impute it before training"
    );
}

#[test]
fn nan_loss_stops_and_keeps_the_last_finite_weights() {
    let mut model = model();
    model.fit(&x(8), &y(8), &quiet()).unwrap();
    let before = model.params().values().to_vec();
    let mut bad = x(8);
    bad.row_mut(0)[0] = f32::NAN;
    let error = model.fit(&bad, &y(8), &quiet()).unwrap_err();
    assert!(error.is_diverged());
    assert!(
        error.to_string().starts_with("fit: the loss became NaN in epoch 1, step 1; the last finite weights are kept")
    );
    assert_eq!(model.params().values(), before);
    // And training can go on.
    model.fit(&x(8), &y(8), &quiet()).unwrap();
    assert!(model.params().values().iter().all(|w| w.is_finite()));
}

#[test]
fn divergence_leaves_finite_weights() {
    let mut model = Sequential::new([3]).add(Dense::new(4)).add(Dense::new(1)).build(1).unwrap();
    model.compile(Sgd::default().learning_rate(1e6), MeanSquaredError::default(), ()).unwrap();
    let error = model.fit(&x(64), &Tensor::full([64], 1.0), &quiet().epochs(100)).unwrap_err();
    assert!(error.is_diverged(), "{error}");
    assert!(model.params().values().iter().all(|w| w.is_finite()));
}

#[test]
fn a_learning_rate_that_overflows_changes_nothing() {
    for rate in [1e39, 1e308] {
        let mut model = Sequential::new([3]).add(Dense::new(1)).build(1).unwrap();
        let before = model.params().values().to_vec();
        model.compile(Sgd::default().learning_rate(rate), MeanSquaredError::default(), ()).unwrap();
        assert!(model.fit(&x(4), &Tensor::full([4], 1.0), &quiet()).unwrap_err().is_diverged());
        assert_eq!(model.params().values(), before);
    }
    let mut model = Sequential::new([3]).add(Dense::new(1)).build(1).unwrap();
    model.compile(Sgd::default().learning_rate(1e38), MeanSquaredError::default(), ()).unwrap();
    let _ = model.fit(&x(4), &Tensor::full([4], 100.0), &quiet());
    assert!(model.params().values().iter().all(|w| w.is_finite()));
}

#[test]
fn a_gradient_that_overflows_changes_nothing() {
    // An infinite input behind a ReLU that is off: a finite loss, 0·∞ in the gradient.
    let mut model = Sequential::new([1])
        .add(Dense::new(1).activation(Activation::Relu).kernel_initializer(Init::Constant(-1.0)))
        .add(Dense::new(1))
        .build(1)
        .unwrap();
    model.compile(Adam::default().global_clipnorm(1.0), MeanSquaredError::default(), ()).unwrap();
    let before = model.params().values().to_vec();
    let error = model.fit(&Tensor::from([[f32::INFINITY]]), &Tensor::from([1.0]), &quiet()).unwrap_err();
    assert!(error.is_diverged(), "{error}");
    assert_eq!(model.params().values(), before);
}

#[test]
fn loss_and_activation_that_do_not_fit() {
    let mut model = Sequential::new([3]).add(Dense::new(2).activation(Activation::Softmax)).build(1).unwrap();
    let error = model.compile(Adam::default(), CategoricalCrossentropy::default().from_logits(true), ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "CategoricalCrossentropy does not fit a last layer with softmax: from_logits applies the softmax itself; remove the \
         activation or from_logits"
    );
    let mut model = Sequential::new([3]).add(Dense::new(1).activation(Activation::Softmax)).build(1).unwrap();
    let error = model.compile(Adam::default(), CategoricalCrossentropy::default(), ()).unwrap_err();
    assert!(error.to_string().contains("there is one unit"));
}

#[test]
fn order_of_calls() {
    let unbuilt = Sequential::new([3]).add(Dense::new(2));
    assert_eq!(
        unbuilt.predict(&x(1)).unwrap_err().to_string(),
        "predict: the model is not built; call .build(seed)? after the last .add(...)"
    );
    let mut built = unbuilt.build(0).unwrap();
    assert_eq!(
        built.fit(&x(1), &y(1), &quiet()).unwrap_err().to_string(),
        "fit: the model is not compiled; call model.compile(optimizer, loss, metrics)? first"
    );
    assert!(built.evaluate(&x(1), &y(1)).is_err());
    assert!(built.train_on_batch(&x(1), &y(1)).is_err());
    assert!(built.weight("dense/bia").unwrap_err().to_string().contains("one of dense/kernel, dense/bias"));
    assert!(Sequential::new([3]).build(0).unwrap_err().to_string().contains("no layers"));
    assert!(built.compile(Adam::default().learning_rate(-1.0), MeanSquaredError::default(), ()).is_err());
    assert!(built.compile(Adam::default().beta_1(1.0), MeanSquaredError::default(), ()).is_err());
    assert!(built.compile(Adam::default().clipnorm(0.0), MeanSquaredError::default(), ()).is_err());
}

#[test]
fn impossible_shapes() {
    for input in [gradus::Shape::from([0]), gradus::Shape::from([3, 0]), gradus::Shape::from([1, 1, 1, 1, 1, 1])] {
        assert!(Sequential::new(input).add(Dense::new(2)).build(0).is_err(), "{input}");
    }
    for n in [0, 1 << 45, usize::MAX] {
        assert!(Sequential::new([3]).add(RepeatVector::new(n)).build(0).is_err(), "{n}");
    }
    assert!(Sequential::new([1]).add(Reshape::new([])).build(0).unwrap_err().to_string().contains("Reshape([1])"));
    for units in [0, 1 << 40, usize::MAX] {
        assert!(Sequential::new([3]).add(Dense::new(units)).build(0).is_err(), "{units}");
    }
}

/// A shape of up to four axes with small, often fitting sizes.
fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(0usize), 1..5usize], 0..5)
}

fn values() -> impl Strategy<Value = f32> {
    prop_oneof![-2f32..2.0, Just(0.0), Just(1.0), Just(f32::NAN), Just(f32::INFINITY), Just(1e38), Just(-1e38)]
}

fn tensors() -> impl Strategy<Value = Tensor> {
    (shapes(), prop::collection::vec(values(), 16)).prop_map(|(shape, values)| {
        let shape = gradus::Shape::try_from(shape.as_slice()).unwrap();
        Tensor::from_fn(shape, |i| values[i % values.len()])
    })
}

/// Any of the losses, by number.
fn compile(model: &mut Sequential, loss: u8) -> Result<(), Error> {
    let optimizer = Sgd::default();
    match loss % 3 {
        0 => model.compile(optimizer, MeanSquaredError::default(), ()),
        1 => model.compile(optimizer, CategoricalCrossentropy::default(), [Accuracy::default()]),
        _ => model.compile(optimizer, CategoricalCrossentropy::default().from_logits(true), [Accuracy::default()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever shapes and values come, the public API answers with a result.
    #[test]
    fn no_panic_from_any_data(
        input in shapes(),
        units in 0usize..4,
        activation in 0usize..24,
        loss in any::<u8>(),
        x in tensors(),
        y in tensors(),
        fitting in 0u8..4,
        batch in 0usize..4,
        split in -0.5f64..1.5,
    ) {
        let input = gradus::Shape::try_from(input.as_slice()).unwrap();
        let model = Sequential::new(input)
            .add(Dense::new(3).activation(Activation::ALL[activation]))
            .add(Residual::new().add(Dense::new(3)))
            .add(Dense::new(units).activation(Activation::ALL[(activation * 7) % 24]))
            .build(0);
        if let Ok(mut model) = model {
            // Three times of four the shapes fit, so that the values get as far as training.
            let n = 1 + x.len() % 5;
            let fit = |t: &Tensor, shape: gradus::Shape| {
                Tensor::from_fn(shape, |i| t.as_slice().get(i % t.len().max(1)).copied().unwrap_or(0.5))
            };
            let x = if fitting > 0 { fit(&x, input.batched(n).unwrap()) } else { x.clone() };
            let y = match fitting {
                0 | 1 => y.clone(),
                2 => fit(&y, model.output_shape().batched(n).unwrap()),
                _ => Tensor::from_fn([n], |i| i as f32 % units.max(1) as f32),
            };
            let _ = compile(&mut model, loss);
            let _ = model.fit(&x, &y, &quiet().epochs(2).batch_size(batch).validation_split(split));
            let _ = model.evaluate(&x, &y);
            let _ = model.train_on_batch(&x, &y);
            let _ = model.predict(&x);
            let _ = model.predict_classes(&x);
            let _ = model.summary().to_string();
            prop_assert!(model.params().values().iter().all(|w| w.is_finite()));
        }
        let _ = x.rows(batch..units);
        let _ = x.select(&[batch, units]);
        let _ = x.argmax();
        let _ = x.clone().reshape(y.shape());
        let _ = format!("{x:?}");
    }
}
