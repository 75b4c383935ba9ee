//! What a span costs whoever begins and ends it: `cargo run --release -p teegate-gateway --example spans`. Nobody sends them.
//!
//! Off is without `[telemetry]`; on fills a queue that has room for all; full is a queue that has none, so that each is dropped and
//! counted. A relayed request has four spans, five if it is held.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use teegate_gateway::config::Config;
use teegate_gateway::metrics::Metrics;
use teegate_gateway::telemetry::{Task, Tracer};

const SPANS: u32 = 50_000;

fn main() -> Result<(), Box<dyn Error>> {
    let text = "listen = 'a:1'\noperator_listen = 'b:1'\npolicy = 'p'\nadmission = 'none'\ninstances = ['a:1']\n\
                [telemetry]\notlp_endpoint = 'http://127.0.0.1:1'\nqueue_spans = 65536\n";
    let settings = Config::parse(text, Path::new(""))?.telemetry.ok_or("telemetry is off")?;
    let server = "127.0.0.1:1".parse()?;
    measure("off", &Tracer::default());
    let (on, _queue) = Tracer::new(&settings, server, Arc::new(Metrics::default()));
    measure("on", &on);
    let (full, queue) = Tracer::new(&settings, server, Arc::new(Metrics::default()));
    drop(queue);
    measure("full", &full);
    Ok(())
}

fn measure(name: &str, tracer: &Tracer) {
    let start = Instant::now();
    for _ in 0..SPANS {
        let mut span = black_box(tracer).begin(Task::Hold);
        span.ended("accepted");
    }
    let each = start.elapsed().as_nanos() / u128::from(SPANS);
    println!("{name:>4}: {each} ns a span");
}
