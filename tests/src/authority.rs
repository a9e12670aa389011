//! A throw-away certificate authority, and servers that speak TLS with what it certified.

use crate::fake::FakeTarget;
use crate::process::Scratch;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a server speaks to its clients by.
pub type Stream = StreamOwned<ServerConnection, TcpStream>;

/// An authority that nobody knows yet.
#[derive(Debug)]
pub struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    dir: Scratch,
    certified: AtomicU32,
}

/// The names that a certificate is for, and the years in which it counts.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a>(pub &'a [&'a str], pub i32, pub i32);

/// This machine's names, for as long as any test runs.
pub const HERE: Names<'_> = Names(&["localhost", "127.0.0.1"], 2020, 2120);

impl Authority {
    /// Makes one.
    pub fn make() -> Authority {
        let dir = Scratch::make();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "throw-away authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let own = params.self_signed(&key).expect("it signs itself");
        std::fs::write(dir.path().join("ca.pem"), own.pem()).expect("a new file");
        Authority { issuer: rcgen::Issuer::new(params, key), dir, certified: AtomicU32::new(0) }
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Makes a key and certifies it; the files of certificate and key.
    pub fn certify(&self, Names(names, from, until): Names<'_>) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).expect("names");
        leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = leaf.signed_by(&key, &self.issuer).expect("it signs");
        let stem = self.certified.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.dir.path().join(format!("{stem}.{end}"));
        std::fs::write(file("crt"), signed.pem()).expect("a new file");
        std::fs::write(file("key"), key.serialize_pem()).expect("a new file");
        (file("crt"), file("key"))
    }

    /// A server whose every connection is handled by a function, in a thread of its own, inside TLS.
    pub fn serve(&self, names: Names<'_>, handle: impl Fn(Stream) + Send + Sync + 'static) -> FakeTarget {
        let (certificate, key) = self.certify(names);
        let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("they belong");
        let config = Arc::new(config);
        FakeTarget::start(move |stream| {
            let _ = stream.set_nodelay(true);
            handle(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).expect("a connection"), stream));
        })
    }
}
