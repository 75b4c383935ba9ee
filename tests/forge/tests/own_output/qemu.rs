//! A paravisor between QEMU and a software TPM, with this test in the place of QEMU.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use teegate_forge::paravisor::{HCL_REPORT, Machine, Paravisor, Platform, USER_DATA, tpm};

const INIT: u32 = 0x02;
const SET_DATAFD: u32 = 0x10;

/// A command on the control channel, and the result that comes back.
fn command(control: &mut UnixStream, code: u32, body: &[u8], beside: Option<&UnixStream>) -> u32 {
    let bytes = [&code.to_be_bytes()[..], body].concat();
    let descriptors: Vec<_> = beside.iter().map(|stream| stream.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    }
    let sent = sendmsg(&*control, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
    let mut result = [0; 4];
    control.read_exact(&mut result).unwrap();
    u32::from_be_bytes(result)
}

/// TPM2_NV_Read of the paravisor's report, whole.
fn report(guest: &mut UnixStream) -> Vec<u8> {
    let public = tpm::ask(guest, &tpm::plain(0x169, &HCL_REPORT.to_be_bytes())).unwrap();
    let length = u16::try_from(tpm::half(&public, 14)).unwrap();
    let mut whole = Vec::new();
    while whole.len() < usize::from(length) {
        let offset = u16::try_from(whole.len()).unwrap();
        let part = (length - offset).min(1_024);
        let asked = [part.to_be_bytes(), offset.to_be_bytes()].concat();
        let read = tpm::ask(guest, &tpm::authorised(0x14E, &[HCL_REPORT, HCL_REPORT], &asked)).unwrap();
        whole.extend(&read[6..6 + usize::from(part)]);
    }
    whole
}

#[test]
fn a_machine_turns_its_tpm_on_and_its_guest_meets_the_paravisor() {
    let machine = match Machine::provision() {
        Ok(machine) => machine,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let note = "note: skipped: a paravisor behind QEMU's control channel: swtpm is not installed (on Debian: apt-get install swtpm)";
            writeln!(std::io::stderr(), "{note}").unwrap();
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let (mut paravisor, mut control) = Paravisor::of_a_machine(machine, Platform::Snp(teegate_forge::snp())).unwrap();
    let (mut qemu, mut theirs) = UnixStream::pair().unwrap();
    let (mut guest, of_the_guest) = UnixStream::pair().unwrap();
    let (sender, guests) = std::sync::mpsc::channel();
    let relay = std::thread::spawn(move || control.relay(&mut theirs, |guest| sender.send(guest).unwrap()));
    assert_eq!(command(&mut qemu, SET_DATAFD, &[], Some(&of_the_guest)), 0);
    drop(of_the_guest);
    let mut commands = guests.recv().unwrap();
    let served = std::thread::spawn(move || paravisor.serve(&mut commands, || None).unwrap_err().kind());

    // It is off until QEMU says otherwise, and then firmware starts it: TPM2_Startup, with clear registers.
    assert_eq!(command(&mut qemu, INIT, &[0; 4], None), 0);
    tpm::ask(&mut guest, &tpm::plain(0x144, &[0, 0])).unwrap();
    let registers = tpm::registers(&mut guest).unwrap();
    // Registers 17 to 22 are those of a dynamic launch, which there was none of.
    let clear = |number: usize| if (17..23).contains(&number) { vec![0xFF; 32] } else { vec![0; 32] };
    assert_eq!(registers, (0..24).map(clear).collect::<Vec<_>>());
    // Firmware would hash everything once more for each bank that there is.
    let sha1 = tpm::plain(0x17E, &tpm::selections(&[(tpm::SHA1, [0xFF, 0, 0])]));
    assert_eq!(
        tpm::ask(&mut guest, &sha1).unwrap()[4..],
        tpm::selections(&[(tpm::SHA1, [0; 3])])[..].iter().chain(&[0; 4]).copied().collect::<Vec<_>>()[..]
    );

    // The attestation key is there and quotes what the guest extends.
    tpm::extend(&mut guest, 8, &[0x1D; 32]).unwrap();
    let (message, _) = tpm::quote(&mut guest, &[0x5A; 64], &[(tpm::SHA256, [0xFF; 3])]).unwrap();
    assert!(message.windows(64).any(|window| window == [0x5A; 64]));
    // The index for user data is the guest's to define, and the report takes up what is written.
    let attributes = 0x0006_0006_u32.to_be_bytes();
    let public = [&USER_DATA.to_be_bytes()[..], &tpm::SHA256.to_be_bytes(), &attributes, &[0, 0], &[0, 64]].concat();
    let owner = 0x4000_0001;
    tpm::ask(&mut guest, &tpm::authorised(0x12A, &[owner], &[tpm::sized(&[]), tpm::sized(&public)].concat())).unwrap();
    let written = hex::encode_upper([0xC3; 64]);
    let has_taken_up = |report: &[u8]| String::from_utf8_lossy(report).contains(&written);
    assert!(!has_taken_up(&report(&mut guest)));
    let data = [tpm::sized(&[0xC3; 64]), vec![0, 0]].concat();
    tpm::ask(&mut guest, &tpm::authorised(0x137, &[USER_DATA, USER_DATA], &data)).unwrap();
    assert!(has_taken_up(&report(&mut guest)));

    // The machine goes, and everything ends.
    drop((guest, qemu));
    assert_eq!(served.join().unwrap(), std::io::ErrorKind::UnexpectedEof);
    relay.join().unwrap().unwrap();
}

#[test]
fn a_control_channel_that_sends_no_stream_is_refused() {
    let Ok(machine) = Machine::provision() else { return };
    let (_paravisor, mut control) = Paravisor::of_a_machine(machine, Platform::Snp(teegate_forge::snp())).unwrap();
    let (mut qemu, mut theirs) = UnixStream::pair().unwrap();
    qemu.write_all(&SET_DATAFD.to_be_bytes()).unwrap();
    let error = control.relay(&mut theirs, |_| panic!("a stream")).unwrap_err();
    assert_eq!(error.to_string(), "QEMU has sent no stream of commands");
}
