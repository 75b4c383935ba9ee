use super::*;
use crate::evidence;

fn conclusion() -> Conclusion {
    Conclusion {
        failed: vec!["snp.chain.complete".to_owned()],
        stage: Some("unauthentic".to_owned()),
        valid_until: None,
        verdict: Verdict::Rejected,
    }
}

/// A bundle in shape only, with something in every place.
fn sample() -> Bundle {
    let evidence = OwnedEvidence::new(Tee::Tdx, vec![4, 0, 2, 0, 0x81, 0, 0, 0], "raw bytes")
        .with_statements(vec![Statement::Crl(vec![0x30, 2]), Statement::Certificate(vec![0x30, 1])])
        .with_event_log(Some(vec![7; 3]));
    let more = [
        Statement::Certificate(vec![0x30, 1]),
        Statement::QeIdentity { body: "{\"id\": \"QE\"}".to_owned(), signature: [2; 64] },
        Statement::TcbInfo { body: "{}".to_owned(), signature: [1; 64] },
        Statement::Certificate(vec![0x30, 0]),
    ];
    Bundle {
        kept: Kept::new(&evidence, more),
        policy: PolicyText { name: "é.toml".to_owned(), text: "schema = 1\n# \"\\ \u{1f}é\n".to_owned() },
        at: UnixTime::parse("2026-01-15T00:00:00Z").unwrap(),
        report_data: Some(ReportData([0xAB; 64])),
        recorded: conclusion(),
        creator: "teegate 0.1.0".to_owned(),
    }
}

/// The sample with its content changed as text, under a digest that fits.
fn changed(from: &str, to: &str) -> String {
    let content = sample().content().unwrap();
    assert_eq!(content.matches(from).count(), 1, "{from}");
    resealed(&content.replace(from, to))
}

fn resealed(content: &str) -> String {
    format!("{{\"schema\":\"{SCHEMA}\",\"digest\":\"{}\",\"content\":{content}}}\n", digest(content))
}

fn refusal(text: &str) -> String {
    let error = Bundle::parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error.defect(), Defect::Broken { kind: "bundle", .. }), "{error}");
    error.to_string()
}

#[test]
fn a_bundle_comes_back_as_it_was_and_has_one_spelling() {
    let (bundle, text) = (sample(), sample().to_text().unwrap());
    assert_eq!(text, resealed(&bundle.content().unwrap()));
    assert_eq!(Bundle::parse(text.as_bytes()).unwrap(), bundle);
    assert!(text.contains(&bundle.digest().unwrap()));
    assert!(text.ends_with("}\n") && text.lines().count() == 1);
    // What a checkout may do to the last line end changes nothing.
    assert_eq!(Bundle::parse(text.replace('\n', "\r\n").as_bytes()).unwrap(), bundle);
    for blanks in [" ", "\t", "\r\n", "\n \n"] {
        assert_eq!(Bundle::parse(format!("{blanks}{text}{blanks}").as_bytes()).unwrap(), bundle);
    }
    // What only some readers take for white space is another spelling, alone and among evidence.
    for other in ["\u{b}", "\u{c}", "\u{85}", "\u{a0}", "\u{2028}", "\u{3000}", "\u{feff}"] {
        for text in [format!("{other}{text}"), format!("{text}{other}")] {
            assert!(refusal(&text).contains("at line"), "{other:?}");
            if other != "\u{feff}" {
                let error = evidence::recognise(text.as_bytes(), None).unwrap_err();
                assert!(matches!(error.defect(), Defect::Broken { kind: "bundle", .. }), "{error}");
            }
        }
    }
    // In any order, and handed in twice: the same file.
    let mut shuffled = bundle.clone();
    shuffled.kept.statements = bundle.kept.statements.iter().rev().cloned().collect();
    assert_eq!(shuffled.to_text().unwrap(), text);
    assert!(text.contains("\"certificates\":[\"MAA=\",\"MAE=\"],\"crls\":[\"MAI=\"]"), "{text}");
}

#[test]
fn a_bundle_is_evidence_with_what_vouches_for_it() {
    let text = sample().to_text().unwrap();
    let found = evidence::recognise(text.as_bytes(), None).unwrap();
    assert_eq!((found.tee, &found.bytes, found.form), (Tee::Tdx, &sample().kept.evidence, FORM));
    assert_eq!((found.endorsements.len(), found.event_log), (5, Some(vec![7; 3])));
    assert!(evidence::recognise(text.as_bytes(), Some(Tee::Tdx)).is_ok());
    let error = evidence::recognise(text.as_bytes(), Some(Tee::SevSnp)).unwrap_err();
    assert!(matches!(error.defect(), Defect::OtherTee { .. }), "{error}");
}

#[test]
fn a_large_bundle_is_read_where_other_evidence_of_that_size_is_not() {
    let mut bundle = sample();
    bundle.kept.event_log = Some(vec![7; 1 << 20]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, bundle.to_text().unwrap()).unwrap();
    assert_eq!(evidence::load(&path, None).unwrap().event_log.unwrap().len(), 1 << 20);
    std::fs::write(&path, vec![3; (1 << 20) + 1]).unwrap();
    let error = evidence::load(&path, None).unwrap_err();
    assert!(matches!(error.defect(), Defect::TooLarge { actual: 1_048_577, limit: 1_048_576, .. }), "{error}");

    bundle.kept.event_log = Some(vec![7; 3 << 20]);
    assert!(matches!(bundle.to_text(), Err(Defect::TooLarge { limit: MAX_BYTES, .. })));
    let huge = " ".repeat(1 + (4 << 20));
    assert!(matches!(Bundle::parse(huge.as_bytes()).unwrap_err().defect(), Defect::TooLarge { .. }));
}

#[test]
fn damage_and_other_versions_are_said_by_name() {
    let text = sample().to_text().unwrap();
    let digest = sample().digest().unwrap();
    let other = text.replacen("MAA=", "MAM=", 1);
    let message = refusal(&other);
    assert!(message.contains(&format!("states the digest `{digest}`, its content has `sha256:")), "{message}");
    for schema in ["teegate/bundle/2", "teegate/bundle/10", "teegate/bundle/"] {
        let message = refusal(&text.replace(SCHEMA, schema));
        assert!(message.contains(&format!("its schema is `{schema}`, this release reads `{SCHEMA}`")), "{message}");
        let other = text.replace(SCHEMA, schema);
        assert!(evidence::recognise(other.as_bytes(), None).unwrap_err().to_string().contains(schema));
    }
    assert!(refusal("{}").contains("`schema` is missing"));
    assert!(refusal("").contains("not a well-formed bundle"));
    assert!(refusal(&text.replacen("\"digest\"", "\"digests\"", 1)).contains("`digest` is missing"));
}

#[test]
fn every_departure_from_the_one_spelling_is_refused() {
    for (from, to, expected) in [
        ("\"at\":\"2026-01-15T00:00:00Z\"", "\"at\":\"2026-01-15\"", "`at`: `2026-01-15` is not a time"),
        ("\"at\":\"2026", "\"at\":\"x\",\"at\":\"2026", "duplicate field `at`"),
        ("\"creator\":", "\"extra\":{},\"creator\":", "unknown field `extra`"),
        ("\"crls\":", "\"crl\":", "unknown field `crl`"),
        ("\"event_log\":\"BwcH\",", "", "is spelt in another way"),
        ("\"BwcH\"", "\"BwcH=\"", "`event_log` is not base64 with padding"),
        ("\"MAE=\"", "\"MAE\"", "`endorsements.certificates` is not base64"),
        ("\"MAE=\"", "\"MAF=\"", "`endorsements.certificates` is not base64"),
        ("\"MAA=\",\"MAE=\"", "\"MAE=\",\"MAA=\"", "is spelt in another way"),
        ("\"MAI=\"", "\"MAI=\",\"MAI=\"", "is spelt in another way"),
        ("\"tee\":\"tdx\"", "\"tee\":\"sgx\"", "`evidence.tee` is `sgx`"),
        ("abab\"", "ab\"", "`report_data` is not 64 bytes"),
        ("\"report_data\":\"abab", "\"report_data\":\"ABab", "is spelt in another way"),
        ("\"signature\":\"0101", "\"signature\":\"01", "a `signature` in `endorsements.tcb_infos`"),
        ("\"rejected\"", "\"accepted\"", "`recorded` contradicts itself"),
        ("\"unauthentic\"", "\"unlikely\"", "`recorded` contradicts itself"),
        ("\"rejected\"", "\"maybe\"", "unknown variant `maybe`"),
        (",\"creator\"", ", \"creator\"", "is spelt in another way"),
        ("teegate 0.1.0", "\\u0074eegate 0.1.0", "is spelt in another way"),
        ("\"failed\":[\"snp.chain.complete\"]", "\"failed\":[]", "`recorded` contradicts itself"),
    ] {
        let message = refusal(&changed(from, to));
        assert!(message.contains(expected), "{to}: {message}");
    }
    let text = sample().to_text().unwrap();
    assert!(refusal(&text.replacen('{', "{\"a\":1,", 1)).contains("what stands from byte 2 on is spelt"));
    assert!(refusal(&text.replacen('{', "{\"schema\":\"x\",", 1)).contains("`schema` stands twice"));
    assert!(refusal(&text.replacen(',', " ,", 1)).contains("is spelt in another way"));
    assert!(refusal(&format!("{text}x")).contains("trailing characters"));
}

#[test]
fn hostile_text_costs_no_more_than_its_length() {
    let head = format!("{{\"schema\":\"{SCHEMA}\",\"digest\":\"\",\"content\":");
    for open in ["[", "{\"at\":"] {
        assert!(refusal(&format!("{head}{}", open.repeat(100_000))).contains("nested more than 32 levels"));
        let refused = evidence::recognise(open.repeat(100_000).as_bytes(), None).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("not a well-formed") || refused.contains("not recognised"), "{refused}");
    }
    let many = vec!["\"MAA=\""; 1_025].join(",");
    let message = refusal(&changed("\"crls\":[\"MAI=\"]", &format!("\"crls\":[{many}]")));
    assert!(message.contains("holds 1029 statements, at most 1024"), "{message}");
    let empty = vec!["\"\""; 1_000_000].join(",");
    assert!(refusal(&changed("\"crls\":[\"MAI=\"]", &format!("\"crls\":[{empty}]"))).contains("statements, at most"));
}

#[test]
fn a_conclusion_is_said_in_one_line() {
    assert_eq!(conclusion().to_string(), "rejected, unauthentic: snp.chain.complete");
    let accepted = Conclusion {
        failed: Vec::new(),
        stage: None,
        valid_until: Some("2030-04-03T19:23:43Z".to_owned()),
        verdict: Verdict::Accepted,
    };
    assert!(accepted.is_consistent());
    assert_eq!(accepted.to_string(), "accepted, valid until 2030-04-03T19:23:43Z");
    assert!(!Conclusion { valid_until: None, ..accepted }.is_consistent());
}
