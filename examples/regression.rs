//! Regression: the width of an iris petal from the three other measurements.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    // The target is the fourth measurement.
    let iris = iris();
    let rows = 0..iris.x.samples();
    let x = Tensor::from_rows(&rows.clone().map(|i| &iris.x.row(i)[..3]).collect::<Vec<_>>())?;
    let y = Tensor::from_rows(&rows.map(|i| &iris.x.row(i)[3..]).collect::<Vec<_>>())?;
    let parts = train_test_split(&x, &y, &Split::default().test_size(0.2))?;

    // Features and target are scaled by what the training part shows; predictions are scaled back.
    let scale_x = StandardScaler::fit(&parts.x_train)?;
    let scale_y = StandardScaler::fit(&parts.y_train)?;
    let (x_train, y_train) = (scale_x.transform(&parts.x_train)?, scale_y.transform(&parts.y_train)?);

    let mut model =
        Sequential::new([3]).add(Dense::new(16).activation(Activation::Tanh)).add(Dense::new(1)).build(0)?;
    model.compile(Adam::default().learning_rate(0.01), MeanSquaredError::default(), ())?;
    let history = model.fit(&x_train, &y_train, &Fit::default().epochs(50).verbose(Verbose::Silent))?;
    let losses = history.get("loss").unwrap_or_default();
    println!("scaled loss of every tenth epoch: {:.4?}", losses.iter().step_by(10).collect::<Vec<_>>());

    let predicted = scale_y.inverse_transform(&model.predict(&scale_x.transform(&parts.x_test)?)?)?;
    println!("\n{:>12}{:>12}", "true [cm]", "predicted");
    for (truth, guess) in parts.y_test.iter().zip(&predicted).take(5) {
        println!("{truth:>12.1}{guess:>12.2}");
    }

    // RMSE is in the target's unit; R² is the part of its variance that the model explains.
    let n = parts.y_test.len() as f32;
    let mean = parts.y_test.iter().sum::<f32>() / n;
    let residual: f32 = parts.y_test.iter().zip(&predicted).map(|(t, p)| (t - p).powi(2)).sum();
    let total: f32 = parts.y_test.iter().map(|t| (t - mean).powi(2)).sum();
    println!("\ntest RMSE: {:.4} cm", (residual / n).sqrt());
    println!("test R²:   {:.4}", 1.0 - residual / total);
    Ok(())
}
