//! How a question gets its answer over the network, by one client: each has connections of its own, which it keeps.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use teegate_client::seal::seal;
use teegate_client::{Client, Freshness, Gateway, Instance, Memory, Settings, SharedRuns, Trust};
use teegate_protocol::bhttp;
use teegate_protocol::headers::{
    ENVELOPE_PATH, OHTTP_PATH, OHTTP_REQUEST, RELAY_PATH, SEALED_MANIFEST, SEALED_RECEIPT, SEALED_RECEIPT_SALT,
    TEEGATE_MANIFEST,
};
use teegate_protocol::ohttp::KeyConfig;
use teegate_protocol::receipt::{Execution, Salt, Signed};
use teegate_verifier::{UnixTime as Now, Verifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::model::{Model, Question};
use crate::stage::Stage;
use crate::{Outcome, tls};

/// The longest answer.
const LIMIT: usize = 1 << 20;
/// How long any one answer may take: more than that is no measurement.
const DEADLINE: Duration = Duration::from_secs(60);

/// One client on one way.
pub enum Caller {
    /// JSON to a plain server.
    Plain {
        /// Its connection.
        connection: Connection,
        /// Where the model is.
        path: String,
    },
    /// Sealed, to the enclave itself or to who hands it on as it is.
    Sealed {
        /// Its connection.
        connection: Connection,
        /// Where sealed requests go there.
        outside: &'static str,
        /// The instance, verified.
        instance: Arc<Instance>,
        /// Its key.
        key: KeyConfig,
        /// Where the model is, inside the seal.
        path: String,
    },
    /// Sealed, through the gateway, by the client that everybody uses.
    Gateway(Box<Client>),
}

/// An HTTP/1.1 connection that is kept.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Caller {
    /// Connects to a plain server, or to a peer that speaks the same.
    pub async fn plain(address: &str, model: &Model) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connection = Connection::over(stream, address).await?;
        Ok(Self::Plain { connection, path: format!("/v2/models/{}/infer", model.name) })
    }

    /// Connects to the enclave, and verifies it as a client does.
    pub async fn sealed(stage: &Stage, model: &Model) -> Outcome<Self> {
        let address = stage.enclave.address()?;
        let trust = Trust::new(stage.policy.clone(), stage.endorsements.clone());
        let (connection, instance) = Self::verified(&address, &trust).await?;
        Self::of_instance(connection, OHTTP_PATH, instance, model.name)
    }

    /// Connects to who hands sealed requests on: to a gateway, or to a proxy that does no more than that. The instance is
    /// verified over a connection to itself.
    pub async fn behind(address: &str, is_gateway: bool, instance: &str, trust: &Trust, model: &str) -> Outcome<Self> {
        let (_, instance) = Self::verified(instance, trust).await?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connection = Connection::over(stream, address).await?;
        Self::of_instance(connection, if is_gateway { RELAY_PATH } else { OHTTP_PATH }, instance, model)
    }

    async fn verified(address: &str, trust: &Trust) -> Outcome<(Connection, Instance)> {
        let mut connection = Connection::over(tls::connect(address, "http/1.1").await?, address).await?;
        let envelope = connection.exchange(Request::get(ENVELOPE_PATH), Bytes::new()).await?;
        let envelope = envelope.body();
        let instance = Instance::verify(envelope, Freshness::Epoch, trust, &Verifier::new(), &Memory::default(), now())
            .map_err(|refused| refused.to_string())?;
        Ok((connection, instance))
    }

    fn of_instance(connection: Connection, outside: &'static str, instance: Instance, model: &str) -> Outcome<Self> {
        let keys = KeyConfig::parse_list(&instance.manifest().ohttp_keys)?;
        let key = keys.into_iter().next().ok_or("the manifest has no key")?;
        let path = format!("/v2/models/{model}/versions/1/infer");
        Ok(Self::Sealed { connection, outside, instance: Arc::new(instance), key, path })
    }

    /// Connects to the gateway, which has attested the enclave by then or waits for it.
    pub async fn gateway(stage: &Stage, model: &Model) -> Outcome<Self> {
        Self::through_gateway(stage, model.name, SharedRuns::Refused).await
    }

    /// The same for the model whose requests may share runs.
    pub async fn shared(stage: &Stage, model: &Model) -> Outcome<Self> {
        Self::through_gateway(stage, &model.name_of_shared(), SharedRuns::Accepted).await
    }

    async fn through_gateway(stage: &Stage, model: &str, shared_runs: SharedRuns) -> Outcome<Self> {
        let gateway = Gateway::parse(&format!("http://{}", stage.gateway.address()?))?;
        let (policy, endorsements) = (stage.policy.clone(), stage.endorsements.clone());
        let settings = Settings { shared_runs, ..Settings::default() };
        let client = Client::connect(gateway, model, policy, endorsements, settings);
        Ok(Self::Gateway(Box::new(client.await.map_err(|e| format!("through the gateway: {e}"))?)))
    }

    /// Asks, and checks the answer.
    pub async fn ask(&mut self, question: &Question) -> Outcome<()> {
        tokio::time::timeout(DEADLINE, self.answer(question)).await.map_err(|_| "no answer within a minute")?
    }

    async fn answer(&mut self, question: &Question) -> Outcome<()> {
        match self {
            Self::Plain { connection, path } => {
                let request = Request::post(path.as_str()).header(CONTENT_TYPE, "application/json");
                let answer = connection.exchange(request, question.body.clone()).await?;
                question.check_body(answer.body())
            }
            Self::Sealed { connection, outside, instance, key, path } => {
                let mut request = bhttp::Request::new("POST", "enclave", path);
                request.fields.push("content-type", "application/json")?;
                request.fields.push(SEALED_MANIFEST, instance.digest().to_string())?;
                request.content = question.body.to_vec();
                let sealed = seal(key, &request, LIMIT)?;
                let bytes = Bytes::copy_from_slice(sealed.bytes());
                let mut request = Request::post(*outside).header(CONTENT_TYPE, OHTTP_REQUEST);
                if *outside == RELAY_PATH {
                    request = request.header(TEEGATE_MANIFEST, instance.digest().to_string());
                }
                let answer = connection.exchange(request, bytes).await?;
                let opened = sealed.open(answer.body(), LIMIT)?.response;
                if opened.status != 200 {
                    return Err(
                        format!("sealed: {} {}", opened.status, String::from_utf8_lossy(&opened.content)).into()
                    );
                }
                check_receipt(&opened, instance)?;
                question.check_body(&opened.content)
            }
            Self::Gateway(client) => {
                let reply = client.infer_json(question.body.to_vec()).await?;
                question.check_body(&reply.response.content)
            }
        }
    }
}

/// As the client does it, save for what only it knows of a request.
fn check_receipt(answer: &bhttp::Response, instance: &Instance) -> Outcome<()> {
    let field = |name| answer.fields.get(name).ok_or_else(|| format!("an answer without `{name}`"));
    let signed = Signed::parse_header(field(SEALED_RECEIPT)?)?;
    let salt = Salt::parse_header(field(SEALED_RECEIPT_SALT)?)?;
    let receipt = Execution::verify(&signed, &instance.manifest().receipt_key)?;
    let speaks = receipt.manifest == *instance.digest() && receipt.output == salt.digest(&answer.content);
    if speaks { Ok(()) } else { Err("a receipt of something else".into()) }
}

impl Connection {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, host: &str) -> Outcome<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: host.to_owned() })
    }

    /// One request and its answer, which has to be a success.
    async fn exchange(&mut self, request: http::request::Builder, body: Bytes) -> Outcome<Response<Bytes>> {
        let request = request.header(HOST, &self.host).body(Full::new(body))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.status.is_success() {
            let said = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
            return Err(format!("{} answered {}: {said}", self.host, head.status).into());
        }
        Ok(Response::from_parts(head, body))
    }
}

fn now() -> Now {
    Now::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
