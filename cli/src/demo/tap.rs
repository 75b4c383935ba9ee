//! A tap on the wire: it passes every byte on and keeps a copy, so that the demo can show what an onlooker sees.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How much the tap keeps of each direction; the demo's own traffic is a few kilobytes.
const MAX_KEPT: usize = 4 * 1024 * 1024;

/// A listener on loopback in front of another one. Dropping it closes it.
pub(super) struct Tap {
    /// Where it listens.
    pub(super) address: String,
    sent: Arc<Mutex<Kept>>,
    answered: Arc<Mutex<Kept>>,
    accepting: JoinHandle<()>,
}

/// What went in one direction: the first bytes of it, and how many there were.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    count: u64,
}

impl Tap {
    /// Listens in front of `behind`, an address of the form `HOST:PORT`.
    pub(super) async fn in_front_of(behind: &str) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| format!("cannot listen on loopback: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("cannot listen on loopback: {e}"))?.to_string();
        let (sent, answered) = (Arc::<Mutex<Kept>>::default(), Arc::<Mutex<Kept>>::default());
        let (behind, keep) = (behind.to_owned(), (Arc::clone(&sent), Arc::clone(&answered)));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind.clone(), keep.clone()));
            }
        });
        Ok(Self { address, sent, answered, accepting })
    }

    /// Everything that clients have sent through it so far.
    pub(super) fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// Everything that clients were answered through it so far.
    pub(super) fn answered(&self) -> Vec<u8> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// How many bytes clients have sent through it so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, behind: String, (sent, answered): (Arc<Mutex<Kept>>, Arc<Mutex<Kept>>)) {
    let Ok(server) = TcpStream::connect(behind).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Either direction may end first; the other is passed on until it ends too.
    tokio::join!(copy(from_client, to_server, &sent), copy(from_server, to_client, &answered));
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, keep: &Mutex<Kept>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n) = from.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
        {
            let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MAX_KEPT.saturating_sub(kept.bytes.len());
            kept.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            kept.count = kept.count.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        }
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    // The other end may be gone already; there is nobody to tell.
    let _closed = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_passes_bytes_both_ways_and_keeps_them() {
        let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tap = Tap::in_front_of(&behind.local_addr().unwrap().to_string()).await.unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = behind.accept().await.unwrap();
            let mut asked = [0; 3];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(b"answer").await.unwrap();
            asked
        });
        let mut client = TcpStream::connect(&tap.address).await.unwrap();
        client.write_all(b"ask").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!((answer.as_slice(), &server.await.unwrap()), (&b"answer"[..], b"ask"));
        assert_eq!((tap.sent(), tap.answered(), tap.sent_bytes()), (b"ask".to_vec(), b"answer".to_vec(), 3));
    }
}
