//! A value on its way to another process: its bytes, and the descriptors that stand in it.
//!
//! A descriptor in a value is encoded as its number in the parcel, by [`Passed`]. While a value is encoded or
//! decoded, the parcel's descriptors lie in a thread-local, for serde has no other way to reach them. So nothing
//! may wait in between (`no_park`), and an encoding that is not ours finds nothing there and is an error.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::task::no_park;

use super::codec::CodecError;

/// The kernel takes so many descriptors in one message.
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// No parcel has more bytes than this, and no frame, whatever its head says.
pub(crate) const LONGEST: usize = 1 << 30;

/// An encoded value.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// How far a value goes, which decides what may stand in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To one process of this machine.
    #[default]
    Process,
    /// To a place on this machine from which it may be read more than once: no descriptors.
    Store,
    /// To another machine, perhaps: neither descriptors nor keys.
    Network,
}

thread_local! {
    /// What belongs to the parcel that is being packed or unpacked on this thread.
    static OPEN: RefCell<Option<Open>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Open {
    reach: Reach,
    descriptors: Vec<Option<OwnedFd>>,
    /// What is to be done when the packing is over, and one may wait again.
    chores: Vec<Box<dyn FnOnce()>>,
    /// Why a part of the value was refused: the encoding forgets what it is told.
    why: Option<&'static str>,
}

/// Puts back what was open before, whatever happens in between.
struct Opened(Option<Open>);

impl Opened {
    fn with(reach: Reach, descriptors: Vec<Option<OwnedFd>>) -> Opened {
        let open = Open {
            reach,
            descriptors,
            chores: Vec::new(),
            why: None,
        };
        Opened(OPEN.replace(Some(open)))
    }

    fn close(self) -> Open {
        OPEN.take().unwrap_or_default()
    }
}

/// In a `Serialize`: has something done that may wait, before the parcel is sent.
pub(crate) fn after_packing(chore: impl FnOnce() + 'static) {
    OPEN.with_borrow_mut(|open| {
        if let Some(open) = open {
            open.chores.push(Box::new(chore));
        }
    });
}

/// In a `Serialize` or `Deserialize` of ours: keeps the text of the error with which it ends.
pub(crate) fn refused(why: &'static str) -> &'static str {
    OPEN.with_borrow_mut(|open| {
        if let Some(open) = open {
            open.why = Some(why);
        }
    });
    why
}

/// The error of a type's encoding.
fn failed<T: ?Sized>(error: postcard::Error) -> CodecError {
    let why = OPEN.with_borrow(|open| open.as_ref().and_then(|open| open.why));
    match why {
        Some(why) => CodecError::of::<T>(why),
        None => CodecError::of::<T>(error),
    }
}

/// How far the value goes that is being encoded on this thread; `None` when an encoding that is not ours is at it.
pub(crate) fn reach() -> Option<Reach> {
    OPEN.with_borrow(|open| open.as_ref().map(|open| open.reach))
}

impl Drop for Opened {
    fn drop(&mut self) {
        OPEN.replace(self.0.take());
    }
}

impl Parcel {
    /// Encodes a value. Runs its `Serialize`, which may not wait.
    ///
    /// # Errors
    /// What `Serialize` says; a value with more descriptors, or more bytes, than one message takes.
    pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Parcel, CodecError> {
        Parcel::pack_after(Vec::new(), value)
    }

    /// As `pack`, behind bytes that are there already.
    pub(crate) fn pack_after<T: Serialize>(
        before: Vec<u8>,
        value: &T,
    ) -> Result<Parcel, CodecError> {
        Parcel::pack_for(Reach::Process, before, value)
    }

    /// As `pack_after`, for a value that goes so far.
    pub(crate) fn pack_for<T: Serialize + ?Sized>(
        reach: Reach,
        before: Vec<u8>,
        value: &T,
    ) -> Result<Parcel, CodecError> {
        let (bytes, open) = no_park(|| {
            let opened = Opened::with(reach, Vec::new());
            let bytes = postcard::to_extend(value, before).map_err(failed::<T>)?;
            Ok::<_, CodecError>((bytes, opened.close()))
        })?;
        if bytes.len() > LONGEST {
            let text = format!("it has more than the {LONGEST} bytes that one message may have");
            return Err(CodecError::of::<T>(text));
        }
        let descriptors: Vec<_> = open.descriptors.into_iter().flatten().collect();
        if descriptors.len() > MOST_DESCRIPTORS {
            let count = descriptors.len();
            let text =
                format!("it holds {count} descriptors; {MOST_DESCRIPTORS} can be sent at once");
            return Err(CodecError::of::<T>(text));
        }
        for chore in open.chores {
            chore();
        }
        Ok(Parcel { bytes, descriptors })
    }

    /// Decodes the value. Runs its `Deserialize`, which may not wait.
    ///
    /// # Errors
    /// Bytes that are no such value, or more than one.
    pub(crate) fn unpack<T: DeserializeOwned>(self) -> Result<T, CodecError> {
        self.unpack_from(0)
    }

    /// As `unpack`, of what stands behind the first bytes.
    pub(crate) fn unpack_from<T: DeserializeOwned>(self, begin: usize) -> Result<T, CodecError> {
        let bytes = self.bytes.get(begin..).unwrap_or_default();
        decode(bytes, self.descriptors)
    }

    /// As `unpack`, and the parcel stays as it is.
    pub(crate) fn unpack_copy<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        self.unpack_copy_from(0)
    }

    /// As `unpack_copy`, of what stands behind the first bytes.
    pub(crate) fn unpack_copy_from<T: DeserializeOwned>(
        &self,
        begin: usize,
    ) -> Result<T, CodecError> {
        let copies = self
            .descriptors
            .iter()
            .map(OwnedFd::try_clone)
            .collect::<Result<_, _>>();
        let bytes = self.bytes.get(begin..).unwrap_or_default();
        decode(bytes, copies.map_err(CodecError::of::<T>)?)
    }

    /// As `unpack`, of the bytes, which stay, and of descriptors that came with them and do not.
    pub(crate) fn unpack_with<T: DeserializeOwned>(
        &self,
        descriptors: Vec<OwnedFd>,
    ) -> Result<T, CodecError> {
        decode(&self.bytes, descriptors)
    }
}

/// Decodes a value that brings no descriptors.
///
/// # Errors
/// As for `Parcel::unpack`.
pub(crate) fn unpack_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(bytes, Vec::new())
}

fn decode<T: DeserializeOwned>(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<T, CodecError> {
    no_park(|| {
        let _opened = Opened::with(Reach::Process, descriptors.into_iter().map(Some).collect());
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(CodecError::of::<T>(format!(
                "{} bytes are left over",
                rest.len()
            ))),
            Err(error) => Err(failed::<T>(error)),
        }
    })
}

/// A descriptor as a part of a value: sending passes a copy on.
#[derive(Debug)]
pub(crate) struct Passed(pub(crate) OwnedFd);

impl Passed {
    /// Encodes a descriptor without giving it up.
    pub(crate) fn serialize<S: Serializer>(
        fd: &impl AsFd,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let text = match reach() {
            Some(Reach::Process) => None,
            Some(Reach::Store) => {
                Some("it holds a descriptor, and what is kept by a manager may be read twice")
            }
            Some(Reach::Network) => Some("it holds a descriptor, which crosses no network"),
            None => Some(
                "it holds a descriptor, which only greenloom's own processes and pipes can pass on",
            ),
        };
        if let Some(text) = text {
            return Err(S::Error::custom(refused(text)));
        }
        let copy = fd.as_fd().try_clone_to_owned().map_err(S::Error::custom)?;
        let number = OPEN.with_borrow_mut(|open| {
            let open = open.get_or_insert_default();
            open.descriptors.push(Some(copy));
            open.descriptors.len() - 1
        });
        serializer.serialize_u32(number as u32)
    }
}

impl Serialize for Passed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Passed::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Passed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let number = u32::deserialize(deserializer)? as usize;
        let taken = OPEN.with_borrow_mut(|open| open.as_mut()?.descriptors.get_mut(number)?.take());
        taken
            .map(Passed)
            .ok_or_else(|| D::Error::custom("a descriptor that did not come with it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{Read, Write};

    #[test]
    fn a_value_and_its_descriptors_come_through() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let parcel = Parcel::pack(&("text", Passed(writer.into()), 7)).unwrap();
        assert_eq!(parcel.descriptors.len(), 1);
        let (text, Passed(writer), number) = parcel.unpack::<(String, Passed, i32)>().unwrap();
        assert_eq!((text.as_str(), number), ("text", 7));
        std::fs::File::from(writer).write_all(b"passed").unwrap();
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "passed");
    }

    #[test]
    fn a_descriptor_outside_of_a_parcel_is_refused() {
        let (_, writer) = std::io::pipe().unwrap();
        assert!(postcard::to_stdvec(&Passed(writer.into())).is_err());
        assert!(postcard::from_bytes::<Passed>(&[0]).is_err());
    }

    #[test]
    fn damaged_bytes_are_errors_and_name_the_type() {
        let mut parcel = Parcel::pack(&(1u8, "abc")).unwrap();
        parcel.bytes.push(0);
        let error = parcel.unpack::<(u8, String)>().unwrap_err();
        assert!(
            error.to_string().contains("1 bytes are left over"),
            "{error}"
        );
        let parcel = Parcel {
            bytes: vec![9],
            ..Parcel::default()
        };
        let error = parcel.unpack::<(u8, String)>().unwrap_err();
        assert!(error.type_name().contains("String"), "{error}");
        // A descriptor named twice is there once.
        let (_, writer) = std::io::pipe().unwrap();
        let parcel = Parcel {
            bytes: vec![0, 0],
            descriptors: vec![writer.into()],
        };
        assert!(parcel.unpack::<(Passed, Passed)>().is_err());
    }

    #[test]
    fn a_panic_in_serialize_leaves_the_thread_clean() {
        struct Bad;
        impl Serialize for Bad {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                panic!("no");
            }
        }
        assert!(std::panic::catch_unwind(|| Parcel::pack(&Bad)).is_err());
        assert!(OPEN.with_borrow(Option::is_none));
    }
}
