//! The values that one task, or one plain thread, has for task-local keys.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::{current, packet};

/// Makes of a value one for a task that is yet to be spawned.
pub(crate) type Bequeath = fn(&dyn Any) -> Box<dyn Any + Send>;

/// One word, and nothing else for who has no values.
#[derive(Default)]
pub(crate) struct Slots(OnceCell<Box<RefCell<List>>>);

#[derive(Default)]
struct List {
    /// In the order in which they came.
    slots: Vec<Slot>,
}

struct Slot {
    /// The address of the key, which is a static.
    key: usize,
    /// `None` when the value was dropped, or is being dropped, at its owner's end: it does not come back.
    value: Option<Rc<dyn Any>>,
    bequeath: Option<Bequeath>,
}

/// What a key finds.
pub(crate) enum Found {
    Value(Rc<dyn Any>),
    Nothing,
    /// The owner is ending, and has dropped it.
    Ended,
}

impl Slots {
    pub(crate) const fn new() -> Self {
        Slots(OnceCell::new())
    }

    #[inline]
    pub(super) fn is_unused(&self) -> bool {
        self.0.get().is_none()
    }

    /// No user code runs in `f`: what is dropped is given out.
    fn edit<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        f(&mut self.0.get_or_init(Box::default).borrow_mut())
    }

    pub(crate) fn find(&self, key: usize) -> Found {
        if self.is_unused() {
            return Found::Nothing;
        }
        self.edit(
            |list| match list.slots.iter().find(|slot| slot.key == key) {
                None => Found::Nothing,
                Some(slot) => slot.value.clone().map_or(Found::Ended, Found::Value),
            },
        )
    }

    /// Puts a value in, and gives out the one that was there. `None`: takes it away.
    ///
    /// A key that has ended takes nothing, and gives the value back.
    pub(crate) fn replace(
        &self,
        key: usize,
        value: Option<Rc<dyn Any>>,
        bequeath: Option<Bequeath>,
    ) -> Option<Rc<dyn Any>> {
        self.edit(|list| {
            let index = list.slots.iter().position(|slot| slot.key == key);
            match (index.map(|index| &mut list.slots[index]), value) {
                (Some(Slot { value: None, .. }), value) => value,
                (Some(slot), Some(value)) => slot.value.replace(value),
                (Some(_), None) => index.and_then(|index| list.slots.remove(index).value),
                (None, None) => None,
                (None, value @ Some(_)) => {
                    list.slots.push(Slot {
                        key,
                        value,
                        bequeath,
                    });
                    None
                }
            }
        })
    }

    /// Drops every value, the youngest first. Their destructors may use other keys, wait, and make new
    /// values, which are dropped as well; a key that has ended stays so.
    #[inline]
    pub(crate) fn end(&self) {
        if !self.is_unused() {
            self.end_all();
        }
    }

    #[cold]
    fn end_all(&self) {
        let youngest = |list: &mut List| {
            let slots = list.slots.iter_mut().rev();
            slots.filter_map(|slot| slot.value.take()).next()
        };
        while let Some(value) = self.edit(youngest) {
            if packet::caught(|| drop(value)) {
                packet::caught(|| log::error!("the destructor of a task-local value panicked"));
            }
        }
    }

    /// What a child inherits; no user code runs here.
    fn heirlooms(&self) -> Vec<(usize, Rc<dyn Any>, Bequeath)> {
        let heirloom = |slot: &Slot| Some((slot.key, slot.value.clone()?, slot.bequeath?));
        self.edit(|list| list.slots.iter().filter_map(heirloom).collect())
    }
}

/// A plain thread's slots. They have no destructor, and so are there to the thread's last moment; the
/// other local ends them.
struct Thread {
    /// Made at first use.
    slots: ManuallyDrop<RefCell<Option<Rc<Slots>>>>,
    is_over: Cell<bool>,
}

impl Thread {
    fn slots(&self) -> Option<Rc<Slots>> {
        if self.is_over.get() {
            return None;
        }
        let mut slots = self.slots.borrow_mut();
        Some(slots.get_or_insert_with(|| Rc::new(Slots::new())).clone())
    }
}

thread_local! {
    static THREAD: Thread = const {
        Thread { slots: ManuallyDrop::new(RefCell::new(None)), is_over: Cell::new(false) }
    };
    static END: EndThread = const { EndThread };
}

struct EndThread;

impl Drop for EndThread {
    fn drop(&mut self) {
        THREAD.with(|thread| {
            let slots = thread.slots();
            if let Some(slots) = slots {
                slots.end();
            }
            thread.is_over.set(true);
            drop(thread.slots.take());
        });
    }
}

/// Calls `f` with the running task's slots, or with the thread's where no task runs; `None` in the last
/// moments of a thread.
pub(crate) fn with<R>(f: impl FnOnce(&Slots) -> R) -> Option<R> {
    current::with_local(|local| match local {
        Some(local) => Some(f(local.slots())),
        None => {
            // Registers its destructor at first use.
            let _ = END.try_with(|_| ());
            THREAD.with(Thread::slots).map(|slots| f(&slots))
        }
    })
}

/// What a task gets from its spawner: the values of the keys that are declared so.
#[derive(Default)]
pub(crate) struct Heritage(Option<Box<Heirlooms>>);

type Heirlooms = Vec<(usize, Box<dyn Any + Send>, Bequeath)>;

impl Heritage {
    /// Clones, by the user's code, what the running task or thread leaves to a child.
    #[inline]
    pub(crate) fn gather() -> Heritage {
        let is_empty = current::with_local(|local| match local {
            Some(local) => !local.has_slots(),
            None => THREAD.with(|thread| thread.slots.borrow().is_none()),
        });
        match is_empty {
            true => Heritage(None),
            false => Heritage::gather_all(),
        }
    }

    #[cold]
    fn gather_all() -> Heritage {
        let heirlooms = with(Slots::heirlooms).unwrap_or_default();
        let clones = heirlooms.into_iter();
        let clones: Heirlooms = clones
            .map(|(key, value, bequeath)| (key, bequeath(&*value), bequeath))
            .collect();
        Heritage((!clones.is_empty()).then(|| Box::new(clones)))
    }

    /// Makes it the running task's, at the task's start.
    #[inline]
    pub(crate) fn accept(self) {
        if let Some(heirlooms) = self.0 {
            accept_all(*heirlooms);
        }
    }
}

#[cold]
fn accept_all(heirlooms: Heirlooms) {
    with(|slots| {
        for (key, value, bequeath) in heirlooms {
            let value: Box<dyn Any> = value;
            let replaced = slots.replace(key, Some(Rc::from(value)), Some(bequeath));
            debug_assert!(replaced.is_none(), "a task that starts has no values");
        }
    });
}
