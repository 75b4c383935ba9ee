//! The initdata of a workload: what the guest's agents are configured with, and are measured to have been.
//!
//! Confidential Containers, *Initdata specification* 0.1.0. The digest is over the bytes of the TOML.

use std::io::{Read as _, Write as _};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde_json::json;
use teegate_encoding::base64;
use teegate_verifier::{Tee, Wrapping};

use super::agent_policy::agent_policy;
use super::container::Container;
use super::error::DeployError;
use crate::predict::{self, DigestAlgorithm, InitdataFor, Predicted};

/// Azure's limit of a machine's user data, which is where the annotation travels.
const MAX_ANNOTATION_BYTES: usize = 64 << 10;

/// The longest initdata that is unpacked.
const MAX_BYTES: u64 = 1 << 20;

/// Where the workload runs, and with it where the digest of its initdata is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// AKS with peer pods on AMD sizes: PCR 8 of the paravisor's vTPM.
    AzureSnp,
    /// AKS with peer pods on Intel sizes: PCR 8 of the paravisor's vTPM.
    AzureTdx,
    /// Kata on bare metal, `kata-qemu-snp`: HOST_DATA.
    KataSnp,
    /// Kata on bare metal, `kata-qemu-tdx`: MRCONFIGID.
    KataTdx,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AzureSnp, Self::AzureTdx, Self::KataSnp, Self::KataTdx];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AzureSnp => "azure-snp",
            Self::AzureTdx => "azure-tdx",
            Self::KataSnp => "kata-snp",
            Self::KataTdx => "kata-tdx",
        }
    }

    /// The runtime class that starts such a guest; a class of one's own begins with it.
    pub const fn runtime_class(self) -> &'static str {
        match self {
            Self::AzureSnp | Self::AzureTdx => "kata-remote",
            Self::KataSnp => "kata-qemu-snp",
            Self::KataTdx => "kata-qemu-tdx",
        }
    }

    /// Whose evidence the policy is about, and what it is wrapped in.
    pub const fn evidence(self) -> (Tee, Wrapping) {
        match self {
            Self::AzureSnp => (Tee::SevSnp, Wrapping::AzureVtpm),
            Self::AzureTdx => (Tee::Tdx, Wrapping::AzureVtpm),
            Self::KataSnp => (Tee::SevSnp, Wrapping::Raw),
            Self::KataTdx => (Tee::Tdx, Wrapping::Raw),
        }
    }

    /// The digest that fits into the field whole.
    const fn algorithm(self) -> DigestAlgorithm {
        match self {
            Self::AzureSnp | Self::AzureTdx | Self::KataSnp => DigestAlgorithm::Sha256,
            Self::KataTdx => DigestAlgorithm::Sha384,
        }
    }

    const fn place(self) -> InitdataFor {
        match self {
            Self::AzureSnp | Self::AzureTdx => InitdataFor::AzureVtpm,
            Self::KataSnp => InitdataFor::SevSnp,
            Self::KataTdx => InitdataFor::Tdx,
        }
    }
}

/// The text of the initdata.
pub(super) fn initdata(container: &Container, platform: Platform) -> Result<String, DeployError> {
    let policy = agent_policy(container)?;
    // No token service: the workload's evidence goes to whoever asks it.
    let attestation_agent = "[token_configs]\n\n[eventlog_config]\nenable_eventlog = false\n";
    // The second lock on the image: the agent that pulls refuses every other, and nothing but the exact name and digest is one.
    let images = json!({
        "default": [{ "type": "reject" }],
        "transports": { "docker": { &container.image: [{ "type": "insecureAcceptAnything" }] } },
    });
    let data_hub = format!(
        "socket = \"unix:///run/confidential-containers/cdh.sock\"\ncredentials = []\n\n[kbc]\nname = \"offline_fs_kbc\"\nurl = \"\"\n\n\
         [image]\nimage_security_policy = \"\"\"\n{images}\n\"\"\"\n"
    );
    Ok(format!(
        "version = \"0.1.0\"\nalgorithm = \"{}\"\n\n[data]\n\"aa.toml\" = '''\n{attestation_agent}'''\n\"cdh.toml\" = '''\n{data_hub}'''\n\
         \"policy.rego\" = '''\n{policy}'''\n",
        platform.algorithm().name()
    ))
}

/// What hardware will measure of it.
pub(super) fn predicted(initdata: &str, platform: Platform) -> Result<Predicted, DeployError> {
    let prediction = predict::initdata(initdata.as_bytes(), platform.place())
        .map_err(|error| DeployError::new(error.to_string()))?;
    prediction.values.into_iter().next().ok_or_else(|| DeployError::new("initdata: nothing is measured of it"))
}

/// The value of the annotation: gzip, in base64. The same text gives the same bytes.
pub(super) fn annotation(initdata: &str) -> Result<String, DeployError> {
    let wrong = |error: std::io::Error| DeployError::new(format!("initdata: it cannot be packed: {error}"));
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packer.write_all(initdata.as_bytes()).map_err(wrong)?;
    let text = base64::encode(packer.finish().map_err(wrong)?);
    if text.len() > MAX_ANNOTATION_BYTES {
        return Err(DeployError::new(format!(
            "initdata: {} bytes packed, where Azure takes at most {MAX_ANNOTATION_BYTES}: shorten command, arguments and variables",
            text.len()
        )));
    }
    Ok(text)
}

/// The initdata in an annotation.
pub(super) fn unpacked(annotation: &str) -> Result<String, DeployError> {
    let wrong = |why: &str| DeployError::new(format!("annotation: {why}"));
    let packed = base64::decode(annotation.trim()).map_err(|error| wrong(&format!("no base64: {error}")))?;
    let mut text = String::new();
    let read = GzDecoder::new(packed.as_slice()).take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(&format!("no text in gzip: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong("it holds more than 1 MiB"));
    }
    Ok(text)
}
