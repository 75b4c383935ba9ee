//! A client that has no endorsements of its own takes those that the gateway's verdict rested on, as what they are: the vendors'
//! own, brought by a stranger.

use teegate_client::{Client, Error};
use teegate_protocol::evidence::EndorsementDigest;
use teegate_verifier::Source;

use crate::fake::{Fake, Script, settings};
use std::sync::Arc;

async fn connect(script: &Arc<Script>) -> Result<Client, Error> {
    script.connect_with(script.fake.trust_that_asks_for_a_crl(), settings()).await
}

#[tokio::test]
async fn a_client_without_a_list_takes_the_one_that_the_gateway_judged_by() {
    let fake = Fake::new();
    let crl = fake.crl();
    let digest = EndorsementDigest::of(&crl);
    let script = Script::handing_on([(digest, crl)], fake);
    let client = connect(&script).await.unwrap();
    let instance = client.instance().await.unwrap();
    let lists = instance.attested().report().endorsements().iter().filter(|one| one.kind == "crl");
    let lists: Vec<_> = lists.map(|list| (list.source, list.from.as_ref().map(|from| from.to_string()))).collect();
    assert_eq!(lists, [(Source::Relayed, Some("the gateway".to_owned()))]);
    assert_eq!(script.seen().endorsements, [digest], "asked for once, and kept");
}

#[tokio::test]
async fn what_several_instances_rest_on_is_asked_for_once() {
    let fake = Fake::new();
    let crl = fake.crl();
    let digest = EndorsementDigest::of(&crl);
    let script = Script::handing_on([(digest, crl)], fake);
    let offer = script.fake.envelope();
    *script.offers.lock().unwrap() = vec![offer.clone(), offer.clone(), offer];
    connect(&script).await.unwrap();
    assert_eq!(script.seen().endorsements, [digest]);
}

/// What is missing is said by the check that misses it, whatever the gateway did instead of handing it on.
#[tokio::test]
async fn what_is_not_what_was_named_completes_nothing() {
    let fake = Fake::new();
    let crl = fake.crl();
    let digest = EndorsementDigest::of(&crl);
    let junk = b"no statement".to_vec();
    // The genuine list, under the name of something else, and too long.
    let long = |bytes: usize| [teegate_forge::pem::crl(&crl).into_bytes(), vec![b'\n'; bytes]].concat();
    let too_long = long(1 << 20);
    for statements in [
        vec![],
        vec![(EndorsementDigest::of(b"something else"), crl.clone())],
        vec![(EndorsementDigest::of(&junk), junk.clone())],
        vec![(EndorsementDigest::of(&too_long), too_long)],
    ] {
        let script = Script::handing_on(statements, Fake::new());
        let Err(Error::NoCandidate { refused }) = connect(&script).await.map(drop) else { panic!("no list, no seal") };
        assert_eq!(refused[0].checks, ["snp.chain.revocation"]);
        assert!(script.seen().relayed.is_empty());
    }
    // The twins: with junk beside it, and long.
    connect(&Script::handing_on([(EndorsementDigest::of(&junk), junk), (digest, crl.clone())], fake)).await.unwrap();
    let shorter = long(1 << 19);
    connect(&Script::handing_on([(EndorsementDigest::of(&shorter), shorter)], Fake::new())).await.unwrap();
}
