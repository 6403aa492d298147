//! Whether a sentence praises, in English and Chinese, negation included. `cargo run --release --features text --example sentiment [FILE]`
//!
//! FILE is a CSV or TSV of sentences and 1 or 0; a fifth of it is held out. Without one the example makes
//! sentences, and holds out subjects together with judgements that it was never trained on.

use gradus::prelude::*;
use gradus::text::{TextSplit, TextVectorization};

const SUBJECTS: [&str; 2] = [
    "the film,this book,our room,the soup,her song,that game,the trip,his talk",
    "这部电影,这本书,我们的房间,这碗汤,她的歌,那场比赛,这次旅行,他的演讲",
];
/// Every second one turns what follows round.
const WAYS: [&str; 2] = ["is,is not,was very,was never,seems,is hardly", "显得,并不,非常,从来不,看起来,不太"];
/// The first five praise.
const WORDS: [&str; 2] =
    ["good,great,lovely,charming,clever,bad,dull,awful,ugly,clumsy", "好,棒,可爱,迷人,聪明,坏,无聊,糟糕,难看,笨拙"];

fn made_up() -> Vec<(String, bool, bool)> {
    let sentence = |n: usize| {
        let (language, subject, word, way) = (n % 2, n / 2 % 8, n / 16 % 10, n / 160);
        let [s, h, w] = [(SUBJECTS, subject), (WAYS, way), (WORDS, word)]
            .map(|(list, i)| list[language].split(',').nth(i).unwrap_or_default());
        let text = if language == 0 { format!("{s} {h} {w}.") } else { format!("{s}{h}{w}。") };
        (text, (word < 5) == (way % 2 == 0), (subject + 2 * word + 3 * way) % 5 == 0)
    };
    (0..2 * 8 * 10 * 6).map(sentence).collect()
}

fn read(path: String) -> Result<Vec<(String, bool, bool)>, Error> {
    let rows = TextTable::default().numbers().open(path)?.read_all()?.into_iter().enumerate();
    Ok(rows.map(|(i, row)| (row.texts.concat(), row.label == Some(1.0), i % 5 == 0)).collect())
}

fn main() -> Result<(), Error> {
    let data = std::env::args().nth(1).map_or_else(|| Ok(made_up()), read)?;
    let part =
        |held: bool| data.iter().filter(move |row| row.2 == held).map(|row| (row.0.as_str(), usize::from(row.1)));
    let (texts, labels): (Vec<_>, Vec<_>) = part(false).unzip();
    // Pairs of neighbours tell `not good` from `good`, and 不好 from 好.
    let front = TextVectorization::new().split(TextSplit::Cjk).ngrams(2).max_tokens(50_000).adapt(&texts)?;
    let mut model = Sequential::new([FREE])
        .add(Embedding::new(front.vocabulary_size(), 16).mask_zero(true))
        .add(GlobalAveragePooling1d::new())
        .add(Dense::new(2).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.set_text_front(front)?;
    model.fit_texts(&texts, &Tensor::from_labels(&labels), &Fit::default().epochs(150).verbose(Verbose::Silent))?;
    let (new, truth): (Vec<_>, Vec<_>) = part(true).unzip();
    println!("{} sentences held out: {}", new.len(), model.evaluate_texts(&new, &Tensor::from_labels(&truth))?);
    let (p, answers) = (model.predict_texts(&new)?, model.predict_text_classes(&new)?);
    println!("{}", ConfusionMatrix::new(&truth, &answers, 2)?.class_names(&["blame", "praise"])?);
    let mut sorted: Vec<_> = (0..new.len()).map(|i| (p.row(i)[1], new[i])).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted.iter().take(3).chain(sorted.iter().rev().take(3)).for_each(|(p, text)| println!("{p:.3} {text}"));
    Ok(())
}
