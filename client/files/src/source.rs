//! What a user brings: files, each of one form, each perhaps for one input of the model by name.

use teegate_client::oip::Tensor;

use crate::error::FileError;
use crate::format::Format;
use crate::npy::{self, Array};
use crate::npz;
use crate::table::{Header, Table};

/// How a file is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether the first row of a table names its columns.
    pub header: Header,
    /// The extents to give to what a file holds; -1, at most once, is what is left over.
    pub shape: Option<Vec<i64>>,
}

/// One file, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub(crate) file: String,
    pub(crate) input: Option<String>,
    pub(crate) shape: Option<Vec<i64>>,
    pub(crate) content: Content,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Table(Table),
    Array(Array),
    Arrays(Vec<(String, Array)>),
    Raw(Bytes),
}

/// Elements of a type that only the model knows.
#[derive(Clone, PartialEq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Source {
    /// Reads what `file` holds, for the input of that name or, without one, for whichever it fits. What is packed comes out to
    /// at most `limit` bytes. A request in JSON is no source of inputs: it is whole by itself.
    pub fn read(
        file: &str,
        input: Option<String>,
        format: Format,
        bytes: Vec<u8>,
        reading: &Reading,
        limit: u64,
    ) -> Result<Self, FileError> {
        let Reading { header, shape } = reading;
        let content = match format {
            Format::Csv => Table::read(&bytes, *header).map(Content::Table),
            Format::Npy => npy::read(&bytes).map(Content::Array),
            Format::Npz if shape.is_some() => {
                Err(FileError::new("each array of an archive has a shape; leave `--shape` out"))
            }
            Format::Npz => npz::read(&bytes, limit).map(Content::Arrays),
            Format::Raw => Ok(Content::Raw(Bytes(bytes))),
            Format::Json => {
                Err(FileError::new("a request in JSON is whole by itself; give it alone and without a name"))
            }
        };
        let content = content.map_err(|error| error.of(file))?;
        Ok(Self { file: file.to_owned(), input, shape: shape.clone(), content })
    }
}

/// A tensor, and the file that it came from.
pub(crate) struct Read<'a> {
    pub(crate) file: &'a str,
    pub(crate) tensor: Tensor,
}
