//! SPIFFE IDs, and whose they are. SPIFFE-ID 1.0, section 2: `spiffe://`, a trust domain of lower case, a path whose segments are not
//! empty, `.` or `..`; no port, no query, no fragment, nothing percent-encoded. So two spellings of one id do not exist, and ids are
//! compared as bytes.

use std::collections::HashMap;
use std::fmt;

use teegate_verifier::UnixTime;

use super::certificate::Certificate;
use super::denied::Denied;
use crate::caller::Tenant;

const SCHEME: &str = "spiffe://";
/// Section 2.3: implementations support so many bytes and issue no more.
const MOST_BYTES: usize = 2_048;

/// Whether this is a trust domain, section 2.1.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The trust domain of a SPIFFE ID with a path; nothing where it is none. One without a path names the trust domain itself, which
/// is nobody who asks.
pub(crate) fn trust_domain(id: &str) -> Option<&str> {
    let (domain, path) = id.strip_prefix(SCHEME)?.split_once('/')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_plain);
    (id.len() <= MOST_BYTES && is_trust_domain(domain) && path.split('/').all(is_segment)).then_some(domain)
}

/// One id, or with `/*` at its end all that are below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    /// Reads it; it has to be of `domain`.
    pub(crate) fn parse(text: &str, domain: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "`spiffe` has what is no SPIFFE ID of the trust domain: expected for example \
                                `spiffe://example.org/ns/a/client`, or `spiffe://example.org/ns/a/*` for all below it";
        // All of a trust domain is a prefix too.
        let stem = text.strip_suffix('*').filter(|stem| stem.ends_with('/'));
        let id = stem.map_or_else(|| text.to_owned(), |stem| format!("{stem}any"));
        if trust_domain(&id) != Some(domain) {
            return Err(EXPECTED);
        }
        Ok(Self { text: stem.unwrap_or(text).to_owned(), is_prefix: stem.is_some() })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

/// Whose id is whose.
#[derive(Debug)]
pub(crate) struct Ids {
    trust_domain: String,
    exact: HashMap<String, Tenant>,
    /// The longest first: of two that match, the narrower counts.
    prefixes: Vec<(String, Tenant)>,
}

impl Ids {
    pub(crate) fn new(trust_domain: String, patterns: impl Iterator<Item = (Pattern, Tenant)>) -> Self {
        let (mut exact, mut prefixes) = (HashMap::new(), Vec::new());
        for (Pattern { text, is_prefix }, tenant) in patterns {
            if is_prefix {
                prefixes.push((text, tenant));
            } else {
                exact.insert(text, tenant);
            }
        }
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { trust_domain, exact, prefixes }
    }

    /// Whose certificate this is, if there is one. One that is shown has to be good.
    pub(crate) fn of(&self, certificate: &Certificate, now: UnixTime) -> Result<Option<Tenant>, Denied> {
        let id: &str = match certificate {
            Certificate::None => return Ok(None),
            Certificate::Id { until, .. } if now > *until => return Err(Denied::CertificateTime),
            Certificate::Id { id, .. } if trust_domain(id) == Some(&self.trust_domain) => id,
            Certificate::Id { .. } | Certificate::Unusable => return Err(Denied::Certificate),
        };
        let below = || self.prefixes.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, tenant)| *tenant);
        self.exact.get(id).copied().or_else(below).map(Some).ok_or(Denied::NoTenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(trust_domain("spiffe://example.org/ns/a/Client_1.x"), Some("example.org"));
        for id in [
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/ns/",
            "spiffe://example.org//ns",
            "spiffe://example.org/ns/../b",
            "spiffe://example.org/ns/.",
            "spiffe://example.org/ns/%61",
            "spiffe://example.org/ns/a?b",
            "spiffe://example.org/ns/a#b",
            "spiffe://example.org:443/ns/a",
            "spiffe://me@example.org/ns/a",
            "spiffe://Example.org/ns/a",
            "SPIFFE://example.org/ns/a",
            "spiffe:///ns/a",
            "https://example.org/ns/a",
            "spiffe://example.org/ns/ä",
            "spiffe://example.org/ns/a\0",
        ] {
            assert_eq!(trust_domain(id), None, "{id}");
        }
        let long = |path: usize| format!("spiffe://a/{}", "b".repeat(path));
        assert_eq!((trust_domain(&long(2_037)), trust_domain(&long(2_038))), (Some("a"), None));
        let domain = |length: usize| format!("spiffe://{}/a", "a".repeat(length));
        assert!(trust_domain(&domain(255)).is_some() && trust_domain(&domain(256)).is_none());
    }

    #[test]
    fn the_narrower_of_two_patterns_counts() {
        let pattern = |text: &str| Pattern::parse(text, "example.org").unwrap();
        let tenants = ["all", "ns", "one"].map(Tenant::named);
        let patterns =
            ["spiffe://example.org/*", "spiffe://example.org/ns/*", "spiffe://example.org/ns/one"].map(pattern);
        assert_eq!(patterns[1].to_string(), "spiffe://example.org/ns/*");
        let ids = Ids::new("example.org".into(), patterns.into_iter().zip(tenants));
        let [now, later] = [7, 8].map(UnixTime::from_seconds);
        let shown = |id: &str| Certificate::Id { id: id.into(), until: now };
        let of = |id: &str| ids.of(&shown(id), now).map(|tenant| tenant.map(Tenant::name));
        for (id, tenant) in [("ns/one", "one"), ("ns/other", "ns"), ("ns/one/x", "ns"), ("nsx/a", "all"), ("ns", "all")]
        {
            assert_eq!(of(&format!("spiffe://example.org/{id}")), Ok(Some(tenant)), "{id}");
        }
        for id in ["spiffe://example.org.evil/ns/one", "spiffe://evil/ns/one", "spiffe://example.org/ns/../ns/one"] {
            assert_eq!(of(id), Err(Denied::Certificate), "{id}");
        }
        assert_eq!(ids.of(&Certificate::None, now), Ok(None));
        assert_eq!(ids.of(&Certificate::Unusable, now), Err(Denied::Certificate));
        assert_eq!(ids.of(&shown("spiffe://example.org/ns/one"), later), Err(Denied::CertificateTime));
        let narrow = Ids::new("example.org".into(), [(pattern("spiffe://example.org/a"), tenants[0])].into_iter());
        assert_eq!(narrow.of(&shown("spiffe://example.org/b"), now), Err(Denied::NoTenant));
    }

    #[test]
    fn a_pattern_is_of_the_trust_domain() {
        for text in [
            "spiffe://evil/a",
            "spiffe://example.org",
            "*",
            "spiffe://*",
            "spiffe://example.org/a*",
            "spiffe://example.org/*/a",
        ] {
            assert!(Pattern::parse(text, "example.org").is_err(), "{text}");
        }
    }
}
