//! `lockgate token`: on the gateway's machine straight in the store, elsewhere through the API.

use crate::cli::{Global, TokenCreateArgs, TokenVerb};
use crate::client::{Client, escaped};
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place::{self, Place};
use crate::view::{PartyView, TokenView, names, short};
use crate::when;
use lockgate_config::Loaded;
use lockgate_core::TargetName;
use lockgate_store::{NewToken, Store, StoreError, TokenFilter, TokenInfo};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;

/// What `token create` prints: the token is shown this once.
#[derive(Serialize, Deserialize)]
struct Created {
    token: String,
    id: String,
    expires: String,
}

/// The tokens that counted until now.
#[derive(Serialize, Deserialize)]
struct Revoked {
    revoked: Vec<String>,
}

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: TokenVerb) -> anyhow::Result<()> {
    let place = Place::find(global)?;
    match verb {
        TokenVerb::Create(args) => {
            let created = match place {
                Place::Here(loaded) => create_here(&loaded, args).await?,
                Place::There(client) => create_there(&client, &args).await?,
            };
            if output.is_table() {
                output::words(&format!(
                    "token {} expires {}; it is shown this once",
                    created.id,
                    short(&created.expires)
                ))?;
                return output::print(&format!("{}\n", created.token));
            }
            output.data(&created)
        }
        TokenVerb::List { user } => {
            let tokens = match place {
                Place::Here(loaded) => list_here(&loaded, user).await?,
                Place::There(client) => list_there(&client, user).await?,
            };
            let head = ["id", "user", "groups", "targets", "actions", "state", "expires", "last used"];
            output.list(&tokens, &head, row, "there are no tokens")
        }
        TokenVerb::Revoke { id: None, user } => {
            let user = user.unwrap_or_default();
            let revoked = match place {
                Place::Here(loaded) => revoke_all_here(&loaded, &user).await?,
                Place::There(client) => revoke_all_there(&client, &user).await?,
            };
            if output.is_table() {
                return output::words(&format!(
                    "revoked {} tokens of {user} and who acts for {user}, and what identity providers signed for {user} until now",
                    revoked.revoked.len()
                ));
            }
            output.data(&revoked)
        }
        TokenVerb::Revoke { id: Some(id), .. } => {
            let revoked = match place {
                Place::Here(loaded) => revoke_here(&loaded, &id).await?,
                Place::There(client) => revoke_there(&client, &id).await?,
            };
            if output.is_table() {
                return output::words(&format!("revoked token {} of {}", revoked.id, revoked.identity.user));
            }
            output.data(&revoked)
        }
    }
}

fn row(token: &TokenView) -> Vec<String> {
    vec![
        token.id.clone(),
        token.identity.chain(),
        names(&token.identity.groups),
        token.targets.as_ref().map_or_else(|| "all".to_owned(), names),
        token.actions.as_ref().map_or_else(|| "all".to_owned(), names),
        token.state.clone(),
        short(&token.expires),
        token.last_used.as_deref().map_or_else(|| "never".to_owned(), short),
    ]
}

async fn create_here(loaded: &Loaded, args: TokenCreateArgs) -> anyhow::Result<Created> {
    let now = when::now();
    let ttl_ms = i64::try_from(args.ttl.as_millis()).unwrap_or(i64::MAX);
    let targets =
        args.targets.iter().map(|name| known_target(loaded, name)).collect::<Result<BTreeSet<TargetName>, Ended>>()?;
    let new = NewToken {
        user: args.user,
        groups: args.groups.into_iter().collect(),
        kind: args.kind,
        on_behalf_of: args.chain.principals(),
        targets: (!targets.is_empty()).then_some(targets),
        actions: (!args.actions.is_empty()).then(|| args.actions.into_iter().collect()),
        expires: now.plus_millis(ttl_ms),
    };
    let store = Store::open(&loaded.config.data_dir).await?;
    let made = store.create_token(new, &place::whoever_runs(), now).await;
    store.close().await;
    let (token, info) = made.map_err(refused)?;
    Ok(Created { token: token.expose().to_owned(), id: info.id, expires: info.expires.to_string() })
}

/// A token for a target that does not exist would open nothing, and is a typing mistake.
fn known_target(loaded: &Loaded, name: &str) -> Result<TargetName, Ended> {
    let known = loaded.config.targets.iter().map(|target| target.name.as_str());
    if loaded.config.target(name).is_none() {
        let ended = Ended::new(Code::Usage, format!("no target is called `{name}`"));
        return Err(match lockgate_policy::nearest(name, known) {
            Some(meant) => ended.with_hint(format!("did you mean `{meant}`?")),
            None => ended,
        });
    }
    name.parse().map_err(|error| Ended::new(Code::Usage, format!("{error}")))
}

async fn create_there(client: &Client, args: &TokenCreateArgs) -> anyhow::Result<Created> {
    let parties: Vec<PartyView> = args.chain.clone().principals().iter().map(PartyView::from).collect();
    let actions: BTreeSet<&str> = args.actions.iter().map(|action| action.name()).collect();
    let body = json!({
        "user": args.user,
        "groups": args.groups,
        "kind": args.kind.name(),
        "on_behalf_of": parties,
        "targets": if args.targets.is_empty() { None } else { Some(&args.targets) },
        "actions": if actions.is_empty() { None } else { Some(actions) },
        "ttl_seconds": args.ttl.as_secs(),
    });
    client.send_json(Method::POST, "/api/v1/tokens", Some(&body)).await
}

async fn list_here(loaded: &Loaded, user: Option<String>) -> anyhow::Result<Vec<TokenView>> {
    if !Store::exists(&loaded.config.data_dir) {
        return Ok(Vec::new());
    }
    let store = Store::open(&loaded.config.data_dir).await?;
    let listed = every_token(&store, user).await;
    store.close().await;
    let now = when::now();
    Ok(listed?.iter().map(|info| TokenView::of(info, now)).collect())
}

/// The store lists page by page.
async fn every_token(store: &Store, user: Option<String>) -> Result<Vec<TokenInfo>, StoreError> {
    let mut filter = TokenFilter { user, ..TokenFilter::default() };
    let mut tokens = Vec::new();
    loop {
        let page = store.list_tokens(&filter).await?;
        match page.last() {
            Some(last) => filter.after = Some(last.id.clone()),
            None => return Ok(tokens),
        }
        tokens.extend(page);
    }
}

async fn list_there(client: &Client, user: Option<String>) -> anyhow::Result<Vec<TokenView>> {
    let query: Vec<(&str, String)> = user.into_iter().map(|user| ("user", user)).collect();
    client.list("/api/v1/tokens", "tokens", &query, "after", usize::MAX).await
}

async fn revoke_here(loaded: &Loaded, id: &str) -> anyhow::Result<TokenView> {
    let now = when::now();
    let revoked = if Store::exists(&loaded.config.data_dir) {
        let store = Store::open(&loaded.config.data_dir).await?;
        let revoked = store.revoke_token(id, &place::whoever_runs(), now).await;
        store.close().await;
        revoked?
    } else {
        None
    };
    match revoked {
        Some(info) => Ok(TokenView::of(&info, now)),
        None => Err(Ended::new(Code::Failed, format!("there is no token `{id}`"))
            .with_hint("lockgate token list shows the ids")
            .into()),
    }
}

async fn revoke_there(client: &Client, id: &str) -> anyhow::Result<TokenView> {
    client.send_json(Method::DELETE, &format!("/api/v1/tokens/{}", escaped(id)), None::<&()>).await
}

async fn revoke_all_here(loaded: &Loaded, user: &str) -> anyhow::Result<Revoked> {
    if !Store::exists(&loaded.config.data_dir) {
        return Ok(Revoked { revoked: Vec::new() });
    }
    let store = Store::open(&loaded.config.data_dir).await?;
    let revoked = store.revoke_tokens_of(user, &place::whoever_runs(), when::now()).await;
    store.close().await;
    Ok(Revoked { revoked: revoked? })
}

async fn revoke_all_there(client: &Client, user: &str) -> anyhow::Result<Revoked> {
    client.send_json(Method::DELETE, &format!("/api/v1/tokens?user={}", escaped(user)), None::<&()>).await
}

fn refused(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Refused(why) | StoreError::Taken(why) => Ended::new(Code::Usage, why).into(),
        other => other.into(),
    }
}
