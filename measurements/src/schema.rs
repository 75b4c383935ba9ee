//! The JSON Schema of policies, their TOML read as JSON: printed from the tables of fields.

use serde_json::{Map, Value, json};
use teegate_verifier::{BitNames, Draft, Tee, Wrapping, Written, fields_around, fields_of};

/// The schema, as a text that ends with a line end.
pub fn schema() -> String {
    let tables: Vec<_> = Tee::all().map(|tee| tee.name()).collect();
    let named =
        |of: &dyn Fn(&str) -> Value| tables.iter().map(|tee| ((*tee).to_owned(), of(tee))).collect::<Map<_, _>>();
    let roots = json!({ "type": "array", "items": { "type": "string", "pattern": "-----BEGIN CERTIFICATE-----" } });
    let mut properties = named(
        &|tee| json!({ "type": "object", "maxProperties": Wrapping::ALL.len(), "additionalProperties": reference(tee) }),
    );
    properties.insert("schema".to_owned(), json!({ "const": 1 }));
    properties.insert("name".to_owned(), json!({ "type": "string" }));
    properties.insert("version".to_owned(), json!({ "type": "integer", "minimum": 1 }));
    properties.insert(
        "trust_anchors".to_owned(),
        json!({ "type": "object", "additionalProperties": false, "properties": { "amd": roots, "intel": roots } }),
    );
    let one_of_them = tables
        .iter()
        .map(|tee| json!({ "required": [tee], "properties": { *tee: { "minProperties": 1 } } }))
        .collect::<Vec<_>>();
    let mut definitions: Map<_, _> = Tee::all().map(|tee| (tee.name().to_owned(), profile(tee))).collect();
    definitions.insert("reason".to_owned(), json!({ "type": "string", "pattern": "\\S" }));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:teegate:schema:policy:1",
        "title": "teegate appraisal policy, version 1",
        "description": "A policy file, its TOML read as JSON. Every field of a profile is written: as an expectation, or as the word \
                        unchecked. What the loader asks across fields (values that count only with pinned code, a bit that is both \
                        required and forbidden, a product that is listed and denied, certificates that are roots) is beyond a schema: a \
                        file that is valid here can still be refused there. A template may say reference-value-needed \
                        and judges nothing. Printed by `teegate policy schema`.",
        "type": "object",
        "additionalProperties": false,
        "required": ["schema", "name"],
        "anyOf": one_of_them,
        "properties": properties,
        "$defs": definitions,
    });
    format!("{schema:#}\n")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn profile(tee: Tee) -> Value {
    let wrappings: Vec<_> = Wrapping::ALL.iter().map(|wrapping| wrapping.word()).collect();
    let mut required = vec!["wrapping", "bound_to"];
    let mut properties = Map::new();
    properties.insert("wrapping".to_owned(), json!({ "enum": wrappings }));
    properties.insert("bound_to".to_owned(), json!({ "enum": ["guest", "pod", "workload", "unchecked"] }));
    properties.insert("weaker".to_owned(), reference("reason"));
    if tee == Tee::Tdx {
        properties.insert("unjudged_acpi_tables".to_owned(), reference("reason"));
        properties.insert("rebuilt_acpi_tables".to_owned(), reference("reason"));
    }
    let around = Wrapping::ALL.iter().flat_map(|wrapping| fields_around(*wrapping));
    for (field, always) in
        fields_of(tee).into_iter().map(|field| (field, true)).chain(around.map(|field| (field, false)))
    {
        if always && !field.optional {
            required.push(field.name);
        }
        let mut rule = rule(&field.written);
        // A template says it, and a policy that judges does not.
        if field.written.takes_reference_values()
            && let Some(forms) = rule.get_mut("anyOf").and_then(Value::as_array_mut)
        {
            forms.push(json!({ "const": Draft::NEEDED }));
        }
        properties.insert(field.name.to_owned(), rule);
    }
    let around: Vec<_> = Wrapping::ALL.iter().filter_map(|wrapping| beside(*wrapping)).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
        "allOf": around,
    })
}

/// The fields that a profile has for this wrapping alone: all of them under it, none elsewhere.
fn beside(wrapping: Wrapping) -> Option<Value> {
    let fields = fields_around(wrapping);
    let needed: Vec<_> = fields.iter().filter(|field| !field.optional).map(|field| field.name).collect();
    let none: Map<_, _> = fields.iter().map(|field| (field.name.to_owned(), Value::Bool(false))).collect();
    let named = json!({ "required": ["wrapping"], "properties": { "wrapping": { "const": wrapping.word() } } });
    (!fields.is_empty()).then(|| json!({ "if": named, "then": { "required": needed }, "else": { "properties": none } }))
}

/// A rule, or the word that there is none.
fn waivable(rule: Value) -> Value {
    json!({ "anyOf": [{ "const": "unchecked" }, rule] })
}

/// A table of exactly these members.
fn table(members: Value) -> Value {
    let required: Vec<_> = members.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": members })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": item })
}

/// A value, a list of such, or the word that there is none.
fn expectation(value: Value) -> Value {
    json!({ "anyOf": [{ "const": "unchecked" }, value, list(value.clone())] })
}

fn hexadecimal(lengths: &[usize]) -> Value {
    let each: Vec<_> = lengths.iter().map(|length| format!("[0-9a-fA-F]{{{}}}", 2 * length)).collect();
    match each.as_slice() {
        [one] => json!({ "type": "string", "pattern": format!("^(0x)?{one}$") }),
        several => json!({ "type": "string", "pattern": format!("^(0x)?({})$", several.join("|")) }),
    }
}

const MASK: &str = "^0x[0-9a-fA-F]{1,16}$";
const DATE: &str = "[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$";
const EPOCH: &str = "1970-01-01T00:00:00Z";

fn number(least: u32, most: u32) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn days(least: u32) -> Value {
    number(least, 3_650)
}

fn age() -> Value {
    table(json!({ "days": days(1) }))
}

/// A list of some of these names; of all of them, where a list of all may be written.
fn some_of(names: &[&str], all_too: bool) -> Value {
    let mut some = list(json!({ "enum": names }));
    if !all_too && let Some(members) = some.as_object_mut() {
        let each: Vec<_> = names.iter().map(|name| json!({ "contains": { "const": name } })).collect();
        members.insert("not".to_owned(), json!({ "allOf": each }));
    }
    some
}

fn bits(names: BitNames) -> Value {
    let names: Vec<_> = names.iter().map(|(name, _)| name).collect();
    let some = json!({ "type": "array", "items": { "enum": names } });
    let mut bits =
        table(json!({ "required": some, "forbidden": some, "unknown": { "enum": ["rejected", "allowed"] } }));
    if let Some(members) = bits.as_object_mut() {
        let nothing = json!({ "maxItems": 0 });
        let says_nothing =
            json!({ "properties": { "required": nothing, "forbidden": nothing, "unknown": { "const": "allowed" } } });
        members.insert("not".to_owned(), says_nothing);
    }
    bits
}

fn floors(products: &[(&str, &[&str])]) -> Value {
    let floor = |components: &[&str]| {
        let each: Map<_, _> = components.iter().map(|name| ((*name).to_owned(), number(0, 255))).collect();
        let zeros: Map<_, _> = components.iter().map(|name| ((*name).to_owned(), json!({ "const": 0 }))).collect();
        let mut floor = table(Value::Object(each));
        if let Some(members) = floor.as_object_mut() {
            members.insert("not".to_owned(), json!({ "properties": zeros }));
        }
        floor
    };
    let each: Map<_, _> =
        products.iter().map(|(product, components)| ((*product).to_owned(), floor(components))).collect();
    json!({ "type": "object", "additionalProperties": false, "minProperties": 1, "properties": each })
}

/// One rule as it is written.
fn rule(written: &Written) -> Value {
    match written {
        Written::Word(words) => json!({ "enum": words }),
        Written::Names { of, waivable: false } => some_of(of, true),
        Written::Names { of, waivable: true } => waivable(some_of(of, false)),
        Written::Texts { pattern: "", .. } => waivable(list(json!({ "type": "string" }))),
        Written::Texts { pattern, .. } => waivable(list(json!({ "type": "string", "pattern": pattern }))),
        Written::Ids { lengths, not_zero } => {
            let mut id = hexadecimal(lengths);
            if *not_zero && let Some(members) = id.as_object_mut() {
                members.insert("not".to_owned(), json!({ "pattern": "^(0x)?0+$" }));
            }
            waivable(list(id))
        }
        Written::Reasons(names) => json!({
            "type": "object", "propertyNames": { "enum": names }, "additionalProperties": reference("reason"),
        }),
        Written::Bytes(length) => expectation(hexadecimal(&[*length])),
        Written::BytesOrNone(length) => expectation(json!({ "anyOf": [{ "const": "none" }, hexadecimal(&[*length])] })),
        Written::Number => {
            let mut rule = expectation(number(0, u32::MAX));
            if let Some(forms) = rule.get_mut("anyOf").and_then(Value::as_array_mut) {
                forms.push(table(json!({ "at_least": number(1, u32::MAX) })));
            }
            rule
        }
        Written::Level(most, _) => {
            let every: Vec<_> = (0..=*most).map(|level| json!({ "contains": { "const": level } })).collect();
            let some = json!({ "type": "array", "minItems": 1, "items": number(0, *most), "not": { "allOf": every } });
            json!({ "anyOf": [{ "const": "unchecked" }, number(0, *most), some] })
        }
        Written::Count => waivable(number(1, u32::MAX)),
        Written::Version(parts) => {
            let part = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
            let pattern = format!("^{}$", vec![part; *parts].join("\\."));
            waivable(json!({ "type": "string", "pattern": pattern, "not": { "const": vec!["0"; *parts].join(".") } }))
        }
        Written::Bits(names, _) => waivable(bits(names)),
        Written::Mask => waivable(json!({ "type": "string", "pattern": MASK, "not": { "pattern": "^0x0+$" } })),
        Written::Masks => {
            let mask = json!({ "type": "string", "pattern": MASK });
            let mut masks = table(json!({ "required": mask, "allowed": mask }));
            if let Some(members) = masks.as_object_mut() {
                // x87 and SSE are on in every TD.
                let nothing = json!({
                    "required": { "pattern": "^0x0*[0-3]$" }, "allowed": { "pattern": "^0x[fF]{16}$" },
                });
                members.insert("not".to_owned(), json!({ "properties": nothing }));
            }
            waivable(masks)
        }
        Written::Age => waivable(age()),
        Written::Date => {
            waivable(json!({ "type": "string", "pattern": format!("^[0-9]{{4}}-{DATE}"), "not": { "const": EPOCH } }))
        }
        Written::Grace => json!({ "anyOf": [{ "const": "none" }, age()] }),
        Written::Floors(products) => waivable(floors(products)),
        Written::Bulletins { baseline, judged } => waivable(table(json!({
            "baseline": { "type": "integer", "minimum": 1, "maximum": baseline },
            "grace_days": days(0),
            "except": {
                "type": "object",
                "propertyNames": { "enum": judged },
                "maxProperties": judged.len().saturating_sub(1),
                "additionalProperties": reference("reason"),
            },
        }))),
        Written::Exceptions(statuses) => json!({
            "type": "object",
            "propertyNames": { "pattern": "^INTEL-SA-[0-9]{5}$" },
            "additionalProperties": table(json!({
                "statuses": list(json!({ "enum": statuses })),
                "until": {
                    "type": "string",
                    "pattern": format!("^(19[7-9][0-9]|20[0-2][0-9]|203[0-6])-{DATE}"),
                    "not": { "const": EPOCH },
                },
                "reason": reference("reason"),
            })),
        }),
        Written::ReportData => {
            json!({ "anyOf": [{ "enum": ["caller", "unchecked"] }, hexadecimal(&[64])] })
        }
        // A form of a later release: whatever the loader says of it.
        _ => json!(true),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_is_what_the_tables_say() {
        let file = include_str!("../schema/policy-1.json");
        assert!(file == super::schema(), "write it anew: teegate policy schema > measurements/schema/policy-1.json");
    }
}
