//! The server: one thread that accepts, one a connection, one exchange a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::misbehaviour::{Kind, Misbehaviour};
use super::routes::Route;

/// A running service. Dropping it closes its socket.
#[derive(Debug)]
pub struct Vendor {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    ended: AtomicBool,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    routes: Vec<Route>,
    requests: Vec<String>,
    /// Part of the target, how often still, what.
    misbehaviours: Vec<(String, usize, Misbehaviour)>,
    held: bool,
}

impl Vendor {
    /// Serves `routes` on a loopback port of its own.
    pub fn start(routes: Vec<Route>) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), routes).expect("a loopback port")
    }

    /// The same at an address of one's own choice.
    pub fn start_at(address: SocketAddr, routes: Vec<Route>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { inner: Mutex::new(Inner { routes, ..Inner::default() }), ..State::default() });
        let shared = Arc::clone(&state);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let state = Arc::clone(&shared);
                // A client that hangs up in the middle is its own business.
                std::thread::spawn(move || drop(state.serve(stream)));
            }
        });
        Ok(Self { address, state, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far: path and query, in order.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        self.lock().requests.clear();
    }

    /// Misbehaves the next `times` times that something is asked whose path or query contains `part`.
    pub fn misbehave(&self, part: &str, times: usize, misbehaviour: Misbehaviour) {
        self.lock().misbehaviours.push((part.to_owned(), times, misbehaviour));
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.lock().misbehaviours.clear();
    }

    /// Serves other things from now on.
    pub fn serve(&self, routes: Vec<Route>) {
        self.lock().routes = routes;
    }

    /// Answers nothing until [`Vendor::release`].
    pub fn hold(&self) {
        self.lock().held = true;
    }

    /// Answers what was held, and everything after.
    pub fn release(&self) {
        self.lock().held = false;
        self.state.changed.notify_all();
    }

    /// Waits until `count` requests have arrived.
    pub fn wait_for_requests(&self, count: usize) {
        let inner = self.lock();
        drop(self.state.changed.wait_while(inner, |inner| inner.requests.len() < count).expect("no thread panics"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.state.inner.lock().expect("no thread panics while it holds the lock")
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the thread that accepts, so that it sees the end and closes the socket.
        let _woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }

        let (route, misbehaviour) = self.decide(&target, &headers);
        let Some(route) = route else {
            let (status, headers) = match misbehaviour {
                Some(Misbehaviour(Kind::Status(status, headers))) => (status, headers),
                _ => (404, Vec::new()),
            };
            return answer(&mut stream, status, &headers, b"no document", usize::MAX);
        };
        let Route { mut headers, mut body, .. } = route;
        let mut sent = usize::MAX;
        match misbehaviour.map(|Misbehaviour(kind)| kind) {
            None => {}
            Some(Kind::Silent) => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            Some(Kind::Truncated) => sent = body.len() / 2,
            Some(Kind::Oversized(bytes)) => body = [vec![b' '; bytes], body].concat(),
            Some(Kind::Relabelled(name, value)) => {
                headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
                headers.push((name, value));
            }
            Some(Kind::Body(bytes)) => body = bytes,
            Some(Kind::Status(status, headers)) => return answer(&mut stream, status, &headers, b"", usize::MAX),
        }
        answer(&mut stream, 200, &headers, &body, sent)
    }

    /// Notes the request, waits while answers are held, and says how to answer.
    fn decide(&self, target: &str, headers: &[(String, String)]) -> (Option<Route>, Option<Misbehaviour>) {
        let mut inner = self.inner.lock().expect("no thread panics while it holds the lock");
        inner.requests.push(target.to_owned());
        self.changed.notify_all();
        inner = self.changed.wait_while(inner, |inner| inner.held).expect("no thread panics");
        let due = inner.misbehaviours.iter_mut().find(|(part, times, _)| *times > 0 && target.contains(part.as_str()));
        let misbehaviour = due.map(|(_, times, misbehaviour)| {
            *times -= 1;
            misbehaviour.clone()
        });
        let has = |name: &str, value: &str| headers.iter().any(|(known, has)| known == name && has == value);
        let route = inner.routes.iter().find(|route| route.answers(target, has)).cloned();
        (route, misbehaviour)
    }
}

/// Announces the whole body and sends at most `sent` bytes of it.
fn answer(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    sent: usize,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} forged\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..body.len().min(sent)])?;
    stream.flush()
}
