//! The function and the argument with which each worker of a pool begins.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blocking::unblock;
use crate::ipc::CodecError;
use crate::ipc::parcel::Parcel;

use super::super::function::Function;
use super::error::PoolError;

/// Encodes the argument for each worker anew: a lock or a queue that stands in it is encoded as one process's
/// connection to it, on which two would take each other's answers.
pub(super) struct Initializer {
    /// For the first worker: encoded early, to see whether it can be.
    first: Mutex<Option<Parcel>>,
    encode: Box<dyn Fn() -> Result<Parcel, CodecError> + Send + Sync>,
}

impl Initializer {
    /// # Errors
    /// `Io` when the function cannot be found by another process, `Codec` when the argument cannot be encoded.
    pub(super) fn new<A>(f: fn(A), argument: A) -> Result<Initializer, PoolError>
    where
        A: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let function = Function::of(f)?;
        let encode = move || Parcel::pack_after(function.write().to_vec(), &argument);
        Ok(Initializer {
            first: Mutex::new(Some(encode()?)),
            encode: Box::new(encode),
        })
    }

    /// For one more worker. The argument's `Serialize` is the user's code, so it runs where it holds up nobody.
    ///
    /// # Errors
    /// When it cannot be encoded, as it could the first time, or panics.
    pub(super) fn pack(initializer: &Arc<Initializer>) -> Result<Parcel, CodecError> {
        let first = initializer
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(parcel) = first {
            return Ok(parcel);
        }
        let theirs = initializer.clone();
        let encoded = unblock(move || catch_unwind(AssertUnwindSafe(|| (theirs.encode)())));
        encoded.unwrap_or_else(|payload| {
            // Its destructor may panic as well.
            std::mem::forget(payload);
            Err(CodecError::of::<Function>(
                "the argument panicked while it was encoded",
            ))
        })
    }
}

impl fmt::Debug for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initializer").finish_non_exhaustive()
    }
}
