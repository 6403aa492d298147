//! Two inputs of different kinds: the picture of a digit, and a second picture; the network says their sum. One tower sees both.
//!
//! `cargo run --release --example two_inputs`

use gradus::prelude::*;
use gradus::random::{Key, Purpose};

fn main() -> Result<(), Error> {
    let data = digits();
    let (x, labels) = (data.x.map(|v| v / 16.0), data.y.to_labels());

    let mut g = Graph::new();
    let (first, second) = (g.input("first", [64]), g.input("second", [64]));
    let tower = g.shared("tower", Block::new().add(Dense::new(64).activation(Activation::Relu)).add(Dense::new(16)));
    let (a, b) = (g.apply(&tower, first), g.apply(&tower, second));
    let both = g.compute(a + b);
    let h = g.add(Dense::new(48).activation(Activation::Relu), both);
    let sum = g.add_named("sum", Dense::new(19).activation(Activation::Softmax), h);
    let mut model = g.build([sum], 1)?;
    println!("{}\n", model.summary());

    // Pairs of digits; those to test with are of pictures that training never saw.
    let pairs = |n: usize, from: usize, to: usize, stream: u64| -> Result<[Tensor; 3], Error> {
        let key = Key::new(3, Purpose::Data).with(stream);
        let pick = |i: usize| from + key.below(i as u64, to - from);
        let (one, two): (Vec<_>, Vec<_>) = (0..n).map(|i| (pick(2 * i), pick(2 * i + 1))).unzip();
        let sums: Vec<usize> = one.iter().zip(&two).map(|(a, b)| labels[*a] + labels[*b]).collect();
        Ok([x.select(&one)?, x.select(&two)?, Tensor::from_labels(&sums)])
    };
    let [a, b, sums] = pairs(6000, 0, 1297, 1)?;
    let [a_test, b_test, sums_test] = pairs(1000, 1297, 1797, 2)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    let how = Fit::default().epochs(12).batch_size(64).validation_data([&a_test, &b_test], &sums_test);
    model.fit([&a, &b], &sums, &how)?;
    println!("\n{}", model.evaluate([("second", &b_test), ("first", &a_test)], &sums_test)?);
    let p = model.predict([&a_test, &b_test])?;
    let [one, two] = [&a_test, &b_test].map(|x| x.rows(0..5));
    let (one, two) = (one?, two?);
    let shown = model.predict([&one, &two])?;
    assert_eq!(shown.as_slice(), &p.as_slice()[..shown.len()]);
    println!("the first five sums: {:?}, they are {:?}", shown.argmax(), &sums_test.to_labels()[..5]);
    Ok(())
}
