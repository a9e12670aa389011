//! Somebody guesses from one address: what others feel of it, and whether the time of a refusal tells which users there are.

use crate::web::Web;
use crate::{idle_target, percentile, start};
use lockgate_tests::{Client, Gateway};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Wrong logins from one address, at most.
const GUESSES: usize = 10_000;
/// Guesses at once.
const GUESSERS: usize = 64;
/// The same where more come than are answered late.
const CROWD: usize = 240;
/// Logins of others whose time is taken before.
const LOGINS: usize = 300;
/// Refusals whose time is taken, of users there are and of users there are not.
const REFUSALS: usize = 1_000;
/// Refusals of one user from one address that cost no wait anywhere.
const FREE: usize = 3;
/// Refusals from one address that cost no wait anywhere.
const FREE_WIDE: usize = 30;
/// Where somebody is who has nothing to do with the guesses.
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 9, 9, 9));

/// Measures, and prints Markdown tables. Guesses that wait for their answers are slow: after so many seconds it is enough of each kind.
pub fn run(seconds: usize, only: &str) {
    let target = idle_target();
    let gateway = start(target.port, "");
    let olga = gateway.token("olga", &["platform"]);
    let (alice, bob) = (gateway.token("alice", &["engineers"]), gateway.token("bob", &["engineers"]));
    let dana = Web::new(&gateway).local_user(&gateway, &olga, "dana");
    let erin = Web::new(&gateway).local_user(&gateway, &olga, "erin");
    let away = Web::from(&gateway, ELSEWHERE);
    println!(
        "| wrong logins from one address | at once | answered | a second | unseen | elsewhere: p50 before | meanwhile | ratio | beside them: p50 before | meanwhile |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let wrong = spoilt(&alice);
    type LogIn<'a> = &'a (dyn Fn() -> bool + Sync);
    let shown = |what: &str, guessers: usize, [far, near]: [LogIn<'_>; 2], guess: &(dyn Fn(usize) -> bool + Sync)| {
        if !what.contains(only) {
            return;
        }
        // Where the guesser has all the places of an address, its neighbours try again.
        let near = || (0..100).any(|_| near());
        let near: LogIn<'_> = &near;
        let before = [far, near].map(|log_in| median(LOGINS, log_in));
        let attack = under_attack(guessers, Duration::from_secs(seconds as u64), [far, near], guess);
        let [far, near] = attack.medians;
        println!(
            "| {what} | {guessers} | {} | {:.0} | {} | {:.2} ms | {far:.2} ms | {:.2} | {:.2} ms | {near:.2} ms |",
            attack.answered,
            attack.a_second,
            attack.unseen,
            before[0],
            far / before[0],
            before[1]
        );
    };
    // Each from an address of its own: what is counted of one kind is not to count for the next.
    let mut row = 0_u8;
    let mut place = || {
        row += 1;
        IpAddr::from([127, 2, 0, row])
    };
    let postgres = |from: IpAddr, user: &str, token: &str, method: &str| database(&gateway, from, user, token, method);
    for (name, method) in [("token", "token"), ("SCRAM", "scram-sha-256")] {
        let far = || postgres(ELSEWHERE, "alice", &alice, method);
        let here = place();
        shown(
            &format!("PostgreSQL by {name}, one user"),
            GUESSERS,
            [&far, &|| postgres(here, "bob", &bob, method)],
            &|_| !postgres(here, "mallory", &wrong, method),
        );
        for guessers in [GUESSERS, CROWD] {
            let here = place();
            shown(
                &format!("PostgreSQL by {name}, ever other users"),
                guessers,
                [&far, &|| postgres(here, "bob", &bob, method)],
                &|n| !postgres(here, &format!("mallory{n}"), &wrong, method),
            );
        }
    }
    for guessers in [GUESSERS, CROWD] {
        let web = Web::from(&gateway, place());
        shown("API", guessers, [&|| away.whoami(&alice).is_ok(), &|| web.whoami(&bob).is_ok()], &|_| {
            web.whoami(&wrong).is_err_and(|why| !why.contains("429"))
        });
        let web = Web::from(&gateway, place());
        shown(
            "sign-in form",
            guessers,
            [&|| away.by_password(&erin.0, &erin.1).is_ok(), &|| web.by_password(&dana.0, &dana.1).is_ok()],
            &|n| web.password_status(&format!("mallory{}", n % 50), "a wrong password, truly") != 429,
        );
    }
    if !"refusals".contains(only) {
        return;
    }

    println!("\n| refusals, {REFUSALS} each | p50 of users there are | of others | difference |");
    println!("|---|---:|---:|---:|");
    let users: Vec<String> = (0..REFUSALS.div_ceil(FREE)).map(|n| format!("known{n}")).collect();
    let tokens: Vec<String> = users.iter().map(|user| gateway.token(user, &["engineers"])).collect();
    let another = gateway.token("another", &["engineers"]);
    for method in ["token", "scram-sha-256"] {
        let refusal = |n: usize, user: &str| {
            // Another address for every few, or the guesser would wait.
            let from = address(2 * n / FREE_WIDE + if method == "token" { 0 } else { 10_000 });
            let begun = Instant::now();
            assert!(!database(&gateway, from, user, &another, method), "{user} was let in");
            begun.elapsed().as_secs_f64() * 1_000.0
        };
        compare(&format!("PostgreSQL, {method}"), &|n| refusal(n, &users[n / FREE]), &|n| {
            refusal(n, &format!("nobody{}", n / FREE))
        });
    }
    let places: Vec<Web> =
        (0..(2 * REFUSALS).div_ceil(FREE_WIDE)).map(|n| Web::from(&gateway, address(20_000 + n))).collect();
    let refusal = |n: usize, token: &str| {
        let begun = Instant::now();
        assert!(places[2 * n / FREE_WIDE].whoami(token).is_err());
        begun.elapsed().as_secs_f64() * 1_000.0
    };
    compare("API", &|n| refusal(n, &spoilt(&tokens[n / FREE])), &|n| {
        refusal(n, &format!("lg_{:0>12}_{}", n, "A".repeat(43)))
    });
    let web = Web::new(&gateway);
    let people: Vec<(String, String)> =
        (0..50).map(|n| web.local_user(&gateway, &olga, &format!("person{n}"))).collect();
    // Another address for every few, or the guesser would wait.
    let places: Vec<Web> = (0..REFUSALS / 5).map(|n| Web::from(&gateway, address(n))).collect();
    let refusal = |at: usize, user: &str| {
        let begun = Instant::now();
        assert_eq!(places[at].password_status(user, "a wrong password, truly"), 403, "{user}");
        begun.elapsed().as_secs_f64() * 1_000.0
    };
    // A person is guessed at twenty times, from wherever, before anybody waits.
    compare("sign-in form", &|n| refusal(n / 5, &people[n % people.len()].0), &|n| {
        refusal(n / 5, &format!("nobody{n}"))
    });
}

/// A token with another secret.
fn spoilt(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 10);
    let turned: String = last.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    format!("{rest}{turned}")
}

/// One of this machine's addresses that nobody else has here.
pub fn address(n: usize) -> IpAddr {
    let [high, low] = u16::try_from(n + 2).expect("few").to_be_bytes();
    IpAddr::from([127, 1, high, low])
}

fn database(gateway: &Gateway, from: IpAddr, user: &str, token: &str, method: &str) -> bool {
    let options = format!("-c lockgate.auth={method}");
    let parameters = [("user", user), ("database", "shop"), ("options", options.as_str())];
    Client::login_from(from, gateway.port, &parameters, token).is_ok()
}

fn timed(log_in: &dyn Fn() -> bool) -> f64 {
    let begun = Instant::now();
    assert!(log_in(), "the right proof is refused");
    begun.elapsed().as_secs_f64() * 1_000.0
}

fn median(count: usize, log_in: &dyn Fn() -> bool) -> f64 {
    middle((0..count).map(|_| timed(log_in)).collect())
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    percentile(&times, 0.5)
}

/// What was seen while somebody guessed.
struct Attack {
    /// Of others' logins, elsewhere and beside the guesser.
    medians: [f64; 2],
    answered: usize,
    a_second: f64,
    unseen: usize,
}

fn under_attack(
    guessers: usize,
    at_most: Duration,
    [far, near]: [&(dyn Fn() -> bool + Sync); 2],
    guess: &(dyn Fn(usize) -> bool + Sync),
) -> Attack {
    let (turn, answered, unseen) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    let end = begun + at_most;
    let mut times = [Vec::new(), Vec::new()];
    let goes_on = || turn.load(Ordering::Relaxed) < GUESSES && Instant::now() < end;
    std::thread::scope(|scope| {
        for _ in 0..guessers {
            scope.spawn(|| {
                while goes_on() {
                    if !guess(turn.fetch_add(1, Ordering::Relaxed)) {
                        unseen.fetch_add(1, Ordering::Relaxed);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let beside = scope.spawn(|| {
            let mut times = Vec::new();
            while goes_on() {
                times.push(timed(near));
            }
            times
        });
        while goes_on() {
            times[0].push(timed(far));
        }
        times[1] = beside.join().expect("nobody panicked");
    });
    let answered = answered.into_inner();
    Attack {
        medians: times.map(middle),
        answered,
        a_second: answered as f64 / begun.elapsed().as_secs_f64(),
        unseen: unseen.into_inner(),
    }
}

/// Refusals of users there are and of others, by turns, and by turns one and the other first: what the first leaves to do is in the
/// time of the second.
fn compare(what: &str, known: &dyn Fn(usize) -> f64, unknown: &dyn Fn(usize) -> f64) {
    let (mut known, mut unknown): (Vec<f64>, Vec<f64>) = (0..REFUSALS)
        .map(|n| {
            if n % 2 == 0 {
                return (known(n), unknown(n));
            }
            let other = unknown(n);
            (known(n), other)
        })
        .unzip();
    known.sort_by(f64::total_cmp);
    unknown.sort_by(f64::total_cmp);
    let (known, unknown) = (percentile(&known, 0.5), percentile(&unknown, 0.5));
    println!("| {what} | {known:.2} ms | {unknown:.2} ms | {:.2} ms |", (known - unknown).abs());
}
