//! What data and arguments can get wrong is an error that says what was expected, what came and what to do.

use gradus::metrics::MetricSet;
use gradus::prelude::*;
use proptest::prelude::*;

use crate::child;

fn model() -> Model {
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
    // Labels from 1 on, and rows of several labels or none.
    let from_one = fit_error(&x(3), &Tensor::from([1.0, 2.0, 1.0]), quiet());
    assert!(
        from_one.contains("row 1 is 2, expected a whole number from 0 to 1; these labels run from 1 to 2: subtract 1"),
        "{from_one}"
    );
    assert_eq!(
        fit_error(&x(2), &Tensor::from([[0.0, 1.0], [1.0, 1.0]]), quiet()),
        "CategoricalCrossentropy: target in row 1 is a row that sums to 2, expected a row of probabilities that sums to 1; for \
         several labels a sample use BinaryCrossentropy and a sigmoid; to leave a sample out give it the weight 0, and \
         the model weighted_metrics"
    );
    assert!(fit_error(&x(1), &Tensor::from([[0.0, 0.0]]), quiet()).contains("sums to 0"));
    assert!(fit_error(&x(1), &Tensor::from([[0.6, 0.6]]), quiet()).contains("a row that sums to 1.2, expected"));
    assert!(model().fit(&x(1), &Tensor::from([[0.3, 0.7]]), &quiet()).is_ok());
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
    assert!(fit_error(&x(1), &y(1), quiet().validation_split(0.5)).contains("leave two samples of 1 to train on"));
    let history = model().fit(&x(4), &y(4), &quiet().epochs(2).initial_epoch(5)).unwrap();
    assert!(history.epochs.is_empty());
}

#[test]
fn nan_in_data_is_reported_with_row_and_column() {
    let mut bad = x(6);
    bad.row_mut(4)[1] = f32::NAN;
    assert_eq!(
        fit_error(&bad, &y(6), quiet().check_finite(true)),
        "fit: x has NaN in row 4, column 1; remove or impute it"
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
    assert_eq!(
        error.to_string(),
        "fit: the loss became NaN in epoch 1, step 1; the last finite weights are kept. The cause is in the data: x has NaN in \
         row 0, column 0; remove or impute it"
    );
    assert_eq!(model.params().values(), before);
    // And training can go on.
    model.fit(&x(8), &y(8), &quiet()).unwrap();
    assert!(model.params().values().iter().all(|w| w.is_finite()));
}

/// The row is that of the data, not of the batch, in whatever order and batch it came.
#[test]
fn the_cause_of_a_loss_that_is_not_finite_is_named() {
    let regression = || {
        let mut model = Sequential::new([3]).add(Dense::new(1)).build(1).unwrap();
        model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
        model
    };
    for row in [0, 13, 39] {
        let mut bad = x(40);
        bad.row_mut(row)[2] = f32::NEG_INFINITY;
        let error = regression().fit(&bad, &Tensor::zeros([40]), &quiet().batch_size(7)).unwrap_err().to_string();
        assert!(error.contains(&format!("x has -inf in row {row}, column 2; remove or impute it")), "{error}");
        let mut y = Tensor::zeros([40, 1]);
        y.row_mut(row)[0] = f32::NAN;
        let error = regression().fit(&x(40), &y, &quiet().batch_size(7)).unwrap_err().to_string();
        assert!(error.contains(&format!("y has NaN in row {row}, column 0")), "{error}");
        let error = regression().train_on_batch(&bad, &Tensor::zeros([40])).unwrap_err().to_string();
        assert!(error.contains(&format!("x has -inf in row {row}, column 2")), "{error}");
    }
    // In a dataset rows are those of the batch.
    let mut bad = x(8);
    bad.row_mut(7)[1] = f32::NAN;
    let data = Samples::new(bad.clone(), Tensor::zeros([8, 1])).unwrap().batch(5);
    let error = regression().fit_dataset(&data, &quiet(), &mut []).unwrap_err().to_string();
    assert!(
        error.contains("in epoch 1, step 2") && error.contains("x has NaN in row 2 of the batch, column 1"),
        "{error}"
    );
    #[cfg(feature = "tools")]
    {
        let error = regression().find_learning_rate(&bad, &Tensor::zeros([8]), &LearningRateFinder::default());
        assert!(error.unwrap_err().to_string().contains("x has NaN in row 7, column 1"));
    }
}

#[test]
fn what_is_measured_is_finite() {
    let mut model = Sequential::new([3]).add(Dense::new(1)).build(1).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let (good, y) = (x(8), Tensor::zeros([8, 1]));
    let (mut bad, mut bad_y) = (good.clone(), y.clone());
    bad.row_mut(6)[1] = f32::NAN;
    bad_y.row_mut(7)[0] = f32::INFINITY;
    let before = model.params().values().to_vec();
    let mut fit = |how: Fit<'_>, x: &Tensor, y: &Tensor| model.fit(x, y, &how).unwrap_err().to_string();
    let x_message = "validation data: fit: x has NaN in row 6, column 1; remove or impute it";
    let y_message = "validation data: fit: y has inf in row 7, column 0; remove or impute it";
    assert_eq!(fit(quiet().validation_data(&bad, &y), &good, &y), x_message);
    assert_eq!(fit(quiet().validation_data(&good, &bad_y), &good, &y), y_message);
    // Rows held back are searched before training too.
    assert_eq!(fit(quiet().validation_split(0.25), &bad, &y), x_message);
    assert_eq!(fit(quiet().validation_split(0.25), &good, &bad_y), y_message);
    assert_eq!(model.params().values(), before);
    let evaluate = |x: &Tensor, y: &Tensor| model.evaluate(x, y).unwrap_err().to_string();
    assert_eq!(evaluate(&bad, &y), x_message.replace("validation data: fit", "evaluate"));
    assert_eq!(evaluate(&good, &bad_y), y_message.replace("validation data: fit", "evaluate"));
    let data = Samples::new(bad, y).unwrap().batch(4);
    assert_eq!(
        model.evaluate_dataset(&data).unwrap_err().to_string(),
        "batch 1 of the dataset: evaluate: x has NaN in row 2, column 1; remove or impute it"
    );
}

#[test]
fn rows_sorted_by_class_are_no_validation_split() {
    let sorted = Tensor::from_fn([40], |i| (i / 20) as f32);
    let error = fit_error(&x(40), &sorted, quiet().validation_split(0.5));
    assert!(error.contains("a class that the others lack, class 1; the rows look sorted"), "{error}");
    let hot = one_hot(&sorted, 2).unwrap();
    assert!(fit_error(&x(40), &hot, quiet().validation_split(0.5)).contains("the rows look sorted"));
    assert!(fit_error(&x(2), &y(2), quiet().validation_split(0.5)).contains("leave two samples of 2 to train on"));
    assert!(model().fit(&x(40), &y(40), &quiet().validation_split(0.5)).is_ok());
    // Held-out data of one's own are taken as they come, and numbers have no classes.
    let (last, of) = (x(40).rows(20..40).unwrap(), sorted.rows(20..40).unwrap());
    assert!(model().fit(&x(40), &sorted, &quiet().validation_data(&last, &of)).is_ok());
    let mut regression = Sequential::new([3]).add(Dense::new(1)).build(1).unwrap();
    regression.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    assert!(regression.fit(&x(40), &sorted, &quiet().validation_split(0.5)).is_ok());
}

#[test]
fn divergence_leaves_finite_weights() {
    let mut model = Sequential::new([3]).add(Dense::new(4)).add(Dense::new(1)).build(1).unwrap();
    model.compile(Sgd::default().learning_rate(1e6), MeanSquaredError::default(), ()).unwrap();
    let error = model.fit(&x(64), &Tensor::full([64], 1.0), &quiet().epochs(100)).unwrap_err();
    assert!(error.is_diverged(), "{error}");
    let hint =
        "The batch is finite (x up to 6.000e-1, y up to 1.000e0 in size): lower the learning rate, scale the inputs";
    assert!(error.to_string().contains(hint), "{error}");
    assert!(model.params().values().iter().all(|w| w.is_finite()));
}

#[test]
fn a_learning_rate_that_overflows_changes_nothing() {
    for rate in [1e39, 1e308] {
        let mut model = Sequential::new([3]).add(Dense::new(1)).build(1).unwrap();
        let error = model.compile(Sgd::default().learning_rate(rate), MeanSquaredError::default(), ()).unwrap_err();
        assert!(error.to_string().contains("learning_rate must be finite as f32"), "{error}");
        // A schedule that begins well.
        let later = PiecewiseConstantDecay::new([0], [1e-3, rate]);
        model.compile(Sgd::default().learning_rate(later), MeanSquaredError::default(), ()).unwrap();
        model.train_on_batch(&x(4), &Tensor::full([4, 1], 1.0)).unwrap();
        let before = model.params().values().to_vec();
        assert!(model.train_on_batch(&x(4), &Tensor::full([4, 1], 1.0)).unwrap_err().is_diverged());
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
    assert!(error.is_diverged() && error.to_string().contains("x has inf in row 0, column 0"), "{error}");
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
    let mut built = Sequential::new([3]).add(Dense::new(2)).build(0).unwrap();
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

/// Layers of which one setting is not finite, or a window not countable, whether the setting is used or not.
fn impossible_layers(bad: f64) -> Vec<(&'static str, Box<dyn Layer<f32>>)> {
    let init = || Init::Constant(bad);
    let penalty = Regularizer::L2(bad);
    let bounds = Constraint::max_norm(bad);
    vec![
        ("bias", Box::new(Dense::new(2).use_bias(false).bias_initializer(init()))),
        ("bias", Box::new(Dense::new(2).use_bias(false).bias_regularizer(penalty))),
        ("bias", Box::new(Dense::new(2).use_bias(false).bias_constraint(bounds.clone()))),
        ("bias", Box::new(Dense::new(2).bias_initializer(init()))),
        ("kernel", Box::new(Dense::new(2).kernel_regularizer(penalty))),
        ("bias", Box::new(GatedDense::swiglu(2).bias_initializer(init()))),
        ("kernel", Box::new(GatedDense::swiglu(2).fused(true).kernel_regularizer(penalty))),
        ("activity", Box::new(Dense::new(2).activity_regularizer(penalty))),
        ("slope", Box::new(Dense::new(2).activation(Activation::LeakyRelu(bad)))),
        ("bias", Box::new(Conv2d::new(2, 1).use_bias(false).bias_initializer(init()))),
        ("bias", Box::new(Conv2dTranspose::new(2, 1).use_bias(false).bias_initializer(init()))),
        ("bias", Box::new(DepthwiseConv2d::new(1).use_bias(false).bias_initializer(init()))),
        ("bias", Box::new(SeparableConv2d::new(2, 1).use_bias(false).bias_initializer(init()))),
        ("gamma", Box::new(BatchNorm::new().scale(false).gamma_initializer(init()))),
        ("gamma", Box::new(BatchNorm::new().scale(false).gamma_regularizer(penalty))),
        ("gamma", Box::new(BatchNorm::new().scale(false).gamma_constraint(bounds.clone()))),
        ("beta", Box::new(LayerNorm::new().center(false).beta_initializer(init()))),
        ("beta", Box::new(GroupNorm::new(1).center(false).beta_constraint(bounds))),
        ("mean", Box::new(BatchNorm::new().moving_mean_initializer(init()))),
        ("momentum", Box::new(BatchNorm::new().momentum(bad))),
        ("epsilon", Box::new(LayerNorm::new().epsilon(bad))),
        ("epsilon", Box::new(RmsNorm::new().epsilon(bad))),
        ("scale", Box::new(RmsNorm::new().scale_initializer(init()))),
        ("alpha", Box::new(PRelu::new().alpha_initializer(init()))),
        ("alpha", Box::new(Elu::new().alpha(bad))),
        ("slope", Box::new(LeakyRelu::new().negative_slope(bad))),
        ("rate", Box::new(Dropout::new(bad))),
        ("rate", Box::new(AlphaDropout::new(bad))),
        ("rate", Box::new(GaussianDropout::new(bad))),
        ("std", Box::new(GaussianNoise::new(bad))),
        ("rate", Box::new(SpatialDropout2d::new(bad))),
        ("l1", Box::new(ActivityRegularization::new().l1(bad))),
        ("scale", Box::new(Rescaling::new(bad))),
        ("offset", Box::new(Rescaling::new(1.0).offset(bad))),
        ("number", Box::new(Arithmetic::new(Operation::Add, bad))),
        ("number", Box::new(Arithmetic::new(Operation::Power, bad).number_first(true))),
    ]
}

#[test]
fn settings_are_checked_whether_they_are_used_or_not() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (setting, layer) in impossible_layers(bad) {
            let text = format!("{layer:?}");
            let built = Sequential::new([4, 4, 3]).add(layer).build(0);
            assert!(matches!(built, Err(Error::Layer { .. })), "{setting} of {text} is {bad}: {built:?}");
        }
    }
    // Finite in f64 alone.
    for init in [Init::Constant(1e300), Init::Uniform { min: -1e300, max: 1e300 }] {
        let error = Sequential::new([3]).add(Dense::new(2).kernel_initializer(init)).build(0).unwrap_err().to_string();
        assert!(error.contains("finite initial values for kernel"), "{error}");
    }
}

#[test]
fn windows_and_sizes_whose_products_wrap() {
    const HUGE: usize = 1 << 31;
    let layers = || -> Vec<Box<dyn Layer<f32>>> {
        vec![
            Box::new(MaxPooling2d::new(HUGE).padding(Padding::Same)),
            Box::new(MaxPooling2d::new(HUGE)),
            Box::new(AveragePooling2d::new([HUGE, HUGE]).strides(1).padding(Padding::Same)),
            Box::new(Conv2d::new(1, HUGE).padding(Padding::Same)),
            Box::new(Conv2d::new(usize::MAX, 1)),
            Box::new(Conv2d::new(1, usize::MAX)),
            Box::new(Conv2dTranspose::new(1, HUGE).dilation_rate(HUGE)),
            Box::new(Conv2dTranspose::new(1, 1).strides(HUGE)),
            Box::new(DepthwiseConv2d::new(1).depth_multiplier(usize::MAX)),
            Box::new(SeparableConv2d::new(1, HUGE).padding(Padding::Same)),
            Box::new(ZeroPadding2d::new(usize::MAX)),
            Box::new(ZeroPadding2d::new(HUGE)),
            Box::new(Cropping2d::new(usize::MAX)),
            Box::new(UpSampling2d::new(HUGE)),
            Box::new(UpSampling2d::new([1 << 14, 1 << 14])),
            Box::new(Reshape::new([isize::MAX, isize::MAX])),
        ]
    };
    for layer in layers() {
        let text = format!("{layer:?}");
        assert!(Sequential::new([5, 7, 3]).add(layer).build(0).is_err(), "{text}");
    }
    // The same layers built by hand, over an input that a model refuses.
    for mut layer in layers() {
        let text = format!("{layer:?}");
        assert!(layer.build([usize::MAX, usize::MAX, 3].into(), &mut Builder::new(0)).is_err(), "{text}");
    }
    // A pool that reaches past the image on all sides is one over the image.
    let pool = MaxPooling2d::new([1, HUGE]).strides(HUGE).padding(Padding::Same);
    let mut model = Sequential::new([1, 2, 1]).add(pool).add(Flatten::new()).add(Dense::new(1)).build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let (x, y) = (Tensor::new([1, 1, 2, 1], vec![3.0, 7.0]).unwrap(), Tensor::zeros([1, 1]));
    model.fit(&x, &y, &quiet()).unwrap();
    #[cfg(feature = "tools")]
    assert_eq!(model.activations(&x).unwrap()[0].1.as_slice(), &[7.0]);
}

#[test]
fn what_can_be_built_can_be_saved() {
    for name in ["", "@x", "a/b", "/", "a\nb", "\u{7f}"] {
        let error = Sequential::new([2]).add_named(name, Dense::new(1)).build(0).unwrap_err().to_string();
        assert!(error.contains("name must be not empty, without slashes"), "{error}");
        let inner = Block::new().add_named(name, Dense::new(1));
        assert!(Sequential::new([2]).add(inner).build(0).is_err(), "{name:?}");
    }
    let nested = |depth: usize| (0..depth).fold(Block::new().add(Dense::new(1)), |inner, _| Block::new().add(inner));
    let error = Sequential::new([2]).add(nested(31)).build(0).unwrap_err().root().to_string();
    assert!(error.contains("more than 32 layers inside one another"), "{error}");
    assert!(Sequential::new([2]).add(nested(30)).build(0).is_ok());
}

#[test]
fn threads_that_cannot_be() {
    let x = x(8);
    let before = model().predict(&x).unwrap();
    for n in [0, 1025, 1_000_000, usize::MAX] {
        assert!(matches!(gradus::set_threads(n), Err(Error::Argument { op: "set_threads", .. })), "{n}");
    }
    assert_eq!(model().predict(&x).unwrap(), before);
}

/// A variable of the environment cannot return an error: what it cannot mean is told on stderr.
#[test]
fn a_number_of_threads_from_outside() {
    if child::task().is_some() {
        // Enough work to ask for threads.
        let wide = Sequential::new([256]).add(Dense::new(512)).build(1).unwrap();
        wide.predict(&Tensor::zeros([256, 256])).unwrap();
        return;
    }
    let told = |value: &str| {
        let mut command = child::again(a_number_of_threads_from_outside, "predict");
        child::ran_and_said(command.env("GRADUS_THREADS", value).spawn().unwrap())[1].clone()
    };
    for (value, why) in [
        ("0", "set_threads: n must be at least 1, got 0"),
        ("5000", "set_threads: n must be at most 1024, got 5000"),
        ("two", "GRADUS_THREADS: value must be a whole number from 1 to 1024, got \"two\""),
        ("-1", "GRADUS_THREADS: value must be a whole number from 1 to 1024, got \"-1\""),
    ] {
        let (told, ignored) = (told(value), "GRADUS_THREADS is ignored, every core may be used: ");
        assert!(told.contains(ignored) && told.contains(why), "{value}: {told}");
        assert_eq!(told.matches(ignored).count(), 1, "{told}");
    }
    assert!(["", " ", "1", " 2 "].iter().all(|value| told(value).is_empty()));
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

/// Any of the losses, by number, some with settings out of range.
fn loss(number: u8, setting: f64) -> Box<dyn Loss<f32>> {
    let logits = number.is_multiple_of(2);
    match number % 21 {
        0 => Box::new(MeanSquaredError::default()),
        1 => Box::new(CategoricalCrossentropy::default()),
        2 => Box::new(CategoricalCrossentropy::default().from_logits(true)),
        3 => Box::new(CategoricalCrossentropy::default().from_logits(logits).label_smoothing(setting)),
        4 => Box::new(SparseCategoricalCrossentropy::default().from_logits(logits)),
        5 => Box::new(BinaryCrossentropy::default().from_logits(logits)),
        6 => Box::new(BinaryCrossentropy::default().from_logits(logits).label_smoothing(setting)),
        7 => Box::new(BinaryFocalCrossentropy::default().from_logits(logits).gamma(setting)),
        8 => Box::new(BinaryFocalCrossentropy::default().from_logits(logits).alpha(setting)),
        9 => Box::new(CategoricalFocalCrossentropy::default().from_logits(logits).gamma(setting).alpha(setting)),
        10 => Box::new(CategoricalHinge::default()),
        11 => Box::new(CosineSimilarity::default()),
        12 => Box::new(HalfSquaredError::default()),
        13 => Box::new(Hinge::default()),
        14 => Box::new(SquaredHinge::default()),
        15 => Box::new(Huber::default().delta(setting)),
        16 => Box::new(KlDivergence::default()),
        17 => Box::new(LogCosh::default()),
        18 => Box::new(MeanAbsoluteError::default()),
        19 => Box::new(MeanAbsolutePercentageError::default()),
        _ if logits => Box::new(MeanSquaredLogarithmicError::default()),
        _ => Box::new(Poisson::default()),
    }
}

/// All metrics, some with settings out of range.
fn metrics(setting: f64, size: usize) -> Vec<Box<dyn Metric<f32>>> {
    vec![
        Box::new(Accuracy::default().threshold(setting)),
        Box::new(Auc::default().num_thresholds(size)),
        Box::new(Auc::default().curve(Curve::PrecisionRecall).num_thresholds(3)),
        Box::new(BinaryAccuracy::default()),
        Box::new(CategoricalAccuracy::default()),
        Box::new(CosineScore::default()),
        Box::new(F1Score::default()),
        Box::new(F1Score::default().threshold(setting).average(Average::Weighted)),
        Box::new(LossMetric::new(SparseCategoricalCrossentropy::default())),
        Box::new(LossMetric::new(KlDivergence::default())),
        Box::new(Precision::default().class_id(size)),
        Box::new(R2Score::default()),
        Box::new(Recall::default().threshold(setting)),
        Box::new(RootMeanSquaredError::default()),
        Box::new(SparseCategoricalAccuracy::default()),
        Box::new(TopKAccuracy::default().k(size)),
    ]
}

#[derive(Clone, Debug)]
struct Rate(u8, f64, u64);

/// Any of the schedules, by number.
impl Schedule for Rate {
    fn at(&self, step: u64) -> f64 {
        self.schedule().at(step)
    }

    fn check(&self) -> Result<(), Error> {
        self.schedule().check()
    }
}

impl Rate {
    fn schedule(&self) -> Box<dyn Schedule> {
        let &Rate(number, rate, steps) = self;
        match number % 11 {
            0 => Box::new(CosineDecay::new(rate, steps).warmup(rate, steps).alpha(rate)),
            1 => Box::new(CosineDecayRestarts::new(rate, steps).t_mul(rate).m_mul(2.0)),
            2 => Box::new(ExponentialDecay::new(rate, steps, 0.5).staircase(true)),
            3 => Box::new(InverseTimeDecay::new(0.1, steps, rate)),
            4 => Box::new(PiecewiseConstantDecay::new([1, steps], [rate, 0.1, rate])),
            5 => Box::new(PolynomialDecay::new(rate, steps).power(rate).cycle(true)),
            6 => Box::new(OneCycle::new(0.1, steps).pct_start(rate).div_factor(rate).three_phase(true)),
            7 => Box::new(WarmupStableDecay::new(rate, steps, steps, steps).alpha(rate)),
            8 => Box::new(Sequence::new(rate).after(steps, PolynomialDecay::new(rate, steps)).after(1, rate)),
            _ => Box::new(rate),
        }
    }
}

/// Any of the optimizers, by number, with that schedule and some way of clipping.
fn optimizer(number: u8, rate: Rate, limit: f64) -> Box<dyn Optimizer<f32>> {
    fn with<O: Optimizer<f32> + OptimizerOptions + 'static>(
        o: O,
        number: u8,
        rate: Rate,
        limit: f64,
    ) -> Box<dyn Optimizer<f32>> {
        let o = o.learning_rate(rate);
        match number / 13 % 6 {
            0 => Box::new(o.clipvalue(limit)),
            1 => Box::new(o.clipnorm(limit)),
            2 => Box::new(o.global_clipnorm(limit)),
            3 => Box::new(o.weight_decay(limit).decay_all(true)),
            4 => Box::new(o.ema(0.5).ema_overwrite_frequency(number.into())),
            _ => Box::new(o),
        }
    }
    match number % 13 {
        0 => with(Adadelta::default(), number, rate, limit),
        1 => with(Adafactor::default(), number, rate, limit),
        2 => with(Adagrad::default(), number, rate, limit),
        3 => with(Adam::default().amsgrad(true), number, rate, limit),
        4 => with(Adamax::default(), number, rate, limit),
        5 => with(AdamW::default(), number, rate, limit),
        6 => with(Ftrl::default().l1_regularization_strength(limit), number, rate, limit),
        7 => with(Lion::default(), number, rate, limit),
        8 => with(Nadam::default(), number, rate, limit),
        9 => with(RmsProp::default().centered(true).momentum(0.5), number, rate, limit),
        10 => with(Sgd::default().momentum(0.9).nesterov(true), number, rate, limit),
        11 => with(Muon::default().ns_steps(2).rms_rate(limit), number, rate, limit),
        _ => with(Sgd::default(), number, rate, limit),
    }
}

/// Any of the layers, by number, with sizes that fit or do not.
fn layer(number: u8, sizes: &[usize], setting: f64) -> Box<dyn Layer<f32>> {
    let size = sizes.first().copied().unwrap_or(0);
    match number % 36 {
        0 => Box::new(Dropout::new(setting)),
        1 => Box::new(Reshape::new(sizes.iter().map(|s| *s as isize - 1).collect::<Vec<_>>())),
        2 => Box::new(Reshape::new([-1, size as isize])),
        3 => Box::new(Reshape::new([isize::MIN, isize::MAX])),
        4 => Box::new(RepeatVector::new(size)),
        5 => Box::new(RepeatVector::new(usize::MAX / (size + 1))),
        6 => Box::new(Permute::new(sizes)),
        7 => Box::new(Permute::new([2, 1])),
        8 => Box::new(PRelu::new()),
        9 => Box::new(PRelu::new().shared_axes(sizes)),
        10 => Box::new(Normalization::from_stats(vec![setting; size], vec![1.0; size])),
        11 => Box::new(Normalization::from_stats([0.5; 3], [setting; 3])),
        12 => Box::new(Normalization::new()),
        13 => Box::new(UnitNormalization::new()),
        14 => Box::new(Flatten::new()),
        15 => Box::new(LeakyRelu::new().negative_slope(setting)),
        16 => Box::new(Elu::new().alpha(setting)),
        17 => Box::new(Softmax::new()),
        18 => Box::new(GaussianNoise::new(setting)),
        19 => Box::new(GaussianDropout::new(setting)),
        20 => Box::new(AlphaDropout::new(setting)),
        21 => Box::new(Arithmetic::new(Operation::Divide, setting)),
        22 => Box::new(Arithmetic::new(Operation::Power, setting).number_first(size % 2 == 0)),
        23 => Box::new(sizes.iter().fold(Slice::new(), |slice, s| slice.at(*s as isize - 2))),
        24 => Box::new(sizes.iter().fold(Slice::new(), |slice, s| slice.every(*s, -2..*s as isize))),
        26 => Box::new(Masking::new(setting)),
        27 => Box::new(Embedding::new(size, sizes.len()).mask_zero(size > 1).padding_idx(sizes.len())),
        28 => Box::new(Embedding::new(1000, size)),
        29 => Box::new(TimeDistributed::new(Normalization::from_stats(vec![setting; size], vec![1.0; size]))),
        30 => Box::new(GatedDense::new(size, Activation::Elu(setting)).fused(sizes.len() > 1)),
        31 => Box::new(RmsNorm::new().last(size).unit_offset(sizes.len() > 1).epsilon(setting)),
        32 => Box::new(MultiHeadAttention::new(size, sizes.len()).key_heads(sizes.len()).dropout(setting).window(size)),
        33 => Box::new(
            MultiHeadAttention::new(2, size).scale(setting).soft_cap(setting).rotary(Rotary::new().theta(setting)),
        ),
        34 => Box::new(ClassToken::new().token_initializer(Init::Constant(setting))),
        25 => Box::new(Slice::new().every(size, isize::MIN..).range(..=isize::MAX)),
        _ => Box::new(Rescaling::new(setting).offset(setting)),
    }
}

/// Settings, most of them out of some range.
fn settings() -> impl Strategy<Value = f64> {
    let special = [0.0, 1e-3, 0.5, 1.0, 1e38, 1e300, f64::NAN, f64::INFINITY, -1.0];
    prop_oneof![Just(0.01), 0.0..1.0, prop::sample::select(special.to_vec())]
}

/// Any setting of the reader on any text.
#[cfg(feature = "csv")]
fn read_table(text: &str, column: i32, delimiter: u8, header: Option<bool>, labels: u8, skip: usize) {
    let csv = Csv::default().delimiter(delimiter).skip_lines(skip);
    let csv = if let Some(header) = header { csv.header(header) } else { csv };
    let csv = match labels {
        0 => csv.label(column),
        1 => csv.label("a").ignore([column]),
        2 => csv.no_label().features([column, 0]),
        3 => csv.labels([column, -1]).numbers(),
        4 => csv.classes(),
        _ => csv.class_names(["a", "b", "a"]),
    };
    if let Ok(table) = csv.parse::<f32>(text) {
        let _ = train_test_split(&table.x, &table.y, &Split::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever shapes and values come, the public API answers with a result.
    #[test]
    fn no_panic_from_any_data(
        input in shapes(),
        units in 0usize..4,
        activation in 0..Activation::ALL.len(),
        (number, layers) in any::<(u8, [u8; 2])>(),
        (rule, schedule, steps) in any::<(u8, u8, u64)>(),
        rate in settings(),
        setting in settings(),
        limit in settings(),
        sizes in prop::collection::vec(0usize..4, 0..4),
        x in tensors(),
        y in tensors(),
        fitting in 0u8..4,
        batch in 0usize..4,
        split in -0.5f64..1.5,
    ) {
        let input = gradus::Shape::try_from(input.as_slice()).unwrap();
        let model = Sequential::new(input)
            .add(Dense::new(3).activation(Activation::ALL[activation]))
            .add(layer(layers[0], &sizes, setting))
            .add(Residual::new().add(Dense::new(3)))
            .build(0)
            .or_else(|_| {
                // A plainer model where the layers do not fit.
                let (first, second) = (layer(layers[0], &sizes, setting), layer(layers[1], &sizes, limit));
                Sequential::new(input).add(first).add(second).add(Dense::new(units)).build(0)
            })
            .or_else(|_| {
                Sequential::new(input)
                    .add(Dense::new(3).activation(Activation::ALL[activation]))
                    .add(Residual::new().add(Dense::new(3)))
                    .add(Dense::new(units).activation(Activation::ALL[(activation * 7) % Activation::ALL.len()]))
                    .build(0)
            });
        let loss = || loss(number, setting);
        if let Ok(mut model) = model {
            // Three times of four the shapes fit, so that the values get as far as training.
            let n = 1 + x.len() % 5;
            let fit = |t: &Tensor, shape: gradus::Shape| {
                Tensor::from_fn(shape, |i| t.as_slice().get(i % t.len().max(1)).copied().unwrap_or(0.5))
            };
            let x = if fitting > 0 { fit(&x, input.batched(n).unwrap()) } else { x.clone() };
            let y = match model.output_shape().batched(n) {
                Ok(shape) if fitting == 2 => fit(&y, shape),
                _ if fitting == 3 => Tensor::from_fn([n], |i| i as f32 % units.max(1) as f32),
                _ => y.clone(),
            };
            let steps = steps % 5;
            let all = if steps == 0 { metrics(setting, batch) } else { (Accuracy::default(),).boxed() };
            let compiled = model.compile(optimizer(rule, Rate(schedule, rate, steps), limit), loss(), all);
            if compiled.is_err() {
                let _ = model.compile(optimizer(rule % 12, Rate(7, 0.01, 0), 1.0), MeanSquaredError::default(), ());
            }
            let _ = model.fit(&x, &y, &quiet().epochs(2).batch_size(batch).validation_split(split));
            let _ = model.evaluate(&x, &y);
            let _ = model.train_on_batch(&x, &y);
            let _ = model.predict(&x);
            let _ = model.predict_classes(&x);
            let _ = model.summary().to_string();
            let finite = model.params().values().iter().all(|w| w.is_finite());
            prop_assert!(finite, "{} {:?}", model.summary(), model.params().values());
        }
        // Losses and metrics called without their checks.
        let loss = loss();
        let mut dy = Tensor::zeros(if fitting == 0 { y.shape() } else { x.shape() });
        for weights in [None, Some(&x.as_slice()[..batch.min(x.len())]), Some(y.as_slice())] {
            let _ = loss.batch(&y, &x, weights, batch, None);
            let _ = loss.batch(&y, &x, weights, batch, Some(&mut dy));
            for metric in metrics(setting, batch) {
                let mut sums = vec![0.0; metric.sums(x.shape())];
                metric.update(&mut sums, &y, &x, weights);
                metric.update(&mut sums, &x, &y, weights);
                let _ = (metric.result(&sums), metric.check(y.shape(), x.shape()));
            }
        }
        let _ = loss.value(y.as_slice(), x.as_slice());
        let _ = loss.value_and_gradient(y.as_slice(), x.as_slice(), 1.0, dy.as_mut_slice());
        loss.gradient(y.as_slice(), x.as_slice(), 1.0, dy.as_mut_slice());
        let _ = (loss.check(y.shape(), x.shape()), loss.check_targets(&y, x.shape()));
        let _ = x.rows(batch..units);
        let _ = x.select(&[batch, units]);
        let _ = x.argmax();
        let _ = x.clone().reshape(y.shape());
        let _ = format!("{x:?}");
    }

    /// The same for what prepares data.
    #[test]
    fn no_panic_from_any_table(
        x in tensors(),
        y in tensors(),
        text in "([a-b0-9.,;\"\n\r-]|,|\n|é|NaN|1e9){0,40}",
        setting in settings(),
        column in -4i32..4,
        delimiter in prop_oneof![Just(b','), Just(b';'), any::<u8>()],
        header in any::<Option<bool>>(),
        labels in 0u8..6,
        seed in any::<u64>(),
        true_classes in prop::collection::vec(0usize..4, 0..5),
        predicted in prop::collection::vec(0usize..4, 0..5),
        n in prop_oneof![0usize..5, Just(usize::MAX)],
    ) {
        #[cfg(feature = "csv")]
        read_table(&text, column, delimiter, header, labels, seed as usize % 3);
        #[cfg(not(feature = "csv"))]
        let _ = (column, delimiter, header, labels);
        for how in 0..4 {
            let split = Split::default().test_size(setting).seed(seed).shuffle(how < 2).stratify(how % 2 == 0);
            let _ = train_test_split(&x, &y, &split);
            let _ = train_test_split(&x, &x, &split);
        }
        if let Ok(scaler) = StandardScaler::fit(&x) {
            let _ = (scaler.transform(&x), scaler.transform(&y), scaler.inverse_transform(&y));
        }
        if let Ok(scaler) = MinMaxScaler::fit(&x) {
            let _ = (scaler.transform(&x), scaler.transform(&y), scaler.inverse_transform(&y));
            let _ = scaler.range(setting, 1.0).and_then(|scaler| scaler.transform(&x));
        }
        let _ = Normalization::new().adapt(&x);
        let _ = (one_hot(&x, n), one_hot(&Tensor::<f32>::from_labels(&true_classes), n));
        let _ = parse_idx::<f32>(text.as_bytes());
        if let Ok(matrix) = ConfusionMatrix::new(&true_classes, &predicted, n) {
            let _ = (matrix.to_string(), matrix.accuracy(), matrix.get(n, 0));
            let _ = ClassificationReport::new(&matrix).to_string();
            let _ = matrix.class_names(&["a", "b"]);
        }
    }
}

/// Messages that once sent one the wrong way.
#[test]
fn images_without_flatten() {
    let hint = "; the model gives each sample more axes than its target has: put a Flatten or a GlobalAveragePooling before the \
        Dense layers at its end";
    let images = Tensor::zeros([4, 6, 6, 1]);
    let model = || Sequential::new([6, 6, 1]).add(Dense::new(10).activation(Activation::Softmax)).build(0).unwrap();
    let mut classes = model();
    classes.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    for y in [Tensor::zeros([4]), Tensor::zeros([4, 1]), Tensor::zeros([4, 10])] {
        let error = classes.fit(&images, &y, &quiet()).unwrap_err().to_string();
        assert!(error.ends_with(hint), "{error}");
    }
    let mut values = Sequential::new([6, 6, 1]).add(Dense::new(1)).build(0).unwrap();
    values.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    let error = values.fit(&images, &Tensor::zeros([4, 1]), &quiet()).unwrap_err().to_string();
    assert!(error.ends_with(hint), "{error}");
    // A target for each position is another matter.
    let error = values.fit(&images, &Tensor::zeros([4, 6, 5, 1]), &quiet()).unwrap_err().to_string();
    assert!(error.ends_with("make the last layer's units and the targets' columns agree"), "{error}");
}

#[test]
fn channels_first() {
    let stack = |input: [usize; 3]| {
        let model = Sequential::new(input).add(Conv2d::new(8, 3).activation(Activation::Relu));
        model.add(MaxPooling2d::new(2)).add(Flatten::new()).add(Dense::new(2)).build(0)
    };
    let error = stack([3, 32, 48]).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "images are [height, width, channels] here, and [3, 32, 48] looks like channels first: pass images as \
             Sequential::new([32, 48, 3]), or turn them with .add(Permute::new([2, 3, 1])) as the first layer"
        ),
        "{error}"
    );
    let error = Sequential::new([1, 28, 28]).add(MaxPooling2d::new(2)).build(0).unwrap_err().to_string();
    assert!(error.contains("[1, 28, 28] looks like channels first"), "{error}");
    // Small images are only small.
    let error = Sequential::new([3, 5, 1]).add(Conv2d::new(8, 5)).build(0).unwrap_err().to_string();
    assert!(error.contains("pad with Padding::Same"), "{error}");
    // A model that is right, and data that are not.
    let model = stack([32, 48, 3]).unwrap();
    let error = model.predict(&Tensor::zeros([2, 3, 32, 48])).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "images are channels last here, and these are channels first: begin the model with Sequential::new([3, 32, \
             48]).add(Permute::new([2, 3, 1]))"
        ),
        "{error}"
    );
    // Which works.
    let turned = Sequential::new([3, 32, 48]).add(Permute::new([2, 3, 1])).add(Conv2d::new(8, 3)).build(0).unwrap();
    assert_eq!(turned.output_shape(), Shape::from([30, 46, 8]));
}

#[test]
fn the_batch_axis_in_the_input_shape() {
    let model = Sequential::new([32, 4]).add(Dense::new(2)).build(0).unwrap();
    let error = model.predict(&Tensor::zeros([10, 4])).unwrap_err().to_string();
    assert_eq!(
        error,
        "predict: expected inputs of shape [n, 32, 4], n samples, got [10, 4]; the batch axis is left out of Sequential::new: if the \
         32 of [32, 4] counts samples, write Sequential::new([4]); else pass samples of shape [32, 4]"
    );
    assert!(
        model.predict(&Tensor::zeros([32, 4])).unwrap_err().to_string().contains("leave it out of Sequential::new")
    );
}

/// 0.1 as it was written, not as `f64` has it.
#[test]
fn numbers_in_messages_have_the_precision_they_came_in() {
    let y = Tensor::from([0.1f32, 1.0, 0.0]);
    let error = fit_error(&x(3), &y, quiet());
    assert!(error.contains("target in row 0 is 0.1, expected"), "{error}");
    let weighted = fit_error(&x(3), &Tensor::from([0.0f32, 1.0, 0.0]), quiet().sample_weight(&[1.0, -0.1, 1.0]));
    assert!(weighted.contains("got -0.1;"), "{weighted}");
    let weights = [1.0, 1.0];
    let mut model = Sequential::new([3]).add(Dense::new(1)).build(0).unwrap();
    model.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
    let error = model.fit(&x(3), &y, &quiet().class_weight(&weights)).unwrap_err().to_string();
    assert!(error.contains("is 0.1, expected a class number"), "{error}");
}

/// Without a feature its methods say which.
#[cfg(not(all(feature = "files", feature = "keras", feature = "image")))]
#[test]
fn features_that_are_off() {
    let says = |error: gradus::Error, feature: &str| {
        let error = error.to_string();
        let part = format!("compiled without its feature {feature:?}; write features = [{feature:?}] in Cargo.toml");
        assert!(error.contains(&part), "{error}");
    };
    #[cfg(not(feature = "files"))]
    {
        let mut model = model();
        says(Model::load("x").unwrap_err(), "files");
        says(Model::load_bytes(b"x").unwrap_err(), "files");
        says(model.save("x").unwrap_err(), "files");
        says(model.save_checkpoint("x").unwrap_err(), "files");
        says(model.load_weights("x").unwrap_err(), "files");
        says(model.resume("x").unwrap_err(), "files");
        says(model.resume_changed("x").unwrap_err(), "files");
    }
    #[cfg(not(feature = "keras"))]
    says(Model::load_keras("x").unwrap_err(), "keras");
    #[cfg(not(feature = "image"))]
    {
        says(read_image::<f32>("x", 3).unwrap_err(), "image");
        says(resize_image(&Tensor::<f32>::zeros([1, 1, 1]), [2, 2]).unwrap_err(), "image");
        says(save_image(&Tensor::<f32>::zeros([1, 1, 1]), "x").unwrap_err(), "image");
    }
    #[cfg(not(feature = "npz"))]
    {
        says(gradus::io::read_npz::<f32>("x").unwrap_err(), "npz");
        says(gradus::io::read_npz_up_to::<f32>("x", 1).unwrap_err(), "npz");
        says(gradus::io::write_npz::<f32>("x", &[]).unwrap_err(), "npz");
    }
}

/// Samples without values, of which a file of a few bytes has as many as it likes, and lengths that a source only claims.
#[test]
fn numbers_of_samples_that_nothing_holds() {
    let many = u32::MAX as usize;
    let none = Tensor::<f32>::zeros([many, 0]);
    let split = Split::default();
    for error in [
        train_test_split(&none, &none, &split).unwrap_err(),
        train_test_split(&none, &none, &split.shuffle(false)).unwrap_err(),
        #[cfg(feature = "tools")]
        KFold::new(5).split(&none).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(error.is_shape() && text.contains("with values, got [4294967295, 0]"), "{text}");
    }
    let memory = |result: Result<(), Error>, op: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Memory { .. }) && error.to_string().starts_with(op), "{error}");
    };
    let source = |width: usize, n: usize| {
        FromFn::new([width], [1], Some(n), |_, _, _: &mut [f32], _: &mut [f32]| Ok(())).unwrap()
    };
    for n in [1 << 45, usize::MAX] {
        memory(source(1, n).split(0.2, 1).map(drop), "split: the positions of");
        memory(source(1, n).split_stratified(0.2, 1).map(drop), "split_stratified: the positions of");
        memory(source(1, n).shuffle(1).read(0, 0, &mut [0.0], &mut [0.0]), "shuffle: the order of");
        memory(source(1, n).shuffle_blocks(1, n).read(0, 0, &mut [0.0], &mut [0.0]), "shuffle: the order of");
    }
    let wide = 1 << 40;
    memory(source(wide, 10).split_stratified(0.2, 1).map(drop), "read_targets: inputs of 1099511627776 values");
    let small = source(wide, 10).map_to([1], [1], |_, _, _: &mut [f32], _| ());
    memory(small.read(0, 0, &mut [0.0], &mut [0.0]), "map_to: a sample of the source");
    // Inputs without values end where they begin.
    let empty = || source(1, 4).map_to([0], [1], |_, _, _: &mut [f32], _| ());
    assert!(empty().shuffle(1).read(0, 0, &mut [], &mut []).is_ok());
    assert!(empty().repeat().read(0, 0, &mut [0.0], &mut [0.0]).is_ok());
}

/// What every way into a pass looks for before it.
#[test]
fn passes_that_no_memory_holds() {
    let layers = Sequential::new([1]).add(RepeatVector::new(1 << 27)).add(LayerNorm::new());
    let mut model = layers.add(GlobalAveragePooling1d::new()).add(Dense::new(1)).build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let n = 1 << 20;
    let (x, y) = (Tensor::zeros([n, 1]), Tensor::zeros([n, 1]));
    let results = [
        model.gradients(&x, &y).map(drop),
        model.train_on_batch(&x, &y).map(drop),
        model.fit(&x, &y, &quiet().batch_size(n)).map(drop),
        #[cfg(feature = "tools")]
        model.activations(&x).map(drop),
    ];
    for (i, result) in results.into_iter().enumerate() {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{i}: {error}");
    }
}
