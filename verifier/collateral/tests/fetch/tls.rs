//! TLS is checked: a service is recognised by the authorities that the settings name, and by no others.

use std::sync::Arc;

use teegate_collateral::{Failure, Settings, TlsRoots};
use teegate_forge::services::Vendor;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::{Subject, asking, fetcher, missing};

/// Ends TLS under `name` in front of `vendor`; gives the port and the authority in PEM.
async fn in_front_of(vendor: &Vendor, name: &str) -> (u16, String) {
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let pem = teegate_forge::pem::certificate(certified.cert.der());
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = vendor.url().trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut outside, &mut inside).await?;
                outside.shutdown().await
            });
        }
    });
    (port, pem)
}

#[tokio::test]
async fn a_service_is_recognised_by_its_authority_and_its_name() {
    let device = teegate_forge::snp();
    let subject = Subject::snp(&device);
    let kds = Vendor::start(device.kds_routes());
    let (port, authority) = in_front_of(&kds, "localhost").await;
    let (_, stranger) = in_front_of(&kds, "localhost").await;
    let settings = |host: &str, pem: &str| Settings {
        tls_roots: TlsRoots::Pem(pem.as_bytes().to_vec()),
        ..asking(&[format!("kds=https://{host}:{port}")])
    };

    let outcome = subject.complete(&fetcher(settings("localhost", &authority)).0).await;
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
    kds.forget();

    for (host, pem, reason) in [
        ("localhost", &*stranger, "TLS: invalid peer certificate: BadSignature"),
        ("127.0.0.1", &*authority, "TLS: invalid peer certificate: certificate not valid for name"),
        ("localhost", "", "the CA file holds no certificate"),
        (
            "localhost",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "a CA certificate cannot be used",
        ),
    ] {
        let outcome = subject.complete(&fetcher(settings(host, pem)).0).await;
        let failure = &outcome.missing[0].tried[0].failure;
        let Failure::Unreachable { reason: found } = failure else { panic!("{failure}") };
        assert!(found.starts_with(reason), "{found}");
    }
    assert_eq!(kds.requests(), [""; 0]);
}
