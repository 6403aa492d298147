//! Pairs of words that stand near each other, and pairs that do not.

use std::fmt;

use crate::check::check_not_negative;
use crate::data::{Order, Source, Stretch, check_range};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};
use crate::text::Vocabulary;
use crate::text::encoded::check_ids;

/// How texts become samples for vectors of words (word2vec's skip-gram with negative sampling): pairs of a word and one near it, with target
/// 1, and after each some pairs of the same word with one drawn at random, with target 0.
///
/// - A word's window reaches 1 to `window` words to both sides, drawn for each word, so that nearer words count more.
/// - Frequent words are left out of the text at random before that: a word that makes up the part f of all stays with probability
///   √(t/f) + t/f, for `subsample` t.
/// - Words of negative pairs are drawn by their frequency to the power 3/4, and are not the word near it, as far as eight draws go; anew in
///   each epoch.
/// - Defaults: a window of 5, 5 negative pairs for each, t = 1e-3, seed 0. All draws are keyed by seed, text and position, so that they
///   are the same for any number of threads and after a resume.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::{SkipGrams, Vocabulary};
/// let text: Vec<_> = "the cat sat on the mat and the dog sat on the rug".split(' ').collect();
/// let vocabulary = Vocabulary::count(&text, 1, None)?;
/// let source = SkipGrams::default().window(2).negatives(3).subsample(0.0).of([vocabulary.encode(&text)], &vocabulary)?;
/// assert_eq!(source.pairs() * 4, Source::<f32>::samples(&source).unwrap());
/// let (x, y) = Source::<f32>::all_shapes(&source);
/// assert_eq!((x, y), (vec![[1].into(), [1].into()], vec![[1].into()]));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Mikolov et al.: "Distributed Representations of Words and Phrases and their Compositionality", 2013, and the program word2vec, whose
/// formula for frequent words this is. Keras 2 `preprocessing.sequence.skipgrams` and `make_sampling_table`.
#[derive(Clone, Debug, PartialEq)]
pub struct SkipGrams {
    window: usize,
    negatives: usize,
    subsample: f64,
    seed: u64,
}

impl Default for SkipGrams {
    fn default() -> Self {
        SkipGrams { window: 5, negatives: 5, subsample: 1e-3, seed: 0 }
    }
}

/// What the draws are for.
const KEPT: u64 = 1;
const WINDOW: u64 = 2;
const NEGATIVE: u64 = 3;

/// Draws of a negative word before one that stands near is taken after all.
const DRAWS: u64 = 8;

/// The most negative pairs after each.
const MAX_NEGATIVES: usize = 1 << 16;

const OP: &str = "SkipGrams";

impl SkipGrams {
    /// Words to both sides that count as near, at most; 5 by default.
    pub fn window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// Negative pairs after each; 5 by default, 2 to 5 do for large texts.
    pub fn negatives(mut self, negatives: usize) -> Self {
        self.negatives = negatives;
        self
    }

    /// The part of a text above which words are left out at random; 1e-3 by default, 0 for never.
    pub fn subsample(mut self, threshold: f64) -> Self {
        self.subsample = threshold;
        self
    }

    /// What the draws follow from; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The samples of some texts, each the ids that the vocabulary gave it. The four special tokens are passed over, `<unk>` too; windows do not
    /// reach from one text into the next. Takes 8 bytes for each pair.
    ///
    /// # Errors
    /// [`Error::Argument`] for a window of 0, more than 65,536 negative pairs for each, a threshold that is negative or not finite, and an
    /// id that is not of the vocabulary; [`Error::Empty`] where no pair is found; [`Error::Memory`].
    pub fn of<S: AsRef<[usize]>>(
        &self,
        texts: impl IntoIterator<Item = S>,
        vocabulary: &Vocabulary,
    ) -> Result<SkipGramSource> {
        if self.window == 0 {
            return Err(Error::argument(OP, "window", "at least 1", 0, "5 is usual"));
        }
        if self.negatives > MAX_NEGATIVES {
            let expected = format!("at most {MAX_NEGATIVES}");
            return Err(Error::argument(OP, "negatives", expected, self.negatives, "2 to 20 are usual"));
        }
        check_not_negative(OP, "subsample", self.subsample)?;
        let frequency = |id: usize| match id > Vocabulary::END {
            true => vocabulary.frequency(id),
            false => Ok(0),
        };
        let frequencies = (0..vocabulary.len()).map(frequency).collect::<Result<Vec<u64>>>()?;
        let total = frequencies.iter().map(|&f| f as f64).sum::<f64>();
        let mut found = Found { vocabulary, frequencies: &frequencies, total, pairs: Vec::new(), words: Vec::new() };
        for (number, text) in texts.into_iter().enumerate() {
            found.add(self, number as u64, text.as_ref())?;
        }
        let pairs = found.pairs;
        if pairs.is_empty() {
            return Err(Error::Empty {
                op: OP,
                what: "the texts, of which no two words are left that stand side by side,",
            });
        }
        let mut sum = 0.0;
        let weight = |&frequency: &u64| {
            sum += (frequency as f64).powf(0.75);
            sum
        };
        let cumulative = frequencies.iter().map(weight).collect();
        let key = Key::new(self.seed, Purpose::Data).with(NEGATIVE);
        Ok(SkipGramSource { pairs, cumulative, negatives: self.negatives, key })
    }
}

/// What has been found in texts.
struct Found<'a> {
    vocabulary: &'a Vocabulary,
    frequencies: &'a [u64],
    /// The sum of the frequencies.
    total: f64,
    pairs: Vec<[u32; 2]>,
    /// What is left of a text.
    words: Vec<u32>,
}

impl Found<'_> {
    /// Adds the pairs of a text.
    fn add(&mut self, how: &SkipGrams, number: u64, text: &[usize]) -> Result<()> {
        let Found { vocabulary, frequencies, total, pairs, words } = self;
        let total = *total;
        let kept = |id: usize| {
            let part = how.subsample * total / frequencies[id] as f64;
            if how.subsample == 0.0 { 1.0 } else { part.sqrt() + part }
        };
        let key = Key::new(how.seed, Purpose::Data);
        let (kept_key, window_key) = (key.with(KEPT).with(number), key.with(WINDOW).with(number));
        words.clear();
        for (place, &id) in text.iter().enumerate() {
            // An id that is not of the vocabulary is an error that names it.
            vocabulary.token(id)?;
            if id > Vocabulary::END && kept_key.unit(place as u64) < kept(id) {
                words.push(id as u32);
            }
        }
        for (place, &word) in words.iter().enumerate() {
            let reach = 1 + window_key.below(place as u64, how.window);
            let near = place.saturating_sub(reach)..words.len().min(place.saturating_add(reach).saturating_add(1));
            if pairs.capacity() - pairs.len() < near.len() {
                let more = near.len().max(pairs.len() / 2);
                memory::reserve(OP, format_args!("{} pairs", pairs.len() + more), pairs, more)?;
            }
            pairs.extend(near.filter(|&other| other != place).map(|other| [word, words[other]]));
        }
        Ok(())
    }
}

/// The samples of [`SkipGrams`]: inputs a word `[1]` and another `[1]`, target `[1]` whether they stood near each other. A pair and its negative
/// pairs come one after another; shuffle them.
#[derive(Clone)]
pub struct SkipGramSource {
    pairs: Vec<[u32; 2]>,
    /// Sums of the weights with which ids are drawn.
    cumulative: Vec<f64>,
    negatives: usize,
    key: Key,
}

impl fmt::Debug for SkipGramSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SkipGramSource({} pairs, {} negative ones after each)", self.pairs(), self.negatives)
    }
}

impl SkipGramSource {
    /// How many pairs of words stand near each other, both ways.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// A word drawn at random, another than `near` if eight draws find one.
    fn draw(&self, key: Key, near: u32) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let draw = |i: u64| {
            let at = key.unit(i) * total;
            // Rounding may bring the product up to the total itself.
            self.cumulative.partition_point(|&sum| sum <= at).min(self.cumulative.len() - 1) as u32
        };
        (0..DRAWS).map(draw).find(|&id| id != near).unwrap_or(near)
    }
}

impl<T: Float> Source<T> for SkipGramSource {
    fn shapes(&self) -> (Shape, Shape) {
        (Shape::from([2]), Shape::from([1]))
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        (vec![Shape::from([1]); 2], vec![Shape::from([1])])
    }

    fn samples(&self) -> Option<usize> {
        Some(self.pairs.len().saturating_mul(self.negatives.saturating_add(1)))
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let stretch = Stretch::new(Source::<T>::shapes(self), x.len(), y.len());
        check_range(OP, first, stretch.n, Source::<T>::samples(self))?;
        check_ids::<T>(OP, Some(self.cumulative.len()))?;
        if (x.len(), y.len()) != (2 * stretch.n, stretch.n) {
            let got = format!("{} and {}", x.len(), y.len());
            return Err(Error::shape(
                OP,
                "room for two values a sample and one of targets",
                got,
                "ask for whole samples",
            ));
        }
        let key = self.key.with(epoch as u64);
        for (position, (x, y)) in (first..).zip(x.chunks_exact_mut(2).zip(y)) {
            let [word, near] = self.pairs[position / (self.negatives + 1)];
            let positive = position.is_multiple_of(self.negatives + 1);
            let other = if positive { near } else { self.draw(key.with(position as u64), near) };
            (x[0], x[1]) = (T::of(f64::from(word)), T::of(f64::from(other)));
            *y = if positive { T::one() } else { T::zero() };
        }
        Ok(())
    }

    fn order(&self) -> Order {
        Order::Fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four words beside the special ones, some more frequent than others.
    fn text() -> (Vec<usize>, Vocabulary) {
        let key = Key::new(5, Purpose::Data);
        let words: Vec<_> =
            (0..5000u64).map(|i| ["a", "b", "c", "d"][key.below(i, 16).min(key.below(i + 9000, 4))]).collect();
        let vocabulary = Vocabulary::count(&words, 1, None).unwrap();
        (vocabulary.encode(&words), vocabulary)
    }

    #[test]
    fn pairs_stand_within_the_window() {
        let (_, vocabulary) = text();
        let ids = [4, 5, 1, 6, 7, 4, 0];
        let source = SkipGrams::default().window(1).subsample(0.0).of([ids, ids], &vocabulary).unwrap();
        // Special tokens are passed over, and texts end.
        let expected = [[4, 5], [5, 4], [5, 6], [6, 5], [6, 7], [7, 6], [7, 4], [4, 7]];
        assert_eq!(source.pairs, [expected, expected].concat());
        let wide = SkipGrams::default().window(usize::MAX).subsample(0.0).of([ids], &vocabulary).unwrap();
        assert!(wide.pairs() <= 20 && wide.pairs() > 8);
    }

    #[test]
    fn samples_are_pairs_and_what_is_drawn() {
        let (ids, vocabulary) = text();
        let how = SkipGrams::default().negatives(4).subsample(0.0).seed(3);
        let source = how.of([&ids], &vocabulary).unwrap();
        let n = Source::<f64>::samples(&source).unwrap();
        let read = |epoch: usize, first: usize, n: usize| {
            let (mut x, mut y) = (vec![0.0f64; 2 * n], vec![0.0; n]);
            source.read(epoch, first, &mut x, &mut y).unwrap();
            (x, y)
        };
        let (x, y) = read(0, 0, n);
        let (mut drawn, mut near) = ([0.0; 8], 0);
        for (i, (x, y)) in x.chunks(2).zip(&y).enumerate() {
            assert_eq!(*y, f64::from(i % 5 == 0));
            let pair = source.pairs[i / 5].map(f64::from);
            assert!(x[0] == pair[0] && (*y == 0.0 || x[1] == pair[1]));
            near += usize::from(*y == 0.0 && x[1] == pair[1]);
            // What stands near is drawn again: only pairs with the rarest word beside it are counted.
            if *y == 0.0 && pair[1] == 7.0 {
                drawn[x[1] as usize] += 1.0;
            }
        }
        let weight = |id: usize| (vocabulary.frequency(id).unwrap() as f64).powf(0.75);
        let (total, all) = ((4..7).map(weight).sum::<f64>(), drawn.iter().sum::<f64>());
        // Eight draws fail now and then.
        assert!(all > 3000.0 && near < n / 1000, "{near} of {n}");
        (4..7).for_each(|id| assert!((drawn[id] / all - weight(id) / total).abs() < 0.03, "{drawn:?}"));
        // Position by position, in another epoch, and with another seed.
        assert_eq!(read(0, 17, 30), (x[34..94].to_vec(), y[17..47].to_vec()));
        assert_ne!(read(1, 0, n).0, x);
        assert_ne!(how.seed(4).of([&ids], &vocabulary).unwrap().pairs, source.pairs);
        assert!(source.read(0, n, &mut [0.0; 2], &mut [0.0; 1]).is_err());
    }

    #[test]
    fn frequent_words_are_left_out() {
        let (ids, vocabulary) = text();
        let centres = |subsample: f64| {
            let source = SkipGrams::default().window(1).subsample(subsample).of([&ids], &vocabulary).unwrap();
            [4, 7].map(|id| source.pairs.iter().filter(|pair| pair[0] == id).count() as f64 / 2.0)
        };
        let (all, few) = (centres(0.0), centres(0.05));
        for (i, id) in [4, 7].into_iter().enumerate() {
            let f = vocabulary.frequency(id).unwrap() as f64 / ids.len() as f64;
            let kept = ((0.05 / f).sqrt() + 0.05 / f).min(1.0);
            assert!((few[i] / all[i] - kept).abs() < 0.05, "{id}: {} of {}", few[i], all[i]);
        }
    }

    #[test]
    fn impossible_settings() {
        let (ids, vocabulary) = text();
        let error = |how: SkipGrams, ids: &[usize]| how.of([ids], &vocabulary).unwrap_err().to_string();
        assert!(error(SkipGrams::default().window(0), &ids).contains("window must be at least 1"));
        assert!(error(SkipGrams::default().subsample(f64::NAN), &ids).contains("subsample"));
        for many in [MAX_NEGATIVES + 1, usize::MAX] {
            assert!(error(SkipGrams::default().negatives(many), &ids).contains("negatives must be at most 65536"));
        }
        assert!(error(SkipGrams::default(), &[4, 99]).contains("below 8, the size of the vocabulary, got 99"));
        assert!(error(SkipGrams::default(), &[4, 1, 0]).contains("no two words are left"));
        assert!(error(SkipGrams::default(), &[]).contains("no samples"));
        // One word, of which no other can be drawn.
        let one = Vocabulary::count(["a"], 1, None).unwrap();
        let source = SkipGrams::default().subsample(0.0).of([[4, 4]], &one).unwrap();
        let (mut x, mut y) = ([0.0f32; 4], [0.0; 2]);
        source.read(0, 0, &mut x, &mut y).unwrap();
        assert_eq!((x, y), ([4.0; 4], [1.0, 0.0]));
        let none = SkipGrams::default().negatives(0).subsample(0.0).of([[4, 4]], &one).unwrap();
        assert_eq!(Source::<f32>::samples(&none), Some(2));
    }

    #[test]
    fn ids_that_single_precision_does_not_tell_apart() {
        let cumulative = vec![0.0; (1 << 24) + 1];
        let source = SkipGramSource { pairs: vec![[5, 6]], cumulative, negatives: 0, key: Key::new(0, Purpose::Data) };
        let error = source.read(0, 0, &mut [0f32; 2], &mut [0.0; 1]).unwrap_err().to_string();
        assert!(error.contains("at most 16777216, which f32 tells apart"), "{error}");
        let mut x = [0f64; 2];
        source.read(0, 0, &mut x, &mut [0.0; 1]).unwrap();
        assert_eq!(x, [5.0, 6.0]);
    }
}
