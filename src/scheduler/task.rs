//! A task in memory: one allocation with its header, its closure and its outcome, held by counted references.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::blocks;
use super::deque::Word;
use super::header::{Header, Spec, TaskId};

/// What runs as a task: a closure and the place of its outcome.
///
/// # Safety
///
/// `run` and `refuse` are called from whichever thread has claimed the task, while
/// others hold references too: the implementor answers for what they may touch. Freeing the allocation
/// drops `Self` wherever the last reference happens to go away, so `Self`'s drop must not run user code.
pub(crate) unsafe trait Body {
    /// Runs the closure to its end, on the task's own stack.
    ///
    /// # Safety
    ///
    /// The task was made with this body, and the call comes at most once, by the one that claimed it.
    unsafe fn run(task: &TaskRef);

    /// Ends the task on the caller's stack: none of its own could be had, or (`None`) it came too late.
    ///
    /// # Safety
    ///
    /// As for `run`, and instead of it.
    unsafe fn refuse(task: &TaskRef, why: Option<std::io::Error>);

    /// Tells whoever joins the task that it will never end, if it has not.
    ///
    /// # Safety
    ///
    /// The task was made with this body; the caller is its home worker; its `run` is suspended and is never
    /// resumed.
    unsafe fn leak(task: &TaskRef);
}

struct VTable {
    run: unsafe fn(&TaskRef),
    refuse: unsafe fn(&TaskRef, Option<std::io::Error>),
    leak: unsafe fn(&TaskRef),
    free: unsafe fn(NonNull<Prefix>),
}

/// What every task begins with, whatever its body.
#[repr(C)]
struct Prefix {
    refs: AtomicUsize,
    vtable: &'static VTable,
    header: Header,
}

/// `repr(C)`: a pointer to it is a pointer to its prefix.
#[repr(C)]
struct Allocation<B> {
    prefix: Prefix,
    body: B,
}

/// A counted reference to a task.
pub(crate) struct TaskRef {
    /// Points to a live allocation of which this value owns one count.
    ptr: NonNull<Prefix>,
}

// SAFETY: the header is made of atomics and immutable `Send + Sync` data; the body is touched only by its
// claimer and by the rules of its own `unsafe impl Body`; freeing runs no user code.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Makes a task with two references: the queue's, which becomes the runner's when the task is claimed,
    /// and the handle's. So none costs an increment.
    #[inline]
    pub(crate) fn new_pair<B: Body>(id: TaskId, spec: Spec, body: B) -> (TaskRef, TaskRef) {
        let prefix = Prefix {
            refs: AtomicUsize::new(2),
            vtable: &VTable {
                run: B::run,
                refuse: B::refuse,
                leak: B::leak,
                free: free::<B>,
            },
            header: Header::new(id, spec),
        };
        let ptr: NonNull<Prefix> =
            blocks::allocate(const { Layout::new::<Allocation<B>>() }).cast();
        // SAFETY: fresh memory of the right layout.
        unsafe {
            std::ptr::write(
                ptr.as_ptr() as *mut Allocation<B>,
                Allocation { prefix, body },
            )
        };
        (TaskRef { ptr }, TaskRef { ptr })
    }

    /// The body, for whoever knows its type.
    ///
    /// # Safety
    ///
    /// `B` must be the type the task was made with, or a `repr(C)` prefix of it with no greater
    /// alignment requirement on its place.
    #[inline]
    pub(crate) unsafe fn body<B>(&self) -> &B {
        // SAFETY: the caller knows the type; the allocation lives as long as `self`.
        unsafe { &(*(self.ptr.as_ptr() as *const Allocation<B>)).body }
    }

    /// The same reference again, without a count of its own.
    ///
    /// # Safety
    ///
    /// It is not used after the last counted reference is gone.
    #[inline]
    pub(crate) unsafe fn alias(&self) -> ManuallyDrop<TaskRef> {
        ManuallyDrop::new(TaskRef { ptr: self.ptr })
    }

    /// Runs the body.
    ///
    /// # Safety
    ///
    /// The caller has won the claim of this task and calls neither this nor `refuse` again.
    #[inline]
    pub(crate) unsafe fn run(&self) {
        // SAFETY: the vtable belongs to the body's type; the caller upholds the rest.
        unsafe { (self.prefix().vtable.run)(self) }
    }

    /// Ends the task with an error instead of running it.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    pub(crate) unsafe fn refuse(&self, why: Option<std::io::Error>) {
        // SAFETY: as in `run`.
        unsafe { (self.prefix().vtable.refuse)(self, why) }
    }

    /// Gives the task up, suspended as it is.
    ///
    /// # Safety
    ///
    /// As for [`Body::leak`].
    pub(crate) unsafe fn leak(&self) {
        // SAFETY: as in `run`.
        unsafe { (self.prefix().vtable.leak)(self) }
    }

    #[inline]
    fn prefix(&self) -> &Prefix {
        // SAFETY: `ptr` is live as long as `self` holds its count.
        unsafe { self.ptr.as_ref() }
    }

    fn into_ptr(self) -> NonNull<Prefix> {
        let ptr = self.ptr;
        std::mem::forget(self);
        ptr
    }

    /// Whether both name the same task.
    pub(crate) fn same(&self, other: &TaskRef) -> bool {
        self.ptr == other.ptr
    }
}

impl Word for TaskRef {
    #[inline]
    fn as_word(&self) -> NonNull<()> {
        self.ptr.cast()
    }

    #[inline]
    fn into_word(self) -> NonNull<()> {
        self.into_ptr().cast()
    }

    #[inline]
    unsafe fn from_word(word: NonNull<()>) -> Self {
        TaskRef { ptr: word.cast() }
    }
}

impl std::ops::Deref for TaskRef {
    type Target = Header;
    #[inline]
    fn deref(&self) -> &Header {
        &self.prefix().header
    }
}

impl Clone for TaskRef {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: a new reference is made from one that exists.
        let before = self.prefix().refs.fetch_add(1, Ordering::Relaxed);
        // As in std: an overflow can come only from forgotten references, and would end in a use after
        // free.
        if before > isize::MAX as usize {
            std::process::abort();
        }
        TaskRef { ptr: self.ptr }
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let refs = &self.prefix().refs;
        // Who holds the last reference is alone: nobody can make another, so the step down to zero is
        // spared. Acquire: pairs with the other holders' releases.
        if refs.load(Ordering::Acquire) == 1
            // Release: what this holder did happens before the free.
            || refs.fetch_sub(1, Ordering::Release) == 1
        {
            // Acquire: as above, for the second way in. A load and no fence, which ThreadSanitizer does not
            // know: it reads the end of the chain of all the others' releases.
            let _none = refs.load(Ordering::Acquire);
            // SAFETY: that was the last count; the vtable belongs to the allocation's type.
            unsafe { (self.prefix().vtable.free)(self.ptr) }
        }
    }
}

impl std::fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// # Safety
///
/// `ptr` was made by `new_pair::<B>` and no count is left.
unsafe fn free<B: Body>(ptr: NonNull<Prefix>) {
    // SAFETY: the caller's promise: nobody else looks at the value any more.
    unsafe { std::ptr::drop_in_place(ptr.as_ptr() as *mut Allocation<B>) };
    // SAFETY: `new_pair` had it for this layout.
    unsafe { blocks::release(ptr.cast(), const { Layout::new::<Allocation<B>>() }) };
}
