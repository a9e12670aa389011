//! What all sources together say of a user name, as it counts for whoever logs in or acts under it.

use super::{Suspension, key, reading};
use crate::error::StoreError;
use crate::store::Store;
use lockgate_core::Timestamp;
use sqlx::Row as _;
use std::collections::BTreeSet;

/// What the sources say of one user name. Empty for a name that none of them knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// One per source that knows the name, or knew it.
    pub records: Vec<Record>,
    /// The identity providers that have refused the name since they last vouched for it. They do not have people as sources do.
    pub suspended: Vec<Suspension>,
    /// Proofs of identity providers that were made until then count no more: the person's tokens were revoked.
    pub revoked_until: Option<Timestamp>,
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
    /// When their password was set, where they have one.
    pub password_set: Option<Timestamp>,
}

impl Account {
    /// Why nobody of this name may do anything, where that is so: a source has disabled them, every source that knew them
    /// removed them, or a provider that was asked again refused them.
    pub fn refusal(&self) -> Option<String> {
        if let Some(record) = self.records.iter().find(|record| !record.active && !record.removed) {
            return Some(format!("`{}` is disabled in `{}`", record.user, record.source));
        }
        if let Some(removed) = self.records.iter().find(|record| record.removed)
            && self.records.iter().all(|record| record.removed)
        {
            return Some(format!("`{}` was removed from `{}`", removed.user, removed.source));
        }
        let suspended = self.suspended.first()?;
        Some(format!(
            "the identity provider `{}` refused `{}` when it was asked again: sign in there anew",
            suspended.provider, suspended.user
        ))
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
    pub async fn account(&self, user: &str) -> Result<Account, StoreError> {
        Ok(self.account_and_generation(&key(user)).await?.1)
    }

    /// The same with the change that it is at least as new as.
    pub(super) async fn account_and_generation(&self, user: &str) -> Result<(i64, Account), StoreError> {
        // One statement is one moment: nobody is seen with the groups of before and the state of after. The change that all of it is
        // as new as comes along without a source.
        let rows = sqlx::query(
            "SELECT NULL AS id, NULL AS source, '' AS user_name, 0 AS active, value AS removed, NULL AS password_set,
                    NULL AS group_name
             FROM counters WHERE name = 'people'
             UNION ALL
             SELECT p.id, p.source, p.user_name, p.active, p.removed, p.password_set, g.name
             FROM people p
             LEFT JOIN people_group_members m ON m.person_id = p.id
             LEFT JOIN people_groups g ON g.id = m.group_id
             WHERE p.user_key = $1
             UNION ALL
             SELECT NULL, provider, user_name, 0, since, NULL, issuer FROM suspended WHERE user_key = $1
             UNION ALL
             SELECT NULL, '', '', 0, until, NULL, NULL FROM proofs_revoked WHERE user_key = $1
             ORDER BY 2, 1",
        )
        .bind(user)
        .fetch_all(&self.inner.read)
        .await
        .map_err(reading())?;
        let mut records: Vec<Record> = Vec::new();
        let mut suspended = Vec::new();
        let (mut generation, mut revoked_until) = (None, None);
        for row in &rows {
            let Some(source) = row.try_get::<Option<String>, _>("source").map_err(reading())? else {
                generation = Some(row.try_get("removed").map_err(reading())?);
                continue;
            };
            // No source has that name.
            if source.is_empty() {
                revoked_until = Some(Timestamp::from_millis(row.try_get("removed").map_err(reading())?));
                continue;
            }
            let person: Option<String> = row.try_get("id").map_err(reading())?;
            let group: Option<String> = row.try_get("group_name").map_err(reading())?;
            let Some(person) = person else {
                suspended.push(Suspension {
                    provider: source,
                    issuer: group.unwrap_or_default(),
                    user: row.try_get("user_name").map_err(reading())?,
                    since: Timestamp::from_millis(row.try_get("removed").map_err(reading())?),
                });
                continue;
            };
            match records.last_mut().filter(|record| record.person == person) {
                Some(record) => record.groups.extend(group),
                None => records.push(Record {
                    person,
                    source,
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
        let generation = generation.ok_or_else(|| StoreError::Row("the count of changes to people".to_owned()))?;
        Ok((generation, Account { records, suspended, revoked_until }))
    }
}
