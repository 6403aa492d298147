//! The design's promise on bits: threads, runs and the rest of a batch change nothing.

use gradus::prelude::*;
use gradus::random::{Key, Purpose};

fn noise<T: Float>(shape: [usize; 2], part: u64) -> Tensor<T> {
    let key = Key::new(1, Purpose::Data).with(part);
    Tensor::from_fn(shape, |i| T::of(2.0 * key.unit(i as u64) - 1.0))
}

/// Large enough for every product and every loop over a batch of 128 to go to several threads.
fn model<T: Float>(seed: u64) -> Model<T> {
    Sequential::new([784])
        .add(GaussianNoise::new(0.1))
        .add(Dense::new(512).activation(Activation::Relu))
        .add(Dropout::new(0.25))
        .add(
            Residual::new()
                .add(UnitNormalization::new())
                .add(Dense::new(96).activation(Activation::Gelu))
                .add(PRelu::new())
                .add(AlphaDropout::new(0.1))
                .add(Dense::new(512)),
        )
        .add(GaussianDropout::new(0.1))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build_as(seed)
        .unwrap()
}

/// Weights and history after three epochs.
fn trained<T: Float>(seed: u64) -> (Vec<T>, History) {
    let x = noise([512, 784], 0);
    let labels: Vec<usize> = (0..512).map(|i| Key::new(1, Purpose::Data).with(1).below(i, 10)).collect();
    let mut model = model(seed);
    model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    let how = Fit::default().epochs(3).batch_size(128).verbose(Verbose::Silent);
    let history = model.fit(&x, &Tensor::from_labels(&labels), &how).unwrap();
    (model.params().values().to_vec(), history)
}

fn bits<T: Float>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.as_f64().to_bits()).collect()
}

fn any_number_of_threads<T: Float>() {
    let (weights, history) = trained::<T>(7);
    assert!(history.last("loss").unwrap() < history.get("loss").unwrap()[0], "it does not learn");
    let (again, history_again) = trained::<T>(7);
    assert!(bits(&weights) == bits(&again) && history == history_again, "two runs differ");
    assert!(bits(&weights) != bits(&trained::<T>(8).0), "the seed has no effect");
    #[cfg(feature = "parallel")]
    for threads in 1..=4 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (there, history_there) = pool.install(|| trained::<T>(7));
        assert!(bits(&weights) == bits(&there), "{threads} threads change the weights");
        assert_eq!(history, history_there, "{threads} threads change the history");
    }
}

#[test]
fn threads_and_runs_in_f32() {
    any_number_of_threads::<f32>();
}

#[test]
fn threads_and_runs_in_f64() {
    any_number_of_threads::<f64>();
}

fn alone_as_in_a_batch<T: Float>() {
    let (model, x) = (model::<T>(3), noise::<T>([1000, 784], 2));
    let all = model.predict(&x).unwrap();
    for i in (0..1000).step_by(7).chain([999]) {
        let one = model.predict(&x.rows(i..i + 1).unwrap()).unwrap();
        assert!(bits(one.as_slice()) == bits(all.row(i)), "row {i} alone differs");
    }
    let few = model.predict(&x.rows(255..260).unwrap()).unwrap();
    assert!(bits(few.as_slice()) == bits(all.rows(255..260).unwrap().as_slice()));
}

#[test]
fn a_row_alone_in_f32() {
    alone_as_in_a_batch::<f32>();
}

#[test]
fn a_row_alone_in_f64() {
    alone_as_in_a_batch::<f64>();
}
