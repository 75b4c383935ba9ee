//! The gateway beside a proxy that proves nothing: the same client, the same instance, the same requests, in turns.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use teegate_load::Outcome;
use teegate_load::round::{Sample, Watched, measure};
use teegate_load::table::{aim, median, milliseconds};

use crate::arguments::Arguments;
use crate::ground::{Ground, echo};

/// Numbers in a question, what its sealed request is then about, and how many clients ask: the gateway keeps what it has not handed
/// on in a bounded memory, and 64 clients with 1 MiB each, all from one address, would be too many for it.
const SIZES: [(usize, &str, &[usize]); 3] =
    [(8, "1 KiB", &[1, 16, 64]), (10_000, "64 KiB", &[1, 16]), (150_000, "1 MiB", &[1, 8])];
/// Processor time for a request, of a proxy's.
const MOST: f64 = 1.25;

/// The table and its aims.
pub async fn measured(ground: &Ground, arguments: &Arguments) -> Outcome<(String, Vec<String>)> {
    let herd = ground.herd(1, Duration::from_secs(3600)).await?;
    let gateway = ground.gateway(&herd, 1, Duration::from_secs(30)).await?;
    let (plain, signing) = (ground.hop(&herd, false).await?, ground.hop(&herd, true).await?);
    let ways = [(&plain, false), (&signing, false), (&gateway, true)];
    let mut text = String::from(
        "### The hop\n\n\
         **a** is a reverse proxy that proves nothing, **b** the same with the digest and the signature of a release receipt for each \
         request, **c** the gateway. CPU is processor time of that process for a request.\n\n\
         | sealed request | clients | CPU us: a | b | c | c of a | c of b | p50 ms: a | b | c | p99 ms: a | b | c |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut aims = Vec::new();
    for (numbers, size, clients) in SIZES {
        let model = Arc::new(echo(numbers));
        for &clients in clients {
            let mut samples: [Vec<Sample>; 3] = Default::default();
            for round in 0..arguments.rounds {
                eprintln!("hop: {size}, {clients} clients, round {} of {}", round + 1, arguments.rounds);
                // Whoever comes first in a round comes last in another.
                for turn in 0..ways.len() {
                    let turn = (turn + round) % ways.len();
                    let (process, is_gateway) = ways[turn];
                    let callers = herd.callers(process, is_gateway, 1, clients).await?;
                    let watched = Watched { gateway: Some(process), ..Watched::default() };
                    samples[turn].push(measure(callers, &model, arguments.time, watched).await?);
                }
            }
            let [plain, signing, own] = &samples;
            let ratio = |other: &[Sample]| {
                median(own.iter().zip(other).map(|(own, other)| own.cpu.gateway / other.cpu.gateway).collect())
            };
            let (of_plain, of_signing) = (ratio(plain), ratio(signing));
            let middles =
                |of: fn(&Sample) -> f64| samples.each_ref().map(|samples| median(samples.iter().map(of).collect()));
            let [cpu, p50, p99] = [
                middles(|sample| sample.cpu.gateway).map(|value| format!("{value:.1}")),
                middles(|sample| milliseconds(sample.p50)).map(|value| format!("{value:.3}")),
                middles(|sample| milliseconds(sample.p99)).map(|value| format!("{value:.3}")),
            ]
            .map(|values| values.join(" | "));
            let _written =
                writeln!(text, "| {size} | {clients} | {cpu} | {of_plain:.2} | {of_signing:.2} | {p50} | {p99} |");
            for (ratio, other) in [(of_plain, "a"), (of_signing, "b")] {
                let what = format!("CPU of the hop, of ({other}): {size}, {clients} clients");
                aims.push(aim(&what, &format!("at most {MOST}"), &format!("{ratio:.2}"), ratio <= MOST));
            }
        }
    }
    Ok((text, aims))
}
