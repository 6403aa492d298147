//! A training loop of one's own: one network sees three digits, and its answers for two of the same kind are drawn together, those for
//! two of different kinds pushed apart (a siamese network with the triplet loss of Schroff et al.: "FaceNet", 2015). No label is predicted,
//! and yet the nearest neighbour of a digit it has never seen is of its kind.
//!
//! `cargo run --release --example custom_loop`

use gradus::data::digits;
use gradus::graph::{Graph, Net, Part, Value, Work};
use gradus::optimizers::OptimizerState;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::{Params, Result};

/// Answers have this many numbers.
const WIDTH: usize = 16;
const BATCH: usize = 32;
const STEPS: u64 = 1500;
const MARGIN: f32 = 1.0;

/// A digit's place in a space of 16 dimensions, at distance 1 from the middle.
#[derive(Clone, Debug)]
struct Tower;

impl Part for Tower {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        let h = g.add(Dense::new(64).activation(Activation::Relu), x);
        let h = g.add(Dense::new(WIDTH), h);
        g.add(UnitNormalization::new(), h)
    }
}

fn main() -> Result<()> {
    let data = digits();
    let (x, labels) = (data.x.map(|v| v / 16.0), data.y.to_labels());
    let n_train = 1297;

    // Three inputs, one set of weights.
    let mut g = Graph::new();
    let inputs = ["anchor", "same", "other"].map(|name| g.input(name, [64]));
    let tower = g.shared("tower", Tower);
    let places = inputs.map(|x| g.apply(&tower, x));
    let (net, mut params) = g.build_net::<f32>(&places, 1)?;

    let optimizer = Adam::default();
    let mut state = OptimizerState::new(&optimizer, &params);
    let mut gradients = vec![0.0; params.len()];
    let (mut work, plan) = (Work::default(), net.plan(&params, &[], &[true; 3]));
    println!(
        "before: {:.1}% of the digits never seen have a nearest neighbour of their kind",
        score(&net, &params, &x, &labels, n_train)?
    );

    let mut sum = 0.0;
    for step in 0..STEPS {
        let [anchor, same, other] = triplets(&labels[..n_train], step).map(|positions| x.select(&positions));
        let (anchor, same, other) = (anchor?, same?, other?);
        let batch = [&anchor, &same, &other];

        gradients.fill(0.0);
        let mut pass = Pass::training(&params, &mut gradients, 1, step, 0);
        net.forward(&mut pass, &mut work, &batch)?;
        let (loss, dy) = triplet_loss(&net, &work);
        for (i, dy) in dy.iter().enumerate() {
            net.output_gradient(&mut work, &plan, i).copy_from(dy);
        }
        net.backward(&mut pass, &mut work, &plan, &batch)?;
        if !state.step(&optimizer, &mut params, &mut gradients) {
            println!("step {}: a gradient is not finite; the weights are those of the step before", step + 1);
            break;
        }

        sum += loss;
        if (step + 1) % 500 == 0 {
            println!("step {}: loss {:.4}", step + 1, sum / 500.0);
            sum = 0.0;
        }
    }
    println!("after: {:.1}%", score(&net, &params, &x, &labels, n_train)?);
    Ok(())
}

/// L = Σ max(0, |a − s|² − |a − o|² + margin) / B, and its gradients by a, s and o.
fn triplet_loss(net: &Net, work: &Work) -> (f32, [Tensor; 3]) {
    let y = [0, 1, 2].map(|i| net.output(work, i));
    let mut dy = y.map(|y| Tensor::zeros(y.shape()));
    let (samples, mut loss) = (y[0].samples(), 0.0);
    for row in 0..samples {
        let [a, s, o] = y.map(|y| y.row(row));
        let distance = |b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let value = distance(s) - distance(o) + MARGIN;
        if value <= 0.0 {
            continue;
        }
        loss += value / samples as f32;
        for i in 0..WIDTH {
            let part = 2.0 / samples as f32;
            dy[0].row_mut(row)[i] = part * (o[i] - s[i]);
            dy[1].row_mut(row)[i] = part * (s[i] - a[i]);
            dy[2].row_mut(row)[i] = part * (a[i] - o[i]);
        }
    }
    (loss, dy)
}

/// Positions of a batch: digits, others of the same kinds, and some of other kinds.
fn triplets(labels: &[usize], step: u64) -> [Vec<usize>; 3] {
    let key = Key::new(1, Purpose::Data).with(step);
    let mut draws = (0..).map(|i| (key.unit(i) * labels.len() as f64) as usize);
    let mut out = [(); 3].map(|()| Vec::with_capacity(BATCH));
    for _ in 0..BATCH {
        let anchor = draws.next().unwrap_or(0);
        let same = draws.find(|&i| i != anchor && labels[i] == labels[anchor]).unwrap_or(anchor);
        let other = draws.find(|&i| labels[i] != labels[anchor]).unwrap_or(anchor);
        out.iter_mut().zip([anchor, same, other]).for_each(|(out, i)| out.push(i));
    }
    out
}

/// Percent of the digits from `n_train` on whose nearest neighbour among those before is of their kind.
fn score(net: &Net, params: &Params, x: &Tensor, labels: &[usize], n_train: usize) -> Result<f64> {
    let mut work = Work::default();
    net.forward(&mut Pass::inference(params), &mut work, &[x, x, x])?;
    let places = net.output(&work, 0);
    let nearest = |i: usize| {
        // The places lie on a sphere: the nearest is the one with the largest product.
        let product = |j: usize| places.row(i).iter().zip(places.row(j)).map(|(a, b)| a * b).sum::<f32>();
        (0..n_train).max_by(|&a, &b| product(a).total_cmp(&product(b))).unwrap_or(0)
    };
    let right = (n_train..labels.len()).filter(|&i| labels[nearest(i)] == labels[i]).count();
    Ok(100.0 * right as f64 / (labels.len() - n_train) as f64)
}
