//! Activations that are computed a second time on the way back: the bits of those that are kept, in less memory.

use gradus::graph::{BlockInputs, Graph, TransformerDecoderBlock, TransformerEncoderBlock};
use gradus::prelude::*;

/// Branches, blocks in blocks, statistics, noise, penalties, masks, shared parts.
fn models() -> Vec<(&'static str, Model)> {
    let mut all = Vec::new();
    let residual =
        Residual::new().add(Dense::new(7).activation(Activation::Gelu)).add(BatchNorm::new()).add(Dense::new(5));
    let line = Sequential::new([5])
        .add(residual.clone())
        .add(Dropout::new(0.2))
        .add(Block::new().add(residual.clone()).add(residual))
        .add(Block::new().add(Dense::new(6)).add(Dropout::new(0.3)).add(LayerNorm::new()))
        .add(Block::new().add(Dense::new(5)).add(ActivityRegularization::new().l2(0.1)))
        .add(Dense::new(3));
    all.push(("line", line.build(3).unwrap()));

    let mut g = Graph::new();
    let (source, target) = (g.input("source", [FREE]), g.input("target", [FREE]));
    let table = g.shared("tokens", Embedding::new(9, 8).mask_zero(true));
    let (x, y) = (g.apply(&table, source), g.apply(&table, target));
    let x = g.add(TransformerEncoderBlock::new(8, 2).dropout(0.1).attention_dropout(0.1), x);
    let x = g.add(TransformerEncoderBlock::new(8, 2).pre_norm(false), x);
    let block = TransformerDecoderBlock::new(8, 2).dropout(0.2).inputs(BlockInputs::encoder(x));
    let y = g.add(block.clone(), y);
    let y = g.add(block, y);
    let y = g.add(Dense::new(9), y);
    all.push(("transformer", g.build([y], 4).unwrap()));
    all
}

/// Inputs and a target of so many samples, of which each batch has its own number of steps.
fn batch(name: &str, i: usize) -> (Vec<Tensor>, Tensor) {
    let values = |n: usize, most: usize| Tensor::from_fn([3, n], move |k| ((k * 7 + i * 5) % most) as f32);
    match name {
        "line" => (vec![values(5, 11).map(|v| v * 0.3 - 1.0)], Tensor::from_labels(&[i % 3, (i + 1) % 3, 0])),
        _ => (vec![values(4 + i % 3, 9), values(6 - i % 2, 9)], values(6 - i % 2, 9)),
    }
}

#[test]
fn bits_are_those_of_values_that_are_kept() {
    for (which, (name, _)) in models().iter().enumerate() {
        let run = |recompute: bool, accumulate: u64| {
            let mut model = models().swap_remove(which).1;
            let optimizer = AdamW::default().learning_rate(0.01).gradient_accumulation_steps(accumulate);
            model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), ()).unwrap();
            model.recompute_activations(recompute);
            let mut losses = Vec::new();
            for i in 0..6 {
                let (x, y) = batch(name, i);
                losses.push(model.train_on_batch(&x[..], &y).unwrap());
                // In the middle, the other way for a step.
                if i == 2 {
                    model.recompute_activations(!recompute);
                    let (x, y) = batch(name, 20);
                    losses.push(model.train_on_batch(&x[..], &y).unwrap());
                    losses.push(model.evaluate(&x[..], &y).unwrap().loss);
                    model.recompute_activations(recompute);
                }
            }
            (losses, model.params().values().to_vec())
        };
        for accumulate in [1, 2] {
            assert!(run(true, accumulate) == run(false, accumulate), "{name}, {accumulate}");
        }
    }
}

#[test]
fn training_loops_go_by_it_too() {
    let run = |recompute: bool| {
        let mut model = models().swap_remove(1).1;
        model.recompute_activations(recompute);
        let mut training = model.training_loop();
        let mut all = Vec::new();
        for i in 0..3 {
            let (x, _) = batch("transformer", i);
            let x: Vec<&Tensor> = x.iter().collect();
            training.forward(&model, &x).unwrap();
            training.output_gradient(&model, 0).unwrap().as_mut_slice().fill(0.5);
            training.backward(&model, &x).unwrap();
            all.extend_from_slice(training.gradients_mut());
            training.clear();
        }
        all
    };
    assert!(run(true) == run(false));
}
