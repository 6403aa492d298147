//! Ranks that are the processes of an MPI job.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mpi::environment::Universe;
use mpi::request::{LocalScope, Request, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};

use super::world::{Received, Sent, Traffic, World, check_ranks};
use crate::error::{Error, Result};

/// The largest message: MPI counts in 32 bits, and of a long one nothing is known until all of it has come.
const MESSAGE: usize = 1 << 26;

/// The status with which a job ends that a rank has brought down.
const FAILED: i32 = 70;

/// Looks at messages that are under way before a rank lets others have its core.
const SPINS: u32 = 2000;

/// How long a rank is waited for before this one sleeps between looks, and how long it sleeps: little beside what it has waited.
const PATIENCE: Duration = Duration::from_millis(1);
const NAP: Duration = Duration::from_micros(50);

/// The ranks of an MPI job, started by `mpirun -n 4 program` or Slurm's `srun`; feature `mpi`.
///
/// Started without either it is a world of one rank. An error outside of `fit` on one rank others do not hear of: call
/// [`abort`](World::abort) with it, as the example `mpi_train` does, or they wait until the deadline. Where `fit` fails on one rank, or a rank panics, the job is brought down with its message
/// and status 70, so that no other rank waits. A rank that does not answer within the [deadline](Self::deadline) is named, and the job
/// brought down.
///
/// ```no_run
/// use gradus::distributed::{Mpi, World};
/// use gradus::prelude::*;
/// let world = Mpi::start()?.deadline(std::time::Duration::from_secs(120));
/// # let (mut model, x, y) = (Sequential::new([1]).add(Dense::new(1)).build(0)?, Tensor::zeros([8, 1]), Tensor::zeros([8, 1]));
/// model.fit(&x, &y, &Fit::default().distributed(&world))?;
/// # Ok::<(), Error>(())
/// ```
pub struct Mpi {
    // Held until the world is dropped, which ends MPI.
    _universe: Universe,
    rank: usize,
    size: usize,
    deadline: Duration,
    overlaps: bool,
    /// One call of MPI at a time.
    turn: Mutex<()>,
    stop: Arc<AtomicBool>,
    exchanges: AtomicU64,
    sent: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Mpi {
    /// Joins the job, once in a program.
    ///
    /// From then on SIGTERM, Slurm's warning before the end of a job's time, and SIGUSR1 end training after the step that is under way on all ranks, with the last checkpoint
    /// written; a second SIGTERM ends the process.
    ///
    /// # Errors
    /// [`Error::Config`] where MPI has been started already, or cannot be called from more than one thread in turn.
    pub fn start() -> Result<Self> {
        let failed =
            |problem: &str, hint: &str| Error::Config { op: "Mpi::start", problem: problem.into(), hint: hint.into() };
        let (universe, threading) = mpi::initialize_with_threading(mpi::Threading::Serialized)
            .ok_or_else(|| failed("MPI has been started already", "call it once, at the beginning of main"))?;
        if threading < mpi::Threading::Serialized {
            let problem = format!("this MPI gives {threading:?}, and calls from several threads in turn are needed");
            return Err(failed(&problem, "use an MPI that was built with threads, such as Debian's openmpi"));
        }
        let stop = Arc::new(AtomicBool::new(false));
        use signal_hook::consts::{SIGTERM, SIGUSR1};
        let asked = [SIGTERM, SIGUSR1].into_iter().try_for_each(|signal| {
            if signal == SIGTERM {
                // In this order, so that the first one only sets the flag.
                signal_hook::flag::register_conditional_default(signal, stop.clone())?;
            }
            signal_hook::flag::register(signal, stop.clone()).map(|_| ())
        });
        asked
            .map_err(|e| failed(&format!("signals cannot be received: {e}"), "allow the program to handle SIGTERM"))?;
        let world = SimpleCommunicator::world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(Mpi {
            _universe: universe,
            rank,
            size,
            deadline: Duration::from_secs(600),
            overlaps: (world.split_shared(0).size() as usize) < size,
            turn: Mutex::new(()),
            stop,
            exchanges: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        })
    }

    /// How long a rank is waited for since it was last heard of; 10 minutes by default. It has to be longer than the longest that ranks may be apart: a batch that one
    /// loads from a slow disk, an epoch's checkpoint, validation.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether gradients travel while the way back is under way, the same on all ranks. By default they do where the ranks are on several machines; on one, messages
    /// are work for the same cores.
    pub fn overlap(mut self, overlap: bool) -> Self {
        self.overlaps = overlap;
        self
    }

    /// Brings the job down.
    fn bring_down(&self, message: &str) -> ! {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "gradus: rank {} of {}: {message}; the job is ended", self.rank, self.size);
        let _ = err.flush();
        SimpleCommunicator::world().abort(FAILED)
    }

    /// Waits for messages that are under way. Where some have not come within the deadline the job ends: what is under way cannot be taken back,
    /// so that there is no way on.
    fn wait(&self, what: &str, mut pending: Vec<Pending<'_, '_>>) {
        let (mut start, mut spins) = (Instant::now(), 0u32);
        while !pending.is_empty() {
            let mut i = 0;
            while i < pending.len() {
                let Pending { rank, room, request } = pending.swap_remove(i);
                match request.test() {
                    Err(request) => {
                        pending.push(Pending { rank, room, request });
                        let last = pending.len() - 1;
                        pending.swap(i, last);
                        i += 1;
                    }
                    Ok(status) => {
                        start = Instant::now();
                        let came = status.count(u8::equivalent_datatype());
                        if let Some(room) = room.filter(|room| usize::try_from(came) != Ok(*room)) {
                            self.bring_down(&format!(
                                "rank {rank} sent {came} bytes where {room} were expected, for {what}: it does something else than \
                                 this one; start the same program with the same settings and data on every rank"
                            ));
                        }
                    }
                }
            }
            spins = spins.saturating_add(1);
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            if start.elapsed() > self.deadline {
                // Who receives nothing may itself wait for another.
                let silent =
                    |receives: bool| pending.iter().filter(move |p| p.room.is_some() || !receives).map(|p| p.rank);
                let mut ranks: Vec<usize> = silent(true).collect();
                if ranks.is_empty() {
                    ranks = silent(false).collect();
                }
                ranks.sort_unstable();
                ranks.dedup();
                let ranks: Vec<_> = ranks.iter().map(usize::to_string).collect();
                self.bring_down(&format!(
                    "rank {} has not answered for {:?}, waiting for {what}; look whether its machine is up, or give \
                     Mpi::deadline more time",
                    ranks.join(", "),
                    self.deadline
                ));
            }
            match start.elapsed() > PATIENCE {
                true => std::thread::sleep(NAP),
                false => std::thread::yield_now(),
            }
        }
    }
}

/// A message under way.
struct Pending<'s, 'a> {
    /// The rank at its other end.
    rank: usize,
    /// How many bytes are expected, of one that is received.
    room: Option<usize>,
    request: Request<'a, [u8], &'s LocalScope<'a>>,
}

impl World for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, what: &'static str, sends: &[Sent<'_>], receives: &mut [Received<'_>]) -> Result<()> {
        let start = Instant::now();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        check_ranks(self.size, what, sends, receives)?;
        let world = SimpleCommunicator::world();
        scope(|scope| {
            let mut pending = Vec::with_capacity(sends.len() + receives.len());
            for (from, room) in receives.iter_mut() {
                for room in room.chunks_mut(MESSAGE) {
                    let len = room.len();
                    let request = world.process_at_rank(*from as i32).immediate_receive_into(scope, room);
                    pending.push(Pending { rank: *from, room: Some(len), request });
                }
            }
            for (to, bytes) in sends {
                self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                for bytes in bytes.chunks(MESSAGE) {
                    let request = world.process_at_rank(*to as i32).immediate_send(scope, bytes);
                    pending.push(Pending { rank: *to, room: None, request });
                }
            }
            self.wait(what, pending);
        });
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn abort(&self, message: &str) {
        if self.size > 1 {
            self.bring_down(message);
        }
    }

    fn asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn overlaps(&self) -> bool {
        self.overlaps
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            exchanges: self.exchanges.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Mpi {
    /// A panic, which has printed its message, is the end of the job.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort("it panicked");
        }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpi")
            .field("rank", &self.rank)
            .field("size", &self.size)
            .field("deadline", &self.deadline)
            .field("overlaps", &self.overlaps)
            .finish()
    }
}
