//! Logins that somebody asked for where there is no browser, and that a person confirms in one: on the command line, for a
//! device, for a connection that waits.
//!
//! ```text
//! pending ── a signed-in person confirms ─▶ approved ── whoever asked proves it ─▶ redeemed
//!    ├── a person says no ─▶ denied
//!    └── too late, or nobody waits any more: gone
//! ```
//!
//! Every arrow is one conditional write, so that of any number of callers one takes it. Secrets are kept as hashes only.

use crate::error::StoreError;
use crate::keys::{is_random_id, random, random_id};
use crate::logins::{self, LoginInfo};
use crate::store::Store;
use crate::tokens::{Draft, NewToken, TokenInfo, secret_hash};
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{Secret, TargetName, Timestamp, limits, network_of};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::watch;

/// The letters of codes that people read and type (RFC 8628, 6.1): no vowels, so that they spell nothing.
const CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_CHARS: usize = 8;
/// The length of a secret of 256 bits as text.
const SECRET_CHARS: usize = 43;

/// Who asks for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The command line, on a machine with a browser, which comes back to it.
    Browser {
        /// The hash of what it will prove itself with (RFC 7636).
        challenge: String,
        /// Its own address on its machine.
        redirect: String,
        /// Its own word for this login, which comes back unchanged.
        state: String,
    },
    /// A machine without a browser. Whoever confirms types the code in.
    Device,
    /// A connection that waits. Only this user may confirm.
    Link {
        /// The user that it says it is.
        user: String,
        /// The target that it asks for.
        target: TargetName,
    },
}

/// What the command line's requests are called in the store.
const BROWSER: &str = "browser";

impl Asker {
    const fn kind(&self) -> &'static str {
        match self {
            Asker::Browser { .. } => BROWSER,
            Asker::Device => "device",
            Asker::Link { .. } => "link",
        }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// It waits for somebody.
    Pending,
    /// Somebody confirmed it, and whoever asked has not come for it.
    Approved,
    /// Somebody said no.
    Denied,
    /// It was given out.
    Redeemed,
}

impl RequestState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            RequestState::Pending => "pending",
            RequestState::Approved => "approved",
            RequestState::Denied => "denied",
            RequestState::Redeemed => "redeemed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [RequestState::Pending, RequestState::Approved, RequestState::Denied, RequestState::Redeemed]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// Its id, which opens nothing.
    pub id: String,
    /// Who asks.
    pub asker: Asker,
    /// The code that people type or compare, in two halves.
    pub code: String,
    /// The address that asked.
    pub source: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it is too late.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: RequestState,
    /// The login that confirmed it.
    pub login: Option<String>,
}

/// Why a request cannot be confirmed or given out.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is none.
    #[error("there is no such login request")]
    Unknown,
    /// It is too late.
    #[error("the login request has expired")]
    Expired,
    /// Nobody has confirmed it yet.
    #[error("the login request waits to be confirmed")]
    Pending,
    /// Somebody said no.
    #[error("the login request was denied")]
    Denied,
    /// It was confirmed, or given out, before.
    #[error("the login request was used before")]
    Used,
    /// It is for somebody else.
    #[error("the login request is for `{asked}`, not for `{found}`")]
    WrongUser {
        /// Whom it is for.
        asked: String,
        /// Who wanted to confirm it.
        found: String,
    },
    /// The proof is not the asker's.
    #[error("the proof is not that of who asked for the login")]
    WrongProof,
    /// The login that confirms it, or confirmed it, is over.
    #[error("the login that confirms it is over")]
    LoginOver,
    /// Too many wait.
    #[error("too many logins wait to be confirmed{0}")]
    TooMany(&'static str),
    /// The store cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How whoever asked for a login proves it.
#[derive(Clone, Copy)]
pub enum Claim<'a> {
    /// With the code that came with the browser, and what the challenge was made of.
    Browser {
        /// The code.
        code: &'a str,
        /// The verifier.
        verifier: &'a str,
    },
    /// With the secret that was given out when it asked.
    Device {
        /// The secret.
        secret: &'a str,
    },
    /// By being the connection that waits, in this process.
    Link,
}

impl Store {
    /// Writes down that somebody wants to log in. A device gets a secret to come back with.
    ///
    /// # Errors
    /// When too many wait, or the store cannot be written.
    pub async fn ask_login(
        &self,
        asker: Asker,
        source: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(LoginRequest, Option<Secret>), RequestError> {
        let doing = || StoreError::doing("write a login request");
        let secret = match asker {
            Asker::Device => Some(Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?))),
            Asker::Browser { .. } | Asker::Link { .. } => None,
        };
        let request = LoginRequest {
            id: random_id()?,
            code: new_code()?,
            source: source.to_owned(),
            created: now,
            expires,
            state: RequestState::Pending,
            login: None,
            asker,
        };
        let (challenge, redirect, state) = match &request.asker {
            Asker::Browser { challenge, redirect, state } => (Some(challenge), Some(redirect), Some(state)),
            Asker::Device | Asker::Link { .. } => (None, None, None),
        };
        let (user, target) = match &request.asker {
            Asker::Link { user, target } => (Some(user), Some(target.as_str())),
            Asker::Browser { .. } | Asker::Device => (None, None),
        };
        let mut tx = self.change("write a login request").await?;
        // What was given out, or refused, takes nobody's place; each cost a person's word.
        // Who has one address of a network may have all of them.
        let network = request.source.parse().map_or_else(|_| request.source.clone(), |ip| network_of(ip).to_string());
        // One way to the database's thread and back: what turns out to be one too many goes with the error.
        // Two devices with one code fail here, once in ten million times; the second asks again.
        let (all, here): (i64, i64) = sqlx::query_as(
            "DELETE FROM login_request WHERE expires <= $11;
             INSERT INTO login_request (id, kind, user_code, secret_hash, challenge, redirect, client_state, user_name,
                                        target, source, network, created, expires, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, $11, $13, 'pending');
             SELECT COUNT(*), COUNT(*) FILTER (WHERE network = $12) FROM login_request WHERE state = 'pending'",
        )
        .bind(&request.id)
        .bind(request.asker.kind())
        .bind(&request.code)
        .bind(secret.as_ref().map(|secret| secret_hash(secret.expose())))
        .bind(challenge)
        .bind(redirect)
        .bind(state)
        .bind(user)
        .bind(target)
        .bind(&request.source)
        .bind(request.created.millis())
        .bind(network)
        .bind(request.expires.millis())
        .fetch_one(&mut *tx)
        .await
        .map_err(doing())?;
        if usize::try_from(all).is_ok_and(|n| n > limits::LOGIN_REQUESTS_MAX) {
            return Err(RequestError::TooMany(""));
        }
        if usize::try_from(here).is_ok_and(|n| n > limits::LOGIN_REQUESTS_PER_SOURCE_MAX) {
            return Err(RequestError::TooMany(" from here"));
        }
        tx.commit().await?;
        Ok((request, secret))
    }

    /// A request that is not over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn login_request(&self, id: &str, now: Timestamp) -> Result<Option<LoginRequest>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM login_request WHERE id = $1 AND expires > $2")
            .bind(id)
            .bind(now.millis())
            .fetch_optional(&self.inner.read)
            .await
            .map_err(StoreError::doing("read a login request"))?;
        row.as_ref().map(decode).transpose()
    }

    /// The device that waits under a code, as somebody typed it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn device_request(&self, typed: &str, now: Timestamp) -> Result<Option<LoginRequest>, StoreError> {
        let Some(code) = normal_code(typed) else { return Ok(None) };
        let row = sqlx::query(
            "SELECT * FROM login_request WHERE user_code = $1 AND kind = 'device' AND state = 'pending' AND expires > $2",
        )
        .bind(code)
        .bind(now.millis())
        .fetch_optional(&self.inner.read)
        .await
        .map_err(StoreError::doing("read a login request"))?;
        row.as_ref().map(decode).transpose()
    }

    /// Confirms a request by a login. For the command line this yields the code that the browser takes back to it.
    ///
    /// # Errors
    /// When it is not there to be confirmed, or not by this user.
    pub async fn approve_login_request(
        &self,
        id: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<Secret>, RequestError> {
        let doing = || StoreError::doing("confirm a login request");
        let code = Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?));
        let mut tx = self.change("confirm a login request").await?;
        // What almost always holds is one statement; where it does not, what is wrong is found out after it.
        let kind: Option<String> = sqlx::query_scalar(
            "UPDATE login_request SET state = 'approved', login_id = $1,
                                      secret_hash = CASE WHEN kind = 'browser' THEN $2 ELSE secret_hash END
             WHERE id = $3 AND state = 'pending' AND expires > $4
               AND EXISTS (SELECT 1 FROM login WHERE login.id = $1 AND ended IS NULL AND login.expires > $4 AND login.created <= $5
                           AND (login_request.kind <> 'link' OR login.user_name = login_request.user_name))
             RETURNING kind",
        )
        .bind(login)
        .bind(secret_hash(code.expose()))
        .bind(id)
        .bind(now.millis())
        .bind(now.plus_millis(limits::TOKEN_EARLY_MS_MAX).millis())
        .fetch_optional(&mut *tx)
        .await
        .map_err(doing())?;
        let Some(kind) = kind else { return Err(why_not_approved(&mut tx, id, login, now).await?) };
        let for_browser = kind == BROWSER;
        tx.commit().await?;
        self.inner.requests.send_modify(|n| *n = n.wrapping_add(1));
        Ok(for_browser.then_some(code))
    }

    /// Says no to a request.
    ///
    /// # Errors
    /// When it does not wait any more.
    pub async fn deny_login_request(&self, id: &str, now: Timestamp) -> Result<(), RequestError> {
        let mut tx = self.change("deny a login request").await?;
        let denied = sqlx::query(
            "UPDATE login_request SET state = 'denied' WHERE id = $1 AND state = 'pending' AND expires > $2",
        )
        .bind(id)
        .bind(now.millis())
        .execute(&mut *tx)
        .await
        .map_err(StoreError::doing("deny a login request"))?;
        tx.commit().await?;
        self.inner.requests.send_modify(|n| *n = n.wrapping_add(1));
        if denied.rows_affected() == 1 { Ok(()) } else { Err(RequestError::Used) }
    }

    /// Gives out the token of a confirmed request, once. A link's is for its target only.
    ///
    /// # Errors
    /// Why not. A wrong proof changes nothing.
    pub async fn redeem_login_request(
        &self,
        id: &str,
        claim: Claim<'_>,
        now: Timestamp,
    ) -> Result<(Secret, TokenInfo, LoginInfo), RequestError> {
        let doing = || StoreError::doing("redeem a login request");
        // The token is made up before the write begins; what it rests on is looked at again inside.
        let request = self.login_request_row(id).await?.ok_or(RequestError::Unknown)?;
        check_claim(&request, claim)?;
        check(&request.request, RequestState::Approved, now)?;
        let login = request.request.login.as_deref().unwrap_or_default();
        let login = self.login(login).await?.filter(|login| login.is_live(now)).ok_or(RequestError::LoginOver)?;
        let targets = match &request.request.asker {
            Asker::Link { target, .. } => Some([target.clone()].into()),
            Asker::Browser { .. } | Asker::Device => None,
        };
        let new = NewToken {
            user: login.user.clone(),
            groups: login.groups.clone(),
            kind: login.kind,
            on_behalf_of: login.on_behalf_of.clone(),
            targets,
            actions: None,
            expires: login.expires,
        };
        let draft = Draft::new(self.keys(), new, Some(&login.id), now)?;
        let mut tx = self.change("redeem a login request").await?;
        let row = sqlx::query(
            "UPDATE login_request SET state = 'redeemed' WHERE id = $1 AND state = 'approved' AND login_id = $2 AND expires > $3;
             SELECT login.*, changes() AS redeemed FROM login WHERE id = $2",
        )
        .bind(id)
        .bind(&login.id)
        .bind(now.millis())
        .fetch_optional(&mut *tx)
        .await
        .map_err(doing())?
        .ok_or(RequestError::LoginOver)?;
        if row.try_get::<i64, _>("redeemed").map_err(doing())? != 1 {
            return Err(RequestError::Used);
        }
        if logins::decode(&row)? != login {
            return Err(RequestError::LoginOver);
        }
        let (token, info) = draft.write(&mut tx, &login.user).await?;
        tx.commit().await?;
        Ok((token, info, login))
    }

    /// Forgets a request that nobody waits for any more, unless it was given out.
    ///
    /// # Errors
    /// When the store cannot be written: it is forgotten when it expires.
    pub async fn withdraw_login_request(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.change("withdraw a login request").await?;
        sqlx::query("DELETE FROM login_request WHERE id = $1 AND state <> 'redeemed'")
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::doing("withdraw a login request"))?;
        tx.commit().await
    }

    /// Changes whenever a request was decided in this process. Those decided in others have to be looked for.
    pub fn login_requests_decided(&self) -> watch::Receiver<u64> {
        self.inner.requests.subscribe()
    }

    async fn login_request_row(&self, id: &str) -> Result<Option<Row>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM login_request WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.inner.read)
            .await
            .map_err(StoreError::doing("read a login request"))?;
        row.as_ref().map(Row::decode).transpose()
    }
}

/// A row with its verifier.
struct Row {
    request: LoginRequest,
    secret_hash: Option<String>,
}

impl Row {
    fn decode(row: &SqliteRow) -> Result<Self, StoreError> {
        let secret_hash = row.try_get("secret_hash").map_err(StoreError::doing("read a login request"))?;
        Ok(Row { request: decode(row)?, secret_hash })
    }
}

/// Whether a request stands where the caller needs it.
fn check(request: &LoginRequest, wanted: RequestState, now: Timestamp) -> Result<(), RequestError> {
    if request.expires <= now {
        return Err(RequestError::Expired);
    }
    match request.state {
        state if state == wanted => Ok(()),
        RequestState::Pending => Err(RequestError::Pending),
        RequestState::Denied => Err(RequestError::Denied),
        RequestState::Approved | RequestState::Redeemed => Err(RequestError::Used),
    }
}

/// Whether somebody is who asked. Nothing else is told before that.
fn check_claim(row: &Row, claim: Claim<'_>) -> Result<(), RequestError> {
    let same = |a: &str, b: &str| constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok();
    let fits = |secret: &str| row.secret_hash.as_deref().is_some_and(|stored| same(stored, &secret_hash(secret)));
    let proven = match (&row.request.asker, claim) {
        (Asker::Browser { challenge, .. }, Claim::Browser { code, verifier }) => {
            let made = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
            let known = same(challenge, &made);
            // Before it is confirmed there is no code to compare.
            known && (row.secret_hash.is_none() || fits(code))
        }
        (Asker::Device, Claim::Device { secret }) => secret.len() == SECRET_CHARS && fits(secret),
        (Asker::Link { .. }, Claim::Link) => true,
        _ => false,
    };
    if proven { Ok(()) } else { Err(RequestError::WrongProof) }
}

/// Why a request was not confirmed by a login.
async fn why_not_approved(
    tx: &mut SqliteConnection,
    id: &str,
    login: &str,
    now: Timestamp,
) -> Result<RequestError, StoreError> {
    let Some(request) = read(tx, id).await? else { return Ok(RequestError::Unknown) };
    if let Err(why) = check(&request, RequestState::Pending, now) {
        return Ok(why);
    }
    let login = logins::read(tx, login).await?.filter(|login| login.is_live(now));
    Ok(match (request.asker, login) {
        (_, None) => RequestError::LoginOver,
        (Asker::Link { user, .. }, Some(login)) if user != login.user => {
            RequestError::WrongUser { asked: user, found: login.user }
        }
        (Asker::Link { .. } | Asker::Browser { .. } | Asker::Device, Some(_)) => RequestError::Used,
    })
}

async fn read(tx: &mut SqliteConnection, id: &str) -> Result<Option<LoginRequest>, StoreError> {
    let row = sqlx::query("SELECT * FROM login_request WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(StoreError::doing("read a login request"))?;
    row.as_ref().map(decode).transpose()
}

fn decode(row: &SqliteRow) -> Result<LoginRequest, StoreError> {
    let column = || StoreError::doing("read a login request");
    let text = |name: &'static str| row.try_get::<Option<String>, _>(name).map_err(column());
    let id: String = row.try_get("id").map_err(column())?;
    let broken = |what: &str| StoreError::Row(format!("`{what}` of login request `{id}`"));
    let given = |name: &'static str| text(name)?.ok_or_else(|| broken(name));
    let kind: String = row.try_get("kind").map_err(column())?;
    let asker = match kind.as_str() {
        BROWSER => Asker::Browser {
            challenge: given("challenge")?,
            redirect: given("redirect")?,
            state: given("client_state")?,
        },
        "device" => Asker::Device,
        "link" => {
            Asker::Link { user: given("user_name")?, target: given("target")?.parse().map_err(|_| broken("target"))? }
        }
        _ => return Err(broken("kind")),
    };
    let state: String = row.try_get("state").map_err(column())?;
    let time = |name: &'static str| row.try_get::<i64, _>(name).map(Timestamp::from_millis).map_err(column());
    Ok(LoginRequest {
        asker,
        code: given("user_code")?,
        source: row.try_get("source").map_err(column())?,
        created: time("created")?,
        expires: time("expires")?,
        state: RequestState::from_name(&state).ok_or_else(|| broken("state"))?,
        login: text("login_id")?,
        id: id.clone(),
    })
}

fn new_code() -> Result<String, StoreError> {
    let mut code = String::with_capacity(CODE_CHARS + 1);
    while code.len() <= CODE_CHARS {
        // 240 is a multiple of 20: every letter is as likely as another.
        for letter in random::<CODE_CHARS>()?.into_iter().filter(|byte| *byte < 240) {
            if code.len() == CODE_CHARS / 2 {
                code.push('-');
            }
            if code.len() <= CODE_CHARS {
                code.extend(CODE_LETTERS.get(usize::from(letter % 20)).map(|&letter| char::from(letter)));
            }
        }
    }
    Ok(code)
}

/// A code in the form in which it is kept, however it was typed.
fn normal_code(typed: &str) -> Option<String> {
    if typed.len() > 4 * CODE_CHARS {
        return None;
    }
    let letters: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '–' | '—'))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    if letters.len() != CODE_CHARS || !letters.bytes().all(|b| CODE_LETTERS.contains(&b)) {
        return None;
    }
    let (first, second) = letters.split_at(CODE_CHARS / 2);
    Some(format!("{first}-{second}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_however_they_are_typed() {
        for _ in 0..100 {
            let code = new_code().unwrap();
            assert_eq!(code.len(), CODE_CHARS + 1, "{code}");
            assert_eq!(normal_code(&code), Some(code.clone()));
            assert_eq!(normal_code(&format!(" {} ", code.to_lowercase().replace('-', " "))), Some(code));
        }
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJA", "BCDF-GHJ1", "BCDFGHJKL", "ÄCDF-GHJK", &"B".repeat(99)] {
            assert_eq!(normal_code(wrong), None, "{wrong}");
        }
    }
}
