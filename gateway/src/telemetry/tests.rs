//! Telemetry over real sockets: the gateway and an instance on forged hardware on the one side, on the other a receiver that decodes what
//! it gets with the types that OpenTelemetry generates from its own `.proto` files. No collector was there to try.

mod attestation;
mod oracle;
mod readings;
mod receivers;
mod requests;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::oracle::Oracle;
use super::config::{TelemetrySettings, TelemetryTable};
use super::*;
use crate::breaker::BreakerLimits;
use crate::config::{Address, Config};
use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::server::{Front, ServerLimits, serve_clients};
use crate::testing::gateway;
use crate::trust::forged::{Enclave, LIVES, appraisal};
use crate::trust::testing::clock;
use crate::trust::{Beside, LinkSettings};
use crate::watch::{WatchSettings, watch as watch_address};

/// Far more than anything here takes; whatever is waited for is an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// `[telemetry]` with this receiver; spans wait for no others.
fn settings(receiver: SocketAddr, more: &str) -> TelemetrySettings {
    let text = format!("otlp_endpoint = 'http://{receiver}'\n{more}");
    let settings = toml::from_str::<TelemetryTable>(&text).unwrap().settle(Path::new("/")).unwrap().unwrap();
    TelemetrySettings { spans: Duration::from_millis(20), ..settings }
}

/// A gateway before one enclave, whose spans and metrics go to a receiver.
struct Stage {
    gateway: Arc<Gateway>,
    enclave: Enclave,
    address: SocketAddr,
    exporting: Exporting,
    _shutdown: watch::Sender<bool>,
}

/// An address at which nobody looks.
fn elsewhere() -> Address {
    Address::parse("elsewhere:1").unwrap()
}

impl Stage {
    async fn set(settings: TelemetrySettings, enclave: Enclave, admission: &str) -> Self {
        let metrics = Arc::new(Metrics::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracer, queue) = Tracer::new(&settings, address, Arc::clone(&metrics));
        let appraisal = appraisal();
        let breaker = BreakerLimits { failures: 3, open: Duration::from_secs(10) };
        let addresses = [enclave.address.clone(), elsewhere()];
        let (policy, endorsements) = (appraisal.policy.clone(), appraisal.endorsements.clone());
        let fleet = Arc::new(Fleet::new(&addresses, policy, endorsements, clock(), breaker, Arc::clone(&metrics)));
        let watching = WatchSettings {
            link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
            lives: LIVES,
            reattest: PATIENCE,
            retry: Duration::from_millis(20),
            health: PATIENCE,
            drain: Duration::ZERO,
            beside: Beside { tracer: tracer.clone(), ..Beside::default() },
        };
        tokio::spawn(watch_address(enclave.address.clone(), Arc::clone(&fleet), watching, Arc::clone(&metrics)));
        let head = "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'p.toml'\ninstances = ['a:1']\n";
        let folder = tempfile::tempdir().unwrap();
        let token = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, oracle::TOKEN.as_bytes());
        std::fs::write(folder.path().join("tokens"), format!("{} team-a\n", teegate_encoding::hex::encode(token)))
            .unwrap();
        let config = Config::parse(&format!("{head}{admission}"), folder.path()).unwrap();
        let gateway = Arc::new(Gateway {
            fleet,
            tracer,
            metrics: Arc::clone(&metrics),
            gatekeeper: crate::admission::Gatekeeper::load(&config.admission).unwrap(),
            ..Arc::into_inner(gateway()).unwrap()
        });
        let time = Duration::from_secs(300);
        let limits = ServerLimits { connections: 16, streams: 16, header_read: time, answer: time };
        let (shutdown, is_shutdown) = watch::channel(false);
        tokio::spawn(serve_clients(listener, Front::default(), Arc::clone(&gateway), limits, is_shutdown));
        let own = Arc::clone(&gateway);
        let exporting = export(Receiver::load(&settings).unwrap(), queue, metrics, move || own.metrics_text());
        Self { gateway, enclave, address, exporting, _shutdown: shutdown }
    }

    /// One before an honest enclave, to which everybody is let in.
    async fn honest(oracle: &Oracle, number: u8, more: &str) -> Self {
        let stage =
            Self::set(settings(oracle.address, more), Enclave::numbered(number).await, "admission = 'none'").await;
        stage.is_attested().await;
        stage
    }

    async fn is_attested(&self) {
        let offered = || (!self.gateway.fleet.offered(None).is_empty()).then_some(());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let reached = crate::hold::wait_until(&mut self.gateway.fleet.changes(), deadline, offered).await;
        assert!(reached.is_some(), "attested");
    }

    /// A sealed request to the enclave, whatever it is sealed with.
    async fn relay(&self, fields: &[(&str, &str)], body: &'static str) -> u16 {
        let manifest = self.enclave.who.manifest(0, None).digest().to_string();
        let own = [("content-type", "message/ohttp-req"), ("teegate-manifest", manifest.as_str())];
        ask(self.address, "POST", "/v1/relay", &[&own[..], fields].concat(), body).await
    }
}

/// Asks over a connection of its own, and takes the whole answer.
async fn ask(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], body: &'static str) -> u16 {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(path).header("host", "gateway");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = requests.send_request(request.body(Full::new(bytes::Bytes::from(body))).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}
