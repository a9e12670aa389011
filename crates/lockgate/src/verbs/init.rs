//! `lockgate init`: a configuration and policies to start from, and a first administrator, who is a local user. It writes new
//! files only; what is there stays as it is.

use crate::cli::InitArgs;
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place;
use crate::verbs::user;
use anyhow::Context;
use lockgate_core::is_name;
use serde::Serialize;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const CONFIG: &str = include_str!("../../templates/lockgate.yaml");
const POLICIES: &str = include_str!("../../templates/orders.cedar");
const CASES: &str = include_str!("../../templates/cases.yaml");

/// The group whose members administer, as the configuration that is written says.
const ADMINS: &str = "platform";

/// The first administrator; the password where it was made up.
#[derive(Serialize)]
struct First {
    admin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// Writes the files next to each other, makes the administrator, and says what to do next.
pub async fn run(config: Option<&Path>, output: Output, args: &InitArgs) -> anyhow::Result<()> {
    if !is_name(&args.admin) {
        return Err(Ended::new(Code::Usage, format!("`{}` cannot be a name", args.admin.escape_debug())).into());
    }
    let config = config.map_or_else(|| PathBuf::from("lockgate.yaml"), Path::to_owned);
    write_files(&config)?;
    // A file that is found without being named need not be named.
    let flag = if config == Path::new("lockgate.yaml") { String::new() } else { format!(" -c {}", config.display()) };
    let (loaded, _) = place::load_here(&config)?;
    let password = user::first(&loaded, &args.admin, ADMINS, &args.password).await.with_context(|| {
        let again = format!("lockgate user add{flag} {} --group {ADMINS}", args.admin);
        format!("the files are written, but `{}` could not be made an administrator; try again: {again}", args.admin)
    })?;
    output::words(&format!(
        "made the administrator {}{}\n\
         next:\n  \
         1. put your database's address and user into {} and its password into ORDERS_PASSWORD\n  \
         2. lockgate policy check{flag}\n  \
         3. lockgate token create{flag} --user alice --group engineers\n  \
         4. lockgate serve{flag}",
        args.admin,
        if password.is_some() { "; the password below is shown this once" } else { "" },
        config.display()
    ))?;
    let password = password.map(|password| password.expose().to_owned());
    match (output.is_table(), password) {
        (true, None) => Ok(()),
        (true, Some(password)) => output::print(&format!("{password}\n")),
        (false, password) => output.data(&First { admin: args.admin.clone(), password }),
    }
}

fn write_files(config: &Path) -> anyhow::Result<()> {
    let folder = match config.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let files = [
        (config.to_owned(), CONFIG),
        (folder.join("policies/orders.cedar"), POLICIES),
        (folder.join("policies/cases.yaml"), CASES),
    ];
    if let Some((there, _)) = files.iter().find(|(path, _)| fs::symlink_metadata(path).is_ok()) {
        return Err(exists(there).into());
    }
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).with_context(|| format!("cannot make `{}`", policies.display()))?;
    for (path, text) in &files {
        write_new(path, text)?;
        output::words(&format!("wrote {}", place::shown(path)))?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    // Another process may have made it since it was looked for: `create_new` never overwrites.
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(path).into()),
        Err(error) => Err(error).with_context(|| format!("cannot write `{}`", path.display())),
    }
}

fn exists(path: &Path) -> Ended {
    Ended::new(Code::Failed, format!("`{}` is there already, and init overwrites nothing", path.display()))
        .with_hint("move it away, or name another place: lockgate init -c DIR/lockgate.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_once_and_never_over() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("gw.yaml");
        write_files(&config).unwrap();
        fs::write(&config, "mine").unwrap();
        let error = write_files(&config).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(&config).unwrap(), "mine");
    }

    #[test]
    fn half_an_old_setup_stops_it_before_it_writes_anything() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("policies")).unwrap();
        fs::write(dir.path().join("policies/orders.cedar"), "mine").unwrap();
        let config = dir.path().join("lockgate.yaml");
        assert!(write_files(&config).is_err());
        assert!(!config.exists());
    }

    #[test]
    fn the_first_administrator_is_one_by_the_configuration() {
        assert!(CONFIG.contains(&format!("admins: [group:{ADMINS}]")));
    }
}
