//! Steps that join values, against Keras and on any number of threads.

use gradus::layers::merging::*;
use gradus::layers::{AdditiveAttention, Attention};
use gradus::{Builder, Inputs, Op, Params, Pass, Slot, Tensor};
use safetensors::SafeTensors;

/// The outputs and the gradients of all inputs for these inputs and gradients of the output.
fn run(mut op: impl Op<f64>, x: &[Tensor<f64>], dy: &Tensor<f64>) -> (Tensor<f64>, Vec<Tensor<f64>>) {
    let samples: Vec<_> = x.iter().map(|x| x.shape().sample()).collect();
    let output = op.build(&samples, &mut Builder::new(0)).unwrap()[0].batched(dy.samples()).unwrap();
    let (params, at) = (Params::new(), (0..x.len() as u32).collect::<Vec<_>>());
    let (mut pass, mut slot, inputs) = (Pass::differentiable(&params), Slot::new(), Inputs::new(x, &at));
    let mut y = [Tensor::full(output, f64::NAN)];
    op.forward(&mut pass, &mut slot, inputs, &mut y);
    let mut dx: Vec<_> = x.iter().map(|x| Some(Tensor::full(x.shape(), f64::NAN))).collect();
    op.backward(&mut pass, &mut slot, inputs, &y, &mut [dy.clone().reshape(output).unwrap()], &mut dx);
    let [y] = y;
    (y, dx.into_iter().flatten().collect())
}

fn close(name: &str, ours: &Tensor<f64>, theirs: &Tensor<f64>) {
    assert_eq!(ours.dims(), theirs.dims(), "{name}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 1e-12 * theirs.abs().max(1.0), "{name}: {ours} instead of {theirs}");
    }
}

/// A model of Keras that joins its inputs and ends in a dense layer: the rows of its kernel W, then its bias b.
fn agrees(name: &str, op: impl Op<f64>, dense: &[[f64; 2]]) {
    let bytes = support::fixtures::read(&format!("keras/models/graph_{name}/reference.safetensors"));
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| support::fixtures::tensor::<f64>(&case, name);
    let x: Vec<_> = (0..).map_while(|i| tensor(&format!("input.{i}"))).collect();
    let (g, output) = (tensor("grad_output.0").unwrap(), tensor("output.0").unwrap());
    let (b, w) = dense.split_last().unwrap();
    // The gradient of what was joined: g·Wᵀ.
    let dy = g.as_slice().chunks_exact(2).flat_map(|g| w.iter().map(|w| g[0] * w[0] + g[1] * w[1])).collect();
    let (y, dx) = run(op, &x, &Tensor::new(g.shape().with_last(w.len()), dy).unwrap());
    let z = y
        .as_slice()
        .chunks_exact(w.len())
        .flat_map(|y| [0, 1].map(|i| y.iter().zip(w).map(|(y, w)| y * w[i]).sum::<f64>() + b[i]));
    close(name, &Tensor::new(y.shape().with_last(2), z.collect()).unwrap(), &output);
    for (i, dx) in dx.iter().enumerate() {
        close(name, dx, &tensor(&format!("grad_input.{i}")).unwrap());
    }
}

#[test]
fn values_and_gradients_agree_with_keras() {
    agrees(
        "add_broadcast",
        Add::new(),
        &[
            [0.27865655639097364, -0.06330867286541741],
            [0.4957850621138874, -1.2663626003157298],
            [-0.779994172037114, -1.5084396250281045],
            [-0.38111746842109445, -0.03534201197730905],
        ],
    );
    agrees(
        "average_three",
        Average::new(),
        &[
            [0.7558392256666152, -0.6278187077626485],
            [-0.7920171600558379, -0.9707369847205262],
            [0.29046044830048495, 0.0194025422205326],
        ],
    );
    agrees(
        "concatenate_axis1",
        Concatenate::new().axis(1),
        &[
            [0.37295430848675876, 1.7060577445892495],
            [0.6902053752401383, -0.6625141375590751],
            [-0.48256429633831704, -0.38853631320179105],
        ],
    );
    agrees(
        "concatenate_negative_axis",
        Concatenate::new().axis(-2),
        &[
            [0.41319280397122676, 0.7621326943036698],
            [-0.7716700464651723, -0.08972446277151776],
            [-0.7236392679603861, -0.96615908211241],
            [0.12422221238430475, 0.2807911162105571],
        ],
    );
    agrees(
        "dot_matrices",
        Dot::new([2, 1]),
        &[
            [0.5186316651595262, 0.6574006410980249],
            [-0.17256747178656068, 0.18830523711625824],
            [0.14713648160688042, -0.1747299518957226],
            [0.5022939023793199, 0.17889440741015897],
            [0.006986079415515725, 0.39826469070091114],
        ],
    );
    agrees(
        "dot_matrices_last",
        Dot::new([-1, -1]),
        &[
            [-0.6451682786164679, 0.39528856757075936],
            [-1.3458808877146133, -0.5074325837455441],
            [0.23233854312274055, -1.1157631760926057],
            [0.20820672598741732, 0.7155334286703325],
            [-0.6751345913497055, 0.229101496554227],
            [-0.2669984024092654, 0.3347477928414692],
        ],
    );
    agrees(
        "dot_matrices_normalized",
        Dot::new([2, 2]).normalize(true),
        &[
            [-0.11627050065114605, -0.4949306957367221],
            [0.9955610615761001, -0.5650796340440344],
            [-0.45641994000696073, 0.3181784459052504],
            [0.11672297375836542, 0.4969279598500042],
            [0.3887453841624518, 0.08175109094103612],
        ],
    );
    agrees(
        "dot_matrix_vector",
        Dot::new([2, 1]),
        &[
            [0.6333863247138717, 0.18328166652909622],
            [-0.6909794067294378, -0.8618964216916604],
            [-0.4497594840505838, -0.09156505469520144],
            [0.7012449910337731, -0.12439040699276746],
            [0.14169766716182125, -0.11786387006353667],
        ],
    );
    agrees(
        "dot_vectors_normalized",
        Dot::new([-1, -1]).normalize(true),
        &[[-0.07728281170976099, -1.3442493573339849], [0.0723417919103886, 0.20099728562047872]],
    );
    agrees(
        "maximum_three",
        Maximum::new(),
        &[
            [0.34229857049816953, -1.4684013376229093],
            [0.8074685673602028, -1.63154206161757],
            [0.013028803494340498, -0.43854922881324937],
        ],
    );
    agrees(
        "minimum_three",
        Minimum::new(),
        &[
            [0.33347415989191764, 0.6121117346305021],
            [1.306022967134593, -0.5099579388453767],
            [-0.4186676115094686, -0.5949609154134822],
            [0.02079870391272089, 0.32658538437237167],
        ],
    );
    agrees(
        "multiply_broadcast_last",
        Multiply::new(),
        &[
            [0.22934430370347642, -0.4670124267377694],
            [1.014088547901161, -0.6522539630941047],
            [-0.0030803643964360462, -0.04835836966550558],
        ],
    );
    agrees(
        "multiply_ranks",
        Multiply::new(),
        &[
            [-0.3129420853127894, 0.7655362325880003],
            [0.6695223985663756, -0.9944998974232608],
            [0.19384579094485963, 0.03633127445753373],
            [0.09989953025273016, -0.5789915546209167],
        ],
    );
    agrees(
        "multiply_three",
        Multiply::new(),
        &[
            [-1.5709469750369602, 0.3988626187604819],
            [-0.8902883827631027, 0.7840674516358285],
            [-0.5189684309098037, -0.021662228034401612],
        ],
    );
    agrees(
        "subtract",
        Subtract::new(),
        &[
            [0.43516723461032886, 0.9970004582782588],
            [0.8441362282290441, 0.866133188389841],
            [-0.0055381719309071835, 0.23757547367091592],
        ],
    );
}

/// Inputs large enough for several threads, fewer samples than threads and more.
#[cfg(feature = "parallel")]
#[test]
fn any_number_of_threads() {
    use gradus::{Activation, Shape};

    fn check<O: Op<f64> + Clone>(op: &O, samples: usize, x: &[&[usize]], output: &[usize]) {
        let tensor = |dims: &[usize], part: usize| {
            let shape = Shape::try_from(dims).unwrap().batched(samples).unwrap();
            Tensor::from_fn(shape, |i| ((i * 37 + part * 11) % 101) as f64 / 50.0 - 1.0)
        };
        let x: Vec<_> = x.iter().enumerate().map(|(part, dims)| tensor(dims, part)).collect();
        let dy = tensor(output, 7);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(op.clone(), &x, &dy))
        };
        let one = on(1);
        (2..=3).for_each(|threads| assert_eq!(on(threads), one, "{op:?}, {threads} threads"));
    }
    for samples in [2, 5] {
        let image: &[usize] = &[71, 67, 23];
        for other in [image, &[23], &[1, 1, 23], &[71, 67, 1], &[71, 1, 23], &[]] {
            let x = [image, other];
            check(&Add::new(), samples, &x, image);
            check(&Add::new().activation(Activation::Gelu), samples, &x, image);
            check(&Subtract::new(), samples, &x, image);
            check(&Multiply::new(), samples, &x, image);
            check(&Average::new(), samples, &x, image);
            check(&Maximum::new(), samples, &x, image);
            check(&Minimum::new(), samples, &x, image);
        }
        check(&Concatenate::new(), samples, &[image, &[71, 67, 20]], &[71, 67, 43]);
        check(&Concatenate::new().axis(1), samples, &[image, &[9, 67, 23]], &[80, 67, 23]);
        for normalize in [false, true] {
            check(&Dot::new([2, 1]).normalize(normalize), samples, &[&[301, 97], &[97, 203]], &[301, 203]);
            check(&Dot::new([1, 2]).normalize(normalize), samples, &[&[97, 301], &[203, 97]], &[301, 203]);
            check(&Dot::new([2, 2]).normalize(normalize), samples, &[image, &[3, 67, 23]], &[71, 23, 3, 23]);
        }
    }
    check(&Dot::new([1, 1]), 3000, &[&[301], &[301]], &[1]);
}

#[cfg(feature = "files")]
#[test]
fn settings_through_json() {
    use serde_json::{from_str, to_string};

    let (add, dot) = (Add::new().activation(gradus::Activation::Relu), Dot::new([2, -1]).normalize(true));
    assert_eq!(from_str::<Add>(&to_string(&add).unwrap()).unwrap(), add);
    assert_eq!(from_str::<Dot>(&to_string(&dot).unwrap()).unwrap(), dot);
    assert_eq!(to_string(&dot).unwrap(), r#"{"axes":[2,-1],"normalize":true}"#);
    assert_eq!(to_string(&Concatenate::new()).unwrap(), r#"{"axis":-1}"#);
    assert_eq!(from_str::<Concatenate>(r#"{"axis":2}"#).unwrap(), Concatenate::new().axis(2));
    assert_eq!(from_str::<Add>("{}").unwrap(), Add::new());
    assert_eq!(to_string(&Maximum::new()).unwrap(), "{}");
    let attention = Attention::new().use_scale(true).concat(true).causal(true).dropout(0.25).return_scores(true);
    assert_eq!(from_str::<Attention>(&to_string(&attention).unwrap()).unwrap(), attention);
    let additive = AdditiveAttention::new().use_scale(false).dropout(0.5);
    assert_eq!(from_str::<AdditiveAttention>(&to_string(&additive).unwrap()).unwrap(), additive);
}
