//! Starting and stopping a server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::transport::Server;

use super::cluster::Members;
use super::connections::{Connections, Incoming};
use super::counters::{Counters, Counts};
use super::database::Database;
use super::faults::Faults;
use super::service::{Calls, Node};
use super::tls::Tls;

/// Whoever may use the server.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// The name.
    pub(crate) name: String,
    /// The password.
    pub(crate) password: String,
    /// Whether everything is allowed; others may not read `$all`.
    pub(crate) is_admin: bool,
}

impl User {
    /// One who may do everything.
    pub(crate) fn admin(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: password.to_owned(), is_admin: true }
    }

    /// One who may do what `$acl` of streams allows.
    pub(crate) fn named(name: &str, password: &str) -> Self {
        Self { is_admin: false, ..Self::admin(name, password) }
    }
}

/// How a server is.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// The most bytes of one append: data, metadata, and two bytes for each UTF-16 unit of the types.
    pub(crate) max_append_size: usize,
    /// Who may use it; nobody: everybody, without a password. The URL names the first one.
    pub(crate) users: Vec<User>,
    /// Whether connections are encrypted.
    pub(crate) tls: bool,
    /// After every nth event of users, the system writes links and statistics. 0: never.
    pub(crate) noise_every: u64,
    /// Every nth append is an explicit transaction: the commit is behind its events. 0: never.
    pub(crate) transaction_every: u64,
    /// The version that it says it has.
    pub(crate) version: String,
    /// How many threads serve.
    pub(crate) threads: usize,
}

impl Default for ServerOptions {
    /// No users, no TLS, no noise, 1 MiB for each append.
    fn default() -> Self {
        Self {
            max_append_size: 1024 * 1024,
            users: Vec::new(),
            tls: false,
            noise_every: 0,
            transaction_every: 0,
            version: "25.0.1".to_owned(),
            threads: 2,
        }
    }
}

/// A server on 127.0.0.1, on threads of its own. It stops when it goes.
pub(crate) struct KurrentServer {
    runtime: Option<Runtime>,
    node: Arc<Node>,
    address: SocketAddr,
    tls: Option<Tls>,
    is_alive: Arc<AtomicBool>,
    state: Mutex<State>,
}

enum State {
    Running {
        serving: JoinHandle<()>,
        closed: mpsc::Receiver<()>,
    },
    /// The port is kept, and refuses connections.
    Stopped {
        port: TcpSocket,
    },
    Changing,
}

impl KurrentServer {
    /// Starts on a free port. Panics where it cannot.
    pub(crate) fn start(options: ServerOptions) -> Self {
        let database = Database::new(options.noise_every, options.transaction_every);
        Self::start_on(options, database)
    }

    /// Starts with a log that is there already.
    pub(crate) fn start_on(options: ServerOptions, database: Arc<Database>) -> Self {
        Self::start_member(options, database, Arc::default())
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub(super) fn start_member(options: ServerOptions, database: Arc<Database>, members: Arc<Members>) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(options.threads).thread_name("kurrentdb").enable_all();
        let runtime = builder.build().expect("threads can be started"); // A test cannot go on without.
        let socket = {
            let _context = runtime.enter();
            bound("127.0.0.1:0".parse().expect("it is an address")) // It is.
        };
        let address = socket.local_addr().expect("a bound socket has an address"); // It was just bound.
        let is_alive = Arc::new(AtomicBool::new(true));
        let index = members.join(address.port(), Arc::clone(&is_alive));
        let node = Arc::new(Node {
            database,
            faults: Arc::default(),
            counters: Arc::<Counters>::default(),
            connections: Arc::<Connections>::default(),
            members,
            index,
            users: options.users,
            max_append_size: options.max_append_size,
            version: options.version,
        });
        let tls = options.tls.then(Tls::new);
        let state = Mutex::new(State::Stopped { port: socket });
        let server = Self { runtime: Some(runtime), node, address, tls, is_alive, state };
        server.start_again();
        server
    }

    /// `esdb://127.0.0.1:…?tls=false`, with the first user, and the file of the authority where it has TLS.
    pub(crate) fn url(&self) -> String {
        self.url_with_hosts(&self.address())
    }

    /// The URL as this user.
    pub(crate) fn url_as(&self, user: &User) -> String {
        format!("esdb://{}:{}@{}?{}", user.name, user.password, self.address(), self.parameters())
    }

    /// `127.0.0.1:…`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The certificate of the authority that signed the server's; nothing without TLS. Gone with the server.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.tls.as_ref().map(Tls::ca_file)
    }

    /// The log.
    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.node.database)
    }

    /// What goes wrong on demand.
    pub(crate) fn faults(&self) -> &Faults {
        &self.node.faults
    }

    /// What was asked of it so far.
    pub(crate) fn counters(&self) -> Counts {
        self.node.counters.counts()
    }

    /// Breaks every connection; new ones are accepted.
    pub(crate) fn drop_connections(&self) {
        self.node.connections.break_all();
    }

    /// Breaks every connection and refuses new ones. The log and the port stay.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Running { serving, closed } = std::mem::replace(&mut *state, State::Changing) else { return };
        self.is_alive.store(false, Ordering::SeqCst);
        serving.abort();
        // It ends when the task is gone, and the port with it.
        let _ = closed.recv();
        self.drop_connections();
        let _context = self.runtime.as_ref().map(Runtime::enter);
        *state = State::Stopped { port: bound(self.address) };
    }

    /// Serves again after a stop, with the same log on the same port. Nothing happens where it was not stopped.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub(crate) fn start_again(&self) {
        let Some(runtime) = &self.runtime else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match std::mem::replace(&mut *state, State::Changing) {
            State::Stopped { port } => {
                let _context = runtime.enter();
                let listener = port.listen(1024).expect("the port is this server's"); // A test cannot go on without.
                let (goes, closed) = mpsc::channel();
                let serving = runtime.spawn(self.serve(listener, goes));
                self.is_alive.store(true, Ordering::SeqCst);
                State::Running { serving, closed }
            }
            running => running,
        };
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    fn serve(&self, listener: TcpListener, goes: mpsc::Sender<()>) -> impl Future<Output = ()> + use<> {
        let connections = Arc::clone(&self.node.connections);
        let incoming = Incoming::new(listener, connections, Arc::clone(&self.node.counters));
        let mut server =
            Server::builder().initial_stream_window_size(1024 * 1024).initial_connection_window_size(8 * 1024 * 1024);
        if let Some(tls) = &self.tls {
            server = server.tls_config(tls.config()).expect("the certificate is good"); // It was just made.
        }
        let calls = Calls(Arc::clone(&self.node));
        async move {
            // Goes after the listener: whoever waits for it finds the port free.
            let _goes = goes;
            // It ends only when it is dropped.
            let _ = server.serve_with_incoming(calls, incoming).await;
        }
    }

    pub(super) fn url_with_hosts(&self, hosts: &str) -> String {
        let user = self.node.users.first();
        let user = user.map(|user| format!("{}:{}@", user.name, user.password)).unwrap_or_default();
        format!("esdb://{user}{hosts}?{}", self.parameters())
    }

    fn parameters(&self) -> String {
        match &self.tls {
            Some(tls) => format!("tls=true&tlsCaFile={}", tls.ca_file().display()),
            None => "tls=false".to_owned(),
        }
    }
}

impl Drop for KurrentServer {
    fn drop(&mut self) {
        self.drop_connections();
        if let Some(runtime) = self.runtime.take() {
            // It may go within a task of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// A socket that has the port and does not listen.
#[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("sockets can be made"); // A test cannot go on without.
    socket.set_reuseaddr(true).expect("ports can be used again"); // As above.
    socket.bind(address).expect("the port is free"); // As above.
    socket
}
