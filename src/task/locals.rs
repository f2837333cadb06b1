//! Values that belong to a task, as a thread-local belongs to a thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::coroutine::ambient;
use crate::scheduler::slots::{self, Bequeath, Found, Heritage};

/// Declares [`LocalKey`]s: statics of which every task has a value of its own.
///
/// The syntax is that of [`std::thread_local!`]. A task's value is made by the initialiser when the task
/// first asks for it, and dropped when the task ends, before whoever joins it goes on. The initialiser and
/// the destructor run inside the task: they may wait, and use other keys. A task that uses no key pays
/// nothing.
///
/// A task starts without values. With `static inherit` in place of `static` it starts with clones of those
/// that its spawner has at that moment; the value must be `Clone + Send` for that.
///
/// On a plain OS thread the values are the thread's.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
///
/// greenloom::task_local! {
///     static STEPS: Cell<u32> = Cell::new(0);
///     /// The request on whose behalf the task, and what it spawns, is at work.
///     pub static inherit REQUEST: u64 = 0;
/// }
///
/// # greenloom::run(|| {
/// REQUEST.scope(17, || {
///     STEPS.set(1);
///     let child = greenloom::spawn(|| (REQUEST.cloned(), STEPS.get()));
///     assert_eq!(child.join().unwrap(), (17, 0));
/// });
/// assert_eq!(REQUEST.cloned(), 0);
/// assert_eq!(STEPS.get(), 1);
/// # });
/// ```
///
/// What is inherited goes to another task, perhaps on another thread:
///
/// ```compile_fail,E0277
/// use std::rc::Rc;
/// greenloom::task_local! {
///     static inherit SHARED: Rc<u32> = Rc::new(1); // not `Send`
/// }
/// ```
///
/// ```compile_fail,E0277
/// use std::cell::RefCell;
/// struct Opaque; // not `Clone`
/// greenloom::task_local! {
///     static inherit OPAQUE: Opaque = Opaque;
/// }
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static inherit $name:ident : $T:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::task::LocalKey<$T> = $crate::task::LocalKey::__inherited(|| $init);
        $($crate::task_local! { $($rest)* })?
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident : $T:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::task::LocalKey<$T> = $crate::task::LocalKey::__new(|| $init);
        $($crate::task_local! { $($rest)* })?
    };
}

/// A static of which every task has its own value: made by [`task_local!`](crate::task_local).
///
/// A value is held by count while somebody looks at it. So a reference that [`with`](Self::with) gives out
/// is good to the end of the closure, whatever happens meanwhile: that the value is replaced, or that a
/// generator is suspended in the midst of it and outlives the task.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    /// Set where the declaration says `inherit`.
    bequeath: Option<Bequeath>,
}

/// The running task, or the thread, is ending, and has dropped its value of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local value was dropped at its task's end")
    }
}

impl Error for AccessError {}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey")
            .field("is_inherited", &self.bequeath.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T) -> Self {
        LocalKey {
            init,
            bequeath: None,
        }
    }

    #[doc(hidden)]
    pub const fn __inherited(init: fn() -> T) -> Self
    where
        T: Clone + Send,
    {
        LocalKey {
            init,
            bequeath: Some(bequeath::<T>),
        }
    }

    /// Calls `f` with the running task's value, which is made first if the task has none.
    ///
    /// # Panics
    ///
    /// In a destructor at the task's end, when the value is gone already.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.value() {
            Ok(value) => f(&value),
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`with`](Self::with), with an error instead of the panic.
    ///
    /// # Errors
    ///
    /// [`AccessError`] in a destructor at the task's end, when the value is gone already.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.value().map(|value| f(&value))
    }

    /// Runs `f` with this value in place of the task's own, which is there again afterwards.
    ///
    /// # Panics
    ///
    /// In a destructor at the task's end, when the value is gone already; when a coroutine in which it was
    /// called is suspended inside of `f`.
    ///
    /// # Examples
    ///
    /// ```
    /// greenloom::task_local! { static DEPTH: u32 = 0; }
    /// let depth = DEPTH.scope(1, || DEPTH.scope(2, || DEPTH.cloned()));
    /// assert_eq!((depth, DEPTH.cloned()), (2, 0));
    /// ```
    #[track_caller]
    pub fn scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        /// Puts the task's own value back.
        struct Restore<T: 'static> {
            key: &'static LocalKey<T>,
            value: Option<Rc<dyn Any>>,
        }

        impl<T> Drop for Restore<T> {
            fn drop(&mut self) {
                let value = self.value.take();
                drop(slots::with(|slots| self.key.put(slots, value)));
            }
        }

        let key = self.address();
        if let Some(Found::Ended) | None = slots::with(|slots| slots.find(key)) {
            panic!("{}", AccessError(()));
        }
        // Resumed by another task it would find, and leave, the values of that one.
        let _pin = ambient::forbid_suspend("LocalKey::scope");
        let value: Rc<dyn Any> = Rc::new(value);
        let own = slots::with(|slots| self.put(slots, Some(value)));
        let _restore = Restore {
            key: self,
            value: own.flatten(),
        };
        f()
    }

    /// The running task's value, cloned.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn cloned(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    fn address(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn put(&'static self, slots: &slots::Slots, value: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        slots.replace(self.address(), value, self.bequeath)
    }

    fn value(&'static self) -> Result<Rc<T>, AccessError> {
        match slots::with(|slots| slots.find(self.address())) {
            Some(Found::Value(value)) => Ok(typed(value)),
            Some(Found::Nothing) => self.make(),
            Some(Found::Ended) | None => Err(AccessError(())),
        }
    }

    #[cold]
    fn make(&'static self) -> Result<Rc<T>, AccessError> {
        let value = Rc::new((self.init)());
        // The initialiser may have waited, set the value, or been the last thing that the task does.
        match slots::with(|slots| slots.find(self.address())) {
            Some(Found::Value(theirs)) => Ok(typed(theirs)),
            Some(Found::Nothing) => {
                slots::with(|slots| self.put(slots, Some(value.clone())));
                Ok(value)
            }
            Some(Found::Ended) | None => Err(AccessError(())),
        }
    }
}

fn typed<T: 'static>(value: Rc<dyn Any>) -> Rc<T> {
    value
        .downcast()
        .unwrap_or_else(|_| unreachable!("a key's address stands for its type"))
}

fn bequeath<T: Clone + Send + 'static>(value: &dyn Any) -> Box<dyn Any + Send> {
    let value = value.downcast_ref::<T>();
    Box::new(value.expect("a key's address stands for its type").clone())
}

/// As std has them for its thread-locals.
impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value of the cell.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and so all of these.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// The value of the cell.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value out and leaves the default.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value of the cell and returns the old one.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// As std has them for its thread-locals.
impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the value, borrowed.
    ///
    /// # Panics
    ///
    /// When it is borrowed mutably, and as [`with`](Self::with), and so all of these.
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the value, borrowed mutably.
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        drop(self.replace(value));
    }

    /// Takes the value out and leaves the default.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the value and returns the old one.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// A task's body that begins with what its spawner leaves to it.
#[inline]
pub(super) fn heir<F, T>(f: F) -> impl FnOnce() -> T + use<F, T>
where
    F: FnOnce() -> T,
{
    let heritage = Heritage::gather();
    move || {
        heritage.accept();
        f()
    }
}
