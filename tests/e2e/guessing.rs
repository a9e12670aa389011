//! Floods of wrong proofs from one address: they are slow, whoever has a right proof is let in meanwhile, beside them and elsewhere,
//! and what they hold is bounded.

use lockgate_core::limits::{API_LOGIN_FAILURES_MAX, LATE_ANSWERS_PER_SOURCE_MAX};
use lockgate_tests::process::eventually;
use lockgate_tests::{Client, Gateway, api, scene};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));
/// How long a flood lasts at least.
const FLOOD: Duration = Duration::from_secs(4);

fn log_in(gateway: &Gateway, from: IpAddr, user: &str, token: &str, method: &str) -> bool {
    let options = format!("-c lockgate.auth={method}");
    let parameters = [("user", user), ("database", "shop"), ("options", options.as_str())];
    Client::login_from(from, gateway.port, &parameters, token).is_ok()
}

/// Has `guessers` guess side by side while `meanwhile` runs, for [`FLOOD`] at least. How many guesses were answered.
fn flood(guessers: usize, guess: impl Fn(usize) + Sync, meanwhile: impl FnOnce()) -> usize {
    let (turn, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..guessers {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    guess(turn.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        let begun = Instant::now();
        // Past what is free.
        std::thread::sleep(Duration::from_millis(500));
        meanwhile();
        std::thread::sleep(FLOOD.saturating_sub(begun.elapsed()));
        over.store(true, Ordering::Relaxed);
    });
    turn.into_inner()
}

fn descriptors(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("it runs").count()
}

#[test]
fn who_tries_one_name_after_the_other_is_slow_and_nobody_else_is() {
    let scene = scene();
    let gateway = &scene.gateway;
    let (alice, frank) = (scene.alice(), scene.frank());
    let here = IpAddr::from([127, 0, 0, 1]);
    for (method, wrong) in [("token", "lg_wrong"), ("scram-sha-256", "lg_wrong")] {
        let begun = Instant::now();
        let guesses = flood(
            LATE_ANSWERS_PER_SOURCE_MAX / 2,
            |n| assert!(!log_in(gateway, here, &format!("{method}{n}"), wrong, method)),
            || {
                for _ in 0..20 {
                    assert!(log_in(gateway, ELSEWHERE, "alice", &alice, method), "elsewhere");
                    assert!(log_in(gateway, here, "frank", &frank, method), "beside them");
                }
            },
        );
        // Each waits two seconds for its answer once there were some; as fast as they come these would be thousands.
        let seconds = usize::try_from(begun.elapsed().as_secs()).expect("short") + 1;
        assert!(guesses < 30 + LATE_ANSWERS_PER_SOURCE_MAX / 2 * (3 + seconds / 2), "{guesses} guesses in {seconds} s");
    }
}

#[test]
fn a_crowd_of_guessers_takes_turns_and_is_bounded() {
    let scene = scene();
    let gateway = &scene.gateway;
    let (alice, frank) = (scene.alice(), scene.frank());
    let here = IpAddr::from([127, 0, 0, 1]);
    let (before, memory) = (descriptors(gateway), gateway.resident_kib());
    let crowd = 3 * LATE_ANSWERS_PER_SOURCE_MAX;
    let most = AtomicUsize::new(0);
    let begun = Instant::now();
    let guesses = flood(
        crowd,
        |n| assert!(!log_in(gateway, here, &format!("nobody{n}"), "lg_wrong", "token")),
        || {
            for _ in 0..5 {
                assert!(log_in(gateway, ELSEWHERE, "alice", &alice, "token"), "elsewhere");
                // In turn: later than elsewhere, and let in.
                assert!(log_in(gateway, here, "frank", &frank, "token"), "beside them");
                most.fetch_max(descriptors(gateway), Ordering::Relaxed);
            }
        },
    );
    // Two hundred turns a second, and what is free.
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("short") + 1;
    assert!(guesses < crowd + 30 + 300 * seconds, "{guesses} guesses in {seconds} s");
    let most = most.into_inner();
    assert!(most <= before + crowd + 100, "{most} descriptors, {before} before");
    let grown = gateway.resident_kib().saturating_sub(memory);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    eventually("what they held is given back", Duration::from_secs(20), || descriptors(gateway) <= before + 20);
}

#[test]
fn the_api_tells_who_guesses_to_wait_and_tells_it_late() {
    let scene = scene();
    let gateway = &scene.gateway;
    let (alice, frank) = (scene.alice(), scene.frank());
    let here = web(gateway, IpAddr::from([127, 0, 0, 1]));
    let elsewhere = web(gateway, ELSEWHERE);
    let whoami = |client: &reqwest::Client, token: &str| {
        let request = client.get(format!("{}/api/v1/whoami", gateway.url())).bearer_auth(token);
        let response = api::wait(async { request.send().await }).expect("an answer");
        (response.status().as_u16(), response.headers().get("retry-after").is_some())
    };
    let (unseen, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    flood(
        LATE_ANSWERS_PER_SOURCE_MAX / 2,
        |n| match whoami(&here, &format!("lg_{n:012}_{}", "A".repeat(43))) {
            (429, true) => drop(unseen.fetch_add(1, Ordering::Relaxed)),
            (401, false) => drop(seen.fetch_add(1, Ordering::Relaxed)),
            other => panic!("{other:?}"),
        },
        || {
            for _ in 0..20 {
                assert_eq!(whoami(&elsewhere, &alice).0, 200, "elsewhere");
                assert_eq!(whoami(&here, &frank).0, 200, "beside them");
            }
        },
    );
    let half_seconds = usize::try_from(begun.elapsed().as_secs()).expect("short") * 2 + 3;
    let (unseen, seen) = (unseen.into_inner(), seen.into_inner());
    // Those side by side pass the limit together.
    let free = usize::try_from(API_LOGIN_FAILURES_MAX).expect("few") + LATE_ANSWERS_PER_SOURCE_MAX;
    assert!((1..=free).contains(&seen), "{seen}");
    assert!(unseen <= LATE_ANSWERS_PER_SOURCE_MAX / 2 * half_seconds, "{unseen} in {half_seconds} half seconds");
}

/// A client of the API from another address of this machine.
fn web(gateway: &Gateway, from: IpAddr) -> reqwest::Client {
    let pem = std::fs::read(gateway.authority()).expect("the authority's certificate");
    let client = reqwest::Client::builder()
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).expect("PEM"))
        .local_address(from)
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .build();
    client.expect("a client")
}
