//! Well-known networks that are graphs: small ones by finite differences.

use gradus::graph::{Graph, Work};
use gradus::models::{UNet, siamese, siamese_distance, wide_and_deep};
use gradus::prelude::{Activation, Dense, Tensor};

use crate::graphs::{Case, draw};

/// Biases begin at zero, where a ReLU of zeros has its kink.
fn off_kinks(case: &mut Case<f64>) {
    let shift = draw::<f64>([case.params.len()], 40);
    case.params.values_mut().iter_mut().zip(&shift).for_each(|(w, shift)| *w += 0.2 * shift);
}

#[test]
fn unet_has_the_gradients_of_differences() {
    for (net, image) in [(UNet::new(1).filters(1).depth(2), [4, 8, 1]), (UNet::new(3).filters(2).depth(1), [2, 6, 2])] {
        let mut g = Graph::new();
        let x = g.input("image", image);
        let y = g.add(net, x);
        let mut case = Case::<f64>::new(g, &[y], 2);
        off_kinks(&mut case);
        case.check();
    }
}

/// A batch norm trains with other statistics than it predicts with.
#[test]
fn unet_with_batch_norms_passes_gradients_to_every_weight() {
    let mut g = Graph::new();
    let x = g.input("image", [8, 4, 2]);
    let y = g.add_named("unet", UNet::new(3).filters(3).depth(2).batch_norm(true).activation(Activation::Linear), x);
    let case = Case::<f64>::new(g, &[y], 5);
    let (y, gradients, dx) = case.pass(&mut Work::default());
    assert_eq!(y[0].dims(), &[5, 8, 4, 3]);
    for spec in case.params.specs().iter().filter(|spec| spec.trainable) {
        assert!(spec.name.starts_with("unet/"), "{}", spec.name);
        assert!(gradients[spec.range.clone()].iter().any(|g| *g != 0.0), "{}", spec.name);
    }
    assert!(dx[0].iter().all(|g| g.is_finite()));
}

#[test]
fn wide_and_deep_has_the_gradients_of_differences() {
    let mut g = Graph::new();
    let (wide, deep) = (g.input("wide", [3]), g.input("deep", [5]));
    let y = wide_and_deep(&mut g, wide, deep, &[4, 3], Dense::new(2).activation(Activation::Sigmoid));
    let mut case = Case::<f64>::new(g, &[y], 3);
    let names: Vec<_> = case.params.specs().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias", "head/kernel", "head/bias"]);
    off_kinks(&mut case);
    case.check();
    // Without hidden layers both sides are wide.
    let mut g = Graph::new();
    let (wide, deep) = (g.input("wide", [3]), g.input("deep", [5]));
    let y = wide_and_deep(&mut g, wide, deep, &[], Dense::new(1));
    assert_eq!(g.build::<f32>(&[y], 0).unwrap().1.len(), 9);
}

#[test]
fn siamese_networks_have_the_gradients_of_differences() {
    let tower = || Dense::new(3).activation(Activation::Tanh);
    for distance in [false, true] {
        let mut g = Graph::new();
        let pair = [g.input("left", [4]), g.input("right", [4])];
        let y = if distance { siamese_distance(&mut g, tower(), pair) } else { siamese(&mut g, tower(), pair) };
        let mut case = Case::<f64>::new(g, &[y], 3);
        case.check();
        // The order does not count.
        let [left, right] = [0, 1].map(|i| case.x[i].clone());
        assert_eq!(case.predict(&[left.clone(), right.clone()]), case.predict(&[right, left]));
        assert_eq!(case.params.len(), 4 * 3 + 3 + if distance { 0 } else { 3 + 1 });
    }
}

/// Equal inputs, where the root of 0 would have no gradient.
#[test]
fn equal_inputs_have_a_finite_gradient() {
    let mut g = Graph::new();
    let pair = [g.input("left", [4]), g.input("right", [4])];
    let y = siamese_distance(&mut g, Dense::new(3), pair);
    let mut case = Case::<f64>::new(g, &[y], 2);
    case.x[1] = case.x[0].clone();
    let (y, gradients, dx) = case.pass(&mut Work::default());
    assert!(y[0].iter().all(|d| (d - 1e-7f64.sqrt()).abs() < 1e-12));
    assert!(gradients.iter().chain(dx.iter().flat_map(Tensor::iter)).all(|g| *g == 0.0));
}
