use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::exchange::AGAIN;
use super::*;

type Asked = Arc<Mutex<Vec<Vec<u8>>>>;

/// A TPM that answers what it was given, in that order, whatever it is asked; then it is silent, or gone.
struct Scripted {
    asked: Asked,
    answers: VecDeque<Vec<u8>>,
    /// The part of the present answer that was not read yet.
    left: VecDeque<u8>,
    /// How much one read gives.
    part: usize,
}

impl Scripted {
    fn new(answers: Vec<Vec<u8>>) -> (Tpm<Self>, Asked) {
        let asked = Asked::default();
        let scripted = Self { asked: Arc::clone(&asked), answers: answers.into(), left: VecDeque::new(), part: 4_096 };
        (Tpm::new(scripted), asked)
    }
}

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(self.part).min(self.left.len());
        for place in &mut buffer[..length] {
            *place = self.left.pop_front().unwrap();
        }
        Ok(length)
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.asked.lock().unwrap().push(bytes.to_vec());
        self.left = self.answers.pop_front().unwrap_or_default().into();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn answer(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(10 + body.len()).unwrap();
    [&tag.to_be_bytes()[..], &length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

fn refusal(code: u32) -> Vec<u8> {
    answer(0x8001, code, &[])
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Parameters with the answer to the empty password behind them.
fn authorised(parameters: &[u8]) -> Vec<u8> {
    let length = u32::try_from(parameters.len()).unwrap().to_be_bytes();
    answer(0x8002, 0, &[&length[..], parameters, &[0, 0, 1, 0, 0]].concat())
}

fn public(index: u32, size: u16) -> Vec<u8> {
    let area = [&index.to_be_bytes()[..], &[0, 0x0B], &[0, 2, 0, 2], &[0, 0], &size.to_be_bytes()].concat();
    answer(0x8001, 0, &[sized(&area), sized(&[7; 34])].concat())
}

/// An answer to PCR_Read: these registers, each with its number in every byte.
fn values(counter: u32, bits: u32, given: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let given: Vec<_> = given.into_iter().map(|number| sized(&[number; 32])).collect();
    let count = u32::try_from(given.len()).unwrap().to_be_bytes();
    let head = [&counter.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0x0B, 3], &bits.to_le_bytes()[..3], &count].concat();
    answer(0x8001, 0, &[head, given.concat()].concat())
}

/// What TPM2_ReadPublic gives of a key that signs: its area and its two names.
pub(crate) fn key(kind: [u8; 2], parameters: &[u8], modulus: &[u8]) -> Vec<u8> {
    let area = [&kind[..], &[0, 0x0B, 0, 5, 0, 0x72], &sized(&[]), parameters, &sized(modulus)].concat();
    [sized(&area), sized(&[7; 34]), sized(&[8; 34])].concat()
}

/// No symmetric algorithm, RSASSA with SHA-256, 2,048 bits, and no exponent.
pub(crate) const SIGNS: [u8; 12] = [0, 0x10, 0, 0x14, 0, 0x0B, 8, 0, 0, 0, 0, 0];

/// A quote's message as a TPM writes it.
pub(crate) fn attest(extra_data: &[u8], selections: &[&[u8]], digest: &[u8]) -> Vec<u8> {
    let count = u32::try_from(selections.len()).unwrap().to_be_bytes();
    let head = [&[0xFF, 0x54, 0x43, 0x47, 0x80, 0x18][..], &sized(&[0; 34]), &sized(extra_data), &[0; 25]].concat();
    [head, count.to_vec(), selections.concat(), sized(digest)].concat()
}

fn expected(error: TpmError) -> &'static str {
    match error {
        TpmError::Malformed { expected, .. } => expected,
        other => panic!("{other}"),
    }
}

#[test]
fn commands_are_written_as_the_specification_has_them_and_answers_may_come_in_parts() {
    let long = [public(0x0140_0001, 1_500), authorised(&sized(&[1; 1_024])), authorised(&sized(&[2; 476]))];
    for part in [4_096, 1, 7] {
        let (mut tpm, asked) = Scripted::new(long.to_vec());
        tpm.channel.part = part;
        let found = tpm.nv_public(0x0140_0001).unwrap();
        assert_eq!(found, Some(NvPublic { attributes: 0x0002_0002, size: 1_500 }));
        assert_eq!(tpm.nv_read(0x0140_0001, 1_500).unwrap(), [vec![1; 1_024], vec![2; 476]].concat());
        let password = "00000009400000090000000000";
        let asked: Vec<_> = asked.lock().unwrap().iter().map(teegate_encoding::hex::encode).collect();
        assert_eq!(
            asked,
            [
                "80010000000e0000016901400001".to_owned(),
                format!("8002000000230000014e4000000101400001{password}04000000"),
                format!("8002000000230000014e4000000101400001{password}01dc0400"),
            ]
        );
    }
    let (mut tpm, asked) = Scripted::new(vec![authorised(&[]), authorised(&[])]);
    tpm.nv_define(0x0140_0002, 64).unwrap();
    tpm.nv_write(0x0140_0002, b"ab").unwrap();
    let asked = asked.lock().unwrap();
    let define = "80020000002d0000012a40000001000000094000000900000000000000000e01400002000b00020002000000";
    assert_eq!(teegate_encoding::hex::encode(&asked[0]), format!("{define}40"));
    let write = "80020000002500000137400000010140000200000009400000090000000000000261620000";
    assert_eq!(teegate_encoding::hex::encode(&asked[1]), write);
}

#[test]
fn a_quote_and_three_times_eight_registers() {
    let signature = [&[0, 0x14, 0, 0x0B][..], &sized(&[9; 256])].concat();
    let (mut tpm, asked) = Scripted::new(vec![
        authorised(&[sized(b"attest"), signature].concat()),
        values(3, 0x0000FF, 0..8),
        values(3, 0x00FF00, 8..16),
        values(3, 0xFF0000, 16..24),
    ]);
    let quote = tpm.quote(0x8100_0003, &[5; 64]).unwrap();
    assert_eq!(quote, Quote { message: b"attest".to_vec(), signature: vec![9; 256] });
    let pcrs = tpm.pcrs().unwrap().unwrap();
    assert!(pcrs.iter().zip(0..).all(|(value, number)| *value == [number; 32]));
    let asked = asked.lock().unwrap();
    assert!(asked[0].ends_with(&[0, 0x10, 0, 0, 0, 1, 0, 0x0B, 3, 0xFF, 0xFF, 0xFF]));
    assert!(asked[1].ends_with(&[3, 0xFF, 0xFF, 0xFF]) && asked[3].ends_with(&[3, 0, 0, 0xFF]));

    // Extended between two reads: not of one instant.
    let (mut tpm, _) = Scripted::new(vec![values(3, 0xFF, 0..8), values(4, 0xFF00, 8..16)]);
    assert_eq!(tpm.pcrs().unwrap(), None);
}

#[test]
fn hostile_answers_are_refused_by_what_was_expected() {
    let index = 0x0140_0001;
    let good = public(index, 3);
    let header = "a length of 10 to 4096 bytes in its header";
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let cut = answer(0x8001, 0, &good[10..good.len() - 1]);
    let more = answer(0x8001, 0, &[&good[10..], &[0]].concat());
    for (bytes, what) in [
        (with(2, &[0, 0, 0, 9]), header),
        (with(2, &[0, 0, 0x10, 1]), header),
        (with(2, &[0xFF; 4]), header),
        ([good.clone(), vec![0]].concat(), "as many bytes as its header announces"),
        (with(0, &[0x80, 2]), "the tag of the command, or of a refusal"),
        (with(0, &[0, 0xC4]), "the tag of the command, or of a refusal"),
        (answer(0x8002, 0x101, &[]), "the tag of the command, or of a refusal"),
        (answer(0x8001, 0x101, &[0]), "nothing behind a refusal"),
        (with(10, &[0xFF, 0xFF]), "the public area of the index"),
        (with(12, &[1, 0x40, 0, 2]), "the public area of the index that was asked for"),
        (with(22, &[0xFF, 0xFF]), "the public area of the index that was asked for"),
        (cut, "the name of the index"),
        (more, "no bytes after the last member"),
    ] {
        let (mut tpm, _) = Scripted::new(vec![bytes]);
        assert_eq!(expected(tpm.nv_public(index).unwrap_err()), what);
    }
    // The twin, and the one refusal that is an answer.
    let (mut tpm, _) = Scripted::new(vec![good, refusal(0x18B)]);
    assert_eq!(tpm.nv_public(index).unwrap().unwrap().size, 3);
    assert_eq!(tpm.nv_public(index).unwrap(), None);

    let session = "an answer to the empty password";
    let read = |bytes: &[u8]| Scripted::new(vec![answer(0x8002, 0, bytes)]).0.nv_read(index, 1).map_err(expected);
    assert_eq!(read(&[0, 0, 0, 3, 0, 1, 8, 0, 0, 1, 0, 0]), Ok(vec![8]), "the twin");
    assert_eq!(read(&[0, 0, 0, 3, 0, 1, 8, 0, 1, 1, 0, 0]), Err(session));
    assert_eq!(read(&[0, 0, 0, 3, 0, 1, 8, 0, 0, 1, 0, 2, 0, 0]), Err(session));
    assert_eq!(read(&[0, 0, 0, 3, 0, 1, 8]), Err(session));
    assert_eq!(read(&[0, 0, 0, 3, 0, 1, 8, 0, 0, 1, 0, 0, 0]), Err("no bytes after the last member"));
    assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 8]), Err("as many parameters as it announces"));
    assert_eq!(read(&[0, 0, 0, 4, 0, 2, 8, 8, 0, 0, 1, 0, 0]), Err("as many bytes as were asked for"));
    assert_eq!(read(&[0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0]), Err("as many bytes as were asked for"));
    assert_eq!(read(&[0, 0]), Err("the length of its parameters"));

    let quote = |signature: &[u8]| {
        let (mut tpm, _) = Scripted::new(vec![authorised(&[&sized(b"attest"), signature].concat())]);
        tpm.quote(1, &[0; 64]).map(|quote| quote.signature).map_err(expected)
    };
    assert_eq!(quote(&[0, 0x14, 0, 0x0B, 0, 1, 6]), Ok(vec![6]), "the twin");
    for (scheme, hash) in [(0x16, 0x0B), (0x18, 0x0B), (0x14, 0x04), (0x14, 0x0C)] {
        assert_eq!(quote(&[0, scheme, 0, hash, 0, 1, 6]), Err("a signature with RSASSA and SHA-256"));
    }
}

#[test]
fn a_key_is_read_and_one_of_another_kind_is_none() {
    const KEY: [u8; 2] = [0, 1];
    let read = |body: &[u8]| Scripted::new(vec![answer(0x8001, 0, body)]).0.read_public(0x8100_0003);
    let modulus = [0xC5; 256];
    let (mut tpm, asked) = Scripted::new(vec![answer(0x8001, 0, &key(KEY, &SIGNS, &modulus))]);
    let found = tpm.read_public(0x8100_0003).unwrap();
    assert_eq!(found, RsaPublic { modulus: modulus.to_vec(), exponent: 65_537 });
    assert_eq!(teegate_encoding::hex::encode(&asked.lock().unwrap()[0]), "80010000000e0000017381000003");
    // By what it is asked for, and with an exponent that is written.
    let other = key(KEY, &[0, 0x10, 0, 0x10, 8, 0, 0, 0, 0, 3], &modulus);
    assert_eq!(read(&other).unwrap(), RsaPublic { exponent: 3, ..found });

    let with = |at: usize, byte: u8| {
        let mut parameters = SIGNS;
        parameters[at] = byte;
        key(KEY, &parameters, &modulus)
    };
    let good = key(KEY, &SIGNS, &modulus);
    let cut = good.len();
    let (kind, bits) = ("the public area of an RSA key", "a key of 2,048 bits");
    let signs = "a key that signs, by RSASSA with SHA-256 or by what it is asked for";
    let ending = [&SIGNS[..], &sized(&modulus), &[0]].concat();
    for (body, what) in [
        (key([0, 0x23], &SIGNS, &modulus), kind),
        (with(1, 6), signs),
        (with(3, 0x16), signs),
        (with(5, 4), signs),
        (with(6, 0x0C), bits),
        (key(KEY, &SIGNS, &modulus[1..]), bits),
        (key(KEY, &SIGNS, &[0xC5; 257]), bits),
        (key(KEY, &SIGNS[..11], &[]), bits),
        (key(KEY, &ending[..], &[]), "no bytes after the last member"),
        (good[..cut - 1].to_vec(), "the qualified name of the key"),
        (good[..cut - 36].to_vec(), "the qualified name of the key"),
        (good[..cut - 37].to_vec(), "the name of the key"),
        (good[..281].to_vec(), "the public area of the key"),
        ([&good[..], &[0]].concat(), "no bytes after the last member"),
    ] {
        assert_eq!(expected(read(&body).unwrap_err()), what);
    }
    let refused = Scripted::new(vec![refusal(0x18B)]).0.read_public(0x8100_0003).unwrap_err();
    assert_eq!(refused.to_string(), "TPM2_ReadPublic: the TPM answers with the response code 0x18b");
}

#[test]
fn registers_that_were_not_asked_for_or_never_come_are_refused() {
    let lowest = "the lowest of the registers that were asked for, a value each";
    let bank = "a selection of the SHA-256 bank";
    let mut sha1 = values(1, 0xFF, 0..8);
    sha1[19] = 4;
    let mut short = values(1, 1, [0]);
    short[29] = 31;
    let many = values(1, 0xFF_FFFF, 0..24);
    let mut endless = many.clone();
    endless[24..28].copy_from_slice(&[0xFF; 4]);
    for (answers, what) in [
        (vec![sha1], bank),
        (vec![values(1, 0, [])], lowest),
        (vec![values(1, 0xFE, 1..8)], lowest),
        (vec![values(1, 0xFF, 0..7)], lowest),
        (vec![values(1, 0xFF, 0..9)], lowest),
        (vec![values(1, 0xFF, 0..8), values(1, 0xFF, 0..8)], lowest),
        (vec![endless], lowest),
        (vec![short], "values of 32 bytes"),
    ] {
        assert_eq!(expected(Scripted::new(answers).0.pcrs().unwrap_err()), what);
    }
    assert!(Scripted::new(vec![many]).0.pcrs().unwrap().is_some(), "the twin: all at once");
}

#[test]
fn a_tpm_that_says_later_is_asked_again_and_not_for_ever() {
    for code in AGAIN {
        let (mut tpm, asked) = Scripted::new(vec![refusal(code), refusal(code), authorised(&[])]);
        tpm.nv_write(1, &[]).unwrap();
        assert_eq!(asked.lock().unwrap().len(), 3);
    }
    let (mut tpm, asked) = Scripted::new(vec![refusal(0x922); 99]);
    let error = tpm.nv_write(1, &[]).unwrap_err().to_string();
    assert!(error.ends_with("asked for a repetition 10 times, at last with 0x922"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 10);
    let (mut tpm, asked) = Scripted::new(vec![refusal(0x101); 99]);
    let error = tpm.nv_write(1, &[]).unwrap_err().to_string();
    assert_eq!(error, "TPM2_NV_Write: the TPM answers with the response code 0x101");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn silence_and_an_early_end_are_errors() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut tpm = Tpm::new(ours);
    let error = tpm.nv_public(1).unwrap_err();
    assert!(matches!(&error, TpmError::Channel { source, .. } if source.kind() == ErrorKind::WouldBlock), "{error}");
    (&theirs).read_exact(&mut [0; 14]).unwrap();
    (&theirs).write_all(&public(1, 3)[..20]).unwrap();
    drop(theirs);
    let error = tpm.answer("x").unwrap_err();
    assert!(matches!(&error, TpmError::Channel { source, .. } if source.kind() == ErrorKind::UnexpectedEof), "{error}");
}

#[test]
fn only_a_character_device_is_opened_and_its_silence_ends() {
    let soon = Instant::now() + Duration::from_millis(20);
    let folder = std::env::temp_dir();
    let error = Device::open(&folder, soon).unwrap_err();
    assert_eq!(error.to_string(), "not a character device");
    assert_eq!(Device::open(&folder.join("no such device"), soon).unwrap_err().kind(), ErrorKind::NotFound);
    // `/dev/null` takes every command and ends; later than the deadline it is not asked.
    let null = |deadline| Tpm::new(Device::open(Path::new("/dev/null"), deadline).unwrap()).nv_public(1).unwrap_err();
    let error = null(Instant::now());
    assert!(matches!(&error, TpmError::Channel { source, .. } if source.kind() == ErrorKind::TimedOut), "{error}");
    let error = null(Instant::now() + Duration::from_secs(600));
    assert!(matches!(&error, TpmError::Channel { source, .. } if source.kind() == ErrorKind::UnexpectedEof), "{error}");
    // A terminal that nobody types at is silent.
    let controller = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let device = Device::open(Path::new(&name), Instant::now() + Duration::from_millis(50)).unwrap();
    let error = Tpm::new(device).nv_public(1).unwrap_err();
    assert!(matches!(&error, TpmError::Channel { source, .. } if source.kind() == ErrorKind::TimedOut), "{error}");
}

#[test]
fn a_quote_says_what_it_is_over() {
    let whole: &[u8] = &[0, 0x0B, 3, 0xFF, 0xFF, 0xFF];
    let pcrs = [[3; 32]; PCRS];
    let digest = <sha2::Sha256 as sha2::Digest>::digest([3; 32 * PCRS]);
    let parse = |message: &[u8]| Attested::parse(message);
    let good = attest(&[1; 64], &[whole], &digest);
    let attested = parse(&good).unwrap();
    assert_eq!(attested.extra_data, [1; 64]);
    assert!(attested.is_over(&pcrs) && !attested.is_over(&[[4; 32]; PCRS]));
    for selections in [
        &[&[0, 4, 3, 0xFF, 0xFF, 0xFF][..]][..],
        &[&[0, 0x0B, 3, 0xFF, 0x07, 0x80]],
        &[&[0, 0x0B, 4, 0xFF, 0xFF, 0xFF, 0]],
        &[whole, whole],
        &[],
    ] {
        assert!(!parse(&attest(&[1; 64], selections, &digest)).unwrap().is_over(&pcrs), "{selections:?}");
    }
    for cut in 0..good.len() {
        assert!(matches!(parse(&good[..cut]), Err(TpmError::Malformed { .. })), "{cut}");
    }
    assert_eq!(expected(parse(&[&good[..], &[0]].concat()).unwrap_err()), "no bytes after the last member");
    let mut many = attest(&[], &[], &[]);
    let at = many.len() - 6;
    many[at..at + 4].copy_from_slice(&[0xFF; 4]);
    assert_eq!(expected(parse(&many).unwrap_err()), "the PCR selection");
}
