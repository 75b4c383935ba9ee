//! Predicted measurements: beside values that others computed or hardware and firmware stated, and beside inputs from which none follows.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up its input should fail where it stands"
)]

mod acpi;
mod firmware;
mod found;
mod igvm;
mod initdata;
mod pcr;
mod pe;
mod rtmr;
mod sev_snp;
mod tdx;

/// The only value that a prediction has.
fn value(prediction: &teegate_measurements::predict::Prediction) -> String {
    let [one] = prediction.values.as_slice() else { panic!("{prediction:?}") };
    teegate_encoding::hex::encode(&one.value)
}
