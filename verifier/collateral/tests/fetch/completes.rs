//! What evidence needs is asked for, found, and enough for the verifier.

use std::time::Duration;

use teegate_collateral::{Document, Held, OUT_OF_REACH, Origin, Outcome, Service, Settings, Updates};
use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::services::{Misbehaviour, Vendor};
use teegate_forge::snp::Product;
use teegate_forge::tdx::PckCa;

use crate::bench::{Subject, asking, fetcher, file_names, missing};

const FMSPC: [u8; 6] = [0xB0, 0xC0, 0x6F, 0, 0, 0];

#[tokio::test]
async fn every_product_and_version_of_amd_is_completed() {
    for (product, version, name, vcek_requests) in [
        (Product::Genoa, 5, "genoa", 1),
        (Product::Siena, 5, "genoa", 1),
        (Product::Milan, 3, "milan", 1),
        // Version 2 names no processor: what fits is tried, Milan first. Turin's chip id is short and needs no trial.
        (Product::Milan, 2, "milan", 1),
        (Product::Genoa, 2, "genoa", 2),
        (Product::Turin, 2, "turin", 1),
        (Product::Turin, 5, "turin", 1),
    ] {
        let device = teegate_forge::snp().product(product).version(version);
        let subject = Subject::snp(&device);
        let kds = Vendor::start(device.kds_routes());
        let (fetcher, clock) = fetcher(asking(&[format!("kds={}", kds.url())]));
        let outcome = subject.complete(&fetcher).await;
        assert_eq!(missing(&outcome), [""; 0], "{name} {version}");
        let [vcek, chain, crl] = file_names(&outcome)[..] else { panic!("{name} {version}: {outcome:?}") };
        assert!(vcek.starts_with(&format!("vcek-{name}-c1c0c3c2c5c4c7c6-tcb-")) && vcek.ends_with(".der"), "{vcek}");
        assert_eq!((chain, crl), (&*format!("vcek-chain-{name}.pem"), &*format!("vcek-crl-{name}.der")));
        assert!(outcome.documents.iter().all(|document| document.origin == Origin::Service));
        assert_eq!(kds.requests().len(), vcek_requests + 2, "{:?}", kds.requests());
        assert_eq!((subject.failed_checks(&outcome), clock.waits()), (vec![], vec![]), "{name} {version}");
    }
}

#[tokio::test]
async fn without_a_document_the_verifier_misses_it() {
    let device = teegate_forge::snp();
    let subject = Subject::snp(&device);
    for (part, check) in
        [("blSPL", "snp.chain.present"), ("cert_chain", "snp.chain.present"), ("/crl", "snp.chain.revocation")]
    {
        let mut routes = device.kds_routes();
        routes.retain(|route| !route.path.ends_with(part) && route.query.iter().all(|(name, _)| name != part));
        assert_eq!(routes.len(), 2);
        let kds = Vendor::start(routes);
        let outcome = subject.complete(&fetcher(asking(&[format!("kds={}", kds.url())])).0).await;
        let [missing] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
        assert!(
            missing.contains("status 404: the service has no such document") && missing.contains(part),
            "{missing}"
        );
        assert_eq!(subject.failed_checks(&outcome), [check]);
    }
}

#[tokio::test]
async fn the_key_of_a_fleet_comes_with_the_evidence_or_not_at_all() {
    let device = teegate_forge::snp().vlek("CN=cc-us-east-2.example");
    let mut subject = Subject::snp(&device);
    let kds = Vendor::start(device.kds_routes());
    let (fetcher, _) = fetcher(asking(&[format!("kds={}", kds.url())]));
    let outcome = subject.complete(&fetcher).await;
    assert_eq!(
        missing(&outcome),
        [
            "VLEK of this TCB: AMD gives it to the provider alone; ask the guest for its extended report (configfs-tsm `auxblob`)"
        ]
    );
    assert_eq!(file_names(&outcome), ["vlek-chain-genoa.pem", "vlek-crl-genoa.der"]);
    assert_eq!(kds.requests(), ["/vlek/v1/Genoa/cert_chain", "/vlek/v1/Genoa/crl"]);

    subject.carried.add_certificate(device.build().vek);
    let outcome = subject.complete(&fetcher).await;
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
}

#[tokio::test]
async fn certificates_that_came_along_spare_a_question_once_they_have_vouched_for_the_evidence() {
    let device = teegate_forge::snp();
    let mut subject = Subject::snp(&device);
    let kds = Vendor::start(device.kds_routes());
    let (fetcher, _) = fetcher(asking(&[format!("kds={}", kds.url())]));
    // Another chip's certificate is no help, and neither is one of this chip and TCB that nobody of AMD's signed.
    subject.carried.add_certificate(device.clone().chip_id([9; 64]).build().vek);
    let stranger = Key::rsa(RsaRole::Stranger);
    subject.carried.add_certificate(teegate_forge::snp().intermediate_key(stranger).build().vek);
    let outcome = subject.complete(&fetcher).await;
    assert_eq!((outcome.documents.len(), kds.requests().len(), outcome.held.len()), (3, 3, 0));
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));

    kds.forget();
    for certificate in device.build().certificates() {
        subject.carried.add_certificate(certificate);
    }
    let outcome = subject.complete(&fetcher).await;
    assert_eq!(kds.requests(), ["/vcek/v1/Genoa/crl"]);
    assert!(matches!(outcome.held[..], [Document::Vcek { .. }, Document::AmdChain { .. }]), "{:?}", outcome.held);
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));

    // The same certificates beside a report that their key did not sign have vouched for nothing.
    let mut altered = Subject::snp(&device.clone().patch_after_signing(0x50, &[9]));
    device.build().certificates().into_iter().for_each(|der| altered.carried.add_certificate(der));
    kds.forget();
    let outcome = altered.complete(&fetcher).await;
    assert_eq!((kds.requests().len(), outcome.held.len()), (3, 0));
    assert_eq!(altered.failed_checks(&outcome), ["snp.signature"]);

    // One that only calls itself the certificate of a chip that hides its name says nothing of the product either.
    let hidden = device.clone().version(2).masked_chip_id();
    let mut subject = Subject::snp(&hidden);
    subject.carried.add_certificate(device.build().vek);
    kds.forget();
    let outcome = subject.complete(&fetcher).await;
    let chains = ["Milan", "Genoa"].map(|product| format!("/vcek/v1/{product}/cert_chain"));
    assert!(chains.iter().all(|chain| kds.requests().contains(chain)), "{:?}", kds.requests());
    assert!(missing(&outcome).iter().all(|missing| !missing.starts_with("VCEK")), "{outcome:?}");
}

/// Whoever is judged chose what came along, and an older statement does not say what was revoked since.
#[tokio::test]
async fn what_has_an_order_in_time_is_asked_for_whatever_came_along() {
    let device = teegate_forge::snp();
    let mut subject = Subject::snp(&device);
    subject.carried.add_crl(device.build().crl.unwrap());
    let kds = Vendor::start(device.clone().revoke_intermediate().kds_routes());
    let (fetcher_of_amd, _) = fetcher(asking(&[format!("kds={}", kds.url())]));
    let outcome = subject.complete(&fetcher_of_amd).await;
    assert_eq!((kds.requests().len(), outcome.held.len()), (3, 0));
    assert_eq!(subject.failed_checks(&outcome), ["snp.chain.revocation"]);

    let set = teegate_forge::tdx().build();
    let mut subject = Subject::tdx(&set);
    set.crls().into_iter().for_each(|crl| subject.carried.add_crl(crl));
    subject.carried.add_tcb_info(set.tcb_info.body.clone(), set.tcb_info.signature);
    subject.carried.add_qe_identity(set.qe_identity.body.clone(), set.qe_identity.signature);
    set.certificates().into_iter().for_each(|der| subject.carried.add_certificate(der));
    let pcs = Vendor::start(set.pcs_routes(PckCa::Platform, FMSPC));
    let (fetcher_of_intel, _) = fetcher(asking(&[format!("pcs={}", pcs.url())]));
    let outcome = subject.complete(&fetcher_of_intel).await;
    assert_eq!((pcs.requests().len(), outcome.held.len(), outcome.documents.len()), (4, 0, 4));
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));

    // Where Intel cannot be reached, what came along does not stand in: it is missing, and says which document it would be.
    pcs.misbehave("", usize::MAX, Misbehaviour::status(404));
    let outcome = subject.complete(&fetcher_of_intel).await;
    assert_eq!((outcome.missing.len(), subject.failed_checks(&outcome)), (4, vec!["tdx.collateral.present"]));
    for missing in &outcome.missing {
        let document = missing.document.as_ref().unwrap();
        assert!(document.is_claimed_in(&subject.carried, time()), "{missing}");
        assert!(!document.is_claimed_in(&subject.carried.without_order_in_time(), time()), "{missing}");
    }
}

#[tokio::test]
async fn what_was_fetched_says_from_where_and_how_long_ago() {
    let device = teegate_forge::snp();
    let subject = Subject::snp(&device);
    let kds = Vendor::start(device.kds_routes());
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(folder.path().to_owned());
    let (fetcher, clock) = fetcher(Settings { cache, ..asking(&[format!("kds={}", kds.url())]) });
    let places = |outcome: &Outcome| -> Vec<String> {
        let url = kds.url();
        outcome.documents.iter().map(|document| document.place().replace(&url, "")).collect()
    };
    let outcome = subject.complete(&fetcher).await;
    let [_, chain, crl] = &places(&outcome)[..] else { panic!("{outcome:?}") };
    assert_eq!((&**chain, &**crl), ("/vcek/v1/Genoa/cert_chain, asked now", "/vcek/v1/Genoa/crl, asked now"));

    clock.pass(Duration::from_secs(3 * 3_600 + 59));
    let [_, chain, crl] = &places(&subject.complete(&fetcher).await)[..] else { panic!("{outcome:?}") };
    assert_eq!((&**chain, &**crl), ("/vcek/v1/Genoa/cert_chain, asked 3 h ago", "/vcek/v1/Genoa/crl, asked 3 h ago"));

    clock.pass(Duration::from_secs(2 * 24 * 3_600));
    kds.misbehave("", usize::MAX, Misbehaviour::status(404));
    let outcome = subject.complete(&fetcher).await;
    let [vcek, _, crl] = &places(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(vcek.ends_with(", asked 2 days ago"), "{vcek}");
    assert_eq!(*crl, format!("/vcek/v1/Genoa/crl, asked 2 days ago, {OUT_OF_REACH}"));
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
}

#[tokio::test]
async fn a_chip_that_hides_its_name_cannot_be_asked_about() {
    let device = teegate_forge::snp().masked_chip_id();
    let subject = Subject::snp(&device);
    let kds = Vendor::start(device.kds_routes());
    let outcome = subject.complete(&fetcher(asking(&[format!("kds={}", kds.url())])).0).await;
    let [missing] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(missing.starts_with("VCEK of this chip and TCB: the host masks the chip id"), "{missing}");
    assert_eq!(kds.requests(), ["/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"]);
}

#[tokio::test]
async fn a_processor_without_a_name_here_is_asked_about_nowhere() {
    let device = teegate_forge::snp().cpuid(0x1A, 0x50, 1);
    let kds = Vendor::start(device.kds_routes());
    let outcome = Subject::snp(&device).complete(&fetcher(asking(&[format!("kds={}", kds.url())])).0).await;
    let [missing] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(missing.starts_with("certificates of this processor: "), "{missing}");
    assert_eq!(kds.requests(), [""; 0]);
}

#[tokio::test]
async fn azures_host_answers_for_its_own_chip_in_one_request() {
    let device = teegate_forge::snp().product(Product::Milan).version(3);
    let subject = Subject::snp(&device);
    let (thim, kds) = (Vendor::start(device.thim_routes()), Vendor::start(device.kds_routes()));
    let sources = [format!("thim={}", thim.url()), format!("kds={}", kds.url())];
    let outcome = subject.complete(&fetcher(asking(&sources)).0).await;
    assert_eq!(file_names(&outcome), ["thim-amd-certification.json", "vcek-crl-milan.der"]);
    assert_eq!(outcome.documents[0].serves_as.len(), 2);
    assert_eq!((thim.requests().len(), kds.requests()), (1, vec!["/vcek/v1/Milan/crl".to_owned()]));
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));

    // On another host it answers for another chip, and AMD is asked.
    let elsewhere = device.clone().chip_id([0x77; 64]);
    thim.serve(elsewhere.thim_routes());
    let outcome = subject.complete(&fetcher(asking(&sources)).0).await;
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
    let tried = outcome.documents[0].tried[0].to_string();
    assert!(tried.contains("the answer is not the document that was asked for: VCEK of this chip"), "{tried}");
}

#[tokio::test]
async fn both_authorities_of_intel_are_completed_from_the_service_and_from_a_cache() {
    for (ca, name) in [(PckCa::Platform, "platform"), (PckCa::Processor, "processor")] {
        let set = teegate_forge::tdx().pck_issuer(ca).build();
        let subject = Subject::tdx(&set);
        for (service, routes) in
            [(Service::Pcs, set.pcs_routes(ca, FMSPC)), (Service::Pccs, set.pccs_routes(ca, FMSPC))]
        {
            let vendor = Vendor::start(routes);
            let source = format!("{}={}", service.name(), vendor.url());
            let outcome = subject.complete(&fetcher(asking(&[source])).0).await;
            assert_eq!(missing(&outcome), [""; 0]);
            let list = if service == Service::Pcs { "der" } else { "txt" };
            assert_eq!(
                file_names(&outcome),
                [
                    &*format!("pck-crl-{name}.http"),
                    "tcb-info-tdx-b0c06f000000-standard.http",
                    &*format!("intel-root-crl.{list}"),
                    "qe-identity-tdx-standard.http",
                ]
            );
            assert_eq!(subject.failed_checks(&outcome), [""; 0], "{service:?} {name}");
            assert_eq!(vendor.requests().len(), 4);
        }
    }
}

#[tokio::test]
async fn early_and_both_updates_are_asked_for_by_name() {
    let set = teegate_forge::tdx().build();
    let subject = Subject::tdx(&set);
    let vendor = Vendor::start(set.pcs_routes(PckCa::Platform, FMSPC));
    for (updates, early, all) in [(Updates::Early, 2, 4), (Updates::Both, 2, 6), (Updates::Standard, 0, 4)] {
        vendor.forget();
        let settings = Settings { updates, ..asking(&[format!("pcs={}", vendor.url())]) };
        let outcome = subject.complete(&fetcher(settings).0).await;
        assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
        let requests = vendor.requests();
        assert_eq!(requests.iter().filter(|request| request.ends_with("update=early")).count(), early);
        assert_eq!((requests.len(), outcome.documents.len()), (all, all));
    }
}

#[tokio::test]
async fn the_older_header_of_the_signers_chain_is_read_too() {
    let set = teegate_forge::tdx().build();
    let subject = Subject::tdx(&set);
    let mut routes = set.pcs_routes(PckCa::Platform, FMSPC);
    let rename = |routes: &mut Vec<teegate_forge::services::Route>, to: &str| {
        for (name, _) in routes.iter_mut().flat_map(|route| &mut route.headers) {
            if name.to_ascii_lowercase().ends_with("tcb-info-issuer-chain") {
                to.clone_into(name);
            }
        }
    };
    rename(&mut routes, "SGX-TCB-Info-Issuer-Chain");
    let vendor = Vendor::start(routes.clone());
    let (fetcher, _) = fetcher(asking(&[format!("pcs={}", vendor.url())]));
    let outcome = subject.complete(&fetcher).await;
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));

    // Without the chain, nobody could say who signed.
    rename(&mut routes, "X-Chain");
    let nameless = |route: &mut teegate_forge::services::Route| {
        route.headers.retain(|(name, _)| !name.to_ascii_lowercase().ends_with("tcb-info-issuer-chain"));
    };
    routes.iter_mut().for_each(nameless);
    vendor.serve(routes);
    let outcome = subject.complete(&fetcher).await;
    let [missing] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(missing.contains("is not in it; it holds `TDX`"), "{missing}");
}

#[tokio::test]
async fn a_platform_that_intel_does_not_know_is_named() {
    let set = teegate_forge::tdx().fmspc([1, 2, 3, 4, 5, 6]).build();
    let vendor = Vendor::start(set.pcs_routes(PckCa::Platform, FMSPC));
    let (fetcher, clock) = fetcher(asking(&[format!("pcs={}", vendor.url())]));
    let outcome = Subject::tdx(&set).complete(&fetcher).await;
    let [missing] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(missing.starts_with("TCB info (TDX, FMSPC 010203040506, standard update)\n  http://"), "{missing}");
    assert!(missing.contains("status 404: the service has no such document"), "{missing}");
    assert_eq!((outcome.documents.len(), clock.waits()), (3, vec![]), "404 is final");

    // The answer for another platform is not taken for this one's.
    let mut routes = set.pcs_routes(PckCa::Platform, [1, 2, 3, 4, 5, 6]);
    let other = teegate_forge::tdx().build();
    for route in routes.iter_mut().filter(|route| route.path.ends_with("/tcb")) {
        route.body = other.tcb_info_response().into_bytes();
    }
    vendor.serve(routes);
    let outcome = Subject::tdx(&set).complete(&fetcher).await;
    assert_eq!(outcome.missing.len(), 1);
    assert!(outcome.missing[0].to_string().contains("is not in it"), "{}", outcome.missing[0]);
}

#[tokio::test]
async fn a_quote_without_its_chain_needs_the_certificate_from_elsewhere() {
    let set = teegate_forge::tdx().certification_data_3().build();
    let mut subject = Subject::tdx(&set);
    let vendor = Vendor::start(set.pcs_routes(PckCa::Platform, FMSPC));
    let (fetcher, _) = fetcher(asking(&[format!("pcs={}", vendor.url())]));
    // A stranger's certificate says nothing about this platform.
    subject.carried.add_certificate(teegate_forge::tdx().platform_tcb([9; 16], 11).build().pck);
    let outcome = subject.complete(&fetcher).await;
    let [missing_one] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(missing_one.starts_with("PCK certificate of this platform, its CRL and its TCB info: "), "{missing_one}");
    assert_eq!(file_names(&outcome), ["intel-root-crl.der", "qe-identity-tdx-standard.http"]);

    // Its own is enough: the CA's certificate comes with the CRL.
    subject.carried.add_certificate(set.pck.clone());
    let outcome = subject.complete(&fetcher).await;
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
}

#[tokio::test]
async fn nobody_is_asked_for_what_no_source_serves() {
    let device = teegate_forge::snp();
    let set = teegate_forge::tdx().build();
    let vendor = Vendor::start(Vec::new());
    for (subject, source) in [(Subject::snp(&device), "pccs"), (Subject::tdx(&set), "kds")] {
        let (fetcher, _) = fetcher(asking(&[format!("{source}={}", vendor.url())]));
        let outcome = fetcher.complete(&subject.needs(), &Held::nothing(), time()).await;
        assert!(outcome.documents.is_empty());
        for missing in &outcome.missing {
            assert!(missing.to_string().ends_with(": none of the named sources serves such documents"), "{missing}");
        }
        assert!(outcome.missing.len() >= 3 && vendor.requests().is_empty());
    }
}

fn time() -> teegate_verifier::UnixTime {
    teegate_verifier::UnixTime::from_seconds(teegate_forge::time::AT)
}
