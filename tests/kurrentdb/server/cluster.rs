//! Nodes over one log: one leads, the others follow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::database::Database;
use super::messages::{ClusterInfo, EndPoint, MemberInfo, Uuid};
use super::retention::ticks;
use super::server::{KurrentServer, ServerOptions};

const FOLLOWER: i32 = 6;
const LEADER: i32 = 8;
const SHUT_DOWN: i32 = 11;

/// Who is in the cluster: a server alone leads itself.
#[derive(Default)]
pub(super) struct Members {
    nodes: Mutex<Vec<Member>>,
    leader: AtomicUsize,
}

struct Member {
    id: uuid::Uuid,
    port: u16,
    is_alive: Arc<AtomicBool>,
}

impl Members {
    /// Which member it is now.
    pub(super) fn join(&self, port: u16, is_alive: Arc<AtomicBool>) -> usize {
        let mut nodes = self.nodes();
        nodes.push(Member { id: uuid::Uuid::new_v4(), port, is_alive });
        nodes.len() - 1
    }

    pub(super) fn is_leader(&self, index: usize) -> bool {
        self.leader.load(Ordering::SeqCst) == index
    }

    pub(super) fn leader(&self) -> (String, u16) {
        let leader = self.leader.load(Ordering::SeqCst);
        let port = self.nodes().get(leader).map_or(0, |member| member.port);
        ("127.0.0.1".to_owned(), port)
    }

    pub(super) fn gossip(&self) -> ClusterInfo {
        let leader = self.leader.load(Ordering::SeqCst);
        let nodes = self.nodes();
        let members = nodes.iter().enumerate().map(|(index, member)| {
            let is_alive = member.is_alive.load(Ordering::SeqCst);
            let state = match (is_alive, index == leader) {
                (false, _) => SHUT_DOWN,
                (true, true) => LEADER,
                (true, false) => FOLLOWER,
            };
            let address = EndPoint { address: "127.0.0.1".to_owned(), port: u32::from(member.port) };
            MemberInfo {
                instance_id: Some(Uuid::structured(member.id)),
                time_stamp: i64::try_from(ticks(SystemTime::now())).unwrap_or(i64::MAX),
                state,
                is_alive,
                http_end_point: Some(address),
            }
        });
        ClusterInfo { members: members.collect() }
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, Vec<Member>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Several servers over one log. The first one leads.
pub(crate) struct KurrentCluster {
    nodes: Vec<KurrentServer>,
    members: Arc<Members>,
}

impl KurrentCluster {
    /// Starts so many nodes. Fails where a server does.
    pub(crate) fn start(nodes: usize, options: &ServerOptions) -> Self {
        let members = Arc::new(Members::default());
        let database = Database::new(options.noise_every, options.transaction_every);
        let start = |_| KurrentServer::start_member(options.clone(), Arc::clone(&database), Arc::clone(&members));
        Self { nodes: (0..nodes).map(start).collect(), members }
    }

    /// `esdb://127.0.0.1:…,127.0.0.1:…` with all nodes.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| node.address()).collect();
        self.nodes[0].url_with_hosts(&hosts.join(","))
    }

    /// The nodes, in order: faults and counters are each one's own.
    pub(crate) fn nodes(&self) -> &[KurrentServer] {
        &self.nodes
    }

    /// The log that all nodes share.
    pub(crate) fn database(&self) -> Arc<Database> {
        self.nodes[0].database()
    }

    /// Which node leads.
    pub(crate) fn leader(&self) -> usize {
        self.members.leader.load(Ordering::SeqCst)
    }

    /// From now on, this node leads.
    pub(crate) fn change_leader(&self, node: usize) {
        self.members.leader.store(node, Ordering::SeqCst);
    }
}
