//! Threads: contiguous parts of the work, each to one thread, only where it pays.
//!
//! The parts never share an output element, so their number changes no result. With the feature `parallel` they run on
//! rayon's current pool (the global one, or the pool that the calling program installed); without it on the caller.

/// Work (in multiply-adds or element updates of similar cost) below which waking a second thread costs more than it saves.
pub const WORTH_A_THREAD: usize = 1 << 17;

/// The number of threads that work may be spread over now.
pub fn threads() -> usize {
    #[cfg(feature = "parallel")]
    {
        rayon::current_num_threads()
    }
    #[cfg(not(feature = "parallel"))]
    {
        1
    }
}

/// Into how many parts to split `items` units of `work` each.
pub fn parts(items: usize, work: usize) -> usize {
    let total = items.saturating_mul(work);
    if total < 2 * WORTH_A_THREAD {
        return 1;
    }
    threads().min(items).min(total / WORTH_A_THREAD).max(1)
}

/// Runs both, on two threads where there are two.
pub fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    #[cfg(feature = "parallel")]
    {
        rayon::join(a, b);
    }
    #[cfg(not(feature = "parallel"))]
    {
        a();
        b();
    }
}

/// Calls `f(first row, rows)` for contiguous parts of `data`, rows of `width` elements that cost `work` each.
pub fn rows<T: Send>(data: &mut [T], width: usize, work: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let n = data.len() / width.max(1);
    split_rows(data, 0, n, width, parts(n, work), &f);
}

fn split_rows<T: Send>(
    data: &mut [T],
    first: usize,
    n: usize,
    width: usize,
    parts: usize,
    f: &(impl Fn(usize, &mut [T]) + Sync),
) {
    if parts <= 1 {
        return f(first, data);
    }
    let left = n * (parts / 2) / parts;
    let (a, b) = data.split_at_mut(left * width);
    join(
        || split_rows(a, first, left, width, parts / 2, f),
        || split_rows(b, first + left, n - left, width, parts - parts / 2, f),
    );
}

/// Calls `f(range)` for contiguous parts of `0..n`, units that cost `work` each.
pub fn ranges(n: usize, work: usize, f: impl Fn(std::ops::Range<usize>) + Sync) {
    split_ranges(0..n, parts(n, work), &f);
}

fn split_ranges(range: std::ops::Range<usize>, parts: usize, f: &(impl Fn(std::ops::Range<usize>) + Sync)) {
    if parts <= 1 {
        return f(range);
    }
    let middle = range.start + range.len() * (parts / 2) / parts;
    join(|| split_ranges(range.start..middle, parts / 2, f), || split_ranges(middle..range.end, parts - parts / 2, f));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_once() {
        let mut data = vec![0usize; 3 * 1001];
        rows(&mut data, 3, WORTH_A_THREAD, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(3).enumerate() {
                row.iter_mut().for_each(|v| *v += first + i + 1);
            }
        });
        assert!(data.iter().enumerate().all(|(i, &v)| v == i / 3 + 1));
    }

    #[test]
    fn small_work_stays_on_the_caller() {
        assert_eq!(parts(1000, 1), 1);
        assert_eq!(parts(0, 1), 1);
    }
}
