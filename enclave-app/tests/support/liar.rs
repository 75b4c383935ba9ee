//! The other end of an engine, written down once more: places and numbers as the documentation says, and not as the code does.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

pub(crate) const CONFINED: u32 = 2;
pub(crate) const READY: u32 = 4;
const REFUSED: u32 = 5;
pub(crate) const OUTPUTS: u32 = 7;
pub(crate) const FAILED: u32 = 8;

/// What nobody else here has open.
pub(crate) const SENT: &str = "/dev/full";

/// A message of 64 bytes.
pub(crate) fn message(kind: u32, count: u32, question: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(question.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.resize(64, 0);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// An output as it lies in the memory file.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) index: u32,
    pub(crate) datatype: u32,
    pub(crate) rank: u32,
    pub(crate) string_bytes: u32,
    pub(crate) dimensions: Vec<i64>,
    pub(crate) elements: usize,
    /// Instead of elements.
    pub(crate) raw: Vec<u8>,
}

impl Output {
    /// `y`, FP32, `[1, 2]`: 1.5 and 2.5.
    pub(crate) fn good() -> Self {
        let (dimensions, raw) = (vec![1, 2], Vec::new());
        Self { index: 0, datatype: 11, rank: 2, string_bytes: 0, dimensions, elements: 2, raw }
    }

    /// `y`, BYTES, `[1, 2]`: `a` and nothing.
    pub(crate) fn text() -> Self {
        let raw = b"\x01\0\0\0a\0\0\0\0".to_vec();
        Self { datatype: 13, string_bytes: 9, elements: 0, raw, ..Self::good() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.index, self.datatype, self.rank, self.string_bytes] {
            bytes.extend(word.to_le_bytes());
        }
        for axis in 0..16 {
            bytes.extend(self.dimensions.get(axis).copied().unwrap_or(0).to_le_bytes());
        }
        assert_eq!(bytes.len(), 144);
        for element in [1.5_f32, 2.5].into_iter().cycle().take(self.elements) {
            bytes.extend(element.to_le_bytes());
        }
        bytes.extend(&self.raw);
        bytes
    }
}

/// What a worker has when it has been started.
pub(crate) struct Liar {
    pair: UnixStream,
    memory: File,
    model: File,
    input_bytes: u64,
    pub(crate) question: u64,
}

impl Liar {
    /// Takes the first message and what comes with it.
    pub(crate) fn begin() -> Self {
        // Whatever becomes of the test, none of these stays.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
        let pair = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        let mut bytes = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        rustix::net::recvmsg(&pair, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::WAITALL).unwrap();
        let mut files: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                files.extend(some);
            }
        }
        let (memory, model) = (File::from(files.remove(2)), File::from(files.remove(1)));
        assert_eq!(bytes[0], 1);
        Self { pair, memory, model, input_bytes: number(&bytes, 40), question: number(&bytes, 8) }
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        (&self.pair).write_all(bytes).unwrap();
    }

    /// The number of the next question; `None` when nobody asks any more.
    pub(crate) fn next(&self) -> Option<u64> {
        let mut bytes = [0; 64];
        (&self.pair).read_exact(&mut bytes).ok()?;
        Some(number(&bytes, 8))
    }

    /// Waits until the parent ends it.
    pub(crate) fn wait(&self) -> ! {
        loop {
            std::thread::park();
        }
    }

    /// Hangs up, on every descriptor that there is of it, and lives on.
    pub(crate) fn close(&self) {
        self.pair.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Writes into the output region.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, self.input_bytes + at).unwrap();
    }

    /// How much of the output region's first bytes is not zero.
    pub(crate) fn left(&self, bytes: usize) -> usize {
        let mut read = vec![0; bytes];
        self.memory.read_exact_at(&mut read, self.input_bytes).unwrap();
        read.into_iter().filter(|byte| *byte != 0).count()
    }

    /// How much of the input region is not zero.
    pub(crate) fn given(&self) -> usize {
        let mut read = vec![0; self.input_bytes as usize];
        self.memory.read_exact_at(&mut read, 0).unwrap();
        read.into_iter().filter(|byte| *byte != 0).count()
    }

    pub(crate) fn refuse(&self, words: &[u8], length: u64) {
        self.write(0, words);
        self.send(&message(REFUSED, 0, self.question, length));
        self.wait();
    }

    /// Loads as an honest one does, with this for a signature.
    pub(crate) fn ready(&self, signature: &[u8], length: u64) {
        self.send(&message(CONFINED, 0, self.question, 0));
        let question = self.next().unwrap();
        self.write(0, signature);
        self.send(&message(READY, 0, question, length));
    }

    /// One input `x`, FP32 of any length, and one output of this name, FP32 of any number of pairs.
    pub(crate) fn signature(&self, output: &str) {
        self.signature_of(output, "FP32");
    }

    /// The same with an output of this type.
    pub(crate) fn signature_of(&self, output: &str, datatype: &str) {
        let text = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{{"Dimensions":[-1]}}}}],"defaults":[],"outputs":[{{"name":"{output}","datatype":"{datatype}","shape":{{"Dimensions":[-1,2]}}}}]}}"#
        );
        self.ready(text.as_bytes(), text.len() as u64);
    }

    /// So many bytes of the model's file, from wherever it stands.
    pub(crate) fn read_on(&self, bytes: usize) -> String {
        let mut read = vec![0; bytes];
        (&self.model).read_exact(&mut read).unwrap();
        String::from_utf8(read).unwrap()
    }

    pub(crate) fn honest_load(&self) {
        self.signature("y");
    }

    /// Writes for as long as it is taken.
    pub(crate) fn flood(&self) {
        while (&self.pair).write_all(&[7; 4096]).is_ok() {}
        self.wait();
    }

    /// A message that brings three descriptors along.
    pub(crate) fn send_descriptors(&self, bytes: &[u8]) {
        let file = File::open(SENT).unwrap();
        let files = [file.as_fd(); 3];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        rustix::net::sendmsg(&self.pair, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    }

    /// Answers well, and goes on writing over the answer.
    pub(crate) fn rewrite(&self, good: &Output, mut question: u64) {
        let wide = Output { dimensions: vec![1 << 20, 2], ..good.clone() };
        let other = Output { datatype: 12, ..good.clone() };
        std::thread::scope(|threads| {
            threads.spawn(|| {
                loop {
                    for output in [good, &wide, good, &other] {
                        self.write(0, &output.bytes());
                    }
                }
            });
            loop {
                self.send(&message(OUTPUTS, 1, question, good.bytes().len() as u64));
                let Some(next) = self.next() else { std::process::exit(0) };
                question = next;
            }
        });
    }
}
