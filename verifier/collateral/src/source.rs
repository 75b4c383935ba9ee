//! Who is asked for what, and under which address: the services' URLs in one place.

use std::fmt::{self, Write as _};
use teegate_encoding::hex;

use crate::document::{AmdKey, Document, Update, ca_name};
use crate::url::{Base, Url};

/// A kind of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// AMD's key distribution service.
    Kds,
    /// Intel's provisioning certification service.
    Pcs,
    /// A cache of it in one's own data centre (Intel's PCCS, and what speaks like it).
    Pccs,
    /// Azure's host agent, reached from inside a virtual machine: certificates of the processor that it runs on.
    Thim,
}

impl Service {
    const ALL: [Self; 4] = [Self::Kds, Self::Pcs, Self::Pccs, Self::Thim];

    /// As `NAME=URL` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kds => "kds",
            Self::Pcs => "pcs",
            Self::Pccs => "pccs",
            Self::Thim => "thim",
        }
    }

    /// Where the vendor runs it. A PCCS is one's own and has no such place.
    const fn default_base(self) -> Option<&'static str> {
        match self {
            Self::Kds => Some("https://kdsintf.amd.com"),
            Self::Pcs => Some("https://api.trustedservices.intel.com"),
            Self::Pccs => None,
            Self::Thim => Some("http://169.254.169.254"),
        }
    }
}

/// Where Intel serves the CRL of its root; the distribution point that its certificates name.
const INTEL_CERTIFICATES: &str = "https://certificates.trustedservices.intel.com";

/// A service at an address.
///
/// Plain HTTP is for the link-local THIM, for a cache on this machine, and for whoever writes `http://` deliberately: content
/// is signed either way, and what TLS adds is that nobody on the way can withhold it or see what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    service: Service,
    base: Base,
    /// Where the root's CRL is; at Intel's own service it is another host.
    root_crl: Url,
}

impl Source {
    /// Reads `NAME` or `NAME=URL`, with NAME one of `kds`, `pcs`, `pccs`, `thim`.
    ///
    /// # Errors
    /// The name is another, the URL is none, or a PCCS has no URL.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong = |reason: String| SourceError { text: text.to_owned(), reason };
        let (name, url) = text.split_once('=').map_or((text, None), |(name, url)| (name, Some(url)));
        let service = Service::ALL.into_iter().find(|service| service.name() == name);
        let service = service.ok_or_else(|| wrong("expected `kds`, `pcs`, `pccs` or `thim` before `=`".to_owned()))?;
        match url {
            Some(url) => Self::at(service, url),
            None => Self::of_vendor(service),
        }
        .map_err(wrong)
    }

    /// AMD's and Intel's own services. THIM is not among them: only whoever runs on Azure can reach it.
    pub fn vendors() -> Vec<Self> {
        [Service::Kds, Service::Pcs].into_iter().filter_map(|service| Self::of_vendor(service).ok()).collect()
    }

    /// Its kind.
    pub const fn service(&self) -> Service {
        self.service
    }

    fn of_vendor(service: Service) -> Result<Self, String> {
        let base = service.default_base().ok_or("a PCCS is your own: write `pccs=URL`")?;
        let mut source = Self::at(service, base)?;
        if service == Service::Pcs {
            source.root_crl = Base::parse(INTEL_CERTIFICATES)?.at(ROOT_CRL);
        }
        Ok(source)
    }

    fn at(service: Service, url: &str) -> Result<Self, String> {
        // Intel's configuration files name a PCCS by the common part of its paths.
        let base = Base::parse(url)?.without("/sgx/certification/v4");
        let root_crl = base.at(if service == Service::Pccs { "/sgx/certification/v4/rootcacrl" } else { ROOT_CRL });
        Ok(Self { service, base, root_crl })
    }

    /// How to ask this service for `document`; nothing where it does not serve such documents.
    pub(crate) fn ask(&self, document: &Document) -> Option<Ask> {
        let ask = |path: String, chain_headers| Ask::new(self.base.at(&path), document.stem(), chain_headers);
        match (self.service, document) {
            (Service::Kds, Document::Vcek { chip_id, tcb }) => {
                let hwid = hex::encode(chip_id.0.get(..tcb.hwid_bytes)?);
                let mut path = format!("/vcek/v1/{}/{hwid}?", tcb.product);
                if let Some(fmc) = tcb.fmc {
                    // Writing to a string cannot fail.
                    let _written = write!(path, "fmcSPL={fmc}&");
                }
                let (bl, tee, snp, ucode) = (tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode);
                let _written = write!(path, "blSPL={bl}&teeSPL={tee}&snpSPL={snp}&ucodeSPL={ucode}");
                Some(Ask { is_paced: true, ..ask(path, &[]) })
            }
            (Service::Kds, Document::AmdChain { key, product }) => {
                Some(ask(format!("/{}/v1/{product}/cert_chain", key.name()), &[]))
            }
            (Service::Kds, Document::AmdCrl { key, product }) => {
                Some(ask(format!("/{}/v1/{product}/crl", key.name()), &[]))
            }
            (Service::Thim, Document::Vcek { .. } | Document::AmdChain { key: AmdKey::Vcek, .. }) => {
                let url = self.base.at("/metadata/THIM/amd/certification");
                Some(Ask { is_metadata: true, ..Ask::new(url, "thim-amd-certification".to_owned(), &[]) })
            }
            (Service::Pcs | Service::Pccs, Document::PckCrl { platform_ca }) => {
                let path = format!("/sgx/certification/v4/pckcrl?ca={}&encoding=der", ca_name(*platform_ca));
                Some(ask(path, &["sgx-pck-crl-issuer-chain"]))
            }
            (Service::Pcs | Service::Pccs, Document::IntelRootCrl) => {
                Some(Ask::new(self.root_crl.clone(), document.stem(), &[]))
            }
            (Service::Pcs | Service::Pccs, Document::TcbInfo { fmspc, update }) => {
                // Version 3 of the interface has the second name, and caches that began with it keep it.
                let headers = &["tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain"];
                Some(ask(format!("/tdx/certification/v4/tcb?fmspc={fmspc}{}", and_update(*update)), headers))
            }
            (Service::Pcs | Service::Pccs, Document::QeIdentity { update }) => {
                let query = and_update(*update).replacen('&', "?", 1);
                let headers = &["sgx-enclave-identity-issuer-chain"];
                Some(ask(format!("/tdx/certification/v4/qe/identity{query}"), headers))
            }
            _ => None,
        }
    }
}

const ROOT_CRL: &str = "/IntelSGXRootCA.der";

/// `standard` is what is served unasked, also by caches that do not know the parameter.
const fn and_update(update: Update) -> &'static str {
    match update {
        Update::Standard => "",
        Update::Early => "&update=early",
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.service.name(), self.base)
    }
}

/// One request, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) url: Url,
    /// File name of the answer, without extension.
    pub(crate) stem: String,
    /// Header fields that may carry the chain of the signer; the first that is there counts.
    pub(crate) chain_headers: &'static [&'static str],
    /// AMD asks that one certificate is asked for at most once in ten seconds.
    pub(crate) is_paced: bool,
    /// Azure's endpoint insists on `Metadata: true`, so that no redirected request reaches it by accident.
    pub(crate) is_metadata: bool,
}

impl Ask {
    fn new(url: Url, stem: String, chain_headers: &'static [&'static str]) -> Self {
        Self { url, stem, chain_headers, is_paced: false, is_metadata: false }
    }
}

/// A text that names no source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    text: String,
    reason: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source `{}` cannot be used: {}", self.text, self.reason)
    }
}

impl std::error::Error for SourceError {}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::{ChipId, Fmspc, SnpTcb};

    fn asked(source: &str, document: &Document) -> Option<String> {
        Source::parse(source).unwrap().ask(document).map(|ask| ask.url.to_string())
    }

    fn vcek(product: &'static str, hwid_bytes: usize, fmc: Option<u8>) -> Document {
        let tcb = SnpTcb { product, hwid_bytes, fmc, bootloader: 4, tee: 0, snp: 24, microcode: 219 };
        Document::Vcek { chip_id: ChipId([0xAB; 64]), tcb }
    }

    #[test]
    fn amd_is_asked_by_product_chip_and_tcb() {
        let milan = format!(
            "https://kdsintf.amd.com/vcek/v1/Milan/{}?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219",
            "ab".repeat(64)
        );
        assert_eq!(asked("kds", &vcek("Milan", 64, None)), Some(milan));
        let turin =
            "http://127.0.0.1:1/vcek/v1/Turin/abababababababab?fmcSPL=1&blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219";
        assert_eq!(asked("kds=http://127.0.0.1:1/", &vcek("Turin", 8, Some(1))).as_deref(), Some(turin));
        let (key, product) = (AmdKey::Vlek, "Genoa");
        let chain = asked("kds", &Document::AmdChain { key, product });
        assert_eq!(chain.as_deref(), Some("https://kdsintf.amd.com/vlek/v1/Genoa/cert_chain"));
        let crl = asked("kds", &Document::AmdCrl { key, product });
        assert_eq!(crl.as_deref(), Some("https://kdsintf.amd.com/vlek/v1/Genoa/crl"));
        assert_eq!(asked("kds", &Document::IntelRootCrl), None);
    }

    #[test]
    fn azure_serves_the_key_of_its_own_chip_and_nothing_else() {
        let thim = "http://169.254.169.254/metadata/THIM/amd/certification";
        assert_eq!(asked("thim", &vcek("Milan", 64, None)).as_deref(), Some(thim));
        let chain = |key| asked("thim", &Document::AmdChain { key, product: "Milan" });
        assert_eq!((chain(AmdKey::Vcek).as_deref(), chain(AmdKey::Vlek)), (Some(thim), None));
        assert_eq!(asked("thim", &Document::AmdCrl { key: AmdKey::Vcek, product: "Milan" }), None);
    }

    #[test]
    fn intel_and_its_caches_differ_in_one_address() {
        let fmspc = Fmspc([0, 0xA0, 0x6D, 8, 0, 0]);
        let pcs = "https://api.trustedservices.intel.com";
        for (source, base) in [("pcs", pcs), ("pccs=https://c:8081/sgx/certification/v4/", "https://c:8081")] {
            let asked = |document: Document| asked(source, &document).unwrap();
            let path = |path: &str| format!("{base}{path}");
            let info = |update| asked(Document::TcbInfo { fmspc, update });
            assert_eq!(info(Update::Standard), path("/tdx/certification/v4/tcb?fmspc=00a06d080000"));
            assert_eq!(info(Update::Early), path("/tdx/certification/v4/tcb?fmspc=00a06d080000&update=early"));
            let identity = |update| asked(Document::QeIdentity { update });
            assert_eq!(identity(Update::Standard), path("/tdx/certification/v4/qe/identity"));
            assert_eq!(identity(Update::Early), path("/tdx/certification/v4/qe/identity?update=early"));
            let crl = asked(Document::PckCrl { platform_ca: false });
            assert_eq!(crl, path("/sgx/certification/v4/pckcrl?ca=processor&encoding=der"));
        }
        let root = |source| asked(source, &Document::IntelRootCrl).unwrap();
        assert_eq!(root("pcs"), "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der");
        assert_eq!(root("pcs=http://[::1]:9"), "http://[::1]:9/IntelSGXRootCA.der");
        assert_eq!(root("pccs=https://c:8081"), "https://c:8081/sgx/certification/v4/rootcacrl");
    }

    #[test]
    fn what_names_no_source_is_refused_with_a_reason() {
        for (text, reason) in [
            ("intel=https://a", "expected `kds`"),
            ("", "expected `kds`"),
            ("pccs", "write `pccs=URL`"),
            ("kds=", "no URL"),
            ("kds=kdsintf.amd.com", "must begin with"),
        ] {
            let error = Source::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("source `{text}` cannot be used: ")) && error.contains(reason),
                "{error}"
            );
        }
        let vendors: Vec<_> = Source::vendors().iter().map(Source::to_string).collect();
        assert_eq!(vendors, ["kds=https://kdsintf.amd.com", "pcs=https://api.trustedservices.intel.com"]);
    }
}
