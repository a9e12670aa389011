//! Passwords from whoever is at the command line: typed without an echo, or the first line of the input. Never an argument,
//! which every process of the machine can read.

use crate::exit::{Code, Ended};
use anyhow::Context;
use lockgate_core::{Secret, limits};
use std::io::{self, BufRead, IsTerminal, Read};
use zeroize::Zeroizing;

/// Whether there is anybody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a new password, twice; without a terminal it is the first line of the input. `None` for an empty one.
pub fn new_password(prompt: &str) -> anyhow::Result<Option<Secret>> {
    let first = password(prompt)?;
    if first.expose().is_empty() {
        return Ok(None);
    }
    if can_ask() && typed(&format!("{prompt}, again"))?.expose() != first.expose() {
        return Err(Ended::new(Code::Usage, "the two passwords differ").into());
    }
    Ok(Some(first))
}

/// Asks for a password that exists; without a terminal it is the next line of the input.
pub fn password(prompt: &str) -> anyhow::Result<Secret> {
    if can_ask() {
        return typed(prompt);
    }
    let most = u64::try_from(limits::PASSWORD_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().take(most).read_line(&mut line).context("the password cannot be read from the input")?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn typed(prompt: &str) -> anyhow::Result<Secret> {
    Ok(Secret::new(rpassword::prompt_password(format!("{prompt}: ")).context("the password cannot be read")?))
}
