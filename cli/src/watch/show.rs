//! A forecast for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};
use teegate_intake::forecast::Forecast;

use super::within::in_words;
use super::{Standing, View, Watched};
use crate::output::{plain, short};

/// What ends first stands first.
pub(super) fn text(view: &View) -> String {
    let mut rows: Vec<_> = view.watched.iter().collect();
    let end = |watched: &Watched| watched.outcome.as_ref().ok().and_then(|forecast| forecast.accepted_until);
    rows.sort_by_key(|watched| (view.standing(watched), end(watched), watched.file.clone()));
    let mut text = String::new();
    for watched in rows {
        one(&mut text, view, watched);
    }
    let count = |standing| view.watched.iter().filter(|watched| view.standing(watched) == standing).count();
    // Writing to a string cannot fail.
    let _written = write!(
        text,
        "\n{} at {}: {} refused, {} accepted and to be refused within {}, {} accepted for longer",
        if view.watched.len() == 1 { "1 bundle".to_owned() } else { format!("{} bundles", view.watched.len()) },
        view.at,
        count(Standing::Refused),
        count(Standing::Ends),
        in_words(view.within.as_secs()),
        count(Standing::Holds),
    );
    let unreadable = count(Standing::Unreadable);
    if unreadable > 0 {
        let _written = write!(text, ", {unreadable} unreadable");
    }
    text.push_str(
        ".\nNobody was asked: what a vendor revokes, or finds wanting, from now on is in none of these files.\n",
    );
    text
}

fn one(text: &mut String, view: &View, watched: &Watched) {
    let file = plain(&watched.file);
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let forecast = match &watched.outcome {
        Err(stop) => return line(format!("UNREADABLE  {file}\n  {}", plain(&stop.message))),
        Ok(forecast) => forecast,
    };
    let Some(until) = forecast.accepted_until else {
        line(format!("REFUSED     {file}"));
        return why(text, forecast);
    };
    let left = in_words(until.seconds().saturating_sub(view.at.seconds()));
    let head = if view.standing(watched) == Standing::Ends { "ENDS" } else { "HOLDS" };
    line(format!("{head:<12}{file}  until {until}, in {left}"));
    for change in forecast.changes.iter().take_while(|change| change.at <= until) {
        let what: Vec<_> = change.what.iter().map(|what| short(what)).collect();
        let then = if change.refused_by.is_empty() { "accepted on" } else { "refused from then on" };
        line(format!("  {}  {}: {then}", change.at, what.join("; ")));
    }
    why(text, forecast);
    for prospect in &forecast.outlook {
        let _written = writeln!(text, "  outlook  {}", plain(prospect));
    }
}

/// What refuses it, and what to do.
fn why(text: &mut String, forecast: &Forecast) {
    if !forecast.reason.is_empty() {
        let _written = writeln!(text, "  why      {}\n  to do    {}", plain(&forecast.reason), plain(&forecast.remedy));
    }
}

/// Everything, for programs. `forecast` is null where nothing can be said, and `error` says why.
pub(super) fn json(view: &View) -> Value {
    let bundles = view.watched.iter().map(|watched| {
        let (forecast, error) = match &watched.outcome {
            Ok(forecast) => (Some(forecast), None),
            Err(stop) => (None, Some(&stop.message)),
        };
        json!({ "file": watched.file, "standing": view.standing(watched).name(), "forecast": forecast, "error": error })
    });
    json!({
        "schema": "teegate/watch/1",
        "at": view.at,
        "within_seconds": view.within.as_secs(),
        "status": view.status(),
        "bundles": bundles.collect::<Vec<_>>(),
    })
}
