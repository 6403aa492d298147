//! One model serves many threads: `predict` takes `&self`, and each answer has the same bits, whoever asks.

use std::thread;

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let iris = iris();
    let x = StandardScaler::fit(&iris.x)?.transform(&iris.x)?;
    let mut model = Sequential::new([4])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(0)?;
    model.compile(Adam::default().learning_rate(0.01), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&x, &iris.y, &Fit::default().epochs(20).verbose(Verbose::Silent))?;

    // What one thread computes for all flowers at once …
    let expected = model.predict(&x)?;

    // … is what four threads compute flower by flower, at the same time, from the same model.
    let (model, x, expected) = (&model, &x, &expected);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                scope.spawn(move || {
                    let mine = (worker..x.samples()).step_by(4);
                    mine.map(|i| {
                        let answer = model.predict(&x.rows(i..i + 1)?)?;
                        let same = answer.iter().zip(expected.row(i)).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "flower {i}: {answer:?} instead of {:?}", expected.row(i));
                        Ok::<usize, Error>(1)
                    })
                    .sum::<Result<usize, Error>>()
                })
            })
            .collect();
        for (number, worker) in workers.into_iter().enumerate() {
            // A panic of a thread goes on here.
            let answers = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            println!("thread {number}: {answers} answers, the same bits as in one batch");
        }
        Ok(())
    })
}
