//! A family of greenlets: one line of control that its members pass to each other over a trampoline.
//!
//! The code of a task (or of a thread outside tasks) that runs in no greenlet is the family's root. When
//! it switches, it runs the trampoline: a loop on the root's own stack that resumes whichever member is
//! current. A member that switches makes another one current and suspends into that loop; so any member
//! can switch to any other, and the root's switch returns when a member names the root.
//!
//! Invariants: `current` names the member that runs, or is about to; every other living member is
//! suspended or has not started. `mail` and `left` are full exactly from a member's leaving to the
//! arrival at the next one. A member's coroutine is the outermost of its chain (see `ambient`), so
//! generators that were running when it was left are found running when it is switched to again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem;
use std::rc::{Rc, Weak};
use std::thread;

use super::ambient::{self, Head, Obstacle};
use super::engine::{Engine, Step};
use super::error::SwitchError;
use super::thrown::GreenletExit;
use super::unwinding::{self, Payload};
use super::value::Value;
use crate::base::finally::Finally;

/// How control came to a greenlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceKind {
    /// With a value.
    Switch,
    /// With an error, thrown in or left by a child that died of it.
    Throw,
}

/// What a switch delivers.
pub(super) enum Parcel {
    Value(Value),
    Throw(Payload),
}

/// How a finished body's payload is delivered: an exit is a value.
impl From<Payload> for Parcel {
    fn from(payload: Payload) -> Parcel {
        match payload.downcast::<GreenletExit>() {
            Ok(exit) => Parcel::Value(Value::new(*exit)),
            Err(payload) => Parcel::Throw(payload),
        }
    }
}

impl Parcel {
    /// What an error gives back.
    fn into_any(self) -> Box<dyn std::any::Any> {
        match self {
            Parcel::Value(value) => value.into_any(),
            Parcel::Throw(payload) => payload,
        }
    }
}

/// A member's coroutine: parcels go by the family's mail, nothing comes out but the end.
pub(super) type Body = Engine<(), (), Value>;

/// One member. The handles and its children hold it.
pub(super) struct Node {
    pub(super) id: u64,
    /// `None` for the root alone.
    parent: RefCell<Option<Rc<Node>>>,
    is_dead: Cell<bool>,
    /// Of its chain; the root's is outside of all coroutines.
    head: Head,
    /// `None` for the root, and while the node is being dropped.
    body: Option<Body>,
}

impl Node {
    pub(super) fn new(body: Body, parent: Rc<Node>) -> Rc<Node> {
        Rc::new(Node {
            id: body.id(),
            parent: RefCell::new(Some(parent)),
            is_dead: Cell::new(false),
            head: body.link().head(),
            body: Some(body),
        })
    }

    fn root() -> Rc<Node> {
        Rc::new(Node {
            id: ambient::next_id(),
            parent: RefCell::new(None),
            is_dead: Cell::new(false),
            head: Head::NONE,
            body: None,
        })
    }

    pub(super) fn is_root(&self) -> bool {
        self.body.is_none()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.get()
    }

    pub(super) fn has_started(&self) -> bool {
        self.body.as_ref().is_none_or(Engine::has_started)
    }

    pub(super) fn parent(&self) -> Option<Rc<Node>> {
        self.parent.borrow().clone()
    }

    pub(super) fn set_parent(&self, parent: Rc<Node>) {
        // Dropped after the borrow: it may be the last of the old parent.
        let _old = self.parent.replace(Some(parent));
    }

    /// This node, or its nearest living ancestor. The root never dies.
    fn nearest_live(self: &Rc<Node>) -> Rc<Node> {
        let mut node = Rc::clone(self);
        while node.is_dead() {
            node = node.parent().expect("the root does not die");
        }
        node
    }

    /// Whether the running code may switch away from this node: it is not run from inside the drop of
    /// another one, nor inside a scope that must not be left.
    fn may_leave(&self) -> bool {
        match &self.body {
            Some(body) => body.link().may_suspend(),
            None => ambient::is_outside_greenlets(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The child first, then its ancestors as far as nobody else holds them; a loop, because a long
        // line of them would be a deep recursion.
        drop(self.body.take());
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Rc::into_inner) {
            drop(node.body.take());
            next = node.parent.take();
        }
    }
}

/// What runs after each switch while tracing: the kind, who was left, who runs.
type Hook = Rc<dyn Fn(TraceKind, &Rc<Node>, &Rc<Node>)>;

/// The greenlets of one task, or of one thread outside tasks.
pub(super) struct Family {
    /// As the running chain names it.
    id: u64,
    current: RefCell<Rc<Node>>,
    /// The head of the one that runs. A chain that begins there belongs to its own code, and not to a
    /// destructor of another member that is being dropped, and is neither pinned nor in a generator.
    running: Cell<Head>,
    /// What the one that is switched to gets. `None`: something is thrown.
    mail: Cell<Option<Value>>,
    /// What is thrown into the one that is switched to.
    thrown: Cell<Option<Payload>>,
    /// Who was left last. The one that runs now lets go of it: that may be the end of it, and then its
    /// destructors belong to the member that runs.
    left: Cell<Option<Rc<Node>>>,
    hook: RefCell<Option<Hook>>,
    is_tracing: Cell<bool>,
}

/// A family that somebody has a handle of, and a hold on it while it is traced.
type Known = (Weak<Family>, Option<Rc<Family>>);

thread_local! {
    /// Families that somebody has a handle of, by number.
    static FAMILIES: RefCell<HashMap<u64, Known>> = RefCell::default();
    static LAST_FAMILY: Cell<u64> = const { Cell::new(0) };
}

impl Family {
    /// The family of the running code.
    pub(super) fn running() -> Rc<Family> {
        let id = match ambient::family() {
            0 => {
                let id = LAST_FAMILY.get() + 1;
                LAST_FAMILY.set(id);
                ambient::set_family(id);
                id
            }
            id => id,
        };
        let known =
            FAMILIES.try_with(|all| all.borrow().get(&id).and_then(|(weak, _)| weak.upgrade()));
        if let Ok(Some(family)) = known {
            return family;
        }
        let family = Rc::new(Family {
            id,
            current: RefCell::new(Node::root()),
            running: Cell::new(Head::NONE),
            mail: Cell::new(None),
            thrown: Cell::new(None),
            left: Cell::new(None),
            hook: RefCell::new(None),
            is_tracing: Cell::new(false),
        });
        // While the thread exits the family stays unknown, and no switch in it works.
        let _ =
            FAMILIES.try_with(|all| all.borrow_mut().insert(id, (Rc::downgrade(&family), None)));
        family
    }

    pub(super) fn current(&self) -> Rc<Node> {
        self.current.borrow().clone()
    }

    pub(super) fn set_hook(self: &Rc<Family>, hook: Option<Hook>) {
        self.is_tracing.set(hook.is_some());
        let held = hook.is_some().then(|| Rc::clone(self));
        let _old_hook = self.hook.replace(hook);
        // Taken out of the borrow before it is dropped.
        let _old_hold = FAMILIES.try_with(|all| {
            let mut all = all.borrow_mut();
            all.get_mut(&self.id)
                .map(|known| std::mem::replace(&mut known.1, held))
        });
    }

    /// Delivers `value` to `node`, or to its nearest living ancestor, and waits for the answer.
    ///
    /// Inlined into the body for speed: the switch is a return to the processor's branch predictor, so
    /// any call between the body's own frame and the switch is mispredicted twice.
    #[inline(always)]
    pub(super) fn switch(&self, node: &Rc<Node>, value: Value) -> Result<Value, SwitchError> {
        let me = self.running.get();
        let usual = !ambient::exited()
            && ambient::family() == self.id
            && ambient::head() == me
            && node.head != me
            && !node.is_dead()
            && !thread::panicking();
        if !usual {
            return self.transfer(node, Parcel::Value(value));
        }
        fill(&self.mail, value);
        self.name(Rc::clone(node));
        if me == Head::NONE {
            self.trampoline();
        } else {
            ambient::leave_greenlet();
        }
        self.arrive().or_else(raise)
    }

    /// The whole of a switch: of a throw, from inside a generator, in the midst of an unwinding, or one
    /// that does not take place.
    #[cold]
    pub(super) fn transfer(&self, node: &Rc<Node>, parcel: Parcel) -> Result<Value, SwitchError> {
        let me = self.current();
        let (target, parcel) = match self.examine(&me, node, parcel) {
            Ok(delivery) => delivery,
            Err(result) => return result,
        };
        // Not the node: a member that is left must not hold itself, for the last handle elsewhere ends it.
        let shared = me.body.as_ref().map(Engine::shared);
        drop(me);
        self.leave_for(target, parcel);
        match shared {
            Some(shared) => shared.link().suspend(()),
            None => self.trampoline(),
        }
        self.arrive().or_else(raise)
    }

    /// Makes `target` the current one.
    #[inline(always)]
    fn name(&self, target: Rc<Node>) {
        fill(&self.left, self.current.replace(target));
    }

    fn leave_for(&self, target: Rc<Node>, parcel: Parcel) {
        match parcel {
            Parcel::Value(value) => fill(&self.mail, value),
            Parcel::Throw(payload) => fill(&self.thrown, payload),
        }
        self.name(target);
    }

    /// Who really is to get what, or the result of a switch that does not take place.
    #[cold]
    fn examine(
        &self,
        me: &Rc<Node>,
        node: &Rc<Node>,
        mut parcel: Parcel,
    ) -> Result<(Rc<Node>, Parcel), Result<Value, SwitchError>> {
        if ambient::exited() {
            return Err(Err(SwitchError::ThreadExited(parcel.into_any())));
        }
        if ambient::family() != self.id {
            return Err(Err(SwitchError::ForeignFamily(parcel.into_any())));
        }
        let mut target = Rc::clone(node);
        if target.is_dead() {
            target = target.nearest_live();
            if let Parcel::Throw(payload) = parcel {
                parcel = payload.into();
            }
        }
        if Rc::ptr_eq(me, &target) {
            return Err(match parcel {
                Parcel::Value(value) => Ok(value),
                Parcel::Throw(payload) => raise(payload),
            });
        }
        if !me.may_leave() {
            let value = parcel.into_any();
            let obstacle = me.body.as_ref().and_then(|body| body.link().obstacle());
            return Err(Err(match obstacle {
                Some(Obstacle::Scope(scope)) => SwitchError::InScope { scope, value },
                _ => SwitchError::NotCurrent(value),
            }));
        }
        match (parcel, &target.body) {
            (Parcel::Throw(payload), Some(body)) if body.link().is_mid_unwind() => {
                Err(Err(SwitchError::Unwinding(payload)))
            }
            (parcel, _) => Ok((target, parcel)),
        }
    }

    /// Runs members until one of them names the root. On the root's stack.
    fn trampoline(&self) {
        loop {
            let node = self.current();
            self.running.set(node.head);
            let Some(body) = &node.body else { return };
            let entry = body.try_enter().expect("a living member is not running");
            let parcel = match entry.run(Some(())) {
                Step::Yielded(()) => continue,
                Step::Complete(value) => Parcel::Value(value),
                Step::Closed => Parcel::Value(Value::new(GreenletExit)),
                Step::Unwound(payload) => payload.into(),
            };
            node.is_dead.set(true);
            self.leave_for(node.nearest_live(), parcel);
        }
    }

    /// What whoever has just been switched to finds: a value, or what is to be thrown.
    #[inline(always)]
    pub(super) fn arrive(&self) -> Result<Value, Payload> {
        // Taken before anything else: what is dropped or called below may switch itself.
        let delivery = self.mail.take().ok_or_else(|| self.take_thrown());
        let left = self.left.take();
        if self.is_tracing.get() {
            self.trace(delivery.is_ok(), left.as_ref());
        }
        delivery
    }

    #[cold]
    fn take_thrown(&self) -> Payload {
        let thrown = self.thrown.take();
        thrown.expect("whoever leaves leaves something")
    }

    #[cold]
    fn trace(&self, is_value: bool, left: Option<&Rc<Node>>) {
        let hook = self.hook.borrow().clone();
        if let (Some(hook), Some(origin)) = (hook, left) {
            // A hook that panics is taken out, and its panic belongs to the target.
            let off = Finally::new(|| Family::running().set_hook(None));
            let kind = if is_value {
                TraceKind::Switch
            } else {
                TraceKind::Throw
            };
            hook(kind, origin, &self.current());
            off.cancel();
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // Taken out of the borrow before it is dropped; it holds nothing, or this would not be dropped.
        let _known = FAMILIES.try_with(|all| all.borrow_mut().remove(&self.id));
    }
}

/// Fills a cell that is empty, without looking for something to drop.
#[inline(always)]
fn fill<T>(cell: &Cell<Option<T>>, value: T) {
    let old = cell.replace(Some(value));
    debug_assert!(old.is_none(), "what nobody took");
    mem::forget(old);
}

/// What a switch does at its receiver when something is thrown.
#[cold]
fn raise(payload: Payload) -> Result<Value, SwitchError> {
    if unwinding::is_unwinding() {
        return Err(SwitchError::Thrown(payload));
    }
    unwinding::throw(payload)
}
