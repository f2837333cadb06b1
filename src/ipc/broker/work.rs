//! What functions of the user do to the values of an object, outside of its lock.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ipc::codec::CodecError;
use crate::ipc::parcel::Reach;

/// An encoded value, or a part of one.
pub(in crate::ipc) type Bytes = Vec<u8>;

/// What a function is given, and gives back changed.
#[derive(Debug)]
pub(in crate::ipc) enum Subject {
    Value(Bytes),
    Items(Vec<Bytes>),
    Entries(Vec<(Bytes, Bytes)>),
}

/// What became of it, and the function's own value.
pub(in crate::ipc) type Outcome = Result<(Subject, Bytes), Refusal>;

/// Why nothing became of it.
#[derive(Debug)]
pub(in crate::ipc) enum Refusal {
    /// An argument or a value is of another type.
    Codec(CodecError),
    Panicked(String),
    /// The function is one for another sort of object.
    Unfit,
}

/// A function with its types hidden: what it changes, the encoded argument, and how far the results go.
pub(in crate::ipc) type Work = dyn Fn(Subject, &[u8], Reach) -> Outcome + Send + Sync;

/// The functions of a manager, by their names.
#[derive(Default)]
pub(in crate::ipc) struct Library {
    pub(in crate::ipc) works: HashMap<String, Arc<Work>>,
    pub(in crate::ipc) reach: Reach,
}

/// Reads a body that is made of parts, each led by its length.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    /// The next part; `None` when the body is cut off.
    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(part)
    }

    /// The next part as a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.next()?.try_into().ok()?))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Adds a part to a body.
pub(in crate::ipc) fn add_part(body: &mut Bytes, part: &[u8]) {
    body.extend((part.len() as u32).to_le_bytes());
    body.extend(part);
}

/// So many values in a row, as postcard has a sequence of them: values need no separator.
pub(super) fn sequence<'a>(count: usize, values: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut bytes = Bytes::new();
    let mut count = count as u64;
    while count >= 0x80 {
        bytes.push(count as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
    values.for_each(|value| bytes.extend(value));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_what_postcard_would_write() {
        for count in [0_u64, 1, 127, 128, 300, 70_000] {
            let numbers: Vec<u64> = (0..count).collect();
            let one = |number: &u64| postcard::to_stdvec(number).unwrap();
            let encoded: Vec<Bytes> = numbers.iter().map(one).collect();
            let bytes = sequence(encoded.len(), encoded.iter().map(Vec::as_slice));
            assert_eq!(bytes, postcard::to_stdvec(&numbers).unwrap());
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_noticed() {
        let mut body = Bytes::new();
        add_part(&mut body, b"one");
        add_part(&mut body, &7_u64.to_le_bytes());
        let mut parts = Parts(&body);
        assert_eq!(parts.next(), Some(b"one".as_slice()));
        assert_eq!(parts.number(), Some(7));
        assert!(parts.is_over());
        assert_eq!(parts.next(), None);
        for end in 0..body.len() {
            let mut parts = Parts(&body[..end]);
            assert!(parts.next().is_none() || parts.number().is_none());
        }
        assert_eq!(Parts(&[255; 4]).next(), None);
        assert_eq!(Parts(&[255; 20]).next(), None);
    }
}
