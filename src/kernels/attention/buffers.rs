//! Matrices that lie in buffers, with rows or columns apart, and the one door through which tasks write disjoint parts of one.

use crate::kernels::float::Float;

/// A buffer that tasks write disjoint parts of.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(*mut T, usize);
// SAFETY: tasks write disjoint elements of a buffer that is borrowed exclusively, see `strided`.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; sharing the pointer itself reads nothing.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn of(values: &mut [T]) -> Self {
        Shared(values.as_mut_ptr(), values.len())
    }

    /// Values from `at` on.
    ///
    /// # Safety
    /// No other task reads or writes them meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row(&self, at: usize, len: usize) -> &mut [T] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.1), "attention: a row outside its buffer");
        // SAFETY: within the buffer, and the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}

/// A matrix that lies in a buffer: where it begins, and how far apart rows or columns are.
#[derive(Clone, Copy)]
pub(super) struct View<'a, T> {
    pub data: &'a [T],
    pub strides: [usize; 2],
}

impl<'a, T> View<'a, T> {
    pub fn rows(data: &'a [T], stride: usize) -> Self {
        View { data, strides: [stride, 1] }
    }

    pub fn columns(data: &'a [T], stride: usize) -> Self {
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
pub(super) unsafe fn strided<T: Float>(
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
