//! The identity of a function in another process of the same build: how far it lies from the load address.
//!
//! Two numbers: of the function, such as `f: fn(A) -> R`, and of the trampoline, such as `single::<A, R>`, that
//! the compiler made for its types, which decodes the argument, calls `f` and encodes the result. The child turns
//! them back into pointers. That is right because
//!
//! * both are pointers to functions when they are asked for, by their types: a closure that captures does not
//!   coerce to `fn(A) -> R`, and there is no conjuring of values in the child;
//! * both processes run the same build (`Image::fingerprint`, compared by both sides before the first call), so
//!   that the same code lies at the same distance;
//! * both lie in the code of the main program, which is checked on both sides: not in a library that a child
//!   may have loaded elsewhere or not at all;
//! * nobody but the parent that made the socket can speak on it (`sys::child`, `Wire`).
//!
//! The hash of the types' names is no part of that argument: it turns a mistake of ours into an error.
#![allow(unsafe_code)]

use std::any::{Any, type_name};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ipc::CodecError;
use crate::ipc::parcel::Parcel;
use crate::sys::image::image;

use super::error::ProcessPanic;
use super::panics;

/// A function, as another process of this build can be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    code: u64,
    trampoline: u64,
    types: u64,
}

/// What a call came to, when it came to no result.
#[derive(Debug)]
pub(crate) enum Failure {
    Codec(CodecError),
    /// With the payload.
    Panicked(Box<dyn Any + Send>),
}

/// What a process does that a function is to prepare: the function, which has no value of its own to be sent, goes along
/// as a pointer of this type.
pub(crate) trait Service: 'static {
    type Setup: 'static;
    type Orders: Serialize + DeserializeOwned;

    fn run(f: fn(&mut Self::Setup), orders: Self::Orders);
}

/// Decodes, calls, encodes.
type Trampoline = fn(*const (), u64, Parcel) -> Result<Parcel, Failure>;

impl Function {
    /// How many bytes it takes before its argument.
    pub(crate) const LENGTH: usize = 24;

    /// For one call, with an `A` for an `R`.
    ///
    /// # Errors
    /// `Unsupported` when the function is not of the main program, or that cannot be told.
    pub(crate) fn of<A, R>(f: fn(A) -> R) -> io::Result<Function>
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        Function::with(f as *const (), single::<A, R>, types::<fn(A) -> R>())
    }

    /// For several calls in a row, with a `Vec<A>` for a `Vec<Result<R, ProcessPanic>>`.
    ///
    /// # Errors
    /// As for `of`.
    pub(crate) fn of_chunk<A, R>(f: fn(A) -> R) -> io::Result<Function>
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        Function::with(f as *const (), chunk::<A, R>, types::<fn(A) -> R>())
    }

    /// As `of_chunk`, for a function of two arguments.
    ///
    /// # Errors
    /// As for `of`.
    pub(crate) fn of_pairs<A, B, R>(f: fn(A, B) -> R) -> io::Result<Function>
    where
        A: DeserializeOwned,
        B: DeserializeOwned,
        R: Serialize,
    {
        Function::with(f as *const (), pairs::<A, B, R>, types::<fn(A, B) -> R>())
    }

    /// For a service that `f` prepares.
    ///
    /// # Errors
    /// As for `of`.
    pub(crate) fn of_service<S: Service>(f: fn(&mut S::Setup)) -> io::Result<Function> {
        Function::with(f as *const (), service::<S>, types::<fn(&mut S::Setup)>())
    }

    fn with(code: *const (), trampoline: Trampoline, types: u64) -> io::Result<Function> {
        let image = image()?;
        let offset = |address: *const ()| {
            image.offset(address.expose_provenance()).ok_or_else(|| {
                let text = "the function is part of a library that was loaded into this program, \
                            where another process cannot find it";
                io::Error::new(io::ErrorKind::Unsupported, text)
            })
        };
        Ok(Function {
            code: offset(code)?,
            trampoline: offset(trampoline as *const ())?,
            types,
        })
    }

    pub(crate) fn write(self) -> [u8; Function::LENGTH] {
        let mut bytes = [0; Function::LENGTH];
        for (at, word) in [self.code, self.trampoline, self.types]
            .into_iter()
            .enumerate()
        {
            bytes[at * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Function> {
        let bytes: &[u8; Function::LENGTH] = bytes.first_chunk()?;
        let (words, _) = bytes.as_chunks::<8>();
        let word = |at: usize| u64::from_le_bytes(words[at]);
        Some(Function {
            code: word(0),
            trampoline: word(1),
            types: word(2),
        })
    }
}

/// Calls the function at the head of a parcel with the argument behind it. For parcels from the parent alone.
pub(super) fn call(parcel: Parcel) -> Result<Parcel, Failure> {
    let unknown = || Failure::Codec(CodecError::of::<Function>("it is not of this program"));
    let function = Function::read(&parcel.bytes).ok_or_else(unknown)?;
    let image = image().map_err(|_| unknown())?;
    let trampoline = image.address(function.trampoline).ok_or_else(unknown)?;
    let code = image.address(function.code).ok_or_else(unknown)?;
    // SAFETY: the parent, which runs the same build (both sides have compared fingerprints), has sent the
    // distance of a `Trampoline` that `Function::of` took; so the same function lies at this address.
    let trampoline = unsafe { mem::transmute::<*const (), Trampoline>(code_pointer(trampoline)) };
    trampoline(code_pointer(code), function.types, parcel)
}

fn code_pointer(address: usize) -> *const () {
    std::ptr::with_exposed_provenance(address)
}

/// A hash of the name of a function's type.
fn types<F>() -> u64 {
    type_name::<F>()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

fn check<F>(sent: u64) -> Result<(), Failure> {
    match sent == types::<F>() {
        true => Ok(()),
        false => Err(Failure::Codec(CodecError::of::<F>(
            "the function's types are others here",
        ))),
    }
}

/// Catches what the decoding, the call, the encoding or a destructor throws.
fn attempt(f: impl FnOnce() -> Result<Parcel, CodecError>) -> Result<Parcel, Failure> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(packed) => packed.map_err(Failure::Codec),
        Err(payload) => Err(Failure::Panicked(payload)),
    }
}

fn single<A, R>(code: *const (), sent: u64, parcel: Parcel) -> Result<Parcel, Failure>
where
    A: DeserializeOwned,
    R: Serialize,
{
    check::<fn(A) -> R>(sent)?;
    // SAFETY: `of` took this distance from a `fn(A) -> R`, together with that of this trampoline for its types;
    // `call` has turned both back in a process of the same build.
    let f = unsafe { mem::transmute::<*const (), fn(A) -> R>(code) };
    attempt(|| Parcel::pack(&f(parcel.unpack_from(Function::LENGTH)?)))
}

fn chunk<A, R>(code: *const (), sent: u64, parcel: Parcel) -> Result<Parcel, Failure>
where
    A: DeserializeOwned,
    R: Serialize,
{
    check::<fn(A) -> R>(sent)?;
    // SAFETY: as in `single`, by `of_chunk`.
    let f = unsafe { mem::transmute::<*const (), fn(A) -> R>(code) };
    each(parcel, f)
}

fn pairs<A, B, R>(code: *const (), sent: u64, parcel: Parcel) -> Result<Parcel, Failure>
where
    A: DeserializeOwned,
    B: DeserializeOwned,
    R: Serialize,
{
    check::<fn(A, B) -> R>(sent)?;
    // SAFETY: as in `single`, by `of_pairs`.
    let f = unsafe { mem::transmute::<*const (), fn(A, B) -> R>(code) };
    each(parcel, |(a, b)| f(a, b))
}

fn service<S: Service>(code: *const (), sent: u64, parcel: Parcel) -> Result<Parcel, Failure> {
    check::<fn(&mut S::Setup)>(sent)?;
    // SAFETY: as in `single`, by `of_service`.
    let f = unsafe { mem::transmute::<*const (), fn(&mut S::Setup)>(code) };
    attempt(|| {
        S::run(f, parcel.unpack_from(Function::LENGTH)?);
        Parcel::pack(&())
    })
}

/// Calls `f` with one item after the other; one that panics does not keep the others from their turn.
fn each<A, R>(parcel: Parcel, f: impl Fn(A) -> R) -> Result<Parcel, Failure>
where
    A: DeserializeOwned,
    R: Serialize,
{
    attempt(|| {
        let items: Vec<A> = parcel.unpack_from(Function::LENGTH)?;
        let one = |item| catch_unwind(AssertUnwindSafe(|| f(item))).map_err(panics::report);
        let results: Vec<Result<R, ProcessPanic>> = items.into_iter().map(one).collect();
        Parcel::pack(&results)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(n: u32) -> u32 {
        n * 2
    }

    fn parcel(function: Function, argument: &impl Serialize) -> Parcel {
        Parcel::pack_after(function.write().to_vec(), argument).unwrap()
    }

    #[test]
    fn a_function_is_found_again() {
        let function = Function::of(double).unwrap();
        let result = call(parcel(function, &21u32)).unwrap();
        assert_eq!(result.unpack::<u32>().unwrap(), 42);
    }

    #[test]
    fn a_closure_without_captures_is_a_function() {
        let function = Function::of(|text: String| text.len()).unwrap();
        let result = call(parcel(function, &"four")).unwrap();
        assert_eq!(result.unpack::<usize>().unwrap(), 4);
    }

    #[test]
    fn of_many_items_each_has_its_own_end() {
        let function = Function::of_chunk(|n: u32| 12 / n).unwrap();
        let results = call(parcel(function, &vec![1u32, 0, 4])).unwrap();
        let results: Vec<Result<u32, ProcessPanic>> = results.unpack().unwrap();
        assert_eq!((&results[0], &results[2]), (&Ok(12), &Ok(3)));
        assert!(results[1].is_err());
        let function = Function::of_pairs(|n: u32, text: String| text.repeat(n as usize)).unwrap();
        let results = call(parcel(function, &vec![(2u32, "ab")])).unwrap();
        let results: Vec<Result<String, ProcessPanic>> = results.unpack().unwrap();
        assert_eq!(results, [Ok("abab".to_owned())]);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let function = Function {
            trampoline: 1 << 60,
            ..Function::of(double).unwrap()
        };
        assert!(matches!(
            call(parcel(function, &1u32)),
            Err(Failure::Codec(_))
        ));
        assert!(matches!(call(Parcel::default()), Err(Failure::Codec(_))));
    }

    #[test]
    fn other_types_are_an_error() {
        let mut function = Function::of(double).unwrap();
        function.types ^= 1;
        assert!(matches!(
            call(parcel(function, &1u32)),
            Err(Failure::Codec(_))
        ));
    }

    #[test]
    fn panics_and_bad_arguments_come_back() {
        let function = Function::of(|_: u32| -> u32 { panic!("no") }).unwrap();
        assert!(matches!(
            call(parcel(function, &1u32)),
            Err(Failure::Panicked(_))
        ));
        let function = Function::of(|text: String| text).unwrap();
        assert!(matches!(
            call(parcel(function, &300u32)),
            Err(Failure::Codec(_))
        ));
    }
}
