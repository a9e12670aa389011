//! What all sources together say of a user name, as it counts for whoever logs in or acts under it.

use super::{generation_now, key, reading};
use crate::error::StoreError;
use crate::store::Store;
use lockgate_core::Timestamp;
use sqlx::Row as _;
use std::collections::BTreeSet;

/// What the sources say of one user name. Empty for a name that none of them knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// One per source that knows the name, or knew it.
    pub records: Vec<Record>,
}

/// What one source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `local` or `scim:NAME`.
    pub source: String,
    /// The person's id there.
    pub person: String,
    /// The name as the source writes it.
    pub user: String,
    /// Whether they may do anything at all.
    pub active: bool,
    /// Whether the source had them once and has them no more.
    pub removed: bool,
    /// The groups that they are in there.
    pub groups: BTreeSet<String>,
    /// When their password was set, where they have one: what an older one proved counts no more.
    pub password_set: Option<Timestamp>,
}

impl Standing {
    /// Why nobody of this name may do anything, where that is so: a source has disabled them, or every source that knew them
    /// removed them.
    pub fn refusal(&self) -> Option<String> {
        if let Some(record) = self.records.iter().find(|record| !record.active && !record.removed) {
            return Some(format!("`{}` is disabled in `{}`", record.user, record.source));
        }
        let removed = self.records.iter().find(|record| record.removed)?;
        match self.records.iter().all(|record| record.removed) {
            true => Some(format!("`{}` was removed from `{}`", removed.user, removed.source)),
            false => None,
        }
    }

    /// What one source says of somebody whom it has.
    pub fn in_source(&self, source: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.source == source && !record.removed)
    }
}

impl Store {
    /// What the sources say of a user name, read now.
    ///
    /// # Errors
    /// When the store cannot be read: treat as disabled.
    pub async fn standing(&self, user: &str) -> Result<Standing, StoreError> {
        Ok(self.standing_and_generation(&key(user)).await?.1)
    }

    /// The same with the change that it is at least as new as.
    pub(super) async fn standing_and_generation(&self, user: &str) -> Result<(i64, Standing), StoreError> {
        let generation = generation_now(self).await?;
        // One statement is one moment: nobody is seen with the groups of before and the state of after.
        let rows = sqlx::query(
            "SELECT p.id, p.source, p.user_name, p.active, p.removed, p.password_set, g.name AS group_name
             FROM people p
             LEFT JOIN people_group_members m ON m.person_id = p.id
             LEFT JOIN people_groups g ON g.id = m.group_id
             WHERE p.user_key = $1 ORDER BY p.source, p.id",
        )
        .bind(user)
        .fetch_all(&self.inner.read)
        .await
        .map_err(reading())?;
        let mut records: Vec<Record> = Vec::new();
        for row in &rows {
            let person: String = row.try_get("id").map_err(reading())?;
            let group: Option<String> = row.try_get("group_name").map_err(reading())?;
            match records.last_mut().filter(|record| record.person == person) {
                Some(record) => record.groups.extend(group),
                None => records.push(Record {
                    person,
                    source: row.try_get("source").map_err(reading())?,
                    user: row.try_get("user_name").map_err(reading())?,
                    active: row.try_get::<i64, _>("active").map_err(reading())? != 0,
                    removed: row.try_get::<Option<i64>, _>("removed").map_err(reading())?.is_some(),
                    groups: group.into_iter().collect(),
                    password_set: row
                        .try_get::<Option<i64>, _>("password_set")
                        .map_err(reading())?
                        .map(Timestamp::from_millis),
                }),
            }
        }
        Ok((generation, Standing { records }))
    }
}
