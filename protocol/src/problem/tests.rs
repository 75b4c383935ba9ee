use super::*;

/// The table of the design, written again.
const TABLE: [(ProblemKind, &str, u16, &str, bool, bool); 16] = [
    (ProblemKind::OhttpKey, "ohttp-key", 400, "no", true, false),
    (ProblemKind::StaleManifest, "stale-manifest", 409, "no", true, false),
    (ProblemKind::Reseal, "reseal", 409, "no", true, false),
    (ProblemKind::NoAttestedInstance, "no-attested-instance", 503, "no", true, false),
    (ProblemKind::UnknownModel, "unknown-model", 404, "no", true, false),
    (ProblemKind::PolicyChanged, "policy-changed", 409, "no, or unknown", true, false),
    (ProblemKind::EvidenceRejected, "evidence-rejected", 503, "no", true, false),
    (ProblemKind::Unauthorised, "unauthorised", 401, "no", true, false),
    (ProblemKind::Forbidden, "unauthorised", 403, "no", true, false),
    (ProblemKind::RateLimited, "rate-limited", 429, "no", true, true),
    (ProblemKind::Busy, "busy", 503, "no", true, true),
    (ProblemKind::TooLarge, "too-large", 413, "no", true, true),
    (ProblemKind::Deadline, "deadline", 504, "no, or unknown", true, false),
    (ProblemKind::UpstreamLost, "upstream-lost", 502, "unknown", true, false),
    (ProblemKind::Replay, "replay", 409, "unknown", false, true),
    (ProblemKind::BadRequest, "bad-request", 400, "no", false, true),
];

#[test]
fn every_row_of_the_table() {
    assert_eq!(TABLE.map(|row| row.0), ProblemKind::ALL);
    for (kind, name, status, executed, unsealed, sealed) in TABLE {
        assert_eq!((kind.name(), kind.status()), (name, status));
        assert_eq!((kind.may_be_unsealed(), kind.may_be_sealed()), (unsealed, sealed), "{name}");
        assert_eq!(kind.allows(Executed::No), executed.contains("no,") || executed == "no", "{name}");
        assert_eq!(kind.allows(Executed::Unknown), executed.contains("unknown"), "{name}");
        if kind != ProblemKind::OhttpKey {
            assert_eq!(kind.type_uri(), format!("urn:teegate:problem:{name}"));
        }
    }
    assert_eq!(
        ProblemKind::OhttpKey.type_uri(),
        "https://iana.org/assignments/http-problem-types#ohttp-key",
        "RFC 9458's own"
    );
}

#[test]
fn what_is_written_is_read() {
    for kind in ProblemKind::ALL {
        let bare = Problem::new(kind);
        assert_eq!(Problem::parse(&bare.to_json()), Ok(bare.clone()));
        let full =
            bare.unknown_outcome().with_detail("a \"b\"").with_retry_after(3).with_checks(["snp.chain.ark-pinned"]);
        assert_eq!(Problem::parse(&full.to_json()), Ok(full));
    }
}

#[test]
fn bytes_of_a_problem() {
    let problem = Problem::new(ProblemKind::Busy).with_retry_after(2);
    let expected = r#"{"type":"urn:teegate:problem:busy","title":"busy","status":503,"executed":"no","retry_after":2}"#;
    assert_eq!(String::from_utf8(problem.to_json()), Ok(expected.into()));
}

#[test]
fn what_contradicts_the_table_is_refused() {
    let parse = |executed: &str| {
        let text = format!(r#"{{"type":"urn:teegate:problem:upstream-lost","status":502{executed}}}"#);
        Problem::parse(text.as_bytes())
    };
    assert_eq!(parse(r#","executed":"unknown""#), Ok(Problem::new(ProblemKind::UpstreamLost)));
    assert_eq!(parse(""), Ok(Problem::new(ProblemKind::UpstreamLost)));
    let (kind, executed) = (ProblemKind::UpstreamLost, Executed::No);
    assert_eq!(parse(r#","executed":"no""#), Err(ProblemError::Contradiction { kind, executed }));
    assert!(matches!(parse(r#","executed":"yes""#), Err(ProblemError::Json(JsonError::Invalid { .. }))));
    let no_claim = Problem::parse(br#"{"type":"urn:teegate:problem:reseal","status":409}"#);
    let (kind, executed) = (ProblemKind::Reseal, Executed::Unknown);
    assert_eq!(no_claim, Err(ProblemError::Contradiction { kind, executed }), "silence is not `no`");
}

#[test]
fn what_others_add_is_passed_over_and_what_others_are_is_not() {
    let stock = br#"{"type":"https://iana.org/assignments/http-problem-types#ohttp-key","status":400,"instance":"/x"}"#;
    assert_eq!(Problem::parse(stock), Ok(Problem::new(ProblemKind::OhttpKey)));
    let type_uri = "about:blank".to_owned();
    let other = Problem::parse(br#"{"type":"about:blank","status":500}"#);
    assert_eq!(other, Err(ProblemError::UnknownType { type_uri, status: 500 }));
    let type_uri = "urn:teegate:problem:busy".to_owned();
    let other = Problem::parse(br#"{"type":"urn:teegate:problem:busy","status":409,"executed":"no"}"#);
    assert_eq!(other, Err(ProblemError::UnknownType { type_uri, status: 409 }));
    let missing = Problem::parse(b"{}");
    assert_eq!(missing, Err(ProblemError::Json(JsonError::Missing { member: "type".into() })));
}

#[test]
fn no_prefix_panics() {
    let bytes = Problem::new(ProblemKind::Deadline).with_detail("late").with_checks(["a"]).to_json();
    for end in 0..bytes.len() {
        assert!(Problem::parse(&bytes[..end]).is_err());
    }
}

#[test]
fn an_error_repeats_a_line_of_a_stranger_s_type_and_no_more() {
    let refused = |type_uri: String| {
        let json = format!(r#"{{"type":"{type_uri}","status":500}}"#);
        Problem::parse(json.as_bytes()).unwrap_err().to_string()
    };
    let (line, longer) = ("x".repeat(80), "x".repeat(16_000));
    assert_eq!(refused(line.clone()), format!("problem: type `{line}` with status 500 is not known"));
    assert_eq!(refused(longer), format!("problem: type `{line}…` with status 500 is not known"));
}
