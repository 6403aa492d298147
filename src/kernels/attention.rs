//! Scaled dot-product attention, tile after tile of keys, so that no matrix of queries times keys is kept.
//!
//! Of each query only the largest score so far, the sum of exponentials and the sum of values are kept; a tile that brings a larger score scales
//! both sums down (Milakov, Gimelshein: "Online normalizer calculation for softmax", 2018; Rabe, Staats: "Self-attention does not need
//! O(n²) memory", 2021; Dao and others: "FlashAttention", 2022). Backward computes the scores of a tile again from the logarithm of the sum.
//!
//! Tiles are counted from the first key of a problem, and what a query may not see adds exact zeros, so a query's bits depend on the keys that it
//! sees and on nothing else: not on queries beside it, padding behind it, other documents in the row, or the number of threads.

use std::ops::Range;

use super::{
    float::Float,
    gemm::MADDS_PER_UPDATE,
    parallel::{self, PerThread},
    random::Key,
    rows, simd,
};

/// Keys of a tile. Bits depend on it.
pub const TILE: usize = 64;
/// Queries that are taken together.
const BLOCK: usize = 64;

/// Sizes of q `[batch, queries, heads, width]`, k `[batch, keys, key_heads, width]`, v `[batch, keys, key_heads, value_width]` and y `[batch, queries,
/// heads, value_width]`. Query head h goes with key head h / (heads / key_heads).
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub key_heads: usize,
    pub width: usize,
    pub value_width: usize,
}

/// Queries and keys of a row of the batch that have to do with each other: all of it, without padding at the ends, or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    row: usize,
    queries: Range<usize>,
    keys: Range<usize>,
}

/// A problem in numbers: the row, where its queries and its keys begin and end.
pub type Numbers = [u32; 5];

impl From<Numbers> for Problem {
    fn from(numbers: Numbers) -> Self {
        let [row, query, end_query, key, end_key] = numbers.map(|n| n as usize);
        Problem { row, queries: query..end_query, keys: key..end_key }
    }
}

/// Which keys a query sees, and what becomes of its scores.
pub struct Rules<'a, T> {
    /// What scores are multiplied by, 1/√width as a rule.
    pub scale: T,
    /// Scores s become c·tanh(s / c).
    pub soft_cap: Option<T>,
    /// The position of query 0 among the keys.
    pub offset: usize,
    /// How many keys before its own position a query sees, and how many behind.
    pub before: usize,
    pub behind: usize,
    /// What is added to scores, by the key's position minus the query's: `[heads, queries + keys − 1]`, from −(queries − 1) on, for offset 0; with an
    /// offset, from −(offset + queries − 1) on, `[heads, offset + queries + keys − 1]`.
    pub bias: Option<&'a [T]>,
    /// Which queries see anything, `[batch, queries]`, and which keys are seen, by each of two, `[batch, keys]`.
    pub query_mask: Option<&'a [bool]>,
    pub key_masks: [Option<&'a [bool]>; 2],
    /// Which query sees which key, other than 0: `[batch, queries, keys]`, or with `by_head` `[batch, heads, queries, keys]`.
    pub mask: Option<&'a [T]>,
    pub by_head: bool,
    /// The part of the probabilities that is dropped, and the key of its draws for each row of the batch.
    pub dropout: Option<(f64, &'a (dyn Fn(usize) -> Key + Sync))>,
    /// Whether a query that sees no key gives the mean of all values of its row instead of zeros.
    pub even: bool,
}

/// A buffer that tasks write disjoint parts of.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T, usize);
// SAFETY: tasks write disjoint elements of a buffer that is borrowed exclusively, see `strided`.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; sharing the pointer itself reads nothing.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn of(values: &mut [T]) -> Self {
        Shared(values.as_mut_ptr(), values.len())
    }

    /// Values from `at` on.
    ///
    /// # Safety
    /// No other task reads or writes them meanwhile.
    #[allow(clippy::mut_from_ref)]
    unsafe fn row(&self, at: usize, len: usize) -> &mut [T] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.1), "attention: a row outside its buffer");
        // SAFETY: within the buffer, and the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}

/// A matrix that lies in a buffer: where it begins, and how far apart rows or columns are.
#[derive(Clone, Copy)]
struct View<'a, T> {
    data: &'a [T],
    strides: [usize; 2],
}

impl<'a, T> View<'a, T> {
    fn rows(data: &'a [T], stride: usize) -> Self {
        View { data, strides: [stride, 1] }
    }

    fn columns(data: &'a [T], stride: usize) -> Self {
        View { data, strides: [1, stride] }
    }

    fn contains(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.strides[0] + (columns - 1) * self.strides[1] < self.data.len()
    }
}

/// C += A·B, or C = A·B, for a C whose rows begin `stride` apart from `at` on in a shared buffer.
///
/// # Safety
/// No other task reads or writes these elements of the buffer meanwhile.
unsafe fn strided<T: Float>(
    [m, k, n]: [usize; 3],
    a: View<'_, T>,
    b: View<'_, T>,
    add: bool,
    c: &Shared<T>,
    at: usize,
    stride: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    let end = at + (m - 1) * stride + n;
    assert!(a.contains(m, k) && b.contains(k, n) && end <= c.1 && n <= stride, "attention: slices too short");
    let beta = if add { T::one() } else { T::zero() };
    let [a_strides, b_strides] = [a.strides, b.strides].map(|strides| strides.map(|stride| stride as isize));
    // SAFETY: the assertion bounds every address; A and B are borrowed and C is this task's, so they do not overlap.
    unsafe {
        let c = c.0.add(at);
        T::gemm(m, k, n, a.data.as_ptr(), a_strides, b.data.as_ptr(), b_strides, beta, c, [stride as isize, 1]);
    }
}

impl Sizes {
    fn query(&self, row: usize, query: usize, head: usize) -> usize {
        ((row * self.queries + query) * self.heads + head) * self.width
    }

    fn key(&self, row: usize, key: usize, head: usize) -> usize {
        ((row * self.keys + key) * self.key_heads + head) * self.width
    }

    fn value(&self, row: usize, key: usize, head: usize) -> usize {
        ((row * self.keys + key) * self.key_heads + head) * self.value_width
    }

    fn output(&self, row: usize, query: usize, head: usize) -> usize {
        ((row * self.queries + query) * self.heads + head) * self.value_width
    }

    fn group(&self) -> usize {
        self.heads / self.key_heads.max(1)
    }

    /// Where the logarithm of the sum of a query and head stands.
    fn sum(&self, row: usize, query: usize, head: usize) -> usize {
        (row * self.queries + query) * self.heads + head
    }

    /// How much one query of one head costs, in the units of [`parallel::parts`].
    fn work(&self) -> usize {
        (self.keys * (self.width + self.value_width)).div_ceil(MADDS_PER_UPDATE) + 2 * self.keys
    }
}

impl<T: Float> Rules<'_, T> {
    /// The keys that a query sees by its position, within those of the problem.
    #[inline(always)]
    fn seen(&self, query: usize, keys: &Range<usize>) -> Range<usize> {
        let position = query + self.offset;
        let first = position.saturating_sub(self.before).max(keys.start);
        let end = position.saturating_add(self.behind).saturating_add(1).min(keys.end);
        first..end.max(first)
    }

    /// The keys that queries of a block see by their positions.
    fn seen_by(&self, queries: &Range<usize>, keys: &Range<usize>) -> Range<usize> {
        if queries.is_empty() {
            return keys.start..keys.start;
        }
        self.seen(queries.start, keys).start..self.seen(queries.end - 1, keys).end
    }
}

/// One tile of scores: a block of queries, `keys` of a tile.
struct Tile<'a> {
    problem: &'a Problem,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
}

/// What a tile's scores are computed from.
struct Call<'a, T> {
    sizes: Sizes,
    rules: &'a Rules<'a, T>,
    q: &'a [T],
    k: &'a [T],
    v: &'a [T],
}

impl<T: Float> Call<'_, T> {
    /// The scores of a tile into rows of [`TILE`], −∞ where a query does not see a key; with the slope of the soft cap where asked for.
    fn scores(&self, tile: &Tile<'_>, scores: &mut [T], mut slopes: Option<&mut [T]>) {
        let (sizes, rules) = (&self.sizes, self.rules);
        let Tile { problem, head, queries, keys } = tile;
        let (row, key_head) = (problem.row, head / sizes.group());
        let a = View::rows(&self.q[sizes.query(row, queries.start, *head)..], sizes.heads * sizes.width);
        let b = View::columns(&self.k[sizes.key(row, keys.start, key_head)..], sizes.key_heads * sizes.width);
        // SAFETY: the buffer is this call's.
        unsafe { strided([queries.len(), sizes.width, keys.len()], a, b, false, &Shared::of(scores), 0, TILE) };
        let distances = sizes.queries + sizes.keys + rules.offset;
        for (i, query) in queries.clone().enumerate() {
            let s = &mut scores[i * TILE..(i + 1) * TILE];
            let seen = rules.seen(query, &problem.keys);
            let all = rules.query_mask.is_none_or(|mask| mask[row * sizes.queries + query]);
            let first = seen.start.clamp(keys.start, keys.end) - keys.start;
            let end = if all { seen.end.clamp(keys.start, keys.end) - keys.start } else { first };
            let end = end.max(first);
            simd::vectorised(|| {
                let s = &mut s[first..end];
                s.iter_mut().for_each(|s| *s *= rules.scale);
            });
            if let Some(cap) = rules.soft_cap {
                let slopes = slopes.as_deref_mut().map(|slopes| &mut slopes[i * TILE..(i + 1) * TILE]);
                soft_cap(cap, &mut s[first..end], slopes.map(|slopes| &mut slopes[first..end]));
            }
            if let Some(bias) = rules.bias {
                let least = sizes.queries - 1 + rules.offset;
                let at = head * (distances - 1) + (keys.start + first + least) - (query + rules.offset);
                s[first..end].iter_mut().zip(&bias[at..]).for_each(|(s, b)| *s += *b);
            }
            s[..first].fill(T::neg_infinity());
            s[end..].fill(T::neg_infinity());
            for mask in rules.key_masks.into_iter().flatten() {
                let mask = &mask[row * sizes.keys + keys.start..];
                hide(&mut s[first..end], mask[first..].iter().copied());
            }
            if let Some(mask) = rules.mask {
                let plane = if rules.by_head { row * sizes.heads + head } else { row };
                let mask = &mask[(plane * sizes.queries + query) * sizes.keys + keys.start..];
                hide(&mut s[first..end], mask[first..].iter().map(|m| *m != T::zero()));
            }
        }
    }

    /// Multiplies each probability of a tile by 0 or 1 / (1 − rate).
    fn drop(&self, tile: &Tile<'_>, values: &mut [T]) {
        let Some((rate, key)) = self.rules.dropout else { return };
        let key = key(tile.problem.row).with(tile.head as u64);
        let kept = T::of(1.0 / (1.0 - rate));
        for (i, query) in tile.queries.clone().enumerate() {
            let first = (query * self.sizes.keys + tile.keys.start) as u64;
            for (j, value) in values[i * TILE..][..tile.keys.len()].iter_mut().enumerate() {
                *value = if key.unit(first + j as u64) < rate { T::zero() } else { *value * kept };
            }
        }
    }

    /// The blocks of queries, tile after tile of what they see.
    fn tiles(&self, problem: &Problem, queries: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<T> {
        let seen = self.rules.seen_by(queries, &problem.keys);
        let origin = problem.keys.start;
        let first = origin + (seen.start - origin) / TILE * TILE;
        (first..seen.end).step_by(TILE).map(move |at| at..(at + TILE).min(seen.end))
    }
}

/// s ← c·tanh(s / c), and its slope 1 − tanh².
fn soft_cap<T: Float>(cap: T, s: &mut [T], slopes: Option<&mut [T]>) {
    let inverse = cap.recip();
    simd::vectorised(|| s.iter_mut().for_each(|s| *s = (*s * inverse).fast_tanh()));
    if let Some(slopes) = slopes {
        slopes.iter_mut().zip(&*s).for_each(|(slope, t)| *slope = T::one() - *t * *t);
    }
    s.iter_mut().for_each(|s| *s *= cap);
}

fn hide<T: Float>(s: &mut [T], seen: impl Iterator<Item = bool>) {
    s.iter_mut().zip(seen).for_each(|(s, seen)| *s = if seen { *s } else { T::neg_infinity() });
}

/// Σ of a row of a tile, always in the same chains.
#[inline(always)]
fn sum_of_tile<T: Float>(row: &[T]) -> T {
    let mut lanes = [T::zero(); 16];
    for part in row.chunks_exact(16) {
        lanes.iter_mut().zip(part).for_each(|(lane, v)| *lane += *v);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            let other = lanes[i + half];
            lanes[i] += other;
        }
    }
    lanes[0]
}

/// Values of working space that a thread of [`forward`] needs.
const FORWARD_SPACE: usize = BLOCK * (TILE + 2);

/// How many blocks of queries the longest problem has.
fn blocks(problems: &[Numbers]) -> usize {
    problems.iter().map(|[_, start, end, ..]| (*end as usize - *start as usize).div_ceil(BLOCK)).max().unwrap_or(0)
}

/// How many values of working space [`forward`] and [`backward`] need.
pub fn space(sizes: Sizes, problems: &[Numbers], backward: bool) -> usize {
    if backward {
        backward_parts(sizes, problems) * BACKWARD_SPACE
    } else {
        forward_parts(sizes, problems) * FORWARD_SPACE
    }
}

fn forward_parts(sizes: Sizes, problems: &[Numbers]) -> usize {
    let tasks = problems.len() * sizes.heads * blocks(problems);
    parallel::parts(tasks, sizes.work().saturating_mul(BLOCK.min(sizes.queries)))
}

/// y = softmax(q·kᵀ·scale)·v by the rules; `sums` gets the logarithm of each query's sum of exponentials `[batch, queries, heads]`, +∞ where it saw no
/// key.
pub fn forward<T: Float>(
    sizes: Sizes,
    problems: &[Numbers],
    rules: &Rules<'_, T>,
    [q, k, v]: [&[T]; 3],
    y: &mut [T],
    sums: &mut [T],
    space: &mut [T],
) {
    let call = Call { sizes, rules, q, k, v };
    let (per_head, blocks) = (problems.len(), blocks(problems));
    let (outputs, logs) = (Shared::of(y), Shared::of(sums));
    let parts = forward_parts(sizes, problems);
    let tasks = per_head * sizes.heads * blocks;
    parallel::par_chunks(0..tasks, parts, PerThread(space, FORWARD_SPACE), &|range, space| {
        for task in range {
            let problem = &Problem::from(problems[task / (sizes.heads * blocks)]);
            let rest = task % (sizes.heads * blocks);
            let (head, block) = (rest / blocks, rest % blocks);
            let start = problem.queries.start + block * BLOCK;
            let queries = start..(start + BLOCK).min(problem.queries.end);
            if start < queries.end {
                // SAFETY: each task has queries and a head of its own.
                unsafe { forward_block(&call, problem, head, queries, &outputs, &logs, space.0) };
            }
        }
    });
}

/// # Safety
/// No other task works on these queries of this head.
unsafe fn forward_block<T: Float>(
    call: &Call<'_, T>,
    problem: &Problem,
    head: usize,
    queries: Range<usize>,
    outputs: &Shared<T>,
    logs: &Shared<T>,
    space: &mut [T],
) {
    let sizes = &call.sizes;
    let (row, key_head, width) = (problem.row, head / sizes.group(), sizes.value_width);
    let n = queries.len();
    let (scores, rest) = space.split_at_mut(BLOCK * TILE);
    let (tops, rest) = rest.split_at_mut(BLOCK);
    let totals = &mut rest[..BLOCK];
    tops.fill(T::neg_infinity());
    totals.fill(T::zero());
    let at = |query: usize| sizes.output(row, query, head);
    // SAFETY: rows of y of this task, here and below.
    queries.clone().for_each(|query| unsafe { outputs.row(at(query), width) }.fill(T::zero()));
    for keys in call.tiles(problem, &queries) {
        let tile = Tile { problem, head, queries: queries.clone(), keys };
        call.scores(&tile, scores, None);
        for (i, query) in queries.clone().enumerate() {
            let s = &mut scores[i * TILE..(i + 1) * TILE];
            let shrink = simd::vectorised(|| {
                let top = rows::largest(s);
                let top = if top > tops[i] { top } else { tops[i] };
                // Where nothing is seen yet, or all scores are −∞ or NaN.
                let base = if top == T::neg_infinity() { T::zero() } else { top };
                s.iter_mut().for_each(|s| *s = (*s - base).fast_exp());
                let shrink = (tops[i] - base).fast_exp();
                totals[i] = totals[i] * shrink + sum_of_tile(s);
                tops[i] = top;
                shrink
            });
            if shrink != T::one() {
                // SAFETY: as above.
                let y = unsafe { outputs.row(at(query), width) };
                y.iter_mut().for_each(|y| *y *= shrink);
            }
        }
        call.drop(&tile, scores);
        let a = View::rows(scores, TILE);
        let b = View::rows(&call.v[sizes.value(row, tile.keys.start, key_head)..], sizes.key_heads * width);
        // SAFETY: as above.
        unsafe { strided([n, tile.keys.len(), width], a, b, true, outputs, at(queries.start), sizes.heads * width) };
    }
    for (i, query) in queries.clone().enumerate() {
        // SAFETY: as above.
        let (y, log) = unsafe { (outputs.row(at(query), width), logs.row(sizes.sum(row, query, head), 1)) };
        if totals[i] == T::zero() {
            log[0] = T::infinity();
            if call.rules.even {
                mean_value(call, row, key_head, y);
            }
            continue;
        }
        let inverse = totals[i].recip();
        y.iter_mut().for_each(|y| *y *= inverse);
        let base = if tops[i] == T::neg_infinity() { T::zero() } else { tops[i] };
        log[0] = base + totals[i].ln();
    }
}

/// The mean of all values of a row of the batch.
fn mean_value<T: Float>(call: &Call<'_, T>, row: usize, key_head: usize, y: &mut [T]) {
    let sizes = &call.sizes;
    y.fill(T::zero());
    for key in 0..sizes.keys {
        let value = &call.v[sizes.value(row, key, key_head)..][..sizes.value_width];
        y.iter_mut().zip(value).for_each(|(y, v)| *y += *v);
    }
    let inverse = T::of(1.0 / sizes.keys.max(1) as f64);
    y.iter_mut().for_each(|y| *y *= inverse);
}

/// Values of working space that a thread of [`backward`] needs: probabilities, their gradients, slopes of the soft cap.
const BACKWARD_SPACE: usize = 3 * BLOCK * TILE;

fn backward_parts(sizes: Sizes, problems: &[Numbers]) -> usize {
    let work = sizes.work().saturating_mul(3 * sizes.queries * sizes.group());
    parallel::parts(problems.len() * sizes.key_heads, work)
}

/// Where the gradients of a problem's biases stand, and how many there are for each head: one for each distance of a key to a query, from that of its
/// first key to its last query on, and one that is not used.
fn bias_range(sizes: &Sizes, problem: &Problem) -> (Range<usize>, usize) {
    let distances = problem.queries.len() + problem.keys.len();
    // Problems of a row follow each other, with their queries and with their keys.
    let start = (problem.row * (sizes.queries + sizes.keys) + problem.queries.start + problem.keys.start) * sizes.heads;
    (start..start + distances * sizes.heads, distances)
}

/// Calls `f` with the first distance of a problem and the gradients of its biases `[heads, distances]`.
pub fn each_bias<T>(sizes: Sizes, problems: &[Numbers], gradients: &[T], mut f: impl FnMut(isize, usize, &[T])) {
    for problem in problems.iter().map(|numbers| Problem::from(*numbers)).filter(|problem| !problem.keys.is_empty()) {
        let (range, distances) = bias_range(&sizes, &problem);
        f(problem.keys.start as isize + 1 - problem.queries.end as isize, distances, &gradients[range]);
    }
}

/// How many values of working space a call needs at most, whatever the problems.
pub fn most_space(backward: bool) -> usize {
    parallel::threads().saturating_mul(if backward { BACKWARD_SPACE.max(FORWARD_SPACE) } else { FORWARD_SPACE })
}

/// Gradients that are wanted.
pub struct Gradients<'a, T> {
    pub q: Option<&'a mut [T]>,
    pub k: Option<&'a mut [T]>,
    pub v: Option<&'a mut [T]>,
    /// Of the bias by distance, for each problem and head, where [`bias_range`] says: `[batch, queries + keys, heads]` values in all.
    pub bias: Option<&'a mut [T]>,
    /// The probabilities `[batch, heads, queries, keys]` and the gradient with respect to them, where they are an output too.
    pub scores: Option<[&'a [T]; 2]>,
}

/// dq, dk, dv (and the bias's) from dy, what [`forward`] was given and gave, and `deltas` `[batch, queries, heads]`, which gets Σ dy·y.
#[allow(clippy::too_many_arguments)]
pub fn backward<T: Float>(
    sizes: Sizes,
    problems: &[Numbers],
    rules: &Rules<'_, T>,
    [q, k, v]: [&[T]; 3],
    [y, dy]: [&[T]; 2],
    sums: &[T],
    deltas: &mut [T],
    gradients: Gradients<'_, T>,
    space: &mut [T],
) {
    let width = sizes.value_width;
    parallel::rows(deltas, 1, width, |first, deltas| {
        for (i, delta) in (first..).zip(deltas) {
            let row = i * width..(i + 1) * width;
            *delta = rows::dot(&y[row.clone()], &dy[row]);
        }
    });
    let Gradients { q: dq, k: dk, v: dv, bias, scores } = gradients;
    if let Some([p, dp]) = scores {
        for (i, delta) in deltas.iter_mut().enumerate() {
            let (query, head) = (i / sizes.heads, i % sizes.heads);
            let plane = query / sizes.queries * sizes.heads + head;
            let at = (plane * sizes.queries + query % sizes.queries) * sizes.keys;
            *delta += rows::dot(&p[at..at + sizes.keys], &dp[at..at + sizes.keys]);
        }
    }
    let shared = |gradient: Option<&mut [T]>| {
        gradient.map(|gradient| {
            gradient.fill(T::zero());
            Shared::of(gradient)
        })
    };
    let back = Backward {
        call: Call { sizes, rules, q, k, v },
        dy,
        sums,
        deltas,
        dq: shared(dq),
        dk: shared(dk),
        dv: shared(dv),
        bias: shared(bias),
        scores: scores.map(|[_, dp]| dp),
    };
    let (heads, parts) = (sizes.key_heads, backward_parts(sizes, problems));
    parallel::par_chunks(0..problems.len() * heads, parts, PerThread(space, BACKWARD_SPACE), &|range, space| {
        for task in range {
            // SAFETY: each task has a problem and a head of keys of its own.
            unsafe { back.head(&problems[task / heads].into(), task % heads, space.0) };
        }
    });
    if rules.even && back.dv.is_some() && sums.contains(&T::infinity()) {
        back.even();
    }
}

struct Backward<'a, T> {
    call: Call<'a, T>,
    dy: &'a [T],
    sums: &'a [T],
    deltas: &'a [T],
    dq: Option<Shared<T>>,
    dk: Option<Shared<T>>,
    dv: Option<Shared<T>>,
    bias: Option<Shared<T>>,
    scores: Option<&'a [T]>,
}

impl<T: Float> Backward<'_, T> {
    /// One head of keys, tile after tile, with all queries that see it.
    ///
    /// # Safety
    /// No other task works on this problem and head.
    unsafe fn head(&self, problem: &Problem, key_head: usize, space: &mut [T]) {
        let sizes = &self.call.sizes;
        let starts = problem.keys.clone().step_by(TILE);
        for start in starts {
            let keys = start..(start + TILE).min(problem.keys.end);
            for head in key_head * sizes.group()..(key_head + 1) * sizes.group() {
                for start in problem.queries.clone().step_by(BLOCK) {
                    let queries = start..(start + BLOCK).min(problem.queries.end);
                    let seen = self.call.rules.seen_by(&queries, &problem.keys);
                    if seen.start >= keys.end || seen.end <= keys.start {
                        continue;
                    }
                    let tile = Tile { problem, head, queries, keys: keys.clone() };
                    // SAFETY: the caller's promise.
                    unsafe { self.tile(&tile, key_head, space) };
                }
            }
        }
    }

    /// # Safety
    /// As [`head`](Self::head).
    unsafe fn tile(&self, tile: &Tile<'_>, key_head: usize, space: &mut [T]) {
        let (sizes, rules) = (&self.call.sizes, self.call.rules);
        let (n, keys, row) = (tile.queries.len(), tile.keys.len(), tile.problem.row);
        let (scores, rest) = space.split_at_mut(BLOCK * TILE);
        let (grads, slopes) = rest.split_at_mut(BLOCK * TILE);
        let slopes = rules.soft_cap.is_some().then_some(slopes);
        let mut slopes = slopes;
        self.call.scores(tile, scores, slopes.as_deref_mut());
        let log = |query: usize| self.sums[sizes.sum(row, query, tile.head)];
        simd::vectorised(|| {
            for (s, query) in scores.chunks_exact_mut(TILE).zip(tile.queries.clone()) {
                let log = log(query);
                s.iter_mut().for_each(|s| *s = (*s - log).fast_exp());
            }
        });
        let (query, key) = (sizes.heads * sizes.width, sizes.key_heads * sizes.width);
        let (output, value) = (sizes.heads * sizes.value_width, sizes.key_heads * sizes.value_width);
        let dy = &self.dy[sizes.output(row, tile.queries.start, tile.head)..];
        let v = &self.call.v[sizes.value(row, tile.keys.start, key_head)..];
        if let Some(dv) = &self.dv {
            let at = sizes.value(row, tile.keys.start, key_head);
            let dropped = rules.dropout.is_some();
            if dropped {
                grads.copy_from_slice(scores);
                self.call.drop(tile, grads);
            }
            let p = View::columns(if dropped { &*grads } else { &*scores }, TILE);
            // SAFETY: values of this task's keys and head.
            unsafe { strided([keys, n, sizes.value_width], p, View::rows(dy, output), true, dv, at, value) };
        }
        if self.dq.is_none() && self.dk.is_none() && self.bias.is_none() {
            return;
        }
        let (a, b) = (View::rows(dy, output), View::columns(v, value));
        // SAFETY: the buffer is this task's.
        unsafe { strided([n, sizes.value_width, keys], a, b, false, &Shared::of(grads), 0, TILE) };
        self.call.drop(tile, grads);
        if let Some(dp) = self.scores {
            for (g, at) in grads.chunks_exact_mut(TILE).zip(tile.queries.clone()) {
                let at = ((row * sizes.heads + tile.head) * sizes.queries + at) * sizes.keys + tile.keys.start;
                g[..keys].iter_mut().zip(&dp[at..]).for_each(|(g, dp)| *g += *dp);
            }
        }
        let each = scores.chunks_exact(TILE).zip(grads.chunks_exact_mut(TILE)).zip(tile.queries.clone());
        for ((p, g), at) in each {
            let delta = self.deltas[sizes.sum(row, at, tile.head)];
            simd::vectorised(|| {
                g[..keys].iter_mut().zip(p).for_each(|(g, p)| *g = *p * (*g - delta));
            });
            if let Some(bias) = &self.bias {
                let (whole, distances) = bias_range(sizes, tile.problem);
                let first = tile.keys.start - tile.problem.keys.start + tile.problem.queries.end - 1 - at;
                // SAFETY: the distances of this problem and head.
                let bias = unsafe { bias.row(whole.start + tile.head * distances + first, keys) };
                bias.iter_mut().zip(&*g).for_each(|(b, g)| *b += *g);
            }
        }
        for (i, g) in grads.chunks_exact_mut(TILE).take(n).enumerate() {
            let g = &mut g[..keys];
            if let Some(slopes) = &slopes {
                // Where nothing is seen the slope is not written, and the gradient is 0.
                let each = g.iter_mut().zip(&slopes[i * TILE..]);
                each.for_each(|(g, slope)| *g = if *g == T::zero() { *g } else { *g * *slope });
            }
            simd::vectorised(|| g.iter_mut().for_each(|g| *g *= rules.scale));
        }
        if let Some(dq) = &self.dq {
            let at = sizes.query(row, tile.queries.start, tile.head);
            let k = View::rows(&self.call.k[sizes.key(row, tile.keys.start, key_head)..], key);
            // SAFETY: queries of a head that goes with this task's.
            unsafe { strided([n, keys, sizes.width], View::rows(grads, TILE), k, true, dq, at, query) };
        }
        if let Some(dk) = &self.dk {
            let at = sizes.key(row, tile.keys.start, key_head);
            let q = View::rows(&self.call.q[sizes.query(row, tile.queries.start, tile.head)..], query);
            // SAFETY: keys of this task's head.
            unsafe { strided([keys, n, sizes.width], View::columns(grads, TILE), q, true, dk, at, key) };
        }
    }

    /// The gradient of the mean of all values, for queries that saw no key.
    fn even(&self) {
        let sizes = &self.call.sizes;
        let Some(dv) = &self.dv else { return };
        let inverse = T::of(1.0 / sizes.keys.max(1) as f64);
        for (i, _) in self.sums.iter().enumerate().filter(|(_, sum)| **sum == T::infinity()) {
            let (row, head) = (i / (sizes.queries * sizes.heads), i % sizes.heads);
            let dy = &self.dy[i * sizes.value_width..(i + 1) * sizes.value_width];
            for key in 0..sizes.keys {
                // SAFETY: no other task runs.
                let dv = unsafe { dv.row(sizes.value(row, key, head / sizes.group()), sizes.value_width) };
                dv.iter_mut().zip(dy).for_each(|(dv, dy)| *dv += *dy * inverse);
            }
        }
    }
}

/// The probabilities themselves `[batch, heads, queries, keys]`, from what [`forward`] gave; 0 where a query sees no key.
pub fn probabilities<T: Float>(
    sizes: Sizes,
    problems: &[Numbers],
    rules: &Rules<'_, T>,
    [q, k, v]: [&[T]; 3],
    sums: &[T],
    out: &mut [T],
    space: &mut [T],
) {
    let call = Call { sizes, rules, q, k, v };
    out.fill(T::zero());
    for problem in problems.iter().map(|numbers| Problem::from(*numbers)) {
        let problem = &problem;
        for (head, start) in
            (0..sizes.heads).flat_map(|head| problem.queries.clone().step_by(BLOCK).map(move |start| (head, start)))
        {
            let queries = start..(start + BLOCK).min(problem.queries.end);
            for keys in call.tiles(problem, &queries) {
                let tile = Tile { problem, head, queries: queries.clone(), keys: keys.clone() };
                call.scores(&tile, space, None);
                for (i, query) in queries.clone().enumerate() {
                    let log = sums[sizes.sum(problem.row, query, head)];
                    let at = ((problem.row * sizes.heads + head) * sizes.queries + query) * sizes.keys + keys.start;
                    let each = out[at..at + keys.len()].iter_mut().zip(&space[i * TILE..]);
                    each.for_each(|(p, s)| *p = (*s - log).fast_exp());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Purpose;

    /// What a test runs.
    #[derive(Clone)]
    struct Case {
        sizes: Sizes,
        numbers: Vec<Numbers>,
        before: usize,
        behind: usize,
        soft_cap: Option<f64>,
        bias: bool,
        query_mask: Option<Vec<bool>>,
        key_mask: Option<Vec<bool>>,
        mask: Option<Vec<f64>>,
        by_head: bool,
        dropout: Option<f64>,
        even: bool,
    }

    fn noise(n: usize, part: u64) -> Vec<f64> {
        let key = Key::new(5, Purpose::Data).with(part);
        (0..n as u64).map(|i| 2.0 * key.unit(i) - 1.0).collect()
    }

    fn drop_key(row: usize) -> Key {
        Key::new(9, Purpose::Layer).with(row as u64)
    }

    struct Values<T> {
        q: Vec<T>,
        k: Vec<T>,
        v: Vec<T>,
        dy: Vec<T>,
        bias: Vec<T>,
    }

    impl Values<f64> {
        fn of(s: Sizes) -> Self {
            let (queries, keys) = (s.batch * s.queries, s.batch * s.keys);
            Values {
                q: noise(queries * s.heads * s.width, 1),
                k: noise(keys * s.key_heads * s.width, 2),
                v: noise(keys * s.key_heads * s.value_width, 3),
                dy: noise(queries * s.heads * s.value_width, 4),
                bias: noise(s.heads * (s.queries + s.keys - 1), 5),
            }
        }

        fn to<T: Float>(&self) -> Values<T> {
            let of = |x: &Vec<f64>| x.iter().map(|v| T::of(*v)).collect();
            Values { q: of(&self.q), k: of(&self.k), v: of(&self.v), dy: of(&self.dy), bias: of(&self.bias) }
        }
    }

    impl Case {
        fn new(
            batch: usize,
            [queries, keys]: [usize; 2],
            [heads, key_heads]: [usize; 2],
            [width, value_width]: [usize; 2],
        ) -> Self {
            let sizes = Sizes { batch, queries, keys, heads, key_heads, width, value_width };
            Case {
                sizes,
                numbers: (0..batch as u32).map(|row| [row, 0, queries as u32, 0, keys as u32]).collect(),
                before: usize::MAX,
                behind: usize::MAX,
                soft_cap: None,
                bias: false,
                query_mask: None,
                key_mask: None,
                mask: None,
                by_head: false,
                dropout: None,
                even: false,
            }
        }

        fn run<T: Float>(&self, x: &Values<T>) -> [Vec<T>; 6] {
            let s = self.sizes;
            let mask: Option<Vec<T>> = self.mask.as_ref().map(|mask| mask.iter().map(|m| T::of(*m)).collect());
            let rules = Rules {
                scale: T::of(0.8),
                soft_cap: self.soft_cap.map(T::of),
                offset: 0,
                before: self.before,
                behind: self.behind,
                bias: self.bias.then_some(&x.bias[..]),
                query_mask: self.query_mask.as_deref(),
                key_masks: [self.key_mask.as_deref(), None],
                mask: mask.as_deref(),
                by_head: self.by_head,
                dropout: self.dropout.map(|rate| (rate, &drop_key as _)),
                even: self.even,
            };
            let nan = |n: usize| vec![T::nan(); n];
            let per_query = s.batch * s.queries * s.heads;
            let (mut y, mut sums, mut deltas) = (nan(x.dy.len()), nan(per_query), nan(per_query));
            let mut room = nan(space(s, &self.numbers, false));
            let qkv = [&x.q[..], &x.k, &x.v];
            forward(s, &self.numbers, &rules, qkv, &mut y, &mut sums, &mut room);
            let mut p = nan(s.batch * s.heads * s.queries * s.keys);
            probabilities(s, &self.numbers, &rules, qkv, &sums, &mut p, &mut room);
            let mut room = nan(space(s, &self.numbers, true));
            let (mut dq, mut dk, mut dv) = (nan(x.q.len()), nan(x.k.len()), nan(x.v.len()));
            let mut bias = nan(s.batch * (s.queries + s.keys) * s.heads);
            let gradients = Gradients {
                q: Some(&mut dq),
                k: Some(&mut dk),
                v: Some(&mut dv),
                bias: self.bias.then_some(&mut bias[..]),
                scores: None,
            };
            backward(s, &self.numbers, &rules, qkv, [&y, &x.dy], &sums, &mut deltas, gradients, &mut room);
            // By distance, all problems together.
            let mut sums = vec![T::zero(); x.bias.len()];
            if self.bias {
                let all = s.queries + s.keys - 1;
                each_bias(s, &self.numbers, &bias, |first, distances, g| {
                    for (i, g) in g.iter().enumerate().filter(|(i, _)| i % distances + 1 < distances) {
                        let at = (i % distances) as isize + first + s.queries as isize - 1;
                        sums[i / distances * all + at as usize] += *g;
                    }
                });
            }
            [y, dq, dk, dv, sums, p]
        }

        /// Whether a query sees a key, as said, one after the other.
        fn sees(&self, row: usize, head: usize, query: usize, key: usize) -> bool {
            let s = self.sizes;
            let plane = if self.by_head { row * s.heads + head } else { row };
            let together = self.numbers.iter().any(|&[r, a, b, c, d]| {
                let within = |at: usize, a: u32, b: u32| at >= a as usize && at < b as usize;
                r as usize == row && within(query, a, b) && within(key, c, d)
            });
            together
                && key + self.before.min(1 << 40) >= query
                && key <= query.saturating_add(self.behind)
                && self.query_mask.as_ref().is_none_or(|mask| mask[row * s.queries + query])
                && self.key_mask.as_ref().is_none_or(|mask| mask[row * s.keys + key])
                && self.mask.as_ref().is_none_or(|mask| mask[(plane * s.queries + query) * s.keys + key] != 0.0)
        }

        /// The formula, with all probabilities; dq, dk, dv by the chain rule over whole matrices.
        fn plain(&self, x: &Values<f64>) -> [Vec<f64>; 6] {
            let s = self.sizes;
            let mut out = [x.dy.len(), x.q.len(), x.k.len(), x.v.len(), x.bias.len()].map(|n| vec![0.0; n]);
            let [y, dq, dk, dv, dbias] = &mut out;
            let mut all = vec![0.0; s.batch * s.heads * s.queries * s.keys];
            for (row, head, query) in (0..s.batch)
                .flat_map(|row| (0..s.heads).flat_map(move |head| (0..s.queries).map(move |query| (row, head, query))))
            {
                let key_head = head / s.group();
                let q = &x.q[s.query(row, query, head)..][..s.width];
                let seen: Vec<usize> = (0..s.keys).filter(|&key| self.sees(row, head, query, key)).collect();
                let (to, dy) = (s.output(row, query, head), &x.dy[s.output(row, query, head)..][..s.value_width]);
                let distance = |key: usize| head * (s.queries + s.keys - 1) + key + s.queries - 1 - query;
                if seen.is_empty() && self.even {
                    for (key, c) in (0..s.keys).flat_map(|key| (0..s.value_width).map(move |c| (key, c))) {
                        let at = s.value(row, key, key_head) + c;
                        y[to + c] += x.v[at] / s.keys as f64;
                        dv[at] += dy[c] / s.keys as f64;
                    }
                }
                let mut slopes = Vec::new();
                let scores: Vec<f64> = seen
                    .iter()
                    .map(|&key| {
                        let k = &x.k[s.key(row, key, key_head)..][..s.width];
                        let mut score = 0.8 * q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>();
                        slopes.push(self.soft_cap.map_or(1.0, |cap| 1.0 - (score / cap).tanh().powi(2)));
                        score = self.soft_cap.map_or(score, |cap| cap * (score / cap).tanh());
                        score + if self.bias { x.bias[distance(key)] } else { 0.0 }
                    })
                    .collect();
                let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                let p: Vec<f64> = scores.iter().map(|s| s.exp() / sum).collect();
                let kept = |key: usize| match self.dropout {
                    Some(rate) => {
                        let draw = drop_key(row).with(head as u64).unit((query * s.keys + key) as u64);
                        if draw < rate { 0.0 } else { 1.0 / (1.0 - rate) }
                    }
                    None => 1.0,
                };
                let mut dp = Vec::new();
                for (&key, p) in seen.iter().zip(&p) {
                    all[((row * s.heads + head) * s.queries + query) * s.keys + key] = *p;
                    let at = s.value(row, key, key_head);
                    for c in 0..s.value_width {
                        y[to + c] += p * kept(key) * x.v[at + c];
                        dv[at + c] += p * kept(key) * dy[c];
                    }
                    dp.push(kept(key) * (0..s.value_width).map(|c| dy[c] * x.v[at + c]).sum::<f64>());
                }
                let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                for (i, &key) in seen.iter().enumerate() {
                    let ds = p[i] * (dp[i] - mean);
                    dbias[distance(key)] += ds;
                    for c in 0..s.width {
                        dq[s.query(row, query, head) + c] += 0.8 * ds * slopes[i] * x.k[s.key(row, key, key_head) + c];
                        dk[s.key(row, key, key_head) + c] += 0.8 * ds * slopes[i] * q[c];
                    }
                }
            }
            let [y, dq, dk, dv, mut dbias] = out;
            if !self.bias {
                dbias.fill(0.0);
            }
            [y, dq, dk, dv, dbias, all]
        }

        fn check(&self) {
            let x = Values::of(self.sizes);
            let (found, expected) = (self.run(&x), self.plain(&x));
            let names = ["y", "dq", "dk", "dv", "dbias", "p"];
            for ((found, expected), name) in found.iter().zip(&expected).zip(names) {
                assert_eq!(found.len(), expected.len(), "{name}");
                for (i, (a, b)) in found.iter().zip(expected).enumerate() {
                    assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{name}[{i}]: {a} and {b} in {:?}", self.sizes);
                }
            }
        }
    }

    fn mask(n: usize, part: u64, share: f64) -> Vec<bool> {
        noise(n, part).iter().map(|v| (v + 1.0) / 2.0 < share).collect()
    }

    #[test]
    fn as_the_formula_with_every_rule() {
        for (t, s) in [(1, 1), (5, 7), (64, 64), (65, 130), (130, 130), (3, 200)] {
            let case = Case::new(2, [t, s], [2, 1], [3, 5]);
            case.check();
            Case { soft_cap: Some(1.1), bias: true, ..case.clone() }.check();
            Case { dropout: Some(0.3), behind: 0, ..case.clone() }.check();
            Case { behind: 0, before: 70, ..case.clone() }.check();
            Case { behind: 3, before: 4, even: true, ..case.clone() }.check();
            let masks = Case {
                query_mask: Some(mask(2 * t, 11, 0.8)),
                key_mask: Some(mask(2 * s, 12, 0.5)),
                mask: Some(mask(2 * t * s, 13, 0.3).iter().map(|m| f64::from(u8::from(*m))).collect()),
                behind: 0,
                ..case.clone()
            };
            masks.check();
            Case { even: true, bias: true, soft_cap: Some(0.7), dropout: Some(0.5), ..masks }.check();
            let by_head = mask(4 * t * s, 14, 0.2).iter().map(|m| f64::from(u8::from(*m))).collect();
            Case { mask: Some(by_head), by_head: true, ..case }.check();
        }
        // Documents, one of them longer than a tile.
        let mut case = Case::new(2, [150, 150], [3, 3], [4, 2]);
        case.numbers = vec![[0, 0, 20, 0, 20], [0, 20, 149, 20, 149], [0, 149, 150, 149, 150], [1, 0, 150, 3, 150]];
        case.behind = 0;
        case.bias = true;
        case.check();
    }

    #[test]
    fn bits_depend_on_what_is_seen_alone() {
        // A document alone, in a row with others, behind padding and before it, in a batch.
        let alone = Case { behind: 0, ..Case::new(1, [100, 100], [2, 2], [8, 8]) };
        let x = Values::of(alone.sizes).to::<f32>();
        let y = alone.run(&x)[0].clone();
        let long = Sizes { batch: 2, queries: 230, keys: 230, ..alone.sizes };
        let mut row = Values::of(long).to::<f32>();
        for at in [0, 37, 130] {
            for (to, from) in [(&mut row.q, &x.q), (&mut row.k, &x.k), (&mut row.v, &x.v)] {
                to[(230 + at) * 16..][..from.len()].copy_from_slice(from);
            }
            let (a, b) = (at as u32, at as u32 + 100);
            let mut packed = Case { sizes: long, ..alone.clone() };
            packed.numbers = vec![[0, 0, 230, 0, 230], [1, 0, a, 0, a], [1, a, b, a, b], [1, b, 230, b, 230]];
            assert_eq!(packed.run(&row)[0][(230 + at) * 16..][..y.len()], y[..], "packed at {at}");
            packed.numbers = vec![[0, 0, 230, 0, 230], [1, 0, 230, a, 230]];
            assert_eq!(packed.run(&row)[0][(230 + at) * 16..][..y.len()], y[..], "padded before {at}");
        }
        // A query alone.
        let last = Case { before: 99, behind: 0, ..Case::new(1, [1, 100], [2, 2], [8, 8]) };
        let query = |i: usize| Values {
            q: x.q[i * 16..][..16].to_vec(),
            dy: x.dy[..16].to_vec(),
            bias: vec![],
            k: x.k.clone(),
            v: x.v.clone(),
        };
        let all = Case { behind: usize::MAX, ..alone.clone() }.run(&x)[0].clone();
        for i in [0, 63, 64, 99] {
            let last = Case { behind: usize::MAX, before: usize::MAX, ..last.clone() };
            assert_eq!(last.run(&query(i))[0], all[i * 16..][..16], "query {i}");
        }
    }

    #[test]
    fn f32_is_near_f64_for_long_rows_and_large_scores() {
        for scale in [1.0, 40.0] {
            let case = Case { behind: 0, ..Case::new(1, [1500, 1500], [1, 1], [16, 16]) };
            let mut x = Values::of(case.sizes);
            x.q.iter_mut().for_each(|q| *q *= scale);
            let x = Values { q: x.to::<f32>().q.iter().map(|v| f64::from(*v)).collect(), ..x };
            let (single, double) = (case.run(&x.to::<f32>()), case.run(&x));
            for i in 0..4 {
                let top = double[i].iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let worst =
                    single[i].iter().zip(&double[i]).fold(0.0, |m: f64, (a, b)| m.max((f64::from(*a) - b).abs()));
                assert!(worst / top < 2e-6 * scale, "output {i}: {}", worst / top);
            }
        }
    }

    #[test]
    fn nan_stays_visible() {
        let case = Case { behind: 0, ..Case::new(1, [70, 70], [1, 1], [2, 2]) };
        let mut x = Values::of(case.sizes);
        x.k[2 * 3] = f64::NAN;
        let y = &case.run(&x)[0];
        assert!(y[..6].iter().all(|v| v.is_finite()) && y[6..].iter().all(|v| v.is_nan()));
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn threads_change_no_bit() {
        let case = Case { behind: 0, dropout: Some(0.1), ..Case::new(2, [150, 150], [6, 2], [16, 16]) };
        let x = Values::of(case.sizes).to::<f32>();
        let with = |threads| {
            let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.run(&x))
        };
        let one = with(1);
        (2..=4).for_each(|threads| {
            let other = with(threads);
            (0..4).for_each(|i| assert_eq!(other[i], one[i], "{threads} threads"));
        });
    }
}
