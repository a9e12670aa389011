//! The sessions that are open now, and the way to reach each: to cancel what it runs, to end it, to judge it again.
//!
//! Each session has a bounded channel of its own. A sender never waits: a full channel means that the session has been
//! told already.

use lockgate_core::{Identity, SessionId, Timestamp};
use lockgate_session::wire::Cut;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a session is told from outside.
pub enum Control {
    /// Stop what runs or waits.
    Cancel,
    /// End.
    Cut(Cut),
}

/// Messages that may wait for one session.
const CONTROL_QUEUE: usize = 4;

/// What is known of an open session.
#[derive(Clone)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub identity: Arc<Identity>,
    /// On which target.
    pub target: String,
    /// In which database of it, as asked for.
    pub database: Option<String>,
    /// From where.
    pub peer: SocketAddr,
    /// Since when.
    pub opened: Timestamp,
    /// Over which protocol.
    pub protocol: &'static str,
    control: mpsc::Sender<Control>,
}

#[derive(Default)]
struct Tables {
    sessions: HashMap<SessionId, LiveSession>,
    cancel_keys: HashMap<i32, Vec<(Vec<u8>, SessionId)>>,
}

/// The open sessions.
#[derive(Default)]
pub struct Live {
    tables: Mutex<Tables>,
}

/// An entry that goes away with the session.
pub struct Registered {
    live: Arc<Live>,
    id: SessionId,
    /// Where the session hears what it is told.
    pub control: mpsc::Receiver<Control>,
}

/// What a new entry says.
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub identity: Arc<Identity>,
    /// On which target.
    pub target: String,
    /// In which database of it, as asked for.
    pub database: Option<String>,
    /// From where.
    pub peer: SocketAddr,
    /// Since when.
    pub opened: Timestamp,
    /// Over which protocol.
    pub protocol: &'static str,
}

impl Live {
    /// Enters a session; `None` when there are `max` already.
    pub fn register(self: &Arc<Self>, new: NewSession, max: usize) -> Option<Registered> {
        let (sender, receiver) = mpsc::channel(CONTROL_QUEUE);
        let mut tables = self.tables.lock();
        if tables.sessions.len() >= max {
            return None;
        }
        let NewSession { id, identity, target, database, peer, opened, protocol } = new;
        tables
            .sessions
            .insert(id, LiveSession { id, identity, target, database, peer, opened, protocol, control: sender });
        Some(Registered { live: Arc::clone(self), id, control: receiver })
    }

    /// The sessions that are open now.
    pub fn list(&self) -> Vec<LiveSession> {
        self.tables.lock().sessions.values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tables.lock().sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a session. False when it is not open.
    pub fn cut(&self, id: SessionId, cut: Cut) -> bool {
        let sender = self.tables.lock().sessions.get(&id).map(|s| s.control.clone());
        sender.is_some_and(|s| s.try_send(Control::Cut(cut)).is_ok())
    }

    /// Cancels what the owner of this key runs. Nothing tells the caller whether there was one.
    pub fn cancel(&self, pid: i32, key: &[u8]) {
        let sender = {
            let tables = self.tables.lock();
            let owner = tables.cancel_keys.get(&pid).and_then(|keys| {
                keys.iter()
                    .find(|(k, _)| aws_lc_rs::constant_time::verify_slices_are_equal(k, key).is_ok())
                    .map(|(_, id)| *id)
            });
            owner.and_then(|id| tables.sessions.get(&id)).map(|s| s.control.clone())
        };
        if let Some(sender) = sender {
            // Full: the session has been told to stop already.
            let _ = sender.try_send(Control::Cancel);
        }
    }
}

impl Registered {
    /// From now on this key cancels the session.
    pub fn add_cancel_key(&self, pid: i32, key: Vec<u8>) {
        self.live.tables.lock().cancel_keys.entry(pid).or_default().push((key, self.id));
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut tables = self.live.tables.lock();
        tables.sessions.remove(&self.id);
        let id = self.id;
        tables.cancel_keys.retain(|_, keys| {
            keys.retain(|(_, owner)| *owner != id);
            !keys.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::IdentityKind;

    fn session(n: i64) -> NewSession {
        NewSession {
            id: SessionId::new(Timestamp::from_millis(n), 1),
            identity: Arc::new(Identity {
                user: "alice".into(),
                groups: Default::default(),
                kind: IdentityKind::Human,
                directories: Vec::new(),
                on_behalf_of: Vec::new(),
                token_id: None,
                actions: None,
            }),
            target: "orders".into(),
            database: None,
            peer: "127.0.0.1:1".parse().unwrap(),
            opened: Timestamp::from_millis(n),
            protocol: "postgres",
        }
    }

    #[test]
    fn a_key_cancels_its_owner_and_nobody_else() {
        let live = Arc::new(Live::default());
        let mut one = live.register(session(1), 10).unwrap();
        let mut two = live.register(session(2), 10).unwrap();
        // The same process id on two targets is possible.
        one.add_cancel_key(77, vec![1, 2, 3, 4]);
        two.add_cancel_key(77, vec![5, 6, 7, 8]);
        live.cancel(77, &[5, 6, 7, 8]);
        live.cancel(77, &[5, 6, 7]);
        live.cancel(78, &[1, 2, 3, 4]);
        assert!(one.control.try_recv().is_err());
        assert!(matches!(two.control.try_recv(), Ok(Control::Cancel)));
        assert!(two.control.try_recv().is_err());
        drop(two);
        live.cancel(77, &[5, 6, 7, 8]);
        assert_eq!(live.len(), 1);
    }

    #[test]
    fn a_limit_holds() {
        let live = Arc::new(Live::default());
        let _one = live.register(session(1), 1).unwrap();
        assert!(live.register(session(2), 1).is_none());
    }
}
