//! From the second step on a training step takes no memory, apart from what matrixmultiply takes for packing.

use std::sync::Mutex;
#[cfg(feature = "parallel")]
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus::prelude::*;
use support::counting::{Counting, allocations, begin, count_this_thread, most_since};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time, as the counters are shared.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test on this thread, with its allocations counted.
fn counted(test: impl FnOnce()) {
    let _turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    /// Not counted any more before the turn is over, also where the test fails.
    struct Uncounted;
    impl Drop for Uncounted {
        fn drop(&mut self) {
            count_this_thread(false);
        }
    }
    let _uncounted = Uncounted;
    count_this_thread(true);
    test();
}

/// Every layer, in sizes small enough to stay on this thread.
fn model<T: Float>() -> Model<T> {
    let stack = Block::new()
        .add(Elu::new())
        .add(LeakyRelu::new())
        .add(Identity::new())
        .add(Activation::Gelu)
        .add(Residual::new().add(Dense::new(6).activation(Activation::Mish)).add(Dense::new(12)));
    Sequential::new([4, 3])
        .add(Normalization::from_stats([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]))
        .add(Rescaling::new(0.5))
        .add(GaussianNoise::new(0.1))
        .add(Permute::new([2, 1]))
        .add(PRelu::new().shared_axes([1]))
        .add(Flatten::new())
        .add(Dense::new(12).activation(Activation::Silu))
        .add(Dropout::new(0.2))
        .add(stack)
        .add(AlphaDropout::new(0.1))
        .add(GaussianDropout::new(0.1))
        .add(RepeatVector::new(2))
        .add(UnitNormalization::new())
        .add(Reshape::new([-1]))
        .add(Dense::new(5))
        .add(Softmax::new())
        .build_as(2)
        .unwrap()
}

/// A full batch and a shorter one: the first step takes memory, the others none.
fn steps<T: Float>(mut model: Model<T>, x: &Tensor<T>, t: &Tensor<T>) {
    let step = |model: &mut Model<T>, x: &Tensor<T>, t: &Tensor<T>| {
        allocations(|| {
            model.train_on_batch(x, t).unwrap();
        })
    };
    let first = step(&mut model, x, t);
    assert!(first.0 > 0, "the counter does not count");
    #[repr(align(32))]
    struct Aligned([u8; 32]);
    let panel = allocations(|| assert_eq!(std::hint::black_box(Box::new(Aligned([1; 32]))).0[31], 1));
    assert_eq!(panel, (0, 1), "packing is not counted apart");
    let second = step(&mut model, x, t);
    assert_eq!(second.0, 0, "the second step allocates");
    for number in 3..10 {
        assert_eq!(step(&mut model, x, t), second, "step {number}: (own, packing)");
    }
    // A shorter last batch, and the full size again, fit what is held.
    let (short, t_short) = (x.rows(0..5).unwrap(), t.rows(0..5).unwrap());
    assert_eq!(step(&mut model, &short, &t_short).0, 0, "a shorter batch");
    assert_eq!(step(&mut model, x, t), second, "the full batch after it");
}

fn every_layer<T: Float>(optimizer: impl Optimizer<T> + 'static, fused: bool) {
    let mut model = model::<T>();
    let x = Tensor::from_fn([17, 4, 3], |i| T::of((i as f64 * 0.7).sin()));
    let metrics = [Accuracy::default()];
    if fused {
        model.compile(optimizer, CategoricalCrossentropy::default(), metrics).unwrap();
        steps(model, &x, &Tensor::from_labels(&(0..17).map(|i| i % 5).collect::<Vec<_>>()));
    } else {
        model.compile(optimizer, MeanSquaredError::default(), metrics).unwrap();
        steps(model, &x, &Tensor::from_fn([17, 5], |i| T::of(f64::from(i / 5 % 5 == i % 5))));
    }
}

/// Convolutions, pools, normalisations and branches, likewise.
#[test]
fn steps_of_convolutions() {
    fn check<T: Float>() {
        let branches = Add::new()
            .branch(Conv2d::new(16, 3).padding(Padding::Same))
            .branch(Multiply::new().branch(Identity::new()).branch(Dense::new(16)));
        let model = Sequential::new([6, 5, 2])
            .add(Conv2d::new(16, 3).padding(Padding::Same).activation(Activation::Gelu))
            .add(BatchNorm::new())
            .add(branches)
            .add(MaxPooling2d::new(2).padding(Padding::Same))
            .add(SpatialDropout2d::new(0.2))
            .add(DepthwiseConv2d::new(2).depth_multiplier(2))
            .add(GroupNorm::new(2))
            .add(SeparableConv2d::new(6, 2).padding(Padding::Same))
            .add(UpSampling2d::new(2))
            .add(Conv2dTranspose::new(4, 2).strides(2).activation(Activation::Silu))
            .add(LayerNorm::new())
            .add(ZeroPadding2d::new(1))
            .add(Cropping2d::new([1, 0]))
            .add(AveragePooling2d::new(2))
            .add(RmsNorm::new())
            .add(Concatenate::new().branch(Identity::new()).branch(Conv2d::new(3, 1).strides(1)))
            .add(GlobalMaxPooling2d::new().keepdims(true))
            .add(GlobalAveragePooling2d::new())
            .add(Dense::new(5).activation(Activation::Softmax));
        let mut model = model.build_as::<T>(2).unwrap();
        model.compile(Adam::default(), CategoricalCrossentropy::default(), ()).unwrap();
        let x = Tensor::from_fn([17, 6, 5, 2], |i| T::of((i as f64 * 0.7).sin()));
        steps(model, &x, &Tensor::from_labels(&(0..17).map(|i| i % 5).collect::<Vec<_>>()));
    }
    counted(|| {
        gradus::set_threads(1).unwrap();
        check::<f32>();
        check::<f64>();
    });
}

#[test]
fn steps_in_f32() {
    counted(|| {
        every_layer::<f32>(Adam::default(), true);
        every_layer::<f32>(AdamW::default().moment_storage(MomentStorage::Bf16), false);
        every_layer::<f32>(Adam::default().amsgrad(true).global_clipnorm(1.0).weight_decay(0.01), false);
    });
}

#[test]
fn steps_in_f64() {
    counted(|| {
        every_layer::<f64>(Adam::default(), true);
        every_layer::<f64>(Muon::default(), true);
        every_layer::<f64>(Sgd::default().momentum(0.9).clipnorm(0.5), false);
    });
}

/// Three batches an update, so that the first update is in the third step; layers with rates of their own, penalties, bounds.
#[test]
fn steps_with_training_options() {
    fn check<O: Optimizer<f64> + OptimizerOptions + 'static>(optimizer: O) {
        let hidden = Dense::new(6)
            .kernel_regularizer(Regularizer::OrthogonalColumns(0.1))
            .bias_regularizer(Regularizer::L1(0.1))
            .activity_regularizer(Regularizer::L2(0.1))
            .kernel_constraint(Constraint::min_max_norm(0.5, 1.0))
            .bias_constraint(Constraint::NonNeg);
        let mut model = Sequential::new([4])
            .add(hidden)
            .learning_rate_factor(0.1)
            .add(ActivityRegularization::new().l1(0.1))
            .add(PRelu::new().alpha_regularizer(Regularizer::L2(0.1)).alpha_constraint(Constraint::unit_norm()))
            .trainable(false)
            .add(Dropout::new(0.3))
            .add(Dense::new(3))
            .learning_rate_factor(0.5)
            .build_as(0)
            .unwrap();
        model.compile(optimizer.gradient_accumulation_steps(3), MeanSquaredError::default(), ()).unwrap();
        let x = Tensor::from_fn([17, 4], |i| (i as f64 * 0.7).sin());
        steps(model, &x, &Tensor::from_fn([17, 3], |i| (i as f64 * 0.3).cos()));
    }
    counted(|| {
        check(Adam::default().weight_decay(0.1));
        check(Nadam::default().ema(0.9));
    });
}

/// What goes by position, and gates.
#[test]
fn steps_of_positions() {
    counted(|| {
        gradus::set_threads(1).unwrap();
        let model = Sequential::new([6, 8])
            .add(ClassToken::new())
            .add(PositionEmbedding::new(9))
            .add(Residual::new().add(RmsNorm::new().last(4)).add(RotaryPositions::new(4, Rotary::new())))
            .add(SinusoidalPositions::new())
            .add(Residual::new().add(GatedDense::swiglu(6).use_bias(true)).add(Dense::new(8)))
            .add(GatedDense::geglu(5).fused(true))
            .add(Flatten::new())
            .add(Dense::new(5).activation(Activation::Softmax));
        let mut model = model.build_as::<f32>(2).unwrap();
        model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
        let x = Tensor::from_fn([17, 6, 8], |i| (i as f32 * 0.7).sin());
        steps(model, &x, &Tensor::from_labels(&(0..17).map(|i| i % 5).collect::<Vec<_>>()));
    });
}

/// A table of which each batch names other rows, and more of them than the first, by rows and as a whole.
#[test]
fn steps_of_embeddings() {
    fn check(optimizer: impl Optimizer<f32> + 'static, embedding: Embedding) {
        let mut model =
            Sequential::new([6]).add(embedding).add(GlobalAveragePooling1d::new()).add(Dense::new(2)).build(0).unwrap();
        model.compile(optimizer, MeanSquaredError::default(), ()).unwrap();
        let t = Tensor::from_fn([9, 2], |i| i as f32);
        for number in 0..12 {
            let x = Tensor::from_fn([9, 6], |i| (i * (number % 7 + 1) % (10 + 50 * number)) as f32);
            let (own, _) = allocations(|| {
                model.train_on_batch(&x, &t).unwrap();
            });
            assert!(number == 0 || own == 0, "step {number} takes memory");
        }
    }
    counted(|| {
        gradus::set_threads(1).unwrap();
        let embedding = || Embedding::new(1000, 3).mask_zero(true);
        check(Sgd::default().global_clipnorm(1.0), embedding());
        check(Adagrad::default().gradient_accumulation_steps(3), embedding().padding_idx(0));
        check(Adam::default(), embedding());
        check(Sgd::default(), embedding().embeddings_regularizer(Regularizer::L2(0.1)));
    });
}

/// A prediction holds the widest layers and not all of them, and takes nothing from the second call on.
#[test]
fn predictions() {
    counted(|| {
        gradus::set_threads(1).unwrap();
        let model = Sequential::new([32, 32, 3]).add(gradus::models::resnet20(10)).build(0).unwrap();
        let x = Tensor::from_fn([64, 32, 32, 3], |i| (i as f32 * 0.7).sin());
        let (mut predictor, mut y) = (model.predictor().unwrap(), Tensor::default());
        let before = begin();
        predictor.predict_into(&x, &mut y).unwrap();
        // The outputs of all layers would take 135 MB.
        let most = most_since(before);
        assert!(most < 16 << 20, "{most} bytes");
        for rows in [64, 5, 64] {
            let x = x.rows(0..rows).unwrap();
            let (own, _) = allocations(|| predictor.predict_into(&x, &mut y).unwrap());
            assert_eq!(own, 0, "{rows} rows");
        }
        assert_eq!(y, model.predict(&x).unwrap());
    });
}

/// A token takes no memory from the second step on, whatever is done to the logits, also where rows end.
#[test]
fn tokens_of_a_stream() {
    use gradus::generation::{Decoder, GenerationSettings, Generator};

    /// Each row's last token.
    struct Toy(Vec<u32>);

    impl Toy {
        fn write(&self, logits: &mut [f32]) {
            for (last, row) in self.0.iter().zip(logits.chunks_exact_mut(200)) {
                row.iter_mut().enumerate().for_each(|(i, v)| *v = ((*last as usize * 31 + i * 7) as f32).sin());
            }
        }
    }

    impl Decoder for Toy {
        fn vocabulary(&self) -> usize {
            200
        }
        fn context(&self) -> usize {
            usize::MAX
        }
        fn prompt(&mut self, rows: &[&[u32]], logits: &mut [f32]) -> gradus::Result<()> {
            self.0 = rows.iter().filter_map(|row| row.last().copied()).collect();
            self.0.reserve(100);
            self.write(logits);
            Ok(())
        }
        fn step(&mut self, tokens: &[u32], logits: &mut [f32]) -> gradus::Result<()> {
            self.0.copy_from_slice(tokens);
            self.write(logits);
            Ok(())
        }
        fn reorder(&mut self, rows: &[usize]) -> gradus::Result<()> {
            self.0.resize(rows.len(), 0);
            Ok(())
        }
    }

    counted(|| {
        let all = GenerationSettings::default()
            .max_new_tokens(300)
            .end_tokens([3, 50])
            .repetition_penalty(1.1)
            .presence_penalty(0.1)
            .frequency_penalty(0.1)
            .no_repeat_ngram_size(4)
            .bad_words([[1, 2]])
            .min_length(20)
            .suppress_tokens([9])
            .logit_bias([(3, 0.5)]);
        let drawn = all.clone().do_sample(true).num_return_sequences(3).temperature(1.5).top_p(0.99).min_p(0.001);
        let drawn = drawn.top_k(190).typical_p(0.99).epsilon_cutoff(1e-4).eta_cutoff(1e-4);
        for settings in [GenerationSettings::default().max_new_tokens(300), all, drawn] {
            let (mut toy, mut generator) = (Toy(Vec::new()), Generator::new(settings));
            let mut stream = generator.stream(&mut toy, &[&[1, 2][..], &[3], &[4, 5, 6]]).unwrap();
            let first: Vec<_> = stream.by_ref().take(9).collect();
            assert!(first.iter().all(Result::is_ok));
            let mut count = 0;
            let (own, _) = allocations(|| count = stream.map(Result::unwrap).count());
            assert!(own == 0 && count > 30, "{own} for {count} tokens");
        }
    });
}

/// A head of many tokens, whose loss takes it some rows at a time: no step takes memory, and the logits of all rows are never there.
#[test]
fn steps_by_rows() {
    const TOKENS: usize = 5000;
    counted(|| {
        gradus::set_threads(1).unwrap();
        let model = || {
            let layers = Sequential::new([60]).add(Embedding::new(TOKENS, 4).mask_zero(true)).add(Dense::new(4));
            let mut model = layers.add(TiedDense::new("embedding/embeddings")).build(1).unwrap();
            let loss = SparseCategoricalCrossentropy::default().from_logits(true).ignore_class(-100).z_loss(1e-4);
            let optimizer = Sgd::default().gradient_accumulation_steps(2);
            model.compile(optimizer, loss, (Accuracy::default(), TopKAccuracy::default())).unwrap();
            model
        };
        let x = Tensor::from_fn([25, 60], |i| (i * 7 % TOKENS) as f32);
        let y = Tensor::from_fn([25, 60], |i| if i % 9 < i % 4 { -100.0 } else { (i * 11 % TOKENS) as f32 });
        // 256 rows of logits and their gradients, of 1500.
        let (rows, all) = (2 * 256 * TOKENS * 4, 1500 * TOKENS * 4);
        let mut trained = model();
        let before = begin();
        trained.train_on_batch(&x, &y).unwrap();
        let most = most_since(before);
        assert!(most > rows && most < rows + (1 << 20), "{most} bytes, {all} for all logits");
        let before = begin();
        trained.evaluate(&x, &y).unwrap();
        let most = most_since(before);
        assert!(most > rows / 2 && most < rows / 2 + (1 << 20), "{most} bytes, {all} for all logits");
        steps(model(), &x, &y);
    });
}

/// Large enough for the work to be given to all threads of a pool, whose allocations count as well.
#[cfg(feature = "parallel")]
#[test]
fn steps_on_several_threads() {
    let _turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    /// Threads that are no longer counted.
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
    let pool = pool.start_handler(|_| count_this_thread(true)).exit_handler(|_| {
        count_this_thread(false);
        ENDED.fetch_add(1, Ordering::SeqCst);
    });
    let pool = pool.build().unwrap();
    pool.install(|| {
        let mut model = Sequential::new([300])
            .add(GaussianNoise::new(0.1))
            .add(Dense::new(400).activation(Activation::Gelu))
            .add(Dropout::new(0.2))
            .add(Residual::new().add(Dense::new(400)).add(PRelu::new()).add(UnitNormalization::new()))
            .add(Dense::new(10).activation(Activation::Softmax))
            .build(0)
            .unwrap();
        model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        let x = Tensor::from_fn([128, 300], |i| (i as f32 * 0.7).sin());
        steps(model, &x, &Tensor::from_labels(&(0..128).map(|i| i % 10).collect::<Vec<_>>()));
    });
    // They end in their own time, and what they do then would count for the next test.
    drop(pool);
    while ENDED.load(Ordering::SeqCst) < 3 {
        std::thread::yield_now();
    }
}

/// A graph of two inputs and two losses: an epoch of twice as many steps takes no more memory from the system.
#[test]
fn steps_of_a_graph() {
    counted(|| {
        gradus::set_threads(1).unwrap();
        let mut g = Graph::new();
        let (a, b) = (g.input("a", [6]), g.input("b", [4]));
        let tower = g.shared("tower", Dense::new(5).activation(Activation::Tanh));
        let wide = g.add(Dense::new(6), b);
        let (h, k) = (g.apply(&tower, a), g.apply(&tower, wide));
        let both = g.op(Multiply::new(), &[h, k]);
        let beside = g.op(Concatenate::new(), &[both, h]);
        let class = g.add_named("class", Dense::new(3).activation(Activation::Softmax), beside);
        let number = g.add_named("number", Dense::new(1), both);
        let mut model = g.build([class, number], 1).unwrap();
        let heads = [
            Head::new("class").loss(SparseCategoricalCrossentropy::default()).metrics([Accuracy::default()]),
            Head::new("number").loss(MeanSquaredError::default()).loss_weight(0.25),
        ];
        model.compile_heads(Adam::default(), heads).unwrap();
        let mut epoch = |n: usize| {
            let (a, b) = (Tensor::from_fn([n, 6], |i| (i as f32).sin()), Tensor::from_fn([n, 4], |i| (i as f32).cos()));
            let classes = Tensor::from_labels(&(0..n).map(|i| i % 3).collect::<Vec<_>>());
            let numbers = Tensor::from_fn([n, 1], |i| (i as f32 * 0.3).sin());
            // Not shuffled, as the list of positions grows step by step.
            let how = Fit::default().batch_size(8).shuffle(false).verbose(Verbose::Silent);
            allocations(|| {
                model.fit([&a, &b], [&classes, &numbers], &how).unwrap();
            })
        };
        // Numbers of as many digits, as what is noted of a run is text.
        let _ = epoch(128);
        let (short, long) = (epoch(128), epoch(256));
        assert_eq!(short.0, long.0, "steps allocate: 16 of them {}, 32 of them {}", short.0, long.0);
    });
}
