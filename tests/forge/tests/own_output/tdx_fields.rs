//! Each override of a quote changes the bytes of its field, at the offset of Intel's structures, and no others; and the same for collateral.

use serde_json::Value;
use teegate_forge as forge;
use teegate_forge::tdx::{PckCa, Revoked, TdxBuilder};

use crate::reader::{all, children, extension, first, signed};

#[test]
fn every_override_moves_its_own_bytes() {
    let base = forge::tdx();
    let set = base.build();
    let signed_length = 48 + 584;
    let before = &set.quote[..signed_length];
    let check = |offset: usize, expected: &[u8], override_: &dyn Fn(TdxBuilder) -> TdxBuilder| {
        let after = override_(base.clone()).quote_under(&set);
        assert_eq!(&after[offset..offset + expected.len()], expected, "the field at {offset}");
        for (index, (old, new)) in before.iter().zip(&after).enumerate() {
            let inside = (offset..offset + expected.len()).contains(&index);
            assert!(inside || old == new, "an override of {offset} also changed {index}");
        }
        assert_ne!(before, &after[..signed_length], "the override of {offset} changed nothing");
    };
    check(2, &[3, 0], &|b| b.edit_quote(|q| q.attestation_key_type = 3));
    check(4, &[0, 0, 0, 0], &|b| b.edit_quote(|q| q.tee_type = 0));
    check(8, &[1, 2, 3, 4], &|b| b.edit_quote(|q| q.reserved = [1, 2, 3, 4]));
    check(12, &[9; 16], &|b| b.edit_quote(|q| q.qe_vendor_id = [9; 16]));
    check(28, &[9; 20], &|b| b.edit_quote(|q| q.user_data = [9; 20]));
    check(48, &[1, 2, 3], &|b| b.tee_tcb_svn(1, 2, 3));
    check(48 + 16, &[9; 48], &|b| b.edit_td_report(|td| td.mrseam = [9; 48]));
    check(48 + 64, &[9; 48], &|b| b.edit_td_report(|td| td.mrsignerseam = [9; 48]));
    check(48 + 112, &[1, 0, 0, 0, 0, 0, 0, 0], &|b| b.edit_td_report(|td| td.seam_attributes = 1));
    check(48 + 120, &[1, 0, 0, 0x10, 0, 0, 0, 0], &|b| b.debug());
    check(48 + 128, &[0xE7, 0, 0, 0, 0, 0, 0, 0], &|b| b.xfam(0xE7));
    check(48 + 136, &[9; 48], &|b| b.mrtd([9; 48]));
    check(48 + 184, &[9; 48], &|b| b.mrconfigid([9; 48]));
    check(48 + 232, &[9; 48], &|b| b.edit_td_report(|td| td.mrowner = [9; 48]));
    check(48 + 280, &[9; 48], &|b| b.edit_td_report(|td| td.mrownerconfig = [9; 48]));
    check(48 + 328, &[9; 48], &|b| b.rtmr(0, [9; 48]));
    check(48 + 472, &[9; 48], &|b| b.rtmr(3, [9; 48]));
    check(48 + 520, &[9; 64], &|b| b.report_data([9; 64]));
    check(100, &[7], &|b| b.patch_before_signing(100, &[7]));
}

#[test]
fn later_bodies_have_their_later_fields() {
    let quote = forge::tdx().version_5(3).tee_tcb_svn2(1, 2, 3).mrservicetd([9; 48]).build().quote;
    assert_eq!(quote[48..54], [3, 0, 136, 2, 0, 0]);
    assert_eq!(quote[54 + 584..54 + 587], [1, 2, 3]);
    assert_eq!(quote[54 + 600..54 + 648], [9; 48]);
    let quote = forge::tdx().version_5(4).edit_td_report(|td| td.extended[236] = 0xAB).build().quote;
    assert_eq!(quote[48..54], [4, 0, 117, 3, 0, 0]);
    assert_eq!(quote[54 + 649..54 + 681], [0x1D; 32]);
    assert_eq!(quote[54 + 884], 0xAB);
}

#[test]
fn every_declared_length_can_lie() {
    let base = forge::tdx();
    let set = base.build();
    let lie = |edit: fn(&mut forge::tdx::QuoteParts)| base.clone().edit_quote(edit).quote_under(&set);
    let data = 636;
    assert_eq!(lie(|q| q.signature_data_length = Some(1 << 30))[632..636], [0, 0, 0, 0x40]);
    assert_eq!(lie(|q| q.outer_type = 5)[data + 128..data + 130], [5, 0]);
    assert_eq!(lie(|q| q.outer_length = Some(7))[data + 130..data + 134], [7, 0, 0, 0]);
    assert_eq!(lie(|q| q.auth_data_length = Some(0xFFFF))[data + 582..data + 584], [0xFF, 0xFF]);
    assert_eq!(lie(|q| q.inner_length = Some(3))[data + 618..data + 622], [3, 0, 0, 0]);
    assert!(lie(|q| q.trailing = vec![0; 70]).ends_with(&[0; 70]));

    let quote = forge::tdx().version_5(3).edit_quote(|q| q.body_size = Some(584)).build().quote;
    assert_eq!(quote[50..54], [72, 2, 0, 0]);
    let quote = forge::tdx().auth_data(&[]).build().quote;
    assert_eq!(quote[data + 582..data + 586], [0, 0, 5, 0]);
    let quote = forge::tdx().certification_data_3().build().quote;
    assert_eq!(quote[data + 616..data + 622], [3, 0, 148, 1, 0, 0]);
    assert_eq!(quote.len(), data + 622 + 404);
}

/// The arcs of the members of the SGX extension, as the last byte of each OID.
fn sgx_members(pck: &[u8]) -> Vec<u8> {
    let oid = [0x2A, 0x86, 0x48, 0x86, 0xF8, 0x4D, 1, 0x0D, 1];
    let (list, _) = first(extension(pck, &oid).expect("the SGX extension")).expect("a sequence");
    children(&list).iter().map(|member| *children(member)[0].content.last().expect("an arc")).collect()
}

#[test]
fn the_sgx_extension_follows_the_ca_and_its_overrides() {
    assert_eq!(sgx_members(&forge::tdx().build().pck), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(sgx_members(&forge::tdx().pck_issuer(PckCa::Processor).build().pck), [1, 2, 3, 4, 5]);
    let edited = forge::tdx().edit_sgx_extension(|sgx| {
        sgx.dropped.push("3".to_owned());
        sgx.duplicated.push("4".to_owned());
    });
    assert_eq!(sgx_members(&edited.build().pck), [1, 2, 4, 4, 5, 6, 7]);
}

#[test]
fn revocation_lists_name_the_right_certificate() {
    let serial = |der: &[u8]| children(&signed(der).tbs)[1].content.to_vec();
    let revoked = |crl: &[u8]| -> Vec<Vec<u8>> {
        let list = children(&signed(crl).tbs).into_iter().skip(5).find(|element| element.tag == 0x30);
        let entries = list.map(|list| all(list.content).expect("entries")).unwrap_or_default();
        entries.iter().map(|entry| children(entry)[0].content.to_vec()).collect()
    };
    let set = forge::tdx().revoke(Revoked::Pck).build();
    assert!(revoked(&set.pck_crl).contains(&serial(&set.pck)));
    let set = forge::tdx().revoke(Revoked::TcbSigning).build();
    assert_eq!(revoked(&set.root_crl), [serial(&set.tcb_signing)]);
    let set = forge::tdx().revoke(Revoked::PckCa).build();
    assert_eq!(revoked(&set.root_crl), [serial(&set.pck_ca)]);
}

#[test]
fn collateral_says_what_it_was_told() {
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let set = forge::tdx()
        .fmspc([1, 2, 3, 4, 5, 6])
        .platform_status("SWHardeningNeeded")
        .platform_advisories(&["INTEL-SA-00001"])
        .module_status("Revoked")
        .qe_status("OutOfDate")
        .evaluation_number(17)
        .build();
    let info = json(&set.tcb_info.body);
    assert_eq!(info["fmspc"], "010203040506");
    assert_eq!(info["tcbEvaluationDataNumber"], 17);
    assert_eq!(info["issueDate"], "2026-05-22T00:00:00Z");
    assert_eq!(info["tcbLevels"][0]["tcbStatus"], "SWHardeningNeeded");
    assert_eq!(info["tcbLevels"][0]["advisoryIDs"], serde_json::json!(["INTEL-SA-00001"]));
    assert_eq!(info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][7]["svn"], 5);
    assert_eq!(info["tdxModuleIdentities"][0]["tcbLevels"][0]["tcbStatus"], "Revoked");
    let identity = json(&set.qe_identity.body);
    assert_eq!(identity["tcbLevels"][0]["tcbStatus"], "OutOfDate");
    assert_eq!(identity["attributesMask"], "FBFFFFFFFFFFFFFF0000000000000000");

    let set = forge::tdx().edit_tcb_info_text(|text| *text = text.replacen("\"TDX\"", "\"SGX\"", 1)).build();
    assert_eq!(json(&set.tcb_info.body)["id"], "SGX");
}
