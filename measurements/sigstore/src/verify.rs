//! The walk from a bundle to who signed.

use std::fmt;

use sigstore_verify::Verifier;
use teegate_verifier::UnixTime;

use crate::bundle;
use crate::error::{Error, line, refused};
use crate::expected::Expected;
use crate::root::TrustedRoot;

/// Who signed a file, and since when that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    expected: Expected,
    at: UnixTime,
    is_logged_then: bool,
    log: String,
}

/// Says who signed `file`, if `bundle` shows that whom the caller expects did, by `now`.
///
/// What holds then: the signature over the SHA-256 of the file is by the key of a certificate for that identity and issuer, for signing
/// code; it leads to an authority of the trusted root and was valid, like the authority, at every time that is vouched for; its log of
/// certificates has seen it; the log of signatures that the entry names has that signature, digest and certificate under a checkpoint
/// of its own; and each time, by that log or by a timestamp authority, is within what the trusted root gives the log, and not after `now`.
///
/// The library asks the machine's clock, too: what was signed after that is refused as well.
pub fn verify(
    file: &[u8],
    bundle: &[u8],
    root: &TrustedRoot,
    expected: &Expected,
    now: UnixTime,
) -> Result<Signed, Error> {
    let (bundle, entry) = bundle::read(bundle)?;
    let (root, log) = root.of_the_log(&entry)?;
    let verifier = Verifier::new(&root).map_err(|error| refused(&error))?;
    let result = verifier.verify(file, &bundle, &expected.policy()).map_err(|error| refused(&error))?;
    let mut times = Vec::new();
    for time in result.verified_timestamps() {
        let at = u64::try_from(time.as_second()).map(UnixTime::from_seconds);
        let at = at.map_err(|_| Error::new(format!("signed at {time}, before 1970")))?;
        if at > now {
            return Err(Error::new(format!("signed at {at}, which is after {now}")));
        }
        if log.public_key.valid_for.is_some_and(|window| !window.contains(*time)) {
            return Err(Error::new(format!(
                "signed at {at}, when the trusted root gave nothing on the log `{}`",
                line(&log.base_url)
            )));
        }
        times.push(at);
    }
    let logged = result.integrated_time().and_then(|time| u64::try_from(time.as_second()).ok());
    let logged = logged.map(UnixTime::from_seconds);
    let first = logged.or_else(|| times.into_iter().min());
    let at = first.ok_or_else(|| Error::new("nothing says when it was signed"))?;
    Ok(Signed { expected: expected.clone(), at, is_logged_then: logged.is_some(), log: line(&log.base_url) })
}

impl Signed {
    /// The e-mail address or URI of who signed.
    pub fn identity(&self) -> &str {
        self.expected.identity()
    }

    /// The OpenID Connect issuer that vouched for them.
    pub fn issuer(&self) -> &str {
        self.expected.issuer()
    }

    /// When the log took the entry; or where it gives no time (version 2 of Rekor), when a timestamp authority saw the signature.
    pub fn at(&self) -> UnixTime {
        self.at
    }
}

/// the Sigstore identity `ID` (issuer `URL`), logged at TIME in `LOG`: names that the caller gave stand whole.
impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (identity, issuer) = (self.identity(), self.issuer());
        let seen = if self.is_logged_then { "logged at" } else { "timestamped at" };
        write!(f, "the Sigstore identity `{identity}` (issuer `{issuer}`), {seen} {} in `{}`", self.at, self.log)
    }
}
