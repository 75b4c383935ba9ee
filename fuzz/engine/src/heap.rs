//! What one execution takes of the heap, so that a small input that asks for much is a finding.

#![expect(unsafe_code, reason = "an allocator that counts has to be an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread holds.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `act` and says how many more bytes this thread held at the most than before it.
pub(crate) fn most_held<R>(act: impl FnOnce() -> R) -> (R, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = act();
    (result, usize::try_from(MOST.get() - before).unwrap_or(0))
}

fn count(more: isize) {
    // A thread that ends has no counter any more, and nobody asks for it.
    let _ = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(more));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// No allocation is larger than isize::MAX (`Layout` says so).
const fn signed(bytes: usize) -> isize {
    bytes as isize
}

// SAFETY: every call goes to the system's allocator with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_once_counts_and_what_was_there_before_does_not() {
        let before = vec![0_u8; 1 << 20];
        let (length, most) = most_held(|| {
            (0..10).for_each(|_| drop(std::hint::black_box(vec![1_u8; 1000])));
            std::hint::black_box(vec![1_u8; 5000]).len()
        });
        assert_eq!((length, before.len()), (5000, 1 << 20));
        assert!((5000..7000).contains(&most), "{most}");
    }
}
