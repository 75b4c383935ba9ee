//! What the tests share: a clock that jumps, settings for impatient people, evidence with its policy.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use teegate_collateral::{Clock, Fetcher, Held, Outcome, Patience, Settings, Source};
use teegate_forge::snp::{SnpBuilder, SnpSet};
use teegate_forge::tdx::TdxSet;
use teegate_forge::time::AT;
use teegate_measurements::GENUINE;
use teegate_verifier::{Endorsements, Evidence, Needs, Policy, Source as Carrier, UnixTime, needs_of, verify};

/// Jumps when somebody waits, and remembers for how long they wanted to.
#[derive(Debug)]
pub(crate) struct JumpingClock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    wall: u64,
    elapsed: Duration,
    waits: Vec<Duration>,
}

impl JumpingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { wall: AT, ..State::default() })))
    }

    /// What was waited for, in whole seconds, since this was last asked.
    pub(crate) fn waits(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap().waits).iter().map(Duration::as_secs).collect()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, duration: Duration) {
        let mut state = self.0.lock().unwrap();
        state.elapsed += duration;
        state.wall += duration.as_secs();
    }
}

impl Clock for JumpingClock {
    fn wall(&self) -> UnixTime {
        UnixTime::from_seconds(self.0.lock().unwrap().wall)
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().elapsed
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.pass(duration);
        self.0.lock().unwrap().waits.push(duration);
        Box::pin(std::future::ready(()))
    }
}

/// Settings with these sources, `NAME=URL` each.
pub(crate) fn asking(sources: &[String]) -> Settings {
    let sources = sources.iter().map(|source| Source::parse(source).unwrap()).collect();
    // A machine under load answers late; only what must time out is made to.
    let patience =
        Patience { connect: Duration::from_secs(30), exchange: Duration::from_secs(30), ..Patience::default() };
    Settings { sources, patience, ..Settings::default() }
}

pub(crate) fn fetcher(settings: Settings) -> (Fetcher, Arc<JumpingClock>) {
    let clock = JumpingClock::new();
    (Fetcher::with_clock(settings, Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

/// Forged evidence, and what else its verification takes.
pub(crate) struct Subject {
    bytes: Vec<u8>,
    is_tdx: bool,
    policy: Policy,
    /// The same without a word on revocation: what a trial before anybody is asked goes by.
    lenient: Policy,
    pub(crate) carried: Endorsements,
}

impl Subject {
    pub(crate) fn snp(device: &SnpBuilder) -> Self {
        let SnpSet { report, ark_pem, .. } = device.build();
        let [policy, lenient] = policies("amd", &ark_pem);
        Self { bytes: report, is_tdx: false, policy, lenient, carried: Endorsements::brought_by(Carrier::Evidence) }
    }

    pub(crate) fn tdx(set: &TdxSet) -> Self {
        let [policy, lenient] = policies("intel", &set.root_pem);
        let carried = Endorsements::brought_by(Carrier::Evidence);
        Self { bytes: set.quote.clone(), is_tdx: true, policy, lenient, carried }
    }

    fn evidence<'a>(&'a self, endorsements: &'a Endorsements) -> Evidence<'a> {
        let evidence = if self.is_tdx { Evidence::tdx } else { Evidence::sev_snp };
        evidence(&self.bytes, endorsements)
    }

    pub(crate) fn needs(&self) -> Needs {
        needs_of(&self.evidence(&self.carried)).unwrap()
    }

    /// What the evidence brought, after a trial with the certificates among it.
    fn held(&self) -> Held {
        let certificates = self.carried.without_order_in_time();
        let report = match verify(&self.evidence(&certificates), &self.lenient, UnixTime::from_seconds(AT)) {
            Ok(attested) => attested.report().clone(),
            Err(rejection) => rejection.report().clone(),
        };
        Held::unverified(&self.carried).judged(&report)
    }

    pub(crate) async fn complete(&self, fetcher: &Fetcher) -> Outcome {
        self.complete_at(fetcher, AT).await
    }

    pub(crate) async fn complete_at(&self, fetcher: &Fetcher, at: u64) -> Outcome {
        fetcher.complete(&self.needs(), &self.held(), UnixTime::from_seconds(at)).await
    }

    /// The checks that fail with what the outcome and the evidence brought.
    pub(crate) fn failed_checks(&self, outcome: &Outcome) -> Vec<&'static str> {
        let mut endorsements = outcome.endorsements().unwrap();
        endorsements.extend(&self.carried.without_order_in_time());
        match verify(&self.evidence(&endorsements), &self.policy, UnixTime::from_seconds(AT)) {
            Ok(_) => Vec::new(),
            Err(rejection) => rejection.failed_checks(),
        }
    }
}

/// Genuine, under this root alone: with revocation required, and as it stands.
fn policies(vendor: &str, root_pem: &str) -> [Policy; 2] {
    let required = GENUINE.replace(r#"revocation = "if-supplied""#, r#"revocation = "required""#);
    assert_ne!(required, GENUINE);
    [&required, GENUINE]
        .map(|text| Policy::parse(&format!("{text}\n[trust_anchors]\n{vendor} = ['''{root_pem}''']\n")).unwrap())
}

/// What was missing, with every reason, as a person reads it.
pub(crate) fn missing(outcome: &Outcome) -> Vec<String> {
    outcome.missing.iter().map(ToString::to_string).collect()
}

pub(crate) fn file_names(outcome: &Outcome) -> Vec<&str> {
    outcome.documents.iter().map(|document| document.file_name.as_str()).collect()
}
