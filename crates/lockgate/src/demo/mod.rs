//! `lockgate demo`: the whole product on one terminal, against a throw-away PostgreSQL full of made-up people.
//!
//! Everything runs for real: a PostgreSQL server, this same executable as the gateway, and `psql` as the client. Every step
//! checks what it shows, so that the show is also a test (`--once` ends with the verdict as exit code). It is not a way to
//! run Lockgate for real work: the directory with all of it is removed at the end.

mod data;
mod postgres;
mod setting;
mod show;
mod stage;

use anyhow::Context;
use postgres::ThrowAwayPostgres;
use setting::Setting;
use stage::Stage;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the command line says about the demo.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// End after the show, instead of staying up until Ctrl-C.
    pub once: bool,
    /// People in the sample shop.
    pub customers: u32,
    /// The directory with PostgreSQL's server programs; found below `/usr/lib/postgresql` if not given.
    pub postgres_bin: Option<PathBuf>,
}

/// People in the sample shop if nobody says how many.
pub const CUSTOMERS: u32 = 120_000;

/// Runs the show. The exit code is 0 if every step did what it says, 1 otherwise; an error means that it could not begin.
pub async fn run(options: DemoOptions) -> anyhow::Result<ExitCode> {
    let stage = Stage::on_stdout();
    let scratch = Scratch::make()?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let shown = tokio::select! {
        shown = perform(&options, &stage, &scratch) => shown,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        _ = terminated.recv() => Ok(ExitCode::from(143)),
    };
    drop(scratch);
    shown
}

async fn perform(options: &DemoOptions, stage: &Stage, scratch: &Scratch) -> anyhow::Result<ExitCode> {
    stage.title("Lockgate demo");
    let shop = data::Shop::with_customers(options.customers);

    let step = stage.begin("starting a throw-away PostgreSQL");
    let server = ThrowAwayPostgres::start(options.postgres_bin.as_deref(), &scratch.0).await?;
    step.done(&format!("{} on port {}", server.version, server.port));

    let step = stage.begin("making up a shop and loading it");
    postgres::load(&server, shop).await.context("the sample data could not be loaded")?;
    step.done(&format!("{} people, {} orders, {} employees", shop.customers, shop.orders, shop.employees));

    let step = stage.begin("starting the gateway in front of it");
    let setting = Setting::start(&server, &scratch.0).await?;
    step.done(&format!("port {}, configuration {}", setting.postgres_port, setting.config.display()));

    let fine = show::run(stage, &server, &setting).await?;
    if options.once || !fine {
        return Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    show::print_lines_to_try(stage, &server, &setting);
    setting.wait().await?;
    Ok(ExitCode::FAILURE)
}

/// A directory of this run, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("lockgate-demo-{}", std::process::id()));
        // Not `create_dir_all`: a directory that is already there belongs to somebody else.
        std::fs::create_dir(&path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}
