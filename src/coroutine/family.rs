//! A family of greenlets: one line of control that its members pass to each other over a trampoline.
//!
//! The code of a task (or of a thread outside tasks) that runs in no greenlet is the family's root. When
//! it switches, it runs the trampoline: a loop on the root's own stack that resumes whichever member is
//! next. A member that switches says who is next and suspends into that loop; so any member can switch
//! to any other, and the root's switch returns when a member names the root.
//!
//! Invariants: exactly one member runs, and `current` names it; every other living member is suspended
//! or has not started. `next` is full exactly between a member's leaving and the loop's taking it.
//! A member's coroutine is the outermost of its chain (see `ambient`), so generators that were running
//! when it was left are found running when it is switched to again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::ambient::{self, Obstacle};
use super::engine::{Engine, Shared, Step};
use super::error::SwitchError;
use super::greenlet::{GreenletExit, TraceKind};
use super::thrown::Payload;
use super::unwinding;
use super::value::Value;

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

/// A member's coroutine: parcels go in, nothing comes out but the end.
pub(super) type Body = Engine<Parcel, (), Value>;

/// One member. The handles and its children hold it.
pub(super) struct Node {
    pub(super) id: u64,
    /// `None` for the root alone.
    parent: RefCell<Option<Rc<Node>>>,
    is_dead: Cell<bool>,
    /// `None` for the root, and while the node is being dropped.
    body: Option<Body>,
}

impl Node {
    pub(super) fn new(body: Body, parent: Rc<Node>) -> Rc<Node> {
        Rc::new(Node {
            id: body.id(),
            parent: RefCell::new(Some(parent)),
            is_dead: Cell::new(false),
            body: Some(body),
        })
    }

    fn root() -> Rc<Node> {
        Rc::new(Node {
            id: ambient::next_id(),
            parent: RefCell::new(None),
            is_dead: Cell::new(false),
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
    #[inline]
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

/// How a switch goes on.
enum Departure {
    /// The caller is a member and suspends into the trampoline.
    Member(Rc<Shared<Parcel, (), Value>>),
    /// The caller is the root and runs the trampoline.
    Root,
    /// There is no switch, and this is what the call returns.
    Stay(Result<Value, SwitchError>),
}

/// The greenlets of one task, or of one thread outside tasks.
pub(super) struct Family {
    /// As the running chain names it.
    id: u64,
    current: RefCell<Rc<Node>>,
    /// Who is to run next.
    next: Cell<Option<Rc<Node>>>,
    /// What the root gets.
    mail: Cell<Option<Parcel>>,
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
            next: Cell::new(None),
            mail: Cell::new(None),
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

    /// Delivers `parcel` to `node`, or to its nearest living ancestor, and waits for the answer.
    ///
    /// Inlined into the body for speed: the switch is a return to the processor's branch predictor, so
    /// any call between the body's own frame and the switch is mispredicted twice.
    #[inline(always)]
    pub(super) fn transfer(&self, node: &Rc<Node>, parcel: Parcel) -> Result<Value, SwitchError> {
        let parcel = match self.depart(node, parcel) {
            Departure::Member(shared) => shared.link().suspend(()),
            Departure::Root => self.trampoline(),
            Departure::Stay(result) => return result,
        };
        self.arrive(&parcel);
        open(parcel)
    }

    /// All of a switch up to the leaving.
    fn depart(&self, node: &Rc<Node>, parcel: Parcel) -> Departure {
        let current = self.current.borrow();
        let me = &*current;
        let usual = !ambient::exited()
            && ambient::family() == self.id
            && !node.is_dead()
            && !Rc::ptr_eq(me, node)
            && me.may_leave()
            && matches!(parcel, Parcel::Value(_));
        if !usual {
            let me = Rc::clone(me);
            drop(current);
            return match self.examine(&me, node, parcel) {
                Ok((target, parcel)) => self.leave(&me, target, parcel),
                Err(result) => Departure::Stay(result),
            };
        }
        self.leave(me, Rc::clone(node), parcel)
    }

    #[inline]
    fn leave(&self, me: &Node, target: Rc<Node>, parcel: Parcel) -> Departure {
        self.name_next(target, parcel);
        match &me.body {
            // Not the node: a member that is left must not hold itself, for the last handle elsewhere
            // ends it.
            Some(body) => Departure::Member(body.shared()),
            None => Departure::Root,
        }
    }

    #[inline]
    fn name_next(&self, target: Rc<Node>, parcel: Parcel) {
        match &target.body {
            Some(body) => body.link().put_input(Some(parcel)),
            None => self.mail.set(Some(parcel)),
        }
        self.next.set(Some(target));
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
            return Err(open(parcel));
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
    fn trampoline(&self) -> Parcel {
        loop {
            let node = self.next.take().expect("whoever leaves names the next");
            let left = self.current.replace(node);
            self.left.set(Some(left));
            // Only this loop changes `current`, so the borrow may last while the member runs.
            let node = self.current.borrow();
            let Some(body) = &node.body else {
                return self.mail.take().expect("the root is named with a parcel");
            };
            let entry = body.try_enter().expect("a living member is not running");
            let parcel = match body.go(entry) {
                Step::Yielded(()) => continue,
                Step::Complete(value) => Parcel::Value(value),
                Step::Closed => Parcel::Value(Value::new(GreenletExit)),
                Step::Unwound(payload) => payload.into(),
            };
            node.is_dead.set(true);
            self.name_next(node.nearest_live(), parcel);
        }
    }

    /// Run by whoever has just been switched to.
    #[inline(always)]
    pub(super) fn arrive(&self, parcel: &Parcel) {
        let left = self.left.take();
        if self.is_tracing.get()
            && let Some(left) = &left
        {
            self.trace(parcel, left, &self.current());
        }
    }

    #[cold]
    fn trace(&self, parcel: &Parcel, origin: &Rc<Node>, target: &Rc<Node>) {
        struct Off(Option<Rc<Family>>);
        impl Drop for Off {
            fn drop(&mut self) {
                if let Some(family) = self.0.take() {
                    family.set_hook(None);
                }
            }
        }
        let hook = self.hook.borrow().clone();
        if let Some(hook) = hook {
            // A hook that panics is taken out, and its panic belongs to the target.
            let mut off = Off(Some(Family::running()));
            let kind = match parcel {
                Parcel::Value(_) => TraceKind::Switch,
                Parcel::Throw(_) => TraceKind::Throw,
            };
            hook(kind, origin, target);
            off.0 = None;
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // Taken out of the borrow before it is dropped; it holds nothing, or this would not be dropped.
        let _known = FAMILIES.try_with(|all| all.borrow_mut().remove(&self.id));
    }
}

/// What a switch returns, or unwinds with, at its receiver.
#[inline]
pub(super) fn open(parcel: Parcel) -> Result<Value, SwitchError> {
    match parcel {
        Parcel::Value(value) => Ok(value),
        Parcel::Throw(payload) if unwinding::is_unwinding() => Err(SwitchError::Thrown(payload)),
        Parcel::Throw(payload) => unwinding::throw(payload),
    }
}
