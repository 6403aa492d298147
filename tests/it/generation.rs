//! Texts written by toys: search and sampling against Transformers, against all that is possible, and against each other.

use std::cell::RefCell;

use gradus::generation::{
    BeamStopping, Decoder, Finish, FromScratch, Generated, GenerationSettings, Generator, History, Sequence, Token,
    log_softmax,
};
use gradus::{Error, Float, Result};
use serde_json::Value;

const VOCABULARY: usize = 11;

/// The logits of what follows so many tokens, the last of them a and b, in a table: the same formula as in
/// `tests/interop/generation.py`. As they depend on the length, no two sequences have sums of the same numbers.
fn logit(table: u64, [length, a, b]: [u32; 3], token: usize) -> f64 {
    let n = VOCABULARY as u64;
    let z = (((table * 16 + u64::from(length)) * n + u64::from(a)) * n + u64::from(b)) * n + token as u64 + 1;
    let z = z.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // As Transformers has them, in single precision.
    f64::from((((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 50) as f64 - 4.0) as f32)
}

/// A decoder that keeps of each row what it needs: its length and its last two tokens.
#[derive(Clone, Debug, Default)]
struct Toy {
    table: u64,
    vocabulary: Option<usize>,
    context: Option<usize>,
    rows: Vec<[u32; 3]>,
    /// Rows of each call.
    calls: Vec<usize>,
}

impl Toy {
    fn new(table: u64) -> Self {
        Toy { table, ..Toy::default() }
    }

    /// Only the first tokens of the table.
    fn of(table: u64, vocabulary: usize) -> Self {
        Toy { table, vocabulary: Some(vocabulary), ..Toy::default() }
    }

    fn write<T: Float>(&mut self, logits: &mut [T]) {
        let n = self.vocabulary.unwrap_or(VOCABULARY);
        assert_eq!(logits.len(), self.rows.len() * n);
        self.calls.push(self.rows.len());
        for (row, logits) in self.rows.iter().zip(logits.chunks_exact_mut(n)) {
            logits.iter_mut().enumerate().for_each(|(token, v)| *v = T::of(logit(self.table, *row, token)));
        }
    }
}

impl<T: Float> Decoder<T> for Toy {
    fn vocabulary(&self) -> usize {
        self.vocabulary.unwrap_or(VOCABULARY)
    }

    fn context(&self) -> usize {
        self.context.unwrap_or(usize::MAX)
    }

    fn prompt(&mut self, rows: &[&[u32]], logits: &mut [T]) -> Result<()> {
        let kept = |row: &&[u32]| {
            let before = if row.len() > 1 { row[row.len() - 2] } else { 0 };
            [row.len() as u32, before, row[row.len() - 1]]
        };
        self.rows = rows.iter().map(kept).collect();
        self.write(logits);
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], logits: &mut [T]) -> Result<()> {
        assert_eq!(tokens.len(), self.rows.len());
        self.rows.iter_mut().zip(tokens).for_each(|(row, &token)| *row = [row[0] + 1, row[2], token]);
        self.write(logits);
        Ok(())
    }

    fn reorder(&mut self, rows: &[usize]) -> Result<()> {
        self.rows = rows.iter().map(|&row| self.rows[row]).collect();
        Ok(())
    }
}

/// The same toy without memory.
fn anew<T: Float>(table: u64) -> impl Decoder<T> {
    FromScratch::new(VOCABULARY, usize::MAX, move |rows: &[Vec<u32>], logits: &mut [T]| {
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        Toy::new(table).prompt(&rows, logits)
    })
}

fn settings() -> GenerationSettings {
    GenerationSettings::default()
}

fn tokens(output: &Generated) -> Vec<Vec<Vec<u32>>> {
    output.rows().iter().map(|row| row.iter().map(|sequence| sequence.tokens.clone()).collect()).collect()
}

/// Settings in Transformers' words.
fn from_json(json: &Value) -> GenerationSettings {
    let mut s = settings();
    for (name, value) in json.as_object().unwrap() {
        let (number, size) = (value.as_f64().unwrap_or(f64::NAN), value.as_u64().unwrap_or(u64::MAX));
        let ids = || value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect::<Vec<_>>();
        s = match name.as_str() {
            "num_beams" => s.num_beams(size as usize),
            "num_return_sequences" => s.num_return_sequences(size as usize),
            "max_new_tokens" => s.max_new_tokens(size as usize),
            "min_new_tokens" => s.min_new_tokens(size as usize),
            "min_length" => s.min_length(size as usize),
            "no_repeat_ngram_size" => s.no_repeat_ngram_size(size as usize),
            "eos_token_id" => s.end_tokens(ids()),
            "pad_token_id" => s.pad_token(size as u32),
            "forced_bos_token_id" => s.forced_bos(size as u32),
            "forced_eos_token_id" => s.forced_eos([size as u32]),
            "suppress_tokens" => s.suppress_tokens(ids()),
            "begin_suppress_tokens" => s.begin_suppress_tokens(ids()),
            "repetition_penalty" => s.repetition_penalty(number),
            "length_penalty" => s.length_penalty(number),
            "bad_words_ids" => s.bad_words(serde_json::from_value::<Vec<Vec<u32>>>(value.clone()).unwrap()),
            "early_stopping" => s.early_stopping(match value {
                Value::Bool(true) => BeamStopping::Full,
                Value::Bool(false) => BeamStopping::Likely,
                other => {
                    assert_eq!(other, "never");
                    BeamStopping::Never
                }
            }),
            other => panic!("{other} is not known"),
        };
    }
    s
}

#[test]
fn as_transformers_writes() {
    fn check<T: Float>(case: &Value) {
        let prompts: Vec<Vec<u32>> = serde_json::from_value(case["prompts"].clone()).unwrap();
        let expected: Vec<Vec<Vec<u32>>> = serde_json::from_value(case["tokens"].clone()).unwrap();
        let mut decoder = Toy::new(case["table"].as_u64().unwrap());
        let output = Generator::<T>::new_as(from_json(&case["settings"])).generate(&mut decoder, &prompts).unwrap();
        assert_eq!(tokens(&output), expected, "{} {}", T::NAME, case);
        if let Ok(scores) = serde_json::from_value::<Vec<Vec<f64>>>(case["scores"].clone()) {
            for (got, expected) in output.rows().iter().flatten().zip(scores.iter().flatten()) {
                let error = (got.score - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-5, "{} instead of {expected}: {case}", got.score);
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/generation/transformers.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 200);
    for case in &cases {
        check::<f64>(case);
        check::<f32>(case);
    }
}

/// All sequences of at most four tokens, each with the sum of its log-probabilities.
fn all_sequences(toy: &Toy, prompt: &[u32], end: u32, most: usize) -> Vec<(Vec<u32>, f64)> {
    let (mut open, mut all) = (vec![(Vec::new(), 0.0)], Vec::new());
    for length in 1..=most {
        let mut longer = Vec::new();
        for (tokens, sum) in &open {
            let row = [prompt, tokens].concat();
            let mut log = vec![0.0f64; toy.vocabulary.unwrap()];
            toy.clone().prompt(&[&row], &mut log).unwrap();
            log_softmax(&mut log);
            for (token, log) in log.iter().enumerate() {
                let next = ([&tokens[..], &[token as u32]].concat(), sum + log);
                if token as u32 == end || length == most { all.push(next) } else { longer.push(next) }
            }
        }
        open = longer;
    }
    all
}

/// With as many beams as there are beginnings nothing is lost: what comes out is all that there is, in its order.
#[test]
fn beams_enough_find_the_best_of_all() {
    for (table, penalty) in [(1, 0.0), (2, 1.0), (3, 2.0), (4, -1.0), (5, 0.6)] {
        let toy = Toy::of(table, 4);
        let mut all = all_sequences(&toy, &[1, 2], 0, 4);
        let score = |(tokens, sum): &(Vec<u32>, f64)| sum / (tokens.len() as f64).powf(penalty);
        all.sort_by(|a, b| score(b).total_cmp(&score(a)));
        assert_eq!(all.len(), 1 + 3 + 9 + 27 * 4);
        let settings = settings()
            .max_new_tokens(4)
            .end_tokens([0])
            .num_beams(128)
            .num_return_sequences(128)
            .length_penalty(penalty)
            .early_stopping(BeamStopping::Never);
        let output = Generator::<f64>::new_as(settings.clone()).generate(&mut toy.clone(), &[[1, 2]]).unwrap();
        assert_eq!(output[0].len(), all.len());
        for (got, expected) in output[0].iter().zip(&all) {
            assert_eq!(got.tokens, expected.0);
            assert!((got.score - score(expected)).abs() < 1e-12);
            assert!((got.log_probabilities.iter().sum::<f64>() - expected.1).abs() < 1e-12);
            let ends = got.tokens.ends_with(&[0]);
            assert_eq!(got.finish, if ends { Finish::EndToken } else { Finish::Length });
        }
        // A few beams find nothing better, and with so few tokens to choose from mostly the best.
        let few = settings.num_beams(3).num_return_sequences(3);
        let few = Generator::<f64>::new_as(few).generate(&mut toy.clone(), &[[1, 2]]).unwrap();
        assert_eq!(few[0].len(), 3);
        for (rank, sequence) in few[0].iter().enumerate() {
            assert!(sequence.score <= output[0][rank].score + 1e-12);
            assert!(output[0].iter().any(|one| one.tokens == sequence.tokens));
        }
    }
}

/// One beam that cannot end early is greedy search.
#[test]
fn greedy_is_the_largest_of_each_step() {
    let prompts = [vec![3], vec![1, 2, 3, 4], vec![9, 9]];
    let output = Generator::new(settings().max_new_tokens(20)).generate(&mut Toy::new(7), &prompts).unwrap();
    for (prompt, row) in prompts.iter().zip(output.rows()) {
        let [Sequence { tokens, log_probabilities, score, finish }] = &row[..] else { panic!("{row:?}") };
        assert_eq!((tokens.len(), *finish), (20, Finish::Length));
        let mut so_far = prompt.clone();
        for (token, log) in tokens.iter().zip(log_probabilities) {
            let mut logits = [0.0f64; VOCABULARY];
            Toy::new(7).prompt(&[&so_far], &mut logits).unwrap();
            let best = (0..VOCABULARY).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
            assert_eq!(*token, best as u32);
            log_softmax(&mut logits);
            assert!((log - logits[best]).abs() < 1e-6);
            so_far.push(*token);
        }
        assert!((score - log_probabilities.iter().sum::<f64>()).abs() < 1e-12);
    }
    // Of equals the lowest id.
    let mut even = FromScratch::new(5, 9, |_: &[Vec<u32>], logits: &mut [f32]| {
        logits.iter_mut().enumerate().for_each(|(i, v)| *v = f32::from(u8::from(i % 5 >= 2)));
        Ok(())
    });
    for s in [settings(), settings().num_beams(2)] {
        let output = Generator::new(s.max_new_tokens(2)).generate(&mut even, &[[0]]).unwrap();
        assert_eq!(output[0][0].tokens, [2, 2]);
    }
}

/// Every way to search, with much switched on.
fn ways() -> Vec<GenerationSettings> {
    let some = settings().max_new_tokens(12).end_tokens([0, 3]).repetition_penalty(1.2).no_repeat_ngram_size(2);
    let drawn = some.clone().do_sample(true).seed(5).temperature(1.4).presence_penalty(0.3).frequency_penalty(0.1);
    vec![
        settings().max_new_tokens(9),
        some.clone().min_length(6).forced_eos([0]),
        drawn.clone().top_k(8).top_p(0.95).min_p(0.01),
        drawn.clone().typical_p(0.9).epsilon_cutoff(0.01).eta_cutoff(0.02).num_return_sequences(3),
        some.clone().num_beams(3).num_return_sequences(3),
        some.num_beams(4).length_penalty(2.0).early_stopping(BeamStopping::Never).num_return_sequences(4),
        drawn.num_beams(3).num_return_sequences(2).top_k(6),
    ]
}

const PROMPTS: [&[u32]; 5] = [&[4], &[1, 2, 3, 4, 5, 6], &[9, 9], &[4], &[7, 0, 7]];

#[test]
fn a_prompt_alone_is_what_it_is_in_a_batch() {
    for s in ways() {
        let numbers = [3, 1, 4, 1, 5];
        let whole = Generator::new(s.clone().row_numbers(numbers)).generate(&mut Toy::new(21), &PROMPTS).unwrap();
        for (row, (prompt, number)) in PROMPTS.iter().zip(numbers).enumerate() {
            let mut alone = Generator::new(s.clone().row_numbers([number]));
            let one = alone.generate(&mut Toy::new(21), &[prompt]).unwrap();
            assert_eq!(one[0], whole[row], "{s:?}, row {row}");
            // The generator's memory makes no difference, nor does the way in which the decoder keeps rows.
            assert_eq!(alone.generate(&mut anew(21), &[prompt]).unwrap(), one);
        }
        // Without numbers rows are numbered; equal prompts draw apart, with their numbers alike they are alike.
        let plain = Generator::new(s.clone()).generate(&mut anew(21), &PROMPTS).unwrap();
        let numbered = Generator::new(s.clone().row_numbers(0..5)).generate(&mut Toy::new(21), &PROMPTS).unwrap();
        assert_eq!(plain, numbered);
    }
    let drawn = settings().do_sample(true).max_new_tokens(30).num_return_sequences(2);
    let output = Generator::new(drawn.clone()).generate(&mut Toy::new(21), &PROMPTS).unwrap();
    assert_ne!(output[0], output[3]);
    assert_ne!(output[0][0], output[0][1]);
    assert_ne!(output, Generator::new(drawn.clone().seed(1)).generate(&mut Toy::new(21), &PROMPTS).unwrap());
    let alike = Generator::new(drawn.row_numbers([2; 5])).generate(&mut Toy::new(21), &PROMPTS).unwrap();
    assert_eq!(alike[0], alike[3]);
}

/// Draws are keyed by position, so that a text may be written in pieces.
#[test]
fn a_text_in_pieces_is_the_same_text() {
    let s = settings().do_sample(true).seed(9).top_p(0.9).repetition_penalty(1.1);
    let whole = Generator::new(s.clone().max_new_tokens(20)).generate(&mut Toy::new(2), &[[1, 2]]).unwrap();
    let mut text = vec![1, 2];
    for piece in [1, 7, 12] {
        let output = Generator::new(s.clone().max_new_tokens(piece)).generate(&mut Toy::new(2), &[&text]).unwrap();
        text.extend(&output[0][0].tokens);
    }
    assert_eq!(text[2..], whole[0][0].tokens);
}

/// The probability that a token is among those drawn without putting back.
fn included(p: &[f64], token: usize, draws: usize, drawn: &mut Vec<usize>) -> f64 {
    if draws == 0 {
        return 0.0;
    }
    let rest: f64 = (0..p.len()).filter(|i| !drawn.contains(i)).map(|i| p[i]).sum();
    let mut sum = p[token] / rest;
    for i in (0..p.len()).filter(|i| *i != token) {
        if !drawn.contains(&i) {
            drawn.push(i);
            sum += p[i] / rest * included(p, token, draws - 1, drawn);
            drawn.pop();
        }
    }
    sum
}

/// Of the first step's tokens twice as many as beams are drawn, each as likely as it is, and the best of them are the results.
#[test]
fn drawn_beams() {
    let p = [0.05, 0.1, 0.15, 0.2, 0.3, 0.12, 0.08];
    let mut decoder = FromScratch::new(7, 9, move |_: &[Vec<u32>], logits: &mut [f64]| {
        logits.chunks_exact_mut(7).for_each(|row| row.iter_mut().zip(p).for_each(|(v, p)| *v = f64::ln(p)));
        Ok(())
    });
    let s = settings().max_new_tokens(1).do_sample(true).num_beams(2).num_return_sequences(2);
    let (mut best, runs) = ([0.0; 7], 5000);
    for seed in 0..runs {
        let output = Generator::<f64>::new_as(s.clone().seed(seed)).generate(&mut decoder, &[[0]]).unwrap();
        let [first, second] = &output[0] else { panic!("{output:?}") };
        assert!(first.score > second.score);
        best[first.tokens[0] as usize] += 1.0 / runs as f64;
    }
    // The likeliest is the best whenever it was drawn.
    let expected = included(&p, 4, 4, &mut Vec::new());
    assert!((best[4] - expected).abs() < 0.02, "{best:?}, expected {expected}");
}

#[test]
fn tokens_as_they_come() {
    for s in ways().into_iter().filter(|s| Generator::<f32>::new(s.clone()).stream(&mut Toy::new(8), &[[1]]).is_ok()) {
        let mut generator = Generator::new(s);
        let whole = generator.generate(&mut Toy::new(8), &PROMPTS).unwrap();
        let each = whole[0].len();
        let mut toy = Toy::new(8);
        let mut stream = generator.stream(&mut toy, &PROMPTS).unwrap();
        let mut got: Vec<Vec<Token>> = vec![Vec::new(); PROMPTS.len() * each];
        while let Some(token) = stream.next() {
            let token = token.unwrap();
            got[token.row * each + token.sequence].push(token);
            assert_eq!(stream.tokens(token.row, token.sequence).last(), Some(&token.id));
        }
        assert!(stream.next().is_none() && stream.tokens(9, 0).is_empty() && stream.tokens(0, each).is_empty());
        assert_eq!(stream.tokens(usize::MAX, usize::MAX), [0; 0]);
        for (number, (got, expected)) in got.iter().zip(whole.rows().iter().flatten()).enumerate() {
            assert_eq!(got.iter().map(|token| token.id).collect::<Vec<_>>(), expected.tokens, "sequence {number}");
            assert_eq!(got.iter().map(|token| token.log_probability).collect::<Vec<_>>(), expected.log_probabilities);
            assert_eq!(got.iter().filter_map(|token| token.finish).collect::<Vec<_>>(), [expected.finish]);
        }
    }
}

/// Rows that ended are not computed any more, and nothing is computed for tokens that nobody asks for.
#[test]
fn the_decoder_does_what_is_needed() {
    let mut toy = Toy::new(8);
    let s = settings().max_new_tokens(12).end_tokens([0, 3]);
    let output = Generator::<f32>::new(s.clone()).generate(&mut toy, &PROMPTS).unwrap();
    let lengths: Vec<usize> = output.rows().iter().map(|row| row[0].tokens.len()).collect();
    let longest = *lengths.iter().max().unwrap();
    let expected: Vec<usize> = (0..longest).map(|step| lengths.iter().filter(|n| **n > step).count()).collect();
    assert_eq!(toy.calls, expected);
    assert!(expected[longest - 1] < PROMPTS.len(), "the rows end at different steps: {lengths:?}");
    assert_eq!(output.padded().iter().map(Vec::len).collect::<Vec<_>>(), vec![longest; PROMPTS.len()]);

    // The prompt goes through once, however many sequences come of it; steps follow when they are asked for.
    let mut toy = Toy::new(8);
    let mut generator = Generator::<f32>::new(settings().do_sample(true).num_return_sequences(4));
    let taken = generator.stream(&mut toy, &[[1], [2]]).unwrap().take(9).count();
    assert_eq!((taken, &toy.calls[..]), (9, &[2, 8][..]));
    let mut toy = Toy::new(8);
    Generator::<f32>::new(s.num_beams(4).max_new_tokens(1)).generate(&mut toy, &[[1], [2]]).unwrap();
    assert_eq!(toy.calls, [2]);
}

fn problem(s: GenerationSettings, prompts: &[&[u32]]) -> Error {
    let mut toy = Toy { context: Some(8), ..Toy::new(1) };
    let error = Generator::<f32>::new(s.clone()).generate(&mut toy, prompts).unwrap_err();
    // The other doors say the same.
    let stream = Generator::<f32>::new(s).stream(&mut toy, prompts).err();
    assert_eq!(stream.map(|e| e.to_string()), Some(error.to_string()));
    assert!(toy.calls.is_empty(), "found before anything is computed");
    error
}

#[test]
fn what_prompts_and_settings_get_wrong() {
    let s = || settings().max_new_tokens(2);
    let says = |error: Error, expected: &str| assert_eq!(error.to_string(), expected);
    says(problem(s(), &[]), "generate: prompts has no samples; pass at least one row");
    says(
        problem(s(), &[&[1], &[]]),
        "generate: expected prompts of one token or more, got none in row 1; begin with a token, such as the one that begins texts",
    );
    assert!(matches!(
        problem(s(), &[&[1], &[2, 11]]),
        Error::TokenId { row: 1, position: 1, count: 11, ref got, .. } if got == "11"
    ));
    says(
        problem(s(), &[&[1; 9]]),
        "generate: expected prompts of at most 8 tokens, got 9 in row 0; shorten the prompt to the decoder's context",
    );
    says(
        problem(s().max_new_tokens(4), &[&[1], &[1; 6]]),
        "generate: max_new_tokens must be at most 3 behind the 6 tokens of row 1, got 4; the decoder's context holds 8 tokens; lower \
         it, or shorten the prompt",
    );
    says(
        problem(s().row_numbers([1]), &[&[1], &[2]]),
        "generate: row_numbers must be a number for each of 2 prompts, got 1; give as many numbers as prompts",
    );
    assert!(problem(s().stop_strings(["a"]), &[&[1]]).to_string().contains("Generator::tokenizer"));
    for bad in [
        s().temperature(0.0),
        s().temperature(f64::NAN),
        s().top_p(0.0),
        s().top_p(1.5),
        s().top_k(0),
        s().end_tokens([11]),
        s().do_sample(true).num_return_sequences(0),
    ] {
        assert!(matches!(problem(bad.clone(), &[&[1]]), Error::Argument { op: "GenerationSettings", .. }), "{bad:?}");
    }
    // More than any machine has.
    for huge in [1 << 50, usize::MAX] {
        assert!(matches!(problem(s().do_sample(true).num_return_sequences(huge), &[&[1]]), Error::Memory { .. }));
        let beams = Generator::<f32>::new(s().num_beams(huge)).generate(&mut Toy::new(1), &[[1]]);
        assert!(matches!(beams, Err(Error::Memory { .. })));
    }
    assert!(Generator::<f32>::new(s()).generate(&mut Toy::of(1, 0), &[[1]]).unwrap_err().is_shape());
    let beams = Generator::<f32>::new(s().num_beams(2)).stream(&mut Toy::new(1), &[[1]]).err().unwrap();
    says(beams, "stream: num_beams must be 1, got 2; use generate, or set num_beams to 1");

    // What just fits: the last token needs no room.
    let mut toy = Toy { context: Some(8), ..Toy::new(1) };
    let output = Generator::<f32>::new(s().max_new_tokens(1)).generate(&mut toy, &[[1; 8]]).unwrap();
    assert_eq!(output[0][0].tokens.len(), 1);
    // No end of the context, and more tokens than will be asked for.
    let mut endless = Generator::<f32>::new(s().max_new_tokens(usize::MAX));
    assert_eq!(endless.stream(&mut Toy::new(1), &[[1]]).unwrap().take(3000).count(), 3000);
}

/// A decoder whose logits of token 1 go wrong with the third token of row 1.
fn breaking(value: f32) -> impl Decoder {
    FromScratch::new(3, 99, move |rows: &[Vec<u32>], logits: &mut [f32]| {
        for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(3)) {
            let bad = row[0] == 2 && row.len() == 3;
            logits.copy_from_slice(&[0.0, if bad { value } else { 1.0 }, 0.5]);
            if bad && value == f32::NEG_INFINITY {
                logits.fill(value);
            }
        }
        Ok(())
    })
}

#[test]
fn logits_that_cannot_be_used() {
    for s in [settings(), settings().do_sample(true), settings().num_beams(2), settings().do_sample(true).num_beams(2)]
    {
        let s = s.max_new_tokens(5);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = Generator::new(s.clone()).generate(&mut breaking(value), &[[0], [2]]).unwrap_err().to_string();
            let expected = if value == f32::NEG_INFINITY {
                "generate: no token is left for row 1, position 3: the decoder's logits are all −∞; look at the model's weights and \
                 inputs"
                    .to_owned()
            } else {
                format!(
                    "generate: the decoder's logits are {value} for token 1 in row 1, position 3; look at the model's weights and \
                     inputs, and at processors of your own"
                )
            };
            assert_eq!(error, expected, "{s:?}");
        }
        // Processors that leave nothing, or what is no number.
        let all = Generator::new(s.clone().suppress_tokens([0, 1, 2])).generate(&mut breaking(1.0), &[[0]]);
        assert!(all.unwrap_err().to_string().contains("no token is left for row 0, position 1: the logits behind all"));
        let nan = |at: &History<'_>, logits: &mut [f32]| {
            logits[2] = if at.tokens.len() == 2 { f32::NAN } else { 0.0 };
            Ok(())
        };
        let error = Generator::new(s.clone()).processor(nan).generate(&mut breaking(1.0), &[[0]]).unwrap_err();
        assert!(error.to_string().contains("are NaN for token 2 in row 0, position 2"), "{error}");
        // Their own errors come through.
        let own = |_: &History<'_>, _: &mut [f32]| Err(Error::custom("no grammar"));
        let error = Generator::new(s.clone()).processor(own).generate(&mut breaking(1.0), &[[0]]).unwrap_err();
        assert_eq!(error.to_string(), "no grammar");
        let own = |_: &History<'_>| Err(Error::custom("no end"));
        let error = Generator::new(s).stop_when(own).generate(&mut breaking(1.0), &[[0]]).unwrap_err();
        assert_eq!(error.to_string(), "no end");
    }
    // A stream is at its end after an error.
    let (mut generator, mut decoder) = (Generator::new(settings().max_new_tokens(5)), breaking(f32::NAN));
    let mut stream = generator.stream(&mut decoder, &[[0], [2]]).unwrap();
    assert_eq!(stream.by_ref().take_while(Result::is_ok).count(), 5);
    assert!(stream.next().is_none() && stream.next().is_none());
}

/// A mask of the caller's acts in every search, on every row by its own history, and behind the settings' processors.
#[test]
fn masks_of_the_caller() {
    // Tokens that rise, from an even one to an odd one and back.
    let allowed = |last: u32, token: usize| token as u32 > last && token as u32 % 2 != last % 2;
    for s in ways() {
        let s =
            s.min_length(0).forced_eos([]).end_tokens([10]).no_repeat_ngram_size(0).max_new_tokens(3).typical_p(None);
        let seen = RefCell::new(Vec::new());
        let mask = |at: &History<'_>, logits: &mut [f32]| {
            assert_eq!(at.tokens[..at.prompt], *PROMPTS[at.row]);
            seen.borrow_mut().push((at.row, at.sequence));
            let last = at.tokens[at.tokens.len() - 1];
            for (token, logit) in logits.iter_mut().enumerate().filter(|(token, _)| !allowed(last, *token)) {
                *logit = if token == 10 { *logit } else { f32::NEG_INFINITY };
            }
            Ok(())
        };
        let output = Generator::new(s.clone()).processor(mask).generate(&mut Toy::new(4), &PROMPTS).unwrap();
        for (prompt, row) in PROMPTS.iter().zip(output.rows()) {
            for sequence in row {
                let mut last = prompt[prompt.len() - 1];
                for &token in &sequence.tokens {
                    assert!(token == 10 || allowed(last, token as usize), "{prompt:?} {sequence:?} {s:?}");
                    last = token;
                }
            }
        }
        assert!(seen.borrow().iter().any(|(row, _)| *row == 4));
    }
    // Only one sequence is possible: fewer come than were asked for.
    let one = |at: &History<'_>, logits: &mut [f32]| {
        let next = at.tokens.len() % 3;
        logits.iter_mut().enumerate().filter(|(i, _)| *i != next).for_each(|(_, v)| *v = f32::NEG_INFINITY);
        Ok(())
    };
    for s in [settings(), settings().do_sample(true).seed(1)] {
        let s = s.max_new_tokens(4).num_beams(3).num_return_sequences(3);
        let output = Generator::new(s).processor(one).generate(&mut Toy::new(4), &[[5]]).unwrap();
        assert_eq!(tokens(&output), [[[1, 2, 0, 1]]]);
    }
}

#[cfg(feature = "text")]
mod text {
    use gradus::text::{Tokenizer, tokenizer::Trainer};

    use super::*;

    fn tokenizer() -> Tokenizer {
        let texts =
            ["the cat sat. The end of the cat! User: no", "über die Brücke, 猫が好き 🙂 stop here", "User: the end"];
        Trainer::byte_level_bpe(330).special_tokens(["<end>"]).train(texts).unwrap()
    }

    /// A decoder that writes a text behind whatever prompt, then the end token for ever.
    fn scribe(tokenizer: &Tokenizer, prompt: usize, text: &str) -> impl Decoder {
        let (ids, n) = (tokenizer.encode_ordinary(text).unwrap(), tokenizer.id_bound());
        let end = tokenizer.id("<end>").unwrap();
        FromScratch::new(n, usize::MAX, move |rows: &[Vec<u32>], logits: &mut [f32]| {
            for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(n)) {
                logits.fill(0.0);
                logits[*ids.get(row.len() - prompt).unwrap_or(&end) as usize] = 30.0;
            }
            Ok(())
        })
    }

    /// All doors give the same text.
    fn written(text: &str, s: GenerationSettings) -> String {
        let tokenizer = tokenizer();
        let prompt = "the cat";
        let length = tokenizer.encode_ids(prompt).unwrap().len();
        let s = s.end_tokens([tokenizer.id("<end>").unwrap()]).max_new_tokens(100);
        let mut generator = Generator::new(s.clone()).tokenizer(&tokenizer);
        let mut decoder = scribe(&tokenizer, length, text);
        let mut stream = generator.stream_text(&mut decoder, prompt).unwrap();
        let pieces: Vec<String> = stream.by_ref().map(Result::unwrap).collect();
        assert!(pieces.iter().all(|piece| !piece.is_empty()) && stream.next().is_none());
        let (finish, tokens) = (stream.finish().unwrap(), stream.tokens()[length..].to_vec());
        assert_eq!(finish, if pieces.concat() == text { Finish::EndToken } else { Finish::Stopped });
        let output = generator.generate(&mut decoder, &[tokenizer.encode_ids(prompt).unwrap()]).unwrap();
        assert_eq!((output[0][0].finish, &output[0][0].tokens), (finish, &tokens));
        for beams in [1, 3] {
            let mut generator = Generator::new(s.clone().num_beams(beams)).tokenizer(&tokenizer);
            // Twice, as a generator remembers what it read.
            for _ in 0..2 {
                assert_eq!(generator.generate_text(&mut decoder, prompt).unwrap(), pieces.concat(), "{beams} beams");
            }
        }
        pieces.concat()
    }

    #[test]
    fn stop_strings_span_tokens() {
        let text = " sat on die Brücke. 猫が好き 🙂🙂 The end of it. User: no";
        assert_eq!(written(text, settings()), text);
        assert_eq!(written("", settings()), "");
        for (strings, expected) in [
            (vec!["User:"], " sat on die Brücke. 猫が好き 🙂🙂 The end of it. "),
            (vec!["zzz", "d of i", "猫が好きで"], " sat on die Brücke. 猫が好き 🙂🙂 The en"),
            (vec!["が", "ücke"], " sat on die Br"),
            (vec!["が好き 🙂🙂"], " sat on die Brücke. 猫"),
            (vec!["🙂 T"], " sat on die Brücke. 猫が好き 🙂"),
            (vec![" "], ""),
            (vec!["no\n", "noo"], text),
            // It would begin in the prompt.
            (vec!["cat sat"], text),
        ] {
            assert_eq!(written(text, settings().stop_strings(strings.clone())), expected, "{strings:?}");
        }
    }

    /// Pieces hold whole characters, and come as soon as they are known.
    #[test]
    fn pieces_come_early() {
        let tokenizer = tokenizer();
        let length = tokenizer.encode_ids("the").unwrap().len();
        let text = "abcabcdabé";
        let mut decoder = scribe(&tokenizer, length, text);
        let s = settings().stop_strings(["abcd"]).max_new_tokens(30);
        let mut generator = Generator::new(s).tokenizer(&tokenizer);
        let pieces: Vec<_> = generator.stream_text(&mut decoder, "the").unwrap().map(Result::unwrap).collect();
        assert_eq!(pieces, ["abc"]);
        let mut generator = Generator::new(settings().max_new_tokens(11)).tokenizer(&tokenizer);
        let mut stream = generator.stream_text(&mut decoder, "the").unwrap();
        assert_eq!(stream.next().unwrap().unwrap(), "a");
        assert_eq!(stream.tokens().len(), length + 1);
        let rest: Vec<_> = stream.map(Result::unwrap).collect();
        assert_eq!(rest, ["b", "c", "a", "b", "c", "d", "a", "b", "é"]);
        // Cut within a character.
        let mut generator = Generator::new(settings().max_new_tokens(10)).tokenizer(&tokenizer);
        assert_eq!(generator.generate_text(&mut decoder, "the").unwrap(), "abcabcdab\u{fffd}");
        let pieces = generator.stream_text(&mut decoder, "the").unwrap().map(Result::unwrap).collect::<String>();
        assert_eq!(pieces, "abcabcdab\u{fffd}");
    }

    #[test]
    fn what_texts_get_wrong() {
        let tokenizer = tokenizer();
        let mut toy = scribe(&tokenizer, 1, "");
        let error = Generator::new(settings()).generate_text(&mut toy, "a").unwrap_err().to_string();
        assert_eq!(
            error,
            "generate_text: tokenizer must be the one that belongs to the decoder, got none; call Generator::tokenizer first"
        );
        let s = settings().max_new_tokens(3);
        let mut generator = Generator::new(s.clone()).tokenizer(&tokenizer);
        assert!(generator.generate_text(&mut toy, "").unwrap_err().is_shape());
        // A decoder with fewer tokens than the tokenizer, and one with more.
        let error = generator.generate_text(&mut Toy::new(1), "the cat").unwrap_err();
        assert!(matches!(error, Error::TokenId { count: 11, .. }), "{error}");
        let n = tokenizer.id_bound() + 5;
        let mut wide = FromScratch::new(n, 99, move |_: &[Vec<u32>], logits: &mut [f32]| {
            logits.fill(0.0);
            logits.iter_mut().skip(n - 1).step_by(n).for_each(|v| *v = 1.0);
            Ok(())
        });
        for error in [
            generator.generate_text(&mut wide, "a").unwrap_err(),
            generator.stream_text(&mut wide, "a").unwrap().find_map(Result::err).unwrap(),
        ] {
            assert!(error.to_string().contains("ids must be ids of the vocabulary"), "{error}");
        }
        let many = Generator::new(s.do_sample(true).num_return_sequences(2)).tokenizer(&tokenizer);
        let error = { many }.stream_text(&mut toy, "a").err().unwrap();
        assert!(error.to_string().contains("num_return_sequences must be 1"), "{error}");
    }
}
