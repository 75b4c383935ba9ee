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
    /// Of one processor, what it takes while nobody asks for anything.
    idle: f64,
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
        fleets.push(Fleet { instances, gateway, idle: 0.0, of_one: Vec::new(), of_many: Vec::new() });
    }
    let (again, of_a_processor) = again(&mut fleets, arguments.reattest).await?;
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
         {CLIENTS} clients, requests of 1 KiB; meanwhile every gateway here attests its instances every {} s. What that takes, measured \
         without any request, is taken off in the second column.\n\n\
         | instances | CPU us a request, all to one | without attesting | of the smallest fleet's | p50 ms | p99 ms | CPU us, spread over up to {CLIENTS} | MiB |\n\
         |---|---|---|---|---|---|---|---|\n",
        arguments.reattest.as_secs()
    );
    let net = |fleet: &Fleet, sample: &Sample| sample.cpu.gateway - fleet.idle * 1e6 / sample.per_second;
    let smallest: Vec<f64> =
        fleets.first().into_iter().flat_map(|fleet| fleet.of_one.iter().map(|sample| net(fleet, sample))).collect();
    let mut aims = Vec::new();
    for fleet in &fleets {
        let of = |samples: &[Sample], value: &dyn Fn(&Sample) -> f64| median(samples.iter().map(value).collect());
        let nets = fleet.of_one.iter().map(|sample| net(fleet, sample));
        let ratio = median(nets.zip(&smallest).map(|(own, other)| own / other).collect());
        let many = match fleet.of_many.as_slice() {
            [] => String::new(),
            samples => format!("{:.1}", of(samples, &|sample| sample.cpu.gateway)),
        };
        let _written = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {ratio:.2} | {:.3} | {:.3} | {many} | {} |",
            fleet.instances,
            of(&fleet.of_one, &|sample| sample.cpu.gateway),
            of(&fleet.of_one, &|sample| net(fleet, sample)),
            of(&fleet.of_one, &|sample| milliseconds(sample.p50)),
            of(&fleet.of_one, &|sample| milliseconds(sample.p99)),
            fleet.gateway.held()?.0 >> 20
        );
        if fleet.instances == most && most > 1 {
            let what = format!("CPU of a request before {most} instances, of that before {}", arguments.instances[0]);
            aims.push(aim(&what, &format!("at most {MOST:.2}"), &format!("{ratio:.2}"), ratio <= MOST));
        }
    }
    text.push_str(&again);
    let what = format!("attesting {most} instances every {} s, of one processor", arguments.reattest.as_secs());
    let is_met = of_a_processor <= MOST_OF_A_PROCESSOR;
    aims.push(aim(&what, "at most 10 %", &format!("{:.1} %", of_a_processor * 100.0), is_met));
    Ok((text, aims))
}

/// What every gateway uses while nobody asks it anything: a line about the largest fleet, and its share of one processor.
async fn again(fleets: &mut [Fleet], reattest: Duration) -> Outcome<(String, f64)> {
    eprintln!("size: all are attested again, for {} s", reattest.as_secs());
    let begun = Instant::now();
    let mut before = Vec::new();
    for fleet in &*fleets {
        before.push((fleet.gateway.used()?.own, attestations(&fleet.gateway).await?));
    }
    tokio::time::sleep(reattest).await;
    let mut line = String::new();
    for (fleet, (used, first)) in fleets.iter_mut().zip(before) {
        let (used, attested) = (fleet.gateway.used()?.own - used, attestations(&fleet.gateway).await? - first);
        let elapsed = begun.elapsed();
        if attested < 0.9 * fleet.instances as f64 {
            return Err(
                format!("{attested} of {} instances were attested again in {elapsed:?}", fleet.instances).into()
            );
        }
        fleet.idle = used.as_secs_f64() / elapsed.as_secs_f64();
        line = format!(
            "\nNobody asks for {} s: {attested} attestations of {} instances took {:.2} s of processor time, {:.2} ms each, everything \
             else that the gateway does by itself included (it asks each every 5 s whether it takes requests); {:.1} % of one processor.\n",
            elapsed.as_secs(),
            fleet.instances,
            used.as_secs_f64(),
            used.as_secs_f64() * 1e3 / attested,
            fleet.idle * 100.0
        );
    }
    Ok((line, fleets.last().map_or(0.0, |fleet| fleet.idle)))
}

async fn attestations(gateway: &Process) -> Outcome<f64> {
    let metrics = metrics(gateway).await?;
    let of_checks = "teegate_gateway_channel_check_total{";
    let lines = metrics.lines().filter(|line| line.starts_with(of_checks) && line.contains("\"accepted\""));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
