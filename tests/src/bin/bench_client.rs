//! A reader and a crowd of idle connections, for bench/run.
fn main() {}
