//! Callbacks around real training.

use gradus::prelude::*;

fn compiled() -> (Sequential, Tensor, Tensor) {
    let table = gradus::data::iris();
    let mut model = Sequential::new([4])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(1)
        .unwrap();
    model
        .compile(Adam::default().learning_rate(0.05), CategoricalCrossentropy::default(), [Accuracy::default()])
        .unwrap();
    (model, table.x, table.y)
}

#[test]
fn the_best_weights_come_back() {
    let (mut model, x, y) = compiled();
    let split = train_test_split(&x, &y, &Split::default().test_size(0.3)).unwrap();
    let mut stopping = EarlyStopping::default().patience(3).restore_best_weights(true);
    let how = Fit::default()
        .epochs(200)
        .validation_data(&split.x_test, &split.y_test)
        .batch_size(16)
        .verbose(Verbose::Silent);
    let history = model.fit_with(&split.x_train, &split.y_train, &how, &mut [&mut stopping]).unwrap();
    let losses = history.get("val_loss").unwrap();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(stopping.best(), Some(best));
    assert_eq!(losses[stopping.best_epoch()], best);
    assert_eq!(stopping.stopped_epoch(), Some(losses.len() - 1));
    assert_eq!(losses.len() - 1, stopping.best_epoch() + 3, "patience is 3 epochs");
    assert_eq!(model.evaluate(&split.x_test, &split.y_test).unwrap().loss, best);
}

#[test]
fn a_learning_rate_of_zero_freezes_the_weights() {
    let (mut model, x, y) = compiled();
    let how = Fit::default().epochs(3).verbose(Verbose::Silent);
    let mut weights = Vec::new();
    let mut rule = LearningRateScheduler::new(|epoch, rate| if epoch == 1 { 0.0 } else { rate });
    let mut watch = LambdaCallback::default().on_epoch_end(|_, _, run| {
        weights.push(run.params().values().to_vec());
        Ok(())
    });
    model.fit_with(&x, &y, &how, &mut [&mut rule, &mut watch]).unwrap();
    drop(watch);
    assert_eq!(weights[0], weights[1]);
    assert_eq!(weights[1], weights[2]);
}

#[test]
fn callbacks_that_watch_change_no_bit() {
    let (mut plain, x, y) = compiled();
    let split = train_test_split(&x, &y, &Split::default().test_size(0.2).stratify(true)).unwrap();
    let how = Fit::default().epochs(3).validation_data(&split.x_test, &split.y_test).verbose(Verbose::Silent);
    plain.fit(&split.x_train, &split.y_train, &how).unwrap();
    let (mut watched, ..) = compiled();
    let mut batches = 0;
    let mut count = LambdaCallback::default().on_batch_end(|_, _, _| {
        batches += 1;
        Ok(())
    });
    let (mut stopping, mut slower) = (EarlyStopping::default().patience(9), ReduceLrOnPlateau::default());
    let callbacks: &mut [&mut dyn Callback] = &mut [&mut stopping, &mut slower, &mut count];
    watched.fit_with(&split.x_train, &split.y_train, &how, callbacks).unwrap();
    drop(count);
    assert_eq!(batches, 3 * 120usize.div_ceil(32));
    assert_eq!(plain.params(), watched.params());
}

#[test]
fn an_error_of_a_callback_ends_training() {
    let (mut model, x, y) = compiled();
    let mut stopping = EarlyStopping::default();
    let how = Fit::default().epochs(3).verbose(Verbose::Silent);
    let error = model.fit_with(&x, &y, &how, &mut [&mut stopping]).unwrap_err().to_string();
    assert!(error.contains("one of loss, accuracy, got val_loss"), "{error}");
}
