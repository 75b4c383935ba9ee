//! TDX, authentication: TCB info and QE identity: there, Intel's, fresh, and of this platform.

use teegate_forge::certificate::{Extension, Name};
use teegate_forge::keys::Key;
use teegate_forge::tdx::{PckCa, Revoked, SignedJson, TcbInfo, TdxBuilder};
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{Pool, Subject, TDX_DEVICE, good, tdx, tdx_set};

cases! { present present_for_type_3 signatures signer text fresh age evaluation_number tcb_identity }

fn present() -> Vec<Case> {
    let without = |edit: fn(&mut Pool)| good(Tee::Tdx).with_pool(edit);
    let case =
        |subject, expected: &str| refused("tdx.collateral.present", subject).expected(expected).actual("not supplied");
    let names = "TCB info (TDX, FMSPC b0c06f000000), QE identity (TD_QE), CRL of Intel SGX Root CA, \
                 CRL of Intel SGX PCK Platform CA, certificate `Intel SGX TCB Signing`";
    // The list of the other CA is no list of this one.
    let other_list = {
        let mut subject = good(Tee::Tdx);
        subject.pool.crls[1] = TDX_DEVICE.clone().pck_issuer(PckCa::Processor).build().pck_crl;
        subject
    };
    vec![
        case(without(|pool| pool.tcb_infos.clear()), "TCB info (TDX, FMSPC b0c06f000000)"),
        case(without(|pool| pool.qe_identities.clear()), "QE identity (TD_QE)"),
        case(without(|pool| drop(pool.crls.remove(0))), "CRL of Intel SGX Root CA"),
        case(without(|pool| drop(pool.crls.remove(1))), "CRL of Intel SGX PCK Platform CA"),
        case(without(|pool| drop(pool.certificates.remove(0))), "certificate `Intel SGX TCB Signing`"),
        case(without(|pool| *pool = Pool::default()), names),
        case(other_list, "CRL of Intel SGX PCK Platform CA"),
        case(without(|pool| pool.tcb_infos.clear()), "").twin(without(|pool| drop(pool.certificates.remove(1)))),
        case(without(|pool| pool.tcb_infos.clear()), "").twin(tdx(|device| device.pck_issuer(PckCa::Processor))),
    ]
}

/// A quote that names its platform instead of carrying the chain needs that chain in the pool.
fn present_for_type_3() -> Vec<Case> {
    let bare = || tdx(|device| device.certification_data_3());
    let supplied = |edit: fn(&mut Vec<Vec<u8>>)| {
        let set = TDX_DEVICE.clone().certification_data_3().build();
        let mut chain = set.pck_chain();
        edit(&mut chain);
        tdx_set(set).with_pool(|pool| pool.certificates.extend(chain))
    };
    // The PCK of another TCB of the same platform.
    let other_tcb = {
        let other = TDX_DEVICE.clone().platform_tcb([9; 16], 11).build();
        bare().with_pool(|pool| pool.certificates.extend(other.pck_chain()))
    };
    let case = |subject| refused("tdx.collateral.present", subject).expected("the PCK certificate of this platform");
    vec![
        case(bare()).twin(supplied(|_| {})),
        case(supplied(|chain| drop(chain.remove(0)))).twin(supplied(|chain| chain.reverse())),
        case(other_tcb).twin(supplied(|chain| drop(chain.pop()))),
    ]
}

/// Over the exact bytes, by the TCB signing key and no other.
fn signatures() -> Vec<Case> {
    let keys = TDX_DEVICE.keys();
    let case = |subject, actual: &str| refused("tdx.collateral.signer", subject).actual(actual);
    let info = |edit: fn(&mut SignedJson)| tdx(|device| device.edit_signed_tcb_info(edit));
    let identity = |edit: fn(&mut SignedJson)| tdx(|device| device.edit_signed_qe_identity(edit));
    let (no_info, no_identity) =
        ("TCB info: text and signature that do not fit", "QE identity: text and signature that do not fit");
    let mut cases = vec![
        case(info(|json| json.signature = [0; 64]), no_info),
        case(info(|json| json.signature[63] ^= 1), no_info),
        case(info(|json| json.body.push(' ')), no_info),
        case(info(|json| json.body = json.body.replace("OutOfDate", "UpToDate")), no_info),
        case(identity(|json| json.signature = [0; 64]), no_identity),
        case(identity(|json| json.signature[0] ^= 1), no_identity),
        case(identity(|json| json.body.insert(1, ' ')), no_identity),
        case(identity(|json| json.body = json.body.replace("OutOfDate", "UpToDate")), no_identity),
    ];
    for key in [keys.pck, keys.pck_ca, keys.root, keys.attestation, Key::p256(), Key::p384()] {
        let other = key.clone();
        cases.push(case(tdx(|device| device.tcb_info_signed_by(key)), no_info));
        cases.push(case(tdx(|device| device.qe_identity_signed_by(other)), no_identity));
    }
    // One signature is not the other's.
    let swapped = {
        let mut subject = good(Tee::Tdx);
        subject.pool.tcb_infos[0].signature = subject.pool.qe_identities[0].signature;
        subject
    };
    cases.push(case(swapped, no_info));
    cases
}

fn signer() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.collateral.signer", subject).actual(actual);
    let signing = |edit: fn(&mut teegate_forge::certificate::Certificate)| tdx(|device| device.edit_tcb_signing(edit));
    let window = |from: u64, to: u64| {
        tdx(|device| device.edit_tcb_signing(move |signing| (signing.not_before, signing.not_after) = (from, to)))
    };
    let keys = TDX_DEVICE.keys();
    // A PCK that calls itself TCB signing certificate: issued by the PCK CA, never by the root.
    let pck = keys.pck_ca.clone();
    let posing = tdx(|device| {
        device.edit_tcb_signing(move |signing| {
            signing.issuer = Name::intel("Intel SGX PCK Platform CA");
            signing.signer = pck.clone();
        })
    });
    // Its serial on the root's list is another certificate's: it is refused for its issuer.
    let pck = keys.pck_ca.clone();
    let posing_with_a_listed_serial = tdx(|device| {
        device.revoke(Revoked::TcbSigning).edit_tcb_signing(move |signing| {
            signing.issuer = Name::intel("Intel SGX PCK Platform CA");
            signing.signer = pck.clone();
        })
    });
    let pck = keys.pck_ca.clone();
    let posing_under_the_root = tdx(|device| device.edit_tcb_signing(move |signing| signing.signer = pck.clone()));
    let not_signed = "the TCB signing certificate is not signed by the pinned root";
    let usage =
        |bits: u8| tdx(move |device| device.edit_tcb_signing(move |c| c.set_extension(Extension::key_usage(0, bits))));
    vec![
        case(posing, not_signed),
        case(posing_with_a_listed_serial, not_signed),
        case(posing_under_the_root, not_signed),
        case(signing(|signing| signing.signer = Key::p256()), not_signed),
        case(signing(|signing| signing.damaged_signature = true), not_signed),
        case(window(AT - YEAR, AT - 1), "the TCB signing certificate is valid from").twin(window(AT - YEAR, AT)),
        case(window(AT + 1, AT + YEAR), "the TCB signing certificate is valid from").twin(window(AT, AT + YEAR)),
        case(
            signing(|signing| signing.set_extension(Extension::basic_constraints(true, None))),
            "the TCB signing certificate: claims the powers of an authority",
        ),
        case(
            signing(|signing| signing.set_extension(Extension::critical("1.2.3.4", vec![5, 0]))),
            "the TCB signing certificate: an unknown critical extension",
        ),
        case(
            signing(|signing| signing.duplicate_extension("2.5.29.15")),
            "the TCB signing certificate: the same extension twice",
        ),
        // Bits of the first byte: 0x80 digitalSignature, 0x40 nonRepudiation, 0x04 keyCertSign, 0x02 cRLSign.
        case(usage(0x04), "its key usage").twin(usage(0x80)),
        case(usage(0x82), "claims the powers of an authority").twin(usage(0xC0)),
        case(usage(0x40), "its key usage does not say that it signs").twin(usage(0x80)),
        case(signing(|signing| signing.drop_extension("2.5.29.15")), "its key usage does not say that it signs"),
        case(signing(|signing| signing.set_public_key(&Key::p256())), "TCB info: text and signature that do not fit"),
    ]
}

/// A signature over text that cannot be read, or that says a thing twice, vouches for nothing.
fn text() -> Vec<Case> {
    let info = |edit: fn(&mut String)| tdx(|device| device.edit_tcb_info_text(edit));
    let identity = |edit: fn(&mut String)| tdx(|device| device.edit_qe_identity_text(edit));
    let case = |subject, actual: &str| refused("tdx.collateral.signer", subject).actual(actual);
    vec![
        case(info(String::clear), "TCB info: EOF"),
        case(info(|text| text.truncate(2)), "TCB info: EOF"),
        case(info(|text| text.push('}')), "TCB info: trailing characters"),
        case(info(|text| *text = text.replace("\"version\":3", "\"version\":3,\"version\":3")), "duplicate field"),
        case(info(|text| *text = text.replace("\"id\":\"TDX\"", "\"id\":\"SGX\",\"id\":\"TDX\"")), "duplicate field"),
        case(
            info(|text| *text = text.replacen("\"tcbStatus\"", "\"tcbStatus\":\"Revoked\",\"tcbStatus\"", 1)),
            "duplicate field",
        ),
        case(info(|text| *text = text.replacen("\"svn\":", "\"svn\":9,\"svn\":", 1)), "duplicate field"),
        case(info(|text| *text = text.replacen("\"isvsvn\":", "\"isvsvn\":0,\"isvsvn\":", 1)), "duplicate field"),
        case(info(|text| *text = text.replacen("\"svn\":4", "\"svn\":256", 1)), "TCB info: invalid value"),
        case(info(|text| *text = text.replacen("\"svn\":4", "\"svn\":-4", 1)), "TCB info: invalid value"),
        case(info(|text| *text = text.replacen("\"fmspc\":\"B0", "\"fmspc\":\"G0", 1)), "hexadecimal digits"),
        case(info(|text| *text = text.replacen("{\"svn\":0},{\"svn\":0}", "{\"svn\":0}", 1)), "TCB info: "),
        case(identity(String::clear), "QE identity: EOF"),
        case(
            identity(|text| *text = text.replacen("\"mrsigner\"", "\"mrsigner\":\"00\",\"mrsigner\"", 1)),
            "QE identity: ",
        ),
        case(
            identity(|text| *text = text.replacen("\"isvprodid\":2", "\"isvprodid\":2,\"isvprodid\":2", 1)),
            "duplicate field",
        ),
        case(identity(|text| *text = text.replacen("\"isvprodid\":2", "\"isvprodid\":\"2\"", 1)), "QE identity: "),
        // Members that nothing rests on may be there.
        case(info(String::clear), "").twin(info(|text| text.insert_str(1, "\"new\":{\"member\":[1,null]},"))),
    ]
}

fn fresh() -> Vec<Case> {
    let info = |from, to| tdx(|device| device.tcb_info_window(from, to));
    let identity = |from, to| tdx(|device| device.qe_identity_window(from, to));
    let case = |subject, actual: &str, twin| refused("tdx.collateral.fresh", subject).actual(actual).twin(twin);
    vec![
        case(info(AT - DAY, AT), "TCB info is for", info(AT - DAY, AT + 1)),
        case(info(AT + 1, AT + DAY), "TCB info is for", info(AT, AT + DAY)),
        case(info(AT - 2 * YEAR, AT - YEAR), "TCB info is for", info(AT - YEAR, AT + YEAR)),
        case(identity(AT - DAY, AT), "QE identity is for", identity(AT - DAY, AT + 1)),
        case(identity(AT + 1, AT + DAY), "QE identity is for", identity(AT, AT + DAY)),
    ]
}

fn evaluation_number() -> Vec<Case> {
    let number = |number| tdx(|device| device.evaluation_number(number));
    let split = || tdx(|device| device.edit_qe_identity(|identity| identity.evaluation_number = 19));
    let old_identity = || tdx(|device| device.edit_qe_identity(|identity| identity.evaluation_number = 16));
    let old_info = || tdx(|device| device.edit_tcb_info(|info| info.evaluation_number = 16));
    let case = |subject, actual: &str| {
        refused("tdx.collateral.fresh", subject).expected("evaluation 17 or later, the same for both").actual(actual)
    };
    vec![
        case(number(16), "evaluation 16 of TCB info, 16 of QE identity").twin(number(17)),
        case(split(), "evaluation 20 of TCB info, 19 of QE identity"),
        case(split(), "").twin(split().under("one_evaluation", "\"unchecked\"")),
        // The floor holds for each of the two by itself.
        case(old_identity().under("one_evaluation", "\"unchecked\""), "evaluation 20 of TCB info, 16 of QE identity")
            .expected("not necessarily the same for both"),
        case(old_info().under("one_evaluation", "\"unchecked\""), "evaluation 16 of TCB info, 20 of QE identity")
            .expected("not necessarily the same for both"),
        case(number(16), "").twin(number(16).under("minimum_evaluation_number", "\"unchecked\"")),
    ]
}

fn tcb_identity() -> Vec<Case> {
    let info = |edit: fn(&mut TcbInfo)| tdx(|device| device.edit_tcb_info(edit));
    let case = |subject: Subject, actual: &str| {
        refused("tdx.tcb.identity", subject)
            .expected("TDX, version 3, type 0, FMSPC b0c06f000000, PCEID 0000")
            .actual(actual)
    };
    let other = || tdx(|device| device.fmspc([1, 2, 3, 4, 5, 6]).pceid([0, 7]));
    vec![
        case(info(|info| info.fmspc[0] ^= 1), "FMSPC b1c06f000000"),
        case(info(|info| info.fmspc[5] = 1), "FMSPC b0c06f000001"),
        case(info(|info| info.pce_id = vec![0, 1]), "PCEID 0001"),
        case(info(|info| "SGX".clone_into(&mut info.id)), "SGX, version 3"),
        case(info(|info| info.version = 2), "TDX, version 2"),
        case(info(|info| info.version = 4), "TDX, version 4"),
        case(info(|info| info.tcb_type = 1), "type 1"),
        case(info(|info| info.version = 2), "").twin(other()),
    ]
}

/// What holds for 30 days may be too old for the policy, each statement by itself and to the second; the root's list, which
/// is signed once a year, has a limit of its own.
fn age() -> Vec<Case> {
    type Edit = fn(TdxBuilder, u64) -> TdxBuilder;
    let statements: [(&str, &str, Edit); 4] = [
        ("the TCB info", "max_collateral_age", |device, ago| device.tcb_info_window(AT - ago, AT + 9 * DAY)),
        ("the QE identity", "max_collateral_age", |device, ago| device.qe_identity_window(AT - ago, AT + 9 * DAY)),
        ("the CRL of the PCK CA", "max_collateral_age", |device, ago| {
            device.edit_pck_crl(move |crl| crl.this_update = AT - ago)
        }),
        ("the CRL of the root", "max_root_crl_age", |device, ago| {
            device.edit_root_crl(move |crl| crl.this_update = AT - ago)
        }),
    ];
    let young = |device: TdxBuilder| {
        device
            .tcb_info_window(AT - DAY, AT + 9 * DAY)
            .qe_identity_window(AT - DAY, AT + 9 * DAY)
            .edit_pck_crl(|crl| crl.this_update = AT - DAY)
            .edit_root_crl(|crl| crl.this_update = AT - DAY)
    };
    let mut cases = Vec::new();
    for (name, field, edit) in statements {
        let issued = |ago: u64| {
            tdx(move |device| edit(young(device), ago))
                .under("max_collateral_age", "{ days = 14 }")
                .under("max_root_crl_age", "{ days = 14 }")
        };
        cases.push(
            refused("tdx.collateral.age", issued(14 * DAY))
                .twin(issued(14 * DAY - 1))
                .actual(format!("{name} is of 2026-05-18T00:00:00Z ({field} = 14 days)")),
        );
        cases
            .push(refused("tdx.collateral.age", issued(20 * DAY)).twin(issued(20 * DAY).under(field, "{ days = 21 }")));
        cases
            .push(refused("tdx.collateral.age", issued(20 * DAY)).twin(issued(20 * DAY).under(field, "\"unchecked\"")));
    }
    cases
}
