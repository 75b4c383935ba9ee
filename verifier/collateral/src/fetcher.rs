//! From what evidence says that it needs to documents: which, in which order, and what is nobody's to ask for.

use std::sync::Arc;
use std::time::Duration;

use teegate_verifier::{Endorsements, Hint, HintKind, Needs, SnpNeeds, SnpTcb, TdxNeeds, UnixTime, hints_of};

use crate::cache::Cache;
use crate::clock::{Clock, SystemClock};
use crate::document::{AmdKey, Document};
use crate::flight::Flights;
use crate::link::Link;
use crate::outcome::{Missing, Obtained, Outcome, extension};
use crate::pace::Pace;
use crate::pursuit::{Found, Means, Pursuit};
use crate::settings::{Settings, Updates};
use crate::source::Source;

/// Completes evidence. Share one between tasks: it is what keeps them from asking twice.
#[derive(Debug)]
pub struct Fetcher {
    sources: Vec<Source>,
    updates: Updates,
    means: Means,
}

impl Fetcher {
    /// A fetcher by the machine's clock. Nothing is asked, read or written yet.
    pub fn new(settings: Settings) -> Self {
        Self::with_clock(settings, Arc::new(SystemClock::default()))
    }

    /// A fetcher by another clock.
    pub fn with_clock(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let Settings { sources, cache, updates, tls_roots, user_agent, limits, patience } = settings;
        let link = Link::new(user_agent, limits, patience.connect, tls_roots);
        let cache = cache.map(|folder| Cache::new(folder, limits.max_body_bytes));
        let (flights, pace) = (Flights::default(), Pace::default());
        Self { sources, updates, means: Means { link, cache, clock, patience, flights, pace } }
    }

    /// Gets what evidence needs, to hold at `now`, beyond what `held` already has. One document after the other: vendors
    /// count requests.
    ///
    /// Never fails as a whole; the outcome says what is missing, and why.
    pub async fn complete(&self, needs: &Needs, held: &Endorsements, now: UnixTime) -> Outcome {
        let deadline = self.means.clock.elapsed().saturating_add(self.means.patience.overall);
        let held = hints_of(held).into_iter().flatten().collect();
        let mut run = Completion { fetcher: self, now, deadline, held, outcome: Outcome::default() };
        match needs {
            Needs::SevSnp(needs) => run.sev_snp(needs).await,
            Needs::Tdx(needs) => run.tdx(needs).await,
        }
        run.outcome
    }
}

struct Completion<'f> {
    fetcher: &'f Fetcher,
    now: UnixTime,
    deadline: Duration,
    held: Vec<Hint>,
    outcome: Outcome,
}

impl Completion<'_> {
    async fn sev_snp(&mut self, needs: &SnpNeeds) {
        let key = if needs.vlek { AmdKey::Vlek } else { AmdKey::Vcek };
        if needs.candidates.is_empty() {
            let what = "certificates of this processor".to_owned();
            return self.nobody_has(what, "AMD's key service knows none under a product that this release knows");
        }
        let leaf = if needs.vlek { self.vlek(needs) } else { self.vcek(needs).await };
        // Without the leaf, a report of version 2 may be of several products: their chains and lists are few.
        let products = leaf.map_or_else(
            || needs.candidates.iter().map(|candidate| candidate.product).collect(),
            |product| vec![product],
        );
        for product in products {
            self.need(Document::AmdChain { key, product }).await;
            self.need(Document::AmdCrl { key, product }).await;
        }
    }

    /// The product of the VLEK, which only the host can hand over.
    fn vlek(&mut self, needs: &SnpNeeds) -> Option<&'static str> {
        let held = needs.candidates.iter().find(|candidate| {
            self.held.iter().any(|hint| {
                let HintKind::Certificate { leaf: Some(leaf) } = &hint.kind else { return false };
                hint.name == "SEV-VLEK" && leaf.tcb == **candidate
            })
        });
        if held.is_none() {
            let remedy =
                "AMD gives it to the provider alone; ask the guest for its extended report (configfs-tsm `auxblob`)";
            self.nobody_has("VLEK of this TCB".to_owned(), remedy);
        }
        held.map(|candidate| candidate.product)
    }

    /// The product of the first VCEK that is to be had.
    async fn vcek(&mut self, needs: &SnpNeeds) -> Option<&'static str> {
        let Some(chip_id) = needs.chip_id else {
            let held = needs.candidates.iter().find(|candidate| self.holds_vcek_of(candidate));
            if held.is_none() {
                let remedy =
                    "the host masks the chip id, so that nobody can be asked; ask the host for the certificate";
                self.nobody_has("VCEK of this chip and TCB".to_owned(), remedy);
            }
            return held.map(|candidate| candidate.product);
        };
        let mut missing = Vec::new();
        for tcb in &needs.candidates {
            match self.obtain(Document::Vcek { chip_id, tcb: *tcb }).await {
                Ok(()) => return Some(tcb.product),
                Err(why) => missing.push(why),
            }
        }
        self.outcome.missing.extend(missing);
        None
    }

    fn holds_vcek_of(&self, candidate: &SnpTcb) -> bool {
        self.held.iter().any(|hint| {
            let HintKind::Certificate { leaf: Some(leaf) } = &hint.kind else { return false };
            hint.name == "SEV-VCEK" && leaf.tcb == *candidate
        })
    }

    async fn tdx(&mut self, needs: &TdxNeeds) {
        match needs.platform {
            Some(platform) => {
                self.need(Document::PckCrl { platform_ca: platform.platform_ca }).await;
                for update in self.fetcher.updates.each() {
                    self.need(Document::TcbInfo { fmspc: platform.fmspc, update: *update }).await;
                }
            }
            None => self.nobody_has(
                "PCK certificate of this platform, its CRL and its TCB info".to_owned(),
                "the quote carries no PCK chain, and Intel gives it to registered platforms alone; take it from the host \
                 (its PCCS) and pass it with `--endorsements`",
            ),
        }
        self.need(Document::IntelRootCrl).await;
        for update in self.fetcher.updates.each() {
            self.need(Document::QeIdentity { update: *update }).await;
        }
    }

    fn nobody_has(&mut self, what: String, remedy: &'static str) {
        self.outcome.missing.push(Missing { what, remedy: Some(remedy), tried: Vec::new() });
    }

    async fn need(&mut self, document: Document) {
        if let Err(missing) = self.obtain(document).await {
            self.outcome.missing.push(missing);
        }
    }

    async fn obtain(&mut self, document: Document) -> Result<(), Missing> {
        if document.is_among(&self.held, self.now) {
            self.outcome.held.push(document);
            return Ok(());
        }
        let asks: Vec<_> = self.fetcher.sources.iter().filter_map(|source| source.ask(&document)).collect();
        if asks.is_empty() {
            let remedy = Some("none of the named sources serves such documents");
            return Err(Missing { what: document.to_string(), remedy, tried: Vec::new() });
        }
        // One answer can be several documents, as THIM's is, and need not be asked for again.
        let urls: Vec<_> = asks.iter().map(|ask| ask.url.to_string()).collect();
        for obtained in self.outcome.documents.iter_mut().filter(|obtained| urls.contains(&obtained.url)) {
            let read = crate::answer::Read::parse(obtained.bytes.clone());
            if read.is_ok_and(|read| read.check(&document, self.now).is_ok()) {
                obtained.serves_as.push(document);
                return Ok(());
            }
        }
        let pursuit =
            Pursuit { means: &self.fetcher.means, document: &document, now: self.now, deadline: self.deadline };
        match pursuit.run(asks, &mut self.outcome.notes).await {
            Ok(Found { read, ask, origin, tried }) => {
                self.outcome.documents.push(Obtained {
                    file_name: format!("{}.{}", ask.stem, extension(&read.bytes)),
                    serves_as: vec![document],
                    url: ask.url.to_string(),
                    origin,
                    valid_from: read.from,
                    valid_until: read.until,
                    bytes: read.bytes,
                    tried,
                });
                Ok(())
            }
            Err(tried) => Err(Missing { what: document.to_string(), remedy: None, tried }),
        }
    }
}
