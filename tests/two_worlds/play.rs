//! What a case's client does, and everything it is told.
//!
//! A step is a string (a simple query) or an object: `q` a simple query; `x` Parse, Bind, Describe and Execute with `params`,
//! `pfmt`, `rfmt`, `name`, `portal`, `max`, `more`; `parse`, `bind`, `exec_portal`, `describe_stmt`, `describe_portal`,
//! `close_stmt` alone; `pipeline` a list of those before one Sync; `copy_in` with `data`; `fcall` with `args`, `argfmt`,
//! `resfmt`; `raw` bytes in hex; `drain` and `sleep` in milliseconds. `conn` names another connection.

use lockgate_tests::wire::{self, Client, Frame};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who connects where.
pub struct Place {
    /// The gateway's port, or the server's.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// Token or password.
    pub password: String,
    /// What the startup packet calls the database, before the copy's own name.
    pub prefix: String,
    /// The copy.
    pub database: String,
}

/// Everything the client was told on one connection, after the login.
#[derive(Default)]
pub struct Heard {
    /// Parameters at login.
    pub parameters: Vec<(String, String)>,
    /// Messages, in order.
    pub frames: Vec<Frame>,
    client: Option<Client>,
}

/// What came of a case.
#[derive(Default)]
pub struct Told {
    /// By connection.
    pub heard: BTreeMap<String, Heard>,
    /// The database of it.
    pub database: String,
    /// The case's effect was there afterwards.
    pub effect: bool,
    /// The connection ended without a word.
    pub broken: Option<String>,
}

impl Told {
    /// These messages, on one connection.
    pub fn of(frames: Vec<Frame>, database: String) -> Told {
        let heard = Heard { frames, ..Heard::default() };
        Told { heard: BTreeMap::from([("1".to_owned(), heard)]), database, ..Told::default() }
    }

    /// All messages.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.heard.values().flat_map(|heard| &heard.frames)
    }

    /// Whether there was an error.
    pub fn is_refused(&self) -> bool {
        self.frames().any(|frame| frame.tag == b'E')
    }

    /// Takes the steps. `oid` finds a function's number by its signature.
    pub fn play(&mut self, steps: &[Value], connections: &Value, place: &Place, oid: &mut dyn FnMut(&str) -> u32) {
        for step in steps {
            if let Some(ms) = step["sleep"].as_u64() {
                std::thread::sleep(Duration::from_millis(ms));
                continue;
            }
            let name = match &step["conn"] {
                Value::Null => "1".to_owned(),
                Value::String(name) => name.clone(),
                other => other.to_string(),
            };
            let heard = self.heard.entry(name.clone()).or_insert_with(|| connect(place, &connections[&name]));
            if let Err(broken) = heard.step(step, oid) {
                self.broken.get_or_insert(broken);
            }
        }
    }

    /// Ends the connections.
    pub fn hang_up(&mut self) {
        for heard in self.heard.values_mut() {
            if let Some(mut client) = heard.client.take() {
                client.try_send_raw(&wire::message(b'X', &[]));
            }
        }
    }
}

fn connect(place: &Place, given: &Value) -> Heard {
    let mut parameters = BTreeMap::from([
        ("user".to_owned(), place.user.clone()),
        ("database".to_owned(), format!("{}{}", place.prefix, place.database)),
        ("application_name".to_owned(), "two worlds".to_owned()),
    ]);
    for (name, value) in given.as_object().into_iter().flatten() {
        let value = value.as_str().expect("a string").to_owned();
        let value = match name.as_str() {
            "database" => format!("{}{value}", place.prefix),
            _ => value,
        };
        parameters.insert(name.clone(), value);
    }
    let pairs: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    match Client::login_with(place.port, &pairs, &place.password) {
        Ok(client) => Heard { parameters: client.parameters.clone(), frames: Vec::new(), client: Some(client) },
        Err(frame) => Heard { frames: vec![frame], ..Heard::default() },
    }
}

impl Heard {
    fn step(&mut self, step: &Value, oid: &mut dyn FnMut(&str) -> u32) -> Result<(), String> {
        // After a refused login there is nobody to talk to, and that was said.
        let Some(client) = &mut self.client else { return Ok(()) };
        if let Some(ms) = step["drain"].as_u64() {
            self.frames.extend(client.frames_within(Duration::from_millis(ms)));
            return Ok(());
        }
        let query = step.as_str().or(step["q"].as_str());
        let mut then = None;
        let bytes = if let Some(sql) = query {
            then = Some(wire::message(b'f', b"no data\0"));
            wire::message(b'Q', &wire::text(sql))
        } else if let Some(sql) = step["copy_in"].as_str() {
            let data = step["data"].as_str().expect("data");
            then = Some([wire::message(b'd', data.as_bytes()), wire::message(b'c', &[])].concat());
            wire::message(b'Q', &wire::text(sql))
        } else if let Some(steps) = step["pipeline"].as_array() {
            let mut bytes: Vec<u8> = steps.iter().flat_map(extended).collect();
            bytes.extend(wire::sync());
            bytes
        } else if let Some(signature) = step["fcall"].as_str() {
            function_call(oid(signature), step)
        } else if let Some(hex) = step["raw"].as_str() {
            unhex(hex)
        } else {
            [extended(step), wire::sync()].concat()
        };
        if !client.try_send_raw(&bytes) {
            return Err("the connection does not take bytes".to_owned());
        }
        loop {
            let Some(frame) = client.try_frame() else {
                // Where it ends after a FATAL error, that was said.
                let said = self.frames.last().is_some_and(|f| f.tag == b'E');
                self.client = None;
                return if said { Ok(()) } else { Err("the connection ended without a word".to_owned()) };
            };
            let tag = frame.tag;
            self.frames.push(frame);
            match tag {
                b'Z' => return Ok(()),
                b'G' => {
                    client.try_send_raw(&then.take().unwrap_or_else(|| wire::message(b'f', b"no data\0")));
                }
                b'W' => {
                    self.frames.extend(client.frames_within(Duration::from_millis(1_000)));
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

/// The frames of one extended step, without Sync.
fn extended(step: &Value) -> Vec<u8> {
    let text = |name: &str| step[name].as_str().unwrap_or_default();
    let mut bytes = Vec::new();
    let describe = |default: bool| step["describe"].as_bool().unwrap_or(default);
    if let Some(sql) = step.as_str().or(step["x"].as_str()) {
        bytes.extend(parse(text("name"), sql, &step["ptypes"]));
        bytes.extend(bind(text("portal"), text("name"), step));
        if describe(true) {
            bytes.extend(wire::describe(b'P', text("portal")));
        }
        bytes.extend(wire::execute(text("portal"), number(&step["max"])));
        for more in step["more"].as_array().into_iter().flatten() {
            bytes.extend(wire::execute(text("portal"), number(more)));
        }
    } else if let Some(sql) = step["parse"].as_str() {
        bytes.extend(parse(text("name"), sql, &step["ptypes"]));
    } else if let Some(statement) = step["bind"].as_str() {
        bytes.extend(bind(text("portal"), statement, step));
        if describe(false) {
            bytes.extend(wire::describe(b'P', text("portal")));
        }
        bytes.extend(wire::execute(text("portal"), number(&step["max"])));
    } else if let Some(portal) = step["exec_portal"].as_str() {
        bytes.extend(wire::execute(portal, number(&step["max"])));
    } else if let Some(name) = step["describe_stmt"].as_str() {
        bytes.extend(wire::describe(b'S', name));
    } else if let Some(name) = step["describe_portal"].as_str() {
        bytes.extend(wire::describe(b'P', name));
    } else if let Some(name) = step["close_stmt"].as_str() {
        bytes.extend(wire::message(b'C', &[vec![b'S'], wire::text(name)].concat()));
    } else if step["sync"] == true {
        bytes.extend(wire::sync());
    } else {
        panic!("no such step: {step}");
    }
    bytes
}

fn parse(name: &str, sql: &str, types: &Value) -> Vec<u8> {
    let types: Vec<u32> = types.as_array().into_iter().flatten().map(number).collect();
    let mut body = [wire::text(name), wire::text(sql)].concat();
    body.extend(count(types.len()));
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    wire::message(b'P', &body)
}

fn bind(portal: &str, statement: &str, step: &Value) -> Vec<u8> {
    let formats = |name: &str| -> Vec<u8> {
        let formats: Vec<u32> = step[name].as_array().into_iter().flatten().map(number).collect();
        let each = formats.iter().flat_map(|format| count(*format as usize));
        count(formats.len()).into_iter().chain(each).collect()
    };
    let mut body = [wire::text(portal), wire::text(statement), formats("pfmt")].concat();
    let values: Vec<&Value> = step["params"].as_array().into_iter().flatten().collect();
    body.extend(count(values.len()));
    values.iter().for_each(|value| body.extend(argument(value)));
    body.extend(formats("rfmt"));
    wire::message(b'B', &body)
}

fn function_call(oid: u32, step: &Value) -> Vec<u8> {
    let format = |name: &str| count(number(&step[name]) as usize);
    let values: Vec<&Value> = step["args"].as_array().into_iter().flatten().collect();
    let mut body = oid.to_be_bytes().to_vec();
    body.extend([count(1), format("argfmt"), count(values.len())].concat());
    values.iter().for_each(|value| body.extend(argument(value)));
    body.extend(format("resfmt"));
    wire::message(b'F', &body)
}

/// A parameter: a text, `{"hex": …}`, or null.
fn argument(value: &Value) -> Vec<u8> {
    let bytes = match value {
        Value::Null => return (-1i32).to_be_bytes().to_vec(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Object(_) => unhex(value["hex"].as_str().expect("hex")),
        other => other.to_string().into_bytes(),
    };
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes()[..], &bytes].concat()
}

fn count(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("few").to_be_bytes()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap_or(0).try_into().expect("32 bits")
}

/// Bytes from their hexadecimal form.
pub fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
