//! The allocations of threads that ask for it, and the most memory that a stretch of a thread's work holds.
//!
//! A program that uses it says `#[global_allocator] static ALLOCATOR: Counting = Counting;`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counting.
pub struct Counting;

static OWN: AtomicUsize = AtomicUsize::new(0);
static PACKING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    /// Bytes that this thread has taken and not given back; memory that others free makes it large, what it frees for others small.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// matrixmultiply, where it computes a product, packs its panels into buffers aligned to a vector (32 bytes, or 64); nothing of
/// ours, and nothing in the standard library, asks for more than 16.
fn count(layout: Layout) {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        let counter = if layout.align() > 16 { &PACKING } else { &OWN };
        counter.fetch_add(1, Relaxed);
    }
}

fn hold(bytes: isize) {
    // A thread that ends has no counters left.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = PEAK.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        hold(layout.size() as isize);
        // SAFETY: the caller's promise is the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        hold(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout);
        hold(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Whether the allocations of this thread are counted from now on.
pub fn count_this_thread(yes: bool) {
    COUNTED.set(yes);
}

/// The allocations of counted threads so far.
pub fn taken() -> usize {
    OWN.load(Relaxed) + PACKING.load(Relaxed)
}

/// (own, packing) allocations of the counted threads during `f`.
pub fn allocations(f: impl FnOnce()) -> (usize, usize) {
    let before = (OWN.load(Relaxed), PACKING.load(Relaxed));
    f();
    (OWN.load(Relaxed) - before.0, PACKING.load(Relaxed) - before.1)
}

/// The bytes that this thread holds now, from which the most is counted.
pub fn begin() -> usize {
    PEAK.set(NOW.get());
    NOW.get() as usize
}

/// The most bytes that this thread has held beyond those of [`begin`].
pub fn most_since(before: usize) -> usize {
    (PEAK.get() - before as isize).max(0) as usize
}
