//! So many clients asking one way for so long, and what that took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Outcome;
use crate::engine::{Engine, Input};
use crate::model::{Model, check};
use crate::process::{Process, used_here};
use crate::ways::Caller;

/// What one way took in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Answers in a second.
    pub per_second: f64,
    /// The time that half of the answers took at most.
    pub p50: Duration,
    /// The time that all but one of a hundred took at most.
    pub p99: Duration,
    /// Processor time for each answer, in microseconds.
    pub cpu: Cpu,
}

/// Processor time for each answer, in microseconds, by who used it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// What serves: the library alone, the plain server, enclave-app itself, a peer.
    pub server: f64,
    /// The workers of enclave-app, in which models run.
    pub workers: f64,
    /// The gateway.
    pub gateway: f64,
    /// This process: all clients, with sealing, opening and the check of every answer.
    pub client: f64,
}

/// The processes that work for a way, as far as there are any.
#[derive(Clone, Copy, Default)]
pub struct Watched<'a> {
    /// What serves.
    pub server: Option<&'a Process>,
    /// Whether what it started are workers, to be told apart from it.
    pub has_workers: bool,
    /// The gateway.
    pub gateway: Option<&'a Process>,
}

#[derive(Clone, Copy, Default)]
struct Used {
    server: Duration,
    workers: Duration,
    gateway: Duration,
    client: Duration,
}

impl Watched<'_> {
    fn used(&self) -> Outcome<Used> {
        let server = self.server.map(Process::used).transpose()?.unwrap_or_default();
        let (server, workers) = match self.has_workers {
            true => (server.own, server.children),
            false => (server.own + server.children, Duration::ZERO),
        };
        let gateway = self.gateway.map(Process::used).transpose()?.unwrap_or_default().own;
        Ok(Used { server, workers, gateway, client: used_here()? })
    }
}

/// Lets every caller ask, one question after the other, until `time` is over. The first wrong answer ends it.
pub async fn measure(
    mut callers: Vec<Caller>,
    model: &Arc<Model>,
    time: Duration,
    watched: Watched<'_>,
) -> Outcome<Sample> {
    // What happens once, on the first question, is not what is measured.
    for caller in &mut callers {
        for question in &model.questions[..2] {
            caller.ask(question).await?;
        }
    }
    let (before, begun) = (watched.used()?, Instant::now());
    let mut asking = JoinSet::new();
    for (number, mut caller) in callers.into_iter().enumerate() {
        let model = Arc::clone(model);
        asking.spawn(async move {
            let mut times = Vec::new();
            let mut questions = model.questions.iter().cycle().skip(number % model.questions.len());
            while begun.elapsed() < time {
                let Some(question) = questions.next() else { break };
                let asked = Instant::now();
                caller.ask(question).await?;
                times.push(asked.elapsed());
            }
            Outcome::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(asked) = asking.join_next().await {
        times.append(&mut asked??);
    }
    let (elapsed, after) = (begun.elapsed(), watched.used()?);
    sample(times, 1, elapsed, before, after)
}

/// Lets every engine run, each on a thread of its own: the library without anything around it. `inputs` hold `rows` questions each, and
/// every run has to give the answer beside it.
pub fn measure_here(
    engines: &mut [Engine],
    runs: &[(Vec<Input>, Vec<f32>)],
    rows: usize,
    time: Duration,
) -> Outcome<Sample> {
    let (before, begun) = (used_here()?, Instant::now());
    let run = |engine: &mut Engine| -> Outcome<Vec<Duration>> {
        let mut times = Vec::new();
        for (inputs, answer) in runs.iter().cycle() {
            if begun.elapsed() >= time {
                break;
            }
            let asked = Instant::now();
            let (_, _, values) = engine.run(inputs)?;
            times.push(asked.elapsed());
            check(&values, answer)?;
        }
        Ok(times)
    };
    let times = std::thread::scope(|scope| {
        let running: Vec<_> = engines.iter_mut().map(|engine| scope.spawn(|| run(engine))).collect();
        let mut times = Vec::new();
        for running in running {
            times.append(&mut running.join().map_err(|_| "a thread of the library has panicked")??);
        }
        Outcome::Ok(times)
    })?;
    let (elapsed, after) = (begun.elapsed(), used_here()?);
    let used = |server| Used { server, ..Used::default() };
    sample(times, rows, elapsed, used(before), used(after))
}

fn sample(mut times: Vec<Duration>, rows: usize, elapsed: Duration, before: Used, after: Used) -> Outcome<Sample> {
    times.sort_unstable();
    let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    let (p50, p99) = rank(50).zip(rank(99)).ok_or("not one answer in the time of a round")?;
    let answers = (times.len() * rows) as f64;
    let each = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / answers;
    let cpu = Cpu {
        server: each(before.server, after.server),
        workers: each(before.workers, after.workers),
        gateway: each(before.gateway, after.gateway),
        client: each(before.client, after.client),
    };
    Ok(Sample { per_second: answers / elapsed.as_secs_f64(), p50, p99, cpu })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::model::Question;

    /// A server that says the same whatever it is asked, and where it is.
    async fn server(status: &str, data: &str) -> String {
        let body =
            format!(r#"{{"model_name":"m","outputs":[{{"name":"y","shape":[1,2],"datatype":"FP32","data":{data}}}]}}"#);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    // Questions here are so short that each comes in one piece.
                    let mut question = [0; 4096];
                    while stream.read(&mut question).await.is_ok_and(|length| length > 0) {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_wrong_answer_ends_the_measurement() {
        let question = || Question { inputs: vec![], body: "{}".into(), answer: vec![0.25, 0.75] };
        let model = Arc::new(Model { name: "m", file: "m.onnx".into(), questions: vec![question(), question()] });
        let measured = async |status: &str, data: &str| {
            let address = server(status, data).await;
            let mut callers = Vec::new();
            for _ in 0..3 {
                callers.push(Caller::plain(&address, &model).await.unwrap());
            }
            measure(callers, &model, Duration::from_millis(50), Watched::default()).await
        };
        let sample = measured("200 OK", "[0.25, 0.75]").await.unwrap();
        assert!(sample.per_second > 0.0 && sample.p50 <= sample.p99);
        let error = measured("200 OK", "[0.25, 0.76]").await.unwrap_err().to_string();
        assert_eq!(error, "a wrong answer: 0.76 where ONNX Runtime says 0.75");
        let error = measured("503 Service Unavailable", "[0.25, 0.75]").await.unwrap_err().to_string();
        assert!(error.contains("answered 503 Service Unavailable"), "{error}");
    }

    #[test]
    fn a_sample_has_ranks_rates_and_a_share_for_each() {
        let milliseconds = |count: u64| Duration::from_millis(count);
        let after = Used { server: milliseconds(30), workers: milliseconds(50), ..Used::default() };
        let before = Used { server: milliseconds(10), ..Used::default() };
        let times = (1..=100).rev().map(milliseconds).collect();
        let sample = sample(times, 2, Duration::from_secs(4), before, after).unwrap();
        assert_eq!((sample.p50, sample.p99, sample.per_second), (milliseconds(50), milliseconds(99), 50.0));
        assert_eq!((sample.cpu.server, sample.cpu.workers, sample.cpu.gateway), (100.0, 250.0, 0.0));
        let one = super::sample(vec![milliseconds(7)], 1, Duration::from_secs(1), before, after).unwrap();
        assert_eq!((one.p50, one.p99), (milliseconds(7), milliseconds(7)));
        let none = super::sample(vec![], 1, Duration::from_secs(1), before, after);
        assert_eq!(none.unwrap_err().to_string(), "not one answer in the time of a round");
    }
}
