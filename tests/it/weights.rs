//! Sample and class weights.

use gradus::prelude::*;

fn data() -> (Tensor<f64>, Tensor<f64>) {
    (Tensor::from_fn([9, 3], |i| ((i * 7 % 11) as f64) * 0.1), Tensor::from_labels(&[0, 1, 2, 0, 1, 2, 0, 1, 2]))
}

fn trained(y: &Tensor<f64>, how: &Fit<'_, f64>) -> gradus::Result<(Vec<f64>, History)> {
    let mut model = Sequential::new([3]).add(Dense::new(3).activation(Activation::Softmax)).build_as::<f64>(2)?;
    model.compile(Sgd::default().learning_rate(0.5), CategoricalCrossentropy::default(), ())?;
    let history = model.fit(&data().0, y, &how.clone().verbose(Verbose::Silent).batch_size(4).epochs(3))?;
    Ok((model.params().values().to_vec(), history))
}

#[test]
fn a_weight_of_two_is_a_sample_twice() {
    let (x, y) = data();
    let mut weights = [1.0; 9];
    weights[4] = 2.0;
    let mut model = Sequential::new([3]).add(Dense::new(3).activation(Activation::Softmax)).build_as::<f64>(2).unwrap();
    model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
    let before = model.evaluate(&x, &y).unwrap().loss * 9.0;
    let one = model.evaluate(&x.rows(4..5).unwrap(), &y.rows(4..5).unwrap()).unwrap().loss;
    let how = Fit::default().batch_size(9).sample_weight(&weights).verbose(Verbose::Silent);
    let loss = model.fit(&x, &y, &how).unwrap().last("loss").unwrap();
    approx::assert_relative_eq!(loss, (before + one) / 9.0, max_relative = 1e-12);
}

#[test]
fn class_weights_are_sample_weights() {
    let (_, y) = data();
    let classes = [0.5, 2.0, 3.0];
    let samples: Vec<f64> = y.iter().map(|&class| classes[class as usize]).collect();
    let by_class = trained(&y, &Fit::default().class_weight(&classes)).unwrap();
    assert_eq!(by_class, trained(&y, &Fit::default().sample_weight(&samples)).unwrap());
    assert_eq!(by_class, trained(&one_hot(&y, 3).unwrap(), &Fit::default().class_weight(&classes)).unwrap());
    assert_ne!(by_class, trained(&y, &Fit::default()).unwrap());
    // Ones change no bit.
    assert_eq!(trained(&y, &Fit::default().sample_weight(&[1.0; 9])).unwrap(), trained(&y, &Fit::default()).unwrap());
}

#[test]
fn a_validation_split_has_its_samples_weights() {
    let (x, y) = data();
    let mut model = Sequential::new([3]).add(Dense::new(3).activation(Activation::Softmax)).build_as::<f64>(2).unwrap();
    model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
    let weights = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
    let how = Fit::default().sample_weight(&weights).validation_split(0.34).verbose(Verbose::Silent);
    let measured = model.fit(&x, &y, &how).unwrap().last("val_loss").unwrap();
    // The last four, three of them without weight: the loss of one, divided by four.
    let one = model.evaluate(&x.rows(5..6).unwrap(), &y.rows(5..6).unwrap()).unwrap().loss;
    approx::assert_relative_eq!(measured, one / 4.0, max_relative = 1e-12);
}

#[test]
fn several_labels_a_sample_have_no_class_weight() {
    let mut model = Sequential::new([3]).add(Dense::new(3).activation(Activation::Sigmoid)).build_as::<f64>(2).unwrap();
    model.compile(Sgd::default(), BinaryCrossentropy::default(), ()).unwrap();
    let x = data().0.rows(0..2).unwrap();
    let how = Fit::default().class_weight(&[1.0, 2.0, 3.0]).verbose(Verbose::Silent);
    let several = Tensor::from([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]);
    let error = model.fit(&x, &several, &how).unwrap_err().to_string();
    assert!(error.contains("target in row 1 is [1, 0, 1]") && error.contains("sample_weight"), "{error}");
    let source = Samples::new(x.clone(), several.clone()).unwrap();
    let in_batch = model.fit_dataset(&source.batch(2), &how, &mut []).unwrap_err().to_string();
    assert_eq!(in_batch, format!("batch 0 of the dataset: {error}"));
    // One label a sample is a class, and weights by sample fit all.
    assert!(model.fit(&x, &Tensor::from([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), &how).is_ok());
    let by_sample = Fit::default().sample_weight(&[1.0, 2.0]).verbose(Verbose::Silent);
    assert!(model.fit(&x, &several, &by_sample).is_ok());
}

#[test]
fn weights_that_do_not_fit() {
    let (_, y) = data();
    let message = |how: &Fit<'_, f64>| trained(&y, how).unwrap_err().to_string();
    let short = message(&Fit::default().sample_weight(&[1.0; 8]));
    assert_eq!(
        short,
        "fit: expected 9 weights, one for each sample, got 8; pass a weight for every sample of x; outputs are of shape [n, 3]"
    );
    assert!(message(&Fit::default().sample_weight(&[-1.0; 9])).contains("sample 0"));
    assert!(message(&Fit::default().class_weight(&[1.0, f64::NAN, 1.0])).contains("class 1"));
    let missing = message(&Fit::default().class_weight(&[1.0, 1.0]));
    assert!(missing.contains("row 2") && missing.contains("every class a weight"), "{missing}");
}
