//! Graphs: random ones against finite differences, and what holds for all of them.

use gradus::graph::{Graph, Net, Part, Value, Work};
use gradus::layers::merging;
use gradus::prelude::{
    Activation, Add, BatchNorm, Block, Concatenate, Dense, Dropout, Identity, LayerNorm, Multiply, Pass, Residual,
    Sequential, Tensor,
};
use gradus::random::{Key, Purpose};
use gradus::{Builder, Error, Float, Inputs, Op, Params, Shape, Slot};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

pub fn draw<T: Float>(shape: impl Into<Shape>, part: u64) -> Tensor<T> {
    let key = Key::new(7, Purpose::Data).with(part);
    Tensor::from_fn(shape, |i| T::of(key.unit(i as u64) * 2.0 - 1.0))
}

/// One pass forward and back: outputs, gradients of the weights, of the inputs.
pub type Passed<T> = (Vec<Tensor<T>>, Vec<T>, Vec<Tensor<T>>);

/// A net with weights, inputs and gradients of its outputs.
pub struct Case<T: Float> {
    pub net: Net<T>,
    pub params: Params<T>,
    pub x: Vec<Tensor<T>>,
    /// dL/dy of every output.
    pub dy: Vec<Tensor<T>>,
}

impl<T: Float> Case<T> {
    /// Weights, inputs and gradients drawn at random.
    pub fn new(g: Graph, outputs: &[Value], samples: usize) -> Self {
        let (net, params) = g.build_net::<T>(outputs, 3).unwrap();
        let all = |shapes: Vec<Shape>, first: u64| -> Vec<_> {
            (first..).zip(shapes).map(|(i, shape)| draw(shape.batched(samples).unwrap(), i)).collect()
        };
        Case { x: all(net.input_shapes(), 10), dy: all(net.output_shapes(), 20), net, params }
    }

    pub fn pass(&self, work: &mut Work<T>) -> Passed<T> {
        let x: Vec<_> = self.x.iter().collect();
        let mut gradients = vec![T::zero(); self.params.len()];
        let mut pass = Pass::training(&self.params, &mut gradients, 1, 0, 0);
        self.net.forward(&mut pass, work, &x).unwrap();
        let y = (0..self.dy.len()).map(|i| self.net.output(work, i).clone()).collect();
        let plan = self.net.plan(&self.params, &vec![true; x.len()], &vec![true; self.dy.len()]);
        for (i, dy) in self.dy.iter().enumerate() {
            self.net.output_gradient(work, &plan, i).copy_from(dy);
        }
        self.net.backward(&mut pass, work, &plan, &x).unwrap();
        let dx = (0..x.len()).map(|i| self.net.input_gradient(work, &plan, i).unwrap().clone()).collect();
        (y, gradients, dx)
    }

    pub fn predict(&self, x: &[Tensor<T>]) -> Vec<Tensor<T>> {
        let mut work = Work::default();
        let mut pass = Pass::inference(&self.params);
        self.net.forward(&mut pass, &mut work, &x.iter().collect::<Vec<_>>()).unwrap();
        (0..self.dy.len()).map(|i| self.net.output(&work, i).clone()).collect()
    }
}

impl Case<f64> {
    fn loss(&self) -> f64 {
        let y = self.predict(&self.x);
        y.iter().zip(&self.dy).flat_map(|(y, g)| y.iter().zip(g)).map(|(y, g)| y * g).sum()
    }

    /// Central differences of every weight and input.
    pub fn check(&mut self) {
        let (_, gradients, dx) = self.pass(&mut Work::default());
        let step = 1e-5;
        let close = |of: &str, got: f64, expected: f64| {
            assert!(
                (got - expected).abs() < 1e-7 * (1.0 + expected.abs()),
                "{of}: {got} and {expected} by differences"
            );
        };
        for (i, gradient) in gradients.into_iter().enumerate() {
            let mut at = |change: f64| {
                let before = self.params.values()[i];
                self.params.values_mut()[i] = before + change;
                let loss = self.loss();
                self.params.values_mut()[i] = before;
                loss
            };
            close(&format!("weight {i}"), gradient, (at(step) - at(-step)) / (2.0 * step));
        }
        for (j, dx) in dx.iter().enumerate() {
            for i in 0..dx.len() {
                let mut at = |change: f64| {
                    let before = self.x[j].as_slice()[i];
                    self.x[j].as_mut_slice()[i] = before + change;
                    let loss = self.loss();
                    self.x[j].as_mut_slice()[i] = before;
                    loss
                };
                close(&format!("input {j}, {i}"), dx.as_slice()[i], (at(step) - at(-step)) / (2.0 * step));
            }
        }
    }
}

/// A step of a random graph: what is added, and the values it is added to, counted from the last.
#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    from: [usize; 3],
    width: usize,
}

fn steps(most: usize) -> impl Strategy<Value = (usize, Vec<Step>)> {
    let step = (0u8..12, [0usize..6, 0..6, 0..6], 1usize..5).prop_map(|(kind, from, width)| Step { kind, from, width });
    (1usize..4, prop::collection::vec(step, 2..=most))
}

/// The graph of the steps; all that no step reads are outputs.
fn wired(inputs: usize, steps: &[Step]) -> (Graph, Vec<Value>) {
    const WIDTH: usize = 3;
    let mut g = Graph::new();
    let mut values: Vec<(Value, bool)> = (0..inputs).map(|i| (g.input(&format!("x{i}"), [WIDTH]), false)).collect();
    let tower = g.shared("tower", Dense::new(WIDTH).activation(Activation::Sigmoid));
    for step in steps {
        let n = values.len();
        let from = step.from.map(|back| n - 1 - back % n);
        let read = match step.kind {
            0..=4 | 11 => 1,
            5..=7 => 2,
            _ => 3,
        };
        from[..read].iter().for_each(|&i| values[i].1 = true);
        let [a, b, c] = from.map(|i| values[i].0);
        let y = match step.kind {
            0 => g.add(Dense::new(WIDTH).activation(Activation::Tanh), a),
            1 => g.add(Dense::new(WIDTH).activation(Activation::Gelu), a),
            2 => g.add(LayerNorm::new(), a),
            3 => g.apply(&tower, a),
            4 => {
                let h = g.add(Dense::new(step.width), a);
                g.scope("inner", |g| g.add(Dense::new(WIDTH).activation(Activation::Softplus), h))
            }
            5 => g.op(merging::Add::new(), &[a, b]),
            6 => g.op(merging::Multiply::new(), &[a, b]),
            7 => g.op(merging::Subtract::new(), &[a, b]),
            8 => g.op(merging::Average::new(), &[a, b, c]),
            9 => {
                let all = g.op(merging::Concatenate::new(), &[a, b, c]);
                g.add(Dense::new(WIDTH), all)
            }
            10 => g.op(merging::Add::new().activation(Activation::Tanh), &[a, b, c]),
            _ => g.add(BatchNorm::new(), a),
        };
        values.push((y, false));
    }
    let outputs = values.iter().filter(|(_, read)| !read).map(|(value, _)| *value).collect();
    (g, outputs)
}

fn random(cases: u32, f: impl Fn(usize, &[Step])) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
        .run(&steps(12), |(inputs, steps)| {
            f(inputs, &steps);
            Ok(())
        })
        .unwrap();
}

#[test]
fn random_graphs_have_the_gradients_of_differences() {
    random(60, |inputs, steps| {
        // Batch norm in training is another function than in inference; it is checked alone.
        let steps: Vec<_> = steps.iter().filter(|step| step.kind != 11).cloned().collect();
        let (g, outputs) = wired(inputs, &steps);
        Case::<f64>::new(g, &outputs, 2).check();
    });
}

#[test]
fn random_graphs_keep_their_bits() {
    random(40, |inputs, steps| {
        let (g, outputs) = wired(inputs, steps);
        let case = Case::<f32>::new(g, &outputs, 5);
        let first = case.pass(&mut Work::default());
        // A second pass in the same buffers, and any number of threads.
        let mut work = Work::default();
        for _ in 0..2 {
            assert_eq!(case.pass(&mut work), first);
        }
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| case.pass(&mut Work::default())), first, "{threads} threads");
        }
        // A row alone is the row in the batch.
        let all = case.predict(&case.x);
        for row in 0..5 {
            let x: Vec<_> = case.x.iter().map(|x| x.rows(row..row + 1).unwrap()).collect();
            for (one, all) in case.predict(&x).iter().zip(&all) {
                assert_eq!(one.as_slice(), all.row(row));
            }
        }
    });
}

/// The same chain by hand.
#[test]
fn values_are_those_of_the_equations() {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2]), g.input("b", [2]));
    let sum = g.op(merging::Add::new(), &[a, b]);
    let product = g.op(merging::Multiply::new(), &[sum, a]);
    // An output that is an inner value too, an input as an output, and one value twice.
    let mut case = Case::<f64>::new(g, &[product, sum, a, sum], 1);
    case.check();
    let [a, b] = [&case.x[0], &case.x[1]].map(|x| x.as_slice().to_vec());
    let (y, ..) = case.pass(&mut Work::default());
    for i in 0..2 {
        let sum = a[i] + b[i];
        assert_eq!([0, 1, 2, 3].map(|j| y[j].as_slice()[i]), [sum * a[i], sum, a[i], sum]);
    }
}

#[test]
fn shared_parts_have_one_set_of_weights() {
    #[derive(Clone, Debug)]
    struct Tower;
    impl Part for Tower {
        fn wire(self, g: &mut Graph, x: Value) -> Value {
            let h = g.add(Dense::new(4).activation(Activation::Tanh), x);
            g.add(Dense::new(2), h)
        }
    }
    let mut g = Graph::new();
    let inputs = ["a", "b", "c"].map(|name| g.input(name, [3]));
    let tower = g.shared("tower", Tower);
    let towers = inputs.map(|x| g.apply(&tower, x));
    let y = g.op(merging::Concatenate::new(), &towers);
    let mut case = Case::<f64>::new(g, &[y], 3);
    let names: Vec<_> = case.params.specs().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["tower/dense/kernel", "tower/dense/bias", "tower/dense_1/kernel", "tower/dense_1/bias"]);
    case.check();
    // The same weights give the same values.
    let same = vec![case.x[0].clone(); 3];
    let y = &case.predict(&same)[0];
    assert!((0..3).all(|row| y.row(row)[..2] == y.row(row)[2..4] && y.row(row)[..2] == y.row(row)[4..]));
}

#[test]
fn noise_differs_between_nodes_and_not_between_runs() {
    let mut g = Graph::new();
    let x = g.input("x", [40]);
    let outputs = [g.add(Dropout::new(0.5), x), g.add(Dropout::new(0.5), x)];
    let case = Case::<f32>::new(g, &outputs, 2);
    let (y, ..) = case.pass(&mut Work::default());
    assert_ne!(y[0], y[1]);
    assert_eq!(case.pass(&mut Work::default()).0, y);
}

#[test]
fn frozen_parts_are_left_out() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let h = g.scope("body", |g| {
        let h = g.add(Dense::new(4), x);
        g.add(Dense::new(4), h)
    });
    g.trainable(false);
    let y = g.add(Dense::new(1), h);
    g.learning_rate_factor(0.5);
    let (net, params) = g.build_net::<f32>(&[y], 0).unwrap();
    let trainable: Vec<_> = params.specs().iter().map(|spec| spec.trainable).collect();
    assert_eq!(trainable, [false, false, false, false, true, true]);
    assert_eq!(params.specs()[5].learning_rate_factor, 0.5);
    let mut gradients = vec![0.0; params.len()];
    let (mut work, x) = (Work::default(), draw([2, 3], 0));
    let mut pass = Pass::training(&params, &mut gradients, 0, 0, 0);
    net.forward(&mut pass, &mut work, &[&x]).unwrap();
    let plan = net.plan(&params, &[], &[true]);
    net.output_gradient(&mut work, &plan, 0).as_mut_slice().fill(1.0);
    net.backward(&mut pass, &mut work, &plan, &[&x]).unwrap();
    assert!(net.input_gradient(&work, &plan, 0).is_none());
    assert!(gradients[..12 + 4 + 16 + 4].iter().all(|g| *g == 0.0) && gradients[36..].iter().all(|g| *g != 0.0));
}

#[test]
fn inference_takes_turns_in_few_registers() {
    let mut g = Graph::new();
    let x = g.input("x", [8]);
    let mut h = x;
    for _ in 0..20 {
        let inner = g.add(Dense::new(8).activation(Activation::Relu), h);
        h = g.op(merging::Add::new(), &[h, inner]);
    }
    let (net, params) = g.build_net::<f32>(&[h], 0).unwrap();
    let plan = net.plan(&params, &[], &[true]);
    assert!(net.space(1, None) <= 5 * 8, "{}", net.space(1, None));
    assert!(net.space(1, Some(&plan)) >= 40 * 8);
}

#[test]
fn mistakes_are_errors_that_name_the_place() {
    fn error(build: impl FnOnce(&mut Graph) -> Vec<Value>) -> String {
        let mut g = Graph::new();
        let outputs = build(&mut g);
        g.build_net::<f32>(&outputs, 0).unwrap_err().to_string()
    }
    let foreign = Graph::new().input("x", [2]);
    let message = error(|g| {
        let x = g.input("x", [2]);
        vec![g.op(merging::Add::new(), &[x, foreign])]
    });
    assert_eq!(
        message,
        "Graph: input 1 of Add belongs to another graph; use what this graph's input, add, op and shared gave"
    );
    assert!(error(|_| vec![foreign]).contains("an output belongs to another graph"));
    assert!(error(|_| Vec::new()).contains("the graph has no outputs"));
    let message = error(|g| {
        let (x, _) = (g.input("x", [2]), g.input("y", [2]));
        vec![g.add(Dense::new(1), x)]
    });
    assert_eq!(message, "build: no output depends on the input y; wire it to an output, or leave it out");
    let message = error(|g| {
        let x = g.input("x", [2]);
        g.input("x", [2]);
        vec![x]
    });
    assert!(message.contains("an input's own, of one line and not empty, got \"x\""), "{message}");
    let message = error(|g| {
        let x = g.input("x", [2]);
        let h = g.add(Dense::new(1), x);
        g.input("late", [2]);
        vec![h]
    });
    assert!(message.contains("the input late comes after the first node"), "{message}");
    let message = error(|g| {
        let x = g.input("x", [2]);
        let h = g.add(Dense::new(3), x);
        vec![g.scope("head", |g| g.add_named("out", Dense::new(0), h))]
    });
    assert!(message.contains("layer 1 (head/out): Dense: units must be at least 1"), "{message}");
    let message = error(|g| {
        let (x, y) = (g.input("x", [2]), g.input("y", [3]));
        let tower = g.shared("tower", Dense::new(3));
        let (a, b) = (g.apply(&tower, x), g.apply(&tower, y));
        vec![a, b]
    });
    assert!(
        message.contains("tower/dense/kernel of shape [2, 3], as where the layer was applied first, got [3, 3]"),
        "{message}"
    );
    let message = error(|g| {
        g.trainable(false);
        vec![g.input("x", [2])]
    });
    assert!(message.contains("trainable(...) stands before the first node"), "{message}");
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2]), g.input("b", [3]));
    let y = g.op(merging::Concatenate::new(), &[a, b]);
    let (net, params) = g.build_net::<f32>(&[y], 0).unwrap();
    let run =
        |x: &[&Tensor]| -> Result<(), Error> { net.forward(&mut Pass::inference(&params), &mut Work::default(), x) };
    let (a, b) = (Tensor::zeros([4, 2]), Tensor::zeros([4, 3]));
    run(&[&a, &b]).unwrap();
    let message = |x: &[&Tensor]| run(x).unwrap_err().to_string();
    assert_eq!(
        message(&[&a]),
        "forward: inputs must be 2 (a, b), got 1; pass one tensor for each input, in their order"
    );
    assert_eq!(
        message(&[&b, &a]),
        "forward: expected the input a of shape [n, 2], n samples, got [4, 3]; the inputs are, in order: a, b"
    );
    assert_eq!(
        message(&[&a, &Tensor::zeros([5, 3])]),
        "forward: expected 4 samples in the input b, as in a, got 5; pass as many samples to every input"
    );
}

#[test]
fn passes_back_that_do_not_belong_are_errors() {
    let net = || {
        let mut g = Graph::new();
        let x = g.input("x", [2]);
        let y = g.add(Dense::new(3), x);
        g.build_net::<f32>(&[y], 0).unwrap()
    };
    let ((net, params), (other, _)) = (net(), net());
    let mut gradients = vec![0.0; params.len()];
    let (mut work, x) = (Work::default(), Tensor::zeros([4, 2]));
    let (plan, others) = (net.plan(&params, &[], &[true]), other.plan(&params, &[], &[true]));
    let mut back = |work: &mut Work, plan, x: &Tensor| {
        let mut pass = Pass::training(&params, &mut gradients, 0, 0, 0);
        net.backward(&mut pass, work, plan, &[x]).unwrap_err().to_string()
    };
    let none = "backward: there are no values of a forward pass that backward may follow; call forward with Pass::training or \
                Pass::differentiable before";
    assert_eq!(back(&mut work, &plan, &x), none);
    net.forward(&mut Pass::inference(&params), &mut work, &[&x]).unwrap();
    assert_eq!(back(&mut work, &plan, &x), none);
    other.forward(&mut Pass::differentiable(&params), &mut work, &[&x]).unwrap();
    assert_eq!(back(&mut work, &plan, &x), none);
    net.forward(&mut Pass::differentiable(&params), &mut work, &[&x]).unwrap();
    assert!(back(&mut work, &others, &x).contains("the plan is another net's"));
    assert!(back(&mut work, &plan, &Tensor::zeros([3, 2])).contains("4 samples, as in the forward pass, got 3"));
}

#[test]
fn several_passes_back_are_added_up() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let h = g.add(Dense::new(4).activation(Activation::Tanh), x);
    let outputs = [g.add(Dense::new(2), h), g.add(Dense::new(1), h)];
    let case = Case::<f64>::new(g, &outputs, 3);
    let (_, both, _) = case.pass(&mut Work::default());
    let (mut work, mut gradients) = (Work::default(), vec![0.0; case.params.len()]);
    let x = [&case.x[0]];
    let mut pass = Pass::training(&case.params, &mut gradients, 1, 0, 0);
    case.net.forward(&mut pass, &mut work, &x).unwrap();
    for i in 0..2 {
        let plan = case.net.plan(&case.params, &[], &[i == 0, i == 1]);
        case.net.output_gradient(&mut work, &plan, i).copy_from(&case.dy[i]);
        case.net.backward(&mut pass, &mut work, &plan, &x).unwrap();
    }
    assert!(gradients.iter().zip(&both).all(|(a, b)| (a - b).abs() < 1e-14));
}

#[test]
fn names_are_those_of_the_parts() {
    #[derive(Clone, Debug)]
    struct Two;
    impl Part for Two {
        fn wire(self, g: &mut Graph, x: Value) -> Value {
            let h = g.add(Dense::new(2), x);
            g.add(Dense::new(2), h)
        }
    }
    let mut g = Graph::new();
    let x = g.input("x", [2]);
    let h = g.add_named("first", Two, x);
    let h = g.add_named("second", Dense::new(2), h);
    let h = g.add(Two, h);
    let y = g.op_named("sum", merging::Add::new(), &[h, x]);
    let (net, _) = g.build_net::<f32>(&[y], 0).unwrap();
    assert_eq!(net.node_names(), ["first/dense", "first/dense_1", "second", "dense", "dense_1", "sum"]);
}

/// Containers are recipes in a graph, with the names, weights and bits that they have in a chain.
#[test]
fn containers_are_recipes() {
    let inner = Block::new().add(Dense::new(6).activation(Activation::Gelu)).add_named("last", Dense::new(4));
    let layers = Block::new()
        .add(Dense::new(4).activation(Activation::Tanh))
        .trainable(false)
        .add(Residual::new().add(inner).activation(Activation::Relu))
        .add(Add::new().branch(Dense::new(4)).branch(Identity::new()))
        .learning_rate_factor(0.5)
        .add(Concatenate::new().branch(Dense::new(3)).branch_named("side", LayerNorm::new()))
        .add(Multiply::new().branch(Dense::new(5)).branch(Dense::new(1).activation(Activation::Sigmoid)));
    let model = Sequential::new([3]).add(layers.clone()).build(5).unwrap();
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let y = g.add(layers, x);
    let (net, params) = g.build_net::<f32>(&[y], 5).unwrap();
    assert_eq!(&params, model.params());
    let x = draw([7, 3], 1);
    let mut work = Work::default();
    net.forward(&mut Pass::inference(&params), &mut work, &[&x]).unwrap();
    assert_eq!(net.output(&work, 0), &model.predict(&x).unwrap());
}

/// An operation with any number of outputs, of which `build` returns one.
#[derive(Clone, Debug)]
struct Says(usize);

impl<T: Float> Op<T> for Says {
    fn class(&self) -> &'static str {
        "Says"
    }

    fn outputs(&self) -> usize {
        self.0
    }

    fn build(&mut self, _: &[Shape], _: &mut Builder<T>) -> gradus::Result<Vec<Shape>> {
        Ok(vec![[1].into()])
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, _: Inputs<'_, T>, _: &mut [Tensor<T>]) {}

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: Inputs<'_, T>,
        _: &[Tensor<T>],
        _: &mut [Tensor<T>],
        _: &mut [Option<Tensor<T>>],
    ) {
    }
}

#[test]
fn operations_that_say_what_is_not_so() {
    let error = |op: Says, joined: bool| {
        let mut g = Graph::new();
        let x = g.input("x", [2]);
        let inputs = [x];
        let y = g.op(op, &inputs[usize::from(!joined)..]);
        g.build_net::<f32>(&[y, x], 0).unwrap_err().to_string()
    };
    assert_eq!(
        error(Says(0), true),
        "Graph: outputs must be at least 1, got 0; let Op::outputs say how many values it gives"
    );
    assert!(error(Says(2), true).contains("layer 0 (says): build: outputs must be 2, got 1"));
    assert!(error(Says(1), false).contains("layer 0 (says): build: inputs must be at least one value, got 0"));
    // Only for f32, as the graph cannot make another of it.
    let mut g = Graph::new();
    let x = g.input("x", [2]);
    let y = g.op(Says(1), &[x]);
    let message = g.build_net::<f64>(&[y], 0).unwrap_err().to_string();
    assert_eq!(
        message,
        "build: Says is not of this crate, and the graph holds it for numbers of another type; add it as it is to models of \
         f32, as graph::F64(layer) to models of f64; operations are of f32 alone"
    );
}

#[test]
fn no_samples_give_no_values() {
    random(20, |inputs, steps| {
        let (g, outputs) = wired(inputs, steps);
        let case = Case::<f32>::new(g, &outputs, 0);
        let (y, gradients, dx) = case.pass(&mut Work::default());
        assert!(y.iter().chain(&dx).all(Tensor::is_empty) && gradients.iter().all(|g| *g == 0.0));
    });
}
