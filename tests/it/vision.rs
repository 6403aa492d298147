//! Convolutional networks: threads, the rest of a batch and a stop in the middle change no bit.

use gradus::models;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

fn noise<T: Float>(n: usize, shape: [usize; 3], part: u64) -> Tensor<T> {
    let key = Key::new(1, Purpose::Data).with(part);
    Tensor::from_fn([n, shape[0], shape[1], shape[2]], |i| T::of(2.0 * key.unit(i as u64) - 1.0))
}

fn labels<T: Float>(n: usize) -> Tensor<T> {
    Tensor::from_fn([n], |i| T::of((i * 7 % 5) as f64))
}

/// Every kind of convolution, pool and normalisation, in sizes that go to several threads.
fn model<T: Float>(seed: u64) -> Model<T> {
    let branches = Concatenate::new()
        .branch(Conv2d::new(16, 1).activation(Activation::Gelu))
        .branch(Block::new().add(MaxPooling2d::new(3).strides(1).padding(Padding::Same)).add(Conv2d::new(8, 1)));
    Sequential::new([20, 18, 3])
        .add(Conv2d::new(16, 3).padding(Padding::Same).use_bias(false))
        .add(BatchNorm::new().momentum(0.9))
        .add(Activation::Relu)
        .add(Residual::new().add(Conv2d::new(16, 3).padding(Padding::Same)).add(GroupNorm::new(4)))
        .add(branches)
        .add(SpatialDropout2d::new(0.1))
        .add(DepthwiseConv2d::new(3).strides(2).padding(Padding::Same).depth_multiplier(2))
        .add(LayerNorm::new())
        .add(SeparableConv2d::new(20, 3).padding(Padding::Same).activation(Activation::Tanh))
        .add(Conv2dTranspose::new(24, 3).strides(2).padding(Padding::Same))
        .add(RmsNorm::new())
        .add(AveragePooling2d::new(2))
        .add(squeeze_excite(24, 4))
        .add(Conv2d::new(24, 2).groups(3).dilation_rate(2))
        .add(MaxPooling2d::new(2))
        .add(GlobalAveragePooling2d::new())
        .add(Dense::new(5).activation(Activation::Softmax))
        .build_as(seed)
        .unwrap()
}

fn bits<T: Float>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.as_f64().to_bits()).collect()
}

fn trained<T: Float>() -> Vec<T> {
    let mut model = model::<T>(3);
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let how = Fit::default().epochs(2).batch_size(19).verbose(Verbose::Silent);
    model.fit(&noise(57, [20, 18, 3], 0), &labels(57), &how).unwrap();
    model.params().values().to_vec()
}

fn any_number_of_threads<T: Float>() {
    let weights = trained::<T>();
    assert!(weights.iter().all(|w| w.is_finite()));
    assert!(bits(&weights) == bits(&trained::<T>()), "two runs differ");
    #[cfg(feature = "parallel")]
    for threads in 1..=4 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(bits(&weights) == bits(&pool.install(trained::<T>)), "{threads} threads change the weights");
    }
}

#[test]
fn threads_in_f32() {
    any_number_of_threads::<f32>();
}

#[test]
fn threads_in_f64() {
    any_number_of_threads::<f64>();
}

#[test]
fn an_image_alone_is_that_image_in_a_batch() {
    let mut model = model::<f32>(3);
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
    let x = noise(40, [20, 18, 3], 0);
    model.train_on_batch(&x, &labels(40)).unwrap();
    let all = model.predict(&x).unwrap();
    for i in 0..40 {
        let one = model.predict(&x.rows(i..i + 1).unwrap()).unwrap();
        assert!(bits(one.as_slice()) == bits(all.row(i)), "image {i} alone differs");
    }
}

#[test]
fn known_networks() {
    let count = |block: Block, shape: [usize; 3]| {
        let model = Sequential::new(shape).add(block).build(0).unwrap();
        assert_eq!(model.output_shape(), Shape::from([10]));
        (model.params().len(), model.summary().trainable)
    };
    assert_eq!(count(models::lenet5(10), [28, 28, 1]), (61_706, 61_706));
    // Keras counts the same with these layers.
    let (all, trained) = count(models::resnet20(10), [32, 32, 3]);
    assert_eq!(all - trained, 2 * (7 * 16 + 7 * 32 + 7 * 64));
    // Keras: MobileNet(alpha=1, classes=10) has 3,239,114, a dense layer in the place of its last convolution.
    assert_eq!(count(models::mobile_net(1.0, 10), [32, 32, 3]), (3_239_114, 3_217_226));
}

/// A small network learns to tell the digits.
#[test]
fn learns() {
    let digits = digits();
    let x = digits.x.map(|v| v / 16.0).reshape([1797, 8, 8, 1]).unwrap();
    let mut model = Sequential::new([8, 8, 1])
        .add(Conv2d::new(16, 3).padding(Padding::Same).use_bias(false))
        .add(BatchNorm::new().momentum(0.9))
        .add(Activation::Relu)
        .add(MaxPooling2d::new(2))
        .add(Conv2d::new(32, 3).activation(Activation::Relu))
        .add(Flatten::new())
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(1)
        .unwrap();
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    let how = Fit::default().epochs(15).verbose(Verbose::Silent);
    model.fit(&x.rows(0..1437).unwrap(), &digits.y.rows(0..1437).unwrap(), &how).unwrap();
    let scores = model.evaluate(&x.rows(1437..1797).unwrap(), &digits.y.rows(1437..1797).unwrap()).unwrap();
    assert!(scores.get("accuracy").unwrap() > 0.92, "{scores:?}");
}

/// A run that is stopped after some batches and goes on ends with the bits of one that was not: statistics and augmentation too.
#[cfg(feature = "files")]
#[test]
fn resumes_exactly() {
    let file = std::env::temp_dir().join(format!("gradus_vision_{}.safetensors", std::process::id()));
    let augment = Augment::new().rotation(10.0).shift([0.1, 0.1]).flip_horizontal().cutout(0.2);
    let source = || {
        let source = Samples::new(noise::<f32>(60, [20, 18, 3], 0), labels(60)).unwrap();
        source.augment(augment.clone(), 4).shuffle(4).batch(16).prefetch(2).unwrap()
    };
    let compiled = || {
        let mut model = model::<f32>(3);
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), ()).unwrap();
        model
    };
    let how = Fit::default().epochs(3).verbose(Verbose::Silent);
    let mut whole = compiled();
    whole.fit_dataset(&source(), &how, &mut []).unwrap();
    // Written in the middle of the second epoch; the program ends there.
    let checkpoint = Checkpoint::new(&file).every_steps(6).background(false);
    let mut stopped = compiled();
    let mut seen = 0;
    let mut stop = LambdaCallback::default().on_batch_end(|_, _, _| {
        seen += 1;
        if seen == 7 { Err(Error::custom("the power went out")) } else { Ok(()) }
    });
    assert!(stopped.fit_dataset(&source(), &how.clone().checkpoint(&checkpoint), &mut [&mut stop]).is_err());
    let mut again = compiled();
    again.fit_dataset(&source(), &how.checkpoint(&checkpoint), &mut []).unwrap();
    let _ = std::fs::remove_file(&file);
    assert!(bits(whole.params().values()) == bits(again.params().values()));
}
