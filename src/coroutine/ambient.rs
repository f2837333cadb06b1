//! Which coroutine the running code is inside of: the thread's chain, and the door that `suspend` uses.
//!
//! The chain is a list of [`Header`]s, innermost first, linked by `parent`. `HEAD` points to the
//! innermost. Whoever resumes a coroutine installs its head before the switch and puts its own back
//! after it; so `HEAD` always describes the code that runs, and the parents of a suspended coroutine
//! mean nothing. A scheduler swaps the whole chain with [`exchange`] when it swaps tasks.
//!
//! A pinned head has its lowest bit set: inside a `timeout` or a `scope` the coroutine must not be left.
//! So it differs from every header's address, and the common path of `suspend` pays nothing for it.
//!
//! What the unsafe blocks here stand on, in one place:
//! 1. Every header on the chain belongs to a coroutine that is running (it has been resumed and has
//!    not suspended since). Its control block is held by an `Rc` in the root frame of its own stack.
//! 2. The yielder of a running coroutine lies at the base of its stack and is valid while it runs.
//! 3. A header is the first field of its `#[repr(C)]` `Link<In, Yield>`, and its signature names these
//!    two types when both are `'static`, and matches no types otherwise; a greenlet's are `()` and `()`.
//! 4. A slot is full from the side that gives to the side that takes: nothing runs between the filling
//!    and the switch, nor between the switch and the taking. Whether there is an input at all the phase
//!    says.
#![allow(unsafe_code)] // thread-wide pointers to what lies on coroutine stacks

use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::raw::{RawCoroutine, RawState, RawYielder};
use super::signature::Signature;
use super::slot::Slot;
use super::thrown::{Order, Thrown};
use super::unwinding::{self, State};

thread_local! {
    /// The innermost running coroutine, or null.
    static HEAD: Cell<*const Header> = const { Cell::new(ptr::null()) };
    /// The greenlet family of the running chain; 0 before it has one.
    static FAMILY: Cell<u64> = const { Cell::new(0) };
    /// Set by the sentinel: thread-locals of this thread are dying.
    static EXITED: Cell<bool> = const { Cell::new(false) };
    /// Registered at the first coroutine, so that thread-locals older than that outlive it.
    static SENTINEL: Sentinel = const { Sentinel };
}

struct Sentinel;

impl Drop for Sentinel {
    fn drop(&mut self) {
        EXITED.set(true);
    }
}

/// Called where coroutines are made.
pub(super) fn register_sentinel() {
    // After the destructor has run there is nothing to register: `EXITED` is set for good.
    let _ = SENTINEL.try_with(|_| ());
}

/// Whether this thread has begun to destroy its thread-locals.
#[inline(always)]
pub(super) fn exited() -> bool {
    EXITED.get()
}

/// A number for each coroutine of the process, to tell them apart in reports.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: only distinctness matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The innermost coroutine and the greenlet family of one line of control: of a task, or of a thread
/// outside tasks. It owns nothing.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) struct Chain {
    head: *const Header,
    family: u64,
}

#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
impl Chain {
    /// No coroutine, no greenlet: how a task starts, and a barrier that no suspend or switch crosses.
    pub(crate) const EMPTY: Chain = Chain {
        head: ptr::null(),
        family: 0,
    };
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("in_coroutine", &!self.head.is_null())
            .field("family", &self.family)
            .finish()
    }
}

/// Installs `new` as the chain of this thread and returns the one before.
///
/// The caller sees to it that a chain goes back only to the line of control that it was taken from.
#[inline(always)]
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) fn exchange(new: Chain) -> Chain {
    Chain {
        head: HEAD.replace(new.head),
        family: FAMILY.replace(new.family),
    }
}

/// Keeps the innermost coroutine from suspending, and a greenlet from being switched away from, while
/// the result lives; `what` names the scope in the message. Coroutines resumed inside may suspend.
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) fn forbid_suspend(what: &'static str) -> Pin {
    let old = HEAD.get();
    let old_what = innermost(old).map(|header| {
        HEAD.set(old.map_addr(|address| address | PINNED));
        header.pinned.replace(what)
    });
    Pin { old, old_what }
}

/// A stretch of code on one stack that no suspension leaves.
#[cfg_attr(not(feature = "runtime"), allow(dead_code))]
pub(crate) struct Pin {
    old: *const Header,
    old_what: Option<&'static str>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let (Some(header), Some(what)) = (innermost(self.old), self.old_what) {
            header.pinned.set(what);
            HEAD.set(self.old);
        }
    }
}

/// The bit of `HEAD` and of a `parent` that says: pinned.
const PINNED: usize = 1;

#[inline(always)]
fn is_pinned(head: *const Header) -> bool {
    head.addr() & PINNED != 0
}

#[inline(always)]
fn unpinned(head: *const Header) -> *const Header {
    head.map_addr(|address| address & !PINNED)
}

/// The header that a link of the chain points to.
#[inline(always)]
fn innermost<'a>(head: *const Header) -> Option<&'a Header> {
    // SAFETY: a link of the running chain is null or points to a running coroutine's header (fact 1),
    // and no caller holds the reference over the end of that coroutine.
    unsafe { unpinned(head).as_ref() }
}

/// The greenlet family of the running chain; 0 if it has none yet.
#[inline(always)]
pub(super) fn family() -> u64 {
    FAMILY.get()
}

/// Gives the running chain its greenlet family.
pub(super) fn set_family(id: u64) {
    FAMILY.set(id);
}

/// What keeps a coroutine from being left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The code stands inside of this scope, see [`forbid_suspend`].
    Scope(&'static str),
    /// The code does not run inside that coroutine.
    Elsewhere,
}

/// How far a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not begun.
    Fresh,
    Suspended,
    /// Resumed with an order, or begun without an input; or somebody has the right to resume it.
    Running,
    /// Resumed with an input.
    RunningWithInput,
    Finished,
}

/// What the chain knows of one coroutine, whatever its types.
pub(super) struct Header {
    /// Never changes.
    signature: &'static Signature,
    /// Written by the resumer alone; the body learns from it whether there is an input.
    phase: Cell<Phase>,
    /// The next outer coroutine; written at each resume, meaningless while suspended.
    parent: Cell<*const Header>,
    /// The innermost coroutine when this one is resumed: itself, unless it was suspended from the
    /// stack of an inner one that goes on running then. Set once the link has its address.
    top: Cell<*const Header>,
    /// Null before the start, then the base of the stack for good.
    yielder: Cell<*const RawYielder>,
    /// What pinned it, for the message.
    pinned: Cell<&'static str>,
    /// Suspended by a call that would unwind, while the thread was unwinding: nothing may be thrown.
    mid_unwind: Cell<bool>,
    /// Whether the resumer unwound at the last resumption for which it was not certain that it did not.
    resumer: Cell<State>,
    /// What to throw instead of an input.
    order: Cell<Option<Order>>,
}

impl Header {
    /// The caller has seen that this coroutine is on the chain.
    #[inline(always)]
    fn switch_out(&self) {
        // SAFETY: this coroutine is on the running chain, so it is running and its yielder is valid
        // (facts 1 and 2); it stays so until the switch below, and again after it.
        let yielder = unsafe { &*self.yielder.get() };
        yielder.suspend(0);
    }

    #[inline(always)]
    fn has_input(&self) -> bool {
        self.phase.get() == Phase::RunningWithInput
    }

    #[cold]
    fn obey(&self) -> ! {
        unwinding::throw(self.expect_order().into_payload(self.identity()))
    }

    fn expect_order(&self) -> Order {
        self.order
            .take()
            .expect("resumed with an input or an order")
    }

    /// Names this coroutine in its own close payload: unique while it lives.
    fn identity(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

/// The two sides' shared cells: values travel here, the switch itself carries nothing.
#[repr(C)]
pub(super) struct Link<In, Yield> {
    /// First, so that a pointer to the link is a pointer to the header (fact 3).
    header: Header,
    /// From the resumer to the body.
    input: Slot<In>,
    /// From the body to the resumer.
    output: Slot<Yield>,
}

impl<In, Yield> Link<In, Yield> {
    pub(super) fn new(signature: &'static Signature) -> Self {
        Link {
            header: Header {
                signature,
                phase: Cell::new(Phase::Fresh),
                parent: Cell::new(ptr::null()),
                top: Cell::new(ptr::null()),
                yielder: Cell::new(ptr::null()),
                pinned: Cell::new(""),
                mid_unwind: Cell::new(false),
                resumer: Cell::new(State::CALM),
                order: Cell::new(None),
            },
            input: Slot::empty(),
            output: Slot::empty(),
        }
    }

    #[inline(always)]
    fn as_header(&self) -> *const Header {
        // From the whole link: the pointer is cast back to it.
        ptr::from_ref(self).cast()
    }

    /// Called by the root frame before the body.
    pub(super) fn started(&self, yielder: &RawYielder) {
        self.header.yielder.set(yielder);
    }

    /// Called when the link has come to where it stays.
    pub(super) fn settle(&self) {
        self.header.top.set(self.as_header());
    }

    /// Where the chain ends while this runs outside of inner coroutines and pins.
    pub(super) fn head(&self) -> Head {
        Head(self.as_header())
    }

    #[inline(always)]
    pub(super) fn phase(&self) -> Phase {
        self.header.phase.get()
    }

    #[inline(always)]
    pub(super) fn set_phase(&self, phase: Phase) {
        self.header.phase.set(phase);
    }

    /// The resumer's side: runs the body until it suspends, with the value that it yields, or ends.
    ///
    /// # Safety
    ///
    /// `raw` is the coroutine whose root frame holds this link.
    #[inline(always)]
    pub(super) unsafe fn resume(&self, raw: &mut RawCoroutine) -> Option<Yield> {
        if thread::panicking() {
            self.header.resumer.set(State::now());
        }
        let outer = HEAD.replace(self.header.top.get());
        self.header.parent.set(outer);
        let state = raw.resume();
        HEAD.set(outer);
        match state {
            RawState::Suspended(_) => {
                self.set_phase(Phase::Suspended);
                // SAFETY: a body suspends by `suspend` and its like, which fill this before they switch
                // (fact 4).
                Some(unsafe { self.output.take() })
            }
            RawState::Finished => {
                self.set_phase(Phase::Finished);
                None
            }
        }
    }

    /// For a body that nobody else may resume meanwhile.
    #[inline(always)]
    pub(super) fn put_input(&self, value: In) {
        self.set_phase(Phase::RunningWithInput);
        self.input.put(value);
    }

    /// The body's side of [`put_input`](Self::put_input).
    ///
    /// # Safety
    ///
    /// Called once after each switch to the body.
    #[inline(always)]
    pub(super) unsafe fn take_input(&self) -> Option<In> {
        // SAFETY: the phase says that it was filled for this resumption (fact 4), and the caller that it
        // has not been emptied since.
        self.header
            .has_input()
            .then(|| unsafe { self.input.take() })
    }

    pub(super) fn put_order(&self, order: Order) {
        self.header.order.set(Some(order));
    }

    pub(super) fn take_order(&self) -> Option<Order> {
        self.header.order.take()
    }

    /// What the resumer was when it resumed this: what the body has noted since does not hold for it.
    pub(super) fn resumer(&self) -> State {
        self.header.resumer.replace(State::CALM)
    }

    /// Whether an order to unwind would hit a destructor in the middle of an unwind.
    pub(super) fn is_mid_unwind(&self) -> bool {
        self.header.mid_unwind.get()
    }

    /// Names this coroutine in its own close payload: unique while it lives.
    pub(super) fn identity(&self) -> usize {
        self.header.identity()
    }

    /// Whether the code that asks runs inside this coroutine and may leave it: no greenlet and no pin
    /// lies in between.
    pub(super) fn may_suspend(&self) -> bool {
        self.obstacle().is_none()
    }

    /// Why this coroutine cannot be suspended from here.
    #[cold]
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let mut next = HEAD.get();
        while let Some(header) = innermost(next) {
            if is_pinned(next) {
                return Some(Obstacle::Scope(header.pinned.get()));
            }
            if ptr::eq(header, self.as_header()) {
                return None;
            }
            if header.signature.greenlet {
                break;
            }
            next = header.parent.get();
        }
        Some(Obstacle::Elsewhere)
    }

    /// Gives `value` to the resumer and waits for an input; unwinds if there is an order instead.
    #[inline(always)]
    #[track_caller]
    pub(super) fn suspend(&self, value: Yield) -> In {
        if HEAD.get() == self.as_header() && !thread::panicking() {
            return self.suspend_at_once(value);
        }
        self.suspend_slowly(value, true);
        // SAFETY: the switch is just over.
        unsafe { self.take_input() }.unwrap_or_else(|| self.header.obey())
    }

    /// The caller has seen that the chain begins here, and that nothing unwinds.
    #[inline(always)]
    fn suspend_at_once(&self, value: Yield) -> In {
        self.output.put(value);
        self.header.switch_out();
        // SAFETY: the switch is just over.
        unsafe { self.take_input() }.unwrap_or_else(|| self.header.obey())
    }

    /// Like `suspend`, and hands an order over instead of obeying it.
    #[track_caller]
    pub(super) fn try_suspend(&self, value: Yield) -> Result<In, Thrown> {
        self.suspend_slowly(value, false);
        // SAFETY: the switch is just over.
        match unsafe { self.take_input() } {
            Some(input) => Ok(input),
            None => Err(Thrown::new(self.header.expect_order(), self.identity())),
        }
    }

    /// From the stack of an inner coroutine, or while the thread unwinds.
    #[cold]
    #[track_caller]
    fn suspend_slowly(&self, value: Yield, unwinds: bool) {
        let me = &self.header;
        match self.obstacle() {
            None => {}
            Some(Obstacle::Scope(what)) => panic!("suspend inside of {what}"),
            Some(Obstacle::Elsewhere) => {
                panic!("a yielder was used outside of its running coroutine")
            }
        }
        self.output.put(value);
        let top = HEAD.get();
        me.top.set(top);
        // In doubt (the unwind may be the resumer's) it counts as ours: a stack that is leaked is better
        // than a process that aborts.
        let state = State::now();
        me.mid_unwind.set(unwinds && state.is_unwinding());
        unwinding::suspended_amid(state, self.resumer(), || me.switch_out());
        me.mid_unwind.set(false);
        me.top.set(self.as_header());
    }
}

impl<In, Yield> fmt::Debug for Link<In, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("types", &(self.header.signature.describe)())
            .field("mid_unwind", &self.header.mid_unwind.get())
            .finish_non_exhaustive()
    }
}

/// Where a chain begins, to be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Head(*const Header);

impl Head {
    /// Of a line of control that is in no coroutine.
    pub(super) const NONE: Head = Head(ptr::null());
}

/// Where the chain of the running code begins.
#[inline(always)]
pub(super) fn head() -> Head {
    Head(HEAD.get())
}

/// Leaves the greenlet that the running code stands in directly, unpinned, for whoever resumed it; unwinds
/// if it comes back with an order.
///
/// # Panics
///
/// Elsewhere.
#[inline(always)]
pub(super) fn leave_greenlet() {
    let head = HEAD.get();
    let greenlet = innermost(head).filter(|header| header.signature.greenlet);
    assert!(greenlet.is_some(), "not in a greenlet");
    // SAFETY: the signature says that this header begins the link of a greenlet; for the rest see
    // `suspend`.
    let link = unsafe { &*unpinned(head).cast::<Link<(), ()>>() };
    link.suspend_at_once(())
}

/// Whether the code that asks is outside of every greenlet of its chain.
pub(super) fn is_outside_greenlets() -> bool {
    let mut next = HEAD.get();
    while let Some(header) = innermost(next) {
        if header.signature.greenlet {
            return false;
        }
        next = header.parent.get();
    }
    true
}

/// Suspends the innermost coroutine or generator from any depth of calls, without a yielder.
///
/// It gives `value` to whoever resumed it and returns what the next `resume` or `send` brings. So a
/// plain function becomes a coroutine by a callback that suspends, though it knows nothing of it. Both
/// types must be exactly those of the innermost coroutine; they are `'static` because they are compared
/// at run time. A body that borrows is suspended by its [`Yielder`](super::Yielder).
///
/// # Panics
///
/// Outside of a coroutine, and when `In` and `Yield` are not the types of the innermost one.
/// The payload of an order to close, or of what was thrown in, unwinds from here.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::{suspend, Generator};
///
/// fn calc(n: u32, each: impl Fn(u32)) -> u32 {
///     (0..n).map(|i| { each(i); i }).sum()
/// }
///
/// let pauses = Generator::<u32, (), u32>::new(|_| calc(10, suspend::<(), u32>));
/// assert_eq!(pauses.by_ref().count(), 10);
/// assert_eq!(pauses.take_return(), Some(45));
/// ```
#[inline(always)]
#[track_caller]
pub fn suspend<In: 'static, Yield: 'static>(value: Yield) -> In {
    let head = HEAD.get();
    match innermost(head) {
        Some(header) if header.signature.fits::<In, Yield>() => {
            // SAFETY: the signature says that this header begins a `Link<In, Yield>` (fact 3), the
            // pointer was made from the whole link, and the link lives at least until the body that
            // calls here has ended (fact 1).
            let link = unsafe { &*unpinned(head).cast::<Link<In, Yield>>() };
            link.suspend(value)
        }
        innermost => refuse::<In, Yield>(innermost),
    }
}

#[cold]
#[track_caller]
fn refuse<In, Yield>(innermost: Option<&Header>) -> ! {
    let (input, yielded) = (std::any::type_name::<In>(), std::any::type_name::<Yield>());
    match innermost {
        None => panic!("suspend::<{input}, {yielded}> outside of a coroutine"),
        Some(header) => panic!(
            "suspend::<{input}, {yielded}> inside a coroutine that takes {}",
            (header.signature.describe)()
        ),
    }
}
