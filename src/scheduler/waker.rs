//! A task's reference as std's waker: the one currency of waking.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::deque::Word;
use super::task::TaskRef;
use super::wake;

impl TaskRef {
    /// A waker of this task: one more reference.
    #[inline]
    pub(crate) fn waker(&self) -> Waker {
        self.clone().into_waker()
    }

    /// This reference as a waker.
    #[inline]
    pub(crate) fn into_waker(self) -> Waker {
        let data = self.into_word().as_ptr().cast_const();
        // SAFETY: the functions of the table keep RawWaker's contract: `data` carries one count.
        unsafe { Waker::from_raw(RawWaker::new(data, &WAKER)) }
    }

    /// The task that a waker belongs to, when it is one of ours; the count stays the waker's.
    #[inline]
    pub(crate) fn of_waker(waker: &Waker) -> Option<BorrowedTask<'_>> {
        if !std::ptr::eq(waker.vtable(), &WAKER) {
            return None;
        }
        // SAFETY: our vtable means that the data word came from `into_waker`.
        let task = unsafe { borrow(waker.data()) };
        Some(BorrowedTask {
            task,
            of: PhantomData,
        })
    }
}

static WAKER: RawWakerVTable =
    RawWakerVTable::new(waker_clone, waker_wake, waker_wake_by_ref, waker_drop);

/// A task seen through somebody else's reference.
pub(crate) struct BorrowedTask<'a> {
    task: ManuallyDrop<TaskRef>,
    of: PhantomData<&'a Waker>,
}

impl std::ops::Deref for BorrowedTask<'_> {
    type Target = TaskRef;
    fn deref(&self) -> &TaskRef {
        &self.task
    }
}

/// The reference in a waker's data word, without its count.
///
/// # Safety
///
/// `data` came from `into_waker`, and its count outlives the result.
unsafe fn borrow(data: *const ()) -> ManuallyDrop<TaskRef> {
    // SAFETY: the word came from `into_word`'s twin; ManuallyDrop leaves its count alone.
    ManuallyDrop::new(unsafe { TaskRef::from_word(NonNull::new_unchecked(data.cast_mut())) })
}

unsafe fn waker_clone(data: *const ()) -> RawWaker {
    // SAFETY: RawWaker's contract hands us the live data word of a waker.
    let task = unsafe { borrow(data) };
    RawWaker::new(
        TaskRef::clone(&task).into_word().as_ptr().cast_const(),
        &WAKER,
    )
}

unsafe fn waker_wake(data: *const ()) {
    // SAFETY: as above; this call consumes the waker, so its count is dropped here.
    wake::wake(&ManuallyDrop::into_inner(unsafe { borrow(data) }));
}

unsafe fn waker_wake_by_ref(data: *const ()) {
    // SAFETY: as in `waker_clone`.
    let task = unsafe { borrow(data) };
    wake::wake(&task);
}

unsafe fn waker_drop(data: *const ()) {
    // SAFETY: as in `waker_wake`.
    drop(ManuallyDrop::into_inner(unsafe { borrow(data) }));
}
