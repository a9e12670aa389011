//! The labels that data brought to columns which no configuration names. A row is there before anybody can see the values
//! that it is about, and survives whatever becomes of the gateway.

use crate::error::StoreError;
use crate::store::Store;
use lockgate_core::{Label, SessionId, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// A label on a column of a database behind a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLabel {
    /// The target.
    pub target: String,
    /// Where that led; empty where that was not written down.
    pub place: String,
    /// The database, as the target knows it.
    pub database: String,
    /// The relation's id there.
    pub relation: u32,
    /// The column's number.
    pub column: i16,
    /// The label.
    pub label: Label,
    /// What lies there is made from labelled values.
    pub derived: bool,
    /// The session that brought it; `None` where that was not written down. Each session's label is a row of its own, so that
    /// the end of one transaction does not take what another has committed.
    pub by: Option<SessionId>,
}

impl Store {
    /// All of them.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what nobody wrote there.
    pub async fn labels(&self) -> Result<Vec<StoredLabel>, StoreError> {
        let rows = sqlx::query(
            "SELECT target, database_name, relation, column_number, label, derived, brought_by, place FROM carried_labels \
             ORDER BY target",
        )
        .fetch_all(&self.inner.read)
        .await
        .map_err(StoreError::doing("read the labels of copies"))?;
        rows.iter().map(read).collect()
    }

    /// Keeps labels, all or none of them.
    ///
    /// # Errors
    /// When they could not be written for good.
    pub async fn keep_labels(&self, labels: &[StoredLabel], now: Timestamp) -> Result<(), StoreError> {
        let doing = || StoreError::doing("keep the labels of a copy");
        let mut tx = self.change("keep the labels of a copy").await?;
        for label in labels {
            sqlx::query(
                "INSERT INTO carried_labels \
                 (target, database_name, relation, column_number, label, derived, brought_by, place, made) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            )
            .bind(&label.target)
            .bind(&label.database)
            .bind(i64::from(label.relation))
            .bind(i64::from(label.column))
            .bind(label.label.as_str())
            .bind(i64::from(label.derived))
            .bind(who(label))
            .bind(&label.place)
            .bind(now.millis())
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        }
        tx.commit().await
    }

    /// Drops labels.
    ///
    /// # Errors
    /// When they could not be dropped; they stay then.
    pub async fn drop_labels(&self, labels: &[StoredLabel]) -> Result<(), StoreError> {
        let doing = || StoreError::doing("drop the labels of a copy");
        let mut tx = self.change("drop the labels of a copy").await?;
        for label in labels {
            sqlx::query(
                "DELETE FROM carried_labels WHERE target = $1 AND database_name = $2 AND relation = $3 \
                 AND column_number = $4 AND label = $5 AND derived = $6 AND brought_by = $7 AND place = $8",
            )
            .bind(&label.target)
            .bind(&label.database)
            .bind(i64::from(label.relation))
            .bind(i64::from(label.column))
            .bind(label.label.as_str())
            .bind(i64::from(label.derived))
            .bind(who(label))
            .bind(&label.place)
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        }
        tx.commit().await
    }
}

/// No name where nobody is known.
fn who(label: &StoredLabel) -> String {
    label.by.map_or_else(String::new, |by| by.to_string())
}

fn read(row: &SqliteRow) -> Result<StoredLabel, StoreError> {
    let doing = || StoreError::doing("read the labels of copies");
    let number = |name| row.try_get::<i64, _>(name).map_err(doing());
    let text = |name| row.try_get::<String, _>(name).map_err(doing());
    let bad = |what: &str| doing()(sqlx::Error::Decode(what.to_owned().into()));
    Ok(StoredLabel {
        target: text("target")?,
        place: text("place")?,
        database: text("database_name")?,
        relation: u32::try_from(number("relation")?).map_err(|_| bad("a relation's id out of range"))?,
        column: i16::try_from(number("column_number")?).map_err(|_| bad("a column's number out of range"))?,
        label: text("label")?.parse().map_err(|_| bad("a label that is none"))?,
        derived: number("derived")? != 0,
        by: match text("brought_by")?.as_str() {
            "" => None,
            by => Some(by.parse().map_err(|_| bad("a session that is none"))?),
        },
    })
}
