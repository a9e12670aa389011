//! Targets that misbehave: a server that does something of its own at once, and one that meddles with a real server's answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A listener whose every connection is handled by a function, in a thread of its own.
#[derive(Debug)]
pub struct FakeTarget {
    /// Where it listens.
    pub port: u16,
    connections: Arc<AtomicUsize>,
}

impl FakeTarget {
    /// Starts it. It ends with the process.
    pub fn start(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> FakeTarget {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (handle, counted) = (Arc::new(handle), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let handle = Arc::clone(&handle);
                std::thread::spawn(move || handle(stream));
            }
        });
        FakeTarget { port, connections }
    }

    /// Passes everything on to a real server, but answers itself where `meddle` knows better: it is given each Query or Parse
    /// of the gateway and yields the bytes to send to the gateway in place of the server's, after which the connection closes.
    pub fn meddle(real: u16, meddle: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> FakeTarget {
        let meddle = Arc::new(meddle);
        FakeTarget::start(move |gateway| {
            let Ok(server) = TcpStream::connect(("127.0.0.1", real)) else { return };
            let (mut from, mut to) = (server.try_clone().expect("a socket"), gateway.try_clone().expect("a socket"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            relay(gateway, server, &*meddle);
        })
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn relay(mut gateway: TcpStream, mut server: TcpStream, meddle: &dyn Fn(&str) -> Option<Vec<u8>>) -> Option<()> {
    // The startup packet, then messages. The target is configured without TLS.
    let mut head = vec![0; 4];
    gateway.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_be_bytes(head[..].try_into().ok()?) as usize - 4];
    gateway.read_exact(&mut body).ok()?;
    server.write_all(&[head, body].concat()).ok()?;
    loop {
        let mut head = vec![0; 5];
        gateway.read_exact(&mut head).ok()?;
        let mut body = vec![0; u32::from_be_bytes(head[1..].try_into().ok()?) as usize - 4];
        gateway.read_exact(&mut body).ok()?;
        if matches!(head[0], b'Q' | b'P')
            && let Some(answer) = meddle(&String::from_utf8_lossy(&body))
        {
            gateway.write_all(&answer).ok()?;
            std::thread::sleep(std::time::Duration::from_millis(300));
            let _ = gateway.shutdown(Shutdown::Both);
            return None;
        }
        server.write_all(&[head, body].concat()).ok()?;
    }
}
