//! The ACPI tables that the host hands to the firmware, three files of QEMU's fw_cfg, and whether they are what they are said to be.
//!
//! The firmware measures each file whole, before it follows the commands of `etc/table-loader`; a digest follows from any bytes, so files
//! that no firmware could take are refused here. What the tables *do* is not looked at: AML is code.
//! QEMU, `hw/acpi/bios-linker-loader.c` (the commands); *ACPI Specification* 6.5, sections 5.2.5 (RSDP) and 5.2.6 (header of a table).

use super::input::{Input, PredictError};

/// QEMU has 128 KiB, and twice that for machines of many processors.
pub const MAX_TABLES_BYTES: usize = 8 << 20;
const MAX_LOADER_BYTES: usize = 1 << 20;
const COMMAND: usize = 128;
const NAME: usize = 56;
const RSDP_FILE: &str = "etc/acpi/rsdp";
const TABLES_FILE: &str = "etc/acpi/tables";

/// The three files, and where they are from.
#[derive(Clone, Copy, Debug)]
pub struct AcpiBlobs<'a> {
    /// `etc/acpi/tables`.
    pub tables: &'a [u8],
    /// `etc/acpi/rsdp`.
    pub rsdp: &'a [u8],
    /// `etc/table-loader`.
    pub loader: &'a [u8],
    /// Who made them.
    pub origin: AcpiOrigin<'a>,
}

/// Where ACPI tables are from, as whoever hands them in says.
#[derive(Clone, Copy, Debug)]
pub enum AcpiOrigin<'a> {
    /// They were rebuilt from this declared shape of a VM.
    Rebuilt(&'a str),
    /// They are files, and no more is known.
    Files,
}

impl std::fmt::Display for AcpiOrigin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rebuilt(shape) => write!(f, "rebuilt from {shape}"),
            Self::Files => f.write_str("given as files"),
        }
    }
}

impl<'a> AcpiBlobs<'a> {
    /// Each with its name, in the order in which firmware measures them: the commands, then what they tell to load.
    ///
    /// # Errors
    /// Where one is not what its name says, or a command leads out of them.
    pub(super) fn measured(&self) -> Result<[(&'static str, &'a [u8]); 3], PredictError> {
        self.check_rsdp()?;
        self.names_of_tables()?;
        let [first, second] = self.loaded()?;
        Ok([("etc/table-loader", self.loader), first, second])
    }

    /// The signatures of the tables, in their order.
    ///
    /// # Errors
    /// Where the bytes are no tables.
    pub fn names_of_tables(&self) -> Result<Vec<String>, PredictError> {
        let input = Input::new("etc/acpi/tables", self.tables, MAX_TABLES_BYTES)?;
        refuse_another(input, &[(b"RSD PTR ", RSDP_FILE), (&[1, 0, 0, 0], "etc/table-loader")])?;
        let (mut names, mut at) = (Vec::new(), 0);
        while self.tables.get(at..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
            let name = input.array::<4>(at, "the signature of a table")?;
            let length = input.size(at + 4, "the length of a table")?;
            let is_name = name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
            if !is_name || length < 36 {
                return Err(input.wrong(format_args!(
                    "at {at:#x} stands no table (four capitals, and a length of at least 36): expected the file of QEMU's fw_cfg, whole"
                )));
            }
            input.slice(at, length, "a table")?;
            names.push(name.iter().map(|byte| char::from(*byte)).collect());
            at += length;
        }
        if names.is_empty() {
            return Err(input.wrong("it holds no table"));
        }
        Ok(names)
    }

    /// `RSD PTR `, checksum, OEM, revision at 15; 20 bytes of revision 0, 36 of later ones.
    fn check_rsdp(&self) -> Result<(), PredictError> {
        let input = Input::new("etc/acpi/rsdp", self.rsdp, 4096)?;
        refuse_another(input, &[(b"FACS", TABLES_FILE), (&[1, 0, 0, 0], "etc/table-loader")])?;
        if input.array::<8>(0, "the signature")? != *b"RSD PTR " {
            return Err(input.wrong("it does not begin with `RSD PTR `"));
        }
        let [revision] = input.array(15, "the revision")?;
        let length = if revision == 0 { 20 } else { 36 };
        if input.len() != length {
            return Err(
                input.wrong(format_args!("{} bytes, where one of revision {revision} has {length}", input.len()))
            );
        }
        Ok(())
    }

    /// The files in the order in which the commands tell firmware to load them. Each command has 128 bytes, and a number u32 at their
    /// beginning; 0 fills the file up.
    fn loaded(&self) -> Result<[(&'static str, &'a [u8]); 2], PredictError> {
        let input = Input::new("etc/table-loader", self.loader, MAX_LOADER_BYTES)?;
        refuse_another(input, &[(b"RSD PTR ", RSDP_FILE), (b"FACS", TABLES_FILE)])?;
        if input.len() == 0 || !input.len().is_multiple_of(COMMAND) {
            return Err(input.wrong(format_args!("{} bytes, where commands have {COMMAND} each", input.len())));
        }
        let mut loaded = Vec::new();
        for at in (0..input.len()).step_by(COMMAND) {
            let command = Command { input, at };
            match input.u32(at, "a command")? {
                0 => {}
                1 => {
                    let file = self.file(command, 4)?;
                    if loaded.contains(&file) {
                        return Err(command.wrong(format_args!("loads `{}` again", file.0)));
                    }
                    loaded.push(file);
                }
                2 => {
                    self.file(command, 4 + NAME)?;
                    command.within(self.file(command, 4)?, 4 + 2 * NAME, Size::Byte(8 + 2 * NAME))?;
                }
                3 => {
                    let file = self.file(command, 4)?;
                    command.within(file, 4 + NAME, Size::One)?;
                    command.within(file, 8 + NAME, Size::Word(12 + NAME))?;
                }
                other => {
                    return Err(command
                        .wrong(format_args!("is of kind {other}: expected 1 (load), 2 (pointer) or 3 (checksum)")));
                }
            }
        }
        let number = loaded.len();
        loaded.try_into().map_err(|_| {
            input.wrong(format_args!("it tells to load {number} files: expected `{RSDP_FILE}` and `{TABLES_FILE}`"))
        })
    }

    fn file(&self, command: Command<'_>, at: usize) -> Result<(&'static str, &'a [u8]), PredictError> {
        let name = command.input.slice(command.at + at, NAME, "a file's name")?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        match name {
            b"etc/acpi/rsdp" => Ok((RSDP_FILE, self.rsdp)),
            b"etc/acpi/tables" => Ok((TABLES_FILE, self.tables)),
            other => {
                let other: String = String::from_utf8_lossy(other).escape_debug().take(60).collect();
                Err(command.wrong(format_args!(
                    "speaks of `{other}`: firmware measures what it loads, and only `{RSDP_FILE}` and `{TABLES_FILE}` are known here; leave out the \
                     device that brings it"
                )))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Command<'a> {
    input: Input<'a>,
    at: usize,
}

/// How many bytes a command touches: one, or a number that stands in it.
enum Size {
    One,
    Byte(usize),
    Word(usize),
}

impl Command<'_> {
    fn wrong(self, what: std::fmt::Arguments<'_>) -> PredictError {
        self.input.wrong(format_args!("command {} {what}", self.at / COMMAND + 1))
    }

    /// That what it touches lies in the file; its offset there stands at `offset` of the command.
    fn within(self, file: (&str, &[u8]), offset: usize, size: Size) -> Result<(), PredictError> {
        let start = self.input.size(self.at + offset, "an offset")?;
        let length = match size {
            Size::One => 1,
            Size::Byte(at) => usize::from(self.input.array::<1>(self.at + at, "a size")?[0]),
            Size::Word(at) => self.input.size(self.at + at, "a length")?,
        };
        let (name, bytes) = file;
        if length == 0 || start.checked_add(length).is_none_or(|end| end > bytes.len()) {
            return Err(self.wrong(format_args!(
                "touches {length} bytes at {start:#x} of `{name}`, which has {:#x}: these files are not of one machine",
                bytes.len()
            )));
        }
        Ok(())
    }
}

/// Files that were swapped are called by their names.
fn refuse_another(input: Input<'_>, others: &[(&[u8], &str)]) -> Result<(), PredictError> {
    match others.iter().find(|(begins, _)| input.bytes().starts_with(begins)) {
        Some((_, name)) => Err(input.wrong(format_args!("this is `{name}`: the files are swapped"))),
        None => Ok(()),
    }
}
