//! Ranks that exchange messages.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::{Error, Result};

/// A message to or from another rank: the rank and the bytes.
pub type Sent<'a> = (usize, &'a [u8]);

/// The room of a message from another rank; its length is known to both.
pub type Received<'a> = (usize, &'a mut [u8]);

/// The processes that train one model together: ranks from 0 on.
///
/// All that training asks of them is [`exchange`](Self::exchange). `Mpi` (feature `mpi`) is the world of a job started by `mpirun` or
/// Slurm, [`Threads`](super::Threads) one of threads in a single process, for trying and testing. A world of your own joins by the same
/// methods, four of which it has to have.
pub trait World: Send + Sync + Debug {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are, at least 1.
    fn size(&self) -> usize;

    /// Sends all of `sends` and fills all of `receives`, at once and in any order, and returns when both is done. Messages between two
    /// ranks arrive in the order in which they were sent; none goes to the rank itself. `what` says in errors what was waited for.
    ///
    /// # Errors
    /// [`Error::Rank`](crate::Error::Rank) for a rank that has failed or does not answer within the world's deadline.
    fn exchange(&self, what: &'static str, sends: &[Sent<'_>], receives: &mut [Received<'_>]) -> Result<()>;

    /// Brings all other ranks down, with a message that says why; where ranks are processes, this one too. Called when training fails on
    /// this rank alone, so that no other waits for it.
    fn abort(&self, message: &str);

    /// Whether this rank has been asked to end, by a signal for instance: training then ends on all ranks after the step in which one was. No by default.
    fn asked_to_stop(&self) -> bool {
        false
    }

    /// Whether messages are the work of a network rather than of this rank's cores, so that gradients travel while the way back is still under way: then
    /// [`exchange`](Self::exchange) is called from a thread of its own, one call at a time. All ranks have to say the same, which is compared at the start of a
    /// run. Yes by default.
    fn overlaps(&self) -> bool {
        true
    }

    /// What this rank has sent and waited for so far; nothing by default.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// What a rank has spent on messages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Calls of [`World::exchange`].
    pub exchanges: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Time within these calls, waiting for slower ranks included, and beside computing where gradients [travel early](World::overlaps).
    pub time: Duration,
}

/// Looks whether all ranks of an exchange are there.
///
/// # Errors
/// [`Error::Rank`] with the first that is not.
pub(super) fn check_ranks(
    size: usize,
    what: &'static str,
    sends: &[Sent<'_>],
    receives: &[Received<'_>],
) -> Result<()> {
    let mut all = sends.iter().map(|sent| sent.0).chain(receives.iter().map(|received| received.0));
    match all.find(|&rank| rank >= size) {
        Some(rank) => Err(Error::Rank { rank, what, problem: format!("there is none, of {size} ranks") }),
        None => Ok(()),
    }
}

/// The only rank.
#[derive(Debug)]
pub(crate) struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn exchange(&self, _: &'static str, _: &[Sent<'_>], _: &mut [Received<'_>]) -> Result<()> {
        Ok(())
    }

    fn abort(&self, _: &str) {}
}
