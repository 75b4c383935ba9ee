//! Where the code under test has been: LLVM's inline 8-bit counters, and the last comparisons that it made.
//!
//! LLVM's pass adds to each compiled crate a table of counters, one an edge, and a constructor that hands the table to the
//! function named below (<https://clang.llvm.org/docs/SanitizerCoverage.html>). Nobody calls it in an ordinary build, and then
//! there is no coverage. The engine runs its targets on one thread when it asks for coverage.

#![expect(unsafe_code, reason = "the counters are a table that the compiler made: it is known by its two ends alone")]

use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

static START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// How many comparisons are kept; a power of two.
const COMPARED: usize = 64;
static COMPARISONS: [(AtomicU64, AtomicU64, AtomicUsize); COMPARED] =
    [const { (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0)) }; COMPARED];
/// Where the next one goes. Nothing is written down before somebody asks for it: most executions have nobody who reads it.
static NEXT: AtomicUsize = AtomicUsize::new(COMPARED);

/// Counters in a block: what is looked at in one go.
const BLOCK: usize = 64;

/// Two numbers that were compared and differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// One side.
    pub one: u64,
    /// The other.
    pub other: u64,
    /// How many bytes wide both are.
    pub width: usize,
}

/// Whether anything was compiled with counters.
pub fn is_on() -> bool {
    LENGTH.load(Ordering::Relaxed) > 0
}

/// How many edges were compiled in.
pub fn edges() -> usize {
    LENGTH.load(Ordering::Relaxed)
}

/// From here on comparisons are written down, as many as there is room for.
pub fn listen() {
    NEXT.store(0, Ordering::Relaxed);
}

/// The comparisons since [`listen`]; from here on none is written down.
pub fn comparisons(into: &mut Vec<Comparison>) {
    into.clear();
    let made = NEXT.swap(COMPARED, Ordering::Relaxed);
    into.extend(COMPARISONS.iter().take(made).map(|(one, other, width)| Comparison {
        one: one.load(Ordering::Relaxed),
        other: other.load(Ordering::Relaxed),
        width: width.load(Ordering::Relaxed),
    }));
}

/// What has been reached so far: for each edge, in which of eight ranges its counter has ended.
#[derive(Debug)]
pub struct Reached {
    ranges: Vec<[u8; 8]>,
    /// The blocks in which anything was ever counted: looking at all of them costs more than most targets do.
    live: Vec<u32>,
    is_live: Vec<bool>,
    features: u64,
    edges: u64,
}

impl Reached {
    /// Nothing yet.
    #[expect(clippy::new_without_default, reason = "it looks at the program, so it is no constant")]
    pub fn new() -> Self {
        let blocks = edges().div_ceil(BLOCK);
        Self {
            ranges: vec![[0; 8]; edges().div_ceil(8)],
            live: Vec::new(),
            is_live: vec![false; blocks],
            features: 0,
            edges: 0,
        }
    }

    /// Ranges of counters that were reached, and edges.
    pub const fn figures(&self) -> (u64, u64) {
        (self.features, self.edges)
    }

    /// Sets every counter to zero.
    pub fn clear(&self) {
        counters().fill(0);
    }

    /// Sets to zero the counters of the blocks that are looked at.
    pub fn forget(&self) {
        let counters = counters();
        for number in &self.live {
            let start = *number as usize * BLOCK;
            let end = (start + BLOCK).min(counters.len());
            counters[start..end].fill(0);
        }
    }

    /// Whether a block counted that never did before. It looks at everything; what it finds is looked at from now on.
    pub fn widen(&mut self) -> bool {
        let before = self.live.len();
        for (number, block) in counters().chunks(BLOCK).enumerate() {
            // All of a block at once, without a branch a counter: nearly all of them are of code that a target never runs.
            if block.iter().fold(0, |any, counter| any | counter) != 0 && !self.is_live[number] {
                self.is_live[number] = true;
                self.live.push(u32::try_from(number).expect("fewer than four thousand million edges"));
            }
        }
        self.live.len() > before
    }

    /// Takes in the counters of the last execution and sets them to zero; how many ranges are new.
    pub fn take(&mut self) -> u64 {
        let counters = counters();
        let mut found = 0;
        for number in &self.live {
            let start = *number as usize * BLOCK;
            let end = (start + BLOCK).min(counters.len());
            let (words, rest) = counters[start..end].as_chunks_mut();
            let (known, last) = self.ranges[start / 8..].split_at_mut(words.len());
            for (word, known) in words.iter_mut().zip(known) {
                found += note(word, known, &mut self.edges);
            }
            // The end of the table, where it is no multiple of eight.
            if let (false, Some(known)) = (rest.is_empty(), last.first_mut()) {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                rest.fill(0);
                found += note(&mut word, known, &mut self.edges);
            }
        }
        self.features += found;
        found
    }
}

/// Takes in eight counters and sets them to zero; how many ranges are new. Eight at once, because nearly always none is.
fn note(word: &mut [u8; 8], known: &mut [u8; 8], edges: &mut u64) -> u64 {
    if *word == [0; 8] {
        return 0;
    }
    let ranges = std::mem::take(word).map(|counter| RANGES[usize::from(counter)]);
    if u64::from_le_bytes(ranges) & !u64::from_le_bytes(*known) == 0 {
        return 0;
    }
    let mut found = 0;
    for (known, range) in known.iter_mut().zip(ranges) {
        if range & !*known != 0 {
            *edges += u64::from(*known == 0);
            *known |= range;
            found += 1;
        }
    }
    found
}

/// The range of each end of a counter.
static RANGES: [u8; 256] = {
    let mut ranges = [0; 256];
    let mut counter = 0;
    while counter < 256 {
        ranges[counter] = range_of(counter as u8);
        counter += 1;
    }
    ranges
};

/// One bit for each range: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more.
const fn range_of(counter: u8) -> u8 {
    match counter {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        _ => 128,
    }
}

fn counters<'a>() -> &'a mut [u8] {
    let (start, length) = (START.load(Ordering::Relaxed), LENGTH.load(Ordering::Relaxed));
    if start.is_null() {
        return &mut [];
    }
    // SAFETY: the constructor of the instrumented crates gave these two ends of one table, which lives as long as the program. Only
    // this file makes references to it, one at a time, and the code that counts in it is not running meanwhile.
    unsafe { std::slice::from_raw_parts_mut(start, length) }
}

fn compared(one: u64, other: u64, width: usize) {
    let place = NEXT.load(Ordering::Relaxed);
    if place < COMPARED && one != other {
        let (first, second, bytes) = &COMPARISONS[place];
        first.store(one, Ordering::Relaxed);
        second.store(other, Ordering::Relaxed);
        bytes.store(width, Ordering::Relaxed);
        NEXT.store(place + 1, Ordering::Relaxed);
    }
}

/// Called by the instrumented program before `main`, with the table of its counters.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    START.store(start, Ordering::Relaxed);
    LENGTH.store(stop.addr().saturating_sub(start.addr()), Ordering::Relaxed);
}

macro_rules! comparisons {
    ($($name:ident: $type:ty)+) => {
        $(
            /// Called by the instrumented program at a comparison.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(one: $type, other: $type) {
                compared(one.into(), other.into(), size_of::<$type>());
            }
        )+
    };
}

comparisons! {
    __sanitizer_cov_trace_cmp2: u16
    __sanitizer_cov_trace_cmp4: u32
    __sanitizer_cov_trace_cmp8: u64
    __sanitizer_cov_trace_const_cmp2: u16
    __sanitizer_cov_trace_const_cmp4: u32
    __sanitizer_cov_trace_const_cmp8: u64
}

/// Single bytes are found without help.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_trace_cmp1(_: u8, _: u8) {}
/// Single bytes are found without help.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_trace_const_cmp1(_: u8, _: u8) {}
/// The cases of a `match`, which are few and found without help.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_trace_switch(_: u64, _: *const u64) {}
