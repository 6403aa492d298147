//! What one layer remembers.

use crate::kernels::broadcast::Broadcast;
use crate::tensor::{Float, Shape, Tensor};

/// What one layer remembers between forward and backward, beyond its input and output, and its scratch space.
///
/// Tensors grow on the first step and are reused after it. Where no backward pass may follow, layers share one set of `tensors`:
/// what was written in one call is not there in the next.
#[derive(Debug, Default)]
pub struct Slot<T = f32> {
    /// Tensors for the layer's own use, in an order of its own.
    pub tensors: Vec<Tensor<T>>,
    /// What is kept from call to call, see [`state`](Self::state).
    states: Vec<Tensor<T>>,
    /// The slots of layers inside this layer.
    pub children: Vec<Slot<T>>,
    /// Whole numbers (positions of maxima and the like).
    pub indices: Vec<u32>,
    /// How operands of free sizes go into a result.
    plan: Broadcast,
}

impl<T: Float> Slot<T> {
    /// An empty slot; takes no memory until it is used.
    pub fn new() -> Self {
        Slot {
            tensors: Vec::new(),
            states: Vec::new(),
            children: Vec::new(),
            indices: Vec::new(),
            plan: Broadcast::default(),
        }
    }

    /// Tensor number `i` with this shape; contents are unspecified unless the shape is that of the last call.
    pub fn tensor(&mut self, i: usize, shape: Shape) -> &mut Tensor<T> {
        if self.tensors.len() <= i {
            self.tensors.resize_with(i + 1, Tensor::default);
        }
        let tensor = &mut self.tensors[i];
        if tensor.shape() != shape {
            tensor.resize(shape);
        }
        tensor
    }

    /// At least `len` values of tensor number `i`, which grows and never shrinks; contents are unspecified.
    pub fn scratch(&mut self, i: usize, len: usize) -> &mut [T] {
        if self.tensors.len() <= i {
            self.tensors.resize_with(i + 1, Tensor::default);
        }
        self.tensors[i].scratch(len)
    }

    /// The first `N` tensors, each as its own buffer; those that are missing are made, empty.
    ///
    /// ```
    /// use gradus::{Slot, Tensor};
    /// let mut slot = Slot::<f32>::new();
    /// slot.tensor(0, [2, 3].into());
    /// let [z, space] = slot.buffers();
    /// assert_eq!((z.len(), space.len()), (6, 0));
    /// ```
    pub fn buffers<const N: usize>(&mut self) -> [&mut Tensor<T>; N] {
        first(&mut self.tensors)
    }

    /// [`buffers`](Self::buffers), and the place of a plan.
    pub(crate) fn buffers_and_plan<const N: usize>(&mut self) -> ([&mut Tensor<T>; N], &mut Broadcast) {
        (first(&mut self.tensors), &mut self.plan)
    }

    /// Tensor number `i` of those that are kept from call to call, in training and inference alike (a recurrent layer's state, the
    /// keys and values of a decoder); empty at first. Scratch space is not: in inference layers share it.
    pub fn state(&mut self, i: usize) -> &mut Tensor<T> {
        if self.states.len() <= i {
            self.states.resize_with(i + 1, Tensor::default);
        }
        &mut self.states[i]
    }

    /// Exchanges all with another layer's slot but what is kept from call to call.
    pub(crate) fn exchange(&mut self, other: &mut Slot<T>) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.states, &mut other.states);
        self.children.iter_mut().zip(&mut other.children).for_each(|(own, other)| {
            std::mem::swap(&mut own.states, &mut other.states);
        });
    }

    /// The slot of inner layer `i`.
    pub fn child(&mut self, i: usize) -> &mut Slot<T> {
        if self.children.len() <= i {
            self.children.resize_with(i + 1, Slot::new);
        }
        &mut self.children[i]
    }
}

/// The first `N` tensors; those that are missing are made.
fn first<T: Float, const N: usize>(tensors: &mut Vec<Tensor<T>>) -> [&mut Tensor<T>; N] {
    if tensors.len() < N {
        tensors.resize_with(N, Tensor::default);
    }
    // There are N at least.
    tensors.first_chunk_mut().unwrap_or_else(|| unreachable!()).each_mut()
}
