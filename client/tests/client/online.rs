//! A client that was told to ask the vendors: it completes what nobody handed on, and what gateway and instance chose never stands
//! in for an answer.

use std::sync::{Arc, Mutex};

use teegate_client::{Client, Error, Fault, Observer, Online, Settings};
use teegate_collateral::{Fetcher, Patience, Settings as FetchSettings, Source as Service};
use teegate_forge::services::{Misbehaviour, Vendor};
use teegate_intake::endorsements::{self, Loaded};
use teegate_protocol::evidence::EndorsementDigest;
use teegate_verifier::Source;

use crate::fake::{Fake, Script, settings};

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// A client of that gateway that asks `vendor`, and what it was told beside the answer.
async fn connect(script: &Arc<Script>, vendor: &Vendor, supplied: Loaded) -> (Result<Client, Error>, Vec<String>) {
    let source = Service::parse(&format!("kds={}", vendor.url())).unwrap();
    let patience = Patience { attempts: 1, ..Patience::default() };
    let fetcher = Fetcher::new(FetchSettings { sources: vec![source], patience, ..FetchSettings::default() });
    let notes = Arc::new(Notes::default());
    let observer: Arc<dyn Observer> = Arc::<Notes>::clone(&notes);
    // The policy that asks for a list says nothing before it has one.
    let online = Online::new(fetcher, supplied).beside(script.fake.trust().policy);
    let settings = Settings { online: Some(online), observer: Some(observer), ..settings() };
    let client = script.connect_with(script.fake.trust_that_asks_for_a_crl(), settings).await;
    let notes = notes.0.lock().unwrap().clone();
    (client, notes)
}

/// Who brought the list that the verdict rests on.
async fn list_of(client: &Client) -> Vec<(Source, String)> {
    let instance = client.instance().await.unwrap();
    let lists = instance.attested().report().endorsements().iter().filter(|one| one.kind == "crl");
    lists.map(|list| (list.source, list.from.as_ref().map_or_else(String::new, |from| from.to_string()))).collect()
}

#[tokio::test]
async fn what_nobody_handed_on_is_asked_for_and_what_vouches_already_is_not() {
    let script = Script::new(Fake::new(), []);
    let vendor = Vendor::start(script.fake.kds.clone());
    let (client, notes) = connect(&script, &vendor, Loaded::default()).await;
    let lists = list_of(&client.unwrap()).await;
    assert!(matches!(&lists[..], [(Source::Fetched, from)] if from.contains("/crl, asked now")), "{lists:?}");
    // The certificates came with the evidence, and vouched for it.
    assert!(matches!(&vendor.requests()[..], [crl] if crl.contains("/crl")), "{:?}", vendor.requests());
    assert_eq!(notes, [""; 0]);
}

#[tokio::test]
async fn what_was_relayed_or_carried_never_stands_in_for_an_answer() {
    let relaying = || {
        let fake = Fake::new();
        let crl = fake.crl();
        Script::handing_on([(EndorsementDigest::of(&crl), crl)], fake)
    };
    let carrying = || {
        let script = Script::new(Fake::new(), []);
        let mut envelope = script.fake.envelope();
        envelope.endorsements = Some(script.fake.endorsements_with_crl());
        *script.offers.lock().unwrap() = vec![envelope];
        script
    };
    for script in [relaying(), carrying()] {
        let vendor = Vendor::start(script.fake.kds.clone());
        vendor.misbehave("/crl", usize::MAX, Misbehaviour::status(404));
        let (client, notes) = connect(&script, &vendor, Loaded::default()).await;
        let Err(error) = client else { panic!("accepted") };
        assert_eq!((error.fault(), error.failed_checks()), (Fault::Policy, vec!["snp.chain.revocation"]), "{error}");
        assert!(matches!(&notes[..], [note] if note.starts_with("not to be had: ")), "{notes:?}");
        // The twin that asks nobody takes it as what it is.
        let trust = script.fake.trust_that_asks_for_a_crl();
        let client = script.connect_with(trust, settings()).await.unwrap();
        assert!(matches!(list_of(&client).await[..], [(Source::Relayed, _)]));
    }
}

#[tokio::test]
async fn what_the_user_supplied_counts_alone_where_nobody_answers_and_the_report_says_so() {
    let script = Script::new(Fake::new(), []);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.crl");
    std::fs::write(&file, script.fake.crl()).unwrap();
    let vendor = Vendor::start(script.fake.kds.clone());
    vendor.misbehave("/crl", usize::MAX, Misbehaviour::status(404));
    let supplied = endorsements::load(&[file]).unwrap();
    let (client, _) = connect(&script, &vendor, supplied).await;
    let lists = list_of(&client.unwrap()).await;
    let [(Source::Supplied, from)] = &lists[..] else { panic!("{lists:?}") };
    assert!(from.contains("list.crl, ") && from.contains("could not be"), "{from}");
}
