//! `trusted_root.json`: the authorities and logs of one Sigstore instance, which the user pins. Protobuf specifications of Sigstore 0.5,
//! `sigstore_trustroot.proto`.

use std::fmt;

use sigstore_verify::Verifier;
use sigstore_verify::trust_root::{TransparencyLog, TrustedRoot as Root};
use sigstore_verify::types::TransparencyLogEntry;

use crate::error::{Error, line, refused};

/// That of the public instance has some seven thousand bytes.
const MAX_BYTES: usize = 1 << 20;
const MEDIA_TYPES: [&str; 2] =
    ["application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.2+json"];

/// Whom the user trusts to say who signed: certificate authorities, their certificate transparency logs, transparency logs, and timestamp
/// authorities, each with the time for which it counts.
#[derive(Clone)]
pub struct TrustedRoot(Root);

impl TrustedRoot {
    /// Reads `trusted_root.json`. What is in it is believed: the file is as good as its way to the user. Refused is one that lacks
    /// what every bundle needs, with keys or certificates that are none, or with an id that two logs have.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::new(format!("more than {MAX_BYTES} bytes: expected a trusted_root.json")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Error::new("no trusted_root.json: not UTF-8 text"))?;
        let root = Root::from_json(text)
            .map_err(|error| Error::new(format!("no trusted_root.json: {}", line(&error.to_string()))))?;
        if !MEDIA_TYPES.contains(&root.media_type.as_str()) {
            return Err(Error::new(format!(
                "the media type `{}`: expected `{}`",
                line(&root.media_type),
                MEDIA_TYPES.join("` or `")
            )));
        }
        for (is_there, what) in [
            (!root.tlogs.is_empty(), "transparency log (`tlogs`)"),
            (!root.certificate_authorities.is_empty(), "certificate authority (`certificateAuthorities`)"),
            (!root.ctlogs.is_empty(), "certificate transparency log (`ctlogs`)"),
        ] {
            if !is_there {
                return Err(Error::new(format!("names no {what}, without which no bundle can be verified")));
            }
        }
        Verifier::new(&root).map_err(|error| refused(&error))?;
        Ok(Self(root))
    }

    /// The same with the log of this entry alone: otherwise a checkpoint by any of them would do. And the log.
    pub(crate) fn of_the_log(&self, entry: &TransparencyLogEntry) -> Result<(Root, &TransparencyLog), Error> {
        let is_named = |log: &TransparencyLog| log.log_id == entry.log_id;
        let Some(log) = self.0.tlogs.iter().find(|log| is_named(log)) else {
            return Err(Error::new(format!(
                "logged in `{}`, which the trusted root does not name: expected one of {}",
                line(&entry.log_id.key_id.to_string()),
                line(&self.0.tlogs.iter().map(|log| log.base_url.as_str()).collect::<Vec<_>>().join(", "))
            )));
        };
        let mut root = self.0.clone();
        root.tlogs.retain(is_named);
        Ok((root, log))
    }
}

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedRoot").field("logs", &self.0.tlogs.len()).finish_non_exhaustive()
    }
}
