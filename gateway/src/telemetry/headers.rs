//! The file of header fields that a receiver asks for: a credential, as a rule. Its values cannot be printed.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The largest file, and the most fields.
const MOST_BYTES: u64 = 16 << 10;
const MOST_FIELDS: usize = 32;

/// What the gateway says itself, or what would change how the message is framed.
const OWN: [HeaderName; 9] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Header fields of every message to a receiver.
#[derive(Clone, Default)]
pub(super) struct Headers(HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({})", self.0.len())
    }
}

impl Headers {
    /// The file at `path`: lines of `name: value`, and remarks that begin with `#`.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot read the header fields of `telemetry.headers`, `{name}`: {error}"))?;
        let wrong =
            |why: String| format!("the header fields of `telemetry.headers`, `{name}`, are not understood: {why}");
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Err(wrong(format!("there are more than {MOST_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("they are not UTF-8".to_owned()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// A message never repeats a line: it may be the credential.
    fn parse(text: &str) -> Result<Self, String> {
        let mut fields = HeaderMap::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("line {}: {what}", number.saturating_add(1));
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("expected `name: value`"))?;
            let name: HeaderName =
                name.trim().parse().map_err(|_| wrong("expected the name of a header field before `:`"))?;
            if OWN.contains(&name) {
                return Err(wrong("the gateway says this field itself"));
            }
            let mut value =
                HeaderValue::from_str(value.trim()).map_err(|_| wrong("expected visible characters after `:`"))?;
            value.set_sensitive(true);
            if fields.len() >= MOST_FIELDS {
                return Err(wrong("there are more than 32 fields"));
            }
            fields.append(name, value);
        }
        if fields.is_empty() {
            return Err("there is none: expected lines of `name: value`".to_owned());
        }
        Ok(Self(fields))
    }

    /// For the head of a message, and for nothing else.
    pub(super) fn expose(&self) -> &HeaderMap {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields_that_are_not_printed() {
        let headers = Headers::parse("# remark\n\nauthorization: Bearer hunter2#x\nx-scope:  a \n").unwrap();
        assert_eq!(headers.expose()["authorization"], "Bearer hunter2#x");
        assert_eq!(headers.expose()["x-scope"], "a");
        let printed = format!("{headers:?} {:?}", headers.expose());
        assert!(printed.starts_with("Headers(2)") && !printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn what_is_wrong_names_the_line_and_not_its_text() {
        let many = "a: b\n".repeat(33);
        for (text, why) in [
            ("", "there is none"),
            ("a: b\nhunter2", "line 2: expected `name: value`"),
            ("hunter 2: b", "line 1: expected the name of a header field"),
            ("a: hunter2\u{1}b", "line 1: expected visible characters"),
            ("Content-Type: hunter2", "line 1: the gateway says this field itself"),
            ("Transfer-Encoding: hunter2", "line 1: the gateway says this field itself"),
            (many.as_str(), "line 33: there are more than 32"),
        ] {
            let error = Headers::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter"), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_too_long_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        let error = Headers::load(&path).unwrap_err();
        assert!(error.starts_with("cannot read the header fields of `telemetry.headers`"), "{error}");
        std::fs::write(&path, "a: b\n".repeat(4_000)).unwrap();
        assert!(Headers::load(&path).unwrap_err().contains("more than 16384 bytes"));
        std::fs::write(&path, "a: b\n").unwrap();
        assert_eq!(Headers::load(&path).unwrap().expose()["a"], "b");
    }
}
