use std::path::PathBuf;

use clap::Args;

use super::Network;
use super::config::Config;
use crate::auth::{Credentials, Secret};
use crate::cli::exit::Failure;
use crate::client::Client;
use crate::http::Rate;
use crate::oci::{ImageReference, Reference, Tag};
use crate::rhcc::{Journal, Numbers};
use crate::webapi::{ApiUrl, Pyxis};

/// Where everything is.
#[derive(Debug, Args)]
pub(super) struct Site {
    /// The credentials: `products.NAME.{image_basename, project_id, registry_key}`, `rhcc.{api_key, namespace,
    /// registry_service_account}` (JSON or YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Where images are uploaded [default: quay.io/redhat-isv-containers/PROJECT]
    #[arg(long, value_name = "REPO")]
    upload_repository: Option<ImageReference>,

    /// Where customers pull [default: registry.connect.redhat.com/NAMESPACE/IMAGE of the configuration]
    #[arg(long, value_name = "REPO")]
    public_repository: Option<ImageReference>,

    /// The catalog's API
    #[arg(long, value_name = "URL", default_value = Pyxis::URL)]
    pyxis_url: ApiUrl,

    #[command(flatten)]
    network: Network,
}

/// What is known of a product, and who speaks for it.
pub(super) struct Setup {
    pub(super) client: Client,
    pub(super) pyxis: Option<Pyxis>,
    pub(super) project: String,
    pub(super) upload: ImageReference,
    pub(super) public: ImageReference,
    pub(super) login: Credentials,
    pub(super) pyxis_host: Option<String>,
    api_key: Option<Secret>,
}

impl Setup {
    pub(super) fn of(site: &Site, product: &str) -> Result<Self, Failure> {
        let config = Config::read(&site.config)?;
        let known = config.product(product)?;
        let project = known.project_id;
        let upload = match &site.upload_repository {
            Some(repository) => plain(repository)?,
            None => image(&format!("quay.io/redhat-isv-containers/{project}"))?,
        };
        let public = match (&site.public_repository, &config.rhcc.namespace) {
            (Some(repository), _) => plain(repository)?,
            (None, Some(namespace)) => {
                let name = known.image_basename;
                image(&format!("registry.connect.redhat.com/{namespace}/{name}"))?
            }
            (None, None) => {
                return Err(Failure::input(
                    "config: there is no rhcc.namespace; or give --public-repository",
                ));
            }
        };
        let user = format!("redhat-isv-containers+{project}-robot");
        let login = Credentials::new(user, known.registry_key);
        let client = site.network.client_as(&[], Rate::Free, |logins| {
            logins.add(&upload.registry, Some(upload.repository.as_str()), login.clone());
            if let Some(account) = &config.rhcc.registry_service_account {
                let account = Credentials::new(&*account.username, &*account.password);
                logins.add(&public.registry, Some(public.repository.as_str()), account);
            }
            Ok(())
        })?;
        let api_key = config.rhcc.api_key.as_deref().map(Secret::new);
        let unsendable = |error: crate::webapi::Error| match error {
            crate::webapi::Error::Token => Failure::input("config: rhcc.api_key is no key"),
            error => error.into(),
        };
        let pyxis = match &api_key {
            Some(key) => Some(Pyxis::new(client.http(), &site.pyxis_url, key).map_err(unsendable)?),
            None => None,
        };
        let project = project.to_owned();
        let pyxis_host = pyxis_host(&site.pyxis_url.to_string());
        Ok(Self { client, pyxis, project, upload, public, login, pyxis_host, api_key })
    }

    /// For what a journal is about, if the configuration is about the same: a journal may come from anywhere,
    /// and its words do not say where a login is sent.
    pub(super) fn of_journal(site: &Site, journal: &Journal) -> Result<Self, Failure> {
        let setup = Self::of(site, &journal.product)?;
        let named = |image: &ImageReference| format!("{}/{}", image.registry, image.repository);
        for (what, own, journals, option) in [
            ("project", setup.project.clone(), &journal.project, "--config"),
            ("upload repository", named(&setup.upload), &journal.upload, "--upload-repository"),
            ("public repository", named(&setup.public), &journal.public, "--public-repository"),
        ] {
            if own != *journals {
                return Err(Failure::refused(format!(
                    "the journal is of the {what} {journals}, and {option} says {own}"
                ))
                .on(&journal.product));
            }
        }
        Ok(setup)
    }

    pub(super) fn api_key(&self) -> Result<Secret, Failure> {
        let missing = || Failure::input("config: there is no rhcc.api_key");
        self.api_key.clone().ok_or_else(missing)
    }

    /// The rebuild numbers that the upload registry has of a base.
    pub(super) async fn numbers(&self, base: &Tag) -> Result<Numbers, Failure> {
        let tags = match self.client.image(&self.upload).tags().await {
            Err(error) if error.is_not_found() => Vec::new(),
            tags => tags?,
        };
        Ok(Numbers::of(base, &tags))
    }
}

/// Host and path, as preflight wants them; none where they are its own.
fn pyxis_host(url: &str) -> Option<String> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let host = host.strip_suffix("/v1").unwrap_or(host);
    (url.trim_end_matches('/') != Pyxis::URL).then(|| host.to_owned())
}

fn image(text: &str) -> Result<ImageReference, Failure> {
    plain(&text.parse().map_err(Failure::input)?)
}

/// A repository, without tag and digest.
fn plain(image: &ImageReference) -> Result<ImageReference, Failure> {
    match (&image.tag, &image.reference) {
        (None, Reference::Tag(_)) => Ok(image.clone()),
        _ => Err(Failure::input(format!("{image} is no repository"))),
    }
}
