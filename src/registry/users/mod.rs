//! Who asks and what they may: logins, htpasswd files, rules for repositories, tokens
//! (distribution's token authentication: Basic at the realm, Bearer everywhere else).

mod access;
pub(super) mod caller;
mod comparisons;
pub(super) mod htpasswd;
mod logins;
pub(super) mod rules;
mod signer;
mod token;

pub use self::caller::{Level, User};
pub use self::htpasswd::Htpasswd;
pub use self::rules::Pattern;

pub(super) use self::access::Access;
pub(super) use self::caller::{Caller, proxy_login};
pub(super) use self::logins::{Login, Logins};
pub(super) use self::signer::Signer;
