//! Pages of large buffers.

/// Bytes of a large page, where there are any.
const LARGE: usize = 1 << 21;

/// Asks the system to give a buffer that has not been written yet in large pages where it can (Linux, `transparent_hugepage`
/// set to `madvise` or `always`): a page is brought in when it is first written, and 512 of the usual size cost several times as much as a large one, as
/// do look-ups of where they lie. Buffers that fill less than two large pages are left alone, and nothing depends on the answer.
#[inline(always)] // The rest has no type of its own, and is compiled once.
pub fn prefer_large<T>(memory: &mut [T]) {
    if size_of_val(memory) >= 2 * LARGE {
        advise(memory.as_mut_ptr().cast(), size_of_val(memory));
    }
}

/// Out to whole pages, not in: allocations lie one behind the other, and what is left out between two of them would divide a large page.
#[cfg(target_os = "linux")]
#[inline(never)]
fn advise(start: *mut u8, bytes: usize) {
    // SAFETY: the call takes a number and gives one.
    let Ok(page @ 1..) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else { return };
    let before = start.addr() % page;
    let bytes = (before + bytes).next_multiple_of(page);
    // SAFETY: pages that hold a borrowed slice. The advice changes how pages are held and nothing that they hold, so it harms nobody who has a part of the first
    // or the last. Kernels that do not know it answer with an error, which is as well.
    unsafe { libc::madvise(start.wrapping_sub(before).cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
#[inline(never)]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_buffer_holds_stays() {
        for len in [0, 1, LARGE, 2 * LARGE - 1, 2 * LARGE, 5 * LARGE + 3] {
            let mut memory: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for skip in [0, 1, 4096].into_iter().filter(|&skip| skip <= len) {
                prefer_large(&mut memory[skip..]);
            }
            prefer_large(memory.spare_capacity_mut());
            assert!(memory.iter().enumerate().all(|(i, &v)| v == i as u8));
        }
    }
}
