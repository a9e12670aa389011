//! TLS on both sides: the gateway's own certificate (given, or from a private CA it makes once), and the verification of
//! targets. Channel binding data comes from here because only this crate sees certificates.

use aws_lc_rs::digest;
use lockgate_session::wire::TlsFacts;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{path}` is not usable: {why}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The library refuses the combination.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// What the listeners need.
pub struct ServerTls {
    /// For listeners that speak a database protocol inside TLS.
    pub config: Arc<ServerConfig>,
    /// `tls-server-end-point` of the certificate that is shown.
    pub server_end_point: Option<Vec<u8>>,
    /// The private CA's certificate in PEM, where there is one.
    pub ca_pem: Option<String>,
}

impl ServerTls {
    /// A server configuration with the same certificate and other application protocols.
    pub fn with_alpn(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        Arc::new(config)
    }
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> TlsError + '_ {
    move |source| TlsError::File { path: path.to_owned(), source }
}

fn content(path: &Path, why: impl ToString) -> TlsError {
    TlsError::Content { path: path.to_owned(), why: why.to_string() }
}

/// The certificate and key of the configuration, or those of the private CA in `data_dir/tls`.
pub fn server(given: Option<(&Path, &Path)>, data_dir: &Path, names: &[String]) -> Result<ServerTls, TlsError> {
    let (certificate, key, ca) = match given {
        Some((certificate, key)) => (certificate.to_owned(), key.to_owned(), None),
        None => {
            let dir = data_dir.join("tls");
            let ca = make_private_ca(&dir, names)?;
            (dir.join("gateway.crt"), dir.join("gateway.key"), Some(ca))
        }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
        .map_err(|e| content(&certificate, e))?
        .collect::<Result<_, _>>()
        .map_err(|e| content(&certificate, e))?;
    let key_der = PrivateKeyDer::from_pem_file(&key).map_err(|e| content(&key, e))?;
    let server_end_point = chain.first().and_then(|c| end_point(c));
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key_der)?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(ServerTls { config: Arc::new(config), server_end_point, ca_pem: ca })
}

/// Where the private CA's certificate is once `server` has made one in this data directory.
pub fn private_ca_file(data_dir: &Path) -> PathBuf {
    data_dir.join("tls").join("ca.crt")
}

/// The private CA's certificate, if `server` has made one in this data directory.
pub fn private_ca(data_dir: &Path) -> Result<String, TlsError> {
    let path = private_ca_file(data_dir);
    fs::read_to_string(&path).map_err(file_error(&path))
}

fn make_private_ca(dir: &Path, names: &[String]) -> Result<String, TlsError> {
    let ca_path = dir.join("ca.crt");
    // Written last: where it is, everything was there once, and clients may trust it.
    if ca_path.exists() {
        for file in ["gateway.crt", "gateway.key"].map(|name| dir.join(name)) {
            if !file.exists() {
                let remedy = "it is missing: restore it, or remove the directory for a new authority";
                return Err(content(&file, remedy));
            }
        }
        return fs::read_to_string(&ca_path).map_err(file_error(&ca_path));
    }
    fs::create_dir_all(dir).map_err(file_error(dir))?;
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::new())?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Lockgate private CA");
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key)?;
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);

    let key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "lockgate");
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let cert = leaf.signed_by(&key, &issuer)?;
    write_private(&dir.join("ca.key"), &ca_key.serialize_pem())?;
    write_private(&dir.join("gateway.key"), &key.serialize_pem())?;
    write_private(&dir.join("gateway.crt"), &format!("{}{}", cert.pem(), ca_cert.pem()))?;
    let pem = ca_cert.pem();
    write_private(&ca_path, &pem)?;
    Ok(pem)
}

fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(file_error(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(file_error(path))
}

/// A client configuration that verifies a target against `ca`, or against the system's authorities.
pub fn target(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| content(path, e))? {
                roots.add(certificate.map_err(|e| content(path, e))?)?;
            }
            if roots.is_empty() {
                return Err(content(path, "it holds no certificate"));
            }
        }
        None => {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // One odd certificate in the system's store must not take the others with it.
                let _ = roots.add(certificate);
            }
        }
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// A client configuration for `tls: require`, which encrypts and does not verify, as libpq's sslmode of that name.
pub fn target_unverified() -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(unverified::AnyCertificate::new(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The name that a target's certificate must carry.
pub fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a name that a certificate can carry"))
}

/// What a handshake as the client settled.
pub fn facts_as_client(connection: &rustls::ClientConnection) -> TlsFacts {
    TlsFacts {
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        server_end_point: connection.peer_certificates().and_then(|c| c.first()).and_then(|c| end_point(c)),
    }
}

/// RFC 5929 section 4.1: the certificate's hash with the hash of its signature, where MD5 and SHA-1 become SHA-256.
/// `None` for a signature without a hash of its own (Ed25519), for which the RFC defines nothing.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.as_ref()).ok()?;
    let algorithm = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => &digest::SHA256,
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate.as_ref()).as_ref().to_vec())
}

mod unverified {
    //! Accepts any certificate, and still checks that the peer holds its key.

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct AnyCertificate(WebPkiSupportedAlgorithms);

    impl AnyCertificate {
        pub(super) fn new(provider: &CryptoProvider) -> Self {
            AnyCertificate(provider.signature_verification_algorithms)
        }
    }

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.0)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.0)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_schemes()
        }
    }
}
