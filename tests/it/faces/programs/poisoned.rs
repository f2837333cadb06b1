//! A thread that panics with a lock in its hand, and one that finds out.

use std::panic;

use super::facade::sync::{Arc, Mutex, PoisonError};
use super::facade::thread;

pub(crate) fn main() -> String {
    let value = Arc::new(Mutex::new(6));
    let theirs = Arc::clone(&value);
    let result: thread::Result<()> = thread::spawn(move || {
        let mut value = theirs.lock().unwrap();
        *value += 1;
        // As `panic!`, without the message on standard error.
        panic::resume_unwind(Box::new("out of ink"));
    })
    .join();
    let message = match result {
        Ok(()) => "nothing".to_owned(),
        Err(payload) => match payload.downcast_ref::<&str>() {
            Some(text) => (*text).to_owned(),
            None => panic::resume_unwind(payload),
        },
    };
    let poisoned = match value.lock() {
        Ok(_) => "sound",
        Err(_) => "poisoned",
    };
    assert!(value.is_poisoned());
    let recovered = *value.lock().unwrap_or_else(PoisonError::into_inner);
    value.clear_poison();
    assert_eq!(value.lock().map(|value| *value).ok(), Some(recovered));
    format!("panicked with `{message}`, {poisoned}, recovered {recovered}")
}
