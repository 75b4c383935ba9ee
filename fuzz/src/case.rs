//! What the targets of `verify` read: one question to the verifier, part by part, in one file.
//!
//! ```text
//! 's' | 't'  the TEE                      length (4, little-endian)  bytes
//! then parts: 'r' roots, 'o' what was signed at first, 'u' until when it held (8), 'e' evidence, 'c' certificate, 'l' list,
//!             'i' TCB info and 'q' QE identity (signature, 64, and text), 'g' event log
//! ```

use teegate_verifier::{Endorsements, Evidence, Tee};

/// One part that an attacker may have chosen.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Evidence(Vec<u8>),
    Certificate(Vec<u8>),
    List(Vec<u8>),
    TcbInfo(Vec<u8>),
    QeIdentity(Vec<u8>),
    Log(Vec<u8>),
}

impl Part {
    pub(crate) fn bytes(&self) -> &[u8] {
        let (Self::Evidence(bytes)
        | Self::Certificate(bytes)
        | Self::List(bytes)
        | Self::TcbInfo(bytes)
        | Self::QeIdentity(bytes)
        | Self::Log(bytes)) = self;
        bytes
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Evidence(_) => b'e',
            Self::Certificate(_) => b'c',
            Self::List(_) => b'l',
            Self::TcbInfo(_) => b'i',
            Self::QeIdentity(_) => b'q',
            Self::Log(_) => b'g',
        }
    }
}

/// A question, and what may be accepted of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) tee: Tee,
    /// The policy's roots.
    pub(crate) roots: String,
    /// What the platform signed before anything was changed, and until when that was accepted; `None` where the change was
    /// signed too.
    pub(crate) signed: Option<(Vec<u8>, u64)>,
    pub(crate) parts: Vec<Part>,
}

impl Case {
    pub(crate) fn decode(input: &[u8]) -> Option<Self> {
        let (tee, mut rest) = input.split_first()?;
        let tee = match tee {
            b's' => Tee::SevSnp,
            b't' => Tee::Tdx,
            _ => return None,
        };
        let mut case = Self { tee, roots: String::new(), signed: None, parts: Vec::new() };
        let (mut signed, mut until) = (None, None);
        while let Some((head, after)) = rest.split_first_chunk::<5>() {
            let [tag, length @ ..] = *head;
            let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
            rest = after;
            let bytes = bytes.to_vec();
            match tag {
                b'r' => case.roots = String::from_utf8(bytes).ok()?,
                b'o' => signed = Some(bytes),
                b'u' => until = Some(u64::from_le_bytes(bytes.try_into().ok()?)),
                b'e' => case.parts.push(Part::Evidence(bytes)),
                b'c' => case.parts.push(Part::Certificate(bytes)),
                b'l' => case.parts.push(Part::List(bytes)),
                b'i' => case.parts.push(Part::TcbInfo(bytes)),
                b'q' => case.parts.push(Part::QeIdentity(bytes)),
                b'g' => case.parts.push(Part::Log(bytes)),
                _ => return None,
            }
        }
        case.signed = signed.zip(until);
        rest.is_empty().then_some(case)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![if self.tee == Tee::SevSnp { b's' } else { b't' }];
        let mut put = |tag: u8, part: &[u8]| {
            bytes.push(tag);
            bytes.extend(u32::try_from(part.len()).expect("a short part").to_le_bytes());
            bytes.extend_from_slice(part);
        };
        put(b'r', self.roots.as_bytes());
        if let Some((signed, until)) = &self.signed {
            put(b'o', signed);
            put(b'u', &until.to_le_bytes());
        }
        self.parts.iter().for_each(|part| put(part.tag(), part.bytes()));
        bytes
    }

    /// The last evidence that is there: a mutation may have doubled it.
    pub(crate) fn evidence_bytes(&self) -> &[u8] {
        let evidence = self.parts.iter().rev().find(|part| matches!(part, Part::Evidence(_)));
        evidence.map(Part::bytes).unwrap_or_default()
    }

    fn log(&self) -> Option<&[u8]> {
        self.parts.iter().rev().find(|part| matches!(part, Part::Log(_))).map(Part::bytes)
    }

    pub(crate) fn endorsements(&self) -> Endorsements {
        let mut pool = Endorsements::new();
        for part in &self.parts {
            let signed = || {
                let (signature, text) = part.bytes().split_first_chunk::<64>()?;
                Some((String::from_utf8(text.to_vec()).ok()?, *signature))
            };
            match part {
                Part::Certificate(der) => pool.add_certificate(der.clone()),
                Part::List(der) => pool.add_crl(der.clone()),
                Part::TcbInfo(_) => {
                    if let Some((text, signature)) = signed() {
                        pool.add_tcb_info(text, signature);
                    }
                }
                Part::QeIdentity(_) => {
                    if let Some((text, signature)) = signed() {
                        pool.add_qe_identity(text, signature);
                    }
                }
                Part::Evidence(_) | Part::Log(_) => {}
            }
        }
        pool
    }

    pub(crate) fn evidence<'a>(&'a self, endorsements: &'a Endorsements) -> Evidence<'a> {
        let bytes = self.evidence_bytes();
        let evidence = Evidence::of(self.tee, bytes, endorsements);
        self.log().map_or(evidence, |log| evidence.with_event_log(log))
    }
}
