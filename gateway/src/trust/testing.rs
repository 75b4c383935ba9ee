//! What tests of other modules need: instances at the other end of an in-memory connection, and proofs about them that
//! nobody made. Compiled for tests alone.

use std::cell::Cell;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use teegate_encoding::hex;
use teegate_measurements::Rewritten;
use teegate_protocol::binding::Exporter;
use teegate_protocol::manifest::{
    ConfigDigest, InstanceId, Limits, Manifest, ManifestDigest, ModelDigest, ModelEntry, ReceiptPublicKey, SpkiDigest,
};
use teegate_protocol::ohttp::config::{KeyConfig, KeyPair};
use teegate_verifier::{Policy, Tee};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc, watch};

use super::*;

/// The clocks of a test; its wall clock starts at 2026-06-01T00:00:00Z.
pub(crate) fn clock() -> Clock {
    clock_at(START)
}

/// The same from another time on.
pub(crate) fn clock_at(seconds: u64) -> Clock {
    set_wall(seconds);
    Clock::reading_wall_from(wall)
}

thread_local! { static WALL: Cell<(u64, Option<Instant>)> = const { Cell::new((START, None)) }; }

pub(crate) const START: u64 = 1_780_272_000;

fn wall() -> UnixTime {
    let (seconds, since) = WALL.get();
    UnixTime::from_seconds(seconds + since.map_or(0, |since| since.elapsed().as_secs()))
}

/// Sets the wall clock of this test; from there it goes with the monotonic one.
pub(crate) fn set_wall(seconds: u64) {
    WALL.set((seconds, Some(Instant::now())));
}

/// A policy over forged hardware: this root, this launch measurement.
pub(crate) fn policy(ark_pem: &str, measurement: [u8; 48]) -> Policy {
    Policy::parse(&policy_text(ark_pem, &[measurement])).unwrap_or_else(|error| panic!("{error}"))
}

/// The same as its author writes it, over any of these launch measurements.
pub(crate) fn policy_text(ark_pem: &str, measurements: &[[u8; 48]]) -> String {
    let measurement = format!("{:?}", measurements.iter().map(hex::encode).collect::<Vec<_>>());
    let rules = [
        ("bound_to", "\"workload\""),
        ("products", "[\"genoa\"]"),
        ("signing_keys", "[\"vcek\"]"),
        ("revocation", "\"required\""),
        ("measurement", &measurement),
        ("vmpl", "0"),
        ("report_data", "\"caller\""),
    ];
    let genuine = Rewritten::of(teegate_measurements::GENUINE).unwrap().named("test").only(Tee::SevSnp);
    let policy = rules.iter().fold(genuine.under_root("amd", ark_pem), |policy, (field, rule)| {
        policy.rule(Tee::SevSnp, field, rule).unwrap()
    });
    policy.text()
}

/// A policy that accepts something, for tests in which nothing is verified.
pub(crate) fn any_policy() -> Policy {
    policy(&teegate_forge::snp().ark_pem(), [1; 48])
}

/// Who an instance of a test is.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) tls_spki: SpkiDigest,
    pub(crate) instance: u8,
    pub(crate) receipt: u8,
    pub(crate) key: KeyConfig,
}

impl Who {
    /// An instance that shares nothing with one of another number.
    pub(crate) fn new(number: u8) -> Self {
        let key = KeyPair::generate(0).unwrap().config().clone();
        Self { tls_spki: SpkiDigest([number; 32]), instance: number, receipt: number, key }
    }

    /// Its manifest of one epoch, current for an hour from `START`, with one model.
    pub(crate) fn manifest(&self, epoch: u64, prev: Option<&ManifestDigest>) -> Arc<ManifestBytes> {
        self.manifest_of(epoch, prev, &["model"])
    }

    fn manifest_of(&self, epoch: u64, prev: Option<&ManifestDigest>, models: &[&str]) -> Arc<ManifestBytes> {
        let model =
            |name: &&str| ModelEntry { name: (*name).into(), version: "1".into(), sha256: ModelDigest([0; 32]) };
        let manifest = Manifest {
            instance_id: InstanceId([self.instance; 16]),
            epoch,
            prev: prev.copied(),
            not_before: START,
            use_until: START + 3_600,
            not_after: START + 4_200,
            ohttp_keys: KeyConfig::encode_list([&self.key]),
            tls_spki_sha256: self.tls_spki,
            receipt_key: ReceiptPublicKey([self.receipt; 32]),
            models: models.iter().map(model).collect(),
            config_sha256: ConfigDigest([0; 32]),
            app_version: "1".into(),
            limits: Limits {
                sealed_body_bytes: 1 << 20,
                tensor_rank: 4,
                tensor_elements: 4,
                cross_tenant_batching: false,
                batching: vec![],
            },
        };
        Arc::new(manifest.to_bytes().unwrap())
    }
}

/// The first manifest of an instance with these models.
pub(crate) fn serving(who: &Who, models: &[&str]) -> Arc<ManifestBytes> {
    who.manifest_of(0, None, models)
}

/// One connection to an instance, and the requests that arrive at its other end.
pub(crate) struct Wire {
    link: Arc<Link>,
    /// What arrives.
    pub(crate) arrived: mpsc::Receiver<(http::Request<RecvStream>, SendResponse<Bytes>)>,
}

impl Wire {
    /// Connects in memory.
    pub(crate) async fn connect() -> Self {
        let (near, far) = tokio::io::duplex(64 << 10);
        Self::over(near, far, &h2::server::Builder::new()).await
    }

    /// Connects in memory, to an instance that takes no byte of a body.
    pub(crate) async fn connect_without_window() -> Self {
        let (near, far) = tokio::io::duplex(64 << 10);
        Self::over(near, far, h2::server::Builder::new().initial_window_size(0)).await
    }

    /// Connects in memory. While the sender says false, nothing that the gateway writes beyond 1 KiB gets through.
    pub(crate) async fn connect_through_a_tap() -> (Self, watch::Sender<bool>) {
        let (near, middle) = tokio::io::duplex(1 << 10);
        let (onward, far) = tokio::io::duplex(64 << 10);
        let (is_open, mut flows) = watch::channel(true);
        let ((mut from_gateway, mut to_gateway), (mut from_instance, mut to_instance)) =
            (tokio::io::split(middle), tokio::io::split(onward));
        tokio::spawn(async move { tokio::io::copy(&mut from_instance, &mut to_gateway).await });
        tokio::spawn(async move {
            let mut bytes = [0; 1 << 10];
            while flows.wait_for(|flows| *flows).await.is_ok() {
                // What was read while the tap was closed waits until it is open again.
                let count = from_gateway.read(&mut bytes).await.unwrap_or(0);
                let _ = flows.wait_for(|flows| *flows).await;
                if count == 0 || to_instance.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
            let _ = to_instance.shutdown().await;
        });
        (Self::over(near, far, &h2::server::Builder::new()).await, is_open)
    }

    async fn over(near: DuplexStream, far: DuplexStream, server: &h2::server::Builder) -> Self {
        let (arrive, arrived) = mpsc::channel(16);
        let handshake = server.handshake(far);
        tokio::spawn(async move {
            let Ok(mut server) = handshake.await else { return };
            while let Some(Ok(next)) = server.accept().await {
                if arrive.send(next).await.is_err() {
                    return;
                }
            }
        });
        let exporter = Exporter::from_bytes([0; 32]);
        let link = Link::speak(near, exporter, SpkiDigest([0; 32]), Duration::from_secs(5)).await.unwrap();
        Self { link: Arc::new(link), arrived }
    }

    /// Ends it, and waits until the gateway's side knows.
    pub(crate) async fn ended(self) {
        let Self { link, arrived } = self;
        drop(arrived);
        link.outlet().shut();
        link.closed().await;
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Whether it was shut: nothing more is written to it.
    pub(crate) fn is_shut(&self) -> bool {
        self.link.outlet().is_shut()
    }

    /// Tells it from other connections.
    pub(crate) fn link_id(&self) -> u64 {
        self.link.id()
    }

    /// A proof about its other end that lasts `fresh` and says `manifest`, on evidence that outlives the manifest.
    pub(crate) fn trusted(&self, manifest: &Arc<ManifestBytes>, version: u64, fresh: Duration) -> Trusted<Backend> {
        self.trusted_since(manifest, version, fresh, Instant::now())
    }

    /// The same, asked at `now` by the clock of ages.
    pub(crate) fn trusted_since(
        &self,
        manifest: &Arc<ManifestBytes>,
        version: u64,
        fresh: Duration,
        now: Instant,
    ) -> Trusted<Backend> {
        let evidence_digest = EvidenceDigest([7; 32]);
        Trusted {
            subject: Backend {
                link: Arc::clone(&self.link),
                manifest: Arc::clone(manifest),
                evidence_digest,
                summary: summary(),
                forecast: None,
            },
            policy_version: version,
            checked_at: now,
            fresh_until: now + fresh,
            valid_until: outlives(manifest),
        }
    }
}

/// What nobody's verdict says.
fn summary() -> Summary {
    Summary {
        tee: "sev-snp",
        wrapping: "raw",
        profile: "test".into(),
        bound_to: Some("workload"),
        trust_anchors: Some("policy"),
        code_name: "measurement",
        code: "5e".repeat(48),
        tcb: "none, open bulletins: 0".into(),
        endings: vec![Ending { at: UnixTime::from_seconds(START + 86_400), kind: "crl", name: "ARK-Genoa".into() }],
        first: Some(Ending {
            at: UnixTime::from_seconds(START + 86_400),
            kind: "verdict",
            name: "CRL of ARK-Genoa".into(),
        }),
    }
}

/// An end of the evidence that is not the end of the manifest, so that neither passes for the other.
fn outlives(manifest: &ManifestBytes) -> UnixTime {
    UnixTime::from_seconds(manifest.manifest().not_after + 86_400)
}

/// An offer that nobody verified, on evidence that outlives the manifest.
pub(crate) fn offer(manifest: &Arc<ManifestBytes>, version: u64) -> Trusted<Offer> {
    let now = Instant::now();
    Trusted {
        subject: Offer {
            manifest: Arc::clone(manifest),
            listed: format!(r#"{{"manifest":"{}","envelope":{{}}}}"#, manifest.digest()).into(),
            _vouched: Vec::new(),
        },
        policy_version: version,
        checked_at: now,
        fresh_until: now + Duration::from_secs(86_400),
        valid_until: outlives(manifest),
    }
}
