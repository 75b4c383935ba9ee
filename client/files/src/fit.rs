//! What the files hold, as the inputs that a model takes. What does not fit is said with both sides: the file and what it
//! holds, the input and what it is.

use teegate_client::oip::{Datatype, Described, Metadata, Tensor, TensorData};

use crate::error::{FileError, quoted};
use crate::npy::Array;
use crate::shape::{self, shown};
use crate::source::{Content, Read, Source};
use crate::table::Table;

/// The inputs of a request to the model that `metadata` describes.
pub fn fit(sources: Vec<Source>, metadata: &Metadata) -> Result<Vec<Tensor>, FileError> {
    let mut read: Vec<Read> = Vec::new();
    for source in &sources {
        let model = Model { metadata, source };
        for tensor in model.tensors()? {
            if let Some(other) = read.iter().find(|other| other.tensor.name == tensor.name) {
                let (file, other, name) = (&source.file, other.file, quoted(&tensor.name));
                return Err(FileError::new(format!("{file}: {name} has its values from {other} already")));
            }
            read.push(Read { file: &source.file, tensor });
        }
    }
    let missing: Vec<String> = metadata
        .inputs
        .iter()
        .filter(|input| read.iter().all(|read| read.tensor.name != input.name))
        .map(|input| format!("{} {input}", quoted(&input.name)))
        .collect();
    if missing.is_empty() {
        return Ok(read.into_iter().map(|read| read.tensor).collect());
    }
    let missing = missing.join(", ");
    let name = quoted(&metadata.name);
    Err(FileError::new(format!("{name} takes {missing} too, and nothing is given for it (`--input NAME=FILE`)")))
}

/// A source, and the model that it is for.
struct Model<'a> {
    metadata: &'a Metadata,
    source: &'a Source,
}

impl<'a> Model<'a> {
    fn tensors(&self) -> Result<Vec<Tensor>, FileError> {
        match &self.source.content {
            Content::Table(table) => match (&self.source.input, self.metadata.inputs.len()) {
                (None, 2..) => self.columns(table),
                _ => self.input()?.table(table).map(|tensor| vec![tensor]),
            },
            Content::Array(array) => self.input()?.array(array).map(|tensor| vec![tensor]),
            Content::Arrays(arrays) => arrays.iter().map(|array| self.member(array, arrays.len())).collect(),
            Content::Raw(bytes) => self.input()?.raw(&bytes.0).map(|tensor| vec![tensor]),
        }
    }

    fn wrong(&self, words: impl std::fmt::Display) -> FileError {
        FileError::new(format!("{}: {words}", self.source.file))
    }

    /// The names of all inputs.
    fn names(&self) -> String {
        let inputs = self.metadata.inputs.iter().take(SHOWN_INPUTS);
        let more = if self.metadata.inputs.len() > SHOWN_INPUTS { ", …" } else { "" };
        format!("{}{more}", inputs.map(|input| quoted(&input.name)).collect::<Vec<_>>().join(", "))
    }

    /// The input that a file without names is for.
    fn input(&self) -> Result<Input<'a>, FileError> {
        match (&self.source.input, self.metadata.inputs.as_slice()) {
            (Some(name), _) => self.named(name),
            (None, [input]) => Ok(self.of(input)),
            (None, _) => Err(self.wrong(format_args!(
                "{} takes several inputs: {}; say which one this is for (`--input NAME=FILE`)",
                quoted(&self.metadata.name),
                self.names()
            ))),
        }
    }

    fn of(&self, input: &'a Described) -> Input<'a> {
        Input { model: &self.metadata.name, source: self.source, input }
    }

    fn named(&self, name: &str) -> Result<Input<'a>, FileError> {
        let input = self.metadata.inputs.iter().find(|input| input.name == name);
        input.map(|input| self.of(input)).ok_or_else(|| {
            let (name, model) = (quoted(name), quoted(&self.metadata.name));
            self.wrong(format_args!("{model} has no input {name}; it takes {}", self.names()))
        })
    }

    /// One array of an archive, by its name. One alone for one input may have the name that NumPy gives to what has none.
    fn member(&self, (name, array): &(String, Array), of: usize) -> Result<Tensor, FileError> {
        if self.source.input.is_some() && of > 1 {
            return Err(self.wrong("the names of its arrays are those of the inputs; give it without one"));
        }
        let is_unnamed = of == 1 && (name == "arr_0" || self.source.input.is_some());
        let input = if is_unnamed { self.input()? } else { self.named(name)? };
        input.array(array)
    }

    /// A table with a column for each input, as scikit-learn's pipelines of data frames are exported.
    fn columns(&self, table: &Table) -> Result<Vec<Tensor>, FileError> {
        let inputs = &self.metadata.inputs;
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        let datatypes: Vec<_> = inputs.iter().map(Described::known_datatype).collect();
        let model = quoted(&self.metadata.name);
        if self.source.shape.is_some() {
            return Err(self.wrong(format_args!("{model} takes several inputs; `--shape` is for a file of one")));
        }
        if !table.has_header(&names, &datatypes).map_err(|error| error.of(&self.source.file))? {
            return Err(self.wrong(format_args!(
                "{model} takes several inputs: {}; row 1 has to name the columns so, or each input is a file of its own \
                 (`--input NAME=FILE`)",
                self.names()
            )));
        }
        if let Some(unknown) = table.first().iter().find(|title| !names.contains(&title.as_str())) {
            return Err(self.wrong(format_args!(
                "{model} has no input {}, as a column is called; leave that out: it takes {}",
                quoted(unknown),
                self.names()
            )));
        }
        let mut tensors = Vec::with_capacity(inputs.len());
        for input in inputs {
            let mut columns = table.first().iter().enumerate().filter(|(_, title)| **title == input.name);
            match (columns.next(), columns.next()) {
                (Some((at, _)), None) => tensors.push(self.of(input).column(table, at)?),
                (Some(_), Some(_)) => {
                    return Err(self.wrong(format_args!("two columns are called {}", quoted(&input.name))));
                }
                (None, _) => {
                    let name = quoted(&input.name);
                    return Err(self.wrong(format_args!("no column is called {name}, which {model} takes ({input})")));
                }
            }
        }
        Ok(tensors)
    }
}

/// How many inputs of a model are named.
const SHOWN_INPUTS: usize = 40;

/// A source for one input.
struct Input<'a> {
    model: &'a str,
    source: &'a Source,
    input: &'a Described,
}

impl Input<'_> {
    fn array(&self, Array { shape, data }: &Array) -> Result<Tensor, FileError> {
        if self.datatype()? != data.datatype() {
            let remedy = match numpy_name(self.datatype()?) {
                Some(name) => format!("; save it with `.astype(\"{name}\")`"),
                None => String::new(),
            };
            let holds = format!("holds {} {}", data.datatype(), shown(shape));
            return Err(self.wrong(&holds, &remedy));
        }
        let shape = match &self.source.shape {
            Some(wanted) => self.reshaped(wanted, data.len())?,
            None => shape.clone(),
        };
        self.tensor(shape, data.clone())
    }

    fn raw(&self, bytes: &[u8]) -> Result<Tensor, FileError> {
        let datatype = self.datatype()?;
        let holds = format!("holds {} bytes", bytes.len());
        let data = TensorData::from_le_bytes(datatype, bytes).ok_or_else(|| {
            let why = match datatype.size() {
                Some(size) => format!("; its elements are of {size} bytes each"),
                None => "; each of its elements follows its length, four bytes".to_owned(),
            };
            self.wrong(&format!("{holds}, which are not elements of {datatype}"), &why)
        })?;
        let fixed = self
            .input
            .shape
            .as_ref()
            .and_then(|axes| axes.iter().map(|axis| u64::try_from(*axis).ok()).collect::<Option<Vec<u64>>>());
        let shape = match (&self.source.shape, fixed) {
            (Some(wanted), _) => self.reshaped(wanted, data.len())?,
            (None, Some(fixed)) => fixed,
            (None, None) => return Err(self.wrong(&holds, "; say of which shape they are (`--shape 1,3,224,224`)")),
        };
        if shape::count(&shape) == Some(data.len()) {
            return self.tensor(shape, data);
        }
        let elements = data.len();
        Err(self.wrong(&format!("{holds}, {elements} elements, which {} does not count", shown(&shape)), ""))
    }

    fn table(&self, table: &Table) -> Result<Tensor, FileError> {
        let datatype = self.datatype()?;
        let has_header = table.has_header(&[&self.input.name], &[Some(datatype)]);
        let has_header = has_header.map_err(|error| error.of(&self.source.file))?;
        let (rows, columns) = (table.rows(has_header), table.columns());
        let holds = format!("is CSV: {rows} rows of {columns} columns");
        if rows == 0 {
            return Err(self.wrong("is CSV: a header and no row below it", ""));
        }
        let size = rows.saturating_mul(columns);
        let shape = match (&self.source.shape, &self.input.shape) {
            (Some(wanted), _) => self.reshaped(wanted, size)?,
            (None, Some(axes)) => shape::of_table(rows, columns, axes).ok_or_else(|| {
                let is_index = has_header && columns > 1 && table.first().first().is_some_and(String::is_empty);
                let would_fit = || shape::of_table(rows, columns.saturating_sub(1), axes).is_some();
                let index = "; column 1 has no title and may be an index, which pandas leaves out with `index=False`";
                self.wrong(&holds, if is_index && would_fit() { index } else { "" })
            })?,
            (None, None) => vec![shape::extent(rows), shape::extent(columns)],
        };
        // Before any cell is looked at: of a table for something else each cell may be wrong.
        self.check_shape(&shape, &holds)?;
        let data = table.elements(datatype, None, has_header).map_err(|error| error.of(&self.source.file))?;
        self.tensor(shape, data)
    }

    fn column(&self, table: &Table, at: usize) -> Result<Tensor, FileError> {
        let rows = table.rows(true);
        let holds = format!("is CSV: a column of {rows} rows");
        let shape = match &self.input.shape {
            Some(axes) => shape::of_table(rows, 1, axes).ok_or_else(|| self.wrong(&holds, ""))?,
            None => vec![shape::extent(rows), 1],
        };
        let data = table.elements(self.datatype()?, Some(at), true).map_err(|error| error.of(&self.source.file))?;
        self.tensor(shape, data)
    }

    fn reshaped(&self, wanted: &[i64], elements: usize) -> Result<Vec<u64>, FileError> {
        shape::reshape(wanted, elements).ok_or_else(|| {
            let wanted = wanted.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            self.wrong(&format!("holds {elements} elements, which `--shape {wanted}` does not count"), "")
        })
    }

    fn tensor(&self, shape: Vec<u64>, data: TensorData) -> Result<Tensor, FileError> {
        self.check_shape(&shape, &format!("holds {} {}", data.datatype(), shown(&shape)))?;
        Ok(Tensor { name: self.input.name.clone(), shape, data })
    }

    fn check_shape(&self, shape: &[u64], holds: &str) -> Result<(), FileError> {
        if self.input.takes_shape(shape) {
            return Ok(());
        }
        let remedy = if self.source.shape.is_some() { ", and `--shape` says another" } else { "" };
        Err(self.wrong(holds, remedy))
    }

    fn datatype(&self) -> Result<Datatype, FileError> {
        self.input.known_datatype().ok_or_else(|| self.wrong("is not looked at", ", which this client does not know"))
    }

    fn wrong(&self, holds: &str, remedy: &str) -> FileError {
        let Self { model, source, input } = self;
        FileError::new(format!(
            "{} {holds}; {} of {} takes {input}{remedy}",
            source.file,
            quoted(&input.name),
            quoted(model)
        ))
    }
}

/// NumPy's word for a data type.
fn numpy_name(datatype: Datatype) -> Option<&'static str> {
    Some(match datatype {
        Datatype::Bool => "bool",
        Datatype::Uint8 => "uint8",
        Datatype::Uint16 => "uint16",
        Datatype::Uint32 => "uint32",
        Datatype::Uint64 => "uint64",
        Datatype::Int8 => "int8",
        Datatype::Int16 => "int16",
        Datatype::Int32 => "int32",
        Datatype::Int64 => "int64",
        Datatype::Fp16 => "float16",
        Datatype::Fp32 => "float32",
        Datatype::Fp64 => "float64",
        Datatype::Bytes => "str",
        Datatype::Bf16 => return None,
    })
}
