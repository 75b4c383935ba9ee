//! What the kernel's drivers take: three requests by `ioctl`. **The one file of what ships in which `unsafe` stands**: a request holds
//! the addresses of two or three areas that the driver reads and writes, and no type can say so of an address. So each
//! area is made here, of the size that the request names; the request is made beside it, and neither leaves this file.
//!
//! `/dev/sev-guest`: `linux/sev-guest.h` (Linux 5.19 and later). `/dev/sev` of Azure's guests with Linux 5.15: `psp-sev-guest.h` of that kernel,
//! which is not in Linux; its request names the message of AMD 56860 (tables 20 to 23) itself. A test compares the first layout with
//! the header of the machine that it is built on.
#![expect(unsafe_code, reason = "the driver is told addresses, and nothing else can be said to it")]

use std::fs::File;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// `snp_report_req`, which is MSG_REPORT_REQ: what to report, at which privilege level.
#[repr(C)]
struct ReportRequest {
    user_data: [u8; 64],
    vmpl: u32,
    reserved: [u8; 28],
}

/// `snp_ext_report_req`: the same, and where the host's certificates go.
#[repr(C)]
struct ExtendedRequest {
    data: ReportRequest,
    certificates: *mut u8,
    length: u32,
    padding: u32,
}

/// `snp_guest_request_ioctl`. Of `exit_info` the lower half is the firmware's error and the upper half the host's.
#[repr(C)]
struct GuestRequest<T> {
    version: u8,
    padding: [u8; 7],
    request: *mut T,
    response: *mut [u8; RESPONSE_BYTES],
    exit_info: u64,
}

/// `sev_snp_guest_request` of Linux 5.15.
#[repr(C)]
struct OlderRequest {
    request_type: u8,
    response_type: u8,
    version: u8,
    padding: u8,
    request_length: u16,
    padding_2: [u8; 2],
    request: *mut ReportRequest,
    response_length: u16,
    padding_3: [u8; 6],
    response: *mut [u8; RESPONSE_BYTES],
    error: u32,
    padding_4: u32,
}

const GET_REPORT: Opcode = opcode::read_write::<GuestRequest<ReportRequest>>(b'S', 0);
const GET_EXTENDED_REPORT: Opcode = opcode::read_write::<GuestRequest<ExtendedRequest>>(b'S', 2);
const OLDER_REPORT: Opcode = opcode::read_write::<OlderRequest>(b'S', 1);

/// `snp_report_resp`. The older driver writes the first 1,280 of these.
pub(super) const RESPONSE_BYTES: usize = 4_000;
const OLDER_RESPONSE_BYTES: u16 = 1_280;
/// The most that the driver takes (`SEV_FW_BLOB_MAX_SIZE`): four pages, and whole ones only.
pub(super) const TABLE_BYTES: usize = 16 << 10;

/// What a request left behind.
pub(super) struct Outcome {
    /// MSG_REPORT_RSP and zeros, where the request succeeded.
    pub(super) response: Box<[u8; RESPONSE_BYTES]>,
    /// The host's certificate table; empty where it was not asked for.
    pub(super) table: Vec<u8>,
    /// The errors of the firmware and of the host.
    pub(super) exit_info: u64,
    /// What the kernel says.
    pub(super) result: Result<(), Errno>,
}

/// SNP_GET_REPORT: the report alone.
pub(super) fn report(device: &File, user_data: &[u8; 64]) -> Outcome {
    let mut response = Box::new([0; RESPONSE_BYTES]);
    let mut asked = ReportRequest { user_data: *user_data, vmpl: 0, reserved: [0; 28] };
    let mut request = guest_request(&mut asked, &mut response);
    // SAFETY: the driver reads a `ReportRequest` and writes an `snp_report_resp`; both live until it returns.
    let result = unsafe { ioctl(device, Updater::<GET_REPORT, _>::new(&mut request)) };
    Outcome { exit_info: request.exit_info, response, table: Vec::new(), result }
}

/// SNP_GET_EXT_REPORT: the report, and the certificates that the host supplies.
pub(super) fn extended_report(device: &File, user_data: &[u8; 64]) -> Outcome {
    let (mut response, mut table) = (Box::new([0; RESPONSE_BYTES]), vec![0; TABLE_BYTES]);
    let data = ReportRequest { user_data: *user_data, vmpl: 0, reserved: [0; 28] };
    let length = u32::try_from(table.len()).unwrap_or_default();
    let mut asked = ExtendedRequest { data, certificates: table.as_mut_ptr(), length, padding: 0 };
    let mut request = guest_request(&mut asked, &mut response);
    // SAFETY: as above; of the table the driver writes `length` bytes at most, which is its length.
    let result = unsafe { ioctl(device, Updater::<GET_EXTENDED_REPORT, _>::new(&mut request)) };
    Outcome { exit_info: request.exit_info, response, table, result }
}

/// The report alone, as the driver of Linux 5.15 has it.
pub(super) fn older_report(device: &File, user_data: &[u8; 64]) -> Outcome {
    let mut response = Box::new([0; RESPONSE_BYTES]);
    let mut asked = ReportRequest { user_data: *user_data, vmpl: 0, reserved: [0; 28] };
    let mut request = OlderRequest {
        request_type: 5,
        response_type: 6,
        version: 1,
        padding: 0,
        request_length: 96,
        padding_2: [0; 2],
        request: &raw mut asked,
        response_length: OLDER_RESPONSE_BYTES,
        padding_3: [0; 6],
        response: &raw mut *response,
        error: 0,
        padding_4: 0,
    };
    // SAFETY: the driver reads the 96 bytes of `asked` and writes 1,280 of the response's; both live until it returns.
    let result = unsafe { ioctl(device, Updater::<OLDER_REPORT, _>::new(&mut request)) };
    Outcome { exit_info: request.error.into(), response, table: Vec::new(), result }
}

fn guest_request<T>(request: &mut T, response: &mut [u8; RESPONSE_BYTES]) -> GuestRequest<T> {
    GuestRequest { version: 1, padding: [0; 7], request: &raw mut *request, response: &raw mut *response, exit_info: 0 }
}

#[cfg(test)]
#[path = "layout.rs"]
mod layout;
