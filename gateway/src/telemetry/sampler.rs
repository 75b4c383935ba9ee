//! Which requests have spans.
//!
//! At the edge the caller is a stranger. That its trace id is taken over costs nothing; that it decides how much is recorded would be
//! a way to fill a receiver, or to leave no trace. So by default only the gateway's own draw counts, made of random numbers and of
//! no byte of the request: a trace id that its maker chose well would be sampled every time. With `trust_parent`, where everybody who can
//! reach the gateway is the operator's own, the caller's flag decides, and the draw where there is none.

use super::context::Parent;

const MILLION: u64 = 1_000_000;

/// Decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    pub(super) per_million: u64,
    pub(super) trusts_parent: bool,
}

impl Sampler {
    pub(super) fn takes(self, parent: Option<Parent>) -> bool {
        match parent {
            Some(parent) if self.trusts_parent => parent.is_sampled(),
            _ => self.per_million >= MILLION || getrandom::u64().is_ok_and(|drawn| drawn % MILLION < self.per_million),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn parent(flags: &str) -> Option<Parent> {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        Parent::of(&HeaderMap::from_iter([(
            http::HeaderName::from_static("traceparent"),
            HeaderValue::from_str(&text).unwrap(),
        )]))
    }

    #[test]
    fn a_stranger_decides_nothing_and_a_trusted_caller_all() {
        let (none, all) = (0, MILLION);
        for (per_million, trusts_parent, flags, is_taken) in [
            (none, false, Some("01"), false),
            (all, false, Some("00"), true),
            (none, false, None, false),
            (all, false, None, true),
            (none, true, Some("01"), true),
            (all, true, Some("00"), false),
            (none, true, None, false),
            (all, true, None, true),
        ] {
            let sampler = Sampler { per_million, trusts_parent };
            assert_eq!(sampler.takes(flags.and_then(parent)), is_taken, "{per_million} {trusts_parent} {flags:?}");
        }
    }

    #[test]
    fn a_share_is_about_what_it_says() {
        let sampler = Sampler { per_million: MILLION / 4, trusts_parent: false };
        let taken = (0..10_000).filter(|_| sampler.takes(None)).count();
        // Eleven standard deviations to either side.
        assert!((2_000..3_000).contains(&taken), "{taken}");
    }
}
