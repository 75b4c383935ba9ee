//! A policy under roots of its author's choice: what forged hardware, or a vendor of one's own, is judged by.

use teegate_verifier::place::{key_offset, position, readable, shortened};
use teegate_verifier::{Draft, PolicyError, Tee};
use toml::de::DeTable;

/// The field of a policy.
const ANCHORS: &str = "trust_anchors";
/// What stands above the roots, for whoever reads the policy later.
const WARNING: &str = "\
# These roots stand in place of the vendor's own. Whoever holds their keys can make evidence that this policy accepts, so
# that no acceptance under them is better than a warning.
";

/// The text of a policy with these roots (PEM) in place of the vendors', each beside the word for its vendor, `amd` or `intel`.
///
/// Everything else stays as it stands, comments included, but for the name: `strict, under roots of its own` is not `strict`.
/// The text may be a template that still needs reference values.
///
/// # Errors
/// The loader refuses the policy or a root; the policy pins roots already; a vendor is none, or is one whose evidence the policy
/// has no profile for, so that its root would go unused.
pub fn pinned(text: &str, roots: &[(String, String)]) -> Result<String, PolicyError> {
    let draft = Draft::parse(text)?;
    if roots.is_empty() {
        return Ok(text.to_owned());
    }
    let parsed = DeTable::parse(text).map_err(|error| PolicyError::new(readable(&error)))?;
    if parsed.get_ref().contains_key(ANCHORS) {
        let (line, column) = position(text, key_offset(parsed.get_ref(), &[ANCHORS]).unwrap_or(0));
        return Err(PolicyError::new(format!("`{ANCHORS}` pins roots already (line {line}, column {column})")));
    }
    let document = draft.document();
    for (vendor, _) in roots {
        let of_vendor = |tee: &Tee| document.roots(*tee).field() == vendor;
        if !Tee::all().any(|tee| of_vendor(&tee)) {
            let known: Vec<_> = Tee::all().map(|tee| format!("`{}`", document.roots(tee).field())).collect();
            let words = format!("`{}`: no such vendor: expected {}", shortened(vendor, 80), known.join(" or "));
            return Err(PolicyError::new(words));
        }
        if !document.profiles().iter().any(|profile| of_vendor(&profile.tee())) {
            let words = format!("`{vendor}`: the policy has no profile for its hardware, and the root would go unused");
            return Err(PolicyError::new(words));
        }
    }
    let named = named(text, parsed.get_ref(), document.name());
    let whole = format!("{}\n\n{WARNING}[{ANCHORS}]\n{}", named.trim_end(), anchors(roots));
    Draft::parse(&whole)?;
    Ok(whole)
}

/// The text under a name that says so.
fn named(text: &str, parsed: &DeTable<'_>, name: &str) -> String {
    let at = parsed.iter().find(|(key, _)| key.get_ref() == "name").map_or(0..0, |(_, value)| value.span());
    let (before, after) = (text.get(..at.start).unwrap_or_default(), text.get(at.end..).unwrap_or_default());
    format!("{before}{}{after}", toml::Value::from(format!("{name}, under roots of its own")))
}

/// One line for each vendor: `amd = ["…", "…"]`.
fn anchors(roots: &[(String, String)]) -> String {
    let mut table = toml::Table::new();
    for (vendor, pem) in roots {
        let list = table.entry(vendor.clone()).or_insert_with(|| toml::Value::Array(Vec::new()));
        if let toml::Value::Array(list) = list {
            list.push(pem.as_str().into());
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GENUINE, STRICT, differences};
    use teegate_verifier::Policy;

    fn root() -> String {
        teegate_forge::snp().ark_pem()
    }

    fn amd(pem: &str) -> [(String, String); 1] {
        [("amd".to_owned(), pem.to_owned())]
    }

    #[test]
    fn a_root_is_pinned_under_a_name_that_says_so_and_nothing_else_changes() {
        let text = pinned(GENUINE, &amd(&root())).unwrap();
        let (genuine, under) = (Policy::parse(GENUINE).unwrap(), Policy::parse(&text).unwrap());
        assert_eq!(under.name(), "genuine, under roots of its own");
        assert!(genuine.trusts_only_vendors() && !under.trusts_only_vendors());
        assert!(!under.document().roots(Tee::SevSnp).are_vendors() && under.document().roots(Tee::Tdx).are_vendors());
        let fields: Vec<_> = differences(&genuine, &under).iter().map(|one| (one.tee, one.field)).collect();
        assert_eq!(fields, [("sev-snp", "trust_anchors")]);
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(comments(&text), comments(GENUINE) + WARNING.lines().count());
        // A template keeps its holes.
        let template = pinned(STRICT, &amd(&root())).unwrap();
        let needed = |text: &str| Draft::parse(text).unwrap().needed().len();
        assert_eq!(needed(&template), needed(STRICT));
        assert_eq!(pinned(GENUINE, &[]).unwrap(), GENUINE);
    }

    #[test]
    fn both_vendors_and_several_roots_of_one_are_pinned() {
        let intel = ("intel".to_owned(), teegate_forge::tdx().build().root_pem);
        let [one] = amd(&root());
        let [other] = amd(&teegate_forge::snp().product(teegate_forge::snp::Product::Milan).ark_pem());
        let text = pinned(GENUINE, &[one, intel, other]).unwrap();
        let policy = Policy::parse(&text).unwrap();
        let count = |tee| policy.document().roots(tee).names().len();
        assert_eq!((count(Tee::SevSnp), count(Tee::Tdx)), (2, 1), "{text}");
    }

    #[test]
    fn what_cannot_be_pinned_is_refused_with_its_reason() {
        let refused = |text: &str, roots: &[(String, String)]| pinned(text, roots).unwrap_err().to_string();
        let already = pinned(GENUINE, &amd(&root())).unwrap();
        let line = already.lines().position(|line| line == "[trust_anchors]").unwrap() + 1;
        let says = format!("`trust_anchors` pins roots already (line {line}, column 2)");
        assert_eq!(refused(&already, &amd(&root())), says);
        let nobody = [("nobody".to_owned(), root())];
        assert_eq!(refused(GENUINE, &nobody), "`nobody`: no such vendor: expected `amd` or `intel`");
        let (snp_alone, _) = GENUINE.split_once("[tdx.").unwrap();
        let intel = [("intel".to_owned(), teegate_forge::tdx().build().root_pem)];
        assert!(refused(snp_alone, &intel).starts_with("`intel`: the policy has no profile for its hardware"));
        assert!(refused(GENUINE, &amd("no PEM")).contains("trust_anchors.amd: expected certificates in PEM"));
        let leaf = teegate_forge::snp().build().chain_pem();
        assert!(refused(GENUINE, &amd(&leaf)).contains("is not self-signed: expected a root"));
        assert!(refused("schema = 1", &amd(&root())).contains("missing field `name`"));
    }

    /// A file of a stranger's may hold anything, and nothing of it becomes a rule.
    #[test]
    fn what_a_root_says_stays_a_text() {
        let hostile = "'''\"\"\"]\nintel = []\n\\";
        let read: toml::Table = anchors(&amd(hostile)).parse().unwrap();
        assert_eq!((read.len(), read["amd"][0].as_str()), (1, Some(hostile)));
    }
}
