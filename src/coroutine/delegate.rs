//! A body that runs another generator in its place, as PEP 380 has it.

use super::engine::{Engine, Refusal, Step};
use super::error::{CloseError, GENERATOR_RUNNING};
use super::generator::Generator;
use super::thrown::Order;
use super::unwinding::{self, Payload};
use super::yielder::Yielder;

impl<In, Yield> Yielder<'_, In, Yield> {
    /// Runs `inner` in the place of this body until it returns, and returns its result (PEP 380).
    ///
    /// What is sent goes to `inner`, what is thrown is thrown into `inner`, and closing closes `inner`
    /// first. A plain call of a function that takes the yielder does most of this for nothing; this is
    /// for a generator that exists already. One that has been started goes on with `In::default()`, as
    /// by `next`. `None` if it had returned or was closed before.
    ///
    /// # Panics
    ///
    /// With what `inner` lets through, if `inner` ignores a close, and if it is running already.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::Generator;
    ///
    /// let outer = Generator::<u32, (), u32>::new(|y| {
    ///     let inner = Generator::new(|y| { y.suspend(1); y.suspend(2); 40 });
    ///     y.yield_from(&inner).unwrap() + 2
    /// });
    /// assert_eq!(outer.by_ref().collect::<Vec<_>>(), [1, 2]);
    /// assert_eq!(outer.take_return(), Some(42));
    /// ```
    #[track_caller]
    pub fn yield_from<Out>(&self, inner: &Generator<Yield, In, Out>) -> Option<Out>
    where
        In: Default,
    {
        let engine = inner.engine();
        let mut next = Next::Input(inner.has_started().then(In::default));
        loop {
            match forward(engine, next)? {
                Step::Yielded(value) => next = self.ask(engine, value),
                Step::Complete(out) => return Some(out),
                Step::Closed => return None,
                Step::Unwound(payload) => unwinding::throw(payload),
            }
        }
    }

    /// Yields on behalf of `inner` and turns the answer into what is done with `inner` next.
    fn ask<Out>(&self, inner: &Engine<In, Yield, Out>, value: Yield) -> Next<In> {
        match self.try_suspend(value) {
            Ok(input) => Next::Input(Some(input)),
            Err(thrown) if thrown.is_close() => {
                close_inner(inner);
                thrown.rethrow()
            }
            Err(thrown) => Next::Throw(thrown.into_payload()),
        }
    }
}

/// What a delegating body does with the inner one.
enum Next<In> {
    Input(Option<In>),
    Throw(Payload),
}

fn forward<In, Yield, Out>(
    inner: &Engine<In, Yield, Out>,
    next: Next<In>,
) -> Option<Step<Yield, Out>> {
    let entry = match inner.enter() {
        Ok(entry) => entry,
        Err(Refusal::Running) => panic!("{GENERATOR_RUNNING}"),
        // Ended before, or its thread is ending: an error thrown in goes to the delegating body.
        Err(Refusal::Finished | Refusal::Exited) => match next {
            Next::Throw(payload) => unwinding::throw(payload),
            Next::Input(_) => return None,
        },
    };
    Some(match next {
        Next::Input(input) => entry.run(input),
        Next::Throw(payload) if inner.link().is_mid_unwind() => {
            drop(entry);
            unwinding::throw(payload)
        }
        Next::Throw(payload) => entry.order(Order::Throw(payload)),
    })
}

fn close_inner<In, Yield, Out>(inner: &Engine<In, Yield, Out>) {
    match inner.close() {
        Ok(Some(Step::Unwound(payload))) => unwinding::throw(payload),
        Ok(None) => panic!("{}", CloseError::IgnoredExit),
        _ => {}
    }
}
