//! What can go wrong between a manager and its clients.

use std::fmt;

use crate::ipc::broker::{Answer, Gone, TOO_LONG, UNSENT, say};
use crate::ipc::codec::CodecError;
use crate::ipc::error::Disconnected;

/// Why a call of a [`Manager`](super::Manager), or of one of its objects, came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManagerError {
    /// The manager is gone, or the object was removed.
    Disconnected,
    /// The time was over: nothing was changed, nothing was taken.
    TimedOut,
    /// A value cannot be encoded, or what is there is of another type. It is still there.
    Codec(CodecError),
    /// The name is that of an object of another kind.
    OtherKind {
        /// The name.
        name: String,
        /// What it is, such as `dict`.
        is: String,
    },
    /// There is no function of that name.
    NoFunction(String),
    /// The function is one for another sort of object, or for a part where the whole was given to it.
    UnfitFunction(String),
    /// The function panicked, and has changed nothing.
    Panicked(String),
    /// There is nothing at that key or index.
    Missing,
    /// More than one message can carry, more objects than there are numbers, or a queue or a barrier for nobody.
    Refused,
}

impl ManagerError {
    /// What an answer says that is none of those that were expected.
    pub(super) fn of(answer: Answer) -> ManagerError {
        match answer.what {
            say::LATE | UNSENT => ManagerError::TimedOut,
            say::NONE => ManagerError::Missing,
            say::FAILED => match answer.value() {
                Ok(error) | Err(error) => ManagerError::Codec(error),
            },
            say::PANICKED => match answer.value() {
                Ok(text) => ManagerError::Panicked(text),
                Err(error) => ManagerError::Codec(error),
            },
            TOO_LONG => ManagerError::Refused,
            _ => ManagerError::Refused,
        }
    }
}

impl From<Gone> for ManagerError {
    fn from(_: Gone) -> Self {
        ManagerError::Disconnected
    }
}

impl From<Disconnected> for ManagerError {
    fn from(_: Disconnected) -> Self {
        ManagerError::Disconnected
    }
}

impl From<CodecError> for ManagerError {
    fn from(error: CodecError) -> Self {
        ManagerError::Codec(error)
    }
}

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManagerError::Disconnected => {
                f.write_str("the manager is gone, or the object was removed")
            }
            ManagerError::TimedOut => f.write_str("the manager did not answer in time"),
            ManagerError::Codec(error) => error.fmt(f),
            ManagerError::OtherKind { name, is } => write!(f, "`{name}` is a {is}"),
            ManagerError::NoFunction(name) => write!(f, "the manager has no function `{name}`"),
            ManagerError::UnfitFunction(name) => {
                write!(f, "the function `{name}` is for another sort of object")
            }
            ManagerError::Panicked(text) => write!(f, "the function panicked: {text}"),
            ManagerError::Missing => f.write_str("there is nothing at that key or index"),
            ManagerError::Refused => f.write_str("the manager refuses what it was asked"),
        }
    }
}

impl std::error::Error for ManagerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ManagerError::Codec(error) => Some(error),
            _ => None,
        }
    }
}
