//! SimpleSAMLphp as an identity provider on a port of its own, and a browser of few words that logs in at it.

use super::places;
use super::process::{Scratch, eventually, free_port, mortal, run, spawn};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where Debian puts its pages.
const PAGES: &str = "/usr/share/simplesamlphp/www";

/// A service provider that the identity provider is to know.
#[derive(Debug)]
pub struct Party {
    /// A name for its files.
    pub name: String,
    /// Its metadata.
    pub metadata: String,
    /// What is different for it: a JSON object with SimpleSAMLphp's options for a remote service provider.
    pub options: String,
}

/// A running identity provider with the people of `tools/simplesaml/authsources.php`; it ends when dropped.
#[derive(Debug)]
pub struct SimpleSaml {
    /// Where it listens.
    pub port: u16,
    child: Child,
    home: Scratch,
}

impl SimpleSaml {
    /// Starts one and waits until it gives out its metadata.
    pub fn start(parties: &[Party]) -> Self {
        assert!(Path::new(PAGES).exists(), "no {PAGES}: run `scripts/install test`");
        let (home, port) = (Scratch::make(), free_port());
        for directory in ["cert", "log", "data", "tmp", "sessions", "parties"] {
            std::fs::create_dir(home.path().join(directory)).expect("the directory is new");
        }
        let cert = home.path().join("cert");
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=idp"]);
        run(openssl.arg("-keyout").arg(cert.join("idp.key")).arg("-out").arg(cert.join("idp.crt")));
        for party in parties {
            let file = home.path().join("parties").join(&party.name);
            std::fs::write(file.with_extension("xml"), &party.metadata).expect("a file can be written");
            std::fs::write(file.with_extension("json"), &party.options).expect("a file can be written");
        }
        let tools = places::tool("simplesaml");
        let mut php = mortal("KILL", Path::new("php"), None);
        php.args(["-d", "display_errors=0", "-d", "log_errors=1", "-S", &format!("127.0.0.1:{port}"), "-t", PAGES]);
        php.arg(tools.join("router.php")).env("SIMPLESAMLPHP_CONFIG_DIR", &tools);
        php.env("LOCKGATE_IDP_HOME", home.path()).env("LOCKGATE_IDP_PORT", port.to_string());
        let log = std::fs::File::create(home.path().join("log/php")).expect("a file can be made");
        php.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let provider = SimpleSaml { port, child: spawn(php), home };
        eventually("the identity provider gives out its metadata", Duration::from_secs(120), || {
            // It answers with errors, too, in 200.
            provider.page("saml2/idp/metadata.php").contains("</md:EntityDescriptor>")
        });
        provider
    }

    /// Its metadata.
    pub fn metadata(&self) -> String {
        self.page("saml2/idp/metadata.php")
    }

    /// Where a login begins that no service provider asked for.
    pub fn unsolicited(&self, entity_id: &str) -> String {
        format!("http://127.0.0.1:{}/saml2/idp/SSOService.php?spentityid={entity_id}", self.port)
    }

    /// What it wrote to its logs.
    pub fn logs(&self) -> String {
        let read = |name| std::fs::read_to_string(self.home.path().join("log").join(name)).unwrap_or_default();
        format!("{}{}", read("php"), read("simplesamlphp.log"))
    }

    /// A browser that has not been here before.
    pub fn browser(&self) -> Browser<'_> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("cookies-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Browser { provider: self, cookies: self.home.path().join(name) }
    }

    fn page(&self, path: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", &format!("http://127.0.0.1:{}/{path}", self.port)]);
        let output = super::process::output(&mut curl);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for SimpleSaml {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a provider has a browser post to a service provider.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Where to.
    pub action: String,
    /// The response.
    pub saml_response: String,
    /// What came with the request.
    pub relay_state: Option<String>,
}

/// Keeps cookies, follows redirects, fills in forms.
#[derive(Debug)]
pub struct Browser<'a> {
    provider: &'a SimpleSaml,
    cookies: PathBuf,
}

impl Browser<'_> {
    /// Goes to an address, or posts fields to it, logs in where it is asked to, and yields the form that comes of it.
    pub fn log_in(&self, address: &str, fields: &[(&str, String)], user: &str, password: &str) -> Posted {
        let (at, page) = self.go(address, fields);
        let (_, page) = match field(&page, "AuthState") {
            Some(state) => {
                let form = at.split('?').next().expect("an address has a path");
                let fields = [("username", user.to_owned()), ("password", password.to_owned()), ("AuthState", state)];
                self.go(form, &fields)
            }
            None => (at, page),
        };
        let answer = || -> Option<Posted> {
            let form = page.split_once("<form")?.1.split('>').next()?;
            let action = unescape(form.split_once("action=\"")?.1.split('"').next()?);
            Some(Posted {
                action,
                saml_response: field(&page, "SAMLResponse")?,
                relay_state: field(&page, "RelayState"),
            })
        };
        answer().unwrap_or_else(|| panic!("no response to post:\n{page}\n{}", self.provider.logs()))
    }

    /// Where it ends, and what is there.
    fn go(&self, address: &str, fields: &[(&str, String)]) -> (String, String) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-L", "--max-time", "120", "-w", "\n%{url_effective}"]);
        curl.arg("-b").arg(&self.cookies).arg("-c").arg(&self.cookies);
        for (name, value) in fields {
            curl.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let output = run(curl.arg(address));
        let (page, at) = output.rsplit_once('\n').expect("the address comes last");
        (at.to_owned(), page.to_owned())
    }
}

/// The value of a field of a form.
fn field(page: &str, name: &str) -> Option<String> {
    let tag = page.split("<input").find(|tag| tag.contains(&format!("name=\"{name}\"")))?;
    let value = tag.split_once("value=\"")?.1.split('"').next()?;
    Some(unescape(value))
}

fn unescape(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&#039;", "'").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&")
}
