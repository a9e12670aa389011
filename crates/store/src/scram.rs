//! SCRAM-SHA-256 verifiers of tokens (RFC 5802 section 3, RFC 7677). Only what a server stores is made here; the exchange
//! itself belongs to the protocols.
//!
//! A SCRAM server names one salt before it knows which of a user's tokens the client holds. So the salt belongs to the user,
//! derived from the name by a key, and a user who does not exist has one too, which no stranger can tell apart.

use crate::error::StoreError;
use crate::keys::{Keys, decode_hex};
use crate::store::Store;
use crate::tokens::{self, TokenInfo, TokenState};
use aws_lc_rs::{digest, hmac, pbkdf2};
use lockgate_core::{Identity, Timestamp, is_name, limits};
use std::num::NonZeroU32;

/// One token's half of a SCRAM exchange. A client proof that fits `stored_key` proves the token.
#[derive(Clone)]
pub struct ScramVerifier {
    /// The token.
    pub token_id: String,
    /// Whether the token still counts. A proof of one that does not is refused, and may be told why.
    pub state: TokenState,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// What the server's signature is made with.
    pub server_key: [u8; 32],
    /// Who the token stands for.
    pub identity: Identity,
    /// The rest of what is known of the token.
    pub info: TokenInfo,
}

impl Store {
    /// The salt that a SCRAM exchange for `user` begins with. Every name has one, known or not.
    pub fn scram_salt(&self, user: &str) -> [u8; 16] {
        salt(self.keys(), user)
    }

    /// The verifiers to test a client's proof against: every live token of `user`, and the newest few of the dead ones, so
    /// that their holder can be told to get a new one. Empty for a user without tokens.
    ///
    /// # Errors
    /// When the store cannot be read: refuse the login.
    pub async fn scram_verifiers(&self, user: &str, now: Timestamp) -> Result<Vec<ScramVerifier>, StoreError> {
        if !is_name(user) {
            return Ok(Vec::new());
        }
        let mut verifiers = Vec::new();
        let mut dead = 0;
        for row in tokens::rows_of_user(self, user, now).await? {
            let state = row.info.state(now);
            if state != TokenState::Live {
                dead += 1;
                if dead > limits::TOKENS_DEAD_PER_USER_MAX {
                    continue;
                }
            }
            let (Some(stored_key), Some(server_key)) = (decode_hex(&row.stored_key), decode_hex(&row.server_key))
            else {
                return Err(StoreError::Row(format!("token `{}`", row.info.id)));
            };
            verifiers.push(ScramVerifier {
                token_id: row.info.id.clone(),
                state,
                stored_key: *stored_key,
                server_key: *server_key,
                identity: row.info.identity(),
                info: row.info,
            });
        }
        Ok(verifiers)
    }
}

fn salt(keys: &Keys, user: &str) -> [u8; 16] {
    let mut salt = [0; 16];
    for (to, from) in salt.iter_mut().zip(keys.hmac("scram salt", user.as_bytes())) {
        *to = from;
    }
    salt
}

/// StoredKey and ServerKey of a token. Token texts are ASCII, which SASLprep leaves as it is.
pub(crate) fn verifier(keys: &Keys, user: &str, token: &str) -> ([u8; 32], [u8; 32]) {
    let iterations = NonZeroU32::new(limits::SCRAM_ITERATIONS).unwrap_or(NonZeroU32::MAX);
    let mut salted = zeroize::Zeroizing::new([0; 32]);
    let salted_out: &mut [u8] = salted.as_mut_slice();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt(keys, user), token.as_bytes(), salted_out);
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_slice());
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    (array(stored_key.as_ref()), array(hmac::sign(&key, b"Server Key").as_ref()))
}

fn array(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // RFC 7677 section 3: user `user`, password `pencil`, salt W22ZaJ0SNY7soEsUEjb6gQ==, 4096 iterations. Its client
        // proof p and AuthMessage must fit the StoredKey that this computation gives.
        let salt = [91, 109, 153, 104, 157, 18, 53, 142, 236, 160, 75, 20, 18, 54, 250, 129];
        let mut salted = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(limits::SCRAM_ITERATIONS).unwrap(),
            &salt,
            b"pencil",
            &mut salted,
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let auth = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, b"Server Key").as_ref());
        let signature = hmac::sign(&server_key, auth.as_bytes());
        use base64::Engine as _;
        assert_eq!(
            base64::engine::general_purpose::STANDARD.encode(signature.as_ref()),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }
}
