//! What is asked of a bundle's evidence: its maker's question, or one of the verifier's own.

use teegate_intake::bundle::Bundle;
use teegate_verifier::{Policy, PolicyError, ReportData, Source, UnixTime};

use super::maker::{CREATOR, called};
use crate::format::Moment;
use crate::output::{plain, short};
use crate::{caller, policy, verify};

/// What the verifier names on the command line.
pub(crate) struct Wanted<'a> {
    pub(crate) policy: Option<&'a str>,
    pub(crate) at: Option<UnixTime>,
    pub(crate) report_data: Option<ReportData>,
}

/// What is asked of a bundle's evidence, and by whom. The bundle answers its maker's question: with a policy of the verifier's
/// own, whoever made the bundle is not the caller, and neither names the time nor the report data.
pub(crate) struct Question {
    pub(crate) named: String,
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) policy_by: Source,
    pub(crate) moment: Moment,
    pub(crate) report_data_by: Option<Source>,
    /// In what it is another question than the bundle's own.
    pub(crate) departs: Vec<String>,
}

impl Question {
    /// The question of `bundle` where the verifier names no policy, else the verifier's own.
    pub(crate) fn of(args: &Wanted<'_>, bundle: &Bundle) -> Result<Self, String> {
        let mut departs = Vec::new();
        let named_at = args.at.map(|at| Moment { at, named_by: Some(Source::Supplied) });
        if let Some(at) = args.at {
            departs.push(format!("at {at} and not {}", bundle.at));
        }
        if args.report_data.is_some() {
            departs.push("report data of your own".to_owned());
        }
        let tee = bundle.kept.tee;
        let supplied = args.report_data.map(|_| Source::Supplied);
        if let Some(named) = args.policy {
            let own = short(&called(&bundle.policy));
            departs.insert(0, format!("policy `{}` and not its own, `{own}`", plain(named)));
            let moment = named_at.map_or_else(|| verify::moment(None), Ok)?;
            if named_at.is_none() {
                departs.push(format!("at {}, now, and not {}", moment.at, bundle.at));
            }
            if args.report_data.is_none() && bundle.report_data.is_some() {
                departs.push("not for the report data that the bundle's maker named".to_owned());
            }
            let text = policy::read_text(named)?;
            let policy = Policy::parse(&text).map_err(|error| policy::refused(named, &error))?;
            let policy = caller::asks(policy, named, tee, args.report_data)?;
            return Ok(Self {
                named: named.to_owned(),
                text,
                policy,
                policy_by: Source::Supplied,
                moment,
                report_data_by: supplied,
                departs,
            });
        }
        let named = short(&called(&bundle.policy));
        let policy =
            Policy::parse(&bundle.policy.text).map_err(|error| no_longer_loads(&named, &bundle.creator, &error))?;
        let policy = caller::asks(policy, &named, tee, args.report_data.or(bundle.report_data))?;
        Ok(Self {
            named,
            text: bundle.policy.text.clone(),
            policy,
            policy_by: Source::Bundle,
            moment: named_at.unwrap_or(Moment { at: bundle.at, named_by: Some(Source::Bundle) }),
            report_data_by: supplied.or_else(|| bundle.report_data.map(|_| Source::Bundle)),
            departs,
        })
    }
}

/// The answer where a bundle's own policy is refused by the loader. Its text is a stranger's, and so are the lines of it that the
/// loader quotes.
fn no_longer_loads(named: &str, creator: &str, error: &PolicyError) -> String {
    const LINES: usize = 12;
    let lines: Vec<_> = error.to_string().lines().take(LINES).map(short).collect();
    format!(
        "the bundle's own policy, `{named}`, was written by {} and is not one that this release ({CREATOR}) loads, so that its question \
         cannot be asked; give `--policy` to ask one of your own; it stops at: {}",
        short(creator),
        lines.join("\n")
    )
}
