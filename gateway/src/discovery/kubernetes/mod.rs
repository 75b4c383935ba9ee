//! A Service of Kubernetes as a source: its EndpointSlices (`discovery.k8s.io/v1`), listed once and then watched.
//!
//! What changes is told without a question. A watch goes on from the version that was seen last; where the API server does not know that
//! any more (410), everything is listed anew. An endpoint counts while it is ready and does not terminate: one that terminates drains.
//! While the API server cannot be asked, or says what is not understood, what was known stays for a bounded time.

mod api;
mod slices;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

pub use self::api::{Cluster, NoCluster};
use self::api::{Lines, Trouble};
use self::slices::{Event, Page, Slices, Told};
use super::again::{backed_off, doubtful_until, jittered};
use super::board::Post;
use super::config::{Service, Settings};
use super::known::Known;
use super::special::Gate;

/// Slices in one answer. Each has at most 1,000 endpoints, mostly 100.
const PAGE: u32 = 100;
/// So many answers make a list at most.
const MOST_PAGES: usize = 64;
/// The selector's value is a name of DNS and the namespace too, so nothing in them has to be escaped.
const LABEL: &str = "kubernetes.io%2Fservice-name%3D";

/// Follows `service` for ever; its namespace is known by now.
pub(super) async fn follow(service: Service, namespace: String, cluster: Cluster, settings: Settings, post: Post) {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={LABEL}{}",
        service.service
    );
    let mut follower = Follower {
        gate: Gate::new(settings.admit.clone()),
        known: Known::going_on(settings.known, post.addresses(), Instant::now()),
        slices: None,
        was_watching: false,
        service,
        path,
        cluster,
        settings,
        post,
    };
    let (mut doubts, mut was_retried) = (0, false);
    loop {
        let start = Instant::now();
        let ended = follower.round().await;
        if std::mem::take(&mut follower.was_watching) {
            // It is there: a watch that is cut now and then is no reason to ask less and less often.
            doubts = 0;
            was_retried &= matches!(ended, Err(Trouble::Gone));
        }
        let why = match ended {
            Ok(()) => {
                (doubts, was_retried) = (0, false);
                // The server has ended the watch in its time, or somebody did before it: then not at once again.
                sleep(follower.settings.least.saturating_sub(start.elapsed())).await;
                continue;
            }
            // A token is given out anew before it ends, and is read anew for each request: the next one may be good already.
            Err(Trouble::Unauthorized) if !was_retried => {
                was_retried = true;
                continue;
            }
            Err(Trouble::Gone) => {
                follower.slices = None;
                if !was_retried {
                    was_retried = true;
                    continue;
                }
                "the API server forgets versions sooner than they can be watched (410)".to_owned()
            }
            Err(Trouble::Unauthorized) => "the API server does not know the service account's token (401)".to_owned(),
            Err(Trouble::Failed(why)) => why,
            Err(Trouble::Garbled(why)) => {
                follower.slices = None;
                why
            }
        };
        let next = Instant::now() + jittered(backed_off(&mut doubts, &follower.settings));
        doubtful_until(next, &BTreeSet::new(), &why, &mut follower.known, &follower.post).await;
    }
}

struct Follower {
    service: Service,
    path: String,
    cluster: Cluster,
    settings: Settings,
    post: Post,
    gate: Gate,
    known: Known,
    /// What was listed and watched since; `None` asks for a list.
    slices: Option<Slices>,
    /// Whether the last round came to a watch.
    was_watching: bool,
}

impl Follower {
    /// One watch, with a list before it where nothing is known.
    async fn round(&mut self) -> Result<(), Trouble> {
        let mut slices = match self.slices.take() {
            Some(slices) => slices,
            None => {
                let slices = self.list().await?;
                self.put_up(&slices);
                slices
            }
        };
        let watched = self.watch(&mut slices).await;
        // What was seen until then is true, however the watch has ended.
        self.slices = Some(slices);
        watched
    }

    async fn list(&self) -> Result<Slices, Trouble> {
        let mut slices = Slices::default();
        let mut more = String::new();
        for _ in 0..MOST_PAGES {
            let path = format!("{}&limit={PAGE}{more}", self.path);
            let text = self.cluster.read(&path, self.settings.timeout).await?;
            let Page { next, .. } = slices.add_page(&text)?;
            match next {
                None => return Ok(slices),
                Some(next) => more = format!("&continue={}", escaped(&next)),
            }
        }
        Err(Trouble::Garbled(format!("its list has more than {MOST_PAGES} pages")))
    }

    /// Follows the changes until the server ends that; a server that does not is left.
    async fn watch(&mut self, slices: &mut Slices) -> Result<(), Trouble> {
        let length = self.settings.most;
        let path = format!(
            "{}&watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
            self.path,
            length.as_secs().max(1),
            escaped(slices.version())
        );
        let deadline = Instant::now() + length.max(Duration::from_secs(1)) + self.settings.timeout;
        let mut lines: Lines = self.cluster.watch(&path, self.settings.timeout).await?;
        self.was_watching = true;
        self.put_up(slices);
        loop {
            let line = match timeout_at(deadline, lines.next()).await {
                Ok(line) => line?,
                // It says nothing and does not end: it may be gone without a word.
                Err(_) => return Err(Trouble::Failed("a watch did not end in its time".to_owned())),
            };
            let Some(line) = line else {
                self.put_up(slices);
                return Ok(());
            };
            match Event::parse(&line)? {
                Event::Gone => return Err(Trouble::Gone),
                Event::Failed(why) => return Err(Trouble::Failed(why)),
                event => {
                    if slices.take(event)? {
                        self.put_up(slices);
                    }
                }
            }
        }
    }

    fn put_up(&mut self, slices: &Slices) {
        let Told { sockets, doubt } = slices.told(self.service.port.as_ref());
        let (addresses, refused) = self.gate.sift(sockets, self.post.name());
        let now = Instant::now();
        let sighting = match doubt.or(refused) {
            None => self.known.confirm(addresses, now),
            Some(why) => self.known.doubt(addresses, why, now),
        };
        self.post.put_up(sighting);
    }
}

/// What a server has given out, as a part of a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
