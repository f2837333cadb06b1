//! Memory for tasks: blocks of a few sizes, used again last in first out by the worker that freed them.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

/// Sizes are multiples of this.
const STEP: usize = 16;
/// How many sizes are kept; larger blocks go to the allocator and back.
const SIZES: usize = 32;
/// Blocks of one size that a worker keeps; none under the address sanitizer, which could not tell a late
/// use of one task from a use of the next.
const KEPT: usize = if cfg!(gl_asan) { 0 } else { 1024 };
/// What the global allocator gives without effort.
const ALIGN: usize = 16;

/// The free blocks of one worker.
///
/// A task's memory is often freed on the thread that will want some of the same size next, thousands at
/// a time: more than the allocator's own caches hold.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// By size. Each block came from [`allocate`] with the layout of its place here.
    free: RefCell<[Vec<NonNull<u8>>; SIZES]>,
}

impl Blocks {
    pub(crate) const fn new() -> Self {
        Blocks {
            free: RefCell::new([const { Vec::new() }; SIZES]),
        }
    }
}

thread_local! {
    /// The blocks of the worker that runs on this thread; null elsewhere.
    static HERE: Cell<*const Blocks> = const { Cell::new(ptr::null()) };
}

/// Makes these blocks the ones that tasks on this thread are made of, for as long as it lives.
#[derive(Debug)]
pub(super) struct InUse<'a> {
    _blocks: &'a Blocks,
}

impl<'a> InUse<'a> {
    pub(super) fn new(blocks: &'a Blocks) -> Self {
        HERE.set(blocks);
        InUse { _blocks: blocks }
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        HERE.set(ptr::null());
    }
}

/// Runs `f` with the free blocks of one size on this thread, if it keeps any.
#[inline]
fn with_free<R>(place: usize, f: impl FnOnce(&mut Vec<NonNull<u8>>) -> R) -> Option<R> {
    // SAFETY: `InUse` put the pointer there, and takes it away before the blocks die.
    let blocks = unsafe { HERE.get().as_ref() };
    blocks.map(|blocks| f(&mut blocks.free.borrow_mut()[place]))
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for (place, free) in self.free.get_mut().iter_mut().enumerate() {
            for block in free.drain(..) {
                // SAFETY: it came from `alloc` with this layout, and nobody else has it.
                unsafe { dealloc(block.as_ptr(), layout_of(place)) };
            }
        }
    }
}

fn layout_of(place: usize) -> Layout {
    Layout::from_size_align((place + 1) * STEP, ALIGN).expect("a small size")
}

/// Which kept size a layout belongs to, if any.
#[inline]
fn place_of(layout: Layout) -> Option<usize> {
    let place = layout.size().saturating_sub(1) / STEP;
    (place < SIZES && layout.align() <= ALIGN).then_some(place)
}

/// Memory for `layout`, whose size is not zero.
#[inline]
pub(super) fn allocate(layout: Layout) -> NonNull<u8> {
    let place = place_of(layout);
    let kept = place.and_then(|place| with_free(place, Vec::pop).flatten());
    kept.unwrap_or_else(|| {
        let layout = place.map_or(layout, layout_of);
        // SAFETY: the size is not zero: a task has a header.
        let block = NonNull::new(unsafe { alloc(layout) });
        block.unwrap_or_else(|| handle_alloc_error(layout))
    })
}

/// Gives back what [`allocate`] gave for the same layout.
///
/// # Safety
///
/// `block` came from `allocate(layout)`, and nobody uses it any more.
#[inline]
pub(super) unsafe fn release(block: NonNull<u8>, layout: Layout) {
    let place = place_of(layout);
    let keep = |free: &mut Vec<NonNull<u8>>| {
        let has_room = free.len() < KEPT;
        if has_room {
            free.push(block);
        }
        has_room
    };
    let is_kept = place
        .and_then(|place| with_free(place, keep))
        .unwrap_or(false);
    if !is_kept {
        // SAFETY: it came from `alloc` with this layout.
        unsafe { dealloc(block.as_ptr(), place.map_or(layout, layout_of)) };
    }
}
