//! The names of every metric, in one place, so that what counts and what publishes agree. Names only: the counting is done
//! in the shells, with the `metrics` facade.

/// Gauge: sessions that are open.
pub const SESSIONS_LIVE: &str = "lockgate_sessions_live";
/// Counter: sessions opened, by `protocol`.
pub const SESSIONS_TOTAL: &str = "lockgate_sessions_total";
/// Counter: logins refused, by `protocol`.
pub const LOGINS_REFUSED_TOTAL: &str = "lockgate_logins_refused_total";
/// Counter: requests judged, by `protocol` and `verdict`.
pub const REQUESTS_TOTAL: &str = "lockgate_requests_total";
/// Histogram: seconds from a request's arrival to its verdict.
pub const VERDICT_SECONDS: &str = "lockgate_verdict_seconds";
/// Counter: sessions or requests that failed, by whose `fault` it was.
pub const FAULTS_TOTAL: &str = "lockgate_faults_total";
/// Gauge: requests that wait for an approval.
pub const HOLDS_LIVE: &str = "lockgate_holds_live";
/// Counter: approvals that ended, by `outcome`.
pub const APPROVALS_TOTAL: &str = "lockgate_approvals_total";
/// Counter: alerts that policies raised, by `severity`.
pub const ALERTS_TOTAL: &str = "lockgate_alerts_total";
/// Counter: bytes carried, by `direction` (`to_target`, `to_client`).
pub const BYTES_TOTAL: &str = "lockgate_bytes_total";
/// Counter: values masked, by `method`.
pub const VALUES_MASKED_TOTAL: &str = "lockgate_values_masked_total";
/// Counter: answers of the HTTP API, by `method`, `route` and `status`.
pub const API_REQUESTS_TOTAL: &str = "lockgate_api_requests_total";
/// Counter: entries that the session index could not take; the recordings are complete without them.
pub const INDEX_DROPPED_TOTAL: &str = "lockgate_index_dropped_total";
