//! `lockgate user`: local users, for small teams and trials without an identity provider. On the gateway's machine straight in
//! the store, elsewhere through the API.

use crate::ask;
use crate::cli::{Global, PasswordArgs, UserAddArgs, UserVerb};
use crate::client::{Client, escaped};
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place::{self, Place};
use crate::view::{UserView, names, short};
use crate::when;
use lockgate_config::Loaded;
use lockgate_core::{Secret, is_same_name};
use lockgate_identity::password;
use lockgate_store::{LOCAL, NewPerson, PeopleFilter, Person, PersonChange, Store, StoreError};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A user, and the password that was made up for them: shown this once.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    user: UserView,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// Where users are changed.
enum Users {
    Here(Store),
    There(Client),
}

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: UserVerb) -> anyhow::Result<()> {
    let place = Place::find(global)?;
    if let UserVerb::Forget { directory } = &verb {
        return forget(output, place, directory).await;
    }
    let users = match place {
        Place::Here(loaded) => Users::Here(Store::open(&loaded.config.data_dir).await?),
        Place::There(client) => Users::There(client),
    };
    let done = users.run(output, verb).await;
    if let Users::Here(store) = users {
        store.close().await;
    }
    done
}

/// Makes the first administrator of a new configuration; the password where it was made up.
pub async fn first(loaded: &Loaded, user: &str, group: &str, args: &PasswordArgs) -> anyhow::Result<Option<Secret>> {
    let (password, made_up) = match ask::can_ask() && !args.generate {
        true => match ask::new_password(&format!("password for `{user}` (empty: one is made up)"))? {
            Some(password) => (password, false),
            None => (password::generate()?, true),
        },
        false => (password::generate()?, true),
    };
    let args = UserAddArgs {
        user: user.to_owned(),
        groups: vec![group.to_owned()],
        display: None,
        password: PasswordArgs { generate: made_up },
        no_password: false,
    };
    let store = Store::open(&loaded.config.data_dir).await?;
    let added = add_here(&store, args, Some(&password)).await;
    store.close().await;
    added?;
    Ok(made_up.then_some(password))
}

impl Users {
    async fn run(&self, output: Output, verb: UserVerb) -> anyhow::Result<()> {
        match verb {
            UserVerb::Add(args) => {
                let password = match args.no_password {
                    true => None,
                    false => Some(chosen(&args.user, &args.password)?),
                };
                let made_up = password.as_ref().filter(|_| args.password.generate).cloned();
                let user = self.add(args, password.as_ref()).await?;
                let said = format!("made user {}", user.user);
                say(output, user, made_up, &said)
            }
            UserVerb::Passwd { user, password } => self.passwd(output, &user, &password).await,
            UserVerb::Group { user, add, remove } => {
                let changed = self.regroup(&user, &add, &remove).await?;
                if output.is_table() {
                    return output::print(&format!("{}\n", names(&changed.groups)));
                }
                output.data(&changed)
            }
            UserVerb::List => {
                let head = ["user", "name", "source", "groups", "state", "password"];
                output.list(&self.list().await?, &head, row, "there are no users")
            }
            UserVerb::Disable { user } => {
                let user = self.set_active(&user, false).await?;
                let said = format!("disabled user {}", user.user);
                say(output, user, None, &said)
            }
            UserVerb::Enable { user } => {
                let user = self.set_active(&user, true).await?;
                let said = format!("enabled user {}", user.user);
                say(output, user, None, &said)
            }
            // Done before: it is of a directory, and of no user.
            UserVerb::Forget { .. } => Ok(()),
        }
    }

    async fn add(&self, args: UserAddArgs, password: Option<&Secret>) -> anyhow::Result<UserView> {
        match self {
            Users::Here(store) => add_here(store, args, password).await,
            Users::There(client) => {
                let body = json!({
                    "user": args.user,
                    "display_name": args.display,
                    "groups": args.groups,
                    "password": password.map(Secret::expose),
                });
                client.send_json(Method::POST, "/api/v1/users", Some(&body)).await
            }
        }
    }

    async fn passwd(&self, output: Output, user: &str, args: &PasswordArgs) -> anyhow::Result<()> {
        let shown = self.show(user).await?;
        let password = match self {
            Users::Here(store) => {
                let password = chosen(&shown.user, args)?;
                let verifier = password::verifier(&shown.user, &password).map_err(unfit)?;
                if !store.set_password(&shown.user, &verifier, &place::whoever_runs(), when::now()).await? {
                    return Err(nobody(user));
                }
                password
            }
            Users::There(client) => {
                let me: Value = client.get("/api/v1/whoami", &[]).await?;
                let own = me.get("user").and_then(Value::as_str).is_some_and(|me| is_same_name(me, &shown.user));
                let current = own.then(|| ask::password("the password until now")).transpose()?;
                let password = chosen(&shown.user, args)?;
                let body = json!({"password": password.expose(), "current": current.as_ref().map(Secret::expose)});
                let path = format!("/api/v1/users/{}/password", escaped(&shown.user));
                let _: Value = client.send_json(Method::PUT, &path, Some(&body)).await?;
                password
            }
        };
        let said = format!("set the password of {}", shown.user);
        say(output, shown, args.generate.then_some(password), &said)
    }

    async fn regroup(&self, user: &str, add: &[String], remove: &[String]) -> anyhow::Result<UserView> {
        let shown = self.show(user).await?;
        if add.is_empty() && remove.is_empty() {
            return Ok(shown);
        }
        let gone: Vec<String> = remove.iter().map(|name| name.to_lowercase()).collect();
        let kept = shown.groups.iter().filter(|name| !gone.contains(&name.to_lowercase()));
        let groups: BTreeSet<String> = kept.chain(add).cloned().collect();
        match self {
            Users::Here(store) => {
                let by = place::whoever_runs();
                let set = store.set_groups(LOCAL, &shown.id, &groups, &by, when::now()).await.map_err(refused)?;
                Ok(UserView { groups: set.ok_or_else(|| nobody(user))?, ..shown })
            }
            Users::There(client) => {
                let path = format!("/api/v1/users/{}/groups", escaped(&shown.user));
                client.send_json(Method::PUT, &path, Some(&json!({ "groups": groups }))).await
            }
        }
    }

    async fn set_active(&self, user: &str, active: bool) -> anyhow::Result<UserView> {
        let shown = self.show(user).await?;
        match self {
            Users::Here(store) => {
                let change = PersonChange { active: Some(active), ..PersonChange::default() };
                let by = place::whoever_runs();
                let changed = store.change_person(LOCAL, &shown.id, change, &by, when::now()).await?;
                Ok(UserView { active: changed.ok_or_else(|| nobody(user))?.active, ..shown })
            }
            Users::There(client) => {
                let word = if active { "enable" } else { "disable" };
                let path = format!("/api/v1/users/{}/{word}", escaped(&shown.user));
                client.send_json(Method::POST, &path, None::<&()>).await
            }
        }
    }

    async fn show(&self, user: &str) -> anyhow::Result<UserView> {
        match self {
            Users::Here(store) => {
                let person = store.person_named(LOCAL, user).await?.ok_or_else(|| nobody(user))?;
                view(store, person).await
            }
            Users::There(client) => client.get(&format!("/api/v1/users/{}", escaped(user)), &[]).await,
        }
    }

    async fn list(&self) -> anyhow::Result<Vec<UserView>> {
        let mut users = match self {
            Users::Here(store) => {
                let mut filter = PeopleFilter::default();
                let mut users = Vec::new();
                loop {
                    let page = store.list_people(&filter).await?;
                    let Some(last) = page.last() else { break };
                    filter.after = Some(last.id.clone());
                    let mut groups = store.groups_of_people(&page).await?;
                    users.extend(page.into_iter().map(|person| {
                        let groups = groups.remove(&person.id).unwrap_or_default();
                        UserView::of(person, groups)
                    }));
                }
                users
            }
            Users::There(client) => client.list("/api/v1/users", "users", &[], "after", usize::MAX).await?,
        };
        users.sort_by(|a, b| (&a.user, &a.source).cmp(&(&b.user, &b.source)));
        Ok(users)
    }
}

/// Forgets a directory that is configured no more. One that is would push its people again, and who it has disabled would be let in
/// until then.
async fn forget(output: Output, place: Place, directory: &str) -> anyhow::Result<()> {
    let Place::Here(loaded) = place else {
        let why = "a directory is forgotten on the gateway's machine: `-c` with its configuration";
        return Err(Ended::new(Code::Usage, why).into());
    };
    if loaded.config.scim.iter().any(|known| known.name == directory) {
        let why = format!("`{directory}` is under `identity.scim` in the configuration");
        return Err(Ended::new(Code::Usage, why).with_hint("take it out first").into());
    }
    let store = Store::open(&loaded.config.data_dir).await?;
    let forgotten = store.forget_directory(directory, &place::whoever_runs(), when::now()).await;
    store.close().await;
    let Some(known) = forgotten? else {
        return Err(Ended::new(Code::Failed, format!("nobody is known of a directory `{directory}`")).into());
    };
    if output.is_table() {
        let (people, refused) = (known.people, known.refused);
        return output::words(&format!(
            "forgot {people} people of {directory}; what {refused} had who were disabled or removed is revoked"
        ));
    }
    output.data(&json!({"directory": known.directory, "people": known.people, "refused": known.refused}))
}

fn row(user: &UserView) -> Vec<String> {
    vec![
        user.user.clone(),
        user.display_name.clone().unwrap_or_default(),
        user.source.clone(),
        names(&user.groups),
        if user.active { "active".to_owned() } else { "disabled".to_owned() },
        user.password_set.as_deref().map_or_else(|| "none".to_owned(), short),
    ]
}

/// The password that a user is to have.
fn chosen(user: &str, args: &PasswordArgs) -> anyhow::Result<Secret> {
    if args.generate {
        return Ok(password::generate()?);
    }
    ask::new_password(&format!("new password for `{user}`"))?.ok_or_else(|| {
        Ended::new(Code::Usage, "the password is empty").with_hint("--generate makes one up and prints it").into()
    })
}

async fn add_here(store: &Store, args: UserAddArgs, password: Option<&Secret>) -> anyhow::Result<UserView> {
    let verifier = password.map(|password| password::verifier(&args.user, password)).transpose().map_err(unfit)?;
    let new = NewPerson {
        source: LOCAL.to_owned(),
        user: args.user,
        display: args.display,
        external_id: None,
        active: true,
        groups: args.groups,
        verifier,
    };
    let person = store.create_person(new, &place::whoever_runs(), when::now()).await.map_err(refused)?;
    view(store, person).await
}

async fn view(store: &Store, person: Person) -> anyhow::Result<UserView> {
    let groups = store.groups_of_people(std::slice::from_ref(&person)).await?.remove(&person.id);
    Ok(UserView::of(person, groups.unwrap_or_default()))
}

/// Says what was done; a password that was made up is data.
fn say(output: Output, user: UserView, made_up: Option<Secret>, said: &str) -> anyhow::Result<()> {
    if !output.is_table() {
        return output.data(&Made { user, password: made_up.map(|password| password.expose().to_owned()) });
    }
    match made_up {
        None => output::words(said),
        Some(password) => {
            output::words(&format!("{said}; the password is shown this once"))?;
            output::print(&format!("{}\n", password.expose()))
        }
    }
}

fn nobody(user: &str) -> anyhow::Error {
    Ended::new(Code::Failed, format!("there is no local user `{user}`"))
        .with_hint("lockgate user list shows who there is")
        .into()
}

fn unfit(error: password::PasswordError) -> anyhow::Error {
    match error {
        password::PasswordError::Unfit(rule) => Ended::new(Code::Usage, rule).into(),
        other => other.into(),
    }
}

fn refused(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Refused(why) | StoreError::Taken(why) => Ended::new(Code::Usage, why).into(),
        other => other.into(),
    }
}
