//! A browser of few words: keeps cookies for each server, follows redirects, clicks links and sends forms, at the gateway and at
//! identity providers. What a real one makes of the pages is tried with Chromium.

use crate::{Gateway, api};
use reqwest::Url;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// One browser.
#[derive(Clone, Debug)]
pub struct Surfer {
    client: reqwest::Client,
    cookies: HashMap<String, BTreeMap<String, String>>,
}

/// A page that was shown.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it is.
    pub url: Url,
    /// Its status.
    pub status: u16,
    /// Its text.
    pub html: String,
}

impl Surfer {
    /// A browser that trusts the gateway.
    pub fn new(gateway: &Gateway) -> Surfer {
        Surfer::at(gateway, [127, 0, 0, 1])
    }

    /// The same at another address of this machine.
    pub fn at(gateway: &Gateway, address: [u8; 4]) -> Surfer {
        Surfer::with(gateway, address, &[])
    }

    /// One that trusts another authority, too.
    pub fn trusting(gateway: &Gateway, authority: &Path) -> Surfer {
        Surfer::with(gateway, [127, 0, 0, 1], &std::fs::read(authority).expect("a certificate"))
    }

    fn with(gateway: &Gateway, address: [u8; 4], more: &[u8]) -> Surfer {
        let pem = [&std::fs::read(gateway.authority()).expect("the authority's certificate"), more].concat();
        let client = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).expect("PEM"))
            .redirect(reqwest::redirect::Policy::none())
            .local_address(std::net::IpAddr::from(address))
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build();
        Surfer { client: client.expect("a client"), cookies: HashMap::new() }
    }

    /// Opens an address.
    pub fn open(&mut self, address: &str) -> Page {
        self.go(Url::parse(address).expect("an address"), None)
    }

    /// Where an address sends the browser, which does not go there.
    pub fn redirect(&mut self, address: &str) -> String {
        let url = Url::parse(address).expect("an address");
        let next = self.ask(&url, None);
        next.unwrap_or_else(|page| panic!("it is sent nowhere: {}", page.html)).into()
    }

    /// Clicks on a link by its text.
    pub fn click(&mut self, page: &Page, text: &str) -> Page {
        let before =
            page.html.split_once(&format!(">{text}<")).unwrap_or_else(|| panic!("no `{text}` in {}", page.html)).0;
        let (_, tag) = before.rsplit_once("<a").expect("a link");
        let href = tag.split_once("href=\"").expect("an address").1.split('"').next().expect("its end");
        self.go(page.url.join(&unescaped(href)).expect("an address"), None)
    }

    /// Sends the page's last form with these fields changed or added.
    pub fn submit(&mut self, page: &Page, changed: &[(&str, &str)]) -> Page {
        let (_, form) = page.html.rsplit_once("<form").unwrap_or_else(|| panic!("no form in {}", page.html));
        let (tag, content) = form.split_once('>').expect("a tag");
        let attribute =
            |tag: &str, name: &str| Some(unescaped(tag.split_once(&format!("{name}=\""))?.1.split('"').next()?));
        let mut fields: BTreeMap<String, String> = content
            .split("<input")
            .skip(1)
            .filter_map(|input| input.split('>').next())
            .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
            .collect();
        fields.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let action = attribute(tag, "action").unwrap_or_default();
        let url = page.url.join(&action).expect("an address");
        match attribute(tag, "method").as_deref() {
            Some("get") => {
                let mut url = url;
                url.query_pairs_mut().clear().extend_pairs(&fields);
                self.go(url, None)
            }
            _ => self.go(url, Some(encoded(&fields))),
        }
    }

    /// Signs in with the provider `corp`, a tests' provider at `issuer`, from a page that offers it; where that leads.
    pub fn sign_in(&mut self, page: &Page, issuer: &str, user: &str) -> Page {
        let mut page = self.click(page, "Sign in with corp");
        for _ in 0..10 {
            if !page.url.as_str().starts_with(issuer) {
                return page;
            }
            page = self.submit(&page, &[("login", user), ("password", "anything")]);
        }
        panic!("the provider leads nowhere: {}", page.html)
    }

    /// The value of a cookie at an address's server.
    pub fn cookie(&self, address: &str, name: &str) -> Option<String> {
        let url = Url::parse(address).expect("an address");
        self.cookies.get(url.authority())?.get(name).cloned()
    }

    /// Posts a form of another page's making.
    pub fn post(&mut self, address: &str, fields: &[(&str, &str)]) -> Page {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.go(Url::parse(address).expect("an address"), Some(encoded(&fields)))
    }

    fn go(&mut self, mut url: Url, mut body: Option<String>) -> Page {
        for _ in 0..20 {
            match self.ask(&url, body.take()) {
                Ok(next) => url = next,
                Err(page) => return page,
            }
        }
        panic!("{url} leads nowhere")
    }

    /// One request; where it sends the browser, or else the page.
    fn ask(&mut self, url: &Url, body: Option<String>) -> Result<Url, Page> {
        let mut request = match &body {
            Some(text) => self.client.post(url.clone()).body(text.clone()),
            None => self.client.get(url.clone()),
        };
        if body.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let jar = self.cookies.entry(url.authority().to_owned()).or_default();
        if !jar.is_empty() {
            let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let response = api::wait(async { request.send().await }).unwrap_or_else(|error| panic!("{url}: {error:?}"));
        for set in response.headers().get_all("set-cookie") {
            let set = set.to_str().expect("text");
            let (name, value) = set.split(';').next().unwrap_or_default().split_once('=').expect("a cookie");
            match set.contains("Max-Age=0") || value.is_empty() {
                true => jar.remove(name),
                false => jar.insert(name.to_owned(), value.to_owned()),
            };
        }
        let status = response.status().as_u16();
        if let Some(next) = response.headers().get("location") {
            return Ok(url.join(next.to_str().expect("text")).expect("an address"));
        }
        let html = api::wait(async { response.text().await }).expect("a page");
        Err(Page { url: url.clone(), status, html })
    }
}

fn encoded(fields: &BTreeMap<String, String>) -> String {
    let mut url = Url::parse("http://localhost/").expect("an address");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&")
}
