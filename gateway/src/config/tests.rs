use super::*;

const SMALLEST: &str = "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'p.toml'\nadmission = 'none'\ninstances = ['a:1']\n";

fn error_of(text: &str) -> String {
    Config::parse(text, Path::new("")).unwrap_err().to_string()
}

#[test]
fn the_smallest_configuration_has_the_defaults_of_the_table() {
    let config = Config::parse(SMALLEST, Path::new("/etc/teegate")).unwrap();
    assert_eq!(config.reattest, Duration::from_secs(120));
    assert_eq!(config.channel_age, Duration::from_secs(300));
    assert_eq!(config.hold_limits.tenant_requests, 256);
    assert_eq!(config.policy, Path::new("/etc/teegate/p.toml"));
    assert!(bounds().all(|bound| (bound.least..=bound.most).contains(&bound.default)));
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example: toml::Table = include_str!("../../example.toml").parse().unwrap();
    for bound in bounds() {
        let shown = match bound.name.split_once('.') {
            Some((table, key)) => &example[table][key],
            None => &example[bound.name],
        };
        assert_eq!(
            shown.as_integer().and_then(|shown| u64::try_from(shown).ok()),
            Some(bound.default),
            "{}",
            bound.name
        );
    }
    Config::parse(include_str!("../../example.toml"), Path::new("")).unwrap();
}

#[test]
fn every_bound_is_kept_at_both_ends() {
    for bound in bounds() {
        for (value, is_accepted) in [(bound.least, true), (bound.most, true), (bound.most + 1, false)] {
            let given = take(*bound, Some(value));
            assert_eq!(given.is_ok(), is_accepted, "{} = {value}", bound.name);
        }
        if let Some(below) = bound.least.checked_sub(1) {
            assert!(matches!(take(*bound, Some(below)), Err(ConfigError::OutOfBounds(_))), "{}", bound.name);
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (line, said) in [
        ("reattest_second = 3\n", "unknown field `reattest_second`"),
        ("reattest_seconds = 3601\n", "`reattest_seconds = 3601` is out of bounds: expected 1 to 3600"),
        ("reattest_seconds = 60\nchannel_age_seconds = 30\n", "`reattest_seconds` is more than `channel_age_seconds`"),
        ("[hold]\nsecond = 1\n", "unknown field `second`"),
        ("[hold]\nseconds = 121\n", "`hold.seconds = 121` is out of bounds: expected 0 to 120"),
        ("[hold]\nmax_seconds = 5\n", "`hold.seconds` is more than `hold.max_seconds`"),
        ("[hold]\ntotal_bytes = 1\n", "unknown field `total_bytes`"),
        ("proxies = ['10.0.0.1/24']\n", "proxy `10.0.0.1/24` is not understood: expected an address or a prefix"),
        ("[reload]\nweaker = ' '\n", "says nothing: expected the reason, which the log repeats"),
        ("[collateral]\nsources = ['amd']\n", "expected `kds`, `pcs`"),
        ("[collateral]\nonlin = true\n", "unknown field `onlin`"),
        ("[limits]\nlong_polls = 3\n", "`limits.long_polls = 3` is out of bounds: expected 4 to 65536"),
        (
            "[limits]\nconnections = 4096\n",
            "`budget.bytes = 536870912` is too little: 4160 connections (`limits.connections` and `limits.operator_connections`) of \
             262144 bytes each, and twice `limits.sealed_body_bytes = 67108864`, need 1224736768",
        ),
    ] {
        let message = error_of(&format!("{SMALLEST}{line}"));
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn the_budget_has_to_go_round() {
    let given = |bytes: u64| {
        let limits = "[limits]\nconnections = 10\noperator_connections = 2\nsealed_body_bytes = 1000000\n";
        Config::parse(&format!("{SMALLEST}{limits}[budget]\nbytes = {bytes}\n"), Path::new("")).map(|_| ())
    };
    let needed = 12 * 256 * 1024 + 2 * 1_000_000;
    assert!(given(needed).is_ok());
    assert!(matches!(given(needed - 1), Err(ConfigError::Budget { connections: 12, .. })));
}

#[test]
fn what_a_reload_does_not_take_is_named() {
    let config = |more: &str| Config::parse(&format!("{SMALLEST}{more}"), Path::new("")).unwrap();
    let old = config("retry_seconds = 7\n[hold]\nseconds = 5\nmax_seconds = 9\n[breaker]\nfailures = 1\n");
    let newer = config(
        "endorsements = ['crl']\nclient_policy = 'c.toml'\nreattest_seconds = 60\n[hold]\nseconds = 6\nmax_seconds = 9\n\
         [discovery]\nadmit = ['127.0.0.0/8']\n",
    );
    assert_eq!(old.needs_restart(&newer), ["breaker", "hold.seconds", "reattest_seconds", "retry_seconds"]);
    assert!(old.needs_restart(&old).is_empty());
}

#[test]
fn addresses_are_checked() {
    for (list, said) in [
        ("[]", "0 instances are listed"),
        ("['a']", "instance `a` is not an address"),
        ("['a:99999']", "instance `a:99999` is not an address"),
        ("['a b:1']", "instance `a b:1` is not an address"),
        ("['a:1', 'a:1']", "instance `a:1` is listed twice"),
    ] {
        let message = error_of(&SMALLEST.replace("['a:1']", list));
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(Address::parse("[::1]:8443").unwrap().as_str(), "[::1]:8443");
}
