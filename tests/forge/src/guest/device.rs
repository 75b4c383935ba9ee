//! The forged device behind the API, and what it writes for whoever is to trust it.

use std::path::Path;
use std::{fs, io};

use serde_json::json;
use teegate_forge as forge;
use teegate_forge::paravisor::Platform;
use teegate_forge::services::Route;
use teegate_forge::snp::{Product, SnpBuilder, SnpSet};
use teegate_forge::tdx::event_log::{BOOT, encode, registers};
use teegate_forge::tdx::{TdxBuilder, TdxSet};

use crate::args::{Args, EventLog, Tee};

/// One device; its certificates are made once, a report or quote at every request.
#[expect(clippy::large_enum_variant, reason = "there is one device in the process")]
pub(crate) enum Device {
    Snp { builder: SnpBuilder, set: SnpSet, product: Product, cert_chain: bool, at: u64 },
    Tdx { builder: TdxBuilder, set: TdxSet, log: Option<Vec<u8>>, at: u64 },
}

impl Device {
    /// Makes keys, certificates and collateral, valid around `at`.
    pub(crate) fn new(args: &Args, at: u64) -> Self {
        match args.tee {
            Tee::Snp => {
                let mut builder = forge::snp().product(args.product).at(at);
                if args.aci {
                    builder = builder.host_data(forge::aci().build().host_data()).measurement(forge::aci::MEASUREMENT);
                }
                if let Some(measurement) = args.measurement {
                    builder = builder.measurement(measurement);
                }
                if args.debug {
                    builder = builder.debug();
                }
                let set = builder.build();
                Self::Snp { builder, set, product: args.product, cert_chain: args.cert_chain, at }
            }
            Tee::Tdx => {
                let mut builder = forge::tdx().version_5(3).at(at);
                if let Some(measurement) = args.measurement {
                    builder = builder.mrtd(measurement);
                }
                if args.debug {
                    builder = builder.debug();
                }
                if args.event_log.is_some() {
                    let registers = registers(&BOOT);
                    builder = (0..4).fold(builder, |builder, number| builder.rtmr(number, registers[number]));
                }
                let log = match args.event_log {
                    None | Some(EventLog::None) => None,
                    Some(EventLog::Own) => Some(encode(&BOOT)),
                    Some(EventLog::Another) => Some(encode(&BOOT[1..])),
                };
                let set = builder.build();
                Self::Tdx { builder, set, log, at }
            }
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Snp { .. } => "snp",
            Self::Tdx { .. } => "tdx",
        }
    }

    /// The evidence JSON for this report data.
    pub(crate) fn evidence(&self, report_data: [u8; 64]) -> String {
        match self {
            Self::Snp { builder, set, cert_chain, .. } => {
                let report = builder.clone().report_data(report_data).report();
                let set = SnpSet { report, ..set.clone() };
                if *cert_chain { set.coco_evidence() } else { set.coco_evidence_without_chain() }
            }
            Self::Tdx { builder, set, log, .. } => {
                let quote = builder.clone().report_data(report_data).quote_under(set);
                forge::coco::tdx_evidence_with_log(&quote, log.as_deref())
            }
        }
    }

    /// The report of an SEV-SNP firmware.
    pub(crate) fn report(&self, report_data: [u8; 64]) -> Vec<u8> {
        match self {
            Self::Snp { builder, .. } => builder.clone().report_data(report_data).report(),
            Self::Tdx { .. } => Vec::new(),
        }
    }

    /// The table of certificates that its host supplies.
    pub(crate) fn certificate_table(&self) -> Vec<u8> {
        match self {
            Self::Snp { set, cert_chain: true, .. } => set.certificate_table(),
            _ => Vec::new(),
        }
    }

    /// What Azure's host says of the certificates of an SEV-SNP machine.
    pub(crate) fn thim(&self) -> Option<Vec<u8>> {
        match self {
            Self::Snp { builder, .. } => Some(builder.thim_routes().pop()?.body),
            Self::Tdx { .. } => None,
        }
    }

    /// The platform below a paravisor.
    pub(crate) fn platform(&self) -> Platform {
        match self {
            Self::Snp { builder, .. } => Platform::Snp(builder.clone()),
            Self::Tdx { builder, set, .. } => Platform::Tdx(builder.clone(), set.clone()),
        }
    }

    /// What the vendors' services answer for this device.
    pub(crate) fn services(&self) -> Vec<Route> {
        match self {
            Self::Snp { builder, .. } => [builder.kds_routes(), builder.thim_routes()].concat(),
            Self::Tdx { builder, set, .. } => builder.pcs_routes_under(set),
        }
    }

    /// `roots/amd.pem`, `roots/intel.pem`, `endorsements/*`, `values.json`.
    ///
    /// Both roots are written, so that one policy can pin both; the vendor that made no device still has its root.
    /// `more` goes into the values.
    pub(crate) fn write_files(&self, dir: &Path, more: &[(&str, serde_json::Value)]) -> io::Result<()> {
        fs::create_dir_all(dir.join("roots"))?;
        fs::create_dir_all(dir.join("endorsements"))?;
        let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes);
        match self {
            Self::Snp { set, at, .. } => {
                write("roots/amd.pem", set.ark_pem.as_bytes())?;
                write("roots/intel.pem", forge::tdx().at(*at).build().root_pem.as_bytes())?;
                write("endorsements/chain.pem", set.chain_pem().as_bytes())?;
                write("endorsements/crl.der", set.crl.as_deref().unwrap_or_default())?;
            }
            Self::Tdx { set, at, .. } => {
                write("roots/amd.pem", forge::snp().at(*at).ark_pem().as_bytes())?;
                write("roots/intel.pem", set.root_pem.as_bytes())?;
                write("endorsements/collateral.json", set.dcap_collateral(true).as_bytes())?;
            }
        }
        let mut values = self.values();
        for (name, value) in more {
            values[name] = value.clone();
        }
        write("values.json", format!("{values:#}\n").as_bytes())
    }

    fn values(&self) -> serde_json::Value {
        match self {
            Self::Snp { builder, product, at, .. } => {
                let report = builder.report_fields();
                json!({
                    "forged": true,
                    "tee": "snp",
                    "product": format!("{product:?}").to_lowercase(),
                    "measurement": hex::encode(report.measurement),
                    "host_data": hex::encode(report.host_data),
                    "chip_id": hex::encode(report.chip_id),
                    "reported_tcb": hex::encode(report.reported_tcb),
                    "debug": report.policy & 1 << 19 != 0,
                    "at": at,
                })
            }
            Self::Tdx { builder, at, .. } => {
                let td = builder.td_report_fields();
                json!({
                    "forged": true,
                    "tee": "tdx",
                    "product": null,
                    "mrtd": hex::encode(td.mrtd),
                    "mrconfigid": hex::encode(td.mrconfigid),
                    "rtmr0": hex::encode(td.rtmr[0]),
                    "rtmr1": hex::encode(td.rtmr[1]),
                    "rtmr2": hex::encode(td.rtmr[2]),
                    "rtmr3": hex::encode(td.rtmr[3]),
                    "mrseam": hex::encode(td.mrseam),
                    "debug": td.attributes & 1 != 0,
                    "at": at,
                })
            }
        }
    }
}
