//! What came of all rounds: medians, ratios, and whether they are what they are meant to be. In Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Outcome;
use crate::round::Sample;

/// One way under so many clients, in all rounds.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The way.
    pub way: String,
    /// How many clients; of the library alone, how many engines.
    pub clients: usize,
    /// In the order of the rounds.
    pub samples: Vec<Sample>,
}

/// The library alone, one row a run.
pub const HERE: &str = "a: ONNX Runtime alone";
/// The library alone, all questions in one run.
pub const HERE_BATCHED: &str = "a: ONNX Runtime alone, 8 rows a run";
/// The plain server.
pub const PLAIN: &str = "b: plain hyper and ONNX Runtime";
/// The enclave alone.
pub const SEALED: &str = "c: sealed, enclave-app";
/// Through the gateway.
pub const GATEWAY: &str = "d: sealed, gateway, enclave-app";

/// The same, with requests that share runs.
pub const SHARED: &str = "d: sealed, gateway, enclave-app, up to 8 requests a run";

/// Everything about one model.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Its name.
    pub model: String,
    /// In the order in which they are shown.
    pub rows: Vec<Row>,
    /// The most memory that each process held, in bytes.
    pub peaks: Vec<(String, u64)>,
    /// What is to be said beside it.
    pub notes: Vec<String>,
}

impl Row {
    /// The median of something over the rounds.
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    /// The median of answers a second over `other`'s in the same round, where it has as many rounds.
    fn of(&self, other: &Self) -> f64 {
        let rounds = self.samples.iter().zip(&other.samples);
        median(rounds.map(|(own, other)| own.per_second / other.per_second).collect())
    }
}

/// The one in the middle, or between the two there.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

fn plural(clients: usize) -> String {
    if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") }
}

/// As a number to write down.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Table {
    /// Keeps a sample of a round.
    pub fn add(&mut self, way: &str, clients: usize, sample: Sample) {
        let known = self.rows.iter_mut().find(|row| row.way == way && row.clients == clients);
        match known {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { way: way.to_owned(), clients, samples: vec![sample] }),
        }
    }

    fn row(&self, way: &str, clients: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.way == way && row.clients == clients)
    }

    /// All of it.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.model);
        text.push_str(
            "| way | clients | answers/s | of (b) | p50 ms | p99 ms | CPU us an answer: server | workers | gateway | clients |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let ratio = self.row(PLAIN, row.clients).filter(|plain| plain.samples.len() == row.samples.len());
            // The library alone has no clients: it is the limit of every number of them.
            let ratio = ratio.filter(|_| !row.way.starts_with("a:")).map(|plain| format!("{:.3}", row.of(plain)));
            let cpu = [
                row.median(|sample| sample.cpu.server),
                row.median(|sample| sample.cpu.workers),
                row.median(|sample| sample.cpu.gateway),
                row.median(|sample| sample.cpu.client),
            ]
            .map(|micros| if micros > 0.0 { format!("{micros:.1}") } else { String::new() });
            let _written = writeln!(
                text,
                "| {} | {} | {:.1} | {} | {:.3} | {:.3} | {} |",
                row.way,
                if row.way.starts_with("a:") { String::new() } else { row.clients.to_string() },
                row.median(|sample| sample.per_second),
                ratio.unwrap_or_default(),
                row.median(|sample| milliseconds(sample.p50)),
                row.median(|sample| milliseconds(sample.p99)),
                cpu.join(" | ")
            );
        }
        let peaks: Vec<String> = self.peaks.iter().map(|(who, bytes)| format!("{who} {}", bytes >> 20)).collect();
        let _written = writeln!(text, "\nMost memory at once, in MiB: {}.", peaks.join(", "));
        for note in &self.notes {
            let _written = writeln!(text, "\n{note}");
        }
        text
    }

    /// The aims that are about this model, each with what was measured: a line of a table each.
    pub fn aims(&self) -> Vec<String> {
        let mut aims = Vec::new();
        let clients: Vec<usize> = self.rows.iter().filter(|row| row.way == PLAIN).map(|row| row.clients).collect();
        for (way, least) in [(SEALED, 0.97), (GATEWAY, 0.95)] {
            for &clients in &clients {
                let rows = self.row(way, clients).zip(self.row(PLAIN, clients));
                if let Some((row, plain)) = rows.filter(|_| self.model == "minilm") {
                    let ratio = row.of(plain);
                    let what = format!("{way}, {}, of (b)", plural(clients));
                    aims.push(aim(&what, &format!("at least {least}"), &format!("{ratio:.3}"), ratio >= least));
                }
            }
        }
        aims.extend(self.sharing());
        let engine = self.rows.iter().find(|row| row.way == HERE).map(|row| row.median(|sample| sample.cpu.server));
        for row in self.rows.iter().filter(|row| row.way == GATEWAY && self.model == "breast-cancer") {
            let clients = plural(row.clients);
            if let Some(engine) = engine {
                let enclave = row.median(|sample| sample.cpu.server + sample.cpu.workers) - engine;
                let what = format!("CPU in the enclave beyond the engine, {clients}");
                aims.push(aim(&what, "at most 120 us", &format!("{enclave:.1} us"), enclave <= 120.0));
            }
            let gateway = row.median(|sample| sample.cpu.gateway);
            let what = format!("CPU in the gateway, {clients}");
            aims.push(aim(&what, "at most 80 us", &format!("{gateway:.1} us"), gateway <= 80.0));
        }
        aims
    }

    /// What it brings that requests share runs, beside what it brings the library alone: most of it where clients are so many as rows.
    fn sharing(&self) -> Vec<String> {
        let alone = |way| self.rows.iter().find(|row| row.way == way);
        let Some((one, batched)) = alone(HERE).zip(alone(HERE_BATCHED)).filter(|_| self.model == "minilm") else {
            return Vec::new();
        };
        let limit = batched.of(one);
        let shared = self.rows.iter().filter(|row| row.way == SHARED && row.clients >= 16);
        let gains = shared.filter_map(|row| Some((row.clients, row.of(self.row(GATEWAY, row.clients)?))));
        let line = |(clients, gain): (usize, f64)| {
            let what = format!("what sharing runs wins, {}", plural(clients));
            let least = 0.95 * limit;
            aim(
                &what,
                &format!("at least {least:.3}, 0.95 of what it wins the library"),
                &format!("{gain:.3}"),
                gain >= least,
            )
        };
        gains.map(line).collect()
    }
}

/// A line of the table of aims.
pub fn aim(what: &str, aim: &str, measured: &str, is_met: bool) -> String {
    format!("| {what} | {aim} | {measured} | {} |", if is_met { "met" } else { "**missed**" })
}

/// The line of a document below which everything is the result of a run.
pub const MARK: &str = "<!-- Everything below is written by `ci/load.sh --write`. -->";

/// `document` with `result` below the line `mark`.
pub fn written_into(document: &str, mark: &str, result: &str) -> Outcome<String> {
    let (head, _) = document.split_once(mark).ok_or_else(|| format!("the document has no line `{mark}`"))?;
    Ok(format!("{head}{mark}\n\n{result}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round::Cpu;

    fn sample(per_second: f64, server: f64, gateway: f64) -> Sample {
        Sample { per_second, cpu: Cpu { server, gateway, workers: 30.0, ..Cpu::default() }, ..Sample::default() }
    }

    #[test]
    fn ratios_are_those_of_one_round_and_their_median_counts() {
        let mut table = Table { model: "minilm".to_owned(), ..Table::default() };
        // A round in which the machine was half as quick is one for both.
        for (plain, sealed) in [(100.0, 98.0), (50.0, 48.0), (100.0, 99.0)] {
            table.add(PLAIN, 1, sample(plain, 0.0, 0.0));
            table.add(SEALED, 1, sample(sealed, 0.0, 0.0));
            table.add(GATEWAY, 1, sample(plain * 0.94, 0.0, 0.0));
        }
        let text = table.to_markdown();
        assert!(text.contains("| c: sealed, enclave-app | 1 | 98.0 | 0.980 |"), "{text}");
        assert_eq!(
            table.aims(),
            [
                "| c: sealed, enclave-app, 1 client, of (b) | at least 0.97 | 0.980 | met |",
                "| d: sealed, gateway, enclave-app, 1 client, of (b) | at least 0.95 | 0.940 | **missed** |",
            ]
        );
    }

    #[test]
    fn sharing_runs_is_held_against_what_the_library_wins() {
        let mut table = Table { model: "minilm".to_owned(), ..Table::default() };
        for (way, clients, per_second) in
            [(HERE, 1, 100.0), (HERE_BATCHED, 1, 140.0), (GATEWAY, 16, 90.0), (SHARED, 1, 80.0), (SHARED, 16, 117.0)]
        {
            table.add(way, clients, sample(per_second, 0.0, 0.0));
        }
        let line = "| what sharing runs wins, 16 clients | at least 1.330, 0.95 of what it wins the library | 1.300 | **missed** |";
        assert_eq!(table.aims(), [line]);
    }

    #[test]
    fn processor_time_counts_beyond_the_engine() {
        let mut table = Table { model: "breast-cancer".to_owned(), ..Table::default() };
        table.add(HERE, 1, Sample { cpu: Cpu { server: 5.0, ..Cpu::default() }, ..sample(1.0, 0.0, 0.0) });
        table.add(PLAIN, 16, sample(2.0, 40.0, 0.0));
        table.add(GATEWAY, 16, sample(1.0, 95.0, 81.0));
        assert_eq!(
            table.aims(),
            [
                "| CPU in the enclave beyond the engine, 16 clients | at most 120 us | 120.0 us | met |",
                "| CPU in the gateway, 16 clients | at most 80 us | 81.0 us | **missed** |",
            ]
        );
    }

    #[test]
    fn a_document_keeps_its_head() {
        let document = format!("# Head\n\n{MARK}\n\nold");
        let written = written_into(&document, MARK, "new\n").unwrap();
        assert_eq!(written, format!("# Head\n\n{MARK}\n\nnew\n"));
        assert_eq!(written_into(&written, MARK, "new\n").unwrap(), written);
        assert!(written_into("# Head", MARK, "new").unwrap_err().to_string().contains(MARK));
    }
}
