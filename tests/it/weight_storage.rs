//! Matrices stored in few bytes: models whole and stored, from folders and GGUF files, adapters beside them.

use gradus::graph::{Graph, TransformerDecoderBlock};
use gradus::model::Lora;
use gradus::prelude::*;
use gradus::random::{Key, Purpose};
use gradus::{FREE, WeightStorage};

const TOKENS: usize = 97;

/// A small language model whose head is its table.
fn model<T: Float>(seed: u64) -> Model<T> {
    let mut g = Graph::new();
    let x = g.input("tokens", [FREE]);
    let h = g.add_named("tokens_to_vectors", Embedding::new(TOKENS, 64), x);
    let block = TransformerDecoderBlock::new(64, 4).hidden(96).key_heads(2).gated(true);
    let h = g.add_named("block", block, h);
    let y = g.add_named("head", TiedDense::new("tokens_to_vectors/embeddings"), h);
    g.build_as([y], seed).unwrap()
}

fn ids<T: Float>(rows: usize, steps: usize) -> Tensor<T> {
    let key = Key::new(2, Purpose::Data);
    Tensor::from_fn([rows, steps], |i| T::of(key.below(i as u64, TOKENS) as f64))
}

/// The model with every stored weight as the number that is stored: what a stored one has to equal bit for bit.
fn as_numbers<T: Float>(stored: &Model<T>) -> Model<T> {
    let mut numbers = model::<T>(0);
    for (i, spec) in stored.params().specs().iter().enumerate() {
        let id = stored.params().find(&spec.name).unwrap();
        let values = stored.params().to_vec(id);
        assert_eq!(values.len(), spec.shape.len(), "{i}");
        numbers.set_weight(&spec.name, &values).unwrap();
    }
    numbers
}

fn same_as_numbers<T: Float>() {
    for storage in WeightStorage::ALL {
        let mut stored = model::<T>(3);
        let (all, bytes) = (stored.params().len(), stored.summary().bytes);
        stored.store_weights(storage).unwrap();
        assert_eq!(stored.weight_storage(), Some(storage));
        assert_eq!(stored.summary().parameters, all);
        assert!(storage == WeightStorage::F32 || stored.summary().bytes < bytes);
        let numbers = as_numbers(&stored);
        // One row to many.
        for (rows, steps) in [(1, 1), (1, 3), (2, 6), (5, 7)] {
            let x = ids(rows, steps);
            assert_eq!(
                stored.predict(&x).unwrap(),
                numbers.predict(&x).unwrap(),
                "{storage} {rows}x{steps} {}",
                T::NAME
            );
        }
        // From what is near the numbers that were given.
        let (x, whole) = (ids(2, 5), model::<T>(3));
        let most = [1e-6, 0.05, 0.02, 0.3][WeightStorage::ALL.iter().position(|s| *s == storage).unwrap()];
        let (a, b) = (stored.predict(&x).unwrap(), whole.predict(&x).unwrap());
        let far = a.iter().zip(&b).map(|(a, b)| (a.as_f64() - b.as_f64()).abs()).fold(0.0, f64::max);
        assert!(far <= most, "{storage}: {far}");
    }
}

#[test]
fn a_stored_model_equals_its_numbers() {
    same_as_numbers::<f32>();
    same_as_numbers::<f64>();
}

#[test]
fn a_token_equals_that_of_all_at_once() {
    for storage in WeightStorage::ALL {
        let mut model = model::<f32>(4);
        model.store_weights(storage).unwrap();
        let tokens: Vec<u32> = ids::<f32>(1, 9).iter().map(|v| *v as u32).collect();
        let all = model.predict(&ids(1, 9)).unwrap();
        let mut decoder = model.decoder().unwrap();
        let mut logits = vec![0.0; TOKENS];
        gradus::generation::Decoder::<f32>::prompt(&mut decoder, &[&tokens[..4]], &mut logits).unwrap();
        for (i, &token) in tokens.iter().enumerate().skip(4) {
            assert_eq!(logits, all.as_slice()[(i - 1) * TOKENS..i * TOKENS], "{storage} {i}");
            gradus::generation::Decoder::<f32>::step(&mut decoder, &[token], &mut logits).unwrap();
        }
        assert_eq!(logits, all.as_slice()[8 * TOKENS..]);
    }
}

#[test]
fn adapters_are_trained_beside_stored_weights() {
    let (x, y) = (ids(6, 5), ids::<f64>(6, 5).map(|v| (v + 1.0) % TOKENS as f64));
    for storage in [WeightStorage::Bf16, WeightStorage::Q4_0] {
        let mut model = model::<f64>(5);
        model.store_weights(storage).unwrap();
        model.add_lora("a", &Lora::new(2).train("block/attention_norm")).unwrap();
        let names: Vec<String> = model.params().specs().iter().map(|spec| spec.name.clone()).collect();
        for name in names.iter().filter(|name| name.contains("/lora_b/")) {
            let n = model.weight(name).unwrap().len();
            model.set_weight(name, &vec![0.01; n]).unwrap();
        }
        let loss = SparseCategoricalCrossentropy::default().from_logits(true);
        model.compile(Adam::default().learning_rate(0.01), loss, ()).unwrap();
        // Few of the many weights, at random.
        let (before, gradients) = model.gradients(&x, &y).unwrap();
        assert!(before.is_finite());
        let trained: Vec<_> = model.params().specs().iter().filter(|s| s.trainable).map(|s| s.range.clone()).collect();
        for range in trained {
            let at = range.start + range.len() / 2;
            let w = model.params().values()[at];
            let mut loss_at = |v: f64| {
                model.values_mut()[at] = v;
                model.gradients(&x, &y).unwrap().0
            };
            let (up, down) = (loss_at(w + 1e-5), loss_at(w - 1e-5));
            loss_at(w);
            let difference = (up - down) / 2e-5;
            assert!(
                (gradients[at] - difference).abs() < 1e-7 * (1.0 + difference.abs()),
                "{} {difference}",
                gradients[at]
            );
        }
        let silent = Fit::default().epochs(3).verbose(Verbose::Silent);
        model.fit(&x, &y, &silent).unwrap();
        assert!(model.evaluate(&x, &y).unwrap().loss < before);
        assert!(model.merge_lora("a").unwrap_err().to_string().contains(storage.name()));
    }
}

#[test]
fn what_cannot_be_is_said() {
    let mut odd = Sequential::new([33]).add(Dense::new(4)).build(0).unwrap();
    let error = odd.store_weights(WeightStorage::Q8_0).unwrap_err().to_string();
    assert!(error.contains("dense/kernel has 33 inputs, and Q8_0 takes 32 together"), "{error}");
    assert!(odd.weight("dense/kernel").is_ok() && odd.weight_storage().is_none());
    let mut none = Sequential::new([8, 8, 3]).add(Conv2d::new(4, 3)).build(0).unwrap();
    assert!(none.store_weights(WeightStorage::Bf16).unwrap_err().to_string().contains("no kernel of a Dense"));
    let mut model = model::<f32>(1);
    let whole = self::model::<f32>(1);
    model.store_weights(WeightStorage::Bf16).unwrap();
    let says = |result: Result<(), Error>| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains("is stored as BF16"), "{text}");
    };
    says(model.store_weights(WeightStorage::Q8_0));
    says(model.weight("block/attention/query/kernel").map(drop));
    assert!(model.weight("block/attention_norm/gamma").is_ok());
    #[cfg(feature = "files")]
    {
        says(model.save("never"));
        says(model.copy_weights(&whole, &Default::default()).map(drop));
        says(model.load_weights("never"));
    }
    // Stored weights are not thawed in silence.
    says(model.set_trainable("block/attention", true));
    says(model.set_trainable_matching("block/attention", true).map(drop));
    model.set_trainable("block/attention_norm", false).unwrap();
    // A part has them too.
    let part = model.part("tokens", "block").unwrap();
    assert_eq!(part.weight_storage(), Some(WeightStorage::Bf16));
    let x = ids(2, 3);
    assert_eq!(part.predict(&x).unwrap(), as_numbers(&model).part("tokens", "block").unwrap().predict(&x).unwrap());
    drop(whole);
}

/// A layer that is added afterwards stands as numbers beside what is stored, whole and in parts.
#[test]
fn new_heads_beside_stored_weights() {
    let mut model = model::<f32>(6);
    model.store_weights(WeightStorage::Q8_0).unwrap();
    let with_head = model.with_head("block", 1, |g, h| g.add_named("new", Dense::new(5), h)).unwrap();
    assert_eq!(with_head.weight("new/kernel").unwrap().len(), 64 * 5);
    assert!(with_head.weight("new/kernel").unwrap().iter().any(|v| *v != 0.0));
    let (x, part) = (ids(2, 4), with_head.part("tokens", "new").unwrap());
    assert_eq!(part.predict(&x).unwrap(), with_head.predict(&x).unwrap());
    let body = model.part("tokens", "block").unwrap().predict(&x).unwrap();
    let head = with_head.part("block", "new").unwrap();
    assert_eq!(head.predict(&body).unwrap(), with_head.predict(&x).unwrap());
}

/// A kernel that a TiedDense reads the other way round is read as numbers.
#[test]
fn tied_kernels_stay_numbers() {
    for units in [3, 8] {
        let layers = Sequential::new([8]).add_named("a", Dense::new(units)).add_named("b", Dense::new(6));
        let tied = layers.add_named("c", Dense::new(units)).add(TiedDense::new("a/kernel"));
        let mut model = tied.build(0).unwrap();
        let x = Tensor::from_fn([4, 8], |i| i as f32 * 0.1 - 1.0);
        let before = model.predict(&x).unwrap();
        model.store_weights(WeightStorage::F32).unwrap();
        assert!(model.weight("a/kernel").is_ok() && model.weight("b/kernel").is_err());
        assert_eq!(model.predict(&x).unwrap(), before);
        assert!(model.add_lora("l", &Lora::new(1).target("a")).is_err());
    }
}

#[test]
fn what_bf16_does_not_hold_is_refused() {
    let mut model = Sequential::new([2]).add(Dense::new(1)).build(0).unwrap();
    for wrong in [f32::NAN, f32::INFINITY, f32::MAX] {
        model.set_weight("dense/kernel", &[1.0, wrong]).unwrap();
        let error = model.store_weights(WeightStorage::Bf16).unwrap_err().to_string();
        assert!(error.contains("weights that BF16 holds"), "{error}");
    }
    assert!(model.weight_storage().is_none());
}

#[cfg(feature = "files")]
#[test]
fn no_file_is_written_without_the_matrices() {
    let folder = crate::files::Folder::new("storage_checkpoint");
    let mut model =
        Sequential::new([32]).add_named("a", Dense::new(32)).add_named("b", Dense::new(2)).build(0).unwrap();
    model.store_weights(WeightStorage::Q8_0).unwrap();
    model.add_lora("l", &Lora::new(1)).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let (x, y) = (Tensor::full([4, 32], 1.0), Tensor::zeros([4, 2]));
    let silent = || Fit::default().verbose(Verbose::Silent);
    let path = folder.path("c");
    let checkpoint = Checkpoint::new(&path);
    let error = model.fit(&x, &y, &silent().checkpoint(&checkpoint)).unwrap_err().to_string();
    assert!(error.contains("is stored as Q8_0"), "{error}");
    assert!(!std::path::Path::new(&path).exists());
    std::fs::write(&path, "as before").unwrap();
    let mut each: ModelCheckpoint = ModelCheckpoint::new(&path);
    let error = model.fit_with(&x, &y, &silent(), &mut [&mut each]).unwrap_err().to_string();
    assert!(error.contains("is stored as Q8_0"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "as before");
    assert!(model.set_weight("a/kernel", &[]).is_err());
    model.fit(&x, &y, &silent()).unwrap();
}

#[cfg(feature = "files")]
mod opened {
    use super::*;
    use crate::files::Folder;
    use gradus::io::{BlockKind, GgufKind};
    use gradus::models::hf::{CausalLm, OpenOptions, SequenceClassifier};

    /// A Llama of sizes that blocks divide, in a folder, and the same from Python's dialect of bf16.
    fn folder(name: &str) -> Folder {
        let folder = Folder::new(name);
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 83, "max_position_embeddings": 64,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": false
        });
        std::fs::write(folder.path("config.json"), config.to_string()).unwrap();
        let lm = CausalLm::<f32>::from_config(&folder.0, &OpenOptions::default().seed(7)).unwrap();
        lm.save_pretrained(&folder.0).unwrap();
        folder
    }

    fn with(storage: WeightStorage) -> OpenOptions {
        OpenOptions::default().weight_storage(storage)
    }

    fn tokens(n: usize) -> Tensor {
        Tensor::from_fn([2, n], |i| ((i * 37 + 11) % 83) as f32)
    }

    #[test]
    fn a_folder_opened_so_equals_one_stored_afterwards() {
        let folder = folder("storage_folder");
        for storage in WeightStorage::ALL {
            let opened = CausalLm::<f32>::open(&folder.0, &with(storage)).unwrap();
            let mut after = CausalLm::from_pretrained(&folder.0).unwrap();
            after.model_mut().store_weights(storage).unwrap();
            let x = tokens(5);
            assert_eq!(opened.model().predict(&x).unwrap(), after.model().predict(&x).unwrap(), "{storage}");
            assert_eq!(opened.model().params(), after.model().params());
            let again = Folder::new("storage_again");
            assert!(opened.save_pretrained(&again.0).unwrap_err().to_string().contains(storage.name()));
        }
    }

    #[test]
    fn blocks_of_a_gguf_file_are_taken_over() {
        let (folder, file) = (folder("storage_gguf"), Folder::new("storage_gguf_file"));
        let lm = CausalLm::from_pretrained(&folder.0).unwrap();
        for (storage, kind) in [
            (WeightStorage::Q8_0, GgufKind::Blocks(BlockKind::Q8_0)),
            (WeightStorage::Q4_0, GgufKind::Blocks(BlockKind::Q4_0)),
            (WeightStorage::Bf16, GgufKind::Bf16),
            (WeightStorage::F32, GgufKind::F32),
        ] {
            let path = file.path("m.gguf");
            lm.save_gguf(&path, kind).unwrap();
            let opened = CausalLm::<f32>::open_gguf(&path, &with(storage)).unwrap();
            let mut after = CausalLm::from_pretrained(&folder.0).unwrap();
            after.model_mut().store_weights(storage).unwrap();
            let x = tokens(6);
            assert_eq!(opened.model().predict(&x).unwrap(), after.model().predict(&x).unwrap(), "{storage}");
            // Taken as numbers it is the same model.
            let numbers = CausalLm::from_gguf(&path).unwrap();
            assert_eq!(opened.model().predict(&x).unwrap(), numbers.model().predict(&x).unwrap(), "{storage}");
        }
    }

    #[test]
    fn fixtures_of_other_layouts() {
        // Conv1D of GPT-2, whose rows are inputs; sizes that no block divides are named.
        let at = |case: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transformers").join(case);
        for case in ["gpt2", "gemma2", "llama3_rope", "form_sharded"] {
            for storage in [WeightStorage::F32, WeightStorage::Bf16] {
                let opened = CausalLm::<f32>::open(at(case), &with(storage)).unwrap();
                let mut after = CausalLm::from_pretrained(at(case)).unwrap();
                after.model_mut().store_weights(storage).unwrap();
                assert_eq!(opened.model().params(), after.model().params(), "{case} {storage}");
                let x = Tensor::from_fn([1, 7], |i| (i * 5 % 40) as f32);
                assert_eq!(opened.model().predict(&x).unwrap(), after.model().predict(&x).unwrap());
            }
            let error = CausalLm::<f32>::open(at(case), &with(WeightStorage::Q4_0)).unwrap_err().to_string();
            assert!(error.contains("takes 32 together") && error.contains("Bf16"), "{error}");
        }
    }

    #[test]
    fn a_new_head_is_trained_beside_stored_weights() {
        let at = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transformers/bert_tiny");
        let options = with(WeightStorage::Bf16).labels(["a", "b", "c"]);
        let mut classifier = SequenceClassifier::<f32>::open(at, &options).unwrap();
        let model = classifier.model_mut();
        assert_eq!(model.weight_storage(), Some(WeightStorage::Bf16));
        let kernel = model.weight("classifier/kernel").unwrap();
        assert!(kernel.iter().any(|v| *v != 0.0));
        model.set_trainable("classifier", true).unwrap();
        assert!(model.set_trainable("block_0", true).is_err());
    }

    #[test]
    fn gguf_files_and_folders_have_all_that_is_used() {
        let (folder, file) = (folder("storage_whole"), Folder::new("storage_whole_file"));
        let path = file.path("m.gguf");
        let stored = CausalLm::<f32>::open(&folder.0, &with(WeightStorage::Bf16)).unwrap();
        let error = stored.save_gguf(&path, GgufKind::Bf16).unwrap_err().to_string();
        assert!(error.contains("is stored as BF16") && !std::path::Path::new(&path).exists(), "{error}");
        let mut lm = CausalLm::from_pretrained(&folder.0).unwrap();
        lm.add_lora("mine", &Lora::new(2).target("q_proj")).unwrap();
        for error in [lm.save_gguf(&path, GgufKind::F32).unwrap_err(), lm.save_pretrained(&file.0).unwrap_err()] {
            assert!(error.to_string().contains("merge it first"), "{error}");
        }
        lm.model_mut().merge_lora("mine").unwrap();
        lm.save_gguf(&path, GgufKind::F32).unwrap();
        lm.save_pretrained(&file.0).unwrap();
        let error = lm.add_lora("head", &Lora::new(2).target("q_proj").train("norm")).map(drop);
        error.unwrap();
        let second = lm.add_lora("other", &Lora::new(2).target("q_proj").train("norm")).unwrap_err().to_string();
        assert!(second.contains("trained as a whole beside the adapter \"head\""), "{second}");
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        let folder = folder("storage_nan");
        let mut lm = CausalLm::from_pretrained(&folder.0).unwrap();
        let name = lm.model().lora_targets()[3].to_owned();
        let mut values = lm.model().weight(&name).unwrap().to_vec();
        values[17] = f32::NAN;
        lm.model_mut().set_weight(&name, &values).unwrap();
        lm.save_pretrained(&folder.0).unwrap();
        for storage in WeightStorage::ALL {
            let error = CausalLm::<f32>::open(&folder.0, &with(storage)).unwrap_err().to_string();
            assert!(error.contains("model.layers.0") && error.contains("NaN"), "{error}");
        }
    }

    #[test]
    fn adapters_of_peft_come_back() {
        let (folder, adapter) = (folder("peft_base"), Folder::new("peft_adapter"));
        let mut lm = CausalLm::from_pretrained(&folder.0).unwrap();
        let before = lm.model().predict(&tokens(4)).unwrap();
        let lora =
            Lora::new(4).alpha(10.0).dropout(0.1).target("q_proj").target("model.layers.1.mlp.*").train("model.norm");
        assert_eq!(lm.add_lora("mine", &lora).unwrap(), 2 + 3);
        assert_eq!(lm.model().predict(&tokens(4)).unwrap(), before);
        let names: Vec<String> = lm.model().params().specs().iter().map(|spec| spec.name.clone()).collect();
        for (i, name) in names.iter().enumerate().filter(|(_, name)| name.contains("/lora_")) {
            let values: Vec<f32> =
                (0..lm.model().weight(name).unwrap().len()).map(|k| ((k * 7 + i) % 13) as f32 * 0.01).collect();
            lm.model_mut().set_weight(name, &values).unwrap();
        }
        let shifted = vec![1.25; 64];
        let norm = names
            .iter()
            .find(|name| name.ends_with("norm/scale") && !name.contains('0') && !name.contains('1'))
            .unwrap();
        lm.model_mut().set_weight(norm, &shifted).unwrap();
        lm.save_adapter("mine", &adapter.0).unwrap();
        let after = lm.model().predict(&tokens(4)).unwrap();
        assert_ne!(after, before);
        let mut other = CausalLm::from_pretrained(&folder.0).unwrap();
        assert_eq!(other.load_adapter("theirs", &adapter.0).unwrap(), 5);
        assert_eq!(other.model().predict(&tokens(4)).unwrap(), after);
        assert!(other.load_adapter("theirs", &adapter.0).unwrap_err().to_string().contains("no other adapter"));
        // What does not fit is told at once, and changes nothing.
        let mut classifier = SequenceClassifier::<f32>::open(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transformers/bert_tiny"),
            &OpenOptions::default().labels(["a", "b"]),
        )
        .unwrap();
        let error = classifier.load_adapter("x", &adapter.0).unwrap_err().to_string();
        assert!(error.contains("model.layers.0.self_attn.q_proj") && error.contains("model.norm.weight"), "{error}");
        assert!(classifier.model().lora_names().is_empty());
        // Settings that change numbers.
        let config = adapter.path("adapter_config.json");
        let text = std::fs::read_to_string(&config).unwrap();
        for (from, to, says) in [
            ("\"use_dora\": false", "\"use_dora\": true", "use_dora is true"),
            ("\"LORA\"", "\"IA3\"", "peft_type is \"IA3\""),
            ("\"r\": 4", "\"r\": 0", "r is 0"),
            ("\"bias\": \"none\"", "\"bias\": \"all\"", "bias is \"all\""),
            ("\"r\": 4", "\"rank_pattern\": {\"q_proj\": 2}, \"r\": 4", "rank_pattern"),
        ] {
            assert!(text.contains(from), "{text}");
            std::fs::write(&config, text.replace(from, to)).unwrap();
            let error = other.load_adapter("again", &adapter.0).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
