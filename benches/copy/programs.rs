//! Who copies, and how each is told to: as the script of somebody who wants it done fast.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::sets::{FINAL, Set, TEMPORARY};
use super::support::Outcome;
use super::support::place::write;
use super::support::registries::basic;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `upload-with-temp-tag --final-tags`, without referrers, for which the others do not look, and `promote-retag promote`.
    Ours,
    /// Debian's skopeo, a process for each image.
    SkopeoCopy,
    /// Debian's skopeo, one process over a list.
    SkopeoSync,
    /// A process for each image.
    Crane,
    /// A process for each image.
    Regctl,
    /// regctl's sister, one process over a list.
    Regsync,
    /// Sends the last blob of the first image, which it has in a file: what an upload costs at least.
    Curl,
}

/// What is to be done: `bench/imageN:latest` of one registry to another, or a new tag in the second.
pub struct Job<'a> {
    pub folder: &'a Path,
    pub programs: &'a Path,
    pub tools: &'a Path,
    /// The authority of the registries, where they speak TLS.
    pub ca: Option<PathBuf>,
    /// Whether the registries know the login.
    pub login: bool,
    pub source: String,
    pub destination: String,
    pub set: &'a Set,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::SkopeoCopy => "skopeo copy",
            Self::SkopeoSync => "skopeo sync",
            Self::Crane => "crane",
            Self::Regctl => "regctl",
            Self::Regsync => "regsync",
            Self::Curl => "curl",
        }
    }

    /// The lines of a shell script that copies.
    pub fn copy(self, job: &Job<'_>) -> Outcome<String> {
        let Job { source, destination, .. } = job;
        let tls = job.ca.is_some();
        Ok(match self {
            Self::Ours => job.mirror()?,
            Self::SkopeoCopy => job.each(|repository| {
                format!(
                    "skopeo --insecure-policy copy --quiet --all --src-tls-verify={tls} \
                     --dest-tls-verify={tls} docker://{source}/{repository}:{FINAL} \
                     docker://{destination}/{repository}:{FINAL}"
                )
            }),
            Self::SkopeoSync => {
                let list = job.skopeo_list()?.display().to_string();
                format!(
                    "skopeo --insecure-policy sync --all --src yaml --dest docker \
                     --dest-tls-verify={tls} {list} {destination}/bench\n"
                )
            }
            Self::Crane => job.each(|repository| {
                let crane = job.tool("crane");
                format!("{crane} copy {source}/{repository}:{FINAL} {destination}/{repository}:{FINAL}")
            }),
            Self::Regctl => job.each(|repository| {
                let regctl = job.tool("regctl");
                format!(
                    "{regctl} image copy {source}/{repository}:{FINAL} {destination}/{repository}:{FINAL}"
                )
            }),
            Self::Regsync => {
                format!("{} once --config {}\n", job.tool("regsync"), job.regsync_list()?.display())
            }
            Self::Curl => job.upload_file()?,
        })
    }

    /// The lines of a shell script that gives what waits its final tags.
    pub fn retag(self, job: &Job<'_>) -> Outcome<String> {
        let at = &job.destination;
        let tls = job.ca.is_some();
        Ok(match self {
            Self::Ours => job.promote()?,
            Self::SkopeoCopy => job.each(|repository| {
                format!(
                    "skopeo --insecure-policy copy --quiet --all --src-tls-verify={tls} \
                     --dest-tls-verify={tls} docker://{at}/{repository}:{TEMPORARY} \
                     docker://{at}/{repository}:{FINAL}"
                )
            }),
            Self::Crane => job.each(|repository| {
                format!("{} tag {at}/{repository}:{TEMPORARY} {FINAL}", job.tool("crane"))
            }),
            Self::Regctl => job.each(|repository| {
                let regctl = job.tool("regctl");
                format!(
                    "{regctl} image copy {at}/{repository}:{TEMPORARY} {at}/{repository}:{FINAL}"
                )
            }),
            Self::SkopeoSync | Self::Regsync | Self::Curl => return Err("it gives no tags".into()),
        })
    }
}

impl Job<'_> {
    /// Writes the logins where each program looks for them when its HOME is the folder.
    pub fn configure(&self) -> Outcome<()> {
        let places = [&self.source, &self.destination];
        let basic = basic();
        let login = json!({"auth": basic.trim_start_matches("Basic ")});
        let logins: Value = match self.login {
            true => places.iter().map(|place| ((*place).clone(), login.clone())).collect(),
            false => json!({}),
        };
        write(self.folder, "config.json", &json!({"auths": logins}).to_string())?;
        let tls = self.regclient_tls();
        let hosts: Value =
            places.iter().map(|place| ((*place).clone(), json!({"tls": tls}))).collect();
        fs::create_dir_all(self.folder.join(".regctl"))?;
        write(self.folder, ".regctl/config.json", &json!({"hosts": hosts}).to_string())?;
        Ok(())
    }

    fn each(&self, command: impl Fn(&str) -> String) -> String {
        let commands = self.set.images.iter().map(|image| command(&image.repository) + "\n");
        commands.collect()
    }

    fn tool(&self, name: &str) -> String {
        self.tools.join(name).display().to_string()
    }

    fn regclient_tls(&self) -> &'static str {
        if self.ca.is_some() { "enabled" } else { "disabled" }
    }

    /// One run over the list; the others do not carry referrers either.
    fn mirror(&self) -> Outcome<String> {
        let entry = |name: &str| {
            json!({
                "src_repository": format!("{}/{name}", self.source), "src_tag": FINAL,
                "dest_repository": format!("{}/{name}", self.destination), "dest_tag": FINAL,
            })
        };
        let list: Vec<Value> =
            self.set.images.iter().map(|image| entry(&image.repository)).collect();
        let file = write(self.folder, "mirror.json", &json!(list).to_string())?;
        let program = self.programs.join("intermediate-registry-sync");
        let line =
            format!("{} mirror --images {} --referrers false", program.display(), file.display());
        Ok(line + &self.connections(&[&self.source, &self.destination]))
    }

    fn promote(&self) -> Outcome<String> {
        let program = self.programs.join("promote-retag");
        let line = format!(
            "{} promote --images {} --change 1 --keep-temporary-tags",
            program.display(),
            self.image_list()?.display(),
        );
        Ok(line + &self.connections(&[&self.destination]))
    }

    /// The options by which our programs reach the registries.
    fn connections(&self, places: &[&String]) -> String {
        let folder = self.folder.display();
        let mut options = format!(" --quiet --no-ambient-config --authfile {folder}/config.json");
        for place in places {
            options += &match &self.ca {
                Some(ca) => format!(" --ca-file {place}={}", ca.display()),
                None => format!(" --plain-http {place}"),
            };
        }
        options + "\n"
    }

    fn image_list(&self) -> Outcome<PathBuf> {
        let entry = |repository| json!({"repository": format!("{}/{repository}", self.destination), "tags": [FINAL]});
        let list: Vec<Value> =
            self.set.images.iter().map(|image| entry(&image.repository)).collect();
        write(self.folder, "images.json", &json!({"container_images": list}).to_string())
    }

    fn skopeo_list(&self) -> Outcome<PathBuf> {
        let images: Value = self
            .set
            .images
            .iter()
            .map(|image| (image.repository.clone(), json!([FINAL])))
            .collect();
        let list = json!({&self.source: {"tls-verify": self.ca.is_some(), "images": images}});
        write(self.folder, "skopeo.yaml", &list.to_string())
    }

    /// As many images at once as ours moves blobs.
    fn regsync_list(&self) -> Outcome<PathBuf> {
        let tls = self.regclient_tls();
        let host = |place: &String| json!({"registry": place, "tls": tls});
        let pair = |repository: &str| {
            json!({
                "source": format!("{}/{repository}:{FINAL}", self.source),
                "target": format!("{}/{repository}:{FINAL}", self.destination),
                "type": "image",
            })
        };
        let images: Vec<Value> =
            self.set.images.iter().map(|image| pair(&image.repository)).collect();
        let list = json!({
            "version": 1, "creds": [host(&self.source), host(&self.destination)],
            "defaults": {"parallel": 8}, "sync": images,
        });
        write(self.folder, "regsync.yaml", &list.to_string())
    }

    /// POST, then PUT of the last blob.
    fn upload_file(&self) -> Outcome<String> {
        let image = self.set.images.first().ok_or("nothing to copy")?;
        let layer = image.blobs().last().ok_or("an image without layers")?;
        let uploads = format!("http://{}/v2/{}/blobs/uploads/", self.destination, image.repository);
        let file = self.folder.join("layer");
        layer.write_to(&file)?;
        let (file, digest) = (file.display(), &layer.digest);
        Ok(format!(
            "at=$(curl --silent --fail --request POST --data '' --output /dev/null \
             --write-out '%header{{location}}' {uploads})\n\
             curl --silent --fail --header 'Content-Type: application/octet-stream' \
             --header Expect: --upload-file {file} \"$at&digest={digest}\"\n"
        ))
    }
}
