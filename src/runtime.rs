//! The thread that everything native runs on: one for the process, whatever
//! the number of agents and worker threads, started by the first that needs it
//! and never stopped (nothing may depend on an orderly end at `process.exit`).

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::binding::link::Link;
use crate::binding::submission::Submission;
use crate::block;
use crate::debts::Debt;
use crate::pin;
use crate::pool::Pool;
use crate::time_slice;

/// What other threads see of the runtime.
struct Shared {
    /// The thread is about to sleep, or sleeps.
    parked: AtomicBool,
    /// Something has been submitted since the dispatcher last looked.
    work: AtomicBool,
    /// The thread looks by itself soon, as long as JavaScript is in a batch or a tick that submits.
    patrolling: AtomicBool,
    notify: Notify,
    changes: Mutex<Vec<Change>>,
}

enum Change {
    Attach(Arc<Link>),
    /// What its connections owe is known when that is done.
    Detach(Arc<Link>, Debt),
}

static SHARED: Shared = Shared {
    parked: AtomicBool::new(false),
    work: AtomicBool::new(false),
    patrolling: AtomicBool::new(false),
    notify: Notify::const_new(),
    changes: Mutex::new(Vec::new()),
};

/// Starts the thread, unless it runs. Only success is remembered: the process may be out of descriptors or threads
/// for a moment. All that can fail is done on the thread of the caller, who is told.
pub fn start() -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        pin::pin();
        let runtime = build()?;
        thread::Builder::new().name("offloop".to_owned()).spawn(move || run(&runtime))?;
        *started = true;
    }
    Ok(())
}

/// Adds an environment. The thread runs already.
pub fn attach(link: &Arc<Link>) {
    change(Change::Attach(Arc::clone(link)));
}

/// Removes an environment and closes all its connections.
pub fn detach(link: &Arc<Link>) {
    change(Change::Detach(Arc::clone(link), Debt::new()));
}

fn change(change: Change) {
    SHARED.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    wake();
}

/// How long the thread sleeps at most while JavaScript handles a batch, or is
/// in a tick that submits before its end. There it wakes the thread seldom
/// ([`WAKE_INTERVAL`]): to hand over each request as it comes costs more than
/// all the rest of a submission, on both threads. JavaScript that computes on
/// must still not hold back what it has submitted before. If the thread finds
/// nothing it stops looking, and the next submission wakes it.
const PATROL: Duration = Duration::from_millis(1);

/// The runtime's timers have steps of this length, and fire up to two of them late.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// How soon JavaScript wakes the thread within such a batch or tick.
pub const WAKE_INTERVAL: Duration = Duration::from_micros(200);

/// Whether the thread will find what is submitted now without being woken.
pub fn is_patrolling() -> bool {
    SHARED.patrolling.load(Ordering::SeqCst)
}

/// From the thread itself: JavaScript has been given something to do, and may submit without a wake.
pub fn patrol() {
    SHARED.patrolling.store(true, Ordering::SeqCst);
    SHARED.work.store(true, Ordering::SeqCst);
    SHARED.notify.notify_one();
}

/// Says that there is something to be found, and wakes the thread if it
/// sleeps. Of `work` set here and `parked` set there, each side reads the
/// other's after writing its own, so one of them always sees both.
pub fn wake() {
    SHARED.work.store(true, Ordering::SeqCst);
    if SHARED.parked.swap(false, Ordering::SeqCst) {
        SHARED.notify.notify_one();
    }
}

/// From the thread itself: while it is too busy to sleep, nobody else tells
/// the dispatcher of work.
pub fn look() {
    if SHARED.work.load(Ordering::SeqCst) {
        SHARED.notify.notify_one();
    }
}

/// Takes descriptors of the system.
fn build() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_park(|| {
            SHARED.parked.store(true, Ordering::SeqCst);
            if SHARED.work.load(Ordering::SeqCst) {
                SHARED.parked.store(false, Ordering::SeqCst);
                SHARED.notify.notify_one();
            }
        })
        .on_thread_unpark(|| SHARED.parked.store(false, Ordering::SeqCst))
        .build()
}

fn run(runtime: &Runtime) {
    time_slice::lengthen();
    runtime.block_on(LocalSet::new().run_until(dispatch()));
}

/// Applies what the environments submit, until it finds nothing.
async fn dispatch() {
    tokio::task::spawn_local(block::give_back_unwanted());
    let mut environments: Vec<(Arc<Link>, Rc<RefCell<Pool>>)> = Vec::new();
    let mut submission = Submission::new();
    let mut patrol = pin!(tokio::time::sleep(Duration::ZERO));
    // Until something that was left is due.
    let mut grace: Option<Duration> = None;
    loop {
        if !SHARED.work.swap(false, Ordering::SeqCst) {
            let woken = SHARED.notify.notified();
            let is_hushed = environments.iter().any(|(link, _)| link.is_hushed());
            if is_hushed && is_patrolling() {
                let timer = (!patrol.is_elapsed()).then(|| patrol.deadline());
                if let Some(next) = next_patrol(timer, grace, Instant::now()) {
                    patrol.as_mut().reset(next);
                }
                tokio::select! {
                    biased;
                    () = woken => {}
                    () = &mut patrol => {
                        stop_patrolling();
                    }
                }
            } else if !stop_patrolling() {
                woken.await;
            }
            continue;
        }
        let changes = std::mem::take(&mut *SHARED.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for change in changes {
            match change {
                Change::Attach(link) => environments.push((Arc::clone(&link), Pool::start(link))),
                Change::Detach(link, _unknown) => environments.retain(|(other, pool)| {
                    let keep = !Arc::ptr_eq(other, &link);
                    if !keep {
                        // What it has said last counts.
                        link.take_submission(&mut submission);
                        Pool::apply_or_break(pool, &mut submission);
                        submission.clear();
                        // A panic has been printed, and nobody is there to be told.
                        let _ = Pool::attempt(pool, Pool::end);
                    }
                    keep
                }),
            }
        }
        grace = None;
        for (link, pool) in &environments {
            let taken = link.take_submission(&mut submission);
            grace = [grace, taken.left].into_iter().flatten().min();
            if taken.any || taken.left.is_some() {
                SHARED.patrolling.store(true, Ordering::SeqCst);
            }
            if taken.any {
                Pool::apply_or_break(pool, &mut submission);
                submission.clear();
            }
            if link.loans.has_returned() {
                pool.borrow_mut().flush_soon();
            }
        }
        // The connections that were woken have their turn before the next look. If there is nothing to look at they
        // have it anyway, without a turn through the poller.
        if SHARED.work.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }
}

/// To when the timer is set, which may run already; none: it is left as it is, since one that is sooner costs a system
/// call and a turn of the loop. What is behind rows that were left waits with them. Once these have gone, the timer that
/// was set for them may be later than a patrol's would be.
fn next_patrol(timer: Option<Instant>, grace: Option<Duration>, now: Instant) -> Option<Instant> {
    match (grace, timer) {
        (Some(grace), _) => Some(now + grace.saturating_sub(TIMER_STEP)),
        (None, Some(timer)) if timer <= now + PATROL + TIMER_STEP => None,
        (None, _) => Some(now + PATROL),
    }
}

/// Whether the thread was patrolling. It looks once more then: what was submitted before without a wake is there.
fn stop_patrolling() -> bool {
    let was_patrolling = SHARED.patrolling.swap(false, Ordering::SeqCst);
    if was_patrolling {
        SHARED.work.store(true, Ordering::SeqCst);
    }
    was_patrolling
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::binding::batch::Batch;
    use crate::binding::records::{LaneRef, event, op, op_flag};
    use crate::binding::submission::Opening;
    use crate::connect::{Destination, Target, TcpTarget};
    use crate::pool::{Cold, Limits, Open, Route};

    /// As the dispatcher finds what an environment has submitted last, and its end, at once.
    #[tokio::test]
    async fn what_an_environment_has_submitted_last_is_done_before_its_end() {
        let run = async {
            let dispatcher = tokio::task::spawn_local(dispatch());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let target = Target::Tcp(TcpTarget::for_test("127.0.0.1", address.port()));
            let limits = Limits {
                read_ahead: 1 << 20,
                max_buffered: 1 << 20,
                max_replay: 0,
                answers: None,
                parse: true,
                queues: false,
            };
            let route =
                Box::new(Route { destination: Destination { target, ..Destination::for_test(1) }, limits });
            let open =
                Open { how: Opening::new(0, 1, 0), addresses: Some(vec![address.ip()]), answers: None };
            let link = Arc::new(Link::new());
            let lane = LaneRef { slot: 0, epoch: 1 };
            attach(&link);
            link.submit_cold(lane, Cold::Introduce { number: 1, route, forgotten: None });
            link.submit_cold(lane, Cold::Open(Box::new(open)));
            look();
            let mut batch = Batch::new();
            while !batch.rows.chunks(5).any(|row| row[0] == event::CONNECTED) {
                tokio::task::yield_now().await;
                link.take_batch(&mut batch);
            }
            let (mut server, _) = listener.accept().unwrap();

            // The dispatcher has no turn between the two.
            link.submit(|submission| {
                submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, 2, 0, 0, op::WRITE, 0, 2, 0, 4]);
                submission.bytes.extend(b"last");
            });
            detach(&link);
            look();
            let received = tokio::task::spawn_blocking(move || {
                let mut received = Vec::new();
                server.read_to_end(&mut received).map(|_| received)
            });
            assert_eq!(received.await.unwrap().unwrap(), b"last");
            dispatcher.abort();
        };
        LocalSet::new().run_until(run).await;
    }

    #[test]
    fn a_patrol_is_never_later_than_its_pause_and_a_step() {
        let (now, us) = (Instant::now(), Duration::from_micros);
        let next = |timer: Option<u64>, grace: Option<u64>| {
            next_patrol(timer.map(|at| now + us(at)), grace.map(us), now).map(|at| at - now)
        };
        assert_eq!(next(None, None), Some(us(1000)));
        // One that runs is left alone.
        assert_eq!(next(Some(300), None), None);
        assert_eq!(next(Some(2000), None), None);
        // But not the one of rows that had longer, and have gone.
        assert_eq!(next(Some(4000), None), Some(us(1000)));
        assert_eq!(next(Some(300), Some(5000)), Some(us(4000)));
        assert_eq!(next(None, Some(500)), Some(us(0)));
    }
}
