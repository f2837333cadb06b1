//! What the proxies of all values have in common: calls, limits, functions.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::io::Limit;
use crate::ipc::broker::{Answer, Bytes, Call, Handle, add_part, say};
use crate::ipc::codec::CodecError;
use crate::ipc::parcel::{LONGEST, Parcel, Reach, unpack_bytes};
use crate::scheduler::park;

use super::error::ManagerError;

/// A reference to an object that holds values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Proxy {
    handle: Handle,
    /// How long a call may take; where it was sent from does not matter elsewhere.
    #[serde(skip)]
    timeout: Option<Duration>,
}

impl Proxy {
    pub(super) fn new(handle: Handle) -> Proxy {
        Proxy {
            handle,
            timeout: None,
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn with_timeout(&self, timeout: Duration) -> Proxy {
        Proxy {
            handle: self.handle.clone(),
            timeout: Some(timeout),
        }
    }

    /// How far goes what is kept there.
    fn reach(&self) -> Reach {
        match self.handle.reach() {
            Reach::Network => Reach::Network,
            _ => Reach::Store,
        }
    }

    /// Adds a value to a body, with its length before it.
    pub(super) fn add<T: Serialize + ?Sized>(
        &self,
        mut body: Bytes,
        value: &T,
    ) -> Result<Bytes, CodecError> {
        let at = body.len();
        body.extend([0; 4]);
        let mut body = self.add_last(body, value)?;
        let length = (body.len() - at - 4) as u32;
        body[at..at + 4].copy_from_slice(&length.to_le_bytes());
        Ok(body)
    }

    /// Adds a value to a body, of which it is the rest.
    pub(super) fn add_last<T: Serialize + ?Sized>(
        &self,
        body: Bytes,
        value: &T,
    ) -> Result<Bytes, CodecError> {
        Parcel::pack_for(self.reach(), body, value).map(|parcel| parcel.bytes)
    }

    #[track_caller]
    pub(super) fn call(&self, what: u8, body: Bytes) -> Result<Answer, ManagerError> {
        if body.len() > LONGEST {
            return Err(ManagerError::Refused);
        }
        let limit = match self.timeout {
            Some(timeout) => Limit::At(park::deadline(timeout)),
            None => Limit::Never,
        };
        let parcel = Parcel {
            bytes: body,
            ..Parcel::default()
        };
        Ok(self.handle.call(Call { what, parcel }, limit)?)
    }

    /// A call that is done.
    #[track_caller]
    pub(super) fn command(&self, what: u8, body: Bytes) -> Result<(), ManagerError> {
        match self.call(what, body)? {
            answer if answer.what == say::DONE => Ok(()),
            answer => Err(ManagerError::of(answer)),
        }
    }

    /// A call that is done, or finds nothing to be done.
    #[track_caller]
    pub(super) fn ask(&self, what: u8, body: Bytes) -> Result<bool, ManagerError> {
        match self.command(what, body) {
            Ok(()) => Ok(true),
            Err(ManagerError::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[track_caller]
    pub(super) fn count(&self, what: u8, body: Bytes) -> Result<usize, ManagerError> {
        match self.call(what, body)? {
            answer if answer.what == say::COUNT => Ok(answer.as_number() as usize),
            answer => Err(ManagerError::of(answer)),
        }
    }

    /// A call that looks at a value, or returns the one that was there before; `None` when there is none.
    #[track_caller]
    pub(super) fn value<T: DeserializeOwned>(
        &self,
        what: u8,
        body: Bytes,
    ) -> Result<Option<T>, ManagerError> {
        let answer = self.call(what, body)?;
        match answer.what {
            say::VALUE | say::MANY => Ok(Some(answer.value()?)),
            say::NONE => Ok(None),
            _ => Err(ManagerError::of(answer)),
        }
    }

    /// A call that takes something away. What cannot be read is given back.
    #[track_caller]
    pub(super) fn take<T>(
        &self,
        what: u8,
        body: Bytes,
        read: impl FnOnce(Taken<'_>) -> Result<T, CodecError>,
    ) -> Result<Option<T>, ManagerError> {
        let answer = self.call(what, body)?;
        match answer.what {
            say::TAKEN => {}
            say::NONE => return Ok(None),
            _ => return Err(ManagerError::of(answer)),
        }
        match read(Taken(&answer.parcel.bytes)) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.handle.give_back(answer);
                Err(error.into())
            }
        }
    }

    /// Has the manager run a function on a target in the object, or on the whole.
    #[track_caller]
    pub(super) fn update<A: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        what: u8,
        function: &str,
        target: Bytes,
        argument: &A,
    ) -> Result<R, ManagerError> {
        let mut body = Bytes::new();
        add_part(&mut body, function.as_bytes());
        body.extend(target);
        let body = self.add_last(body, argument)?;
        let answer = self.call(what, body)?;
        match answer.what {
            say::VALUE => Ok(answer.value()?),
            say::NO_FUNCTION => Err(ManagerError::NoFunction(function.to_owned())),
            say::UNFIT => Err(ManagerError::UnfitFunction(function.to_owned())),
            _ => Err(ManagerError::of(answer)),
        }
    }
}

/// What was taken: where it was, in parts, and at the end the value.
pub(super) struct Taken<'a>(&'a [u8]);

impl<'a> Taken<'a> {
    /// The next part; empty where there is none, as no manager sends it.
    pub(super) fn part(&mut self) -> &'a [u8] {
        let split = self.0.split_first_chunk::<4>();
        let split = split
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
        let (part, rest) = split.unwrap_or_default();
        self.0 = rest;
        part
    }

    /// What is left: the value.
    pub(super) fn value<T: DeserializeOwned>(self) -> Result<T, CodecError> {
        unpack_bytes(self.0)
    }
}

/// What every proxy is besides its methods: it has a field `proxy` and one that holds its types.
macro_rules! proxy_face {
    ($face:ident [$($t:ident),*], $types:ident) => {
        impl<$($t),*> $face<$($t),*> {
            pub(super) fn from_manager(handle: $crate::ipc::broker::Handle) -> Self {
                Self::over($crate::ipc::manager::proxy::Proxy::new(handle))
            }

            fn over(proxy: $crate::ipc::manager::proxy::Proxy) -> Self {
                $face {
                    proxy,
                    $types: ::std::marker::PhantomData,
                }
            }

            /// The same object, by calls that take no longer than this: then they are
            /// [`ManagerError::TimedOut`], and have done nothing.
            pub fn with_timeout(&self, timeout: ::std::time::Duration) -> Self {
                Self::over(self.proxy.with_timeout(timeout))
            }
        }

        impl<$($t),*> Clone for $face<$($t),*> {
            fn clone(&self) -> Self {
                Self::over(self.proxy.clone())
            }
        }

        impl<$($t),*> ::std::fmt::Debug for $face<$($t),*> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_tuple(stringify!($face)).field(&self.proxy).finish()
            }
        }

        impl<$($t),*> ::serde::Serialize for $face<$($t),*> {
            fn serialize<Z: ::serde::Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
                self.proxy.serialize(serializer)
            }
        }

        impl<'de, $($t),*> ::serde::Deserialize<'de> for $face<$($t),*> {
            fn deserialize<Z: ::serde::Deserializer<'de>>(deserializer: Z) -> Result<Self, Z::Error> {
                let proxy = ::serde::Deserialize::deserialize(deserializer)?;
                Ok(Self::over(proxy))
            }
        }
    };
}

pub(super) use proxy_face;
