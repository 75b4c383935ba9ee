use super::*;

fn refusal(text: &str) -> JsonError {
    parse_object(text.as_bytes(), 4096, 4).err().expect("refused")
}

#[test]
fn reads_what_is_strict() {
    let mut object =
        parse_object(br#"{"a":1,"b":"x","c":[{"d":"00ff"}],"e":null,"f":true,"g":"-_8"}"#, 4096, 4).expect("read");
    assert_eq!(object.unsigned("a"), Ok(1));
    assert_eq!(object.text("b"), Ok("x".to_owned()));
    let mut inner = object.objects("c", 1).expect("array").pop().expect("one");
    assert_eq!(inner.hex::<2>("d"), Ok([0x00, 0xff]));
    assert_eq!(object.hex_or_null::<2>("e"), Ok(None));
    assert_eq!(object.boolean("f"), Ok(true));
    assert_eq!(object.base64url("g"), Ok(vec![0xfb, 0xff]));
    assert_eq!(object.finish(), Ok(()));
}

#[test]
fn refuses_with_the_reason() {
    assert_eq!(refusal("\u{feff}{}"), JsonError::NotAnObject);
    assert_eq!(refusal(" {}"), JsonError::NotAnObject);
    assert_eq!(refusal("[]"), JsonError::NotAnObject);
    assert_eq!(refusal(""), JsonError::NotAnObject);
    assert_eq!(refusal(r#"{"a":1,"a":1}"#), JsonError::Duplicate { member: "a".into() });
    assert_eq!(refusal(r#"{"a":{"b":1,"\u0062":1}}"#), JsonError::Duplicate { member: "a.b".into() });
    assert_eq!(refusal(r#"{"a":[[[[1]]]]}"#), JsonError::TooDeep { limit: 4 });
    for fraction in ["1.0", "1e3", "-0", "18446744073709551616"] {
        let expected = "an integer of at most 64 bits";
        assert_eq!(
            refusal(&format!(r#"{{"a":[{fraction}]}}"#)),
            JsonError::Invalid { member: "a[0]".into(), expected }
        );
    }
    assert_eq!(refusal("{} x"), JsonError::Syntax { line: 1, column: 4 });
    // A name that is no Unicode, further down: its place is said by its path.
    let expected = "an object whose names are Unicode";
    assert_eq!(refusal("{\"a\":\n\n {\"\\ud800\":1}}"), JsonError::Invalid { member: "a".into(), expected });
    assert!(matches!(refusal(r#"{"a":01}"#), JsonError::Syntax { .. }));
    assert!(matches!(refusal(r#"{"a":1,}"#), JsonError::Syntax { .. }));
    assert!(matches!(parse_object(b"{\"\xff\":1}", 4096, 4), Err(JsonError::Syntax { .. })));
    assert_eq!(parse_object(b"{}", 1, 4).err(), Some(JsonError::TooLarge { limit: 1, actual: 2 }));
}

#[test]
fn nesting_ends_at_the_bound_and_not_at_the_stack() {
    let deep = format!(r#"{{"a":{}"#, "[".repeat(100_000));
    assert_eq!(parse_object(deep.as_bytes(), 1 << 20, 4).err(), Some(JsonError::TooDeep { limit: 4 }));
    let deep = r#"{"a":"#.repeat(100_000);
    assert_eq!(parse_object(deep.as_bytes(), 1 << 20, 4).err(), Some(JsonError::TooDeep { limit: 4 }));
}

#[test]
fn memory_is_bounded_by_elements_and_members() {
    let array = |elements: usize| format!(r#"{{"a":[0{}]}}"#, ",0".repeat(elements - 1));
    assert!(parse_object(array(256).as_bytes(), 4096, 4).is_ok());
    let expected = "an array of at most 256 elements";
    assert_eq!(refusal(&array(257)), JsonError::Invalid { member: "a".into(), expected });
    let object = |members: usize| {
        let members: Vec<String> = (0..members).map(|index| format!(r#""{index}":0"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(parse_object(object(64).as_bytes(), 4096, 4).is_ok());
    let expected = "an object of at most 64 members";
    assert_eq!(refusal(&object(65)), JsonError::Invalid { member: "{}".into(), expected });
    let inner = format!("{{\"a\":[{}]}}", object(65));
    assert_eq!(refusal(&inner), JsonError::Invalid { member: "a[0]".into(), expected });
}

#[test]
fn names_what_is_missing_unknown_or_of_another_kind() {
    let read = || parse_object(br#"{"a":{"b":-1},"c":"AA=="}"#, 4096, 4).expect("read");
    assert_eq!(read().text("z"), Err(JsonError::Missing { member: "z".into() }));
    let mut inner = read().object("a").expect("object");
    let expected = "an integer from 0 to 2^64 - 1";
    assert_eq!(inner.unsigned("b"), Err(JsonError::Invalid { member: "a.b".into(), expected }));
    assert_eq!(read().text("a"), Err(JsonError::Invalid { member: "a".into(), expected: "a string" }));
    let expected = "base64url without padding";
    assert_eq!(read().base64url("c"), Err(JsonError::Invalid { member: "c".into(), expected }));
    assert_eq!(read().finish(), Err(JsonError::Unknown { member: "a".into() }));
}
