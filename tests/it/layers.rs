//! Every layer: its configuration through JSON, and training and prediction in f32 and f64.

use gradus::layers::LayerConfig;
use gradus::prelude::*;
use gradus::{Shape, gradcheck};

/// Every variant of `LayerConfig` but `Custom`, with settings other than the defaults, and a sample shape that it takes.
fn every_layer<T: Float>() -> Vec<(Box<dyn Layer<T>>, Shape)> {
    let s = |dims: &[usize]| Shape::try_from(dims).unwrap();
    let layer = |l: Box<dyn Layer<T>>, dims: &[usize]| (l, s(dims));
    vec![
        layer(Box::new(Absolute::new()), &[3, 5]),
        layer(Box::new(Activation::Celu(0.6)), &[3, 5]),
        layer(Box::new(Activation::SoftCap(2.5)), &[3, 5]),
        layer(Box::new(ActivityRegularization::new().l1(0.25).l2(0.5)), &[3, 5]),
        layer(Box::new(AlphaDropout::new(0.3)), &[3, 5]),
        layer(Box::new(Arithmetic::new(Operation::Divide, 1.5).number_first(true)), &[3, 5]),
        layer(Box::new(AveragePooling1d::new(2).strides(1)), &[3, 5]),
        layer(Box::new(AveragePooling2d::new([1, 2]).padding(Padding::Same)), &[3, 4, 2]),
        layer(Box::new(BatchNorm::new().momentum(0.5).epsilon(0.25).scale(false)), &[3, 5]),
        layer(
            Box::new(ClassToken::new().token_initializer(Init::Ones).token_regularizer(Regularizer::L2(0.1))),
            &[3, 5],
        ),
        layer(Box::new(Conv1d::new(4, 2).padding(Padding::Causal).dilation_rate(2)), &[3, 5]),
        layer(Box::new(Conv1dTranspose::new(4, 3).strides(2).output_padding(0)), &[3, 5]),
        layer(Box::new(Conv2d::new(4, [2, 3]).strides([1, 2]).padding(Padding::Same).groups(2)), &[3, 4, 2]),
        layer(Box::new(Conv2dTranspose::new(2, 3).padding(Padding::Same).use_bias(false)), &[3, 2, 2]),
        layer(Box::new(Cropping1d::new([[1, 0]])), &[3, 5]),
        layer(Box::new(Cropping2d::new([1, 0])), &[3, 4, 2]),
        layer(Box::new(Dense::new(7).activation(Activation::Silu).use_bias(false)), &[3, 5]),
        layer(Box::new(DepthwiseConv1d::new(2).depth_multiplier(2).activation(Activation::Silu)), &[3, 5]),
        layer(Box::new(DepthwiseConv2d::new(2).kernel_initializer(Init::HeNormal)), &[3, 4, 2]),
        layer(Box::new(Dropout::new(0.4)), &[3, 5]),
        layer(Box::new(Elu::new().alpha(0.7)), &[5]),
        layer(
            Box::new(Embedding::new(9, 4).mask_zero(true).padding_idx(2).embeddings_regularizer(Regularizer::L2(0.1))),
            &[3, 5],
        ),
        layer(Box::new(Flatten::new()), &[3, 5]),
        layer(Box::new(GatedDense::geglu(4).use_bias(true)), &[3, 5]),
        layer(Box::new(GatedDense::swiglu(4).fused(true).kernel_initializer(Init::HeNormal)), &[3, 5]),
        layer(Box::new(GaussianDropout::new(0.3)), &[5]),
        layer(Box::new(GaussianNoise::new(0.25)), &[3, 5]),
        layer(Box::new(GlobalAveragePooling1d::new()), &[3, 5]),
        layer(Box::new(GlobalAveragePooling2d::new().keepdims(true)), &[3, 4, 2]),
        layer(Box::new(GlobalMaxPooling1d::new().keepdims(true)), &[3, 5]),
        layer(Box::new(GlobalMaxPooling2d::new()), &[3, 4, 2]),
        layer(Box::new(GroupNorm::new(2).center(false).gamma_initializer(Init::Constant(0.5))), &[3, 4]),
        layer(Box::new(Identity::new()), &[3, 5]),
        layer(Box::new(LayerNorm::new().epsilon(0.5).beta_regularizer(Regularizer::L2(0.1))), &[3, 5]),
        layer(Box::new(LeakyRelu::new().negative_slope(0.125)), &[5]),
        layer(Box::new(Masking::new(-1.0)), &[3, 5]),
        layer(Box::new(MaxPooling1d::new(2)), &[3, 5]),
        layer(Box::new(MaxPooling2d::new(2).strides([1, 2]).padding(Padding::Same)), &[3, 4, 2]),
        layer(Box::new(MultiHeadAttention::new(4, 3).key_heads(2).dropout(0.25).causal(true)), &[3, 5]),
        layer(Box::new(MultiHeadAttention::new(2, 4).fused(true).rotary(Rotary::new()).window(2)), &[3, 5]),
        layer(
            Box::new(MultiHeadAttention::new(4, 2).key_heads(2).rotary(Rotary::new()).qk_norm(RmsNorm::new())),
            &[3, 5],
        ),
        layer(Box::new(Negative::new()), &[3, 5]),
        layer(Box::new(Normalization::from_stats([0.5, -2.0], [4.0, 0.25])), &[3, 2]),
        layer(Box::new(PRelu::new().shared_axes([1]).alpha_initializer(Init::Constant(0.25))), &[3, 5]),
        layer(Box::new(Permute::new([3, 1, 2])), &[2, 3, 5]),
        layer(Box::new(RepeatVector::new(3)), &[5]),
        layer(Box::new(Rescaling::new(0.5).offset(-1.0)), &[3, 5]),
        layer(Box::new(Reshape::new([-1, 3])), &[3, 5]),
        layer(Box::new(RmsNorm::new().epsilon(0.125)), &[3, 5]),
        layer(Box::new(RmsNorm::new().last(3).unit_offset(true)), &[2, 6]),
        layer(Box::new(SeparableConv1d::new(3, 2).depthwise_regularizer(Regularizer::L2(0.1))), &[3, 5]),
        layer(Box::new(SeparableConv2d::new(3, [2, 1]).depth_multiplier(2)), &[3, 4, 2]),
        layer(Box::new(Slice::new().every(2, ..-1).range(1..)), &[4, 5]),
        layer(Box::new(Softmax::new()), &[3, 5]),
        layer(Box::new(SpatialDropout1d::new(0.25)), &[3, 5]),
        layer(Box::new(SpatialDropout2d::new(0.75)), &[3, 4, 2]),
        layer(Box::new(TimeDistributed::new(Conv1d::new(3, 2).activation(Activation::Gelu))), &[3, 4, 2]),
        layer(Box::new(UnitNormalization::new()), &[3, 5]),
        layer(Box::new(UpSampling1d::new(2)), &[3, 5]),
        layer(Box::new(UpSampling2d::new([2, 1]).interpolation(Interpolation::Bilinear)), &[3, 4, 2]),
        layer(Box::new(ZeroPadding1d::new([[0, 2]])), &[3, 5]),
        layer(Box::new(ZeroPadding2d::new([1, 2])), &[3, 4, 2]),
    ]
}

fn samples<T: Float>(n: usize, shape: Shape) -> Tensor<T> {
    let shape = shape.batched(n).unwrap();
    Tensor::from_fn(shape, |i| T::of(((i * 37 % 101) as f64 - 50.5) / 40.0))
}

/// Samples that a layer takes.
fn inputs<T: Float>(layer: &dyn Layer<T>, n: usize, shape: Shape) -> Tensor<T> {
    match layer.token_ids() {
        None => samples(n, shape),
        Some(count) => Tensor::from_fn(shape.batched(n).unwrap(), |i| T::of((i * 7 % count) as f64)),
    }
}

#[test]
fn the_list_holds_every_class_once() {
    let mut classes: Vec<_> = every_layer::<f32>().iter().map(|(l, _)| l.class()).collect();
    classes.dedup();
    // TiedDense stands beside the layer whose weights it uses.
    assert_eq!(classes.len() + 1, LayerConfig::CLASSES.len());
}

#[cfg(feature = "serde")]
#[test]
fn an_unknown_class_is_told_the_known_ones() {
    let mut classes: Vec<_> = every_layer::<f32>().iter().map(|(l, _)| l.class()).collect();
    classes.dedup();
    let message =
        serde_json::from_str::<LayerConfig>(r#"{"class": "Nonsense", "config": {}}"#).unwrap_err().to_string();
    for class in &classes {
        assert!(message.contains(&format!("`{class}`")), "{class} in {message}");
    }
    assert_eq!(
        message.matches('`').count(),
        2 * (classes.len() + 1 + 5 + 2),
        "a layer is missing from the list: {message}"
    );
}

#[cfg(feature = "serde")]
fn round_trip<T: Float>() {
    for (layer, shape) in every_layer::<T>() {
        let config = layer.config();
        let json = serde_json::to_string(&config).unwrap();
        let read: LayerConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(read, config, "{json}");
        let x = inputs(&*layer, 4, shape);
        let model = Sequential::new(shape).add(config).build_as::<T>(3).unwrap();
        let again = Sequential::new(shape).add(read).build_as(3).unwrap();
        assert_eq!(model.params(), again.params(), "{json}");
        let y = model.predict(&x).unwrap();
        assert_eq!(y, again.predict(&x).unwrap(), "{json}");
        assert_eq!(y.shape().sample(), model.output_shape(), "{json}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn configurations_go_through_json() {
    round_trip::<f32>();
    round_trip::<f64>();
}

fn trains<T: Float>() {
    for (layer, shape) in every_layer::<T>() {
        let class = layer.class();
        let x = inputs(&*layer, 5, shape);
        let model = Sequential::new(shape);
        // Token ids come from the input.
        let model = if layer.token_ids().is_some() { model } else { model.add(Dense::new(shape.last())) };
        let mut model = model.add(layer.config()).add(Flatten::new()).add(Dense::new(2)).build_as(1).unwrap();
        model.compile(Adam::default(), MeanSquaredError::default(), ()).unwrap();
        let before = model.params().clone();
        let t = samples::<T>(5, Shape::from([2]));
        for _ in 0..3 {
            let loss = model.train_on_batch(&x, &t).unwrap();
            assert!(loss.is_finite() && loss > 0.0, "{class}");
        }
        // The gradient reaches the first weights.
        let kernel = model.params().specs()[0].range.clone();
        assert_ne!(before.values()[kernel.clone()], model.params().values()[kernel], "{class}");
        assert!(model.evaluate(&x, &t).unwrap().loss.is_finite(), "{class}");
    }
}

#[test]
fn every_layer_trains_in_both_precisions() {
    trains::<f32>();
    trains::<f64>();
}

#[test]
fn every_layer_has_the_right_gradient() {
    for (layer, shape) in every_layer::<f64>() {
        gradcheck::check_layer(&*layer, shape).unwrap();
    }
}

#[test]
fn a_whole_model_has_the_right_gradient() {
    let x = samples::<f64>(3, Shape::from([2, 3]));
    let mut model = Sequential::new([2, 3])
        .add(Normalization::new().adapt(&x).unwrap())
        .add(Permute::new([2, 1]))
        .add(Flatten::new())
        .add(Dense::new(7).activation(Activation::Gelu))
        .add(Dropout::new(0.3))
        .add(Residual::new().add(Dense::new(4).activation(Activation::Tanh)).add(PRelu::new()).add(Dense::new(7)))
        .add(GaussianDropout::new(0.2))
        .add(UnitNormalization::new())
        .add(Dense::new(3))
        .add(Softmax::new())
        .build_as(5)
        .unwrap();
    model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
    gradcheck::check_model(&mut model, &x, &Tensor::from_labels(&[2, 0, 1])).unwrap();
}

/// y of one sample, and dx for dy, with the arithmetic of inference.
fn there_and_back<T: Float>(mut layer: impl Layer<T>, x: &[f64], dy: &[f64]) -> [Vec<f64>; 2] {
    let mut b = Builder::new(0);
    layer.build(Shape::from([x.len()]), &mut b).unwrap();
    let params = b.into_params();
    let tensor = |v: &[f64]| Tensor::from_fn([1, v.len()], |i| T::of(v[i]));
    let (mut pass, mut slot) = (gradus::Pass::differentiable(&params), gradus::Slot::new());
    let (x, mut y, mut dy, mut dx) = (tensor(x), tensor(x), tensor(dy), tensor(x));
    layer.forward(&mut pass, &mut slot, &x, &mut y);
    layer.backward(&mut pass, &mut slot, &x, &y, &mut dy, Some(&mut dx));
    [y, dx].map(|t| t.iter().map(|v| v.as_f64()).collect())
}

/// Rows (1, 0, −1)·s with dy = (1, 0, 0): x̂ = (h, 0, −h) with h = √1.5 and r = h/s; for an s far below √ε, r = 1/√ε.
fn norms_of_any_size<T: Float>(large: &[f64], small: &[f64], accuracy: f64) {
    let check = |name: &str, s: f64, [y, dx]: [Vec<f64>; 2], expected: [[f64; 3]; 2]| {
        for (got, expected) in [(y, expected[0]), (dx, expected[1])] {
            let size = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for (g, e) in got.iter().zip(expected) {
                assert!((g - e).abs() <= accuracy * size, "{name} at {s:e}: {got:?}, expected {expected:?}");
            }
        }
    };
    let dy = [1.0, 0.0, 0.0];
    let h = 1.5f64.sqrt();
    for &s in large {
        let (x, r) = ([s, 0.0, -s], h / s);
        let layer_norm = [[h, 0.0, -h], [r / 6.0, -r / 3.0, r / 6.0]];
        check("LayerNorm", s, there_and_back::<T>(LayerNorm::new(), &x, &dy), layer_norm);
        check("GroupNorm", s, there_and_back::<T>(GroupNorm::new(1), &x, &dy), layer_norm);
        check("RmsNorm", s, there_and_back::<T>(RmsNorm::new(), &x, &dy), [[h, 0.0, -h], [r / 2.0, 0.0, r / 2.0]]);
        let (u, unit) = (0.5f64.sqrt(), there_and_back::<T>(UnitNormalization::new(), &x, &dy));
        check("UnitNormalization", s, unit, [[u, 0.0, -u], [u / s / 2.0, 0.0, u / s / 2.0]]);
    }
    for &s in small {
        let x = [s, 0.0, -s];
        let r = 1e3f64.sqrt();
        let layer_norm = [[s * r, 0.0, -s * r], [2.0 * r / 3.0, -r / 3.0, -r / 3.0]];
        check("LayerNorm", s, there_and_back::<T>(LayerNorm::new(), &x, &dy), layer_norm);
        check("GroupNorm", s, there_and_back::<T>(GroupNorm::new(1), &x, &dy), layer_norm);
        check("RmsNorm", s, there_and_back::<T>(RmsNorm::new(), &x, &dy), [[s * 1e3, 0.0, -s * 1e3], [1e3, 0.0, 0.0]]);
    }
    // Equal values have no deviation.
    let max = T::max_value().as_f64();
    let r = 1e3f64.sqrt();
    check(
        "LayerNorm",
        max,
        there_and_back::<T>(LayerNorm::new(), &[max; 3], &dy),
        [[0.0; 3], [2.0 * r / 3.0, -r / 3.0, -r / 3.0]],
    );
    for bad in [f64::INFINITY, f64::NAN] {
        for y in [
            &there_and_back::<T>(LayerNorm::new(), &[bad, 0.0, 1.0], &dy)[0],
            &there_and_back::<T>(RmsNorm::new(), &[bad, 0.0, 1.0], &dy)[0],
            &there_and_back::<T>(UnitNormalization::new(), &[bad, 0.0, 1.0], &dy)[0],
        ] {
            assert!(y.iter().any(|v| v.is_nan()), "{y:?}");
        }
    }
}

#[test]
fn norms_at_the_ends_of_the_type() {
    norms_of_any_size::<f32>(&[1e10, 1e19, 1e30, 1e37, 1.5e38], &[1e-12, 1e-30, 1e-37], 4e-6);
    norms_of_any_size::<f64>(&[1e10, 1e160, 1e200, 1e307], &[1e-20, 1e-200, 1e-300], 1e-13);
}

#[test]
fn a_variance_beyond_the_type_stops_training() {
    let mut model =
        Sequential::new([1]).add(BatchNorm::new()).add(Dense::new(1).kernel_initializer(Init::Zeros)).build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let before = model.params().values().to_vec();
    let error = model.train_on_batch(&Tensor::from([[1e30], [-1e30]]), &Tensor::zeros([2, 1])).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert_eq!(model.params().values(), before);
    assert!(model.train_on_batch(&Tensor::from([[1e15], [-1e15]]), &Tensor::zeros([2, 1])).is_ok());
    for epsilon in [1e-50, 1e39, 0.0, f64::NAN] {
        assert!(Sequential::new([1]).add(BatchNorm::new().epsilon(epsilon)).build(0).is_err());
        assert!(Sequential::new([1]).add(RmsNorm::new().epsilon(epsilon)).build(0).is_err());
        assert!(Sequential::new([2]).add(LayerNorm::new().epsilon(epsilon)).build(0).is_err());
    }
    assert!(Sequential::new([1]).add(BatchNorm::new().epsilon(1e-50)).build_as::<f64>(0).is_ok());
}

#[test]
fn an_infinite_input_meets_a_slope_of_zero() {
    let [y, _] = there_and_back::<f32>(PRelu::new(), &[f64::NEG_INFINITY, -2.0, f64::INFINITY], &[1.0; 3]);
    assert_eq!(y, [0.0, 0.0, f64::INFINITY]);
}
