//! An Azure confidential VM: its virtual TPM, behind which Azure's paravisor keeps the hardware's report, and the metadata
//! service of its host.
//!
//! The 64 bytes go two ways into the evidence. They are written to NV index 0x01400002, whereupon the paravisor makes a new
//! hardware report over claims that name them as `user-data` beside the attestation key; and that key quotes all PCRs with them
//! as `extraData`. The reference client waits three seconds after it wrote and takes what is there; here the report is read
//! until it names what was written, and for ten seconds at most. It is read in parts, and may be renewed between two of them: so it is
//! read again as well while the hardware's report is not over the claims beside it. Another process may write to that index too: while the
//! claims name other bytes, the index is looked at once a second, and written again where it does not hold the 64 bytes any more. Registers may be extended between the
//! quote and the reading of their values: both are taken again until they fit, a few times at most.
//!
//! **What was not answered is an error, and what does not fit goes out all the same**: claims over other bytes are no answer; but a hardware's
//! report that stays one over other claims, or a key in the TPM that is not the one which the claims name, is for whoever verifies to
//! judge. The attester says that no verifier will take it, and why.
//!
//! The event log of the boot goes along, as the kernel keeps it for root: whoever verifies holds it against the quote. Without it the
//! evidence is as good.
//!
//! **The path to the device and the address of the metadata service are configuration, and that weakens nothing.** What is
//! sent there is a digest of a public manifest; what comes back is evidence, which convinces a verifier by its signatures or
//! not at all; a device that is no vTPM of this machine gives evidence of another machine, or none. Only a character device is opened,
//! and only an address of this machine is asked.
//!
//! **Linux's driver keeps no deadline**: it does the whole command inside of `write`. So the TPM is asked on a thread of its own, which is given
//! up after twelve seconds whatever it does, and which nobody joins: the next question is refused until the kernel has answered.
//!
//! Not exercised on Azure's hardware: the tests put a software TPM (swtpm) and a forged paravisor behind this code.

pub mod hcl;
mod log;

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hcl::{Hardware, Hcl};
use teegate_protocol::azure_vtpm::{VtpmEvidence, VtpmPlatform};

use crate::apart::{Turn, apart};
use crate::imds::{self, Imds};
use crate::tpm::{Attested, Device, Pcrs, Quote, Tpm, TpmError};
use crate::{Answer, Attester, AttesterError, CERTIFICATE, RawEvidence, pem_chain};

/// The TPM behind the kernel's resource manager, which several programs may use.
pub const DEVICE: &str = "/dev/tpmrm0";

/// Where Linux keeps the event log of the first TPM.
pub const EVENT_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";

/// NV indices of the HCL report and of the user data that go into the next one, and the handle of the attestation key.
const HCL_REPORT: u32 = 0x0140_0001;
const USER_DATA: u32 = 0x0140_0002;
const ATTESTATION_KEY: u32 = 0x8100_0003;

/// The recorded ones have 2,048 and 2,600 bytes.
const MAX_HCL_BYTES: u16 = 16 << 10;

/// How long is waited, and for what.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For all steps at the TPM together, also where the kernel does not come back from one.
    whole: Duration,
    /// For the new report.
    renewal: Duration,
    /// Between two readings of it.
    pause: Duration,
    /// Until it is looked whether the index still holds the 64 bytes, where the claims name other ones.
    rewrite: Duration,
}

const PATIENCE: Patience = Patience {
    whole: Duration::from_secs(12),
    renewal: Duration::from_secs(10),
    pause: Duration::from_millis(100),
    rewrite: Duration::from_secs(1),
};

/// Quotes that are taken until one fits the registers.
const QUOTES: u32 = 5;

/// The vTPM and the metadata service of this VM. Answers one question at a time.
#[derive(Debug, Clone)]
pub struct AzureVtpm {
    device: PathBuf,
    imds: Imds,
    event_log: PathBuf,
    patience: Patience,
    turn: Turn,
}

impl AzureVtpm {
    /// The longest that one question takes: all steps at the TPM, and then the metadata service's answer.
    pub const LONGEST: Duration = PATIENCE.whole.saturating_add(imds::PATIENCE);

    /// The ones at their usual places.
    pub fn new() -> Self {
        Self::at(Path::new(DEVICE), Imds::default())
    }

    /// A TPM device and a service at other places.
    pub fn at(device: &Path, imds: Imds) -> Self {
        let (device, event_log) = (device.to_owned(), EVENT_LOG.into());
        Self { device, imds, event_log, patience: PATIENCE, turn: Turn::default() }
    }

    /// With the event log of the boot at another place.
    #[must_use]
    pub fn with_event_log(self, path: &Path) -> Self {
        Self { event_log: path.to_owned(), ..self }
    }

    /// What the TPM gives, and the log of what firmware extended it by, within the time for both.
    async fn taken(&self, report_data: [u8; 64]) -> Result<(Taken, Result<Vec<u8>, String>), AttesterError> {
        let Self { device, turn, event_log, patience, .. } = self.clone();
        let named = format!("the vTPM ({})", device.display());
        let (source, deadline) = (named.clone(), Instant::now() + patience.whole);
        let taken = apart(&named, move || {
            let _turn = turn.take(&source)?;
            let channel = Device::open(&device, deadline).map_err(|error| not_opened(&source, &error))?;
            let taken = Taken::from(&mut Tpm::new(channel), &report_data, patience, &source)?;
            Ok((taken, log::read(&event_log)))
        });
        tokio::time::timeout(patience.whole, taken).await.unwrap_or(Err(AttesterError::TimedOut))
    }

    async fn ask(&self, report_data: [u8; 64]) -> Result<RawEvidence, AttesterError> {
        let (mut taken, log) = self.taken(report_data).await?;
        let mut left_out = std::mem::take(&mut taken.misfits);
        let event_log = log.map_err(|why| left_out.push(why)).ok();
        let (platform, endorsements) = match &taken.hardware {
            // Without the quote there is nothing that the hardware signed.
            Hardware::Tdx(td_report) => (VtpmPlatform::Tdx(self.imds.td_quote(td_report).await?), None),
            // Without certificates there is; whoever verifies can ask AMD for them.
            Hardware::SevSnp => match self.imds.certification().await {
                Ok(certification) => {
                    let chain = std::iter::once(&certification.vcek).chain(&certification.chain);
                    let endorsements = pem_chain(chain.map(|der| (CERTIFICATE, der.as_slice())), &mut left_out);
                    (VtpmPlatform::SevSnp(Some(certification.vcek)), endorsements)
                }
                Err(error) => {
                    left_out.push(format!("the certificates of this machine: {error}"));
                    (VtpmPlatform::SevSnp(None), None)
                }
            },
        };
        let evidence = taken.with(platform);
        let (kind, bytes) = (evidence.kind(), evidence.to_json().into_bytes());
        Ok(RawEvidence { kind, bytes, endorsements, event_log, left_out })
    }
}

impl Default for AzureVtpm {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for AzureVtpm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the vTPM ({}) and {}", self.device.display(), self.imds)
    }
}

impl Attester for AzureVtpm {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        Box::pin(self.ask(report_data))
    }
}

/// What comes out of the TPM.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    hcl_report: Vec<u8>,
    hardware: Hardware,
    quote: Quote,
    pcrs: Pcrs,
    /// What of it does not fit together, in words.
    misfits: Vec<String>,
}

/// The 64 bytes that the quote in such evidence carries.
pub(crate) fn report_data(evidence: &[u8]) -> Option<[u8; 64]> {
    let evidence = VtpmEvidence::parse(evidence).ok()?;
    Attested::parse(&evidence.message).ok()?.extra_data.try_into().ok()
}

impl Taken {
    /// The whole, as agents of Confidential Containers write it in version 2: the claims name what was asked for.
    fn with(self, platform: VtpmPlatform) -> VtpmEvidence {
        let Self { hcl_report, quote: Quote { message, signature }, pcrs, .. } = self;
        let pcrs = pcrs.iter().map(|value| value.to_vec()).collect();
        VtpmEvidence { version: 2, hcl_report, message, signature, pcrs, platform }
    }

    fn from<C: Read + Write>(
        tpm: &mut Tpm<C>,
        report_data: &[u8; 64],
        patience: Patience,
        source: &str,
    ) -> Result<Self, AttesterError> {
        let renewed_by = Instant::now() + patience.renewal;
        let failed = |error: TpmError| failed(source, error);
        match tpm.nv_public(USER_DATA).map_err(failed)? {
            // The first to ask after a boot finds no such index, and makes it.
            None => tpm.nv_define(USER_DATA, 64).map_err(failed)?,
            Some(public) if public.size == 64 => {}
            Some(public) => {
                let place = format!("NV index {USER_DATA:#010x} of {} bytes", public.size);
                return Err(AttesterError::malformed(place, "64 bytes"));
            }
        }
        tpm.nv_write(USER_DATA, report_data).map_err(failed)?;
        let mut written = Instant::now();
        let is_ours = |hcl: &Hcl| hcl.user_data.as_deref() == Some(report_data);
        let (hcl_report, hcl) = loop {
            let blob = hcl_report(tpm, source)?;
            let is_late = Instant::now() >= renewed_by;
            // Read while it is renewed, it may be neither the old one nor the new one.
            let reason = match Hcl::parse(&blob) {
                Ok(hcl) if is_ours(&hcl) && (hcl.is_over_its_claims || is_late) => break (blob, hcl),
                Ok(hcl) if is_ours(&hcl) => None,
                Ok(Hcl { user_data: Some(_), .. }) => {
                    if written.elapsed() >= patience.rewrite {
                        written = Instant::now();
                        // What is there and not taken up yet is not written anew: that might begin the renewal again.
                        if tpm.nv_read(USER_DATA, 64).map_err(failed)? != report_data {
                            tpm.nv_write(USER_DATA, report_data).map_err(failed)?;
                        }
                    }
                    Some(
                        "its `user-data` is still something else; is the paravisor slow, or does another process write them?",
                    )
                }
                Ok(Hcl { user_data: None, .. }) => Some("it has no `user-data`: this paravisor is too old to bind any"),
                Err(error) if is_late => return Err(error),
                Err(_) => None,
            };
            if let (Some(reason), true) = (reason, is_late) {
                let reason = format!("the HCL report did not take up what was written: {reason}");
                return Err(AttesterError::Unreachable { source: source.to_owned(), reason });
            }
            std::thread::sleep(patience.pause);
        };
        for _ in 0..QUOTES {
            let quote = tpm.quote(ATTESTATION_KEY, report_data).map_err(failed)?;
            let Some(pcrs) = tpm.pcrs().map_err(failed)? else { continue };
            let attested = Attested::parse(&quote.message).map_err(failed)?;
            if attested.extra_data != report_data {
                return Err(AttesterError::OtherReportData);
            }
            if attested.is_over(&pcrs) {
                let misfits = misfits(tpm, &hcl, source)?;
                return Ok(Self { hcl_report, hardware: hcl.hardware, quote, pcrs, misfits });
            }
        }
        let place = "the quote of the vTPM, taken several times,";
        Err(AttesterError::malformed(place, "one over the 24 registers of the SHA-256 bank, with their values"))
    }
}

/// What no verifier will take, in words.
fn misfits<C: Read + Write>(tpm: &mut Tpm<C>, hcl: &Hcl, source: &str) -> Result<Vec<String>, AttesterError> {
    let mut misfits = Vec::new();
    if !hcl.is_over_its_claims {
        misfits.push(format!(
            "no verifier will take the evidence: the hardware's report is not over the claims beside it, however often both were read; is \
             {source} the one that Azure gave this machine?"
        ));
    }
    match tpm.read_public(ATTESTATION_KEY) {
        Ok(key) if hcl.attestation_key.as_ref() == Some(&key) => {}
        Ok(_) => misfits.push(format!(
            "no verifier will take the evidence: the attestation key at {ATTESTATION_KEY:#010x} is not the one that the claims of the HCL \
             report name (`HCLAkPub`); is {source} the one that Azure gave this machine?"
        )),
        Err(error @ TpmError::Channel { .. }) => return Err(failed(source, error)),
        // It signs, as it has just done, and whoever verifies does not ask for more.
        Err(error) => {
            misfits.push(format!("the attestation key was not held against the claims of the HCL report: {error}"));
        }
    }
    Ok(misfits)
}

fn hcl_report<C: Read + Write>(tpm: &mut Tpm<C>, source: &str) -> Result<Vec<u8>, AttesterError> {
    let public = tpm.nv_public(HCL_REPORT).map_err(|error| failed(source, error))?;
    let Some(public) = public else {
        let reason = format!("there is no HCL report (NV index {HCL_REPORT:#010x}): is this an Azure confidential VM?");
        return Err(AttesterError::Missing { source: source.to_owned(), reason });
    };
    if public.size > MAX_HCL_BYTES {
        let place = format!("the HCL report of {} bytes", public.size);
        return Err(AttesterError::malformed(place, format!("at most {MAX_HCL_BYTES}")));
    }
    tpm.nv_read(HCL_REPORT, public.size).map_err(|error| failed(source, error))
}

fn not_opened(source: &str, error: &std::io::Error) -> AttesterError {
    let source = source.to_owned();
    match error.kind() {
        ErrorKind::NotFound => {
            let reason =
                "it is not there: is this an Azure confidential VM, and was the device given to this container?";
            AttesterError::Missing { source, reason: reason.to_owned() }
        }
        ErrorKind::PermissionDenied => {
            let reason = format!("{error}; is this process in the device's group (`tss`)?");
            AttesterError::Missing { source, reason }
        }
        ErrorKind::InvalidInput => AttesterError::Missing { source, reason: error.to_string() },
        _ => AttesterError::Unreachable { source, reason: error.to_string() },
    }
}

fn failed(source: &str, error: TpmError) -> AttesterError {
    let source = source.to_owned();
    match error {
        TpmError::Channel { source: error, .. } if error.kind() == ErrorKind::TimedOut => AttesterError::TimedOut,
        TpmError::Channel { .. } => AttesterError::Unreachable { source, reason: error.to_string() },
        TpmError::Busy { .. } => AttesterError::Refused { source, reason: error.to_string(), is_early: true },
        TpmError::Refused { .. } => AttesterError::Refused { source, reason: error.to_string(), is_early: false },
        TpmError::Malformed { command, expected } => {
            AttesterError::malformed(format!("the answer to {command}"), expected)
        }
    }
}

#[cfg(test)]
mod tests;
