//! The gateway with real servers and real clients, by topic. One binary, because each test binary links everything.

mod api;
mod calls;
mod cancel;
mod catalog;
mod clients;
mod crash;
mod desync;
mod disk_full;
mod failing_disk;
mod harness;
mod holding;
mod login;
mod masking;
mod methods;
mod mistakes;
mod network;
mod operation;
mod policy;
mod query;
mod recording;
mod replication;
mod rewrite;
mod robustness;
mod titles;
mod versions;
mod wire;
