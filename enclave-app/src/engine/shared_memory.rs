//! The memory file through which tensors go to a worker and come back: two regions, sealed against growing and shrinking,
//! read and written at places and never mapped.
//!
//! A worker writes whatever it likes into the file, at any moment. So every byte is read once, into memory of the reader's
//! own, and judged there: nothing is looked at twice, and nothing of it is mapped into a process that holds keys.
//!
//! Tensors stand one after the other from the beginning of their region, each a head of 144 bytes and then its elements:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | which of the signature's tensors, from 0; inputs that may be left out come after those that may not |
//! | 4 | 4 | datatype: its place in [`Datatype::ALL`], from 0 |
//! | 8 | 4 | rank |
//! | 12 | 4 | bytes of the elements, of `BYTES` only; otherwise zeros |
//! | 16 | 128 | dimensions, outermost first, the rest of 16 zeros |
//!
//! All of it little-endian, row-major, `BOOL` a byte that is 0 or 1, an element of `BYTES` its length in 4 bytes and then
//! itself.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, SeekFrom};
use zeroize::Zeroizing;

use crate::strings::{Strings, StringsError};
use crate::tensor::{Datatype, Elements, MAX_RANK};

/// Bytes of a tensor's head.
pub const HEAD_BYTES: usize = 16 + 8 * MAX_RANK;

/// Elements are carried in pieces of so many bytes, so that no second copy of a tensor is ever there.
const PIECE_BYTES: usize = 1 << 16;

/// What a region may keep of the pages that it has used.
const KEPT_BYTES: u64 = 1 << 20;

/// Two regions of one anonymous file.
#[derive(Debug)]
pub struct SharedMemory {
    file: File,
    input_bytes: u64,
    output_bytes: u64,
}

/// A place in a region.
pub struct Cursor<'m> {
    file: &'m File,
    at: u64,
    end: u64,
}

/// What stands before the elements of a tensor. As it was written, and not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which of the signature's tensors.
    pub index: u32,
    /// Number of a datatype.
    pub datatype: u32,
    /// How many dimensions.
    pub rank: u32,
    /// Bytes of the elements, where their number does not say it.
    pub string_bytes: u32,
    /// The dimensions, and zeros.
    pub dimensions: [i64; MAX_RANK],
}

impl Head {
    /// The head of a tensor whose elements have so many bytes; `None` when it has too many dimensions, or its strings have
    /// 4 GiB.
    pub fn new(index: u32, datatype: Datatype, dimensions: &[i64], bytes: usize) -> Option<Self> {
        let mut padded = [0; MAX_RANK];
        padded.get_mut(..dimensions.len())?.copy_from_slice(dimensions);
        let rank = u32::try_from(dimensions.len()).ok()?;
        let string_bytes = if datatype == Datatype::Bytes { u32::try_from(bytes).ok()? } else { 0 };
        Some(Self { index, datatype: number(datatype), rank, string_bytes, dimensions: padded })
    }

    /// The datatype, if there is one of that number.
    pub fn datatype(&self) -> Option<Datatype> {
        Datatype::ALL.get(usize::try_from(self.datatype).ok()?).copied()
    }

    /// Bytes of so many elements of this type, if it says nothing else of them.
    pub fn bytes(&self, datatype: Datatype, elements: usize) -> Option<usize> {
        match (datatype.size(), usize::try_from(self.string_bytes).ok()?) {
            (Some(size), 0) => elements.checked_mul(size),
            (Some(_), _) => None,
            (None, bytes) => Some(bytes).filter(|bytes| *bytes / datatype.least_size() >= elements),
        }
    }

    /// The dimensions, if there can be so many.
    pub fn dimensions(&self) -> Option<&[i64]> {
        self.dimensions.get(..usize::try_from(self.rank).ok()?)
    }
}

/// The place of a datatype in [`Datatype::ALL`].
fn number(datatype: Datatype) -> u32 {
    Datatype::ALL.iter().zip(0..).find_map(|(known, number)| (*known == datatype).then_some(number)).unwrap_or(u32::MAX)
}

/// Elements as they lie in the memory of whoever writes them.
#[expect(missing_docs, reason = "each variant is the datatype of the same name; 16-bit floats are their bits")]
pub enum Borrowed<'e> {
    Bool(&'e [bool]),
    Uint8(&'e [u8]),
    Uint16(&'e [u16]),
    Uint32(&'e [u32]),
    Uint64(&'e [u64]),
    Int8(&'e [i8]),
    Int16(&'e [i16]),
    Int32(&'e [i32]),
    Int64(&'e [i64]),
    Fp16(&'e [u16]),
    Bf16(&'e [u16]),
    Fp32(&'e [f32]),
    Fp64(&'e [f64]),
    Bytes(&'e Strings),
}

/// Why something could not be read or written.
#[derive(Debug)]
pub enum TransferError {
    /// It would lie outside its region.
    Outside,
    /// There is no memory for it.
    NoMemory,
    /// It is not so many strings.
    Strings(StringsError),
    /// The system refused.
    System(std::io::Error),
}

impl std::fmt::Display for TransferError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outside => f.write_str("it does not fit into the memory file"),
            Self::NoMemory => f.write_str("there is no memory for it"),
            Self::Strings(error) => write!(f, "strings: {error}"),
            Self::System(error) => write!(f, "the memory file: {error}"),
        }
    }
}

impl SharedMemory {
    /// A new file with regions of so many bytes. It takes memory where it is written, and nowhere before.
    ///
    /// # Errors
    /// When the kernel does not make, size or seal it.
    pub fn create(input_bytes: u64, output_bytes: u64) -> std::io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create("tensors", flags)?);
        file.set_len(input_bytes.saturating_add(output_bytes))?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self { file, input_bytes, output_bytes })
    }

    /// A file that somebody else has made with these regions.
    pub fn of(file: File, input_bytes: u64, output_bytes: u64) -> Self {
        Self { file, input_bytes, output_bytes }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The beginning of the input region.
    pub fn inputs(&self) -> Cursor<'_> {
        Cursor { file: &self.file, at: 0, end: self.input_bytes }
    }

    /// The beginning of the output region.
    pub fn outputs(&self) -> Cursor<'_> {
        let end = self.input_bytes.saturating_add(self.output_bytes);
        Cursor { file: &self.file, at: self.input_bytes, end }
    }

    /// Overwrites the first `bytes` of the input region, and gives back what is much.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wipe_inputs(&self, bytes: u64) -> Result<(), TransferError> {
        self.inputs().wipe(bytes)
    }

    /// Overwrites the first `bytes` of the output region, and gives back what is much.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wipe_outputs(&self, bytes: u64) -> Result<(), TransferError> {
        self.outputs().wipe(bytes)
    }
}

impl SharedMemory {
    /// Overwrites whatever has been written of the output region, and gives it back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wipe_all_outputs(&self) -> Result<(), TransferError> {
        let system = |error: rustix::io::Errno| TransferError::System(error.into());
        let Cursor { at: start, end, .. } = self.outputs();
        let mut at = start;
        while at < end {
            let data = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) if data < end => data,
                Ok(_) | Err(rustix::io::Errno::NXIO) => break,
                Err(error) => return Err(system(error)),
            };
            let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(data)).map_err(system)?.clamp(data + 1, end);
            Cursor { file: &self.file, at: data, end: hole }.wipe(hole - data)?;
            at = hole;
        }
        punch(&self.file, start, end - start)
    }
}

fn punch(file: &File, at: u64, bytes: u64) -> Result<(), TransferError> {
    if bytes == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, flags, at, bytes).map_err(|error| TransferError::System(error.into()))
}

impl Cursor<'_> {
    /// How far it is from there to here.
    pub fn since(&self, start: &Cursor<'_>) -> u64 {
        self.at.saturating_sub(start.at)
    }

    /// How many bytes there are from here to the end of the region.
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Ends the region after so many bytes, if it does not end before.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.end = self.end.min(self.at.saturating_add(bytes));
        self
    }

    /// Writes bytes, and goes on behind them.
    ///
    /// # Errors
    /// [`TransferError`]; then nothing counts as written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        let (at, next) = self.span(bytes.len())?;
        self.file.write_all_at(bytes, at).map_err(TransferError::System)?;
        self.at = next;
        Ok(())
    }

    /// Reads bytes, once, and goes on behind them.
    ///
    /// # Errors
    /// [`TransferError`]; what was read of them is of no use.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<(), TransferError> {
        let (at, next) = self.span(bytes.len())?;
        self.file.read_exact_at(bytes, at).map_err(TransferError::System)?;
        self.at = next;
        Ok(())
    }

    /// Reads `length` bytes into a vector of its own.
    ///
    /// # Errors
    /// As [`Cursor::read`]. Nothing is allocated for bytes that lie outside.
    pub fn read_vec(&mut self, length: usize) -> Result<Vec<u8>, TransferError> {
        self.span(length)?;
        let mut bytes = reserved(length)?;
        bytes.resize(length, 0);
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Goes on behind so many bytes, which nobody reads.
    ///
    /// # Errors
    /// When they lie outside.
    pub fn skip(&mut self, bytes: usize) -> Result<(), TransferError> {
        (_, self.at) = self.span(bytes)?;
        Ok(())
    }

    /// Writes a head.
    ///
    /// # Errors
    /// As [`Cursor::write`].
    pub fn write_head(&mut self, head: &Head) -> Result<(), TransferError> {
        let mut bytes = [0; HEAD_BYTES];
        let (words, _) = bytes.as_chunks_mut::<8>();
        let first = u64::from(head.index) | u64::from(head.datatype) << 32;
        let all = [first, u64::from(head.rank) | u64::from(head.string_bytes) << 32];
        let all = all.into_iter().map(u64::to_le_bytes).chain(head.dimensions.into_iter().map(i64::to_le_bytes));
        words.iter_mut().zip(all).for_each(|(place, word)| *place = word);
        self.write(&bytes)
    }

    /// Reads a head.
    ///
    /// # Errors
    /// As [`Cursor::read`].
    pub fn read_head(&mut self) -> Result<Head, TransferError> {
        let mut bytes = [0; HEAD_BYTES];
        self.read(&mut bytes)?;
        let (words, _) = bytes.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let [index, datatype, rank, string_bytes] = [(); 4].map(|()| words.next().unwrap_or_default());
        let (dimensions, _) = bytes.as_chunks::<8>();
        let mut dimensions = dimensions.iter().skip(2).map(|dimension| i64::from_le_bytes(*dimension));
        let dimensions = [(); MAX_RANK].map(|()| dimensions.next().unwrap_or_default());
        Ok(Head { index, datatype, rank, string_bytes, dimensions })
    }

    /// Writes elements.
    ///
    /// # Errors
    /// As [`Cursor::write`]. Nothing is written of what does not fit.
    pub fn write_elements(&mut self, elements: &Borrowed<'_>) -> Result<(), TransferError> {
        self.span(elements.bytes())?;
        match elements {
            Borrowed::Bool(all) => self.put(all, |value| [u8::from(value)]),
            Borrowed::Uint8(all) => self.write(all),
            Borrowed::Uint16(all) | Borrowed::Fp16(all) | Borrowed::Bf16(all) => self.put(all, u16::to_le_bytes),
            Borrowed::Uint32(all) => self.put(all, u32::to_le_bytes),
            Borrowed::Uint64(all) => self.put(all, u64::to_le_bytes),
            Borrowed::Int8(all) => self.put(all, i8::to_le_bytes),
            Borrowed::Int16(all) => self.put(all, i16::to_le_bytes),
            Borrowed::Int32(all) => self.put(all, i32::to_le_bytes),
            Borrowed::Int64(all) => self.put(all, i64::to_le_bytes),
            Borrowed::Fp32(all) => self.put(all, f32::to_le_bytes),
            Borrowed::Fp64(all) => self.put(all, f64::to_le_bytes),
            Borrowed::Bytes(strings) => self.write(strings.block()),
        }
    }

    /// Reads so many elements, which have so many bytes ([`Head::bytes`]). A byte of a `BOOL` is true unless it is 0: what a
    /// hostile writer put there becomes one of the two.
    ///
    /// # Errors
    /// As [`Cursor::read`], and when strings have other lengths or are none. Nothing is allocated for elements that lie
    /// outside.
    pub fn read_elements(&mut self, datatype: Datatype, count: usize, bytes: usize) -> Result<Elements, TransferError> {
        let needed = count.checked_mul(datatype.least_size()).filter(|needed| *needed <= bytes);
        self.span(needed.map(|_| bytes).ok_or(TransferError::Outside)?)?;
        Ok(match datatype {
            Datatype::Bool => Elements::Bool(self.get(count, |[byte]| byte != 0)?),
            Datatype::Uint8 => Elements::Uint8(self.get(count, u8::from_le_bytes)?),
            Datatype::Uint16 => Elements::Uint16(self.get(count, u16::from_le_bytes)?),
            Datatype::Uint32 => Elements::Uint32(self.get(count, u32::from_le_bytes)?),
            Datatype::Uint64 => Elements::Uint64(self.get(count, u64::from_le_bytes)?),
            Datatype::Int8 => Elements::Int8(self.get(count, i8::from_le_bytes)?),
            Datatype::Int16 => Elements::Int16(self.get(count, i16::from_le_bytes)?),
            Datatype::Int32 => Elements::Int32(self.get(count, i32::from_le_bytes)?),
            Datatype::Int64 => Elements::Int64(self.get(count, i64::from_le_bytes)?),
            Datatype::Fp16 => Elements::Fp16(self.get(count, u16::from_le_bytes)?),
            Datatype::Bf16 => Elements::Bf16(self.get(count, u16::from_le_bytes)?),
            Datatype::Fp32 => Elements::Fp32(self.get(count, f32::from_le_bytes)?),
            Datatype::Fp64 => Elements::Fp64(self.get(count, f64::from_le_bytes)?),
            // Read once into memory of our own, and judged there.
            Datatype::Bytes => {
                Elements::Bytes(Strings::from_block(self.read_vec(bytes)?, count).map_err(TransferError::Strings)?)
            }
        })
    }

    fn put<T: Copy, const N: usize>(&mut self, all: &[T], bytes: fn(T) -> [u8; N]) -> Result<(), TransferError> {
        let mut piece = Zeroizing::new(vec![0; size_of_val(all).min(PIECE_BYTES)]);
        for some in all.chunks((PIECE_BYTES / N).max(1)) {
            let (places, _) = piece.as_chunks_mut::<N>();
            places.iter_mut().zip(some).for_each(|(place, value)| *place = bytes(*value));
            self.write(piece.get(..size_of_val(some)).unwrap_or_default())?;
        }
        Ok(())
    }

    fn get<T: zeroize::Zeroize, const N: usize>(
        &mut self,
        count: usize,
        from: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, TransferError> {
        let mut all = Zeroizing::new(reserved(count)?);
        let mut piece = Zeroizing::new(vec![0; count.saturating_mul(N).min(PIECE_BYTES)]);
        while all.len() < count {
            let length = (count - all.len()).saturating_mul(N).min(piece.len());
            let some = piece.get_mut(..length).unwrap_or_default();
            self.read(some)?;
            let (chunks, _) = some.as_chunks::<N>();
            all.extend(chunks.iter().map(|chunk| from(*chunk)));
        }
        Ok(std::mem::take(&mut *all))
    }

    /// From where to where so many bytes go, if they lie inside.
    fn span(&self, bytes: usize) -> Result<(u64, u64), TransferError> {
        let bytes = u64::try_from(bytes).map_err(|_| TransferError::Outside)?;
        let next = self.at.checked_add(bytes).filter(|next| *next <= self.end).ok_or(TransferError::Outside)?;
        Ok((self.at, next))
    }

    fn wipe(mut self, bytes: u64) -> Result<(), TransferError> {
        static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];
        let (start, end) = (self.at, self.at.saturating_add(bytes).min(self.end));
        while self.at < end {
            let length = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            self.write(ZEROS.get(..length).unwrap_or(&ZEROS))?;
        }
        if end - start > KEPT_BYTES {
            punch(self.file, start, end - start)?;
        }
        Ok(())
    }
}

/// An empty vector with room for so many, if there is memory for them.
fn reserved<T>(count: usize) -> Result<Vec<T>, TransferError> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count).map_err(|_| TransferError::NoMemory)?;
    Ok(vector)
}

impl Borrowed<'_> {
    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Bool(all) => size_of_val(*all),
            Self::Uint8(all) => size_of_val(*all),
            Self::Uint16(all) => size_of_val(*all),
            Self::Uint32(all) => size_of_val(*all),
            Self::Uint64(all) => size_of_val(*all),
            Self::Int8(all) => size_of_val(*all),
            Self::Int16(all) => size_of_val(*all),
            Self::Int32(all) => size_of_val(*all),
            Self::Int64(all) => size_of_val(*all),
            Self::Fp16(all) | Self::Bf16(all) => size_of_val(*all),
            Self::Fp32(all) => size_of_val(*all),
            Self::Fp64(all) => size_of_val(*all),
            Self::Bytes(strings) => strings.block().len(),
        }
    }
}

impl<'e> From<&'e Elements> for Borrowed<'e> {
    fn from(elements: &'e Elements) -> Self {
        match elements {
            Elements::Bool(all) => Self::Bool(all),
            Elements::Uint8(all) => Self::Uint8(all),
            Elements::Uint16(all) => Self::Uint16(all),
            Elements::Uint32(all) => Self::Uint32(all),
            Elements::Uint64(all) => Self::Uint64(all),
            Elements::Int8(all) => Self::Int8(all),
            Elements::Int16(all) => Self::Int16(all),
            Elements::Int32(all) => Self::Int32(all),
            Elements::Int64(all) => Self::Int64(all),
            Elements::Fp16(all) => Self::Fp16(all),
            Elements::Bf16(all) => Self::Bf16(all),
            Elements::Fp32(all) => Self::Fp32(all),
            Elements::Fp64(all) => Self::Fp64(all),
            Elements::Bytes(strings) => Self::Bytes(strings),
        }
    }
}

#[cfg(test)]
mod tests;
