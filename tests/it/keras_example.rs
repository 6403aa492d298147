//! The example of the README learns, whatever the seed.

use gradus::prelude::{Scores, Verbose};

#[allow(dead_code)]
#[path = "../../examples/keras_example.rs"]
mod example;

#[test]
fn mean_test_accuracy_over_20_seeds() {
    let scores: Vec<Scores> = (0..20).map(|seed| example::run(seed, Verbose::Silent).unwrap()).collect();
    let mean = |name| scores.iter().map(|s| s.get(name).unwrap()).sum::<f64>() / 20.0;
    let (accuracy, recall) = (mean("accuracy"), mean("recall"));
    println!("mean test accuracy {accuracy:.4}, mean test recall {recall:.4}");
    assert!(accuracy >= 0.85, "mean test accuracy {accuracy}, seed by seed {scores:?}");
    assert!(recall >= 0.8, "mean test recall {recall}, seed by seed {scores:?}");
}
