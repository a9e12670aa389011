//! A real OpenID Connect provider (npm `oidc-provider`, which is certified) on a free port, and what its clients ask of it.

use crate::authority::{Authority, HERE};
use crate::process::{self, mortal};
use crate::{api, places};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How often a provider that does not come up is started.
const STARTS_MAX: usize = 4;
/// How long that may take: two seconds on a busy machine.
const START_MAX: Duration = Duration::from_secs(20);

/// A provider, running or not.
#[derive(Debug)]
pub struct Idp {
    /// Its port on 127.0.0.1.
    pub port: u16,
    child: Option<Child>,
    /// Who certified it, with the files of certificate and key; none in clear.
    tls: Option<(Authority, (PathBuf, PathBuf))>,
}

impl Idp {
    /// A provider that signs with a key called `key`.
    pub fn start(key: &str) -> Idp {
        for _ in 0..STARTS_MAX {
            let mut idp = Idp::reserve();
            // A port that was free may have been taken before the provider came to it.
            match idp.run(key, &[]) {
                Ok(()) => return idp,
                Err(why) => eprintln!("the identity provider does not come up at port {}: {why}", idp.port),
            }
        }
        panic!("no identity provider comes up");
    }

    /// A port for a provider that does not run yet.
    pub fn reserve() -> Idp {
        Idp { port: process::free_port(), child: None, tls: None }
    }

    /// The same, inside TLS, with a certificate of this authority.
    pub fn reserve_inside_tls(authority: Authority) -> Idp {
        let files = authority.certify(HERE);
        let mut idp = Idp::reserve();
        idp.tls = Some((authority, files));
        idp
    }

    /// Starts it, with a new key of this name.
    pub fn resume(&mut self, key: &str, environment: &[(&str, &str)]) {
        let mut said = String::new();
        for _ in 0..STARTS_MAX {
            match self.run(key, environment) {
                Ok(()) => return,
                Err(why) => said = why,
            }
        }
        panic!("the identity provider does not come up: {said}");
    }

    /// Starts it and waits until it accepts; why it does not, if it ended instead, or stands still: of some hundred starts Node's own
    /// threads wait for each other in one, before the program begins.
    fn run(&mut self, key: &str, environment: &[(&str, &str)]) -> Result<(), String> {
        assert!(self.child.is_none(), "it runs");
        let mut node = mortal("KILL", Path::new("node"), None);
        node.arg(places::tool("oidc-provider.mjs")).arg(places::oidc_modules());
        node.args([self.port.to_string().as_str(), key]).envs(environment.iter().copied());
        if let Some((_, (certificate, key))) = &self.tls {
            node.env("TLS_CERTIFICATE", certificate).env("TLS_KEY", key);
        }
        let scratch = process::Scratch::make();
        let said = scratch.path().join("said");
        let log = std::fs::File::create(&said).expect("a file");
        node.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = process::spawn(node);
        let deadline = Instant::now() + START_MAX;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = child.try_wait().expect("its state");
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{ended:?}: {}", std::fs::read_to_string(&said).unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child = Some(child);
        Ok(())
    }

    /// `kill -9`.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its own name for itself.
    pub fn issuer(&self) -> String {
        match &self.tls {
            Some(_) => format!("https://localhost:{}", self.port),
            None => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// The file of the certificate that its own is signed with.
    pub fn authority(&self) -> PathBuf {
        self.tls.as_ref().expect("it speaks TLS").0.file()
    }

    /// A client that believes it.
    fn client(&self) -> reqwest::Client {
        let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        if self.tls.is_some() {
            let pem = std::fs::read(self.authority()).expect("a file");
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).expect("PEM"));
        }
        client.build().expect("a client")
    }

    /// The entry under `identity` that has the gateway believe it.
    pub fn yaml(&self, more: &str) -> String {
        format!(
            "  oidc:\n    - {{name: corp, issuer: '{}', client_id: lockgate, client_secret: only-for-tests, user_claim: sub, scopes: [email, groups, offline_access]{ca}{more}}}\n",
            self.issuer(),
            ca = self
                .tls
                .as_ref()
                .map(|(authority, _)| format!(", ca: {}", authority.file().display()))
                .unwrap_or_default(),
        )
    }

    /// A token of a client for itself, for the gateway or for another resource.
    pub fn client_token(&self, client: &str, resource: Option<&str>) -> String {
        let resource = resource.map(|resource| format!("&resource={resource}")).unwrap_or_default();
        let answer = self.form("/token", client, &format!("grant_type=client_credentials{resource}"));
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Posts a form as a client.
    pub fn form(&self, path: &str, client: &str, form: &str) -> Value {
        let text = api::wait(async {
            let request = self.client().post(format!("{}{path}", self.issuer()));
            let request = request.basic_auth(client, Some("only-for-tests")).body(form.to_owned());
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            request.send().await.expect("the provider answers").text().await.expect("a body")
        });
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// What a person does in a browser, from an address on: follows redirects, keeps cookies, fills in every form as `user`.
    /// Yields the address outside of the provider that it is sent to, or the last page, which has no form.
    pub fn browse(&self, address: &str, user: &str) -> String {
        self.browse_with(address, user, &[])
    }

    /// The same, with these fields filled in so wherever a form has them.
    pub fn browse_with(&self, address: &str, user: &str, fields: &[(&str, &str)]) -> String {
        let client = self.client();
        let mut cookies: BTreeMap<String, String> = BTreeMap::new();
        let mut request = client.get(address);
        for _ in 0..30 {
            let jar: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let response = api::wait(request.header("cookie", jar.join("; ")).send()).expect("the provider answers");
            for set in response.headers().get_all("set-cookie") {
                let set = set.to_str().expect("text");
                let (name, value) = set.split(';').next().unwrap_or_default().split_once('=').expect("a cookie");
                cookies.insert(name.to_owned(), value.to_owned());
            }
            if let Some(next) = response.headers().get("location") {
                let next = response.url().join(next.to_str().expect("text")).expect("an address");
                if !next.as_str().starts_with(&self.issuer()) {
                    return next.into();
                }
                request = client.get(next);
                continue;
            }
            let here = response.url().clone();
            let page = api::wait(response.text()).expect("a page");
            let Some(action) = attribute(&page, "<form", "action") else { return page };
            let mut form = Vec::new();
            for input in page.split("<input").skip(1) {
                let input = format!("<input{}", input.split('>').next().unwrap_or_default());
                let Some(name) = attribute(&input, "<input", "name") else { continue };
                let known = fields.iter().find(|(known, _)| *known == name);
                let value = match name.as_str() {
                    _ if let Some((_, value)) = known => (*value).to_owned(),
                    "login" => user.to_owned(),
                    "password" => "anything".to_owned(),
                    _ => attribute(&input, "<input", "value").unwrap_or_default(),
                };
                form.push(format!("{name}={value}"));
            }
            request = client.post(here.join(&action).expect("an address")).body(form.join("&"));
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        panic!("{address} leads nowhere")
    }

    /// Changes somebody, as in `user=alice&groups=a,b` and `user=alice&disabled=1`.
    pub fn set(&self, what: &str) {
        let address = format!("{}/set?{what}", self.issuer());
        let done =
            api::wait(async { self.client().get(address).send().await.expect("the provider answers").text().await });
        assert_eq!(done.expect("a body"), "done");
    }

    /// How often somebody read its keys.
    pub fn asked(&self) -> u32 {
        let page = api::wait(async {
            self.client()
                .get(format!("{}/asked", self.issuer()))
                .send()
                .await
                .expect("the provider answers")
                .text()
                .await
        });
        page.expect("a body").parse().expect("a number")
    }
}

/// The value of an attribute of the first such element.
fn attribute(html: &str, element: &str, name: &str) -> Option<String> {
    let element = html.split_once(element)?.1.split('>').next()?;
    Some(element.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned())
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.stop();
    }
}
