//! The hash of a PE image that UEFI measures when it loads one, and that Secure Boot signs.
//!
//! Microsoft, *Windows Authenticode Portable Executable Signature Format* 1.0, *Calculating the PE Image Hash*; UEFI measures it as
//! `EV_EFI_BOOT_SERVICES_APPLICATION` (TCG PC Client Platform Firmware Profile 1.05, section 3.3.4.1).

use super::digest::{DigestAlgorithm, Hash};
use super::input::PredictError;
use super::pe::Image;

/// The hash of an image: everything but its checksum, the entry of its certificate table, and its signatures.
///
/// # Errors
/// Where the bytes are no PE image, or overlap so that two readers would hash other bytes.
pub fn authenticode(bytes: &[u8], algorithm: DigestAlgorithm) -> Result<Vec<u8>, PredictError> {
    hash(&Image::parse("PE image", bytes)?, algorithm)
}

pub(super) fn hash(image: &Image<'_>, algorithm: DigestAlgorithm) -> Result<Vec<u8>, PredictError> {
    let input = image.input;
    let mut hash = Hash::new(algorithm);
    let mut between = |from: usize, to: usize| -> Result<(), PredictError> {
        let length = to.checked_sub(from).ok_or_else(|| input.wrong("its headers overlap"))?;
        hash.update(input.slice(from, length, "the headers")?);
        Ok(())
    };
    between(0, image.checksum)?;
    match image.certificates_entry {
        None => between(image.checksum + 4, image.headers)?,
        Some(entry) => {
            between(image.checksum + 4, entry)?;
            between(entry + 8, image.headers)?;
        }
    }
    let mut sections: Vec<_> = image.sections.iter().filter(|section| section.raw_size > 0).collect();
    sections.sort_by_key(|section| section.offset);
    // What is hashed is counted, and the count says where the rest of the file begins: where sections overlap or leave gaps, the
    // rest is not what lies behind the last of them.
    let mut end = image.headers;
    for section in sections {
        if section.offset != end {
            return Err(input.wrong(format_args!(
                "a section begins at {:#x}, where what stands before it ends at {end:#x}: its hash would leave bytes out or take them \
                 twice",
                section.offset
            )));
        }
        hash.update(input.slice(section.offset, section.raw_size, "a section")?);
        end = section.offset.saturating_add(section.raw_size);
    }
    let rest = input.len().checked_sub(end).and_then(|rest| rest.checked_sub(image.certificates));
    let Some(rest) = rest else {
        let certificates = image.certificates;
        return Err(input.wrong(format_args!("{certificates:#x} bytes of signatures do not fit behind its sections")));
    };
    hash.update(input.slice(end, rest, "what stands behind the sections")?);
    Ok(hash.finish())
}
