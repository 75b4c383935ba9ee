//! Rows of cells: CSV as RFC 4180 has it, with a comma, a semicolon, a tab or a space between cells.
//!
//! The text is gone through once to see that every row has as many cells as the first, and once more for the elements, when it
//! is known of which type they are. An error names the row and the column, and not what stands there; rows are counted as a
//! spreadsheet does, from 1 and with the header, and without lines that are empty.

use csv::{ByteRecord, Reader, ReaderBuilder};
use teegate_client::oip::{Datatype, TensorData};

use crate::error::{FileError, quoted};
use crate::number::{self, Unfit};

/// Whether the first row names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// It does if no cell of it is a number, nor looks like one that is missing or written otherwise; of a model that takes text, if it
    /// names its inputs. What may be either is an error.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// A table of text whose rows are of one length.
#[derive(Clone, PartialEq)]
pub struct Table {
    text: Vec<u8>,
    delimiter: u8,
    header: Header,
    first: Vec<String>,
    rows: usize,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} rows, {} columns)", self.rows, self.columns())
    }
}

impl Table {
    /// Reads text as a table.
    pub fn read(text: &[u8], header: Header) -> Result<Self, FileError> {
        if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") {
            return Err(FileError::new("this is UTF-16; save it as CSV in UTF-8"));
        }
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let delimiter = delimiter(text);
        let mut table = Self { text: text.to_vec(), delimiter, header, first: Vec::new(), rows: 0 };
        let mut reader = table.reader();
        let (mut record, mut first, mut rows) = (ByteRecord::new(), Vec::new(), 0_usize);
        while next(&mut reader, &mut record)? {
            rows = rows.saturating_add(1);
            if rows == 1 {
                first = record.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
            } else if record.len() != first.len() {
                let (found, expected) = (record.len(), first.len());
                return Err(FileError::new(format!("row {rows} has {found} cells, and row 1 has {expected}")));
            }
        }
        drop(reader);
        if rows == 0 {
            return Err(FileError::new("this is empty"));
        }
        // Where there are more columns an empty line has fewer cells than a row with nothing in them.
        if let (1, Some(row)) = (first.len(), row_before_an_empty_line(text)) {
            return Err(FileError::new(format!(
                "behind row {row} stands an empty line, and more rows: is an item missing there? A number that is missing is written NaN, \
                 a text \"\"; otherwise take the line out"
            )));
        }
        (table.first, table.rows) = (first, rows);
        Ok(table)
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.first.len()
    }

    /// The cells of the first row.
    pub(crate) fn first(&self) -> &[String] {
        &self.first
    }

    /// Whether the first row names the columns, of a table for inputs of these names and types.
    pub(crate) fn has_header(&self, names: &[&str], datatypes: &[Option<Datatype>]) -> Result<bool, FileError> {
        match self.header {
            Header::Yes => return Ok(true),
            Header::No => return Ok(false),
            Header::Auto => (),
        }
        if self.first.iter().any(|cell| names.contains(&cell.as_str())) {
            return Ok(true);
        }
        if datatypes.contains(&Some(Datatype::Bytes)) {
            return Ok(false);
        }
        let unclear = |what: &str| {
            let choice = "say whether it is one (`--csv-header yes`) or an item (`--csv-header no`)";
            Err(FileError::new(format!("row 1 {what}: {choice}")))
        };
        // What a data frame without titles is given for a header.
        if self.rows > 1 && self.first.iter().enumerate().all(|(at, cell)| *cell == at.to_string()) {
            return unclear(match self.columns() {
                1 => "is 0, which a data frame of one column without a title has for a header",
                2 => "is 0, 1, which a data frame without titles has for a header",
                _ => "is 0, 1, 2 and so on, which a data frame without titles has for a header",
            });
        }
        let is_title = |cell: &String| !number::is_number(cell.as_bytes());
        let has_titles = self.first.iter().all(is_title) && self.first.iter().any(|cell| !cell.is_empty());
        if has_titles && self.first.iter().any(|cell| looks_like_an_item(cell)) {
            return unclear(
                "has no number that could be read and looks like an item all the same, rather than a header",
            );
        }
        Ok(has_titles)
    }

    /// How many rows there are beside the header.
    pub(crate) fn rows(&self, has_header: bool) -> usize {
        self.rows.saturating_sub(usize::from(has_header))
    }

    /// The elements of all columns, row by row, or of one.
    pub(crate) fn elements(
        &self,
        datatype: Datatype,
        column: Option<usize>,
        has_header: bool,
    ) -> Result<TensorData, FileError> {
        let from = Cells { table: self, column, has_header };
        Ok(match datatype {
            Datatype::Bool => TensorData::Bool(from.each(number::truth)?),
            Datatype::Uint8 => TensorData::Uint8(from.each(number::whole)?),
            Datatype::Uint16 => TensorData::Uint16(from.each(number::whole)?),
            Datatype::Uint32 => TensorData::Uint32(from.each(number::whole)?),
            Datatype::Uint64 => TensorData::Uint64(from.each(number::whole)?),
            Datatype::Int8 => TensorData::Int8(from.each(number::whole)?),
            Datatype::Int16 => TensorData::Int16(from.each(number::whole)?),
            Datatype::Int32 => TensorData::Int32(from.each(number::whole)?),
            Datatype::Int64 => TensorData::Int64(from.each(number::whole)?),
            Datatype::Fp16 => TensorData::Fp16(from.each(number::fp16)?),
            Datatype::Bf16 => TensorData::Bf16(from.each(number::bf16)?),
            Datatype::Fp32 => TensorData::Fp32(from.each(number::fp32)?),
            Datatype::Fp64 => TensorData::Fp64(from.each(number::fp64)?),
            Datatype::Bytes => TensorData::Bytes(from.each(|cell| Ok(cell.to_vec()))?),
        })
    }

    fn reader(&self) -> Reader<&[u8]> {
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .from_reader(self.text.as_slice())
    }
}

/// The cells of a table that make a tensor.
struct Cells<'a> {
    table: &'a Table,
    column: Option<usize>,
    has_header: bool,
}

impl Cells<'_> {
    fn each<T>(&self, read: impl Fn(&[u8]) -> Result<T, Unfit>) -> Result<Vec<T>, FileError> {
        let mut reader = self.table.reader();
        let (mut record, mut elements, mut row) = (ByteRecord::new(), Vec::new(), 0_usize);
        while next(&mut reader, &mut record)? {
            row = row.saturating_add(1);
            if row == 1 && self.has_header {
                continue;
            }
            for (at, cell) in record.iter().enumerate().filter(|(at, _)| self.column.is_none_or(|column| column == *at))
            {
                elements.push(read(cell).map_err(|unfit| self.wrong(row, at, unfit))?);
            }
        }
        Ok(elements)
    }

    fn wrong(&self, row: usize, at: usize, unfit: Unfit) -> FileError {
        let title = self.table.first.get(at).filter(|_| self.has_header).map(|title| format!(" ({})", quoted(title)));
        let (column, title) = (at.saturating_add(1), title.unwrap_or_default());
        let remedy = if row == 1 { "; if row 1 names the columns, say `--csv-header yes`" } else { "" };
        FileError::new(format!("row {row}, column {column}{title}: {}{remedy}", unfit.words()))
    }
}

/// The next row that is not empty.
fn next(reader: &mut Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, FileError> {
    // Out of memory there is only what was in memory before.
    reader.read_byte_record(record).map_err(|_| FileError::new("it cannot be read as CSV"))
}

/// Whether a cell that is no number stands where one is meant: written as elsewhere (`1,5`, `1.234,5`, `5%`), or for one that is missing.
fn looks_like_an_item(cell: &str) -> bool {
    let is_written_otherwise = cell.contains(|c: char| c.is_ascii_digit())
        && cell.chars().all(|c| c.is_ascii_digit() || c.is_whitespace() || "+-.,'%$€£/:".contains(c));
    is_written_otherwise || MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// What tables hold in place of a number that is missing.
const MISSING: [&str; 12] = ["na", "n/a", "#n/a", "<na>", "null", "none", "nil", "missing", "?", "-", "--", "."];

/// How many rows stand before an empty line that has rows behind it. The reader passes over empty lines.
fn row_before_an_empty_line(text: &[u8]) -> Option<usize> {
    let (mut rows, mut is_quoted, mut is_empty, mut found) = (0_usize, false, true, None);
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        if is_quoted || !matches!(byte, b'\n' | b'\r') {
            is_quoted ^= *byte == b'"';
            is_empty = false;
            if found.is_some() {
                return found;
            }
            continue;
        }
        // Both together end one line.
        let _end = bytes.next_if(|next| *byte == b'\r' && **next == b'\n');
        match is_empty {
            true if rows > 0 => found = Some(rows),
            true => {}
            false => rows = rows.saturating_add(1),
        }
        is_empty = true;
    }
    None
}

/// What stands between cells: a tab, a semicolon or a comma, whichever of these is in the first line outside of quotes; without
/// any of them spaces, but only between numbers.
fn delimiter(text: &[u8]) -> u8 {
    let mut lines =
        text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut is_quoted = false;
    let is_outside = |byte: &&u8| {
        is_quoted ^= **byte == b'"';
        !is_quoted
    };
    let outside: Vec<u8> = first.iter().filter(is_outside).copied().collect();
    if let Some(delimiter) = b"\t;,".iter().find(|delimiter| outside.contains(delimiter)) {
        return *delimiter;
    }
    let row = lines.next().unwrap_or(first);
    let is_in_spaces = row.contains(&b' ') && row.split(|byte| *byte == b' ').all(number::is_number);
    if is_in_spaces { b' ' } else { b',' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table::read(text.as_bytes(), Header::Auto).unwrap()
    }

    fn numbers(text: &str) -> Result<TensorData, String> {
        let table = Table::read(text.as_bytes(), Header::Auto).map_err(|error| error.to_string())?;
        let has_header = table.has_header(&[], &[Some(Datatype::Fp32)]).map_err(|error| error.to_string())?;
        table.elements(Datatype::Fp32, None, has_header).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_read_whatever_parts_them_and_a_header_is_passed_over() {
        let expected = Ok(TensorData::Fp32(vec![1.5, 2.0, -3.0, 4e2]));
        for text in [
            "1.5,2\n-3,4e2\n",
            "1.5;2\r\n-3;4e2",
            "1.5\t2\n\n-3\t4e2\n",
            "1.5 2\n-3 4e2",
            "\u{feff}mean radius,\"area, worst\"\n1.5,2\n-3,4e2\n",
            "a;b\n 1.5 ; 2\n\"-3\";4e2\n",
            "1.5\n2\n-3\n4e2\n",
            "value\n1.5\n2\n-3\n4e2\n",
        ] {
            assert_eq!(numbers(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_cell_that_is_no_number_is_named_by_row_line_and_column_and_not_repeated() {
        for (text, reason) in [
            ("1,2\n3,x9\n", "row 2, column 2: it is no number"),
            ("a,b\n1,2\n\n3,\n", "row 3, column 2 (`b`): it is empty; a number that is missing is written NaN"),
            ("a;b\n1;2,5\n", "row 2, column 2 (`b`): it is no number as it stands: decimals follow a point"),
            ("1,x9\n2,3\n", "row 1, column 2: it is no number; if row 1 names the columns, say `--csv-header yes`"),
            ("1,2\n3\n", "row 2 has 1 cells, and row 1 has 2"),
            ("1,2\n\"3,4\n5,6", "row 2 has 1 cells"),
            ("0,1,2\n5,6,7\n", "row 1 is 0, 1, 2 and so on"),
            ("0\n5\n", "row 1 is 0, which a data frame of one column"),
            ("0,1\n5,6\n", "row 1 is 0, 1, which a data frame"),
            ("1,5;2,5\n3,5;4,5\n", "row 1 has no number that could be read and looks like an item"),
            ("NA,?\n1,2\n", "row 1 has no number that could be read and looks like an item"),
            ("-\n1\n", "row 1 has no number that could be read and looks like an item"),
            ("1\n\n2\n", "behind row 1 stands an empty line, and more rows"),
            ("x\r\n1\r\n\r\n2\r\n", "behind row 2 stands an empty line, and more rows"),
            ("1\r\r2", "behind row 1 stands an empty line, and more rows"),
            ("", "this is empty"),
            ("\n\n", "this is empty"),
        ] {
            let error = numbers(text).unwrap_err();
            assert!(error.starts_with(reason) && !error.contains("x9"), "{text:?}: {error}");
        }
        let utf16 = Table::read(b"\xFF\xFE1\0,\0", Header::Auto).unwrap_err().to_string();
        assert_eq!(utf16, "this is UTF-16; save it as CSV in UTF-8");
        let long = format!("{}\n1,2\nx,y\n", "t".repeat(500)).replacen('\n', ",u\n", 1);
        assert!(numbers(&long).unwrap_err().contains(&format!("(`{}…`)", "t".repeat(80))));
    }

    #[test]
    fn whether_the_first_row_is_a_header_is_seen_or_said() {
        let of = |text: &str, header: Header, names: &[&str], datatype: Datatype| {
            let table = Table::read(text.as_bytes(), header).unwrap();
            table.has_header(names, &[Some(datatype)]).ok()
        };
        let fp32 = Datatype::Fp32;
        for (text, header, names, datatype, expected) in [
            ("a,b\n1,2", Header::Auto, &[][..], fp32, Some(true)),
            (",a\n0,1", Header::Auto, &[], fp32, Some(true)),
            ("1,2\n3,4", Header::Auto, &[], fp32, Some(false)),
            ("nan,inf\n3,4", Header::Auto, &[], fp32, Some(false)),
            ("1,\n3,4", Header::Auto, &[], fp32, Some(false)),
            ("true,false", Header::Auto, &[], Datatype::Bool, Some(false)),
            ("0,1,2\n3,4,5", Header::Auto, &[], fp32, None),
            ("0,1,2", Header::Auto, &[], fp32, Some(false)),
            ("0", Header::Auto, &[], fp32, Some(false)),
            ("0\n3", Header::Auto, &[], fp32, None),
            ("0\n3", Header::No, &[], fp32, Some(false)),
            ("1\n3", Header::Auto, &[], fp32, Some(false)),
            ("1,5;NA\n3;4", Header::Auto, &[], fp32, None),
            ("1,5;NA\n3;4", Header::Yes, &[], fp32, Some(true)),
            ("size-1,5th %\n3,4", Header::Auto, &[], fp32, Some(true)),
            ("?\nmore text", Header::Auto, &["text"], Datatype::Bytes, Some(false)),
            ("0,1,2\n3,4,5", Header::No, &[], fp32, Some(false)),
            ("0,1,2\n3,4,5", Header::Yes, &[], fp32, Some(true)),
            ("some text\nmore text", Header::Auto, &["text"], Datatype::Bytes, Some(false)),
            ("text\nmore text", Header::Auto, &["text"], Datatype::Bytes, Some(true)),
            ("7,8\n1,2", Header::Auto, &["7", "8"], fp32, Some(true)),
        ] {
            assert_eq!(of(text, header, names, datatype), expected, "{text:?}");
        }
        assert_eq!((table("a\n1\n2").rows(true), table("a\n1\n2").rows(false)), (2, 3));
    }

    #[test]
    fn a_column_alone_and_text_as_it_stands() {
        let table = table("age,name\n41,\"Doe, J\"\n7, \u{fc} \n");
        assert_eq!(table.elements(Datatype::Int64, Some(0), true).unwrap(), TensorData::Int64(vec![41, 7]));
        let names = TensorData::Bytes(vec![b"Doe, J".to_vec(), " \u{fc} ".as_bytes().to_vec()]);
        assert_eq!(table.elements(Datatype::Bytes, Some(1), true).unwrap(), names);
        assert_eq!(format!("{table:?}"), "Table(3 rows, 2 columns)");
        // Before the first row, behind the last, and inside of quotes nothing is missing.
        let table = Table::read(b"\n\n\"a\n\nb\"\nc\n\n\n", Header::No).unwrap();
        let texts = TensorData::Bytes(vec![b"a\n\nb".to_vec(), b"c".to_vec()]);
        assert_eq!(table.elements(Datatype::Bytes, None, false).unwrap(), texts);
    }
}
