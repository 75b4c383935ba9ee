//! Several NumPy arrays in a zip archive, each a member `NAME.npy`: `numpy.savez` and `numpy.savez_compressed`.

use std::io::{Cursor, Read as _, Write as _};

use teegate_client::oip::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::error::{FileError, quoted};
use crate::names::member_names;
use crate::npy::{self, Array};

/// No request has more inputs.
const MAX_MEMBERS: usize = 1024;

/// Reads an archive. What comes out of it is at most `limit` bytes, whatever it says of itself.
pub fn read(bytes: &[u8], limit: u64) -> Result<Vec<(String, Array)>, FileError> {
    let broken = |e: &dyn std::fmt::Display| FileError::new(format!("this is no zip archive that can be read: {e}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
    if archive.len() > MAX_MEMBERS {
        return Err(FileError::new(format!("it has {} members; {MAX_MEMBERS} are read at most", archive.len())));
    }
    let mut arrays = Vec::with_capacity(archive.len());
    let mut left = limit;
    for at in 0..archive.len() {
        let member = archive.by_index(at).map_err(|e| broken(&e))?;
        let shown = quoted(&String::from_utf8_lossy(member.name_raw()));
        let name = member.name().map_err(|e| broken(&e))?;
        let name = name.strip_suffix(".npy").map(str::to_owned).ok_or_else(|| {
            FileError::new(format!("its member {shown} is no `.npy`; an archive of NumPy holds nothing else"))
        })?;
        let mut content = Vec::new();
        let read = member.take(left.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|e| broken(&e).of(&format!("its member {shown}")))?;
        left = u64::try_from(content.len()).ok().and_then(|length| left.checked_sub(length)).ok_or_else(|| {
            FileError::new(format!("what it holds is more than {limit} bytes, which is more than is read"))
        })?;
        let array = npy::read(&content).map_err(|e| e.of(&format!("its member {shown}")))?;
        arrays.push((name, array));
    }
    if arrays.is_empty() {
        return Err(FileError::new("it has no member"));
    }
    Ok(arrays)
}

/// Tensors as an archive that `numpy.load` opens, without compression. See [`npy::write`] for types that NumPy has not.
pub fn write(tensors: &[Tensor]) -> Result<Vec<u8>, FileError> {
    let broken = |e: &dyn std::fmt::Display| FileError::new(format!("the archive cannot be written: {e}"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, tensor) in member_names(tensors).into_iter().zip(tensors) {
        let array = npy::write(tensor).map_err(|e| e.of(&quoted(&tensor.name)))?;
        let large = u32::try_from(array.len()).is_err();
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        archive.start_file(name, options).map_err(|e| broken(&e))?;
        archive.write_all(&array).map_err(|e| broken(&e))?;
    }
    archive.finish().map(Cursor::into_inner).map_err(|e| broken(&e))
}
