//! Folders of transformers: what is said of those that are damaged, mixed up or not built; and what is saved and opened again. Numbers are compared in
//! `tests/conformance/transformers.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use gradus::models::hf::{
    CausalLm, Encoder, MaskedLm, OpenOptions, Pretrained, SaveOptions, Seq2SeqLm, SequenceClassifier, TokenClassifier,
};
use gradus::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use support::counting;

use crate::files::{Folder, alone, silent};

/// A folder of the fixtures, to be changed.
pub fn copied(case: &str, name: &str) -> Folder {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transformers").join(case);
    let folder = Folder::new(name);
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "reference.safetensors" {
            std::fs::copy(&path, folder.path(path.file_name().unwrap().to_str().unwrap())).unwrap();
        }
    }
    folder
}

/// Changes what a file of JSON holds.
pub fn edit(file: impl AsRef<Path>, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

/// Shape, type and bytes of each tensor.
pub(crate) type Stored = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Changes the tensors of a file.
pub(crate) fn rewrite(file: impl AsRef<Path>, change: impl FnOnce(&mut Stored)) {
    let bytes = std::fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let stored =
        |(name, view): (String, TensorView<'_>)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    let mut stored: Stored = tensors.tensors().into_iter().map(stored).collect();
    change(&mut stored);
    let views =
        stored.iter().map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn refused(folder: &Folder) -> String {
    let error = match folder.path("model.safetensors.index.json").exists() || is_causal(folder) {
        true => CausalLm::from_pretrained(&folder.0).map(drop),
        false => SequenceClassifier::from_pretrained(&folder.0).map(drop),
    };
    error.unwrap_err().to_string()
}

fn is_causal(folder: &Folder) -> bool {
    std::fs::read_to_string(folder.path("config.json")).unwrap_or_default().contains("n_embd")
}

#[track_caller]
pub fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{error}\ndoes not say {part}");
    }
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn tensors_that_do_not_fit_are_named_at_once() {
    let folder = copied("bert_tiny", "hf_misfit");
    rewrite(folder.path("model.safetensors"), |tensors| {
        tensors.remove("bert.encoder.layer.0.output.dense.bias");
        tensors.remove("classifier.bias");
        tensors.insert("bert.encoder.layer.7.strange".into(), (Dtype::F32, vec![1], f32s(&[0.0])));
        tensors.insert("classifier.weight".into(), (Dtype::F32, vec![2, 36], f32s(&[0.5; 72])));
    });
    says(
        &refused(&folder),
        &[
            "model.safetensors",
            "missing: bert.encoder.layer.0.output.dense.bias, classifier.bias",
            "unexpected: bert.encoder.layer.7.strange",
            "of another shape: classifier.weight [2, 36] instead of [3, 36]",
        ],
    );
    // A head that is not asked for may be there, and a buffer.
    let folder = copied("bert_tiny", "hf_surplus");
    rewrite(folder.path("model.safetensors"), |tensors| {
        tensors.insert("cls.seq_relationship.bias".into(), (Dtype::F32, vec![2], f32s(&[0.0; 2])));
        tensors.insert("bert.embeddings.position_ids".into(), (Dtype::I64, vec![1, 24], vec![0; 192]));
    });
    SequenceClassifier::from_pretrained(&folder.0).unwrap();
}

#[test]
fn weights_that_are_no_numbers_name_their_tensor() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let folder = copied("bert_tiny", "hf_nan");
        rewrite(folder.path("model.safetensors"), |tensors| {
            let (_, _, data) = tensors.get_mut("bert.pooler.dense.weight").unwrap();
            data[40..44].copy_from_slice(&value.to_le_bytes());
        });
        says(&refused(&folder), &["bert.pooler.dense.weight holds", shown]);
    }
    // Too large for the model's own type.
    let folder = copied("bert_tiny", "hf_large");
    rewrite(folder.path("model.safetensors"), |tensors| {
        let data = [1e300f64, 0.0, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.insert("classifier.bias".into(), (Dtype::F64, vec![3], data));
    });
    says(&refused(&folder), &["classifier.bias holds inf (as f32"]);
    SequenceClassifier::<f64>::open(&folder.0, &OpenOptions::default()).unwrap();
    // Whole numbers are no weights.
    rewrite(folder.path("model.safetensors"), |tensors| {
        tensors.insert("classifier.bias".into(), (Dtype::I32, vec![3], vec![0; 12]));
    });
    says(&refused(&folder), &["classifier.bias holds I32"]);
}

#[test]
fn what_is_not_built_is_named() {
    let with = |change: fn(&mut Value)| {
        let folder = copied("bert_tiny", "hf_config");
        edit(folder.path("config.json"), change);
        folder
    };
    for (change, parts) in [
        (
            (|c| c["model_type"] = "mamba".into()) as fn(&mut Value),
            &["config.json: model_type is \"mamba\"", "bert", "llama"][..],
        ),
        (|c| c["architectures"] = json!(["BertLMHeadModel"]), &["BertLMHeadModel is not built", "BertForMaskedLM"]),
        (
            |c| c["hidden_act"] = "quick_gelu".into(),
            &["hidden_act is \"quick_gelu\"", "changes what the model computes", "gelu_new"],
        ),
        (|c| c["position_embedding_type"] = "relative_key".into(), &["position_embedding_type is \"relative_key\""]),
        (|c| c["is_decoder"] = true.into(), &["is_decoder is true"]),
        (|c| c["my_scale"] = 2.into(), &["my_scale: 2", "OpenOptions::ignore_key"]),
        (|c| c["layer_norm_eps"] = "small".into(), &["layer_norm_eps is \"small\", expected a number"]),
        (|c| c["hidden_dropout_prob"] = 1.5.into(), &["hidden_dropout_prob is 1.5"]),
        (|c| c["num_hidden_layers"] = 1_000_000_000.into(), &["num_hidden_layers is 1000000000", "tensors"]),
        (|c| c["vocab_size"] = 91.into(), &["bert.embeddings.word_embeddings.weight [90, 36] instead of [91, 36]"]),
        (|c| c["pad_token_id"] = 90.into(), &["pad_token_id is none of 90 tokens"]),
    ] {
        says(&refused(&with(change)), parts);
    }
    let strange = with(|c| c["my_scale"] = 2.into());
    SequenceClassifier::<f32>::open(&strange.0, &OpenOptions::default().ignore_key("my_scale")).unwrap();
    // Opened as something else.
    let folder = copied("bert_tiny", "hf_face");
    says(
        &TokenClassifier::from_pretrained(&folder.0).unwrap_err().to_string(),
        &["BertForSequenceClassification", "hf::Encoder"],
    );
    says(&CausalLm::from_pretrained(&folder.0).unwrap_err().to_string(), &["BertForSequenceClassification"]);
    Encoder::from_pretrained(&folder.0).unwrap();

    let with = |change: fn(&mut Value)| {
        let folder = copied("form_sharded", "hf_rope");
        edit(folder.path("config.json"), change);
        folder
    };
    for (change, parts) in [
        (
            (|c| c["rope_parameters"] = json!({"rope_type": "yarn", "factor": 4.0})) as fn(&mut Value),
            &["rope_parameters", "yarn"][..],
        ),
        (|c| c["rope_parameters"]["attention_factor"] = 2.into(), &["attention_factor"]),
        (|c| c["rope_scaling"] = json!({"type": "dynamic"}), &["rope_scaling"]),
        // Numbers of a scaling without its name, and a name that is none.
        (|c| c["rope_parameters"] = json!({"factor": 4.0, "rope_theta": 1e4}), &["rope_parameters", "factor"]),
        (|c| c["rope_parameters"] = json!({"rope_type": 3}), &["rope_parameters"]),
        (|c| c["rope_interleaved"] = true.into(), &["rope_interleaved is true"]),
        (|c| c["hidden_act"] = 3.into(), &["hidden_act is 3"]),
        (|c| c["hidden_size"] = (1u64 << 62).into(), &["hidden_size is 4611686018427387904, expected a whole number"]),
        (|c| c["pad_token_id"] = "none".into(), &["pad_token_id is \"none\""]),
    ] {
        says(&refused(&with(change)), parts);
    }
    // A null in the place of one dialect's name does not hide the other's.
    let both = with(|c| c["rope_parameters"] = json!({"rope_type": null, "type": "linear", "factor": 4.0}));
    let linear = with_name("hf_linear", |c| c["rope_parameters"] = json!({"rope_type": "linear", "factor": 4.0}));
    let x = Tensor::from_fn([1, 9], |i| i as f32);
    let [a, b] = [&both, &linear].map(|f| CausalLm::from_pretrained(&f.0).unwrap().model().predict(&x).unwrap());
    assert_eq!(a, b);
    let plain = copied("form_sharded", "hf_plain");
    assert!(CausalLm::from_pretrained(&plain.0).unwrap().model().predict(&x).unwrap() != a);
    // Minus one is no padding, as files of Llama say it.
    let none = with(|c| c["pad_token_id"] = (-1).into());
    CausalLm::from_pretrained(&none.0).unwrap().generation_settings().unwrap();
}

fn with_name(name: &str, change: fn(&mut Value)) -> Folder {
    let folder = copied("form_sharded", name);
    edit(folder.path("config.json"), change);
    folder
}

/// Keys that published files have, and which change nothing.
#[test]
fn keys_of_published_folders() {
    let folder = copied("gemma2", "hf_gemma");
    edit(folder.path("config.json"), |c| c["hidden_act"] = "gelu".into());
    CausalLm::from_pretrained(&folder.0).unwrap();
    let folder = copied("form_gpt2_hub", "hf_gpt2_medium");
    edit(folder.path("config.json"), |c| {
        for (key, value) in
            [("n_special", json!(0)), ("predict_special_tokens", json!(true)), ("_num_labels", json!(1))]
        {
            c[key] = value;
        }
    });
    CausalLm::from_pretrained(&folder.0).unwrap();
}

/// Numbers of classes that are none.
#[test]
fn numbers_of_classes() {
    for number in [json!(-3), json!("x"), json!(1.5), json!(0), json!(1 << 24)] {
        let folder = copied("bert_tiny", "hf_classes");
        edit(folder.path("config.json"), |c| {
            c.as_object_mut().unwrap().remove("id2label");
            c["num_labels"] = number.clone();
        });
        says(&refused(&folder), &[&format!("num_labels is {number}"), "from 1 to 65536"]);
    }
    let folder = copied("bert_tiny", "hf_class_list");
    edit(folder.path("config.json"), |c| c["id2label"] = json!(["a", "b", "c"]));
    says(&refused(&folder), &["id2label is [\"a\",\"b\",\"c\"]"]);
}

#[test]
fn shards_and_their_index() {
    let fresh = |name: &str| copied("form_sharded", name);
    let index = "model.safetensors.index.json";
    let folder = fresh("hf_shard_missing");
    std::fs::remove_file(folder.path("model-00002-of-00003.safetensors")).unwrap();
    says(&refused(&folder), &[index, "there are not: model-00002-of-00003.safetensors"]);

    let folder = fresh("hf_shard_stale");
    rewrite(folder.path("model-00003-of-00003.safetensors"), |tensors| {
        let norm = tensors.remove("model.norm.weight").unwrap();
        tensors.insert("model.old.weight".into(), norm);
    });
    says(
        &refused(&folder),
        &[
            "model-00003-of-00003.safetensors are not of one model",
            "Not in it: model.norm.weight",
            "not in the index: model.old.weight",
        ],
    );

    let folder = fresh("hf_shard_path");
    edit(folder.path(index), |index| index["weight_map"]["model.norm.weight"] = "../other.safetensors".into());
    says(&refused(&folder), &["model.norm.weight is to be in \"../other.safetensors\""]);
    edit(folder.path(index), |index| *index = json!({"weight_map": {}}));
    says(&refused(&folder), &["it names 0 files"]);
    std::fs::write(folder.path(index), "[1]").unwrap();
    says(&refused(&folder), &["expected an object of JSON"]);
}

#[test]
fn damaged_folders_take_little_memory() {
    let _alone = alone();
    let folder = copied("bert_tiny", "hf_damaged");
    let file = folder.path("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let mut hostile: Vec<Vec<u8>> = [0, 7, 8, 100, 4000, bytes.len() - 1].map(|len| bytes[..len].to_vec()).to_vec();
    hostile.push([&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    hostile.push([&bytes[..], b"x"].concat());
    for bytes in hostile {
        std::fs::write(&file, &bytes).unwrap();
        let before = counting::begin();
        assert!(SequenceClassifier::from_pretrained(&folder.0).is_err());
        assert!(counting::most_since(before) < 16 << 20);
    }
    std::fs::write(&file, &bytes).unwrap();
    for (key, value) in [
        ("vocab_size", 1u64 << 40),
        ("hidden_size", 1 << 30),
        ("max_position_embeddings", 1 << 33),
        ("type_vocab_size", 1 << 20),
    ] {
        let folder = copied("bert_tiny", "hf_huge");
        edit(folder.path("config.json"), |config| config[key] = value.into());
        let before = counting::begin();
        assert!(SequenceClassifier::from_pretrained(&folder.0).is_err(), "{key}");
        assert!(counting::most_since(before) < 64 << 20, "{key}: {}", counting::most_since(before));
    }
    std::fs::remove_file(&file).unwrap();
    says(&refused(&folder), &["there is no model.safetensors or model.safetensors.index.json"]);
    std::fs::write(folder.path("pytorch_model.bin"), "PK").unwrap();
    says(&refused(&folder), &["pytorch_model.bin", "safe_serialization"]);
    std::fs::write(folder.path("config.json"), "{\"model_type\": NaN").unwrap();
    says(&refused(&folder), &["config.json"]);
    let error = SequenceClassifier::from_pretrained(folder.path("nowhere")).unwrap_err().to_string();
    says(&error, &["no folder"]);
}

/// Python 5's rules for a head that is there though it is to be tied.
#[test]
fn heads_that_are_tied_or_not() {
    let head = |tensors: &mut Stored| tensors["transformer.wte.weight"].clone();
    let names = |lm: &CausalLm| lm.tensors().map(|(file, ..)| file.to_owned()).collect::<Vec<_>>();
    let plain = CausalLm::from_pretrained(&copied("gpt2", "hf_tied").0).unwrap();
    let x = Tensor::from([[3.0, 1.0, 4.0, 1.0, 5.0]]);
    let y = plain.model().predict(&x).unwrap();

    let folder = copied("gpt2", "hf_tied_equal");
    rewrite(folder.path("model.safetensors"), |t| {
        let table = head(t);
        t.insert("lm_head.weight".into(), table);
    });
    let equal = CausalLm::from_pretrained(&folder.0).unwrap();
    assert_eq!((names(&equal), equal.model().predict(&x).unwrap()), (names(&plain), y.clone()));

    let folder = copied("gpt2", "hf_tied_only");
    rewrite(folder.path("model.safetensors"), |t| {
        let table = t.remove("transformer.wte.weight").unwrap();
        t.insert("lm_head.weight".into(), table);
    });
    assert_eq!(CausalLm::from_pretrained(&folder.0).unwrap().model().predict(&x).unwrap(), y);

    let folder = copied("gpt2", "hf_tied_other");
    rewrite(folder.path("model.safetensors"), |t| {
        let (dtype, shape, mut data) = head(t);
        data.as_chunks_mut::<4>().0.iter_mut().for_each(|b| *b = (2.0 * f32::from_le_bytes(*b)).to_le_bytes());
        t.insert("lm_head.weight".into(), (dtype, shape, data));
    });
    let other = CausalLm::from_pretrained(&folder.0).unwrap();
    assert!(names(&other).contains(&"lm_head.weight".to_owned()));
    let twice: Vec<f32> = y.iter().map(|v| 2.0 * v).collect();
    let got = other.model().predict(&x).unwrap();
    assert!(got.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs())));
    // Both are written, and that they differ.
    let saved = Folder::new("hf_tied_saved");
    other.save_pretrained(&saved.0).unwrap();
    assert_eq!(CausalLm::from_pretrained(&saved.0).unwrap().model().predict(&x).unwrap(), got);
}

#[test]
fn saved_folders() {
    let lm = CausalLm::from_pretrained(&copied("form_sharded", "hf_save").0).unwrap();
    let folder = Folder::new("hf_saved");
    let there = |name: &str| folder.path(name).exists();
    lm.save_pretrained_with(&folder.0, &SaveOptions::default().max_shard_size(20_000)).unwrap();
    assert!(
        !there("model.safetensors")
            && there("model.safetensors.index.json")
            && there("model-00001-of-00004.safetensors")
    );
    let again = CausalLm::from_pretrained(&folder.0).unwrap();
    assert_eq!(again.model().params(), lm.model().params());
    // One file takes the place of all shards.
    lm.save_pretrained(&folder.0).unwrap();
    assert!(
        there("model.safetensors")
            && !there("model.safetensors.index.json")
            && !there("model-00001-of-00004.safetensors")
    );
    assert_eq!(CausalLm::from_pretrained(&folder.0).unwrap().model().params(), lm.model().params());
    // What Python asks for.
    let bytes = std::fs::read(folder.path("model.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(folder.path("config.json")).unwrap()).unwrap();
    assert_eq!((&config["architectures"], &config["dtype"]), (&json!(["LlamaForCausalLM"]), &json!("float32")));
    // Double precision stays.
    let double = CausalLm::<f64>::open(&folder.0, &OpenOptions::default()).unwrap();
    double.save_pretrained(&folder.0).unwrap();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(folder.path("config.json")).unwrap()).unwrap();
    assert_eq!(config["dtype"], json!("float64"));
    let again = CausalLm::<f64>::open(&folder.0, &OpenOptions::default()).unwrap();
    assert_eq!(again.model().params(), double.model().params());
    // A base with a head's name of its own.
    let encoder = Encoder::from_pretrained(&copied("bert_tiny", "hf_base").0).unwrap();
    encoder.save_pretrained(&folder.0).unwrap();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(folder.path("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], json!(["BertModel"]));
    says(
        &SequenceClassifier::from_pretrained(&folder.0).unwrap_err().to_string(),
        &["missing: classifier.weight, classifier.bias"],
    );
}

/// A classifier of one's own on a model that was trained for something else.
#[test]
fn new_heads() {
    for case in ["bert_mlm", "roberta", "mpnet"] {
        let folder = copied(case, "hf_new_head");
        let open = |seed| {
            SequenceClassifier::<f32>::open(&folder.0, &OpenOptions::default().labels(["no", "yes", "both"]).seed(seed))
        };
        let classifier = open(1).unwrap();
        assert_eq!(classifier.labels().unwrap(), ["no", "yes", "both"]);
        let head = |c: &SequenceClassifier| c.model().weight("classifier/kernel").unwrap().to_vec();
        assert_eq!(head(&classifier), head(&open(1).unwrap()));
        assert_ne!(head(&classifier), head(&open(2).unwrap()));
        let encoder = Encoder::from_pretrained(&folder.0).unwrap();
        assert_eq!(
            classifier.model().weight("tokens/embeddings").unwrap(),
            encoder.model().weight("tokens/embeddings").unwrap()
        );
        let saved = Folder::new("hf_new_head_saved");
        classifier.save_pretrained(&saved.0).unwrap();
        let again = SequenceClassifier::from_pretrained(&saved.0).unwrap();
        assert_eq!(
            (again.model().params(), again.labels().unwrap()),
            (classifier.model().params(), classifier.labels().unwrap())
        );
    }
    let folder = copied("bert_mlm", "hf_no_head");
    let error = Encoder::<f32>::open(&folder.0, &OpenOptions::default().labels(["a"])).unwrap_err();
    says(&error.to_string(), &["labels must be names of classes, for a classifier"]);
    // What is no head has to be there.
    rewrite(folder.path("model.safetensors"), |tensors| drop(tensors.remove("bert.embeddings.LayerNorm.bias")));
    let error = SequenceClassifier::<f32>::open(&folder.0, &OpenOptions::default().labels(["a", "b"])).unwrap_err();
    says(&error.to_string(), &["missing: bert.embeddings.LayerNorm.bias"]);
}

/// Models of `config.json` alone, saved and opened again.
#[test]
fn models_without_weights_are_drawn() {
    macro_rules! drawn {
        ($face:ident, $case:expr) => {
            let folder = copied($case, "hf_drawn");
            for entry in std::fs::read_dir(&folder.0).unwrap() {
                let path = entry.unwrap().path();
                if path.to_string_lossy().contains("model") {
                    std::fs::remove_file(path).unwrap();
                }
            }
            let open = |seed: u64| $face::<f32>::from_config(&folder.0, &OpenOptions::default().seed(seed)).unwrap();
            let model = open(1);
            assert_eq!(open(1).model().params(), model.model().params(), $case);
            assert_ne!(open(2).model().params(), model.model().params(), $case);
            let saved = Folder::new("hf_drawn_saved");
            model.save_pretrained(&saved.0).unwrap();
            assert_eq!($face::from_pretrained(&saved.0).unwrap().model().params(), model.model().params(), $case);
        };
    }
    drawn!(CausalLm, "gpt2");
    drawn!(CausalLm, "gemma2");
    drawn!(CausalLm, "form_sharded");
    drawn!(MaskedLm, "bert_mlm");
    drawn!(MaskedLm, "bert_tiny");
    drawn!(SequenceClassifier, "bert_tiny");
    drawn!(TokenClassifier, "mpnet");
    drawn!(Encoder, "roberta");
    drawn!(Seq2SeqLm, "marian");
    let folder = copied("bert_tiny", "hf_drawn_strange");
    edit(folder.path("config.json"), |c| c["my_scale"] = 2.into());
    let error = SequenceClassifier::<f32>::from_config(&folder.0, &OpenOptions::default()).unwrap_err();
    says(&error.to_string(), &["my_scale: 2"]);
    says(&CausalLm::<f32>::from_config(&folder.0, &OpenOptions::default()).unwrap_err().to_string(), &["BertFor"]);
}

/// A vocabulary of so many tokens.
#[cfg(feature = "text")]
pub fn vocabulary(folder: &Folder, tokens: usize) {
    let first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let words = (first.len()..tokens).map(|i| format!("w{i}"));
    std::fs::write(folder.path("vocab.txt"), first.into_iter().chain(words).collect::<Vec<_>>().join("\n")).unwrap();
}

#[cfg(feature = "text")]
#[test]
fn texts_are_labelled_and_trained_on() {
    let folder = copied("bert_tiny", "hf_texts");
    says(
        &SequenceClassifier::from_pretrained(&folder.0).unwrap().classify(&["w9"]).unwrap_err().to_string(),
        &["no tokenizer"],
    );
    vocabulary(&folder, 91);
    says(&refused(&folder), &["ids up to 90, and the model a vocabulary of 90"]);
    vocabulary(&folder, 90);
    let mut classifier = SequenceClassifier::from_pretrained(&folder.0).unwrap();
    let texts = ["w9 w10", "w11", "w50 w51 w52 w53 w54", "w9"];
    let found = classifier.classify(&texts).unwrap();
    let alone = classifier.classify(&texts[2..3]).unwrap();
    assert_eq!(found[2], alone[0]);
    assert!(found.iter().all(|found| found.label == format!("LABEL_{}", found.class) && found.score > 1.0 / 3.0));
    let long = vec!["w9"; 30].join(" ");
    says(&classifier.classify(&[long]).unwrap_err().to_string(), &["at most 24 steps"]);

    // Trained as any model; the row of padding stays.
    let encodings: Vec<_> = texts.iter().map(|text| classifier.tokenizer().unwrap().encode(text).unwrap()).collect();
    let x = classifier.inputs(&encodings.iter().collect::<Vec<_>>()).unwrap();
    let y = Tensor::from([0.0, 1.0, 2.0, 1.0]);
    let pad = classifier.model().weight("tokens/embeddings").unwrap()[..36].to_vec();
    let model = classifier.model_mut();
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default().from_logits(true), ()).unwrap();
    let before = model.evaluate(&x, &y).unwrap();
    model.fit(&x, &y, &silent().epochs(20)).unwrap();
    let after = model.evaluate(&x, &y).unwrap();
    assert!(after.loss < 0.5 * before.loss, "{before:?} {after:?}");
    assert_eq!(classifier.model().weight("tokens/embeddings").unwrap()[..36], pad);
    let saved = Folder::new("hf_trained");
    classifier.save_pretrained(&saved.0).unwrap();
    let again = SequenceClassifier::from_pretrained(&saved.0).unwrap();
    assert_eq!(again.logits(&texts).unwrap(), classifier.logits(&texts).unwrap());
    // The tokenizer came along.
    assert!(saved.path("vocab.txt").exists());
}

#[cfg(feature = "text")]
#[test]
fn gaps_are_filled_and_tokens_labelled() {
    let folder = copied("bert_mlm", "hf_gaps");
    vocabulary(&folder, 57);
    let lm = MaskedLm::from_pretrained(&folder.0).unwrap();
    let gaps = lm.fill("w9 [MASK] w11 [MASK]", 4).unwrap();
    assert_eq!((gaps.len(), gaps[0].len()), (2, 4));
    assert!(gaps[0].is_sorted_by(|a, b| a.score >= b.score));
    assert!(gaps.iter().flatten().all(|filled| lm.tokenizer().unwrap().token(filled.token).is_some()));
    let steps = Encoder::from_pretrained(&folder.0).unwrap().steps(&["w9", "w10 w11 w12"]).unwrap();
    assert_eq!([steps[0].dims(), steps[1].dims()], [[3, 20], [5, 20]]);

    let folder = copied("bert_tiny", "hf_tokens");
    vocabulary(&folder, 90);
    edit(folder.path("config.json"), |config| config["architectures"] = json!(["BertForTokenClassification"]));
    let tagger = TokenClassifier::from_pretrained(&folder.0).unwrap();
    let text = "w9 w10";
    let tokens = &tagger.classify(&[text, "w11 w12 w13"]).unwrap()[0];
    assert_eq!(tokens.iter().map(|token| &text[token.bytes.clone()]).collect::<Vec<_>>(), ["w9", "w10"]);
}

#[cfg(feature = "text")]
#[test]
fn sentences_become_vectors() {
    use gradus::models::hf::{Encode, Pooling, SentenceEncoder};
    let folder = copied("bert_tiny", "hf_sentences");
    vocabulary(&folder, 90);
    says(&SentenceEncoder::from_pretrained(&folder.0).unwrap_err().to_string(), &["no modules.json", "from_encoder"]);
    let texts = ["w9 w10 w11 w12 w13 w14 w15", "w20", "w9 w10", "w21 w22 w23 w24"];
    let options = OpenOptions::default();
    for (pooling, normalize) in
        [(Pooling::Mean, true), (Pooling::Cls, false), (Pooling::LastToken, true), (Pooling::Max, true)]
    {
        let encoder = SentenceEncoder::<f32>::from_encoder(&folder.0, pooling, normalize, &options).unwrap();
        let all = encoder.encode(&texts).unwrap();
        assert_eq!(all.dims(), [4, 36]);
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(encoder.encode_with(&[text], &Encode::default().batch_size(1)).unwrap().row(0), all.row(i));
            let length = all.row(i).iter().map(|v| v * v).sum::<f32>().sqrt();
            assert_eq!(normalize, (length - 1.0).abs() < 1e-5, "{pooling:?}: {length}");
        }
        // By hand, from the steps.
        let steps = Encoder::from_pretrained(&folder.0).unwrap().steps(&texts).unwrap();
        let (last, n) = (steps[0].dims()[0] - 1, steps[0].dims()[0] as f32);
        let column = |c: usize| steps[0].as_slice().iter().skip(c).step_by(36).copied();
        let pooled: Vec<f32> = (0..36)
            .map(|c| match pooling {
                Pooling::Mean => column(c).sum::<f32>() / n,
                Pooling::Cls => column(c).next().unwrap(),
                Pooling::LastToken => column(c).nth(last).unwrap(),
                _ => column(c).fold(f32::MIN, f32::max),
            })
            .collect();
        let length = if normalize { pooled.iter().map(|v| v * v).sum::<f32>().sqrt() } else { 1.0 };
        for (got, pooled) in all.row(0).iter().zip(&pooled) {
            assert!((got - pooled / length).abs() < 1e-5, "{pooling:?}");
        }
        // Written as sentence-transformers has it, and opened again.
        let saved = Folder::new("hf_sentences_saved");
        encoder.save_pretrained(&saved.0).unwrap();
        let again = SentenceEncoder::from_pretrained(&saved.0).unwrap();
        assert_eq!((again.pooling(), again.encode(&texts).unwrap()), (pooling, all.clone()));
        // Fewer numbers, and of length 1 again.
        let short = encoder.encode_with(&texts, &Encode::default().truncate_dim(7).normalize(true)).unwrap();
        let length = all.row(1)[..7].iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!(short.row(1).iter().zip(all.row(1)).all(|(a, b)| (a - b / length).abs() < 1e-6));
    }

    // Settings of a folder: lengths, prompts, modules.
    let encoder = SentenceEncoder::<f32>::from_encoder(&folder.0, Pooling::Mean, true, &options).unwrap();
    let saved = Folder::new("hf_sentences_settings");
    encoder.save_pretrained(&saved.0).unwrap();
    edit(saved.path("sentence_bert_config.json"), |c| c["max_seq_length"] = 4.into());
    edit(saved.path("config_sentence_transformers.json"), |c| c["prompts"] = json!({"query": "w30 "}));
    let cut = SentenceEncoder::from_pretrained(&saved.0).unwrap();
    assert_eq!(cut.max_seq_length(), 4);
    assert_eq!(cut.encode(&texts[..1]).unwrap(), encoder.encode(&["w9 w10"]).unwrap());
    let asked = cut.encode_with(&["w9"], &Encode::default().prompt("query")).unwrap();
    assert_eq!(asked, encoder.encode(&["w30 w9"]).unwrap());
    says(
        &cut.encode_with(&["w9"], &Encode::default().prompt("other")).unwrap_err().to_string(),
        &["one of query", "other"],
    );
    says(&cut.encode_with(&["w9"], &Encode::default().truncate_dim(37)).unwrap_err().to_string(), &["from 1 to 36"]);
    let modules = saved.path("modules.json");
    for (change, part) in [
        (
            (|m| m[1]["type"] = "sentence_transformers.models.Dense".into()) as fn(&mut Value),
            "the modules are Transformer, Dense",
        ),
        (|m| m[1]["path"] = "../1_Pooling".into(), "\"../1_Pooling\""),
        (|m| drop(m[1].as_object_mut().unwrap().remove("type")), "without type or path"),
    ] {
        let before = std::fs::read(&modules).unwrap();
        edit(&modules, change);
        says(&SentenceEncoder::from_pretrained(&saved.0).unwrap_err().to_string(), &["modules.json", part]);
        std::fs::write(&modules, before).unwrap();
    }
    // An empty text has a vector of its special tokens; a text of no token has none, whatever is beside it.
    assert_eq!(encoder.encode(&["w9", ""]).unwrap().row(1), encoder.encode(&[""]).unwrap().row(0));
    let bare = encoder.tokenizer().unwrap().encode_batch(&["w9 w10"]).unwrap();
    let mut none = bare.clone();
    none.push(gradus::text::Encoding::default());
    says(&encoder.encode_tokens(&none, &Encode::default()).unwrap_err().to_string(), &["none in text 1"]);
    for (length, got) in [(json!(0), "0"), (json!(-1), "-1"), (json!("128"), "\"128\"")] {
        edit(saved.path("sentence_bert_config.json"), |c| c["max_seq_length"] = length.clone());
        let error = SentenceEncoder::from_pretrained(&saved.0).unwrap_err().to_string();
        says(&error, &[&format!("max_seq_length is {got}, expected a whole number")]);
    }
    edit(saved.path("sentence_bert_config.json"), |c| c["max_seq_length"] = Value::Null);
    SentenceEncoder::from_pretrained(&saved.0).unwrap();
    edit(saved.path("1_Pooling/config.json"), |c| {
        c["pooling_mode"] = "mean".into();
        c["include_prompt"] = false.into();
    });
    says(&SentenceEncoder::from_pretrained(&saved.0).unwrap_err().to_string(), &["include_prompt is false"]);
    edit(saved.path("1_Pooling/config.json"), |c| {
        c["pooling_mode"] = Value::Null;
        c["include_prompt"] = true.into();
    });
    edit(saved.path("1_Pooling/config.json"), |c| c["pooling_mode_max_tokens"] = true.into());
    says(&SentenceEncoder::from_pretrained(&saved.0).unwrap_err().to_string(), &["asks for 2 poolings"]);
}

#[cfg(feature = "text")]
#[test]
fn texts_are_written() {
    let folder = copied("gpt2", "hf_writes");
    let lm = CausalLm::from_pretrained(&folder.0).unwrap();
    assert_eq!(lm.generation_settings().unwrap(), gradus::generation::GenerationSettings::default().end_tokens([0]));
    let config =
        json!({"eos_token_id": [7, 8], "max_length": 20, "do_sample": true, "top_p": 0.9, "transformers_version": "4"});
    std::fs::write(folder.path("generation_config.json"), config.to_string()).unwrap();
    let expected = gradus::generation::GenerationSettings::default().end_tokens([7, 8]).do_sample(true).top_p(0.9);
    assert_eq!(lm.generation_settings().unwrap(), expected);
    std::fs::write(folder.path("generation_config.json"), json!({"penalty_alpha": 0.6}).to_string()).unwrap();
    says(&lm.generation_settings().unwrap_err().to_string(), &["generation_config.json", "penalty_alpha is 0.6"]);
    for (key, value) in [("top_k", json!("hot")), ("top_k", json!(-5)), ("pad_token_id", json!([1, 2]))] {
        std::fs::write(folder.path("generation_config.json"), json!({ key: value }).to_string()).unwrap();
        says(&lm.generation_settings().unwrap_err().to_string(), &[&format!("{key} is {value}")]);
    }
    // The context is that of the model.
    let mut decoder = lm.decoder().unwrap();
    let settings = gradus::generation::GenerationSettings::default().max_new_tokens(30);
    let error = gradus::generation::Generator::new(settings).generate(&mut decoder, &[[1, 2]]).unwrap_err();
    assert!(error.to_string().contains("24"), "{error}");
}

/// Tables and heads that older folders of encoder–decoders have beside the one that all share.
#[test]
fn an_encoder_decoder_in_older_folders() {
    let lm = Seq2SeqLm::from_pretrained(&copied("marian", "hf_marian").0).unwrap();
    let params = lm.model().params();
    assert!(!params.spec(params.find("head/bias").unwrap()).unwrap().trainable);
    let waves = |rows: usize, interleaved: bool| {
        let wave = |i: usize| {
            let (row, column) = (i / 20, i % 20);
            let (pair, cos) = if interleaved { (column / 2, column % 2 == 1) } else { (column % 10, column >= 10) };
            let angle = row as f64 / 1e4f64.powf(pair as f64 / 10.0);
            if cos { angle.cos() as f32 } else { angle.sin() as f32 }
        };
        (Dtype::F32, vec![rows, 20], f32s(&(0..rows * 20).map(wave).collect::<Vec<_>>()))
    };
    let older = |change: &dyn Fn(&mut Stored)| {
        let folder = copied("marian", "hf_marian_older");
        rewrite(folder.path("model.safetensors"), |tensors| {
            let shared = tensors["model.shared.weight"].clone();
            for name in ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"] {
                tensors.insert(name.into(), shared.clone());
            }
            for side in ["encoder", "decoder"] {
                tensors.insert(format!("model.{side}.embed_positions.weight"), waves(32, false));
            }
            change(tensors);
        });
        Seq2SeqLm::from_pretrained(&folder.0)
    };
    assert_eq!(older(&|_| ()).unwrap().model().params(), lm.model().params());
    let only_head = older(&|tensors| {
        tensors.remove("model.shared.weight");
        tensors.remove("model.encoder.embed_tokens.weight");
    });
    assert_eq!(only_head.unwrap().model().params(), lm.model().params());
    let without_bias = older(&|tensors| drop(tensors.remove("final_logits_bias"))).unwrap();
    assert_eq!(without_bias.model().params().len() + 48, lm.model().params().len());
    let change = |name: &'static str| {
        move |tensors: &mut Stored| {
            let data = &mut tensors.get_mut(name).unwrap().2;
            data[..4].copy_from_slice(&9f32.to_le_bytes());
        }
    };
    for (change, parts) in [
        (&change("model.decoder.embed_tokens.weight") as &dyn Fn(&mut Stored), &["one tensor, and differ"][..]),
        (&change("lm_head.weight"), &["tie_word_embeddings"]),
        (&change("model.encoder.embed_positions.weight"), &["model.encoder.embed_positions.weight", "sines"]),
        (
            &|tensors| drop(tensors.insert("model.decoder.embed_positions.weight".into(), waves(32, true))),
            &["model.decoder.embed_positions.weight"],
        ),
        (
            &|tensors| drop(tensors.insert("model.decoder.embed_positions.weight".into(), waves(31, false))),
            &["[32, 20]"],
        ),
    ] {
        says(&older(change).unwrap_err().to_string(), parts);
    }
}

#[test]
fn settings_of_encoder_decoders_that_are_not_built() {
    for (key, value) in [
        ("normalize_before", json!(true)),
        ("normalize_embedding", json!(true)),
        ("static_position_embeddings", json!(false)),
        ("share_encoder_decoder_embeddings", json!(false)),
        ("tie_word_embeddings", json!(false)),
        ("is_encoder_decoder", json!(false)),
        ("encoder_layerdrop", json!(0.1)),
        ("decoder_vocab_size", json!(47)),
        ("encoder_layers", json!(1_000_000_000)),
        ("pad_token_id", json!(48)),
    ] {
        let folder = copied("marian", "hf_marian_config");
        edit(folder.path("config.json"), |c| c[key] = value.clone());
        says(&Seq2SeqLm::from_pretrained(&folder.0).unwrap_err().to_string(), &["config.json", key]);
    }
    let folder = copied("marian", "hf_marian_face");
    says(&CausalLm::from_pretrained(&folder.0).unwrap_err().to_string(), &["MarianMTModel"]);
    let folder = copied("bert_tiny", "hf_bert_face");
    says(&Seq2SeqLm::from_pretrained(&folder.0).unwrap_err().to_string(), &["BertForSequenceClassification"]);
}

#[test]
fn sources_are_written_for() {
    let folder = copied("marian", "hf_sources");
    let lm = Seq2SeqLm::from_pretrained(&folder.0).unwrap();
    let settings = lm.generation_settings().unwrap().max_new_tokens(8);
    let sources = [&[5, 9, 30, 0][..], &[11, 0]];
    let written = lm.generate(&sources, settings.clone()).unwrap();
    // Each as if it were alone.
    assert_eq!(lm.generate(&sources[1..], settings.clone()).unwrap()[0], written[1]);
    let refused = |source: &[u32]| lm.generate(&[source], settings.clone()).unwrap_err().to_string();
    says(&refused(&[]), &["none in row 0"]);
    says(&refused(&[48]), &["input_ids", "48"]);
    let mut decoder = lm.decoder(&sources).unwrap();
    let error = gradus::generation::Generator::new(settings.clone()).generate(&mut decoder, &[[47]]).unwrap_err();
    says(&error.to_string(), &["a source for each of 1 prompts (input_ids, attention_mask)"]);
    // Sources alone are no pairs of a source and its mask.
    decoder.set_source_tokens(&[[5, 0]]).unwrap();
    let error = gradus::generation::Generator::new(settings.clone()).generate(&mut decoder, &[[47]]).unwrap_err();
    says(&error.to_string(), &["a source for each of 1 prompts"]);

    // Folders of before there was a file for it.
    let file = std::fs::read_to_string(folder.path("generation_config.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    std::fs::remove_file(folder.path("generation_config.json")).unwrap();
    edit(folder.path("config.json"), |c| {
        for key in ["bad_words_ids", "early_stopping", "length_penalty", "num_beams"] {
            c[key] = file[key].clone();
        }
    });
    let older = Seq2SeqLm::from_pretrained(&folder.0).unwrap();
    assert_eq!(older.generation_settings().unwrap().max_new_tokens(8), settings);
    assert_eq!(older.start_token().unwrap(), 47);
    edit(folder.path("config.json"), |c| {
        c["diversity_penalty"] = 0.5.into();
        c.as_object_mut().unwrap().retain(|key, _| key != "decoder_start_token_id" && key != "bos_token_id");
    });
    let odd = Seq2SeqLm::from_pretrained(&folder.0).unwrap();
    says(&odd.generation_settings().unwrap_err().to_string(), &["config.json", "diversity_penalty is 0.5"]);
    says(&odd.start_token().unwrap_err().to_string(), &["config.json", "decoder_start_token_id"]);
}

#[cfg(feature = "text")]
#[test]
fn texts_are_written_for_texts() {
    let folder = copied("marian", "hf_translates");
    vocabulary(&folder, 48);
    let lm = Seq2SeqLm::from_pretrained(&folder.0).unwrap();
    let settings = lm.generation_settings().unwrap().max_new_tokens(6);
    let texts = lm.generate_text(&["w9 w10", "w11"], settings.clone()).unwrap();
    // [CLS], the words, [SEP].
    let ids = lm.generate(&[&[2, 9, 10, 3][..], &[2, 11, 3]], settings).unwrap();
    for (text, row) in texts.iter().zip(ids.rows()) {
        assert_eq!(*text, lm.tokenizer().unwrap().decode(&row[0].tokens, true).unwrap());
    }
    assert_eq!(texts.len(), 2);
}

/// A face is its model wherever one is wanted.
#[test]
fn models_are_taken_out() {
    let folder = copied("form_gpt2_hub", "hf_model");
    let lm = CausalLm::from_pretrained(&folder.0).unwrap();
    let inner: &Pretrained = &lm;
    assert_eq!((inner.vocab_size(), inner.max_positions(), inner.config().model_type()), (61, 24, "gpt2"));
    assert!(inner.config().to_json().contains("n_embd"));
    let model: Model = lm.into();
    assert_eq!(model.predict(&Tensor::from([[1.0, 2.0]])).unwrap().dims(), [1, 2, 61]);
    assert!(gradus::models::hf::model_types().is_sorted());
}

/// A question and a passage go in together, each pair with the bits that it has alone.
#[cfg(feature = "text")]
#[test]
fn pairs_of_texts() {
    let folder = copied("bert_tiny", "hf_pairs");
    let words: Vec<String> = (5..90).map(|i| format!("w{i}")).collect();
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    std::fs::write(folder.path("vocab.txt"), [&specials[..], &words].concat().join("\n")).unwrap();
    let classifier = SequenceClassifier::from_pretrained(&folder.0).unwrap();
    let pairs = [("w7 w8", "w9 w10 w11 w12"), ("w7 w8", "w30")];
    let all = classifier.logits_of_pairs(&pairs).unwrap();
    let tokenizer = classifier.tokenizer().unwrap();
    for (i, (first, second)) in pairs.iter().enumerate() {
        let encoded = tokenizer.encode_pair(first, second).unwrap();
        assert_eq!(encoded.type_ids.iter().filter(|kind| **kind == 1).count(), second.split(' ').count() + 1);
        let alone = classifier.model().predict_all(&classifier.inputs(&[&encoded]).unwrap()).unwrap();
        assert_eq!(alone[0].row(0), all.row(i));
    }
    // Not what both say one after the other.
    assert_ne!(all.row(0), classifier.logits(&["w7 w8 w9 w10 w11 w12"]).unwrap().row(0));
}
