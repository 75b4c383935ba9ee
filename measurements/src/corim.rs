//! Reference values out of a CoRIM (draft-ietf-rats-corim-11), signed by whom the user names or unsigned, under the three profiles that describe these TEEs:
//!
//! * AMD SEV-SNP, draft-deeglaze-amd-sev-snp-corim-profile-02: the fields of a report by `mkey`;
//! * AMD SEV-SNP, as Veraison's services and tools write it: the same report under other numbers;
//! * Intel, draft-cds-rats-intel-corim-profile-07: MRTD as `tee.mrtee`; the base draft's integrity registers for the RTMRs.
//!
//! What a manifest says beyond that is refused by name: a condition that was passed over would make the rest say more than
//! its author did. What is supported stands in `REFERENCE-VALUES.md`.

mod intel;
mod members;
mod sev_snp;
mod signed;
mod veraison;

use corim::cbor::DecodeLimits;
use corim::document::{self, TimeCheck, ValidationContext};
use corim::profile::ProfileRegistry;
use corim::types::comid::ComidTag;
use corim::types::corim::ProfileChoice;
use corim::types::environment::EnvironmentMap;
use corim::types::measurement::{Digest, MeasurementMap, MeasurementValuesMap, RawValueChoice};
use corim::types::triples::ReferenceTriple;
use std::collections::{BTreeMap, BTreeSet};
use teegate_verifier::place::shortened;
use teegate_verifier::{Signer, Tee, UnixTime};

use crate::reference::{ReferenceValue, ReferenceValues};

/// A manifest of a fleet's releases fits many times over.
const MAX_BYTES: usize = 1 << 20;
const MAX_VALUES: usize = 50_000;
const MAX_ITEMS: usize = 4_096;
const MAX_DEPTH: usize = 24;
/// SHA-384 in the registry of named information.
const SHA_384: i64 = 7;

/// The fields of one reference triple.
type Fields = BTreeMap<&'static str, ReferenceValue>;

/// Reads the reference values of a CoRIM that is valid at `now`, and that `signer` signed where one is named. Nobody vouches for
/// what is unsigned: the caller must have the file from whom it trusts.
pub(crate) fn read(bytes: &[u8], signer: Option<&Signer>, now: UnixTime) -> Result<ReferenceValues, String> {
    match (bytes, signer) {
        ([0xD9, 0x01, 0xF5, ..], None) => unsigned(bytes, now),
        ([0xD2, ..], Some(signer)) if bytes.len() <= MAX_BYTES => {
            let signed = signed::open(bytes, signer, now)?;
            match signed.manifest {
                [0xD9, 0x01, 0xF5, ..] => Ok(unsigned(signed.manifest, now)?.signed_by(&signed.by)),
                _ => Err("what is signed is no CoRIM: expected CBOR tag 501 inside".to_owned()),
            }
        }
        ([0xD9, 0x01, 0xF5, ..], Some(_)) => {
            Err("an unsigned CoRIM (CBOR tag 501), and a signer was named: expected a signed one (tag 18)".to_owned())
        }
        ([0xD2, ..], None) => {
            Err("a signed CoRIM (CBOR tag 18): name who is to have signed it, by a public key or a chain of \
                                   certificates (`--signed-by KEY.pem`); what was not checked must not pass for signed"
                .to_owned())
        }
        _ => Err("expected a CoRIM: unsigned (CBOR tag 501), or signed (tag 18) by whom you name".to_owned()),
    }
}

fn unsigned(bytes: &[u8], now: UnixTime) -> Result<ReferenceValues, String> {
    let mut limits = DecodeLimits::default();
    limits.max_input_bytes = MAX_BYTES;
    limits.max_values = MAX_VALUES;
    limits.max_collection_items = MAX_ITEMS;
    limits.max_depth = MAX_DEPTH;
    let registry = ProfileRegistry::new();
    let seconds = i64::try_from(now.seconds()).map_err(|_| format!("{now} is no time for a CoRIM"))?;
    let context = ValidationContext::new(TimeCheck::At(seconds), &registry).with_limits(limits);
    let validated = document::validate(bytes, &context).map_err(|error| said(&error))?;
    let (payload, envelope, coverage) = validated.into_parts();
    if envelope.is_some() || !coverage.compatibility().is_empty() {
        return Err(format!(
            "an older form of CoRIM ({:?}): expected tag 501 around CoMIDs of tag 506",
            coverage.compatibility()
        ));
    }
    if !payload.cotls.is_empty() || !payload.coswids.is_empty() || !coverage.unexamined_tags().is_empty() {
        return Err("holds tags that are no CoMID: expected CoMIDs (tag 506) alone".to_owned());
    }
    if payload.corim.dependent_rims.is_some() {
        return Err("names dependent manifests, which are not read: give one that stands alone".to_owned());
    }
    members::expect_known(bytes, &limits)?;
    let profile = Profile::of(payload.corim.profile.as_ref())?;
    let mut triples = Vec::new();
    let mut environment = None;
    for comid in &payload.comids {
        for triple in reference_triples(comid)? {
            triples.push(fields(profile, triple)?);
            // Joined, the values of one would be accepted of the other.
            if environment.get_or_insert(&triple.environment().class) != &&triple.environment().class {
                return Err("reference triples are for different environments (AMD's class id by chip, and by cloud provider): a \
                            policy cannot keep them apart; give each in a file of its own"
                    .to_owned());
            }
        }
    }
    join(&payload.corim.id.to_string(), profile.tee(), &triples)
}

/// As much of what stands in a manifest as an error repeats: a line.
fn repeated(found: &dyn std::fmt::Display) -> String {
    shortened(&found.to_string(), 80)
}

/// What the library says of bytes that do not fit: it quotes what it found, and what was expected is ours.
fn said(error: &dyn std::fmt::Display) -> String {
    let message = error.to_string();
    match message.rsplit_once(", expected ") {
        Some((found, expected)) => format!("{}, expected {expected}", repeated(&found)),
        None => shortened(&message, 120),
    }
}

/// Which document says what the measurements mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    SevSnp,
    Veraison,
    Intel,
}

impl Profile {
    fn of(named: Option<&ProfileChoice>) -> Result<Self, String> {
        match named {
            Some(ProfileChoice::Uri(uri)) if uri == sev_snp::PROFILE => Ok(Self::SevSnp),
            Some(ProfileChoice::Uri(uri)) if uri == veraison::PROFILE => Ok(Self::Veraison),
            Some(ProfileChoice::Oid(oid)) if oid == intel::PROFILE => Ok(Self::Intel),
            other => Err(format!(
                "profile {}: expected AMD's `{}` or `{}`, or Intel's 2.16.840.1.113741.1.16.1",
                other.map_or_else(|| "none".to_owned(), |other| format!("`{}`", repeated(other))),
                sev_snp::PROFILE,
                veraison::PROFILE
            )),
        }
    }

    const fn tee(self) -> Tee {
        match self {
            Self::SevSnp | Self::Veraison => Tee::SevSnp,
            Self::Intel => Tee::Tdx,
        }
    }
}

fn reference_triples(comid: &ComidTag) -> Result<&[ReferenceTriple], String> {
    let triples = &comid.triples;
    let others = [
        (triples.endorsed_triples.is_some(), "endorsed-triples"),
        (triples.identity_triples.is_some(), "identity-triples"),
        (triples.attest_key_triples.is_some(), "attest-key-triples"),
        (triples.dependency_triples.is_some(), "dependency-triples"),
        (triples.membership_triples.is_some(), "membership-triples"),
        (triples.coswid_triples.is_some(), "coswid-triples"),
        (triples.conditional_endorsement_series.is_some(), "conditional-endorsement-series-triples"),
        (triples.conditional_endorsement.is_some(), "conditional-endorsement-triples"),
    ];
    if let Some((_, name)) = others.iter().find(|(there, _)| *there) {
        return Err(format!("a CoMID holds {name}: expected reference-triples alone"));
    }
    if comid.linked_tags.is_some() {
        return Err("a CoMID is linked to other tags (linked-tags): expected one that stands alone".to_owned());
    }
    Ok(triples.reference_triples.as_deref().unwrap_or_default())
}

fn fields(profile: Profile, triple: &ReferenceTriple) -> Result<Fields, String> {
    let environment: &EnvironmentMap = triple.environment();
    let has_instance = environment.instance.is_some() && profile != Profile::Veraison;
    if has_instance || environment.group.is_some() {
        return Err("a reference triple is for one instance or group: a policy names chips with `chip_ids` or `ppids`"
            .to_owned());
    }
    match profile {
        Profile::SevSnp => sev_snp::expect_class(environment.class.as_ref())?,
        Profile::Veraison => {
            veraison::expect_class(environment.class.as_ref())?;
            veraison::expect_held(triple.measurements())?;
        }
        Profile::Intel => intel::expect_class(environment.class.as_ref())?,
    }
    let mut fields = Fields::new();
    for measurement in triple.measurements() {
        if measurement.authorized_by.is_some() {
            return Err(
                "a measurement is tied to an authority (authorized-by): a policy names its roots itself".to_owned()
            );
        }
        let found = match profile {
            Profile::SevSnp => sev_snp::fields(measurement)?,
            Profile::Veraison => veraison::fields(measurement)?,
            Profile::Intel => intel::fields(measurement)?,
        };
        for (field, value) in found {
            if fields.insert(field, value).is_some() {
                return Err(format!(
                    "one reference triple gives `{field}` twice; alternatives are triples of their own"
                ));
            }
        }
    }
    if profile == Profile::Veraison {
        veraison::expect_instance(environment.instance.as_ref(), &fields)?;
    }
    Ok(fields)
}

/// Several triples are alternatives. A policy lists alternatives field by field, so they can be told only where that does not
/// also accept a field of one triple beside a field of another.
fn join(name: &str, tee: Tee, triples: &[Fields]) -> Result<ReferenceValues, String> {
    // Whoever speaks of a field speaks of the same others as the first who does.
    let mut first: BTreeMap<&'static str, &Fields> = BTreeMap::new();
    for triple in triples {
        for field in triple.keys() {
            if first.entry(field).or_insert(triple).keys().ne(triple.keys()) {
                return Err("two reference triples of one environment speak of some fields both and of some alone: a policy cannot \
                            keep them apart; give each in a file of its own"
                    .to_owned());
            }
        }
    }
    let mut accepted: BTreeMap<&'static str, Vec<ReferenceValue>> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (field, value) in triples.iter().flatten() {
        if known.insert((field, value)) {
            accepted.entry(field).or_default().push(value.clone());
        }
    }
    let varies = |field: &&'static str| accepted.get(field).is_some_and(|list| list.len() > 1);
    for triple in triples {
        if let [one, other, ..] = triple.keys().copied().filter(varies).collect::<Vec<_>>().as_slice() {
            return Err(format!(
                "reference triples pair `{one}` with `{other}`: a policy would accept every mixture of them; give each \
                 pair in a file of its own"
            ));
        }
    }
    let mut values = ReferenceValues::new(name);
    for (field, list) in accepted {
        values.add(tee, field, list, None).map_err(|error| error.to_string())?;
    }
    if values.given().is_empty() {
        return Err("holds no reference value".to_owned());
    }
    Ok(values)
}

/// The one SHA-384 digest of a list.
fn sha_384(place: &str, digests: &[Digest]) -> Result<ReferenceValue, String> {
    match digests {
        [digest] if digest.alg().as_int() == Some(SHA_384) => Ok(ReferenceValue::Bytes(digest.value().to_vec())),
        [digest] => Err(format!("{place}: a digest of algorithm {}: expected SHA-384 (7)", digest.alg())),
        several => Err(format!("{place}: {} digests: expected one, of SHA-384", several.len())),
    }
}

/// A raw value that is compared whole.
fn raw(place: &str, value: &RawValueChoice) -> Result<ReferenceValue, String> {
    match value {
        RawValueChoice::Bytes(bytes) => Ok(ReferenceValue::Bytes(bytes.clone())),
        _ => Err(format!("{place}: a masked value: expected all of its bytes (tag 560)")),
    }
}

/// What a measurement holds beyond the code points that the caller reads; the first is named.
fn nothing_but(place: &str, values: &MeasurementValuesMap, read: &[&str]) -> Result<(), String> {
    let others = [
        (values.version.is_some(), "version"),
        (values.svn.is_some(), "svn"),
        (values.digests.is_some(), "digests"),
        (values.flags.is_some(), "flags"),
        (values.raw_value.is_some(), "raw-value"),
        (values.mac_addr.is_some(), "mac-addr"),
        (values.ip_addr.is_some(), "ip-addr"),
        (values.serial_number.is_some(), "serial-number"),
        (values.ueid.is_some(), "ueid"),
        (values.uuid.is_some(), "uuid"),
        (values.name.is_some(), "name"),
        (values.cryptokeys.is_some(), "cryptokeys"),
        (values.integrity_registers.is_some(), "integrity-registers"),
        (values.int_range.is_some(), "int-range"),
        (values.r#bool.is_some(), "bool"),
        (values.number.is_some(), "number"),
        (values.text.is_some(), "text"),
        (values.bytes.is_some(), "bytes"),
    ];
    match others.iter().find(|(there, name)| *there && !read.contains(name)) {
        Some((_, name)) => Err(format!("{place}: holds `{name}`, which no field of a profile is filled from")),
        None => Ok(()),
    }
}

/// The number of the measured element.
fn mkey(measurement: &MeasurementMap) -> Option<u64> {
    match measurement.mkey {
        Some(corim::types::common::MeasuredElement::Uint(number)) => Some(number),
        _ => None,
    }
}
