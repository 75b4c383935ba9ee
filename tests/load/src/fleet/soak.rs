//! Half an hour of requests at a steady pace, while keys and evidence change all the time: does anything grow?

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use teegate_client::{Client, Gateway, Settings};
use teegate_load::Outcome;
use teegate_load::table::milliseconds;
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::ground::{Ground, echo};

const INSTANCES: usize = 8;
const CLIENTS: usize = 16;
/// Keys of an instance live so long: tens of rotations of each in the whole time.
const EPOCH: Duration = Duration::from_secs(60);
/// Each client asks so often.
const PACE: Duration = Duration::from_millis(40);
/// What is one line of the table.
const LINES: u32 = 10;

/// The table.
pub async fn measured(ground: &Ground, arguments: &Arguments) -> Outcome<String> {
    let herd = ground.herd(INSTANCES, EPOCH).await?;
    let gateway = ground.gateway(&herd, INSTANCES, Duration::from_secs(30)).await?;
    let model = Arc::new(echo(8));
    let ends = Arc::new(AtomicBool::new(false));
    let (times, mut taken) = tokio::sync::mpsc::unbounded_channel::<Duration>();
    let mut asking = JoinSet::new();
    for _ in 0..CLIENTS {
        let address = Gateway::parse(&format!("http://{}", gateway.address()?))?;
        let (policy, endorsements) = (herd.policy.clone(), herd.endorsements.clone());
        let client = Client::connect(address, model.name, policy, endorsements, Settings::default()).await;
        let client = client.map_err(|e| format!("through the gateway: {e}"))?;
        let (model, ends, times) = (Arc::clone(&model), Arc::clone(&ends), times.clone());
        asking.spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut questions = model.questions.iter().cycle();
            while !ends.load(Ordering::Relaxed) {
                pace.tick().await;
                let Some(question) = questions.next() else { break };
                let asked = Instant::now();
                let reply = client.infer_json(question.body.to_vec()).await.map_err(|e| e.to_string())?;
                question.check_body(&reply.response.content)?;
                let _last = times.send(asked.elapsed());
            }
            Outcome::Ok(())
        });
    }
    drop(times);
    let mut text = format!(
        "### {} minutes\n\n{CLIENTS} clients of {INSTANCES} instances, each asks every {} ms; keys live {} s, every instance is attested \
         every 30 s. Every answer is checked, and the first wrong one or refusal ends it.\n\n\
         | minute | answers | p50 ms | p99 ms | gateway: MiB | open files | CPU us an answer |\n|---|---|---|---|---|---|---|\n",
        arguments.soak.as_secs() / 60,
        PACE.as_millis(),
        EPOCH.as_secs(),
    );
    let mut used = gateway.used()?.own;
    for line in 1..=LINES {
        let until = tokio::time::sleep(arguments.soak / LINES);
        tokio::pin!(until);
        let ended = tokio::select! {
            () = &mut until => None,
            ended = asking.join_next() => ended,
        };
        if let Some(ended) = ended {
            ended??;
            return Err("a client has ended before its time".into());
        }
        let mut of_line = Vec::new();
        while let Ok(time) = taken.try_recv() {
            of_line.push(time);
        }
        of_line.sort_unstable();
        let rank = |percent: usize| of_line.get((of_line.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let (p50, p99) = rank(50).zip(rank(99)).ok_or("not one answer in a line of the table")?;
        let (bytes, files) = gateway.held()?;
        let now = gateway.used()?.own;
        let cpu = (now - used).as_secs_f64() * 1e6 / of_line.len() as f64;
        used = now;
        let minute = (arguments.soak * line / LINES).as_secs_f64() / 60.0;
        let row = format!(
            "| {minute:.1} | {} | {:.3} | {:.3} | {:.1} | {files} | {cpu:.0} |",
            of_line.len(),
            milliseconds(p50),
            milliseconds(p99),
            bytes as f64 / f64::from(1 << 20)
        );
        eprintln!("soak: {row}");
        let _written = writeln!(text, "{row}");
    }
    ends.store(true, Ordering::Relaxed);
    while let Some(ended) = asking.join_next().await {
        ended??;
    }
    Ok(text)
}
