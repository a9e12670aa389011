//! Measures logins: `bench-logins [RATE [SECONDS [KIND]]]` has people and programs log in at a rate (200 a second, for a minute) in every way
//! there is, counts what is refused, and prints a Markdown table; `bench-logins guess [SECONDS [KIND]]` has somebody guess from one address and looks
//! what others feel of it, and whether the time of a refusal tells which users there are.
//!
//! It is the clients, the identity provider and the target at once, all on 127.0.0.1, so that what is measured beside the gateway costs
//! as little as it can. The CPU time is the gateway's own. `LOCKGATE_BIN` names another gateway than the one beside this program.

mod guess;
mod web;

use lockgate_tests::fake::FakeTarget;
use lockgate_tests::issuer::Issuer;
use lockgate_tests::scene::PERMIT_ALL;
use lockgate_tests::{Client, Gateway, GatewayOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// People who log in, in turn.
const USERS: usize = 200;
/// Clients at once, at most.
const CLIENTS: usize = 128;

/// What came of some logins.
pub struct Outcome {
    /// From the moment that each was due, in milliseconds, sorted.
    pub times: Vec<f64>,
    /// What was said to those that were refused.
    pub refused: Vec<String>,
}

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    let guesses = args.next_if(|mode| mode == "guess").is_some();
    let mut number = |usual: usize| args.next().map_or(usual, |text| text.parse().expect("a number"));
    if guesses {
        let seconds = number(60);
        return guess::run(seconds, &args.next().unwrap_or_default());
    }
    let (rate, seconds) = (number(200), number(60));
    let only = args.next().unwrap_or_default();
    let target = idle_target();
    let issuer = Issuer::start();
    let gateway = start(target.port, &issuer.yaml(""));
    println!(
        "| logins at {rate} a second for {seconds} s | made | refused | p50 | p99 | longest | gateway's CPU a login |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let measure = |what: &str, log_in: &(dyn Fn(usize) -> Result<(), String> + Sync)| {
        if !what.contains(&only) {
            return;
        }
        let before = cpu_ms(&gateway);
        let outcome = paced(rate, seconds, log_in);
        let made = outcome.times.len();
        let cpu = (cpu_ms(&gateway) - before) / made.max(1) as f64;
        let at = |part: f64| percentile(&outcome.times, part);
        let (p50, p99, longest) = (at(0.5), at(0.99), at(1.0));
        let refused = outcome.refused.len();
        println!("| {what} | {made} | {refused} | {p50:.1} ms | {p99:.1} ms | {longest:.0} ms | {cpu:.2} ms |");
        if let Some(why) = outcome.refused.first() {
            eprintln!("bench: {what}: refused, for example: {why}");
        }
    };

    let tokens: Vec<(String, String)> = (0..USERS)
        .map(|n| {
            let user = format!("user{n}");
            let token = gateway.token(&user, &["engineers"]);
            (user, token)
        })
        .collect();
    let database = |user: &str, token: &str, more: &[(&str, &str)]| {
        let parameters: Vec<(&str, &str)> =
            [("user", user), ("database", "shop")].into_iter().chain(more.iter().copied()).collect();
        Client::login_with(gateway.port, &parameters, token).map(|_| ()).map_err(|frame| format!("{frame:?}"))
    };
    measure("PostgreSQL, Lockgate token in clear", &|n| {
        let (user, token) = &tokens[n % USERS];
        database(user, token, &[("options", "-c lockgate.auth=token")])
    });
    measure("PostgreSQL, Lockgate token by SCRAM", &|n| {
        let (user, token) = &tokens[n % USERS];
        database(user, token, &[("options", "-c lockgate.auth=scram-sha-256")])
    });
    let jwts: Vec<(String, String)> =
        (0..USERS).map(|n| (format!("user{n}"), issuer.token(&format!("user{n}")))).collect();
    measure("PostgreSQL, JWT of a provider", &|n| {
        let (user, token) = &jwts[n % USERS];
        database(user, token, &[])
    });
    let web = web::Web::new(&gateway);
    measure("API, Lockgate token", &|n| web.whoami(&tokens[n % USERS].1));
    measure("API, JWT of a provider", &|n| web.whoami(&jwts[n % USERS].1));
    measure("browser, OpenID Connect (`lockgate login`)", &|n| web.by_browser(&format!("user{}", n % USERS)));
    measure("device, OpenID Connect (`lockgate login --device`)", &|n| web.by_device(&format!("user{}", n % USERS)));

    // Each from an address of their own: who asks for link after link waits longer and longer.
    measure("link, OpenID Connect (`psql`, `lockgate.auth=link`)", &|n| {
        web.by_link(gateway.port, guess::address(n % USERS), &format!("user{}", n % USERS))
    });

    if !"password".contains(&only) {
        return;
    }
    // As many as two cores can compare: the others wait for their turn.
    let olga = gateway.token("olga", &["platform"]);
    let users: Vec<(String, String)> = (0..20).map(|n| web.local_user(&gateway, &olga, &format!("local{n}"))).collect();
    let before = cpu_ms(&gateway);
    let begun = Instant::now();
    let done = crowd(32, Duration::from_secs(10), &|n| {
        let (user, password) = &users[n % users.len()];
        web.by_password(user, password)
    });
    let rate = done.times.len() as f64 / begun.elapsed().as_secs_f64();
    let cpu = (cpu_ms(&gateway) - before) / done.times.len().max(1) as f64;
    println!(
        "\nLocal users by password, 32 at once: {rate:.0} a second, {} refused, p50 {:.0} ms, gateway's CPU {cpu:.1} ms a login.",
        done.refused.len(),
        percentile(&done.times, 0.5)
    );
    if let Some(why) = done.refused.first() {
        eprintln!("bench: passwords: refused, for example: {why}");
    }
}

/// A gateway in front of a target that does nothing, where everybody may do everything.
pub fn start(port: u16, identity: &str) -> Gateway {
    Gateway::start(GatewayOptions {
        target_port: port,
        database: "nothing".to_owned(),
        target_extra: "    tls: disable".to_owned(),
        extra: String::new(),
        identity: identity.to_owned(),
        policies: PERMIT_ALL.to_owned(),
        data_dir: None,
        environment: Vec::new(),
    })
}

/// A target that lets everybody in and waits for them to go.
pub fn idle_target() -> FakeTarget {
    FakeTarget::start(|mut gateway: TcpStream| {
        let mut head = [0; 4];
        if gateway.read_exact(&mut head).is_err() {
            return;
        }
        let mut body = vec![0; u32::from_be_bytes(head) as usize - 4];
        if gateway.read_exact(&mut body).is_err() {
            return;
        }
        let mut welcome = vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0];
        let settings = [
            ("server_version", "15.0"),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("IntervalStyle", "postgres"),
            ("is_superuser", "off"),
            ("session_authorization", "app"),
            ("application_name", ""),
        ];
        for (name, value) in settings {
            let text = format!("{name}\0{value}\0");
            welcome.push(b'S');
            welcome.extend(u32::try_from(text.len() + 4).expect("short").to_be_bytes());
            welcome.extend(text.as_bytes());
        }
        welcome.extend([b'K', 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2, b'Z', 0, 0, 0, 5, b'I']);
        if gateway.write_all(&welcome).is_ok() {
            let _ = gateway.read_to_end(&mut Vec::new());
        }
    })
}

/// Logs in at a rate, whether or not the logins before are done.
fn paced(rate: usize, seconds: usize, log_in: &(dyn Fn(usize) -> Result<(), String> + Sync)) -> Outcome {
    let begun = Instant::now();
    let all = rate * seconds;
    gather(CLIENTS, &|n| {
        if n >= all {
            return None;
        }
        let due = begun + Duration::from_secs_f64(n as f64 / rate as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        Some((due, log_in(n)))
    })
}

/// Logs in one after the other, some at once, for a time.
pub fn crowd(clients: usize, time: Duration, log_in: &(dyn Fn(usize) -> Result<(), String> + Sync)) -> Outcome {
    let end = Instant::now() + time;
    gather(clients, &|n| {
        let due = Instant::now();
        (due < end).then(|| (due, log_in(n)))
    })
}

fn gather(clients: usize, next: &(dyn Fn(usize) -> Option<(Instant, Result<(), String>)> + Sync)) -> Outcome {
    let turn = AtomicUsize::new(0);
    let outcome = Arc::new(Mutex::new(Outcome { times: Vec::new(), refused: Vec::new() }));
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while let Some((due, done)) = next(turn.fetch_add(1, Ordering::Relaxed)) {
                    let time = due.elapsed().as_secs_f64() * 1_000.0;
                    let mut outcome = outcome.lock().expect("nobody panicked");
                    match done {
                        Ok(()) => outcome.times.push(time),
                        Err(why) => outcome.refused.push(why),
                    }
                }
            });
        }
    });
    let mut outcome = Arc::into_inner(outcome).expect("all have ended").into_inner().expect("nobody panicked");
    outcome.times.sort_by(f64::total_cmp);
    outcome
}

/// Of sorted times, the one that this part is not above.
pub fn percentile(times: &[f64], part: f64) -> f64 {
    let at = (times.len().saturating_sub(1)) as f64 * part;
    times.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

/// The gateway's CPU time so far.
pub fn cpu_ms(gateway: &Gateway) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number");
    // USER_HZ is 100 wherever Linux runs.
    ticks * 10.0
}
