use super::*;
use crate::kernels::float::Float;
use crate::kernels::random::{Key, Purpose};

/// Steps of a row that see each other.
fn part(row: u32, start: u32, end: u32) -> Numbers {
    [row, start, end, start, end, 0, row]
}

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
        let sizes = Sizes { batch, queries, keys, heads, key_heads, width, value_width, joined: false };
        Case {
            sizes,
            numbers: (0..batch as u32).map(|row| [row, 0, queries as u32, 0, keys as u32, 0, row]).collect(),
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
            before: self.before,
            behind: self.behind,
            bias: self.bias.then_some(Biases {
                values: &x.bias,
                first: 1 - s.queries as isize,
                distances: s.queries + s.keys - 1,
            }),
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
        let together = self.numbers.iter().any(|&[r, a, b, c, d, ..]| {
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
    case.numbers = vec![part(0, 0, 20), part(0, 20, 149), part(0, 149, 150), [1, 0, 150, 3, 150, 0, 1]];
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
        packed.numbers = vec![part(0, 0, 230), part(1, 0, a), part(1, a, b), part(1, b, 230)];
        assert_eq!(packed.run(&row)[0][(230 + at) * 16..][..y.len()], y[..], "packed at {at}");
        packed.numbers = vec![part(0, 0, 230), [1, 0, 230, a, 230, 0, 1]];
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
        let case = Case { behind: 0, ..Case::new(1, [4096, 4096], [1, 1], [16, 16]) };
        let mut x = Values::of(case.sizes);
        x.q.iter_mut().for_each(|q| *q *= scale);
        let x = Values { q: x.to::<f32>().q.iter().map(|v| f64::from(*v)).collect(), ..x };
        let (single, double) = (case.run(&x.to::<f32>()), case.run(&x));
        for i in 0..4 {
            let top = double[i].iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let worst = single[i].iter().zip(&double[i]).fold(0.0, |m: f64, (a, b)| m.max((f64::from(*a) - b).abs()));
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

/// y of some rows of queries against keys that lie in a cache of so many places, three rows of them.
fn from_cache(whole: &Case, x: &Values<f32>, [start, end]: [usize; 2], places: usize) -> Vec<f32> {
    let s = whole.sizes;
    let (own, key, n) = (s.heads * s.width, s.key_heads * s.width, end - start);
    let sizes = Sizes { batch: 2, queries: n, keys: places, ..s };
    // Both rows of the batch have the same, from rows 2 and 0 of the cache; the row between holds other numbers.
    let (mut k, mut v) = (vec![7.5; 3 * places * key], vec![-7.5; 3 * places * key]);
    for row in [0, 2] {
        for at in end.saturating_sub(places)..end {
            let to = (row * places + at % places) * key;
            k[to..to + key].copy_from_slice(&x.k[at * key..][..key]);
            v[to..to + key].copy_from_slice(&x.v[at * key..][..key]);
        }
    }
    let q = x.q[start * own..end * own].repeat(2);
    let numbers = [[0, 2], [1, 0]].map(|[row, from]| [row, 0, n as u32, 0, end as u32, start as u32, from]);
    let distances = s.queries + s.keys - 1;
    let rules = Rules {
        scale: 0.8,
        soft_cap: None,
        before: whole.before,
        behind: 0,
        bias: whole.bias.then_some(Biases { values: &x.bias, first: 1 - s.queries as isize, distances }),
        query_mask: None,
        key_masks: [None; 2],
        mask: None,
        by_head: false,
        dropout: None,
        even: false,
    };
    let (mut y, mut sums) = (vec![f32::NAN; q.len()], vec![f32::NAN; 2 * n * s.heads]);
    let mut room = vec![f32::NAN; space(sizes, &numbers, false)];
    forward(sizes, &numbers, &rules, [&q, &k, &v], &mut y, &mut sums, &mut room);
    let second = y.split_off(y.len() / 2);
    assert_eq!(y, second);
    y
}

#[test]
fn pieces_from_a_cache_have_the_bits_of_the_whole() {
    for (before, places) in [(usize::MAX, 200), (69, 192), (0, 128), (64, 256)] {
        let case = Case { before, behind: 0, bias: true, ..Case::new(1, [200, 200], [4, 2], [8, 8]) };
        let x = Values::of(case.sizes).to::<f32>();
        let y = case.run(&x)[0].clone();
        for [start, end] in [[0, 50], [50, 51], [63, 65], [100, 164], [199, 200], [136, 200]] {
            assert_eq!(from_cache(&case, &x, [start, end], places), y[start * 32..end * 32], "{start} to {end}");
        }
    }
}

#[test]
fn joined_values_have_the_bits_of_those_apart() {
    let case = Case { behind: 0, ..Case::new(2, [70, 70], [4, 2], [8, 4]) };
    let x = Values::of(case.sizes).to::<f32>();
    let [y, dq, dk, dv, ..] = case.run(&x);
    let joined = |parts: [&[f32]; 3]| -> Vec<f32> {
        (0..140).flat_map(|i| [0, 1, 2].map(|p| &parts[p][i * [32, 16, 8][p]..][..[32, 16, 8][p]]).concat()).collect()
    };
    let sizes = Sizes { joined: true, ..case.sizes };
    let all = joined([&x.q, &x.k, &x.v]);
    let rules = Rules {
        scale: 0.8,
        soft_cap: None,
        before: usize::MAX,
        behind: 0,
        bias: None,
        query_mask: None,
        key_masks: [None; 2],
        mask: None,
        by_head: false,
        dropout: None,
        even: false,
    };
    let nan = |n: usize| vec![f32::NAN; n];
    let (mut own, mut sums, mut deltas, mut d) = (nan(y.len()), nan(560), nan(560), nan(all.len()));
    let mut room = nan(space(sizes, &case.numbers, false).max(space(sizes, &case.numbers, true)));
    forward(sizes, &case.numbers, &rules, [&all; 3], &mut own, &mut sums, &mut room);
    let gradients = Gradients { q: Some(&mut d), k: None, v: None, bias: None, scores: None };
    backward(sizes, &case.numbers, &rules, [&all; 3], [&own, &x.dy], &sums, &mut deltas, gradients, &mut room);
    assert_eq!((own, d), (y, joined([&dq, &dk, &dv])));
}
