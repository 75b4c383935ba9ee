//! The door for programs that know nothing of attestation, against a gateway that does as it is told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use teegate_client::proxy::{Event, Listen, Proxy, ProxySettings, serve};
use teegate_client::{Error, Settings, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::fake::{Script, settings};

mod connections;
mod requests;

const CANARY: &str = "canary-2b9d40c17e";
const INFER: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;

/// A door in front of a scripted gateway.
struct Door {
    address: String,
    script: Arc<Script>,
    events: mpsc::UnboundedReceiver<Event>,
    proxy: Arc<Proxy>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Door {
    async fn open(script: Arc<Script>) -> Self {
        Self::with(script, ProxySettings::default(), settings()).await.unwrap()
    }

    async fn with(script: Arc<Script>, proxy: ProxySettings, settings: Settings) -> Result<Self, Error> {
        let Trust { policy, endorsements, .. } = script.fake.trust();
        let gateway = script.serve().await;
        let (tell, events) = mpsc::unbounded_channel();
        let tell = move |event| drop(tell.send(event));
        let proxy = Proxy::connect(gateway, policy, endorsements, settings, proxy, tell).await?;
        let listener = Listen::parse("0").unwrap().bind().await.unwrap();
        let address = listener.place();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve(Arc::clone(&proxy), listener, async { drop(stopped.await) }));
        Ok(Self { address, script, events, proxy, stop: Some(stop), ended })
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n")).await
    }

    async fn infer(&self, body: &str) -> Answer {
        self.post("/v2/models/m/infer", "content-type: application/json\r\n", body.as_bytes()).await
    }

    async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n{headers}", body.len());
        self.exchange(&head, body).await
    }

    async fn ask(&self, head: &str) -> Answer {
        self.exchange(head, b"").await
    }

    async fn exchange(&self, head: &str, body: &[u8]) -> Answer {
        exchange(&self.address, head, body).await
    }

    fn relayed(&self) -> usize {
        self.script.seen().relayed.len()
    }

    /// The next thing that it says.
    async fn hears(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap()
    }
}

/// One request on a connection of its own.
async fn exchange(address: &str, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
    // An answer may come before all of the body is taken.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Answer::read(&answer)
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    /// Its error, which is nothing but an error of the Open Inference Protocol.
    #[track_caller]
    fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.head);
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body));
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        body["error"].as_str().unwrap().to_owned()
    }
}
