//! Ranks that are threads of one process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::world::{Received, Sent, World, check_ranks};
use crate::error::{Error, Result};

/// A rank among threads of one process: to try and to test what trains over several ranks, without MPI.
///
/// ```
/// use gradus::distributed::{Threads, World};
/// let names = Threads::run(3, |world| format!("{} of {}", world.rank(), world.size()));
/// assert_eq!(names, ["0 of 3", "1 of 3", "2 of 3"]);
/// ```
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    size: usize,
    deadline: Duration,
    post: Arc<Post>,
}

/// Messages that wait for who receives them.
#[derive(Debug, Default)]
struct Post {
    boxes: Mutex<Boxes>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Boxes {
    /// By sender and receiver.
    messages: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
    /// Which rank has failed, and why.
    failed: Option<(usize, String)>,
}

impl Threads {
    /// Runs `f` as that many ranks, a thread each, and returns what it gave, in the order of ranks. Ranks that wait for one that has
    /// failed get an error; a panic of one is handed on when all have ended.
    ///
    /// # Panics
    /// Where `f` does.
    pub fn run<R: Send>(ranks: usize, f: impl Fn(&Threads) -> R + Sync) -> Vec<R> {
        Threads::run_within(ranks, Duration::from_secs(60), f)
    }

    /// [`run`](Self::run) with another time than a minute after which a rank that does not answer is an error.
    ///
    /// # Panics
    /// Where `f` does.
    pub fn run_within<R: Send>(ranks: usize, deadline: Duration, f: impl Fn(&Threads) -> R + Sync) -> Vec<R> {
        let post = Arc::new(Post::default());
        let f = &f;
        std::thread::scope(|scope| {
            let start = |rank| {
                let world = Threads { rank, size: ranks, deadline, post: post.clone() };
                scope.spawn(move || f(&world))
            };
            let all: Vec<_> = (0..ranks).map(start).collect();
            let ended: Vec<_> = all.into_iter().map(|thread| thread.join()).collect();
            ended.into_iter().map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    fn boxes(&self) -> MutexGuard<'_, Boxes> {
        self.post.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Threads {
    /// A rank that panics is missed by the others.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort("it panicked");
        }
    }
}

impl World for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, what: &'static str, sends: &[Sent<'_>], receives: &mut [Received<'_>]) -> Result<()> {
        check_ranks(self.size, what, sends, receives)?;
        // A deadline beyond all time is none.
        let until = Instant::now().checked_add(self.deadline);
        let mut boxes = self.boxes();
        for (to, bytes) in sends {
            boxes.messages.entry((self.rank, *to)).or_default().push_back(bytes.to_vec());
        }
        self.post.came.notify_all();
        for (from, room) in receives {
            let message = loop {
                if let Some((rank, problem)) = &boxes.failed {
                    return Err(Error::Rank { rank: *rank, what, problem: problem.clone() });
                }
                if let Some(message) = boxes.messages.get_mut(&(*from, self.rank)).and_then(VecDeque::pop_front) {
                    break message;
                }
                let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    let problem = format!("it has not answered within {:?}", self.deadline);
                    return Err(Error::Rank { rank: *from, what, problem });
                }
                let waited = self
                    .post
                    .came
                    .wait_timeout(boxes, left.min(Duration::from_secs(3600)))
                    .unwrap_or_else(PoisonError::into_inner);
                boxes = waited.0;
            };
            if message.len() != room.len() {
                let problem = format!("it sent {} bytes where {} were expected", message.len(), room.len());
                return Err(Error::Rank { rank: *from, what, problem });
            }
            room.copy_from_slice(&message);
        }
        Ok(())
    }

    fn abort(&self, message: &str) {
        self.boxes().failed.get_or_insert((self.rank, message.to_owned()));
        self.post.came.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_their_order() {
        let all = Threads::run(2, |world| {
            let other = 1 - world.rank();
            let own = [world.rank() as u8; 2];
            let (mut a, mut b) = ([9u8; 2], [9u8; 1]);
            world.exchange("a", &[(other, &own), (other, &[7])], &mut [(other, &mut a), (other, &mut b)]).unwrap();
            (a, b)
        });
        assert_eq!(all, [([1; 2], [7]), ([0; 2], [7])]);
    }

    #[test]
    fn a_rank_that_does_not_answer_or_fails_is_named() {
        let deadline = Duration::from_millis(20);
        let errors = Threads::run_within(2, deadline, |world| match world.rank() {
            0 => world.exchange("greetings", &[], &mut [(1, &mut [0u8])]).unwrap_err().to_string(),
            _ => String::new(),
        });
        assert_eq!(errors[0], "rank 1: it has not answered within 20ms (waiting for greetings)");
        let errors = Threads::run(3, |world| match world.rank() {
            2 => {
                world.abort("the disk is full");
                String::new()
            }
            _ => world.exchange("greetings", &[], &mut [(2, &mut [0u8])]).unwrap_err().to_string(),
        });
        assert_eq!(errors[1], "rank 2: the disk is full (waiting for greetings)");
    }
}
