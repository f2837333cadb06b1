//! Why a value could not be turned into bytes, or bytes into a value.

use std::any::type_name;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that could not cross between processes, with the name of its type.
///
/// The encoding, postcard, is not self-describing: types that rely on that (`serde(flatten)`,
/// `serde(untagged)`, `skip_serializing_if`) fail here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecError {
    type_name: String,
    message: String,
}

impl CodecError {
    pub(crate) fn of<T: ?Sized>(message: impl fmt::Display) -> Self {
        CodecError {
            type_name: type_name::<T>().to_owned(),
            message: message.to_string(),
        }
    }

    /// The name of the type that failed, as [`std::any::type_name`] gives it.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CodecError { type_name, message } = self;
        write!(
            f,
            "a value of type {type_name} cannot cross between processes: {message}"
        )
    }
}

impl std::error::Error for CodecError {}
