//! Tokens hidden at random, for masked language models.

use std::fmt;

use super::encoded::id;
use crate::data::idle::Idle;
use crate::data::source::{Order, Source, Stretch, missing_shapes, row_shape, total};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};

/// Rows of token ids in which some tokens are hidden, with what they were as the target: the objective of masked language models such as BERT.
///
/// Of a row with n tokens that are not [`special`](Self::special), max(1, round([`rate`](Self::rate)·n)) are chosen at random. Of these a
/// part becomes the mask token, a part any token at random, and the rest stays as it is ([`parts`](Self::parts)). The target has the
/// original id where a token was chosen, and [`ignored`](Self::ignored) elsewhere, which the loss has to leave out: −100, as Hugging Face has it,
/// is `ignore_class(-100)` of a [`SparseCategoricalCrossentropy`](crate::losses::SparseCategoricalCrossentropy).
///
/// - The rows are the first input of a [`Source`] of whole numbers: [`Packed`](super::Packed), [`Encoded`](super::Encoded),
///   [`Ragged`](crate::data::Ragged). Further inputs, such as segments and positions, stay as they are; targets of the source are left out.
/// - What is chosen follows from the seed, the epoch and the position in the source alone, so that rows may be shuffled afterwards, loaded ahead by
///   several workers and resumed. It is another choice in every epoch (dynamic masking, as RoBERTa has it), or [the same](Self::fixed).
/// - Defaults: 15 % are chosen; of these 80 % become the mask token, 10 % a random one, 10 % stay.
///
/// J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019, appendix A.1; Y. Liu et al., "RoBERTa:
/// A Robustly Optimized BERT Pretraining Approach", 2019, section 4.1. Keras `MaskedLMMaskGenerator`, Hugging Face
/// `DataCollatorForLanguageModeling`.
///
/// ```
/// use gradus::prelude::*;
/// // 1 [CLS], 2 [SEP], 3 [MASK]
/// let rows = [[1.0, 7.0, 8.0, 9.0, 5.0, 2.0], [1.0, 5.0, 6.0, 7.0, 4.0, 2.0]];
/// let rows = Samples::<f32>::new(Tensor::from(rows), Tensor::zeros([2, 0]))?;
/// let data = MaskedTokens::new(rows, 3, 10, 42).special([0, 1, 2]).rate(0.5).shuffle(1).batch(2);
/// let mut batch = Batch::default();
/// data.load(0, 0, &mut batch)?;
/// assert_eq!((batch.x.dims(), batch.y.dims()), ([2, 6].as_slice(), [2, 6].as_slice()));
/// for row in 0..2 {
///     let chosen = batch.y.row(row).iter().filter(|id| **id != -100.0);
///     assert_eq!((batch.x.row(row)[0], batch.y.row(row)[0], chosen.count()), (1.0, -100.0, 2));
/// }
/// # Ok::<(), Error>(())
/// ```
pub struct MaskedTokens<S> {
    source: S,
    mask: usize,
    vocabulary: usize,
    seed: u64,
    rate: f64,
    /// Of the chosen: what becomes the mask token, what a random one.
    parts: [f64; 2],
    /// Ids that are never chosen, ascending and once each; the mask token is one of them.
    special: Vec<usize>,
    ignored: i64,
    fixed: bool,
    /// Whether each id goes on with the word before it; empty where tokens are chosen one by one.
    continues: Vec<bool>,
    idle: Idle<Work>,
}

/// A row on its way.
#[derive(Default)]
struct Work {
    shapes: Vec<Shape>,
    /// The places of tokens that may be chosen.
    places: Vec<usize>,
    /// Stretches of places that are chosen together: where each begins and ends.
    units: Vec<[usize; 2]>,
}

impl<S: fmt::Debug> fmt::Debug for MaskedTokens<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, mask, vocabulary, seed, rate, parts, special, ignored, fixed, .. } = self;
        let words = self.continues.iter().filter(|continues| **continues).count();
        write!(
            f,
            "MaskedTokens({source:?}, mask {mask} of {vocabulary}, seed {seed}, rate {rate}, parts {parts:?}, special {special:?}, ignored \
             {ignored}, fixed {fixed}, whole words by {words} ids)"
        )
    }
}

/// Sets the draws apart from those of other steps with the same seed.
const STREAM: u64 = 0x006D_6C6D;

impl<S> MaskedTokens<S> {
    /// Hides tokens of the rows of a source, with the id of the mask token and the number of ids that there are.
    pub fn new(source: S, mask: usize, vocabulary: usize, seed: u64) -> Self {
        MaskedTokens {
            source,
            mask,
            vocabulary,
            seed,
            rate: 0.15,
            parts: [0.8, 0.1],
            special: vec![mask],
            ignored: -100,
            fixed: false,
            continues: Vec::new(),
            idle: Idle::default(),
        }
    }

    /// Ids that are neither chosen nor drawn: what rows are filled up with, what begins, ends and parts texts. By default the mask token
    /// alone, which always is one of them.
    pub fn special(mut self, ids: impl IntoIterator<Item = usize>) -> Self {
        self.special = std::iter::once(self.mask).chain(ids).collect();
        self.special.sort_unstable();
        self.special.dedup();
        self
    }

    /// The part of the tokens that is chosen, above 0 and at most 1; 0.15 by default.
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self
    }

    /// Which part of the chosen tokens becomes the mask token, and which a random one; 0.8 and 0.1 by default. The rest stays.
    pub fn parts(mut self, masked: f64, random: f64) -> Self {
        self.parts = [masked, random];
        self
    }

    /// The target of tokens that were not chosen; −100 by default.
    pub fn ignored(mut self, ignored: i64) -> Self {
        self.ignored = ignored;
        self
    }

    /// Whether the choice is the same in every epoch (static masking); no by default.
    pub fn fixed(mut self, fixed: bool) -> Self {
        self.fixed = fixed;
        self
    }

    /// Chooses whole words (whole word masking): `continues` says of an id whether it goes on with the word of the token before it, as `##ing`
    /// does. Words are drawn one after another, and one that would exceed the number of tokens to choose is passed over; where no word
    /// is short enough it is the first. By default tokens are chosen one by one.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// // Ids from 6 on go on with a word.
    /// let rows = Samples::<f32>::new(Tensor::from([[4.0, 6.0, 7.0, 5.0, 8.0, 4.0]]), Tensor::zeros([1, 0]))?;
    /// let rows = MaskedTokens::new(rows, 3, 10, 1).rate(0.34).parts(1.0, 0.0).whole_words(|id| id >= 6);
    /// let mut batch = Batch::default();
    /// rows.batch(1).load(0, 0, &mut batch)?;
    /// // Two tokens of six: 5 8, or 4 at the end and no other.
    /// let hidden = batch.x.map(|id| f32::from(id == 3.0));
    /// assert!([[0.0, 0.0, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]].contains(&hidden.as_slice().try_into().unwrap()));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn whole_words(mut self, continues: impl Fn(usize) -> bool) -> Self {
        self.continues = (0..self.vocabulary).map(continues).collect();
        self
    }

    /// The rows whose tokens are hidden.
    pub fn source(&self) -> &S {
        &self.source
    }

    fn is_special(&self, id: usize) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    /// The number that stands for [`ignored`](Self::ignored), if all settings can work.
    fn settings<T: Float>(&self) -> Result<T> {
        const OP: &str = "MaskedTokens";
        let vocabulary = self.vocabulary;
        if let Some(id) = self.special.iter().find(|id| **id >= vocabulary) {
            let name = if *id == self.mask { "mask" } else { "special" };
            let hint = "pass the tokenizer's ids, and how many it has with its added tokens";
            return Err(Error::argument(OP, name, format!("below {vocabulary}, the vocabulary"), id, hint));
        }
        if self.special.len() == vocabulary {
            let hint = "name only those special that are no part of a text";
            return Err(Error::argument(OP, "special", "some of the ids", format!("all {vocabulary}"), hint));
        }
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return Err(Error::argument(OP, "rate", "above 0 and at most 1", self.rate, "0.15 is usual"));
        }
        let [masked, random] = self.parts;
        // A sum such as 0.7 + 0.2 + 0.1 is not always 1.
        if !(masked >= 0.0 && random >= 0.0 && masked + random <= 1.0 + 1e-9) {
            let got = format!("{masked} and {random}");
            return Err(Error::argument(
                OP,
                "parts",
                "not negative, and 1 together at most",
                got,
                "0.8 and 0.1 are usual",
            ));
        }
        let ignored = T::of(self.ignored as f64);
        let exact = self.ignored.unsigned_abs() <= 1 << 53 && ignored.as_f64() == self.ignored as f64;
        let is_token = usize::try_from(self.ignored).is_ok_and(|id| id < vocabulary && !self.is_special(id));
        if !exact || is_token {
            let expected = format!("no token that may be chosen, and exact as {}", T::NAME);
            return Err(Error::argument(
                OP,
                "ignored",
                expected,
                self.ignored,
                "-100 is usual, with ignore_class(-100)",
            ));
        }
        id::<T>(vocabulary - 1)?;
        Ok(ignored)
    }

    /// An id other than the special ones.
    fn any(&self, key: Key, place: u64) -> usize {
        let drawn = key.below(place, self.vocabulary - self.special.len());
        self.special.iter().fold(drawn, |id, special| id + usize::from(*special <= id))
    }

    /// Hides tokens of a row.
    fn hide<T: Float>(&self, key: Key, ignored: T, x: &mut [T], y: &mut [T], work: &mut Work) -> Result<()> {
        let Work { places, units, .. } = work;
        places.clear();
        units.clear();
        y.fill(ignored);
        for (place, value) in x.iter().enumerate() {
            let value = value.as_f64();
            if !(value >= 0.0 && value < self.vocabulary as f64 && value.fract() == 0.0) {
                let got = format!("{value} at place {place} of a row");
                let expected = format!("a whole number from 0 to {}", self.vocabulary - 1);
                let hint = "hide tokens before anything else is done to ids, and pass the number of all ids";
                return Err(Error::argument("MaskedTokens", "token id", expected, got, hint));
            }
            let id = value as usize;
            if self.is_special(id) {
                continue;
            }
            let next = places.len();
            match units.last_mut() {
                Some(word)
                    if self.continues.get(id) == Some(&true) && places.last().is_some_and(|last| last + 1 == place) =>
                {
                    word[1] += 1;
                }
                _ => units.push([next, next + 1]),
            }
            places.push(place);
        }
        let wanted = ((places.len() as f64 * self.rate).round() as usize).max(1);
        let (mut left, mut first) = (wanted, None);
        for i in 0..units.len() {
            let drawn = i + key.below(i as u64, units.len() - i);
            units.swap(i, drawn);
            let unit = units[i];
            first = first.or(Some(unit));
            let len = unit[1] - unit[0];
            if len <= left {
                self.replace(key, &places[unit[0]..unit[1]], x, y)?;
                left -= len;
                if left == 0 {
                    return Ok(());
                }
            }
        }
        match first.filter(|_| left == wanted) {
            Some([start, end]) => self.replace(key, &places[start..end], x, y),
            None => Ok(()),
        }
    }

    /// Hides the tokens at these places.
    fn replace<T: Float>(&self, key: Key, places: &[usize], x: &mut [T], y: &mut [T]) -> Result<()> {
        let [masked, random] = self.parts;
        for &place in places {
            y[place] = x[place];
            let u = key.with(1).unit(place as u64);
            if u < masked {
                x[place] = id(self.mask)?;
            } else if u < masked + random {
                x[place] = id(self.any(key.with(2), place as u64))?;
            }
        }
        Ok(())
    }
}

impl<T: Float, S: Source<T>> Source<T> for MaskedTokens<S> {
    fn shapes(&self) -> (Shape, Shape) {
        let (x, y) = self.all_shapes();
        (row_shape(&x), y[0])
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let (x, _) = self.source.all_shapes();
        let rows = x.first().copied().unwrap_or(Shape::from([0]));
        (x, vec![rows])
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        let (from, inputs) = (shapes.len(), self.source.all_shapes().0.len());
        self.source.shapes_at(epoch, position, shapes)?;
        if shapes.len() < from + inputs.max(1) {
            return Err(missing_shapes(inputs, shapes.len() - from));
        }
        shapes.truncate(from + inputs);
        shapes.push(shapes[from]);
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let ignored = self.settings::<T>()?;
        let (inputs, targets) = self.source.all_shapes();
        let stretch = Stretch::new(Source::<T>::shapes(self), x.len(), y.len());
        self.idle.with(
            || Ok(Work::default()),
            |work| {
                // The sizes of one sample, which are those of all where more than one is asked for.
                work.shapes.clear();
                match inputs.iter().chain(&targets).any(Shape::is_free) {
                    true => self.source.shapes_at(epoch, first, &mut work.shapes)?,
                    false => work.shapes.extend(inputs.iter().chain(&targets)),
                }
                let tokens = work.shapes.first().map_or(0, Shape::len);
                if y.len() != stretch.n * tokens {
                    let expected = format!("room for {} targets", stretch.n * tokens);
                    return Err(Error::shape("MaskedTokens", expected, y.len(), "ask Source::shapes_at for the sizes"));
                }
                // The source's own targets mostly fit where those of the tokens will stand.
                let targets = work.shapes.get(inputs.len()..).unwrap_or_default();
                let own = total("MaskedTokens", targets)?.saturating_mul(stretch.n);
                match y.get_mut(..own) {
                    Some(room) => self.source.read(epoch, first, x, room)?,
                    None => {
                        let mut room = memory::filled("MaskedTokens", "targets of the source", own, T::zero())?;
                        self.source.read(epoch, first, x, &mut room)?;
                    }
                }
                let key =
                    Key::new(self.seed, Purpose::Augment).with(STREAM).with(if self.fixed { 0 } else { epoch as u64 });
                stretch.each(x, y).try_for_each(|(i, x, y)| {
                    self.hide(key.with((first + i) as u64), ignored, &mut x[..tokens], y, work)
                })
            },
        )
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.settings::<T>().map(|_| ())
    }
}
