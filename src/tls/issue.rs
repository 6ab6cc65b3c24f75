use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::oci::Registry;

/// For how many years an authority is good.
const AUTHORITY_YEARS: i64 = 10;

/// For how many days a server's certificate is good.
const SERVER_DAYS: i64 = 730;

/// What a certificate is for: a DNS name or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A DNS name in lower case.
    Name(String),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
}

/// A certificate authority that can vouch for a few subjects and, whatever happens to its key, for
/// nothing else: nodes put it into their system-wide trust.
pub struct Authority {
    /// PEM of its certificate.
    pub certificate: String,
    /// PEM of its private key.
    pub key: String,
    /// The common name of its certificate.
    pub name: String,
    /// What it may vouch for.
    pub permitted: Vec<Subject>,
}

/// A server's certificate.
pub struct Issued {
    /// PEM of the certificate.
    pub certificate: String,
    /// PEM of its private key.
    pub key: String,
    /// When it stops being good.
    pub expires: Timestamp,
}

impl Authority {
    /// Makes an authority for these subjects. Its name has a random part: two authorities of one name
    /// confuse clients that know both.
    ///
    /// # Errors
    /// The cryptography fails.
    pub fn create(permitted: Vec<Subject>) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mark = hex::encode(key.public_key_raw().get(1..5).unwrap_or_default());
        Self::with_key(key, format!("zuul-images registry authority {mark}"), permitted)
    }

    /// The same key and name, for other subjects. What was issued before stays good only for clients
    /// that have the old certificate.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn reissue(&self, permitted: Vec<Subject>) -> Result<Self, Error> {
        Self::with_key(KeyPair::from_pem(&self.key)?, self.name.clone(), permitted)
    }

    fn with_key(key: KeyPair, name: String, permitted: Vec<Subject>) -> Result<Self, Error> {
        let mut params = authority_params(&name)?;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: permitted.iter().map(Subject::subtree).collect(),
            excluded_subtrees: Vec::new(),
        });
        limit(&mut params, &today().saturating_add(AUTHORITY_YEARS.years()));
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key: key.serialize_pem(), name, permitted })
    }

    /// Whether it may vouch for all of these.
    #[must_use]
    pub fn permits(&self, subjects: &[Subject]) -> bool {
        subjects.iter().all(|subject| self.permitted.contains(subject))
    }

    /// Makes a key and a certificate for a server of these subjects.
    ///
    /// # Errors
    /// The authority's key cannot be read.
    pub fn issue(&self, subjects: &[Subject]) -> Result<Issued, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("zuul-images registry");
        params.subject_alt_names =
            subjects.iter().map(Subject::alternative).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let last = today().saturating_add(SERVER_DAYS.days());
        limit(&mut params, &last);
        let issuer = Issuer::new(authority_params(&self.name)?, KeyPair::from_pem(&self.key)?);
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem(), expires: last.timestamp() })
    }
}

/// What an issuer says of itself, in its own certificate and to those it issues.
fn authority_params(name: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A certificate's time: from yesterday, for clocks that are behind, to midnight of the last day.
fn limit(params: &mut CertificateParams, last: &Zoned) {
    let ymd =
        |day: &Zoned| (i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs());
    let (year, month, day) = ymd(&today().saturating_sub(1.day()));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = ymd(last);
    params.not_after = rcgen::date_time_ymd(year, month, day);
}

fn today() -> Zoned {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    now.start_of_day().unwrap_or(now)
}

impl Subject {
    fn subtree(&self) -> GeneralSubtree {
        match self {
            Self::Name(name) => GeneralSubtree::DnsName(name.clone()),
            Self::Address(IpAddr::V4(address)) => {
                GeneralSubtree::IpAddress(CidrSubnet::V4(address.octets(), [255; 4]))
            }
            Self::Address(IpAddr::V6(address)) => {
                GeneralSubtree::IpAddress(CidrSubnet::V6(address.octets(), [255; 16]))
            }
        }
    }

    fn alternative(&self) -> Result<SanType, Error> {
        Ok(match self {
            Self::Name(name) => SanType::DnsName(name.as_str().try_into()?),
            Self::Address(address) => SanType::IpAddress(*address),
        })
    }
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let registry = Registry::new(value, None).map_err(|_| Error::Name {
            name: value.chars().take(80).flat_map(char::escape_debug).collect(),
        })?;
        let host = registry.host();
        Ok(host.parse().map_or_else(|_| Self::Name(host.to_owned()), Self::Address))
    }
}

impl TryFrom<String> for Subject {
    type Error = Error;

    fn try_from(value: String) -> Result<Self, Error> {
        value.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}
