//! When nothing can ever run again: the worker that found out gathers the report and settles the matter.
//!
//! The protocol is `sleep.rs`'s (the finder holds an epoch in which no worker left its sleep). What is
//! added here: each worker is asked to let its parked tasks describe themselves, on their own stacks;
//! the last to answer tells the finder, who raises or logs the report if the epoch still stands.

use std::io::Write;
use std::sync::Arc;

use crate::base::clock::{Clock, Deadline};

use super::config::OnDeadlock;
use super::inbox::Letter;
use super::report::{Collector, Order};
use super::sleep::Epoch;
use super::worker::Worker;

/// What the worker that found the program at a standstill does next.
pub(super) enum Verdict {
    /// Something was done about it: look again.
    Awake,
    /// Sleep; the questions that were sent, or nothing at all, will wake it.
    Wait,
    /// Sleep until then, and report if nothing has happened meanwhile.
    Grace(Deadline),
}

impl Worker<'_> {
    /// Called asleep, with the epoch in which nothing can happen any more.
    pub(super) fn judge(&mut self, epoch: Epoch) -> Verdict {
        let shared = self.processor.shared.clone();
        if shared.is_starved() && shared.sleepers.raise(self.processor.index, epoch) {
            // No stack will ever come free for those that wait for one.
            shared.feed(true);
            return Verdict::Awake;
        }
        let has_waiting_main = !shared.mains().is_empty();
        let grace = Deadline::after(Clock::real().now(), shared.config.grace);
        match shared.config.on_deadlock {
            OnDeadlock::Ignore => Verdict::Wait,
            // The other workers' tables are theirs: with several, the report tells whether anybody waits.
            _ if !has_waiting_main && self.tasks.is_empty() && shared.config.workers == 1 => {
                Verdict::Wait
            }
            OnDeadlock::Raise if has_waiting_main && !shared.has_foreign_threads() => {
                self.ask_all(epoch);
                Verdict::Wait
            }
            _ => Verdict::Grace(grace),
        }
    }

    /// Asks every worker, this one included, for its blocked tasks.
    pub(super) fn ask_all(&mut self, epoch: Epoch) {
        let shared = &self.processor.shared;
        let judge = self.processor.index;
        let is_there = |index: &usize| !shared.sleepers.is_retired(*index);
        let asked: Vec<usize> = (0..shared.config.workers).filter(is_there).collect();
        let collector = Arc::new(Collector::new(epoch, judge, asked.len()));
        for worker in asked {
            shared.mailboxes[worker].ask(Letter::Describe(collector.clone()));
        }
    }

    /// Lets every parked task of this worker say what it waits for.
    pub(super) fn describe(&mut self, collector: &Arc<Collector>) {
        let parked = |(key, started): (usize, &super::worker::Started)| {
            let is_parked = started.suspended().inspect(|local| {
                local.is_some_and(|local| {
                    let is_parked = self.processor.phases.is_parked(key as u32);
                    if is_parked {
                        local.order(Order::Describe(collector.clone()));
                    }
                    is_parked
                })
            });
            is_parked.then_some(key as u32)
        };
        let keys: Vec<u32> = self.tasks.iter().filter_map(parked).collect();
        for key in keys {
            self.resume(key);
        }
        if collector.answer() {
            let judge = &self.processor.shared.mailboxes[collector.judge];
            judge.ask(Letter::Settle(collector.clone()));
        }
    }

    /// The report is complete. Raises it in the tasks that somebody waits for in `run` or `block_on`, or
    /// logs it when it may be wrong or nobody waits.
    pub(super) fn settle(&mut self, collector: &Arc<Collector>) {
        let shared = self.processor.shared.clone();
        let report: Arc<str> = collector.render(self.processor.clock.now()).into();
        let mut mains = shared.mains().clone();
        mains.retain(|main| main.home() != 0 && !main.is_told());
        let may_raise = shared.config.on_deadlock == OnDeadlock::Raise
            && !self.is_stopping
            && !mains.is_empty()
            && !shared.has_foreign_threads();
        if !may_raise {
            // Once: a program that is woken from outside now and then, and waits as before in between,
            // has been reported.
            if shared.sleepers.is_still(collector.epoch) && shared.is_news(collector.fingerprint())
            {
                self.log(report);
            }
            return;
        }
        if !shared.sleepers.raise(self.processor.index, collector.epoch) {
            return;
        }
        for main in mains {
            super::inbox::post(main.settled_home(), Letter::Deadlock(main, report.clone()));
        }
    }

    /// A logger is the user's code: it may wait for a lock that one of this worker's tasks holds, so it
    /// runs on a thread of its own.
    pub(super) fn log(&self, report: Arc<str>) {
        // A program without a logger shall not hang in silence.
        let log = move || match log::log_enabled!(log::Level::Error) {
            true => log::error!("{report}"),
            false => drop(writeln!(std::io::stderr(), "greenloom: {report}")),
        };
        if let Err(refused) = self.processor.shared.blocking.submit(Box::new(log)) {
            super::packet::caught(refused.job);
        }
    }

    /// The main task, which lives here, ends with the report, if it is in that wait still.
    pub(super) fn end_with(&mut self, main: &super::task::TaskRef, report: Arc<str>) {
        if !self.processor.phases.is_parked(main.key()) {
            return;
        }
        let key = main.key();
        if let Some(started) = self.tasks.get(key as usize) {
            let is_meant = started.suspended().inspect(|local| {
                let local = local.filter(|local| local.is_described());
                local.map(|local| local.order(Order::Deadlock(report)))
            });
            if is_meant.is_some() {
                self.resume(key);
            }
        }
    }
}
