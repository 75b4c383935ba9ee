//! A gateway's neighbour with bad intentions: it passes everything on, but puts its own key into every manifest.
//!
//! This is the attack that attested keys exist against. Whoever sits between client and enclave, the gateway included, would
//! like the client to seal to *his* key; he can change the manifest, but not the evidence that was made for the real one.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use teegate_encoding::base64;
use teegate_protocol::ohttp::{KeyConfig, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::exchange::{Answer, get};

/// A listener on loopback that swaps keys. Dropping it closes it.
pub(super) struct KeySwapper {
    /// Where it listens.
    pub(super) address: String,
    received: Arc<Mutex<Vec<u8>>>,
    accepting: JoinHandle<()>,
}

impl KeySwapper {
    /// Listens in front of the gateway at `behind`.
    pub(super) async fn in_front_of(behind: &str) -> Result<Self, String> {
        let own_key = KeyPair::generate(0).map_err(|e| e.to_string())?;
        let keys = base64::encode_url(KeyConfig::encode_list([own_key.config()]));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| format!("cannot listen on loopback: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("cannot listen on loopback: {e}"))?.to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (behind, keep) = (behind.to_owned(), Arc::clone(&received));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that it cannot serve sees a closed connection, which is all that an attacker owes it.
                let _served = serve(client, &behind, &keys, &keep).await;
            }
        });
        Ok(Self { address, received, accepting })
    }

    /// Everything that clients have sent to it.
    pub(super) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for KeySwapper {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one request for the list of instances: fetched from the gateway, the keys exchanged, handed on.
async fn serve(mut client: TcpStream, behind: &str, keys: &str, keep: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = client.read(&mut buffer).await?;
        let bytes = buffer.get(..n).unwrap_or_default();
        if bytes.is_empty() || head.len() > 64 * 1024 {
            return Ok(());
        }
        head.extend_from_slice(bytes);
        keep.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or("/");

    // All else is passed on as it came: a gateway that has no instance yet must be seen to say so.
    let Answer { status, content_type, body } = get(behind, target).await?;
    let body = swap_keys(&body, keys).unwrap_or(body);
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(&body).await
}

/// The list of instances, with `keys` in every manifest; `None` if it is no such list.
fn swap_keys(list: &[u8], keys: &str) -> Option<Vec<u8>> {
    let mut list: Value = serde_json::from_slice(list).ok()?;
    for instance in list.get_mut("instances")?.as_array_mut()? {
        let record = instance.get_mut("envelope")?.get_mut("manifest")?.as_array_mut()?.get_mut(1)?;
        let mut manifest: Value = serde_json::from_slice(&base64::decode_url(record.as_str()?).ok()?).ok()?;
        *manifest.get_mut("ohttp_keys")? = Value::from(keys);
        *record = Value::from(base64::encode_url(serde_json::to_vec(&manifest).ok()?));
    }
    serde_json::to_vec(&list).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_gateway_answers_keeps_its_status_and_type() {
        let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let swapper = KeySwapper::in_front_of(&behind.local_addr().unwrap().to_string()).await.unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = behind.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.0 503 Busy\r\ncontent-type: application/problem+json\r\n\r\nnone yet";
            stream.write_all(answer).await.unwrap();
        });
        let answer = get(&swapper.address, "/v1/instances").await.unwrap();
        assert_eq!((answer.status, answer.content_type.as_str()), (503, "application/problem+json"));
        assert_eq!(answer.body, b"none yet");
        assert!(swapper.received().starts_with(b"GET /v1/instances "));
    }

    #[test]
    fn only_the_keys_change() {
        let manifest = base64::encode_url(r#"{"a":1,"ohttp_keys":"old"}"#);
        let list = format!(r#"{{"instances":[{{"envelope":{{"manifest":["type","{manifest}"]}}}}]}}"#);
        let swapped: Value = serde_json::from_slice(&swap_keys(list.as_bytes(), "new").unwrap()).unwrap();
        let record = swapped["instances"][0]["envelope"]["manifest"][1].as_str().unwrap();
        assert_eq!(base64::decode_url(record).unwrap(), br#"{"a":1,"ohttp_keys":"new"}"#);
        assert!(swap_keys(b"{}", "new").is_none());
    }
}
