use super::*;
use crate::balance::load::Trip;

const LIMITS: OutlierLimits = OutlierLimits {
    failures: 3,
    factor: 4,
    floor: Duration::from_millis(100),
    share_percent: 50,
    time: Duration::from_secs(30),
};

fn peers(groups: &[u8]) -> Vec<Peer<u8>> {
    groups.iter().map(|group| Peer { load: Arc::default(), group: *group }).collect()
}

fn answers(peer: &Peer<u8>, millis: u64, count: u64) {
    let trip = Trip::new(&peer.load, &Arc::default());
    for _ in 0..count {
        trip.answered(Some(Duration::from_millis(millis)));
    }
}

fn fails(peer: &Peer<u8>, count: u64, now: Instant) {
    let trip = Trip::new(&peer.load, &Arc::default());
    for _ in 0..count {
        trip.failed(now);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_leave_one_out_for_a_time_that_doubles() {
    use Judged::{In, Out, OutNow};
    let peers = peers(&[0, 0, 0]);
    let mut now = Instant::now();
    fails(&peers[1], 2, now);
    answers(&peers[1], 1, 1);
    fails(&peers[1], 2, now);
    assert_eq!(judge(&peers, &LIMITS, now), [In, In, In], "an answer in between starts the count again");
    for seconds in [30, 60, 120, 240, 240] {
        fails(&peers[1], 3, now);
        assert_eq!(judge(&peers, &LIMITS, now), [In, OutNow(Reason::Failures), In]);
        now += Duration::from_secs(seconds) - Duration::from_millis(1);
        assert_eq!(judge(&peers, &LIMITS, now), [In, Out, In]);
        now += Duration::from_millis(1);
        assert_eq!(judge(&peers, &LIMITS, now), [In, In, In], "after {seconds} s");
    }
    for peer in &peers {
        answers(peer, 10, ENOUGH_ANSWERS);
    }
    assert_eq!(judge(&peers, &LIMITS, now), [In, In, In]);
    fails(&peers[1], 3, now);
    judge(&peers, &LIMITS, now);
    assert_eq!(judge(&peers, &LIMITS, now + LIMITS.time), [In, In, In], "it had served well for a while");
}

#[tokio::test(start_paused = true)]
async fn answers_are_slow_against_the_median_of_those_that_serve_the_same() {
    use Judged::{In, OutNow};
    let now = Instant::now();
    let slow = [In, In, OutNow(Reason::Latency), In];
    for (millis, count, expected) in [
        ([30, 40, 161, 50], ENOUGH_ANSWERS, slow),
        ([30, 40, 160, 50], ENOUGH_ANSWERS, [In; 4]),
        // Four times as much, and no time at all.
        ([1, 1, 100, 1], ENOUGH_ANSWERS, [In; 4]),
        ([1, 1, 101, 1], ENOUGH_ANSWERS, slow),
        // Measured too little.
        ([30, 40, 900, 50], ENOUGH_ANSWERS - 1, [In; 4]),
    ] {
        let peers = peers(&[7, 7, 7, 7]);
        for (peer, millis) in peers.iter().zip(millis) {
            answers(peer, millis, count);
        }
        assert_eq!(judge(&peers, &LIMITS, now), expected, "{millis:?}");
    }
    // Another model takes its time: nothing to be compared with.
    let peers = peers(&[7, 7, 8, 7]);
    for (peer, millis) in peers.iter().zip([30, 40, 9_000, 50]) {
        answers(peer, millis, ENOUGH_ANSWERS);
    }
    assert_eq!(judge(&peers, &LIMITS, now), [In; 4]);
}

#[tokio::test(start_paused = true)]
async fn at_most_a_share_is_left_out_the_worst_first_and_never_the_last() {
    let now = Instant::now();
    let out = |count: usize, share_percent: u64| -> Vec<usize> {
        let peers = peers(&vec![0; count]);
        for (more, peer) in (3..).zip(&peers) {
            fails(peer, more, now);
        }
        let limits = OutlierLimits { share_percent, ..LIMITS };
        let judged = judge(&peers, &limits, now);
        assert!(judge(&peers, &limits, now).iter().all(|judged| !matches!(judged, Judged::OutNow(_))), "no more");
        (0..count).filter(|index| judged[*index] != Judged::In).collect()
    };
    assert_eq!(out(4, 50), [2, 3]);
    assert_eq!(out(5, 50), [3, 4]);
    assert_eq!(out(3, 90), [1, 2]);
    assert_eq!(out(1, 90), [0; 0]);
    assert_eq!(out(4, 0), [0; 0]);
}

#[test]
fn the_example_shows_every_number_with_its_default() {
    let example: toml::Table = include_str!("../../../example.toml").parse().unwrap();
    for bound in BOUNDS {
        let key = bound.name.strip_prefix("outliers.").unwrap();
        let shown = example["outliers"][key].as_integer().and_then(|shown| u64::try_from(shown).ok());
        assert_eq!(shown, Some(bound.default), "{}", bound.name);
        for (value, is_accepted) in [(bound.least, true), (bound.most, true), (bound.most + 1, false)] {
            let table: Table = toml::from_str(&format!("{key} = {value}")).unwrap();
            assert_eq!(table.check().is_ok(), is_accepted, "{key} = {value}");
        }
    }
    assert_eq!(Table::default().check().unwrap(), OutlierLimits::default());
}
