//! Batches loaded ahead.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::data::{Batch, Dataset, Shard};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// Batches that worker threads load while the model trains on those before, two for each worker.
///
/// What is in a batch and the order in which batches come do not depend on the number of workers. An error is handed out with
/// the batch in which it happened; so is a panic of the dataset, or of a function that samples are mapped with.
///
/// PyTorch `DataLoader(num_workers=…)`, TensorFlow `prefetch`.
///
/// ```
/// use gradus::prelude::*;
/// let source = FromFn::new([2], [1], Some(1000), |_, i, x: &mut [f32], _: &mut [f32]| Ok(x.fill(i as f32)))?;
/// let data = Prefetch::new(source.shuffle(1).batch(32), 2)?;
/// let mut batch = Batch::default();
/// for index in 0..data.batches().unwrap_or(0) {
///     data.load(0, index, &mut batch)?;
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Prefetch<T: Float = f32> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    /// One caller at a time: others would move the place that is loaded from.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Shared<T: Float> {
    data: Box<dyn Dataset<T>>,
    queue: Mutex<Queue<T>>,
    /// Something has changed.
    changed: Condvar,
    depth: usize,
}

/// The batches that are loaded or being loaded, in the order in which they will be asked for.
#[derive(Debug)]
struct Queue<T> {
    slots: VecDeque<Slot<T>>,
    /// What to load next; nothing before the first is asked for.
    next: Option<Place>,
    /// The shards of each batch that are asked for, as far as they are known.
    shards: Range<usize>,
    /// Grows with every leap, so that batches of before can be told.
    round: u64,
    /// Memory to be used again.
    spare: Vec<Batch<T>>,
    closed: bool,
}

/// A batch, or a shard of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    epoch: usize,
    index: usize,
    shard: Option<Shard>,
}

#[derive(Debug)]
struct Slot<T> {
    place: Place,
    round: u64,
    /// The batch, and how many samples the whole of it has where it is a shard.
    loaded: Option<(Batch<T>, Result<usize>)>,
}

impl<T: Float> Prefetch<T> {
    /// Loads the batches of `data` ahead with so many threads.
    ///
    /// # Errors
    /// [`Error::Argument`] for no workers or more than 1024; what [`Dataset::check`] finds; [`Error::Custom`] if a thread cannot be started.
    pub fn new(data: impl Dataset<T> + 'static, workers: usize) -> Result<Self> {
        if !(1..=1024).contains(&workers) {
            let hint = "1 or 2 is usual; leave prefetch out to load on the training thread";
            return Err(Error::argument("prefetch", "workers", "from 1 to 1024", workers, hint));
        }
        data.check()?;
        let (slots, spare) = (VecDeque::new(), Vec::new());
        let queue = Queue { slots, next: None, shards: 0..0, round: 0, spare, closed: false };
        let shared = Arc::new(Shared {
            data: Box::new(data),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            depth: 2 * workers,
        });
        let mut prefetch = Prefetch { shared, workers: Vec::new(), turn: Mutex::new(()) };
        for i in 0..workers {
            let shared = Arc::clone(&prefetch.shared);
            let thread = std::thread::Builder::new().name(format!("gradus loader {i}"));
            prefetch.workers.push(thread.spawn(move || shared.work()).map_err(Error::custom)?);
        }
        Ok(prefetch)
    }
}

impl<T: Float> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue<T>>) -> MutexGuard<'a, Queue<T>> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes after this: the next shard that is asked for of each batch, or the next batch of the epoch, or the first of the next epoch.
    fn after(&self, Place { epoch, index, shard }: Place, shards: &Range<usize>) -> Place {
        if let Some(shard) = shard.filter(|shard| shard.number + 1 < shards.end) {
            return Place { epoch, index, shard: Some(Shard { number: shard.number + 1, ..shard }) };
        }
        let shard = shard.map(|shard| Shard { number: shards.start, ..shard });
        match self.data.batches() {
            Some(n) if index.saturating_add(1) >= n => Place { epoch: epoch.saturating_add(1), index: 0, shard },
            _ => Place { epoch, index: index.saturating_add(1), shard },
        }
    }

    fn load(&self, Place { epoch, index, shard }: Place, batch: &mut Batch<T>) -> Result<usize> {
        match shard {
            Some(shard) => self.data.load_shard(epoch, index, shard, batch),
            None => self.data.load(epoch, index, batch).map(|()| 0),
        }
    }

    /// A worker's life.
    fn work(&self) {
        let mut queue = self.queue();
        while !queue.closed {
            let Some(place) = queue.next.filter(|_| queue.slots.len() < self.depth) else {
                queue = self.wait(queue);
                continue;
            };
            let round = queue.round;
            let mut batch = queue.spare.pop().unwrap_or_default();
            let shards = queue.shards.clone();
            match caught(place, || self.after(place, &shards)) {
                Ok(after) => {
                    queue.slots.push_back(Slot { place, round, loaded: None });
                    queue.next = Some(after);
                }
                Err(error) => {
                    // What comes after it is not known.
                    queue.slots.push_back(Slot { place, round, loaded: Some((batch, Err(error))) });
                    queue.next = None;
                    self.changed.notify_all();
                    continue;
                }
            }
            drop(queue);
            batch.clear_weights();
            let result = caught(place, || self.load(place, &mut batch)).flatten();
            queue = self.queue();
            match queue.slots.iter_mut().find(|s| s.round == round && s.place == place) {
                Some(slot) => slot.loaded = Some((batch, result)),
                None => queue.spare.push(batch),
            }
            self.changed.notify_all();
        }
    }
}

/// Calls what is not ours; a panic in it is an error, as nobody would hear of it on a worker.
fn caught<R>(Place { index, .. }: Place, f: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let error = Error::custom(format!("loading batch {index} panicked: {}", text.unwrap_or("no message")));
        // A value whose destructor panics again must not end the worker.
        std::mem::forget(panic);
        error
    })
}

impl<T: Float> Dataset<T> for Prefetch<T> {
    fn shapes(&self) -> (Shape, Shape) {
        self.shared.data.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.shared.data.all_shapes()
    }

    fn batches(&self) -> Option<usize> {
        self.shared.data.batches()
    }

    fn check(&self) -> Result<()> {
        self.shared.data.check()
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()> {
        self.take(Place { epoch, index, shard: None }, batch).map(|_| ())
    }

    fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<usize> {
        self.take(Place { epoch, index, shard: Some(shard) }, batch)
    }
}

impl<T: Float> Prefetch<T> {
    /// Waits for what is asked for, which is loaded ahead if it is what was expected to come.
    fn take(&self, place: Place, batch: &mut Batch<T>) -> Result<usize> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        let mut queue = shared.queue();
        if queue.slots.front().map(|s| s.place) != Some(place) {
            // A leap: what was loaded ahead is of no use.
            queue.round += 1;
            let loaded: Vec<_> = queue.slots.drain(..).filter_map(|s| Some(s.loaded?.0)).collect();
            queue.spare.extend(loaded);
            let number = place.shard.map_or(0, |shard| shard.number);
            // Shards come one after the other, and the same ones of each batch.
            match queue.shards.end == number && !queue.shards.is_empty() {
                true => queue.shards.end += 1,
                false => queue.shards = number..number + 1,
            }
            queue.next = Some(place);
            shared.changed.notify_all();
        }
        loop {
            if let Some((mut loaded, result)) = queue.slots.front_mut().and_then(|s| s.loaded.take()) {
                queue.slots.pop_front();
                std::mem::swap(batch, &mut loaded);
                queue.spare.push(loaded);
                shared.changed.notify_all();
                return result;
            }
            queue = shared.wait(queue);
        }
    }
}

impl<T: Float> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
