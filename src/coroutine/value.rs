//! What greenlets hand each other: a value of any type, in a word beside the word that names its type.
//!
//! Two words travel in registers; with one more, or with a tag of a byte, each move goes through memory,
//! and what was written in pieces is read as a whole, for which the processor waits.
#![allow(unsafe_code)] // a word that holds what its kind says

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr;

/// A value on its way between two greenlets, to be taken out as the type that it is.
///
/// What is no larger than a machine word, such as a number, a `char`, an `Rc` or `()`, takes no memory of
/// its own; other values are boxed.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::Value;
///
/// let value = Value::new(12_i32);
/// let value = value.downcast::<String>().unwrap_err();
/// assert_eq!(value.get::<i32>(), 12);
/// ```
pub struct Value {
    /// The type of the value, and so how it lies in `word`.
    kind: &'static Kind,
    /// The value itself, or the pointer of its box. A pointer, so that one that is in there stays one.
    word: Word,
    /// As a box of any value is, this is neither `Send` nor `Sync`.
    owned: PhantomData<Box<dyn Any>>,
}

type Word = MaybeUninit<*mut ()>;

/// What is to be known of a type to keep a value of it. There may be several of one type.
struct Kind {
    id: TypeId,
    name: fn() -> &'static str,
    /// Ends the value in the word. `None`: there is nothing to do.
    ///
    /// Safety, of this and of the next: the word holds a value of this kind, which is gone then.
    end: Option<unsafe fn(Word)>,
    boxed: unsafe fn(Word) -> Box<dyn Any>,
}

impl Kind {
    const fn of<T: Any>() -> &'static Kind {
        &const {
            Kind {
                id: TypeId::of::<T>(),
                name: type_name::<T>,
                end: if mem::needs_drop::<T>() || !fits::<T>() {
                    // SAFETY: handed on to the caller.
                    Some(|word| drop(unsafe { unpack::<T>(word) }))
                } else {
                    None
                },
                // SAFETY: handed on to the caller.
                boxed: |word| unsafe { unpack_boxed::<T>(word) },
            }
        }
    }

    #[inline]
    fn is<T: Any>(&self) -> bool {
        // One address means one type, and that is asked first.
        ptr::eq(self, Kind::of::<T>()) || self.id == TypeId::of::<T>()
    }
}

/// Whether a value of this type lies in the word itself.
const fn fits<T>() -> bool {
    size_of::<T>() <= size_of::<Word>() && align_of::<T>() <= align_of::<Word>()
}

#[inline]
fn pack<T: Any>(value: T) -> Word {
    if !fits::<T>() {
        return Word::new(Box::into_raw(Box::new(value)).cast());
    }
    let mut word = Word::uninit();
    // SAFETY: it has the room and the alignment for a `T`.
    unsafe { word.as_mut_ptr().cast::<T>().write(value) };
    word
}

/// # Safety
///
/// The word was made by `pack::<T>` and is not used again.
#[inline]
unsafe fn unpack<T: Any>(word: Word) -> T {
    if fits::<T>() {
        // SAFETY: `pack` has written a `T` there, and the caller takes it out once.
        unsafe { word.as_ptr().cast::<T>().read() }
    } else {
        // SAFETY: as above; `pack` has put the pointer of a box there.
        *unsafe { Box::from_raw(word.assume_init().cast::<T>()) }
    }
}

/// # Safety
///
/// As for [`unpack`].
unsafe fn unpack_boxed<T: Any>(word: Word) -> Box<dyn Any> {
    if fits::<T>() {
        // SAFETY: as the caller says.
        Box::new(unsafe { unpack::<T>(word) })
    } else {
        // SAFETY: as in `unpack`.
        unsafe { Box::from_raw(word.assume_init().cast::<T>()) }
    }
}

impl Value {
    /// Wraps a value. A `Value` stays as it is, so that one that came in can be passed on.
    #[inline]
    pub fn new<T: Any>(value: T) -> Self {
        match cast::<T, Value>(value) {
            Ok(wrapped) => wrapped,
            Err(value) => Value {
                kind: Kind::of::<T>(),
                word: pack(value),
                owned: PhantomData,
            },
        }
    }

    /// The value.
    ///
    /// # Panics
    ///
    /// When it is not a `T`; the message names both types.
    #[inline]
    #[track_caller]
    pub fn get<T: Any>(self) -> T {
        match self.downcast() {
            Ok(value) => value,
            Err(value) => value.refuse(type_name::<T>()),
        }
    }

    #[cold]
    #[track_caller]
    fn refuse(self, wanted: &str) -> ! {
        panic!("a {} where a {wanted} was expected", self.type_name())
    }

    /// The value, if it is a `T`.
    ///
    /// # Errors
    ///
    /// Gives itself back if it is something else.
    #[inline]
    pub fn downcast<T: Any>(self) -> Result<T, Value> {
        if self.kind.is::<T>() {
            // SAFETY: the kind says that it is a `T`, and this value ends here.
            return Ok(unsafe { unpack(self.into_word()) });
        }
        // `get::<Value>()` is the value as it is: a body that takes a `Value` takes anything.
        cast(self)
    }

    /// The value as std wraps it.
    pub fn into_any(self) -> Box<dyn Any> {
        let kind = self.kind;
        // SAFETY: the word is of this kind, and this value ends here.
        unsafe { (kind.boxed)(self.into_word()) }
    }

    /// The word, which nobody ends any more.
    #[inline]
    fn into_word(self) -> Word {
        let word = self.word;
        mem::forget(self);
        word
    }

    /// Whether the value is a `T`.
    #[inline]
    pub fn is<T: Any>(&self) -> bool {
        self.kind.is::<T>()
    }

    /// The name of the value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        (self.kind.name)()
    }
}

impl Drop for Value {
    #[inline]
    fn drop(&mut self) {
        if let Some(end) = self.kind.end {
            // SAFETY: the word is of this kind, and nobody sees it after this.
            unsafe { end(self.word) };
        }
    }
}

/// The value as a `B`, if that is what an `A` is. Which one is known when this is compiled.
#[inline]
fn cast<A: Any, B: Any>(value: A) -> Result<B, A> {
    let mut value = Some(value);
    match (&mut value as &mut dyn Any).downcast_mut::<Option<B>>() {
        Some(wanted) => Ok(wanted.take().expect("just put there")),
        None => Err(value.expect("not taken")),
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.type_name())
    }
}
