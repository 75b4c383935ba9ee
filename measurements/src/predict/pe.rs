//! A PE image (what UEFI starts): its headers and sections, as far as measuring needs them.
//!
//! Microsoft, *PE Format*, sections *Optional Header*, *Optional Header Data Directories*, *Section Table*.

use super::input::{Input, PredictError};

/// A unified kernel image has some 20 to 200 MiB.
pub const MAX_IMAGE_BYTES: usize = 1 << 30;
/// The format allows 96 sections to an executable.
const MAX_SECTIONS: usize = 96;

/// An image, and where in the file its parts lie.
pub(super) struct Image<'a> {
    pub(super) input: Input<'a>,
    /// Offset of the checksum, which no signature covers.
    pub(super) checksum: usize,
    /// Offset of the entry of the certificate table, if the header has one.
    pub(super) certificates_entry: Option<usize>,
    /// Bytes of signatures at the end of the file.
    pub(super) certificates: usize,
    /// Length of all headers.
    pub(super) headers: usize,
    /// In the order of the section table.
    pub(super) sections: Vec<Section>,
}

/// One section.
pub(super) struct Section {
    pub(super) name: [u8; 8],
    /// Its length in memory.
    pub(super) virtual_size: usize,
    /// Where it lies in the file, filled up to the alignment of the file.
    pub(super) offset: usize,
    pub(super) raw_size: usize,
}

impl<'a> Image<'a> {
    pub(super) fn parse(what: &'static str, bytes: &'a [u8]) -> Result<Self, PredictError> {
        let input = Input::new(what, bytes, MAX_IMAGE_BYTES)?;
        if input.array::<2>(0, "the header")? != *b"MZ" {
            return Err(input.wrong("it is no PE image: it does not begin with `MZ`"));
        }
        let pe = input.size(0x3C, "the offset of the PE header")?;
        if input.array::<4>(pe, "the PE header")? != *b"PE\0\0" {
            return Err(input.wrong(format_args!("it is no PE image: no `PE` at {pe:#x}")));
        }
        // Behind the signature: machine u16, number of sections u16, three u32, length of the optional header u16, flags u16.
        let number = usize::from(input.u16(pe + 6, "the number of sections")?);
        let optional_length = usize::from(input.u16(pe + 20, "the length of the optional header")?);
        let optional = pe + 24;
        let directories = match input.u16(optional, "the optional header")? {
            0x10B => 92,
            0x20B => 108,
            other => {
                return Err(input.wrong(format_args!("an optional header of kind {other:#x}: expected PE32 or PE32+")));
            }
        };
        let headers = input.size(optional + 60, "the length of the headers")?;
        let count = input.size(optional + directories, "the number of directories")?;
        let entry = optional + directories + 4 + 4 * 8;
        let has_entry = count > 4 && entry + 8 <= optional + optional_length;
        let certificates = if has_entry { input.size(entry + 4, "the length of the certificates")? } else { 0 };
        if number == 0 || number > MAX_SECTIONS {
            return Err(input.wrong(format_args!("{number} sections: expected 1 to {MAX_SECTIONS}")));
        }
        let table = optional + optional_length;
        if headers > input.len() || table + 40 * number > headers {
            return Err(input.wrong(format_args!("headers of {headers:#x} bytes do not hold {number} sections")));
        }
        let sections = (0..number).map(|index| Section::read(input, table + 40 * index)).collect::<Result<_, _>>()?;
        let certificates_entry = has_entry.then_some(entry);
        Ok(Self { input, checksum: optional + 64, certificates_entry, certificates, headers, sections })
    }

    /// The only section of this name, as it lies in memory; none if there is none.
    pub(super) fn section(&self, name: &str) -> Result<Option<&'a [u8]>, PredictError> {
        let mut padded = [0; 8];
        if let Some(place) = padded.get_mut(..name.len()) {
            place.copy_from_slice(name.as_bytes());
        }
        let mut found = self.sections.iter().filter(|section| section.name == padded);
        let Some(section) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(self
                .input
                .wrong(format_args!("it has two sections `{name}`, and which one counts is not known")));
        }
        if section.virtual_size > section.raw_size {
            return Err(self.input.wrong(format_args!(
                "its section `{name}` has {:#x} bytes in memory and {:#x} in the file",
                section.virtual_size, section.raw_size
            )));
        }
        self.input.slice(section.offset, section.virtual_size, name).map(Some)
    }

    /// Whether a section has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section.is_named(name))
    }
}

impl Section {
    pub(super) fn is_named(&self, name: &str) -> bool {
        let name = name.as_bytes();
        self.name.starts_with(name) && self.name.iter().skip(name.len()).all(|byte| *byte == 0)
    }

    /// Name of 8 bytes, length in memory u32, address u32, length in the file u32, offset in the file u32.
    fn read(input: Input<'_>, at: usize) -> Result<Self, PredictError> {
        let section = Self {
            name: input.array(at, "a section's name")?,
            virtual_size: input.size(at + 8, "a section's length")?,
            raw_size: input.size(at + 16, "a section's length in the file")?,
            offset: input.size(at + 20, "a section's offset")?,
        };
        input.slice(section.offset, section.raw_size, "a section")?;
        Ok(section)
    }
}
