//! The program as an operator sees it: one line when it listens, signals, errors that name the place.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which the lint does not recognise as such"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a policy and a configuration whose one instance is not there.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::write(folder.path("policy.toml"), policy()).unwrap();
        folder.configure("instances = ['127.0.0.1:1']");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'policy.toml'\nadmission = 'none'\n\
             unbound_policy = 'tests of the program, not of policies'\n{more}\n"
        );
        std::fs::write(self.path("gateway.toml"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teegate-gateway"));
        command.arg("--config").arg(self.path("gateway.toml")).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn policy() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../measurements/policy/genuine.toml")).unwrap()
}

struct Running {
    process: Child,
    ready: serde_json::Value,
}

impl Running {
    fn start(folder: &Folder) -> Self {
        Self::spawn(folder.command())
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, ready: serde_json::from_str(&line).unwrap() }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    fn get(&self, listener: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.ready[listener].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks until `line` is among the metrics.
    fn await_metric(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.get("operator", "/metrics").lines().any(|own| own == line) {
            assert!(Instant::now() < deadline, "{line}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn failure_of(folder: &Folder) -> String {
    let output = folder.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn it_listens_reloads_and_leaves_when_told() {
    let folder = Folder::new();
    let mut running = Running::start(&folder);
    assert_eq!(running.ready["receipt_key"].as_str().map(str::len), Some(64));
    assert!(running.get("listening", "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(running.get("listening", "/readyz").contains("no instance is attested"));
    assert!(running.get("listening", "/metrics").starts_with("HTTP/1.1 404 "), "metrics are the operator's");
    running.await_metric("teegate_gateway_policy_version 1");
    running.await_metric("teegate_gateway_addresses{state=\"unreachable\"} 1");

    // A policy that cannot be read changes nothing; the next one is taken, and the new list of instances with it.
    std::fs::write(folder.path("policy.toml"), "schema = 1").unwrap();
    running.signal("HUP");
    std::fs::write(folder.path("policy.toml"), policy()).unwrap();
    folder.configure("instances = ['127.0.0.1:1', '127.0.0.1:2']");
    running.signal("HUP");
    running.await_metric("teegate_gateway_addresses{state=\"unreachable\"} 2");

    running.signal("TERM");
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_change_of_the_files_is_taken_without_a_signal_and_an_older_policy_never() {
    let folder = Folder::new();
    let write = |version: u64| {
        std::fs::write(folder.path("policy.toml"), format!("version = {version}\n{}", policy())).unwrap();
    };
    write(7);
    folder.configure("instances = ['127.0.0.1:1']\nstate_dir = 'state'\n[reload]\nseconds = 1");
    let running = Running::start(&folder);
    running.await_metric("teegate_gateway_policy_version 1");
    write(8);
    running.await_metric("teegate_gateway_policy_version 2");
    write(7);
    running.await_metric("teegate_gateway_reload_total{outcome=\"refused\"} 1");
    running.await_metric("teegate_gateway_config_last_reload_successful 0");
    running.await_metric("teegate_gateway_policy_version 2");
    // The configuration is a file as well.
    write(8);
    folder.configure("instances = ['127.0.0.1:1', '127.0.0.1:2']\nstate_dir = 'state'\n[reload]\nseconds = 1");
    running.await_metric("teegate_gateway_addresses{state=\"unreachable\"} 2");
    let said = failure_of(&folder);
    assert!(said.contains("state` is in use by another gateway"), "{said}");
    drop(running);

    write(7);
    let said = failure_of(&folder);
    assert!(said.contains("the policy has `version = 7`, and version 8 was in force"), "{said}");
    write(8);
    drop(Running::start(&folder));
}

#[test]
fn who_waits_at_the_end_is_told_and_the_end_comes() {
    let folder = Folder::new();
    let mut running = Running::start(&folder);
    let mut stream = TcpStream::connect(running.ready["listening"].as_str().unwrap()).unwrap();
    write!(stream, "GET /v1/instances?wait=30 HTTP/1.1\r\nhost: gateway\r\n\r\n").unwrap();
    running.await_metric("teegate_gateway_connection_total{listener=\"clients\"} 1");
    running.signal("TERM");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "who waits is told, not kept for the drain: {answer}");
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
}

#[test]
fn the_limit_of_open_files_is_raised_and_has_to_suffice() {
    let folder = Folder::new();
    let limited = |limits: &str| {
        let gateway = folder.command();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("{limits} && exec \"$0\" \"$@\""))
            .arg(gateway.get_program())
            .args(gateway.get_args());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    };
    let running = Running::spawn(limited("ulimit -Sn 200"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.process.id())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert!(files[3] == files[4] && files[3] != "200", "{files:?}");
    drop(running);

    folder.configure("instances = ['127.0.0.1:1']\n[limits]\nconnections = 200");
    let refused = limited("ulimit -n 500").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    let expected = "`limits.connections = 200`, `limits.operator_connections = 64` and 1 instances need 586 open files, and this \
                    process may have 500";
    assert!(said.contains(expected), "{said}");
    drop(Running::spawn(limited("ulimit -n 586")));
}

/// Whoever holds the keys behind such a policy is nobody that it names.
#[test]
fn a_policy_that_claims_nothing_is_admitted_by_name_only() {
    let folder = Folder::new();
    let configure = |more: &str| {
        let text =
            "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'policy.toml'\nadmission = 'none'\n"
                .to_owned();
        std::fs::write(folder.path("gateway.toml"), text + more + "instances = ['127.0.0.1:1']\n").unwrap();
    };
    configure("");
    let said = failure_of(&folder);
    assert!(said.contains("a profile does not say what its evidence is bound to (`bound_to`)"), "{said}");
    configure("unbound_policy = ' '\n");
    let said = failure_of(&folder);
    assert!(said.contains("`unbound_policy` says nothing"), "{said}");
    configure("unbound_policy = 'my own machine'\n");
    drop(Running::start(&folder));
}

#[test]
fn nobody_is_let_in_and_nothing_is_plain_unless_that_is_written() {
    let folder = Folder::new();
    let configure = |listen: &str, operator: &str, more: &str| {
        let text = format!(
            "listen = '{listen}'\noperator_listen = '{operator}'\npolicy = 'policy.toml'\ninstances = ['127.0.0.1:1']\n\
             unbound_policy = 'a test'\n{more}"
        );
        std::fs::write(folder.path("gateway.toml"), text).unwrap();
    };
    let loopback = "127.0.0.1:0";
    configure(loopback, loopback, "");
    let said = failure_of(&folder);
    assert!(said.contains("`admission` is missing, so that nobody would be asked for a credential"), "{said}");
    for (listen, operator, key) in [("0.0.0.0:0", loopback, "`listen`"), (loopback, "0.0.0.0:0", "`operator_listen`")] {
        configure(listen, operator, "admission = 'none'\n");
        let said = failure_of(&folder);
        assert!(said.contains(&format!("{key} would speak plain HTTP at 0.0.0.0:")), "{said}");
    }
    configure("0.0.0.0:0", "0.0.0.0:0", "admission = 'none'\nplain_http = 'a test of the program'\n");
    drop(Running::start(&folder));
    configure(loopback, loopback, "admission = 'none'\n");
    drop(Running::start(&folder));
}

#[test]
fn a_reload_takes_the_file_of_tokens() {
    let folder = Folder::new();
    let text = "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'policy.toml'\ninstances = ['127.0.0.1:1']\n\
                unbound_policy = 'a test'\n[admission]\ntokens = 'tokens'\n[[tenant]]\nname = 'team-a'\nmodels = ['*']\n";
    std::fs::write(folder.path("gateway.toml"), text).unwrap();
    std::fs::write(folder.path("tokens"), "").unwrap();
    let running = Running::start(&folder);
    let list = || {
        let mut stream = TcpStream::connect(running.ready["listening"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /v1/instances HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n";
        write!(stream, "{head}authorization: Bearer a-token-of-team-a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(list(), "401");
    // As the README has it.
    let made = Command::new("sh")
        .arg("-c")
        .arg("printf '%s team-a\\n' \"$(printf %s \"$TOKEN\" | sha256sum | cut -d' ' -f1)\" >> tokens")
        .env("TOKEN", "a-token-of-team-a")
        .current_dir(folder.0.path())
        .status()
        .unwrap();
    assert!(made.success());
    running.signal("HUP");
    running.await_metric("teegate_gateway_reload_total{outcome=\"taken\"} 1");
    assert_eq!(list(), "503");
    std::fs::write(folder.path("tokens"), "").unwrap();
    running.signal("HUP");
    running.await_metric("teegate_gateway_reload_total{outcome=\"taken\"} 2");
    assert_eq!(list(), "401");
}

/// A token of a signature that is there, by another library.
fn signed(header: &jsonwebtoken::Header, key: &jsonwebtoken::EncodingKey, more: &serde_json::Value) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut claims =
        serde_json::json!({ "iss": "https://issuer.example", "aud": "teegate", "exp": now + 600, "team": "a" });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    jsonwebtoken::encode(header, &claims, key).unwrap()
}

#[test]
fn a_json_web_token_is_that_of_its_signer_whatever_its_header_says() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use teegate_encoding::base64::encode_url;
    let pair = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let (own, other) = (pair(), pair());
    let folder = Folder::new();
    let text = "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'policy.toml'\ninstances = ['127.0.0.1:1']\n\
                unbound_policy = 'a test'\n[admission.jwt]\nkeys = 'jwks.json'\nalgorithms = ['EdDSA']\n\
                issuer = 'https://issuer.example'\naudience = 'teegate'\ntenant_claim = 'team'\n\
                [[tenant]]\nname = 'team-a'\nmodels = ['*']\njwt = ['a']\n";
    std::fs::write(folder.path("gateway.toml"), text).unwrap();
    let public = encode_url(own.public_key_raw());
    let keys =
        serde_json::json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "use": "sig", "x": public }] });
    std::fs::write(folder.path("jwks.json"), keys.to_string()).unwrap();
    let running = Running::start(&folder);
    let status = |token: &str| {
        let mut stream = TcpStream::connect(running.ready["listening"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /v1/instances HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n";
        write!(stream, "{head}authorization: Bearer {token}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let header = |alg: Algorithm, kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..Header::new(alg) };
    let [of_own, of_other] = [&own, &other].map(|pair| EncodingKey::from_ed_der(&pair.serialize_der()));
    let none = serde_json::json!({});
    let good = signed(&header(Algorithm::EdDSA, Some("one")), &of_own, &none);
    assert_eq!(status(&good), "503", "admitted, and nobody is attested");
    let [_, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!("{good}") };
    let with_header = |header: &str| format!("{}.{payload}.{signature}", encode_url(header));
    let unsigned = format!("{}.{payload}.", encode_url(r#"{"alg":"none"}"#));
    let by_public_key = EncodingKey::from_secret(own.public_key_raw());
    let of_another_team = signed(&header(Algorithm::EdDSA, Some("one")), &of_own, &serde_json::json!({ "team": "b" }));
    for (what, token) in [
        ("signed by another key", signed(&header(Algorithm::EdDSA, Some("one")), &of_other, &none)),
        ("not signed at all", unsigned),
        ("a MAC under the public key", signed(&header(Algorithm::HS256, Some("one")), &by_public_key, &none)),
        ("a key that there is not", signed(&header(Algorithm::EdDSA, Some("two")), &of_own, &none)),
        ("a path for a key", signed(&header(Algorithm::EdDSA, Some("../jwks.json")), &of_own, &none)),
        ("another header than was signed", with_header(r#"{"alg":"EdDSA","kid":"one","typ":"other"}"#)),
        ("of the past", signed(&header(Algorithm::EdDSA, Some("one")), &of_own, &serde_json::json!({ "exp": 1 }))),
        (
            "for somebody else",
            signed(&header(Algorithm::EdDSA, Some("one")), &of_own, &serde_json::json!({ "aud": "b" })),
        ),
        ("of nobody's team", of_another_team),
    ] {
        assert!(["401", "403"].contains(&status(&token).as_str()), "{what}: {}", status(&token));
    }
}

#[test]
fn a_reload_takes_sources_and_what_is_published_whole_or_not_at_all() {
    let folder = Folder::new();
    let key = |digit: &str| format!("next_receipt_key = '{}'\n", digit.repeat(64));
    folder.configure(&format!("{}instances = ['127.0.0.1:1']", key("1")));
    let running = Running::start(&folder);
    let fleet = || running.get("operator", "/v1/fleet");
    let metric =
        |source: &str, value: u8| format!("teegate_gateway_discovery_addresses{{source=\"{source}\"}} {value}");
    running.await_metric(&metric("list", 1));

    // No name server is asked for an address: the source is there, and has nobody yet.
    let source =
        "[discovery]\nname_servers = ['127.0.0.1:1']\n[[discovery.dns]]\nname = 'enclaves.invalid.'\nport = 1\n";
    folder.configure(&format!("{}instances = ['127.0.0.1:1']\n{source}", key("2")));
    running.signal("HUP");
    running.await_metric(&metric("dns:enclaves.invalid.:1", 0));
    running.await_metric("teegate_gateway_reload_total{outcome=\"taken\"} 1");
    assert!(running.get("listening", "/v1/receipt-keys").starts_with("HTTP/1.1 200 "));

    // A policy for clients that no client could use takes nothing of the whole.
    std::fs::write(folder.path("client.toml"), "schema = 1").unwrap();
    folder.configure("client_policy = 'client.toml'\ninstances = ['127.0.0.1:1', '127.0.0.1:2']");
    running.signal("HUP");
    running.await_metric("teegate_gateway_reload_total{outcome=\"refused\"} 1");
    running.await_metric(&metric("list", 1));
    running.await_metric(&metric("dns:enclaves.invalid.:1", 0));
    assert!(fleet().contains("`client_policy`, `"), "{}", fleet());

    // What a restart alone takes is named, and the rest is taken.
    folder.configure("instances = ['127.0.0.1:1', '127.0.0.1:2']\nretry_seconds = 9\n[limits]\nconnections = 9");
    running.signal("HUP");
    running.await_metric(&metric("list", 2));
    running.await_metric("teegate_gateway_reload_total{outcome=\"taken\"} 2");
    assert!(fleet().contains("\"needs_restart\":[\"limits\",\"retry_seconds\"]"), "{}", fleet());
    assert!(!running.get("operator", "/metrics").contains("dns:enclaves.invalid."), "it is followed no more");
    folder.configure("instances = ['127.0.0.1:1']");
    running.signal("HUP");
    running.await_metric(&metric("list", 1));
    running.await_metric("teegate_gateway_reload_total{outcome=\"taken\"} 3");
    assert!(fleet().contains("\"needs_restart\":[]"), "{}", fleet());
}

#[test]
fn a_check_says_what_a_start_would_say_of_its_folders_and_makes_none() {
    let folder = Folder::new();
    let check = || {
        let config = folder.path("gateway.toml");
        let (status, said, wrong) = output_of(&["--config", config.to_str().unwrap(), "--check-config"]);
        (status, said + &wrong)
    };
    let write = |version: u64| {
        std::fs::write(folder.path("policy.toml"), format!("version = {version}\n{}", policy())).unwrap();
    };
    let state = "instances = ['127.0.0.1:1']\nstate_dir = 'state'\n";
    write(7);
    folder.configure(&format!("{state}refused_dir = 'refused'"));
    let (status, said) = check();
    assert!(status == Some(0) && !folder.path("state").exists() && !folder.path("refused").exists(), "{said}");

    // Beside a gateway that runs, and of what it has in force.
    let running = Running::start(&folder);
    let (status, said) = check();
    assert!(
        status == Some(0) && said.contains("note: `state_dir`: `") && said.contains("in use by a gateway"),
        "{said}"
    );
    write(6);
    let (status, said) = check();
    assert!(status == Some(1) && said.contains("the policy has `version = 6`, and version 7 was in force"), "{said}");
    drop(running);
    write(8);
    let (status, said) = check();
    assert!(status == Some(0) && !said.contains("note:"), "{said}");

    // The sentence of a start, whichever folder it is.
    for (more, named) in
        [("state_dir = 'policy.toml'", "`state_dir`: `"), ("refused_dir = 'policy.toml/below'", "`refused_dir`: `")]
    {
        folder.configure(&format!("instances = ['127.0.0.1:1']\n{more}"));
        let (status, said) = check();
        assert!(status == Some(1) && said.contains(named) && said.contains("cannot be used"), "{said}");
        assert!(failure_of(&folder).contains(named), "a start says it too");
    }
    folder.configure("instances = ['127.0.0.1:1']\n[collateral]\nonline = true\ncache = 'policy.toml'");
    let (status, said) = check();
    assert!(status == Some(1) && said.contains("`collateral.cache`: `"), "{said}");
    let text = std::fs::read_to_string(folder.path("gateway.toml")).unwrap().replace("'127.0.0.1:0'", "'0.0.0.0:0'");
    std::fs::write(folder.path("gateway.toml"), text).unwrap();
    let (status, said) = check();
    assert!(status == Some(1) && said.contains("`listen` would speak plain HTTP at 0.0.0.0:0"), "{said}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = Folder::new();
    folder.configure("instance = []");
    assert!(failure_of(&folder).contains("unknown field `instance`"));
    folder.configure("instances = ['127.0.0.1:1']\nendorsements = ['missing']");
    assert!(failure_of(&folder).contains("missing"));
    folder.configure("instances = ['127.0.0.1:1']\nreceipt_key = 'policy.toml'");
    assert!(failure_of(&folder).contains("expected 64 hexadecimal digits"));
    folder.configure("instances = ['127.0.0.1:1']");
    std::fs::write(folder.path("policy.toml"), "schema = 1").unwrap();
    assert!(failure_of(&folder).contains("missing field"));
    std::fs::remove_file(folder.path("policy.toml")).unwrap();
    assert!(failure_of(&folder).contains("cannot read the policy"));
    let output = folder.command().env("TEEGATE_LOG", "gateway=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`TEEGATE_LOG=gateway=loud` is not understood"));
    let usage = Command::new(env!("CARGO_BIN_EXE_teegate-gateway")).output().unwrap();
    assert_eq!(usage.status.code(), Some(1));
    assert!(String::from_utf8(usage.stderr).unwrap().contains("Usage: teegate-gateway --config <FILE>"));
}

fn output_of(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_teegate-gateway")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_configuration_is_checked_and_printed_without_a_start() {
    let folder = Folder::new();
    let path = folder.path("gateway.toml");
    let config = path.to_str().unwrap();
    let (status, said, _) = output_of(&["--config", config, "--check-config"]);
    assert_eq!(status, Some(0));
    let sum = Command::new("sha256sum").arg(folder.path("policy.toml")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert!(said.contains(&format!("sha256:{}", sum.split(' ').next().unwrap())), "{said}");
    assert!(said.contains("is in order") && said.contains("1 instances, clients speak plain HTTP"), "{said}");

    let (status, printed, _) = output_of(&["--config", config, "--print-config"]);
    assert_eq!(status, Some(0));
    assert!(printed.contains("channel_age_seconds = 300\n"), "{printed}");
    std::fs::write(folder.path("printed.toml"), &printed).unwrap();
    let again = folder.path("printed.toml");
    let (status, twice, _) = output_of(&["--config", again.to_str().unwrap(), "--print-config"]);
    assert_eq!(status, Some(0));
    let body = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(body(&printed), body(&twice));

    // Each of the files that a start reads, with the sentence that a start would end with.
    for (more, said) in [
        ("instance = []", "gateway.toml`: the configuration is not understood: "),
        ("instances = ['127.0.0.1:1']\nendorsements = ['missing']", "missing"),
        ("instances = ['127.0.0.1:1']\nreceipt_key = 'policy.toml'", "expected 64 hexadecimal digits"),
        (
            "instances = ['127.0.0.1:1']\ntls = { certificate = 'policy.toml', key = 'k' }",
            "expected PEM with a `CERTIFICATE`",
        ),
    ] {
        folder.configure(more);
        let (status, out, error) = output_of(&["--config", config, "--check-config"]);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{more}");
        assert!(error.contains(said), "{more}: {error}");
        let last = |text: &str| text.lines().last().map(str::to_owned);
        assert_eq!(last(&error), last(&failure_of(&folder)), "a start says the same");
    }
    let (status, version, _) = output_of(&["--version"]);
    assert_eq!((status, version), (Some(0), format!("teegate-gateway {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(output_of(&["--help"]).1.contains("SIGHUP"));
    assert_eq!(output_of(&["--config", config, "--check-config", "--print-config"]).0, Some(1));
}

#[test]
fn status_draws_what_the_operators_listener_says() {
    let folder = Folder::new();
    let running = Running::start(&folder);
    running.await_metric("teegate_gateway_addresses{state=\"unreachable\"} 1");
    let operator = running.ready["operator"].as_str().unwrap();
    let (status, drawn, _) = output_of(&["status", "--operator", operator]);
    assert_eq!(status, Some(0));
    for said in
        ["not ready: no instance is attested", "genuine  sha256:", "127.0.0.1:1  unreachable", "Connection refused"]
    {
        assert!(drawn.contains(said), "{said}: {drawn}");
    }
    let (status, json, _) = output_of(&["status", "--operator", operator, "--json"]);
    assert_eq!(status, Some(0));
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&view["schema"], &view["instances"][0]["state"]), (&"teegate/fleet/1".into(), &"unreachable".into()));
    assert_eq!(view["policy"]["last_refused"], serde_json::Value::Null);

    // A refused reload shows in both.
    std::fs::write(folder.path("policy.toml"), "schema = 1").unwrap();
    running.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while !output_of(&["status", "--operator", operator]).1.contains("THE LAST WAS REFUSED") {
        assert!(Instant::now() < deadline, "no refused reload");
        std::thread::sleep(Duration::from_millis(20));
    }

    let (status, out, error) = output_of(&["status", "--operator", "127.0.0.1:1"]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(error.contains("cannot reach `127.0.0.1:1`") && error.contains("`operator_listen`"), "{error}");
    let clients = running.ready["listening"].as_str().unwrap();
    assert!(output_of(&["status", "--operator", clients]).2.contains("answered 404 Not Found to `/v1/fleet`"));
}

/// Start, reload and end, as systemd hears of them.
#[test]
fn a_service_manager_is_told() {
    let folder = Folder::new();
    let socket = std::os::unix::net::UnixDatagram::bind(folder.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = folder.command();
    command.env("NOTIFY_SOCKET", folder.path("notify")).env("WATCHDOG_USEC", "100000");
    let mut running = Running::spawn(command);
    assert_eq!(hear(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1\n", "again and again");
    }
    let next = || loop {
        let heard = hear();
        if heard != "WATCHDOG=1\n" {
            return heard;
        }
    };
    running.signal("HUP");
    assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(next(), "READY=1\n");
    running.signal("TERM");
    assert_eq!(next(), "STOPPING=1\n");
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
}

/// The unit that is shipped: its commands are this program's, and systemd finds little exposed.
#[test]
fn the_unit_of_systemd_starts_this_program_and_exposes_little() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("teegate-gateway.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    let commands: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("ExecStart")?.split_once('=')).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let folder = Folder::new();
    for (_, command) in commands {
        // Read and obeyed, with a configuration that is there, and without a start.
        let words: Vec<String> = command
            .split(' ')
            .skip(1)
            .map(|word| word.replace("/etc/teegate", folder.0.path().to_str().unwrap()))
            .collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        if !words.contains(&"--check-config") {
            words.push("--check-config");
        }
        assert_eq!(output_of(&words).0, Some(0), "{command}");
    }
    let judged =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20"]).arg(&unit).output();
    let Ok(judged) = judged else {
        println!("note: skipped: what systemd says of teegate-gateway.service: systemd-analyze is not installed");
        return;
    };
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}

#[test]
fn sources_of_addresses_stand_in_for_a_list_and_need_what_they_need() {
    let folder = Folder::new();
    folder.configure("");
    let said = failure_of(&folder);
    assert!(said.contains("0 instances are listed: expected 1 to 1024 in `instances`, or where to look"), "{said}");
    folder.configure("[[discovery.kubernetes]]\nservice = 'enclaves'");
    let output = folder.command().env_remove("KUBERNETES_SERVICE_HOST").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected =
        "`[[discovery.kubernetes]]` needs a pod with a service account: `KUBERNETES_SERVICE_HOST` is not set";
    assert!(said.contains(expected), "{said}");

    // Nobody answers there.
    let source = "[discovery]\nname_servers = ['127.0.0.1:1']\n[[discovery.dns]]\nname = 'enclaves.'\nport = 8443";
    folder.configure(source);
    let running = Running::start(&folder);
    running.await_metric("teegate_gateway_discovery_doubt_total{source=\"dns:enclaves.:8443\"} 1");
    running.await_metric("teegate_gateway_discovery_current{source=\"dns:enclaves.:8443\"} 0");
    // The list comes and goes beside it, and may be empty again.
    for (list, count) in [("instances = ['127.0.0.1:1']", 1), ("instances = ['127.0.0.1:1', '127.0.0.1:2']", 2)] {
        folder.configure(&format!("{list}\n{source}"));
        running.signal("HUP");
        running.await_metric(&format!("teegate_gateway_discovery_addresses{{source=\"list\"}} {count}"));
    }
    folder.configure(source);
    running.signal("HUP");
    running.await_metric("teegate_gateway_discovery_addresses{source=\"list\"} 0");
}
