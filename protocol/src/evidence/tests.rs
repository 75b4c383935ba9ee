use super::*;

fn envelope() -> Envelope {
    Envelope {
        manifest: b"{}".to_vec(),
        evidence: TeeEvidence { kind: EvidenceKind::SnpReport, bytes: vec![1; 1184] },
        endorsements: Some(Endorsements { kind: EndorsementsKind::PemCertificateChain, bytes: vec![2; 9] }),
        event_log: Some(vec![3; 5]),
        nonce: Some(Nonce::from_bytes([4; 32])),
    }
}

fn least() -> Envelope {
    Envelope { endorsements: None, event_log: None, nonce: None, ..envelope() }
}

fn refusal(text: &str) -> EnvelopeError {
    Envelope::parse(text.as_bytes()).expect_err("refused")
}

/// An envelope of exactly these members.
fn with(members: &str) -> String {
    format!(
        r#"{{"manifest":["{MANIFEST_TYPE}","e30"],"evidence":["application/vnd.teegate.tdx-quote","AQ",4]{members}}}"#
    )
}

#[test]
fn what_is_written_is_read() {
    for kind in EvidenceKind::ALL {
        let envelope = Envelope { evidence: TeeEvidence { kind, bytes: vec![1] }, ..envelope() };
        assert_eq!(Envelope::parse(&envelope.to_json().expect("written")), Ok(envelope));
    }
    for kind in EndorsementsKind::ALL {
        let envelope = Envelope { endorsements: Some(Endorsements { kind, bytes: vec![1] }), ..envelope() };
        assert_eq!(Envelope::parse(&envelope.to_json().expect("written")), Ok(envelope));
    }
    assert_eq!(Envelope::parse(&least().to_json().expect("written")), Ok(least()));
}

/// The form that RFC 9999 gives: records are arrays, values base64url without padding, the collection type stands in `__cmwc_t`.
#[test]
fn bytes_of_a_collection() {
    let envelope = Envelope { evidence: TeeEvidence { kind: EvidenceKind::TdxQuote, bytes: vec![1] }, ..least() };
    let written: serde_json::Value = serde_json::from_slice(&envelope.to_json().expect("written")).expect("JSON");
    let expected = json!({
        "__cmwc_t": "urn:teegate:envelope:1",
        "manifest": ["application/vnd.teegate.manifest+json", "e30"],
        "evidence": ["application/vnd.teegate.tdx-quote", "AQ", 4],
    });
    assert_eq!(written, expected);
    assert_eq!(Envelope::parse(with("").as_bytes()), Ok(envelope), "the collection type may be left out");
}

#[test]
fn labels_are_known_and_stand_once() {
    let json = |error| EnvelopeError::Json(error);
    let duplicate = with(r#","evidence":["application/vnd.teegate.tdx-quote","Ag",4]"#);
    assert_eq!(refusal(&duplicate), json(JsonError::Duplicate { member: "evidence".into() }));
    assert_eq!(refusal(&with(r#","other":["a/b",""]"#)), json(JsonError::Unknown { member: "other".into() }));
    assert_eq!(refusal("{}"), json(JsonError::Missing { member: "manifest".into() }));
    let only = format!(r#"{{"manifest":["{MANIFEST_TYPE}","e30"]}}"#);
    assert_eq!(refusal(&only), json(JsonError::Missing { member: "evidence".into() }));
    let other = EnvelopeError::CollectionType { found: "urn:teegate:envelope:2".into() };
    assert_eq!(refusal(&with(r#","__cmwc_t":"urn:teegate:envelope:2""#)), other);
}

#[test]
fn records_have_their_form() {
    let invalid = |label: &str, record: &str| {
        let error = refusal(&with(&format!(r#","{label}":{record}"#)));
        assert!(matches!(&error, EnvelopeError::Json(JsonError::Invalid { member, .. }) if member == label), "{error}");
    };
    assert!(Envelope::parse(with(r#","event-log":["application/vnd.teegate.event-log",""]"#).as_bytes()).is_ok());
    for record in
        ["{}", "[]", r#"["a/b"]"#, r#"["a/b",1]"#, r#"["a/b","","4"]"#, r#"["a/b","",-1]"#, r#"["a/b","",4,4]"#]
    {
        invalid("event-log", record);
    }
    invalid("event-log", r#"["application/vnd.teegate.event-log","AQ=="]"#);
    invalid("nonce", r#"["application/vnd.teegate.nonce","AQ"]"#);
    let tunnel = r##","event-log":["#cmw-c2j-tunnel","AQ"]"##;
    let found = "#cmw-c2j-tunnel".to_owned();
    assert_eq!(refusal(&with(tunnel)), EnvelopeError::MediaType { label: "event-log", found });
    let nested = with(r#","event-log":["a/b",["a/b",""]]"#);
    assert_eq!(refusal(&nested), EnvelopeError::Json(JsonError::TooDeep { limit: 2 }));
}

#[test]
fn a_label_holds_what_belongs_there() {
    let text = String::from_utf8(envelope().to_json().expect("written")).expect("UTF-8");
    let report = EvidenceKind::SnpReport.media_type();
    let found = "application/eat+jwt".to_owned();
    let other = EnvelopeError::MediaType { label: "evidence", found: found.clone() };
    assert_eq!(refusal(&text.replace(report, &found)), other);
    let other = EnvelopeError::MediaType { label: "endorsements", found: report.into() };
    assert_eq!(refusal(&text.replace("application/pem-certificate-chain", report)), other);
    assert_eq!(refusal(&text.replace(",4]", ",8]")), EnvelopeError::Indicator { label: "evidence", found: 8 });
    let none = Envelope::parse(text.replace(",4]", "]").as_bytes());
    assert_eq!(none, Ok(envelope()), "the indicator may be left out");
}

#[test]
fn sizes_are_bounded() {
    let at_bound = Endorsements { kind: EndorsementsKind::Json, bytes: vec![0; limits::ENDORSEMENTS_BYTES] };
    let written = Envelope { endorsements: Some(at_bound.clone()), ..least() }.to_json().expect("written");
    assert!(Envelope::parse(&written).is_ok());
    let above = Endorsements { bytes: vec![0; limits::ENDORSEMENTS_BYTES + 1], ..at_bound };
    let (actual, limit) = (limits::ENDORSEMENTS_BYTES + 1, limits::ENDORSEMENTS_BYTES);
    let refused = EnvelopeError::MemberTooLarge { label: "endorsements", actual, limit };
    assert_eq!(Envelope { endorsements: Some(above), ..least() }.to_json(), Err(refused.clone()));
    let text = String::from_utf8(written).expect("UTF-8").replace(r#"","AAAA"#, r#"","AAAAAAAA"#);
    assert!(matches!(refusal(&text), EnvelopeError::MemberTooLarge { label: "endorsements", .. }));
    let log = Envelope { event_log: Some(vec![0; limits::ENVELOPE_BYTES]), ..least() };
    assert!(matches!(log.to_json(), Err(EnvelopeError::Json(JsonError::TooLarge { .. }))));
    let spaces = format!("{}{}", with(""), " ".repeat(limits::ENVELOPE_BYTES));
    assert!(matches!(refusal(&spaces), EnvelopeError::Json(JsonError::TooLarge { .. })));
}

#[test]
fn no_prefix_panics() {
    let bytes = envelope().to_json().expect("written");
    for end in 0..bytes.len() {
        assert!(Envelope::parse(&bytes[..end]).is_err());
    }
}
