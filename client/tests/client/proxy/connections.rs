//! Many requests at the door, and over time: bodies, connections, rotation, and the end.

use std::sync::Mutex;
use std::time::Duration;

use teegate_client::proxy::{BodyLimits, Event, Pace, ProxySettings};
use teegate_client::{Problem, ProblemKind, Settings};
use teegate_forge::time::AT;
use teegate_verifier::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, Door, INFER, exchange};
use crate::fake::{Act, Fake, Script, Spoil, settings};

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_is_bounded_and_travels_without_its_encoding() {
    let bodies = BodyLimits { one_bytes: 10_000, all_bytes: 15 << 10, ..BodyLimits::default() };
    let proxy = ProxySettings { bodies, ..Default::default() };
    let door = Door::with(Script::new(Fake::new(), []), proxy, settings()).await.unwrap();
    let path = "/v2/models/m/infer";
    let answer = door.post(path, "content-encoding: gzip\r\n", &gzip(INFER.as_bytes())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let inside = door.script.opened(&door.script.seen().relayed[0]);
    assert_eq!((&*inside.content, inside.fields.get("content-encoding")), (INFER.as_bytes(), None));
    let chunked =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n");
    let body = format!("{:x}\r\n{INFER}\r\n0\r\n\r\n", INFER.len());
    let answer = door.exchange(&chunked, body.as_bytes()).await;
    assert!(
        answer.head.starts_with("HTTP/1.1 100 Continue") && answer.body.starts_with("HTTP/1.1 200 OK"),
        "{}",
        answer.head
    );
    assert_eq!(door.relayed(), 2);

    for (headers, body, status, told) in [
        ("", vec![b' '; 10_001], 413, "more than 10000 bytes"),
        ("content-encoding: gzip\r\n", gzip(&vec![b' '; 10_001]), 413, "more than 10000 bytes"),
        ("content-encoding: br\r\n", vec![], 415, "`gzip`, `deflate` or none"),
        ("content-encoding: gzip\r\n", INFER.as_bytes().to_vec(), 400, "`Content-Encoding`"),
        ("content-type: a\r\ncontent-type: b\r\n", vec![], 400, "`content-type` stands there twice"),
    ] {
        let answer = door.post(path, headers, &body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.error().contains(told), "{}", answer.body);
    }
    let answer =
        door.exchange(&chunked, format!("{:x}\r\n{}\r\n0\r\n\r\n", 10_001, "x".repeat(10_001)).as_bytes()).await;
    assert!(answer.head.contains("100 Continue") && answer.body.contains("413 Payload Too Large"), "{}", answer.body);

    // What one program has announced takes no room; what it has sent does, and gives it back when the program leaves.
    let mut slow = TcpStream::connect(&door.address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\nexpect: 100-continue\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.read_exact(&mut [0; 25]).await.unwrap();
    assert_eq!(door.post(path, "", &vec![b' '; 9_000]).await.status, 200);
    slow.write_all(&[b' '; 8_999]).await.unwrap();
    let answer = loop {
        let answer = door.post(path, "", &vec![b' '; 9_000]).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.error().contains("other requests take all the room"), "{}", answer.body);
    assert_eq!(door.infer(INFER).await.status, 200, "a small one finds room");
    drop(slow);
    while door.post(path, "", &vec![b' '; 9_000]).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_are_bounded_together() {
    fn large(response: &mut teegate_client::Response) {
        response.content = vec![b' '; 12_000];
    }
    let bodies = BodyLimits { all_bytes: 20 << 10, ..BodyLimits::default() };
    let proxy = ProxySettings { bodies, ..Default::default() };
    let acts = [Act::Answer(Spoil::Content(large)), Act::Answer(Spoil::Nothing), Act::Answer(Spoil::Content(large))];
    let door = Door::with(Script::new(Fake::new(), acts), proxy, settings()).await.unwrap();
    let (one, two, three) = (door.infer(INFER).await, door.infer(INFER).await, door.infer(INFER).await);
    assert_eq!((one.status, two.status, three.status), (200, 200, 200), "one after the other there is room");
    fn too_large(response: &mut teegate_client::Response) {
        response.content = vec![b' '; 21_000];
    }
    door.script.act_next(Act::Answer(Spoil::Content(too_large)));
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("teegate-executed")), (502, Some("unknown")));
    assert!(answer.error().contains("other answers take all the room"), "{}", answer.body);
    assert_eq!(door.infer(INFER).await.status, 200, "it is given back");
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_many_at_once() {
    let door = Door::open(Script::new(Fake::new(), [])).await;
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    let one = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Pipelined, the last of them through the seal.
    let last = "GET /v2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{one}{one}{last}").as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!((all.matches("HTTP/1.1 200 OK").count(), all.matches("{\"live\":true}").count()), (3, 2), "{all}");
    assert!(all.ends_with('}') && all.contains("outputs"), "in the order of the questions: {all}");

    let mut many = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = door.address.clone();
        let head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n";
        many.spawn(async move { exchange(&address, head, b"{}").await });
    }
    assert!(many.join_all().await.iter().all(|answer| answer.status == 200));
    assert_eq!(door.script.seen().lists, 2, "those who came at the same time shared one question");
}

/// A clock that a test moves.
static NOW: Mutex<u64> = Mutex::new(AT);

#[tokio::test]
async fn a_rotation_is_said_when_it_happens_and_so_is_that_nobody_is_left() {
    let settings = Settings { clock: || UnixTime::from_seconds(*NOW.lock().unwrap()), ..settings() };
    let script = Script::new(Fake::with(|manifest| manifest.use_until = AT + 60), []);
    let mut door = Door::with(script, ProxySettings::default(), settings).await.unwrap();
    let Event::Verified(first) = door.hears().await else { panic!() };
    assert_eq!(door.infer(INFER).await.status, 200);
    // The epoch ends, and nobody has another key yet. No program asks meanwhile.
    let offers = std::mem::take(&mut *door.script.offers.lock().unwrap());
    *NOW.lock().unwrap() += 61;
    let Event::Lost(why) = door.hears().await else { panic!() };
    assert!(why.to_string().contains("offers no instance"), "{why}");
    let answer = door.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.error().contains("offers no instance"), "{}", answer.body);
    assert_eq!(door.get("/livez").await.status, 200);

    let rotated = Fake::with(|manifest| manifest.epoch = 2).envelope();
    assert_ne!(rotated, offers[0]);
    *door.script.offers.lock().unwrap() = vec![rotated];
    let Event::Verified(second) = door.hears().await else { panic!() };
    assert!(first.digest() != second.digest() && second.manifest().epoch == 2);
    assert_eq!(door.get("/readyz").await.status, 200);
    assert!(door.events.try_recv().is_err(), "each is said once");
    assert!(!serde_json::to_string(&door.proxy.memory()).unwrap().is_empty());
}

#[tokio::test]
async fn an_exchange_that_was_lost_puts_whoever_was_verified_in_doubt() {
    let mut door = Door::open(Script::new(Fake::new(), [Act::HangUp])).await;
    assert!(matches!(door.hears().await, Event::Verified(_)));
    // The model's own client forgets the instance; the one that is kept is asked for again as well, though what it
    // verified would hold for an hour.
    assert_eq!(door.infer(INFER).await.status, 502);
    while door.script.seen().lists < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.infer(INFER).await.status, 200);
    *door.script.refusal.lock().unwrap() = Some(Problem::new(ProblemKind::NoAttestedInstance));
    door.script.act_next(Act::HangUp);
    assert_eq!(door.infer(INFER).await.status, 502);
    assert!(matches!(door.hears().await, Event::Lost(_)));
    assert_eq!(door.get("/readyz").await.status, 503);
    *door.script.refusal.lock().unwrap() = None;
    assert!(matches!(door.hears().await, Event::Verified(_)), "the same one, said again");
    assert_eq!(door.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_door_closes() {
    let mut door = Door::open(Script::new(Fake::new(), [])).await;
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    let head = format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        INFER.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 25]).await.unwrap();
    let mut idle = TcpStream::connect(&door.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 15]).await.unwrap();
    door.stop.take().unwrap().send(()).unwrap();
    while TcpStream::connect(&door.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // The idle one is ended, and the other one is served first.
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    stream.write_all(INFER.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::read(&answer).status, 200);
    door.ended.await.unwrap();
}

#[tokio::test]
async fn a_program_that_leaves_takes_its_exchange_with_it() {
    let door = Door::open(Script::new(Fake::new(), [Act::Never])).await;
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    let head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head.as_bytes()).await.unwrap();
    door.script.begun.notified().await;
    drop(stream);
    tokio::time::timeout(Duration::from_secs(20), door.script.left.notified()).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_stands_still_or_drips_is_ended() {
    let pace = Pace { window: Duration::from_millis(300), window_bytes: 1 << 10, whole: Duration::from_secs(30) };
    let bodies = BodyLimits { pace, ..BodyLimits::default() };
    let door = Door::with(Script::new(Fake::new(), []), ProxySettings { bodies, ..Default::default() }, settings());
    let door = door.await.unwrap();
    let head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n";
    let answer = door.exchange(head, b"{").await;
    assert_eq!(answer.status, 408);
    let told = "the body came too slowly: 1024 bytes in every 0.3 s, and all of it in 30 s are expected, until its end";
    assert!(answer.error().starts_with(told), "{}", answer.body);
    assert_eq!(door.exchange(head, b"{}").await.status, 200);
    assert_eq!(door.relayed(), 1, "of the slow one nothing was sent");

    // A byte every 10 ms never stands still, and would go on for ten seconds.
    let (mut stream, begun) = (TcpStream::connect(&door.address).await.unwrap(), std::time::Instant::now());
    stream
        .write_all(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n")
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let dripping = async {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        read = reading.read_buf(&mut answer) => assert!(read.unwrap() > 0),
        () = dripping => {}
    }
    let _ = reading.read_to_end(&mut answer).await;
    let answer = Answer::read(&answer);
    assert_eq!(answer.status, 408, "{}", answer.body);
    assert!(answer.error().starts_with(told), "{}", answer.body);
    assert!(begun.elapsed() >= pace.window && begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(door.relayed(), 1);
}

#[tokio::test]
async fn an_upload_that_keeps_its_pace_has_an_end_too() {
    let pace = Pace { window: Duration::from_secs(20), window_bytes: 1, whole: Duration::from_millis(500) };
    let bodies = BodyLimits { pace, ..BodyLimits::default() };
    let door = Door::with(Script::new(Fake::new(), []), ProxySettings { bodies, ..Default::default() }, settings());
    let door = door.await.unwrap();
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    stream
        .write_all(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let at_pace = async {
        while writing.write_all(b"1\r\n \r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        read = reading.read_buf(&mut answer) => assert!(read.unwrap() > 0),
        () = at_pace => {}
    }
    let _ = reading.read_to_end(&mut answer).await;
    let answer = Answer::read(&answer);
    assert_eq!(answer.status, 408, "{}", answer.body);
    assert!(answer.error().contains("and all of it in 0.5 s"), "{}", answer.body);
    assert_eq!(door.relayed(), 0);
}
