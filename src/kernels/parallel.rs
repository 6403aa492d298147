//! Threads: contiguous parts of the work, each to one thread, only where it pays.
//!
//! The parts never share an output element, so their number changes no result. With the feature `parallel` they run on
//! rayon's current pool (the global one, or the pool that the calling program installed); without it on the caller. Work
//! that is already on a thread of a pool stays in that pool, so nothing starts more threads than it has.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Work (in multiply-adds or element updates of similar cost) below which waking a second thread costs more than it saves.
pub const WORTH_A_THREAD: usize = 1 << 17;

/// The variable that sets the number of threads from outside.
const VARIABLE: &str = "GRADUS_THREADS";

/// The most threads to use; 0 until it is known.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Uses at most `n` threads from now on, in the whole program; 1 keeps all work on the calling thread. No result depends on
/// it.
///
/// Without a call, the environment variable `GRADUS_THREADS` decides; without that (or where it is not a whole number of at
/// least 1), every core that the process may use, a container's limit included. A program with a rayon pool of its own runs
/// its calls inside `pool.install`; then that pool's threads are used, still at most `n`. Without the feature `parallel`
/// there is one thread whatever is asked for.
///
/// ```
/// gradus::set_threads(1)?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if `n` is 0, or more than the threads of rayon's global pool once that has been started.
pub fn set_threads(n: usize) -> Result<()> {
    if n == 0 {
        return Err(Error::argument("set_threads", "n", "at least 1", n, "1 keeps all work on the calling thread"));
    }
    #[cfg(feature = "parallel")]
    if n > 1 && rayon_core::ThreadPoolBuilder::new().num_threads(n).build_global().is_err() {
        let started = rayon_core::current_num_threads();
        if n > started {
            let expected = format!("at most {started}, the threads of the pool that is already running");
            return Err(Error::argument(
                "set_threads",
                "n",
                expected,
                n,
                "call set_threads before anything is computed",
            ));
        }
    }
    LIMIT.store(n, Ordering::Relaxed);
    Ok(())
}

/// The most threads to use, from `set_threads`, the environment, or no limit.
fn limit() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var(VARIABLE).ok().and_then(|v| v.trim().parse().ok()).filter(|&n: &usize| n > 0);
            if asked.is_none_or(|n| set_threads(n).is_err()) {
                LIMIT.store(usize::MAX, Ordering::Relaxed);
            }
            LIMIT.load(Ordering::Relaxed)
        }
        n => n,
    }
}

/// The number of threads that work may be spread over now.
pub fn threads() -> usize {
    let limit = limit();
    #[cfg(feature = "parallel")]
    {
        if limit == 1 { 1 } else { rayon_core::current_num_threads().min(limit) }
    }
    #[cfg(not(feature = "parallel"))]
    {
        limit.min(1)
    }
}

/// Runs `f`, which will split work of this size again and again, on a thread of the pool: handing parts to another thread
/// from there is far cheaper than from outside.
pub fn enter<R: Send>(work: usize, f: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "parallel")]
    if parts(2, work / 2) > 1 && rayon_core::current_thread_index().is_none() {
        return rayon_core::scope(|_| f());
    }
    let _ = work;
    f()
}

/// Into how many parts to split `items` units of `work` each.
#[inline]
pub fn parts(items: usize, work: usize) -> usize {
    let total = items.saturating_mul(work);
    if total < 2 * WORTH_A_THREAD {
        return 1;
    }
    threads().min(items).min(total / WORTH_A_THREAD).max(1)
}

/// Runs both, at the same time where they cost `work` together and that pays.
pub fn both(work: usize, a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    if parts(2, work / 2) > 1 {
        join(a, b);
    } else {
        a();
        b();
    }
}

/// Runs both, on two threads where there are two.
pub fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    #[cfg(feature = "parallel")]
    {
        rayon_core::join(a, b);
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

    #[test]
    fn no_threads_are_an_error() {
        assert!(set_threads(0).unwrap_err().to_string().contains("at least 1"));
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn a_pool_of_the_callers_own() {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(threads), 3.min(limit()));
        // Nested use stays in the pool.
        assert_eq!(pool.install(|| enter(usize::MAX, threads)), 3.min(limit()));
    }
}
