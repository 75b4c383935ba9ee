//! `teegate-gateway status`: what `GET /v1/fleet` says, as a table for a terminal.
//!
//! Whoever answers at the address chooses the words, and instances choose some of them. So nothing is shown that a terminal obeys.

use std::fmt::Write as _;

use teegate_verifier::UnixTime;

use crate::view::{FleetView, InstanceView, JwksView};

/// So many characters of one text are shown.
const SHOWN: usize = 240;
/// At least so many columns stay for the last cell; with fewer it stands on lines of its own.
const ROOM: usize = 24;
/// Models of a row.
const MODELS: usize = 3;
const DAY_SECONDS: u64 = 86_400;

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns of the terminal; none where it is no terminal, and then no line is broken.
    pub columns: Option<usize>,
    /// Whether states are coloured.
    pub is_coloured: bool,
}

/// The whole picture.
pub fn draw(view: &FleetView, screen: Screen) -> String {
    let mut text = String::new();
    let at = UnixTime::parse(&view.at).ok();
    let ready = match &view.why_unready {
        None if view.ready => "ready".to_owned(),
        why => format!("not ready: {}", plain(why.as_deref().unwrap_or("no reason is told"))),
    };
    let counts = counts(&view.instances);
    let mut heads = vec![("gateway", format!("{}  {ready}", plain(&view.version))), ("policy", policy(view, at))];
    if !view.policy.needs_restart.is_empty() {
        let keys: Vec<String> = view.policy.needs_restart.iter().map(|key| plain(key)).collect();
        heads.push(("restart", format!("changed, and taken by a restart alone: {}", keys.join(", "))));
    }
    heads.push(match &view.ends_first {
        Some(end) => {
            let words =
                format!("{} {}, in {} ({})", plain(&end.kind), plain(&end.name), span(end.seconds), plain(&end.at));
            ("ends first", words)
        }
        None => ("ends first", "nothing is attested".to_owned()),
    });
    if let Some(tls) = &view.tls {
        let mut words = format!("certificate until {}", plain(&tls.not_after));
        if let Some(why) = &tls.refused {
            let _ = write!(words, "; THE NEWEST IS REFUSED: {}", plain(why));
        }
        heads.push(("tls", words));
    }
    if let Some(jwks) = &view.jwks {
        heads.push(("token keys", token_keys(jwks)));
    }
    heads.push(("addresses", counts));
    for (name, words) in heads {
        text.push_str(&hung(&format!("{name:<12}"), &words, screen.columns));
    }
    text.push('\n');
    table(&mut text, &view.instances, at, screen);
    text
}

fn token_keys(jwks: &JwksView) -> String {
    let mut words = match jwks.age_seconds {
        None => format!("none yet, of {}", plain(&jwks.url)),
        Some(_) if jwks.keys == 0 => format!("ENDED, of {}: no token is taken", plain(&jwks.url)),
        Some(age) => format!("{} of {}, read {} ago", jwks.keys, plain(&jwks.url), span(age)),
    };
    if let Some(why) = &jwks.failure {
        let until =
            if jwks.keys == 0 { String::new() } else { format!(", they count for {} more", span(jwks.seconds)) };
        let _ = write!(words, "; THE LAST QUESTION FAILED{until}: {}", plain(why));
    }
    words
}

fn policy(view: &FleetView, at: Option<UnixTime>) -> String {
    let policy = &view.policy;
    let digest: String = policy.sha256.chars().take(12).collect();
    let mut words =
        format!("{}  sha256:{}…  in force since {}", plain(&policy.name), plain(&digest), clock(&policy.since, at));
    let _ = write!(words, "  ({} reloads", policy.reloads);
    match &policy.last_refused {
        Some(refused) => {
            let _ = write!(words, "; THE LAST WAS REFUSED {}: {})", clock(&refused.at, at), plain(&refused.why));
        }
        None => words.push(')'),
    }
    words
}

fn counts(instances: &[InstanceView]) -> String {
    let mut states: Vec<(&str, usize)> = Vec::new();
    for instance in instances {
        match states.iter_mut().find(|(state, _)| *state == instance.state) {
            Some((_, count)) => *count += 1,
            None => states.push((&instance.state, 1)),
        }
    }
    let words: Vec<String> = states.iter().map(|(state, count)| format!("{count} {}", plain(state))).collect();
    format!("{} ({})", instances.len(), words.join(", "))
}

/// Five cells of one width each, and the reason, which takes what is left.
fn table(text: &mut String, instances: &[InstanceView], at: Option<UnixTime>, screen: Screen) {
    let head = ["ADDRESS", "STATE", "SINCE", "PROOF", "MODELS"].map(str::to_owned);
    let rows: Vec<([String; 5], String)> = instances.iter().map(|instance| row(instance, at)).collect();
    let mut widths = head.clone().map(|cell| cell.chars().count());
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut write = |cells: &[String; 5], why: &str, state: Option<&str>| {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()).saturating_add(2));
            let cell = if index == 1 { painted(cell, state, screen) } else { cell.clone() };
            line.push_str(&cell);
            line.push_str(&gap);
        }
        let taken: usize = widths.iter().map(|width| width.saturating_add(2)).sum();
        text.push_str(&hung_at(&line, taken, why, screen.columns));
    };
    write(&head, "WHY", None);
    for ((cells, why), instance) in rows.iter().zip(instances) {
        write(cells, why, Some(&instance.state));
    }
}

fn row(instance: &InstanceView, at: Option<UnixTime>) -> ([String; 5], String) {
    let proof = instance.proof.as_ref();
    let models = proof.map_or_else(
        || "-".to_owned(),
        |proof| {
            let mut names: Vec<String> = proof
                .models
                .iter()
                .take(MODELS)
                .map(|model| format!("{} {}", plain(&model.name), plain(&model.version)))
                .collect();
            let shown = u64::try_from(names.len()).unwrap_or(u64::MAX);
            let all = proof.more_models.saturating_add(u64::try_from(proof.models.len()).unwrap_or(u64::MAX));
            if all > shown {
                names.push(format!("+{}", all - shown));
            }
            names.join(", ")
        },
    );
    let cells = [
        plain(&instance.address),
        plain(&instance.state),
        clock(&instance.since, at),
        proof.map_or_else(|| "-".to_owned(), |proof| format!("{} s", proof.seconds)),
        models,
    ];
    (cells, why(instance))
}

fn why(instance: &InstanceView) -> String {
    let mut said = Vec::new();
    if let Some(first) = instance.failed.first() {
        let both = if first.expected.is_empty() {
            plain(&first.found)
        } else {
            format!("expected {}, found {}", plain(&first.expected), plain(&first.found))
        };
        said.push(format!("{}: {both}", plain(&first.check)));
    } else if !instance.checks.is_empty() {
        said.push(format!(
            "{}: {}",
            instance.checks.iter().map(|id| plain(id)).collect::<Vec<_>>().join(", "),
            plain(&instance.why)
        ));
    } else if let Some(silence) = &instance.silence {
        said.push(plain(&silence.error));
    } else if instance.state != "attested" {
        said.push(plain(&instance.why));
    }
    if instance.failed.len() > 1 {
        said.push(format!("and {} more", instance.failed.len() - 1));
    }
    if instance.tries > 1 {
        said.push(format!("{} tries", instance.tries));
    }
    if instance.full {
        said.push("takes no more for now".to_owned());
    }
    if let Some(breaker) = instance.breaker.as_deref().filter(|word| *word != "closed") {
        said.push(format!("circuit breaker {}", plain(breaker)));
    }
    if instance.in_flight > 0 {
        said.push(format!("{} in flight", instance.in_flight));
    }
    said.join(", ")
}

/// `head`, and `words` under each other behind it.
fn hung(head: &str, words: &str, columns: Option<usize>) -> String {
    hung_at(head, head.chars().count(), words, columns)
}

/// The same where `head` takes `taken` columns: what colours it takes none.
fn hung_at(head: &str, taken: usize, words: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return format!("{head}{words}").trim_end().to_owned() + "\n" };
    let (mut text, indent) = match columns.checked_sub(taken) {
        Some(room) if room >= ROOM => (head.to_owned(), taken),
        _ if words.is_empty() => (head.to_owned(), taken),
        _ => (format!("{}\n    ", head.trim_end()), 4),
    };
    let (mut column, mut is_fresh) = (indent, true);
    for word in words.split(' ') {
        let length = word.chars().count();
        if !is_fresh && column.saturating_add(length).saturating_add(1) > columns {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            (column, is_fresh) = (indent, true);
        }
        if !is_fresh {
            text.push(' ');
            column = column.saturating_add(1);
        }
        text.push_str(word);
        (column, is_fresh) = (column.saturating_add(length), false);
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

fn painted(cell: &str, state: Option<&str>, screen: Screen) -> String {
    let code = match state {
        Some("attested") => "32",
        Some("rejected") => "1;31",
        Some(_) => "33",
        None => "1",
    };
    if screen.is_coloured { format!("\u{1b}[{code}m{cell}\u{1b}[0m") } else { cell.to_owned() }
}

/// An instant of the last day as hours and minutes, in UTC; an older one with its date.
fn clock(text: &str, at: Option<UnixTime>) -> String {
    let (Ok(time), Some(at)) = (UnixTime::parse(text), at) else { return plain(text) };
    let written = time.to_string();
    let (date, clock) = (written.get(5..10).unwrap_or_default(), written.get(11..19).unwrap_or_default());
    if at.seconds().saturating_sub(time.seconds()) < DAY_SECONDS {
        format!("{clock}Z")
    } else {
        format!("{date} {clock}Z")
    }
}

/// `9 d 4 h`, `3 h 20 min`, `40 s`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / DAY_SECONDS, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A stranger's text: no more of it than a few lines can hold, and nothing in it that a terminal obeys.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for c in characters.by_ref().take(SHOWN) {
        if matches!(c, '"' | '\'' | '\\') { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
