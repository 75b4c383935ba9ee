//! The metadata service of the forged host, on loopback: THIM's answer about the SEV-SNP machine, or quotes over a TD's reports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

use super::platform::Platform;

/// A running service; it lasts as long as the process.
#[derive(Debug)]
pub struct Host {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Host {
    /// Serves what this platform's host does; refuses everything while `refuses`.
    pub fn start(
        at: SocketAddr,
        platform: Platform,
        refuses: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        let platform = Arc::new(platform);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (platform, refuses) = (Arc::clone(&platform), refuses());
                // A client that hangs up in the middle is its own business.
                std::thread::spawn(move || drop(serve(stream, &platform, refuses)));
            }
        });
        Ok(Self { address })
    }
}

fn serve(mut stream: TcpStream, platform: &Platform, refuses: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let (mut length, mut is_metadata) = (0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "metadata" => is_metadata = value.trim() == "true",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = (is_metadata && !refuses).then(|| answer(request.trim_end(), &body, platform)).flatten();
    let (status, body) = answer.map_or((400, b"Bad request".to_vec()), |body| (200, body));
    let head = format!("HTTP/1.1 {status} forged\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

fn answer(request: &str, body: &[u8], platform: &Platform) -> Option<Vec<u8>> {
    match (request, platform) {
        ("GET /metadata/THIM/amd/certification HTTP/1.1", Platform::Snp(builder)) => {
            Some(builder.thim_routes().pop()?.body)
        }
        ("POST /acc/tdquote HTTP/1.1", Platform::Tdx(..)) => {
            let question: serde_json::Value = serde_json::from_slice(body).ok()?;
            let report = question["report"].as_str()?;
            let report = URL_SAFE_NO_PAD.decode(report).ok()?;
            let report_data = report.get(128..192)?.try_into().ok()?;
            // With padding, as recorded.
            let quote = URL_SAFE.encode(platform.td_quote(report_data)?);
            Some(serde_json::json!({ "quote": quote }).to_string().into_bytes())
        }
        _ => None,
    }
}
