//! Training on several ranks: each takes its part of every batch, and all end with the same weights.
//!
//! A batch is cut into logical [shards](crate::data::Shard), consecutive rows. Each rank computes the gradients of its shards, and sums
//! over shards are taken in an order that depends on how many there are, and on nothing else: 12 shards on 1, 2, 3, 4 or 6 ranks, or in
//! one process without any, end with the same bits. Ranks are joined by a [`World`]:
//!
//! ```
//! use gradus::distributed::{Threads, World};
//! use gradus::prelude::*;
//! let (x, y) = (Tensor::from_fn([60, 2], |i| i as f32 / 120.0), Tensor::from_fn([60, 1], |i| i as f32 / 60.0));
//! let train = |how: Fit<'_>| {
//!     let mut model = Sequential::new([2]).add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(1)).build(7)?;
//!     model.compile(Adam::default(), MeanSquaredError::default(), ())?;
//!     model.fit(&x, &y, &how.epochs(2).shards(6).verbose(Verbose::Silent))?;
//!     Ok::<_, Error>(model.params().values().to_vec())
//! };
//! let alone = train(Fit::default())?;
//! for weights in Threads::run(3, |world| train(Fit::default().distributed(world))) {
//!     assert_eq!(weights?, alone);
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! Under `mpirun` the world is `Mpi::start()?`, with the feature `mpi`. docs/distributed.md tells how to run it, what scales how, and what
//! becomes of ranks that fail.

mod messages;
#[cfg(feature = "mpi")]
mod mpi;
mod threads;
mod tree;
mod world;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
pub(crate) use messages::{Sums, add, all_gather, all_gather_numbers, any, times, times_size};
#[cfg(feature = "files")]
pub(crate) use messages::{broadcast_any, broadcast_numbers, gather};
pub use threads::Threads;
pub(crate) use tree::{add_pieces, add_up, add_up_before_last, buffers, shards_of};
pub(crate) use world::Alone;
pub use world::{Received, Sent, Traffic, World};
