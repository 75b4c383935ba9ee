//! The reverse proxy beside which the gateway is measured: hyper, HTTP/1.1 in, one HTTP/2 connection over TLS 1.3 out, heads and
//! bodies handed on as they come. No proof of what stands there, no limit, no receipt, no log.
//!
//! With `--receipts` it does the one thing for each request that the protocol asks of a gateway and of no proxy: it takes the digest of the
//! whole sealed request before it hands it on, and signs a receipt of the release.
//!
//! `teegate-hop [--receipts] ADDRESS`; its first line says where it listens.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use teegate_load::{Outcome, tls};
use teegate_protocol::manifest::ManifestDigest;
use teegate_protocol::receipt::{CiphertextDigest, EvidenceDigest, ReceiptKey, Release};
use tokio::net::TcpListener;

type Body = Either<Incoming, Full<Bytes>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (upstream, key) = match arguments.as_slice() {
        [upstream] => (*upstream, None),
        ["--receipts", upstream] => (*upstream, Some(Arc::new(ReceiptKey::generate()?))),
        _ => return Err("usage: teegate-hop [--receipts] ADDRESS".into()),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(upstream, key))
}

async fn serve(upstream: &str, key: Option<Arc<ReceiptKey>>) -> Outcome<()> {
    let stream = TokioIo::new(tls::connect(upstream, "h2").await?);
    let (sender, connection) = handshake::<_, _, Body>(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", json!({ "listening": listener.local_addr()?.to_string() }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (sender, key) = (sender.clone(), key.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(sender.clone(), key.clone(), request));
            let _broken =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The request as it is, under the other connection's scheme and host.
async fn forward(
    mut sender: SendRequest<Body>,
    key: Option<Arc<ReceiptKey>>,
    request: Request<Incoming>,
) -> Outcome<hyper::Response<Incoming>> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("https://enclave{path}").parse()?;
    // Of HTTP/1.1 only; HTTP/2 refuses them.
    head.headers.remove(hyper::header::HOST);
    head.headers.remove(hyper::header::CONNECTION);
    let (body, receipt) = match key {
        None => (Either::Left(body), None),
        Some(key) => {
            let body = body.collect().await?.to_bytes();
            let receipt = receipt(&body, &key)?;
            (Either::Right(Full::new(body)), Some(receipt))
        }
    };
    sender.ready().await?;
    let mut answer = sender.send_request(Request::from_parts(head, body)).await?;
    if let Some(receipt) = receipt {
        answer.headers_mut().insert("teegate-release-receipt", receipt.parse()?);
    }
    Ok(answer)
}

/// As a gateway signs it, of an instance that nobody knows.
fn receipt(body: &[u8], key: &ReceiptKey) -> Outcome<String> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    let release = Release {
        ciphertext: CiphertextDigest(digest.as_ref().try_into()?),
        manifest: ManifestDigest([0; 32]),
        evidence: EvidenceDigest([0; 32]),
        policy_version: 1,
        claimed_time: 0,
    };
    Ok(release.sign(key)?.to_header())
}
