//! Text: scores against those of the packages that everyone compares by.

use gradus::text::{
    Bleu, Chrf, Cleaner, Form, Rouge, Smoothing, WordVectorFile, character_error_rate, perplexity, rouge_l, rouge_n,
    word_error_rate,
};
use proptest::prelude::*;
use serde_json::Value;

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn close(got: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {got} and not {expected}");
}

#[test]
fn scores_are_those_of_sacrebleu_rouge_score_and_jiwer() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../fixtures/text/scores.json")).unwrap();
    for case in &cases {
        let strings = |value: &'static str| case[value].as_array().unwrap();
        let written: Vec<&str> = strings("written").iter().map(|text| text.as_str().unwrap()).collect();
        let wanted: Vec<Vec<&str>> = strings("wanted")
            .iter()
            .map(|texts| texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect())
            .collect();
        let tokens: Vec<_> = written.iter().map(|text| words(text)).collect();
        let references: Vec<Vec<_>> =
            wanted.iter().map(|texts| texts.iter().map(|text| words(text)).collect()).collect();
        let bleu = Bleu::default();
        for (name, how) in [
            ("plain", bleu),
            ("effective", bleu.effective_order(true)),
            ("floor", bleu.smoothing(Smoothing::Floor(0.1))),
            ("add_k", bleu.smoothing(Smoothing::AddK(1.0))),
            ("none", bleu.smoothing(Smoothing::None)),
            ("order_2", bleu.order(2)),
        ] {
            let (score, expected) = (how.corpus(&tokens, &references).unwrap(), &case["bleu"][name]);
            close(score.score, &expected["score"], name);
            close(score.brevity_penalty, &expected["bp"], name);
            assert_eq!(serde_json::json!([score.written, score.wanted]), expected["lens"], "{name}");
            let precisions = expected["precisions"].as_array().unwrap();
            score.precisions.iter().zip(precisions).for_each(|(p, expected)| close(*p, expected, name));
        }
        let chrf = Chrf::default();
        for (name, how) in [("plain", chrf), ("words", chrf.words(2)), ("beta_1", chrf.beta(1.0).characters(4))] {
            close(how.corpus(&written, &wanted).unwrap().score, &case["chrf"][name], name);
        }
        for ((own, theirs), expected) in tokens.iter().zip(&references).zip(strings("rouge")) {
            let scores =
                [rouge_n(own, &theirs[0], 1).unwrap(), rouge_n(own, &theirs[0], 2).unwrap(), rouge_l(own, &theirs[0])];
            for (i, Rouge { precision, recall, f1 }) in scores.into_iter().enumerate() {
                for (j, got) in [precision, recall, f1].into_iter().enumerate() {
                    close(got, &expected[i][j], "rouge");
                }
            }
        }
        let first: Vec<_> = references.iter().map(|texts| texts[0].clone()).collect();
        close(word_error_rate(&tokens, &first).unwrap().rate(), &case["wer"], "wer");
        let first: Vec<_> = wanted.iter().map(|texts| texts[0]).collect();
        close(character_error_rate(&written, &first).unwrap().rate(), &case["cer"], "cer");
    }
}

#[test]
fn what_has_no_score() {
    let bleu = Bleu::default();
    let none: [Vec<u32>; 0] = [];
    assert!(bleu.corpus(&none, &[]).unwrap_err().to_string().contains("the written text has no samples"));
    let one = [vec![1, 2, 3]];
    let error = bleu.corpus(&one, &[]).unwrap_err().to_string();
    assert_eq!(error, "Bleu: expected 1 references, one for each written text, got 0; pass both in the same order");
    assert!(bleu.corpus(&one, &[vec![]]).unwrap_err().to_string().contains("none for text 0"));
    assert!(
        bleu.order(0).corpus(&one, &[vec![vec![1]]]).unwrap_err().to_string().contains("order must be from 1 to 64")
    );
    let floor = bleu.smoothing(Smoothing::Floor(f64::NAN)).corpus(&one, &[vec![vec![1]]]);
    assert!(floor.unwrap_err().to_string().contains("smoothing"));
    // Nothing written, nothing wanted.
    let empty = bleu.corpus(&[Vec::<u32>::new()], &[vec![vec![1, 2]]]).unwrap();
    assert_eq!((empty.score, empty.brevity_penalty), (0.0, 0.0));
    assert_eq!(bleu.corpus(&[Vec::<u32>::new()], &[vec![vec![]]]).unwrap().score, 0.0);
    assert_eq!(Chrf::default().corpus(&[""], &[vec!["a"]]).unwrap().score, 0.0);
    for how in [Chrf::default().characters(0), Chrf::default().words(usize::MAX), Chrf::default().characters(65)] {
        let error = how.corpus(&["a"], &[vec!["a"]]).unwrap_err().to_string();
        assert!(error.contains("lengths must be up to 64 characters, 64 words, and not 0 of both"), "{error}");
    }
    assert!(Chrf::default().beta(0.0).corpus(&["a"], &[vec!["a"]]).is_err());
    assert_eq!(rouge_l::<u32>(&[], &[1]), Rouge::default());
    assert!(rouge_n(&[1], &[1], 0).is_err());
    assert!(word_error_rate(&[vec!["a"]], &[vec![]]).unwrap_err().to_string().contains("the reference"));
    assert_eq!(word_error_rate::<&str>(&[vec![]], &[vec!["a"]]).unwrap().rate(), 1.0);
    assert!(perplexity(&[]).is_err() && perplexity(&[f64::NAN]).is_err());
    assert!(perplexity(&[-1.0, 0.5]).unwrap_err().to_string().contains("got 0.5 for token 1"));
    assert_eq!(perplexity(&[f64::NEG_INFINITY]).unwrap(), f64::INFINITY);
    // White space as Python has it: jiwer strips it from both ends, sacrebleu leaves all of it out.
    let cer = |written, wanted| character_error_rate(&[written], &[wanted]).unwrap().rate();
    assert_eq!((cer(" ab\n", "ab"), cer("ab\x1d ", "ab"), cer("ab\x1c c \n", "\u{3000}ab c")), (0.0, 0.0, 0.25));
    assert_eq!(cer("ab  c", "ab c"), 0.25);
    assert!(character_error_rate(&["a"], &[" "]).unwrap_err().to_string().contains("the reference"));
    let chrf = Chrf::default();
    let score = |how: Chrf| how.corpus(&["the\x1fcat, sat "], &[vec!["the cat sat!"]]).unwrap().score;
    assert!((score(chrf) - 54.41137566137567).abs() < 1e-9 && (score(chrf.words(2)) - 54.35019841269841).abs() < 1e-9);
    // The same sentence scores in full.
    let long = [(0..40).collect::<Vec<u32>>()];
    assert!((bleu.corpus(&long, &[vec![long[0].clone()]]).unwrap().score - 100.0).abs() < 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What is clean stays as it is.
    #[test]
    fn cleaning_again_changes_nothing(
        text in "(\\PC|[aéİΣς\u{301}\u{307}\u{345}\u{200b}\u{feff}\u{ad}\u{200e}\u{200d}\u{0}\u{a0}\u{3000} ßﬁ한한Åが\u{3099}ώ\r\n]){0,12}",
        form in prop::sample::select(vec![None, Some(Form::Nfc), Some(Form::Nfd), Some(Form::Nfkc), Some(Form::Nfkd)]),
        switches in any::<[bool; 4]>(),
    ) {
        let [control, accents, lowercase, white_space] = switches;
        let cleaner = Cleaner::new().form(form).control(control).accents(accents).lowercase(lowercase).white_space(white_space);
        let clean = cleaner.clean(&text);
        prop_assert_eq!(cleaner.clean(&clean), &*clean);
        if let Some(form) = form {
            prop_assert_eq!(form.apply(&clean), clean);
        }
    }

    /// Any text is vectors or an error; what is read can be saved, and is the same when it is read again.
    #[test]
    fn any_file_of_word_vectors(
        text in "([a1 ]{1,3}|2 2|a 1 2|b b -1 0\\.5| |\t|\n|\r\n|\u{a0}|nan|1e9){0,12}",
        (header, size) in (prop::option::of(any::<bool>()), prop::option::of(0usize..4)),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut file = WordVectorFile::default();
        file = if let Some(header) = header { file.header(header) } else { file };
        file = if let Some(size) = size { file.size(size) } else { file };
        if let Ok(vectors) = file.parse(&text) {
            prop_assert!(vectors.size() > 0);
            let path = std::env::temp_dir().join(format!("gradus-any-vectors-{}.txt", std::process::id()));
            vectors.save(&path).unwrap();
            let again = WordVectorFile::default().read(&path);
            std::fs::remove_file(&path).unwrap();
            prop_assert_eq!(again.unwrap(), vectors);
        }
        let _ = file.read_from("bytes", &bytes[..]);
        let with_header = [b"3 2\n".as_slice(), &bytes].concat();
        let _ = WordVectorFile::default().binary(true).read_from("bytes", &with_header[..]);
    }
}
