//! Who must have signed the reference values that the user names: nobody, a key, or a Sigstore identity.

use std::path::{Path, PathBuf};

use clap::Args;
use teegate_measurements::{ReferenceValues, reference_values, signed_reference_values};
use teegate_sigstore::{Expected, TrustedRoot};
use teegate_verifier::{Signer, UnixTime};

use crate::file;

/// Reference values of a large fleet fit many times over.
const MAX_BYTES: usize = 1 << 20;

/// Reference values that somebody signed through Sigstore. The words are those of `cosign verify-blob`.
#[derive(Args, Debug, Default)]
pub(crate) struct SigstoreArgs {
    /// The Sigstore bundle over each of them, as `cosign sign-blob --bundle` writes it: one for each `--reference-values`, in their order.
    /// It is verified offline
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "signed_by",
        requires_all = ["reference_values", "trusted_root", "certificate_identity", "certificate_oidc_issuer"]
    )]
    pub(crate) sigstore_bundle: Vec<PathBuf>,
    /// The `trusted_root.json` of the Sigstore instance: whose certificates, logs and timestamps you believe. Nothing is built in
    #[arg(long, value_name = "FILE", requires = "sigstore_bundle")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// Who must have signed: the e-mail address or URI in the certificate, letter for letter
    #[arg(long, value_name = "ID", requires = "sigstore_bundle")]
    pub(crate) certificate_identity: Option<String>,
    /// The OpenID Connect issuer that must have vouched for them, letter for letter
    #[arg(long, value_name = "URL", requires = "sigstore_bundle")]
    pub(crate) certificate_oidc_issuer: Option<String>,
}

/// What a file of reference values has to be.
pub(crate) enum Vouched {
    /// It counts for whoever gave it.
    Nobody,
    /// A CoRIM that this one signed.
    Key(Signer),
    /// Anything, under a bundle for each file.
    Sigstore { bundles: Vec<PathBuf>, root: Box<TrustedRoot>, expected: Expected },
}

impl Vouched {
    /// What the user asks of each of `files` files.
    pub(crate) fn of(signed_by: Option<&Path>, sigstore: &SigstoreArgs, files: usize) -> Result<Self, String> {
        if let Some(path) = signed_by {
            let failed = |what: String| format!("signer `{}`: {what}", path.display());
            let signer = Signer::from_pem(&read(path).map_err(failed)?).map_err(|error| failed(error.to_string()))?;
            return Ok(Self::Key(signer));
        }
        let bundles = sigstore.sigstore_bundle.clone();
        let (Some(root), Some(identity), Some(issuer)) =
            (&sigstore.trusted_root, &sigstore.certificate_identity, &sigstore.certificate_oidc_issuer)
        else {
            return Ok(Self::Nobody);
        };
        if bundles.len() != files {
            return Err(format!(
                "{} given with `--sigstore-bundle` and {files} with `--reference-values`: expected one bundle for each file of values, in \
                 the same order",
                bundles.len()
            ));
        }
        let failed = |what: String| format!("trusted root `{}`: {what}", root.display());
        let read = TrustedRoot::read(&read(root).map_err(failed)?).map_err(|error| failed(error.to_string()))?;
        let expected = Expected::new(identity.as_str(), issuer.as_str()).map_err(|error| error.to_string())?;
        Ok(Self::Sigstore { bundles, root: Box::new(read), expected })
    }

    /// The values in `bytes`, the file of this number, which hold at `now`.
    pub(crate) fn values(&self, index: usize, bytes: &[u8], now: UnixTime) -> Result<ReferenceValues, String> {
        match self {
            Self::Nobody => reference_values(bytes, now),
            Self::Key(signer) => signed_reference_values(bytes, signer, now),
            Self::Sigstore { bundles, root, expected } => {
                let path = bundles.get(index).ok_or("no Sigstore bundle for it")?;
                let failed = |what: String| format!("Sigstore bundle `{}`: {what}", path.display());
                let bundle = read(path).map_err(failed)?;
                // Before a byte of the file is looked at.
                let signed = teegate_sigstore::verify(bytes, &bundle, root, expected, now);
                let signed = signed.map_err(|error| failed(error.to_string()))?;
                Ok(reference_values(bytes, now)?.signed_by(&signed.to_string()))
            }
        }
    }
}

/// The bytes of a file, if they are no more than reference values may have.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, MAX_BYTES)
}
