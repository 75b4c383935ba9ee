//! What parent and worker say to each other: 64 bytes each way, of a fixed layout, one question open at a time.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | kind |
//! | 4 | 4 | how many tensors |
//! | 8 | 8 | number of the question, which the parent chooses and the answer repeats |
//! | 16 | 8 | bytes in the region of the memory file that the message is about |
//! | 24 | 40 | five numbers, of [`Kind::Load`] only |
//!
//! All of it little-endian. Nothing of a tensor stands in a message, and no place: tensors begin at the beginning of their
//! region ([`super::shared_memory`]).

/// Bytes of a message.
pub const MESSAGE_BYTES: usize = 64;

/// The longest text of a refusal or an error.
pub const MAX_TEXT_BYTES: usize = 4096;

/// The longest signature.
pub const MAX_SIGNATURE_BYTES: usize = 1 << 20;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Parent: with the library, the model and the memory file; load the library and confine yourself. The five numbers are
    /// bytes of the model, threads of a run, bytes of the input region and of the output region, and the parent's process id.
    Load = 1,
    /// Worker: done, and nothing of the model was read.
    Confined = 2,
    /// Parent: read the model.
    Parse = 3,
    /// Worker: the model is loaded, its signature is in the output region.
    Ready = 4,
    /// Worker: the model cannot be loaded, why is in the output region.
    Refused = 5,
    /// Parent: run the model on the tensors of the input region.
    Run = 6,
    /// Worker: the outputs are in the output region.
    Outputs = 7,
    /// Worker: there are no outputs, why is in the output region.
    Failed = 8,
}

impl Kind {
    const ALL: [Self; 8] =
        [Self::Load, Self::Confined, Self::Parse, Self::Ready, Self::Refused, Self::Run, Self::Outputs, Self::Failed];
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// How many tensors.
    pub count: u32,
    /// The number of the question.
    pub sequence: u64,
    /// Bytes in the region.
    pub length: u64,
    /// The numbers of [`Kind::Load`], otherwise zeros.
    pub numbers: [u64; 5],
}

impl Message {
    /// A message about nothing that lies in a region.
    pub fn new(kind: Kind, sequence: u64) -> Self {
        Self { kind, count: 0, sequence, length: 0, numbers: [0; 5] }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; MESSAGE_BYTES] {
        let mut bytes = [0; MESSAGE_BYTES];
        let kind = u64::from(self.kind as u32) | u64::from(self.count) << 32;
        let [a, b, c, d, e] = self.numbers;
        let words = [kind, self.sequence, self.length, a, b, c, d, e];
        let (places, _) = bytes.as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// The message of these bytes; `None` for a kind that there is not.
    pub fn decode(bytes: &[u8; MESSAGE_BYTES]) -> Option<Self> {
        let (places, _) = bytes.as_chunks::<8>();
        let mut words = places.iter().map(|place| u64::from_le_bytes(*place));
        let mut next = || words.next().unwrap_or_default();
        let [k0, k1, k2, k3, c0, c1, c2, c3] = next().to_le_bytes();
        let kind = u32::from_le_bytes([k0, k1, k2, k3]);
        Some(Self {
            kind: Kind::ALL.into_iter().find(|known| *known as u32 == kind)?,
            count: u32::from_le_bytes([c0, c1, c2, c3]),
            sequence: next(),
            length: next(),
            numbers: [next(), next(), next(), next(), next()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_went_and_lies_as_described() {
        let message = Message { kind: Kind::Outputs, count: 3, sequence: 5, length: 7, numbers: [11, 12, 13, 14, 15] };
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Some(message));
        for (place, value) in [(0, 7), (4, 3), (8, 5), (16, 7), (24, 11), (56, 15)] {
            assert_eq!(bytes[place], value, "{place}");
        }
        for kind in Kind::ALL {
            assert_eq!(Message::decode(&Message::new(kind, 1).encode()).unwrap().kind, kind);
        }
        for kind in [0, 9, 255] {
            let mut other = bytes;
            other[0] = kind;
            assert_eq!(Message::decode(&other), None, "{kind}");
            (other[0], other[3]) = (7, kind);
            assert_eq!(Message::decode(&other).is_some(), kind == 0, "{kind}");
        }
    }
}
