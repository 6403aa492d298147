//! Models that write token by token: the bits of all tokens at once, whatever is kept, cut into pieces or beside.

use gradus::generation::{Decoder, FromScratch, GenerationSettings, Generator};
use gradus::graph::{BlockInputs, BlockNorm, Graph, TransformerDecoderBlock, TransformerEncoderBlock};
use gradus::layers::{PositionBias, PositionEmbedding, Rotary, SinusoidalPositions, TiedDense};
use gradus::models::{Gpt2, Llama};
use gradus::prelude::*;

const VOCABULARY: usize = 23;

/// Tokens without a pattern.
fn tokens(n: usize, seed: u32) -> Vec<u32> {
    (0..n as u32).map(|i| ((i + 1) * 7919 + seed * 104_729) / 13 % VOCABULARY as u32).collect()
}

fn block() -> TransformerDecoderBlock {
    TransformerDecoderBlock::new(16, 4).hidden(10)
}

/// A model of two such blocks.
fn model(block: TransformerDecoderBlock, mask_zero: bool) -> Model {
    let mut g = Graph::new();
    let ids = g.input("tokens", [FREE]);
    let mut x = g.add(Embedding::new(VOCABULARY, 16).mask_zero(mask_zero), ids);
    for _ in 0..2 {
        x = g.add(block.clone(), x);
    }
    let y = g.add(Dense::new(VOCABULARY), x);
    // Weights that make a difference.
    let mut model = g.build([y], 3).unwrap();
    let names: Vec<String> = model.params().specs().iter().map(|spec| spec.name.clone()).collect();
    for (i, name) in
        names.iter().enumerate().filter(|(_, name)| name.ends_with("kernel") || name.ends_with("relative_bias"))
    {
        let n = model.weight(name).unwrap().len();
        let values: Vec<f32> = (0..n).map(|k| ((k * 31 + i * 17) as f32 * 0.37).sin() * 0.5).collect();
        model.set_weight(name, &values).unwrap();
    }
    model
}

fn models() -> Vec<(&'static str, Model)> {
    let gpt2 = Gpt2 { vocabulary: VOCABULARY, context: 300, features: 12, blocks: 2, heads: 2, ..Gpt2::default() };
    let llama = Llama {
        vocabulary: VOCABULARY,
        features: 16,
        blocks: 2,
        heads: 4,
        key_heads: 2,
        hidden: 20,
        ..Llama::default()
    };
    let softmax = {
        let mut g = Graph::new();
        let ids = g.input("tokens", [FREE]);
        let x = g.add(Embedding::new(VOCABULARY, 16), ids);
        let x = g.add(SinusoidalPositions::new(), x);
        let x = g.add(block().pre_norm(false), x);
        let y = g.add(Dense::new(VOCABULARY).activation(Activation::Softmax), x);
        g.build([y], 3).unwrap()
    };
    vec![
        ("gpt2", gpt2.build(1).unwrap()),
        ("llama", llama.build(1).unwrap()),
        ("window", model(block().rotary(Rotary::new()).window(40), false)),
        ("alibi", model(block().bias(PositionBias::Alibi).key_heads(1), false)),
        ("t5", model(block().bias(PositionBias::relative(false)).norm(BlockNorm::Rms(1e-6)).gated(true), false)),
        ("parallel", model(block().parallel(true).fused(true).rotary(Rotary::new().interleaved(true)), false)),
        ("masked", model(block().bias(PositionBias::Alibi), true)),
        ("softmax", softmax),
    ]
}

/// The logits behind each token, computed for all at once. A softmax is taken back as far as its order goes.
fn at_once(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    let x = Tensor::from_fn([1, tokens.len()], |i| tokens[i] as f32);
    model.predict(&x).unwrap().as_slice().chunks_exact(VOCABULARY).map(<[f32]>::to_vec).collect()
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let model: Model = Sequential::new([VOCABULARY]).add(Softmax::new()).build(0).unwrap();
    model.predict(&Tensor::new([1, VOCABULARY], row.to_vec()).unwrap()).unwrap().as_slice().to_vec()
}

#[test]
fn logits_have_the_bits_of_all_tokens_at_once() {
    for (name, model) in models() {
        let text = tokens(230, 1);
        let expected = at_once(&model, &text);
        let same = |logits: &[f32], at: usize, how: &str| {
            let own = if name == "softmax" { softmax(logits) } else { logits.to_vec() };
            assert_eq!(own, expected[at], "{name}, {how}: token {at}");
        };
        for piece in [1, 7, 64, 512] {
            let mut decoder = model.decoder().unwrap().context_length(300).piece_length(piece);
            let mut logits = vec![f32::NAN; VOCABULARY];
            for start in [1, 63, 64, 130] {
                decoder.prompt(&[&text[..start]], &mut logits).unwrap();
                same(&logits, start - 1, "prompt");
                for (at, token) in text.iter().enumerate().skip(start).take(70) {
                    decoder.step(&[*token], &mut logits).unwrap();
                    same(&logits, at, "step");
                }
            }
        }
    }
}

#[test]
fn rows_beside_change_nothing() {
    for (name, model) in models().into_iter().take(7) {
        let texts = [tokens(90, 1), tokens(33, 2), tokens(64, 3)];
        let expected = texts.each_ref().map(|text| at_once(&model, text));
        let mut decoder = model.decoder().unwrap().context_length(100).piece_length(20);
        let mut logits = vec![f32::NAN; 3 * VOCABULARY];
        let starts = [70, 13, 44];
        let prompts: Vec<&[u32]> = texts.iter().zip(starts).map(|(text, n)| &text[..n]).collect();
        decoder.prompt(&prompts, &mut logits).unwrap();
        for i in 0..20 {
            for (row, text) in expected.iter().enumerate() {
                assert_eq!(
                    logits[row * VOCABULARY..][..VOCABULARY],
                    text[starts[row] + i - 1],
                    "{name}: row {row}, {i}"
                );
            }
            if i < 19 {
                let next: Vec<u32> = (0..3).map(|row| texts[row][starts[row] + i]).collect();
                decoder.step(&next, &mut logits).unwrap();
            }
        }
        // The second twice, the first no more.
        decoder.reorder(&[1, 2, 1]).unwrap();
        let next = [texts[1][32], texts[2][63], 5];
        decoder.step(&next, &mut logits).unwrap();
        assert_eq!(logits[..VOCABULARY], expected[1][32], "{name}");
        assert_eq!(logits[VOCABULARY..2 * VOCABULARY], expected[2][63], "{name}");
        let other: Vec<u32> = texts[1][..32].iter().copied().chain([5]).collect();
        assert_eq!(logits[2 * VOCABULARY..], at_once(&model, &other)[32], "{name}");
    }
}

/// The same search with a cache and without.
#[test]
fn searches_are_those_without_a_cache() {
    for (name, model) in models().into_iter().take(7) {
        let whole = |rows: &[Vec<u32>], logits: &mut [f32]| {
            for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(VOCABULARY)) {
                logits.copy_from_slice(at_once(&model, row).last().unwrap());
            }
            Ok(())
        };
        let prompts = [tokens(5, 1), tokens(80, 2), tokens(1, 3)];
        let settings = GenerationSettings::default().max_new_tokens(25);
        let all = [
            settings.clone(),
            settings.clone().do_sample(true).seed(5).num_return_sequences(3).top_k(9),
            settings.clone().num_beams(4).num_return_sequences(2),
        ];
        for settings in all {
            let mut generator = Generator::new(settings);
            let mut scratch = FromScratch::new(VOCABULARY, 200, whole);
            let expected = generator.generate(&mut scratch, &prompts).unwrap();
            let mut decoder = model.decoder().unwrap().context_length(200).piece_length(16);
            let found = generator.generate(&mut decoder, &prompts).unwrap();
            // Again, with what is known from before.
            let again = generator.generate(&mut decoder, &prompts).unwrap();
            for other in [found, again] {
                assert_eq!(format!("{:?}", other.rows()), format!("{:?}", expected.rows()), "{name}");
            }
        }
    }
}

#[test]
fn a_prefix_is_computed_once() {
    let path = std::env::temp_dir().join(format!("gradus_prefix_{}.safetensors", std::process::id()));
    for (name, model) in models().into_iter().take(7) {
        let text = tokens(190, 4);
        let expected = at_once(&model, &text);
        let mut first = model.decoder().unwrap().piece_length(30);
        let prefix = first.prefix(&text[..150]).unwrap();
        let mut logits = vec![f32::NAN; 2 * VOCABULARY];
        let mut check = |prefix: gradus::model::Prefix, how: &str| {
            let mut decoder = model.decoder().unwrap().context_length(200).piece_length(30);
            decoder.set_prefix(prefix).unwrap();
            // With all of it, and with less.
            decoder.prompt(&[&text[..180], &text[..80]], &mut logits).unwrap();
            assert_eq!(logits[..VOCABULARY], expected[179], "{name}, {how}");
            assert_eq!(logits[VOCABULARY..], expected[79], "{name}, {how}");
            decoder.step(&[text[180], text[80]], &mut logits).unwrap();
            assert_eq!(logits[..VOCABULARY], expected[180], "{name}, {how}");
        };
        check(prefix.clone(), "memory");
        if cfg!(feature = "files") {
            #[cfg(feature = "files")]
            {
                prefix.save(&path).unwrap();
                check(model.decoder().unwrap().piece_length(30).load_prefix(&path).unwrap(), "file");
            }
        }
    }
    let [(_, gpt2), (_, llama), ..] = &models()[..] else { unreachable!() };
    let prefix = gpt2.decoder().unwrap().prefix(&[1, 2]).unwrap();
    let error = llama.decoder().unwrap().set_prefix(prefix.clone()).unwrap_err().to_string();
    assert!(error.contains("another model"), "{error}");
    #[cfg(feature = "files")]
    {
        prefix.save(&path).unwrap();
        let error = llama.decoder().unwrap().load_prefix(&path).unwrap_err().to_string();
        assert!(error.contains("another model"), "{error}");
        gpt2.save(&path).unwrap();
        let error = gpt2.decoder().unwrap().load_prefix(&path).unwrap_err().to_string();
        assert!(error.contains("no prefix of prompts"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}

/// An encoder, and a decoder that attends to its steps.
fn translator(mask_zero: bool) -> Model {
    let mut g = Graph::new();
    let (source, target) = (g.input("source", [FREE]), g.input("target", [FREE]));
    let x = g.add(Embedding::new(VOCABULARY, 16).mask_zero(mask_zero), source);
    let x = g.add(PositionEmbedding::new(50), x);
    let encoder = g.add(TransformerEncoderBlock::new(16, 2).hidden(9), x);
    let mut y = g.add_named("target_tokens", Embedding::new(VOCABULARY, 16), target);
    y = g.add(PositionEmbedding::new(40), y);
    for _ in 0..2 {
        y = g.add(block().inputs(BlockInputs::encoder(encoder)), y);
    }
    let y = g.add(TiedDense::new("target_tokens/embeddings"), y);
    g.build([y], 6).unwrap()
}

#[test]
fn an_encoder_runs_once() {
    for mask_zero in [false, true] {
        let model = translator(mask_zero);
        let sources = [tokens(17, 1), tokens(3, 2)];
        let targets = [tokens(30, 3), tokens(30, 4)];
        let both = |row: usize, n: usize| {
            let tensor = |tokens: &[u32]| Tensor::from_fn([1, tokens.len()], |i| tokens[i] as f32);
            let y = model.predict([&tensor(&sources[row]), &tensor(&targets[row][..n])]).unwrap();
            y.as_slice()[(n - 1) * VOCABULARY..].to_vec()
        };
        let mut decoder = model.decoder().unwrap().piece_length(4);
        assert_eq!(Decoder::<f32>::context(&decoder), 40);
        decoder.set_source_tokens(&sources).unwrap();
        let mut logits = vec![f32::NAN; 2 * VOCABULARY];
        decoder.prompt(&[&targets[0][..9], &targets[1][..1]], &mut logits).unwrap();
        for i in 0..20 {
            assert_eq!(logits[..VOCABULARY], both(0, 9 + i), "step {i}");
            assert_eq!(logits[VOCABULARY..], both(1, 1 + i), "step {i}");
            decoder.step(&[targets[0][9 + i], targets[1][1 + i]], &mut logits).unwrap();
        }
        // Beams of one row go on with its source.
        decoder.reorder(&[1, 1]).unwrap();
        decoder.step(&[targets[1][21], targets[1][21]], &mut logits).unwrap();
        assert_eq!(logits[..VOCABULARY], both(1, 22));
        assert_eq!(logits[VOCABULARY..], both(1, 22));
        // Other sources, other bits, although the prompt is the same.
        decoder.set_source_tokens(&sources[1..]).unwrap();
        decoder.prompt(&[&targets[1][..5]], &mut logits[..VOCABULARY]).unwrap();
        assert_eq!(logits[..VOCABULARY], both(1, 5));
        decoder.set_source_tokens(&sources[..1]).unwrap();
        decoder.prompt(&[&targets[1][..5]], &mut logits[..VOCABULARY]).unwrap();
        assert_ne!(logits[..VOCABULARY], both(1, 5));
    }
}

#[test]
fn what_cannot_go_on_is_named() {
    let error = |g: Graph, y: &[gradus::graph::Value]| g.build(y, 0).unwrap().decoder().unwrap_err().to_string();
    let begin = || {
        let mut g = Graph::new();
        let ids = g.input("tokens", [FREE]);
        let x = g.add(Embedding::new(9, 8), ids);
        (g, ids, x)
    };
    let (mut g, _, x) = begin();
    let x = g.add(MultiHeadAttention::new(2, 4), x);
    let y = g.add(Dense::new(9), x);
    let text = error(g, &[y]);
    assert!(text.contains("MultiHeadAttention attends to steps that are not there yet"), "{text}");
    let (mut g, _, x) = begin();
    let x = g.add(Conv1d::new(8, 3).padding(Padding::Causal), x);
    let y = g.add(Dense::new(9), x);
    let text = error(g, &[y]);
    assert!(text.contains("Conv1d needs all steps at once"), "{text}");
    let (mut g, _, x) = begin();
    let x = g.add(GlobalAveragePooling1d::new(), x);
    let y = g.add(Dense::new(9), x);
    let text = error(g, &[y]);
    assert!(text.contains("[T, vocabulary]"), "{text}");
    let (mut g, _, x) = begin();
    let y = g.add(Dense::new(9).activation(Activation::Sigmoid), x);
    let text = error(g, &[y]);
    assert!(text.contains("Sigmoid"), "{text}");
    let (mut g, _, x) = begin();
    let (y, z) = (g.add(Dense::new(9), x), g.add(Dense::new(9), x));
    let text = error(g, &[y, z]);
    assert!(text.contains("2 outputs"), "{text}");
    let text = Sequential::new([6]).add(Embedding::new(9, 8)).add(Dense::new(9)).build(0).unwrap();
    let text = text.decoder().unwrap_err().to_string();
    assert!(text.contains("T free"), "{text}");
}

#[test]
fn prompts_that_cannot_be_are_errors() {
    let gpt2 = Gpt2 { vocabulary: VOCABULARY, context: 10, features: 8, blocks: 1, heads: 2, ..Gpt2::default() };
    let model = gpt2.build(0).unwrap();
    let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(4));
    let mut error = |decoder: &mut gradus::model::ModelDecoder<'_>, prompts: &[&[u32]]| {
        generator.generate(decoder, prompts).unwrap_err().to_string()
    };
    let mut decoder = model.decoder().unwrap();
    let text = error(&mut decoder, &[&[1; 11]]);
    assert!(text.contains("at most 10 tokens"), "{text}");
    let text = error(&mut decoder, &[&[1; 8]]);
    assert!(text.contains("max_new_tokens") && text.contains("context holds 10"), "{text}");
    let text = error(&mut decoder, &[&[]]);
    assert!(text.contains("none in row 0"), "{text}");
    let text = error(&mut decoder, &[&[1, 23]]);
    assert!(text.contains("23"), "{text}");
    let text = error(&mut model.decoder().unwrap().context_length(11), &[&[1]]);
    assert!(text.contains("at most 10, as the model has so many positions"), "{text}");
    for text in [
        error(&mut model.decoder().unwrap().context_length(0), &[&[1]]),
        error(&mut model.decoder().unwrap().piece_length(0), &[&[1]]),
    ] {
        assert!(text.contains("at least 1") || text.contains("at most 0"), "{text}");
    }
    // By hand, without a search's checks.
    let mut logits = vec![0.0; VOCABULARY];
    assert!(decoder.step(&[1], &mut logits).is_err());
    assert!(decoder.prompt(&[&[]], &mut logits).is_err() && decoder.prompt(&[&[99]], &mut logits).is_err());
    let text = decoder.prompt(&[&[1], &[2]], &mut logits).unwrap_err().to_string();
    assert!(text.contains("room for 2 rows of 23 logits, got 23"), "{text}");
    let mut both = vec![0.0; 2 * VOCABULARY];
    assert!(decoder.prompt(&[&[1, 2], &[3, 99]], &mut both).is_err());
    let text = decoder.step(&[1, 2], &mut both).unwrap_err().to_string();
    assert!(text.contains("call prompt before step"), "{text}");
    decoder.prompt(&[&[1; 10]], &mut logits).unwrap();
    let text = decoder.step(&[1], &mut logits).unwrap_err().to_string();
    assert!(text.contains("at most 10 steps in a row, got 1 behind 10") || text.contains("10 positions"), "{text}");
    let mut decoder = translator(false);
    let error = decoder.decoder().unwrap().prompt(&[&[1]], &mut logits).unwrap_err().to_string();
    assert!(error.contains("a source for each of 1 prompts"), "{error}");
    decoder.set_weight("target_tokens/embeddings", &vec![0.0; VOCABULARY * 16]).unwrap();
    let mut decoder = decoder.decoder().unwrap();
    assert!(decoder.set_sources([Tensor::zeros([2, 3])]).is_err());
    assert!(decoder.prefix(&[1]).is_err());
    decoder.set_source_tokens(&[[99]]).unwrap();
    let error = decoder.prompt(&[&[1]], &mut logits).unwrap_err().to_string();
    assert!(error.contains("source") && error.contains("99"), "{error}");
    let mut decoder = model.decoder().unwrap();
    assert!(decoder.set_source_tokens(&[[1]]).unwrap_err().to_string().contains("no source"));
}
