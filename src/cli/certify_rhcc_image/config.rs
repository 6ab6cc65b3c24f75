use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::cli::exit::Failure;
use crate::zuul::{Document, Secrecy};

/// The credentials of a publisher, JSON or YAML.
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    products: BTreeMap<String, ProductConfig>,
    #[serde(default)]
    pub(super) rhcc: Catalog,
}

#[derive(Deserialize)]
pub(super) struct ProductConfig {
    image_basename: Option<String>,
    project_id: Option<String>,
    registry_key: Option<String>,
}

/// What is the same for all products.
#[derive(Deserialize, Default)]
pub(super) struct Catalog {
    pub(super) api_key: Option<String>,
    /// The vendor's in the public registry.
    pub(super) namespace: Option<String>,
    pub(super) registry_service_account: Option<ServiceAccount>,
}

#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    pub(super) username: String,
    pub(super) password: String,
}

/// A product of which all is known.
pub(super) struct Known<'a> {
    pub(super) image_basename: &'a str,
    pub(super) project_id: &'a str,
    pub(super) registry_key: &'a str,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        Ok(Document::read(path, Secrecy::Secret)?.parse()?)
    }

    pub(super) fn product<'a>(&'a self, name: &str) -> Result<Known<'a>, Failure> {
        let product = self.products.get(name);
        let product = product.ok_or_else(|| {
            let known: Vec<&str> = self.products.keys().map(String::as_str).collect();
            Failure::input(match known.as_slice() {
                [] => format!("config: no product \"{name}\", nor any other"),
                known => format!("config: no product \"{name}\", only {}", known.join(", ")),
            })
        })?;
        let given = |key: &str, value: Option<&'a str>| {
            let value = value.filter(|value| !value.is_empty());
            value.ok_or_else(|| Failure::input(format!("config: product \"{name}\" has no {key}")))
        };
        let project_id = given("project_id", product.project_id.as_deref())?;
        // preflight leaves the old prefix away, too, and takes nothing else with a dash.
        let project_id = project_id.strip_prefix("ospid-").unwrap_or(project_id);
        if !project_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let reason = format!("config: product \"{name}\": project_id is no project's");
            return Err(Failure::input(reason));
        }
        Ok(Known {
            image_basename: given("image_basename", product.image_basename.as_deref())?,
            project_id,
            registry_key: given("registry_key", product.registry_key.as_deref())?,
        })
    }
}
