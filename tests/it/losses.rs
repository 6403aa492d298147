//! Every loss against Keras's value and gradient, in f64 and f32.

use gradus::prelude::*;
use safetensors::SafeTensors;
use support::fixtures::{error, read, tensor};

fn check<T: Float>(name: &str, loss: &dyn Loss<T>, tolerance: f64) {
    let bytes = read(&format!("keras/losses/{name}.safetensors"));
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let get = |name| tensor::<T>(&case, name);
    let (t, p) = (get("y_true").unwrap(), get("y_pred").unwrap());
    let weights = get("sample_weight");
    loss.check(t.shape(), p.shape()).unwrap();
    loss.check_targets(&t, p.shape()).unwrap();
    let mut dy = Tensor::full(p.shape(), T::nan());
    let weights = weights.as_ref().map(|w| w.as_slice());
    let value = loss.batch(&t, &p, weights, p.samples(), Some(&mut dy));
    assert_eq!(value, loss.batch(&t, &p, weights, p.samples(), None), "{name}");
    let expected = tensor::<f64>(&case, "value").unwrap().as_slice()[0];
    assert!(error(value, expected) <= tolerance, "{name}: {value} {expected}");
    let gradient = tensor::<f64>(&case, "grad_y_pred").unwrap();
    let largest = gradient.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
    for (d, g) in dy.iter().zip(gradient.iter()) {
        assert!((d.as_f64() - g).abs() <= tolerance * largest, "{name}: {d} {g}");
    }
}

fn all<T: Float>(tolerance: f64) {
    let cce = CategoricalCrossentropy::default;
    let bce = BinaryCrossentropy::default;
    let cases: Vec<(&str, Box<dyn Loss<T>>)> = vec![
        ("binary_crossentropy", Box::new(bce())),
        ("binary_crossentropy_logits", Box::new(bce().from_logits(true))),
        ("binary_crossentropy_logits_smooth", Box::new(bce().from_logits(true).label_smoothing(0.1))),
        ("binary_crossentropy_smooth", Box::new(bce().label_smoothing(0.1))),
        ("binary_focal_crossentropy", Box::new(BinaryFocalCrossentropy::default())),
        ("categorical_crossentropy", Box::new(cce())),
        ("categorical_crossentropy_logits", Box::new(cce().from_logits(true))),
        ("categorical_crossentropy_logits_smooth", Box::new(cce().from_logits(true).label_smoothing(0.1))),
        ("categorical_crossentropy_logits_weighted", Box::new(cce().from_logits(true))),
        ("categorical_crossentropy_smooth", Box::new(cce().label_smoothing(0.1))),
        ("categorical_focal_crossentropy", Box::new(CategoricalFocalCrossentropy::default())),
        ("categorical_hinge", Box::new(CategoricalHinge::default())),
        ("cosine_similarity", Box::new(CosineSimilarity::default())),
        ("cosine_similarity_weighted", Box::new(CosineSimilarity::default())),
        ("hinge", Box::new(Hinge::default())),
        ("huber", Box::new(Huber::default().delta(1.3))),
        ("huber_weighted", Box::new(Huber::default().delta(1.3))),
        ("kl_divergence", Box::new(KlDivergence::default())),
        ("log_cosh", Box::new(LogCosh::default())),
        ("log_cosh_weighted", Box::new(LogCosh::default())),
        ("mae", Box::new(MeanAbsoluteError::default())),
        ("mae_weighted", Box::new(MeanAbsoluteError::default())),
        ("mape", Box::new(MeanAbsolutePercentageError::default())),
        ("mape_weighted", Box::new(MeanAbsolutePercentageError::default())),
        ("mse", Box::new(MeanSquaredError::default())),
        ("mse_weighted", Box::new(MeanSquaredError::default())),
        ("msle", Box::new(MeanSquaredLogarithmicError::default())),
        ("poisson", Box::new(Poisson::default())),
        ("sparse_categorical_crossentropy", Box::new(SparseCategoricalCrossentropy::default())),
        (
            "sparse_categorical_crossentropy_logits",
            Box::new(SparseCategoricalCrossentropy::default().from_logits(true)),
        ),
        ("squared_hinge", Box::new(SquaredHinge::default())),
    ];
    for (name, loss) in cases {
        check(name, &*loss, tolerance);
    }
}

#[test]
fn as_keras_in_f64() {
    all::<f64>(1e-9);
}

#[test]
fn as_keras_in_f32() {
    all::<f32>(2e-4);
}

#[test]
fn a_last_activation_that_does_not_fit_is_an_error_from_compile() {
    let compile = |activation, loss: fn(&mut Model) -> Result<(), Error>| {
        let mut model = Sequential::new([3]).add(Dense::new(2).activation(activation)).build(0).unwrap();
        loss(&mut model)
    };
    macro_rules! with {
        ($loss:expr) => {
            |model| model.compile(Sgd::default(), $loss, ())
        };
    }
    let error = compile(Activation::Softmax, with!(BinaryCrossentropy::default())).unwrap_err();
    assert!(matches!(error, Error::LossMismatch { .. }), "{error}");
    assert!(compile(Activation::Softmax, with!(Hinge::default())).is_err());
    assert!(compile(Activation::Softmax, with!(BinaryFocalCrossentropy::default())).is_err());
    assert!(compile(Activation::Softmax, with!(CategoricalCrossentropy::default().from_logits(true))).is_err());
    assert!(compile(Activation::Tanh, with!(SparseCategoricalCrossentropy::default())).is_err());
    assert!(compile(Activation::Tanh, with!(Hinge::default())).is_ok());
    assert!(compile(Activation::Softmax, with!(SparseCategoricalCrossentropy::default())).is_ok());
    assert!(compile(Activation::Sigmoid, with!(BinaryFocalCrossentropy::default())).is_ok());
}

#[test]
fn training_goes_through_logits_with_the_same_gradient() {
    let mut fused = Sequential::new([3]).add(Dense::new(2).activation(Activation::Sigmoid)).build_as::<f64>(1).unwrap();
    let (x, y) = (Tensor::from([[0.1, -0.2, 0.3], [1.0, 0.5, -1.0]]), Tensor::from([[0.0, 1.0], [1.0, 1.0]]));
    for case in 0..2 {
        match case {
            0 => fused.compile(Sgd::default(), BinaryCrossentropy::default(), ()).unwrap(),
            _ => fused.compile(Sgd::default(), BinaryFocalCrossentropy::default().alpha(0.25), ()).unwrap(),
        }
        gradus::gradcheck::check_model(&mut fused, &x, &y).unwrap();
    }
}

#[test]
fn labels_out_of_range_are_errors_from_fit() {
    let mut model = Sequential::new([1]).add(Dense::new(3).activation(Activation::Softmax)).build(0).unwrap();
    model.compile(Sgd::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    let x = Tensor::zeros([2, 1]);
    let error = model.fit(&x, &Tensor::from([0.0, 3.0]), &Fit::default().verbose(Verbose::Silent)).unwrap_err();
    assert!(matches!(error, Error::Label { row: 1, .. }), "{error}");
    let error = model.evaluate(&x, &Tensor::from([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])).unwrap_err();
    assert!(matches!(error, Error::Label { row: 1, .. }), "{error}");
}

/// Every loss with legal settings.
fn every() -> Vec<Box<dyn Loss<f32>>> {
    vec![
        Box::new(BinaryCrossentropy::default()),
        Box::new(BinaryCrossentropy::default().from_logits(true).label_smoothing(1.0)),
        Box::new(BinaryFocalCrossentropy::default().alpha(0.0)),
        Box::new(BinaryFocalCrossentropy::default().from_logits(true).gamma(0.0)),
        Box::new(CategoricalCrossentropy::default()),
        Box::new(CategoricalCrossentropy::default().from_logits(true)),
        Box::new(CategoricalCrossentropy::default().from_logits(true).label_smoothing(0.1)),
        Box::new(CategoricalFocalCrossentropy::default()),
        Box::new(CategoricalFocalCrossentropy::default().from_logits(true)),
        Box::new(CategoricalHinge::default()),
        Box::new(CosineSimilarity::default()),
        Box::new(HalfSquaredError::default()),
        Box::new(Hinge::default()),
        Box::new(Huber::default()),
        Box::new(KlDivergence::default()),
        Box::new(LogCosh::default()),
        Box::new(MeanAbsoluteError::default()),
        Box::new(MeanAbsolutePercentageError::default()),
        Box::new(MeanSquaredError::default()),
        Box::new(MeanSquaredLogarithmicError::default()),
        Box::new(Poisson::default()),
        Box::new(SparseCategoricalCrossentropy::default()),
        Box::new(SparseCategoricalCrossentropy::default().from_logits(true)),
        Box::new(SquaredHinge::default()),
    ]
}

#[test]
fn rows_without_targets_are_nan() {
    for loss in every() {
        let name = loss.name();
        let mut dy = [7.0; 3];
        assert!(loss.value(&[], &[0.2, 0.3, 0.5]).is_nan(), "{name}");
        loss.gradient(&[], &[0.2, 0.3, 0.5], 1.0, &mut dy);
        assert!(dy.iter().all(|d| *d != 7.0), "{name} {dy:?}");
        assert!(loss.value_and_gradient(&[], &[0.2, 0.3, 0.5], 1.0, &mut dy).is_nan(), "{name}");
        for n in 0..5 {
            let (long, mut dy) = ([0.5; 5], [0.0; 4]);
            loss.gradient(&long[..n], &long[..3], 1.0, &mut dy);
            loss.gradient(&long[..n], &long[..3], 1.0, &mut dy[..2]);
            loss.value_and_gradient(&long[..n], &[], 1.0, &mut dy);
        }
    }
}

#[test]
fn batches_that_cannot_be_dealt_out_are_nan() {
    let p = Tensor::full([4, 2], 0.5);
    for loss in every() {
        let y = Tensor::zeros([4, 2]);
        let batch = |y: &Tensor, weights: Option<&[f32]>| loss.batch(y, &p, weights, 4, None);
        assert!(batch(&y, Some(&[1.0; 4])).is_finite(), "{}", loss.name());
        assert_eq!(batch(&y, Some(&[1.0; 2])), batch(&y, None));
        for weights in [&[][..], &[1.0; 3], &[1.0; 8]] {
            assert!(batch(&y, Some(weights)).is_nan());
        }
        assert!(batch(&Tensor::zeros([0]), None).is_nan());
        assert!(batch(&Tensor::zeros([9]), None).is_nan());
        let mut dy = Tensor::zeros([4, 2]);
        assert!(loss.batch(&y, &p, Some(&[]), 4, Some(&mut dy)).is_nan());
        assert!(dy.iter().all(|d| d.is_nan()));
        assert!(loss.batch(&y, &p, None, 4, Some(&mut Tensor::zeros([3]))).is_nan());
        assert_eq!(loss.batch(&y, &Tensor::zeros([0, 2]), Some(&[]), 4, None), 0.0);
    }
}

#[test]
fn settings_are_checked_with_the_shapes() {
    for shape in [Shape::from([1, 1]), Shape::from([1, 3]), Shape::from([1, 2, 3])] {
        for loss in every() {
            loss.check(shape, shape).unwrap();
        }
        let nan = f64::NAN;
        let bad: Vec<Box<dyn Loss<f32>>> = vec![
            Box::new(Huber::default().delta(-1.0)),
            Box::new(Huber::default().delta(0.0)),
            Box::new(Huber::default().delta(nan)),
            Box::new(BinaryCrossentropy::default().label_smoothing(nan)),
            Box::new(BinaryCrossentropy::default().label_smoothing(-0.1)),
            Box::new(CategoricalCrossentropy::default().label_smoothing(nan)),
            Box::new(CategoricalCrossentropy::default().label_smoothing(1.1)),
            Box::new(BinaryFocalCrossentropy::default().label_smoothing(nan)),
            Box::new(BinaryFocalCrossentropy::default().gamma(nan)),
            Box::new(BinaryFocalCrossentropy::default().gamma(f64::INFINITY)),
            Box::new(BinaryFocalCrossentropy::default().alpha(2.0)),
            Box::new(CategoricalFocalCrossentropy::default().label_smoothing(2.0)),
            Box::new(CategoricalFocalCrossentropy::default().gamma(-1.0)),
            Box::new(CategoricalFocalCrossentropy::default().alpha(nan)),
        ];
        for loss in bad {
            let error = loss.check(shape, shape).unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{loss:?}: {error}");
        }
    }
}

/// What may stand behind a last activation of `[2]` without changing its values in inference; whether that holds in training.
fn tails() -> Vec<(bool, Block)> {
    // So rarely that no row is dropped whole, whose probabilities would sum to 0.
    let dropout = Dropout::new(0.01);
    vec![
        (true, Block::new()),
        (true, Block::new().add(Identity::new())),
        (true, Block::new().add(Flatten::new()).add(Activation::Linear)),
        (true, Block::new().add(Reshape::new([1, 2])).add(Permute::new([1, 2])).add(Flatten::new())),
        (true, Block::new().add(RepeatVector::new(1)).add(Reshape::new([2]))),
        (true, Block::new().add(Dropout::new(0.0))),
        (true, Block::new().add(Block::new().add(Identity::new())).add(Block::new())),
        (false, Block::new().add(dropout)),
        (false, Block::new().add(GaussianNoise::new(0.1)).add(Identity::new())),
        (false, Block::new().add(Block::new().add(GaussianDropout::new(0.01))).add(AlphaDropout::new(0.01))),
        (false, Block::new().add(Reshape::new([1, 2])).add(SpatialDropout1d::new(0.01)).add(Reshape::new([2]))),
    ]
}

/// y = x + b, b a bias of zeros.
fn shifted() -> Residual {
    Residual::new().add(Dense::new(2).kernel_initializer(Init::Zeros))
}

fn behind(activation: Activation, tail: Block, inside: bool) -> Model<f64> {
    let model = Sequential::new([2]).add(shifted());
    match inside {
        false => model.add(activation).add(tail),
        true => model.add(Block::new().add(activation).add(tail).add(Identity::new())),
    }
    .build_as(0)
    .unwrap()
}

#[test]
fn the_last_activation_is_seen_through_what_hands_it_on() {
    // ln(1 + e⁻⁴⁰) is lost beside 40; from probabilities the loss would be 16.118.
    let (x, y) = (Tensor::from([[40.0, 0.0]]), Tensor::from([[0.0, 1.0]]));
    for inside in [false, true] {
        for (in_training, tail) in tails() {
            let mut model = behind(Activation::Softmax, tail, inside);
            let squares = LossMetric::new(MeanSquaredError::default());
            model.compile(Sgd::default(), CategoricalCrossentropy::default(), [squares]).unwrap();
            let scores = model.evaluate(&x, &y).unwrap();
            // Metrics see probabilities: (1, 0) for the targets (0, 1).
            assert_eq!((scores.loss, scores.metrics()[0].1), (40.0, 1.0), "{}", model.summary());
            assert!((model.predict(&x).unwrap().as_slice()[0] - 1.0).abs() < 1e-15);
            let (loss, gradients) = model.gradients(&x, &y).unwrap();
            if in_training {
                // p − y
                assert!(loss == 40.0 && (gradients[4] - 1.0).abs() < 1e-15 && (gradients[5] + 1.0).abs() < 1e-15);
                gradus::gradcheck::check_model(&mut model, &Tensor::from([[0.3, -0.2]]), &y).unwrap();
            } else {
                // Noise stands between the two: probabilities are bounded, as in Keras.
                assert!(loss < 17.0, "{loss}");
            }
        }
        for (in_training, tail) in tails() {
            let mut model = behind(Activation::Sigmoid, tail, inside);
            model.compile(Sgd::default(), BinaryCrossentropy::default(), [BinaryAccuracy::default()]).unwrap();
            let (x, y) = (Tensor::from([[40.0, -40.0]]), Tensor::from([[0.0, 0.0]]));
            let scores = model.evaluate(&x, &y).unwrap();
            assert_eq!((scores.loss, scores.metrics()[0].1), (20.0, 0.5));
            let (loss, gradients) = model.gradients(&x, &y).unwrap();
            assert!(!in_training || loss == 20.0 && gradients[4] == 0.5 && gradients[5].abs() < 1e-17);
        }
    }
}

#[test]
fn a_mismatch_is_seen_through_what_hands_values_on() {
    fn refused(mut model: Model<f64>, loss: impl Loss<f64> + 'static) {
        let error = model.compile(Sgd::default(), loss, ()).unwrap_err();
        assert!(matches!(error, Error::LossMismatch { .. }), "{error}");
    }
    let from_logits = || CategoricalCrossentropy::default().from_logits(true);
    for inside in [false, true] {
        for (_, tail) in tails() {
            refused(behind(Activation::Softmax, tail, inside), from_logits());
        }
        for (_, tail) in tails() {
            refused(behind(Activation::Softmax, tail, inside), BinaryCrossentropy::default());
        }
        for (_, tail) in tails() {
            let loss = BinaryCrossentropy::default().from_logits(true);
            refused(behind(Activation::Sigmoid, tail, inside), loss);
        }
        // Rows are others, values are not: no way through logits, but still no logits.
        for tail in [Reshape::new([2, 1]), Reshape::new([1, 2, 1])] {
            let tail = || Block::new().add(tail.clone());
            refused(behind(Activation::Softmax, tail(), inside), from_logits());
            refused(behind(Activation::Softmax, tail(), inside), CategoricalCrossentropy::default());
        }
    }
    // A penalty on outputs needs them activated.
    let penalised = || Dense::new(2).activation(Activation::Softmax).activity_regularizer(Regularizer::L2(0.1));
    refused(Sequential::new([2]).add(penalised()).build_as(0).unwrap(), from_logits());
    let mut model = Sequential::new([2]).add(penalised()).build_as::<f64>(0).unwrap();
    model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
    gradus::gradcheck::check_model(&mut model, &Tensor::from([[0.3, -0.2]]), &Tensor::from_labels(&[1])).unwrap();
    let penalty = ActivityRegularization::default().l2(0.1);
    let model = Sequential::new([2]).add(Activation::Softmax).add(penalty).build_as(0).unwrap();
    refused(model, from_logits());
    let one = Dense::new(1).activation(Activation::Softmax);
    let model = Sequential::new([2]).add(one).add(Flatten::new()).add(Dropout::new(0.1)).build_as(0).unwrap();
    refused(model, SparseCategoricalCrossentropy::default());
}

/// A softmax over rows of 2 is none over the rows of 4 that they become.
#[test]
fn rows_that_become_others_keep_their_softmax() {
    let mut model = Sequential::new([2, 2]).add(Activation::Softmax).add(Flatten::new()).build_as(0).unwrap();
    model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
    let x = Tensor::from([[[1.0f64, 0.0], [3.0, 0.0]]]);
    let p = 1.0 / (1.0 + (-3f64).exp()) / 2.0;
    let scores = model.evaluate(&x, &Tensor::from_labels(&[2])).unwrap();
    assert!((scores.loss + p.ln()).abs() < 1e-12, "{}", scores.loss);
    // Sigmoids do not care.
    let mut model = Sequential::new([2, 2]).add(Activation::Sigmoid).add(Flatten::new()).build_as(0).unwrap();
    model.compile(Sgd::default(), BinaryCrossentropy::default(), ()).unwrap();
    let x = Tensor::from([[[40.0f64, 0.0], [-40.0, 0.0]]]);
    let loss = model.evaluate(&x, &Tensor::zeros([1, 4])).unwrap().loss;
    assert!((loss - (40.0 + 2.0 * 2f64.ln()) / 4.0).abs() < 1e-14, "{loss}");
}

type Make<T> = fn() -> Box<dyn Loss<T>>;

/// A loss, a row of targets and of predictions, the value and the gradient that mathematics gives.
type Row<T> = (Box<dyn Loss<T>>, Vec<f64>, Vec<f64>, f64, Vec<f64>);

fn row<T: Float>(loss: impl Loss<T> + 'static, t: &[f64], p: &[f64], value: f64, gradient: &[f64]) -> Row<T> {
    (Box::new(loss), t.to_vec(), p.to_vec(), value, gradient.to_vec())
}

/// Rows of the size `big`, of its inverse, of the largest number and of infinite ones.
fn extreme_rows<T: Float>(big: f64) -> Vec<Row<T>> {
    let (max, tiny, inf, ln2) = (T::max_value().as_f64(), 1.0 / big, f64::INFINITY, 2f64.ln());
    let mut rows: Vec<Row<T>> = Vec::new();
    macro_rules! add {
        ($loss:expr, $($rest:expr),+ $(,)?) => { rows.push(row($loss, $($rest),+)) };
    }
    // −α(1 − p)^γ ln p at p = ½ with α = ¼ and γ = 2, and p·∂/∂p of it.
    let (focal, slope) = (ln2 / 16.0, 0.25 * (-0.5 * ln2 - 0.25));
    for numbers in [false, true] {
        let class = |i: usize, n: usize| -> Vec<f64> {
            if numbers { vec![i as f64] } else { (0..n).map(|j| f64::from(i == j)).collect() }
        };
        let cce = || CategoricalCrossentropy::default();
        let each: [Make<T>; 2] = [
            || Box::new(CategoricalCrossentropy::default().from_logits(true)),
            || Box::new(SparseCategoricalCrossentropy::default().from_logits(true)),
        ];
        for loss in each {
            add!(loss(), &class(1, 2), &[big, 0.0], big, &[1.0, -1.0]);
            add!(loss(), &class(1, 2), &[-big, 0.0], 0.0, &[0.0, 0.0]);
            add!(loss(), &class(1, 2), &[tiny, 0.0], ln2, &[0.5, -0.5]);
            add!(loss(), &class(0, 2), &[max, max], ln2, &[-0.5, 0.5]);
            add!(loss(), &class(0, 2), &[-max, 0.0], max, &[-1.0, 1.0]);
            add!(loss(), &class(1, 3), &[-inf, 0.0, 0.0], ln2, &[0.0, -0.5, 0.5]);
            add!(loss(), &class(0, 2), &[-inf, 0.0], inf, &[-1.0, 1.0]);
            add!(loss(), &class(0, 2), &[inf, 0.0], f64::NAN, &[]);
            add!(loss(), &class(0, 2), &[-inf, -inf], f64::NAN, &[]);
        }
        let smooth = cce().from_logits(true).label_smoothing(0.1);
        add!(smooth, &class(1, 2), &[-inf, 0.0], inf, &[-0.05, 0.05]);
        let loss = || CategoricalFocalCrossentropy::default().from_logits(true);
        add!(loss(), &class(1, 2), &[big, 0.0], 0.25 * big, &[0.25, -0.25]);
        add!(loss(), &class(1, 2), &[-big, 0.0], 0.0, &[0.0, 0.0]);
        add!(loss(), &class(1, 2), &[tiny, 0.0], focal, &[-0.5 * slope, 0.5 * slope]);
        add!(loss(), &class(1, 3), &[-inf, 0.0, 0.0], focal, &[0.0, 0.5 * slope, -0.5 * slope]);
        add!(loss(), &class(0, 2), &[-inf, 0.0], inf, &[-0.25, 0.25]);
        // Probabilities: p is divided by its sum, even where that overflows or is subnormal.
        add!(cce(), &class(0, 2), &[max, max], ln2, &[-0.5 / max, 0.5 / max]);
        let least = (T::min_positive_value() / T::of(64.0)).as_f64();
        add!(cce(), &class(0, 2), &[least, least], ln2, &[-0.5 / least, 0.5 / least]);
        add!(cce(), &class(0, 2), &[tiny, 1.0], -1e-7f64.ln(), &[0.0, 0.0]);
        let focal_loss = CategoricalFocalCrossentropy::default();
        add!(focal_loss, &class(0, 2), &[max, max], focal, &[0.5 * slope / max, -0.5 * slope / max]);
        let hinge = || CategoricalHinge::default();
        add!(hinge(), &class(1, 2), &[-inf, 0.5], 0.5, &[0.0, -1.0]);
        add!(hinge(), &class(1, 2), &[big, 0.5], big, &[1.0, -1.0]);
        add!(hinge(), &class(1, 2), &[0.5, inf], 0.0, &[0.0, 0.0]);
    }
    let both: [Make<T>; 2] = [
        || Box::new(BinaryCrossentropy::default().from_logits(true)),
        || Box::new(BinaryFocalCrossentropy::default().from_logits(true)),
    ];
    for loss in both {
        add!(loss(), &[0.0], &[big], big, &[1.0]);
        add!(loss(), &[1.0], &[big], 0.0, &[0.0]);
        add!(loss(), &[1.0], &[-max], max, &[-1.0]);
        add!(loss(), &[0.0, 0.0], &[max, max], max, &[0.5, 0.5]);
        add!(loss(), &[1.0, 0.0], &[inf, -inf], 0.0, &[0.0, 0.0]);
        add!(loss(), &[0.0], &[inf], inf, &[1.0]);
        add!(loss(), &[1.0], &[-inf], inf, &[-1.0]);
    }
    let bce = || BinaryCrossentropy::default();
    add!(bce().from_logits(true), &[1.0], &[tiny], ln2, &[-0.5]);
    // Keras's bounds of probabilities.
    add!(bce(), &[1.0, 0.0], &[0.0, tiny], -0.5 * 1e-7f64.ln() + 0.5e-7, &[0.0, 0.0]);
    add!(KlDivergence::default(), &[1.0, 0.0], &[0.0, 1.0], -1e-7f64.ln() + 1e-7 * 1e-7f64.ln(), &[0.0, -1e-7],);
    add!(Poisson::default(), &[1.0], &[big], big, &[1.0]);
    add!(Poisson::default(), &[0.0], &[0.0], 0.0, &[1.0]);
    // Errors e of every size.
    let zero = [0.0];
    add!(MeanSquaredError::default(), &zero, &[tiny], tiny * tiny, &[2.0 * tiny]);
    add!(MeanSquaredError::default(), &zero, &[big], big * big, &[2.0 * big]);
    add!(HalfSquaredError::default(), &zero, &[big], 0.5 * big * big, &[big]);
    add!(MeanAbsoluteError::default(), &[0.0; 2], &[max, -max], max, &[0.5, -0.5]);
    add!(MeanAbsoluteError::default(), &zero, &[tiny], tiny, &[1.0]);
    add!(Huber::default(), &zero, &[-big], big, &[-1.0]);
    add!(Huber::default(), &zero, &[tiny], 0.5 * tiny * tiny, &[tiny]);
    add!(Huber::default().delta(f64::INFINITY), &zero, &[4.0], 8.0, &[4.0]);
    add!(Huber::default().delta(tiny), &zero, &[1.0], tiny, &[tiny]);
    add!(LogCosh::default(), &zero, &[big], big, &[1.0]);
    add!(LogCosh::default(), &zero, &[-max], max, &[-1.0]);
    add!(MeanAbsolutePercentageError::default(), &[big], &[-big], 200.0, &[-100.0 / big]);
    add!(MeanAbsolutePercentageError::default(), &[tiny], &[0.0], 1e9 * tiny, &[-1e9]);
    let log = big.ln();
    let msle = || MeanSquaredLogarithmicError::default();
    add!(msle(), &zero, &[big], (log - 1e-7).powi(2), &[2.0 * (log - 1e-7) / big]);
    add!(msle(), &[max], &[0.0], (max.ln() - 1e-7).powi(2), &[0.0]);
    add!(Hinge::default(), &[1.0], &[-big], big, &[-1.0]);
    add!(Hinge::default(), &[1.0, 0.0], &[max, max], 0.5 * max, &[0.0, 0.5]);
    add!(SquaredHinge::default(), &[1.0], &[-big], big * big, &[-2.0 * big]);
    // Directions 3:4 and 4:3, d = (v·cos − u)/|ŷ| with cos = 24/25.
    let cosine = || CosineSimilarity::default();
    let d = [(0.8 * 0.96 - 0.6) / 5.0, (0.6 * 0.96 - 0.8) / 5.0];
    for (a, b) in [(big, 1.0), (big, big), (1.0, big)] {
        add!(cosine(), &[3.0 * a, 4.0 * a], &[4.0 * b, 3.0 * b], -0.96, &d.map(|d| d / b));
    }
    // Below Keras's 1e-7 lengths count as that.
    add!(
        cosine(),
        &[3.0 * tiny, 4.0 * tiny],
        &[4.0, 3.0],
        -4.8e7 * tiny,
        &[(0.8 * 4.8 - 3.0) * 2e6 * tiny, (0.6 * 4.8 - 4.0) * 2e6 * tiny],
    );
    add!(cosine(), &[3.0, 4.0], &[4.0 * tiny, 3.0 * tiny], -4.8e7 * tiny, &[-0.6e7, -0.8e7]);
    rows
}

fn extremes<T: Float>(big: f64, accuracy: f64) {
    for (loss, t, p, value, gradient) in extreme_rows::<T>(big) {
        let [t, p] = [t, p].map(|row| row.into_iter().map(T::of).collect::<Vec<_>>());
        // A gradient or value beyond the type is infinite, one below it 0.
        let near = |got: T, expected: f64| {
            let (got, expected) = (got.as_f64(), T::of(expected).as_f64());
            got == expected || (got - expected).abs() <= accuracy * expected.abs().max(T::min_positive_value().as_f64())
        };
        let mut dy = vec![T::nan(); p.len()];
        let got = loss.value_and_gradient(&t, &p, T::one(), &mut dy);
        let name = format!("{loss:?} of {p:?} for {t:?}");
        if value.is_nan() {
            assert!(got.is_nan() && loss.value(&t, &p).is_nan(), "{name}: {got}");
            continue;
        }
        assert!(near(got, value) && got == loss.value(&t, &p), "{name}: {got:e}, expected {value:e}");
        assert!(dy.iter().zip(&gradient).all(|(d, &e)| near(*d, e)), "{name}: {dy:?}, expected {gradient:?}");
    }
}

#[test]
fn rows_at_the_ends_of_the_type() {
    extremes::<f32>(1e30, 4e-6);
    extremes::<f64>(1e30, 1e-13);
    extremes::<f64>(1e200, 1e-13);
}

#[test]
fn weights_of_any_size() {
    let squares = MeanSquaredError::default();
    let (y, p) = (Tensor::zeros([3, 1]), Tensor::from([[1e30f32], [2.0], [1e10]]));
    let mut dy = Tensor::full([3, 1], f32::NAN);
    // 1e60 overflows, but has no weight; 1e20·1e20 is beyond f32, not beyond the loss.
    let value = squares.batch(&y, &p, Some(&[0.0, 3.0, 1e20]), 4, Some(&mut dy));
    assert!((value / 0.25e40 - 1.0).abs() < 1e-6, "{value}");
    assert_eq!(dy.as_slice()[..2], [0.0, 3.0]);
    assert!((dy.as_slice()[2] / 5e29 - 1.0).abs() < 1e-6);
    assert_eq!(value, squares.batch(&y, &p, Some(&[0.0, 3.0, 1e20]), 4, None));
    let nan = Tensor::from([[f32::NAN], [2.0], [1e10]]);
    assert_eq!(squares.batch(&y, &nan, Some(&[0.0, 3.0, 0.0]), 4, Some(&mut dy)), 3.0);
    assert_eq!(dy.as_slice(), [0.0, 3.0, 0.0]);
    assert!(squares.batch(&y, &nan, Some(&[1e-30, 3.0, 0.0]), 4, None).is_nan());
    // Subnormal weights count too.
    let least = f64::from_bits(1);
    let (y, p) = (Tensor::zeros([1, 1]), Tensor::from([[1e100]]));
    assert_eq!(squares.batch(&y, &p, Some(&[least]), 1, None), least * 1e200);
}

#[test]
fn label_smoothing_from_none_to_all() {
    let z = [0.0, 3f64.ln()];
    let (low, high) = (0.25f64.ln(), 0.75f64.ln());
    for y in [vec![0.0, 1.0], vec![1.0]] {
        for (s, expected) in [(0.0, -high), (0.5, -0.25 * low - 0.75 * high), (1.0, -0.5 * (low + high))] {
            let loss = CategoricalCrossentropy::default().label_smoothing(s);
            assert!((loss.value(&y, &[0.25, 0.75]) - expected).abs() < 1e-14, "{s}");
            assert!((loss.from_logits(true).value(&y, &z) - expected).abs() < 1e-14, "{s}");
        }
    }
    for (s, expected) in [(0.0, -high), (0.5, -0.25 * low - 0.75 * high), (1.0, -0.5 * (low + high))] {
        let loss = BinaryCrossentropy::default().label_smoothing(s);
        assert!((loss.value(&[1.0], &[0.75]) - expected).abs() < 1e-14, "{s}");
        assert!((loss.from_logits(true).value(&[1.0], &z[1..]) - expected).abs() < 1e-14, "{s}");
    }
}

#[test]
fn settings_that_f32_does_not_know() {
    let shape = Shape::from([1, 2]);
    fn check<T: Float>(loss: impl Loss<T>, shape: Shape) -> bool {
        loss.check(shape, shape).is_ok()
    }
    assert!(check::<f64>(Huber::default().delta(1e-50), shape) && !check::<f32>(Huber::default().delta(1e-50), shape));
    let focal = || CategoricalFocalCrossentropy::default().gamma(1e39);
    assert!(check::<f64>(focal(), shape) && !check::<f32>(focal(), shape));
    assert!(!check::<f32>(BinaryFocalCrossentropy::default().gamma(1e39), shape));
}
