//! Lines on the standard output: a reader that has gone is no fault, a full disk is one.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why no more is written.
static FAULT: OnceLock<io::Error> = OnceLock::new();

/// Prints a line, unless one before could not be printed.
pub(crate) fn line(text: impl Display) {
    if FAULT.get().is_none()
        && let Err(error) = writeln!(io::stdout(), "{text}")
    {
        // Of several that fail at once, the first.
        let _ = FAULT.set(error);
    }
}

/// With what status a program named `program` ends that would end with `status` if all lines were printed.
pub(crate) fn end(program: &str, status: ExitCode) -> ExitCode {
    match FAULT.get() {
        // As `head` does when it has seen enough.
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "{program}: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => status,
    }
}
