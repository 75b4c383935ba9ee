//! `teegate demo --serve DIR`: the path of part two, kept running for somebody who walks it with commands of his own.
//!
//! The forged guest, the enclave-app and the gateway are the programs of the demo. What is different is who asks: the folder holds
//! what a service would publish, and the policy by which it is judged is made out of `strict` by whoever is to trust it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::pin;

use super::child::Child;
use super::interrupted;
use super::path::read;
use super::published::{FILES, OTHER_VALUES, OWN_GATEWAY, Published, ROOT, SAMPLE, VALUES};
use super::stage::{Instance, MODEL, Place};

/// Where the gateway listens unless it is told to listen elsewhere.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Reads the value of `--listen`. Forged hardware is served to nobody but its maker.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:8081".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("expected a loopback address: it is forged".to_owned()) }
}

/// Serves until it is asked to end; an error if it was before everything stood, or if a program ended by itself.
pub(super) async fn serve(place: &Place, folder: &Path, listen: SocketAddr) -> Result<(), String> {
    say!(
        "FORGED HARDWARE: this proves the plumbing, not the silicon. A forged AMD, whose keys lie in this machine's memory,"
    );
    say!("vouches for a guest that is an ordinary process here. Send it nothing that is a secret.\n");
    let mut ended = pin!(interrupted());
    let mut served = tokio::select! {
        served = Served::start(place, folder, listen) => served?,
        signal = &mut ended => return Err(signal),
    };
    let outcome = tokio::select! {
        why = served.gone() => Err(why),
        signal = &mut ended => Ok(signal),
    };
    served.end().await;
    say!("{}", outcome?);
    Ok(())
}

/// Everything that runs, and the folder that says where.
struct Served {
    published: Published,
    instance: Instance,
    gateway: Child,
}

impl Served {
    async fn start(place: &Place, folder: &Path, listen: SocketAddr) -> Result<Self, String> {
        // First: whoever listens there may be a run whose folder this is.
        is_free(listen)?;
        let published = Published::into(folder)?;
        let instance = Instance::start(place, "served", &[]).await?;
        let policy = instance.forged.strict_policy()?;
        let gateway = instance.gateway_at(&listen.to_string(), place, "gateway", &policy).await?;
        let address = gateway.address("listening")?;
        // Nothing is announced before it has been asked as whoever reads the folder will ask it.
        instance.client(&address, &policy).await?.map_err(|error| error.to_string())?;
        published.describe(&instance.forged, &read(place, "sample.json")?)?;
        published.configure(&instance.address()?, &policy, &instance.endorsements())?;
        let url = format!("http://{address}");
        published.announce(&url)?;

        let (guest_id, enclave_id) = instance.processes();
        say!("started    forge-guest (process {guest_id}): FORGED hardware, it signs whatever it is asked to");
        say!("           enclave-app (process {enclave_id}): holds the only keys; runs {MODEL} in ONNX Runtime");
        say!("           teegate-gateway (process {}): lets ciphertext through, and cannot read it", gateway.id());
        say!("wrote      {} into {}", FILES.join(", "), published.folder().display());
        say_what_is_next(&url, published.folder());
        // The last line, so that whoever waits for it has the rest.
        say!("\nserving    {url} until Ctrl-C");
        Ok(Self { published, instance, gateway })
    }

    /// Ends when a program has ended that nobody has asked to, and says which.
    async fn gone(&mut self) -> String {
        tokio::select! {
            why = self.instance.gone() => why,
            why = self.gateway.gone() => why,
        }
    }

    /// Ends every program and waits until it is gone.
    async fn end(self) {
        drop(self.published);
        self.gateway.end().await;
        self.instance.end().await;
    }
}

/// The commands of the README, with this run's address and folder.
fn say_what_is_next(url: &str, folder: &Path) {
    let file = |name: &str| shell_word(&folder.join(name).display().to_string());
    let (root, sample) = (file(ROOT), file(SAMPLE));
    let fill = |values: &str, policy: &str| {
        say!("  teegate policy fill strict --reference-values {values} --root amd={root} --output {policy}");
    };
    let infer = |policy: &str| {
        say!("  teegate infer --gateway {url} --model {MODEL} --input {sample} --policy {policy}");
    };
    say!(
        "Next, in another terminal: a policy that trusts this forged root and expects this code, and a request under it"
    );
    fill(&file(VALUES), "served.toml");
    say!("  teegate models --gateway {url} --policy served.toml {MODEL}");
    infer("served.toml");
    say!("The same from who expects other code: nothing is sent, status 4");
    fill(&file(OTHER_VALUES), "other.toml");
    infer("other.toml");
    say!("A gateway of your own before the same enclave-app, at 127.0.0.1:8090");
    say!("  teegate-gateway --config {}", file(OWN_GATEWAY));
}

/// One word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Told at once and in plain words, rather than by the gateway's last ones.
fn is_free(listen: SocketAddr) -> Result<(), String> {
    TcpListener::bind(listen).map(drop).map_err(|cause| {
        format!(
            "nobody can listen on {listen}: {cause}; name another place with `--listen 127.0.0.1:8081`, or with port 0 for any \
             that is free: `gateway.url` then says which"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_taken_or_everybodys_is_refused() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = is_free(address).unwrap_err();
        assert!(refused.starts_with(&format!("nobody can listen on {address}: ")), "{refused}");
        assert!(refused.contains("`--listen 127.0.0.1:8081`"), "{refused}");
        // Not the place that was taken: a child that another test is about to start may hold it a little longer.
        is_free("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(loopback("127.0.0.1:8080"), Ok(LISTEN));
        loopback("[::1]:0").unwrap();
        assert!(loopback("0.0.0.0:8080").unwrap_err().contains("expected a loopback address"));
        assert!(loopback("8080").unwrap_err().contains("such as 127.0.0.1:8081"));
    }

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        for text in ["/tmp/served/a.pem", "/tmp/my files/a.pem", "/tmp/it's $HOME/a.pem", "/tmp/ä;b"] {
            let line = format!("printf %s {}", shell_word(text));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
        assert_eq!(shell_word("/tmp/served/a.pem"), "/tmp/served/a.pem");
    }
}
