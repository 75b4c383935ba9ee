//! Where an answer goes: to standard output, to a file that is there whole or not at all, to a folder.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use teegate_client::oip::{self, Inference, Tensor};
use teegate_client::{AnswerError, Error, Reply};
use teegate_files::{file_names, npy, npz};

use super::show;
use crate::atomic::Place;
use crate::exit;
use crate::gateway::fail;
use crate::output::{finish, plain};

/// Where to write the answer, and how.
#[derive(Args, Debug)]
pub(super) struct OutputArgs {
    /// Write the answer to this file: JSON or an .npz (NumPy) by the ending of its name, or as `--format` says
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write each output tensor to this folder as well, as NAME.npy (NumPy)
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// `text`: the tensors, readable (the default without `--output`); `json`: the Open Inference Protocol answer and nothing else (of
    /// an answer with raw tensors its JSON part, with `--save` for the tensors); `npz`: a NumPy archive, with `--output`
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Npz,
}

impl OutputArgs {
    /// Makes sure of every place, so that a mistyped path is told before anything is sent. `asks_for_raw`: the request does.
    pub(super) fn open(&self, asks_for_raw: bool) -> Result<Outputs, String> {
        let format = self.format()?;
        if asks_for_raw && format == Format::Json && self.save.is_none() {
            return Err(
                "the request asks for outputs in raw bytes, which are no JSON: add `--save DIR` for them, or take \
                        `--output FILE.npz` or `--format text`"
                    .to_owned(),
            );
        }
        let file =
            self.output.as_deref().map(|path| Place::open(path).map(|place| (path.to_owned(), place))).transpose()?;
        let folder = self.save.as_deref().map(Folder::open).transpose()?;
        Ok(Outputs { format, file, folder })
    }

    fn format(&self) -> Result<Format, String> {
        let ending = self.output.as_deref().map(|path| path.extension().unwrap_or_default().to_ascii_lowercase());
        match (self.format, ending) {
            (_, _) if self.output.as_deref() == Some(Path::new("-")) => {
                Err("`--output` is a file; standard output is where the answer goes without it".to_owned())
            }
            (Some(Format::Npz), None) => Err("an archive goes to a file: add `--output FILE.npz`".to_owned()),
            (Some(format), _) => Ok(format),
            (None, None) => Ok(Format::Text),
            (None, Some(ending)) if ending == "json" => Ok(Format::Json),
            (None, Some(ending)) if ending == "npz" => Ok(Format::Npz),
            (None, Some(_)) => {
                Err("the name of `--output` ends neither in .json nor in .npz; say `--format`".to_owned())
            }
        }
    }
}

/// Places for an answer.
pub(super) struct Outputs {
    format: Format,
    file: Option<(PathBuf, Place)>,
    folder: Option<Folder>,
}

impl Outputs {
    /// Whether the request has to ask for raw bytes, in which no value is lost.
    pub(super) fn needs_raw(&self) -> bool {
        self.format == Format::Npz
    }

    /// Whether the answer may come in raw bytes.
    pub(super) fn takes_raw(&self) -> bool {
        self.format != Format::Json
    }

    /// Writes an answer to every place. It may have cost a run that cannot be had again: what cannot be written to a place of its own is
    /// shown on standard output, and is whole in a file of the temporary folder; where that cannot be either, all of it is shown.
    pub(super) fn write(self, reply: &Reply) -> Result<ExitCode, Error> {
        let content = &reply.response.content;
        let inference = oip::answer(content);
        let unreadable = |e| Error::Answer(AnswerError::Tensors(e));
        let encoded = match (self.format, &inference) {
            (Format::Json, _) => Ok([oip::json_part(content).map_err(unreadable)?, b"\n"].concat()),
            (_, Err(error)) => return Err(unreadable(error.clone())),
            (Format::Text, Ok(inference)) => Ok(show::describe(reply, inference).into_bytes()),
            (Format::Npz, Ok(inference)) => npz::write(&inference.outputs).map_err(|error| error.to_string()),
        };
        let mut failed = Vec::new();
        let text = match (self.file, encoded) {
            (None, Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            (Some((path, place)), encoded) => match encoded.and_then(|bytes| place.write(&bytes)) {
                Ok(()) => written(reply, inference.as_ref().ok(), &path),
                Err(error) => {
                    failed.push(error);
                    inference.as_ref().map_or_else(
                        |_| String::from_utf8_lossy(content).into_owned(),
                        |inference| show::describe(reply, inference),
                    )
                }
            },
            (None, Err(error)) => return Ok(fail(&format!("error: {error}"), exit::COULD_NOT_RUN)),
        };
        let mut status = finish(&text, exit::ACCEPTED);
        if status != ExitCode::from(exit::ACCEPTED) {
            failed.push("standard output took none of the answer, or a part".to_owned());
        }
        if let Some(folder) = &self.folder {
            let saved = match &inference {
                Ok(inference) => folder.save(&inference.outputs),
                Err(error) => Err(format!("the tensors cannot be saved: {error}")),
            };
            failed.extend(saved.err());
        }
        if failed.is_empty() {
            return Ok(status);
        }
        let arrays = inference.as_ref().ok().filter(|_| self.format == Format::Npz || self.folder.is_some());
        let kept = match keep(&std::env::temp_dir(), content, arrays) {
            Ok(path) => format!("the whole answer is in `{}`", path.display()),
            Err(why) => {
                let whole = inference.as_ref().map_or_else(
                    |_| String::from_utf8_lossy(content).into_owned(),
                    |inference| show::every_element(&inference.outputs),
                );
                let _shown = finish(&whole, exit::ACCEPTED);
                format!("every element of the answer was shown instead, since {why}")
            }
        };
        for error in failed {
            status = fail(&format!("error: {error}; {kept}"), exit::COULD_NOT_RUN);
        }
        Ok(status)
    }
}

/// Writes a whole answer to a new file in `folder`: its tensors as an archive where these are wanted, or else as it came.
fn keep(folder: &Path, content: &[u8], arrays: Option<&Inference>) -> Result<PathBuf, String> {
    let failed = |cause: &dyn std::fmt::Display| format!("it cannot be kept in `{}`: {cause}", folder.display());
    let (bytes, ending) = match arrays.map(|inference| npz::write(&inference.outputs)) {
        Some(Ok(archive)) => (archive, ".npz"),
        // JSON alone, or with raw tensors behind it.
        _ if oip::json_part(content).is_ok_and(|json| json.len() == content.len()) => (content.to_vec(), ".json"),
        _ => (content.to_vec(), ".bin"),
    };
    let mut file = tempfile::Builder::new()
        .prefix("teegate-answer-")
        .suffix(ending)
        .tempfile_in(folder)
        .map_err(|cause| failed(&cause))?;
    file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(|cause| failed(&cause))?;
    file.keep().map(|(_, path)| path).map_err(|cause| failed(&cause))
}

/// What is said of an answer that went to a file.
fn written(reply: &Reply, inference: Option<&Inference>, path: &Path) -> String {
    let Some(inference) = inference else { return format!("written    to {}\n", path.display()) };
    let mut text = show::summary(reply, inference);
    // Writing to a `String` cannot fail.
    let _ok = writeln!(text, "written    to {}", plain(&path.display().to_string()));
    for tensor in &inference.outputs {
        text.push_str(&show::outline(tensor));
    }
    text
}

/// A folder that output tensors are written to.
struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if it is not there.
    fn open(path: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(path).map_err(|e| format!("cannot make the folder {}: {e}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Writes one file for each tensor.
    fn save(&self, tensors: &[Tensor]) -> Result<(), String> {
        for (name, tensor) in file_names(tensors).into_iter().zip(tensors) {
            let path = self.0.join(name);
            let failed = |e: &dyn std::fmt::Display| format!("cannot write {}: {e}", path.display());
            let bytes = npy::write(tensor).map_err(|e| failed(&e))?;
            std::fs::write(&path, bytes).map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_place_is_kept_whole_or_it_is_said_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let elements: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let json = format!(
            r#"{{"model_name":"m","outputs":[{{"name":"y","shape":[100],"datatype":"INT32","data":[{}]}}]}}"#,
            elements.join(",")
        );
        let inference = oip::answer(json.as_bytes()).unwrap();
        let path = keep(folder.path(), json.as_bytes(), None).unwrap();
        assert!(path.extension().is_some_and(|ending| ending == "json"), "{}", path.display());
        assert_eq!(std::fs::read(path).unwrap(), json.as_bytes());
        let path = keep(folder.path(), json.as_bytes(), Some(&inference)).unwrap();
        let arrays = npz::read(&std::fs::read(path).unwrap(), 1 << 20).unwrap();
        assert_eq!((arrays.len(), &arrays[0].1.data), (1, &inference.outputs[0].data));
        let refused = keep(&folder.path().join("gone"), json.as_bytes(), None).unwrap_err();
        assert!(refused.starts_with("it cannot be kept in `"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        // What is shown then leaves nothing out.
        assert_eq!(show::every_element(&inference.outputs), format!("y  INT32 [100]\n  {}\n", elements.join(" ")));
    }

    #[test]
    fn the_form_of_a_file_is_said_by_its_name_or_by_an_option() {
        let of = |output: Option<&str>, format: Option<Format>| {
            OutputArgs { output: output.map(PathBuf::from), save: None, format }.format()
        };
        for (output, format, expected) in [
            (None, None, Ok(Format::Text)),
            (None, Some(Format::Json), Ok(Format::Json)),
            (Some("out.npz"), None, Ok(Format::Npz)),
            (Some("out.JSON"), None, Ok(Format::Json)),
            (Some("out.dat"), Some(Format::Npz), Ok(Format::Npz)),
            (Some("out.npz"), Some(Format::Json), Ok(Format::Json)),
            (Some("out.txt"), Some(Format::Text), Ok(Format::Text)),
            (Some("out.txt"), None, Err("ends neither in .json nor in .npz; say `--format`")),
            (None, Some(Format::Npz), Err("add `--output FILE.npz`")),
            (Some("-"), Some(Format::Json), Err("standard output is where the answer goes without it")),
        ] {
            match (of(output, format), expected) {
                (Ok(format), Ok(expected)) => assert_eq!(format, expected, "{output:?}"),
                (Err(error), Err(reason)) => assert!(error.contains(reason), "{error}"),
                (other, expected) => panic!("{output:?}: {other:?}, expected {expected:?}"),
            }
        }
    }
}
