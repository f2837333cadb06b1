//! The workers of a pool and the jobs that wait for one: who does what, and what becomes of the dead.
//!
//! A worker is *idle*, in the list of those, or *borrowed* by a runner: a task at home that takes one job after
//! the other from the queue, or the caller of `apply`, who speaks to the worker himself. A runner without a worker
//! starts one. So there are never more workers than runners and idle ones together, which is what `members`
//! counts; a job that comes while there are fewer than the pool may have gets a runner of its own.
//!
//! A worker that dies takes with it the job that it was at, and nothing else: its runner goes on with the next
//! job and starts another. Workers that die before their first job, again and again, break the pool instead.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ipc::home;
use crate::ipc::link::Outgoing;
use crate::runtime::Outside;
use crate::signal::Signal;
use crate::sync::Event;

use super::super::error::TaskError;
use super::super::kid::Kid;
use super::super::launch::{Launch, Worker};
use super::super::protocol::{self, Reply};
use super::callbacks::{Callback, Callbacks};
use super::error::PoolError;
use super::initializer::Initializer;
use super::job::{Job, Outcome};

/// So many workers in a row that die before their first job are no accident.
const FALSE_STARTS: u32 = 3;

/// What a pool was built with.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) name: String,
    pub(super) initializer: Option<Arc<Initializer>>,
    pub(super) jobs_per_worker: usize,
    pub(super) is_silent: bool,
}

pub(super) struct Crew {
    pub(super) settings: Settings,
    state: Mutex<State>,
    callbacks: Callbacks,
    /// Closed, all jobs have ended, all workers are gone.
    ended: Event,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Job>>,
    /// How many of the queue were cancelled there. Fewer than half, or they are taken out.
    cancelled: usize,
    /// The last one used is the next: the others may stay cold.
    idle: Vec<Member>,
    /// Idle workers and runners.
    members: usize,
    /// Workers that live, as far as is known.
    kids: Vec<Arc<Kid>>,
    /// Jobs that were taken and have not ended, callbacks included.
    outstanding: usize,
    started: u64,
    false_starts: u32,
    is_closed: bool,
    is_terminated: bool,
    broken: Option<Arc<str>>,
}

/// What became of a runner and its job.
#[allow(
    clippy::large_enum_variant,
    reason = "returned and taken apart at once, one a job; the size depends on a feature"
)]
enum Served {
    /// The job has ended, or is in the queue; the runner goes on with this worker, if any.
    By(Option<Member>),
    /// The job is in the queue, for others; the runner is no member any more.
    HandedBack,
}

/// A worker and what it has done.
#[derive(Debug)]
pub(super) struct Member {
    worker: Worker,
    jobs: usize,
}

impl Crew {
    pub(super) fn new(settings: Settings) -> Arc<Crew> {
        Arc::new(Crew {
            settings,
            state: Mutex::default(),
            callbacks: Callbacks::default(),
            ended: Event::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job, which will end in any case.
    pub(super) fn submit(self: &Arc<Self>, job: &Arc<Job>) -> Result<(), PoolError> {
        let mut state = self.lock();
        state.check_open()?;
        state.outstanding += 1;
        state.queue.push_back(job.clone());
        let member = match state.idle.pop() {
            None if state.members == self.settings.workers => return Ok(()),
            None => {
                state.members += 1;
                None
            }
            member => member,
        };
        drop(state);
        if let Err(error) = self.clone().send_runner(member) {
            self.end(job, Err(error.into()));
        }
        Ok(())
    }

    /// Sends for a task that works off the queue.
    fn send_runner(self: Arc<Self>, member: Option<Member>) -> io::Result<()> {
        let crew = self.clone();
        let sent = home::spawn("runner of a pool", move || crew.run(member));
        sent.map(drop).inspect_err(|_| self.gone(1))
    }

    fn run(self: Arc<Self>, mut member: Option<Member>) {
        member = member.and_then(|member| self.woken(member));
        while let Some(job) = self.next_job(&mut member) {
            match self.serve(member, &job) {
                Served::By(next) => member = next,
                Served::HandedBack => return,
            }
        }
    }

    /// A worker that was idle, unless it has died in its sleep, which is no job's fault.
    fn woken(&self, member: Member) -> Option<Member> {
        match member.worker.is_gone() {
            true => self.keep(member, false),
            false => Some(member),
        }
    }

    /// Gives a job back for which no worker could be started, if others are there who work off the queue: an idle
    /// worker, which is returned, or runners and callers, who look there when they have done.
    fn hand_back(&self, job: &Arc<Job>) -> Result<Served, ()> {
        let mut state = self.lock();
        if state.is_terminated || state.members == 1 {
            return Err(());
        }
        state.queue.push_front(job.clone());
        // This runner goes on with an idle worker, and the two are one member, or goes.
        state.members -= 1;
        Ok(match state.idle.pop() {
            Some(member) => Served::By(Some(member)),
            None => Served::HandedBack,
        })
    }

    /// The next job; without one, the member is given up.
    fn next_job(self: &Arc<Self>, member: &mut Option<Member>) -> Option<Arc<Job>> {
        let mut state = self.lock();
        while let Some(job) = state.queue.pop_front() {
            if job.is_waiting() {
                return Some(job);
            }
            state.cancelled = state.cancelled.saturating_sub(1);
        }
        match member.take() {
            Some(member) if !state.is_terminated => state.idle.push(member),
            _ => state.members -= 1,
        }
        self.settle(state);
        None
    }

    fn serve(self: &Arc<Self>, member: Option<Member>, job: &Arc<Job>) -> Served {
        let mut member = match member.map_or_else(|| self.recruit(), Ok) {
            Ok(member) => member,
            Err(error) => {
                if let TaskError::Io(_) = error
                    && let Ok(served) = self.hand_back(job)
                {
                    return match served {
                        Served::By(member) => {
                            Served::By(member.and_then(|member| self.woken(member)))
                        }
                        handed => handed,
                    };
                }
                self.end(job, Err(error));
                return Served::By(None);
            }
        };
        let Some(mut outgoing) = job.begin(&member.worker.kid) else {
            // It ended meanwhile, or is to be ended.
            self.end(job, Err(TaskError::Terminated));
            return Served::By(Some(member));
        };
        let outcome = self.call(&mut member, &mut outgoing);
        let lives = outcome.is_ok();
        self.end(job, outcome);
        if lives && job.is_killed() {
            // The signal came after the answer, and would hit the next job.
            member.worker.kid.wait();
            return Served::By(self.keep(member, false));
        }
        Served::By(self.keep(member, lives))
    }

    /// A job on a worker, to its end.
    #[track_caller]
    fn call(&self, member: &mut Member, outgoing: &mut Outgoing) -> Outcome {
        member.jobs += 1;
        let error = match member.worker.call(outgoing) {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        // Dying, as a rule; in any case of no more use.
        let kid = &member.worker.kid;
        let _ = kid.signal(Signal::KILL);
        let status = kid.wait();
        if self.lock().is_terminated {
            return Err(TaskError::Terminated);
        }
        Err(match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => TaskError::Died {
                pid: kid.pid,
                status,
            },
            _ => error.into(),
        })
    }

    /// The member, if it goes on.
    #[track_caller]
    fn keep(&self, member: Member, lives: bool) -> Option<Member> {
        if lives && member.jobs < self.settings.jobs_per_worker {
            return Some(member);
        }
        if lives {
            member.worker.dismiss();
            member.worker.kid.wait();
        }
        self.forget(&member.worker.kid);
        None
    }

    fn forget(&self, kid: &Arc<Kid>) {
        self.lock().kids.retain(|other| !Arc::ptr_eq(other, kid));
    }

    /// Starts a worker and has it begin.
    fn recruit(self: &Arc<Self>) -> Result<Member, TaskError> {
        let number = {
            let mut state = self.lock();
            if let Some(why) = &state.broken {
                return Err(TaskError::Broken(why.clone()));
            }
            state.started += 1;
            state.started
        };
        let output = || match self.settings.is_silent {
            true => Stdio::null(),
            false => Stdio::inherit(),
        };
        let launch = Launch {
            name: format!("{}-{number}", self.settings.name).into(),
            is_daemon: true,
            stdout: output(),
            stderr: output(),
        };
        let worker = launch.start().map_err(|error| {
            // Beside others who live it is want of room, and no fault of the pool. Looked up before the match: one
            // that looked would hold the lock in its arms.
            let has_others = self.lock().members > 1;
            match has_others {
                true => error.into(),
                false => self.false_start(error.into()),
            }
        })?;
        let kid = worker.kid.clone();
        let is_terminated = {
            let mut state = self.lock();
            state.kids.push(kid.clone());
            state.is_terminated
        };
        let mut member = Member { worker, jobs: 0 };
        let begun = match is_terminated {
            true => Err(TaskError::Terminated),
            false => self.initialize(&mut member),
        };
        if let Err(error) = begun {
            let _ = kid.signal(Signal::KILL);
            self.forget(&kid);
            return Err(error);
        }
        self.lock().false_starts = 0;
        Ok(member)
    }

    fn initialize(self: &Arc<Self>, member: &mut Member) -> Result<(), TaskError> {
        let Some(initializer) = &self.settings.initializer else {
            return Ok(());
        };
        let parcel = match Initializer::pack(initializer) {
            Ok(parcel) => parcel,
            Err(error) => return Err(self.break_down(format!("the initializer: {error}"))),
        };
        let mut outgoing = Outgoing::new(protocol::JOB, 0, parcel)?;
        match self.call(member, &mut outgoing) {
            Ok(Reply::Done(_)) => {
                member.jobs = 0;
                Ok(())
            }
            Ok(Reply::Panicked(panic)) => {
                Err(self.break_down(format!("the initializer panicked: {panic}")))
            }
            Ok(Reply::Failed(error)) => Err(self.break_down(format!("the initializer: {error}"))),
            Err(error @ TaskError::Died { .. }) => Err(self.false_start(error)),
            Err(error) => Err(error),
        }
    }

    /// A worker has ended before its first job.
    fn false_start(self: &Arc<Self>, error: TaskError) -> TaskError {
        let count = {
            let mut state = self.lock();
            state.false_starts += 1;
            state.false_starts
        };
        match count {
            FALSE_STARTS.. => {
                self.break_down(format!("{count} workers in a row could not begin: {error}"))
            }
            _ => error,
        }
    }

    /// The pool gives up: all that waits ends, and nothing more is taken.
    fn break_down(self: &Arc<Self>, why: String) -> TaskError {
        let mut state = self.lock();
        let why = state.broken.get_or_insert_with(|| why.into()).clone();
        let jobs = std::mem::take(&mut state.queue);
        drop(state);
        log::error!("process pool {}: {why}", self.settings.name);
        for job in jobs {
            self.end(&job, Err(TaskError::Broken(why.clone())));
        }
        TaskError::Broken(why)
    }

    /// Ends a job, if it has not ended; whether it was this that ended it.
    pub(super) fn end(self: &Arc<Self>, job: &Job, outcome: Outcome) -> bool {
        let due = job.end(outcome);
        self.after_end(due)
    }

    /// As `end`, if no worker has begun with it.
    pub(super) fn end_waiting(self: &Arc<Self>, job: &Job, error: TaskError) -> bool {
        let due = job.end_waiting(error);
        if due.is_some() {
            self.lock().sweep();
        }
        self.after_end(due)
    }

    fn after_end(self: &Arc<Self>, due: Option<Vec<Callback>>) -> bool {
        match due {
            None => return false,
            Some(callbacks) if callbacks.is_empty() => self.one_less(),
            Some(callbacks) => {
                let crew = self.clone();
                self.callbacks.run(callbacks, move || crew.one_less());
            }
        }
        true
    }

    /// Runs a callback of a job that has ended already.
    pub(super) fn call_back(self: &Arc<Self>, callback: Callback) {
        self.lock().outstanding += 1;
        self.after_end(Some(vec![callback]));
    }

    fn one_less(self: &Arc<Self>) {
        let mut state = self.lock();
        state.outstanding -= 1;
        self.settle(state);
    }

    /// So many runners are gone that had no worker.
    fn gone(self: &Arc<Self>, members: usize) {
        let mut state = self.lock();
        state.members -= members;
        self.settle(state);
    }

    /// After each change: dismisses idle workers that are not needed any more, and tells the end.
    fn settle(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if !state.is_closed || state.outstanding > 0 {
            return;
        }
        if state.members == 0 {
            drop(state);
            self.ended.set();
            return;
        }
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle.is_empty() {
            return;
        }
        let (crew, count) = (self.clone(), idle.len());
        let retire = move || {
            // All of them at once, then each one's end.
            idle.iter().for_each(|member| member.worker.dismiss());
            for member in &idle {
                member.worker.kid.wait();
                crew.forget(&member.worker.kid);
            }
            crew.gone(count);
        };
        if home::spawn("end of a pool", retire).is_err() {
            // The members went with the closure, so their sockets are closed, and they end by that.
            self.gone(count);
        }
    }

    pub(super) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_closed = true;
        self.settle(state);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(super) fn terminate(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_closed = true;
        state.is_terminated = true;
        let jobs = std::mem::take(&mut state.queue);
        let idle = std::mem::take(&mut state.idle);
        state.members -= idle.len();
        for kid in &state.kids {
            let _ = kid.signal(Signal::KILL);
        }
        drop(state);
        drop(idle);
        for job in jobs {
            self.end(&job, Err(TaskError::Terminated));
        }
        self.settle(self.lock());
    }

    #[track_caller]
    pub(super) fn join(&self) -> Result<(), PoolError> {
        if !self.is_closed() {
            return Err(PoolError::NotClosed);
        }
        let _outside = Outside::here();
        let kids = loop {
            self.ended.wait();
            let state = self.lock();
            if state.outstanding == 0 {
                break state.kids.clone();
            }
            // A callback was added after the end. When it has run, under this lock, it tells so anew.
            self.ended.clear();
        };
        for kid in kids {
            kid.wait();
        }
        Ok(())
    }

    /// Workers that live.
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state
            .kids
            .iter()
            .filter(|kid| kid.status().is_none())
            .count()
    }

    /// An idle worker for the caller, who speaks to it himself; `None` when there is none.
    pub(super) fn borrow(self: &Arc<Self>) -> Result<Option<Borrowed>, PoolError> {
        let mut state = self.lock();
        state.check_open()?;
        let Some(member) = state.idle.pop() else {
            return Ok(None);
        };
        state.outstanding += 1;
        drop(state);
        Ok(Some(Borrowed {
            crew: self.clone(),
            member: Some(member),
            outgoing: None,
        }))
    }

    /// A member has done a job for a caller, who does not wait for the end of a worker that has done enough: he may
    /// be cancelled while he waits.
    fn hand_in(self: Arc<Self>, member: Member, lives: bool) {
        if !lives || member.jobs < self.settings.jobs_per_worker {
            let member = self.keep(member, lives);
            return self.put_back(member);
        }
        let (crew, kid) = (self.clone(), member.worker.kid.clone());
        let retire = move || {
            let member = crew.keep(member, lives);
            crew.put_back(member);
        };
        if home::spawn("end of a worker", retire).is_err() {
            // Its socket went with the closure, so it ends by that.
            self.forget(&kid);
            self.put_back(None);
        }
    }

    /// A member has nothing to do: it takes the next job, or becomes idle.
    fn put_back(self: Arc<Self>, member: Option<Member>) {
        let mut state = self.lock();
        if state.queue.is_empty() {
            match member {
                Some(member) if !state.is_terminated => state.idle.push(member),
                _ => state.members -= 1,
            }
            state.outstanding -= 1;
            self.settle(state);
        } else {
            state.outstanding -= 1;
            drop(state);
            let _ = self.send_runner(member);
        }
    }
}

impl State {
    /// A job was cancelled, perhaps one in the queue: if most of those are, they go.
    fn sweep(&mut self) {
        self.cancelled += 1;
        if self.cancelled * 2 > self.queue.len() {
            self.queue.retain(|job| job.is_waiting());
            self.cancelled = 0;
        }
    }

    fn check_open(&self) -> Result<(), PoolError> {
        match &self.broken {
            _ if self.is_terminated => Err(PoolError::Terminated),
            _ if self.is_closed => Err(PoolError::Closed),
            Some(why) => Err(PoolError::Broken(why.clone())),
            None => Ok(()),
        }
    }
}

/// A worker in the hands of a caller of `apply`.
pub(super) struct Borrowed {
    crew: Arc<Crew>,
    /// `None` once it is put back, or has died.
    member: Option<Member>,
    /// What it is at.
    outgoing: Option<Outgoing>,
}

impl Borrowed {
    /// Runs one job. Gives it back if the worker has died in its sleep, which is no job's fault. When this unwinds,
    /// the job goes on without anybody to wait for it.
    #[track_caller]
    pub(super) fn call(mut self, outgoing: Outgoing) -> Result<Outcome, Outgoing> {
        let crew = self.crew.clone();
        let outgoing = self.outgoing.insert(outgoing);
        let Some(member) = &mut self.member else {
            unreachable!("it is there until it is put back");
        };
        let outcome = crew.call(member, outgoing);
        // Nobody has read a byte of it: the socket was closed before.
        let is_unheard = matches!(outcome, Err(TaskError::Died { .. })) && !outgoing.has_begun();
        let outgoing = self.outgoing.take();
        if let Some(member) = self.member.take() {
            crew.hand_in(member, outcome.is_ok());
        }
        match outgoing {
            Some(outgoing) if is_unheard => Err(outgoing),
            _ => Ok(outcome),
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(mut member) = self.member.take() else {
            return;
        };
        let crew = self.crew.clone();
        let Some(mut outgoing) = self.outgoing.take() else {
            return crew.put_back(Some(member)); // not used
        };
        let finish = move || {
            let lives = crew.call(&mut member, &mut outgoing).is_ok();
            let member = crew.keep(member, lives);
            crew.put_back(member);
        };
        if home::spawn("an abandoned call", finish).is_err() {
            self.crew.clone().put_back(None);
        }
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Crew")
            .field("name", &self.settings.name)
            .field("workers", &self.settings.workers)
            .field("members", &state.members)
            .field("idle", &state.idle.len())
            .field("waiting", &state.queue.len())
            .field("outstanding", &state.outstanding)
            .field("is_closed", &state.is_closed)
            .finish_non_exhaustive()
    }
}
