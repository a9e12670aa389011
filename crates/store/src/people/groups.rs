//! Groups of people within a source, and who is in them.

use super::{check_name, check_source, check_texts, key, note_change, reading, writing};
use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::keys::random_id;
use crate::store::Store;
use crate::tokens::page;
use lockgate_core::{Timestamp, limits};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::collections::BTreeSet;

/// A group, without its members: [`Store::list_people`] has those ([`crate::PeopleFilter::group`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The gateway's own name for it, which does not change.
    pub id: String,
    /// `local` or `scim:NAME`.
    pub source: String,
    /// Its name in policies.
    pub name: String,
    /// The source's own name for it.
    pub external_id: Option<String>,
    /// When it was made known.
    pub created: Timestamp,
    /// When it last changed, members included.
    pub updated: Timestamp,
}

/// A group that is made known.
#[derive(Clone, Debug, Default)]
pub struct NewGroup {
    /// `local` or `scim:NAME`.
    pub source: String,
    /// Its name in policies.
    pub name: String,
    /// The source's own name for it.
    pub external_id: Option<String>,
    /// Ids of people of the same source.
    pub members: BTreeSet<String>,
}

/// What changes about a group; what is `None` or empty stays.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// Another name.
    pub name: Option<String>,
    /// Another name at the source, or none.
    pub external_id: Option<Option<String>>,
    /// These people and no others are in it. Comes before the two below.
    pub members: Option<BTreeSet<String>>,
    /// These come in; who is in already stays.
    pub add: BTreeSet<String>,
    /// These go; who is not in does not matter.
    pub remove: BTreeSet<String>,
}

/// Which groups to list.
#[derive(Clone, Debug, Default)]
pub struct GroupFilter {
    /// Only those of this source.
    pub source: Option<String>,
    /// Only the one of this name, in whatever case.
    pub name: Option<String>,
    /// Only the one of this name at the source.
    pub external_id: Option<String>,
    /// Only those that the person with this id is in.
    pub member: Option<String>,
    /// How many to pass over.
    pub skip: usize,
    /// At most so many ([`limits::LIST_PAGE_MAX`] at most; 0 means that).
    pub limit: usize,
}

impl Store {
    /// Makes a group.
    ///
    /// # Errors
    /// [`StoreError::Taken`] where the source has one of that name, [`StoreError::Refused`] when it breaks a rule, such as a
    /// member whom the source does not have.
    pub async fn create_group(&self, new: NewGroup, by: &str, now: Timestamp) -> Result<Group, StoreError> {
        check_source(&new.source)?;
        check_name(&new.name)?;
        check_texts(None, new.external_id.as_deref())?;
        let mut tx = self.change("add a group").await?;
        let id = insert(&mut tx, &new, now).await?;
        let came = join(&mut tx, &new.source, &id, &new.members).await?;
        note_change(&mut tx, &came.iter().map(|user| key(user)).collect::<Vec<_>>()).await?;
        let detail = in_short(&new.source, &[("members", &came)]);
        acts::write(&mut tx, Doing { by, what: "group.created", subject: &new.name, detail }, now).await?;
        tx.commit().await?;
        self.hear_of_people().await;
        self.group(&new.source, &id).await?.ok_or_else(|| StoreError::Row(format!("group `{id}`")))
    }

    /// Changes a group. `None` when the source has none with this id.
    ///
    /// # Errors
    /// As for [`Store::create_group`]; nothing has changed then.
    pub async fn change_group(
        &self,
        source: &str,
        id: &str,
        change: GroupChange,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Group>, StoreError> {
        change.name.as_deref().map(check_name).transpose()?;
        check_texts(None, change.external_id.iter().flatten().next().map(String::as_str))?;
        let mut tx = self.change("change a group").await?;
        let Some(before) = one(&mut tx, source, id).await? else { return Ok(None) };
        let name = change.name.unwrap_or_else(|| before.name.clone());
        let external_id = change.external_id.unwrap_or_else(|| before.external_id.clone());
        if key(&name) != key(&before.name) {
            is_free(&mut tx, source, &name).await?;
        }
        sqlx::query("UPDATE people_groups SET name = $1, name_key = $2, external_id = $3, updated = $4 WHERE id = $5")
            .bind(&name)
            .bind(key(&name))
            .bind(&external_id)
            .bind(now.millis())
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
        let (mut came, mut went) = (Vec::new(), Vec::new());
        if let Some(members) = &change.members {
            let now_in = members_of(&mut tx, id).await?;
            went.extend(part(&mut tx, id, &now_in.difference(members).cloned().collect()).await?);
            came.extend(join(&mut tx, source, id, members).await?);
        }
        came.extend(join(&mut tx, source, id, &change.add).await?);
        went.extend(part(&mut tx, id, &change.remove).await?);
        let mut touched: Vec<String> = came.iter().chain(&went).map(|user| key(user)).collect();
        if name != before.name {
            touched.extend(names_of(&mut tx, id).await?.iter().map(|user| key(user)));
        }
        note_change(&mut tx, &touched).await?;
        if name != before.name {
            let detail = format!("in `{source}`, was `{}`", before.name);
            acts::write(&mut tx, Doing { by, what: "group.renamed", subject: &name, detail }, now).await?;
        }
        if !came.is_empty() || !went.is_empty() {
            let detail = in_short(source, &[("in", &came), ("out", &went)]);
            acts::write(&mut tx, Doing { by, what: "group.members", subject: &name, detail }, now).await?;
        }
        if external_id != before.external_id {
            let detail = in_short(source, &[]);
            acts::write(&mut tx, Doing { by, what: "group.changed", subject: &name, detail }, now).await?;
        }
        tx.commit().await?;
        self.hear_of_people().await;
        self.group(source, id).await
    }

    /// Removes a group; whether there was one. Nobody is in it any more.
    ///
    /// # Errors
    /// When the store cannot be written: nothing has changed.
    pub async fn remove_group(&self, source: &str, id: &str, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.change("remove a group").await?;
        let Some(group) = one(&mut tx, source, id).await? else { return Ok(false) };
        let went = names_of(&mut tx, id).await?;
        note_change(&mut tx, &went.iter().map(|user| key(user)).collect::<Vec<_>>()).await?;
        // Memberships go with it.
        sqlx::query("DELETE FROM people_groups WHERE id = $1").bind(id).execute(&mut *tx).await.map_err(writing())?;
        let detail = in_short(source, &[("out", &went)]);
        acts::write(&mut tx, Doing { by, what: "group.removed", subject: &group.name, detail }, now).await?;
        tx.commit().await?;
        self.hear_of_people().await;
        Ok(true)
    }

    /// Puts somebody into exactly these groups of their source, by name. Groups that are missing are made. `None` when the
    /// source has nobody with this id.
    ///
    /// # Errors
    /// When a name cannot be one, or there would be too many.
    pub async fn set_groups(
        &self,
        source: &str,
        id: &str,
        names: &BTreeSet<String>,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<BTreeSet<String>>, StoreError> {
        names.iter().try_for_each(|name| check_name(name))?;
        let mut tx = self.change("change a user's groups").await?;
        let Some(person) = super::one(&mut tx, source, id).await? else { return Ok(None) };
        let before = groups_of(&mut tx, id).await?;
        let mut kept = BTreeSet::new();
        for (group, name) in &before {
            if names.iter().any(|wanted| key(wanted) == key(name)) {
                kept.insert(key(name));
            } else {
                part(&mut tx, group, &[id.to_owned()].into()).await?;
            }
        }
        let fresh: Vec<String> = names.iter().filter(|name| !kept.contains(&key(name))).cloned().collect();
        put_in(&mut tx, source, id, &fresh, now).await?;
        let after: BTreeSet<String> = groups_of(&mut tx, id).await?.into_iter().map(|(_, name)| name).collect();
        let before: BTreeSet<String> = before.into_iter().map(|(_, name)| name).collect();
        if after != before {
            note_change(&mut tx, &[key(&person.user)]).await?;
            let (came, went) =
                (after.difference(&before).cloned().collect(), before.difference(&after).cloned().collect());
            let detail = in_short(source, &[("in", &came), ("out", &went)]);
            acts::write(&mut tx, Doing { by, what: "user.groups", subject: &person.user, detail }, now).await?;
        }
        tx.commit().await?;
        self.hear_of_people().await;
        Ok(Some(after))
    }

    /// A group by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn group(&self, source: &str, id: &str) -> Result<Option<Group>, StoreError> {
        let row = sqlx::query("SELECT * FROM people_groups WHERE source = $1 AND id = $2")
            .bind(source)
            .bind(id)
            .fetch_optional(&self.inner.read)
            .await
            .map_err(reading())?;
        row.as_ref().map(decode).transpose()
    }

    /// Groups in the order of their ids.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<Vec<Group>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM people_groups WHERE 1 = 1");
        narrow(&mut query, filter);
        query.push(" ORDER BY id LIMIT ").push_bind(page(filter.limit));
        query.push(" OFFSET ").push_bind(i64::try_from(filter.skip).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.inner.read).await.map_err(reading())?;
        rows.iter().map(decode).collect()
    }

    /// How many groups the filter admits, page apart.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn count_groups(&self, filter: &GroupFilter) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM people_groups WHERE 1 = 1");
        narrow(&mut query, filter);
        let count: i64 = query.build_query_scalar().fetch_one(&self.inner.read).await.map_err(reading())?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// Puts somebody into groups by name, and makes those that are missing.
pub(crate) async fn put_in(
    tx: &mut SqliteConnection,
    source: &str,
    person: &str,
    names: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    for name in names {
        let found: Option<String> =
            sqlx::query_scalar("SELECT id FROM people_groups WHERE source = $1 AND name_key = $2")
                .bind(source)
                .bind(key(name))
                .fetch_optional(&mut *tx)
                .await
                .map_err(writing())?;
        let id = match found {
            Some(id) => id,
            None => {
                let new = NewGroup { source: source.to_owned(), name: name.clone(), ..NewGroup::default() };
                insert(tx, &new, now).await?
            }
        };
        join(tx, source, &id, &[person.to_owned()].into()).await?;
    }
    Ok(())
}

async fn insert(tx: &mut SqliteConnection, new: &NewGroup, now: Timestamp) -> Result<String, StoreError> {
    is_free(tx, &new.source, &new.name).await?;
    let known: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM people_groups").fetch_one(&mut *tx).await.map_err(writing())?;
    if usize::try_from(known).is_ok_and(|n| n >= limits::PEOPLE_GROUPS_MAX) {
        return Err(StoreError::Refused(format!("{known} groups are known, the most there can be")));
    }
    let id = random_id()?;
    sqlx::query(
        "INSERT INTO people_groups (id, source, name, name_key, external_id, created, updated)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(&id)
    .bind(&new.source)
    .bind(&new.name)
    .bind(key(&new.name))
    .bind(&new.external_id)
    .bind(now.millis())
    .execute(&mut *tx)
    .await
    .map_err(writing())?;
    Ok(id)
}

async fn is_free(tx: &mut SqliteConnection, source: &str, name: &str) -> Result<(), StoreError> {
    let taken: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people_groups WHERE source = $1 AND name_key = $2")
        .bind(source)
        .bind(key(name))
        .fetch_one(&mut *tx)
        .await
        .map_err(writing())?;
    match taken {
        0 => Ok(()),
        _ => Err(StoreError::Taken(format!("there is a group `{name}` in `{source}` already"))),
    }
}

/// Lets people of the same source in; the names of those who were not in before.
async fn join(
    tx: &mut SqliteConnection,
    source: &str,
    group: &str,
    people: &BTreeSet<String>,
) -> Result<Vec<String>, StoreError> {
    let mut came = Vec::new();
    for person in people {
        let Some(found) = super::one(tx, source, person).await? else {
            let shown: String = person.chars().take(limits::NAME_BYTES_MAX).collect();
            return Err(StoreError::Refused(format!("`{source}` has no user with the id `{}`", shown.escape_debug())));
        };
        let added = sqlx::query(
            "INSERT INTO people_group_members (group_id, person_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(group)
        .bind(person)
        .execute(&mut *tx)
        .await
        .map_err(writing())?;
        if added.rows_affected() == 0 {
            continue;
        }
        let groups: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people_group_members WHERE person_id = $1")
            .bind(person)
            .fetch_one(&mut *tx)
            .await
            .map_err(writing())?;
        if usize::try_from(groups).is_ok_and(|n| n > limits::GROUPS_MAX) {
            return Err(StoreError::Refused(format!(
                "`{}` would be in more than {} groups",
                found.user,
                limits::GROUPS_MAX
            )));
        }
        came.push(found.user);
    }
    Ok(came)
}

/// Lets people out; the names of those who were in.
async fn part(tx: &mut SqliteConnection, group: &str, people: &BTreeSet<String>) -> Result<Vec<String>, StoreError> {
    let mut went = Vec::new();
    for person in people {
        let removed = sqlx::query("DELETE FROM people_group_members WHERE group_id = $1 AND person_id = $2")
            .bind(group)
            .bind(person)
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
        if removed.rows_affected() > 0 {
            let user: String = sqlx::query_scalar("SELECT user_name FROM people WHERE id = $1")
                .bind(person)
                .fetch_one(&mut *tx)
                .await
                .map_err(writing())?;
            went.push(user);
        }
    }
    Ok(went)
}

async fn one(tx: &mut SqliteConnection, source: &str, id: &str) -> Result<Option<Group>, StoreError> {
    let row = sqlx::query("SELECT * FROM people_groups WHERE source = $1 AND id = $2")
        .bind(source)
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(reading())?;
    row.as_ref().map(decode).transpose()
}

async fn members_of(tx: &mut SqliteConnection, group: &str) -> Result<BTreeSet<String>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT person_id FROM people_group_members WHERE group_id = $1")
        .bind(group)
        .fetch_all(&mut *tx)
        .await
        .map_err(reading())?;
    Ok(ids.into_iter().collect())
}

async fn names_of(tx: &mut SqliteConnection, group: &str) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar(
        "SELECT p.user_name FROM people p JOIN people_group_members m ON m.person_id = p.id WHERE m.group_id = $1",
    )
    .bind(group)
    .fetch_all(&mut *tx)
    .await
    .map_err(reading())
}

/// Id and name of each group that somebody is in.
async fn groups_of(tx: &mut SqliteConnection, person: &str) -> Result<Vec<(String, String)>, StoreError> {
    sqlx::query_as(
        "SELECT g.id, g.name FROM people_groups g JOIN people_group_members m ON m.group_id = g.id WHERE m.person_id = $1",
    )
    .bind(person)
    .fetch_all(&mut *tx)
    .await
    .map_err(reading())
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &GroupFilter) {
    if let Some(source) = &filter.source {
        query.push(" AND source = ").push_bind(source.clone());
    }
    if let Some(name) = &filter.name {
        query.push(" AND name_key = ").push_bind(key(name));
    }
    if let Some(external) = &filter.external_id {
        query.push(" AND external_id = ").push_bind(external.clone());
    }
    if let Some(member) = &filter.member {
        query.push(" AND id IN (SELECT group_id FROM people_group_members WHERE person_id = ");
        query.push_bind(member.clone()).push(")");
    }
}

fn decode(row: &SqliteRow) -> Result<Group, StoreError> {
    Ok(Group {
        id: row.try_get("id").map_err(reading())?,
        source: row.try_get("source").map_err(reading())?,
        name: row.try_get("name").map_err(reading())?,
        external_id: row.try_get("external_id").map_err(reading())?,
        created: Timestamp::from_millis(row.try_get("created").map_err(reading())?),
        updated: Timestamp::from_millis(row.try_get("updated").map_err(reading())?),
    })
}

/// What an act says of the people or groups it moves: all of them where they are few.
fn in_short(source: &str, moved: &[(&str, &Vec<String>)]) -> String {
    let mut text = format!("in `{source}`");
    for (word, names) in moved.iter().filter(|(_, names)| !names.is_empty()) {
        let in_order: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let shown = in_order.into_iter().take(limits::ACT_NAMES_MAX).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("; {word}: {shown}"));
        if let Some(more) = names.len().checked_sub(limits::ACT_NAMES_MAX).filter(|more| *more > 0) {
            text.push_str(&format!(" and {more} more"));
        }
    }
    text
}
