//! Greenlets: coroutines that name whom they switch to, as Python's do.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use super::ambient::Link;
use super::engine::{Engine, Plan};
use super::error::{ParentError, StackError, SwitchError};
use super::family::{Body, Family, Node, Parcel, TraceKind};
use super::signature::Signature;
use super::unwinding;
use super::value::Value;
use crate::stack::Kind;

/// What a trace hook is told after each switch; it runs in `target`.
#[derive(Debug)]
#[non_exhaustive]
pub struct TraceEvent {
    /// With a value or with an error.
    pub kind: TraceKind,
    /// Who was left.
    pub origin: Greenlet,
    /// Who runs now.
    pub target: Greenlet,
}

/// A coroutine that is switched to and from by name; a handle of it.
///
/// Greenlets are symmetric: any member of a family may switch to any other. The family belongs to one
/// task, or to a thread outside tasks; its root is the code there that runs in no greenlet. Values of
/// any type go along ([`Value`]): the first is the argument of the body, later ones are what the
/// pending [`switch`](Self::switch) returns.
///
/// **Parents.** A greenlet's parent is the one that made it, until [`set_parent`](Self::set_parent).
/// When the body returns, its value goes to the parent; when it panics, the panic is raised in the
/// parent's pending `switch`; a dead parent passes both on to its own.
///
/// **Drop.** Handles are counted. When the last one of a suspended greenlet goes (a child counts as one
/// of its parent), its stack is unwound there and then, as
/// [`Coroutine`](super::Coroutine) tells; its destructors cannot switch.
///
/// **Threads.** A greenlet stays on its thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(greenloom::coroutine::Greenlet::current());
/// ```
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::Greenlet;
///
/// let main = Greenlet::current();
/// let double = Greenlet::new(move |mut n: i32| -> i32 {
///     loop { n = main.switch(n * 2).unwrap().get(); }
/// });
/// assert_eq!(double.switch(4).unwrap().get::<i32>(), 8);
/// assert_eq!(double.switch(5).unwrap().get::<i32>(), 10);
/// ```
#[derive(Clone)]
pub struct Greenlet {
    node: Rc<Node>,
    family: Rc<Family>,
}

impl Greenlet {
    /// Makes a greenlet with a stack of the default size; its parent is the running one. Nothing of
    /// `body` runs before it is switched to.
    ///
    /// A first value that is not an `A` is a panic of the body. A body that takes a [`Value`] takes
    /// anything.
    ///
    /// # Panics
    ///
    /// When there is no memory for the stack; [`Builder`](super::Builder) gives an error instead.
    #[track_caller]
    pub fn new<A: Any, R: Any>(body: impl FnOnce(A) -> R + 'static) -> Greenlet {
        match Self::planned(&Plan::plain(Kind::Greenlet), body) {
            Ok(greenlet) => greenlet,
            Err(error) => panic!("{error}: {}", error.0),
        }
    }

    pub(super) fn planned<A: Any, R: Any>(
        plan: &Plan<'_>,
        body: impl FnOnce(A) -> R + 'static,
    ) -> Result<Greenlet, StackError> {
        let family = Family::running();
        let weak = Rc::downgrade(&family);
        let start = move |_: &Link<(), ()>, _| {
            let arrived = {
                let family = weak.upgrade().expect("whoever switches holds it");
                family.arrive()
            };
            match arrived {
                Ok(value) => Value::new(body(value.get::<A>())),
                Err(payload) => {
                    // Before the unwind: what the body holds may itself wait or panic.
                    drop(body);
                    unwinding::throw(payload)
                }
            }
        };
        let engine: Body = Engine::new(plan, Signature::GREENLET, start)?;
        let node = Node::new(engine, family.current());
        Ok(Greenlet { node, family })
    }

    /// The greenlet that runs this code: the family's root outside of any.
    pub fn current() -> Greenlet {
        let family = Family::running();
        Greenlet {
            node: family.current(),
            family,
        }
    }

    /// Hands `value` and control to this greenlet and waits until somebody switches back.
    ///
    /// A switch to the running greenlet returns the value at once. A dead one's nearest living ancestor
    /// gets it.
    ///
    /// # Errors
    ///
    /// When the greenlet belongs to another family, and when the caller cannot be left: it is a
    /// destructor in a greenlet that is being dropped, or inside of a `scope` or `timeout` that it
    /// entered. The value comes back in the error.
    ///
    /// # Panics
    ///
    /// With what is thrown to the caller meanwhile, and with the panic of a child that died.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{Greenlet, Value};
    ///
    /// let once = Greenlet::new(|name: &str| format!("hello {name}"));
    /// assert_eq!(once.switch("world").unwrap().get::<String>(), "hello world");
    /// assert!(once.is_dead());
    /// ```
    #[inline(always)]
    pub fn switch<T: Any>(&self, value: T) -> Result<Value, SwitchError> {
        self.family.switch(&self.node, Value::new(value))
    }

    /// Like [`switch`](Self::switch), with an error that is raised in the greenlet.
    ///
    /// It unwinds from the greenlet's pending `switch` (no panic hook runs), where
    /// [`catch`](super::catch) intercepts it by type. One that has not started dies without running;
    /// a dead one's nearest living ancestor gets it. Uncaught, it is raised in the parent, except for
    /// [`GreenletExit`](super::GreenletExit), which the parent gets as a value.
    ///
    /// # Errors
    ///
    /// As for `switch`; and when the greenlet waits inside a destructor that runs because of an unwind,
    /// where raising would abort the process.
    ///
    /// # Panics
    ///
    /// As for `switch`.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{catch, Greenlet};
    ///
    /// let main = Greenlet::current();
    /// let careful = Greenlet::new(move |(): ()| match catch(|| main.switch(1).unwrap()) {
    ///     Ok(_) => "nothing thrown".to_string(),
    ///     Err::<_, u8>(code) => format!("caught {code}"),
    /// });
    /// careful.switch(()).unwrap();
    /// assert_eq!(careful.throw(7_u8).unwrap().get::<String>(), "caught 7");
    /// ```
    pub fn throw<E: Any + Send>(&self, error: E) -> Result<Value, SwitchError> {
        self.family
            .transfer(&self.node, Parcel::Throw(Box::new(error)))
    }

    /// The parent; `None` for the root.
    pub fn parent(&self) -> Option<Greenlet> {
        let node = self.node.parent()?;
        Some(Greenlet {
            node,
            family: Rc::clone(&self.family),
        })
    }

    /// Makes `parent` the one that gets what this greenlet leaves at its end.
    ///
    /// # Errors
    ///
    /// When that would close a circle, when `parent` is dead or of another family, and for the root.
    pub fn set_parent(&self, parent: &Greenlet) -> Result<(), ParentError> {
        if self.node.is_root() {
            return Err(ParentError::Root);
        }
        if !Rc::ptr_eq(&self.family, &parent.family) {
            return Err(ParentError::ForeignFamily);
        }
        if parent.node.is_dead() {
            return Err(ParentError::Dead);
        }
        let mut ancestor = Some(Rc::clone(&parent.node));
        while let Some(node) = ancestor {
            if Rc::ptr_eq(&node, &self.node) {
                return Err(ParentError::Cycle);
            }
            ancestor = node.parent();
        }
        self.node.set_parent(Rc::clone(&parent.node));
        Ok(())
    }

    /// Whether the body has ended. The root never does.
    pub fn is_dead(&self) -> bool {
        self.node.is_dead()
    }

    /// Whether the body has begun; also true when it has ended.
    pub fn has_started(&self) -> bool {
        self.node.has_started()
    }

    /// A number that no other coroutine of the process has.
    pub fn id(&self) -> u64 {
        self.node.id
    }

    /// Calls `hook` after each switch of the running family, in the greenlet that was switched to.
    ///
    /// A hook that panics is removed, and its panic is raised in that greenlet.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{Greenlet, TraceKind};
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// let kinds = Rc::new(RefCell::new(Vec::new()));
    /// let log = Rc::clone(&kinds);
    /// Greenlet::set_trace(move |event| log.borrow_mut().push(event.kind));
    /// Greenlet::new(|(): ()| ()).switch(()).unwrap();
    /// Greenlet::clear_trace();
    /// assert_eq!(*kinds.borrow(), [TraceKind::Switch, TraceKind::Switch]);
    /// ```
    pub fn set_trace(hook: impl Fn(&TraceEvent) + 'static) {
        let family = Family::running();
        let weak = Rc::downgrade(&family);
        family.set_hook(Some(Rc::new(move |kind, origin, target| {
            let Some(family) = weak.upgrade() else { return };
            let handle = |node: &Rc<Node>| Greenlet {
                node: Rc::clone(node),
                family: Rc::clone(&family),
            };
            hook(&TraceEvent {
                kind,
                origin: handle(origin),
                target: handle(target),
            });
        })));
    }

    /// Removes the hook of the running family.
    pub fn clear_trace() {
        Family::running().set_hook(None);
    }
}

/// Two handles are equal when they are of the same greenlet.
impl PartialEq for Greenlet {
    fn eq(&self, other: &Greenlet) -> bool {
        Rc::ptr_eq(&self.node, &other.node)
    }
}

impl Eq for Greenlet {}

impl fmt::Debug for Greenlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greenlet")
            .field("id", &self.node.id)
            .field("root", &self.node.is_root())
            .field("started", &self.has_started())
            .field("dead", &self.is_dead())
            .finish()
    }
}
