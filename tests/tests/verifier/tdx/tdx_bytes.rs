//! TDX, parsing: what the bytes of a quote may be (Intel TDX DCAP Quote Generation Library, quote format).

use teegate_forge::tdx::QuoteParts;
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, tdx};

cases! { header body lengths behind_the_quote certification_data }

fn quote(edit: impl Fn(&mut QuoteParts) + Send + Sync + 'static) -> Subject {
    tdx(|device| device.edit_quote(edit))
}

fn header() -> Vec<Case> {
    let case = |subject, field: &str, actual: &str| refused("tdx.bytes.header", subject).expected(field).actual(actual);
    let mut cases = vec![
        case(quote(|quote| quote.attestation_key_type = 3), "attestation key type: 2", "3"),
        case(quote(|quote| quote.attestation_key_type = 0), "attestation key type: 2", "0"),
        case(quote(|quote| quote.tee_type = 0), "TEE type: 0x81", "0x0"),
        case(quote(|quote| quote.tee_type = 0x8100_0000), "TEE type: 0x81", "0x81000000"),
        case(quote(|quote| quote.qe_vendor_id = [0; 16]), "QE vendor: Intel's", "00000000"),
        case(quote(|quote| quote.qe_vendor_id[15] ^= 1), "QE vendor: Intel's", "0606"),
    ];
    for version in [0, 3, 6, 0x0400] {
        cases.push(case(quote(move |quote| quote.version = version), "version: 4 or 5", &version.to_string()));
    }
    for length in [0, 2, 47] {
        let cut = good(Tee::Tdx).with_evidence(|quote| quote.truncate(length));
        cases.push(case(cut, "header: 48 bytes", &format!("{length} bytes")));
    }
    cases
}

/// Version 5 names the type of its body and its size: both must be those of a type that is known.
fn body() -> Vec<Case> {
    let of = |body_type: u16| tdx(|device| device.version_5(body_type));
    let sized = |body_type: u16, size: u32| {
        tdx(|device| device.version_5(body_type).edit_quote(move |quote| quote.body_size = Some(size)))
    };
    let mut cases = Vec::new();
    for body_type in [0, 1, 5, 0xFFFF] {
        cases.push(refused("tdx.bytes.body", of(body_type)).expected("type 2 (584 bytes)").twin(of(2)));
    }
    for (body_type, size) in [(2, 584), (3, 648), (4, 885)] {
        for wrong in [0, size - 1, size + 1, 1 << 30, u32::MAX] {
            let case = refused("tdx.bytes.body", sized(body_type, wrong)).twin(of(body_type));
            cases.push(case.expected(format!("{size} bytes for type {body_type}")).actual(format!("{wrong} bytes")));
        }
    }
    // The sizes of each other's types.
    cases.push(refused("tdx.bytes.body", sized(2, 648)).twin(of(2)));
    cases.push(refused("tdx.bytes.body", sized(3, 584)).twin(of(3)));
    cases
}

fn lengths() -> Vec<Case> {
    let case = |subject, field: &str| refused("tdx.bytes.lengths", subject).expected(field);
    let mut cases = Vec::new();
    for length in [0, 1 << 30, u32::MAX] {
        cases.push(case(quote(move |quote| quote.outer_length = Some(length)), ""));
        cases.push(case(quote(move |quote| quote.inner_length = Some(length)), "QE certification data"));
        cases.push(case(quote(move |quote| quote.signature_data_length = Some(length)), ""));
    }
    for length in [0, 31, 33, u16::MAX] {
        cases.push(case(quote(move |quote| quote.auth_data_length = Some(length)), ""));
    }
    cases.push(case(quote(|quote| quote.inner_trailing = vec![0]), "QE certification data: the end of the data"));
    cases.push(case(
        quote(|quote| {
            let length = quote.inner_data.len() as u32;
            quote.inner_length = Some(length - 1);
        }),
        "QE certification data: the end of the data",
    ));
    cases.push(case(
        quote(|quote| {
            let length = quote.inner_data.len() as u32;
            quote.inner_length = Some(length + 1);
        }),
        "QE certification data",
    ));
    // QE authentication data may have any length that is declared truly.
    for length in [0, 1, 1000] {
        let twin = tdx(|device| device.auth_data(&vec![0xAD; length]));
        cases.push(case(quote(|quote| quote.auth_data_length = Some(33)), "").twin(twin));
    }
    cases
}

/// Zero padding is tolerated and shown, anything else is not part of a quote.
fn behind_the_quote() -> Vec<Case> {
    let with = |bytes: &[u8]| tdx(|device| device.trailing(bytes));
    let case = |subject, actual: &str| {
        refused("tdx.bytes.lengths", subject).expected("behind the quote: zero bytes or nothing").actual(actual)
    };
    vec![
        case(with(&[1]), "1 bytes, not all zero"),
        case(with(&[0, 0, 0, 9]), "4 bytes, not all zero").twin(with(&[0; 3000])),
        case(with(b"more"), "4 bytes").twin(with(b"more").under("trailing_bytes", "\"any\"")),
    ]
}

fn certification_data() -> Vec<Case> {
    let case = |subject, actual: &str| {
        refused("tdx.bytes.certification-data", subject).expected("type 6 holding type 5").actual(actual)
    };
    let mut cases = Vec::new();
    for kind in [1, 2, 4, 6, 7, 0xFFFF] {
        cases.push(case(quote(move |quote| quote.inner_type = kind), ""));
    }
    for kind in [1, 2, 3, 5, 7] {
        cases.push(case(quote(move |quote| quote.outer_type = kind), "not of type 6"));
    }
    let set = || crate::subject::TDX_DEVICE.clone().certification_data_3().build();
    let supplied = {
        let set = set();
        let chain = set.pck_chain();
        crate::subject::tdx_set(set).with_pool(|pool| pool.certificates.extend(chain))
    };
    for resize in [403, 405] {
        let subject =
            tdx(|device| device.certification_data_3().edit_quote(move |quote| quote.inner_data.resize(resize, 0)));
        cases.push(case(subject, &format!("type 3, {resize} bytes")).twin(supplied.clone()));
    }
    // The chain in every order.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let twin = tdx(|device| {
            device.edit_chain(move |chain| *chain = order.iter().map(|index| chain[*index].clone()).collect())
        });
        cases.push(case(quote(|quote| quote.inner_type = 4), "type 4").twin(twin));
    }
    cases
}
