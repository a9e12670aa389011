//! What `bench/run` needs and pgbench has not: a reader that costs next to nothing, and a crowd of idle connections.
//!
//! `bench-client read PORT USER DATABASE SQL` prints seconds, bytes and rows; `bench-client idle PORT USER DATABASE COUNT` prints
//! `ready` once all are logged in and holds them until its standard input ends. The password is in PGPASSWORD. Without TLS.

use lockgate_tests::Client;
use std::io::Read;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, port, user, database, last] = args.as_slice() else {
        panic!("usage: bench-client read|idle PORT USER DATABASE SQL|COUNT");
    };
    let password = std::env::var_os("PGPASSWORD").unwrap_or_default().into_string().expect("UTF-8");
    let port = port.parse().expect("a port");
    let login = || {
        let parameters = [("user", user.as_str()), ("database", database.as_str())];
        Client::login_with(port, &parameters, &password).unwrap_or_else(|refused| panic!("{refused:?}"))
    };
    match mode.as_str() {
        "read" => {
            let mut client = login();
            let begun = Instant::now();
            client.send(b'Q', &lockgate_tests::wire::text(last));
            let (bytes, rows) = client.skip_until_ready();
            println!("{} {bytes} {rows}", begun.elapsed().as_secs_f64());
        }
        "idle" => {
            let count: usize = last.parse().expect("a count");
            let crowd: Vec<Client> = (0..count).map(|_| login()).collect();
            println!("ready");
            let _ = std::io::stdin().read(&mut [0]);
            drop(crowd);
        }
        other => panic!("unknown mode `{other}`"),
    }
}
