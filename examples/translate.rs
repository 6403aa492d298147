//! An encoder–decoder Transformer that reads dates and numbers in words and writes them in digits, character by character.
//!
//! `cargo run --release --features plot --example translate -- [STEPS]`
//!
//! "twenty-third of November 2026" becomes "2026-11-23", "four thousand and twelve" becomes "4012". The example makes its pairs itself; those that it is
//! measured on were never seen. What the decoder looked at is drawn into `translate_attention.svg` in the folder for temporary files.

use gradus::generation::{GenerationSettings, Generator};
use gradus::graph::Graph;
use gradus::models::Transformer;
use gradus::plot::{HeatMap, Picture};
use gradus::prelude::*;
use gradus::random::{Key, Purpose};

const ONES: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen";
const TENS: &str = "- - twenty thirty forty fifty sixty seventy eighty ninety";
const ORDINALS: &str = "- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth \
                        sixteenth seventeenth eighteenth nineteenth twentieth";
const MONTHS: &str = "- January February March April May June July August September October November December";
/// Padding, the tokens that begin and end a text, and the characters.
const CHARACTERS: &str = "_^$ -,0123456789abcdefghijklmnopqrstuvwxyzADFJMNOS";
const START: u32 = 1;
const END: u32 = 2;

fn word(list: &str, i: usize) -> &str {
    list.split_whitespace().nth(i).unwrap_or_default()
}

fn number(n: usize) -> String {
    let below_hundred = |n: usize| match (n / 10, n % 10) {
        (0 | 1, _) => word(ONES, n).to_owned(),
        (tens, 0) => word(TENS, tens).to_owned(),
        (tens, ones) => format!("{}-{}", word(TENS, tens), word(ONES, ones)),
    };
    let rest = |text: String, n: usize| if n == 0 { text } else { format!("{text} and {}", below_hundred(n)) };
    match (n / 1000, n / 100 % 10) {
        (0, 0) => below_hundred(n),
        (0, hundreds) => rest(format!("{} hundred", word(ONES, hundreds)), n % 100),
        (thousands, 0) => rest(format!("{} thousand", word(ONES, thousands)), n % 100),
        (thousands, hundreds) => {
            rest(format!("{} thousand {} hundred", word(ONES, thousands), word(ONES, hundreds)), n % 100)
        }
    }
}

fn ordinal(n: usize) -> String {
    match (n / 10, n % 10) {
        (_, _) if n <= 20 => word(ORDINALS, n).to_owned(),
        (3, 0) => "thirtieth".to_owned(),
        (tens, ones) => format!("{}-{}", word(TENS, tens), word(ORDINALS, ones)),
    }
}

/// Pair number `i`: half of them dates in three forms, half numbers.
fn pair(i: u64) -> (String, String) {
    let key = Key::new(7, Purpose::Data).with(i);
    let below = |draw: u64, n: usize| key.below(draw, n);
    if below(0, 2) == 0 {
        let n = below(1, 10_000);
        return (number(n), n.to_string());
    }
    let (year, month) = (1900 + below(1, 200), 1 + below(2, 12));
    let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
    let (day, name) = (1 + below(3, days), word(MONTHS, month));
    let text = match below(4, 3) {
        0 => format!("{} of {name} {year}", ordinal(day)),
        1 => format!("{name} {day}, {year}"),
        _ => format!("{day} {} {year}", &name[..3]),
    };
    (text, format!("{year}-{month:02}-{day:02}"))
}

fn ids(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| CHARACTERS.find(c)).map(|at| at as u32).collect()
}

fn text(ids: &[u32]) -> String {
    ids.iter().take_while(|id| **id != END).filter_map(|id| CHARACTERS.chars().nth(*id as usize)).collect()
}

/// Source, what the decoder is given, and what it is to give, filled up with zeros.
fn batch(pairs: &[(String, String)]) -> [Tensor; 3] {
    let filled = |rows: Vec<Vec<u32>>| {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        Tensor::from_fn([rows.len(), longest], |i| rows[i / longest].get(i % longest).map_or(0.0, |id| *id as f32))
    };
    let rows = |row: &dyn Fn(&(String, String)) -> Vec<u32>| filled(pairs.iter().map(row).collect());
    [
        rows(&|(source, _)| ids(source)),
        rows(&|(_, target)| [&[START], &ids(target)[..]].concat()),
        rows(&|(_, target)| [&ids(target)[..], &[END]].concat()),
    ]
}

fn main() -> gradus::Result<()> {
    let steps: u64 = std::env::args().nth(1).map_or(Ok(1200), |n| n.parse().map_err(Error::custom))?;
    let held_out: Vec<_> = (0..500).map(pair).collect();
    let known: std::collections::HashSet<_> = held_out.iter().map(|(source, _)| source.clone()).collect();
    let mut new = (500..).map(pair).filter(|(source, _)| !known.contains(source));

    let vocabulary = CHARACTERS.len();
    let shape = Transformer {
        vocabulary,
        features: 64,
        blocks: 2,
        heads: 4,
        hidden: 128,
        pre_norm: true,
        dropout: 0.0,
        ..Transformer::default()
    };
    let mut model = shape.build(5)?;
    println!("{} weights, {} pairs of texts", model.params().len(), steps * 64);
    let optimizer = AdamW::default().learning_rate(OneCycle::new(3e-3, steps)).global_clipnorm(1.0);
    model.compile(optimizer, SparseCategoricalCrossentropy::default().from_logits(true), ())?;
    let mut sum = 0.0;
    for step in 1..=steps {
        let pairs: Vec<_> = new.by_ref().take(64).collect();
        let [source, given, target] = batch(&pairs);
        sum += model.train_on_batch([&source, &given], &target)?;
        if step % 200 == 0 || step == steps {
            println!("step {step}: loss {:.4}", sum / ((step - 1) % 200 + 1) as f64);
            sum = 0.0;
        }
    }

    let mut decoder = model.decoder()?.context_length(16);
    let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(12).end_tokens([END]));
    let mut right = 0;
    for (i, part) in held_out.chunks(50).enumerate() {
        decoder.set_source_tokens(&part.iter().map(|(source, _)| ids(source)).collect::<Vec<_>>())?;
        let written = generator.generate(&mut decoder, &vec![[START]; part.len()])?;
        for (k, (source, target)) in part.iter().enumerate() {
            let own = text(&written[k][0].tokens);
            right += usize::from(own == *target);
            if i == 0 && k < 6 {
                println!("{source} → {own}{}", if own == *target { "" } else { " ✗" });
            }
        }
    }
    println!(
        "{:.1}% of {} texts that it had not seen are right to the last character",
        right as f64 / 5.0,
        held_out.len()
    );

    // What the last decoder block's first head looks at: its attention alone, once more, with the scores.
    let shown = [("twenty-third of November 2026".to_owned(), "2026-11-23".to_owned())];
    let [source, given, _] = batch(&shown);
    let inner = model.outputs_of(["decoder_1/cross_attention_norm", "encoder_norm"], [&source, &given])?;
    let mut g = Graph::new();
    let (queries, encoder) = (g.input("queries", [FREE, 64]), g.input("encoder", [FREE, 64]));
    let attention = MultiHeadAttention::new(4, 16).return_scores(true);
    let scores = g.op_outputs(attention, &[queries, encoder]);
    let mut view = g.build([scores[1]], 0)?;
    for name in view.params().specs().iter().map(|spec| spec.name.clone()).collect::<Vec<_>>() {
        let trained = name.replace("multi_head_attention", "decoder_1/cross_attention");
        view.set_weight(&name, model.weight(&trained)?)?;
    }
    let scores = view.predict([&inner[0], &inner[1]])?;
    let [rows, columns] = [scores.dims()[2], scores.dims()[3]];
    let mean = |i: usize| (0..4).map(|head| scores.as_slice()[head * rows * columns + i]).sum::<f32>() / 4.0;
    let names = |text: &str| text.chars().map(|c| c.to_string().replace(' ', "·")).collect::<Vec<_>>();
    let map = HeatMap::new(&Tensor::from_fn([rows, columns], mean))?
        .title("what is looked at for each character")
        .row_names(&names(&format!("^{}", shown[0].1)))?
        .column_names(&names(&shown[0].0))?;
    let file = std::env::temp_dir().join("translate_attention.svg");
    map.save(&file)?;
    println!("attention: {}", file.display());
    Ok(())
}
