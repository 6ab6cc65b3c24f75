use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Method, Response, header};
use serde::Serialize;

use super::access::Access;
use super::caller::{Account, Caller, Rights, basic};
use super::logins::Login;
use super::signer::LIFETIME;
use crate::auth::{Action, Scope};
use crate::registry::call::Call;
use crate::registry::{Error, Registry, body, respond};
use crate::serve::Body;

/// The largest form a client may post.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// What the token endpoint answers (distribution, "Token Authentication Specification").
#[derive(Serialize)]
struct Answer {
    token: String,
    access_token: String,
    expires_in: u64,
    issued_at: String,
    scope: String,
}

/// Who asks for what.
struct Asked {
    login: Option<(String, String)>,
    scopes: Vec<Scope>,
}

impl Registry {
    /// `/auth/token`: GET with Basic credentials, or a form (OAuth2 password grant).
    pub(in crate::registry) async fn token(
        &self,
        call: &mut Call,
    ) -> Result<Response<Body>, Error> {
        let asked = match call.method {
            Method::GET | Method::HEAD => {
                let texts = call.parameters("scope").flat_map(str::split_whitespace);
                Asked { login: basic(&call.headers), scopes: known_scopes(texts) }
            }
            Method::POST => self.form(call).await?,
            _ => return Err(Error::Method { allowed: "GET, POST" }),
        };
        let (user, scopes) = self.access.grant(call, asked.login, asked.scopes).await?;
        let (token, claims) = self.access.signer.sign(user.as_deref(), &scopes, SystemTime::now());
        if let Some(user) = user {
            call.caller = Caller::User(user);
        }
        let issued = i64::try_from(claims.issued).unwrap_or_default();
        let mut response = respond::json(&Answer {
            access_token: token.clone(),
            token,
            expires_in: LIFETIME.as_secs(),
            issued_at: jiff::Timestamp::from_second(issued).unwrap_or_default().to_string(),
            scope: claims.scopes.join(" "),
        });
        // Tokens are kept by nobody in between (RFC 6749, section 5.1).
        respond::set(&mut response, header::CACHE_CONTROL, "no-store");
        Ok(response)
    }

    async fn form(&self, call: &mut Call) -> Result<Asked, Error> {
        let bytes = body::read(call, MAX_FORM_BYTES, self.body_idle).await?;
        let form: Vec<(String, String)> =
            url::form_urlencoded::parse(&bytes).into_owned().collect();
        let field =
            |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let login = match field("grant_type") {
            Some("password") => Some((
                field("username").unwrap_or_default().to_owned(),
                field("password").unwrap_or_default().to_owned(),
            )),
            other => {
                let named: String = other.unwrap_or_default().chars().take(40).collect();
                return Err(Error::GrantType(named));
            }
        };
        let texts = form.iter().filter(|(key, _)| key == "scope");
        let texts = texts.flat_map(|(_, value)| value.split_whitespace());
        Ok(Asked { login, scopes: known_scopes(texts) })
    }
}

/// Scopes this server does not know are left out, as the token specification has it.
fn known_scopes<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Scope> {
    texts.filter_map(|text| text.parse().ok()).collect()
}

impl Access {
    /// Who a login belongs to, and what of `wanted` it gets. A login nobody here knows is let in where
    /// it only wants what everybody may: docker sends Docker Hub's to mirrors.
    async fn grant(
        &self,
        call: &Call,
        login: Option<(String, String)>,
        wanted: Vec<Scope>,
    ) -> Result<(Option<Arc<Account>>, Vec<Scope>), Error> {
        let result = match &login {
            Some((name, password)) => self.logins.login(name, password).await,
            None => Login::Unknown,
        };
        if let Login::Known(account) = result {
            let granted = wanted.into_iter().map(|scope| cut(scope, &account.rights)).collect();
            return Ok((Some(account), granted));
        }
        let open = |scope: &Scope| matches!(scope, Scope::Repository(_, actions) if *actions == BTreeSet::from([Action::Pull]));
        if self.anonymous_pull && !wanted.is_empty() && wanted.iter().all(open) {
            return Ok((None, wanted));
        }
        let reason = match (login, result) {
            (_, Login::Busy) => return Err(Error::LoginsBusy),
            (Some(_), _) => "the user or the password is wrong",
            (None, _) => "a login is needed",
        };
        Err(Error::Unauthorized { reason, challenge: basic_challenge(call) })
    }
}

/// What of a scope is allowed now; it is looked at again when the token is used.
fn cut(scope: Scope, rights: &Rights) -> Scope {
    match scope {
        Scope::Catalog => Scope::Catalog,
        Scope::Repository(name, actions) => {
            let key = name.canonical();
            let allowed = actions.into_iter().filter(|action| rights.may(*action, &key));
            Scope::repository(name, allowed)
        }
    }
}

fn basic_challenge(call: &Call) -> String {
    format!("Basic realm=\"{}\"", call.host().unwrap_or("registry"))
}
