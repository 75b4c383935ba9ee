//! Two memories into one. Everything in a memory only grows, so of two runs that saw different things the file must hold what
//! either saw: of each statement the newest, of each component of a platform the highest.

use serde_json::Value;
use teegate_verifier::Memory;

/// What either holds; where both hold something, the greater.
pub(super) fn by_maximum(one: &Memory, other: &Memory) -> Result<Memory, String> {
    let value = |memory: &Memory| serde_json::to_value(memory).map_err(|cause| cause.to_string());
    serde_json::from_value(greater(value(one)?, value(other)?)).map_err(|cause| cause.to_string())
}

/// Tables joined by name, lists of one length by place, numbers by size.
fn greater(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (name, value) in other {
                let joined = match one.remove(&name) {
                    Some(held) => greater(held, value),
                    None => value,
                };
                one.insert(name, joined);
            }
            Value::Object(one)
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            Value::Array(one.into_iter().zip(other).map(|(one, other)| greater(one, other)).collect())
        }
        (Value::Number(one), Value::Number(other)) => {
            Value::Number(if other.as_u64() > one.as_u64() { other } else { one })
        }
        (_, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(text: &str) -> Memory {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn nothing_that_either_saw_is_lost_or_goes_back() {
        let one = memory(r#"{"schema":1,"statements":{"a":5,"b":9},"platforms":{"p":[1,7],"q":[2]}}"#);
        let other = memory(r#"{"schema":1,"statements":{"b":3,"c":4},"platforms":{"p":[2,6],"r":[9]}}"#);
        let both = memory(r#"{"schema":1,"statements":{"a":5,"b":9,"c":4},"platforms":{"p":[2,7],"q":[2],"r":[9]}}"#);
        assert_eq!(by_maximum(&one, &other).unwrap(), both);
        assert_eq!(by_maximum(&other, &one).unwrap(), both);
        assert_eq!(by_maximum(&both, &Memory::new()).unwrap(), both);
    }
}
