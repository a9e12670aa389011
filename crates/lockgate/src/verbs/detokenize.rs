//! `lockgate detokenize`: the values behind tokens of masked data. Always through the API, because policy must know who asks.

use crate::cli::{DetokenizeArgs, Global};
use crate::client::Client;
use crate::output::Output;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Serialize)]
struct Request<'a> {
    label: &'a str,
    tokens: &'a [String],
}

#[derive(Deserialize)]
struct Answer {
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    values: Vec<Value>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Value {
    kind: String,
    value: String,
}

/// One reading of one token, as printed.
#[derive(Serialize)]
struct Line {
    token: String,
    kind: String,
    value: String,
}

/// Prints every value that a token may stand for. A token that cannot be read makes the verb fail, after the others.
pub async fn run(global: &Global, output: Output, args: DetokenizeArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(global)?;
    let mut lines = Vec::new();
    let mut unread = Vec::new();
    for tokens in args.tokens.chunks(lockgate_core::limits::DETOKENIZE_TOKENS_MAX) {
        let request = Request { label: &args.label, tokens };
        let answer: Answer = client.send_json(Method::POST, "/api/v1/detokenize", Some(&request)).await?;
        for Token { token, values, error } in answer.tokens {
            if let Some(error) = error {
                unread.push(format!("`{}`: {error}", lockgate_record::visible_line(&token)));
            }
            for Value { kind, value } in values {
                lines.push(Line { token: token.clone(), kind, value });
            }
        }
    }
    let row = |line: &Line| vec![line.token.clone(), line.kind.clone(), line.value.clone()];
    output.list(&lines, &["token", "kind", "value"], row, "no token could be read")?;
    for line in &unread {
        eprintln!("{line}");
    }
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
