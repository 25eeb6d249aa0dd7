//! A PostgreSQL server of one's own: on a free port, with its data in a folder of its own, stopped by its own pid.
//!
//! Depends on nothing else here: the integration tests include this file, too.

#![allow(dead_code, reason = "tests use parts that chores don't, and the other way round")]
#![allow(clippy::print_stderr, reason = "where the data went is said")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where Debian's packages put the programs, one folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Below the ports that systems give to outgoing connections, so that a stopped server finds its port free again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How long a server may take to start, recovery included.
const START: Duration = Duration::from_secs(180);

/// How a server is to be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    parent: PathBuf,
    encoding: String,
    parameters: Vec<(String, String)>,
    access: Vec<String>,
    certificate: Option<(PathBuf, PathBuf)>,
}

/// A server that runs as long as this is. Its data goes with it.
#[derive(Debug)]
pub(crate) struct Server {
    bin: PathBuf,
    user: User,
    folder: Folder,
    port: u16,
    running: Option<Running>,
}

/// A server process, and the thread that waits for it.
#[derive(Debug)]
struct Running {
    pid: u32,
    keeper: JoinHandle<Option<ExitStatus>>,
}

/// A folder that other runs leave alone while its lock is held, and remove once its owner is gone.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

/// Whom the server runs as: it refuses to be root.
#[derive(Clone, Copy, Debug)]
enum User {
    Myself,
    Postgres { uid: u32, gid: u32 },
}

/// The folder of the newest PostgreSQL server that is installed.
pub(crate) fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| has_server(bin))
        .max_by_key(|(version, _)| *version);
    if let Some((_, bin)) = newest {
        return Some(bin);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::split_paths(&path).map(|folder| folder.join("postgres"));
    // What is in PATH may be a link to one program alone.
    programs.filter_map(|program| Some(program.canonicalize().ok()?.parent()?.to_owned())).find(|bin| has_server(bin))
}

fn has_server(bin: &Path) -> bool {
    ["postgres", "initdb", "pg_ctl"].iter().all(|program| bin.join(program).is_file())
}

impl Settings {
    /// A server for tests that pull no power: UTF-8, trusts whoever comes from 127.0.0.1, doesn't wait for the disk.
    /// Its data is in a folder of its own below `parent`.
    pub(crate) fn new(parent: impl Into<PathBuf>) -> Self {
        let settings = Self {
            parent: parent.into(),
            encoding: "UTF8".to_owned(),
            parameters: Vec::new(),
            access: Vec::new(),
            certificate: None,
        };
        settings.set("max_connections", "200").set("max_prepared_transactions", "20").set("fsync", "off")
    }

    /// The same with a parameter of `postgresql.conf`. The last value of a parameter holds.
    pub(crate) fn set(mut self, parameter: &str, value: &str) -> Self {
        self.parameters.push((parameter.to_owned(), value.to_owned()));
        self
    }

    /// The same with a line of `pg_hba.conf`, before those that trust everybody, behind those that were given before.
    pub(crate) fn access(mut self, line: &str) -> Self {
        self.access.push(line.to_owned());
        self
    }

    /// The same with another encoding of databases, such as `LATIN1` or `SQL_ASCII`.
    pub(crate) fn encoding(mut self, encoding: &str) -> Self {
        encoding.clone_into(&mut self.encoding);
        self
    }

    /// The same, speaking TLS with a certificate and its key, two PEM files.
    pub(crate) fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self.set("ssl", "on")
    }
}

impl Server {
    /// Makes a server and waits until it answers. The superuser is `postgres`.
    pub(crate) fn start(settings: &Settings) -> Result<Self, String> {
        let bin = installed().ok_or("there is no PostgreSQL server here: install Debian's package `postgresql`")?;
        let user = User::find()?;
        let folder = Folder::make(&settings.parent, user, &bin)?;
        let mut initdb = user.command(&bin.join("initdb"), &folder.path);
        initdb.args(["--auth=trust", "--username=postgres", "--locale=C", "--no-sync"]);
        initdb.arg(format!("--encoding={}", settings.encoding)).arg("--pgdata").arg(folder.data());
        run(&mut initdb)?;
        let server = Self { bin, user, folder, port: free_port()?, running: None };
        server.configure(settings)?;
        server.started()
    }

    /// A standby that follows this server by streaming replication, with the same settings.
    pub(crate) fn standby(&self) -> Result<Self, String> {
        let parent = self.folder.path.parent().unwrap_or(Path::new("/"));
        let folder = Folder::make(parent, self.user, &self.bin)?;
        let mut backup = self.user.command(&self.bin.join("pg_basebackup"), &folder.path);
        backup.args(["--host=127.0.0.1", "--username=postgres", "--checkpoint=fast", "--write-recovery-conf"]);
        backup.args(["--no-sync", "--wal-method=stream"]).arg(format!("--port={}", self.port));
        run(backup.arg("--pgdata").arg(folder.data()))?;
        Self { bin: self.bin.clone(), user: self.user, folder, port: free_port()?, running: None }.started()
    }

    /// Stops it as a crash would: `pg_ctl stop -m immediate`.
    pub(crate) fn stop_immediately(&mut self) -> Result<(), String> {
        self.stop("immediate")
    }

    /// Starts it again with the data and at the port it had.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        if let Some(running) = &self.running
            && !running.keeper.is_finished()
        {
            return Err(format!("the server runs still, as process {}", running.pid));
        }
        self.running = Some(self.launch()?);
        self.wait_until_ready()
    }

    /// The URL of the database `postgres`, as the superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's programs.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// The process of the server, if it was not stopped.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.pid)
    }

    fn configure(&self, settings: &Settings) -> Result<(), String> {
        let data = self.folder.data();
        let mut configuration = read(&data.join("postgresql.conf"))?;
        // Paths of sockets are short, those of data often too long.
        let first = [("unix_socket_directories".to_owned(), String::new())];
        for (parameter, value) in first.iter().chain(&settings.parameters) {
            configuration.push_str(&format!("\n{parameter} = '{}'", value.replace('\'', "''")));
        }
        configuration.push('\n');
        write(&data.join("postgresql.conf"), &configuration)?;
        let access = data.join("pg_hba.conf");
        write(&access, &format!("{}\n{}", settings.access.join("\n"), read(&access)?))?;
        if let Some((certificate, key)) = &settings.certificate {
            self.hand_over(certificate, &data.join("server.crt"))?;
            self.hand_over(key, &data.join("server.key"))?;
        }
        Ok(())
    }

    /// Copies a file so that the server, and nobody else, reads it.
    fn hand_over(&self, from: &Path, to: &Path) -> Result<(), String> {
        let copied = fs::copy(from, to)
            .and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(0o600)))
            .and_then(|()| self.user.own(to));
        copied.map_err(|error| format!("failed to copy {} to {}: {error}", from.display(), to.display()))
    }

    fn started(mut self) -> Result<Self, String> {
        // Somebody else may take the port between the look and the start.
        for _ in 0..5 {
            self.running = Some(self.launch()?);
            match self.wait_until_ready() {
                Err(problem) if problem.contains("could not bind") => self.port = free_port()?,
                Err(problem) => return Err(problem),
                Ok(()) => return Ok(self),
            }
        }
        Err("failed to start a PostgreSQL server: each port was taken when it came to it".to_owned())
    }

    fn launch(&self) -> Result<Running, String> {
        let log_path = self.folder.log();
        let log = File::create(&log_path).and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = log.map_err(|error| format!("failed to write {}: {error}", log_path.display()))?;
        let mut command = self.user.command(&self.bin.join("postgres"), &self.folder.path);
        command.arg("-D").arg(self.folder.data()).arg("-p").arg(self.port.to_string());
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let (tell, told) = mpsc::channel();
        // The server is told to end when the thread that began it does, so that thread stays.
        let keeper = thread::spawn(move || match command.spawn() {
            Ok(mut child) => {
                let _ = tell.send(Ok(child.id()));
                child.wait().ok()
            }
            Err(error) => {
                let _ = tell.send(Err(format!("failed to start postgres: {error}")));
                None
            }
        });
        let pid = told.recv().unwrap_or_else(|error| Err(error.to_string()))?;
        Ok(Running { pid, keeper })
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let Some(running) = &self.running else { return Err("the server was stopped".to_owned()) };
            let ended = running.keeper.is_finished();
            let (pid, status) = postmaster(&self.folder.data());
            if !ended && pid == Some(running.pid) && ["ready", "standby"].contains(&status.as_str()) {
                return Ok(());
            }
            if ended || begun.elapsed() > START {
                let log = fs::read_to_string(self.folder.log()).unwrap_or_default();
                let what = if ended { "it ended" } else { "it took too long" };
                return Err(format!("failed to start a PostgreSQL server: {what}\n{log}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(&mut self, mode: &str) -> Result<(), String> {
        let Some(running) = self.running.take() else { return Ok(()) };
        if !running.keeper.is_finished() {
            stop_data(&self.bin, self.user, &self.folder.path, mode)?;
        }
        let _ = running.keeper.join();
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(problem) = self.stop("immediate") {
            eprintln!("{problem}");
        }
    }
}

/// Stops the server whose data is in a folder, by the pid that it wrote there.
fn stop_data(bin: &Path, user: User, folder: &Path, mode: &str) -> Result<(), String> {
    let mut stop = user.command(&bin.join("pg_ctl"), folder);
    run(stop.args(["stop", "--wait", "--timeout=60", "--mode", mode, "--pgdata"]).arg(folder.join("data")))
}

/// The pid of the server that has the data, and how far it is, by what it wrote there itself.
fn postmaster(data: &Path) -> (Option<u32>, String) {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    (pid, text.lines().nth(7).unwrap_or_default().trim().to_owned())
}

impl Folder {
    /// A new folder that the user of the server owns. Those of runs that are gone are removed.
    fn make(parent: &Path, user: User, bin: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("failed to make a folder in {}: {error}", parent.display());
        fs::create_dir_all(parent).map_err(failed)?;
        // The programs work in folders of their own, where relative paths lead elsewhere.
        let parent = &parent.canonicalize().map_err(failed)?;
        sweep(parent, user, bin);
        let folder = Self::make_in(parent, user).map_err(failed)?;
        if user.reaches(&folder.path) {
            return Ok(folder);
        }
        let elsewhere = std::env::temp_dir().join("eventlift-postgres");
        if parent.ends_with("eventlift-postgres") {
            return Err(format!("the user postgres can't reach {}", parent.display()));
        }
        let own = fs::create_dir_all(&elsewhere).and_then(|()| fs::symlink_metadata(&elsewhere));
        if !own.is_ok_and(|found| found.is_dir() && found.uid() == 0) {
            return Err(format!("{} is not root's own folder", elsewhere.display()));
        }
        eprintln!("the user postgres can't reach {}; the data is in {}", parent.display(), elsewhere.display());
        Self::make(&elsewhere, user, bin)
    }

    fn make_in(parent: &Path, user: User) -> std::io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (path, lock_path) = (parent.join(&name), parent.join(format!("{name}.lock")));
        let lock = File::create(&lock_path)?;
        lock.lock()?;
        // From here on dropping it removes what is there.
        let folder = Self { path, lock_path, _lock: lock };
        fs::create_dir(&folder.path)?;
        user.own(&folder.path)?;
        Ok(folder)
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Removes the folders whose owners are gone, and stops the servers they left behind.
fn sweep(parent: &Path, user: User, bin: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let lock_path = entry.path();
        if lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(lock) = File::open(&lock_path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        let folder = lock_path.with_extension("");
        if let (Some(pid), _) = postmaster(&folder.join("data"))
            && is_server_of(pid, &folder.join("data"))
        {
            if let Err(problem) = stop_data(bin, user, &folder, "immediate") {
                eprintln!("{problem}");
                continue;
            }
        }
        let _ = fs::remove_dir_all(&folder);
        let _ = fs::remove_file(&lock_path);
    }
}

/// Whether a process works in a folder of data, as only its server does. A pid alone may be somebody else's by now.
fn is_server_of(pid: u32, data: &Path) -> bool {
    let Ok(works_in) = fs::read_link(format!("/proc/{pid}/cwd")) else { return false };
    data.canonicalize().is_ok_and(|data| data == works_in)
}

impl User {
    fn find() -> Result<Self, String> {
        if id(&["-u"]) != Some(0) {
            return Ok(Self::Myself);
        }
        match (id(&["-u", "postgres"]), id(&["-g", "postgres"])) {
            (Some(uid), Some(gid)) if has_setpriv() => Ok(Self::Postgres { uid, gid }),
            (Some(_), Some(_)) => Err("root needs `setpriv` to run PostgreSQL as another user".to_owned()),
            _ => Err("PostgreSQL refuses to run as root, and there is no user `postgres`".to_owned()),
        }
    }

    /// A program that this user runs in a folder, without PostgreSQL's variables of whoever runs this. It is told to
    /// end, where the system can do that, when the thread that starts it ends.
    fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = match self {
            Self::Myself if !has_setpriv() => Command::new(program),
            Self::Myself => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "INT", "--"]).arg(program);
                command
            }
            Self::Postgres { uid, gid } => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--init-groups"]);
                command.args(["--pdeathsig", "INT", "--"]).arg(program);
                command
            }
        };
        for (variable, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(variable);
        }
        // Messages are looked into.
        command.env("LC_ALL", "C").current_dir(folder);
        command
    }

    fn own(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Myself => Ok(()),
            Self::Postgres { uid, gid } => chown(path, Some(uid), Some(gid)),
        }
    }

    fn reaches(self, folder: &Path) -> bool {
        match self {
            Self::Myself => true,
            Self::Postgres { .. } => {
                let mut look = self.command(Path::new("ls"), Path::new("/"));
                look.arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
            }
        }
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Whether there is Linux's program that changes the user without a process in between.
fn has_setpriv() -> bool {
    let look = Command::new("setpriv").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    look.is_ok_and(|status| status.success())
}

fn free_port() -> Result<u16, String> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        // Processes begin at different ports, so that they rarely look at the same one at once.
        let tried = std::process::id().wrapping_mul(37).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let Ok(offset) = u16::try_from(tried % count) else { continue };
        let port = PORTS.start + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("there is no free port on 127.0.0.1".to_owned())
}

/// Runs a program to its end, quietly. Fails with what it said.
fn run(command: &mut Command) -> Result<(), String> {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("{arguments} ended with {}\n{said}", output.status))
        }
        Err(error) => Err(format!("failed to start {arguments}: {error}")),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("failed to read {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("failed to write {}: {error}", path.display()))
}
