//! Child processes that cannot outlive the tests, and directories that cannot either.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A command that is killed with `signal` when this process ends. Run it with [`spawn`]: the kernel watches the thread that
/// started it, not the process.
pub fn mortal(signal: &str, program: &Path, as_user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = as_user {
        command.args([format!("--reuid={user}"), format!("--regid={user}"), "--init-groups".to_owned()]);
    }
    // A group of its own: Ctrl-C on the terminal reaches the test process only.
    command.args(["--pdeathsig", signal]).arg(program).process_group(0);
    command
}

/// Starts the command from a thread that lives as long as the process.
pub fn spawn(command: Command) -> Child {
    type Job = (Command, Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (jobs, waiting) = channel::<Job>();
        std::thread::Builder::new()
            .name("starter".to_owned())
            .spawn(move || {
                for (mut command, answer) in waiting {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(jobs)
    });
    let what = format!("{command:?}");
    let (answer, started) = channel();
    starter.lock().expect("the starter never panics").send((command, answer)).expect("the starter lives");
    started.recv().expect("the starter answers").unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Sends a signal by name; a process that is gone is no error.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status();
}

/// Waits for the end; `false` if it does not come in time.
pub fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if child.try_wait().expect("a child can be waited for").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Runs to the end and asserts success; yields standard output.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs to the end, however that is.
pub fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}; run `scripts/install test`"))
}

/// Both streams of an output.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until `what` is so; panics with its name if that takes longer than `limit`.
pub fn eventually(what: &str, limit: Duration, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        let waited = begun.elapsed();
        assert!(waited < limit, "not within {limit:?}: {what}");
        // Asking costs more than a look at a clock: who waits long asks less often.
        let pause = if waited < Duration::from_secs(1) { 20 } else { 100 };
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// What has to be free before a database lies in memory.
const MEMORY_BYTES_MIN: u64 = 8 << 30;

static ROOMY: OnceLock<bool> = OnceLock::new();

fn free_bytes(dir: &Path) -> u64 {
    let found = output(Command::new("df").args(["--output=avail", "-B1"]).arg(dir));
    String::from_utf8_lossy(&found.stdout).lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

fn memory_bytes() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// A directory that is removed when dropped, and also when the process is killed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one that other users may enter, because servers run as another user.
    pub fn make() -> Self {
        Self::make_in(&std::env::temp_dir())
    }

    /// Makes one in memory where there is plenty of it: what makes and removes thousands of files waits for a disk mostly.
    pub fn make_fast() -> Self {
        let memory = Path::new("/dev/shm");
        let is_roomy = *ROOMY.get_or_init(|| free_bytes(memory).min(memory_bytes()) >= MEMORY_BYTES_MIN);
        if is_roomy { Self::make_in(memory) } else { Self::make() }
    }

    fn make_in(parent: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let mut name = tempfile::Builder::new();
        let path = name.prefix("lockgate-test-").tempdir_in(parent).expect("a directory can be made").keep();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        sweeper_is_told(&path);
        Scratch { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A server that is still stopping may write once more.
        for _ in 0..50 {
            if std::fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A shell that reads directory names until this process ends, however it ends, and then removes them.
fn sweeper_is_told(path: &Path) {
    const SWEEP: &str =
        r#"all=; while IFS= read -r dir; do all="$all $dir"; done; sleep 1; [ -z "$all" ] || rm -rf -- $all"#;
    static SWEEPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let stdin = SWEEPER.get_or_init(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SWEEP]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Mutex::new(command.spawn().expect("there is a shell").stdin.take().expect("it has a standard input"))
    });
    writeln!(stdin.lock().expect("nobody panics here"), "{}", path.display()).expect("the sweeper lives");
}

/// A port of 127.0.0.1 that was free a moment ago. Ports come from a range of this process, counted up, so that two tests of
/// one run never get the same; the kernel's own range for outgoing connections is above it.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(97).wrapping_add(step) % 20_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A script of this crate or a program, relaying from a free port to `to`; killed when dropped.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    child: Child,
}

impl Relay {
    /// Starts `tools/NAME LISTEN 127.0.0.1 TO ARGS…` and waits until it accepts.
    pub fn start(name: &str, to: u16, args: &[&str]) -> Self {
        let port = free_port();
        let mut command = mortal("KILL", Path::new("python3"), None);
        command.arg(super::places::tool(name)).args([&port.to_string(), "127.0.0.1", &to.to_string()]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = spawn(command);
        eventually("the relay accepts", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Relay { port, child }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
