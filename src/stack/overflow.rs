//! A touched guard becomes a message with the name of what ran over, and an abort.
//!
//! All that runs between the fault and the abort is async-signal-safe and lives on a few hundred bytes of
//! the signal stack: no lock, no heap, no formatting machinery.

use std::sync::Once;

use crate::stack::label::Kind;
use crate::stack::region::{self, Touched};
use crate::stack::size::guard_size;
use crate::sys::fault;

/// Puts our handler in front of those for memory faults, once in a process.
///
/// Every stack that is mapped has seen to this; call it early to come before handlers of others.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| fault::install(report));
}

/// Gives the calling thread a stack for signal handlers, if it has none: a handler cannot run on a stack
/// that is full.
pub(crate) fn ensure_alt_stack() {
    fault::ensure_alt_stack();
}

/// Comes back only if `address` is in no guard of ours.
fn report(address: usize) {
    if let Some(touched) = region::find_guard(address) {
        let mut line = Line::new();
        compose(&mut line, &touched);
        fault::write_to_stderr(line.text());
        fault::die();
    }
}

fn compose(line: &mut Line, touched: &Touched) {
    line.push(b"\n");
    let mut kind = Kind::Coroutine;
    match &touched.label {
        None => line.push(b"a coroutine"),
        Some(label) => {
            kind = label.kind;
            line.push(kind_name(kind));
            if !label.name().is_empty() {
                line.push(b" '");
                line.push_printable(label.name());
                line.push(b"'");
            }
            line.push(b" (id ");
            line.push_number(label.id);
            if let Some((file, number)) = label.file_and_line() {
                line.push(b", ");
                line.push(if kind == Kind::Task {
                    b"spawned at "
                } else {
                    b"made at "
                });
                line.push_end_of(file.as_bytes());
                line.push(b":");
                line.push_number(u64::from(number));
            }
            line.push(b")");
        }
    }
    line.push(b" has overflowed its stack\nthe stack has ");
    line.push_number(((touched.size.bytes() - guard_size()) / 1024) as u64);
    line.push(b" KiB; a larger one is had by ");
    line.push(match kind {
        Kind::Task => {
            b"`Builder::stack_size` for one task, or\n`Runtime::builder().stack_size(..)` for all of a runtime".as_slice()
        }
        _ => b"`Builder::stack_size`, with a larger `StackSize`",
    });
    line.push(b"\nfatal runtime error: stack overflow, aborting\n");
}

fn kind_name(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Task => b"task",
        Kind::Coroutine => b"coroutine",
        Kind::Generator => b"generator",
        Kind::Greenlet => b"greenlet",
    }
}

/// Text of bounded length; what does not fit is cut off.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

/// The most of a file name that is shown; the end of it tells more than the start.
const FILE_BYTES: usize = 160;

impl Line {
    fn new() -> Line {
        Line {
            bytes: [0; 512],
            len: 0,
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    /// Without control characters: a name must not forge a second line.
    fn push_printable(&mut self, text: &[u8]) {
        for byte in text {
            self.push(&[if byte.is_ascii_control() { b'?' } else { *byte }]);
        }
    }

    fn push_end_of(&mut self, text: &[u8]) {
        let cut = text.len().saturating_sub(FILE_BYTES);
        if cut > 0 {
            self.push(b"...");
        }
        self.push(&text[cut..]);
    }

    fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::label::{Label, LabelRecord};
    use crate::stack::size::StackSize;

    fn text_of(label: Option<Label<'_>>) -> String {
        let record = LabelRecord::default();
        if let Some(label) = label {
            record.write(&label);
        }
        let mut line = Line::new();
        compose(
            &mut line,
            &Touched {
                size: StackSize::DEFAULT,
                label: record.read(),
            },
        );
        String::from_utf8(line.text().to_vec()).expect("text")
    }

    #[test]
    fn a_report_names_the_task_and_its_place_and_the_remedy() {
        let place = std::panic::Location::caller();
        let text = text_of(Some(Label {
            kind: Kind::Task,
            id: u64::MAX,
            place,
            name: "crawler\nx",
        }));
        assert!(
            text.contains("task 'crawler?x' (id 18446744073709551615, spawned at "),
            "{text}"
        );
        assert!(
            text.contains(&format!("overflow.rs:{})", place.line())),
            "{text}"
        );
        assert!(
            text.contains("Builder::stack_size") && text.contains("Runtime::builder"),
            "{text}"
        );
        assert!(text.ends_with("aborting\n"), "{text}");
    }

    #[test]
    fn a_stack_without_a_label_is_reported_too() {
        assert!(text_of(None).starts_with("\na coroutine has overflowed its stack\n"));
    }
}
