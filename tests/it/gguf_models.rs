//! Language models from GGUF files and to them: against the folders of transformers that the files were made of.
//!
//! `GRADUS_GGUF` names a folder of more files, each with the folder of its name in `GRADUS_FIXTURES` (`tests/interop/gguf_files.py` makes them).

use std::path::{Path, PathBuf};

use gradus::WeightStorage;
use gradus::generation::GenerationSettings;
use gradus::io::{BlockKind, Gguf, GgufArray, GgufKind, GgufValue, GgufWriter};
use gradus::models::hf::{CausalLm, OpenOptions, Pretrained};
use gradus::prelude::*;

use crate::files::Folder;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Folders of language models.
fn folders() -> Vec<PathBuf> {
    let own = ["llama3_rope", "form_sharded", "gpt2", "gemma2"].map(|name| fixtures().join("transformers").join(name));
    let mut all = own.to_vec();
    let more =
        ["gemma3", "gpt_neox", "llama_tiny", "mistral_window", "phi3", "qwen2", "qwen3", "form_tied_head_present"];
    if let Some(folder) = std::env::var_os("GRADUS_FIXTURES") {
        let folder = Path::new(&folder).join("transformers");
        all.extend(more.map(|name| folder.join(name)).into_iter().filter(|folder| folder.is_dir()));
    }
    all
}

/// A folder with the scale of attention that llama.cpp takes for Gemma, which stands in no file.
fn opened(folder: &Path, name: &str) -> (Folder, CausalLm) {
    let copy = Folder::new(name);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path(path.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    let config = copy.path("config.json");
    let mut values: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    if values.get("query_pre_attn_scalar").is_some() {
        values["query_pre_attn_scalar"] = values["head_dim"].clone();
    }
    std::fs::write(&config, values.to_string()).unwrap();
    let lm = CausalLm::from_pretrained(&copy.0).unwrap();
    (copy, lm)
}

/// Logits of a text of the first tokens, all steps.
fn logits<T: Float>(lm: &Pretrained<T>) -> Vec<T> {
    let ids: Vec<T> = (0..12).map(|i| T::of((i * 5 % lm.vocab_size()) as f64)).collect();
    lm.model().predict(&Tensor::new([1, 12], ids).unwrap()).unwrap().as_slice().to_vec()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Files that gguf-py has written of folders give the folders' logits: to the bit, or to what llama.cpp's 1 in Gemma's norms and factors in single
/// precision lose.
#[test]
fn files_of_gguf_py_are_their_folders() {
    let mut files = vec![];
    for folder in
        [Some(fixtures().join("gguf")), std::env::var_os("GRADUS_GGUF").map(PathBuf::from)].into_iter().flatten()
    {
        files.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut compared = 0;
    for folder in folders() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(file) = files.iter().find(|file| file.file_stem().unwrap().to_str() == Some(&name)) else { continue };
        let (_copy, expected) = opened(&folder, &format!("gguf_of_{name}"));
        let got = CausalLm::from_gguf(file).unwrap();
        let (a, b) = (logits(&expected), logits(&got));
        let most = a.iter().fold(0f32, |most, v| most.max(v.abs()));
        let apart = a.iter().zip(&b).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("{name}: {apart:e} apart of {most}");
        if name.starts_with("gemma") || name == "llama3_rope" {
            assert!(apart <= 1e-5 * most, "{name}: {apart:e} of {most}");
        } else {
            assert_eq!(bits(&a), bits(&b), "{name}");
        }
        assert_eq!(got.max_positions(), expected.max_positions());
        assert_eq!(got.config().tokens("eos_token_id").unwrap(), expected.config().tokens("eos_token_id").unwrap());
        compared += 1;
    }
    assert!(compared >= 2);
}

/// A model that is written in single precision and opened again has the same logits, and is then written as the folder that it was.
#[test]
fn written_and_opened() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let (copy, lm) = opened(&folder, &format!("gguf_to_{name}"));
        let file = copy.path("model.gguf");
        lm.save_gguf(&file, GgufKind::F32).unwrap();
        let again = CausalLm::from_gguf(&file).unwrap();
        let (a, b) = (logits(&lm), logits(&again));
        let apart = a.iter().zip(&b).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("{name}: {apart:e}");
        if name.starts_with("gemma") {
            // w + 1 has fewer digits of w.
            assert!(apart <= 1e-5, "{name}: {apart:e}");
        } else {
            assert_eq!(bits(&a), bits(&b), "{name}");
        }
        // In double precision what is different is the rounding of single precision in the file.
        let wide = CausalLm::<f64>::open_gguf(&file, &OpenOptions::default()).unwrap();
        let near = logits(&wide).iter().zip(&a).all(|(w, a)| (w - f64::from(*a)).abs() < 2e-4);
        assert!(near, "{name}");
        // The same tokens are written.
        let settings = GenerationSettings::default().max_new_tokens(6);
        let texts = [&lm, &again].map(|lm| {
            let mut decoder = lm.decoder().unwrap();
            gradus::generation::Generator::new(settings.clone()).generate(&mut decoder, &[[3u32, 1, 4]]).unwrap()
        });
        assert_eq!(format!("{:?}", texts[0]), format!("{:?}", texts[1]), "{name}");
        let saved = copy.path("saved");
        again.save_pretrained(&saved).unwrap();
        let third = CausalLm::from_pretrained(&saved).unwrap();
        assert_eq!(bits(&logits(&third)), bits(&b), "{name}");
    }
}

/// Keys, and tensors with shapes and values, of a file to be written.
type Keys = Vec<(&'static str, GgufValue)>;
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// The settings of a small Llama.
fn settings(vocabulary: u32) -> Keys {
    sized_settings(vocabulary, 64, 96)
}

fn sized_settings(vocabulary: u32, width: u32, hidden: u32) -> Keys {
    vec![
        ("general.architecture", "llama".into()),
        ("llama.context_length", 64u32.into()),
        ("llama.embedding_length", width.into()),
        ("llama.block_count", 2u32.into()),
        ("llama.feed_forward_length", hidden.into()),
        ("llama.attention.head_count", 4u32.into()),
        ("llama.attention.head_count_kv", 2u32.into()),
        ("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into()),
        ("llama.rope.dimension_count", (width / 4).into()),
        ("llama.vocab_size", vocabulary.into()),
    ]
}

/// Its tensors, with normal weights.
fn tensors(vocabulary: usize) -> Tensors {
    sized_tensors(vocabulary, 64, 96)
}

fn sized_tensors(vocabulary: usize, width: usize, hidden: usize) -> Tensors {
    let mut state = 5u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    // Wider sums of smaller weights, so that no more of an error comes through.
    let size = 0.1 * (64.0 / width as f32).sqrt();
    let mut shapes = vec![("token_embd".to_owned(), vec![vocabulary, width]), ("output_norm".into(), vec![width])];
    for i in 0..2 {
        for (name, shape) in [
            ("attn_norm", vec![width]),
            ("attn_q", vec![width, width]),
            ("attn_k", vec![width / 2, width]),
            ("attn_v", vec![width / 2, width]),
            ("attn_output", vec![width, width]),
            ("ffn_norm", vec![width]),
            ("ffn_gate", vec![hidden, width]),
            ("ffn_up", vec![hidden, width]),
            ("ffn_down", vec![width, hidden]),
        ] {
            shapes.push((format!("blk.{i}.{name}"), shape));
        }
    }
    let mut values = |name: &str, count: usize| -> Vec<f32> {
        match name.ends_with("norm") {
            true => (0..count).map(|_| 1.0 + 0.1 * (uniform() - 0.5)).collect(),
            false => (0..count).map(|_| ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * size).collect(),
        }
    };
    shapes
        .into_iter()
        .map(|(name, shape)| {
            let all = values(&name, shape.iter().product());
            (format!("{name}.weight"), shape, all)
        })
        .collect()
}

fn write(path: &Path, metadata: &[(&str, GgufValue)], tensors: &[(String, Vec<usize>, Vec<f32>)], kind: GgufKind) {
    let mut writer = GgufWriter::new();
    for (key, value) in metadata {
        writer = writer.metadata(*key, value.clone());
    }
    for (name, shape, values) in tensors {
        writer = writer.tensor(name, shape.clone(), if shape.len() == 1 { GgufKind::F32 } else { kind }, values);
    }
    writer.write(path).unwrap();
}

/// A small Llama in a file.
fn small(folder: &Folder, vocabulary: usize, more: &[(&'static str, GgufValue)]) -> PathBuf {
    let path = folder.path("small.gguf");
    let mut metadata = settings(vocabulary as u32);
    metadata.extend(more.iter().cloned());
    write(&path, &metadata, &tensors(vocabulary), GgufKind::F32);
    path
}

/// Weights in fewer bits: what is written is what a file of these kinds holds, and how far logits lie from those of all bits.
#[test]
fn fewer_bits() {
    let folder = Folder::new("gguf_bits");
    let lm = CausalLm::from_gguf(small(&folder, 50, &[])).unwrap();
    let expected = logits(&lm);
    let power: f32 = expected.iter().map(|v| v * v).sum();
    for (kind, bound) in [
        (GgufKind::F16, 2e-3),
        (GgufKind::Bf16, 1e-2),
        (GgufKind::Blocks(BlockKind::Q8_0), 3e-2),
        (GgufKind::Blocks(BlockKind::Q4_0), 0.4),
    ] {
        let [a, b] = ["a.gguf", "b.gguf"].map(|name| folder.path(name));
        lm.save_gguf(&a, kind).unwrap();
        let mut file = Gguf::open(&a).unwrap();
        assert_eq!(file.tensor("blk.1.ffn_down.weight").unwrap().kind, kind);
        assert_eq!(file.tensor("blk.1.ffn_norm.weight").unwrap().kind, GgufKind::F32);
        // The bytes are those of the weights in the order of the file, queries and keys too.
        write(&b, &settings(50), &tensors(50), kind);
        let mut direct = Gguf::open(&b).unwrap();
        for tensor in direct.tensors().to_vec() {
            let own = file.tensor(&tensor.name).unwrap().clone();
            let own = file.read_bytes(&own, 0..own.byte_len()).unwrap();
            assert_eq!(own, direct.read_bytes(&tensor, 0..tensor.byte_len()).unwrap(), "{kind} {}", tensor.name);
        }
        let opened = CausalLm::from_gguf(&a).unwrap();
        let got = logits(&opened);
        let lost: f32 = got.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
        let error = (lost / power).sqrt();
        println!("{kind}: logits {:.3} % off", error * 100.0);
        assert!(error > bound / 100.0 && error < bound, "{kind}: {error}");
        // What is in the file once is written again as it is.
        if kind != GgufKind::Blocks(BlockKind::Q4_0) && kind != GgufKind::Blocks(BlockKind::Q8_0) {
            opened.save_gguf(&b, kind).unwrap();
            assert_eq!(bits(&logits(&CausalLm::from_gguf(&b).unwrap())), bits(&got), "{kind}");
        }
    }
}

/// Blocks of 256 values: logits lie nearer to those of all bits than with other blocks of as many bits; rows of other lengths are in Q8_0, or in half precision.
#[test]
fn blocks_of_256() {
    let folder = Folder::new("gguf_256");
    let [whole, path] = ["whole.gguf", "path.gguf"].map(|name| folder.path(name));
    let small = |width: usize, hidden: usize| {
        let settings = sized_settings(50, width as u32, hidden as u32);
        write(&whole, &settings, &sized_tensors(50, width, hidden), GgufKind::F32);
        CausalLm::from_gguf(&whole).unwrap()
    };
    let lm = small(256, 512);
    let expected = logits(&lm);
    let power: f32 = expected.iter().map(|v| v * v).sum();
    let errors = [BlockKind::Q8_0, BlockKind::Q6K, BlockKind::Q4K, BlockKind::Q4_0].map(|kind| {
        lm.save_gguf(&path, GgufKind::Blocks(kind)).unwrap();
        let file = Gguf::open(&path).unwrap();
        assert_eq!(file.tensor("blk.1.ffn_down.weight").unwrap().kind, GgufKind::Blocks(kind));
        assert_eq!(file.tensor("blk.1.ffn_norm.weight").unwrap().kind, GgufKind::F32);
        let got = logits(&CausalLm::from_gguf(&path).unwrap());
        let lost: f32 = got.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
        println!("{kind}: logits {:.3} % off", (lost / power).sqrt() * 100.0);
        (lost / power).sqrt()
    });
    assert!(errors.is_sorted() && errors[0] > 0.0 && errors[3] < 0.5, "{errors:?}");
    let lm = small(64, 72);
    lm.save_gguf(&path, GgufKind::Blocks(BlockKind::Q4K)).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.tensor("blk.1.ffn_up.weight").unwrap().kind, GgufKind::Blocks(BlockKind::Q8_0));
    assert_eq!(file.tensor("blk.1.ffn_down.weight").unwrap().kind, GgufKind::F16);
    assert!(logits(&CausalLm::from_gguf(&path).unwrap()).iter().all(|v| v.is_finite()));
}

#[track_caller]
fn says(error: gradus::Error, parts: &[&str]) {
    let error = error.to_string();
    for part in parts {
        assert!(error.contains(part), "{error}\ndoes not say {part}");
    }
}

#[test]
fn a_model_in_several_files_is_that_of_one() {
    let folder = Folder::new("gguf_several");
    let whole = small(&folder, 50, &[]);
    let all = tensors(50);
    // As llama.cpp has it: settings in the first file, of which some have no tensors.
    for cuts in [[0, 7], [4, 5], [1, all.len()]] {
        let parts = [&all[..cuts[0]], &all[cuts[0]..cuts[1]], &all[cuts[1]..]];
        for (number, part) in parts.into_iter().enumerate() {
            let mut keys = if number == 0 { settings(50) } else { Keys::new() };
            keys.push(("split.no", GgufValue::U16(number as u16)));
            keys.push(("split.count", GgufValue::U16(3)));
            keys.push(("split.tensors.count", GgufValue::I32(all.len() as i32)));
            write(&folder.path(&format!("m-0000{}-of-00003.gguf", number + 1)), &keys, part, GgufKind::F32);
        }
        let first = folder.path("m-00001-of-00003.gguf");
        for storage in [None, Some(WeightStorage::Bf16), Some(WeightStorage::Q8_0)] {
            let options = OpenOptions::default().weight_storage(storage);
            let [one, several] = [&whole, &first].map(|path| CausalLm::<f32>::open_gguf(path, &options).unwrap());
            assert_eq!(bits(&logits(&several)), bits(&logits(&one)), "{cuts:?} {storage:?}");
        }
        // Any of them opens the model.
        let [one, several] =
            [&whole, &folder.path("m-00003-of-00003.gguf")].map(|path| CausalLm::from_gguf(path).unwrap());
        assert_eq!(bits(&logits(&several)), bits(&logits(&one)), "{cuts:?}");
    }
    std::fs::remove_file(folder.path("m-00001-of-00003.gguf")).unwrap();
    says(
        CausalLm::from_gguf(folder.path("m-00003-of-00003.gguf")).map(drop).unwrap_err(),
        &["part 3 of 3", "open the first, m-00001-of-00003.gguf"],
    );
}

/// What is wrong with a tensor is said of the file that it lies in, however weights are kept.
#[test]
fn errors_name_the_file_of_several() {
    let folder = Folder::new("gguf_several_damaged");
    let refused = |storage: Option<WeightStorage>, change: &dyn Fn(&mut Tensors)| {
        let mut all = tensors(50);
        change(&mut all);
        for (number, part) in [&all[..3], &all[3..]].into_iter().enumerate() {
            let mut keys = if number == 0 { settings(50) } else { Keys::new() };
            keys.push(("split.no", GgufValue::U16(number as u16)));
            keys.push(("split.count", GgufValue::U16(2)));
            write(&folder.path(&format!("m-0000{}-of-00002.gguf", number + 1)), &keys, part, GgufKind::F32);
        }
        let options = OpenOptions::default().weight_storage(storage);
        CausalLm::<f32>::open_gguf(folder.path("m-00001-of-00002.gguf"), &options).map(drop).unwrap_err()
    };
    let spoilt = |at: usize| move |all: &mut Tensors| all[at].2[7] = f32::NAN;
    for storage in [None, Some(WeightStorage::Q8_0)] {
        // A matrix of rows in another order, and one as it is.
        for (at, name) in [(3, "blk.0.attn_q"), (8, "blk.0.ffn_gate"), (10, "blk.0.ffn_down")] {
            says(refused(storage, &spoilt(at)), &["m-00002-of-00002.gguf", name, "NaN"]);
        }
        says(refused(storage, &spoilt(1)), &["m-00001-of-00002.gguf", "output_norm"]);
    }
    let turned = |all: &mut Tensors| all[8].1.reverse();
    says(
        refused(None, &turned),
        &["m-00001-of-00002.gguf: the tensors do not fit", "blk.0.ffn_gate.weight (in m-00002-of-00002.gguf) [64, 96]"],
    );
    let strange = |all: &mut Tensors| all.push(("blk.0.strange.weight".into(), vec![2], vec![1.0; 2]));
    says(refused(None, &strange), &["unexpected: blk.0.strange.weight (in m-00002-of-00002.gguf)"]);
    let twice = |all: &mut Tensors| all.push(all[0].clone());
    says(refused(None, &twice), &["m-00002-of-00002.gguf: token_embd.weight is in m-00001-of-00002.gguf, too"]);
}

#[test]
fn what_is_not_built_is_named() {
    let folder = Folder::new("gguf_not_built");
    let refused =
        |more: &[(&'static str, GgufValue)]| CausalLm::from_gguf(small(&folder, 50, more)).map(drop).unwrap_err();
    let yarn = [("llama.rope.scaling.type", "yarn".into()), ("llama.rope.scaling.factor", 4f32.into())];
    says(refused(&yarn), &["llama.rope.scaling.type is \"yarn\"", "known: none, linear"]);
    says(refused(&[("llama.logit_scale", 2f32.into())]), &["it is not known whether", "llama.logit_scale: 2"]);
    let factor = [("llama.rope.scaling.attn_factor", 1.2f32.into())];
    says(refused(&factor), &["llama.rope.scaling.attn_factor is 1.2", "known: 1"]);
    says(refused(&[("llama.expert_count", 8u32.into())]), &["llama.expert_count is 8", "known: 0"]);
    says(refused(&[("llama.attention.causal", false.into())]), &["llama.attention.causal is false"]);
    says(
        refused(&[("llama.attention.value_length", 8u32.into())]),
        &["llama.attention.value_length is 8", "known: 16"],
    );
    says(refused(&[("split.count", GgufValue::U16(3))]), &["the first of 3 files", "-00001-of-00003.gguf"]);
    says(refused(&[("llama.rope.freq_base", f32::NAN.into())]), &["llama.rope.freq_base is NaN", "a finite number"]);
    says(refused(&[("llama.rope.freq_base", "x".into())]), &["llama.rope.freq_base is \"x\""]);
    #[cfg(feature = "text")]
    says(refused(&[("tokenizer.ggml.model", "t5".into())]), &["tokenizer.ggml.model is \"t5\"", "known: gpt2, llama"]);
    // Keys that are said to change nothing; a scaling that is built; one number for each block.
    let path = small(&folder, 50, &[("llama.logit_scale", 2f32.into()), ("llama.rope.scale_linear", 2f32.into())]);
    let lm = CausalLm::<f32>::open_gguf(&path, &OpenOptions::default().ignore_key("llama.logit_scale")).unwrap();
    assert!(lm.config().to_json().contains("\"linear\""));
    says(
        CausalLm::<f32>::open_gguf(&path, &OpenOptions::default().labels(["a"])).map(drop).unwrap_err(),
        &["names of classes"],
    );
    let path = folder.path("changed.gguf");
    let changed = |change: &dyn Fn(&mut Keys, &mut Tensors)| {
        let (mut metadata, mut tensors) = (settings(50), tensors(50));
        change(&mut metadata, &mut tensors);
        write(&path, &metadata, &tensors, GgufKind::F32);
        CausalLm::from_gguf(&path).map(drop)
    };
    changed(&|metadata, _| metadata[4].1 = vec![96u32, 96].into()).unwrap();
    says(
        changed(&|metadata, _| metadata[4].1 = vec![96u32, 48].into()).unwrap_err(),
        &["feed_forward_length", "all blocks"],
    );
    says(
        changed(&|metadata, _| metadata[0].1 = "mamba".into()).unwrap_err(),
        &["\"mamba\", which is not built", "qwen3"],
    );
    says(changed(&|metadata, _| drop(metadata.remove(0))).unwrap_err(), &["no general.architecture"]);
    says(changed(&|metadata, _| drop(metadata.remove(2))).unwrap_err(), &["no llama.embedding_length"]);
    says(changed(&|metadata, _| metadata[3].1 = 3000u32.into()).unwrap_err(), &["num_hidden_layers is 3000"]);
    says(changed(&|metadata, _| metadata[5].1 = 0u32.into()).unwrap_err(), &["attention.head_count is 0"]);
    says(changed(&|metadata, _| metadata[8].1 = 8u32.into()).unwrap_err(), &["llama.rope.dimension_count is 8"]);
    says(
        changed(&|_, tensors| {
            tensors.remove(3);
            tensors[5].0 = "blk.0.strange.weight".into();
        })
        .unwrap_err(),
        &[
            "what the metadata describe",
            "missing: model.layers.0.self_attn.q_proj.weight",
            "unexpected: blk.0.strange.weight",
        ],
    );
    says(changed(&|_, tensors| drop(tensors.remove(0))).unwrap_err(), &["no matrix token_embd.weight"]);
    says(changed(&|_, tensors| tensors[1].2[3] = f32::INFINITY).unwrap_err(), &["output_norm.weight holds inf"]);
    let strange = |_: &mut Vec<_>, tensors: &mut Tensors| {
        tensors.push(("rope_freqs.weight".into(), vec![8], vec![1.0, 3.0, 2.0, 4.0, 4.0, 4.0, 4.0, 8.0]));
    };
    says(changed(&strange).unwrap_err(), &["rope_freqs.weight", "Llama 3"]);
    // A head of its own.
    changed(&|_, tensors| tensors.push(("output.weight".into(), vec![50, 64], vec![0.5; 3200]))).unwrap();
    says(CausalLm::from_gguf(&folder.0).map(drop).unwrap_err(), &["a folder, no GGUF file"]);
    says(CausalLm::from_gguf(fixtures().join("gguf/blocks.gguf")).map(drop).unwrap_err(), &["\"blocks\""]);
    // What the form does not have.
    let lm = CausalLm::from_pretrained(fixtures().join("transformers/gemma2")).unwrap();
    says(
        lm.save_gguf(folder.path("g"), GgufKind::F32).unwrap_err(),
        &["query_pre_attn_scalar is 5", "save_pretrained"],
    );
    let lm = CausalLm::from_gguf(small(&folder, 50, &[])).unwrap();
    says(lm.save_gguf(folder.path("g"), GgufKind::F64).unwrap_err(), &["F64", "Q4_K or Q4_0"]);
    assert!(!folder.path("g").exists());
}

/// A file of language models that is damaged anywhere is an error or a model, and no panic.
#[test]
fn mutated_models() {
    let folder = Folder::new("gguf_mutated");
    let path = small(&folder, 50, &[]);
    let whole = std::fs::read(&path).unwrap();
    let mut random = 3u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for round in 0..400 {
        let mut bytes = whole.clone();
        let at = next(1700);
        let len = [1, 4, 8][next(3)];
        bytes[at..at + len].iter_mut().for_each(|byte| *byte = [0, 1, 4, 0xFF, next(256) as u8][next(5)]);
        std::fs::write(&path, &bytes).unwrap();
        let outcome = std::panic::catch_unwind(|| drop(CausalLm::from_gguf(&path)));
        assert!(outcome.is_ok(), "round {round}, byte {at}");
    }
}

#[cfg(feature = "text")]
mod tokenizers {
    use super::*;
    use gradus::text::Tokenizer;
    use gradus::text::tokenizer::Template;

    fn lines() -> Vec<String> {
        serde_json::from_str(&std::fs::read_to_string(fixtures().join("tokenizers/lines.json")).unwrap()).unwrap()
    }

    /// Tokenizers go into a file and come out as they were: bytes by every way to split, and SentencePiece's own.
    #[test]
    fn there_and_back() {
        let folder = Folder::new("gguf_tokenizers");
        let mut lm = CausalLm::from_gguf(small(&folder, 2400, &[])).unwrap();
        for name in ["gpt2", "llama3", "o200k", "qwen2", "llama2", "gemma"] {
            let place = fixtures().join("tokenizers").join(name);
            // Which white space an added token takes with it, and whether it is a word by itself, stands in no GGUF file.
            let json = std::fs::read_to_string(place.join("tokenizer.json")).unwrap();
            let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
            for added in json["added_tokens"].as_array_mut().unwrap() {
                for flag in ["single_word", "lstrip", "rstrip", "normalized"] {
                    added[flag] = false.into();
                }
            }
            let from_json = Tokenizer::from_json(&json.to_string()).unwrap();
            let tokenizer = match place.join("tokenizer.model") {
                model if model.exists() => {
                    Tokenizer::open(model).unwrap().with_template(from_json.template().cloned()).unwrap()
                }
                _ => from_json,
            };
            lm.set_tokenizer(tokenizer.clone()).unwrap();
            let path = folder.path("t.gguf");
            lm.save_gguf(&path, GgufKind::F32).unwrap();
            let opened = CausalLm::from_gguf(&path).unwrap();
            let again = opened.tokenizer().unwrap();
            for line in lines() {
                // A file does not say that Qwen's texts are in form C; and what stands for the unknown is a token where it is written,
                // which SentencePiece does not make of it.
                let other = tokenizer.normalize(&line).unwrap() != line;
                if name == "qwen2" && other || tokenizer.id("<unk>").is_some() && line.contains("<unk>") {
                    continue;
                }
                let (a, b) = (tokenizer.encode(&line).unwrap(), again.encode(&line).unwrap());
                assert_eq!(a.ids, b.ids, "{name}: {line:?}");
                for skip in [true, false] {
                    let [a, b] = [&tokenizer, again].map(|t| t.decode(&b.ids, skip).unwrap());
                    assert_eq!(a, b, "{name}: {line:?}");
                }
            }
            // And once more, as a folder.
            opened.save_pretrained(folder.path("saved")).unwrap();
            CausalLm::from_pretrained(folder.path("saved")).unwrap();
        }
        // What transformers makes of SentencePiece's models becomes the same again.
        for name in ["llama2", "llama2_metaspace", "gemma"] {
            let place = fixtures().join("tokenizers").join(name);
            lm.set_tokenizer(Tokenizer::open(place.join("tokenizer.json")).unwrap()).unwrap();
            lm.save_gguf(folder.path("s.gguf"), GgufKind::F32).unwrap();
            let opened = CausalLm::from_gguf(folder.path("s.gguf")).unwrap();
            let model = Tokenizer::open(place.join("tokenizer.model")).unwrap();
            // The added tokens, which the model does not have.
            let plain = |line: &&String| !["<", "kubernetes", "NewTok"].iter().any(|token| line.contains(token));
            for line in lines().iter().filter(plain) {
                let got = opened.tokenizer().unwrap().encode_without_template(line).unwrap().ids;
                assert_eq!(got, model.encode_without_template(line).unwrap().ids, "{name}: {line:?}");
            }
        }
        // Others are refused by what they are.
        for (name, part) in [
            ("t5/spiece.model", "Unigram"),
            ("bert_cased/tokenizer.json", "WordPiece"),
            ("roberta/tokenizer.json", "several"),
        ] {
            let tokenizer = Tokenizer::open(fixtures().join("tokenizers").join(name)).unwrap();
            lm.set_tokenizer(tokenizer).unwrap();
            match lm.save_gguf(folder.path("no.gguf"), GgufKind::F32) {
                Err(error) => says(error, &["the tokenizer has no form as GGUF", part]),
                Ok(()) => assert_eq!(name, "roberta/tokenizer.json"),
            }
        }
    }

    /// The keys by themselves: types of tokens, ends of texts, a chat's template.
    #[test]
    fn keys() {
        let folder = Folder::new("gguf_tokenizer_keys");
        let words = |all: &[&str]| GgufValue::from(all.iter().map(|s| (*s).to_owned()).collect::<Vec<String>>());
        let of = |more: &[(&'static str, GgufValue)]| {
            let mut metadata = settings(9);
            metadata.extend([
                ("tokenizer.ggml.model", "gpt2".into()),
                ("tokenizer.ggml.pre", "llama-bpe".into()),
                ("tokenizer.ggml.tokens", words(&["a", "b", "c", "ab", "<s>", "</s>", "[PAD6]", "<tool>", "Ġ"])),
                ("tokenizer.ggml.token_type", vec![1i32, 1, 1, 1, 3, 3, 5, 4, 1].into()),
                ("tokenizer.ggml.merges", words(&["a b"])),
                ("tokenizer.ggml.bos_token_id", 4u32.into()),
                ("tokenizer.ggml.eos_token_id", 5u32.into()),
                ("tokenizer.ggml.eot_token_id", 7u32.into()),
                ("tokenizer.chat_template", "{{ messages }}".into()),
            ]);
            for (key, value) in more {
                metadata.retain(|(own, _)| own != key);
                metadata.push((key, value.clone()));
            }
            let path = folder.path("k.gguf");
            write(&path, &metadata, &tensors(9), GgufKind::F32);
            CausalLm::from_gguf(&path)
        };
        let lm = of(&[]).unwrap();
        assert_eq!(lm.gguf_chat_template(), Some("{{ messages }}"));
        lm.save_gguf(folder.path("again.gguf"), GgufKind::F32).unwrap();
        let again = CausalLm::from_gguf(folder.path("again.gguf")).unwrap();
        assert_eq!(again.gguf_chat_template(), Some("{{ messages }}"));
        assert_eq!(again.tokenizer().unwrap().encode("ab<tool>").unwrap().ids, [4, 3, 7]);
        assert_eq!(lm.config().tokens("eos_token_id").unwrap(), [5, 7]);
        let tokenizer = lm.tokenizer().unwrap();
        assert_eq!(tokenizer.encode("abc<tool>a </s>").unwrap().ids, [4, 3, 2, 7, 0, 8, 5]);
        assert_eq!(tokenizer.decode(&[4, 3, 2, 7, 8, 5], true).unwrap(), "abc<tool> ");
        assert!(matches!(tokenizer.template(), Some(Template::TemplateProcessing { .. })));
        let ids = |more: &[(&'static str, GgufValue)]| {
            let lm = of(more).unwrap();
            lm.tokenizer().unwrap().encode("ab").unwrap().ids
        };
        assert_eq!(ids(&[("tokenizer.ggml.add_bos_token", false.into())]), [3]);
        assert_eq!(ids(&[("tokenizer.ggml.add_eos_token", true.into())]), [4, 3, 5]);
        assert_eq!(ids(&[("tokenizer.ggml.pre", "qwen2".into())]), [3]);
        assert_eq!(ids(&[("tokenizer.ggml.pre", "default".into())]), [3]);
        assert!(of(&[("tokenizer.ggml.model", "no_vocab".into())]).unwrap().tokenizer().is_none());
        let refused = |key: &'static str, value: GgufValue| of(&[(key, value)]).map(drop).unwrap_err();
        says(refused("tokenizer.ggml.pre", "strange".into()), &["tokenizer.ggml.pre is \"strange\"", "known: gpt-2"]);
        says(refused("tokenizer.ggml.tokens", 1u32.into()), &["no texts tokenizer.ggml.tokens"]);
        says(refused("tokenizer.ggml.merges", 1u32.into()), &["no texts tokenizer.ggml.merges"]);
        says(refused("tokenizer.ggml.merges", words(&["ab"])), &["\"ab\" is no merge"]);
        says(refused("tokenizer.ggml.token_type", vec![1i32; 3].into()), &["an array of 3", "each of 9 tokens"]);
        says(refused("tokenizer.ggml.token_type", vec![9i32; 9].into()), &["the type of token 0"]);
        says(refused("tokenizer.ggml.bos_token_id", 9u32.into()), &["bos_token_id is 9", "9 tokens"]);
        says(refused("tokenizer.ggml.add_bos_token", 1u32.into()), &["add_bos_token is 1", "true or false"]);
        // As llama.cpp splits where it knows no better.
        let split = of(&[("tokenizer.ggml.pre", "default".into())]).unwrap();
        assert!(split.tokenizer().unwrap().splitter().is_some());
        // SentencePiece's, with scores.
        let pieces = [
            ("tokenizer.ggml.model", "llama".into()),
            ("tokenizer.ggml.tokens", words(&["<unk>", "a", "b", "▁", "<s>", "</s>", "▁a", "ab", "▁ab"])),
            ("tokenizer.ggml.token_type", vec![2i32, 1, 1, 1, 3, 3, 1, 1, 1].into()),
            ("tokenizer.ggml.scores", vec![0f32, -6.0, -7.0, -8.0, 0.0, 0.0, -1.0, -2.0, -3.0].into()),
        ];
        assert_eq!(ids(&pieces), [4, 8]);
        let mut bare = pieces.to_vec();
        bare.push(("tokenizer.ggml.add_space_prefix", false.into()));
        assert_eq!(ids(&bare), [4, 7]);
        let unknown = of(&pieces).unwrap();
        assert_eq!(unknown.tokenizer().unwrap().encode("a<unk>").unwrap().ids, [4, 6, 0]);
        let mut short = pieces.to_vec();
        short[3].1 = GgufValue::Array(GgufArray::F32(vec![0.0; 8]));
        says(of(&short).map(drop).unwrap_err(), &["8 scores for 9 tokens"]);
    }
}
