//! The plain server beside which the path is measured: hyper, HTTP/1.1, keep-alive, JSON in and out, and ONNX Runtime in the same process. No
//! TLS, no seal, no receipt, no limit and no other process.
//!
//! `teegate-plain LIBRARY MODEL NAME WORKERS THREADS`; its first line says where it listens.

use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use teegate_load::Outcome;
use teegate_load::engine::{Elements, Engine, Input, Library, Output};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// One run, and where its output goes.
type Order = (Vec<Input>, oneshot::Sender<Result<Output, String>>);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, model, name, workers, threads] = arguments.as_slice() else {
        return Err("usage: teegate-plain LIBRARY MODEL NAME WORKERS THREADS".into());
    };
    let (library, model) = (Library::load(Path::new(library))?, std::fs::read(model)?);
    let (orders, taken) = channel::<Order>();
    let taken = Arc::new(Mutex::new(taken));
    for _ in 0..workers.parse()? {
        let (engine, taken) = (library.session(&model, threads.parse()?)?, Arc::clone(&taken));
        std::thread::spawn(move || work(engine, &taken));
    }
    let path: Arc<str> = format!("/v2/models/{name}/infer").into();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(
        path,
        name.as_str().into(),
        orders,
    ))
}

/// Runs what is ordered, until nobody can order any more.
fn work(mut engine: Engine, taken: &Mutex<Receiver<Order>>) {
    loop {
        let order = taken.lock().map(|taken| taken.recv());
        let Ok(Ok((inputs, answer))) = order else { return };
        // Whoever has gone away misses nothing.
        let _gone = answer.send(engine.run(&inputs).map_err(|error| error.to_string()));
    }
}

async fn serve(path: Arc<str>, name: Arc<str>, orders: Sender<Order>) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", json!({ "listening": listener.local_addr()?.to_string() }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (path, name, orders) = (Arc::clone(&path), Arc::clone(&name), orders.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (path, name, orders) = (Arc::clone(&path), Arc::clone(&name), orders.clone());
                async move {
                    let (status, body) = match answer(request, &path, &name, orders).await {
                        Ok(body) => (200, body),
                        Err(error) => (400, json!({ "error": error.to_string() }).to_string()),
                    };
                    let mut response = Response::new(Full::new(Bytes::from(body)));
                    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
                    Ok::<_, Infallible>(response)
                }
            });
            let _broken =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, path: &str, name: &str, orders: Sender<Order>) -> Outcome<String> {
    if request.method() != Method::POST || request.uri().path() != path {
        return Err(format!("there is nothing but POST {path}").into());
    }
    let body = request.into_body().collect().await?.to_bytes();
    let (sender, output) = oneshot::channel();
    orders.send((read(&body)?, sender)).map_err(|_| "no worker is left")?;
    let (output, shape, data) = output.await.map_err(|_| "the worker has ended")??;
    let output = json!({ "name": output, "shape": shape, "datatype": "FP32", "data": data });
    Ok(json!({ "model_name": name, "model_version": "1", "outputs": [output] }).to_string())
}

fn read(body: &[u8]) -> Outcome<Vec<Input>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        inputs: Vec<Tensor<'a>>,
    }
    #[derive(Deserialize)]
    struct Tensor<'a> {
        name: String,
        shape: Vec<i64>,
        datatype: &'a str,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let body: Body<'_> = serde_json::from_slice(body)?;
    let inputs = body.inputs.into_iter().map(|Tensor { name, shape, datatype, data }| {
        let elements = match datatype {
            "FP32" => Elements::Fp32(serde_json::from_str(data.get())?),
            "INT64" => Elements::Int64(serde_json::from_str(data.get())?),
            other => return Err(format!("no input here is of type {other}").into()),
        };
        Ok(Input { name, shape, elements })
    });
    inputs.collect()
}
