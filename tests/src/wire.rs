//! A PostgreSQL client that does what it is told, right or wrong, and keeps every byte it was sent.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for one frame.
const READ_SECONDS_MAX: u64 = 40;

/// One message of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.tag as char, String::from_utf8_lossy(&self.body).escape_debug())
    }
}

impl Frame {
    /// The field of an ErrorResponse or NoticeResponse: `C` code, `M` message, `D` detail, `H` hint.
    pub fn field(&self, which: u8) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        let found = fields.into_iter().find(|field| field[0] == which)?;
        Some(String::from_utf8_lossy(&found[1..]).into_owned())
    }

    /// The cells of a DataRow as text.
    pub fn cells(&self) -> Vec<Option<String>> {
        assert_eq!(self.tag, b'D', "{self:?}");
        let mut rest = &self.body[2..];
        let mut cells = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().expect("four bytes"));
            rest = &rest[4..];
            match usize::try_from(length) {
                Ok(length) => {
                    cells.push(Some(String::from_utf8_lossy(&rest[..length]).into_owned()));
                    rest = &rest[length..];
                }
                Err(_) => cells.push(None),
            }
        }
        cells
    }
}

/// A connection to the gateway or to a server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// Every byte received.
    pub seen: Vec<u8>,
    at: usize,
    /// Process id and key of BackendKeyData, after login.
    pub key: Option<Vec<u8>>,
    /// Parameter status, after login.
    pub parameters: Vec<(String, String)>,
}

impl Client {
    /// Connects and says nothing.
    pub fn connect(port: u16) -> Client {
        Client::over(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"))
    }

    /// Connects from another address of this machine (127.0.0.0/8), which is another source for the gateway.
    ///
    /// # Errors
    /// When nobody takes the connection.
    pub fn connect_from(address: IpAddr, port: u16) -> std::io::Result<Client> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
        Ok(Client::over(socket.into()))
    }

    fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(READ_SECONDS_MAX))).expect("a socket");
        stream.set_write_timeout(Some(Duration::from_secs(READ_SECONDS_MAX))).expect("a socket");
        Client { stream, seen: Vec::new(), at: 0, key: None, parameters: Vec::new() }
    }

    /// Connects and logs in to target `shop`, by whatever method is asked for.
    pub fn login(port: u16, user: &str, token: &str) -> Client {
        Client::login_with(port, &[("user", user), ("database", "shop")], token)
            .unwrap_or_else(|e| panic!("login: {e:?}"))
    }

    /// Logs in with these startup parameters; the server's error if it refuses.
    pub fn login_with(port: u16, parameters: &[(&str, &str)], token: &str) -> Result<Client, Frame> {
        let mut client = Client::connect(port);
        client.send_raw(&startup(3 << 16, parameters));
        client.authenticate(token)?;
        Ok(client)
    }

    /// The same from another address of this machine.
    ///
    /// # Errors
    /// What the gateway said, in its frame.
    pub fn login_from(address: IpAddr, port: u16, parameters: &[(&str, &str)], token: &str) -> Result<Client, Frame> {
        let mut client = Client::connect_from(address, port).expect("somebody listens");
        client.send_raw(&startup(3 << 16, parameters));
        client.authenticate(token)?;
        Ok(client)
    }

    /// Connects from an address and asks for a link; the notice with it comes before anything is asked for.
    ///
    /// # Errors
    /// What the gateway said, in its frame.
    pub fn ask_link(address: IpAddr, port: u16, user: &str) -> Result<(Client, String), Frame> {
        let mut client = Client::connect_from(address, port).expect("somebody listens");
        let parameters = [("user", user), ("database", "shop"), ("options", "-c lockgate.auth=link")];
        client.send_raw(&startup(3 << 16, &parameters));
        loop {
            let frame = client.frame();
            match frame.tag {
                b'N' => return Ok((client, frame.field(b'M').unwrap_or_default())),
                b'R' | b'S' | b'K' => {}
                _ => return Err(frame),
            }
        }
    }

    /// Answers whatever authentication is asked for, up to the first ReadyForQuery.
    pub fn authenticate(&mut self, token: &str) -> Result<(), Frame> {
        let mut scram = None;
        loop {
            let frame = self.frame();
            match frame.tag {
                b'R' => match u32::from_be_bytes(frame.body[..4].try_into().expect("four bytes")) {
                    0 => {}
                    3 => self.send(b'p', &[token.as_bytes(), b"\0"].concat()),
                    10 => {
                        let start = ScramSha256::new(token.as_bytes(), ChannelBinding::unsupported());
                        let message = start.message().to_vec();
                        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
                        self.send(b'p', &[&b"SCRAM-SHA-256\0"[..], &length, &message].concat());
                        scram = Some(start);
                    }
                    11 => {
                        let scram = scram.as_mut().expect("SASL was begun");
                        scram.update(&frame.body[4..]).expect("a SCRAM message");
                        let message = scram.message().to_vec();
                        self.send(b'p', &message);
                    }
                    12 => {
                        let scram = scram.as_mut().expect("SASL was begun");
                        scram.finish(&frame.body[4..]).expect("the server knows the token too");
                    }
                    other => panic!("authentication request {other}"),
                },
                b'S' => {
                    let mut words = frame.body.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned());
                    self.parameters.push((words.next().expect("a name"), words.next().expect("a value")));
                }
                b'K' => self.key = Some(frame.body),
                b'N' | b'v' => {}
                b'Z' => return Ok(()),
                _ => return Err(frame),
            }
        }
    }

    /// Sends bytes as they are; panics if the peer does not take them.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the peer reads");
    }

    /// Sends bytes as they are; `false` if the peer is gone or does not read.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// How long [`Client::try_send_raw`] waits for a peer that does not read.
    pub fn set_write_timeout(&mut self, limit: Duration) {
        self.stream.set_write_timeout(Some(limit)).expect("a socket");
    }

    /// How long this client waits for the next bytes; forty seconds otherwise.
    pub fn set_patience(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a socket");
    }

    /// Sends one message.
    pub fn send(&mut self, tag: u8, body: &[u8]) {
        self.send_raw(&message(tag, body));
    }

    /// The next message; panics if the connection ends first or nothing comes.
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("a message, not the end of the connection")
    }

    /// The next message; `None` at the end of the connection. Panics when nothing comes for long.
    pub fn try_frame(&mut self) -> Option<Frame> {
        loop {
            let rest = &self.seen[self.at..];
            if rest.len() >= 5 {
                let length = u32::from_be_bytes(rest[1..5].try_into().expect("four bytes")) as usize;
                assert!((4..1 << 30).contains(&length), "the peer sent a message of length {length}");
                if rest.len() > length {
                    let frame = Frame { tag: rest[0], body: rest[5..=length].to_vec() };
                    self.at += 1 + length;
                    return Some(frame);
                }
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Reads what is there; `false` at the end of the connection.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.seen.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("nothing came for too long; so far: {}", String::from_utf8_lossy(&self.seen[self.at..]))
            }
            Err(_) => false,
        }
    }

    /// One byte, as after SSLRequest; `None` at the end of the connection.
    pub fn byte(&mut self) -> Option<u8> {
        while self.seen.len() == self.at {
            if !self.read_more() {
                return None;
            }
        }
        self.at += 1;
        Some(self.seen[self.at - 1])
    }

    /// Whether the peer ends the connection within `limit`. What it says before that is kept.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        let mut closed = false;
        while !closed && Instant::now() < deadline {
            let mut buffer = [0; 65_536];
            match self.stream.read(&mut buffer) {
                Ok(0) => closed = true,
                Ok(count) => self.seen.extend_from_slice(&buffer[..count]),
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(_) => closed = true,
            }
        }
        self.stream.set_read_timeout(Some(Duration::from_secs(READ_SECONDS_MAX))).expect("a socket");
        closed
    }

    /// Lets go of what was received, taken or not. The next message may then begin anywhere: only for who waits for the end.
    pub fn forget_seen(&mut self) {
        self.seen.clear();
        self.at = 0;
    }

    /// The messages that come within `limit` from now.
    pub fn frames_within(&mut self, limit: Duration) -> Vec<Frame> {
        self.is_closed_within(limit);
        let mut frames = Vec::new();
        while self.holds_a_frame() {
            frames.extend(self.try_frame());
        }
        frames
    }

    /// Whether a whole message was received that nobody took yet.
    fn holds_a_frame(&self) -> bool {
        let rest = &self.seen[self.at..];
        rest.len() >= 5 && rest.len() > u32::from_be_bytes(rest[1..5].try_into().expect("four bytes")) as usize
    }

    /// Everything up to and including the next ReadyForQuery, or the end of the connection.
    pub fn until_ready(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.try_frame() {
            let ready = frame.tag == b'Z';
            frames.push(frame);
            if ready {
                break;
            }
        }
        frames
    }

    /// Reads up to the next ReadyForQuery and keeps nothing; how many bytes and rows came. Panics on an error response.
    pub fn skip_until_ready(&mut self) -> (u64, u64) {
        let mut buffer = vec![0; 1 << 18];
        let (mut bytes, mut rows) = (0, 0);
        // Of the message that is being passed over: its type and length as far as they are there, and what is left of it.
        let (mut head, mut have, mut left) = ([0u8; 5], 0, 0usize);
        loop {
            let count = self.stream.read(&mut buffer).expect("the peer sends");
            assert!(count > 0, "the connection ended");
            bytes += count as u64;
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                if left > 0 {
                    let step = left.min(rest.len());
                    rest = &rest[step..];
                    left -= step;
                } else {
                    head[have] = rest[0];
                    rest = &rest[1..];
                    have += 1;
                    if have == head.len() {
                        have = 0;
                        left = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
                        match head[0] {
                            b'D' | b'd' => rows += 1,
                            b'E' => panic!("refused: {}", String::from_utf8_lossy(rest)),
                            _ => {}
                        }
                    }
                }
                if left == 0 && have == 0 && head[0] == b'Z' {
                    return (bytes, rows);
                }
            }
        }
    }

    /// A simple query and all that it yields.
    pub fn query(&mut self, sql: &str) -> Vec<Frame> {
        self.send(b'Q', &text(sql));
        self.until_ready()
    }

    /// The only cell of the only row of a simple query.
    pub fn value(&mut self, sql: &str) -> String {
        let frames = self.query(sql);
        let row = frames.iter().find(|f| f.tag == b'D').unwrap_or_else(|| panic!("{sql}: {frames:?}"));
        row.cells()[0].clone().expect("not null")
    }

    /// Half-closes the connection, unless the other side has ended it already.
    pub fn stop_sending(&mut self) {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != std::io::ErrorKind::NotConnected => panic!("a socket: {error}"),
            _ => {}
        }
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub fn reset(self) {
        // Unread data at close makes the kernel send a reset; std has no stable SO_LINGER.
        self.stream.shutdown(Shutdown::Read).ok();
        drop(self.stream);
    }
}

/// The bytes of a startup packet.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    [&length_of(&body)[..], &body].concat()
}

/// The bytes of a CancelRequest for a BackendKeyData.
pub fn cancel(key: &[u8]) -> Vec<u8> {
    let body = [&80_877_102u32.to_be_bytes()[..], key].concat();
    [&length_of(&body)[..], &body].concat()
}

/// The bytes of one message.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &length_of(body), body].concat()
}

/// A string with its terminator.
pub fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), b"\0"].concat()
}

/// Parse: a statement without declared parameter types.
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[text(name), text(sql), vec![0, 0]].concat())
}

/// Bind with text parameters and results in one format (0 text, 1 binary).
pub fn bind(portal: &str, statement: &str, parameters: &[&str], format: u8) -> Vec<u8> {
    let mut body = [text(portal), text(statement), vec![0, 0]].concat();
    body.extend(u16::try_from(parameters.len()).expect("few").to_be_bytes());
    for value in parameters {
        body.extend(i32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 1, 0, format]);
    message(b'B', &body)
}

/// Describe a statement (`S`) or portal (`P`).
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    message(b'D', &[vec![kind], text(name)].concat())
}

/// Execute a portal for at most `rows`, 0 for all.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    message(b'E', &[text(portal), rows.to_be_bytes().to_vec()].concat())
}

/// Sync.
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// The types of the messages, as a readable line.
pub fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| frame.tag as char).collect()
}

/// The first ErrorResponse.
pub fn error(frames: &[Frame]) -> &Frame {
    frames.iter().find(|frame| frame.tag == b'E').unwrap_or_else(|| panic!("no error in {frames:?}"))
}

/// The rows as text cells.
pub fn rows(frames: &[Frame]) -> Vec<Vec<Option<String>>> {
    frames.iter().filter(|frame| frame.tag == b'D').map(Frame::cells).collect()
}

fn length_of(body: &[u8]) -> [u8; 4] {
    u32::try_from(body.len() + 4).expect("a test sends less than 4 GiB").to_be_bytes()
}
