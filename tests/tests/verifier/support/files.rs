//! A subject as its user would have it, in files, and the command that is run on them.

use std::process::{Command, Output};

use serde_json::Value;
use teegate_tests::harness::{Scratch, binary};
use teegate_verifier::UnixTime;

use crate::subject::Subject;

/// A forged device's evidence, endorsements and policy, as files.
pub(crate) struct Files {
    pub(crate) scratch: Scratch,
    pub(crate) evidence: String,
    pub(crate) policy: String,
    pub(crate) at: String,
    log: Option<String>,
}

impl Files {
    pub(crate) fn of(subject: &Subject) -> Self {
        let scratch = Scratch::new();
        let write = |name: String, bytes: &[u8]| std::fs::write(scratch.path().join(name), bytes).unwrap();
        std::fs::create_dir(scratch.path().join("endorsements")).unwrap();
        let pool = &subject.pool;
        for (number, der) in pool.certificates.iter().chain(&pool.crls).enumerate() {
            write(format!("endorsements/{number}.der"), der);
        }
        for (member, signed) in [("tcbInfo", &pool.tcb_infos), ("enclaveIdentity", &pool.qe_identities)] {
            for json in signed {
                let signature = hex::encode(json.signature);
                let answer = format!("{{\"{member}\":{},\"signature\":\"{signature}\"}}", json.body);
                write(format!("endorsements/{member}.json"), answer.as_bytes());
            }
        }
        write("evidence.bin".to_owned(), &subject.evidence);
        let log = subject.event_log.as_ref().map(|log| {
            write("event-log.bin".to_owned(), log);
            scratch.path().join("event-log.bin").display().to_string()
        });
        let policy = scratch.write("policy.toml", &subject.policy.to_toml());
        let evidence = scratch.path().join("evidence.bin").display().to_string();
        Self { scratch, evidence, policy, log, at: UnixTime::from_seconds(subject.now).to_string() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// The options that `verify` and `bundle create` share.
    pub(crate) fn options(&self) -> [String; 7] {
        let endorsements = self.path("endorsements");
        let [policy, at] = [&self.policy, &self.at].map(Clone::clone);
        ["--endorsements", &endorsements, "--policy", &policy, "--at", &at, &self.evidence].map(str::to_owned)
    }

    pub(crate) fn create(&self, output: &str, more: &[&str]) -> Output {
        let mut command = Command::new(binary("teegate"));
        command.args(["bundle", "create"]).args(self.options()).args(["--output", output]).args(more);
        command.args(self.log.iter().flat_map(|log| ["--event-log", log]));
        command.output().unwrap()
    }
}

pub(crate) fn teegate(arguments: &[&str]) -> Output {
    Command::new(binary("teegate")).args(arguments).output().unwrap()
}

pub(crate) fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The report as `verify --format json` gives it.
pub(crate) fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output.stderr)))
}
