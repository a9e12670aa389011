//! Passwords of local users, as the sign-in page and the API ask for them: few comparisons at once, guessing waits, refusals
//! are on record, and a user who does not exist costs the same as one who does.

use super::Gateway;
use crate::guesses::Guesses;
use crate::when;
use lockgate_api::{BoxFuture, NoVerifier, NotProven, Passwords};
use lockgate_core::{IdentityKind, Secret, is_name, limits};
use lockgate_identity::{Proven, password};
use lockgate_store::{LOCAL, Person};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The cores that may compare passwords, and who waits for one.
pub struct Comparing {
    guesses: Guesses,
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Comparing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Comparing { guesses: Guesses::default(), cores: Arc::new(Semaphore::new(cores)), waiting: AtomicUsize::new(0) }
    }
}

/// One who waits; counted as long as it is there.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Comparing {
    /// Waits for a core. `None` where too many wait, or it takes too long.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = Place(&self.waiting);
        if before >= limits::PASSWORD_QUEUE_MAX {
            return None;
        }
        let wait = Duration::from_millis(limits::PASSWORD_QUEUE_MS_MAX);
        tokio::time::timeout(wait, Arc::clone(&self.cores).acquire_owned()).await.ok()?.ok()
    }
}

impl Gateway {
    /// Whether a password is a local user's, and the user where it is; else who the user is, where there is one.
    async fn compare(&self, user: &str, offered: &Secret) -> Result<Result<Person, Option<Person>>, NotProven> {
        let known = match is_name(user) {
            true => self.store.password_of(user).await.map_err(|error| failed(&error))?,
            false => None,
        };
        let (person, verifier) = known.map_or((None, None), |(person, verifier)| (Some(person), verifier));
        let Some(turn) = self.comparing.turn().await else { return Err(NotProven::Busy) };
        let offered = offered.clone();
        let compared = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            password::fits(verifier.as_ref(), &offered)
        });
        let fits = compared.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        Ok(match person {
            Some(person) if fits => Ok(person),
            other => Err(other),
        })
    }

    async fn prove_local(&self, user: &str, password: &Secret, source: IpAddr) -> Result<Proven, NotProven> {
        let now = when::now();
        let guess = self.comparing.guesses.begin(source, user, now).map_err(|wait_ms| {
            tracing::debug!(%source, wait_ms, "a password came too soon");
            NotProven::TooSoon(u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000))
        })?;
        let refused = |user: &str, reason: &str| self.note_refusal("sign-in", source, &source, (user, ""), reason);
        let person = match self.compare(user, password).await {
            Ok(Ok(person)) => person,
            Ok(Err(who)) => {
                self.comparing.guesses.wrong(guess, when::now());
                match who {
                    Some(person) => refused(&person.user, "wrong password"),
                    // Not the name: people type their password into the wrong field.
                    None => refused("", "no local user of the name that was given"),
                }
                return Err(NotProven::Wrong);
            }
            Err(unseen) => {
                self.comparing.guesses.unseen(guess);
                return Err(unseen);
            }
        };
        self.comparing.guesses.right(guess, when::now());
        let account = self.store.account(&person.user).await.map_err(|error| failed(&error))?;
        if let Some(why) = account.refusal() {
            refused(&person.user, &why);
            return Err(NotProven::Wrong);
        }
        let groups = account.in_source(LOCAL).map(|record| record.groups.clone()).unwrap_or_default();
        Ok(Proven {
            provider: LOCAL.to_owned(),
            issuer: LOCAL.to_owned(),
            id: format!("{LOCAL}:{}", person.id),
            subject: person.id,
            user: person.user,
            groups,
            kind: IdentityKind::Human,
            on_behalf_of: Vec::new(),
            issued: Some(now),
            expires: now.plus_millis(limits::PASSWORD_PROOF_MS),
            refresh_token: None,
        })
    }
}

impl Passwords for Gateway {
    fn prove<'a>(
        &'a self,
        user: &'a str,
        password: &'a Secret,
        source: IpAddr,
    ) -> BoxFuture<'a, Result<Proven, NotProven>> {
        Box::pin(self.prove_local(user, password, source))
    }

    fn verifier<'a>(&'a self, user: &'a str, password: &'a Secret) -> BoxFuture<'a, Result<Secret, NoVerifier>> {
        Box::pin(async move {
            let Some(turn) = self.comparing.turn().await else { return Err(NoVerifier::Busy) };
            let (user, password) = (user.to_owned(), password.clone());
            let made = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                password::verifier(&user, &password)
            });
            match made.await {
                Ok(Ok(verifier)) => Ok(verifier),
                Ok(Err(password::PasswordError::Unfit(rule))) => Err(NoVerifier::Unfit(rule)),
                Ok(Err(error)) => {
                    failed(&error);
                    Err(NoVerifier::Busy)
                }
                Err(error) => {
                    failed(&error);
                    Err(NoVerifier::Busy)
                }
            }
        })
    }
}

fn failed(error: &dyn std::fmt::Display) -> NotProven {
    tracing::error!(%error, "a password cannot be checked");
    NotProven::Failed
}
