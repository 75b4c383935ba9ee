//! The disk of a gateway is full: of its state, of the vendors' answers and of refused evidence. The disk is a small one of its own, in
//! a mount namespace; where the kernel allows none, the test says that it was skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use teegate_tests::harness::{Enclave, Gateway, Guest, Program, Scratch, eventually, note};

use super::load::{Held, LIMITS, Load, seconds};

/// Mounts a small disk and becomes the program. The words are the folder, then the program and its arguments.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=512k,mode=700 tmpfs "$0" && exec "$@""#;

/// The disk as the program sees it.
struct Disk(PathBuf);

impl Disk {
    fn of(program: &Program, folder: &Path) -> Self {
        Self(PathBuf::from(format!("/proc/{}/root{}", program.id(), folder.display())))
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("fill")).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("fill")).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

fn is_possible(folder: &Path) -> bool {
    let tried = Command::new("unshare").args(["-rm", "sh", "-c", ON_A_SMALL_DISK]).arg(folder).arg("true").status();
    tried.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_no_request_and_spoils_nothing_that_is_on_it() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    if !is_possible(&folder) {
        note("skipped: a full disk: no mount namespaces here");
        return;
    }
    let guest = Guest::start(&scratch, "guest", &["--services", "127.0.0.1:0"]).await;
    let enclave = Enclave::start(&scratch, "enclave", &guest).await;
    // Somebody whose evidence is refused, and so kept.
    let false_guest = Guest::start(&scratch, "false-guest", &[]).await;
    let false_enclave = Enclave::start(&scratch, "false-enclave", &false_guest).await;
    let policy = |version: u64| format!("version = {version}\n{}", guest.policy());
    let file = scratch.write("policy.toml", &policy(1));
    let config = scratch.write(
        "gateway.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\noperator_listen = \"127.0.0.1:0\"\npolicy = {file:?}\nendorsements = [{:?}]\n\
             instances = [{:?}, {:?}]\nreattest_seconds = 1\nretry_seconds = 1\nadmission = \"none\"\n\
             state_dir = {:?}\nrefused_dir = {:?}\n{LIMITS}[reload]\nseconds = 1\n\
             [collateral]\nonline = true\nsources = [\"kds=http://{}\"]\ncache = {:?}\n",
            guest.endorsements(),
            enclave.address,
            false_enclave.address,
            folder.join("state"),
            folder.join("refused"),
            guest.program.address("services"),
            folder.join("cache"),
        ),
    );
    let wrapper = ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, &folder.display().to_string()];
    let arguments = ["--config", config.as_str()];
    let program = Program::start_by(&scratch, "gateway", &wrapper, "teegate-gateway", &arguments).await;
    let gateway = Gateway { address: program.address("listening"), program };
    gateway.attested().await;
    let disk = Disk::of(&gateway.program, &folder);
    let kept = "teegate_gateway_refused_kept_total{outcome=\"kept\"} 1";
    eventually("refused evidence is kept", async || gateway.metrics().await.contains(kept).then_some(())).await;

    let load = Load::begin(&gateway).await;
    let held = Held::by(&gateway.program);
    let (mut filled, mut version) = (0_u64, 1);
    while filled == 0 || load.is_due() {
        let before = disk.read("state/policy.json");
        assert!(before.contains(&format!("\"version\":{version}")), "{before}");
        disk.fill();
        filled += 1;
        // What the operator wants now counts now, whether or not the next start knows of it.
        version += 1;
        scratch.write("policy.toml", &policy(version));
        in_force(&gateway, version).await;
        load.goes_on("under a new policy, on a full disk").await;
        assert_eq!(disk.read("state/policy.json"), before, "what was there is there whole");
        let said = String::from_utf8(scratch.said()).unwrap();
        let words = "the policy in force is not kept for the next start";
        assert!(said.matches(words).count() >= usize::try_from(filled).unwrap(), "it says so");

        disk.empty();
        version += 1;
        scratch.write("policy.toml", &policy(version));
        in_force(&gateway, version).await;
        eventually("it is kept again", async || {
            disk.read("state/policy.json").contains(&format!("\"version\":{version}")).then_some(())
        })
        .await;
        load.goes_on("when there is room again").await;
    }
    held.is_held_again_by(&gateway.program).await;
    let faults = format!("{filled} times a full disk, {} policies, {} s", version - 1, seconds());
    load.end("disk", &scratch, vec![("enclave", enclave)], &faults).await;
}

/// Waits until the policy of this version is in force.
async fn in_force(gateway: &Gateway, version: u64) {
    // The gateway counts the policies of its process, from one.
    let line = format!("teegate_gateway_policy_version {version}");
    eventually(&line, async || gateway.metrics().await.lines().any(|own| own == line).then_some(())).await;
}
