//! The registers of a TPM after a unified kernel image has booted: 4, 9 and 11; and RTMR2 of a TD that boots the same image.
//!
//! | PCR | extended by | with |
//! |---|---|---|
//! | 4 | firmware | that it starts a boot option; a separator; the PE hash of the image; that of the kernel inside, where the stub has the firmware load it |
//! | 9 | the kernel's EFI stub | its load options in UTF-16 with a zero behind; the initrd, if there is one, with what the stub put behind it |
//! | 11 | systemd-stub | for each section that is not empty, its name with a zero behind, then its content |
//!
//! TCG PC Client Platform Firmware Profile 1.05, section 3.3.4; systemd-stub(7), *TPM PCR notes*; Linux, `drivers/firmware/efi/libstub`.
//! A TD has no PCRs; firmware maps 8 to 15 to RTMR2 (UEFI 2.10, section 38.4.1), for who knows its protocol.

use teegate_verifier::Tee;

use super::authenticode;
use super::cc;
use super::digest::DigestAlgorithm;
use super::input::PredictError;
use super::pe::Image;
use super::prediction::{Predicted, Prediction};
use super::uki::Uki;

/// What an image extends, before it is added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UkiBoot {
    /// The digests that go into PCR 4, in order; none where the stub may load the kernel without the firmware.
    pub pcr4: Option<Vec<Vec<u8>>>,
    /// Those of PCR 9.
    pub pcr9: Vec<Vec<u8>>,
    /// Those of PCR 11.
    pub pcr11: Vec<Vec<u8>>,
    /// The stub, as it names itself.
    pub stub: String,
}

impl UkiBoot {
    /// Of an image.
    ///
    /// # Errors
    /// Where it is no unified kernel image on systemd-stub, and where its registers depend on more than itself.
    pub fn of(uki: &[u8], algorithm: DigestAlgorithm) -> Result<Self, PredictError> {
        Self::of_parts(&Uki::parse(uki)?, algorithm)
    }

    fn of_parts(uki: &Uki<'_>, algorithm: DigestAlgorithm) -> Result<Self, PredictError> {
        let kernel = Image::parse("the kernel in the UKI", uki.kernel)?;
        let pcr4 = vec![
            algorithm.of(&[b"Calling EFI Application from Boot Option"]),
            algorithm.of(&[&[0; 4]]),
            authenticode::hash(&uki.image, algorithm)?,
            authenticode::hash(&kernel, algorithm)?,
        ];
        let pcr4 = uki.kernel_is_loaded_by_firmware.then_some(pcr4);
        let options: Vec<u8> = uki.command_line.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let mut pcr9 = vec![algorithm.of(&[&options])];
        if !uki.initrd.is_empty() || !uki.behind_initrd.is_empty() {
            pcr9.push(algorithm.of(&[uki.initrd, &uki.behind_initrd]));
        }
        let section = |(name, content): &(&'static str, &[u8])| {
            [algorithm.of(&[name.as_bytes(), &[0]]), algorithm.of(&[content])]
        };
        let pcr11 = uki.measured.iter().flat_map(section).collect();
        Ok(Self { pcr4, pcr9, pcr11, stub: uki.stub.clone() })
    }
}

/// Predicts `pcr4`, `pcr9`, `pcr11` and `pcr12`; `pcr4` only where a boot with such a stub was compared.
///
/// # Errors
/// As [`UkiBoot::of`].
pub fn pcrs(uki: &[u8], bank: DigestAlgorithm) -> Result<Prediction, PredictError> {
    let boot = UkiBoot::of(uki, bank)?;
    let sha256 = teegate_encoding::hex::encode(DigestAlgorithm::Sha256.of(&[uki]));
    let registers = [("pcr4", boot.pcr4.as_ref()), ("pcr9", Some(&boot.pcr9)), ("pcr11", Some(&boot.pcr11))];
    let values = registers.into_iter().filter_map(|(field, digests)| {
        let of = format!("UKI {sha256} ({}), bank {}", boot.stub, bank.name());
        Some(Predicted { field, value: extended(bank, digests?), of })
    });
    let of = "nothing: an image alone, without credentials or add-ons beside it, leaves it at zero".to_owned();
    let values = values.chain([Predicted { field: "pcr12", value: vec![0; bank.length()], of }]);
    let by_itself = boot.pcr4.is_none().then(|| {
        format!(
            "PCR 4 has no value here: {} loads the kernel inside by itself, and the firmware measures it only where Secure Boot and shim \
             are there",
            boot.stub
        )
    });
    let registers = if boot.pcr4.is_some() { "PCR 4 and 9 hold" } else { "PCR 9 holds" };
    let notes = [
        format!(
            "{registers} for firmware that starts the image as a boot option (`EFI/BOOT/BOOTX64.EFI`), not from a boot loader or a shell, \
             and for a kernel whose EFI stub measures its options and its initrd"
        ),
        "PCR 9 and 12 differ when credentials, extensions or add-ons lie beside the image"
            .to_owned(),
        "PCR 11 is that of the boot: a guest with systemd-pcrphase extends it again as it goes on".to_owned(),
        "not predicted: PCR 0 to 3, 5 and 7 (firmware, its settings, its variables, the disk's partitions), and 8, 10, 14"
            .to_owned(),
    ];
    let notes = by_itself.into_iter().chain(notes).collect();
    Ok(Prediction { kind: "pcr", tee: None, values: values.collect(), notes })
}

/// Predicts `rtmr2` of a TD that boots this image.
///
/// # Errors
/// As [`UkiBoot::of`]; and where stub or kernel extend no RTMR.
pub fn rtmr2(uki: &[u8]) -> Result<Prediction, PredictError> {
    let parsed = Uki::parse(uki)?;
    let boot = UkiBoot::of_parts(&parsed, DigestAlgorithm::Sha384)?;
    let (stub, kernel) = (format!("its stub (`{}`)", boot.stub), "the kernel in it".to_owned());
    let ignorant = match (cc::is_known(parsed.stub_code()), cc::is_known([parsed.kernel])) {
        (true, true) => None,
        (false, true) => Some(format!("{stub} does")),
        (true, false) => Some(format!("{kernel} does")),
        (false, false) => Some(format!("{stub} and {kernel} do")),
    };
    if let Some(ignorant) = ignorant {
        return Err(parsed.image.input.wrong(format_args!(
            "{ignorant} not hold the GUID of EFI_CC_MEASUREMENT_PROTOCOL, without which nothing extends an RTMR: RTMR2 of a TD is not what PCR 9 \
             and 11 are; take a stub and a kernel that know it (systemd-stub 257 and Debian's kernel 6.12 do)"
        )));
    }
    let sha256 = teegate_encoding::hex::encode(DigestAlgorithm::Sha256.of(&[uki]));
    let digests: Vec<_> = boot.pcr11.iter().chain(&boot.pcr9).cloned().collect();
    let value = extended(DigestAlgorithm::Sha384, &digests);
    let of = format!("UKI {sha256} ({})", boot.stub);
    let notes = vec![
        "stub and kernel know EFI_CC_MEASUREMENT_PROTOCOL, and are taken to extend RTMR2 by it as they extend PCR 11 and 9 of a TPM: \
         those were compared with boots, and no boot of a TD was"
            .to_owned(),
        "RTMR2 differs when credentials, extensions or add-ons lie beside the image, and where the running guest extends it again \
         (systemd-pcrphase)"
            .to_owned(),
    ];
    Ok(Prediction { kind: "tdx", tee: Some(Tee::Tdx), values: vec![Predicted { field: "rtmr2", value, of }], notes })
}

/// A register after these digests, from zero: the digest of the register and of what extends it.
fn extended(algorithm: DigestAlgorithm, digests: &[Vec<u8>]) -> Vec<u8> {
    digests.iter().fold(vec![0; algorithm.length()], |register, digest| algorithm.of(&[&register, digest]))
}
