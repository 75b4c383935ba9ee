//! `teegate proxy`: a door on this machine for programs that know nothing of attestation.
//!
//! Thin: everything that decides is in `teegate_client::proxy`. On standard output there is one line of JSON, where it listens, once
//! it may be asked; on standard error whom it verified, at the start and whenever that changes. Exit status: 0 told to leave, 1 could
//! not run, 2/3/4 evidence was rejected at the start.

mod ready;
mod say;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use teegate_client::proxy::{Access, Event, Hosts, Listen, Proxy, ProxySettings, Token, serve};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::gateway::{self, Failure, GatewayArgs, Means, read, readable_by_others};
use crate::output::{finish, note};
use crate::sealing::SealingArgs;
use crate::{exit, help, memory};
use ready::ReadyFile;

/// The largest file of a token.
const MAX_TOKEN_BYTES: u64 = 4 * 1024;

/// Open a door on this machine for any client of the Open Inference Protocol: plaintext towards it, verified and sealed from there on.
#[derive(Args, Debug)]
#[command(after_help = help::PROXY)]
pub(crate) struct ProxyArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Where programs of this machine reach it: PORT, ADDRESS:PORT (loopback; port 0 is any that is free) or unix:PATH (mode 0600)
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:0", value_parser = Listen::parse)]
    listen: Listen,
    /// Programs have to show what stands in this file, as `Authorization: Bearer …`: one line of at least 16 characters
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A page of this origin may ask from a browser, such as `http://localhost:3000`; no other may
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<String>,
    /// Serve this model and no other that is not named too, and verify an instance of it before the door opens
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    #[command(flatten)]
    sealing: SealingArgs,
    /// Write where it listens to this file once it may be asked, and remove the file at the end (JSON)
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Listen at this address of the machine: what passes there is NOT encrypted, so that whoever is on the way reads it all
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "listen", requires = "token_file")]
    dangerous_listen: Option<SocketAddr>,
}

/// Runs the command.
pub(crate) fn run(args: &ProxyArgs) -> ExitCode {
    gateway::run_threaded(proxy(args))
}

async fn proxy(args: &ProxyArgs) -> Result<ExitCode, Failure> {
    let access = args.access().map_err(Failure::Input)?;
    let Means { gateway, policy, endorsements, settings } = args.gateway.read().await.map_err(Failure::Input)?;
    let settings = args.sealing.applied_to(settings);
    let place = args.dangerous_listen.map_or_else(|| args.listen.clone(), Listen::Dangerous);
    let mut signals = Signals::listen().map_err(|e| Failure::Input(format!("signals cannot be received: {e}")))?;
    // First, so that a place that is taken is told before anybody is asked. Who connects meanwhile waits.
    let listener = place.bind().await.map_err(|error| Failure::Input(error.to_string()))?;
    let listening = listener.place();
    // After that: a door that is open at this place has its file there.
    let ready_file = args.ready_file.as_deref().map(ReadyFile::announce).transpose().map_err(Failure::Input)?;

    let settings_of_door = ProxySettings { access, models: args.model.clone(), ..ProxySettings::default() };
    let (tell, events) = mpsc::unbounded_channel();
    // Nobody listens any more only when all of it ends.
    let tell = move |event| drop(tell.send(event));
    let proxy = tokio::select! {
        proxy = Proxy::connect(gateway, policy, endorsements, settings, settings_of_door, tell) => proxy?,
        () = signals.next() => {
            note("told to leave before the door was open");
            return Ok(ExitCode::from(exit::ACCEPTED));
        }
    };
    if let Some(path) = args.gateway.memory() {
        memory::write(path, &proxy.memory()).map_err(|e| Failure::Input(format!("{e}; nothing was sent")))?;
    }
    let saying = tokio::spawn(say_all(events, Arc::clone(&proxy), args.gateway.memory().map(Path::to_owned)));
    if let Listen::Dangerous(_) = place {
        note("whoever is on the way to this address reads every request and every answer");
    }
    let line = format!("{}\n", json!({ "listening": listening }));
    if let Some(file) = &ready_file {
        file.write(&line).map_err(Failure::Input)?;
    }
    let _written = finish(&line, exit::ACCEPTED);

    let (leave, told) = oneshot::channel();
    let serving = serve(proxy, listener, async { drop(told.await) });
    tokio::select! {
        () = serving => {}
        () = signals.obey(leave, ready_file) => note("told twice: what was under way is not answered"),
    }
    saying.abort();
    Ok(ExitCode::from(exit::ACCEPTED))
}

impl ProxyArgs {
    fn access(&self) -> Result<Access, String> {
        let token = self.token_file.as_deref().map(token).transpose()?;
        let hosts = if self.dangerous_listen.is_some() { Hosts::DangerouslyAny } else { Hosts::Loopback };
        Ok(Access { hosts, origins: self.allow_origin.clone(), token })
    }
}

fn token(path: &Path) -> Result<Token, String> {
    let text = read(path, MAX_TOKEN_BYTES)?;
    let token = Token::parse(&text).map_err(|error| format!("`{}`: {error}", path.display()))?;
    if readable_by_others(path) {
        note(&format!("`{}` can be read by others; `chmod 600` keeps the token yours", path.display()));
    }
    Ok(token)
}

/// As browsers write it: `scheme://host`, with a port where it is not the scheme's, in lower case, and nothing behind it.
fn origin(text: &str) -> Result<String, String> {
    let after_scheme = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
    let is_host =
        |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@,*".contains(&byte));
    match after_scheme {
        Some((_, host)) if is_host(host) && text == text.to_ascii_lowercase() => Ok(text.to_owned()),
        _ => Err("expected an origin as browsers write it, such as `http://localhost:3000`".to_owned()),
    }
}

/// Says what happens, and writes down what it taught.
async fn say_all(mut events: mpsc::UnboundedReceiver<Event>, proxy: Arc<Proxy>, memory: Option<PathBuf>) {
    while let Some(event) = events.recv().await {
        eprint!("{}", say::said(&event));
        if let (Event::Verified(_), Some(path)) = (event, &memory) {
            let written = tokio::task::block_in_place(|| memory::write(path, &proxy.memory()));
            if let Err(error) = written {
                note(&format!("{error}; what was seen is forgotten at the end"));
            }
        }
    }
}

/// The two signals that tell a program to leave.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first one lets what is under way end; returns at the second.
    async fn obey(mut self, leave: oneshot::Sender<()>, ready_file: Option<ReadyFile>) {
        self.next().await;
        drop(ready_file);
        note("leaving, once what is under way is answered");
        let _ = leave.send(());
        self.next().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for text in ["http://localhost:3000", "https://app.example", "http://[::1]:8080"] {
            assert_eq!(origin(text).unwrap(), text);
        }
        for text in [
            "*",
            "null",
            "",
            "localhost:3000",
            "http://",
            "http://localhost:3000/",
            "HTTP://localhost",
            "file://x",
            "http://a b",
        ] {
            assert!(origin(text).unwrap_err().contains("as browsers write it"), "{text}");
        }
    }

    #[test]
    fn a_token_is_read_from_a_file_and_never_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert!(token(&path).is_ok());
        std::fs::write(&path, "secret but two words").unwrap();
        let refused = token(&path).unwrap_err();
        assert!(
            refused.contains("token`: a token is one line of 16 to 1024") && !refused.contains("secret"),
            "{refused}"
        );
    }
}
