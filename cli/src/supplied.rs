//! What the user hands in beside a policy: evidence with its event log, and what vouches for it. Said once, for every verb that
//! takes them.

use std::path::{Path, PathBuf};

use teegate_intake::bundle;
use teegate_intake::endorsements::{Loaded, Respelt};
use teegate_intake::evidence::OwnedEvidence;
use teegate_intake::{Defect, endorsements, evidence};
use teegate_verifier::{Tee, Wrapping};

use crate::exit::Stop;
use crate::{file, output};

/// The evidence at `path`, with the event log in place of one that it carries.
pub(crate) fn evidence(path: &Path, tee: Option<Tee>, event_log: Option<&Path>) -> Result<OwnedEvidence, Stop> {
    no_stream(path).map_err(|what| format!("{what}; `-` is standard input"))?;
    let mut evidence = evidence::load(path, tee).map_err(|error| Stop::of_evidence(&error))?;
    if evidence.form == bundle::FORM {
        output::note(&format!(
            "`{}` is a bundle: its evidence and endorsements count here, its policy, time and report data do not; \
             `teegate bundle verify` asks what it asks",
            path.display()
        ));
    }
    note_member(path, &evidence);
    if let Some(log) = event_log {
        if evidence.tee != Tee::Tdx && evidence.wrapping() != Wrapping::AzureVtpm {
            return Err(format!(
                "an event log belongs to a TDX quote or to evidence of a vTPM, and this is {} evidence; leave out `--event-log`",
                evidence.tee
            )
            .into());
        }
        no_stream(log)?;
        evidence.event_log = Some(evidence::load_event_log(log).map_err(|error| error.to_string())?);
    }
    Ok(evidence)
}

/// That nothing is opened which may never give anything.
pub(crate) fn no_stream(path: &Path) -> Result<(), String> {
    file::is_no_stream(path).map_err(|what| format!("`{}` {what}", path.display()))
}

/// Says which member of somebody's JSON the evidence was taken out of.
pub(crate) fn note_member(path: &Path, evidence: &OwnedEvidence) {
    if let Some(member) = &evidence.member {
        output::note(&format!(
            "`{}`: the evidence is {} of {} bytes in the member `{member}`; nothing else in that JSON counts",
            path.display(),
            evidence.tee.evidence(),
            evidence.bytes.len()
        ));
    }
}

/// The endorsements at `paths`, with a note on every file that holds none.
pub(crate) fn endorsements(paths: &[PathBuf]) -> Result<Loaded, String> {
    paths.iter().try_for_each(|path| no_stream(path))?;
    let loaded = endorsements::load(paths).map_err(|error| error.to_string())?;
    for ignored in &loaded.ignored {
        let found = match ignored.defect() {
            Defect::Unrecognised { found, .. } => found.clone(),
            other => other.to_string(),
        };
        output::note(&format!("`{}` holds no endorsement and is passed over: {found}", ignored.subject()));
    }
    for Respelt { file, kind, how } in &loaded.respelt {
        output::note(&format!(
            "`{file}`: its {kind} was read and written again by a program ({how}), so Intel's signature, which is over the bytes as they were \
             served, cannot hold; take the answer as it was served, for instance with `teegate fetch QUOTE --into DIR`"
        ));
    }
    Ok(loaded)
}
