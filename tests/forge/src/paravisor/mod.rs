//! A forged paravisor: what stands between a guest of Azure and the vTPM and makes the hardware's report, in front of a real software TPM.
//!
//! NV index 0x01400001 is answered here, of any size, and made anew after each write to 0x01400002 over claims that name what was written and
//! the software TPM's attestation key; the hardware's report in it is signed by the forged vendor. Every other command goes to the TPM as it is,
//! quotes included. What passes proves the plumbing and never the silicon.

mod defect;
mod host;
mod platform;
mod qemu;
mod swtpm;
mod terminal;
pub mod tpm;

use std::io::{self, Read, Write};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use defect::{DEFECTS, Defect};
pub use host::Host;
pub use platform::Platform;
pub use qemu::{Control, Machine};
pub use swtpm::Swtpm;
pub use terminal::Terminal;

use crate::azure::{Claims, Hcl, Quote, td_report};
use crate::keys::{Key, RsaRole};

/// The HCL report.
pub const HCL_REPORT: u32 = 0x0140_0001;
/// What goes into the next one.
pub const USER_DATA: u32 = 0x0140_0002;

/// A paravisor in front of its TPM.
pub struct Paravisor {
    platform: Platform,
    vtpm: Swtpm,
    modulus: Vec<u8>,
    defect: Option<Defect>,
    user_data: Vec<u8>,
    report: Vec<u8>,
    refusals: u32,
}

impl Paravisor {
    /// One with a TPM of its own.
    ///
    /// # Errors
    /// `NotFound` where swtpm is not installed.
    pub fn start(platform: Platform) -> io::Result<Self> {
        let mut vtpm = Swtpm::start()?;
        let modulus = tpm::modulus(vtpm.stream())?;
        Ok(Self::before(vtpm, modulus, platform))
    }

    /// One in front of a machine's TPM, and the control channel by which QEMU turns that on. To be called once QEMU is there.
    ///
    /// # Errors
    /// swtpm does not start.
    pub fn of_a_machine(machine: Machine, platform: Platform) -> io::Result<(Self, Control)> {
        let (vtpm, modulus, control) = machine.controlled()?;
        Ok((Self::before(vtpm, modulus, platform), control))
    }

    fn before(vtpm: Swtpm, modulus: Vec<u8>, platform: Platform) -> Self {
        let user_data = vec![0; 64];
        let mut paravisor = Self { platform, vtpm, modulus, defect: None, user_data, report: Vec::new(), refusals: 0 };
        paravisor.renew();
        paravisor
    }

    /// From here on this is wrong; the report shows it once it is made anew.
    pub fn set_defect(&mut self, defect: Option<Defect>) {
        if self.defect != defect {
            (self.defect, self.refusals) = (defect, 0);
        }
    }

    /// The platform below.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The registers of its TPM.
    pub fn registers(&mut self) -> io::Result<Vec<Vec<u8>>> {
        tpm::registers(self.vtpm.stream())
    }

    /// The report as it stands in the index.
    pub fn report(&self) -> &[u8] {
        &self.report
    }

    /// Writes these bytes as the guest does.
    pub fn write(&mut self, user_data: &[u8]) {
        self.user_data = user_data.to_vec();
        self.renew();
    }

    /// A quote of the TPM over these registers, with the values of all of them beside it.
    pub fn quote(&mut self, extra_data: &[u8], banks: &tpm::Selections) -> io::Result<Quote> {
        let (message, signature) = tpm::quote(self.vtpm.stream(), extra_data, banks)?;
        Ok(Quote { message, signature, pcrs: self.registers()? })
    }

    /// The TPM itself.
    pub fn vtpm(&mut self) -> &mut Swtpm {
        &mut self.vtpm
    }

    /// Answers commands until the guest has gone; `defect` says before each what is wrong.
    pub fn serve(&mut self, guest: &mut (impl Read + Write), defect: impl Fn() -> Option<Defect>) -> io::Result<()> {
        loop {
            let request = tpm::receive(guest)?;
            self.set_defect(defect());
            if let Some(answer) = self.answer(&request)? {
                guest.write_all(&answer)?;
            }
        }
    }

    /// The answer to one command; `None` for silence.
    pub fn answer(&mut self, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let code = tpm::word(request, 6);
        let is_quote = code == 0x158;
        match self.defect {
            Some(Defect::Silent) if is_quote => return Ok(None),
            Some(Defect::AlwaysRetry) => return Ok(Some(tpm::message(0x8001, 0x922, &[]))),
            Some(Defect::Retry) if is_quote && self.refusals < 2 => {
                self.refusals += 1;
                return Ok(Some(tpm::message(0x8001, 0x922, &[])));
            }
            _ => {}
        }
        match code {
            0x169 if tpm::word(request, 10) == HCL_REPORT => return Ok(Some(self.public())),
            0x14E if tpm::word(request, 14) == HCL_REPORT => return Ok(Some(self.read(request))),
            _ => {}
        }
        let changed = if is_quote { self.changed_quote(request) } else { None };
        let stream = self.vtpm.stream();
        stream.write_all(changed.as_deref().unwrap_or(request))?;
        let answer = tpm::receive(stream)?;
        if code == 0x137 && tpm::word(request, 14) == USER_DATA && tpm::word(&answer, 6) == 0 {
            // Handles, the area of the empty password, and then a length before the data and the offset behind it.
            let (length, data) = (tpm::half(request, 31), &request[33..]);
            let offset = tpm::half(data, length);
            self.user_data[offset..offset + length].copy_from_slice(&data[..length]);
            if self.defect != Some(Defect::NotRenewed) {
                self.renew();
            }
        }
        Ok(Some(answer))
    }

    /// TPM2_NV_ReadPublic of the report's index.
    fn public(&self) -> Vec<u8> {
        let size = u16::try_from(self.report.len()).expect("a report");
        let size = if self.defect == Some(Defect::HugeIndex) { u16::MAX } else { size };
        // Read by owner, by its authorisation and by the platform; written; made by the platform.
        let attributes = 0x6206_0006_u32.to_be_bytes();
        let public =
            [&HCL_REPORT.to_be_bytes()[..], &tpm::SHA256.to_be_bytes(), &attributes, &[0, 0], &size.to_be_bytes()]
                .concat();
        let name = [&tpm::SHA256.to_be_bytes()[..], digest(&SHA256, &public).as_ref()].concat();
        tpm::message(0x8001, 0, &[tpm::sized(&public), tpm::sized(&name)].concat())
    }

    /// TPM2_NV_Read of the report's index.
    fn read(&self, request: &[u8]) -> Vec<u8> {
        let (length, offset) = (tpm::half(request, 31), tpm::half(request, 33));
        match self.report.get(offset..offset + length) {
            Some(part) if length <= 1_024 => {
                let parameters = tpm::sized(part);
                let size = u32::try_from(parameters.len()).expect("a short answer").to_be_bytes();
                tpm::message(0x8002, 0, &[&size[..], &parameters, &[0, 0, 1, 0, 0]].concat())
            }
            // TPM_RC_NV_RANGE
            _ => tpm::message(0x8001, 0x146, &[]),
        }
    }

    /// The guest's command for a quote as a defective paravisor hands it on.
    fn changed_quote(&self, request: &[u8]) -> Option<Vec<u8>> {
        // The key, the area of the empty password, and the bytes that were asked for.
        let asked = &request[29..29 + tpm::half(request, 27)];
        let all = (tpm::SHA256, [0xFF; 3]);
        match self.defect? {
            Defect::Pcr23 => Some(tpm::quote_command(asked, &[(tpm::SHA256, [0xFF, 0x07, 0x80])])),
            Defect::Sha1Bank => Some(tpm::quote_command(asked, &[(tpm::SHA1, [0xFF; 3])])),
            Defect::TwoSelections => Some(tpm::quote_command(asked, &[all, (tpm::SHA1, [0xFF; 3])])),
            Defect::OtherExtraData => Some(tpm::quote_command(&[0xEE; 64], &[all])),
            _ => None,
        }
    }

    fn renew(&mut self) {
        let mut claims = Claims::new(&Key::rsa(RsaRole::Ak), &Key::rsa(RsaRole::OtherAk), &[0; 64]);
        if self.defect != Some(Defect::OtherVm) {
            claims.keys[0].n = URL_SAFE_NO_PAD.encode(&self.modulus);
        }
        if self.defect == Some(Defect::SecondKey) {
            claims.keys.push(claims.keys[0].clone());
        }
        let digits = hex::encode_upper(&self.user_data);
        let written = match self.defect {
            Some(Defect::UserDataShort) => vec![digits[2..].to_owned()],
            Some(Defect::UserDataAbsent) => vec![],
            Some(Defect::UserDataTwice) => vec![digits; 2],
            Some(Defect::UserDataLower) => vec![digits.to_lowercase()],
            _ => vec![digits],
        };
        claims.user_data = written.into_iter().map(|digits| ("user-data".to_owned(), digits)).collect();
        let mut text = claims.to_json();
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        if self.defect == Some(Defect::ClaimsRespelt) {
            text = text.replacen("\":", "\": ", 1);
        }
        let (kind, hardware) = match &self.platform {
            Platform::Snp(builder) => (2, builder.clone().report_data(report_data).report()),
            Platform::Tdx(builder, _) => (4, td_report(&report_data, &builder.td_report_fields().mrtd)),
        };
        let mut hcl = Hcl::new(kind, hardware, text.into_bytes());
        match self.defect {
            Some(Defect::HashType2) => hcl.hash_type = 2,
            Some(Defect::HashType3) => hcl.hash_type = 3,
            Some(Defect::HugeClaims) => hcl.claims_length = Some(u32::MAX),
            _ => {}
        }
        self.report = hcl.to_bytes();
    }
}
