//! What is said about whom requests are sealed to.

use teegate_client::Instance;
use teegate_client::proxy::Event;
use teegate_verifier::{Outcome, UnixTime};

use crate::output::plain;

/// The lines of an event.
pub(super) fn said(event: &Event) -> String {
    match event {
        Event::Verified(instance) => verified(instance),
        Event::Lost(why) => {
            let mut text =
                String::from("lost       nobody is verified; requests are answered with an error until somebody is\n");
            for line in why.to_string().lines() {
                text += &format!("           {}\n", plain(line));
            }
            text
        }
        // What a later release tells apart is at least seen.
        other => format!("event      {}\n", plain(&format!("{other:?}"))),
    }
}

fn verified(instance: &Instance) -> String {
    let (manifest, report) = (instance.manifest(), instance.attested().report());
    let key = report.tee().key_checks();
    let code = report.fact(key.code_fact).map_or_else(|| "not stated".to_owned(), ToString::to_string);
    let is_compared = report.finding(key.code).is_some_and(|finding| *finding.outcome() == Outcome::Pass);
    let by = if is_compared { "as the policy expects" } else { "NOT compared: the policy leaves it open" };
    let models: Vec<_> = manifest
        .models
        .iter()
        .map(|model| format!("{} version {}", plain(&model.name), plain(&model.version)))
        .collect();
    // Whichever ends first, the key or the verdict.
    let until = UnixTime::from_seconds(manifest.use_until).min(instance.attested().valid_until());
    let mut text = format!(
        "verified   instance {} ({}), manifest {}\n           {} {code} ({by})\n           serves {}\n           until {until}\n",
        manifest.instance_id,
        instance.bound_to_words(),
        instance.digest(),
        key.code_fact,
        models.join(", "),
    );
    report.warnings().for_each(|warning| text += &format!("           warning: {}\n", plain(warning)));
    text
}
