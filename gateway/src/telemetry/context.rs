//! What a client says of the trace that its request is part of: W3C Trace Context, level 1 (Recommendation of 23 November 2021) and
//! level 2 (Candidate Recommendation of 28 March 2024), sections 3.2 and 3.3 of both.
//!
//! `traceparent: 00-TRACE_ID-PARENT_ID-FLAGS`, lower-case hexadecimal. What is not written exactly so is as if it were not there:
//! a new trace begins, and nobody is told off. Of a version that is not known yet the fields of version 00 are read, as the
//! standard asks. `tracestate` is read strictly, and shortened to what the standard asks everybody to carry.

use std::fmt;

use http::{HeaderMap, HeaderName};
use teegate_encoding::hex;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bits of the flags that have a meaning: sampled (level 1), and a trace id that is random in its last seven bytes (level 2).
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// The fields of version 00, and what a longer one has to have behind them.
const PARENT_BYTES: usize = 55;

/// Section 3.3.1.1: so many members of a list; section 3.3.1.5: so many characters are carried, and members longer than these go first.
const MOST_MEMBERS: usize = 32;
const MOST_STATE: usize = 512;
const LONG_MEMBER: usize = 128;
/// Sections 3.3.1.3.1 and 3.3.1.3.2.
const MOST_KEY: usize = 256;
const MOST_VALUE: usize = 256;

/// A trace; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TraceId(pub(super) [u8; 16]);

/// A span of a trace; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SpanId(pub(super) [u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TraceId {
    /// A random one.
    pub(super) fn random() -> Option<Self> {
        random().map(Self)
    }
}

impl SpanId {
    /// A random one.
    pub(super) fn random() -> Option<Self> {
        random().map(Self)
    }
}

/// Random bytes that are not all zero; none where the machine has none.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    (bytes != [0; N]).then_some(bytes)
}

/// The caller's span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    flags: u8,
}

impl Parent {
    /// What the head of a request says, if it says it well and once.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut said = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (said.next(), said.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (fields, rest) = text.split_at_checked(PARENT_BYTES)?;
        let mut fields = fields.split(|byte| *byte == b'-');
        let [version] = lower_hex(fields.next()?)?;
        let trace = lower_hex(fields.next()?)?;
        let span = lower_hex(fields.next()?)?;
        let [flags] = lower_hex(fields.next()?)?;
        let is_ended = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let is_valid = fields.next().is_none() && is_ended && trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace: TraceId(trace), span: SpanId(span), flags })
    }

    pub(super) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags of a span of ours in its trace, which is sampled.
    pub(super) fn flags(self) -> u8 {
        SAMPLED | self.flags & RANDOM
    }
}

/// The flags of a span in a trace of ours, which is sampled and random.
pub(super) const OWN_FLAGS: u8 = SAMPLED | RANDOM;

fn lower_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let is_lower = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(text).ok().filter(|_| is_lower)?;
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// The `tracestate` of a request, if it is written well, with no more of it than has to be carried.
pub(super) fn state_of(headers: &HeaderMap) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let is_twice = members.iter().any(|other| other.split_once('=').is_some_and(|(other, _)| other == key));
            if !is_key(key) || !is_value(value) || is_twice || members.len() >= MOST_MEMBERS {
                return None;
            }
            members.push(member);
        }
    }
    let length = |members: &[&str]| {
        members.iter().map(|member| member.len().saturating_add(1)).fold(0, usize::saturating_add).saturating_sub(1)
    };
    while length(&members) > MOST_STATE {
        let last_long = members.iter().rposition(|member| member.len() > LONG_MEMBER);
        members.remove(last_long.unwrap_or(members.len().saturating_sub(1)));
    }
    (!members.is_empty()).then(|| members.join(","))
}

/// Level 2, section 3.3.1.3.1, which admits what level 1 admits and a few more.
fn is_key(key: &str) -> bool {
    let is_rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*/@".contains(c);
    key.len() <= MOST_KEY
        && key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.chars().all(is_rest)
}

fn is_value(value: &str) -> bool {
    let is_inside = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= MOST_VALUE && value.bytes().all(is_inside) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn of(values: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Parent::of(&headers)
    }

    #[test]
    fn a_parent_is_read_as_it_is_written() {
        for (flags, is_sampled, ours) in
            [("00", false, 1), ("01", true, 1), ("02", false, 3), ("03", true, 3), ("ff", true, 3)]
        {
            let parent = of(&[&format!("00-{TRACE}-{SPAN}-{flags}")]).unwrap();
            assert_eq!((parent.trace.to_string().as_str(), hex::encode(parent.span.0).as_str()), (TRACE, SPAN));
            assert_eq!((parent.is_sampled(), parent.flags()), (is_sampled, ours), "{flags}");
        }
        // What a later version may look like.
        for later in ["cc-T-S-01", "cc-T-S-01-what-comes-later", "01-T-S-01-"] {
            let later = later.replace('T', TRACE).replace('S', SPAN);
            assert!(of(&[&later]).is_some_and(Parent::is_sampled), "{later}");
        }
    }

    #[test]
    fn what_is_malformed_is_as_if_it_were_not_there() {
        let zero = ["0".repeat(32), "0".repeat(16)];
        let all = [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-011"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", zero[0]),
            format!("00-{TRACE}-{}-01", zero[1]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0X"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{SPAN}-{TRACE}-01"),
            format!("00-{}-{SPAN}-01", TRACE.replace('a', ".")),
            format!(" 00-{TRACE}-{SPAN}-0"),
            "\u{e9}".repeat(40),
            "0".repeat(9_000),
        ];
        for text in &all {
            assert_eq!(of(&[text]), None, "{text}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert!(of(&[&good]).is_some());
        assert_eq!(of(&[&good, &good]), None, "two of them are none");
        assert_eq!(of(&[]), None);
    }

    fn state(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACESTATE, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        state_of(&headers)
    }

    #[test]
    fn a_state_is_read_strictly_and_joined() {
        assert_eq!(state(&["a=1 , b=2,,\tc=x y"]).as_deref(), Some("a=1,b=2,c=x y"));
        assert_eq!(state(&["a=1", "t@v=2"]).as_deref(), Some("a=1,t@v=2"));
        assert_eq!(state(&["", ",,"]), None);
        let (key, value) = ("k".repeat(256), "v".repeat(255));
        assert_eq!(state(&[&format!("{key}={value}")]), Some(format!("{key}={value}")));
        let (long_key, long_value) = ("k".repeat(257), "v".repeat(257));
        for wrong in [
            "a",
            "=1",
            "a=",
            "A=1",
            "a=1=2",
            "a b=1",
            "a=\u{e9}",
            "_a=1",
            "a=1,a=2",
            &format!("{long_key}=1"),
            &format!("a={long_value}"),
        ] {
            assert_eq!(state(&[wrong]), None, "{wrong}");
        }
        let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(state(&[&members(32)]), Some(members(32)));
        assert_eq!(state(&[&members(33)]), None);
    }

    #[test]
    fn of_a_long_state_the_long_members_go_first_and_then_the_last() {
        let (long, short) = ("x".repeat(200), "y".repeat(100));
        let said = format!("a={short},b={long},c={short},d={short},e={short},f={short}");
        assert_eq!(state(&[&said]), Some(format!("a={short},c={short},d={short},e={short}")));
        let exactly = format!("a={short},b={short},c={short},d={short},e={}", "z".repeat(98));
        assert_eq!(exactly.len(), 512);
        assert_eq!(state(&[&exactly]), Some(exactly));
    }

    #[test]
    fn ids_of_our_own_differ() {
        assert_ne!(TraceId::random().unwrap(), TraceId::random().unwrap());
        assert_ne!(SpanId::random().unwrap(), SpanId::random().unwrap());
    }
}
