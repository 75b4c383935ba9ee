//! Remarks that somebody has written down as borne: which, why, and until when. They stand in a file of their own, since a policy
//! says how evidence is judged and nothing of who looked at it. Nothing is borne for ever, and nothing in silence.

use std::fmt;

use serde::Serialize;
use teegate_verifier::place::{position, readable, shortened};
use teegate_verifier::{Severity, UnixTime};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kind::RemarkKind;
use super::remark::Remark;

/// A file of acknowledgements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgements(Vec<Acknowledgement>);

/// One of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Acknowledgement {
    line: usize,
    column: usize,
    field: String,
    kind: RemarkKind,
    /// The very words that are borne, where other words about the same field shall not be.
    opens: Option<String>,
    borne: Acknowledged,
}

/// Why a remark is borne, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// Why.
    pub reason: String,
    /// From this time on it counts again.
    pub until: UnixTime,
}

/// A remark, and whether it is borne.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    /// The remark.
    #[serde(flatten)]
    pub remark: Remark,
    /// Who bears it says why.
    pub acknowledged: Option<Acknowledged>,
}

/// What is wrong with an acknowledgement itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaleKind {
    /// Its time is over, and what it bore counts again.
    Expired,
    /// There is no such remark.
    Unused,
}

/// An acknowledgement that bears nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong with it.
    pub kind: StaleKind,
    /// The line of its entry, from 1.
    pub line: usize,
    /// The column of its entry, from 1.
    pub column: usize,
    /// The field that it names.
    pub field: String,
    /// The remark that it names.
    pub remark: RemarkKind,
    /// The end of its time.
    pub until: UnixTime,
}

/// Remarks, held against acknowledgements at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Every remark, in the order of the policy.
    pub remarks: Vec<Reviewed>,
    /// Acknowledgements that bear nothing, in the order of their file.
    pub stale: Vec<Stale>,
}

/// Why a file of acknowledgements cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcknowledgementsError(String);

impl fmt::Display for AcknowledgementsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AcknowledgementsError {}

impl Acknowledgements {
    /// Reads them from TOML.
    ///
    /// # Errors
    /// The text is no such file; with line and column.
    pub fn parse(text: &str) -> Result<Self, AcknowledgementsError> {
        let document = DeTable::parse(text).map_err(|error| AcknowledgementsError(readable(&error)))?;
        let reader = Reader { text };
        let (mut has_schema, mut entries) = (false, Vec::new());
        for (key, value) in document.get_ref().iter() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("schema", DeValue::Integer(number)) if number.as_str() == "1" => has_schema = true,
                ("schema", _) => return Err(reader.wrong(value.span().start, "`schema`: expected 1")),
                ("accept", DeValue::Array(list)) => {
                    if let Some(one_more) = list.get(MAX_ENTRIES) {
                        return Err(
                            reader.wrong(one_more.span().start, &format!("more than {MAX_ENTRIES} are accepted"))
                        );
                    }
                    for entry in list.iter() {
                        entries.push(reader.entry(entry)?);
                    }
                }
                _ => {
                    let what = format!(
                        "`{}`: expected `schema = 1` and tables `[[accept]]`",
                        shortened(key.get_ref(), QUOTED)
                    );
                    return Err(reader.wrong(key.span().start, &what));
                }
            }
        }
        if !has_schema {
            return Err(AcknowledgementsError("`schema` is missing: expected `schema = 1`".to_owned()));
        }
        // Of two with one meaning, one would be found unused, or outlive the other unseen.
        for (index, entry) in entries.iter().enumerate() {
            let is_same = |other: &&Acknowledgement| {
                (&other.field, other.kind, &other.opens) == (&entry.field, entry.kind, &entry.opens)
            };
            if let Some(earlier) = entries.iter().take(index).find(is_same) {
                let what = format!("what stands in line {} is accepted a second time", earlier.line);
                return Err(at(entry.line, entry.column, &what));
            }
        }
        Ok(Self(entries))
    }

    /// Holds remarks against them. One whose time is over bears nothing and is an error; one that no remark answers to is a
    /// warning: its hole is closed, or it was misspelt.
    pub fn review(&self, remarks: Vec<Remark>, now: UnixTime) -> Review {
        let mut review = Review { remarks: Vec::new(), stale: Vec::new() };
        for entry in &self.0 {
            let kind = match (remarks.iter().any(|remark| entry.means(remark)), entry.is_over(now)) {
                (true, false) => continue,
                (true, true) => StaleKind::Expired,
                (false, _) => StaleKind::Unused,
            };
            review.stale.push(Stale {
                severity: if kind == StaleKind::Expired { Severity::Error } else { Severity::Warning },
                kind,
                line: entry.line,
                column: entry.column,
                field: entry.field.clone(),
                remark: entry.kind,
                until: entry.borne.until,
            });
        }
        review.remarks.extend(remarks.into_iter().map(|remark| {
            let bears = |entry: &&Acknowledgement| entry.means(&remark) && !entry.is_over(now);
            let acknowledged = self.0.iter().find(bears).map(|entry| entry.borne.clone());
            Reviewed { remark, acknowledged }
        }));
        review
    }
}

impl Acknowledgement {
    fn means(&self, remark: &Remark) -> bool {
        self.field == remark.field
            && self.kind == remark.kind
            && self.opens.as_ref().is_none_or(|opens| *opens == remark.opens)
    }

    fn is_over(&self, now: UnixTime) -> bool {
        now >= self.borne.until
    }
}

/// A policy earns some dozens of remarks.
const MAX_ENTRIES: usize = 1_000;

struct Reader<'a> {
    text: &'a str,
}

const MEMBERS: &str = "`field`, `remark`, `reason`, `until` and perhaps `opens`";

impl Reader<'_> {
    fn entry(&self, entry: &Spanned<DeValue<'_>>) -> Result<Acknowledgement, AcknowledgementsError> {
        let start = entry.span().start;
        let DeValue::Table(table) = entry.get_ref() else {
            return Err(self.wrong(start, &format!("expected a table `[[accept]]` of {MEMBERS}")));
        };
        for (key, _) in table.iter() {
            if !["field", "remark", "reason", "until", "opens"].contains(&key.get_ref().as_ref()) {
                return Err(self
                    .wrong(key.span().start, &format!("`{}`: expected {MEMBERS}", shortened(key.get_ref(), QUOTED))));
            }
        }
        let (line, column) = position(self.text, start);
        let field = self.string(table, "field", start)?;
        let kind = self.kind(table, start)?;
        let opens = if table.contains_key("opens") { Some(self.string(table, "opens", start)?) } else { None };
        let borne = Acknowledged { reason: self.string(table, "reason", start)?, until: self.until(table, start)? };
        Ok(Acknowledgement { line, column, field, kind, opens, borne })
    }

    fn kind(&self, table: &DeTable<'_>, start: usize) -> Result<RemarkKind, AcknowledgementsError> {
        let name = self.string(table, "remark", start)?;
        RemarkKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known: Vec<_> = RemarkKind::ALL.map(RemarkKind::name).to_vec();
            let place = table.get("remark").map_or(start, |value| value.span().start);
            self.wrong(
                place,
                &format!("`remark`: `{}` is none; expected one of {}", shortened(&name, QUOTED), known.join(", ")),
            )
        })
    }

    fn until(&self, table: &DeTable<'_>, start: usize) -> Result<UnixTime, AcknowledgementsError> {
        let text = self.string(table, "until", start)?;
        let place = table.get("until").map_or(start, |value| value.span().start);
        UnixTime::parse(&text).map_err(|_| {
            self.wrong(
                place,
                "`until`: expected a time such as \"2027-06-01T00:00:00Z\", from which on the remark counts again",
            )
        })
    }

    /// A member that is a string and says something.
    fn string(&self, table: &DeTable<'_>, name: &str, start: usize) -> Result<String, AcknowledgementsError> {
        match table.get(name).map(|value| (value.span().start, value.get_ref())) {
            Some((_, DeValue::String(text))) if !text.trim().is_empty() => Ok(text.to_string()),
            Some((place, _)) => Err(self.wrong(place, &format!("`{name}`: expected a string that is not empty"))),
            None => Err(self.wrong(start, &format!("`{name}` is missing: expected {MEMBERS}"))),
        }
    }

    fn wrong(&self, offset: usize, what: &str) -> AcknowledgementsError {
        let (line, column) = position(self.text, offset);
        at(line, column, what)
    }
}

fn at(line: usize, column: usize, what: &str) -> AcknowledgementsError {
    AcknowledgementsError(format!("line {line}, column {column}: {}", what))
}

/// As much of somebody's text as an error repeats.
const QUOTED: usize = 80;
