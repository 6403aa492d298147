//! What a text is about. `cargo run --release --features text --example text_classification [FILE]`
//!
//! FILE is a CSV or TSV of texts and their classes, a fifth of it held out. Without one the example makes sentences of two words of a
//! topic and one of another, in English and Chinese, and holds out pairs of words that it was never trained on.

use gradus::prelude::*;
use gradus::text::{TextSplit, TextVectorization};

const TOPICS: [(&str, [&str; 2]); 3] = [
    ("sport", ["match goal coach race team score player league", "比赛 进球 教练 赛跑 球队 得分 球员 联赛"]),
    ("music", ["song piano chorus violin concert melody singer album", "歌曲 钢琴 合唱 提琴 音乐会 旋律 歌手 专辑"]),
    ("food", ["soup noodles kitchen pepper recipe bread dinner cook", "热汤 面条 厨房 胡椒 食谱 面包 晚饭 厨师"]),
];

fn made_up() -> Vec<(String, String, bool)> {
    let sentence = |n: usize| {
        let (topic, a, b, other, language) = (n % 3, n / 3 % 8, n / 24 % 8, n / 192 % 16, n / 3072);
        let word = |topic: usize, i: usize| TOPICS[topic % 3].1[language].split(' ').nth(i % 8).unwrap_or_default();
        let (x, y, z) = (word(topic, a), word(topic, b), word(topic + 1 + other / 8, other));
        let text = [format!("They told us of the {x}, the {z} and the {y}."), format!("他们说起{x}、{z}还有{y}。")];
        (a != b).then(|| (text[language].clone(), TOPICS[topic].0.into(), (a * b + a + b) % 5 == 0))
    };
    (0..2 * 3072).filter_map(sentence).collect()
}

fn read(path: String) -> Result<Vec<(String, String, bool)>, Error> {
    let table = TextTable::default().classes().open(path)?;
    let class = |row: &TextSample| table.class_names()[row.label.unwrap_or_default() as usize].clone();
    Ok((0..).zip(table.read_all()?).map(|(i, row)| (row.texts.concat(), class(&row), i % 5 == 0)).collect())
}

fn main() -> Result<(), Error> {
    let data = std::env::args().nth(1).map_or_else(|| Ok(made_up()), read)?;
    let names: std::collections::BTreeSet<&str> = data.iter().map(|row| row.1.as_str()).collect();
    let names = Vec::from_iter(names);
    let label = |class: &String| names.binary_search(&class.as_str()).unwrap_or_default();
    let part = |held: bool| data.iter().filter(move |row| row.2 == held).map(|row| (row.0.as_str(), label(&row.1)));
    let (texts, labels): (Vec<_>, Vec<_>) = part(false).unzip();
    let front = TextVectorization::new().split(TextSplit::Cjk).ngrams(2).max_tokens(50_000).adapt(&texts)?;
    let mut model = Sequential::new([FREE])
        .add(Embedding::new(front.vocabulary_size(), 16).mask_zero(true))
        .add(GlobalAveragePooling1d::new())
        .add(Dense::new(names.len()).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.set_text_front(front)?;
    model.fit_texts(&texts, &Tensor::from_labels(&labels), &Fit::default().epochs(10))?;
    let (new, truth): (Vec<_>, Vec<_>) = part(true).unzip();
    println!("{} texts held out: {}", truth.len(), model.evaluate_texts(&new, &Tensor::from_labels(&truth))?);
    let (p, answers) = (model.predict_texts(&new)?, model.predict_text_classes(&new)?);
    println!("{}", ConfusionMatrix::new(&truth, &answers, names.len())?.class_names(&names)?);
    println!("Least and most like their class:");
    let mut sorted: Vec<_> = (0..truth.len()).map(|i| (p.row(i)[truth[i]], names[truth[i]], new[i])).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (p, name, text) in sorted.iter().take(3).chain(sorted.iter().rev().take(3)) {
        println!("{p:.3} {name} {text}");
    }
    Ok(())
}
