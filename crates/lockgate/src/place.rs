//! Where a verb works: on the gateway's own files, or at a running gateway. And the environment that says so.
//!
//! Settings of the gateway are `lockgate-config`'s; what is read here belongs to the person at the command line.

use crate::cli::Global;
use crate::client::Client;
use crate::credentials;
use crate::exit::{Code, Ended};
use anyhow::Context;
use lockgate_config::{Config, Loaded, Report};
use lockgate_core::Secret;
use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the configuration is looked for when none is named.
const USUAL: [&str; 2] = ["./lockgate.yaml", "/etc/lockgate/lockgate.yaml"];

/// Where a verb works.
pub enum Place {
    /// On the gateway's own files.
    Here(Box<Loaded>),
    /// At a gateway.
    There(Client),
}

impl Place {
    /// The files that `-c` names; else the gateway at LOCKGATE_URL; else the usual files; else the gateway of the newest login.
    pub fn find(global: &Global) -> anyhow::Result<Self> {
        if global.config.is_none() && global.url.is_some() {
            return Ok(Place::There(Client::new(global)?));
        }
        match usual(global) {
            Some(path) => Ok(Place::Here(Box::new(load_here(&path)?.0))),
            None if credentials::current().is_some() => Ok(Place::There(Client::new(global)?)),
            None => Err(nowhere().into()),
        }
    }
}

fn nowhere() -> Ended {
    Ended::new(Code::Usage, "neither a configuration nor a gateway is named")
        .with_hint("on the gateway's machine use -c FILE; elsewhere export LOCKGATE_URL=https://gateway:6443")
}

/// The gateway to ask: the one named, else that of the newest login, else that of the configuration on its own machine.
pub fn gateway_url(global: &Global) -> Option<String> {
    let here = || {
        let (loaded, _) = load_here(&usual(global)?).ok()?;
        Some(crate::gateway::public_url(&loaded.config))
    };
    match &global.config {
        Some(_) => global.url.clone().or_else(here),
        None => global.url.clone().or_else(credentials::current).or_else(here),
    }
}

/// The configuration's path: the one named, or the first that exists of the usual ones.
pub fn usual(global: &Global) -> Option<PathBuf> {
    global.config.clone().or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// The same for verbs that cannot do without.
pub fn config_path(global: &Global) -> anyhow::Result<PathBuf> {
    usual(global).ok_or_else(|| {
        Ended::new(Code::Usage, format!("no configuration at {}", USUAL.join(" or ")))
            .with_hint("name it with -c FILE, or write one: lockgate init")
            .into()
    })
}

/// Reads the configuration with every secret filled in, as the gateway needs it.
///
/// # Errors
/// Every mistake, with its place.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    Config::load(Some(path), &variable)
}

/// Reads the configuration for a verb that dials nobody: a variable that is not set here reads as a word in its place.
/// Also gives the names of those.
pub fn load_here(path: &Path) -> anyhow::Result<(Loaded, Vec<String>)> {
    let missing = RefCell::new(Vec::new());
    let lenient = |name: &str| {
        variable(name).or_else(|| {
            missing.borrow_mut().push(name.to_owned());
            Some("unset".to_owned())
        })
    };
    let loaded = Config::load(Some(path), &lenient).map_err(mistakes)?;
    let mut missing = missing.into_inner();
    missing.sort();
    missing.dedup();
    Ok((loaded, missing))
}

/// A path without the `./` that only says where it was looked for.
pub fn shown(path: &Path) -> String {
    let whole: PathBuf = path.components().collect();
    let text = whole.display().to_string();
    text.strip_prefix("./").unwrap_or(&text).to_owned()
}

/// A configuration's mistakes as the end of a command.
pub fn mistakes(report: Report) -> anyhow::Error {
    let count = report.problems.len();
    let text = match count {
        1 => format!("the configuration has a mistake\n{report}"),
        _ => format!("the configuration has {count} mistakes\n{report}"),
    };
    Ended::new(Code::Failed, text).into()
}

/// The token of whoever runs a verb.
pub fn token() -> Option<Secret> {
    variable("LOCKGATE_TOKEN").map(|token| Secret::new(token.trim().to_owned())).filter(|t| !t.expose().is_empty())
}

/// Who changes the gateway's own files, for the record: whoever may is one of the machine's accounts.
pub fn whoever_runs() -> String {
    match std::fs::metadata("/proc/self") {
        Ok(process) => format!("uid {} on the gateway's machine", process.uid()),
        Err(_) => "somebody on the gateway's machine".to_owned(),
    }
}

/// The authority that vouches for the gateway, in PEM; `None` for the system's authorities.
pub fn authority(global: &Global) -> anyhow::Result<Option<String>> {
    let Some(path) = authority_file(global) else { return Ok(None) };
    let pem = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Some(pem))
}

/// The file that it is in; `None` for the system's authorities.
pub fn authority_file(global: &Global) -> Option<PathBuf> {
    if let Some(path) = &global.ca {
        return Some(path.clone());
    }
    // On the gateway's machine its own private authority is as good as a file that was copied from there.
    let (loaded, _) = load_here(&usual(global)?).ok()?;
    match loaded.config.tls {
        Some(_) => None,
        None => Some(lockgate_relay::tls::private_ca_file(&loaded.config.data_dir)).filter(|path| is_readable(path)),
    }
}

fn is_readable(path: &Path) -> bool {
    std::fs::File::open(path).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "the environment of the command line, and what fills in `${env:NAME}`")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
