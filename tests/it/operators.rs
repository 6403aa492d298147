//! Arithmetic and slices in graphs: against Keras, by finite differences, on any number of threads.

use gradus::graph::{Graph, Value, Work};
use gradus::layers::operators::Slice;
use gradus::prelude::{Activation, Dense, GlobalAveragePooling1d, Tensor};
use safetensors::SafeTensors;

use crate::graphs::{Case, draw};

fn close(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 1e-9 * theirs.abs().max(1.0), "{what}: {ours} instead of {theirs}");
    }
}

/// A model of Keras, wired by hand, with its weights: outputs, gradients of weights and inputs.
fn agrees(name: &str, g: Graph, outputs: &[Value], weights: &[(&str, &[f64])]) {
    let bytes = support::fixtures::read(&format!("keras/models/{name}/reference.safetensors"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| support::fixtures::tensor::<f64>(&file, name);
    let all = |name: &str| (0..).map_while(|i| tensor(&format!("{name}.{i}"))).collect::<Vec<_>>();
    let (net, mut params) = g.build_net::<f64>(outputs, 0).unwrap();
    let specs = params.specs().to_vec();
    assert_eq!(specs.len(), weights.len());
    for (weight, values) in weights {
        let spec = specs.iter().find(|spec| spec.name == *weight).unwrap();
        params.values_mut()[spec.range.clone()].copy_from_slice(values);
    }
    let case = Case { net, params, x: all("input"), dy: all("grad_output") };
    let (y, gradients, dx) = case.pass(&mut Work::default());
    let tensors = |what: &str, ours: &[Tensor<f64>], theirs: &[Tensor<f64>]| {
        assert_eq!(ours.len(), theirs.len(), "{name}, {what}");
        for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(ours.dims(), theirs.dims(), "{name}, {what} {i}");
            close(&format!("{name}, {what} {i}"), ours.as_slice(), theirs.as_slice());
        }
    };
    tensors("output", &y, &all("output"));
    tensors("gradient of input", &dx, &all("grad_input"));
    for spec in &specs {
        let theirs = tensor(&format!("grad.{}", spec.name)).unwrap();
        close(&format!("{name}, {}", spec.name), &gradients[spec.range.clone()], theirs.as_slice());
    }
}

#[test]
fn operators_agree_with_keras() {
    let mut g = Graph::new();
    let (x, y) = (g.input("x", [5]), g.input("y", [5]));
    let z = g.compute(x * 2.0 + y);
    agrees("graph_operators", g, &[z], &[]);

    let mut g = Graph::new();
    let (x, z) = (g.input("x", [3]), g.input("z", [3]));
    let a = g.add_named("dense", Dense::new(4).activation(Activation::Sigmoid), x);
    let b = g.add_named("dense_1", Dense::new(4), z);
    let h = g.compute((-b / (a + 1.5)).abs() + (1.0 - a) * b - a.pow(2.0) / 4.0 + 2.0 / (a + 1.0));
    let y = g.add_named("dense_2", Dense::new(2), h);
    let weights: [(&str, &[f64]); 6] = [
        (
            "dense_1/kernel",
            &[
                0.6071108760502574,
                -0.1473618475551374,
                -0.14614616947077635,
                -0.12298287622262877,
                -0.139008249277588,
                0.12068205629781488,
                -1.0446123986950486,
                -0.06477585686457397,
                0.28663946356728415,
                0.024134106584126624,
                0.1228817536618573,
                -0.8386067082049393,
            ],
        ),
        ("dense_1/bias", &[0.02389401910603276, 0.052004656217883895, 0.13378008867843627, -0.011063793901788587]),
        (
            "dense/kernel",
            &[
                -0.9621923488621422,
                -0.13808880417235628,
                0.8635197081600788,
                0.29322018039132747,
                0.24700241064379508,
                1.2285439317423064,
                -0.39601710506180876,
                0.08210209776472198,
                -0.014071916887737667,
                -0.387292692299078,
                -1.3767790998130878,
                -0.36773890068004356,
            ],
        ),
        ("dense/bias", &[-0.30408765833434, -0.2767500892333219, 0.2606464783664587, -0.2747988581222149]),
        (
            "dense_2/kernel",
            &[
                -0.1801061604565827,
                0.9879249294607172,
                -0.03669795263754687,
                -0.18381017387699258,
                0.9773928790119473,
                0.3030734801920208,
                -0.18092291333522695,
                0.05568770939802461,
            ],
        ),
        ("dense_2/bias", &[0.12457885241888825, 0.14379053841754602]),
    ];
    agrees("graph_operators_more", g, &[y], &weights);
}

#[test]
fn slices_agree_with_keras() {
    let mut g = Graph::new();
    let x = g.input("x", [6, 4]);
    let h = g.add_named("dense", Dense::new(4), x);
    let first = g.add(Slice::new().at(0), h);
    let y = g.add_named("dense_1", Dense::new(2), first);
    let last = g.add(Slice::new().at(-1).range(1..3), h);
    let second = g.add(Slice::new().every(2, ..), h);
    let mean = g.add(GlobalAveragePooling1d::new(), second);
    let weights: [(&str, &[f64]); 4] = [
        (
            "dense/kernel",
            &[
                -0.0964534864121067,
                -0.5589881426748027,
                -0.2041480334048963,
                0.03593024771234868,
                -1.248126765294009,
                0.9256306849616817,
                -0.3067796050024132,
                0.2623813777427294,
                -0.3262300369518919,
                -0.3404074913066192,
                -0.7767200307326445,
                0.2071406467934055,
                0.1290855855651889,
                -0.6820516729491599,
                1.158747583749962,
                -0.3957306096774463,
            ],
        ),
        ("dense/bias", &[-0.039963815884644344, -0.05277729985791644, -0.050754765048578364, -0.757525018264848]),
        (
            "dense_1/kernel",
            &[
                0.7522656441584182,
                -0.9708701559090596,
                0.22586699108700223,
                0.43785642712369377,
                -0.5469314320234606,
                0.46098333879048364,
                -0.13896723714212417,
                0.06482743501672719,
            ],
        ),
        ("dense_1/bias", &[0.11443578625304941, -0.23711261490675112]),
    ];
    agrees("graph_slices", g, &[y, last, mean], &weights);
}

/// Every operator on values, expressions and numbers of either side, against the same in numbers.
#[test]
fn expressions_are_what_they_say() {
    fn check(f: impl Fn(&mut Graph, [Value; 3]) -> Value, expected: impl Fn([f64; 3]) -> f64) {
        let mut g = Graph::new();
        let values = ["a", "b", "c"].map(|name| g.input(name, [3, 2]));
        let y = f(&mut g, values);
        let sum = g.compute(values[0] + values[1] + values[2]);
        let mut case = Case::<f64>::new(g, &[y, sum], 3);
        // On both sides of 0, and away from it.
        let away = |x: &Tensor<f64>| x.clone().map(|x| x + 0.3 * x.signum());
        case.x = case.x.iter().map(away).collect();
        case.x[2] = case.x[2].clone().map(f64::abs);
        let y = &case.predict(&case.x)[0];
        for (i, y) in y.iter().enumerate() {
            assert_eq!(*y, expected([0, 1, 2].map(|j| case.x[j].as_slice()[i])), "element {i}");
        }
        case.check();
    }
    check(|g, [a, b, c]| g.compute(2.0 * a - b / c), |[a, b, c]| 2.0 * a - b / c);
    check(|g, [a, b, _]| g.compute(-(2.0 * a) - -b), |[a, b, _]| -(2.0 * a) - -b);
    check(|g, [a, b, _]| g.compute((a * b).abs() * (a - b)), |[a, b, _]| (a * b).abs() * (a - b));
    check(|g, [a, _, c]| g.compute(c.pow(a)), |[a, _, c]| c.powf(a));
    check(|g, [a, _, c]| g.compute((1.0 + c).pow(0.5 * a)), |[a, _, c]| (1.0 + c).powf(0.5 * a));
    check(|g, [a, ..]| g.compute(a.pow(2.0) + a.pow(3.0)), |[a, ..]| a * a + a.powf(3.0));
    check(|g, [a, ..]| g.compute(1.0 / (3.0 - a) / 4.0), |[a, ..]| 1.0 / (3.0 - a) / 4.0);
    check(|g, [a, b, c]| g.compute(a * b * c * 0.5), |[a, b, c]| a * b * c * 0.5);
    check(|g, [a, b, c]| g.compute(a * (b * c)), |[a, b, c]| a * (b * c));
    check(|g, [a, b, c]| g.compute(a - b - c), |[a, b, c]| a - b - c);
    check(|g, [a, b, c]| g.compute(a / b / c), |[a, b, c]| a / b / c);
    check(|g, [a, b, c]| g.compute(a / (b * c)), |[a, b, c]| a / (b * c));
    check(|g, [a, ..]| g.compute(a + a + a), |[a, ..]| a + a + a);
    check(|g, [a, ..]| g.compute(a / a.abs()), |[a, ..]| a / a.abs());
    // Numbers of both types behind.
    check(|g, [a, ..]| g.compute(a * 0.1f32 + 0.25f64), |[a, ..]| a * f64::from(0.1f32) + 0.25);
    // What was computed stands in another.
    check(
        |g, [a, b, c]| {
            let h = g.compute(a + b);
            let h = g.compute(h * h - c);
            g.compute(h)
        },
        |[a, b, c]| (a + b) * (a + b) - c,
    );
}

#[test]
fn sums_and_products_are_single_nodes() {
    let nodes = |f: fn([Value; 3]) -> gradus::graph::Expression| {
        let mut g = Graph::new();
        let values = ["a", "b", "c"].map(|name| g.input(name, [2]));
        let y = g.compute(f(values));
        g.build_net::<f32>(&[y, values[0], values[1], values[2]], 0).unwrap().0.node_names().join(" ")
    };
    assert_eq!(nodes(|[a, b, c]| a + b + c), "add");
    assert_eq!(nodes(|[a, b, c]| a * b * c), "multiply");
    assert_eq!(nodes(|[a, b, c]| a + (b + c)), "add add_1");
    assert_eq!(nodes(|[a, b, c]| a + b + 1.0 + c), "add arithmetic add_1");
    assert_eq!(nodes(|[a, b, c]| a - b - c), "subtract subtract_1");
    assert_eq!(nodes(|[a, b, c]| (-a / b).pow(c).abs()), "negative divide power absolute");
}

#[test]
fn operands_broadcast() {
    let shapes: [[&[usize]; 2]; 5] =
        [[&[3, 4], &[4]], [&[4], &[3, 4]], [&[3, 1], &[4]], [&[], &[2, 3]], [&[2, 1], &[2, 3]]];
    for [a, b] in shapes {
        let mut g = Graph::new();
        let [a, b] = [("a", a), ("b", b)].map(|(name, dims)| g.input(name, gradus::Shape::try_from(dims).unwrap()));
        let y = g.compute((a / (b.abs() + 1.0)) * (b + 2.0).pow(a));
        Case::<f64>::new(g, &[y], 2).check();
    }
}

#[test]
fn mistakes_in_expressions_are_kept_for_build() {
    let foreign = Graph::new().input("x", [2]);
    let mut g = Graph::new();
    let x = g.input("x", [2]);
    let y = g.compute(2.0 * x - foreign);
    let message = g.build_net::<f32>(&[y], 0).unwrap_err().to_string();
    assert_eq!(
        message,
        "Graph: input 1 of Subtract belongs to another graph; use what this graph's input, add, op and shared gave"
    );
    let error = |f: fn([Value; 2]) -> gradus::graph::Expression| {
        let mut g = Graph::new();
        let values = [g.input("a", [2]), g.input("b", [3])];
        let y = g.compute(f(values));
        g.build_net::<f32>(&[y], 0).unwrap_err().to_string()
    };
    let message = error(|[a, b]| -a / b);
    assert!(message.contains("layer 1 (divide): Divide: expected operands that agree with [2]"), "{message}");
    assert!(error(|[a, b]| a.pow(b)).contains("layer 0 (power): Power: expected operands that agree with [2]"));
    assert!(error(|[a, _]| a / 0.0).contains("layer 0 (arithmetic): Arithmetic: number must be other than 0"));
    assert!(error(|[a, _]| f64::NAN * a).contains("number must be finite, got NaN"));
}

/// Inputs large enough for several threads.
#[cfg(feature = "parallel")]
#[test]
fn any_number_of_threads() {
    for other in [[71, 67, 23], [1, 67, 1], [1, 1, 23]] {
        let mut g = Graph::new();
        let (a, b) = (g.input("a", [71, 67, 23]), g.input("b", other));
        let h = g.compute((1.5 + a).pow(b) / (b.abs() + 0.5) - 2.0 / (a + 3.0));
        let h = g.compute(-(h.abs() + 0.1).pow(1.5));
        let outputs =
            [g.add(Slice::new().every(3, 1..).range(..-1).every(2, ..), h), g.add(Slice::new().range(..).at(-1), h)];
        let case = Case::<f32>::new(g, &outputs, 3);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.pass(&mut Work::default()))
        };
        let one = on(1);
        (2..=3).for_each(|threads| assert_eq!(on(threads), one, "{threads} threads"));
    }
}

/// A row alone is the row in the batch, in a graph too.
#[test]
fn rows_alone() {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [5, 3]), g.input("b", [3]));
    let y = g.compute((2.0 + a).pow(b) / (3.0 - b));
    let case = Case::<f32>::new(g, &[y], 4);
    let x = [draw([4, 5, 3], 1), draw([4, 3], 2)];
    let all = case.predict(&x);
    for row in 0..4 {
        let one = x.each_ref().map(|x| x.rows(row..row + 1).unwrap());
        assert_eq!(case.predict(&one)[0].as_slice(), all[0].row(row));
    }
}

#[cfg(feature = "files")]
#[test]
fn settings_through_json() {
    use gradus::layers::operators::{Divide, Power};
    use gradus::prelude::{Arithmetic, Operation};
    use serde_json::{from_str, to_string};

    let slice = Slice::new().at(-1).every(2, 1..);
    let text = r#"{"axes":[{"At":-1},{"Range":{"start":1,"stop":null,"step":2}}]}"#;
    assert_eq!(to_string(&slice).unwrap(), text);
    assert_eq!(from_str::<Slice>(text).unwrap(), slice);
    let arithmetic = Arithmetic::new(Operation::Divide, 0.1).number_first(true);
    let text = r#"{"operation":"Divide","number":0.1,"number_first":true}"#;
    assert_eq!(to_string(&arithmetic).unwrap(), text);
    assert_eq!(from_str::<Arithmetic>(text).unwrap(), arithmetic);
    assert_eq!(to_string(&Divide::new()).unwrap(), "{}");
    assert_eq!(from_str::<Power>("{}").unwrap(), Power::new());
}
