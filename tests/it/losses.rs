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
    let compile = |activation, loss: fn(&mut Sequential) -> Result<(), Error>| {
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
    let mut fused = Sequential::<f64>::of([3]).add(Dense::new(2).activation(Activation::Sigmoid)).build(1).unwrap();
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
