//! Coroutines with a name and a stack size of one's own choice.

use std::any::Any;
use std::panic::Location;

use super::coroutine::Coroutine;
use super::engine::Plan;
use super::error::StackError;
use super::generator::Generator;
use super::greenlet::Greenlet;
use super::yielder::Yielder;
use crate::stack::{Kind, StackSize};

/// Makes coroutines, generators and greenlets with a name and a stack size.
///
/// The name, and the place where the builder was made, appear in the message of a stack overflow.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::{Builder, Generator, StackSize};
///
/// # fn main() -> Result<(), greenloom::coroutine::StackError> {
/// let deep: Generator<u32> = Builder::new()
///     .name("parser")
///     .stack_size(StackSize::new(1 << 20).unwrap())
///     .generator(|y| y.suspend(1))?;
/// assert_eq!(deep.next(), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    size: StackSize,
    place: &'static Location<'static>,
}

impl Default for Builder {
    #[track_caller]
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// No name, the default stack size.
    #[track_caller]
    pub fn new() -> Self {
        Builder {
            name: String::new(),
            size: StackSize::DEFAULT,
            place: Location::caller(),
        }
    }

    /// Names what is made.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the size of the stack.
    pub fn stack_size(mut self, size: StackSize) -> Self {
        self.size = size;
        self
    }

    /// Makes a [`Coroutine`].
    ///
    /// # Errors
    ///
    /// When there is no memory for the stack.
    pub fn coroutine<In, Yield, Out, F>(
        &self,
        body: F,
    ) -> Result<Coroutine<In, Yield, Out>, StackError>
    where
        In: 'static,
        Yield: 'static,
        Out: 'static,
        F: FnOnce(&Yielder<'_, In, Yield>, In) -> Out + 'static,
    {
        Coroutine::planned(&self.plan(Kind::Coroutine), body)
    }

    /// Makes a [`Generator`].
    ///
    /// # Errors
    ///
    /// When there is no memory for the stack.
    pub fn generator<Yield, In, Out, F>(
        &self,
        body: F,
    ) -> Result<Generator<Yield, In, Out>, StackError>
    where
        Yield: 'static,
        In: 'static,
        Out: 'static,
        F: FnOnce(&Yielder<'_, In, Yield>) -> Out + 'static,
    {
        Generator::planned(&self.plan(Kind::Generator), body)
    }

    /// Makes a [`Greenlet`].
    ///
    /// # Errors
    ///
    /// When there is no memory for the stack.
    pub fn greenlet<A: Any, R: Any>(
        &self,
        body: impl FnOnce(A) -> R + 'static,
    ) -> Result<Greenlet, StackError> {
        Greenlet::planned(&self.plan(Kind::Greenlet), body)
    }

    fn plan(&self, kind: Kind) -> Plan<'_> {
        Plan {
            kind,
            size: self.size,
            name: &self.name,
            place: self.place,
        }
    }
}
