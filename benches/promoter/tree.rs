//! Manifests of many projects, and what registries hold of them.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use zuul_images::oci::Digest;

use super::server::Registry;
use super::support::Outcome;

pub struct Tree {
    pub folder: PathBuf,
    /// All of it in place.
    pub inventory: PathBuf,
    pub digests: usize,
    pub edges: usize,
}

impl Tree {
    /// 100 projects, 900 images, about 50,000 digests; 20 destinations each, and for the first of them another
    /// 20 below these.
    pub fn of_production_size(folder: &Path) -> Outcome<Self> {
        let mut tree = Self::new(folder);
        let mut inventory = BufWriter::new(fs::File::create(&tree.inventory)?);
        write!(inventory, "{{\"gcr.io/none\":{{}}")?;
        for project in 0..100 {
            let regions =
                (0..20).map(|region| format!("region{region}-docker.pkg.dev/prod/images"));
            let destinations: Vec<String> = match project {
                0 => regions.flat_map(|it| [format!("{it}/kubernetes"), it]).collect(),
                _ => regions.map(|it| format!("{it}/team-{project}")).collect(),
            };
            let source = format!("gcr.io/staging-{project}");
            let count = if project == 0 { 90 } else { 55 };
            let images: Vec<(String, Vec<String>)> = (0..9)
                .map(|image| {
                    let digest =
                        |number| Digest::sha256(format!("{project}/{image}/{number}").as_bytes());
                    (
                        format!("image-{image}"),
                        (0..count).map(|it| digest(it).to_string()).collect(),
                    )
                })
                .collect();
            tree.project(project, &source, &destinations, &images)?;
            let held = held(&images);
            for place in destinations.iter().chain([&source]) {
                write!(inventory, ",\"{place}\":{held}")?;
            }
        }
        write!(inventory, "}}")?;
        inventory.flush()?;
        Ok(tree)
    }

    /// 500 images, each from one repository of a registry to another, where they are.
    pub fn in_registry(folder: &Path, registry: &Registry) -> Outcome<Self> {
        let mut tree = Self::new(folder);
        let (source, destination) =
            (format!("{}/staging", registry.address), format!("{}/prod", registry.address));
        let images: Vec<(String, Vec<String>)> = (0..500)
            .map(|image| (format!("image-{image}"), vec![registry.digest.clone()]))
            .collect();
        tree.project(0, &source, &[destination], &images)?;
        Ok(tree)
    }

    fn new(folder: &Path) -> Self {
        let (folder, inventory) = (folder.join("manifests"), folder.join("inventory.json"));
        Self { folder, inventory, digests: 0, edges: 0 }
    }

    fn project(
        &mut self,
        number: usize,
        source: &str,
        destinations: &[String],
        images: &[(String, Vec<String>)],
    ) -> Outcome<()> {
        let mut registries = format!("registries:\n- name: {source}\n  src: true\n");
        for destination in destinations {
            registries.push_str(&format!(
                "- name: {destination}\n  service-account: robot@example.org\n"
            ));
        }
        let mut list = String::new();
        for (image, digests) in images {
            list.push_str(&format!("- name: {image}\n  dmap:\n"));
            for (position, digest) in digests.iter().enumerate() {
                list.push_str(&format!("    \"{digest}\": [\"v1.{position}\"]\n"));
            }
            self.digests += digests.len();
            self.edges += digests.len() * destinations.len();
        }
        for (kind, name, text) in
            [("manifests", "promoter-manifest.yaml", registries), ("images", "images.yaml", list)]
        {
            let folder = self.folder.join(kind).join(format!("team-{number}"));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(name), text)?;
        }
        Ok(())
    }
}

/// Image → digest → tags, as JSON.
fn held(images: &[(String, Vec<String>)]) -> String {
    let images = images.iter().map(|(image, digests)| {
        let digests = digests.iter().enumerate();
        let digests: Vec<String> =
            digests.map(|(position, digest)| format!("\"{digest}\":[\"v1.{position}\"]")).collect();
        format!("\"{image}\":{{{}}}", digests.join(","))
    });
    format!("{{{}}}", images.collect::<Vec<_>>().join(","))
}
