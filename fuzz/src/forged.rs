//! The forged platforms of this process, and the key that signs receipts in the targets.

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use teegate_forge as forge;
use teegate_forge::snp::{Product, SnpBuilder, SnpSet};
use teegate_forge::tdx::{TdxBuilder, TdxSet};
use teegate_protocol::receipt::Signed;

/// The forged SEV-SNP platform.
pub(crate) static SNP: LazyLock<SnpSet> = LazyLock::new(|| SNP_DEVICE.build());
/// The device and its key.
pub(crate) static SNP_DEVICE: LazyLock<SnpBuilder> = LazyLock::new(forge::snp);
/// The forged TDX platform.
pub(crate) static TDX: LazyLock<TdxSet> = LazyLock::new(|| TDX_DEVICE.build());
/// The device and its keys.
pub(crate) static TDX_DEVICE: LazyLock<TdxBuilder> = LazyLock::new(forge::tdx);

/// Inputs by name.
pub(crate) type Seeds = Vec<(&'static str, Vec<u8>)>;

/// The roots of both forged vendors: AMD's, a line `intel`, Intel's.
pub(crate) static ROOTS: LazyLock<String> = LazyLock::new(|| {
    let arks = [Product::Milan, Product::Genoa, Product::Turin].map(|product| forge::snp().product(product).ark_pem());
    format!("{}intel\n{}", arks.concat(), TDX.root_pem)
});

/// The seed of the key that signs receipts.
pub(crate) const RECEIPT_SEED: [u8; 32] = [9; 32];

/// Signs any bytes as a receipt of either kind, as the protocol writes it down, under the key of the targets.
pub(crate) fn sign_receipt(body: &[u8], execution: bool) -> Signed {
    let label: &[u8] = if execution { b"teegate/1 execution\0" } else { b"teegate/1 release\0" };
    let signature = SigningKey::from_bytes(&RECEIPT_SEED).sign(&[label, body].concat()).to_bytes();
    Signed { bytes: body.to_vec(), signature }
}

/// A record of a CMW in CBOR.
pub(crate) fn cbor_record(media_type: &str, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value").to_be_bytes();
    let type_length = u8::try_from(media_type.len()).expect("a short type");
    [&[0x83, 0x78, type_length], media_type.as_bytes(), &[0x59], &length, value, &[4]].concat()
}
