//! Callbacks around real training.

use gradus::prelude::*;

fn compiled() -> (Model, Tensor, Tensor) {
    let table = gradus::data::iris();
    let mut model = Sequential::new([4])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(1)
        .unwrap();
    model
        .compile(Adam::default().learning_rate(0.05), CategoricalCrossentropy::default(), [Accuracy::default()])
        .unwrap();
    // The flowers in an order in which the kinds take turns.
    let order: Vec<usize> = (0..150).map(|i| i * 49 % 150).collect();
    (model, table.x.select(&order).unwrap(), table.y.select(&order).unwrap())
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

/// Whatever a callback can know is known before the first step.
#[test]
fn wrong_settings_cost_no_epoch() {
    let (mut model, x, y) = compiled();
    let before = model.params().clone();
    let folder = std::env::temp_dir().join(format!("gradus_before_the_first_{}", std::process::id()));
    let csv = folder.join("old.csv");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&csv, "epoch,loss\n").unwrap();
    let mut refused = |callback: &mut dyn Callback, expected: &str| {
        // A callback in front that writes is not asked either.
        let mut logger = CsvLogger::new(folder.join("new.csv"));
        let how = Fit::default().epochs(2).validation_split(0.2).verbose(Verbose::Silent);
        let error = model.fit_with(&x, &y, &how, &mut [&mut logger, callback]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(model.params(), &before);
        assert!(!folder.join("new.csv").exists());
    };
    let figures = "one of loss, accuracy, val_loss, val_accuracy, got ";
    refused(&mut EarlyStopping::default().monitor("val_acc"), figures);
    refused(&mut ReduceLrOnPlateau::default().monitor("losses"), figures);
    refused(&mut ReduceLrOnPlateau::default().factor(1.5), "factor must be");
    refused(&mut EarlyStopping::default().min_delta(f64::NAN), "min_delta must be finite");
    refused(
        &mut CsvLogger::new(&csv).append(true),
        "its columns are epoch,loss, those of this run epoch,loss,accuracy,",
    );
    #[cfg(feature = "files")]
    {
        refused(&mut ModelCheckpoint::new(folder.join("{val_acc:.2f}")), figures);
        refused(&mut ModelCheckpoint::new(folder.join("{epoch:q}")), "formats such as 03d");
        refused(&mut ModelCheckpoint::new(folder.join("best")).save_best_only(true).monitor("x"), figures);
    }
    #[cfg(feature = "tools")]
    refused(&mut TensorBoard::new(&folder).update_freq(0), "update_freq");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A figure that is never a number: without a word training ended with no best epoch.
#[test]
fn a_validation_of_nan_is_told() {
    #[derive(Clone, Debug)]
    struct Undefined;
    impl Metric<f32> for Undefined {
        fn name(&self) -> String {
            "undefined".into()
        }
        fn sums(&self, _: gradus::Shape) -> usize {
            0
        }
        fn update(&self, _: &mut [f64], _: &Tensor, _: &Tensor, _: Option<&[f32]>) {}
        fn result(&self, _: &[f64]) -> f64 {
            f64::NAN
        }
        fn check(&self, _: Shape, _: Shape) -> gradus::Result<()> {
            Ok(())
        }
    }
    let (mut model, x, y) = compiled();
    model.compile(Adam::default(), CategoricalCrossentropy::default(), [Undefined]).unwrap();
    let mut stopping = EarlyStopping::default().monitor("val_undefined").patience(2);
    let how = Fit::default().epochs(9).validation_split(0.2).verbose(Verbose::Silent);
    let error = model.fit_with(&x, &y, &how, &mut [&mut stopping]).unwrap_err().to_string();
    assert!(
        error.starts_with("EarlyStopping: val_undefined was NaN in every epoch up to 2: none is the best"),
        "{error}"
    );
    assert_eq!(stopping.stopped_epoch(), None);
}
