//! Threads: contiguous parts of the work, each to one thread, only where it pays.
//!
//! The parts never share an output element, so their number changes no result. With the feature `parallel` they run on
//! rayon's current pool (the global one, or the pool that the calling program installed); without it on the caller. Work
//! that is already on a thread of a pool stays in that pool, so nothing starts more threads than it has.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Work (in multiply-adds or element updates of similar cost) below which waking a second thread costs more than it saves.
pub const WORTH_A_THREAD: usize = 1 << 17;

/// The variable that sets the number of threads from outside.
const VARIABLE: &str = "GRADUS_THREADS";

/// The most threads to use; 0 until it is known.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// The most threads that can be asked for, past what any processor has.
const MAX_THREADS: usize = 1024;

/// Uses at most `n` threads from now on, in the whole program; 1 keeps all work on the calling thread. No result depends on
/// it.
///
/// Without a call, the environment variable `GRADUS_THREADS` decides; without that, every core that the process may use, a
/// container's limit included. A value of the variable that this function would refuse, or that is no whole number, counts as
/// none, and a line on stderr says so. Where the system gives fewer threads than there
/// are cores, there are fewer, or one. A program with a rayon pool of its own runs
/// its calls inside `pool.install`; then that pool's threads are used, still at most `n`. Without the feature `parallel`
/// there is one thread whatever is asked for.
///
/// ```
/// gradus::set_threads(1)?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if `n` is 0 or above 1024, more threads than the system gives, or more than those of rayon's global pool
/// once that has been started. Then nothing has changed.
pub fn set_threads(n: usize) -> Result<()> {
    if n == 0 {
        return Err(Error::argument("set_threads", "n", "at least 1", n, "1 keeps all work on the calling thread"));
    }
    if n > MAX_THREADS {
        let hint = "more threads than cores are of no use";
        return Err(Error::argument("set_threads", "n", format!("at most {MAX_THREADS}"), n, hint));
    }
    #[cfg(feature = "parallel")]
    if n > 1 {
        let started = pool::start(n).map_err(|e| {
            let expected = format!("a number of threads that the system gives ({e})");
            Error::argument("set_threads", "n", expected, n, "ask for fewer, or raise the limit on threads")
        })?;
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

/// Rayon's global pool, started by us: rayon itself would panic then and in every later call where the system gives too few
/// threads.
#[cfg(feature = "parallel")]
mod pool {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError, mpsc};

    use super::MAX_THREADS;

    /// Threads of the pool; 0 before it has been started, 1 where none can be had.
    static STARTED: AtomicUsize = AtomicUsize::new(0);

    /// What a thread takes of a program's addresses, its stack of 2 MiB and what it needs at once.
    const STACK: usize = 5 << 19;

    /// One at a time.
    static TURN: Mutex<()> = Mutex::new(());

    /// Starts the pool with so many threads unless it runs already; the threads it has, 1 for none.
    pub fn start(n: usize) -> io::Result<usize> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        match STARTED.load(Ordering::Acquire) {
            0 => {}
            started => return Ok(started),
        }
        // Threads that fill the memory to its last byte leave none for what one of them takes as it begins, which ends the program.
        if Vec::<u8>::new().try_reserve_exact(n.saturating_mul(STACK)).is_err() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let (mut waiting, mut threads) = (Vec::new(), Vec::new());
        for i in 0..n {
            // All threads are there before rayon is asked; where one is refused, the others see their channel closed and end.
            let (sender, work) = mpsc::channel::<rayon_core::ThreadBuilder>();
            let run = move || work.recv().map_or((), rayon_core::ThreadBuilder::run);
            match std::thread::Builder::new().name(format!("gradus {i}")).spawn(run) {
                Ok(thread) => threads.push(thread),
                Err(refused) => {
                    drop(waiting);
                    threads.into_iter().for_each(|thread: std::thread::JoinHandle<()>| _ = thread.join());
                    return Err(refused);
                }
            }
            waiting.push(sender);
        }
        let spawn = move |thread| match waiting.pop() {
            Some(sender) => sender.send(thread).map_err(|_| io::Error::other("a thread has ended")),
            None => Err(io::Error::other("no thread is left")),
        };
        let built = rayon_core::ThreadPoolBuilder::new().num_threads(n).spawn_handler(spawn).build_global();
        let threads = match built {
            Ok(()) => n,
            // The program has started one, or has tried to and failed; rayon panics in the second case.
            Err(_) => std::panic::catch_unwind(rayon_core::current_num_threads).unwrap_or(1),
        };
        STARTED.store(threads, Ordering::Release);
        Ok(threads)
    }

    /// The threads of the pool, started with as many as there are cores, or as the system gives.
    pub fn threads() -> usize {
        match STARTED.load(Ordering::Acquire) {
            0 => {
                let asked =
                    std::env::var("RAYON_NUM_THREADS").ok().and_then(|v| v.trim().parse().ok()).filter(|&n| n > 0);
                let cores = || std::thread::available_parallelism().map_or(1, usize::from);
                let mut n = asked.unwrap_or_else(cores).min(MAX_THREADS);
                loop {
                    match start(n) {
                        Ok(threads) => break threads,
                        Err(_) if n > 1 => n /= 2,
                        Err(_) => {
                            STARTED.store(1, Ordering::Release);
                            break 1;
                        }
                    }
                }
            }
            started => started,
        }
    }
}

/// The most threads to use, from `set_threads`, the environment, or no limit.
fn limit() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var_os(VARIABLE).filter(|v| !v.to_string_lossy().trim().is_empty());
            if asked.is_none_or(|v| !limit_to(&v.to_string_lossy())) {
                LIMIT.store(usize::MAX, Ordering::Relaxed);
            }
            LIMIT.load(Ordering::Relaxed)
        }
        n => n,
    }
}

/// Uses as many threads as the environment variable says. What it cannot mean is told once, on stderr: no call could return it.
fn limit_to(asked: &str) -> bool {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let n: Result<usize> = asked.trim().parse().map_err(|_| {
        let expected = format!("a whole number from 1 to {MAX_THREADS}");
        Error::argument(VARIABLE, "value", expected, format!("{asked:?}"), "correct it, or remove it")
    });
    let Err(error) = n.and_then(set_threads) else { return true };
    ONCE.call_once(|| {
        let _ = writeln!(std::io::stderr().lock(), "{VARIABLE} is ignored, every core may be used: {error}");
    });
    false
}

/// The number of threads that work may be spread over now.
pub fn threads() -> usize {
    let limit = limit();
    #[cfg(feature = "parallel")]
    {
        match rayon_core::current_thread_index() {
            _ if limit == 1 => 1,
            // Outside of any pool, where rayon would start its own.
            None if pool::threads() == 1 => 1,
            _ => rayon_core::current_num_threads().min(limit),
        }
    }
    #[cfg(not(feature = "parallel"))]
    {
        limit.min(1)
    }
}

/// Runs `f`, which will split work of this size again and again, on a thread of the pool: handing parts to another thread
/// from there is far cheaper than from outside.
pub fn enter<R: Send>(work: usize, f: impl FnOnce() -> R + Send) -> R {
    enter_by(enter_erased, work, f)
}

/// [`enter`] for work whose parts come one soon after the other and are so short that waking a thread for each would take as long: the other threads
/// look out for them meanwhile. Where none comes for 200 µs, they sleep as always until `f` has ended: what waits or reads belongs in front of it.
pub fn enter_awake<R: Send>(work: usize, f: impl FnOnce() -> R + Send) -> R {
    enter_by(awake_erased, work, f)
}

/// Runs `f` by way of `by`, which calls its argument, if the work is worth the pool and not in it yet, whose threads have other things to do.
fn enter_by<R: Send>(by: fn(&mut (dyn FnMut() + Send)), work: usize, f: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "parallel")]
    if parts(2, work / 2) > 1 && rayon_core::current_thread_index().is_none() {
        let (mut f, mut out) = (Some(f), None);
        by(&mut || out = f.take().map(|f| f()));
        return out.unwrap_or_else(|| unreachable!());
    }
    let _ = (by, work);
    f()
}

/// [`enter`] without a type of its own: rayon's code is compiled once, and not again for every closure.
#[inline(never)]
fn enter_erased(f: &mut (dyn FnMut() + Send)) {
    #[cfg(feature = "parallel")]
    rayon_core::scope(|_| {
        let _within = Within::new(Standing::Work);
        f();
    });
    #[cfg(not(feature = "parallel"))]
    f();
}

/// [`enter_awake`] without threads.
#[cfg(not(feature = "parallel"))]
fn awake_erased(f: &mut (dyn FnMut() + Send)) {
    f();
}

/// [`enter_awake`] without a type of its own.
#[cfg(feature = "parallel")]
#[inline(never)]
fn awake_erased(f: &mut (dyn FnMut() + Send)) {
    let others = threads().saturating_sub(1);
    rayon_core::scope(|_| awake_beside(others, f));
}

/// How long a thread looks out for parts.
#[cfg(feature = "parallel")]
const PATIENCE: std::time::Duration = std::time::Duration::from_micros(200);

/// How long the first threads that look out leave the others' turns to them, which takes about as long as waking a thread.
#[cfg(feature = "parallel")]
const MUSTER: std::time::Duration = std::time::Duration::from_micros(50);

/// Threads that look out for the parts of one piece of work.
#[cfg(feature = "parallel")]
#[derive(Debug)]
struct Lookout {
    /// How many may come, and how many have.
    others: usize,
    came: AtomicUsize,
    /// Set when the work is done, also by a panic.
    done: std::sync::atomic::AtomicBool,
}

/// What a thread stands in.
#[cfg(feature = "parallel")]
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// Parts of others, if anything.
    Nothing,
    /// Work that has entered the pool.
    Work,
    /// Work that others look out for, or a look-out.
    Awake,
}

#[cfg(feature = "parallel")]
thread_local! {
    static STANDING: std::cell::Cell<Standing> = const { std::cell::Cell::new(Standing::Nothing) };
}

/// Has the thread stand in something else as long as it lives.
#[cfg(feature = "parallel")]
struct Within(Standing);

#[cfg(feature = "parallel")]
impl Within {
    fn new(standing: Standing) -> Self {
        Within(STANDING.replace(standing))
    }
}

#[cfg(feature = "parallel")]
impl Drop for Within {
    fn drop(&mut self) {
        STANDING.set(self.0);
    }
}

/// Calls `f` on this thread of the pool while so many others look out for its parts.
#[cfg(feature = "parallel")]
fn awake_beside(others: usize, f: &mut (dyn FnMut() + Send)) {
    struct Done<'a>(&'a Lookout);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.done.store(true, Ordering::Release);
        }
    }
    let lookout = Lookout { others, came: AtomicUsize::new(0), done: std::sync::atomic::AtomicBool::new(false) };
    with_others(others, &lookout, &mut || {
        let (_done, _within) = (Done(&lookout), Within::new(Standing::Awake));
        f();
    });
}

/// Calls `f` while so many other threads look out for its parts. By joins, which take no memory of the heap.
#[cfg(feature = "parallel")]
fn with_others(others: usize, lookout: &Lookout, f: &mut (dyn FnMut() + Send)) {
    if others == 0 {
        return f();
    }
    rayon_core::join(|| with_others(others - 1, lookout, f), || look_out(lookout));
}

/// Takes parts of others until all is done or none has come for a while: the end of patience also ends what no thread would, such as waiting for work
/// beneath which this thread stands.
#[cfg(feature = "parallel")]
fn look_out(lookout: &Lookout) {
    /// Looks between two at the clock, and what the system may do with the core then.
    const LOOKS: usize = 32;
    let Lookout { others, came, done } = lookout;
    // A thread that waits for a part, or looks out, takes whatever there is, such as the turn of another thread or one in other work: what it stands in
    // would wait for it here.
    if STANDING.get() != Standing::Nothing {
        return;
    }
    let (_within, begun) = (Within::new(Standing::Awake), std::time::Instant::now());
    came.fetch_add(1, Ordering::Relaxed);
    while came.load(Ordering::Relaxed) < *others && !done.load(Ordering::Acquire) && begun.elapsed() < MUSTER {
        (0..LOOKS).for_each(|_| std::hint::spin_loop());
    }
    let mut last = None;
    while !done.load(Ordering::Acquire) {
        let found = (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            done.load(Ordering::Acquire) || rayon_core::yield_now() == Some(rayon_core::Yield::Executed)
        });
        if found {
            last = None;
            continue;
        }
        if last.get_or_insert_with(std::time::Instant::now).elapsed() > PATIENCE {
            return;
        }
        std::thread::yield_now();
    }
}

/// Whether this thread computes what others look out for.
#[cfg(all(test, feature = "parallel"))]
pub(crate) fn is_awake() -> bool {
    STANDING.get() == Standing::Awake
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
    let (mut a, mut b) = (Some(a), Some(b));
    let call = (&mut || a.take().map_or((), |a| a()), &mut || b.take().map_or((), |b| b()));
    join_erased(call.0, call.1);
}

/// [`join`] without types of its own, as [`enter_erased`] is.
#[inline(never)]
fn join_erased(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    #[cfg(feature = "parallel")]
    {
        // While a part waits for its own, its thread takes whatever there is, but for the turns of those who look out.
        fn part(f: &mut (dyn FnMut() + Send)) {
            let _within = (STANDING.get() == Standing::Nothing).then(|| Within::new(Standing::Work));
            f();
        }
        rayon_core::join(|| part(a), || part(b));
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
    par_chunks(0..n, parts(n, work), ChunksMut(data, width), &|range, rows| f(range.start, rows.0));
}

/// Calls `f(range)` for contiguous parts of `0..n`, units that cost `work` each.
pub fn ranges(n: usize, work: usize, f: impl Fn(std::ops::Range<usize>) + Sync) {
    par_chunks(0..n, parts(n, work), (), &|range, ()| f(range));
}

/// What is cut when items are divided among threads.
pub trait SplitMut: Sized + Send {
    /// What belongs to the first `items` items, which make up the first `parts` parts, and the rest.
    fn split(self, items: usize, parts: usize) -> (Self, Self);
}

impl SplitMut for () {
    fn split(self, _: usize, _: usize) -> (Self, Self) {
        ((), ())
    }
}

/// Values that belong to the items, so many each; the last item may have fewer, and there may be none for any.
#[derive(Debug)]
pub struct ChunksMut<'a, T>(pub &'a mut [T], pub usize);

impl<T: Send> SplitMut for ChunksMut<'_, T> {
    fn split(self, items: usize, _: usize) -> (Self, Self) {
        let (a, b) = self.0.split_at_mut((items * self.1).min(self.0.len()));
        (ChunksMut(a, self.1), ChunksMut(b, self.1))
    }
}

/// Working space, so many values for each part.
#[derive(Debug)]
pub struct PerThread<'a, T>(pub &'a mut [T], pub usize);

impl<T: Send> SplitMut for PerThread<'_, T> {
    fn split(self, _: usize, parts: usize) -> (Self, Self) {
        let (a, b) = self.0.split_at_mut(parts * self.1);
        (PerThread(a, self.1), PerThread(b, self.1))
    }
}

macro_rules! split_tuple {
    ($($name:ident)+) => {
        impl<$($name: SplitMut),+> SplitMut for ($($name,)+) {
            #[allow(non_snake_case)]
            fn split(self, items: usize, parts: usize) -> (Self, Self) {
                let ($($name,)+) = self;
                $(let $name = $name.split(items, parts);)+
                (($($name.0,)+), ($($name.1,)+))
            }
        }
    };
}

split_tuple!(A B);
split_tuple!(A B C);
split_tuple!(A B C D);

/// Calls `f(range, cut)` for `parts` contiguous parts of some items, with what belongs to each part.
pub fn par_chunks<S: SplitMut>(
    items: std::ops::Range<usize>,
    parts: usize,
    cut: S,
    f: &(impl Fn(std::ops::Range<usize>, S) + Sync),
) {
    if parts <= 1 {
        return f(items, cut);
    }
    let left = items.len() * (parts / 2) / parts;
    let (a, b) = cut.split(left, parts / 2);
    let middle = items.start + left;
    let (mut a, mut b) = (Some(a), Some(b));
    // Not by `join`, whose closures would be compiled for each of the many callers.
    join_erased(&mut || a.take().map_or((), |a| par_chunks(items.start..middle, parts / 2, a, f)), &mut || {
        b.take().map_or((), |b| par_chunks(middle..items.end, parts - parts / 2, b, f))
    });
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
    fn every_part_has_its_items_and_space() {
        // Seven items of three values, the last of two, and space of five values a part.
        let (mut data, mut space) = (vec![0usize; 20], vec![0usize; 20]);
        for parts in 1..=4 {
            data.fill(0);
            space.fill(0);
            let cut = (ChunksMut(&mut data, 3), PerThread(&mut space[..5 * parts], 5));
            par_chunks(0..7, parts, cut, &|range, (items, space)| {
                assert_eq!(space.0.len(), 5);
                space.0.fill(1 + range.start);
                for (i, item) in range.clone().zip(items.0.chunks_mut(3)) {
                    item.fill(i + 1);
                }
            });
            assert!(data.iter().enumerate().all(|(i, &v)| v == i / 3 + 1));
            assert!(space[..5 * parts].iter().all(|&v| v > 0));
        }
    }

    #[test]
    fn small_work_stays_on_the_caller() {
        assert_eq!(parts(1000, 1), 1);
        assert_eq!(parts(0, 1), 1);
    }

    #[test]
    fn no_threads_are_an_error() {
        assert!(set_threads(0).unwrap_err().to_string().contains("at least 1"));
        for many in [MAX_THREADS + 1, 1_000_000, usize::MAX] {
            let error = set_threads(many).unwrap_err().to_string();
            assert!(error.starts_with("set_threads: n must be at most 1024, got "), "{error}");
        }
        // What was refused is forgotten.
        assert!(threads() >= 1 && parts(1 << 20, WORTH_A_THREAD) >= 1);
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn a_pool_of_the_callers_own() {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(threads), 3.min(limit()));
        // Nested use stays in the pool.
        assert_eq!(pool.install(|| enter(usize::MAX, threads)), 3.min(limit()));
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn awake_threads_lend_a_hand_and_leave() {
        let sums = |pause: bool| {
            let mut data = vec![0u64; 64];
            (0..20).for_each(|_| {
                rows(&mut data, 1, WORTH_A_THREAD, |first, part| {
                    part.iter_mut().enumerate().for_each(|(i, v)| *v += (first + i) as u64);
                });
                // Longer than anybody looks out.
                if pause {
                    std::thread::sleep(2 * PATIENCE);
                }
            });
            data
        };
        let expected: Vec<u64> = (0..64).map(|i| 20 * i).collect();
        assert!(
            [false, true].map(|pause| enter_awake(usize::MAX, || sums(pause))) == [expected.clone(), expected.clone()]
        );
        // From several threads at once, of which one fails.
        let failed =
            std::thread::spawn(|| enter_awake(usize::MAX, || std::panic::resume_unwind(Box::new("on purpose"))));
        let others: Vec<_> =
            (0..3).map(|_| std::thread::spawn(move || enter_awake(usize::MAX, || sums(false)))).collect();
        assert!(failed.join().is_err_and(|reason| reason.is::<&str>()));
        others.into_iter().for_each(|other| assert!(other.join().unwrap() == expected));
        // Small work stays where it is.
        assert!(enter_awake(1, rayon_core::current_thread_index).is_none());
    }

    /// In a pool of one thread, which takes what it has set aside from the last on.
    #[cfg(feature = "parallel")]
    #[test]
    fn no_thread_looks_out_where_something_waits_for_it() {
        use std::sync::Mutex;
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let told = Mutex::new(Vec::new());
        let tell = |what: &'static str| told.lock().unwrap().push(what);
        let lookout = || Lookout { others: 1, came: AtomicUsize::new(0), done: false.into() };
        // Beneath the work itself.
        pool.scope(|scope| {
            scope.spawn(|_| tell("other"));
            awake_beside(1, &mut || {
                assert_eq!(rayon_core::yield_now(), Some(rayon_core::Yield::Executed));
                tell("work");
            });
        });
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), ["work", "other"]);
        // While it looks out already.
        let (first, second) = (lookout(), lookout());
        pool.scope(|scope| {
            scope.spawn(|_| tell("other"));
            scope.spawn(|_| {
                look_out(&second);
                tell("second");
            });
            look_out(&first);
            tell("first");
        });
        assert_eq!(*told.lock().unwrap(), ["second", "other", "first"]);
        assert!(!pool.install(is_awake));
    }
}
