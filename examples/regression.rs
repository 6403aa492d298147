//! Regression: the width of an iris petal from the three other measurements.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    // The target is the fourth measurement.
    let iris = iris();
    let rows: Vec<&[f32]> = (0..iris.x.samples()).map(|i| iris.x.row(i)).collect();
    let x = Tensor::from_rows(&rows.iter().map(|row| &row[..3]).collect::<Vec<_>>())?;
    let y = Tensor::from_rows(&rows.iter().map(|row| &row[3..]).collect::<Vec<_>>())?;
    let parts = train_test_split(&x, &y, &Split::default().test_size(0.2))?;

    // The features get mean 0 and variance 1, by what the training part shows.
    let scaler = StandardScaler::fit(&parts.x_train)?;
    let (x_train, x_test) = (scaler.transform(&parts.x_train)?, scaler.transform(&parts.x_test)?);

    let mut model =
        Sequential::new([3]).add(Dense::new(16).activation(Activation::Tanh)).add(Dense::new(1)).build(0)?;
    let metrics = (RootMeanSquaredError::default(), R2Score::default());
    model.compile(Adam::default().learning_rate(0.01), MeanSquaredError::default(), metrics)?;
    let history = model.fit(&x_train, &parts.y_train, &Fit::default().epochs(50).verbose(Verbose::Silent))?;
    let losses = history.get("loss").unwrap_or_default();
    println!("loss of every tenth epoch: {:.4?}\n", losses.iter().step_by(10).collect::<Vec<_>>());

    println!("{:>12}{:>12}", "true [cm]", "predicted");
    for (truth, guess) in parts.y_test.iter().zip(&model.predict(&x_test)?).take(5) {
        println!("{truth:>12.1}{guess:>12.2}");
    }

    // RMSE is in the target's unit; R² is the part of the target's variance that the model explains.
    let scores = model.evaluate(&x_test, &parts.y_test)?;
    println!("\ntest RMSE: {:.4} cm", scores.get("root_mean_squared_error").unwrap_or_default());
    println!("test R²:   {:.4}", scores.get("r2_score").unwrap_or_default());
    Ok(())
}
