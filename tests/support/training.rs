//! Trainings of whole models that Keras recorded.

use gradus::prelude::*;

/// The data of a training.
pub struct Training<T: Float> {
    pub x: Vec<Tensor<T>>,
    pub y: Vec<Tensor<T>>,
    /// Weights of samples, by output.
    weights: Vec<(String, Tensor<T>)>,
}

impl<T: Float> Training<T> {
    /// That of a case, whose tensors `find` gives by name, for a model of these outputs.
    pub fn of(outputs: &[String], find: impl Fn(&str) -> Option<Tensor<T>>) -> Self {
        let all = |what: &str| (0..).map_while(|i| find(&format!("train.{what}.{i}"))).collect();
        let weight = |(i, name): (usize, &String)| Some((name.clone(), find(&format!("train.sample_weight.{i}"))?));
        Training { x: all("x"), y: all("y"), weights: outputs.iter().enumerate().filter_map(weight).collect() }
    }

    /// The weights of samples by output; none where there are none.
    pub fn weights(&self) -> Option<Vec<(&str, &[T])>> {
        let weights: Vec<_> = self.weights.iter().map(|(name, w)| (name.as_str(), w.as_slice())).collect();
        Some(weights).filter(|weights| !weights.is_empty())
    }

    /// Trains a model on it in the order of the samples.
    pub fn run(&self, model: &mut Model<T>, epochs: usize, batch_size: usize) -> gradus::Result<History> {
        let how = Fit::default().epochs(epochs).batch_size(batch_size).shuffle(false).verbose(Verbose::Silent);
        let how = match self.weights() {
            Some(weights) => how.sample_weight(weights),
            None => how,
        };
        model.fit(&self.x, &self.y, &how)
    }
}

/// A figure by its name: what it is in each epoch, and what was recorded.
pub type Figure = (String, Vec<f64>, Tensor<f64>);

/// The figures of a history beside those that were recorded, by name; an error unless there are the same ones.
pub fn figures(
    history: &History,
    recorded: impl IntoIterator<Item = (String, Tensor<f64>)>,
) -> Result<Vec<Figure>, String> {
    let beside = |(name, expected): (String, Tensor<f64>)| match history.get(&name) {
        Some(figures) => Ok((name, figures.to_vec(), expected)),
        None => Err(format!("no {name} in the history: {history}")),
    };
    let all = recorded.into_iter().map(beside).collect::<Result<Vec<_>, _>>()?;
    match history.names().count() == all.len() {
        true => Ok(all),
        false => Err(format!("{} figures were recorded, of the history: {history}", all.len())),
    }
}
