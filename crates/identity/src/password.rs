//! Passwords of local users, for small teams and trials without an identity provider: verifiers by Argon2id (RFC 9106).
//!
//! A comparison fills [`limits::PASSWORD_MEMORY_KIB`] of memory and takes tens of milliseconds of one core, on purpose. Whoever
//! calls bounds how many run at once, and does it on a thread for blocking work. A password proves somebody to the sign-in page
//! only; databases take tokens.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use lockgate_core::{Secret, limits};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// A verifier that nothing fits, for who has none: comparing with it takes as long as with a true one.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a generated password consists of: letters and digits that are not taken for one another.
const READABLE: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// A password that cannot be set, or cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It is too easily guessed, or too long; the text says which.
    #[error("{0}")]
    Unfit(String),
    /// What is stored is no verifier.
    #[error("the stored verifier of a password is not readable")]
    Damaged,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
}

/// Makes the verifier of a password that is to be set for `user`.
///
/// # Errors
/// [`PasswordError::Unfit`] for one that is too short or is the user's name.
pub fn verifier(user: &str, password: &Secret) -> Result<Secret, PasswordError> {
    fits_rules(user, password.expose())?;
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| PasswordError::Random)?;
    let params = Params::new(limits::PASSWORD_MEMORY_KIB, limits::PASSWORD_PASSES, 1, None);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| PasswordError::Damaged)?);
    let hash = argon.hash_password_with_salt(prepared(password.expose()).as_bytes(), &salt);
    Ok(Secret::new(hash.map_err(|_| PasswordError::Damaged)?.to_string()))
}

/// Whether a password is the one that a verifier was made of. Without a verifier the same work is done, and it is not.
///
/// # Errors
/// [`PasswordError::Damaged`] for a verifier that is none.
pub fn fits(verifier: Option<&Secret>, password: &Secret) -> Result<bool, PasswordError> {
    if password.expose().len() > limits::PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let hash = PasswordHash::new(verifier.map_or(NOBODYS, Secret::expose)).map_err(|_| PasswordError::Damaged)?;
    let params = Params::try_from(&hash).map_err(|_| PasswordError::Damaged)?;
    if params.m_cost() > limits::PASSWORD_MEMORY_KIB_MAX || hash.salt.is_none() || hash.hash.is_none() {
        return Err(PasswordError::Damaged);
    }
    match Argon2::default().verify_password(prepared(password.expose()).as_bytes(), &hash) {
        Ok(()) => Ok(verifier.is_some()),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordError::Damaged),
    }
}

/// Makes up a password of 100 random bits, in groups that can be typed.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn generate() -> Result<Secret, PasswordError> {
    let mut bytes = Zeroizing::new([0; 20]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| PasswordError::Random)?;
    let mut text = String::with_capacity(24);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        text.extend(READABLE.get(usize::from(byte & 31)).map(|&b| char::from(b)));
    }
    Ok(Secret::new(text))
}

/// What NIST SP 800-63B asks for: length, and not what is expected. No rules about kinds of characters.
fn fits_rules(user: &str, password: &str) -> Result<(), PasswordError> {
    let unfit = |text: String| Err(PasswordError::Unfit(text));
    if password.chars().count() < limits::PASSWORD_CHARS_MIN {
        return unfit(format!("a password has at least {} characters", limits::PASSWORD_CHARS_MIN));
    }
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return unfit(format!("a password has at most {} bytes", limits::PASSWORD_BYTES_MAX));
    }
    let mut chars = password.chars();
    let first = chars.next();
    if chars.all(|c| Some(c) == first) {
        return unfit("a password is not one character over and over".to_owned());
    }
    let (name, guess) = (user.to_lowercase(), password.to_lowercase());
    let rest = guess.replace(&name, "");
    if !name.is_empty() && rest.chars().count() < limits::PASSWORD_CHARS_MIN / 2 {
        return unfit("a password is not the user's name with little around it".to_owned());
    }
    Ok(())
}

/// The form in which passwords are compared (RFC 8265 by way of SASLprep, as PostgreSQL does): keyboards differ in how they
/// put accents together. What has no such form counts as it is.
fn prepared(password: &str) -> Zeroizing<String> {
    Zeroizing::new(stringprep::saslprep(password).map_or_else(|_| password.to_owned(), Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn only_the_password_fits() {
        let stored = verifier("alice", &secret("correct horse battery")).unwrap();
        assert!(stored.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "OWASP's first choice");
        assert!(fits(Some(&stored), &secret("correct horse battery")).unwrap());
        for wrong in ["", "correct horse batter", "correct horse battery ", "Correct horse battery"] {
            assert!(!fits(Some(&stored), &secret(wrong)).unwrap(), "{wrong}");
        }
        let again = verifier("alice", &secret("correct horse battery")).unwrap();
        assert_ne!(stored.expose(), again.expose(), "each has its own salt");
        assert!(!fits(Some(&stored), &secret(&"x".repeat(limits::PASSWORD_BYTES_MAX + 1))).unwrap());
    }

    #[test]
    fn nobody_has_no_password_and_the_same_work() {
        for guess in ["", "correct horse battery", "nobody"] {
            assert!(!fits(None, &secret(guess)).unwrap());
        }
        let stored = verifier("alice", &secret("correct horse battery")).unwrap();
        let costs = |text: &str| text.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let shape = |text: &str| text.split('$').map(str::len).collect::<Vec<_>>();
        assert_eq!(costs(NOBODYS), costs(stored.expose()));
        assert_eq!(shape(NOBODYS), shape(stored.expose()));
    }

    #[test]
    fn accents_may_be_put_together_either_way() {
        let stored = verifier("alice", &secret("cr\u{e8}me br\u{fb}l\u{e9}e please")).unwrap();
        assert!(fits(Some(&stored), &secret("cre\u{300}me bru\u{302}le\u{301}e please")).unwrap());
    }

    #[test]
    fn what_is_easily_guessed_cannot_be_set() {
        for unfit in ["", "short", "elevenchars", "aaaaaaaaaaaaaaaaaa", "alice.example", "Alice.Example!1"] {
            let refused = verifier("alice.example", &secret(unfit));
            assert!(matches!(refused, Err(PasswordError::Unfit(_))), "{unfit}");
        }
        assert!(matches!(verifier("a", &secret(&"xy".repeat(600))), Err(PasswordError::Unfit(_))));
        assert!(verifier("alice", &secret("alice likes green tea")).is_ok());
        assert!(verifier("alice", &secret("żółw żółw żółw")).is_ok());
    }

    #[test]
    fn what_is_no_verifier_is_named() {
        let greedy = NOBODYS.replace("m=19456", "m=4000000");
        let truncated = NOBODYS.split_at(60).0;
        for damaged in
            ["", "pencil", greedy.as_str(), truncated, "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw"]
        {
            assert!(matches!(fits(Some(&secret(damaged)), &secret("guess")), Err(PasswordError::Damaged)), "{damaged}");
        }
    }

    #[test]
    fn a_generated_password_can_be_set_and_is_never_the_same() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 23);
        verifier("alice", &one).unwrap();
    }
}
