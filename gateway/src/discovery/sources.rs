//! The sources that are followed beside the list: begun, begun anew where what they are asked by has changed, and ended, at a reload.
//!
//! A source that stays keeps what it knew, whether or not it begins anew; one that is not named any more
//! is gone with what it knew, and who is nowhere else drains.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::board::{Board, Post};
use super::config::{Name, Service, Settings};
use super::kubernetes::{self, Cluster, NoCluster};
use super::{dns, special};
use crate::config::Address;

/// What is to be followed, and can be.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) settings: Settings,
    wanted: Vec<Wanted>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Dns(Name),
    Kubernetes(Service, String, Cluster),
}

impl Prepared {
    /// What `settings` ask for. A Service of Kubernetes can be followed only from within a cluster.
    ///
    /// # Errors
    /// This process is in none.
    pub fn of(settings: &Settings) -> Result<Self, NoCluster> {
        let mut wanted: Vec<Wanted> = settings.dns.iter().cloned().map(Wanted::Dns).collect();
        for service in &settings.kubernetes {
            let cluster = Cluster::of_this_pod()?;
            let namespace = service.namespace.clone().map_or_else(|| cluster.namespace(), Ok)?;
            wanted.push(Wanted::Kubernetes(service.clone(), namespace, cluster));
        }
        Ok(Self { settings: settings.clone(), wanted })
    }

    /// How each source is asked; which ones there are is no part of it.
    fn manner(&self) -> Settings {
        Settings { max_instances: 0, dns: Vec::new(), kubernetes: Vec::new(), ..self.settings.clone() }
    }
}

impl Wanted {
    fn name(&self) -> String {
        match self {
            Self::Dns(name) => name.to_string(),
            Self::Kubernetes(service, ..) => service.to_string(),
        }
    }

    fn follow(&self, settings: &Settings, post: Post) -> AbortHandle {
        let (settings, following) = (settings.clone(), self.clone());
        let task = match following {
            Self::Dns(name) => tokio::spawn(dns::follow(name, settings, post)),
            Self::Kubernetes(service, namespace, cluster) => {
                tokio::spawn(kubernetes::follow(service, namespace, cluster, settings, post))
            }
        };
        task.abort_handle()
    }
}

/// What is followed now.
#[derive(Debug)]
pub(super) struct Sources {
    board: Arc<Board>,
    running: BTreeMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    manner: Settings,
    post: Post,
    task: AbortHandle,
}

impl Sources {
    /// Nothing yet.
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { board, running: BTreeMap::new() }
    }

    /// Follows what is wanted from now on, and nothing else.
    pub(super) fn follow(&mut self, prepared: &Prepared) {
        let is_wanted = |name: &String| prepared.wanted.iter().any(|wanted| wanted.name() == *name);
        let board = Arc::clone(&self.board);
        self.running.retain(|name, running| {
            let stays = is_wanted(name);
            if !stays {
                running.task.abort();
                board.remove(&running.post);
            }
            stays
        });
        let manner = prepared.manner();
        for wanted in &prepared.wanted {
            let name = wanted.name();
            let before = self.running.remove(&name);
            let running = match before {
                Some(running) if running.manner == manner => running,
                before => {
                    // What may not be led to any more is left out at once, and not only by the next answer.
                    let stays = |address: &Address| {
                        let socket = address.as_str().parse::<SocketAddr>();
                        socket.map_or(true, |socket| special::refused(socket.ip(), &manner.admit).is_none())
                    };
                    let post = match before {
                        None => board.post(&name),
                        Some(running) => {
                            running.task.abort();
                            board.renew(&running.post, stays)
                        }
                    };
                    let task = wanted.follow(&prepared.settings, post.clone());
                    Running { manner: manner.clone(), post, task }
                }
            };
            self.running.insert(name, running);
        }
    }
}
