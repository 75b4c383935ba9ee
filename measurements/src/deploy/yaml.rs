//! A manifest as Kubernetes' readers see it, with the place of each value; JSON is a part of YAML.
//!
//! Where two readers could see two things, there is none: anchors, aliases, tags, merge keys, a key that stands twice, and text
//! without quotes that some reader takes for a number or a truth value.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::error::DeployError;

/// The largest manifest that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// How deep values nest.
const MAX_DEPTH: usize = 48;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    value: Value,
    line: usize,
    column: usize,
}

#[derive(Debug)]
enum Value {
    Scalar { text: String, is_plain: bool },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A value by the path that leads to it.
#[derive(Clone, Debug)]
pub(super) struct At<'n> {
    path: String,
    node: &'n Node,
}

/// The documents of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, DeployError> {
    if text.len() > MAX_BYTES {
        return Err(DeployError::new(format!("manifest: {} bytes, where at most {MAX_BYTES} are read", text.len())));
    }
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                documents.push(reader.node(first, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), DeployError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let marker = error.marker();
                Err(DeployError::new(format!(
                    "manifest, line {}, column {}: no YAML: {}",
                    marker.line(),
                    marker.col() + 1,
                    error.info()
                )))
            }
            None => Err(DeployError::new("manifest: it ends inside a document")),
        }
    }

    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> Result<Node, DeployError> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let wrong = |what: &str| Err(DeployError::new(format!("manifest, line {line}, column {column}: {what}")));
        if depth > MAX_DEPTH {
            return wrong("values nest too deep");
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.is_some())
            }
            _ => (1, false),
        };
        if anchor != 0 {
            return wrong("anchors and aliases are not taken: write the value out");
        }
        if tag {
            return wrong("tags are not taken: write the value without one");
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), is_plain: matches!(style, ScalarStyle::Plain) }
            }
            Event::SequenceStart(..) => {
                let mut nodes = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::List(nodes),
                        first => nodes.push(self.node(first, depth + 1)?),
                    }
                }
            }
            _ => {
                let mut members: Vec<(String, Node)> = Vec::new();
                loop {
                    let first = match self.next()? {
                        (Event::MappingEnd, _) => break Value::Map(members),
                        first => first,
                    };
                    let key = self.node(first, depth + 1)?;
                    let Value::Scalar { text, .. } = key.value else {
                        return wrong("a key is no text");
                    };
                    if text == "<<" {
                        return wrong("merge keys are not taken: write the values out");
                    }
                    if members.iter().any(|(known, _)| *known == text) {
                        return Err(DeployError::new(format!(
                            "manifest, line {}, column {}: `{}` stands twice",
                            key.line,
                            key.column,
                            super::error::short(&text)
                        )));
                    }
                    let first = self.next()?;
                    members.push((text, self.node(first, depth + 1)?));
                }
            }
        };
        Ok(Node { value, line, column })
    }
}

impl<'n> At<'n> {
    /// The root of a document.
    pub(super) fn root(node: &'n Node) -> Self {
        Self { path: String::new(), node }
    }

    /// An error about this value: what stands there, and what was expected.
    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> DeployError {
        let Node { line, column, .. } = self.node;
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        DeployError::new(format!("`{path}` (line {line}, column {column}): {what}"))
    }

    /// A name for this value, with its place.
    pub(super) fn named(&self, name: &str) -> String {
        format!("`{name}` (line {})", self.node.line)
    }

    /// The members of an object.
    pub(super) fn members(&self) -> Result<Vec<(&'n str, Self)>, DeployError> {
        let Value::Map(members) = &self.node.value else { return Err(self.wrong("expected an object")) };
        let dot = if self.path.is_empty() { "" } else { "." };
        let at = |(key, node): &'n (String, Node)| {
            (key.as_str(), Self { path: format!("{}{dot}{}", self.path, super::error::short(key)), node })
        };
        Ok(members.iter().map(at).collect())
    }

    /// A member of an object, unless it is null.
    pub(super) fn get(&self, name: &str) -> Result<Option<Self>, DeployError> {
        Ok(self.members()?.into_iter().find(|(key, at)| *key == name && !at.is_null()).map(|(_, at)| at))
    }

    /// A member that has to be there.
    pub(super) fn needed(&self, name: &str, why: &str) -> Result<Self, DeployError> {
        self.get(name)?.ok_or_else(|| self.wrong(format_args!("`{name}` is missing: {why}")))
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Result<Vec<Self>, DeployError> {
        let Value::List(nodes) = &self.node.value else { return Err(self.wrong("expected a list")) };
        let at = |(index, node)| Self { path: format!("{}[{index}]", self.path), node };
        Ok(nodes.iter().enumerate().map(at).collect())
    }

    /// Whether it is null, or a list or an object of nothing.
    pub(super) fn is_empty(&self) -> bool {
        match &self.node.value {
            Value::List(nodes) => nodes.is_empty(),
            Value::Map(members) => members.is_empty(),
            Value::Scalar { .. } => self.is_null(),
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.node.value, Value::Scalar { text, is_plain: true } if ["", "~", "null"].contains(&text.as_str()))
    }

    /// Text that every reader takes for text.
    pub(super) fn text(&self) -> Result<&'n str, DeployError> {
        let Value::Scalar { text, is_plain } = &self.node.value else { return Err(self.wrong("expected text")) };
        if *is_plain && is_ambiguous(text) {
            return Err(self.wrong(format_args!(
                "`{}` is a number or a truth value to some readers: write it in quotes",
                super::error::short(text)
            )));
        }
        Ok(text)
    }

    /// `true` or `false`.
    pub(super) fn truth(&self) -> Result<bool, DeployError> {
        match &self.node.value {
            Value::Scalar { text, is_plain: true } if text == "true" => Ok(true),
            Value::Scalar { text, is_plain: true } if text == "false" => Ok(false),
            _ => Err(self.wrong("expected `true` or `false`")),
        }
    }

    /// A whole number.
    pub(super) fn number(&self) -> Result<u32, DeployError> {
        let read = match &self.node.value {
            Value::Scalar { text, is_plain: true } if text == "0" || !text.starts_with(['0', '+']) => text.parse().ok(),
            _ => None,
        };
        read.ok_or_else(|| self.wrong("expected a whole number, in decimal digits"))
    }
}

/// Whether a reader of YAML 1.1 or 1.2 takes this for something else than text.
fn is_ambiguous(text: &str) -> bool {
    let words =
        ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "-.inf", "+.inf"];
    let lower = text.to_ascii_lowercase();
    let is_numeric = |c: char| c.is_ascii_hexdigit() || "+-._:ox".contains(c);
    words.contains(&lower.as_str())
        || (lower.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && lower.chars().all(is_numeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_place() {
        let documents = documents("a: 1\n---\nb:\n  - c: \"x\"\n    d: no\n").unwrap();
        assert_eq!(documents.len(), 2);
        let root = At::root(&documents[1]);
        let item = root.get("b").unwrap().unwrap().items().unwrap().remove(0);
        assert_eq!(item.get("c").unwrap().unwrap().text().unwrap(), "x");
        let error = item.get("d").unwrap().unwrap().text().unwrap_err().to_string();
        assert_eq!(
            error,
            "`b[0].d` (line 5, column 8): `no` is a number or a truth value to some readers: write it in quotes"
        );
    }

    #[test]
    fn json_is_yaml() {
        let documents = documents(r#"{"a": {"b": [true, 65532, "text"]}}"#).unwrap();
        let items = At::root(&documents[0]).get("a").unwrap().unwrap().get("b").unwrap().unwrap().items().unwrap();
        assert!(items[0].truth().unwrap());
        assert_eq!((items[1].number().unwrap(), items[2].text().unwrap()), (65532, "text"));
    }

    #[test]
    fn what_two_readers_could_see_differently_is_refused() {
        for (text, why) in [
            ("a: &x 1\nb: *x\n", "line 1, column 4: anchors and aliases"),
            ("a: *x\n", "line 1"),
            ("a: !!str 1\n", "tags are not taken"),
            ("a: 1\na: 2\n", "line 2, column 1: `a` stands twice"),
            ("<<: {a: 1}\n", "merge keys"),
            ("a: [1\n", "no YAML"),
            ("? [a]\n: 1\n", "a key is no text"),
        ] {
            let error = documents(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(documents(&deep).unwrap_err().to_string().contains("nest too deep"));
        let long = "a".repeat(MAX_BYTES + 1);
        assert!(documents(&long).unwrap_err().to_string().contains("at most 1048576 are read"));
        for text in ["1", "0x1f", "1e3", "12:30", "Yes", ".inf", "2026-11-29", "-1"] {
            assert!(is_ambiguous(text), "{text}");
        }
        for text in ["text", "ghcr.io/a/b", "/usr/bin/enclave-app", "v1", "--config"] {
            assert!(!is_ambiguous(text), "{text}");
        }
    }
}
