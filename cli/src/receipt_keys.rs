//! `teegate receipt-keys`: which keys sign a gateway's release receipts, now and next. A statement that counts where its signer is pinned.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use teegate_client::receipt_keys;
use teegate_protocol::manifest::ReceiptPublicKey;
use teegate_protocol::published::ReceiptKeys;

use crate::gateway::{self, Failure, PlaceArgs};
use crate::output::{finish, note};
use crate::sealing::receipt_key;
use crate::verify::Format;
use crate::{exit, help, instant};

/// Show which key signs a gateway's release receipts and which one will follow it, as the present one vouches.
#[derive(Args, Debug)]
#[command(after_help = help::RECEIPT_KEYS)]
pub(crate) struct ReceiptKeysArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// A key of the gateway that you know already (64 hexadecimal digits); may be given again. Without one nothing vouches for what is shown
    #[arg(long, value_name = "HEX", value_parser = receipt_key)]
    gateway_receipt_key: Vec<ReceiptPublicKey>,
    /// How the result is shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(args: &ReceiptKeysArgs) -> ExitCode {
    gateway::run(show(args))
}

async fn show(args: &ReceiptKeysArgs) -> Result<ExitCode, Failure> {
    let gateway = args.place.read().map_err(Failure::Input)?;
    let now = instant::now().map_err(Failure::Input)?;
    let stated = receipt_keys(&gateway, now).await.map_err(|error| Failure::Input(format!("{gateway}: {error}")))?;
    let pinned = &args.gateway_receipt_key;
    judge(&stated, pinned).map_err(Failure::Input)?;
    if pinned.is_empty() {
        note(
            "nothing vouches for these keys: compare them with what the operator tells you by another way, then pin them",
        );
    }
    let ReceiptKeys { current, next, .. } = stated;
    let text = match args.format {
        Format::Json => {
            format!("{}\n", json!({ "current": current, "next": next, "is_vouched_for": !pinned.is_empty() }))
        }
        Format::Text => {
            let next = next.map_or_else(|| "none is announced".to_owned(), |next| next.to_string());
            format!("current  {current}\nnext     {next}\n")
        }
    };
    Ok(finish(&text, exit::ACCEPTED))
}

/// Whether the key that signed is among those that are pinned, where any are.
fn judge(stated: &ReceiptKeys, pinned: &[ReceiptPublicKey]) -> Result<(), String> {
    if pinned.is_empty() || pinned.contains(&stated.current) {
        return Ok(());
    }
    Err(format!(
        "the gateway signs with {}, which is not pinned (`--gateway-receipt-key`): if it has moved on to a key that nobody told you of in \
         time, ask its operator by another way; otherwise somebody else answers there",
        stated.current
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_counts_under_a_pinned_key_and_not_for_the_next_one() {
        let [current, next, other] = [1, 2, 3].map(|byte| ReceiptPublicKey([byte; 32]));
        let stated = ReceiptKeys { current, next: Some(next), claimed_time: 0 };
        assert_eq!(judge(&stated, &[]), Ok(()));
        assert_eq!(judge(&stated, &[other, current]), Ok(()));
        let refused = judge(&stated, &[next, other]).unwrap_err();
        assert!(refused.contains(&format!("signs with {current}, which is not pinned")), "{refused}");
    }
}
