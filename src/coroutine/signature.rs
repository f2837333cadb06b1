//! The types that a coroutine exchanges, as `suspend` compares them.

use std::any::TypeId;
use std::ptr;

/// What a coroutine is to `suspend` and `switch`.
pub(super) struct Signature {
    /// `None`: borrowed types or a greenlet; no `suspend` fits.
    types: Option<(TypeId, TypeId)>,
    /// What the body is, for messages.
    pub(super) describe: fn() -> String,
    /// A greenlet ends the chain: the coroutines below it are parked by the greenlet switch. Its link is a
    /// `Link<(), ()>`.
    pub(super) greenlet: bool,
}

impl Signature {
    /// Of a coroutine whose types are known for good.
    pub(super) const fn of<In: 'static, Yield: 'static>() -> &'static Signature {
        &const {
            Signature {
                types: Some((TypeId::of::<In>(), TypeId::of::<Yield>())),
                describe: || {
                    format!(
                        "suspend::<{}, {}>",
                        std::any::type_name::<In>(),
                        std::any::type_name::<Yield>()
                    )
                },
                greenlet: false,
            }
        }
    }

    /// Of a body that borrows: its types may be shorter-lived than any `TypeId`.
    pub(super) const BORROWED: &'static Signature = &Signature {
        types: None,
        describe: || "its own yielder only, because it borrows".to_string(),
        greenlet: false,
    };

    /// Of a greenlet.
    pub(super) const GREENLET: &'static Signature = &Signature {
        types: None,
        describe: || "no suspend, because it is a greenlet: greenlets switch".to_string(),
        greenlet: true,
    };

    #[inline(always)]
    pub(super) fn fits<In: 'static, Yield: 'static>(&self) -> bool {
        // One address means one signature; the same signature may have several addresses.
        ptr::eq(self, Signature::of::<In, Yield>())
            || self.types == Some((TypeId::of::<In>(), TypeId::of::<Yield>()))
    }
}
