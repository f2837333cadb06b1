//! What a worker does when nothing is ready: steals, moves the virtual clock, gives memory back, sleeps.

use std::time::Duration;
use std::{hint, mem};

use crate::base::clock::{Deadline, Nanos, real_now};
use crate::driver::reactor::Turn;

use super::processor::START;
use super::sleep::{Commit, Epoch, Hope, Risen};
use super::standstill::Verdict;
use super::worker::Worker;

/// How long a worker must sleep before it gives back memory of stacks, and between two steps of that.
const TRIM_AFTER: Duration = Duration::from_millis(200);
const TRIM_STEP: Duration = Duration::from_millis(20);

/// How long a worker looks out before it sleeps, for letters and for events of the kernel: about what it takes to
/// wake another processor, so that to look out in vain costs at most as much again.
const LOOK_OUT: Duration = Duration::from_micros(30);
/// Looks at the mailbox between two at the clock and at the outside world.
const LOOKS: usize = 32;
/// Nanoseconds that these take while the worker has its processor for itself, and more for each task woken.
const CROWDED: Nanos = 5_000;
const EACH: Nanos = 200;

impl Worker<'_> {
    /// Looks for tasks that others have not started yet; true when it has taken some.
    pub(super) fn search(&mut self) -> bool {
        let shared = &self.processor.shared;
        if shared.config.workers == 1 || self.is_stopping {
            return false;
        }
        shared.sleepers.start_search(self.processor.index);
        let had = self.processor.fresh.len();
        let Some(task) = shared.steal(self.processor.index, &self.processor.fresh) else {
            return false;
        };
        for _ in had..self.processor.fresh.len() {
            self.processor.enqueue(START);
        }
        self.stop_search();
        self.claim_and_start(task);
        true
    }

    /// Looks out for letters, and for what the kernel has to tell, a little while in place of a sleep that would be
    /// short; true when there may be something to do. Nothing was announced yet, so the worker is awake to all
    /// others meanwhile.
    pub(super) fn look_out(&mut self) -> bool {
        let processor = self.processor;
        if !processor.shared.may_look_out || self.is_stopping || !self.patience.is_due() {
            return false;
        }
        // Others rely on a searcher to look at their queues, and this one does not.
        self.stop_search();
        if self.has_letter() || self.poll(Deadline::PASSED).woken > 0 {
            // There already: nothing is learned about waiting.
            return true;
        }
        let timer = processor.next_deadline().unwrap_or(Deadline::NEVER);
        let mut now = real_now();
        let until = Deadline::after(now, LOOK_OUT).min(timer);
        loop {
            let has_letter = (0..LOOKS).any(|_| {
                hint::spin_loop();
                self.has_letter()
            });
            let woken = match has_letter {
                true => 0,
                false => self.poll(Deadline::PASSED).woken,
            };
            let has_come = has_letter || woken > 0;
            let last = mem::replace(&mut now, real_now());
            // Another thread has had this processor, and may need it again: perhaps the very one that something
            // comes from.
            let is_crowded = now.saturating_sub(last) > CROWDED + woken as u64 * EACH;
            if has_come || is_crowded || until.is_due(now) {
                self.patience.learn(has_come && !is_crowded);
                return has_come;
            }
        }
    }

    fn has_letter(&self) -> bool {
        self.mailbox.is_filled() || self.processor.shared.has_injected()
    }

    /// There is something to run, from wherever: passes the search on if it was this worker's.
    pub(super) fn stop_search(&self) {
        let shared = &self.processor.shared;
        let more = || shared.has_stealable();
        if let Some(other) = shared.sleepers.stop_search(self.processor.index, more) {
            shared.mailboxes[other].unpark();
        }
    }

    /// Looks at the outside world, at most until the deadline; `PASSED` only looks.
    pub(super) fn poll(&mut self, until: Deadline) -> Turn {
        if until == Deadline::PASSED && self.processor.reactor.registered() == 0 {
            return Turn::default();
        }
        match self.reactor.turn(until) {
            Ok(turn) => turn,
            // Out of memory for the kernel's list, or a broken descriptor: nothing that waiting mends.
            Err(error) => panic!(
                "the poll of worker {} failed: {error}",
                self.processor.index
            ),
        }
    }

    pub(super) fn sleep(&mut self) {
        let processor = self.processor;
        let shared = &processor.shared;
        if processor.clock.is_virtual() && self.advance() {
            return;
        }
        if mem::take(&mut self.has_released) {
            self.trim_at = Deadline::after(real_now(), TRIM_AFTER);
        }
        shared.sleepers.prepare_sleep(processor.index);
        if self.has_letter() || self.could_steal() || self.could_advance() {
            shared.sleepers.cancel_sleep(processor.index);
            return;
        }
        // Not what waits at this worker's reactor: that may be for tasks of others, who answer for it.
        let is_waiting = processor.has_timers() || processor.io_waits.get() > 0;
        let hope = if is_waiting {
            Hope::Hopeful
        } else {
            Hope::Hopeless
        };
        let look = || shared.is_quiet();
        let (limit, alert) = match shared.sleepers.commit_sleep(processor.index, hope, look) {
            Commit::Woken => return,
            Commit::Sleep => (self.next_deadline(), None),
            Commit::Quiescent(epoch) => match self.judge(epoch) {
                Verdict::Awake => return,
                Verdict::Wait => (Deadline::NEVER, None),
                Verdict::Grace(until) => (until, Some(epoch)),
            },
        };
        self.poll_asleep(limit, alert);
    }

    /// Polls until somebody or something wakes this worker; answers questions in between.
    fn poll_asleep(&mut self, mut limit: Deadline, mut alert: Option<Epoch>) {
        let processor = self.processor;
        let sleepers = &processor.shared.sleepers;
        loop {
            let turn = self.poll(limit.min(self.trim_at).min(self.nag_at));
            if turn == Turn::default() && self.nag_at.is_due(real_now()) {
                // Nor for this.
                self.nag();
                continue;
            }
            if turn == Turn::default() && self.trim_at.is_due(real_now()) {
                // Nobody has woken this worker, so it need not rise for it.
                self.trim();
                continue;
            }
            // A poll may end early; then the worker rises, and the time of grace begins anew.
            if let Some(epoch) = alert.take()
                && limit.is_due(real_now())
                && processor.is_idle()
                && sleepers.is_still(epoch)
            {
                self.ask_all(epoch);
                limit = Deadline::NEVER;
                continue;
            }
            match sleepers.rise(processor.index) {
                Risen::Awake => {
                    // What parks from now on says so in reports; the clock is read once a sleep for it.
                    processor.set_tick(processor.clock.now());
                    if !processor.is_idle() {
                        // The poll itself has woken tasks, and they run before this worker looks around.
                        self.stop_search();
                    }
                    return;
                }
                Risen::Asked => {
                    // All of them: the last to answer a question asks the judge, who may be this worker,
                    // and leaving the sleep over that would end the epoch that the answer is for.
                    while self.mailbox.is_filled() {
                        self.read_letters();
                    }
                    if !processor.is_idle() {
                        sleepers.cancel_sleep(processor.index);
                        return;
                    }
                    if !sleepers.answered(processor.index) {
                        return;
                    }
                }
            }
        }
    }

    fn next_deadline(&self) -> Deadline {
        // The virtual clock does not move by itself: whoever sleeps under it waits for a wake.
        if self.processor.clock.is_virtual() {
            return Deadline::NEVER;
        }
        self.processor.next_deadline().unwrap_or(Deadline::NEVER)
    }

    /// Under a virtual clock: looks outside once more, then jumps to the next deadline, unless something
    /// outside is at work whose end must come first. True when there may be something to run.
    pub(super) fn advance(&mut self) -> bool {
        let _ = self.poll(Deadline::PASSED);
        // What a letter asks for may be for the loop to do, as to stop: it looks again before it sleeps. Told by the
        // reading itself: a letter that came between a look and the reading would be read and forgotten.
        let has_read = self.read_letters();
        if has_read || !self.processor.is_idle() || self.processor.shared.has_injected() {
            return true;
        }
        let Some(deadline) = self.processor.next_deadline() else {
            return false;
        };
        if self.processor.shared.sleepers.has_outside() {
            return false;
        }
        self.processor.clock.advance_to(deadline);
        true
    }

    /// Under a virtual clock: whether what was outside has ended since `advance` saw it. `outside_ended`
    /// wakes a worker that is asleep; this is the look of one that was about to be.
    fn could_advance(&self) -> bool {
        let processor = self.processor;
        processor.clock.is_virtual()
            && processor.has_timers()
            && !processor.shared.sleepers.has_outside()
    }

    pub(super) fn could_steal(&self) -> bool {
        let shared = &self.processor.shared;
        !self.is_stopping && shared.config.workers > 1 && shared.has_stealable()
    }

    /// Gives back memory of stacks that rest since the last burst, a little at a time; sets when to look
    /// again, or never: an idle worker whose stacks are trimmed is not woken for it.
    fn trim(&mut self) {
        let has_more = self.stacks.trim();
        self.trim_at = if has_more {
            Deadline::after(real_now(), TRIM_STEP)
        } else {
            Deadline::NEVER
        };
    }
}
