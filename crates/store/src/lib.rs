//! What outlives a session: logins, tokens, people, the index of sessions, approvals, and the key of the data directory.
//!
//! One [`Store`] over SQLite in `data_dir`. Several processes may open it at once (`token create` while `serve` runs); one
//! of them, the gateway, holds [`Store::claim`]. Statements are portable SQL, so that PostgreSQL can follow. The store
//! decides nothing that policy decides, and it keeps no secret in the clear: tokens are verifiers only.

pub mod acts;
pub mod approvals;
mod browsers;
pub mod clock;
mod error;
pub mod journal;
mod keys;
mod labels;
mod lock;
mod logins;
mod once;
mod people;
mod principals;
mod requests;
mod schema;
mod scram;
mod sessions;
mod store;
mod tokens;
mod watch;
mod writer;

pub use error::StoreError;
pub use keys::Keys;
pub use labels::StoredLabel;
pub use logins::{GATEWAY, LoginFilter, LoginInfo, LoginState, NewLogin};
pub use once::OneUse;
pub use people::{
    Account, DirectoryPeople, Group, GroupChange, GroupFilter, LOCAL, NewGroup, NewPerson, PeopleChanges, PeopleFilter,
    Person, PersonChange, PersonLease, Record, Suspension,
};
pub use requests::{Asker, Claim as LoginClaim, LoginRequest, RequestError, RequestState};
pub use scram::ScramVerifier;
pub use sessions::{SessionCounts, SessionFilter, SessionLog, SessionOpened, SessionRow};
pub use store::{Claim, Store};
pub use tokens::{NewToken, TokenChanges, TokenError, TokenFilter, TokenInfo, TokenState, Verified};
pub use watch::{TokenLease, TokenWatch};
