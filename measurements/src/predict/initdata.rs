//! What Kata and the CoCo agents bind of initdata: the digest of the file's bytes, in the field of each platform.
//!
//! Confidential Containers, *Initdata specification* 0.1.0: `version`, `algorithm`, `[data]`. The digest is over the TOML as it is,
//! not over what it says.

use teegate_verifier::Tee;
use teegate_verifier::place::{readable, shortened};
use toml::de::{DeTable, DeValue};

use super::digest::DigestAlgorithm;
use super::input::{Input, PredictError};
use super::prediction::{Predicted, Prediction};

/// Azure takes 64 KiB of it in base64.
pub const MAX_BYTES: usize = 1 << 20;

/// Where the digest of initdata goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitdataFor {
    /// HOST_DATA of SEV-SNP, 32 bytes.
    SevSnp,
    /// MRCONFIGID of TDX, 48 bytes.
    Tdx,
    /// PCR 8 of a virtual TPM, which the attestation agent extends with SHA-256 alone.
    AzureVtpm,
}

/// Predicts `host_data`, `mrconfigid` or `pcr8`.
///
/// # Errors
/// Where the file is no initdata, or its algorithm does not fit into the field whole: a digest that is cut, or padded, is another
/// value in each implementation.
pub fn initdata(bytes: &[u8], place: InitdataFor) -> Result<Prediction, PredictError> {
    let input = Input::new("initdata", bytes, MAX_BYTES)?;
    let algorithm = algorithm(input)?;
    let digest = algorithm.of(&[bytes]);
    let name = algorithm.name();
    let (field, tee, value) = match (place, algorithm) {
        (InitdataFor::SevSnp, DigestAlgorithm::Sha256) => ("host_data", Some(Tee::SevSnp), digest),
        (InitdataFor::Tdx, DigestAlgorithm::Sha384) => ("mrconfigid", Some(Tee::Tdx), digest),
        (InitdataFor::AzureVtpm, DigestAlgorithm::Sha256) => {
            ("pcr8", None, DigestAlgorithm::Sha256.of(&[&[0; 32], &digest]))
        }
        (InitdataFor::Tdx, DigestAlgorithm::Sha256) => {
            // Filled up with zeros by the runtime, which loses nothing.
            ("mrconfigid", Some(Tee::Tdx), [digest, vec![0; 16]].concat())
        }
        (InitdataFor::AzureVtpm, _) => {
            return Err(input.wrong(format_args!(
                "algorithm {name}: the attestation agent extends PCR 8 with a digest of sha256 and refuses any other, so the guest would \
                 not start; write `algorithm = \"sha256\"`"
            )));
        }
        (InitdataFor::SevSnp, _) => {
            return Err(input.wrong(format_args!(
                "algorithm {name}: HOST_DATA has 32 bytes, and a longer digest would be cut; write `algorithm = \"sha256\"`"
            )));
        }
        (InitdataFor::Tdx, DigestAlgorithm::Sha512) => {
            return Err(input.wrong(format_args!(
                "algorithm {name}: MRCONFIGID has 48 bytes, and a longer digest would be cut; write `algorithm = \"sha384\"`"
            )));
        }
    };
    let of = format!("initdata of {} bytes, {name}", bytes.len());
    let notes = vec![
        "the host chooses this value and the guest's agent compares it: it binds a workload only where the launch measurement (on a \
         vTPM the boot PCRs as well) pins the code that compares"
            .to_owned(),
    ];
    Ok(Prediction { kind: "initdata", tee, values: vec![Predicted { field, value, of }], notes })
}

const GZIP: &str = "it is gzip";

/// The form in which an annotation carries initdata (`io.katacontainers.config.hypervisor.cc_init_data`), by how it begins.
pub(super) fn carried(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // RFC 1952: its two bytes, and deflate; and the same in base64.
        [0x1F, 0x8B, 8, ..] => Some(GZIP),
        [b'H', b'4', b's', b'I', ..] => Some("it is gzip in base64, as an annotation carries initdata"),
        _ => None,
    }
}

fn algorithm(input: Input<'_>) -> Result<DigestAlgorithm, PredictError> {
    if let Some(carried) = carried(input.bytes()) {
        return Err(input.wrong(format_args!(
            "{carried}: the digest is over the TOML in it, which `{}` gives",
            if carried == GZIP { "gunzip < FILE" } else { "base64 -d FILE | gunzip" }
        )));
    }
    let text = std::str::from_utf8(input.bytes()).map_err(|_| input.wrong("it is not UTF-8"))?;
    let document = DeTable::parse(text).map_err(|error| input.wrong(format_args!("no TOML: {}", readable(&error))))?;
    let member =
        |name: &str| document.get_ref().iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_ref());
    let written = |name: &str| match member(name) {
        Some(DeValue::String(text)) => Some(text.as_ref()),
        _ => None,
    };
    if written("version") != Some("0.1.0") {
        return Err(input.wrong("expected `version = \"0.1.0\"`"));
    }
    let Some(DeValue::Table(data)) = member("data") else {
        return Err(input.wrong("expected a table `[data]`"));
    };
    if let Some((key, _)) = data.iter().find(|(_, value)| !matches!(value.get_ref(), DeValue::String(_))) {
        let name = shortened(key.get_ref(), 80);
        return Err(input.wrong(format_args!("`{name}` in `[data]` is no string: expected the text of a file")));
    }
    // Letter for letter, as the agents' readers have them: a guest would not start with any other spelling.
    let named = written("algorithm");
    let known = DigestAlgorithm::ALL.into_iter().find(|known| named == Some(known.name()));
    known.ok_or_else(|| input.wrong("expected `algorithm` to be \"sha256\", \"sha384\" or \"sha512\""))
}
