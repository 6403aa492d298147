//! Chooses a model for the iris table: a learning rate to begin with, a random search judged by cross-validation, and the
//! chosen model on flowers that took no part in any of it.
//!
//! `cargo run --release --example model_selection`

use std::time::Instant;

use gradus::prelude::*;

/// A model of these settings, fitted to nothing but the statistics of its training data.
fn model(x_train: &Tensor, units: usize, activation: Activation, rate: f64, seed: u64) -> Result<Model, Error> {
    let mut model = Sequential::new([4])
        .add(Normalization::new().adapt(x_train)?)
        .add(Dense::new(units).activation(activation))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(seed)?;
    model.compile(Adam::default().learning_rate(rate), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    Ok(model)
}

fn main() -> Result<(), Error> {
    let start = Instant::now();
    let iris = iris();
    let all = train_test_split(&iris.x, &iris.y, &Split::default().test_size(0.2).stratify(true))?;
    let how = Fit::default().epochs(40).batch_size(16).verbose(Verbose::Silent);

    // Which orders of magnitude of the learning rate are worth trying.
    let finder = LearningRateFinder::default().range(1e-5, 10.0).batch_size(16);
    let mut probe = model(&all.x_train, 16, Activation::Tanh, 0.001, 0)?;
    let found = probe.find_learning_rate(&all.x_train, &all.y_train, &finder)?;
    println!("learning rates\n{found}\n");

    // Settings drawn at random, each judged by five folds of the training part. Trials draw initial weights of their own.
    let folds = KFold::new(5).stratify(true).split(&all.y_train)?;
    let rate = found.suggestion();
    let search = RandomSearch::new(12)
        .log_uniform("rate", rate / 10.0, rate * 10.0)
        .integer("units", 2..=32)
        .choice("activation", ["relu", "tanh", "gelu"])
        .mode(Mode::Min);
    let trials = search.search(|trial| {
        let activation = trial.get::<String>("activation")?.parse()?;
        let result = cross_validate(&folds, &all.x_train, &all.y_train, |parts, _| {
            let mut model = model(&parts.x_train, trial.get("units")?, activation, trial.get("rate")?, trial.seed)?;
            model.fit(&parts.x_train, &parts.y_train, &how)?;
            model.evaluate(&parts.x_test, &parts.y_test)
        })?;
        // Accuracies of 24 flowers are coarse; losses tell more.
        Ok(result.mean("loss"))
    })?;
    println!("random search, by the mean loss of five folds\n{trials}\n");

    // The best settings, fold by fold, and then trained on all of the training part.
    let best = trials.best();
    let (units, rate) = (best.get("units")?, best.get("rate")?);
    let activation = best.get::<String>("activation")?.parse()?;
    let result = cross_validate(&folds, &all.x_train, &all.y_train, |parts, _| {
        let mut model = model(&parts.x_train, units, activation, rate, best.seed)?;
        model.fit(&parts.x_train, &parts.y_train, &how)?;
        model.evaluate(&parts.x_test, &parts.y_test)
    })?;
    println!("the best of them ({best})\n{result}\n");
    let mut model = model(&all.x_train, units, activation, rate, best.seed)?;
    model.fit(&all.x_train, &all.y_train, &how)?;
    println!("test: {}", model.evaluate(&all.x_test, &all.y_test)?);
    println!("{:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
