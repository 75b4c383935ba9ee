//! A name of DNS as a source: all of its addresses, asked for again as long as they live.
//!
//! A headless Service of Kubernetes answers with the address of each pod, which a connection to its name would take one of.
//! The life of an answer (TTL) says when to ask again, within bounds. No answer, a wrong one, half of one and an empty one are
//! doubts: what was known stays for a bounded time. Answers are not authenticated, and need not be: an address proves nothing.

mod ask;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::ask::{Asker, Outcome};
use super::again::{backed_off, doubtful_until, jittered};
use super::board::Post;
use super::config::{Name, Settings};
use super::known::Known;

/// Asks for `name` for ever.
pub(super) async fn follow(name: Name, settings: Settings, post: Post) {
    let mut known = Known::going_on(settings.known, post.addresses(), Instant::now());
    let mut asker = Asker::new(name, settings.clone());
    let mut doubts = 0;
    loop {
        let Outcome { addresses, life, doubt } = asker.ask(post.name()).await;
        let now = Instant::now();
        match doubt {
            None => {
                doubts = 0;
                post.put_up(known.confirm(addresses, now));
                sleep_until(now + jittered(pause_after(life, &settings))).await;
            }
            Some(why) => {
                let next = now + jittered(backed_off(&mut doubts, &settings));
                doubtful_until(next, &addresses, &why, &mut known, &post).await;
                // The system's configuration may be another one by now.
                asker.forget_servers();
            }
        }
    }
}

/// Until the next question, after an answer that lives so long.
fn pause_after(life: Duration, settings: &Settings) -> Duration {
    life.clamp(settings.least, settings.most)
}

#[cfg(test)]
mod tests;
