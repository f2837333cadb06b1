//! What greenlets hand each other: a value of any type.

use std::any::{Any, type_name};
use std::fmt;

/// A value on its way between two greenlets, to be taken out as the type that it is.
///
/// Numbers, `bool`, `char`, `&'static str` and values without a size, such as `()`, take no memory of their
/// own; others are boxed.
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
pub struct Value(Inner);

enum Inner {
    Plain(Plain),
    Boxed(Box<dyn Named>),
}

/// Defines the types that travel without a box, and the ways in and out.
macro_rules! plain {
    ($($variant:ident($type:ty)),* $(,)?) => {
        #[derive(Clone, Copy)]
        enum Plain {
            $($variant($type)),*
        }

        impl Plain {
            /// Takes the value if it is of one of these types. Which one is known when this is compiled.
            #[inline]
            fn take<T: Any>(value: &mut Option<T>) -> Option<Plain> {
                let value: &mut dyn Any = value;
                $(if let Some(value) = value.downcast_mut::<Option<$type>>() {
                    return value.take().map(Plain::$variant);
                })*
                None
            }

            #[inline]
            fn give<T: Any>(self) -> Option<T> {
                let mut wanted: Option<T> = None;
                match self {
                    $(Plain::$variant(value) => {
                        let wanted: &mut dyn Any = &mut wanted;
                        if let Some(wanted) = wanted.downcast_mut::<Option<$type>>() {
                            *wanted = Some(value);
                        }
                    })*
                }
                wanted
            }

            fn boxed(self) -> Box<dyn Named> {
                match self {
                    $(Plain::$variant(value) => Box::new(value)),*
                }
            }
        }
    };
}

plain! {
    U8(u8), U16(u16), U32(u32), U64(u64), Usize(usize),
    I8(i8), I16(i16), I32(i32), I64(i64), Isize(isize),
    F32(f32), F64(f64), Bool(bool), Char(char), Str(&'static str),
}

/// Any value, with the name of its type for messages.
trait Named: Any {
    fn name(&self) -> &'static str;
}

impl<T: Any> Named for T {
    fn name(&self) -> &'static str {
        type_name::<T>()
    }
}

impl Value {
    /// Wraps a value. A `Value` stays as it is, so that one that came in can be passed on.
    #[inline]
    pub fn new<T: Any>(value: T) -> Self {
        let mut value = Some(value);
        if let Some(wrapped) = (&mut value as &mut dyn Any).downcast_mut::<Option<Value>>()
            && let Some(wrapped) = wrapped.take()
        {
            return wrapped;
        }
        if let Some(plain) = Plain::take(&mut value) {
            return Value(Inner::Plain(plain));
        }
        Value(Inner::Boxed(Box::new(
            value.expect("taken only when it is of another type"),
        )))
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
            Err(value) => panic!(
                "a {} where a {} was expected",
                value.type_name(),
                type_name::<T>()
            ),
        }
    }

    /// The value, if it is a `T`.
    ///
    /// # Errors
    ///
    /// Gives itself back if it is something else.
    #[inline]
    pub fn downcast<T: Any>(self) -> Result<T, Value> {
        match self.0 {
            Inner::Plain(plain) => match plain.give() {
                Some(value) => Ok(value),
                None => into_itself(self),
            },
            Inner::Boxed(inner) if (&*inner as &dyn Any).is::<T>() => {
                let inner: Box<dyn Any> = inner;
                Ok(*inner.downcast::<T>().expect("asked the line before"))
            }
            Inner::Boxed(_) => into_itself(self),
        }
    }

    /// The value as std wraps it.
    pub fn into_any(self) -> Box<dyn Any> {
        self.into_boxed()
    }

    fn into_boxed(self) -> Box<dyn Named> {
        match self.0 {
            Inner::Plain(plain) => plain.boxed(),
            Inner::Boxed(inner) => inner,
        }
    }

    /// Whether the value is a `T`.
    #[inline]
    pub fn is<T: Any>(&self) -> bool {
        match &self.0 {
            Inner::Plain(plain) => plain.give::<T>().is_some(),
            Inner::Boxed(inner) => (&**inner as &dyn Any).is::<T>(),
        }
    }

    /// The name of the value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        match &self.0 {
            Inner::Plain(plain) => (*plain.boxed()).name(),
            Inner::Boxed(inner) => (**inner).name(),
        }
    }
}

/// `get::<Value>()` is the value as it is: a body that takes a `Value` takes anything.
#[inline]
fn into_itself<T: Any>(value: Value) -> Result<T, Value> {
    let mut value = Some(value);
    match (&mut value as &mut dyn Any).downcast_mut::<Option<T>>() {
        Some(wanted) => Ok(wanted.take().expect("just put there")),
        None => Err(value.expect("not taken")),
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.type_name())
    }
}
