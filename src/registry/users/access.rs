use std::sync::Arc;
use std::time::SystemTime;

use http::header;

use super::caller::{Account, Caller, basic, credentials};
use super::logins::{Login, Logins};
use super::signer::{Claims, Signer};
use crate::auth::{Action, Scope};
use crate::layers::Reader;
use crate::oci::{Digest, RepositoryName};
use crate::registry::Error;
use crate::registry::call::Call;
use crate::registry::config::PublicUrl;
use crate::registry::names::Repository;

/// Who may do what.
#[derive(Clone)]
pub(in crate::registry) struct Access {
    pub(in crate::registry) logins: Arc<Logins>,
    /// Whether anybody may pull.
    pub(in crate::registry) anonymous_pull: bool,
    pub(in crate::registry) signer: Arc<Signer>,
    /// Where clients find this server, if it is not where they say.
    pub(in crate::registry) public_url: Option<PublicUrl>,
}

impl Access {
    pub(in crate::registry) async fn caller(&self, call: &Call) -> Caller {
        if let Some((name, password)) = basic(&call.headers) {
            return match self.logins.login(&name, &password).await {
                Login::Known(account) => Caller::User(account),
                Login::Unknown => Caller::Stranger,
                Login::Busy => Caller::Busy,
            };
        }
        let Some(token) = credentials(&call.headers, "bearer") else {
            let given = call.headers.contains_key(header::AUTHORIZATION);
            return if given { Caller::Stranger } else { Caller::Anonymous };
        };
        let Some(claims) = self.signer.verify(token, SystemTime::now()) else {
            return Caller::Stranger;
        };
        if claims.user.is_empty() {
            return Caller::Token(claims, None);
        }
        // A token of a user who is gone, or has another password by now, is worth nothing.
        match self.logins.account(&claims.user).filter(|account| account.mark == claims.mark) {
            Some(account) => Caller::Token(claims, Some(account)),
            None => Caller::Stranger,
        }
    }

    /// Refuses what the caller may not do in a repository.
    pub(in crate::registry) fn demand(
        &self,
        call: &Call,
        repository: &Repository,
        action: Action,
    ) -> Result<(), Error> {
        // A token names a repository as its client spells it, and clients that send `ns` leave the
        // registry out there; who writes has to name it.
        let spelling = match action {
            Action::Pull => &repository.asked,
            Action::Push | Action::Delete if repository.namespace.is_some() => &repository.key,
            Action::Push | Action::Delete => &repository.asked,
        };
        if self.may(&call.caller, &[&repository.key, spelling], action) {
            return Ok(());
        }
        let user = match &call.caller {
            Caller::User(user) | Caller::Token(_, Some(user)) => Some(user),
            _ => None,
        };
        if let Some(user) = user.filter(|user| !user.rights.may(action, &repository.key)) {
            let what = format!("{} in {}", action.as_str(), repository.asked);
            return Err(Error::Denied { user: user.name.clone(), what });
        }
        let actions = match action {
            Action::Pull => vec![Action::Pull],
            other => vec![Action::Pull, other],
        };
        let scope = Scope::repository(spelling.clone(), actions);
        Err(self.unauthorized(call, Some(&scope)))
    }

    /// Whether the caller may read a repository by its canonical name.
    pub(in crate::registry) fn may_read(&self, call: &Call, key: &RepositoryName) -> bool {
        self.may(&call.caller, &[key], Action::Pull)
    }

    /// What to say to who has to log in for what is behind the repository.
    pub(in crate::registry) fn login_needed(&self, call: &Call, repository: &Repository) -> Error {
        let scope = Scope::repository(repository.asked.clone(), [Action::Pull]);
        self.unauthorized(call, Some(&scope))
    }

    /// What the layers need to know of the caller: whether it may read a repository, by any of these
    /// spellings, by its own login and not only because anybody may.
    pub(in crate::registry) fn reader(&self, call: &Call, spellings: &[&RepositoryName]) -> Reader {
        match self.may_by_login(&call.caller, spellings, Action::Pull) {
            true => Reader::Known,
            false => Reader::Anybody,
        }
    }

    fn may(&self, caller: &Caller, spellings: &[&RepositoryName], action: Action) -> bool {
        let open = self.anonymous_pull && action == Action::Pull;
        open || self.may_by_login(caller, spellings, action)
    }

    /// The first spelling is the canonical name, which users' rights are about; a token may be for any.
    fn may_by_login(&self, caller: &Caller, spellings: &[&RepositoryName], action: Action) -> bool {
        let allowed =
            |user: &Account| spellings.first().is_some_and(|key| user.rights.may(action, key));
        match caller {
            Caller::Anonymous | Caller::Stranger | Caller::Busy => false,
            Caller::User(user) => allowed(user),
            // A token for one image opens no repository; see `image`.
            Caller::Token(Claims { image: Some(_), .. }, _) => false,
            Caller::Token(claims, user) => {
                user.as_deref().is_some_and(allowed)
                    && claims.scopes().any(|scope| covers(&scope, spellings, action))
            }
        }
    }

    /// Lets in who has logged in, or has a token.
    pub(in crate::registry) fn demand_login(&self, call: &Call) -> Result<(), Error> {
        match call.caller {
            Caller::User(_) | Caller::Token(..) => Ok(()),
            Caller::Anonymous | Caller::Stranger | Caller::Busy => {
                Err(self.unauthorized(call, None))
            }
        }
    }

    /// Lets in users who may write something.
    pub(in crate::registry) fn demand_writer(&self, call: &Call) -> Result<(), Error> {
        self.demand_user(call)?;
        match &call.caller {
            Caller::User(user) | Caller::Token(_, Some(user)) if !user.rights.write_somewhere() => {
                let what = "leave or list pointers".to_owned();
                Err(Error::Denied { user: user.name.clone(), what })
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may write to a repository, by its canonical name.
    pub(in crate::registry) fn may_write(&self, call: &Call, key: &RepositoryName) -> bool {
        self.may(&call.caller, &[key], Action::Push)
    }

    /// The one image of a repository that a token is for. Where anybody may pull it confines nobody.
    pub(in crate::registry) fn image<'a>(
        &self,
        call: &'a Call,
        repository: &Repository,
    ) -> Option<&'a Digest> {
        let Caller::Token(claims, Some(user)) = &call.caller else { return None };
        let allowed = user.rights.may(Action::Pull, &repository.key) && !self.anonymous_pull;
        // It was made for the canonical name, however its client spells that.
        let key = [&repository.key];
        let covered = claims.scopes().any(|scope| covers(&scope, &key, Action::Pull));
        claims.image.as_ref().filter(|_| allowed && covered)
    }

    /// Lets in users, with a password or any token but one for an image.
    pub(in crate::registry) fn demand_user(&self, call: &Call) -> Result<(), Error> {
        match call.caller {
            Caller::User(_) | Caller::Token(Claims { image: None, .. }, Some(_)) => Ok(()),
            _ => Err(self.unauthorized(call, None)),
        }
    }

    /// Lets in users with their password: a token is not exchanged for one that lasts longer.
    pub(in crate::registry) fn demand_password<'a>(
        &self,
        call: &'a Call,
    ) -> Result<&'a Account, Error> {
        match &call.caller {
            Caller::User(user) => Ok(user),
            _ => Err(self.unauthorized(call, None)),
        }
    }

    /// Lets in users, with a password or a token for the catalog, to what shows every repository.
    pub(in crate::registry) fn demand_catalog(&self, call: &Call) -> Result<(), Error> {
        match &call.caller {
            Caller::User(_) => Ok(()),
            Caller::Token(claims, Some(_))
                if claims.scopes().any(|scope| scope == Scope::Catalog) =>
            {
                Ok(())
            }
            _ => Err(self.unauthorized(call, Some(&Scope::Catalog))),
        }
    }

    fn unauthorized(&self, call: &Call, scope: Option<&Scope>) -> Error {
        let reason = match call.caller {
            Caller::Busy => return Error::LoginsBusy,
            Caller::Anonymous => "a login is needed",
            Caller::Stranger => "the login or token is not valid here",
            Caller::User(_) | Caller::Token(..) => "the token is not for this",
        };
        // The realm is where the client reached us: it may have come through a tunnel.
        let (realm, service) = match &self.public_url {
            Some(url) => (Some(url.realm()), Some(url.host())),
            None => (call.url("/auth/token"), call.host()),
        };
        let Some(realm) = realm else {
            return Error::Unauthorized { reason, challenge: "Basic realm=\"registry\"".into() };
        };
        let service = service.unwrap_or_default();
        let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
        if let Some(scope) = scope {
            challenge.push_str(&format!(",scope=\"{scope}\""));
        }
        match call.caller {
            Caller::Anonymous => {}
            Caller::Stranger => challenge.push_str(",error=\"invalid_token\""),
            _ => challenge.push_str(",error=\"insufficient_scope\""),
        }
        Error::Unauthorized { reason, challenge }
    }
}

fn covers(scope: &Scope, spellings: &[&RepositoryName], action: Action) -> bool {
    match scope {
        Scope::Catalog => false,
        Scope::Repository(name, actions) => {
            let name = name.canonical();
            actions.contains(&action)
                && spellings.iter().any(|spelling| spelling.canonical() == name)
        }
    }
}
