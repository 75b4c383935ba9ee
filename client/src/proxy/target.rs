//! Which model a path names: *Open Inference Protocol, version 2* (kserve/open-inference-protocol, `inference_rest.md`), with and
//! without a version. Whatever else there is goes to any instance, as it is.

use http::Method;

use crate::wanted::Wanted;

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The door's own: this process serves.
    Alive,
    /// The door's own: requests would find a verified instance.
    Ready,
    /// An instance's: it is sealed.
    Inside(Inside),
}

/// What an instance is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inside {
    /// What the instance has to serve.
    pub(super) wanted: Wanted,
    /// The path inside the seal.
    pub(super) path: String,
    /// Whether a model has to run.
    pub(super) runs: bool,
}

impl Target {
    /// Of a method and the path of a request, which begins with `/`.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let path = unescaped(path);
        match (method, path.as_str()) {
            (&Method::GET | &Method::HEAD, "/livez") => return Self::Alive,
            (&Method::GET | &Method::HEAD, "/readyz") => return Self::Ready,
            _ => {}
        }
        let Some((wanted, rest)) = model(&path) else {
            return Self::Inside(Inside { wanted: Wanted::Any, path, runs: false });
        };
        let runs = method == Method::POST && rest == "infer";
        Self::Inside(Inside { wanted, path, runs })
    }
}

/// The model that a path names, and what stands behind it.
fn model(path: &str) -> Option<(Wanted, &str)> {
    let rest = path.strip_prefix("/v2/models/")?;
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    // The extension for the repository is about the server.
    if name.is_empty() {
        return None;
    }
    let (version, rest) = match rest.strip_prefix("versions/") {
        Some(rest) => {
            let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(version.to_owned()), rest)
        }
        None => (None, rest),
    };
    Some((Wanted::Model { name: name.to_owned(), version }, rest))
}

/// The path with everything written out that a name in a manifest may consist of: clients escape some of it (`+`). Whatever else
/// is escaped stays so, because it would change what the path says.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, part.get(2..)) {
            (Some(byte), Some(rest)) if byte.is_ascii_alphanumeric() || b".-_~+".contains(&byte) => {
                plain.push(char::from(byte));
                plain.push_str(rest);
            }
            _ => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, version: Option<&str>) -> Wanted {
        Wanted::Model { name: name.to_owned(), version: version.map(str::to_owned) }
    }

    #[test]
    fn a_path_leads_to_its_model_and_version() {
        let (get, post) = (Method::GET, Method::POST);
        let inside = |wanted, path: &str, runs| Target::Inside(Inside { wanted, path: path.to_owned(), runs });
        for (path, of, travels) in [
            ("/v2/models/m/infer", wanted("m", None), "/v2/models/m/infer"),
            ("/v2/models/m/versions/2/infer", wanted("m", Some("2")), "/v2/models/m/versions/2/infer"),
            ("/v2/models/m%2B1%2e0/infer", wanted("m+1.0", None), "/v2/models/m+1.0/infer"),
        ] {
            assert_eq!(Target::of(&post, path), inside(of, travels, true), "{path}");
        }
        for (path, of) in [
            ("/v2", Wanted::Any),
            ("/v2/health/live", Wanted::Any),
            ("/v2/repository/index", Wanted::Any),
            ("/v2/models", Wanted::Any),
            ("/v2/models/", Wanted::Any),
            ("/v2/models//infer", Wanted::Any),
            ("/v1/models/m:predict", Wanted::Any),
            ("/v2/models/m", wanted("m", None)),
            ("/v2/models/m/ready", wanted("m", None)),
            ("/v2/models/m/config", wanted("m", None)),
            ("/v2/models/m/infer", wanted("m", None)),
            ("/v2/models/m/versions/1", wanted("m", Some("1"))),
            ("/v2/models/m/versions/1/ready", wanted("m", Some("1"))),
            // A slash that is escaped is no slash.
            ("/v2/models/m%2Finfer", wanted("m%2Finfer", None)),
            ("/%", Wanted::Any),
            ("/v2/models/%zz/%4", wanted("%zz", None)),
            ("/v2/models/%ü", wanted("%ü", None)),
        ] {
            assert_eq!(Target::of(&get, path), inside(of, path, false), "{path}");
        }
        let more = "/v2/models/m/infer/more";
        assert_eq!(Target::of(&post, more), inside(wanted("m", None), more, false));
    }

    #[test]
    fn the_doors_own_paths_are_two() {
        assert_eq!(Target::of(&Method::GET, "/livez"), Target::Alive);
        assert_eq!(Target::of(&Method::HEAD, "/readyz"), Target::Ready);
        assert!(matches!(Target::of(&Method::POST, "/readyz"), Target::Inside(Inside { wanted: Wanted::Any, .. })));
    }
}
