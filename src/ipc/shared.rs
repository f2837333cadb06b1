//! Memory that processes share, and plain values in it.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytemuck::{AnyBitPattern, NoUninit};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sys::shared::{self, Mapping};

use super::error::Disconnected;
use super::lock::{Lock, LockGuard};
use super::parcel::Passed;

/// Bytes that processes share: Python's `multiprocessing.shared_memory`, without the name.
///
/// Other processes get it in the argument of their function or in a message, and it is freed with the last handle,
/// however the processes end: there is no name that could be left behind. Its length is fixed.
///
/// Bytes are copied in and out, and never lent: another process may write at any time. A copy that meets a write
/// may find a part of it; who needs whole values beside a writer wants a lock, as [`SharedValue`] has one, or a
/// message.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::SharedMemory;
/// use greenloom::process::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = SharedMemory::new(1 << 20)?;
/// let child = Process::spawn(|memory: SharedMemory| memory.write(7, b"hello"), memory.clone())?;
/// child.join()?;
/// let mut said = [0; 5];
/// memory.read(7, &mut said);
/// assert_eq!(&said, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    inner: Arc<Inner>,
}

struct Inner {
    fd: OwnedFd,
    mapping: Mapping,
}

impl SharedMemory {
    /// Makes so many zeroes.
    ///
    /// # Errors
    ///
    /// When there is no descriptor or no room; `Unsupported` where the system, which is any but Linux, has no
    /// memory that is safe from being cut off by another process.
    pub fn new(len: usize) -> io::Result<SharedMemory> {
        let (fd, mapping) = shared::create(len)?;
        Ok(SharedMemory {
            inner: Arc::new(Inner { fd, mapping }),
        })
    }

    /// How many bytes there are.
    #[expect(clippy::len_without_is_empty, reason = "memory, not a collection")]
    pub fn len(&self) -> usize {
        self.inner.mapping.len()
    }

    /// Copies bytes out.
    ///
    /// # Panics
    ///
    /// When they are not all inside.
    #[track_caller]
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        self.check(offset, into.len());
        self.inner.mapping.read(offset, into);
    }

    /// Copies bytes in.
    ///
    /// # Panics
    ///
    /// When they are not all inside.
    #[track_caller]
    pub fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        self.inner.mapping.write(offset, from);
    }

    #[track_caller]
    fn check(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "{len} bytes from {offset} are not within the {} of a SharedMemory",
            self.len()
        );
    }

    /// Copies a value out; what is small goes by the stack.
    #[track_caller]
    fn get<T: AnyBitPattern>(&self, offset: usize) -> T {
        let len = size_of::<T>();
        let mut small = [0; 64];
        match small.get_mut(..len) {
            Some(bytes) => {
                self.read(offset, bytes);
                bytemuck::pod_read_unaligned(bytes)
            }
            None => {
                let mut bytes = vec![0; len];
                self.read(offset, &mut bytes);
                bytemuck::pod_read_unaligned(&bytes)
            }
        }
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Serialize for SharedMemory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.len() as u64, Lent(&self.inner.fd)).serialize(serializer)
    }
}

/// A descriptor to be passed on.
struct Lent<'a>(&'a OwnedFd);

impl Serialize for Lent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Passed::serialize(&self.0.as_fd(), serializer)
    }
}

impl<'de> Deserialize<'de> for SharedMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let (len, Passed(fd)) = <(u64, Passed)>::deserialize(deserializer)?;
        let len = usize::try_from(len).map_err(D::Error::custom)?;
        let mapping = shared::open(fd.as_fd(), len).map_err(D::Error::custom)?;
        Ok(SharedMemory {
            inner: Arc::new(Inner { fd, mapping }),
        })
    }
}

/// A plain value that processes share, with a lock: Python's `multiprocessing.Value`.
///
/// [`get`](Self::get) and [`set`](Self::set) take no lock: of a value longer than a machine word they may find
/// or leave a mixture when another process sets at the same time, and what is read, changed and set again may have
/// been changed in between. [`lock`](Self::lock) is for both.
///
/// `T` is plain data: bytes of any content are a `T`, and none of its bytes is padding. bytemuck's traits vouch for
/// that; its derives implement them for structures.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::SharedValue;
/// use greenloom::process::Process;
///
/// fn add(total: SharedValue<u64>) {
///     for _ in 0..100 {
///         total.lock().unwrap().update(|n| n + 1);
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let total = SharedValue::new(0u64)?;
/// let children = [Process::spawn(add, total.clone())?, Process::spawn(add, total.clone())?];
/// for child in children {
///     child.join()?;
/// }
/// assert_eq!(total.get(), 200);
/// # Ok(())
/// # }
/// ```
pub struct SharedValue<T> {
    array: SharedArray<T>,
}

/// Plain values in a row that processes share, with a lock: Python's `multiprocessing.Array`.
///
/// What is said of [`SharedValue`] goes for each item.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::SharedArray;
/// use greenloom::process::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let squares = SharedArray::<u32>::new(4)?;
/// let fill = |array: SharedArray<u32>| (0..array.len()).for_each(|at| array.set(at, (at * at) as u32));
/// Process::spawn(fill, squares.clone())?.join()?;
/// assert_eq!(squares.to_vec(), [0, 1, 4, 9]);
/// # Ok(())
/// # }
/// ```
pub struct SharedArray<T> {
    memory: SharedMemory,
    lock: Lock,
    items: PhantomData<fn(T) -> T>,
}

impl<T: AnyBitPattern + NoUninit> SharedValue<T> {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::new`].
    pub fn new(first: T) -> io::Result<Self> {
        let value = SharedValue {
            array: SharedArray::new(1)?,
        };
        value.set(first);
        Ok(value)
    }

    /// What it is now.
    pub fn get(&self) -> T {
        // Not an item of the array, which has none if they have no size.
        self.array.memory.get(0)
    }

    /// Makes it something else.
    pub fn set(&self, value: T) {
        self.array.memory.write(0, bytemuck::bytes_of(&value));
    }

    /// Waits for the lock. Only who uses it as well is kept out.
    ///
    /// # Errors
    ///
    /// [`Disconnected`]: the process that made the value is gone. The value itself can be used further.
    ///
    /// # Cancellation
    ///
    /// As [`Lock::acquire`].
    ///
    /// # Parks
    ///
    /// As [`Lock::acquire`].
    #[track_caller]
    pub fn lock(&self) -> Result<SharedValueGuard<'_, T>, Disconnected> {
        let lock = self.array.lock.acquire()?;
        Ok(SharedValueGuard { value: self, lock })
    }

    /// As [`lock`](Self::lock), but `None` when it has not been had within `timeout`.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<SharedValueGuard<'_, T>>, Disconnected> {
        let lock = self.array.lock.acquire_timeout(timeout)?;
        Ok(lock.map(|lock| SharedValueGuard { value: self, lock }))
    }
}

/// A [`SharedValue`] whose lock is held.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct SharedValueGuard<'a, T> {
    value: &'a SharedValue<T>,
    lock: LockGuard<'a>,
}

impl<T: AnyBitPattern + NoUninit> SharedValueGuard<'_, T> {
    /// What it is.
    pub fn get(&self) -> T {
        self.value.get()
    }

    /// Makes it something else.
    pub fn set(&mut self, value: T) {
        self.value.set(value);
    }

    /// Makes it something else and returns what it was.
    pub fn replace(&mut self, value: T) -> T {
        let before = self.get();
        self.set(value);
        before
    }

    /// Makes something else of what it is, and returns that.
    pub fn update(&mut self, f: impl FnOnce(T) -> T) -> T {
        let value = f(self.get());
        self.set(value);
        value
    }

    /// Whether a holder before died with the lock: the value may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.lock.is_abandoned()
    }
}

impl<T: AnyBitPattern + NoUninit> SharedArray<T> {
    /// Makes so many items of zero bytes.
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::new`]; `InvalidInput` when they are more than an address space has room for.
    pub fn new(len: usize) -> io::Result<Self> {
        let bytes = size_of::<T>().checked_mul(len);
        let bytes = bytes.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(SharedArray {
            memory: SharedMemory::new(bytes)?,
            lock: Lock::new(),
            items: PhantomData,
        })
    }

    /// Makes an array of these items.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_slice(items: &[T]) -> io::Result<Self> {
        let array = Self::new(items.len())?;
        array.write(0, items);
        Ok(array)
    }

    /// How many items there are; none of a type without a size.
    pub fn len(&self) -> usize {
        self.memory.len().checked_div(size_of::<T>()).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[track_caller]
    fn offset(&self, at: usize, count: usize) -> usize {
        assert!(
            at.checked_add(count).is_some_and(|end| end <= self.len()),
            "{count} items from {at} are not within the {} of a SharedArray",
            self.len()
        );
        at * size_of::<T>()
    }

    /// The item at a place.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub fn get(&self, at: usize) -> T {
        self.memory.get(self.offset(at, 1))
    }

    /// Puts an item at a place.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    #[track_caller]
    pub fn set(&self, at: usize, value: T) {
        self.memory
            .write(self.offset(at, 1), bytemuck::bytes_of(&value));
    }

    /// Copies items out, from a place on.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    #[track_caller]
    pub fn read(&self, at: usize, into: &mut [T]) {
        let offset = self.offset(at, into.len());
        for (next, item) in into.iter_mut().enumerate() {
            *item = self.memory.get(offset + next * size_of::<T>());
        }
    }

    /// Copies items in, from a place on.
    ///
    /// # Panics
    ///
    /// When there are not so many places.
    #[track_caller]
    pub fn write(&self, at: usize, from: &[T]) {
        let offset = self.offset(at, from.len());
        self.memory.write(offset, bytemuck::cast_slice(from));
    }

    /// A copy of all items.
    pub fn to_vec(&self) -> Vec<T> {
        (0..self.len()).map(|at| self.get(at)).collect()
    }

    /// Waits for the lock. Only who uses it as well is kept out.
    ///
    /// # Errors
    ///
    /// [`Disconnected`]: the process that made the array is gone. The items can be used further.
    ///
    /// # Cancellation
    ///
    /// As [`Lock::acquire`].
    ///
    /// # Parks
    ///
    /// As [`Lock::acquire`].
    #[track_caller]
    pub fn lock(&self) -> Result<SharedArrayGuard<'_, T>, Disconnected> {
        let lock = self.lock.acquire()?;
        Ok(SharedArrayGuard { array: self, lock })
    }

    /// As [`lock`](Self::lock), but `None` when it has not been had within `timeout`.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<SharedArrayGuard<'_, T>>, Disconnected> {
        let lock = self.lock.acquire_timeout(timeout)?;
        Ok(lock.map(|lock| SharedArrayGuard { array: self, lock }))
    }
}

/// A [`SharedArray`] whose lock is held.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct SharedArrayGuard<'a, T> {
    array: &'a SharedArray<T>,
    lock: LockGuard<'a>,
}

impl<T: AnyBitPattern + NoUninit> SharedArrayGuard<'_, T> {
    /// The item at a place.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub fn get(&self, at: usize) -> T {
        self.array.get(at)
    }

    /// Puts an item at a place.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    #[track_caller]
    pub fn set(&mut self, at: usize, value: T) {
        self.array.set(at, value);
    }

    /// Makes something else of the item at a place, and returns that.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub fn update(&mut self, at: usize, f: impl FnOnce(T) -> T) -> T {
        let value = f(self.get(at));
        self.set(at, value);
        value
    }

    /// Whether a holder before died with the lock: the items may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.lock.is_abandoned()
    }
}

impl<T> Clone for SharedValue<T> {
    fn clone(&self) -> Self {
        SharedValue {
            array: self.array.clone(),
        }
    }
}

impl<T> Clone for SharedArray<T> {
    fn clone(&self) -> Self {
        SharedArray {
            memory: self.memory.clone(),
            lock: self.lock.clone(),
            items: PhantomData,
        }
    }
}

impl<T: AnyBitPattern + NoUninit + fmt::Debug> fmt::Debug for SharedValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedValue").field(&self.get()).finish()
    }
}

impl<T> fmt::Debug for SharedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedArray").field(&self.memory).finish()
    }
}

impl<T: AnyBitPattern + NoUninit + fmt::Debug> fmt::Debug for SharedValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedValueGuard")
            .field(&self.get())
            .finish()
    }
}

impl<T> fmt::Debug for SharedArrayGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedArrayGuard").field(self.array).finish()
    }
}

impl<T> Serialize for SharedValue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.array.serialize(serializer)
    }
}

impl<T> Serialize for SharedArray<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.memory, &self.lock).serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for SharedValue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let array = SharedArray::<T>::deserialize(deserializer)?;
        match array.memory.len() == size_of::<T>() {
            true => Ok(SharedValue { array }),
            false => Err(D::Error::custom("a shared value of another length")),
        }
    }
}

impl<'de, T> Deserialize<'de> for SharedArray<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let (memory, lock) = <(SharedMemory, Lock)>::deserialize(deserializer)?;
        let is_whole = match size_of::<T>() {
            0 => memory.len() == 0,
            size => memory.len().is_multiple_of(size),
        };
        match is_whole {
            true => Ok(SharedArray {
                memory,
                lock,
                items: PhantomData,
            }),
            false => Err(D::Error::custom("a shared array of other items")),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[path = "shared_tests.rs"]
mod tests;
