use std::fmt;

/// One challenge of a `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with every request (RFC 7617).
    Basic {
        /// Free text.
        realm: String,
    },
    /// A token from a token server (distribution, "Token Authentication Specification").
    Bearer {
        /// URL of the token server.
        realm: String,
        /// What the token server calls the registry.
        service: Option<String>,
        /// Scopes the refused request needs, separated by spaces.
        scope: Option<String>,
        /// Why a token that was sent did not do.
        error: Option<String>,
    },
}

impl Challenge {
    const MAX_HEADER_BYTES: usize = 8 * 1024;

    /// The challenges of one header value that this project can answer. Other schemes and what is
    /// not understood are passed over.
    #[must_use]
    pub fn parse(header: &str) -> Vec<Self> {
        if header.len() > Self::MAX_HEADER_BYTES {
            return Vec::new();
        }
        Parser { rest: header }.challenges().into_iter().filter_map(Raw::understood).collect()
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { realm } => write!(f, "Basic realm={}", Quoted(realm)),
            Self::Bearer { realm, service, scope, error } => {
                write!(f, "Bearer realm={}", Quoted(realm))?;
                for (name, value) in [("service", service), ("scope", scope), ("error", error)] {
                    if let Some(value) = value {
                        write!(f, ",{name}={}", Quoted(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

/// A challenge of any scheme.
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn understood(self) -> Option<Challenge> {
        let value = |name: &str| {
            let mut found = self.parameters.iter().filter(|(known, _)| known == name);
            found.next().map(|(_, value)| value.clone())
        };
        match self.scheme.as_str() {
            "basic" => Some(Challenge::Basic { realm: value("realm").unwrap_or_default() }),
            "bearer" => Some(Challenge::Bearer {
                realm: value("realm")?,
                service: value("service"),
                scope: value("scope"),
                error: value("error"),
            }),
            _ => None,
        }
    }
}

/// `1#( scheme [ 1*SP ( token68 / #( name = ( token / quoted-string ) ) ) ] )`. A comma separates
/// parameters and challenges alike; a word is a parameter if `=` follows it.
struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn challenges(mut self) -> Vec<Raw> {
        let mut found: Vec<Raw> = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            if self.rest.is_empty() {
                return found;
            }
            let word = self.token().to_ascii_lowercase();
            let value = self.rest.trim_start_matches([' ', '\t']).strip_prefix('=');
            match (word.is_empty(), value, found.last_mut()) {
                (false, Some(value), Some(challenge)) => {
                    self.rest = value.trim_start_matches([' ', '\t']);
                    let value = self.value();
                    challenge.parameters.push((word, value));
                }
                (false, None, _) => found.push(Raw { scheme: word, parameters: Vec::new() }),
                _ => self.skip_to_comma(),
            }
        }
    }

    fn token(&mut self) -> &str {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn value(&mut self) -> String {
        match self.rest.strip_prefix('"') {
            Some(quoted) => {
                self.rest = quoted;
                self.quoted()
            }
            // Some registries leave the quotes away although the value is no token.
            None => {
                let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
                let (value, rest) = self.rest.split_at(end);
                self.rest = rest;
                value.to_owned()
            }
        }
    }

    fn quoted(&mut self) -> String {
        let mut value = String::new();
        let mut characters = self.rest.chars();
        loop {
            match characters.next() {
                None | Some('"') => break,
                Some('\\') => value.extend(characters.next()),
                Some(other) => value.push(other),
            }
        }
        self.rest = characters.as_str();
        value
    }

    fn skip_to_comma(&mut self) {
        self.rest = self.rest.find(',').map_or("", |at| {
            let (_, rest) = self.rest.split_at(at);
            rest
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
            error: None,
        }
    }

    #[test]
    fn what_cannot_be_answered_is_passed_over() {
        for header in [
            "",
            ",,,",
            "=",
            "Bearer",
            "Bearer service=\"x\"",
            "Negotiate YWJj==",
            "Digest realm=\"r\", nonce=\"Basic x\"",
            "\"Basic\"",
            "realm=\"x\"",
        ] {
            assert_eq!(Challenge::parse(header), [], "{header}");
        }
        assert_eq!(Challenge::parse(&format!("Basic realm=\"{}\"", "a".repeat(9000))), []);
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:a/b:pull,push\"";
        let expected = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:a/b:pull,push"),
        );
        assert_eq!(Challenge::parse(hub), [expected]);
        assert_eq!(
            Challenge::parse("bEARER  Realm = \"http://h/t?a=b,c\" , service=plain"),
            [bearer("http://h/t?a=b,c", Some("plain"), None)]
        );
        assert_eq!(
            Challenge::parse("Bearer realm=https://h/t,service=s"),
            [bearer("https://h/t", Some("s"), None)]
        );
    }

    #[test]
    fn reads_several_challenges_in_one_header() {
        assert_eq!(
            Challenge::parse(
                "Negotiate YWJj==, Basic realm=\"a \\\"b\\\"\", Bearer realm=\"https://h\""
            ),
            [Challenge::Basic { realm: "a \"b\"".to_owned() }, bearer("https://h", None, None)]
        );
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "\\PC{0,60}") {
            let _ = Challenge::parse(&header);
        }

        #[test]
        fn nothing_built_of_the_grammar_panics(header in "((Basic|Bearer|x)?[ ,=\"\\\\a]{0,4}){0,9}") {
            let _ = Challenge::parse(&header);
        }

        #[test]
        fn is_read_as_it_is_written(realm in "[ -~]{0,30}", service in "[ -~]{0,30}", scope in "[ -~]{0,30}") {
            let challenge = bearer(&realm, Some(&service), Some(&scope));
            prop_assert_eq!(Challenge::parse(&challenge.to_string()), [challenge]);
        }
    }
}
