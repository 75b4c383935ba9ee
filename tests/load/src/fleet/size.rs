//! What a request costs before one instance and before a thousand, and what it costs to attest all of them again and again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use teegate_load::Outcome;
use teegate_load::process::Process;
use teegate_load::round::{Sample, Watched, measure};
use teegate_load::table::{aim, median, milliseconds};

use crate::arguments::Arguments;
use crate::ground::{Ground, echo, metrics};

const CLIENTS: usize = 16;
/// How much dearer a request may be before the largest fleet.
const MOST: f64 = 1.10;
/// How much of one processor attesting all of them may take.
const MOST_OF_A_PROCESSOR: f64 = 0.10;

struct Fleet {
    instances: usize,
    gateway: Process,
    /// All clients ask one instance.
    of_one: Vec<Sample>,
    /// Each asks another, as far as there are as many.
    of_many: Vec<Sample>,
}

/// The tables and their aims.
pub async fn measured(ground: &Ground, arguments: &Arguments) -> Outcome<(String, Vec<String>)> {
    let most = arguments.instances.last().copied().unwrap_or(1);
    eprintln!("size: {most} instances start");
    let herd = ground.herd(most, Duration::from_secs(3600)).await?;
    let mut fleets = Vec::new();
    for &instances in &arguments.instances {
        eprintln!("size: a gateway attests {instances}");
        let gateway = ground.gateway(&herd, instances, arguments.reattest).await?;
        fleets.push(Fleet { instances, gateway, of_one: Vec::new(), of_many: Vec::new() });
    }
    let model = Arc::new(echo(8));
    for round in 0..arguments.rounds {
        eprintln!("size: round {} of {}", round + 1, arguments.rounds);
        for fleet in &mut fleets {
            for spread in [1, fleet.instances.min(CLIENTS)] {
                let callers = herd.callers(&fleet.gateway, true, spread, CLIENTS).await?;
                let watched = Watched { gateway: Some(&fleet.gateway), ..Watched::default() };
                let sample = measure(callers, &model, arguments.time, watched).await?;
                if spread == 1 { fleet.of_one.push(sample) } else { fleet.of_many.push(sample) }
            }
        }
        // Whoever comes first in a round comes last in another.
        fleets.rotate_left(1);
    }
    fleets.sort_by_key(|fleet| fleet.instances);

    let mut text = format!(
        "### A request before one instance and before many\n\n\
         {CLIENTS} clients, requests of 1 KiB; while it is measured, every gateway here attests its instances every {} s.\n\n\
         | instances | CPU us a request, all to one | of the smallest fleet's | p50 ms | p99 ms | CPU us, spread over up to {CLIENTS} | MiB |\n\
         |---|---|---|---|---|---|---|\n",
        arguments.reattest.as_secs()
    );
    let cpu = |samples: &[Sample]| median(samples.iter().map(|sample| sample.cpu.gateway).collect());
    let mut aims = Vec::new();
    let smallest: Vec<f64> =
        fleets.first().into_iter().flat_map(|fleet| &fleet.of_one).map(|s| s.cpu.gateway).collect();
    for fleet in &fleets {
        let ratio = median(fleet.of_one.iter().zip(&smallest).map(|(own, other)| own.cpu.gateway / other).collect());
        let many = if fleet.of_many.is_empty() { String::new() } else { format!("{:.1}", cpu(&fleet.of_many)) };
        let time = |of: fn(&Sample) -> Duration| median(fleet.of_one.iter().map(|s| milliseconds(of(s))).collect());
        let _written = writeln!(
            text,
            "| {} | {:.1} | {ratio:.2} | {:.3} | {:.3} | {many} | {} |",
            fleet.instances,
            cpu(&fleet.of_one),
            time(|sample| sample.p50),
            time(|sample| sample.p99),
            fleet.gateway.held()?.0 >> 20
        );
        if fleet.instances == most && most > 1 {
            let what = format!("CPU of a request before {most} instances, of that before {}", arguments.instances[0]);
            aims.push(aim(&what, &format!("at most {MOST:.2}"), &format!("{ratio:.2}"), ratio <= MOST));
        }
    }
    let Some(largest) = fleets.pop() else { return Ok((text, aims)) };
    drop(fleets);
    let (line, of_a_processor) = again(&largest.gateway, most, arguments.reattest).await?;
    text.push_str(&line);
    let what = format!("attesting {most} instances every {} s, of one processor", arguments.reattest.as_secs());
    let is_met = of_a_processor <= MOST_OF_A_PROCESSOR;
    aims.push(aim(&what, "at most 10 %", &format!("{:.1} %", of_a_processor * 100.0), is_met));
    Ok((text, aims))
}

/// What the gateway uses while nobody asks it anything.
async fn again(gateway: &Process, instances: usize, reattest: Duration) -> Outcome<(String, f64)> {
    eprintln!("size: all {instances} are attested again");
    let count = async || -> Outcome<f64> {
        let metrics = metrics(gateway).await?;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("teegate_gateway_channel_check_total{") && line.contains("accepted"));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    };
    let (before, first, begun) = (gateway.used()?.own, count().await?, Instant::now());
    tokio::time::sleep(reattest).await;
    let (used, attested, elapsed) = (gateway.used()?.own - before, count().await? - first, begun.elapsed());
    if attested < 0.9 * instances as f64 {
        return Err(format!("{attested} of {instances} instances were attested again in {elapsed:?}").into());
    }
    let of_a_processor = used.as_secs_f64() / elapsed.as_secs_f64();
    let each = used.as_secs_f64() * 1e3 / attested;
    let line = format!(
        "\nNobody asks for {} s: {attested} attestations took {:.2} s of processor time, {each:.2} ms each, everything else that the \
         gateway does by itself included; {:.1} % of one processor.\n",
        elapsed.as_secs(),
        used.as_secs_f64(),
        of_a_processor * 100.0
    );
    Ok((line, of_a_processor))
}
