//! What stands between texts and a model: equal to Keras's and scikit-learn's, and saved with the model.

use gradus::prelude::*;
use gradus::text::{
    Cleaner, Form, HashedNgrams, NgramUnit, OutputMode, Standardize, StopWords, TextFront, TextSource, TextSplit,
    TextVectorization, WordList,
};
use serde_json::Value;

use crate::files::{Folder, silent};

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A layer of Keras's settings that is not adapted yet.
fn vectorization(settings: &Value) -> TextVectorization {
    let mut own = TextVectorization::new();
    for (name, value) in settings.as_object().unwrap() {
        let number = value.as_u64().unwrap_or(0) as usize;
        own = match (name.as_str(), value.as_str()) {
            ("standardize", Some("lower")) => own.standardize(Standardize::Lower),
            ("standardize", Some("strip_punctuation")) => own.standardize(Standardize::StripPunctuation),
            ("standardize", None) => own.standardize(Standardize::None),
            ("split", Some("character")) => own.split(TextSplit::Character),
            ("split", None) => own.split(TextSplit::Whole),
            ("output_mode", Some("int")) => own.output_mode(OutputMode::Int),
            ("output_mode", Some("multi_hot")) => own.output_mode(OutputMode::MultiHot),
            ("output_mode", Some("count")) => own.output_mode(OutputMode::Count),
            ("output_mode", Some("tf_idf")) => own.output_mode(OutputMode::TfIdf),
            ("ngrams", None) if value.is_array() => {
                own.ngrams(numbers(value).iter().map(|n| *n as usize).collect::<Vec<_>>())
            }
            ("ngrams", None) => own.ngrams(number),
            ("max_tokens", None) => own.max_tokens(number),
            ("output_sequence_length", None) => own.output_sequence_length(number),
            ("pad_to_max_tokens", None) => own.pad_to_max_tokens(value.as_bool().unwrap()),
            ("vocabulary" | "idf_weights", None) => own,
            other => panic!("{other:?}"),
        };
    }
    own
}

#[test]
fn text_vectorization_is_that_of_keras() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../fixtures/text/text_vectorization.json")).unwrap();
    assert!(cases.len() > 40);
    for case in &cases {
        let settings = &case["settings"];
        let own = vectorization(settings);
        let own = match (settings.get("vocabulary"), settings.get("idf_weights")) {
            (None, _) => own.adapt(&strings(&case["known"])),
            (Some(entries), None) => own.vocabulary(strings(entries)),
            (Some(entries), Some(idf)) => own.vocabulary_with_idf(strings(entries), &numbers(idf)),
        };
        let own = own.unwrap_or_else(|error| panic!("{settings}: {error}"));
        assert_eq!(own.get_vocabulary(), strings(&case["vocabulary"]), "{settings}");
        // Keras's weights are of single precision.
        let idf = case.get("idf").map(numbers).unwrap_or_default();
        assert_eq!(own.idf_weights().len(), idf.len());
        for (own, expected) in own.idf_weights().iter().zip(idf) {
            assert!((own - expected).abs() < 1e-6, "{settings}: {own} and not {expected}");
        }
        let x: Tensor<f64> = own.transform(&strings(&case["others"])).unwrap();
        assert_eq!(x.dims().iter().map(|d| *d as f64).collect::<Vec<_>>(), numbers(&case["shape"]), "{settings}");
        for (i, (own, expected)) in x.iter().zip(numbers(&case["x"])).enumerate() {
            assert!((own - expected).abs() <= 1e-6 * expected, "{settings}: {own} and not {expected} at {i}");
        }
    }
}

#[test]
fn hashed_ngrams_are_those_of_scikit_learn() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../fixtures/text/hashing_vectorizer.json")).unwrap();
    assert_eq!(cases.len(), 18);
    for case in &cases {
        let settings = &case["settings"];
        let plain = settings.get("norm").is_some();
        let ngrams = numbers(&case["ngrams"]);
        let own = HashedNgrams::new(settings["n_features"].as_u64().unwrap() as usize)
            .standardize(Standardize::None)
            .ngrams(ngrams[0] as usize, ngrams[1] as usize)
            .signed(!plain)
            .normalized(!plain)
            .unit(match settings["analyzer"].as_str().unwrap() {
                "word" => NgramUnit::Tokens,
                "char" => NgramUnit::Characters,
                _ => NgramUnit::CharactersOfTokens,
            });
        let x: Tensor<f64> = own.transform(&strings(&case["texts"])).unwrap();
        for (i, (own, expected)) in x.iter().zip(numbers(&case["x"])).enumerate() {
            assert!((own - expected).abs() < 1e-12, "{settings} {ngrams:?}: {own} and not {expected} at {i}");
        }
    }
}

/// Sentences of some made-up words, of several lengths, one empty.
fn texts() -> (Vec<String>, Tensor) {
    let words = ["good", "bad", "的", "电影", "film", "不", "fine,", "Dull", "12"];
    let text =
        |i: usize| (0..i % 7).map(|j| words[(i * 31 + j * 17 + i * j) % words.len()]).collect::<Vec<_>>().join(" ");
    ((0..60).map(text).collect(), Tensor::from_fn([60, 1], |i| f32::from(u8::from(i % 3 == 0))))
}

fn list() -> WordList {
    WordList::from_words(["电影", "不好"]).unwrap()
}

/// Front doors of all kinds, each with a model behind it.
fn models() -> Vec<Model> {
    let (texts, _) = texts();
    let new = TextVectorization::new;
    let cleaner = Cleaner::new().form(Form::Nfkc).lowercase(true);
    let embedded = |front: &TextFront, input: usize| {
        Sequential::new([input])
            .add(Embedding::new(front.ids().unwrap(), 6).mask_zero(true))
            .add(GlobalAveragePooling1d::new())
    };
    let dense =
        |front: &TextFront| Sequential::new(front.output_shape()).add(Dense::new(6).activation(Activation::Relu));
    let free: TextFront = new().standardize(cleaner).split(list()).adapt(&texts).unwrap().into();
    let fixed: TextFront = new().output_sequence_length(4).ngrams(2).max_tokens(9).adapt(&texts).unwrap().into();
    let tf_idf = new().output_mode(OutputMode::TfIdf).split(TextSplit::Cjk).stop_words(StopWords::chinese());
    let tf_idf: TextFront = tf_idf.adapt(&texts).unwrap().into();
    let hashed: TextFront = HashedNgrams::new(50).unit(NgramUnit::Characters).ngrams(1, 3).split(list()).into();
    let ids: TextFront = HashedNgrams::new(1000).ids(5).into();
    let described = [
        (embedded(&free, FREE), free),
        (embedded(&fixed, 4), fixed.clone()),
        // An input that is open takes rows of one length too.
        (embedded(&fixed, FREE), fixed),
        (dense(&tf_idf), tf_idf),
        (dense(&hashed), hashed),
        (embedded(&ids, 5), ids),
    ];
    let built = described.into_iter().map(|(layers, front)| {
        let mut model = layers.add(Dense::new(1).activation(Activation::Sigmoid)).build(5).unwrap();
        model.compile(Adam::default(), BinaryCrossentropy::default(), [BinaryAccuracy::default()]).unwrap();
        model.set_text_front(front).unwrap();
        model
    });
    built.collect()
}

#[test]
fn a_front_door_is_saved_with_its_model() {
    let folder = Folder::new("text_front");
    let (texts, y) = texts();
    for (i, mut model) in models().into_iter().enumerate() {
        let checkpoint = Checkpoint::new(folder.path(&format!("run{i}")));
        model.fit_texts(&texts, &y, &silent().epochs(2).checkpoint(&checkpoint)).unwrap();
        model.set_class_names(["bad", "good"]).unwrap();
        let expected = model.predict_texts(&texts).unwrap();
        model.save(folder.path("model")).unwrap();
        let mut again = Model::load(folder.path("model")).unwrap();
        assert_eq!(again.text_front(), model.text_front());
        assert_eq!(again.predict_texts(&texts).unwrap(), expected, "front {i}");
        assert_eq!(again.class_names(), ["bad", "good"]);
        assert_eq!(again.evaluate_texts(&texts, &y).unwrap(), model.evaluate_texts(&texts, &y).unwrap());
        let classes: Vec<usize> = expected.iter().map(|p| usize::from(*p > 0.5)).collect();
        assert_eq!(again.predict_text_classes(&texts).unwrap(), classes);
        // A checkpoint is a model's file too, and goes on as it does without a front.
        let run = Model::load(folder.path(&format!("run{i}"))).unwrap();
        assert_eq!(run.predict_texts(&texts).unwrap(), expected);
        let how = silent().epochs(3);
        again.resume(folder.path(&format!("run{i}"))).unwrap();
        again.fit_texts(&texts, &y, &how).unwrap();
        model.fit_texts(&texts, &y, &how.initial_epoch(2)).unwrap();
        assert_eq!(again.predict_texts(&texts).unwrap(), model.predict_texts(&texts).unwrap());
        // A model with a front and without a run is no checkpoint.
        assert!(again.resume(folder.path("model")).unwrap_err().to_string().contains("a model, but no checkpoint"));
        assert_eq!(again.discard_weights(1).unwrap().text_front(), model.text_front());
    }
}

#[test]
fn a_text_predicted_alone_is_that_text_in_company() {
    let (texts, _) = texts();
    for model in models() {
        let all = model.predict_texts(&texts).unwrap();
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(model.predict_texts(&[text]).unwrap().row(0), all.row(i), "{text:?}");
        }
        assert_eq!(model.predict_texts(&[""; 0]).unwrap().samples(), 0);
    }
}

#[test]
#[cfg(feature = "parallel")]
fn threads_change_nothing() {
    let words = ["alpha", "beta", "gamma", "delta", "好"];
    let text = |i: usize| (0..i % 23).map(|j| words[(i + j * j) % 5]).collect::<Vec<_>>().join(" ");
    let texts: Vec<String> = (0..5000).map(text).collect();
    let all = || {
        let tf_idf = TextVectorization::new().output_mode(OutputMode::TfIdf).ngrams(2).adapt(&texts).unwrap();
        let ids = TextVectorization::new().split(TextSplit::Cjk).adapt(&texts).unwrap();
        let hashed = HashedNgrams::new(64).ngrams(1, 3);
        let fronts: [TextFront; 3] = [tf_idf.into(), ids.into(), hashed.into()];
        fronts.map(|front| {
            let x: Tensor = front.transform(&texts).unwrap();
            (x.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), front)
        })
    };
    let expected = all();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(all) == expected, "{threads} threads");
    }
}

/// Texts that are written out a batch at a time train as those that were written out before, where rows are of one length.
#[test]
fn a_source_of_texts_is_the_tensor_of_them() {
    let (texts, y) = texts();
    for model in &mut models() {
        let front = model.text_front().unwrap().clone();
        let source = TextSource::new(front.clone(), &texts, y.clone()).unwrap();
        let (mut batch, x) = (Batch::default(), front.transform::<f32>(&texts).unwrap());
        source.clone().batch(7).load(0, 3, &mut batch).unwrap();
        assert_eq!(batch.y, y.rows(21..28).unwrap());
        for i in 0..7 {
            let (short, long) = (batch.x.row(i), x.row(21 + i));
            assert_eq!(short, &long[..short.len()]);
            assert!(long[short.len()..].iter().all(|v| *v == 0.0));
        }
        model.fit_dataset(&source.shuffle(1).bucket(8), &silent().epochs(2), &mut []).unwrap();
    }
    let error = TextSource::new(HashedNgrams::new(4), &texts, Tensor::<f32>::zeros([3, 1])).unwrap_err().to_string();
    assert!(error.contains("targets of 60 texts"), "{error}");
    let source = TextSource::new(HashedNgrams::new(4), &texts, y).unwrap();
    assert!(source.read(0, 58, &mut [0.0; 12], &mut [0.0; 3]).is_err());
    assert!(source.read(0, 0, &mut [0.0; 11], &mut [0.0; 3]).is_err());
}

#[test]
fn fronts_that_do_not_fit() {
    let texts = ["a b c d", "a"];
    let error = |input: &[usize], ids: Option<usize>, front: TextFront| {
        let layers = Sequential::new(Shape::try_from(input).unwrap());
        let layers = match ids {
            Some(ids) => layers.add(Embedding::new(ids, 2)).add(GlobalAveragePooling1d::new()),
            None => layers,
        };
        let mut model = layers.add(Dense::new(1)).build(0).unwrap();
        let error = model.set_text_front(front).unwrap_err().to_string();
        assert!(model.text_front().is_none());
        error
    };
    let ids = || TextVectorization::new().adapt(&texts).unwrap();
    assert_eq!(
        error(&[3], Some(9), ids().into()),
        "set_text_front: expected a front that gives the model's input [3], got [free]; set output_sequence_length(3), or let the \
         model's input be [FREE]"
    );
    assert!(error(&[3], Some(9), ids().output_sequence_length(4).into()).contains("let the model's input be [4]"));
    assert!(error(&[3, 2], None, ids().into()).contains("gives the model's input [3, 2]"));
    assert_eq!(
        error(&[FREE], Some(5), ids().into()),
        "set_text_front: front must be one of at most 5 ids, as many as the model's embedding has, got 6; build the model with \
         Embedding::new(6, …), or bound the vocabulary with max_tokens(5)"
    );
    assert!(error(&[FREE], Some(5), TextVectorization::new().into()).contains("there is no vocabulary"));
    assert_eq!(
        error(&[4], Some(5), HashedNgrams::new(4).into()),
        "set_text_front: front must be one that gives ids, which the model's embedding takes, got features; take HashedNgrams::ids(steps), \
         or a Dense in the place of the Embedding"
    );
    let counts = TextVectorization::new().output_mode(OutputMode::Count).adapt(&texts).unwrap();
    assert!(error(&[5], Some(9), counts.into()).contains("OutputMode::Int"));
    assert!(error(&[3, 2], None, ids().into()).contains("Sequential::new([FREE])"));
    let model = Sequential::new([3]).add(Dense::new(1)).build(0).unwrap();
    assert!(model.predict_texts(&["a"]).unwrap_err().to_string().contains("no front door"));
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2]), g.input("b", [2]));
    let sum = g.op(Add::new(), &[a, b]);
    let mut model = g.build([sum], 0).unwrap();
    let error = model.set_text_front(HashedNgrams::new(2)).unwrap_err().to_string();
    assert!(error.contains("the model has 2 inputs (a, b), texts are one"), "{error}");
    // What came out of a text is no problem of its numbers.
    assert!(
        HashedNgrams::new(1 << 30)
            .transform::<f32>(&vec!["a"; 1 << 20])
            .unwrap_err()
            .to_string()
            .contains("TextSource")
    );
}

/// A file whose header was changed, with a checksum that is right.
fn changed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + len]).unwrap();
    assert!(header.contains(from), "{header}");
    let mut header = header.replace(from, to).trim_end().to_owned();
    let digits = header.find("\"crc32\":\"").unwrap() + 9;
    header.replace_range(digits..digits + 8, "00000000");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&bytes[8 + len..]);
    let sum = format!("{:08x}", crc32fast::hash(&file));
    file[8 + digits..16 + digits].copy_from_slice(sum.as_bytes());
    file
}

#[test]
fn damaged_fronts_are_errors() {
    let folder = Folder::new("damaged_front");
    let models = models();
    models[0].save(folder.path("a")).unwrap();
    let bytes = std::fs::read(folder.path("a")).unwrap();
    assert!(Model::load_bytes(&changed(&bytes, "\"F32\"", "\"F32\"")).is_ok());
    for (from, to) in [
        ("@text/vocabulary_ends", "@text/vocabulary_other"),
        ("@text/words", "@text/wortl"),
        ("TextVectorization", "TextVectorisation"),
        ("\\\"max_tokens\\\":null", "\\\"max_tokens\\\":3"),
        ("\\\"max_tokens\\\":null", "\\\"max_token\\\":3"),
        ("\\\"output_mode\\\":\\\"Int\\\"", "\\\"output_mode\\\":\\\"TfIdf\\\""),
        ("\\\"output_sequence_length\\\":null", "\\\"output_sequence_length\\\":0"),
        ("\\\"ngrams\\\":[]", "\\\"ngrams\\\":[99]"),
        ("\\\"pad_to_max_tokens\\\":false", "\\\"pad_to_max_tokens\\\":true"),
    ] {
        let error = Model::load_bytes(&changed(&bytes, from, to)).unwrap_err().to_string();
        assert!(error.starts_with("<bytes>: bad text front: "), "{from} {to}: {error}");
    }
    models[4].save(folder.path("b")).unwrap();
    let bytes = std::fs::read(folder.path("b")).unwrap();
    for (from, to) in [("\\\"features\\\":50", "\\\"features\\\":51"), ("\\\"ngrams\\\":[1,3]", "\\\"ngrams\\\":[3,1]")]
    {
        let error = Model::load_bytes(&changed(&bytes, from, to)).unwrap_err().to_string();
        assert!(error.starts_with("<bytes>: bad text front: "), "{from} {to}: {error}");
    }
}

/// A model over ids of subwords, with the tokenizer as its front door.
#[test]
fn a_tokenizer_is_saved_with_the_model() {
    use gradus::text::{
        Tokenizer,
        tokenizer::{Padding, PaddingStrategy, Side, Trainer, Truncation},
    };
    let texts = ["a fine film", "what a dull film", "fine acting, 好看", "dull acting", ""];
    let y = Tensor::from([[1.0f32], [0.0], [1.0], [0.0], [0.0]]);
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizers");
    let trained = Trainer::word_piece(60).train(texts).unwrap();
    let mut fixed = Padding::with(0, "[PAD]");
    fixed.strategy = PaddingStrategy::Fixed(12);
    let cut = trained.clone().with_truncation(Truncation::to(12)).with_padding(fixed.clone()).unwrap();
    let pieces = Tokenizer::from_sentencepiece(format!("{fixtures}/t5/spiece.model")).unwrap();
    for tokenizer in [trained.clone(), cut, pieces] {
        let front = TextFront::from(tokenizer);
        let mut model = Sequential::new(front.output_shape())
            .add(Embedding::new(front.ids().unwrap(), 4))
            .add(GlobalAveragePooling1d::new())
            .add(Dense::new(1).activation(Activation::Sigmoid))
            .build(3)
            .unwrap();
        model.compile(Adam::default(), BinaryCrossentropy::default(), [Accuracy::default()]).unwrap();
        model.set_text_front(front).unwrap();
        model.fit_texts(&texts, &y, &silent().epochs(2)).unwrap();
        let folder = Folder::new("tokenizer_front");
        let file = folder.path("model.safetensors");
        model.save(&file).unwrap();
        let loaded = Model::load(&file).unwrap();
        assert_eq!(loaded.text_front(), model.text_front());
        let unseen = ["dull, dull 看 film", "x"];
        assert_eq!(loaded.predict_texts(&unseen).unwrap(), model.predict_texts(&unseen).unwrap());
    }
    // A text without tokens is the unknown token and not padding alone, on the side that is not filled up; others are as they are.
    let bare = trained.clone().with_template(None).unwrap();
    let unknown = bare.id("[UNK]").unwrap() as f32;
    let front = |padding: Padding| {
        let cut = bare.clone().with_truncation(Truncation::to(12)).with_padding(padding).unwrap();
        TextFront::from(cut).transform::<f32>(&["a film", "", "film"]).unwrap()
    };
    let word = front(fixed.clone()).row(2).to_vec();
    let n = word.iter().filter(|id| **id != 0.0).count();
    assert!(n > 0 && n < 5);
    for (strategy, width) in [(PaddingStrategy::Fixed(12), 12), (PaddingStrategy::BatchLongest, 0)] {
        for direction in [Side::Right, Side::Left] {
            let x = front(Padding { strategy, direction, ..fixed.clone() });
            let width = if width == 0 { x.dims()[1] } else { width };
            assert_eq!(x.dims(), [3, width]);
            let zeros = |n: usize| vec![0.0; width - n];
            let (empty, short) = match direction {
                Side::Right => ([vec![unknown], zeros(1)].concat(), [word[..n].to_vec(), zeros(n)].concat()),
                _ => ([zeros(1), vec![unknown]].concat(), [zeros(n), word[..n].to_vec()].concat()),
            };
            assert_eq!((x.row(1), x.row(2)), (&empty[..], &short[..]), "{direction:?} {strategy:?}");
        }
    }
    // Without padding 0 is a token as any other.
    let plain: Tensor = TextFront::from(bare.clone()).transform(&["[PAD]", ""]).unwrap();
    assert_eq!(plain, Tensor::from([[0.0], [unknown]]));
    // Rows of no length are none.
    let none = Padding { strategy: PaddingStrategy::Fixed(0), ..fixed.clone() };
    let none = trained.clone().with_truncation(Truncation::to(0)).with_padding(none).unwrap();
    let error = TextFront::from(none).transform::<f32>(&["a"]).unwrap_err().to_string();
    assert!(error.contains("padding must be to at least 1 token, got 0"), "{error}");
    let mut model = Sequential::new([3]).add(Dense::new(1)).build(0).unwrap();
    let error = model.set_text_front(trained.clone()).unwrap_err().to_string();
    assert!(error.contains("PaddingStrategy::Fixed(3) and Truncation::to(3)"), "{error}");
    let mut model =
        Sequential::new([FREE]).add(Embedding::new(5, 2)).add(GlobalAveragePooling1d::new()).build(0).unwrap();
    let error = model.set_text_front(trained.clone()).unwrap_err().to_string();
    assert!(error.ends_with("or take the tokenizer that the model was built for"), "{error}");
    let error = model.set_text_front(HashedNgrams::new(9).ids(3)).unwrap_err().to_string();
    assert!(error.ends_with("or take HashedNgrams::new(5)"), "{error}");
    // A model trained with zeros masked is asked about an empty text.
    let mut model = Sequential::new([FREE])
        .add(Embedding::new(bare.id_bound(), 2).mask_zero(true))
        .add(GlobalAveragePooling1d::new())
        .build(0)
        .unwrap();
    model.set_text_front(bare).unwrap();
    assert!(model.predict_texts(&["", "film"]).unwrap().iter().all(|v| v.is_finite()));
    // Of a tokenizer whose id 0 is a token, what is masked is an error of that text.
    let gpt2 = Tokenizer::open(format!("{fixtures}/gpt2/tokenizer.json")).unwrap();
    let model = |mask: bool| {
        let mut model = Sequential::new([FREE])
            .add(Embedding::new(gpt2.id_bound(), 2).mask_zero(mask))
            .add(GlobalAveragePooling1d::new())
            .build(0)
            .unwrap();
        model.set_text_front(gpt2.clone()).unwrap();
        model
    };
    let error = model(true).predict_texts(&["a long text", "x", "!", "another"]).unwrap_err().to_string();
    assert!(error.starts_with("predict_texts: the output of text 2, \"!\", is NaN"), "{error}");
    let error = model(true).predict_text_classes(&["a long text", ""]).unwrap_err().to_string();
    assert!(error.starts_with("predict_text_classes: the output of text 1, \"\", is NaN"), "{error}");
    assert!(model(false).predict_texts(&["", "!"]).unwrap().iter().all(|v| v.is_finite()));
    // Longer texts would not fit.
    let front = TextFront::from(trained.with_padding(fixed).unwrap());
    let error = front.transform::<f32>(&["a"]).unwrap_err().to_string();
    assert!(error.contains("truncation") && error.contains("at most 12"), "{error}");
}
