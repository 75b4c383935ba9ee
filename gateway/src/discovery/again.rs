//! When a source asks again, and what counts until then.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::board::Post;
use super::config::Settings;
use super::known::Known;
use crate::config::Address;

/// Puts up what is left to know until the next question: it may lapse before that.
pub(super) async fn doubtful_until(
    next: Instant,
    found: &BTreeSet<Address>,
    why: &str,
    known: &mut Known,
    post: &Post,
) {
    loop {
        let now = Instant::now();
        post.put_up(known.doubt(found.clone(), why.to_owned(), now));
        match known.lapses().filter(|lapses| *lapses < next) {
            Some(lapses) => sleep_until(lapses).await,
            None => return sleep_until(next).await,
        }
    }
}

/// The pause before the next question of a row that found no whole answer; it doubles from one to the next.
pub(super) fn backed_off(doubts: &mut u32, settings: &Settings) -> Duration {
    let pause = settings.least.saturating_mul(1 << (*doubts).min(12)).min(settings.most);
    *doubts = doubts.saturating_add(1);
    pause
}

/// Up to a tenth less, so that many replicas do not ask at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0) % 100;
    pause.saturating_sub(pause.saturating_mul(random) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::board::{Board, Certainty};
    use crate::discovery::config::Table;

    #[test]
    fn doubts_are_asked_about_less_and_less_often() {
        let settings = toml::from_str::<Table>("").unwrap().check(1).unwrap();
        let mut doubts = 0;
        let pauses: Vec<u64> = (0..6).map(|_| backed_off(&mut doubts, &settings).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        for _ in 0..1_000 {
            let pause = jittered(settings.most);
            assert!(pause <= settings.most && pause > settings.most * 9 / 10, "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_lapses_between_two_questions_too() {
        let board = Board::new(std::sync::Arc::default());
        let post = board.post("dns:test");
        let keep = Duration::from_secs(30);
        let mut known = Known::new(keep);
        let start = Instant::now();
        let addresses = BTreeSet::from([Address::parse("a:1").unwrap()]);
        post.put_up(known.confirm(addresses.clone(), start));
        let next = start + Duration::from_secs(60);
        let waiting = tokio::spawn(async move {
            doubtful_until(next, &BTreeSet::new(), "down", &mut known, &post).await;
        });
        let mut changes = board.changes();
        for (seconds, left) in [(0, addresses), (30, BTreeSet::new())] {
            changes.changed().await.unwrap();
            let sighting = board.sightings()[0].clone();
            assert_eq!((start.elapsed().as_secs(), sighting.addresses), (seconds, left));
            assert_eq!(sighting.certainty, Certainty::Doubtful("down".into()));
        }
        waiting.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}
