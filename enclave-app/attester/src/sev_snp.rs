//! The SEV-SNP report of this guest, by whichever interface its kernel has: configfs-tsm (Linux 6.7 and later), `/dev/sev-guest` (5.19
//! and later), or `/dev/sev` (Azure's 5.15). The first that is there, in this order, is taken, unless one is named.
//!
//! Which one is asked, and at which path, weakens nothing: what goes there is a digest of what is public, and what comes back
//! convinces by AMD's signature or not at all.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use teegate_protocol::evidence::EvidenceKind;

use crate::apart::apart;
use crate::configfs_tsm::{self, ConfigfsTsm, Report};
use crate::sev_guest::{Certificates, Driver, SEV, SEV_GUEST, SevGuest};
use crate::{Answer, Attester, AttesterError, RawEvidence};

/// An interface of the kernel, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// configfs-tsm, with its folder.
    ConfigfsTsm(PathBuf),
    /// The driver's device in Linux.
    SevGuest(PathBuf),
    /// The driver's device in Azure's Linux 5.15.
    Sev(PathBuf),
}

impl Interface {
    /// The first that is there.
    ///
    /// # Errors
    /// There is none.
    pub fn find() -> Result<Self, AttesterError> {
        Self::first_of([configfs_tsm::ROOT, SEV_GUEST, SEV].map(Path::new))
    }

    fn first_of([tsm, guest, older]: [&Path; 3]) -> Result<Self, AttesterError> {
        if tsm.is_dir() {
            return Ok(Self::ConfigfsTsm(tsm.to_owned()));
        }
        if guest.exists() {
            return Ok(Self::SevGuest(guest.to_owned()));
        }
        if older.exists() {
            return Ok(Self::Sev(older.to_owned()));
        }
        let reason = format!(
            "none of `{}`, `{}` and `{}` is there: is this an SEV-SNP guest, and does this container see them?",
            tsm.display(),
            guest.display(),
            older.display()
        );
        Err(AttesterError::Missing { source: "the kernel of an SEV-SNP guest".to_owned(), reason })
    }
}

/// `configfs-tsm`, `sev-guest` or `sev`, where it usually is or at another place: `sev-guest=/dev/other`.
impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = text.split_once('=').map_or((text, None), |(name, place)| (name, Some(place)));
        let at = |usual: &str| PathBuf::from(place.unwrap_or(usual));
        match name {
            _ if place == Some("") => Err(format!("`{text}`: there is no path after `=`")),
            "configfs-tsm" => Ok(Self::ConfigfsTsm(at(configfs_tsm::ROOT))),
            "sev-guest" => Ok(Self::SevGuest(at(SEV_GUEST))),
            "sev" => Ok(Self::Sev(at(SEV))),
            _ => Err(format!("`{name}` is none of `configfs-tsm`, `sev-guest` and `sev`")),
        }
    }
}

impl std::fmt::Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigfsTsm(folder) => write!(f, "configfs-tsm ({})", folder.display()),
            Self::SevGuest(device) | Self::Sev(device) => device.display().fmt(f),
        }
    }
}

/// An SEV-SNP guest. Answers one question at a time.
#[derive(Clone)]
pub struct SevSnp(Way);

#[derive(Clone)]
enum Way {
    ConfigfsTsm(ConfigfsTsm),
    Driver(SevGuest),
}

impl SevSnp {
    /// By this interface.
    pub fn by(interface: &Interface) -> Self {
        Self(match interface {
            Interface::ConfigfsTsm(folder) => Way::ConfigfsTsm(ConfigfsTsm::at(folder)),
            Interface::SevGuest(device) => Way::Driver(SevGuest::at(Driver::SevGuest, device)),
            Interface::Sev(device) => Way::Driver(SevGuest::at(Driver::Sev, device)),
        })
    }

    /// Asks the kernel, and waits for it on this thread.
    ///
    /// # Errors
    /// As those of the interface, and where it is not SEV-SNP's.
    pub fn report(&self, report_data: &[u8; 64], certificates: Certificates) -> Result<Report, AttesterError> {
        match &self.0 {
            Way::ConfigfsTsm(tsm) => {
                let report = tsm.report(report_data)?;
                if report.kind != EvidenceKind::SnpReport {
                    return Err(AttesterError::malformed("`provider` of configfs-tsm", "`sev_guest`"));
                }
                Ok(report)
            }
            Way::Driver(driver) => driver.report(report_data, certificates),
        }
    }

    /// Asks the kernel on a thread of its own. The caller bounds the time.
    ///
    /// # Errors
    /// As [`SevSnp::report`].
    pub async fn answer(&self, report_data: [u8; 64], certificates: Certificates) -> Result<Report, AttesterError> {
        let this = self.clone();
        apart(&self.to_string(), move || this.report(&report_data, certificates)).await
    }

    #[cfg(test)]
    pub(crate) fn over(tsm: ConfigfsTsm) -> Self {
        Self(Way::ConfigfsTsm(tsm))
    }
}

impl Attester for SevSnp {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        Box::pin(async move { self.answer(report_data, Certificates::Asked).await.map(RawEvidence::from) })
    }
}

impl std::fmt::Display for SevSnp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Way::ConfigfsTsm(tsm) => tsm.fmt(f),
            Way::Driver(driver) => driver.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_there_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let [tsm, guest, older] = ["report", "sev-guest", "sev"].map(|name| folder.path().join(name));
        let first = || Interface::first_of([&tsm, &guest, &older]);
        let none = first().unwrap_err();
        assert!(none.to_string().contains("the kernel of an SEV-SNP guest could not be asked: none of `"), "{none}");
        assert!(!none.may_pass());
        std::fs::write(&older, "").unwrap();
        assert_eq!(first(), Ok(Interface::Sev(older.clone())));
        std::fs::write(&guest, "").unwrap();
        assert_eq!(first(), Ok(Interface::SevGuest(guest.clone())));
        std::fs::create_dir(&tsm).unwrap();
        assert_eq!(first(), Ok(Interface::ConfigfsTsm(tsm.clone())));
    }

    #[test]
    fn one_is_named_with_or_without_its_place() {
        let named = |text: &str| text.parse::<Interface>();
        assert_eq!(named("configfs-tsm"), Ok(Interface::ConfigfsTsm("/sys/kernel/config/tsm/report".into())));
        assert_eq!(named("sev-guest"), Ok(Interface::SevGuest("/dev/sev-guest".into())));
        assert_eq!(named("sev"), Ok(Interface::Sev("/dev/sev".into())));
        assert_eq!(named("sev-guest=/a=b").map(|interface| interface.to_string()), Ok("/a=b".to_owned()));
        assert_eq!(named("tpm=/dev/tpm0").unwrap_err(), "`tpm` is none of `configfs-tsm`, `sev-guest` and `sev`");
        assert_eq!(named("sev=").unwrap_err(), "`sev=`: there is no path after `=`");
    }

    #[tokio::test]
    async fn the_interface_that_was_named_is_asked() {
        for (name, said) in [
            ("configfs-tsm=/nonexistent/a", "configfs-tsm (/nonexistent/a)"),
            ("sev-guest=/nonexistent/b", "the driver of the SEV-SNP guest (/nonexistent/b)"),
            ("sev=/nonexistent/c", "the driver of the SEV-SNP guest (/nonexistent/c)"),
        ] {
            let error = SevSnp::by(&name.parse().unwrap()).evidence([7; 64]).await.unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let evidence = SevSnp::over(configfs_tsm::tests::imitated("sev_guest\n")).evidence([7; 64]).await.unwrap();
        assert_eq!((evidence.kind, evidence.report_data()), (EvidenceKind::SnpReport, Some([7; 64])));
    }
}
