//! Every role says what it takes: in its README for people, in its argument specification for Ansible.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

struct Role {
    name: String,
    folder: PathBuf,
}

impl Role {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("roles");
        let mut roles: Vec<Self> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| Self {
                name: entry.file_name().into_string().unwrap(),
                folder: entry.path(),
            })
            .collect();
        roles.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(roles.len() > 10, "only {} roles found", roles.len());
        roles
    }

    fn file(&self, path: &str) -> String {
        let path = self.folder.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The variables that have a value when nobody gives one.
    fn defaults(&self) -> BTreeSet<String> {
        let path = self.folder.join("defaults/main.yaml");
        let Ok(text) = fs::read_to_string(path) else { return BTreeSet::new() };
        serde_saphyr::from_str::<BTreeMap<String, Value>>(&text).unwrap().into_keys().collect()
    }

    fn options(&self) -> BTreeSet<String> {
        let specs: Value = serde_saphyr::from_str(&self.file("meta/argument_specs.yml")).unwrap();
        let options = specs["argument_specs"]["main"]["options"].as_object();
        options.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// The variables its README describes.
    fn described(&self) -> BTreeSet<String> {
        let readme = self.file("README.rst");
        let names = readme.lines().filter_map(|line| line.trim().strip_prefix(".. zuul:rolevar::"));
        names.map(|name| name.trim().to_owned()).collect()
    }
}

#[test]
fn every_variable_is_described_where_it_belongs() {
    let roles = Role::all();
    let anywhere: BTreeSet<String> = roles.iter().flat_map(Role::described).collect();
    let mut wrong = Vec::new();
    for role in &roles {
        let described = role.described();
        // Where the programs are is the same for all of them.
        let is_known = |name: &String| {
            described.contains(name) || name.starts_with("zuul_images_") && anywhere.contains(name)
        };
        let named = role.defaults().into_iter().chain(role.options());
        for name in named.filter(|name| !is_known(name)) {
            wrong.push(format!("{}: its README does not describe {name}", role.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_variable_with_a_default_is_in_the_argument_specification() {
    let mut wrong = Vec::new();
    for role in Role::all() {
        let options = role.options();
        let missing = role.defaults().into_iter().filter(|name| !options.contains(name));
        // Of another role, with its default for where this one is used alone.
        for name in missing.filter(|name| !name.starts_with("zuul_images_")) {
            wrong.push(format!("{}: {name} is not among its options", role.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
