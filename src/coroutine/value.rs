//! What greenlets hand each other: a value of any type.

use std::any::{Any, type_name};
use std::fmt;

/// A value on its way between two greenlets, to be taken out as the type that it is.
///
/// A value without a size, such as `()`, takes no memory.
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
pub struct Value(Box<dyn Named>);

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
        Value(Box::new(value.expect("taken only when it is a Value")))
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
        if self.is::<T>() {
            let inner: Box<dyn Any> = self.0;
            let value = inner.downcast::<T>().expect("asked the line before");
            return Ok(*value);
        }
        into_itself(self)
    }

    /// The value as std wraps it.
    pub fn into_any(self) -> Box<dyn Any> {
        self.0
    }

    /// Whether the value is a `T`.
    #[inline]
    pub fn is<T: Any>(&self) -> bool {
        let inner: &dyn Any = &*self.0;
        inner.is::<T>()
    }

    /// The name of the value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        (*self.0).name()
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
