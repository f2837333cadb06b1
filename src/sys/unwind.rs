//! Whether something thrown from here would end the process: the unwinder's own answer, without throwing.
#![allow(unsafe_code)]

/// Whether one of the frames between the caller and the one that holds `base` lets nothing unwind through it,
/// above all because a destructor runs there that an unwinding has called; `None` where that cannot be told.
///
/// `base` is the address of a variable in a small frame further out, perhaps on another stack, from which
/// this one was resumed; see [`fenced`].
///
/// It walks the frames as the first phase of an unwinding does and reads the tables that the compiler left
/// for it, as std's own personality routine would: a call in a destructor that cleans up has an empty list of
/// what may pass, or no entry. Some microseconds; `std::thread::panicking` is for everyday use.
#[inline(never)]
pub(crate) fn is_barred(base: usize) -> Option<bool> {
    walk::is_barred(base)
}

/// Calls `f` with the address of a variable in a frame of its own, which is not that of anybody's code: for
/// [`is_barred`] to look no further than here.
#[inline(never)]
pub(crate) fn fenced<T>(f: impl FnOnce(usize) -> T) -> T {
    #[inline(never)]
    fn call<T>(f: impl FnOnce(usize) -> T, base: usize) -> T {
        f(base)
    }
    let base = 0_u8;
    let result = call(f, std::hint::black_box(&raw const base).addr());
    // The frame is there until now.
    std::hint::black_box(&base);
    result
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    panic = "unwind"
))]
mod walk {
    use std::ffi::{c_int, c_void};

    /// The frame that called the one with `base` has its stack pointer at most this far above: less than the
    /// guard that lies between any two stacks of ours.
    const NEAR: usize = 8 * 1024;

    const GO_ON: c_int = 0;
    const STOP: c_int = 5;

    /// The unwinder's view of one frame.
    #[repr(C)]
    struct Frame {
        _opaque: [u8; 0],
    }

    // The Itanium ABI's base, in libgcc_s or LLVM's libunwind: std links one of them.
    // "C-unwind", lest these calls themselves count as ones that nothing passes.
    unsafe extern "C-unwind" {
        fn _Unwind_Backtrace(
            step: extern "C" fn(*mut Frame, *mut c_void) -> c_int,
            walk: *mut c_void,
        ) -> c_int;
        fn _Unwind_GetCFA(frame: *mut Frame) -> usize;
        fn _Unwind_GetIPInfo(frame: *mut Frame, is_before: *mut c_int) -> usize;
        fn _Unwind_GetRegionStart(frame: *mut Frame) -> usize;
        fn _Unwind_GetLanguageSpecificData(frame: *mut Frame) -> *const u8;
    }

    struct Walk {
        base: usize,
        /// `None`: it came to no end, or to a table that is unlike the others.
        is_barred: Option<bool>,
    }

    pub(super) fn is_barred(base: usize) -> Option<bool> {
        let mut walk = Walk {
            base,
            is_barred: None,
        };
        // SAFETY: `step` does not unwind, and gets the pointer to `walk` back while it lives.
        unsafe { _Unwind_Backtrace(step, (&raw mut walk).cast()) };
        walk.is_barred
    }

    extern "C" fn step(frame: *mut Frame, walk: *mut c_void) -> c_int {
        // SAFETY: `is_barred` passed the pointer to its own variable, which nobody else uses meanwhile.
        let walk = unsafe { &mut *walk.cast::<Walk>() };
        // SAFETY: the unwinder's frame, valid during this call.
        let pointer = unsafe { _Unwind_GetCFA(frame) };
        if pointer.wrapping_sub(walk.base) < NEAR {
            walk.is_barred = Some(false);
            return STOP;
        }
        // SAFETY: as above.
        let table = unsafe { _Unwind_GetLanguageSpecificData(frame) };
        if table.is_null() {
            return GO_ON;
        }
        let mut is_before = 0;
        // SAFETY: as above.
        let next = unsafe { _Unwind_GetIPInfo(frame, &raw mut is_before) };
        // SAFETY: as above.
        let start = unsafe { _Unwind_GetRegionStart(frame) };
        // A return address points behind the call.
        let call = next.wrapping_sub(start) - usize::from(is_before == 0);
        // SAFETY: it is the table of this frame's function.
        match unsafe { is_barrier(table, call as u64) } {
            Some(false) => GO_ON,
            barred_or_unknown => {
                walk.is_barred = barred_or_unknown;
                STOP
            }
        }
    }

    /// A place in a table.
    struct Reader(*const u8);

    /// "Not there", where a table says how something is encoded.
    const OMITTED: u8 = 0xff;

    impl Reader {
        /// # Safety
        ///
        /// The table goes on here; so for the others.
        unsafe fn byte(&mut self) -> u8 {
            // SAFETY: the caller's promise.
            let byte = unsafe { self.0.read() };
            self.0 = self.0.wrapping_add(1);
            byte
        }

        /// A number of seven bits a byte, lowest first; and how many bits there were.
        unsafe fn bits(&mut self) -> (u64, u32) {
            let (mut number, mut width) = (0, 0);
            loop {
                // SAFETY: the caller's promise.
                let byte = unsafe { self.byte() };
                if width < 64 {
                    number |= u64::from(byte & 0x7f) << width;
                }
                width += 7;
                if byte & 0x80 == 0 {
                    return (number, width);
                }
            }
        }

        unsafe fn unsigned(&mut self) -> u64 {
            // SAFETY: the caller's promise.
            unsafe { self.bits() }.0
        }

        unsafe fn is_negative(&mut self) -> bool {
            // SAFETY: the caller's promise.
            let (number, width) = unsafe { self.bits() };
            number >> (width.min(64) - 1) & 1 != 0
        }

        /// A number in one of the encodings that compilers use for offsets; `None` in another.
        unsafe fn encoded(&mut self, encoding: u8) -> Option<u64> {
            let bytes = match encoding {
                // SAFETY: the caller's promise.
                1 => return Some(unsafe { self.unsigned() }),
                2 => 2,
                3 => 4,
                4 => 8,
                _ => return None,
            };
            let mut number = [0; 8];
            for byte in &mut number[..bytes] {
                // SAFETY: the caller's promise.
                *byte = unsafe { self.byte() };
            }
            // Both targets have the lowest byte first.
            Some(u64::from_le_bytes(number))
        }
    }

    /// Whether nothing passes the call at this offset in the function. `None`: the table is unlike any that
    /// rustc writes.
    ///
    /// ```text
    ///   base of landing pads, omitted | encoding of types, offset of types | encoding and length of calls
    ///   calls: (start, length, landing pad, 1 + offset of its action) ..., by start
    ///   actions: (what is caught: 0 nothing, > 0 a type, < 0 all but a list; next) ...
    /// ```
    ///
    /// # Safety
    ///
    /// `table` is the language-specific data of a function.
    unsafe fn is_barrier(table: *const u8, call: u64) -> Option<bool> {
        let mut reader = Reader(table);
        // SAFETY: the caller's promise; what is read next is there, by the format above.
        unsafe {
            if reader.byte() != OMITTED {
                return None;
            }
            if reader.byte() != OMITTED {
                reader.unsigned();
            }
            let encoding = reader.byte();
            let length = reader.unsigned() as usize;
            let actions = reader.0.wrapping_add(length);
            while reader.0 < actions {
                let start = reader.encoded(encoding)?;
                let length = reader.encoded(encoding)?;
                let landing_pad = reader.encoded(encoding)?;
                let action = reader.unsigned() as usize;
                if call < start {
                    break;
                }
                if call - start >= length {
                    continue;
                }
                if landing_pad == 0 || action == 0 {
                    return Some(false);
                }
                return Some(Reader(actions.wrapping_add(action - 1)).is_negative());
            }
        }
        // The compiler has promised that nothing comes out of this call.
        Some(true)
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    panic = "unwind"
)))]
mod walk {
    pub(super) fn is_barred(_base: usize) -> Option<bool> {
        None
    }
}

#[cfg(all(
    test,
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::{fenced, is_barred};

    struct OnDrop<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    fn unwound(in_destructor: impl FnMut()) {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _looks = OnDrop(in_destructor);
            resume_unwind(Box::new(()));
        }));
        assert!(caught.is_err());
    }

    #[test]
    fn a_destructor_is_a_barrier_only_while_it_cleans_up() {
        fenced(|base| {
            assert_eq!(is_barred(base), Some(false));
            drop(OnDrop(|| assert_eq!(is_barred(base), Some(false))));
            let mut seen = None;
            unwound(|| seen = is_barred(base));
            assert_eq!(seen, Some(true));
            assert_eq!(is_barred(base), Some(false));
        });
    }

    #[test]
    fn what_lies_beyond_a_fence_does_not_count() {
        let mut seen = Vec::new();
        fenced(|outer| {
            unwound(|| {
                fenced(|inner| {
                    seen.push((is_barred(outer), is_barred(inner)));
                    unwound(|| seen.push((is_barred(outer), is_barred(inner))));
                    seen.push((is_barred(outer), is_barred(inner)));
                });
            });
        });
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(seen, [(yes, no), (yes, yes), (yes, no)]);
    }

    #[test]
    fn a_frame_of_c_is_a_barrier() {
        extern "C" fn callback(base: usize) {
            assert_eq!(is_barred(base), Some(true));
        }
        fenced(|base| std::hint::black_box(callback as extern "C" fn(usize))(base));
    }
}
