//! The people that the gateway itself knows: local users, and those that a company's directory pushes (SCIM).
//!
//! A *source* is one such directory: `local`, or `scim:NAME`. Names are compared as [`name_key`] does, so that `Alice`, whom
//! the directory disabled, is not somebody else than `alice`. Nobody vanishes without a trace: who is removed or renamed stays
//! behind as a name that is refused until somebody of that name is created again, who gets nothing of what the one before had:
//! with the last source that has the name its tokens and logins go. What this says of somebody who asks is in
//! [`Account`]; it is no proof of identity, and what groups are worth is for the gateway and policy to say.

mod account;
mod forgotten;
mod groups;
mod lease;
mod suspended;

pub use account::{Account, Record};
pub use forgotten::DirectoryPeople;
pub use groups::{Group, GroupChange, GroupFilter, NewGroup};
pub(crate) use lease::PeopleWatch;
pub use lease::PersonLease;
pub use suspended::Suspension;

use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::keys::random_id;
use crate::logins;
use crate::store::Store;
use crate::tokens::{self, page};
use lockgate_core::{Secret, Timestamp, is_name, limits, name_key};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::collections::{BTreeSet, HashMap};

/// The source of the users that are made here.
pub const LOCAL: &str = "local";

/// Somebody as a source describes them. No password, nor what proves one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The gateway's own name for them, which does not change.
    pub id: String,
    /// `local` or `scim:NAME`.
    pub source: String,
    /// The user name.
    pub user: String,
    /// A name to show to people.
    pub display: Option<String>,
    /// The source's own name for them.
    pub external_id: Option<String>,
    /// Whether they may do anything at all.
    pub active: bool,
    /// When their password was set, where they have one.
    pub password_set: Option<Timestamp>,
    /// When they were made known.
    pub created: Timestamp,
    /// When anything about them last changed, groups apart.
    pub updated: Timestamp,
}

/// Somebody who is made known.
#[derive(Clone, Default)]
pub struct NewPerson {
    /// `local` or `scim:NAME`.
    pub source: String,
    /// The user name.
    pub user: String,
    /// A name to show to people.
    pub display: Option<String>,
    /// The source's own name for them.
    pub external_id: Option<String>,
    /// Whether they may do anything at all.
    pub active: bool,
    /// Names of groups of the same source, which are made where they are missing.
    pub groups: Vec<String>,
    /// What proves their password ([`Store::set_password`]).
    pub verifier: Option<Secret>,
}

/// What changes about somebody; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonChange {
    /// Another user name. Nobody is left with the old one.
    pub user: Option<String>,
    /// Another name to show, or none.
    pub display: Option<Option<String>>,
    /// Another name at the source, or none.
    pub external_id: Option<Option<String>>,
    /// Whether they may do anything at all.
    pub active: Option<bool>,
}

/// Which people to list.
#[derive(Clone, Debug, Default)]
pub struct PeopleFilter {
    /// Only those of this source.
    pub source: Option<String>,
    /// Only who has this user name, in whatever case.
    pub user: Option<String>,
    /// Only who has this name at the source.
    pub external_id: Option<String>,
    /// Only the members of the group with this id.
    pub group: Option<String>,
    /// Only those with an id after this one, for the next page.
    pub after: Option<String>,
    /// How many to pass over.
    pub skip: usize,
    /// At most so many ([`limits::LIST_PAGE_MAX`] at most; 0 means that).
    pub limit: usize,
}

/// The user names whose account changed since an earlier look, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeopleChanges {
    /// What to ask with next time.
    pub generation: i64,
    /// The names in lower case.
    pub users: Vec<String>,
}

impl Store {
    /// Makes somebody known.
    ///
    /// # Errors
    /// [`StoreError::Taken`] where the source has somebody of that name, [`StoreError::Refused`] when it breaks a rule.
    pub async fn create_person(&self, new: NewPerson, by: &str, now: Timestamp) -> Result<Person, StoreError> {
        check_source(&new.source)?;
        check_name(&new.user)?;
        check_texts(new.display.as_deref(), new.external_id.as_deref())?;
        new.groups.iter().try_for_each(|group| check_name(group))?;
        let mut tx = self.change("add a user").await?;
        let known: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM people").fetch_one(&mut *tx).await.map_err(writing())?;
        if usize::try_from(known).is_ok_and(|n| n >= limits::PEOPLE_MAX) {
            return Err(StoreError::Refused(format!("{known} people are known, the most there can be")));
        }
        let id = random_id()?;
        make_room(&mut tx, &new.source, &new.user, &id).await?;
        sqlx::query(
            "INSERT INTO people (id, source, user_name, user_key, display_name, external_id, active, verifier,
                                 password_set, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        )
        .bind(&id)
        .bind(&new.source)
        .bind(&new.user)
        .bind(key(&new.user))
        .bind(&new.display)
        .bind(&new.external_id)
        .bind(i64::from(new.active))
        .bind(new.verifier.as_ref().map(Secret::expose))
        .bind(new.verifier.as_ref().map(|_| now.millis()))
        .bind(now.millis())
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
        groups::put_in(&mut tx, &new.source, &id, &new.groups, now).await?;
        note_change(&mut tx, &[key(&new.user)]).await?;
        let mut detail = format!("in `{}`", new.source);
        if !new.groups.is_empty() {
            detail.push_str(&format!(", groups {}", new.groups.join(", ")));
        }
        if !new.active {
            detail.push_str(", disabled");
        }
        acts::write(&mut tx, Doing { by, what: "user.created", subject: &new.user, detail }, now).await?;
        let person = one(&mut tx, &new.source, &id).await?.ok_or_else(|| StoreError::Row(format!("user `{id}`")))?;
        tx.commit().await?;
        self.hear_of_people().await;
        Ok(person)
    }

    /// Changes somebody. `None` when the source has nobody with this id.
    ///
    /// # Errors
    /// As for [`Store::create_person`]; nothing has changed then.
    pub async fn change_person(
        &self,
        source: &str,
        id: &str,
        change: PersonChange,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Person>, StoreError> {
        change.user.as_deref().map(check_name).transpose()?;
        check_texts(
            change.display.as_ref().and_then(Option::as_deref),
            change.external_id.iter().flatten().next().map(String::as_str),
        )?;
        let mut tx = self.change("change a user").await?;
        let Some(before) = one(&mut tx, source, id).await? else { return Ok(None) };
        let mut after = before.clone();
        after.user = change.user.unwrap_or(after.user);
        after.display = change.display.unwrap_or(after.display);
        after.external_id = change.external_id.unwrap_or(after.external_id);
        after.active = change.active.unwrap_or(after.active);
        if after == before {
            return Ok(Some(before));
        }
        if key(&after.user) != key(&before.user) {
            make_room(&mut tx, source, &after.user, id).await?;
        }
        sqlx::query(
            "UPDATE people SET user_name = $1, user_key = $2, display_name = $3, external_id = $4, active = $5, updated = $6
             WHERE id = $7",
        )
        .bind(&after.user)
        .bind(key(&after.user))
        .bind(&after.display)
        .bind(&after.external_id)
        .bind(i64::from(after.active))
        .bind(now.millis())
        .bind(id)
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
        let revoked = match key(&after.user) == key(&before.user) {
            true => Vec::new(),
            false => leave_behind(&mut tx, &before, by, now).await?,
        };
        note_change(&mut tx, &[key(&before.user), key(&after.user)]).await?;
        for (what, detail) in told(&before, &after) {
            acts::write(&mut tx, Doing { by, what, subject: &after.user, detail }, now).await?;
        }
        after.updated = now;
        tx.commit().await?;
        self.hear_of_people().await;
        self.tell_revoked(&revoked);
        Ok(Some(after))
    }

    /// Removes somebody; whether there was anybody. The name is refused from then on, until it is created again.
    ///
    /// # Errors
    /// When the store cannot be written: nothing has changed.
    pub async fn remove_person(&self, source: &str, id: &str, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.change("remove a user").await?;
        let Some(person) = one(&mut tx, source, id).await? else { return Ok(false) };
        sqlx::query("DELETE FROM people WHERE id = $1").bind(id).execute(&mut *tx).await.map_err(writing())?;
        let revoked = leave_behind(&mut tx, &person, by, now).await?;
        note_change(&mut tx, &[key(&person.user)]).await?;
        let detail = format!("from `{source}`");
        acts::write(&mut tx, Doing { by, what: "user.removed", subject: &person.user, detail }, now).await?;
        tx.commit().await?;
        self.hear_of_people().await;
        self.tell_revoked(&revoked);
        Ok(true)
    }

    /// Gives a local user a password, by what proves it: a verifier such as Argon2id's, never the password. Whoever signed in with
    /// the one before is signed out, with every token of that sign-in. Whether there is such a user.
    ///
    /// # Errors
    /// When the store cannot be written: the old password stays.
    pub async fn set_password(
        &self,
        user: &str,
        verifier: &Secret,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.change("set a password").await?;
        let changed = sqlx::query(
            "UPDATE people SET verifier = $1, password_set = $2, updated = $2
             WHERE source = $3 AND user_key = $4 AND removed IS NULL",
        )
        .bind(verifier.expose())
        .bind(now.millis())
        .bind(LOCAL)
        .bind(key(user))
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        note_change(&mut tx, &[key(user)]).await?;
        acts::write(&mut tx, Doing { by, what: "user.password", subject: user, detail: String::new() }, now).await?;
        let revoked = logins::end_all_of(&mut tx, user, Some(LOCAL), by, "the password was changed", now).await?;
        tx.commit().await?;
        self.hear_of_people().await;
        self.tell_revoked(&revoked);
        Ok(true)
    }

    /// A local user and what proves their password, where they have one.
    ///
    /// # Errors
    /// When the store cannot be read: refuse the login.
    pub async fn password_of(&self, user: &str) -> Result<Option<(Person, Option<Secret>)>, StoreError> {
        let row = sqlx::query("SELECT * FROM people WHERE source = $1 AND user_key = $2 AND removed IS NULL")
            .bind(LOCAL)
            .bind(key(user))
            .fetch_optional(&self.inner.read)
            .await
            .map_err(reading())?;
        let Some(row) = row else { return Ok(None) };
        let verifier: Option<String> = row.try_get("verifier").map_err(reading())?;
        Ok(Some((decode(&row)?, verifier.map(Secret::new))))
    }

    /// Somebody by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn person(&self, source: &str, id: &str) -> Result<Option<Person>, StoreError> {
        let row = sqlx::query("SELECT * FROM people WHERE source = $1 AND id = $2 AND removed IS NULL")
            .bind(source)
            .bind(id)
            .fetch_optional(&self.inner.read)
            .await
            .map_err(reading())?;
        row.as_ref().map(decode).transpose()
    }

    /// Somebody by user name, in whatever case.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn person_named(&self, source: &str, user: &str) -> Result<Option<Person>, StoreError> {
        let filter = PeopleFilter {
            source: Some(source.to_owned()),
            user: Some(user.to_owned()),
            limit: 1,
            ..PeopleFilter::default()
        };
        Ok(self.list_people(&filter).await?.pop())
    }

    /// People in the order of their ids.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_people(&self, filter: &PeopleFilter) -> Result<Vec<Person>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM people WHERE removed IS NULL");
        narrow(&mut query, filter);
        query.push(" ORDER BY id LIMIT ").push_bind(page(filter.limit));
        query.push(" OFFSET ").push_bind(i64::try_from(filter.skip).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.inner.read).await.map_err(reading())?;
        rows.iter().map(decode).collect()
    }

    /// How many people the filter admits, page apart.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn count_people(&self, filter: &PeopleFilter) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM people WHERE removed IS NULL");
        narrow(&mut query, filter);
        let count: i64 = query.build_query_scalar().fetch_one(&self.inner.read).await.map_err(reading())?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The names of the groups that each of these people is in, by their ids. Who is in none is not there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn groups_of_people(&self, people: &[Person]) -> Result<HashMap<String, BTreeSet<String>>, StoreError> {
        let mut groups: HashMap<String, BTreeSet<String>> = HashMap::new();
        for some in people.chunks(limits::LIST_PAGE_MAX) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT m.person_id, g.name FROM people_group_members m JOIN people_groups g ON g.id = m.group_id
                 WHERE m.person_id IN (",
            );
            let mut ids = query.separated(", ");
            for person in some {
                ids.push_bind(person.id.clone());
            }
            ids.push_unseparated(")");
            let rows: Vec<(String, String)> =
                query.build_query_as().fetch_all(&self.inner.read).await.map_err(reading())?;
            for (person, group) in rows {
                groups.entry(person).or_default().insert(group);
            }
        }
        Ok(groups)
    }

    /// When the last source that had one of these names gave it up, the latest where there are several: whoever has the name by now is somebody
    /// else than before. `None` where nobody did.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn name_left(&self, users: impl Iterator<Item = &str>) -> Result<Option<Timestamp>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT MAX(at) FROM names_left WHERE user_key IN (");
        let mut keys = query.separated(", ");
        for user in users {
            keys.push_bind(key(user));
        }
        keys.push_unseparated(")");
        let at: Option<i64> = query.build_query_scalar().fetch_one(&self.inner.read).await.map_err(reading())?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Whose account changed, by whatever process, since `generation` (0 at first). One cheap read when nobody's did.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn people_changed_since(&self, generation: i64) -> Result<PeopleChanges, StoreError> {
        let current = generation_now(self).await?;
        if current == generation {
            return Ok(PeopleChanges { generation, users: Vec::new() });
        }
        let users = sqlx::query_scalar("SELECT user_key FROM people_changes WHERE changed > $1 AND changed <= $2")
            .bind(generation)
            .bind(current)
            .fetch_all(&self.inner.read)
            .await
            .map_err(reading())?;
        Ok(PeopleChanges { generation: current, users })
    }
}

/// The form of a name in which it is compared.
pub(crate) fn key(name: &str) -> String {
    name_key(name)
}

pub(crate) fn reading() -> impl FnOnce(sqlx::Error) -> StoreError {
    StoreError::doing("read users and groups")
}

pub(crate) fn writing() -> impl FnOnce(sqlx::Error) -> StoreError {
    StoreError::doing("write users and groups")
}

pub(crate) async fn generation_now(store: &Store) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT value FROM counters WHERE name = 'people'")
        .fetch_one(&store.inner.read)
        .await
        .map_err(reading())
}

/// Counts a change up for these names. The row lock of the counter puts changes in the order in which they become visible.
pub(crate) async fn note_change(tx: &mut SqliteConnection, users: &[String]) -> Result<(), StoreError> {
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'people'")
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
    for user in users {
        sqlx::query(
            "INSERT INTO people_changes (user_key, changed) SELECT $1, value FROM counters WHERE name = 'people'
             ON CONFLICT (user_key) DO UPDATE SET changed = excluded.changed",
        )
        .bind(user)
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
    }
    Ok(())
}

/// Makes sure that the name is free for the person with this id; whoever only left it behind gives way.
async fn make_room(tx: &mut SqliteConnection, source: &str, user: &str, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM people WHERE source = $1 AND user_key = $2 AND removed IS NOT NULL")
        .bind(source)
        .bind(key(user))
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
    let taken: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people WHERE source = $1 AND user_key = $2 AND id <> $3")
        .bind(source)
        .bind(key(user))
        .bind(id)
        .fetch_one(&mut *tx)
        .await
        .map_err(writing())?;
    match taken {
        0 => Ok(()),
        _ => Err(StoreError::Taken(format!("there is a user `{user}` in `{source}` already"))),
    }
}

/// Keeps a name that somebody had as one that is refused. Where no source has it any more its tokens and logins are over: whoever
/// gets the name later is somebody else. Yields the tokens.
async fn leave_behind(
    tx: &mut SqliteConnection,
    person: &Person,
    by: &str,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    sqlx::query(
        "INSERT INTO people (id, source, user_name, user_key, active, created, updated, removed)
         VALUES ($1, $2, $3, $4, 0, $5, $6, $6)",
    )
    .bind(random_id()?)
    .bind(&person.source)
    .bind(&person.user)
    .bind(key(&person.user))
    .bind(person.created.millis())
    .bind(now.millis())
    .execute(&mut *tx)
    .await
    .map_err(writing())?;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people WHERE user_key = $1 AND removed IS NULL")
        .bind(key(&person.user))
        .fetch_one(&mut *tx)
        .await
        .map_err(reading())?;
    if left > 0 {
        return Ok(Vec::new());
    }
    sqlx::query(
        "INSERT INTO names_left (user_key, at) VALUES ($1, $2) ON CONFLICT (user_key) DO UPDATE SET at = excluded.at",
    )
    .bind(key(&person.user))
    .bind(now.millis())
    .execute(&mut *tx)
    .await
    .map_err(writing())?;
    tokens::revoke_all_of(tx, &person.user, by, "the user was removed", now).await
}

/// Brings the keys of names to the form of this version, in stores that an earlier one wrote. Where two names of one source turn
/// out to be one, the first keeps it, disabled if either was: an administrator has to look.
pub(crate) async fn renew_keys(tx: &mut SqliteConnection) -> Result<(), StoreError> {
    const FORM: &str = "2";
    let form: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'name_keys'")
        .fetch_optional(&mut *tx)
        .await
        .map_err(reading())?;
    if form.as_deref() == Some(FORM) {
        return Ok(());
    }
    let people: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT id, user_name, user_key, active FROM people ORDER BY created, id")
            .fetch_all(&mut *tx)
            .await
            .map_err(reading())?;
    for (id, user, known, active) in people.into_iter().filter(|(_, user, known, _)| key(user) != *known) {
        let renewed = sqlx::query("UPDATE OR IGNORE people SET user_key = $1 WHERE id = $2")
            .bind(key(&user))
            .bind(&id)
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
        if renewed.rows_affected() == 0 {
            tracing::error!(user = ?user, "two users of one directory have one name: one of them counts no more");
            sqlx::query("UPDATE people SET active = MIN(active, $1) WHERE user_key = $2")
                .bind(active)
                .bind(key(&user))
                .execute(&mut *tx)
                .await
                .map_err(writing())?;
        }
        note_change(tx, &[known, key(&user)]).await?;
    }
    let groups: Vec<(String, String, String)> =
        sqlx::query_as("SELECT id, name, name_key FROM people_groups").fetch_all(&mut *tx).await.map_err(reading())?;
    for (id, name, _) in groups.into_iter().filter(|(_, name, known)| key(name) != *known) {
        sqlx::query("UPDATE OR IGNORE people_groups SET name_key = $1 WHERE id = $2")
            .bind(key(&name))
            .bind(&id)
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
    }
    sqlx::query("INSERT INTO meta (name, value) VALUES ('name_keys', $1) ON CONFLICT (name) DO UPDATE SET value = $1")
        .bind(FORM)
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
    Ok(())
}

async fn one(tx: &mut SqliteConnection, source: &str, id: &str) -> Result<Option<Person>, StoreError> {
    let row = sqlx::query("SELECT * FROM people WHERE source = $1 AND id = $2 AND removed IS NULL")
        .bind(source)
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(reading())?;
    row.as_ref().map(decode).transpose()
}

/// The acts that a change consists of.
fn told(before: &Person, after: &Person) -> Vec<(&'static str, String)> {
    let mut acts = Vec::new();
    let place = format!("in `{}`", after.source);
    if before.user != after.user {
        acts.push(("user.renamed", format!("{place}, was `{}`", before.user)));
    }
    if before.active != after.active {
        acts.push((if after.active { "user.enabled" } else { "user.disabled" }, place.clone()));
    }
    if before.display != after.display || before.external_id != after.external_id {
        acts.push(("user.changed", place));
    }
    acts
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &PeopleFilter) {
    if let Some(source) = &filter.source {
        query.push(" AND source = ").push_bind(source.clone());
    }
    if let Some(user) = &filter.user {
        query.push(" AND user_key = ").push_bind(key(user));
    }
    if let Some(external) = &filter.external_id {
        query.push(" AND external_id = ").push_bind(external.clone());
    }
    if let Some(after) = &filter.after {
        query.push(" AND id > ").push_bind(after.clone());
    }
    if let Some(group) = &filter.group {
        query.push(" AND id IN (SELECT person_id FROM people_group_members WHERE group_id = ");
        query.push_bind(group.clone()).push(")");
    }
}

fn decode(row: &SqliteRow) -> Result<Person, StoreError> {
    let time = |millis: i64| Timestamp::from_millis(millis);
    Ok(Person {
        id: row.try_get("id").map_err(reading())?,
        source: row.try_get("source").map_err(reading())?,
        user: row.try_get("user_name").map_err(reading())?,
        display: row.try_get("display_name").map_err(reading())?,
        external_id: row.try_get("external_id").map_err(reading())?,
        active: row.try_get::<i64, _>("active").map_err(reading())? != 0,
        password_set: row.try_get::<Option<i64>, _>("password_set").map_err(reading())?.map(time),
        created: time(row.try_get("created").map_err(reading())?),
        updated: time(row.try_get("updated").map_err(reading())?),
    })
}

pub(crate) fn check_source(source: &str) -> Result<(), StoreError> {
    let named = source.strip_prefix("scim:").is_some_and(is_name);
    match source == LOCAL || named {
        true => Ok(()),
        false => Err(StoreError::Refused(format!("`{}` is not a source of users", source.escape_debug()))),
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    match is_name(name) {
        true => Ok(()),
        false => Err(StoreError::Refused(format!(
            "`{}` cannot be a name: use at most {} bytes without control characters or outer spaces",
            name.chars().take(limits::NAME_BYTES_MAX).collect::<String>().escape_debug(),
            limits::NAME_BYTES_MAX
        ))),
    }
}

pub(crate) fn check_texts(display: Option<&str>, external_id: Option<&str>) -> Result<(), StoreError> {
    let fits = |text: &str| text.len() <= limits::PERSON_TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    match display.into_iter().chain(external_id).all(fits) {
        true => Ok(()),
        false => Err(StoreError::Refused(format!(
            "a display name or an external id has at most {} bytes and no control characters",
            limits::PERSON_TEXT_BYTES_MAX
        ))),
    }
}
