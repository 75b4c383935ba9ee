//! From what evidence says that it needs to documents: which, in which order, and what is nobody's to ask for.

use std::sync::Arc;
use std::time::Duration;

use teegate_verifier::{HintKind, Needs, SnpNeeds, SnpTcb, TdxNeeds, UnixTime};

use crate::cache::Cache;
use crate::clock::{Clock, SystemClock};
use crate::document::{AmdKey, Document};
use crate::flight::Flights;
use crate::held::Held;
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
        let cache = cache.map(|folder| Cache::new(folder, limits));
        let (flights, pace) = (Flights::default(), Pace::default());
        Self { sources, updates, means: Means { link, cache, clock, patience, flights, pace } }
    }

    /// Gets what evidence needs, to hold at `now`. One document after the other: vendors count requests.
    ///
    /// Whatever has an order in time is asked for, whatever is `held`; see [`Held`] for what need not be. Never fails as a
    /// whole; the outcome says what is missing, and why.
    pub async fn complete(&self, needs: &Needs, held: &Held, now: UnixTime) -> Outcome {
        let deadline = self.means.clock.elapsed().saturating_add(self.means.patience.overall);
        let mut run = Completion { fetcher: self, now, deadline, held, outcome: Outcome::default() };
        match needs {
            Needs::SevSnp(needs) => run.sev_snp(needs).await,
            Needs::Tdx(needs) => run.tdx(needs).await,
            _ => run.nobody_has(
                "the endorsements of this evidence".to_owned(),
                "supply them: nobody is asked for this kind",
            ),
        }
        run.outcome
    }
}

struct Completion<'f> {
    fetcher: &'f Fetcher,
    now: UnixTime,
    deadline: Duration,
    held: &'f Held,
    outcome: Outcome,
}

impl Completion<'_> {
    async fn sev_snp(&mut self, needs: &SnpNeeds) {
        let key = if needs.vlek { AmdKey::Vlek } else { AmdKey::Vcek };
        if needs.candidates.is_empty() {
            let what = "certificates of this processor".to_owned();
            return self.nobody_has(what, "AMD's key service knows none under a product that this release knows");
        }
        if let Some(tcb) = self.vouched(needs) {
            let leaf = needs.chip_id.map(|chip_id| Document::Vcek { chip_id, tcb });
            let product = tcb.product;
            self.outcome.held.extend(leaf.into_iter().chain([Document::AmdChain { key, product }]));
            return self.need(Document::AmdCrl { key, product }).await;
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

    /// The candidate whose certificates are held and have vouched for the evidence.
    fn vouched(&self, needs: &SnpNeeds) -> Option<SnpTcb> {
        let product = self.held.vouches.as_deref()?;
        needs.candidates.iter().find(|candidate| candidate.product.eq_ignore_ascii_case(product)).copied()
    }

    /// Only the host can hand over a VLEK. One that is held and has not vouched for anything says nothing of its product.
    fn vlek(&mut self, needs: &SnpNeeds) -> Option<&'static str> {
        if !self.holds_leaf("SEV-VLEK", needs) {
            let remedy =
                "AMD gives it to the provider alone; ask the guest for its extended report (configfs-tsm `auxblob`)";
            self.nobody_has("VLEK of this TCB".to_owned(), remedy);
        }
        None
    }

    /// The product of the first VCEK that is to be had.
    async fn vcek(&mut self, needs: &SnpNeeds) -> Option<&'static str> {
        let Some(chip_id) = needs.chip_id else {
            if !self.holds_leaf("SEV-VCEK", needs) {
                let remedy =
                    "the host masks the chip id, so that nobody can be asked; ask the host for the certificate";
                self.nobody_has("VCEK of this chip and TCB".to_owned(), remedy);
            }
            return None;
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

    /// Whether a certificate is held that calls itself this, for one of the TCBs that the report may be of.
    fn holds_leaf(&self, name: &str, needs: &SnpNeeds) -> bool {
        self.held.hints.iter().any(|hint| {
            let HintKind::Certificate { leaf: Some(leaf) } = &hint.kind else { return false };
            hint.name == name && needs.candidates.contains(&leaf.tcb)
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
        self.outcome.missing.push(Missing { document: None, what, remedy: Some(remedy), tried: Vec::new() });
    }

    async fn need(&mut self, document: Document) {
        if let Err(missing) = self.obtain(document).await {
            self.outcome.missing.push(missing);
        }
    }

    async fn obtain(&mut self, document: Document) -> Result<(), Missing> {
        let missing =
            |remedy, tried| Missing { document: Some(document.clone()), what: document.to_string(), remedy, tried };
        let asks: Vec<_> = self.fetcher.sources.iter().filter_map(|source| source.ask(&document)).collect();
        if asks.is_empty() {
            return Err(missing(Some("none of the named sources serves such documents"), Vec::new()));
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
                    age: origin.age(self.fetcher.means.clock.wall()),
                    origin,
                    valid_from: read.from,
                    valid_until: read.until,
                    bytes: read.bytes,
                    tried,
                });
                Ok(())
            }
            Err(tried) => Err(missing(None, tried)),
        }
    }
}
