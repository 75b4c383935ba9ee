//! How requests are sealed and sent, for the verbs that send a user's own.

use std::time::Duration;

use clap::Args;
use teegate_client::{Settings, SharedRuns};
use teegate_protocol::manifest::ReceiptPublicKey;

/// What is asked of the way and of the instance beside the policy.
#[derive(Args, Debug)]
pub(crate) struct SealingArgs {
    /// How many seconds the gateway may hold the sealed request if the instance that it is sealed to is not attested just then; at most
    /// 120. `--wait` is the time before that, in which nothing is sealed yet
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=120))]
    hold: u64,
    /// Never seal a request a second time, whatever the gateway asks for
    #[arg(long)]
    once: bool,
    /// Let instances compute requests in one run with those of other callers, if they are configured to; without this such an
    /// instance is refused
    #[arg(long)]
    accept_shared_runs: bool,
    /// The gateway's receipt key (64 hexadecimal digits), to check that the gateway signed for each release; may be given again, as for
    /// the key that will follow it (`teegate receipt-keys`)
    #[arg(long, value_name = "HEX", value_parser = receipt_key)]
    gateway_receipt_key: Vec<ReceiptPublicKey>,
}

impl SealingArgs {
    /// `settings` with these.
    pub(crate) fn applied_to(&self, settings: Settings) -> Settings {
        Settings {
            hold: Duration::from_secs(self.hold),
            once: self.once,
            shared_runs: if self.accept_shared_runs { SharedRuns::Accepted } else { SharedRuns::Refused },
            gateway_receipt_keys: self.gateway_receipt_key.clone(),
            ..settings
        }
    }
}

pub(crate) fn receipt_key(text: &str) -> Result<ReceiptPublicKey, String> {
    text.parse()
        .map_err(|_| "expected 64 hexadecimal digits in lower case, as the gateway prints its `receipt_key`".to_owned())
}
