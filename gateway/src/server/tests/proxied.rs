//! The header of a proxy: from a named one, and from anybody else.

use std::net::IpAddr;

use super::*;
use crate::proxy_protocol::testing::header_of;
use crate::source::Network;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";

async fn started(proxies: &[&str], tls: Option<TlsAcceptor>) -> Serving {
    let proxies = proxies.iter().map(|text| Network::parse(text).unwrap()).collect();
    start_with(gateway(), Front { tls, proxies: Arc::new(Proxies::new(proxies)) }, PATIENT).await
}

/// What comes back for `header` and then a request.
async fn asked(address: SocketAddr, header: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(header).await.unwrap();
    http1(stream, HEALTH).await
}

#[tokio::test]
async fn a_named_proxy_says_for_whom_it_connects() {
    let (address, _shutdown, _serving) = started(&["127.0.0.0/8"], None).await;
    let source: IpAddr = "203.0.113.9".parse().unwrap();
    let answer = asked(address, &header_of(source)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(asked(address, b"").await, "", "without one it is not understood");
    // Before TLS, where there is TLS.
    let (acceptor, connector) = tls(b"http/1.1");
    let (address, _shutdown, _serving) = started(&["127.0.0.1"], Some(acceptor)).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(&header_of(source)).await.unwrap();
    let stream = connector.connect("gateway".try_into().unwrap(), tcp).await.unwrap();
    assert!(http1(stream, HEALTH).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn who_makes_room_is_decided_by_the_source_that_the_proxy_names() {
    let (address, _shutdown, _serving) = started(&["127.0.0.1"], None).await;
    let connect = async |source: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&header_of(source.parse().unwrap())).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stream
    };
    let mut light = connect("203.0.113.1").await;
    let mut heavy = Vec::new();
    for _ in 1..LIMITS.connections {
        heavy.push(connect("203.0.113.2").await);
    }
    let _newcomer = connect("203.0.113.3").await;
    let mut rest = Vec::new();
    timeout(Duration::from_secs(30), heavy[0].read_to_end(&mut rest)).await.expect("it made room").unwrap();
    let mut rest = Vec::new();
    let kept = timeout(Duration::from_millis(50), light.read_to_end(&mut rest)).await;
    assert!(kept.is_err(), "its silence is older, and it holds one place");
}

#[tokio::test]
async fn from_anybody_else_a_header_is_a_malformed_request() {
    let header = header_of("203.0.113.9".parse().unwrap());
    for proxies in [&[][..], &["10.0.0.7"]] {
        let (address, _shutdown, _serving) = started(proxies, None).await;
        let answer = asked(address, &header).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && !answer.contains("200 OK"), "{answer}");
        assert!(asked(address, b"").await.starts_with("HTTP/1.1 200 OK\r\n"), "the passing twin");
    }
    let (acceptor, connector) = tls(b"http/1.1");
    let (address, _shutdown, _serving) = started(&[], Some(acceptor)).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(&header).await.unwrap();
    let error = connector.connect("gateway".try_into().unwrap(), tcp).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
}
