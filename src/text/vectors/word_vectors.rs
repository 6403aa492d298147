//! Words and their vectors.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::atomic;
use crate::kernels::{parallel, simd};
use crate::memory;
use crate::tensor::Tensor;
use crate::text::Vocabulary;

/// Words, each with a vector, in the order of their file: GloVe's, word2vec's, fastText's, or those of an
/// [`Embedding`](crate::layers::Embedding). Files are read by [`WordVectorFile`](super::WordVectorFile).
///
/// How alike two vectors are is the cosine of the angle between them, Σ aᵢbᵢ / (‖a‖·‖b‖), added up in f64; of a vector of zeros it is 0.
/// Searches go through all words, on all cores; what they find is exact and the same for any number of threads, and of words that
/// are equally near the first comes first.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::WordVectors;
/// let vectors = Tensor::from([[1.0, 0.1], [0.9, 0.2], [-1.0, 0.5]]);
/// let words = WordVectors::new(["cat", "dog", "stone"], vectors)?;
/// assert_eq!(words.get("dog"), Some(&[0.9, 0.2][..]));
/// assert_eq!(words.nearest("cat", 1)?[0].0, "dog");
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// gensim `KeyedVectors`.
#[derive(Clone, Default)]
pub struct WordVectors {
    words: Vec<String>,
    places: HashMap<String, usize>,
    size: usize,
    values: Vec<f32>,
    duplicates: usize,
}

impl fmt::Debug for WordVectors {
    /// How much there is, which may be millions of numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WordVectors({} words, {} numbers each, {} duplicates)", self.len(), self.size, self.duplicates)
    }
}

const OP: &str = "WordVectors";

impl WordVectors {
    /// Words with the rows of a matrix `[words, size]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of rows; [`Error::Argument`] for a word that comes twice, or that no text file can hold: an empty
    /// one, one with a line break, with a space or tab at an end, or with a number behind its last space; [`Error::NonFinite`] for NaN or an infinity.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>, vectors: Tensor<f32>) -> Result<Self> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        let size = match *vectors.dims() {
            [rows, size] if rows == words.len() && size > 0 => size,
            _ => {
                let expected = format!("a matrix of {} rows, one for each word", words.len());
                return Err(Error::shape(OP, expected, vectors.shape(), "pass one vector for each word"));
            }
        };
        let mut all = WordVectors { size, ..WordVectors::default() };
        for (row, word) in words.into_iter().enumerate() {
            if !is_word(&word) {
                let expected = "a word without line breaks, white space at its ends, or a number behind a space";
                return Err(Error::argument(OP, "word", expected, format!("{word:?} in row {row}"), "clean it before"));
            }
            if all.places.contains_key(&word) {
                let got = format!("{word:?} again in row {row}");
                return Err(Error::argument(OP, "word", "given once", got, "leave out what comes again"));
            }
            let vector = vectors.row(row);
            if let Some(column) = vector.iter().position(|v| !v.is_finite()) {
                let value = f64::from(vector[column]);
                return Err(Error::NonFinite { op: OP, what: "vectors", row, column, value });
            }
            all.push(word, vector)?;
        }
        Ok(all)
    }

    /// No words, of vectors of this size.
    pub(super) fn empty(size: usize) -> Self {
        WordVectors { size, ..WordVectors::default() }
    }

    /// Adds a word, unless it is there: the first counts.
    pub(super) fn push(&mut self, word: String, vector: &[f32]) -> Result<()> {
        if self.places.contains_key(&word) {
            self.duplicates += 1;
            return Ok(());
        }
        if self.values.capacity() - self.values.len() < vector.len() {
            let more = vector.len().max(self.values.len() / 2);
            memory::reserve(OP, format_args!("{} vectors", self.words.len() + 1), &mut self.values, more)?;
        }
        self.values.extend_from_slice(vector);
        self.places.insert(word.clone(), self.words.len());
        self.words.push(word);
        Ok(())
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Numbers of a vector.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many lines of the file had a word that was there before, and were left out.
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// All words in their order.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The vector of a word; none for one that is not there. Case counts.
    pub fn get(&self, word: &str) -> Option<&[f32]> {
        self.places.get(word).map(|&place| self.row(place))
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.size..][..self.size]
    }

    fn place(&self, word: &str) -> Result<usize> {
        self.places.get(word).copied().ok_or_else(|| {
            let expected = format!("one of the {} words that have a vector", self.len());
            Error::argument(
                OP,
                "word",
                expected,
                format!("{word:?}"),
                "case counts; get(word) says whether it is there",
            )
        })
    }

    /// The `k` words most like a word, itself left out, with their cosines: the most alike first; all others if they are fewer.
    ///
    /// # Errors
    /// [`Error::Argument`] for a word that is not there, or whose vector is zeros.
    pub fn nearest(&self, word: &str, k: usize) -> Result<Vec<(&str, f64)>> {
        let place = self.place(word)?;
        self.search(&self.unit(word, self.row(place))?, k, &[place])
    }

    /// The `k` words most like a vector.
    ///
    /// # Errors
    /// [`Error::Shape`] for another size; [`Error::Argument`] for zeros, NaN or an infinity.
    pub fn nearest_to(&self, vector: &[f32], k: usize) -> Result<Vec<(&str, f64)>> {
        if vector.len() != self.size {
            let expected = format!("a vector of {} numbers", self.size);
            return Err(Error::shape(OP, expected, vector.len(), "pass one of the size of the others"));
        }
        self.search(&self.unit("the vector", vector)?, k, &[])
    }

    /// What is to `c` as `b` is to `a`: the `k` words most like b − a + c, vectors of length 1 each; the three are left out.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::text::WordVectors;
    /// let vectors = Tensor::from([[1.0, 0.0, 0.1], [1.0, 1.0, 0.1], [0.1, 0.0, 1.0], [0.1, 1.0, 1.0], [-1.0, 0.3, 0.2]]);
    /// let words = WordVectors::new(["man", "king", "woman", "queen", "apple"], vectors)?;
    /// assert_eq!(words.analogy("man", "king", "woman", 1)?[0].0, "queen");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// Mikolov et al.: "Linguistic Regularities in Continuous Space Word Representations", 2013.
    ///
    /// # Errors
    /// As [`nearest`](Self::nearest); [`Error::Argument`] where the sum is zeros.
    pub fn analogy(&self, a: &str, b: &str, c: &str, k: usize) -> Result<Vec<(&str, f64)>> {
        let places = [self.place(a)?, self.place(b)?, self.place(c)?];
        let [ua, ub, uc] = [
            self.unit(a, self.row(places[0]))?,
            self.unit(b, self.row(places[1]))?,
            self.unit(c, self.row(places[2]))?,
        ];
        let sum: Vec<f64> = ua.iter().zip(&ub).zip(&uc).map(|((a, b), c)| b - a + c).collect();
        self.search(&unit_of("the sum", sum)?, k, &places)
    }

    /// A vector of length 1 in its direction.
    fn unit(&self, name: &str, vector: &[f32]) -> Result<Vec<f64>> {
        unit_of(name, vector.iter().map(|&v| f64::from(v)).collect())
    }

    /// The words most like a vector of length 1.
    fn search(&self, unit: &[f64], k: usize, without: &[usize]) -> Result<Vec<(&str, f64)>> {
        let what = || format!("the cosines of {} words", self.len());
        let mut cosines = memory::filled(OP, what(), self.len(), 0.0f64)?;
        let mut order = Vec::new();
        memory::reserve(OP, what(), &mut order, self.len())?;
        parallel::rows(&mut cosines, 1, 2 * self.size, |first, cosines| {
            simd::vectorised(|| {
                for (cosine, row) in cosines.iter_mut().zip(self.values[first * self.size..].chunks_exact(self.size)) {
                    *cosine = cosine_with(unit, row);
                }
            });
        });
        order.extend((0..self.len()).filter(|place| !without.contains(place)));
        let nearer = |a: &usize, b: &usize| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b));
        if k < order.len() {
            order.select_nth_unstable_by(k, nearer);
            order.truncate(k);
        }
        order.sort_unstable_by(nearer);
        Ok(order.into_iter().map(|place| (self.words[place].as_str(), cosines[place])).collect())
    }

    /// The matrix of an embedding of a vocabulary, `[tokens, size]`: the vector of each token that has one, zeros for all others; and how
    /// many have one. For [`Embedding::from_vectors`](crate::layers::Embedding::from_vectors).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::text::{Vocabulary, WordVectors};
    /// let words = WordVectors::new(["cat", "dog"], Tensor::from([[1.0, 0.5], [0.25, 2.0]]))?;
    /// let vocabulary = Vocabulary::count(["a", "dog", "a", "cat"], 1, None)?;
    /// let (matrix, found) = words.matrix_for(&vocabulary)?;
    /// assert_eq!((matrix.dims(), found), (&[7, 2][..], 2));
    /// assert_eq!(matrix.row(vocabulary.id("dog")), [0.25, 2.0]);
    /// let embedding = Embedding::from_vectors(matrix)?.mask_zero(true);
    /// # let _ = embedding;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Memory`] where there is none for the matrix.
    pub fn matrix_for(&self, vocabulary: &Vocabulary) -> Result<(Tensor<f32>, usize)> {
        self.matrix_of(&vocabulary.iter().map(|(token, _)| token).collect::<Vec<_>>())
    }

    /// [`matrix_for`](Self::matrix_for) tokens whose ids are their places: the vocabulary of a
    /// [`TextVectorization`](crate::text::TextVectorization).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::text::{TextVectorization, WordVectors};
    /// let words = WordVectors::new(["cat", "dog"], Tensor::from([[1.0, 0.5], [0.25, 2.0]]))?;
    /// let front = TextVectorization::new().adapt(&["the dog", "the cat"])?;
    /// let (matrix, found) = words.matrix_of(&front.get_vocabulary())?;
    /// assert_eq!((matrix.dims()[0], found), (front.vocabulary_size(), 2));
    /// let mut model = Sequential::new([FREE]).add(Embedding::from_vectors(matrix)?.mask_zero(true)).build(0)?;
    /// model.set_text_front(front)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`matrix_for`](Self::matrix_for).
    pub fn matrix_of(&self, tokens: &[impl AsRef<str>]) -> Result<(Tensor<f32>, usize)> {
        let (count, mut found) = (tokens.len(), 0);
        let len = count.saturating_mul(self.size);
        let mut matrix = memory::filled(OP, format_args!("a matrix of {count} vectors"), len, 0.0)?;
        for (token, row) in tokens.iter().zip(matrix.chunks_exact_mut(self.size.max(1))) {
            if let Some(vector) = self.get(token.as_ref()) {
                row.copy_from_slice(vector);
                found += 1;
            }
        }
        Ok((Tensor::new([count, self.size], matrix)?, found))
    }

    /// Writes a text file, whole or not at all: a line `words size`, then a line for each word, with the digits that give the same
    /// numbers again. word2vec's and fastText's format, which gensim reads too.
    ///
    /// # Errors
    /// [`Error::Write`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic::replace(path.as_ref(), |file| {
            let mut out = std::io::BufWriter::new(file);
            writeln!(out, "{} {}", self.len(), self.size)?;
            for (word, vector) in self.words.iter().zip(self.values.chunks_exact(self.size.max(1))) {
                out.write_all(word.as_bytes())?;
                vector.iter().try_for_each(|v| write!(out, " {v}"))?;
                out.write_all(b"\n")?;
            }
            out.flush()
        })
    }
}

impl PartialEq for WordVectors {
    /// The same words in the same order, with equal vectors.
    fn eq(&self, other: &Self) -> bool {
        (self.size, &self.words, &self.values) == (other.size, &other.words, &other.values)
    }
}

/// Whether a line of a text file can begin with it.
pub(super) fn is_word(word: &str) -> bool {
    let ends = [word.bytes().next(), word.bytes().next_back()];
    let last = word.rsplit_once([' ', '\t']).map(|(_, last)| last);
    !word.is_empty()
        && !word.contains(['\n', '\r'])
        && !ends.iter().any(|b| matches!(b, Some(b' ' | b'\t')))
        && last.is_none_or(|last| last.parse::<f32>().is_err())
}

fn unit_of(name: &str, mut vector: Vec<f64>) -> Result<Vec<f64>> {
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    if !(length > 0.0 && length.is_finite()) {
        let got = if length == 0.0 { "zeros" } else { "one with NaN or an infinity" };
        let hint = "a direction is needed to compare with";
        return Err(Error::argument(OP, "vector", "finite and not zeros", format!("{got} ({name})"), hint));
    }
    vector.iter_mut().for_each(|v| *v /= length);
    Ok(vector)
}

/// The cosine of the angle between a vector of length 1 and another; 0 for zeros.
#[inline(always)]
fn cosine_with(unit: &[f64], row: &[f32]) -> f64 {
    const LANES: usize = 16;
    let (mut dot, mut square) = ([0.0f64; LANES], [0.0f64; LANES]);
    for (u, v) in unit.chunks(LANES).zip(row.chunks(LANES)) {
        for (((dot, square), u), v) in dot.iter_mut().zip(&mut square).zip(u).zip(v) {
            let v = f64::from(*v);
            *dot += u * v;
            *square += v * v;
        }
    }
    let (dot, square) = (dot.iter().sum::<f64>(), square.iter().sum::<f64>());
    // No −0, which would come after 0.
    if square > 0.0 { dot / square.sqrt() + 0.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    fn many(n: usize, size: usize) -> WordVectors {
        let key = Key::new(1, Purpose::Data);
        // Every seventh is a copy of another, every eleventh zeros.
        let value = |i: usize| {
            let (word, at) = (i / size, i % size);
            let word = if word % 7 == 6 { word - 6 } else { word };
            if word % 11 == 5 { 0.0 } else { key.unit((word * size + at) as u64) as f32 - 0.4 }
        };
        WordVectors::new((0..n).map(|i| format!("w{i}")), Tensor::from_fn([n, size], value)).unwrap()
    }

    #[test]
    fn nearest_by_hand_and_ties_by_place() {
        let all = many(501, 37);
        let query = all.get("w3").unwrap().to_vec();
        let cosine = |word: &str| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let v = all.get(word).unwrap();
            let length = dot(v, v).sqrt() * dot(&query, &query).sqrt();
            if length == 0.0 { 0.0 } else { dot(v, &query) / length }
        };
        let found = all.nearest("w3", 500).unwrap();
        assert_eq!((found.len(), all.nearest("w3", usize::MAX).unwrap().len()), (500, 500));
        assert!(found.iter().all(|(word, c)| *word != "w3" && (c - cosine(word)).abs() < 1e-14));
        let place = |word: &str| word[1..].parse::<usize>().unwrap();
        assert!(found.windows(2).all(|w| w[0].1 > w[1].1 || w[0].1 == w[1].1 && place(w[0].0) < place(w[1].0)));
        assert!(found.windows(2).filter(|w| w[0].1 == w[1].1).count() > 50);
        for k in [0, 1, 2, 10, 499] {
            assert_eq!(all.nearest("w3", k).unwrap(), found[..k]);
        }
        assert_eq!(all.nearest_to(&query, 1).unwrap()[0].0, "w3");
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn threads_change_nothing() {
        let all = many(20_000, 30);
        let found = |threads: usize| {
            let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| all.nearest("w8", 3000)).unwrap();
            found.into_iter().map(|(word, c)| (word.to_owned(), c.to_bits())).collect::<Vec<_>>()
        };
        let one = found(1);
        assert!([2, 3, 4].iter().all(|&threads| found(threads) == one));
    }

    #[test]
    fn sizes_of_any_kind() {
        let vectors = Tensor::from([[f32::MAX, f32::MAX], [1e-40, 1e-40], [f32::MAX, -f32::MAX], [0.0, 0.0]]);
        let words = WordVectors::new(["a", "b", "c", "d"], vectors).unwrap();
        let found = words.nearest("a", 3).unwrap();
        assert!((found[0].1 - 1.0).abs() < 1e-15 && found[0].0 == "b");
        assert_eq!((found[1], found[2]), (("c", 0.0), ("d", 0.0)));
        assert!(words.nearest("d", 1).unwrap_err().to_string().contains("must be finite and not zeros, got zeros (d)"));
        assert!(words.nearest_to(&[f32::NAN, 1.0], 1).is_err() && words.nearest_to(&[1.0], 1).is_err());
        let error = words.nearest("e", 1).unwrap_err().to_string();
        assert!(error.contains("one of the 4 words that have a vector, got \"e\""), "{error}");
    }

    #[test]
    fn matrices_for_vocabularies_of_any_kind() {
        let words = WordVectors::new(["b", "a"], Tensor::from([[1.0, 2.0], [3.0, 4.0]])).unwrap();
        let (matrix, found) = words.matrix_of(&["", "[UNK]", "a", "c", "b"]).unwrap();
        assert_eq!(found, 2);
        assert_eq!(matrix, Tensor::from([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [1.0, 2.0]]));
        let vocabulary = Vocabulary::count(["a", "b", "a", "c"], 1, None).unwrap();
        let tokens: Vec<&str> = vocabulary.iter().map(|(token, _)| token).collect();
        assert_eq!(words.matrix_for(&vocabulary).unwrap(), words.matrix_of(&tokens).unwrap());
        let (none, found) = words.matrix_of(&[""; 0]).unwrap();
        assert_eq!((none.dims(), found), (&[0, 2][..], 0));
    }

    #[test]
    fn what_makes_no_vectors() {
        let error = |words: &[&str], vectors: Tensor<f32>| {
            WordVectors::new(words.iter().copied(), vectors).unwrap_err().to_string()
        };
        assert!(error(&["a"], Tensor::zeros([2, 3])).contains("a matrix of 1 rows"));
        assert!(error(&["a", "a"], Tensor::zeros([2, 1])).contains("\"a\" again in row 1"));
        for bad in ["", " a", "a\t", "a\nb", "a 1", "windows 95"] {
            assert!(error(&[bad], Tensor::zeros([1, 1])).contains("without line breaks"), "{bad:?}");
        }
        assert!(error(&["a"], Tensor::from([[0.0, f32::NAN]])).contains("NaN in row 0, column 1"));
    }
}
