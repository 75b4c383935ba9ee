//! The layout of the requests beside the kernel's own header, as gcc reads it on this machine.

use std::mem::{offset_of, size_of};
use std::process::Command;

use super::*;

const SOURCE: &str = r#"
#include <linux/sev-guest.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <sys/ioctl.h>
#define at(type, member) (unsigned)offsetof(struct type, member)
/* psp-sev-guest.h of Azure's Linux 5.15 is in no package: as it is published. */
struct older { uint8_t request_type, response_type, version; uint16_t request_length; uint64_t request;
    uint16_t response_length; uint64_t response; uint32_t error; };
int main(void) {
    printf("%u %u %u %u", (unsigned)sizeof(struct snp_report_req), at(snp_report_req, user_data), at(snp_report_req, vmpl),
        at(snp_report_req, rsvd));
    printf(" %u %u %u", (unsigned)sizeof(struct snp_ext_report_req), at(snp_ext_report_req, certs_address),
        at(snp_ext_report_req, certs_len));
    printf(" %u %u %u %u %u", (unsigned)sizeof(struct snp_guest_request_ioctl), at(snp_guest_request_ioctl, msg_version),
        at(snp_guest_request_ioctl, req_data), at(snp_guest_request_ioctl, resp_data), at(snp_guest_request_ioctl, resp_data) + 8);
    printf(" %u %u %u", (unsigned)sizeof(struct snp_report_resp), (unsigned)SNP_GET_REPORT, (unsigned)SNP_GET_EXT_REPORT);
    printf(" %u %u %u %u %u %u %u %u\n", (unsigned)sizeof(struct older), at(older, response_type), at(older, version),
        at(older, request_length), at(older, request), at(older, response_length), at(older, response), at(older, error));
    return 0;
}
"#;

#[test]
fn the_requests_are_laid_out_as_the_kernel_s_header_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("layout.c"), folder.path().join("layout"));
    std::fs::write(&source, SOURCE).unwrap();
    let header = folder.path().join("header.c");
    std::fs::write(&header, "#include <linux/sev-guest.h>\n").unwrap();
    let found = Command::new("cc").arg("-E").arg(&header).output();
    if !found.is_ok_and(|output| output.status.success()) {
        let text = "note: skipped: the layout of /dev/sev-guest beside the kernel's header: no `cc`, or no `linux/sev-guest.h`";
        std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()).unwrap();
        return;
    }
    let built = Command::new("cc").arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let said = Command::new(program).output().unwrap();
    let numbers: Vec<u64> =
        String::from_utf8(said.stdout).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect();
    type Extended = GuestRequest<ExtendedRequest>;
    let ours = [
        size_of::<ReportRequest>(),
        offset_of!(ReportRequest, user_data),
        offset_of!(ReportRequest, vmpl),
        offset_of!(ReportRequest, reserved),
        size_of::<ExtendedRequest>(),
        offset_of!(ExtendedRequest, certificates),
        offset_of!(ExtendedRequest, length),
        size_of::<Extended>(),
        offset_of!(Extended, version),
        offset_of!(Extended, request),
        offset_of!(Extended, response),
        offset_of!(Extended, exit_info),
        RESPONSE_BYTES,
        GET_REPORT as usize,
        GET_EXTENDED_REPORT as usize,
        size_of::<OlderRequest>(),
        offset_of!(OlderRequest, response_type),
        offset_of!(OlderRequest, version),
        offset_of!(OlderRequest, request_length),
        offset_of!(OlderRequest, request),
        offset_of!(OlderRequest, response_length),
        offset_of!(OlderRequest, response),
        offset_of!(OlderRequest, error),
    ];
    assert_eq!(numbers, ours.map(|number| number as u64));
}

/// As numbers, which `strace` shows and Microsoft's own tools name.
#[test]
fn the_numbers_of_the_requests_are_the_published_ones() {
    assert_eq!([GET_REPORT, GET_EXTENDED_REPORT, OLDER_REPORT], [0xC020_5300, 0xC020_5302, 0xC028_5301]);
    assert_eq!((size_of::<ReportRequest>(), u64::from(OLDER_RESPONSE_BYTES)), (96, 1_280));
}
