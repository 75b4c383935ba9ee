//! Whose each input of a verdict was. A verdict answers a question, and a bundle brings one of its maker's: a reader must see
//! which parts of the question were their own.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Source, UnixTime};

use crate::pool::carrier;

/// Who brought what went into a verdict beside the evidence.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The policy.
    pub(crate) policy: Source,
    /// The time; nobody named one where the verdict is about now.
    pub(crate) at: Option<Source>,
    /// The 64 bytes that the evidence must carry, beside what the policy itself says of them.
    pub(crate) report_data: Option<Source>,
    /// The event log, where there is one.
    pub(crate) event_log: Option<Source>,
    /// The endorsements, each of those who brought any.
    pub(crate) endorsements: Vec<Source>,
}

/// The time of a verdict, and who named it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: UnixTime,
    /// Nobody, where it is the present.
    pub(crate) named_by: Option<Source>,
}

impl Inputs {
    /// The event log of `evidence`: the user's where they named one, else whoever's it came along with.
    pub(crate) fn event_log(evidence: &OwnedEvidence, named: bool) -> Option<Source> {
        let brought_by = if named { Source::Supplied } else { carrier(evidence) };
        evidence.event_log.as_ref().map(|_| brought_by)
    }

    /// Every input by name, with the word for whose it is.
    pub(crate) fn named(&self) -> [(&'static str, String); 5] {
        let endorsements: Vec<_> = self.endorsements.iter().map(|source| source.name()).collect();
        [
            ("policy", self.policy.name().to_owned()),
            ("at", self.at.map_or("now", Source::name).to_owned()),
            ("report_data", self.report_data.map_or("nobody", Source::name).to_owned()),
            ("event_log", self.event_log.map_or("nobody", Source::name).to_owned()),
            ("endorsements", if endorsements.is_empty() { "nobody".to_owned() } else { endorsements.join(", ") }),
        ]
    }

    /// The same in one line, for people.
    pub(crate) fn in_words(&self) -> String {
        let endorsements: Vec<_> = self.endorsements.iter().map(|source| whose(*source)).collect();
        let or = |source: Option<Source>, nothing: &'static str| source.map_or(nothing, whose);
        format!(
            "policy: {}; time: {}; report data: {}; event log: {}; endorsements: {}",
            whose(self.policy),
            or(self.at, "now"),
            or(self.report_data, "none beside what the policy says"),
            or(self.event_log, "none"),
            if endorsements.is_empty() { "none".to_owned() } else { endorsements.join(" and ") },
        )
    }
}

const fn whose(source: Source) -> &'static str {
    match source {
        Source::Supplied => "yours",
        Source::Fetched => "fetched",
        Source::Bundle => "the bundle's",
        Source::Evidence => "the evidence's",
        // A gateway hands on nothing that a file holds; whatever a later release adds is no more than somebody's.
        _ => "handed on",
    }
}

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Inputs", 5)?;
        members.serialize_field("policy", &self.policy)?;
        members.serialize_field("at", self.at.map_or("now", Source::name))?;
        members.serialize_field("report_data", &self.report_data)?;
        members.serialize_field("event_log", &self.event_log)?;
        members.serialize_field("endorsements", &self.endorsements)?;
        members.end()
    }
}
