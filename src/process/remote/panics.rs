//! What is known of a panic in a child: its message, its place, its frames.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::PanicHookInfo;

use crate::base::payload;

use super::error::ProcessPanic;

thread_local! {
    /// The last panic on this thread, as the hook saw it.
    static LAST: RefCell<Option<ProcessPanic>> = const { RefCell::new(None) };
}

/// Has each panic leave its place and its frames, which its payload does not have.
pub(super) fn note() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let backtrace = Backtrace::capture();
        let report = ProcessPanic {
            message: message(info.payload()),
            location: info.location().map(ToString::to_string),
            backtrace: (backtrace.status() == BacktraceStatus::Captured)
                .then(|| backtrace.to_string()),
        };
        // In a destructor of the thread's locals there is nobody to report to.
        let _ = LAST.try_with(|last| last.replace(Some(report)));
        before(info);
    }));
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// The report of a panic that was caught; consumes the payload, whose destructor may panic as well.
pub(super) fn report(payload: Box<dyn Any + Send>) -> ProcessPanic {
    let message = message(payload.as_ref());
    let seen = LAST.take().filter(|seen| seen.message == message);
    payload::discard(payload);
    // Thrown without the hook: its place is unknown.
    seen.unwrap_or(ProcessPanic {
        message,
        location: None,
        backtrace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_whose_destructor_panics_is_survived() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(7));
            }
        }
        let report = report(Box::new(Bad));
        assert_eq!(report.message(), "a panic without a message");
        assert_eq!(report.location(), None);
    }
}
