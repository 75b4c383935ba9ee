//! What the operator may choose, and nothing that could weaken confidentiality.
//!
//! The configuration file is not measured: whoever runs the host chooses it. So there is no key in it for an exporter,
//! a dump, a body in a log or an attester that signs anything; every number has bounds, and the digest of the
//! *effective* configuration (defaults filled in) stands in the manifest, where a client's policy can ask for the one
//! it expects.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use teegate_attester::azure_vtpm;
use teegate_attester::coco::Coco;
use teegate_attester::imds::Imds;
use teegate_encoding::hex;
use teegate_protocol::oip::version_order;

use crate::batch::{Batching, PAUSE};
use crate::engine::process::Limits as ProcessLimits;
use crate::model::on_a_line;
use crate::model::repository::Found;
use crate::model::repository::MAX_FOUND;
use crate::workers::Settings;

/// The largest configuration file that is read.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// Most models that one instance serves; the manifest allows no more.
const MAX_MODELS: usize = MAX_FOUND;

/// The effective configuration: what the file says, with every default filled in.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port of the TLS listener; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The ONNX Runtime library. Its digest is compiled in, so this path chooses a file and not its content.
    #[serde(default = "default_onnxruntime")]
    pub onnxruntime: PathBuf,
    /// Where evidence comes from.
    pub attester: AttesterConfig,
    /// A folder of models, each of which is served in every version: `NAME/VERSION/model.onnx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_repository: Option<PathBuf>,
    /// The models that this instance serves beside those, with them at least one.
    #[serde(default)]
    pub models: Vec<ModelConfig>,
    /// Lifetimes of the sealing keys.
    #[serde(default)]
    pub epochs: Epochs,
    /// Sizes, counts and times.
    #[serde(default)]
    pub limits: Limits,
}

/// The sources of evidence. Where each is asked weakens nothing: evidence convinces by its signatures, over a digest that anybody may see.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AttesterConfig {
    /// The Confidential Containers guest API, on the loopback interface of this pod.
    Coco {
        /// `http://IP:PORT`, where `IP` is a loopback address.
        #[serde(default = "default_coco_url")]
        coco_url: String,
    },
    /// The kernel's configfs-tsm, at its fixed place.
    ConfigfsTsm {},
    /// The vTPM of an Azure confidential VM, and the metadata service of its host.
    AzureVtpm {
        /// The TPM, a character device.
        #[serde(default = "default_tpm")]
        device: PathBuf,
        /// `http://IP[:PORT]`, where `IP` is a link-local or loopback address.
        #[serde(default = "default_imds_url")]
        imds_url: String,
        /// The event log of the boot, which goes along where it is there.
        #[serde(default = "default_tpm_log")]
        event_log: PathBuf,
    },
    /// Confidential Azure Container Instances: the security context in the one folder `/security-context-*`, and configfs-tsm.
    Aci {},
}

/// One version of a model: a name and a version to ask for it by, and one ONNX file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name in the request path: letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// Version, of the same letters. A request that names none means the highest number.
    pub version: String,
    /// The ONNX file, or the folder of an OCI image layout with one in it; external data is refused.
    pub path: PathBuf,
    /// SHA-256 that the ONNX file has to have, 64 digits of lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Which manifest of an OCI image layout: its digest, `sha256:…`, or its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci_manifest: Option<String>,
    /// Whether requests to it share runs; without the table none does. It is left out of the effective configuration where
    /// it is not there, whose digest is then what it always was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batching: Option<BatchingConfig>,
}

/// How requests to a model share runs. Requests are sealed, so that no caller can be told from another: sharing is always
/// sharing with strangers, and the manifest says so.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchingConfig {
    /// Most rows of a run, all its requests together: 2 to 1024.
    pub max_rows: usize,
    /// How many microseconds a request waits for others, from its arrival: 0, which joins only what waits already, to
    /// 1,000,000.
    #[serde(default)]
    pub max_delay_microseconds: u64,
    /// `true`, written out: requests of different callers are computed side by side in one process.
    pub across_callers: bool,
}

/// Lifetimes of the sealing keys. Shorter than the defaults is allowed, longer is not; the manifest shows the result.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Epochs {
    /// How long clients seal to one key, 2 to 3600 s.
    pub seconds: u64,
    /// How long the previous key still opens, 1 to 600 s and no longer than an epoch, so that there are never more than
    /// two keys.
    pub grace_seconds: u64,
}

/// Sizes, counts and times, each with its bounds.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Runs of each model at once, each in a process of its own: 1 to 64.
    pub workers_per_model: usize,
    /// Processes of each model that are loaded beside those, and take the place of one that was lost: 0 to 8.
    pub spare_workers: usize,
    /// Threads that one run may use: 1 to 256.
    pub threads_per_worker: usize,
    /// Requests that may wait for a model's workers before the answer is `busy`: 1 to 4096.
    pub queue: usize,
    /// A process that has not loaded its model after this many seconds is ended, and so is start-up: 1 to 3600.
    pub load_deadline_seconds: u64,
    /// What a process may take while it loads its model, beside three times the model's file: 16 MiB to 1 TiB.
    pub load_memory_bytes: u64,
    /// A request is answered after this many milliseconds, its time in the queue included: 10 to 600,000.
    pub run_deadline_ms: u64,
    /// A run that is still not through so many milliseconds later ends with its process: 0 to 60,000.
    pub run_grace_ms: u64,
    /// What a run may take beside what its process holds when the model is loaded: 16 MiB to 1 TiB.
    pub run_memory_bytes: u64,
    /// After so many runs another process takes the place of one: 1 to 2^32.
    pub renew_worker_after: u64,
    /// The largest sealed request or answer in bytes: 64 KiB to 64 MiB.
    pub sealed_body_bytes: usize,
    /// Bytes of memory for requests and answers in every form, over all connections: at least twice `sealed_body_bytes`
    /// and 64 KiB more, at most 4 GiB.
    pub in_flight_bytes: usize,
    /// Open connections: 1 to 4096.
    pub connections: usize,
    /// Runs for which one key opens a request before only `busy` is answered: 64 to 2^20. Requests that are just being opened count
    /// too, and there can be a few dozen of them.
    pub replay_capacity: usize,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { seconds: 3600, grace_seconds: 600 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers_per_model: 1,
            spare_workers: 1,
            threads_per_worker: 1,
            queue: 64,
            load_deadline_seconds: 300,
            load_memory_bytes: 64 << 20,
            run_deadline_ms: 30_000,
            run_grace_ms: 500,
            run_memory_bytes: 1 << 30,
            renew_worker_after: 100_000,
            sealed_body_bytes: 64 << 20,
            in_flight_bytes: 512 << 20,
            connections: 256,
            replay_capacity: 1 << 20,
        }
    }
}

fn default_onnxruntime() -> PathBuf {
    PathBuf::from("/opt/teegate/lib/libonnxruntime.so")
}

fn default_tpm() -> PathBuf {
    PathBuf::from(azure_vtpm::DEVICE)
}

fn default_tpm_log() -> PathBuf {
    PathBuf::from(azure_vtpm::EVENT_LOG)
}

fn default_imds_url() -> String {
    "http://169.254.169.254".to_owned()
}

fn default_coco_url() -> String {
    "http://127.0.0.1:8006".to_owned()
}

impl BatchingConfig {
    fn check(&self, limits: &Limits) -> Result<(), ConfigError> {
        bounds("models.batching.max_rows", self.max_rows as u64, 2..=1024, "2 to 1024 rows")?;
        let delay = self.max_delay_microseconds;
        bounds("models.batching.max_delay_microseconds", delay, 0..=1_000_000, "0 to 1000000 microseconds")?;
        form(
            "models.batching.max_delay_microseconds",
            &delay.to_string(),
            Duration::from_micros(delay) < limits.run_deadline(),
            "less than `limits.run_deadline_ms`, which counts from a request's arrival",
        )?;
        form(
            "models.batching.across_callers",
            "false",
            self.across_callers,
            "`true`: requests are sealed, so that those of one caller cannot be told from others'; leave the table out to join none",
        )
    }
}

impl Epochs {
    /// Length of an epoch.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How long the previous epoch's key still opens.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

impl Limits {
    /// What the largest message needs: the message and its tensors, or the answer and what it is sealed into.
    pub fn least_in_flight_bytes(&self) -> usize {
        self.sealed_body_bytes.saturating_mul(2).saturating_add(64 << 10)
    }

    /// What one process of a model may have, and for how long.
    pub fn of_a_process(&self) -> ProcessLimits {
        ProcessLimits {
            threads: self.threads_per_worker,
            load_memory_bytes: self.load_memory_bytes,
            run_memory_bytes: self.run_memory_bytes,
            load_deadline: Duration::from_secs(self.load_deadline_seconds),
            grace: Duration::from_millis(self.run_grace_ms),
            // No request can pay for more.
            input_bytes: self.in_flight_bytes as u64,
            output_bytes: self.sealed_body_bytes as u64,
            renew_after_runs: self.renew_worker_after,
        }
    }

    /// How a model's workers share the work, and its requests a run.
    pub fn of_a_model(&self, model: &ModelConfig) -> Settings {
        Settings {
            places: self.workers_per_model,
            queue: self.queue,
            deadline: self.run_deadline(),
            batching: model.batching.as_ref().map(|batching| Batching {
                max_rows: batching.max_rows,
                max_delay: Duration::from_micros(batching.max_delay_microseconds),
                pause: PAUSE,
            }),
        }
    }

    /// The time from a request's arrival in the queue to the end of its run.
    pub fn run_deadline(&self) -> Duration {
        Duration::from_millis(self.run_deadline_ms)
    }
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not what is described here: the message holds line and column.
    Invalid(toml::de::Error),
    /// A value is outside its bounds.
    OutOfBounds {
        /// The key, with its table.
        key: &'static str,
        /// What stands there.
        actual: u64,
        /// What may stand there.
        expected: &'static str,
    },
    /// A value does not have the required form.
    Form {
        /// The key, with its table.
        key: &'static str,
        /// What stands there.
        actual: String,
        /// What may stand there.
        expected: &'static str,
    },
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(f, "configuration `{}` cannot be read: {source}", path.display())
            }
            Self::Invalid(source) => write!(f, "configuration is not valid: {}", source.to_string().trim_end()),
            Self::OutOfBounds { key, actual, expected } => {
                write!(f, "configuration: `{key}` is {actual}, expected {expected}")
            }
            Self::Form { key, actual, expected } => {
                // Folders of models name some of these.
                write!(f, "configuration: `{key}` is `{}`, expected {expected}", on_a_line(actual))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, the line or the key, and what was expected there.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_CONFIG_BYTES + 1), &mut text)
            .map_err(unreadable)?;
        bounds("length of the file in bytes", read as u64, 0..=MAX_CONFIG_BYTES, "at most 65536")?;
        Self::parse(&text)
    }

    /// Parses and checks the text of a configuration.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(ConfigError::Invalid)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let l = &self.limits;
        bounds("epochs.seconds", self.epochs.seconds, 2..=3600, "2 to 3600 seconds")?;
        bounds(
            "epochs.grace_seconds",
            self.epochs.grace_seconds,
            1..=self.epochs.seconds.min(600),
            "1 to 600 seconds, and no more than `epochs.seconds`",
        )?;
        bounds("limits.workers_per_model", l.workers_per_model as u64, 1..=64, "1 to 64")?;
        bounds("limits.spare_workers", l.spare_workers as u64, 0..=8, "0 to 8")?;
        bounds("limits.threads_per_worker", l.threads_per_worker as u64, 1..=256, "1 to 256")?;
        bounds("limits.queue", l.queue as u64, 1..=4096, "1 to 4096")?;
        bounds("limits.load_deadline_seconds", l.load_deadline_seconds, 1..=3600, "1 to 3600 seconds")?;
        let memory = "16777216 (16 MiB) to 1099511627776 (1 TiB)";
        bounds("limits.load_memory_bytes", l.load_memory_bytes, 16 << 20..=1 << 40, memory)?;
        bounds("limits.run_deadline_ms", l.run_deadline_ms, 10..=600_000, "10 to 600000 milliseconds")?;
        bounds("limits.run_grace_ms", l.run_grace_ms, 0..=60_000, "0 to 60000 milliseconds")?;
        bounds("limits.run_memory_bytes", l.run_memory_bytes, 16 << 20..=1 << 40, memory)?;
        bounds("limits.renew_worker_after", l.renew_worker_after, 1..=1 << 32, "1 to 4294967296 (2^32) runs")?;
        bounds(
            "limits.sealed_body_bytes",
            l.sealed_body_bytes as u64,
            64 << 10..=64 << 20,
            "65536 (64 KiB) to 67108864 (64 MiB)",
        )?;
        bounds(
            "limits.in_flight_bytes",
            l.in_flight_bytes as u64,
            l.least_in_flight_bytes() as u64..=4 << 30,
            "twice `limits.sealed_body_bytes` and 65536 (64 KiB) more, to 4294967296 (4 GiB)",
        )?;
        bounds("limits.connections", l.connections as u64, 1..=4096, "1 to 4096")?;
        bounds("limits.replay_capacity", l.replay_capacity as u64, 64..=1 << 20, "64 to 1048576 (2^20)")?;
        let least = u64::from(self.model_repository.is_none());
        let expected = "1 to 64 tables `[[models]]`, or none beside `model_repository`";
        bounds("models (how many)", self.models.len() as u64, least..=MAX_MODELS as u64, expected)?;
        check_models(&self.models, l)?;
        match &self.attester {
            AttesterConfig::Coco { coco_url } => form(
                "attester.coco_url",
                coco_url,
                coco_url.parse::<Coco>().is_ok(),
                "`http://IP:PORT` with a loopback IP, such as `http://127.0.0.1:8006`",
            )?,
            AttesterConfig::AzureVtpm { imds_url, .. } => form(
                "attester.imds_url",
                imds_url,
                imds_url.parse::<Imds>().is_ok(),
                "`http://IP` or `http://IP:PORT` with a link-local or loopback IP, such as `http://169.254.169.254`",
            )?,
            AttesterConfig::ConfigfsTsm {} | AttesterConfig::Aci {} => {}
        }
        Ok(())
    }

    /// The models of this file and those that were found in its folder of models, in the order in which the manifest has
    /// them: by name as they come, and of each name the highest version first.
    ///
    /// # Errors
    /// [`ConfigError`] when there are too many, or a name and version stand there twice, or cannot stand in a path.
    pub fn models_with(&self, found: Vec<Found>) -> Result<Vec<ModelConfig>, ConfigError> {
        let found = found.into_iter().map(|Found { name, version, path }| ModelConfig {
            name,
            version,
            path,
            sha256: None,
            oci_manifest: None,
            batching: None,
        });
        let mut models: Vec<ModelConfig> = self.models.iter().cloned().chain(found).collect();
        let expected = "1 to 64, those of `model_repository` counted";
        bounds("models (how many)", models.len() as u64, 1..=MAX_MODELS as u64, expected)?;
        check_models(&models, &self.limits)?;
        let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
        let place = |model: &ModelConfig| names.iter().position(|name| *name == model.name);
        models.sort_by(|one, other| {
            place(one).cmp(&place(other)).then_with(|| version_order(&other.version, &one.version))
        });
        Ok(models)
    }

    /// The effective configuration as canonical text: compact JSON, members in the order of this file, every default
    /// written out.
    ///
    /// # Errors
    /// When a path is not UTF-8, which no file that [`Config::parse`] read can cause.
    pub fn effective(&self) -> Result<String, ConfigError> {
        serde_json::to_string(self).map_err(|source| ConfigError::Form {
            key: "path",
            actual: source.to_string(),
            expected: "UTF-8",
        })
    }

    /// SHA-256 of [`Config::effective`], as the manifest's `config_sha256` shows it.
    ///
    /// # Errors
    /// As [`Config::effective`].
    pub fn digest(&self) -> Result<[u8; 32], ConfigError> {
        Ok(Sha256::digest(self.effective()?.as_bytes()).into())
    }
}

/// Words that can stand in a path, and each name with each version once.
fn check_models(models: &[ModelConfig], limits: &Limits) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for model in models {
        let word = "1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or digit";
        form("models.name", &model.name, is_word(&model.name), word)?;
        form("models.version", &model.version, is_word(&model.version), word)?;
        let twice = "each version of a name once";
        form("models.version", &model.version, seen.insert((&model.name, &model.version)), twice)?;
        if let Some(sha256) = &model.sha256 {
            let is_digest = sha256.len() == 64 && hex::decode(sha256).is_ok() && *sha256 == sha256.to_lowercase();
            form("models.sha256", sha256, is_digest, "64 digits of lower-case hex")?;
        }
        model.batching.as_ref().map_or(Ok(()), |batching| batching.check(limits))?;
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn bounds(
    key: &'static str,
    actual: u64,
    range: std::ops::RangeInclusive<u64>,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&actual) { Ok(()) } else { Err(ConfigError::OutOfBounds { key, actual, expected }) }
}

fn form(key: &'static str, actual: &str, holds: bool, expected: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Form { key, actual: actual.to_owned(), expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        listen = "127.0.0.1:0"
        [attester]
        source = "coco"
        [[models]]
        name = "m"
        version = "1"
        path = "model.onnx"
    "#;

    #[test]
    fn defaults_are_filled_in_and_the_digest_covers_them() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.limits.sealed_body_bytes, 64 << 20);
        let spelled_out = Config::parse(&format!("{GOOD}\n[epochs]\nseconds = 3600\ngrace_seconds = 600\n")).unwrap();
        assert_eq!(config.digest().unwrap(), spelled_out.digest().unwrap());
        let shorter = Config::parse(&format!("{GOOD}\n[epochs]\nseconds = 2\ngrace_seconds = 1\n")).unwrap();
        assert_ne!(config.digest().unwrap(), shorter.digest().unwrap());
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_line() {
        for extra in ["[otlp]\nendpoint = \"http://collector\"", "[limits]\nlog_bodies = true", "[epochs]\ndays = 1"] {
            let message = Config::parse(&format!("{GOOD}\n{extra}\n")).unwrap_err().to_string();
            assert!(message.contains("unknown field") && message.contains("line"), "{message}");
        }
        for extra in ["coco_url = \"http://127.0.0.1:1\"\nevidence = \"file\"", "simulate = true"] {
            let text = GOOD.replace("source = \"coco\"", &format!("source = \"coco\"\n{extra}"));
            let message = Config::parse(&text).unwrap_err().to_string();
            assert!(message.contains("unknown field"), "{message}");
        }
        let message = Config::parse(&GOOD.replace("\"coco\"", "\"simulator\"")).unwrap_err().to_string();
        assert!(message.contains("unknown variant `simulator`"), "{message}");
    }

    #[test]
    fn every_number_has_bounds() {
        for (table, key, value) in [
            ("epochs", "seconds", 3601_u64),
            ("epochs", "seconds", 1),
            ("epochs", "grace_seconds", 601),
            ("limits", "workers_per_model", 0),
            ("limits", "threads_per_worker", 257),
            ("limits", "queue", 0),
            ("limits", "load_deadline_seconds", 0),
            ("limits", "load_deadline_seconds", 3601),
            ("limits", "spare_workers", 9),
            ("limits", "load_memory_bytes", (16 << 20) - 1),
            ("limits", "run_deadline_ms", 600_001),
            ("limits", "run_grace_ms", 60_001),
            ("limits", "run_memory_bytes", (1 << 40) + 1),
            ("limits", "renew_worker_after", 0),
            ("limits", "sealed_body_bytes", (64 << 20) + 1),
            ("limits", "in_flight_bytes", (128 << 20) + (64 << 10) - 1),
            ("limits", "connections", 0),
            ("limits", "replay_capacity", (1 << 20) + 1),
        ] {
            match Config::parse(&format!("{GOOD}\n[{table}]\n{key} = {value}\n")) {
                Err(ConfigError::OutOfBounds { key: named, actual, .. }) => {
                    assert_eq!((named, actual), (format!("{table}.{key}").as_str(), value));
                }
                other => panic!("{table}.{key} = {value}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_metadata_service_is_asked_on_this_machine_only() {
        let azure =
            |more: &str| Config::parse(&GOOD.replace("source = \"coco\"", &format!("source = \"azure-vtpm\"\n{more}")));
        match azure("").map(|config| config.attester) {
            Ok(AttesterConfig::AzureVtpm { device, imds_url, event_log }) => {
                assert_eq!((device, imds_url.as_str()), ("/dev/tpmrm0".into(), "http://169.254.169.254"));
                assert_eq!(event_log.as_os_str(), "/sys/kernel/security/tpm0/binary_bios_measurements");
            }
            other => panic!("{other:?}"),
        }
        azure("device = \"/dev/tpmrm1\"\nimds_url = \"http://127.0.0.1:8080\"\nevent_log = \"/tmp/log\"").unwrap();
        for url in ["http://10.0.0.1", "https://169.254.169.254", "http://metadata", "169.254.169.254"] {
            match azure(&format!("imds_url = \"{url}\"")) {
                Err(ConfigError::Form { key: "attester.imds_url", actual, .. }) => assert_eq!(actual, url),
                other => panic!("{url}: {other:?}"),
            }
        }
        assert!(matches!(azure("coco_url = \"http://127.0.0.1:1\""), Err(ConfigError::Invalid(_))));
    }

    #[test]
    fn the_guest_api_is_asked_on_loopback_only() {
        for url in [
            "http://10.0.0.1:8006",
            "https://127.0.0.1:8006",
            "http://localhost:8006",
            "http://127.0.0.1:8006/aa",
            "http://127.0.0.1",
        ] {
            let text = GOOD.replace("source = \"coco\"", &format!("source = \"coco\"\ncoco_url = \"{url}\""));
            match Config::parse(&text) {
                Err(ConfigError::Form { key: "attester.coco_url", actual, .. }) => assert_eq!(actual, url),
                other => panic!("{url}: {other:?}"),
            }
        }
    }

    #[test]
    fn model_names_are_words_and_occur_once() {
        for name in ["", "../x", "a/b", "é", ".hidden"] {
            let text = GOOD.replace("name = \"m\"", &format!("name = \"{name}\""));
            assert!(matches!(Config::parse(&text), Err(ConfigError::Form { key: "models.name", .. })), "{name}");
        }
        let model = |version: &str| format!("\n[[models]]\nname = \"m\"\nversion = \"{version}\"\npath = \"o.onnx\"\n");
        let message = Config::parse(&format!("{GOOD}{}", model("1"))).unwrap_err().to_string();
        assert!(message.contains("`models.version` is `1`, expected each version of a name once"), "{message}");
        assert_eq!(Config::parse(&format!("{GOOD}{}", model("2"))).unwrap().models.len(), 2);
    }

    #[test]
    fn models_of_a_folder_stand_beside_the_others_the_highest_version_first() {
        let config = Config::parse(&format!("model_repository = \"/models\"\n{GOOD}")).unwrap();
        let found = |name: &str, version: &str| Found {
            name: name.into(),
            version: version.into(),
            path: format!("/models/{name}/{version}/model.onnx").into(),
        };
        let names = |found: Vec<Found>| {
            let models = config.models_with(found).map_err(|error| error.to_string())?;
            Ok::<_, String>(models.iter().map(|model| format!("{}/{}", model.name, model.version)).collect::<Vec<_>>())
        };
        let listed = names(vec![found("a", "9"), found("a", "10"), found("m", "2")]).unwrap();
        assert_eq!(listed, ["m/2", "m/1", "a/10", "a/9"]);
        let error = names(vec![found("m", "1")]).unwrap_err();
        assert!(error.contains("each version of a name once"), "{error}");
        assert!(names(vec![found("a b", "1")]).unwrap_err().contains("`models.name` is `a b`"));
        assert!(names(vec![found("a\u{1b}[2Jb", "1")]).unwrap_err().contains("`models.name` is `a [2Jb`"));
        let many = |count: usize| (0..count).map(|number| found(&format!("n{number}"), "1")).collect();
        assert!(names(many(63)).is_ok());
        assert!(names(many(64)).unwrap_err().contains("`models (how many)` is 65, expected 1 to 64"));
        // Alone it is enough, and nothing is not.
        let (head, _) = GOOD.split_once("[[models]]").unwrap();
        let alone = Config::parse(&format!("model_repository = \"/models\"\n{head}")).unwrap();
        assert!(alone.models.is_empty());
        let nothing = alone.models_with(vec![]).unwrap_err().to_string();
        assert!(nothing.contains("`models (how many)` is 0, expected 1 to 64"), "{nothing}");
        assert_eq!(alone.models_with(vec![found("m", "1")]).unwrap().len(), 1);
        assert!(Config::parse(head).unwrap_err().to_string().contains("`models (how many)` is 0"));
    }

    #[test]
    fn a_digest_is_written_in_one_way() {
        let with = |key: &str, value: &str| Config::parse(&format!("{GOOD}\n{key} = \"{value}\"\n"));
        let digest = "0f".repeat(32);
        assert_eq!(with("sha256", &digest).unwrap().models[0].sha256, Some(digest.clone()));
        assert!(with("oci_manifest", "v1").is_ok());
        for wrong in
            [digest.to_uppercase(), digest.replace('0', "g"), digest.replacen('0', "", 1), format!("sha256:{digest}")]
        {
            let error = with("sha256", &wrong).unwrap_err().to_string();
            assert!(error.contains("`models.sha256` is"), "{error}");
        }
        // What is not said changes no digest of a configuration.
        assert!(!Config::parse(GOOD).unwrap().effective().unwrap().contains("null"));
    }

    #[test]
    fn whoever_joins_requests_says_that_they_are_strangers() {
        let with = |keys: &str| Config::parse(&format!("{GOOD}\n[models.batching]\n{keys}\n"));
        let config = with("max_rows = 32\nacross_callers = true").unwrap();
        let settings = config.limits.of_a_model(&config.models[0]);
        let expected = Batching { max_rows: 32, max_delay: Duration::ZERO, pause: PAUSE };
        assert_eq!(settings.batching, Some(expected));
        let config = with("max_rows = 2\nmax_delay_microseconds = 1500\nacross_callers = true").unwrap();
        let settings = config.limits.of_a_model(&config.models[0]);
        let expected = Batching { max_rows: 2, max_delay: Duration::from_micros(1500), pause: PAUSE };
        assert_eq!(settings.batching, Some(expected));
        let words = with("max_rows = 32\nacross_callers = false").unwrap_err().to_string();
        assert!(words.contains("`models.batching.across_callers` is `false`, expected `true`: requests are sealed"));
        let within = |micros: u64| {
            let batching =
                format!("[models.batching]\nmax_rows = 2\nacross_callers = true\nmax_delay_microseconds = {micros}");
            Config::parse(&format!("{GOOD}\n{batching}\n[limits]\nrun_deadline_ms = 10\n"))
        };
        assert!(within(9_999).is_ok());
        let words = within(10_000).unwrap_err().to_string();
        let said = "`models.batching.max_delay_microseconds` is `10000`, expected less than `limits.run_deadline_ms`";
        assert!(words.contains(said), "{words}");
        let words = with("max_rows = 32").unwrap_err().to_string();
        assert!(words.contains("missing field `across_callers`"), "{words}");
        for (keys, key) in [
            ("max_rows = 1\nacross_callers = true", "models.batching.max_rows"),
            ("max_rows = 1025\nacross_callers = true", "models.batching.max_rows"),
            (
                "max_rows = 2\nmax_delay_microseconds = 1000001\nacross_callers = true",
                "models.batching.max_delay_microseconds",
            ),
        ] {
            match with(keys) {
                Err(ConfigError::OutOfBounds { key: named, .. }) => assert_eq!(named, key),
                other => panic!("{keys}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_configuration_that_joins_nothing_has_the_digest_that_it_had() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.limits.of_a_model(&config.models[0]).batching, None);
        let effective = config.effective().unwrap();
        assert!(effective.contains(r#""models":[{"name":"m","version":"1","path":"model.onnx"}]"#), "{effective}");
        let joined = Config::parse(&format!("{GOOD}\n[models.batching]\nmax_rows = 2\nacross_callers = true\n"));
        let joined = joined.unwrap().effective().unwrap();
        let written = r#""batching":{"max_rows":2,"max_delay_microseconds":0,"across_callers":true}"#;
        assert!(joined.contains(written), "{joined}");
    }

    #[test]
    fn the_readme_shows_every_key_with_its_default() {
        let readme = include_str!("../README.md");
        let text = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let shown = Config::parse(text).unwrap();
        let mut bare = Config::parse(GOOD).unwrap();
        (bare.listen, bare.models) = (shown.listen, shown.models.clone());
        assert_eq!(shown.effective().unwrap(), bare.effective().unwrap());
        let effective = bare.effective().unwrap();
        assert_eq!(effective.split('"').skip(1).step_by(2).find(|key| !text.contains(key)), None);
    }
}
