//! What is no HTTP is told so, in the status that says whose fault it is.

use super::*;
use crate::testing::{MOST_SEALED, address as instance};
use crate::trust::testing::{Who, Wire};

/// What comes back for `request`.
async fn answer_to(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The gateway may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of what comes back for `request`, at the clients' listener.
async fn status_of(address: SocketAddr, request: &[u8]) -> String {
    answer_to(address, request).await.lines().next().unwrap_or("nothing").to_owned()
}

async fn started() -> (Serving, String, Wire) {
    let (gateway, manifest, wire) = (gateway(), Who::new(1).manifest(0, None), Wire::connect().await);
    gateway.fleet.accept(&instance(), wire.trusted(&manifest, 1, Duration::from_secs(300)));
    (start_with(gateway, Front::default(), PATIENT).await, manifest.digest().to_string(), wire)
}

#[tokio::test]
async fn the_framing_of_a_body_is_the_clients_fault() {
    let ((address, _shutdown, _serving), manifest, _wire) = started().await;
    let head = format!(
        "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: message/ohttp-req\r\n\
         teegate-manifest: {manifest}\r\n"
    );
    let chunked = |chunks: &str| format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}");
    let extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(1 << 20));
    let trailers = format!("1\r\nx\r\n0\r\n{}\r\n", "t: 1\r\n".repeat(50_000));
    for (what, chunks) in [
        ("no size", "\r\nx\r\n"),
        ("a negative size", "-1\r\nx\r\n0\r\n\r\n"),
        ("a size that is no number", "x\r\n"),
        ("a size beyond all numbers", "fffffffffffffffff\r\nx"),
        ("a piece that is longer than its size", "1\r\nxyz\r\n0\r\n\r\n"),
        ("an extension without end", &extension),
        ("trailers without end", &trailers),
    ] {
        let answer = answer_to(address, chunked(chunks).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{what}: {answer}");
        assert!(answer.contains("the framing of the body is malformed"), "{what}: {answer}");
    }
    let too_large = format!("{:x}\r\n{}", MOST_SEALED + 1, "x".repeat(MOST_SEALED + 1));
    assert_eq!(status_of(address, chunked(&too_large).as_bytes()).await, "HTTP/1.1 413 Payload Too Large");
    // Half a body, and no more to come.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}content-length: 10\r\n\r\nhalf").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_length_beyond_all_lengths_is_no_large_head() {
    let ((address, _shutdown, _serving), manifest, _wire) = started().await;
    let post = |length: &str| {
        format!(
            "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\ncontent-type: message/ohttp-req\r\nteegate-manifest: {manifest}\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    for (length, status) in [
        ("18446744073709551615", "HTTP/1.1 400 Bad Request"),
        ("18446744073709551614", "HTTP/1.1 400 Bad Request"),
        ("18446744073709551616", "HTTP/1.1 400 Bad Request"),
        ("18446744073709551613", "HTTP/1.1 413 Payload Too Large"),
        ("-1", "HTTP/1.1 400 Bad Request"),
    ] {
        let request = post(length).replace("host:", "connection: close\r\nhost:");
        assert_eq!(status_of(address, request.as_bytes()).await, status, "{length}");
        // The same as the second request of a connection.
        let second = format!("GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n{request}");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(second.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(status) && !answer.contains(" 431 "), "{length}: {answer}");
    }
    let large =
        format!("GET /healthz HTTP/1.1\r\nhost: gateway\r\nx: {}\r\n\r\n", "x".repeat(limits::HEADER_BLOCK_BYTES));
    assert!(status_of(address, large.as_bytes()).await.starts_with("HTTP/1.1 431 "), "a large head is one");
}

#[tokio::test]
async fn one_host_is_expected_at_both_listeners() {
    let gateway = gateway();
    let (clients, _shutdown, _serving) = start_with(Arc::clone(&gateway), Front::default(), PATIENT).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let operator = listener.local_addr().unwrap();
    let (_keep, is_shutdown) = watch::channel(false);
    tokio::spawn(serve_operator(listener, gateway, PATIENT, is_shutdown));
    for address in [clients, operator] {
        for (hosts, status) in [
            ("host: gateway\r\n", "HTTP/1.1 200 OK"),
            ("", "HTTP/1.1 400 Bad Request"),
            ("host: a\r\nhost: a\r\n", "HTTP/1.1 400 Bad Request"),
            ("host: a b\r\n", "HTTP/1.1 400 Bad Request"),
        ] {
            let request = format!("GET /healthz HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
            assert_eq!(status_of(address, request.as_bytes()).await, status, "{hosts:?}");
        }
        assert_eq!(status_of(address, b"GET /healthz HTTP/1.0\r\n\r\n").await, "HTTP/1.0 200 OK");
    }
}
