//! The thread on which a pool's callbacks run: one after the other, in the order in which their jobs ended.
//!
//! A callback is the user's code. It may block, wait or panic; on a thread of its own it holds up nothing but
//! the callbacks after it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::base::payload;

pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// Started with the first callback; ends, when all have run, with the pool.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    sender: Mutex<Option<Sender<Callback>>>,
}

impl Callbacks {
    /// Has the callbacks run, and then `after`.
    pub(super) fn run(&self, callbacks: Vec<Callback>, after: impl FnOnce() + Send + 'static) {
        let all = move || {
            for callback in callbacks {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) {
                    log::error!("a callback of a process pool panicked; the pool goes on");
                    payload::discard(payload);
                }
            }
            after();
        };
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Callback = match &*sender {
            None => Box::new(all),
            Some(sender) => match sender.send(Box::new(all)) {
                Ok(()) => return,
                Err(refused) => refused.0,
            },
        };
        match begin() {
            Ok(begun) => {
                // The thread has just begun and waits.
                let _ = begun.send(all);
                *sender = Some(begun);
            }
            Err(error) => {
                drop(sender);
                log::warn!("no thread for callbacks, they run in place: {error}");
                all();
            }
        }
    }
}

fn begin() -> io::Result<Sender<Callback>> {
    let (sender, receiver) = channel::<Callback>();
    let work = move || receiver.into_iter().for_each(|callback| callback());
    thread::Builder::new()
        .name("greenloom-callbacks".to_owned())
        .spawn(work)?;
    Ok(sender)
}
