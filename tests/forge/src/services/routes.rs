//! What is served where: AMD 57230 (VCEK and KDS interface), Intel PCS API v4, Azure THIM.

use crate::json::{object, string};
use crate::pem;
use crate::snp::{LeafKind, Product, SnpBuilder};
use crate::tdx::{PckCa, TdxBuilder, TdxSet};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path, without query.
    pub path: String,
    /// The parameters, all of which a request must carry and no others.
    pub query: Vec<(String, String)>,
    /// Header fields that a request must carry.
    pub requires: Vec<(&'static str, &'static str)>,
    /// Header fields of the answer.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Route {
    /// An answer to `target`, a path with or without a query.
    pub fn new(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let (path, query) = split_target(target);
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { path, query, requires: Vec::new(), headers, body: body.into() }
    }

    /// With this field in the header of the answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this PEM text in the header of the answer, percent-encoded as Intel's service does it.
    pub fn chain_header(self, name: &str, pem: &str) -> Self {
        let encoded: String = pem
            .bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        self.header(name, &encoded)
    }

    pub(super) fn answers(&self, target: &str, has_header: impl Fn(&str, &str) -> bool) -> bool {
        let (path, query) = split_target(target);
        path == self.path && query == self.query && self.requires.iter().all(|(name, value)| has_header(name, value))
    }
}

/// The path, and the parameters in alphabetical order: their order says nothing.
fn split_target(target: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    pairs.sort();
    (path.to_owned(), pairs)
}

impl SnpBuilder {
    /// What AMD's key service answers for this device: the VCEK (there is none under a VLEK), chain and CRL.
    pub fn kds_routes(&self) -> Vec<Route> {
        let set = self.build();
        let fields = self.report_fields();
        let (product, kind) = (self.product_of_device(), if set.kind == LeafKind::Vlek { "vlek" } else { "vcek" });
        let name = product.kds_name();
        let chain = pem::chain(&[&set.intermediate, &set.ark]);
        let mut routes = vec![Route::new(&format!("/{kind}/v1/{name}/cert_chain"), "application/x-pem-file", chain)];
        routes.extend(set.crl.map(|crl| Route::new(&format!("/{kind}/v1/{name}/crl"), "application/pkix-crl", crl)));
        if set.kind == LeafKind::Vcek {
            let tcb = fields.reported_tcb;
            let (hwid, levels) = match product {
                Product::Turin => (
                    &fields.chip_id[..8],
                    format!(
                        "fmcSPL={}&blSPL={}&teeSPL={}&snpSPL={}&ucodeSPL={}",
                        tcb[0], tcb[1], tcb[2], tcb[3], tcb[7]
                    ),
                ),
                _ => (
                    &fields.chip_id[..],
                    format!("blSPL={}&teeSPL={}&snpSPL={}&ucodeSPL={}", tcb[0], tcb[1], tcb[6], tcb[7]),
                ),
            };
            let target = format!("/vcek/v1/{name}/{}?{levels}", hex::encode(hwid));
            routes.push(Route::new(&target, "application/pkix-cert", set.vek));
        }
        routes
    }

    /// What Azure's host agent answers inside a guest on this device.
    pub fn thim_routes(&self) -> Vec<Route> {
        let set = self.build();
        let text = |pem: String| string(&pem).replace("\\u000a", "\\n");
        let mut tcbm = self.report_fields().reported_tcb;
        tcbm.reverse();
        let body = object(&[
            ("vcekCert", text(pem::certificate(&set.vek))),
            ("tcbm", string(&hex::encode_upper(tcbm))),
            ("certificateChain", text(pem::chain(&[&set.intermediate, &set.ark]))),
            ("cacheControl", string("86400")),
        ]);
        let mut route = Route::new("/metadata/THIM/amd/certification", "application/json", body);
        route.requires.push(("metadata", "true"));
        vec![route]
    }
}

impl TdxBuilder {
    /// What Intel's service answers for this platform, out of a set that was built before.
    pub fn pcs_routes_under(&self, set: &TdxSet) -> Vec<Route> {
        let (ca, fmspc) = self.platform();
        set.pcs_routes(ca, fmspc)
    }
}

impl TdxSet {
    /// What Intel's service answers for this platform of this FMSPC and CA; as the evaluation of both updates.
    pub fn pcs_routes(&self, ca: PckCa, fmspc: [u8; 6]) -> Vec<Route> {
        let mut routes = self.common_routes(ca, fmspc, |der| der.to_vec());
        routes.push(Route::new("/IntelSGXRootCA.der", "application/pkix-crl", self.root_crl.clone()));
        routes
    }

    /// The same from a cache in a data centre, which hands out revocation lists in hexadecimal.
    pub fn pccs_routes(&self, ca: PckCa, fmspc: [u8; 6]) -> Vec<Route> {
        let mut routes = self.common_routes(ca, fmspc, |der| hex::encode(der).into_bytes());
        let root = Route::new("/sgx/certification/v4/rootcacrl", "text/plain", hex::encode(&self.root_crl));
        routes.push(root);
        routes
    }

    fn common_routes(&self, ca: PckCa, fmspc: [u8; 6], list: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Route> {
        let (signing, pck) = (self.tcb_signing_chain_pem(), pem::chain(&[&self.pck_ca, &self.root]));
        let ca = match ca {
            PckCa::Platform => "platform",
            PckCa::Processor => "processor",
        };
        let crl = format!("/sgx/certification/v4/pckcrl?ca={ca}&encoding=der");
        let mut routes = vec![
            Route::new(&crl, "application/pkix-crl", list(&self.pck_crl))
                .chain_header("SGX-PCK-CRL-Issuer-Chain", &pck),
        ];
        for update in ["", "update=early", "update=standard"] {
            let (first, further) = if update.is_empty() { ("", String::new()) } else { ("?", format!("&{update}")) };
            let info = format!("/tdx/certification/v4/tcb?fmspc={}{further}", hex::encode(fmspc));
            let identity = format!("/tdx/certification/v4/qe/identity{first}{update}");
            routes.push(
                Route::new(&info, "application/json", self.tcb_info_response())
                    .chain_header("TCB-Info-Issuer-Chain", &signing),
            );
            routes.push(
                Route::new(&identity, "application/json", self.qe_identity_response())
                    .chain_header("SGX-Enclave-Identity-Issuer-Chain", &signing),
            );
        }
        routes
    }
}
