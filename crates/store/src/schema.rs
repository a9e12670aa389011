//! The tables, and how a store of an older version becomes one of this version. Each step runs once, in one transaction.
//!
//! Lists are JSON, bytes are hexadecimal text, times are milliseconds since the epoch: types that every database has.

use crate::error::StoreError;
use sqlx::{Row as _, SqliteConnection};
use std::path::Path;

/// One step per schema version, in order. A step that was released is never edited.
const STEPS: &[&[&str]] = &[
    &[
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO counters (name, value) VALUES ('tokens', 0)",
        "CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        user_name TEXT NOT NULL,
        group_names TEXT NOT NULL,
        kind TEXT NOT NULL,
        on_behalf_of TEXT NOT NULL,
        targets TEXT,
        created BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        revoked_at BIGINT,
        last_used BIGINT,
        secret_hash TEXT NOT NULL,
        scram_stored_key TEXT NOT NULL,
        scram_server_key TEXT NOT NULL,
        changed BIGINT NOT NULL
    )",
        "CREATE INDEX tokens_by_user ON tokens (user_name, created)",
        "CREATE INDEX tokens_by_change ON tokens (changed)",
        "CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user_name TEXT NOT NULL,
        group_names TEXT NOT NULL,
        kind TEXT NOT NULL,
        on_behalf_of TEXT NOT NULL,
        token_id TEXT,
        protocol TEXT NOT NULL,
        target TEXT NOT NULL,
        database_name TEXT,
        client TEXT NOT NULL,
        opened BIGINT NOT NULL,
        closed BIGINT,
        reason TEXT,
        requests BIGINT NOT NULL DEFAULT 0,
        denied BIGINT NOT NULL DEFAULT 0,
        rows_sent BIGINT NOT NULL DEFAULT 0
    )",
        "CREATE INDEX sessions_by_user ON sessions (user_name, id)",
        "CREATE INDEX sessions_by_target ON sessions (target, id)",
        "CREATE INDEX sessions_open ON sessions (id) WHERE closed IS NULL",
        "CREATE TABLE approvals (
        id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        user_name TEXT NOT NULL,
        requester TEXT NOT NULL,
        target TEXT NOT NULL,
        database_name TEXT,
        statement TEXT NOT NULL,
        parameters TEXT,
        digest TEXT NOT NULL,
        policies TEXT NOT NULL,
        needs TEXT NOT NULL,
        opened BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        state TEXT NOT NULL,
        ended BIGINT,
        reason TEXT
    )",
        "CREATE INDEX approvals_by_state ON approvals (state, id)",
        "CREATE TABLE approval_votes (
        approval_id TEXT NOT NULL,
        user_name TEXT NOT NULL,
        people TEXT NOT NULL,
        group_names TEXT NOT NULL,
        vote TEXT NOT NULL,
        reason TEXT,
        voted BIGINT NOT NULL,
        PRIMARY KEY (approval_id, user_name)
    )",
    ],
    &["CREATE TABLE carried_labels (
        target TEXT NOT NULL,
        database_name TEXT NOT NULL,
        relation BIGINT NOT NULL,
        column_number BIGINT NOT NULL,
        label TEXT NOT NULL,
        derived BIGINT NOT NULL,
        made BIGINT NOT NULL,
        PRIMARY KEY (target, database_name, relation, column_number, label)
    )"],
    &[
        "ALTER TABLE carried_labels RENAME TO carried_labels_of_nobody",
        "CREATE TABLE carried_labels (
        target TEXT NOT NULL,
        database_name TEXT NOT NULL,
        relation BIGINT NOT NULL,
        column_number BIGINT NOT NULL,
        label TEXT NOT NULL,
        derived BIGINT NOT NULL,
        brought_by TEXT NOT NULL,
        place TEXT NOT NULL,
        made BIGINT NOT NULL,
        PRIMARY KEY (target, database_name, relation, column_number, label, derived, brought_by, place)
    )",
        "INSERT INTO carried_labels SELECT target, database_name, relation, column_number, label, derived, '', '', made \
         FROM carried_labels_of_nobody",
        "DROP TABLE carried_labels_of_nobody",
    ],
    &[
        "INSERT INTO counters (name, value) VALUES ('people', 0), ('acts', 0)",
        "CREATE TABLE people (
        id TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        user_name TEXT NOT NULL,
        user_key TEXT NOT NULL,
        display_name TEXT,
        external_id TEXT,
        active BIGINT NOT NULL,
        verifier TEXT,
        password_set BIGINT,
        created BIGINT NOT NULL,
        updated BIGINT NOT NULL,
        removed BIGINT,
        UNIQUE (source, user_key)
    )",
        "CREATE INDEX people_by_name ON people (user_key)",
        "CREATE INDEX people_by_external_id ON people (source, external_id)",
        "CREATE TABLE people_groups (
        id TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL,
        external_id TEXT,
        created BIGINT NOT NULL,
        updated BIGINT NOT NULL,
        UNIQUE (source, name_key)
    )",
        "CREATE INDEX people_groups_by_external_id ON people_groups (source, external_id)",
        "CREATE TABLE people_group_members (
        group_id TEXT NOT NULL REFERENCES people_groups (id) ON DELETE CASCADE,
        person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        PRIMARY KEY (group_id, person_id)
    )",
        "CREATE INDEX people_group_members_by_person ON people_group_members (person_id)",
        "CREATE TABLE people_changes (user_key TEXT PRIMARY KEY, changed BIGINT NOT NULL)",
        "CREATE INDEX people_changes_by_change ON people_changes (changed)",
        "CREATE TABLE acts (
        number BIGINT PRIMARY KEY,
        at BIGINT NOT NULL,
        by_whom TEXT NOT NULL,
        what TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    )",
    ],
    &[
        "CREATE TABLE login (
        id TEXT PRIMARY KEY,
        provider TEXT NOT NULL,
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        user_name TEXT NOT NULL,
        group_names TEXT NOT NULL,
        kind TEXT NOT NULL,
        on_behalf_of TEXT NOT NULL,
        source TEXT NOT NULL,
        created BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        judged BIGINT NOT NULL,
        ended BIGINT,
        end_reason TEXT,
        refresh_token TEXT
    )",
        "CREATE INDEX login_by_user ON login (user_name, created)",
        "CREATE INDEX login_by_judged ON login (judged) WHERE ended IS NULL",
        "CREATE INDEX login_by_end ON login (expires)",
        "ALTER TABLE tokens ADD COLUMN login_id TEXT",
        "CREATE INDEX tokens_by_login ON tokens (login_id) WHERE login_id IS NOT NULL",
        "CREATE TABLE browser_session (
        secret_hash TEXT PRIMARY KEY,
        login_id TEXT NOT NULL,
        created BIGINT NOT NULL,
        expires BIGINT NOT NULL
    )",
        "CREATE INDEX browser_session_by_login ON browser_session (login_id)",
        "CREATE INDEX browser_session_by_end ON browser_session (expires)",
        "CREATE TABLE login_request (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        user_code TEXT,
        secret_hash TEXT,
        challenge TEXT,
        redirect TEXT,
        client_state TEXT,
        user_name TEXT,
        target TEXT,
        source TEXT NOT NULL,
        created BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        state TEXT NOT NULL,
        login_id TEXT
    )",
        "CREATE INDEX login_request_by_end ON login_request (expires)",
        "CREATE INDEX login_request_open ON login_request (source) WHERE state = 'pending'",
        "CREATE UNIQUE INDEX login_request_by_code ON login_request (user_code) WHERE state = 'pending' AND kind = 'device'",
        "CREATE TABLE used_once (
        name TEXT PRIMARY KEY,
        until BIGINT NOT NULL
    )",
        "CREATE INDEX used_once_by_end ON used_once (until)",
    ],
    &[
        "ALTER TABLE login_request ADD COLUMN network TEXT NOT NULL DEFAULT ''",
        "DROP INDEX login_request_open",
        "CREATE INDEX login_request_open ON login_request (network) WHERE state = 'pending'",
    ],
    &[
        "ALTER TABLE tokens ADD COLUMN actions TEXT",
        "CREATE INDEX login_to_give_back ON login (expires) WHERE refresh_token IS NOT NULL",
        "CREATE INDEX login_ended_to_give_back ON login (ended) WHERE refresh_token IS NOT NULL AND ended IS NOT NULL",
    ],
    &[
        "CREATE TABLE suspended (
        provider TEXT NOT NULL,
        user_key TEXT NOT NULL,
        issuer TEXT NOT NULL,
        user_name TEXT NOT NULL,
        since BIGINT NOT NULL,
        PRIMARY KEY (provider, user_key)
    )",
        "CREATE INDEX suspended_by_name ON suspended (user_key)",
    ],
    &["CREATE TABLE names_left (user_key TEXT PRIMARY KEY, at BIGINT NOT NULL)"],
    &["CREATE TABLE proofs_revoked (user_key TEXT PRIMARY KEY, until BIGINT NOT NULL)"],
];

/// Brings the store to this version, inside the caller's write transaction.
pub(crate) async fn migrate(tx: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .execute(&mut *tx)
        .await
        .map_err(|e| StoreError::opening(path, e))?;
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
        .fetch_one(&mut *tx)
        .await
        .map_err(|e| StoreError::opening(path, e))?;
    let found: i64 = row.try_get("version").map_err(|e| StoreError::opening(path, e))?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (version, step) in (1_i64..).zip(STEPS) {
        if version <= found {
            continue;
        }
        for statement in *step {
            sqlx::query(*statement).execute(&mut *tx).await.map_err(StoreError::doing("create the tables"))?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::doing("create the tables"))?;
    }
    Ok(())
}
