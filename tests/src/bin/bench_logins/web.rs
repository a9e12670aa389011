//! What browsers and command lines do to log in, over connections that are kept.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_tests::{Gateway, api};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

const VERIFIER: &str = "a-verifier-that-the-command-line-keeps-to-itself";

/// The gateway's pages and its API, from one address.
pub struct Web {
    client: Client,
    url: String,
}

/// A browser's cookies.
#[derive(Default)]
struct Cookies(Vec<(String, String)>);

impl Cookies {
    fn keep(&mut self, response: &Response) {
        for set in response.headers().get_all(SET_COOKIE) {
            let set = set.to_str().expect("text");
            let (name, value) = set.split(';').next().unwrap_or_default().split_once('=').expect("a cookie");
            self.0.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn line(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

impl Web {
    /// From this machine's usual address.
    pub fn new(gateway: &Gateway) -> Web {
        Web::from(gateway, IpAddr::from([127, 0, 0, 1]))
    }

    /// From another address of this machine.
    pub fn from(gateway: &Gateway, address: IpAddr) -> Web {
        let pem = std::fs::read(gateway.authority()).expect("the authority's certificate");
        let client = Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).expect("PEM"))
            .local_address(address)
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Web { client: client.expect("a client"), url: gateway.url() }
    }

    /// Shows a token to the API.
    pub fn whoami(&self, token: &str) -> Result<(), String> {
        api::wait(async {
            let request =
                self.client.get(format!("{}/api/v1/whoami", self.url)).header(AUTHORIZATION, format!("Bearer {token}"));
            expect(request.send().await, StatusCode::OK, "whoami").await.map(|_| ())
        })
    }

    /// `lockgate login`: the command line asks, the browser goes to the provider, comes back and confirms.
    pub fn by_browser(&self, user: &str) -> Result<(), String> {
        api::wait(async {
            let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
            let ask = json!({"challenge": challenge, "redirect": "http://127.0.0.1:1/callback", "state": "word"});
            let asked = self.json(Method::POST, "/api/v1/login-requests", &ask, StatusCode::CREATED).await?;
            let id = text(&asked, "id");
            let cookies = self.sign_in(user, &format!("request={id}")).await?;
            let page = self.page(&format!("/confirm/{id}"), &cookies).await?;
            let form = format!("form={}&code=&action=approve", hidden(&page, "form"));
            let back = self.form(&format!("/confirm/{id}"), form, &cookies, StatusCode::SEE_OTHER).await?;
            let back = location(&back);
            let code = between(&back, "code=", "&");
            let claim = json!({"code": code, "verifier": VERIFIER});
            self.json(Method::POST, &format!("/api/v1/login-requests/{id}/token"), &claim, StatusCode::OK)
                .await
                .map(|_| ())
        })
    }

    /// `lockgate login --device`: a person types the code into a browser that signs in.
    pub fn by_device(&self, user: &str) -> Result<(), String> {
        api::wait(async {
            let asked = self.json(Method::POST, "/api/v1/login-requests", &json!({}), StatusCode::CREATED).await?;
            let (id, code) = (text(&asked, "id"), text(&asked, "user_code"));
            let cookies = self.sign_in(user, &format!("code={code}")).await?;
            let page = self.page(&format!("/device?code={code}"), &cookies).await?;
            let form = format!("form={}&code={code}&action=approve", hidden(&page, "form"));
            self.form(&format!("/confirm/{id}"), form, &cookies, StatusCode::OK).await?;
            let claim = json!({"secret": text(&asked, "secret")});
            self.json(Method::POST, &format!("/api/v1/login-requests/{id}/token"), &claim, StatusCode::OK)
                .await
                .map(|_| ())
        })
    }

    /// `psql` with `lockgate.auth=link`: a connection from this address that asks for a link, and a browser that confirms it.
    pub fn by_link(&self, port: u16, address: IpAddr, user: &str) -> Result<(), String> {
        let (mut client, notice) =
            lockgate_tests::Client::ask_link(address, port, user).map_err(|frame| format!("{frame:?}"))?;
        api::wait(async {
            let id = between(&notice, "/link/", " ");
            let cookies = self.sign_in(user, &format!("request={id}")).await?;
            let page = self.page(&format!("/link/{id}"), &cookies).await?;
            let form = format!("form={}&code={}&action=approve", hidden(&page, "form"), hidden(&page, "code"));
            self.form(&format!("/confirm/{id}"), form, &cookies, StatusCode::OK).await.map(|_| ())
        })?;
        client.authenticate("").map_err(|frame| format!("{frame:?}"))
    }

    /// A local user with a password of their own.
    pub fn local_user(&self, gateway: &Gateway, admin: &str, user: &str) -> (String, String) {
        let password = format!("the password of nobody but {user}, honestly");
        let body = json!({"user": user, "password": password, "groups": ["engineers"]});
        let (status, answer) = api::call(gateway, "POST", "/api/v1/users", Some(admin), Some(&body));
        assert_eq!(status, 201, "{answer}");
        (user.to_owned(), password)
    }

    /// A local user signs in with the form of the page.
    pub fn by_password(&self, user: &str, password: &str) -> Result<(), String> {
        api::wait(async {
            let response = self.sent_password(user, password).await?;
            match response.status() {
                StatusCode::SEE_OTHER => Ok(()),
                status => Err(format!("{status}: {}", response.text().await.unwrap_or_default())),
            }
        })
    }

    /// The status that the form of the page answers with; that of too many where the connection is turned away already.
    pub fn password_status(&self, user: &str, password: &str) -> u16 {
        api::wait(self.sent_password(user, password)).map_or(429, |response| response.status().as_u16())
    }

    async fn sent_password(&self, user: &str, password: &str) -> Result<Response, String> {
        // The word belongs to the cookie, and both may be used again.
        let mut cookies = Cookies::default();
        let opened = self.client.get(format!("{}/login", self.url)).send().await;
        let opened = expect(opened, StatusCode::OK, "/login").await?;
        cookies.keep(&opened);
        let page = opened.text().await.map_err(|error| error.to_string())?;
        let form = format!("form={}&user={user}&password={}", hidden(&page, "form"), password.replace(' ', "+"));
        let request = self.client.post(format!("{}/login", self.url)).header(COOKIE, cookies.line());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        request.send().await.map_err(|error| error.to_string())
    }

    /// Signs a browser in, as the provider says.
    async fn sign_in(&self, user: &str, onward: &str) -> Result<Cookies, String> {
        let mut cookies = Cookies::default();
        let out = self.client.get(format!("{}/oidc/corp/login?{onward}", self.url)).send().await;
        let out = expect(out, StatusCode::SEE_OTHER, "/oidc/corp/login").await?;
        cookies.keep(&out);
        let address = location(&out);
        let (state, nonce) = (between(&address, "state=", "&"), between(&address, "nonce=", "&"));
        let back = format!("{}/oidc/corp/callback?code={user}.{nonce}&state={state}", self.url);
        let back = self.client.get(back).header(COOKIE, cookies.line()).send().await;
        let back = expect(back, StatusCode::SEE_OTHER, "/oidc/corp/callback").await?;
        cookies.keep(&back);
        Ok(cookies)
    }

    async fn page(&self, path: &str, cookies: &Cookies) -> Result<String, String> {
        let request = self.client.get(format!("{}{path}", self.url)).header(COOKIE, cookies.line());
        let response = expect(request.send().await, StatusCode::OK, path).await?;
        response.text().await.map_err(|error| error.to_string())
    }

    async fn form(&self, path: &str, form: String, cookies: &Cookies, status: StatusCode) -> Result<Response, String> {
        let request = self.client.post(format!("{}{path}", self.url)).header(COOKIE, cookies.line());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        expect(request.send().await, status, path).await
    }

    async fn json(&self, method: Method, path: &str, body: &Value, status: StatusCode) -> Result<Value, String> {
        let request = self.client.request(method, format!("{}{path}", self.url)).json(body);
        let response = expect(request.send().await, status, path).await?;
        let text = response.text().await.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }
}

async fn expect(
    response: Result<Response, reqwest::Error>,
    status: StatusCode,
    what: &str,
) -> Result<Response, String> {
    let response = response.map_err(|error| format!("{what}: {error:?}"))?;
    match response.status() {
        found if found == status => Ok(response),
        found => Err(format!("{what}: {found}: {}", response.text().await.unwrap_or_default())),
    }
}

fn location(response: &Response) -> String {
    response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    between(page, &format!("name=\"{name}\" value=\""), "\"")
}

fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    rest.split(after).next().unwrap_or_default().to_owned()
}
