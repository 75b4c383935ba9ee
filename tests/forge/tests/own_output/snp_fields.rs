//! Each override of a report changes the bytes of its field, at the offset of AMD's table, and no others.

use teegate_forge as forge;
use teegate_forge::snp::{Product, SnpBuilder, Tcb, oid};

use crate::reader::extension;

/// AMD's extensions share the first eight content bytes of their OIDs: 1.3.6.1.4.1.3704.1.
const AMD: [u8; 8] = [0x2B, 6, 1, 4, 1, 0x9C, 0x78, 1];

fn amd_extension<'a>(certificate: &'a [u8], arcs: &[u8]) -> Option<&'a [u8]> {
    extension(certificate, &[&AMD[..], arcs].concat())
}

#[test]
fn every_override_moves_its_own_bytes() {
    let base = forge::snp();
    let before = base.report();
    let tcb = Tcb { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 4 };
    let tcb_bytes = [1, 2, 0, 0, 0, 0, 3, 4];
    let check = |offset: usize, expected: &[u8], override_: &dyn Fn(SnpBuilder) -> SnpBuilder| {
        let after = override_(base.clone()).report();
        assert_eq!(&after[offset..offset + expected.len()], expected, "the field at {offset:#x}");
        for (index, (old, new)) in before.iter().zip(&after).enumerate().take(0x2A0) {
            let inside = (offset..offset + expected.len()).contains(&index);
            assert!(inside || old == new, "an override of {offset:#x} also changed {index:#x}");
        }
        assert_ne!(before[..0x2A0], after[..0x2A0], "the override of {offset:#x} changed nothing");
    };
    check(0x004, &[9, 0, 0, 0], &|b| b.guest_svn(9));
    check(0x008, &0xB_0000_u64.to_le_bytes(), &|b| b.debug());
    check(0x008, &0x7_0000_u64.to_le_bytes(), &|b| b.migration_agent());
    check(0x008, &0x3_0133_u64.to_le_bytes(), &|b| b.policy(0x3_0133));
    check(0x010, &[0xF1; 16], &|b| b.family_id([0xF1; 16]));
    check(0x020, &[0xF2; 16], &|b| b.image_id([0xF2; 16]));
    check(0x030, &[0xFF; 4], &|b| b.vmpl(u32::MAX));
    check(0x034, &[2, 0, 0, 0], &|b| b.signature_algo(2));
    check(0x038, &tcb_bytes, &|b| b.current_tcb(tcb));
    check(0x040, &[0x05, 0, 0, 0, 0, 0, 0, 0], &|b| b.platform_info(5));
    check(0x048, &[7 << 2, 0, 0, 0], &|b| b.signing_key(7));
    check(0x048, &[2, 0, 0, 0], &|b| b.mask_chip_key());
    check(0x050, &[0xDA; 64], &|b| b.report_data([0xDA; 64]));
    check(0x090, &[0xDB; 48], &|b| b.measurement([0xDB; 48]));
    check(0x0C0, &[0xDC; 32], &|b| b.host_data([0xDC; 32]));
    check(0x0E0, &[0xDD; 48], &|b| b.id_key_digest([0xDD; 48]));
    check(0x110, &[0xDE; 48], &|b| b.author_key([0xDE; 48]).flags(0));
    check(0x140, &[0xDF; 32], &|b| b.report_id([0xDF; 32]));
    check(0x160, &[0xE0; 32], &|b| b.report_id_ma([0xE0; 32]));
    check(0x180, &tcb_bytes, &|b| b.reported_tcb(tcb));
    check(0x188, &[0x19, 0x01, 3], &|b| b.cpuid(0x19, 0x01, 3));
    check(0x1A0, &[0xC0; 64], &|b| b.chip_id([0xC0; 64]));
    check(0x1A0, &[0; 64], &|b| b.masked_chip_id());
    check(0x1E0, &tcb_bytes, &|b| b.committed_tcb(tcb));
    check(0x1E8, &[3, 2, 1], &|b| b.current_firmware(1, 2, 3));
    check(0x1EC, &[3, 2, 1], &|b| b.committed_firmware(1, 2, 3));
    check(0x1F0, &tcb_bytes, &|b| b.launch_tcb(tcb));
    check(0x1F8, &[5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0], &|b| b.mitigation_vectors(5, 6));
    check(0x29F, &[1], &|b| b.patch_before_signing(0x29F, &[1]));
}

#[test]
fn versions_leave_later_fields_zero() {
    let report = forge::snp().version(2).report();
    assert_eq!(report[0x188..0x18B], [0; 3]);
    assert_eq!(report[0x1F8..0x2A0], [0; 0x2A0 - 0x1F8]);
    let report = forge::snp().version(3).report();
    assert_eq!(report[0x188..0x18B], [0x19, 0x11, 1]);
    assert_eq!(report[0x1F8..0x2A0], [0; 0x2A0 - 0x1F8]);
    let report = forge::snp().report();
    assert_eq!(report[0x1F8..0x208], [0x0B, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn turin_has_its_own_layout_in_report_and_leaf() {
    let set = forge::snp().product(Product::Turin).build();
    assert_eq!(set.report[0x180..0x188], [1, 1, 1, 4, 0, 0, 0, 0x51]);
    assert_eq!(set.report[0x1A8..0x1E0], [0; 56]);
    assert_eq!(amd_extension(&set.vek, &[4]), Some(&set.report[0x1A0..0x1A8]));
    assert_eq!(amd_extension(&set.vek, &[1]), Some(&[2, 1, 1][..]));
    assert_eq!(amd_extension(&set.vek, &[3, 9]), Some(&[2, 1, 1][..]));
    assert_eq!(amd_extension(&set.vek, &[3, 4]), None);
}

#[test]
fn leaf_and_report_stay_in_step_until_one_side_is_edited() {
    let old = Tcb { microcode: 0x90, ..Product::Genoa.tcb() };
    let set = forge::snp().reported_tcb(old).build();
    assert_eq!(set.report[0x187], 0x90);
    assert_eq!(amd_extension(&set.vek, &[3, 8]), Some(&[2, 2, 0, 0x90][..]));

    let set = forge::snp().vek_tcb(old).build();
    assert_eq!(set.report[0x187], 0x54);
    assert_eq!(amd_extension(&set.vek, &[3, 8]), Some(&[2, 2, 0, 0x90][..]));

    let set = forge::snp().hwid_in_octet_string().build();
    assert_eq!(amd_extension(&set.vek, &[4]), Some(&[&[4, 64], &set.report[0x1A0..0x1E0]].concat()[..]));

    let set = forge::snp().vlek("CN=cc-test").build();
    assert_eq!(set.report[0x48..0x4C], [4, 0, 0, 0]);
    assert_eq!(set.report[0x1A0..0x1E0], [0; 64]);
    assert_eq!(amd_extension(&set.vek, &[5]), Some(&b"\x16\x0aCN=cc-test"[..]));
    assert_eq!(amd_extension(&set.vek, &[4]), None);

    let set = forge::snp().drop_vek_extension(oid::TEE_SPL).build();
    assert_eq!(amd_extension(&set.vek, &[3, 2]), None);
}
