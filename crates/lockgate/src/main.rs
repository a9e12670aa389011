//! Lockgate: a Layer 7 gateway between identities and the systems they work with.
//!
//! This crate is the composition: it reads the command line, puts the parts together and tells a person what happened.
//! What the parts do is in the crates below it.

mod ask;
mod catalog;
mod cli;
mod client;
mod credentials;
mod demo;
mod exit;
mod gateway;
mod guesses;
mod log_lines;
mod output;
mod place;
mod protocols;
mod refusals;
mod serve;
mod throttle;
mod uses;
mod verbs;
mod view;
mod when;

use clap::Parser;
use cli::{Cli, Verb};
use output::Output;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    say_on_stderr(matches!(cli.verb, Verb::Serve));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(Err(error.into())),
    };
    let outcome = runtime.block_on(run(cli));
    runtime.shutdown_background();
    exit::report(outcome)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, verb } = cli;
    let output = Output::new(global.output);
    match verb {
        Verb::Serve => return serve::run(&global).await,
        Verb::Demo(args) => return demo::run(args.into()).await,
        Verb::Connect(args) => return verbs::connect::run(&global, args).await,
        Verb::Init(args) => verbs::init::run(global.config.as_deref(), output, &args).await?,
        Verb::Login(args) => verbs::login::login(&global, output, args).await?,
        Verb::Logout(args) => verbs::login::logout(&global, output, args).await?,
        Verb::Whoami => verbs::account::whoami(&global, output).await?,
        Verb::Targets => verbs::account::targets(&global, output).await?,
        Verb::Approvals(verb) => verbs::approvals::run(&global, output, verb).await?,
        Verb::Sessions(verb) => verbs::sessions::run(&global, output, verb).await?,
        Verb::Audit(verb) => verbs::audit::run(&global, output, verb).await?,
        Verb::Policy(verb) => verbs::policy::run(&global, output, verb).await?,
        Verb::Explain(args) => verbs::explain::run(&global, output, args).await?,
        Verb::Detokenize(args) => return verbs::detokenize::run(&global, output, args).await,
        Verb::Token(verb) => verbs::token::run(&global, output, verb).await?,
        Verb::Logins(verb) => verbs::logins::run(&global, output, verb).await?,
        Verb::User(verb) => verbs::user::run(&global, output, verb).await?,
        Verb::Ca => verbs::print::authority(&global)?,
        Verb::Schema(args) => verbs::print::schema(args.which)?,
        Verb::Completions { shell } => verbs::print::completions(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Words go to standard error: all of them from the gateway, warnings only from the other verbs.
fn say_on_stderr(serving: bool) {
    // The verbs say themselves what went wrong with a certificate.
    let usual = if serving { "info" } else { "warn,rustls_platform_verifier=off" };
    let filter = EnvFilter::try_from_env("LOCKGATE_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log_lines::Margin)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
