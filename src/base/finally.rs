//! Something that is done when a scope is left, whichever way.

/// Does it when dropped.
#[must_use = "dropped at once, it is done at once"]
pub(crate) struct Finally<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Finally<F> {
    pub(crate) fn new(deed: F) -> Self {
        Finally(Some(deed))
    }

    /// It is not done after all.
    pub(crate) fn cancel(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        if let Some(deed) = self.0.take() {
            deed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::Finally;

    #[test]
    fn it_is_done_once_on_every_way_out_unless_cancelled() {
        let times = Cell::new(0);
        let count = || times.set(times.get() + 1);
        drop(Finally::new(count));
        assert_eq!(times.get(), 1);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _counts = Finally::new(count);
            resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert_eq!(times.get(), 2);
        Finally::new(count).cancel();
        assert_eq!(times.get(), 2);
    }
}
