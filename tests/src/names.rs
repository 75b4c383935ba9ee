//! A name server on loopback whose answers change: one name, its IPv4 addresses, over UDP. RFC 1035.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Bytes of a header, before the question.
const HEADER: usize = 12;
/// Of a question behind its name: type and class.
const KIND: usize = 4;
const A: [u8; 2] = [0, 1];

/// What is said of every name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    /// These addresses, for a second; of no addresses, that the name has none.
    Addresses(Vec<Ipv4Addr>),
    /// That there is no such name.
    NoSuchName,
    /// That it cannot say.
    Failure,
    /// Nothing.
    Nothing,
    /// Bytes that are no answer.
    Garbage,
}

/// A running name server. It ends with the value.
pub struct NameServer {
    /// Where it listens.
    pub address: String,
    says: Arc<Mutex<Says>>,
    answering: JoinHandle<()>,
}

impl NameServer {
    /// Starts one that says this.
    pub async fn start(says: Says) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = socket.local_addr().expect("an address").to_string();
        let says = Arc::new(Mutex::new(says));
        let shared = Arc::clone(&says);
        let answering = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut question).await {
                let says = shared.lock().expect("no panic").clone();
                if let Some(answer) = answer(&question[..length], &says) {
                    let _sent = socket.send_to(&answer, peer).await;
                }
            }
        });
        Self { address, says, answering }
    }

    /// Says this from now on.
    pub fn say(&self, says: Says) {
        *self.says.lock().expect("no panic") = says;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

fn answer(request: &[u8], says: &Says) -> Option<Vec<u8>> {
    let name = request.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let question = request.get(HEADER..HEADER + name + 1 + KIND)?;
    let is_for_ipv4 = question.get(name + 1..name + 3)? == A;
    let (code, addresses) = match says {
        Says::Nothing => return None,
        Says::Garbage => return Some([request, &[0xff; 9]].concat()),
        Says::Addresses(addresses) if is_for_ipv4 => (0, addresses.as_slice()),
        Says::Addresses(_) => (0, [].as_slice()),
        Says::Failure => (2, [].as_slice()),
        Says::NoSuchName => (3, [].as_slice()),
    };
    let count = u8::try_from(addresses.len()).ok()?;
    // The same id; an answer, recursion desired and available; one question, so many answers, nothing else.
    let mut message = request.get(..2)?.to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    message.extend_from_slice(question);
    for address in addresses {
        // The name of the question, an address of the Internet, for a second, four bytes.
        message.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        message.extend(address.octets());
    }
    Some(message)
}
