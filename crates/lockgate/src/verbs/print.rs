//! Verbs that only print: the private authority's certificate, schemas, shell completions.

use crate::cli::{Cli, Global, SchemaKind};
use crate::exit::{Code, Ended};
use crate::{output, place};
use clap::CommandFactory;
use clap_complete::Shell;

/// `lockgate ca`
pub fn authority(global: &Global) -> anyhow::Result<()> {
    let (loaded, _) = place::load_here(&place::config_path(global)?)?;
    if loaded.config.tls.is_some() {
        return Err(Ended::new(
            Code::Failed,
            "the gateway has a certificate of its own, so it makes no private authority",
        )
        .with_hint("its issuer is in the file that `tls.certificate` names")
        .into());
    }
    let pem = lockgate_relay::tls::private_ca(&loaded.config.data_dir).map_err(|error| {
        Ended::new(Code::Failed, error.to_string())
            .with_hint("the gateway makes its authority at its first start: lockgate serve")
    })?;
    output::print(&pem)
}

/// `lockgate schema`
pub fn schema(which: SchemaKind) -> anyhow::Result<()> {
    match which {
        SchemaKind::Config => {
            output::print(&format!("{}\n", serde_json::to_string_pretty(&lockgate_config::schema())?))
        }
        SchemaKind::Policies => output::print(lockgate_policy::SCHEMA),
    }
}

/// `lockgate completions`
pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lockgate", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
