//! Bytes of a request or an answer in the clear: paid for before they are there, and wiped when they go.
//!
//! A vector that grows leaves what it held wherever it was, so these do not: either they are made in their final size, or
//! what they grow out of is wiped as well. What ciphers, hashes and writers leave on the stack is overwritten too. Not
//! wiped is what ONNX Runtime keeps of tensors, what its binding copies of strings, and the few words of an error that repeat a name or a number.

use std::io;

use zeroize::{Zeroizing, zeroize_stack};

use crate::memory::{Purse, Shortage};

/// Plaintext.
pub type Secret = Zeroizing<Vec<u8>>;

/// An empty [`Secret`] for `bytes`, which are paid for.
///
/// # Errors
/// [`Shortage`] when there is no memory for it.
pub fn with_capacity(bytes: usize, purse: &mut Purse) -> Result<Secret, Shortage> {
    purse.spend(bytes)?;
    Ok(Zeroizing::new(Vec::with_capacity(bytes)))
}

/// Wipes and drops a [`Secret`], and says so to the purse that paid for it.
pub fn wipe(secret: Secret, purse: &mut Purse) {
    let bytes = secret.capacity();
    drop(secret);
    purse.refund(bytes);
}

/// What functions that have returned may have left on the stack: ciphers copy blocks of a message there, hashes its end,
/// and the writers of numbers a number. Deeper than any of them goes.
const STACK_BYTES: usize = 64 << 10;

/// Runs `work`, and overwrites the stack that it has used.
pub fn scrubbed<T>(work: impl FnOnce() -> T) -> T {
    /// A frame of its own, so that what it used lies below the frame that scrubs.
    #[inline(never)]
    fn apart<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    let done = apart(work);
    zeroize_stack::<STACK_BYTES>();
    done
}

/// Takes what is written, of a length that nobody knows before, up to a limit.
pub struct Growing<'p> {
    bytes: Secret,
    limit: usize,
    purse: &'p mut Purse,
    end: Option<End>,
}

/// Why no more was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It would be longer than the limit.
    Limit,
    /// There is no memory for more.
    Memory(Shortage),
}

/// The first allocation.
const FIRST_BYTES: usize = 512;

impl<'p> Growing<'p> {
    /// Nothing yet, and at most `limit` bytes.
    pub fn new(limit: usize, purse: &'p mut Purse) -> Self {
        Self { bytes: Zeroizing::default(), limit, purse, end: None }
    }

    /// What was written, with room for `more` bytes behind it.
    ///
    /// # Errors
    /// [`End`] when there is no memory for them; what was written is wiped.
    pub fn finish(mut self, more: usize) -> Result<Secret, End> {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.bytes.capacity() {
            self.grow(needed).map_err(End::Memory)?;
        }
        Ok(std::mem::take(&mut self.bytes))
    }

    /// Why writing ended, if it did.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Moves to a new allocation; both are paid for while both are there.
    fn grow(&mut self, capacity: usize) -> Result<(), Shortage> {
        let mut larger = with_capacity(capacity, self.purse)?;
        larger.extend_from_slice(&self.bytes);
        wipe(std::mem::replace(&mut self.bytes, larger), self.purse);
        Ok(())
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        wipe(std::mem::take(&mut self.bytes), self.purse);
    }
}

impl io::Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.bytes.len().saturating_add(bytes.len());
        if needed > self.limit {
            self.end = Some(End::Limit);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2).max(FIRST_BYTES);
            if let Err(shortage) = self.grow(doubled.min(self.limit).max(needed)) {
                self.end = Some(End::Memory(shortage));
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::memory::Memory;

    #[test]
    fn what_grows_is_paid_for_and_given_back() {
        let memory = Memory::new(8192, 0);
        let share = memory.share();
        let mut purse = share.purse();
        let mut growing = Growing::new(2000, &mut purse);
        for _ in 0..20 {
            growing.write_all(&[7; 100]).unwrap();
        }
        assert_eq!(growing.write_all(&[7]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(growing.end(), Some(End::Limit));
        let whole = growing.finish(48).unwrap();
        assert_eq!((whole.len(), whole.capacity()), (2000, 2048));
        // Both allocations of the last growth are there at once: 2,000 and 2,048 bytes of the share's 4,096.
        assert_eq!(purse.spend(2049), Err(Shortage::Never { needed: 4097, most: 4096 }));
        wipe(whole, &mut purse);
        purse.spend(4096).unwrap();
    }

    #[test]
    fn without_memory_it_ends_and_keeps_nothing() {
        let memory = Memory::new(2048, 0);
        let mut purse = memory.share().purse();
        let mut growing = Growing::new(5000, &mut purse);
        growing.write_all(&[7; 512]).unwrap();
        assert!(growing.write_all(&[7; 1]).is_err());
        assert_eq!(growing.end(), Some(End::Memory(Shortage::Never { needed: 1536, most: 1024 })));
        drop(growing);
        purse.spend(1024).unwrap();
    }
}
