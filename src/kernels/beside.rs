//! A thread beside the pool, for what waits: it must not hold a thread that others compute with.

/// A thread that is kept from call to call, and sleeps between them. Parallel work on it stays on it.
#[derive(Debug)]
pub(crate) struct Beside {
    /// A pool of one thread; none where the system gives none.
    #[cfg(feature = "parallel")]
    pool: Option<rayon_core::ThreadPool>,
    #[cfg(not(feature = "parallel"))]
    name: String,
}

impl Beside {
    /// A thread of this name.
    pub fn new(name: String) -> Self {
        #[cfg(feature = "parallel")]
        {
            let pool = rayon_core::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| name.clone()).build();
            Beside { pool: pool.ok() }
        }
        #[cfg(not(feature = "parallel"))]
        Beside { name }
    }

    /// Runs `here` on this thread and `beside` on the other one, and returns once both have ended, also where one panics. Where the system gives no thread, they run one after
    /// the other, `here` first.
    #[cfg(feature = "parallel")]
    pub fn run<R>(&self, beside: impl FnOnce() + Send, here: impl FnOnce() -> R) -> R {
        match &self.pool {
            Some(pool) => pool.in_place_scope(|scope| {
                scope.spawn(|_| beside());
                here()
            }),
            None => {
                let out = here();
                beside();
                out
            }
        }
    }

    /// The same by a thread for each call, as there is no pool.
    #[cfg(not(feature = "parallel"))]
    pub fn run<R>(&self, beside: impl FnOnce() + Send, here: impl FnOnce() -> R) -> R {
        let beside = std::sync::Mutex::new(Some(beside));
        let run = || {
            let own = beside.lock().ok().and_then(|mut beside| beside.take());
            if let Some(beside) = own {
                beside();
            }
        };
        std::thread::scope(|scope| {
            let spawned = std::thread::Builder::new().name(self.name.clone()).spawn_scoped(scope, run);
            let out = here();
            match spawned.map(|thread| thread.join()) {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => run(),
            }
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn both_run_at_once_on_threads_that_stay() {
        let beside = Beside::new("beside".to_owned());
        let ids: Vec<_> = (0..3)
            .map(|i| {
                let ((to, from), (back, answer)) = (channel(), channel());
                let mut id = None;
                let there = &mut id;
                let out = beside.run(
                    move || {
                        *there = Some(thread::current().id());
                        back.send(from.recv().unwrap() + 1).unwrap();
                    },
                    || {
                        to.send(i).unwrap();
                        answer.recv().unwrap()
                    },
                );
                assert_eq!(out, i + 1);
                id.unwrap()
            })
            .collect();
        assert!(ids.iter().all(|id| *id != thread::current().id()));
        assert!(cfg!(not(feature = "parallel")) || ids.iter().all(|id| *id == ids[0]));
    }

    #[test]
    fn panics_are_handed_on_when_both_have_ended() {
        let beside = Beside::new("beside".to_owned());
        for fails in [0, 1] {
            let (sender, receiver) = channel::<()>();
            let mut ended = false;
            let end = &mut ended;
            let run = std::panic::AssertUnwindSafe(|| {
                let there = move || {
                    // Until who sends has gone.
                    let _ = receiver.recv();
                    *end = true;
                    assert!(fails != 0, "on purpose");
                };
                beside.run(there, || {
                    let _sender = sender;
                    assert!(fails != 1, "on purpose");
                });
            });
            assert!(std::panic::catch_unwind(run).is_err() && ended);
        }
        assert_eq!(beside.run(|| (), || 7), 7);
    }
}
