//! CoRIMs written byte by byte, after the examples of the drafts, with an encoder of their own: so that a wrong code point
//! of the reader cannot agree with itself.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that cannot set up its input should fail where it stands"
)]

use teegate_measurements::{STRICT, differences, fill, reference_values};
use teegate_verifier::UnixTime;

const NOW: &str = "2026-06-01T00:00:00Z";

/// The head of an item of this major type.
fn head(major: u8, number: u64) -> Vec<u8> {
    let major = major << 5;
    match number {
        0..24 => vec![major | number as u8],
        24..256 => vec![major | 24, number as u8],
        256..65_536 => [vec![major | 25], (number as u16).to_be_bytes().to_vec()].concat(),
        65_536..4_294_967_296 => [vec![major | 26], (number as u32).to_be_bytes().to_vec()].concat(),
        _ => [vec![major | 27], number.to_be_bytes().to_vec()].concat(),
    }
}

fn int(number: i64) -> Vec<u8> {
    if number < 0 { head(1, (-1 - number) as u64) } else { head(0, number as u64) }
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

fn map(pairs: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let items = pairs.iter().map(|(key, value)| [int(*key), value.clone()].concat());
    [head(5, pairs.len() as u64), items.collect::<Vec<_>>().concat()].concat()
}

fn tag(number: u64, item: Vec<u8>) -> Vec<u8> {
    [head(6, number), item].concat()
}

const AMD: &str = "http://amd.com/please-permalink-me";
const BY_CHIP: [u8; 16] =
    [0xD0, 0x5E, 0x6D, 0x1B, 0x9F, 0x46, 0x4A, 0xE2, 0xA6, 0x10, 0xCE, 0x3E, 0x6E, 0xE7, 0xE1, 0x53];

fn amd_profile() -> Vec<u8> {
    tag(32, text(AMD))
}

/// 2.16.840.1.113741.1.16.1
fn intel_profile() -> Vec<u8> {
    tag(111, bytes(&[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x4D, 0x01, 0x10, 0x01]))
}

const BY_PROVIDER: [u8; 16] =
    [0x89, 0xA7, 0xA1, 0xF0, 0xE7, 0x04, 0x4F, 0xAA, 0xAC, 0xBD, 0x81, 0xC8, 0x6D, 0xF8, 0xA9, 0x61];

fn by_provider() -> Vec<u8> {
    map(&[(0, map(&[(0, tag(37, bytes(&BY_PROVIDER)))]))])
}

fn by_chip() -> Vec<u8> {
    map(&[(0, map(&[(0, tag(37, bytes(&BY_CHIP)))]))])
}

fn td() -> Vec<u8> {
    map(&[(0, map(&[(1, text("Intel Corporation")), (2, text("TDX"))]))])
}

fn digest(algorithm: i64, value: &[u8]) -> Vec<u8> {
    array(&[int(algorithm), bytes(value)])
}

fn digests(value: u8) -> Vec<u8> {
    array(&[digest(7, &[value; 48])])
}

fn raw(value: &[u8]) -> Vec<u8> {
    tag(560, bytes(value))
}

/// A measurement under this mkey.
fn measured(key: i64, values: &[(i64, Vec<u8>)]) -> Vec<u8> {
    map(&[(0, int(key)), (1, map(values))])
}

fn unkeyed(values: &[(i64, Vec<u8>)]) -> Vec<u8> {
    map(&[(1, map(values))])
}

fn triple(environment: Vec<u8>, measurements: &[Vec<u8>]) -> Vec<u8> {
    array(&[environment, array(measurements)])
}

/// The whole manifest around the members of one CoMID's triples.
fn with_triples(profile: Vec<u8>, triples: &[(i64, Vec<u8>)], more: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let comid = map(&[(1, map(&[(0, text("comid"))])), (4, map(triples))]);
    let mut members = vec![(0, text("app 0.1.0")), (1, array(&[tag(506, bytes(&comid))])), (3, profile)];
    members.extend(more.to_vec());
    members.sort_by_key(|(key, _)| *key);
    tag(501, map(&members))
}

fn manifest(profile: Vec<u8>, triples: &[Vec<u8>]) -> Vec<u8> {
    with_triples(profile, &[(0, array(triples))], &[])
}

fn read(manifest: &[u8]) -> Result<Vec<(String, String)>, String> {
    let values = reference_values(manifest, UnixTime::parse(NOW).unwrap())?;
    assert_eq!(values.name(), "app 0.1.0");
    Ok(values.given().iter().map(|given| (format!("{}.{}", given.tee(), given.field()), given.rule())).collect())
}

fn pair(field: &str, rule: String) -> (String, String) {
    (field.to_owned(), rule)
}

fn hex(byte: u8, length: usize) -> String {
    format!("\"{}\"", format!("{byte:02x}").repeat(length))
}

fn guest() -> Vec<Vec<u8>> {
    vec![
        measured(
            0,
            &[
                (0, map(&[(0, text(&"ab".repeat(16)))])),
                (1, tag(553, int(3))),
                (2, digests(0x4D)),
                (4, raw(&[0xFA; 16])),
            ],
        ),
        measured(4, &[(4, raw(&[0xFF; 32]))]),
        measured(5, &[(4, raw(&[1; 48]))]),
        measured(6, &[(4, raw(&[2; 48]))]),
        measured(8, &[(4, raw(&[0x11; 32]))]),
    ]
}

#[test]
fn a_report_is_told_field_by_field() {
    let read = read(&manifest(amd_profile(), &[triple(by_chip(), &guest())])).unwrap();
    assert_eq!(
        read,
        [
            pair("sev-snp.author_key", hex(2, 48)),
            pair("sev-snp.family_id", hex(0xFA, 16)),
            pair("sev-snp.guest_svn", "{ at_least = 3 }".to_owned()),
            pair("sev-snp.host_data", hex(0x11, 32)),
            pair("sev-snp.id_key", hex(1, 48)),
            pair("sev-snp.image_id", hex(0xAB, 16)),
            pair("sev-snp.measurement", hex(0x4D, 48)),
            pair("sev-snp.report_id_ma", hex(0xFF, 32)),
        ]
    );
}

#[test]
fn a_td_is_told_by_mrtee_and_registers() {
    let registers = map(&[(0, digests(0xA0)), (1, digests(0xA1)), (2, digests(0xA2)), (3, digests(0xA3))]);
    let as_code_point = unkeyed(&[(14, registers.clone()), (-83, digest(7, &[0x7D; 48]))]);
    let as_mkey = measured(83, &[(2, digests(0x7D))]);
    for measurements in [vec![as_code_point], vec![as_mkey, unkeyed(&[(14, registers)])]] {
        let read = read(&manifest(intel_profile(), &[triple(td(), &measurements)])).unwrap();
        assert_eq!(
            read,
            [
                pair("tdx.mrtd", hex(0x7D, 48)),
                pair("tdx.rtmr0", hex(0xA0, 48)),
                pair("tdx.rtmr1", hex(0xA1, 48)),
                pair("tdx.rtmr2", hex(0xA2, 48)),
                pair("tdx.rtmr3", hex(0xA3, 48)),
            ]
        );
    }
}

/// TOML and CoRIM give the same policy.
#[test]
fn both_forms_fill_a_template_alike() {
    let now = UnixTime::parse(NOW).unwrap();
    let toml = format!(
        "schema = 1\nname = \"app\"\n[sev-snp]\nmeasurement = {}\nhost_data = {}\n",
        hex(0x4D, 48),
        hex(0x11, 32)
    );
    let measurements = [measured(0, &[(2, digests(0x4D))]), measured(8, &[(4, raw(&[0x11; 32]))])];
    let corim = manifest(amd_profile(), &[triple(by_chip(), &measurements)]);
    let policy = |bytes: &[u8]| fill(STRICT, &reference_values(bytes, now).unwrap()).unwrap();
    assert_eq!(differences(policy(toml.as_bytes()).policy(), policy(&corim).policy()), []);
    let other = [measured(0, &[(2, digests(0x4E))]), measured(8, &[(4, raw(&[0x11; 32]))])];
    let other = manifest(amd_profile(), &[triple(by_chip(), &other)]);
    assert_eq!(differences(policy(toml.as_bytes()).policy(), policy(&other).policy()).len(), 1);
}

/// What is refused in TOML because it says nothing, or names nobody, is no better in CBOR.
#[test]
fn a_manifest_pins_no_more_than_a_policy_does() {
    let floor = |svn: i64| manifest(amd_profile(), &[triple(by_chip(), &[measured(0, &[(1, tag(553, int(svn)))])])]);
    assert_eq!(read(&floor(1)).unwrap(), [pair("sev-snp.guest_svn", "{ at_least = 1 }".to_owned())]);
    let error = read(&floor(0)).unwrap_err();
    assert!(error.contains("`sev-snp.guest_svn`: accepts or refuses nothing"), "{error}");

    let fill = |corim: &[u8]| {
        let values = reference_values(corim, UnixTime::parse(NOW).unwrap()).unwrap();
        fill(STRICT, &values)
    };
    let guest = |digest: u8| {
        let measurements = [measured(0, &[(2, digests(digest))]), measured(8, &[(4, raw(&[0x11; 32]))])];
        manifest(amd_profile(), &[triple(by_chip(), &measurements)])
    };
    fill(&guest(0x4D)).unwrap();
    let error = fill(&guest(0)).unwrap_err();
    assert_eq!(error.check(), Some("policy.bound-without-code"), "{error}");
    assert!(error.to_string().contains("`measurement` does not pin who enforces it"), "{error}");
}

#[test]
fn triples_are_alternatives_as_long_as_no_mixture_is_let_in() {
    let of = |measurement: u8, host: u8| {
        triple(by_chip(), &[measured(0, &[(2, digests(measurement))]), measured(8, &[(4, raw(&[host; 32]))])])
    };
    let two = read(&manifest(amd_profile(), &[of(1, 9), of(2, 9)])).unwrap();
    assert_eq!(two[1], pair("sev-snp.measurement", format!("[{}, {}]", hex(1, 48), hex(2, 48))));
    assert_eq!(two[0], pair("sev-snp.host_data", hex(9, 32)));
    let mixed = read(&manifest(amd_profile(), &[of(1, 8), of(2, 9)])).unwrap_err();
    assert!(mixed.contains("pair `host_data` with `measurement`"), "{mixed}");
    // Apart, both must hold: that is no wider. Half shared, it would be.
    let alone = |key, values: &[(i64, Vec<u8>)]| triple(by_chip(), &[measured(key, values)]);
    let apart = [alone(0, &[(2, digests(1))]), alone(8, &[(4, raw(&[9; 32]))])];
    assert_eq!(read(&manifest(amd_profile(), &apart)).unwrap().len(), 2);
    let half = [of(1, 9), alone(0, &[(2, digests(2))])];
    let half = read(&manifest(amd_profile(), &half)).unwrap_err();
    assert!(half.contains("some fields both and of some alone"), "{half}");
}

#[test]
fn what_no_field_is_filled_from_is_refused_by_name() {
    let amd = |measurement: Vec<u8>| manifest(amd_profile(), &[triple(by_chip(), &[measurement])]);
    let intel = |measurement: Vec<u8>| manifest(intel_profile(), &[triple(td(), &[measurement])]);
    let good = measured(0, &[(2, digests(1))]);
    let reference = |triple| (0, array(&[triple]));
    let chip = map(&[(0, map(&[(0, tag(37, bytes(&BY_CHIP)))])), (1, tag(560, bytes(&[7; 64])))]);
    let vendor = map(&[(0, map(&[(0, tag(37, bytes(&BY_CHIP))), (1, text("AMD"))]))]);
    let endorsed = [
        reference(triple(by_chip(), std::slice::from_ref(&good))),
        (1, array(&[triple(by_chip(), std::slice::from_ref(&good))])),
    ];
    let authorised = map(&[(0, int(0)), (1, map(&[(2, digests(1))])), (2, array(&[tag(554, text("key"))]))]);
    for (manifest, says) in [
        (
            manifest(tag(32, text("https://example.com/p")), &[triple(by_chip(), std::slice::from_ref(&good))]),
            "profile `https://example.com/p`: expected AMD's",
        ),
        (with_triples(amd_profile(), &endorsed, &[]), "holds endorsed-triples"),
        (manifest(amd_profile(), &[triple(chip, std::slice::from_ref(&good))]), "for one instance or group"),
        (manifest(amd_profile(), &[triple(vendor, std::slice::from_ref(&good))]), "an environment of another class"),
        (
            manifest(amd_profile(), &[triple(td(), std::slice::from_ref(&good))]),
            "an environment of another class: expected AMD's",
        ),
        (
            manifest(intel_profile(), &[triple(by_chip(), std::slice::from_ref(&good))]),
            "an environment of another class: expected vendor",
        ),
        (amd(authorised), "authorized-by"),
        (amd(unkeyed(&[(2, digests(1))])), "without a number for its key"),
        (amd(measured(0, &[(2, digests(1)), (3, map(&[(3, vec![0xF4])]))])), "mkey 0: holds `flags`"),
        (amd(measured(0, &[(2, digests(1)), (-83, digests(1))])), "mkey 0: an unknown code point -83"),
        (
            amd(measured(0, &[(2, array(&[digest(1, &[1; 32])]))])),
            "mkey 0: a digest of algorithm 1: expected SHA-384 (7)",
        ),
        (
            amd(measured(0, &[(2, array(&[digest(7, &[1; 47])]))])),
            "`sev-snp.measurement`: expected 48 bytes in hexadecimal",
        ),
        (amd(measured(0, &[(2, array(&[digest(7, &[1; 48]), digest(7, &[2; 48])]))])), "mkey 0: 2 digests"),
        (amd(measured(0, &[(0, map(&[(0, text("1.0"))]))])), "expected IMAGE_ID as 32 hexadecimal digits"),
        (amd(measured(5, &[(4, tag(563, array(&[bytes(&[1; 48]), bytes(&[2; 48])])))])), "mkey 5: a masked value"),
        (amd(measured(1, &[(0, map(&[(0, text("1.55.0")), (1, int(16384))]))])), "a policy says it in `minimum_abi`"),
        (amd(measured(7, &[(1, tag(552, int(1)))])), "a policy says it in `minimum_tcb`"),
        (amd(measured(11, &[(4, raw(&[1; 32]))])), "mkey 11: the profile knows 0 to 10"),
        // The library knows a raw value as bytes alone, and the draft writes the VMPL as a number.
        (amd(measured(2, &[(4, int(2))])), "expected tag 560 or 563"),
        (amd(measured(2, &[(4, raw(&[2]))])), "mkey 2: the VMPL"),
        (intel(unkeyed(&[(-84, digests(1))])), "code point -84"),
        (intel(unkeyed(&[(-83, tag(60020, array(&[int(6), digests(1)])))])), "an expression has no counterpart"),
        (intel(unkeyed(&[(-83, digest(8, &[1; 64]))])), "tee.mrtee: a digest of algorithm 8"),
        (intel(unkeyed(&[(14, map(&[(4, digests(1))]))])), "a TD has RTMR 0 to 3, by number"),
        (intel(measured(82, &[(4, raw(&[1; 8]))])), "no field is filled from it; expected none, or 83"),
        (manifest(amd_profile(), &[triple(by_chip(), &[good.clone(), good.clone()])]), "gives `measurement` twice"),
        (
            with_triples(
                amd_profile(),
                &[reference(triple(by_chip(), std::slice::from_ref(&good)))],
                &[(4, map(&[(1, tag(1, int(1_700_000_000)))]))],
            ),
            "CoRIM: ",
        ),
    ] {
        let error = read(&manifest).unwrap_err();
        assert!(error.contains(says), "{says}\n{error}");
    }
    // The passing twin, with a window that is open.
    let open = [(4, map(&[(1, tag(1, int(2_000_000_000)))]))];
    read(&with_triples(amd_profile(), &[reference(triple(by_chip(), &[good]))], &open)).unwrap();
}

/// Where the members of each map can be added to; every member of the drafts that carries no condition is there.
#[derive(Default)]
struct More {
    corim: Vec<(i64, Vec<u8>)>,
    validity: Vec<(i64, Vec<u8>)>,
    entity: Vec<(i64, Vec<u8>)>,
    comid: Vec<(i64, Vec<u8>)>,
    identity: Vec<(i64, Vec<u8>)>,
    triples: Vec<(i64, Vec<u8>)>,
    triple: Vec<Vec<u8>>,
    environment: Vec<(i64, Vec<u8>)>,
    class: Vec<(i64, Vec<u8>)>,
    measurement: Vec<(i64, Vec<u8>)>,
    values: Vec<(i64, Vec<u8>)>,
    version: Vec<(i64, Vec<u8>)>,
}

fn with(more: More) -> Vec<u8> {
    let join = |members: &[(i64, Vec<u8>)], more: Vec<(i64, Vec<u8>)>| map(&[members.to_vec(), more].concat());
    let entities = array(&[join(&[(0, text("ACME")), (2, array(&[int(0)]))], more.entity)]);
    let version = join(&[(0, text(&"ab".repeat(16)))], more.version);
    let values = join(&[(0, version), (2, digests(1))], more.values);
    let measurement = join(&[(0, int(0)), (1, values)], more.measurement);
    let class = join(&[(0, tag(37, bytes(&BY_CHIP)))], more.class);
    let environment = join(&[(0, class)], more.environment);
    let triple = array(&[vec![environment, array(&[measurement])], more.triple].concat());
    let identity = join(&[(0, text("comid")), (1, int(2))], more.identity);
    let triples = join(&[(0, array(&[triple]))], more.triples);
    let comid = join(&[(0, text("en")), (1, identity), (2, entities.clone()), (4, triples)], more.comid);
    let validity = join(&[(0, tag(1, int(1_000_000_000))), (1, tag(1, int(2_000_000_000)))], more.validity);
    let corim = [
        (0, text("app 0.1.0")),
        (1, array(&[tag(506, bytes(&comid))])),
        (3, amd_profile()),
        (4, validity),
        (5, entities),
    ];
    tag(501, join(&corim, more.corim))
}

/// Each could be a condition, and the library skips it without a word.
#[test]
fn a_member_that_is_not_known_is_refused_with_its_place() {
    let twin = read(&with(More::default())).unwrap();
    assert_eq!(twin, [pair("sev-snp.image_id", hex(0xAB, 16)), pair("sev-snp.measurement", hex(1, 48))]);
    let one = |key: i64| vec![(key, int(1))];
    let null = |key: i64| vec![(key, vec![0xF6])];
    let triple = "tags[0].triples.reference-triples[0]";
    let measurement = format!("{triple}.measurements[0]");
    let unknown = |place: &str, key: i64, map: &str| {
        let place = if place.is_empty() { String::new() } else { format!("`{place}`: ") };
        format!(
            "CoRIM: {place}holds member {key} of a {map}, which is not known here and could be a condition: expected"
        )
    };
    let is_null = |place: &str| format!("CoRIM: `{place}`: null: expected a value, or no such member");
    for (more, says) in [
        (More { corim: one(9), ..More::default() }, unknown("", 9, "corim-map")),
        (More { corim: one(-1), ..More::default() }, unknown("", -1, "corim-map")),
        (More { validity: one(2), ..More::default() }, unknown("rim-validity", 2, "validity-map")),
        (More { entity: one(3), ..More::default() }, unknown("tags[0].entities[0]", 3, "entity-map")),
        (More { comid: one(5), ..More::default() }, unknown("tags[0]", 5, "concise-mid-tag")),
        (More { identity: one(2), ..More::default() }, unknown("tags[0].tag-identity", 2, "tag-identity-map")),
        (More { triples: one(7), ..More::default() }, unknown("tags[0].triples", 7, "triples-map")),
        (More { triples: one(11), ..More::default() }, unknown("tags[0].triples", 11, "triples-map")),
        (
            More { environment: one(3), ..More::default() },
            unknown(&format!("{triple}.environment"), 3, "environment-map"),
        ),
        (
            More { environment: one(-1), ..More::default() },
            unknown(&format!("{triple}.environment"), -1, "environment-map"),
        ),
        (More { class: one(5), ..More::default() }, unknown(&format!("{triple}.environment.class"), 5, "class-map")),
        (More { measurement: one(3), ..More::default() }, unknown(&measurement, 3, "measurement-map")),
        (
            More { version: one(2), ..More::default() },
            unknown(&format!("{measurement}.mval.version"), 2, "version-map"),
        ),
        (
            More { triple: vec![array(&[])], ..More::default() },
            format!("CoRIM: `{triple}`: a reference-triple-record of 3 items: expected 2"),
        ),
        // To the library, a null is a member that is not there.
        (More { triples: null(1), ..More::default() }, is_null("tags[0].triples.endorsed-triples")),
        (More { measurement: null(2), ..More::default() }, is_null(&format!("{measurement}.authorized-by"))),
        (More { values: null(3), ..More::default() }, is_null(&format!("{measurement}.mval.3"))),
        (More { environment: null(1), ..More::default() }, is_null(&format!("{triple}.environment.instance"))),
    ] {
        let error = read(&with(more)).unwrap_err();
        assert!(error.starts_with(&says), "{says}\n{error}");
    }
    // In the same way in the second tag and triple, where the first is good.
    let good = triple_of(1);
    let comid = |triples: &[Vec<u8>], more: &[(i64, Vec<u8>)]| {
        let members = [vec![(1, map(&[(0, text("c"))])), (4, map(&[(0, array(triples))]))], more.to_vec()].concat();
        tag(506, bytes(&map(&members)))
    };
    let both = |second: Vec<u8>| {
        let tags = array(&[comid(std::slice::from_ref(&good), &[]), second]);
        tag(501, map(&[(0, text("app 0.1.0")), (1, tags), (3, amd_profile())]))
    };
    read(&both(comid(&[good.clone(), triple_of(2)], &[]))).unwrap();
    let long = array(&[by_chip(), array(&[measured(0, &[(2, digests(2))])]), int(0)]);
    let error = read(&both(comid(&[good.clone(), long], &[]))).unwrap_err();
    assert!(error.starts_with("CoRIM: `tags[1].triples.reference-triples[1]`: a reference-triple-record"), "{error}");
    let error = read(&both(comid(std::slice::from_ref(&good), &[(5, int(0))]))).unwrap_err();
    assert!(error.starts_with("CoRIM: `tags[1]`: holds member 5"), "{error}");
}

fn triple_of(measurement: u8) -> Vec<u8> {
    triple(by_chip(), &[measured(0, &[(2, digests(measurement))])])
}

/// Joined, the value by chip would be accepted of a report by cloud provider.
#[test]
fn triples_of_different_classes_are_not_joined() {
    let of = |class: Vec<u8>, measurement: u8| triple(class, &[measured(0, &[(2, digests(measurement))])]);
    for class in [by_chip(), by_provider()] {
        let two = read(&manifest(amd_profile(), &[of(class.clone(), 1), of(class, 2)])).unwrap();
        assert_eq!(two, [pair("sev-snp.measurement", format!("[{}, {}]", hex(1, 48), hex(2, 48)))]);
    }
    // Not where the values are equal, or of different fields, either: the author spoke of two things.
    let host = triple(by_provider(), &[measured(8, &[(4, raw(&[9; 32]))])]);
    for second in [of(by_provider(), 2), of(by_provider(), 1), host] {
        let error = read(&manifest(amd_profile(), &[of(by_chip(), 1), second])).unwrap_err();
        assert!(error.starts_with("CoRIM: reference triples are for different environments"), "{error}");
    }
}

/// Nobody is named who should have signed, so the values inside must not be taken.
#[test]
fn a_signed_manifest_is_refused_with_the_reason() {
    let inside = manifest(amd_profile(), &[triple(by_chip(), &guest())]);
    read(&inside).unwrap();
    let protected = map(&[(1, int(-35)), (3, text("application/rim+cbor"))]);
    let signed = tag(18, array(&[bytes(&protected), map(&[]), bytes(&inside), bytes(&[0; 96])]));
    assert!(read(&signed).unwrap_err().contains("name who is to have signed it"));
    // Not by way of the outer tags of older drafts either.
    for older in [tag(500, signed.clone()), tag(502, signed.clone()), tag(500, inside.clone()), tag(501, signed)] {
        let error = read(&older).unwrap_err();
        assert!(error.starts_with("CoRIM: "), "{error}");
    }
}

/// Whoever wrote the manifest chooses the length of these; an error repeats a line of them.
#[test]
fn an_error_repeats_no_more_than_a_line_of_a_manifest() {
    let long = "long".repeat(100);
    let keyed = map(&[(0, text(&long)), (1, map(&[(2, digests(0x4D))]))]);
    let registers = registers_under(&long);
    let (line, more): (String, String) = (long.chars().take(12).collect(), long.chars().take(81).collect());
    let class = map(&[(0, map(&[(4, text(&long))]))]);
    for (manifest, says) in [
        (manifest(amd_profile(), &[triple(class, &guest())]), "expected u64"),
        (manifest(tag(32, text(&long)), &[triple(by_chip(), &guest())]), "expected AMD's"),
        (manifest(intel_profile(), &[triple(td(), &[keyed])]), "no field is filled from it"),
        (manifest(intel_profile(), &[triple(td(), &[unkeyed(&[(14, registers)])])]), "RTMR 0 to 3"),
    ] {
        let refused = read(&manifest).unwrap_err();
        assert!(refused.contains(says), "{refused}");
        assert!(refused.contains(&line) && !refused.contains(&more), "{refused}");
    }
    let named = |name: &str| {
        let values = format!("schema = 1\nname = '{name}'\n[tdx]\nmrtd = '{}'\n", "11".repeat(48));
        reference_values(values.as_bytes(), UnixTime::parse(NOW).unwrap()).unwrap()
    };
    let refused = named(&long).and(named("b")).unwrap_err().to_string();
    assert!(refused.contains("and by `b`") && !refused.contains(&more), "{refused}");
}

/// Integrity registers under a text, where a number is expected.
fn registers_under(name: &str) -> Vec<u8> {
    [head(5, 1), text(name), digests(0x4D)].concat()
}

#[test]
fn hostile_bytes_are_refused_and_cost_little() {
    let good = manifest(amd_profile(), &[triple(by_chip(), &guest())]);
    let prefix = [0xD9, 0x01, 0xF5];
    let nested = [prefix.to_vec(), vec![0x81; 100_000]].concat();
    let huge_array = [prefix.to_vec(), vec![0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
    let huge_bytes = [prefix.to_vec(), vec![0x5B, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
    let twice = tag(501, map(&[(0, text("a")), (0, text("b"))]));
    let large = [prefix.to_vec(), bytes(&vec![0; 1 << 20])].concat();
    let behind = [good.clone(), vec![0]].concat();
    for hostile in [nested, huge_array, huge_bytes, twice, large, behind, prefix.to_vec()] {
        assert!(read(&hostile).unwrap_err().starts_with("CoRIM: "));
    }
    for end in 0..good.len() {
        reference_values(&good[..end], UnixTime::parse(NOW).unwrap()).unwrap_err();
    }
    // Whatever one byte becomes, nothing panics, and what still reads names fields that exist.
    for at in 0..good.len() {
        for flip in [0x01, 0x20, 0x80, 0xFF] {
            let mut changed = good.clone();
            changed[at] ^= flip;
            let _ = reference_values(&changed, UnixTime::parse(NOW).unwrap());
        }
    }
    let neither = reference_values(&[0xFF, 0xFE, 0], UnixTime::parse(NOW).unwrap()).unwrap_err();
    assert_eq!(neither, "neither TOML (UTF-8 text) nor CoRIM (CBOR, tag 501)");
}

/// The profile of Veraison's services and tools.
mod veraison {
    use super::*;

    fn profile() -> Vec<u8> {
        tag(32, text("tag:amd.com,2024:snp-corim-profile"))
    }

    /// 1.3.6.1.4.1.3704.3.1 and .2
    fn class(last: u8) -> (i64, Vec<u8>) {
        (0, map(&[(0, tag(111, bytes(&[0x2B, 6, 1, 4, 1, 0x9C, 0x78, 3, last])))]))
    }

    /// As the services look it up: by its launch measurement.
    fn of(measurement: u8) -> Vec<u8> {
        map(&[class(1), (1, tag(560, bytes(&[measurement; 48])))])
    }

    fn bytes_of(key: i64, value: &[u8]) -> Vec<u8> {
        measured(key, &[(4, raw(value))])
    }

    fn launched(measurement: u8) -> Vec<u8> {
        measured(641, &[(2, digests(measurement))])
    }

    fn guest() -> Vec<Vec<u8>> {
        vec![
            measured(1, &[(1, tag(553, int(3)))]),
            bytes_of(3, &[0xFA; 16]),
            bytes_of(4, &[0xAB; 16]),
            bytes_of(5, &[0, 0, 0, 2]),
            launched(0x4D),
            bytes_of(642, &[0x11; 32]),
            bytes_of(643, &[1; 48]),
            bytes_of(644, &[2; 48]),
            bytes_of(646, &[0xFF; 32]),
        ]
    }

    #[test]
    fn a_guest_is_told_field_by_field() {
        let expected = [
            pair("sev-snp.author_key", hex(2, 48)),
            pair("sev-snp.family_id", hex(0xFA, 16)),
            pair("sev-snp.guest_svn", "{ at_least = 3 }".to_owned()),
            pair("sev-snp.host_data", hex(0x11, 32)),
            pair("sev-snp.id_key", hex(1, 48)),
            pair("sev-snp.image_id", hex(0xAB, 16)),
            pair("sev-snp.measurement", hex(0x4D, 48)),
            pair("sev-snp.report_id_ma", hex(0xFF, 32)),
            pair("sev-snp.vmpl", "2".to_owned()),
        ];
        for environment in [of(0x4D), map(&[class(1)]), map(&[class(2)])] {
            assert_eq!(read(&manifest(profile(), &[triple(environment, &guest())])).unwrap(), expected);
        }
        // Untagged or with tag 552, an `svn` is that one.
        for svn in [int(3), tag(552, int(3))] {
            let exact = manifest(profile(), &[triple(map(&[class(1)]), &[measured(1, &[(1, svn)])])]);
            assert_eq!(read(&exact).unwrap(), [pair("sev-snp.guest_svn", "3".to_owned())]);
        }
    }

    /// One manifest, the two numberings.
    #[test]
    fn both_profiles_of_amd_fill_a_template_alike() {
        let filled =
            |corim: &[u8]| fill(STRICT, &reference_values(corim, UnixTime::parse(NOW).unwrap()).unwrap()).unwrap();
        let draft = [measured(0, &[(2, digests(0x4D))]), measured(8, &[(4, raw(&[0x11; 32]))])];
        let draft = filled(&manifest(amd_profile(), &[triple(by_chip(), &draft)]));
        let own = [launched(0x4D), bytes_of(642, &[0x11; 32])];
        let own = filled(&manifest(profile(), &[triple(of(0x4D), &own)]));
        assert_eq!(differences(draft.policy(), own.policy()), []);
    }

    /// Releases differ in their measurement, by which each is looked up; what they share stands in all of them.
    #[test]
    fn releases_are_alternatives_though_each_has_an_environment_of_its_own() {
        let release =
            |measurement: u8, host: u8| triple(of(measurement), &[launched(measurement), bytes_of(642, &[host; 32])]);
        let two = read(&manifest(profile(), &[release(1, 9), release(2, 9)])).unwrap();
        assert_eq!(two[1], pair("sev-snp.measurement", format!("[{}, {}]", hex(1, 48), hex(2, 48))));
        let mixed = read(&manifest(profile(), &[release(1, 8), release(2, 9)])).unwrap_err();
        assert!(mixed.contains("pair `host_data` with `measurement`"), "{mixed}");
        let chip = triple(map(&[class(1)]), &[launched(1)]);
        let provider = triple(map(&[class(2)]), &[launched(2)]);
        let apart = read(&manifest(profile(), &[chip, provider])).unwrap_err();
        assert!(apart.contains("for different environments"), "{apart}");
    }

    /// The keys of a whole report, as the generators of manifests write it.
    #[test]
    fn what_a_policy_cannot_hold_is_refused_by_name_and_all_at_once() {
        // A TCB as Veraison's published sample has it: more than an `i64` holds.
        let svn = |key| measured(key, &[(1, tag(552, head(0, 15_208_092_991_676_743_683)))]);
        let version = |key| measured(key, &[(0, map(&[(0, text("1.55.8"))]))]);
        let report = [
            version(0),
            measured(1, &[(1, tag(553, int(3)))]),
            bytes_of(2, &[0, 0, 0, 0, 0, 3, 0, 0]),
            svn(6),
            bytes_of(7, &[0, 0, 0, 0, 0, 0, 0, 1]),
            bytes_of(640, &[0x64; 64]),
            launched(0x4D),
            bytes_of(645, &[0x45; 32]),
            svn(647),
            bytes_of(648, &[25]),
            bytes_of(649, &[17]),
            bytes_of(650, &[1]),
            bytes_of(3328, &[0x28; 64]),
            svn(3329),
            version(3330),
            version(3936),
            svn(3968),
        ];
        let error = read(&manifest(profile(), &[triple(of(0x4D), &report)])).unwrap_err();
        for named in [
            "mkey 0 (VERSION;",
            "mkey 2 (POLICY; a policy says it in `debug`, ",
            "mkey 6 (CURRENT_TCB; a policy says it in `minimum_tcb`)",
            "mkey 7 (PLATFORM_INFO; a policy says it in `platform_info`)",
            "mkey 640 (REPORT_DATA; a policy says it in `report_data`)",
            "mkey 645 (REPORT_ID; a policy says it in nothing: it differs with each launch)",
            "mkey 647 (REPORTED_TCB;",
            "mkey 648 (CPUID_FAM_ID;",
            "mkey 649 (CPUID_MOD_ID;",
            "mkey 650 (CPUID_STEP;",
            "mkey 3328 (CHIP_ID; a policy says it in `chip_ids`)",
            "mkey 3329 (COMMITTED_TCB;",
            "mkey 3330 (CURRENT_VERSION; a policy says it in `minimum_firmware`)",
            "mkey 3936 (COMMITTED_VERSION;",
            "mkey 3968 (LAUNCH_TCB;",
        ] {
            assert!(error.contains(named), "{named}: {error}");
        }
        assert!(!error.contains("mkey 1 (") && !error.contains("mkey 641 ("), "{error}");
        let cut = [report[1].clone(), report[6].clone()];
        assert_eq!(read(&manifest(profile(), &[triple(of(0x4D), &cut)])).unwrap().len(), 2);
    }

    #[test]
    fn what_stands_at_the_wrong_place_is_refused_by_name() {
        let good = || vec![launched(0x4D)];
        let instance = |instance: Vec<u8>| map(&[class(1), (1, instance)]);
        let plain = || map(&[class(1)]);
        assert!(read(&manifest(profile(), &[triple(plain(), &good())])).is_ok());
        let mut sixteen = vec![0x2B, 6, 1, 4, 1, 0x9C, 0x78, 3, 1];
        sixteen.push(1);
        let longer = map(&[(0, map(&[(0, tag(111, bytes(&sixteen)))]))]);
        let named = map(&[(0, map(&[(0, tag(111, bytes(&[0x2B, 6, 1, 4, 1, 0x9C, 0x78, 3, 1]))), (1, text("AMD"))]))]);
        for (environment, measurements, says) in [
            (of(0x4E), good(), "an instance that is not its own MEASUREMENT (mkey 641)"),
            (of(0x4D), vec![bytes_of(642, &[1; 32])], "an instance that is not its own MEASUREMENT"),
            (instance(tag(560, bytes(&[7; 64]))), good(), "`chip_ids` and `csp_ids`"),
            (instance(tag(550, bytes(&[7; 17]))), good(), "`chip_ids` and `csp_ids`"),
            (by_chip(), good(), "an environment of another class: expected the class id 1.3.6.1.4.1.3704.3.1"),
            (map(&[class(3)]), good(), "another class"),
            (longer, good(), "another class"),
            (named, good(), "another class"),
            (plain(), vec![launched(1), launched(2)], "gives `measurement` twice"),
            (plain(), vec![measured(641, &[(4, raw(&[1; 48]))])], "mkey 641: holds `raw-value`"),
            (plain(), vec![measured(641, &[(2, array(&[digest(1, &[1; 32])]))])], "expected SHA-384 (7)"),
            (plain(), vec![measured(642, &[(2, digests(1))])], "mkey 642: holds `digests`"),
            (plain(), vec![bytes_of(5, &[2])], "mkey 5: expected VMPL in 4 bytes"),
            (plain(), vec![bytes_of(5, &[0, 0, 0, 4])], "vmpl"),
            (plain(), vec![bytes_of(1, &[3])], "mkey 1: holds `raw-value`"),
            (plain(), vec![measured(1, &[(1, tag(553, int(0)))])], "`sev-snp.guest_svn`: accepts or refuses nothing"),
            (plain(), vec![bytes_of(8, &[1; 32])], "mkey 8: the profile has no such key"),
            (plain(), vec![unkeyed(&[(2, digests(1))])], "a measurement without a number for its key"),
            (plain(), vec![bytes_of(642, &[1; 31])], "host_data"),
        ] {
            let error = read(&manifest(profile(), &[triple(environment, &measurements)])).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
