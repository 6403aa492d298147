//! Vectors that are near to others.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::kernels::gemm::{Matrix, gemm};
use crate::kernels::parallel::{self, ChunksMut};
use crate::tensor::{Float, Tensor};

/// Queries and rows of the corpus whose scores are there at a time.
const QUERIES: usize = 128;
const ROWS: usize = 4096;

/// A row of a corpus, and how near it is to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Its number in the corpus.
    pub row: usize,
    /// The cosine of the angle between both, from −1 to 1; 0 where one of them is zeros.
    pub score: f64,
}

/// The rows of a corpus `[rows, dim]` that are nearest to each query `[queries, dim]` by their cosine, `top_k` of them or all if there are fewer, the nearest
/// first and of equals the first. Exact: every row is compared, on all cores; no query's answer depends on the others.
///
/// sentence-transformers' `util.semantic_search`. The vectors may be those of a [`SentenceEncoder`](super::SentenceEncoder), or any others.
///
/// # Errors
/// [`Error::Shape`] for other shapes, [`Error::Argument`] for a `top_k` of 0, and values that are no numbers.
///
/// ```
/// use gradus::Tensor;
/// use gradus::models::hf::semantic_search;
/// let corpus = Tensor::from([[1.0f32, 0.0], [0.0, 2.0], [3.0, 3.0]]);
/// let found = semantic_search(&Tensor::from([[0.5, 0.1]]), &corpus, 2)?;
/// assert_eq!([found[0][0].row, found[0][1].row], [0, 2]);
/// assert!((found[0][0].score - 0.98).abs() < 0.01);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn semantic_search<T: Float>(queries: &Tensor<T>, corpus: &Tensor<T>, top_k: usize) -> Result<Vec<Vec<Match>>> {
    const OP: &str = "semantic_search";
    let dim = corpus.shape().last();
    for (name, vectors) in [("queries", queries), ("corpus", corpus)] {
        if vectors.dims().len() != 2 || vectors.shape().last() != dim || dim == 0 {
            let expected = format!("{name} [rows, {dim}], as many numbers a row as the corpus has");
            return Err(Error::shape(OP, expected, vectors.shape(), "pass vectors of one encoder"));
        }
    }
    if top_k == 0 {
        return Err(Error::argument(OP, "top_k", "at least 1", 0, "ask for one or more"));
    }
    let lengths = [lengths(OP, "queries", queries)?, lengths(OP, "corpus", corpus)?];
    let mut found: Vec<Best> = (0..queries.dims()[0]).map(|_| Best::default()).collect();
    let mut scores = Vec::new();
    for (number, found) in found.chunks_mut(QUERIES).enumerate() {
        let first = number * QUERIES;
        let of_queries = &queries.as_slice()[first * dim..][..found.len() * dim];
        for start in (0..corpus.dims()[0]).step_by(ROWS) {
            let rows = ROWS.min(corpus.dims()[0] - start);
            let of_rows = &corpus.as_slice()[start * dim..][..rows * dim];
            scores.resize(found.len() * rows, T::zero());
            let size = [found.len(), dim, rows];
            gemm(size, Matrix::rows(of_queries, dim), Matrix::transposed(of_rows, dim), T::zero(), &mut scores);
            let parts = parallel::parts(found.len(), rows);
            parallel::par_chunks(0..found.len(), parts, ChunksMut(found, 1), &|range, best| {
                for (best, query) in best.0.iter_mut().zip(range) {
                    let length = lengths[0][first + query];
                    for (i, dot) in scores[query * rows..][..rows].iter().enumerate() {
                        let of_both = length * lengths[1][start + i];
                        let dot = match dot.as_f64() {
                            dot if dot.is_finite() => dot,
                            // Too large for the type.
                            _ => exact(&of_queries[query * dim..][..dim], &of_rows[i * dim..][..dim]),
                        };
                        let score = if of_both > 0.0 { (dot / of_both).clamp(-1.0, 1.0) } else { 0.0 };
                        best.offer(Match { row: start + i, score }, top_k);
                    }
                }
            });
        }
    }
    Ok(found.into_iter().map(|best| best.finish(top_k)).collect())
}

/// The length of each row.
fn lengths<T: Float>(op: &'static str, name: &str, vectors: &Tensor<T>) -> Result<Vec<f64>> {
    let dim = vectors.shape().last();
    vectors
        .as_slice()
        .chunks_exact(dim)
        .enumerate()
        .map(|(row, vector)| match vector.iter().position(|v| !v.is_finite()) {
            Some(column) => {
                let expected = format!("numbers in row {row} of {name}");
                Err(Error::argument(op, "vectors", expected, vector[column], "leave out texts without a vector"))
            }
            None => Ok(exact(vector, vector).sqrt()),
        })
        .collect()
}

/// The product of two vectors in double precision.
fn exact<T: Float>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.as_f64() * b.as_f64()).sum()
}

/// The best so far, and some more.
#[derive(Debug, Default)]
struct Best {
    matches: Vec<Match>,
    /// What does not come before this is not among the best.
    worst: Option<Match>,
}

/// The nearest first, and of equals the first.
fn order(a: &Match, b: &Match) -> Ordering {
    b.score.total_cmp(&a.score).then(a.row.cmp(&b.row))
}

impl Best {
    fn offer(&mut self, one: Match, top_k: usize) {
        if self.worst.is_some_and(|worst| order(&one, &worst).is_ge()) {
            return;
        }
        self.matches.push(one);
        if self.matches.len() / 2 >= top_k {
            self.matches.select_nth_unstable_by(top_k - 1, order);
            self.matches.truncate(top_k);
            self.worst = self.matches.last().copied();
        }
    }

    fn finish(mut self, top_k: usize) -> Vec<Match> {
        self.matches.sort_unstable_by(order);
        self.matches.truncate(top_k);
        self.matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    fn draw<T: Float>(part: u64, rows: usize, dim: usize) -> Tensor<T> {
        let key = Key::new(5, Purpose::Data).with(part);
        Tensor::from_fn([rows, dim], |i| T::of(key.unit(i as u64) - 0.5))
    }

    /// More rows than are compared at a time, equals among them.
    #[test]
    fn all_are_compared() {
        let (queries, mut corpus) = (draw::<f64>(1, 131, 5), draw::<f64>(2, 9001, 5));
        for (from, to) in [(7, 4100), (7, 8999), (12, 13)] {
            let row = corpus.row(from).to_vec();
            corpus.as_mut_slice()[to * 5..][..5].copy_from_slice(&row);
        }
        for top_k in [1, 3, 50, 10_000] {
            for (query, found) in semantic_search(&queries, &corpus, top_k).unwrap().iter().enumerate() {
                assert_eq!(found.len(), top_k.min(9001));
                assert!(found.windows(2).all(|pair| order(&pair[0], &pair[1]).is_lt()));
                let own = queries.row(query);
                let cosine = |row: &[f64]| exact(own, row) / (exact(own, own) * exact(row, row)).sqrt();
                let mut there = vec![false; 9001];
                for found in found {
                    there[found.row] = true;
                    assert!((found.score - cosine(corpus.row(found.row))).abs() < 1e-14);
                }
                let last = found.last().unwrap().score + 1e-14;
                assert!((0..9001).all(|row| there[row] || cosine(corpus.row(row)) <= last));
                // Of equal rows the first come first.
                assert!((there[7] || !there[4100]) && (there[4100] || !there[8999]) && (there[12] || !there[13]));
            }
        }
        let one = queries.rows(40..41).unwrap();
        assert_eq!(semantic_search(&one, &corpus, 9).unwrap()[0], semantic_search(&queries, &corpus, 9).unwrap()[40]);
    }

    #[test]
    fn edges() {
        let corpus = Tensor::from([[0.0f32, 0.0], [3e38, 3e38], [1e-38, 0.0], [-1.0, 0.0]]);
        let found = semantic_search(&Tensor::from([[3e38f32, 3e38], [0.0, 0.0]]), &corpus, 9).unwrap();
        let rows: Vec<usize> = found[0].iter().map(|found| found.row).collect();
        assert_eq!(rows, [1, 2, 0, 3]);
        assert!((found[0][0].score - 1.0).abs() < 1e-6 && (found[0][3].score + 0.5f64.sqrt()).abs() < 1e-6);
        assert!(found[1].iter().enumerate().all(|(i, found)| found.row == i && found.score == 0.0));
        assert_eq!(semantic_search(&Tensor::zeros([0, 2]), &corpus, 1).unwrap(), Vec::<Vec<Match>>::new());
        assert_eq!(semantic_search(&corpus, &Tensor::zeros([0, 2]), 1).unwrap(), vec![vec![]; 4]);
        let error = |queries: Tensor<f32>, top_k| semantic_search(&queries, &corpus, top_k).unwrap_err().to_string();
        assert!(error(Tensor::zeros([1, 3]), 1).contains("queries [rows, 2]"));
        assert!(error(Tensor::zeros([2]), 1).contains("queries [rows, 2]"));
        assert!(error(Tensor::zeros([1, 2]), 0).contains("top_k must be at least 1"));
        assert!(error(Tensor::from([[0.0, f32::NAN]]), 1).contains("row 0 of queries"));
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn threads_change_nothing() {
        let (queries, corpus) = (draw::<f32>(3, 70, 33), draw::<f32>(4, 5000, 33));
        let with = |threads| {
            let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| semantic_search(&queries, &corpus, 11).unwrap())
        };
        assert!((2..5).all(|threads| with(threads) == with(1)));
    }
}
