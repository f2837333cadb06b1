//! A stretch of code out of which nothing may unwind: if something does, the process ends and says why.

/// Ends the process when it is dropped, which only an unwinding does; [`end`](Self::end) it otherwise.
#[derive(Debug)]
pub(crate) struct Firm(&'static str);

impl Firm {
    /// `what` must not be left by a panic, for memory that others use would be freed.
    pub(crate) fn begin(what: &'static str) -> Firm {
        Firm(what)
    }

    pub(crate) fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Firm {
    fn drop(&mut self) {
        use std::io::Write;
        // `eprintln!` would panic once more where stderr is closed.
        let _ = writeln!(
            std::io::stderr(),
            "greenloom: a panic in {}: others still use what it would free, so the process ends",
            self.0
        );
        std::process::abort();
    }
}
