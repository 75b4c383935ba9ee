//! What `infer` sends: a whole request in JSON, or files that become the inputs of one when it is known what the model takes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use teegate_client::oip::{self, Metadata, Options};
use teegate_client::{AnswerError, Client, Error};
use teegate_files::{Format, Header, Reading, Source};

use crate::gateway::{Failure, bounded, read};

/// The largest file, and the most that a packed one may hold: what is larger could not be sealed.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// What to send, and how to read it.
#[derive(Args, Debug)]
pub(super) struct InputArgs {
    /// What to send: an Open Inference Protocol v2 request (JSON), or an input as CSV, NumPy (.npy, .npz) or raw elements; `-` is
    /// standard input. Of several inputs each is given by its name, unless titles of columns or names in an .npz say it
    #[arg(long, value_name = "[NAME=]FILE", required = true, value_parser = OsStringValueParser::new().map(Given::split))]
    input: Vec<Given>,
    /// What the files are; without it, that is recognised by content and name
    #[arg(long, value_enum)]
    input_format: Option<InputFormat>,
    /// The shape of what a file of CSV, .npy or raw elements holds, as in `1,3,224,224`; one -1 is what is left over
    #[arg(long, value_name = "[NAME=]N,N,…", allow_hyphen_values = true, value_parser = Shape::parse)]
    shape: Vec<Shape>,
    /// Whether the first row of CSV names the columns; `auto`: if no cell of it is a number
    #[arg(long, value_enum, default_value_t = HeaderRow::Auto)]
    csv_header: HeaderRow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    Json,
    Csv,
    Npy,
    Npz,
    Raw,
}

impl From<InputFormat> for Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Json => Self::Json,
            InputFormat::Csv => Self::Csv,
            InputFormat::Npy => Self::Npy,
            InputFormat::Npz => Self::Npz,
            InputFormat::Raw => Self::Raw,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HeaderRow {
    Auto,
    Yes,
    No,
}

impl From<HeaderRow> for Header {
    fn from(header: HeaderRow) -> Self {
        match header {
            HeaderRow::Auto => Self::Auto,
            HeaderRow::Yes => Self::Yes,
            HeaderRow::No => Self::No,
        }
    }
}

/// A file, and perhaps the input that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    name: Option<String>,
    path: PathBuf,
}

impl Given {
    /// `NAME=FILE`; but a file that is called so is that file.
    fn split(text: OsString) -> Self {
        let parts = text.to_str().and_then(|text| text.split_once('=')).filter(|(name, _)| !name.is_empty());
        match parts {
            Some((name, path)) if !Path::new(&text).exists() => Self { name: Some(name.to_owned()), path: path.into() },
            _ => Self { name: None, path: text.into() },
        }
    }

    fn is_standard_input(&self) -> bool {
        self.path == Path::new("-")
    }

    /// What messages call it.
    fn shown(&self) -> String {
        if self.is_standard_input() { "standard input".to_owned() } else { self.path.display().to_string() }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        if self.is_standard_input() {
            return bounded(std::io::stdin().lock(), "standard input", MAX_INPUT_BYTES);
        }
        read(&self.path, MAX_INPUT_BYTES)
    }
}

/// Extents, and perhaps the input that they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    name: Option<String>,
    extents: Vec<i64>,
}

impl Shape {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, extents) = text.rsplit_once('=').map_or((None, text), |(name, extents)| (Some(name), extents));
        let extent = |extent: &str| extent.trim().parse().ok().filter(|extent: &i64| *extent >= -1);
        // A scalar has no extents.
        let extents: Option<Vec<i64>> =
            if extents.is_empty() { Some(vec![]) } else { extents.split(',').map(extent).collect() };
        let extents = extents.filter(|extents| extents.iter().filter(|extent| **extent == -1).count() <= 1);
        let extents = extents.ok_or("expected numbers with commas between them, and at most one -1")?;
        Ok(Self { name: name.map(str::to_owned), extents })
    }
}

/// What was given, read, before anybody is asked.
pub(super) enum Content {
    /// A request that is whole by itself, and whether it asks for an output in raw bytes.
    Request(Vec<u8>, bool),
    /// Files that become one.
    Files(Vec<Source>),
}

impl InputArgs {
    /// Reads the files. Everything that is wrong with them alone is told here.
    pub(super) fn read(&self) -> Result<Content, String> {
        if self.input.iter().filter(|given| given.is_standard_input()).count() > 1 {
            return Err("standard input can be given once".to_owned());
        }
        let mut sources = Vec::new();
        for given in &self.input {
            let (file, bytes) = (given.shown(), given.read()?);
            let recognised =
                self.input_format.map_or_else(|| Format::recognise(&file, &bytes), |format| Ok(format.into()));
            let format = recognised.map_err(|error| format!("{file}: {error}"))?;
            if format == Format::Json && given.name.is_none() && self.input.len() == 1 {
                return self.request(&file, bytes);
            }
            let reading = Reading { header: self.csv_header.into(), shape: self.shape_for(given)? };
            let source = Source::read(&file, given.name.clone(), format, bytes, &reading, MAX_INPUT_BYTES);
            sources.push(source.map_err(|error| error.to_string())?);
        }
        match self
            .shape
            .iter()
            .find(|shape| shape.name.is_some() && self.input.iter().all(|given| given.name != shape.name))
        {
            Some(Shape { name: Some(name), .. }) => Err(format!("`--shape` is for `{name}`, and no `--input` is")),
            _ => Ok(Content::Files(sources)),
        }
    }

    fn request(&self, file: &str, bytes: Vec<u8>) -> Result<Content, String> {
        let outline = oip::check_request(&bytes).map_err(|e| format!("{file}: {e}"))?;
        if !self.shape.is_empty() {
            return Err(format!("{file}: a request says itself of which shape its inputs are; leave `--shape` out"));
        }
        Ok(Content::Request(bytes, outline.asks_for_raw_outputs))
    }

    fn shape_for(&self, given: &Given) -> Result<Option<Vec<i64>>, String> {
        let mut shapes = self.shape.iter().filter(|shape| shape.name.is_none() || shape.name == given.name);
        match (shapes.next(), shapes.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(format!("{}: two `--shape` are for it", given.shown())),
            (Some(Shape { name: None, .. }), None) if self.input.len() > 1 => {
                Err("of several inputs each has a shape of its own: `--shape NAME=N,N,…`".to_owned())
            }
            (Some(shape), None) => Ok(Some(shape.extents.clone())),
        }
    }
}

/// The request that files become: the model is asked what it takes, inside the seal, by a client that has verified it. `shown_by`
/// is the command that shows the same.
pub(super) async fn request(
    client: &Client,
    sources: Vec<Source>,
    raw_outputs: bool,
    shown_by: &str,
) -> Result<Vec<u8>, Failure> {
    // Its errors are about a question that runs nothing: what became of it matters to nobody.
    let reply = client.metadata().await.map_err(|error| not_told(error, shown_by))?;
    let metadata = Metadata::parse(&reply.response.content);
    let metadata = metadata.map_err(|error| not_told(Error::Answer(AnswerError::Tensors(error)), shown_by))?;
    let told = |error: &dyn std::fmt::Display| {
        Failure::Input(format!("{error}\n`{shown_by}` shows what it takes\nnothing of the input was sealed or sent"))
    };
    let inputs = teegate_files::fit(sources, &metadata).map_err(|error| told(&error))?;
    let options = Options { raw_inputs: true, raw_outputs, ..Options::default() };
    oip::request_with(&inputs, &options).map_err(|error| told(&error))
}

/// The model did not say what it takes. Who was refused before anything was sealed is told as always.
fn not_told(error: Error, shown_by: &str) -> Failure {
    match error {
        Error::Relay(_) | Error::Remote(_) | Error::NotResealed { .. } | Error::Answer(_) => Failure::Input(format!(
            "the question what the model takes, which runs nothing, came to nothing: {error}\n`{shown_by}` asks the same\nnothing \
                 of the input was sealed or sent"
        )),
        _ => Failure::Client(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_client::{Problem, ProblemKind, RemoteProblem};

    #[test]
    fn a_question_that_was_lost_is_no_request_that_may_have_run() {
        let remote =
            |kind| RemoteProblem { status: 502, problem: Some(Problem::new(kind)), sealed: false, words: None };
        for error in
            [Error::Remote(remote(ProblemKind::UpstreamLost)), Error::Answer(AnswerError::Unsealed { status: 200 })]
        {
            let Failure::Input(words) = not_told(error, "teegate models …") else { panic!("status 5") };
            assert!(
                words.starts_with("the question what the model takes, which runs nothing, came to nothing: "),
                "{words}"
            );
            assert!(
                words.ends_with("`teegate models …` asks the same\nnothing of the input was sealed or sent"),
                "{words}"
            );
        }
        // The twin: an instance that the policy refuses has the status of that.
        assert!(matches!(not_told(Error::NoCandidate { refused: vec![] }, ""), Failure::Client(_)));
    }

    #[test]
    fn a_name_before_a_file_is_one_unless_the_file_is_called_so() {
        let of = |text: &str| Given::split(text.into());
        let given = |name: Option<&str>, path: &str| Given { name: name.map(str::to_owned), path: path.into() };
        assert_eq!(of("x=in.npy"), given(Some("x"), "in.npy"));
        assert_eq!(of("x=a=b.npy"), given(Some("x"), "a=b.npy"));
        assert_eq!(of("in.npy"), given(None, "in.npy"));
        assert_eq!(of("=in.npy"), given(None, "=in.npy"));
        assert!(of("-").is_standard_input() && of("x=-").is_standard_input());
        let folder = tempfile::tempdir().unwrap();
        let called_so = folder.path().join("run=7.csv");
        std::fs::write(&called_so, "1").unwrap();
        assert_eq!(of(called_so.to_str().unwrap()), given(None, called_so.to_str().unwrap()));
    }

    #[test]
    fn a_shape_is_numbers_of_which_one_may_be_left_over() {
        let of = |text: &str| Shape::parse(text).map(|shape| (shape.name, shape.extents));
        assert_eq!(of("1,3,224,224"), Ok((None, vec![1, 3, 224, 224])));
        assert_eq!(of("-1, 30"), Ok((None, vec![-1, 30])));
        assert_eq!(of("a=b=2"), Ok((Some("a=b".to_owned()), vec![2])));
        assert_eq!(of(""), Ok((None, vec![])));
        for wrong in ["1,", "x", "-2", "-1,-1", "1x2", "1.5", "99999999999999999999"] {
            assert!(of(wrong).unwrap_err().starts_with("expected numbers with commas"), "{wrong}");
        }
    }
}
