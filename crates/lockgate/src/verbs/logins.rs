//! `lockgate logins`: who logged in with which provider, and the end of that. On the gateway's machine straight in the store,
//! elsewhere through the API.

use crate::cli::{Global, LoginsVerb};
use crate::client::{Client, escaped};
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place::{self, Place};
use crate::view::{LoginView, names, short};
use crate::when;
use lockgate_config::Loaded;
use lockgate_store::{LoginFilter, LoginInfo, Store, StoreError};
use reqwest::Method;

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: LoginsVerb) -> anyhow::Result<()> {
    let place = Place::find(global)?;
    match verb {
        LoginsVerb::List { user, provider, all } => {
            let filter = LoginFilter { user, provider, ..LoginFilter::default() };
            let logins = match place {
                Place::Here(loaded) => list_here(&loaded, filter, all).await?,
                Place::There(client) => list_there(&client, filter, all).await?,
            };
            let head = ["id", "user", "groups", "provider", "from", "state", "since", "expires"];
            output.list(&logins, &head, row, "nobody is logged in")
        }
        LoginsVerb::End { id } => {
            let ended = match place {
                Place::Here(loaded) => end_here(&loaded, &id).await?,
                Place::There(client) => {
                    client.send_json(Method::DELETE, &format!("/api/v1/logins/{}", escaped(&id)), None::<&()>).await?
                }
            };
            if output.is_table() {
                return output::words(&format!("ended login {} of {}", ended.id, ended.identity.user));
            }
            output.data(&ended)
        }
    }
}

fn row(login: &LoginView) -> Vec<String> {
    vec![
        login.id.clone(),
        login.identity.chain(),
        names(&login.identity.groups),
        login.provider.clone(),
        login.source.clone(),
        login.state.clone(),
        short(&login.created),
        short(&login.expires),
    ]
}

async fn list_here(loaded: &Loaded, filter: LoginFilter, all: bool) -> anyhow::Result<Vec<LoginView>> {
    if !Store::exists(&loaded.config.data_dir) {
        return Ok(Vec::new());
    }
    let now = when::now();
    let store = Store::open(&loaded.config.data_dir).await?;
    let listed = every_login(&store, LoginFilter { live_at: (!all).then_some(now), ..filter }).await;
    store.close().await;
    Ok(listed?.iter().map(|login| LoginView::of(login, now)).collect())
}

/// The store lists page by page.
async fn every_login(store: &Store, mut filter: LoginFilter) -> Result<Vec<LoginInfo>, StoreError> {
    let mut logins = Vec::new();
    loop {
        let page = store.logins(&filter).await?;
        match page.last() {
            Some(last) => filter.after = Some(last.id.clone()),
            None => return Ok(logins),
        }
        logins.extend(page);
    }
}

async fn list_there(client: &Client, filter: LoginFilter, all: bool) -> anyhow::Result<Vec<LoginView>> {
    let live = (!all).then(|| "true".to_owned());
    let query: Vec<(&str, String)> = [("user", filter.user), ("provider", filter.provider), ("live", live)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    client.list("/api/v1/logins", "logins", &query, "after", usize::MAX).await
}

async fn end_here(loaded: &Loaded, id: &str) -> anyhow::Result<LoginView> {
    let now = when::now();
    let by = place::whoever_runs();
    let ended = if Store::exists(&loaded.config.data_dir) {
        let store = Store::open(&loaded.config.data_dir).await?;
        let ended = store.end_login(id, &by, &format!("ended by {by}"), now).await;
        store.close().await;
        ended?
    } else {
        None
    };
    match ended {
        Some(login) => Ok(LoginView::of(&login, now)),
        None => Err(Ended::new(Code::Failed, format!("there is no login `{id}`"))
            .with_hint("lockgate logins list shows the ids")
            .into()),
    }
}
