//! Bytes as tools print them for people: a hex dump with addresses (`xxd`, `hexdump -C`, `od -A x -t x1z`), and the array of a program's
//! source (`xxd -i`, Go, Rust, Python).
//!
//! Addresses are checked, so that a dump of which a line was lost is said to be one. Dumps in words (`hexdump`, `od` without their
//! options) depend on the machine that printed them, and are named.

use crate::encoded::Decoded;
use crate::error::Defect;
use crate::files::MAX_FILE_BYTES;
use crate::words::shown;

pub(crate) const HEX_DUMP: &str = "hex dump";
pub(crate) const ARRAY: &str = "array of a program's source";

/// The bytes of the dump or array that fills `text`; `None` where it is neither.
///
/// # Errors
/// It has addresses and is not whole, or is printed in words.
pub(crate) fn read(text: &str) -> Result<Option<Decoded>, Defect> {
    if let Some(bytes) = array(text) {
        return Ok(Some(Decoded { bytes, form: ARRAY }));
    }
    let lines = || text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    if !lines().next().is_some_and(begins_a_dump) {
        return Ok(None);
    }
    let mut dump = Dump { bytes: Vec::new(), width: 0, is_repeated: false, is_ended: false, radices: Vec::new() };
    for (number, line) in (1_usize..).zip(lines()) {
        dump.add(line).map_err(|why| broken(format!("line {number} {why}")))?;
    }
    if dump.is_repeated {
        return Err(broken("it ends with `*`, before the address that says how often a line is repeated"));
    }
    Ok(Some(Decoded { bytes: dump.bytes, form: HEX_DUMP }))
}

/// Whether the line begins with an address of zero, and has more than that. No evidence begins with zeros.
fn begins_a_dump(line: &str) -> bool {
    let Some((address, rest)) = line.trim_start().split_once([' ', '\t']) else { return false };
    let digits = address.strip_suffix(':').unwrap_or(address);
    (4..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit == b'0') && !rest.trim().is_empty()
}

/// Digits of an address of `od`.
const OD_DIGITS: usize = 7;

/// A dump, line by line.
struct Dump {
    bytes: Vec<u8>,
    /// Bytes of the line before.
    width: usize,
    /// A `*` stands before this line: the line before it is repeated up to the next address.
    is_repeated: bool,
    /// An address stood alone: it is the end.
    is_ended: bool,
    /// In what the addresses may be written. `od` writes seven digits, in octal unless told; everybody else hexadecimal.
    radices: Vec<u32>,
}

impl Dump {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim_start();
        if self.is_ended {
            return Err("follows the address of the end".to_owned());
        }
        if line == "*" {
            self.is_repeated = true;
            return if self.width == 0 { Err("repeats a line, and there is none".to_owned()) } else { Ok(()) };
        }
        let (address, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if self.radices.is_empty() {
            self.radices = if address.len() == OD_DIGITS { vec![16, 8, 10] } else { vec![16] };
        }
        self.move_to(address.strip_suffix(':').unwrap_or(address))?;
        let rest = rest.trim_start();
        self.is_ended = rest.is_empty();
        let bytes = columns(rest, address.ends_with(':'))?;
        self.width = bytes.len();
        self.bytes.extend(bytes);
        Ok(())
    }

    /// Insists that the line stands where its address says, after the repetitions that were left out.
    fn move_to(&mut self, address: &str) -> Result<(), String> {
        let at = self.bytes.len();
        let position = |radix: &u32| usize::from_str_radix(address, *radix).ok();
        if self.is_repeated {
            let limit = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
            let fits = |end: &usize| *end > at && *end <= limit && (*end - at).is_multiple_of(self.width);
            let end = self.radices.iter().filter_map(position).find(fits);
            let end =
                end.ok_or_else(|| format!("has the address `{}`, which no repetition leads to", shown(address)))?;
            let line = self.bytes.get(at.saturating_sub(self.width)..).unwrap_or_default().to_vec();
            self.bytes.extend(line.into_iter().cycle().take(end - at));
            self.is_repeated = false;
            return Ok(());
        }
        let fitting: Vec<u32> = self.radices.iter().filter(|radix| position(radix) == Some(at)).copied().collect();
        if fitting.is_empty() {
            return Err(format!(
                "has the address `{}`, and {at} bytes stand before it: is a line missing?",
                shown(address)
            ));
        }
        self.radices = fitting;
        Ok(())
    }
}

/// The bytes of one line, without the characters that most tools print beside them. `xxd` is known by its colon, and sets its
/// characters off with two spaces; the others put theirs between marks.
fn columns(rest: &str, is_xxd: bool) -> Result<Vec<u8>, String> {
    let digits = if is_xxd { rest.split("  ").next() } else { rest.split(['|', '>']).next() };
    let mut bytes = Vec::new();
    for group in digits.unwrap_or_default().split_ascii_whitespace() {
        if !is_xxd && group.len() != 2 && group.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("is printed in words, whose byte order is that of the machine".to_owned());
        }
        let group =
            teegate_encoding::hex::decode(group).map_err(|_| format!("has `{}` among its bytes", shown(group)))?;
        bytes.extend(group);
    }
    Ok(bytes)
}

/// `0x04, 0x00, …`, in brackets behind whatever declares it, or in none.
fn array(text: &str) -> Option<Vec<u8>> {
    let begin = text.find("0x").or_else(|| text.find("0X"))?;
    let (declared, body) = text.split_at_checked(begin)?;
    if !declared.trim_end().is_empty() && !declared.trim_end().ends_with(['{', '[', '(']) {
        return None;
    }
    let (body, behind) = body.split_once(['}', ']', ')']).unwrap_or((body, ""));
    if behind.contains("0x") || !body.contains(',') {
        return None;
    }
    let body = body.trim_end();
    let mut bytes = Vec::new();
    for element in body.strip_suffix(',').unwrap_or(body).split(',') {
        let element = element.trim();
        let digits = element.strip_prefix("0x").or_else(|| element.strip_prefix("0X"))?;
        let is_byte = matches!(digits.len(), 1 | 2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_byte)?);
    }
    Some(bytes)
}

fn broken(defect: impl Into<String>) -> Defect {
    Defect::Broken {
        kind: HEX_DUMP,
        defect: defect.into(),
        remedy: "pass the file that was dumped, or dump the whole of it again with `xxd FILE`, `hexdump -C FILE` or \
                 `od -A x -t x1z FILE`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(text: &str) -> Result<Option<(Vec<u8>, &'static str)>, String> {
        let found = read(text).map_err(|defect| defect.to_string())?;
        Ok(found.map(|decoded| (decoded.bytes, decoded.form)))
    }

    /// 36 bytes: a line twice, and four.
    const XXD: &str = "00000000: 0400 0200 8100 0000 2020 2020 7c3e 3233  ........    |>23\n\
                       00000010: 0400 0200 8100 0000 2020 2020 7c3e 3233  ........    |>23\n\
                       00000020: 61 62 63 64                              abcd\n";

    fn bytes() -> Vec<u8> {
        let line = *b"\x04\0\x02\0\x81\0\0\0    |>23";
        [&line[..], &line, b"abcd"].concat()
    }

    #[test]
    fn each_tool_s_dump_gives_the_bytes_back() {
        let canonical = "00000000  04 00 02 00 81 00 00 00  20 20 20 20 7c 3e 32 33  |........    |>23|\n*\n\
                         00000020  61 62 63 64                                       |abcd|\n00000024\n";
        let od = "000000 04 00 02 00 81 00 00 00 20 20 20 20 7c 3e 32 33  >........    |>23<\n*\n\
                  000020 61 62 63 64                                      >abcd<\n000024\n";
        let octal = "0000000 04 00 02 00 81 00 00 00 20 20 20 20 7c 3e 32 33\n\
                     0000020 04 00 02 00 81 00 00 00 20 20 20 20 7c 3e 32 33\n0000040 61 62 63 64\n0000044\n";
        let decimal = octal.replace("0000020", "0000016").replace("0000040", "0000032").replace("0000044", "0000036");
        for text in [XXD, canonical, od, octal, &decimal, &XXD.replace('\n', "\r\n")] {
            assert_eq!(dump(text), Ok(Some((bytes(), HEX_DUMP))), "{text}");
        }
        // Cut where a line ends, a dump without its end is shorter, and is not noticed here: the verifier does.
        let (first, _) = XXD.split_at(XXD.find("00000020").unwrap());
        assert_eq!(dump(first), Ok(Some((bytes()[..32].to_vec(), HEX_DUMP))));
    }

    #[test]
    fn arrays_of_every_language_give_the_bytes_back() {
        for text in [
            "unsigned char quote_bin[] = {\n  0x04, 0x00, 0xfF,\n  0x1\n};\nunsigned int quote_bin_len = 4;\n",
            "[]byte{0x04, 0x00, 0xFF, 0x01,}",
            "[0x04,0x00,0xff,0x01]",
            "bytes([0x04, 0X00, 0xff, 0x01])",
            "0x04, 0x00,\n0xff, 0x01\n",
        ] {
            assert_eq!(dump(text), Ok(Some((vec![4, 0, 0xFF, 1], ARRAY))), "{text}");
        }
        for text in [
            "0x04000200",
            "{0x04, 256}",
            "{0x04, 0x100}",
            "{0x04, 0x+1}",
            "{0x04,, 0x00}",
            "{0x04, 0x00}; {0x05, 0x06}",
            "x 0x04, 0x00",
        ] {
            assert_eq!(dump(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_dump_that_is_not_whole_says_where() {
        let without = |line: usize| {
            XXD.lines()
                .enumerate()
                .filter(|(number, _)| *number != line)
                .map(|(_, text)| format!("{text}\n"))
                .collect::<String>()
        };
        for (text, says) in [
            (without(1), "line 2 has the address `00000020`, and 16 bytes stand before it: is a line missing?"),
            (XXD.replace("6162", "61g2").replace("61 62", "61 g2"), "line 3 has `g2` among its bytes"),
            (format!("{XXD}00000024\n00000024: 00  .\n"), "line 5 follows the address of the end"),
            ("00000000  04 00 02 00\n*\n".to_owned(), "it ends with `*`"),
            (
                "00000000  04 00 02 00\n*\n00200000\n".to_owned(),
                "line 3 has the address `00200000`, which no repetition leads to",
            ),
            ("0000000 0004 0002 0081 0000\n0000008\n".to_owned(), "line 1 is printed in words"),
            ("0000000 000004 000002\n0000004\n".to_owned(), "line 1 is printed in words"),
        ] {
            let error = dump(&text).unwrap_err();
            assert!(error.contains(says) && error.contains("`hexdump -C FILE`"), "{text}: {error}");
        }
        for text in ["", "04000200", "0000 ", "00000000", "{\"a\": 1}", "0000000000000000000000 04"] {
            assert_eq!(dump(text), Ok(None), "{text}");
        }
    }
}
