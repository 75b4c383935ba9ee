//! Which members of a CoRIM this reader knows. The library skips what it does not know in all maps but that of measured
//! values, ignores items behind those of a triple, and reads a null as a member that is not there. All of that could be a
//! condition, so it is looked for in the CBOR itself, and refused.

use corim::cbor::value::Value;
use corim::cbor::{self, DecodeLimits};
use corim::document;

use super::said;

/// What stands at a place.
enum Shape {
    /// The library reads it whole or refuses it, or the rest of this reader refuses the member.
    Whole,
    /// A map of these members, and no other.
    Map(&'static str, &'static [Member]),
    /// A map whose other members the library keeps; the profile refuses those that it does not read.
    Open(&'static str, &'static [Member]),
    List(&'static Shape),
    /// An array of exactly these.
    Tuple(&'static str, &'static [(&'static str, Shape)]),
    Tagged(u64, &'static Shape),
    /// An item of CBOR in a byte string.
    Embedded(&'static Shape),
}

type Member = (i64, &'static str, Shape);

use Shape::{Embedded, List, Map, Open, Tagged, Tuple, Whole};

/// draft-ietf-rats-corim-11. Who made a manifest, its language and its identity carry no condition.
const DOCUMENT: Shape = Tagged(501, &CORIM);
const CORIM: Shape = Map(
    "corim-map",
    &[
        (0, "id", Whole),
        (1, "tags", List(&Tagged(506, &Embedded(&COMID)))),
        (2, "dependent-rims", Whole),
        (3, "profile", Whole),
        (4, "rim-validity", Map("validity-map", &[(0, "not-before", Whole), (1, "not-after", Whole)])),
        (5, "entities", List(&ENTITY)),
    ],
);
const ENTITY: Shape = Map("entity-map", &[(0, "entity-name", Whole), (1, "reg-id", Whole), (2, "role", Whole)]);
const COMID: Shape = Map(
    "concise-mid-tag",
    &[
        (0, "language", Whole),
        (1, "tag-identity", Map("tag-identity-map", &[(0, "tag-id", Whole), (1, "tag-version", Whole)])),
        (2, "entities", List(&ENTITY)),
        (3, "linked-tags", Whole),
        (4, "triples", TRIPLES),
    ],
);
const TRIPLES: Shape = Map(
    "triples-map",
    &[
        (0, "reference-triples", List(&REFERENCE)),
        (1, "endorsed-triples", Whole),
        (2, "identity-triples", Whole),
        (3, "attest-key-triples", Whole),
        (4, "dependency-triples", Whole),
        (5, "membership-triples", Whole),
        (6, "coswid-triples", Whole),
        (8, "conditional-endorsement-series-triples", Whole),
        (10, "conditional-endorsement-triples", Whole),
    ],
);
const REFERENCE: Shape =
    Tuple("reference-triple-record", &[("environment", ENVIRONMENT), ("measurements", List(&MEASUREMENT))]);
const ENVIRONMENT: Shape = Map("environment-map", &[(0, "class", CLASS), (1, "instance", Whole), (2, "group", Whole)]);
const CLASS: Shape = Map(
    "class-map",
    &[(0, "class-id", Whole), (1, "vendor", Whole), (2, "model", Whole), (3, "layer", Whole), (4, "index", Whole)],
);
const MEASUREMENT: Shape =
    Map("measurement-map", &[(0, "mkey", Whole), (1, "mval", VALUES), (2, "authorized-by", Whole)]);
/// The version is the one member read that is a map of numbered members itself.
const VALUES: Shape = Open(
    "measurement-values-map",
    &[(0, "version", Map("version-map", &[(0, "version", Whole), (1, "version-scheme", Whole)]))],
);

/// Refuses a document, already validated within `limits`, that says something which the table above does not have.
pub(super) fn expect_known(bytes: &[u8], limits: &DecodeLimits) -> Result<(), String> {
    let document = document::inspect(bytes, limits).map_err(|error| said(&error))?;
    check(&document, &DOCUMENT, limits).map_err(|refusal| {
        let path: String = refusal.path.into_iter().rev().collect();
        match path.trim_start_matches('.') {
            "" => refusal.what,
            path => format!("`{path}`: {}", refusal.what),
        }
    })
}

/// Why, and where, innermost first.
struct Refusal {
    path: Vec<String>,
    what: String,
}

impl Refusal {
    const fn new(what: String) -> Self {
        Self { path: Vec::new(), what }
    }

    fn within(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }
}

/// No deeper than the table.
fn check(value: &Value, shape: &Shape, limits: &DecodeLimits) -> Result<(), Refusal> {
    if matches!(value, Value::Null) {
        return Err(Refusal::new("null: expected a value, or no such member".to_owned()));
    }
    match (shape, value) {
        (Whole, _) => Ok(()),
        (Map(name, known) | Open(name, known), Value::Map(entries)) => {
            for (key, value) in entries {
                let found =
                    known.iter().find(|(number, ..)| matches!(key, Value::Integer(key) if *key == (*number).into()));
                match found {
                    Some((_, step, shape)) => {
                        check(value, shape, limits).map_err(|refusal| refusal.within(format!(".{step}")))?;
                    }
                    None if matches!(shape, Open(..)) => {
                        check(value, &Whole, limits).map_err(|refusal| refusal.within(format!(".{}", label(key))))?
                    }
                    None => return Err(Refusal::new(unknown(name, key, known))),
                }
            }
            Ok(())
        }
        (List(shape), Value::Array(items)) => items.iter().enumerate().try_for_each(|(index, item)| {
            check(item, shape, limits).map_err(|refusal| refusal.within(format!("[{index}]")))
        }),
        (Tuple(name, shapes), Value::Array(items)) => {
            if items.len() != shapes.len() {
                return Err(Refusal::new(format!("a {name} of {} items: expected {}", items.len(), shapes.len())));
            }
            shapes.iter().zip(items).try_for_each(|((step, shape), item)| {
                check(item, shape, limits).map_err(|refusal| refusal.within(format!(".{step}")))
            })
        }
        (Tagged(number, shape), Value::Tag(found, inner)) if found == number => check(inner, shape, limits),
        (Embedded(shape), Value::Bytes(bytes)) => {
            let inner: Value =
                cbor::decode_exact_with_limits(bytes, limits).map_err(|error| Refusal::new(said(&error)))?;
            check(&inner, shape, limits)
        }
        (Map(name, _) | Open(name, _), _) => Err(Refusal::new(format!("expected a map ({name})"))),
        (List(_) | Tuple(..), _) => Err(Refusal::new("expected an array".to_owned())),
        (Tagged(number, _), _) => Err(Refusal::new(format!("expected tag {number}"))),
        (Embedded(_), _) => Err(Refusal::new("expected a byte string".to_owned())),
    }
}

fn unknown(name: &str, key: &Value, known: &[Member]) -> String {
    let known: Vec<String> = known.iter().map(|(number, name, _)| format!("{number} ({name})")).collect();
    format!(
        "holds member {} of a {name}, which is not known here and could be a condition: expected none but {}",
        label(key),
        known.join(", ")
    )
}

fn label(key: &Value) -> String {
    match key {
        Value::Integer(number) => number.to_string(),
        _ => "that is numbered by no integer".to_owned(),
    }
}
