//! Which files a host needs, and what each is to hold. Reads, computes, writes nothing.

use std::path::{Path, PathBuf};
use std::{fs, io, str};

use super::hosts::{self, User};
use super::write::{self, Access};
use super::{Error, Options, Target, buildkit, containerd, json, proxy, registries, trust};

const DROP_INS: &str = "/etc/containers/registries.conf.d";
const KUBELET: &str = "/var/lib/kubelet";

/// One file as it is to be.
#[derive(Debug)]
pub(super) struct Edit {
    /// Path inside the sysroot, absolute.
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
    /// For a file that does not exist yet; an existing one keeps its own.
    pub(super) access: Access,
    /// The home of the user who owns it, inside the sysroot; directories below it are private.
    pub(super) home: Option<PathBuf>,
}

/// Where a path inside the sysroot really is.
pub(super) fn real(sysroot: &Path, path: &Path) -> PathBuf {
    sysroot.join(path.strip_prefix("/").unwrap_or(path))
}

/// Everything the options ask for, in the order it is to be written: trust before use.
pub(super) fn edits(options: &Options) -> Result<Vec<Edit>, Error> {
    let plan = Plan { options, endpoint: options.connection.endpoint() };
    let mut edits = Vec::new();
    if let Some(address) = options.connection.address() {
        edits.push(plan.system("/etc/hosts", |_, old| Ok(hosts::with_alias(old, address)))?);
    }
    edits.extend(plan.trust()?);
    if plan.wants(Target::Podman) {
        edits.push(plan.system("/etc/containers/registries.conf", |path, old| {
            registries::with_mirrors(
                path,
                old,
                &plan.endpoint,
                &options.namespaces,
                &options.unqualified,
            )
        })?);
        edits.extend(plan.drop_ins(Path::new(DROP_INS), None)?);
        edits.extend(plan.rootless()?);
    }
    if plan.wants(Target::Docker) {
        edits.push(plan.system("/etc/docker/daemon.json", |path, old| {
            json::with_registry_mirror(path, old, &plan.endpoint)
        })?);
        edits.extend(plan.proxy()?);
    }
    if plan.wants(Target::Buildkit) {
        edits.push(plan.system(buildkit::FILE, |path, old| {
            let authority = options.connection.pem().map(|_| plan.system_ca());
            let namespaces = &options.namespaces;
            buildkit::with_mirrors(path, old, &plan.endpoint, namespaces, authority.as_deref())
        })?);
    }
    edits.extend(plan.containerd()?);
    edits.extend(plan.logins()?);
    Ok(edits)
}

struct Plan<'a> {
    options: &'a Options,
    endpoint: String,
}

impl Plan<'_> {
    fn wants(&self, target: Target) -> bool {
        self.options.targets.contains(&target)
    }

    fn system(
        &self,
        path: impl AsRef<Path>,
        change: impl FnOnce(&Path, &str) -> Result<String, Error>,
    ) -> Result<Edit, Error> {
        let access = Access { mode: 0o644, ..self.root()? };
        self.edit(path.as_ref(), access, None, change)
    }

    fn edit(
        &self,
        path: &Path,
        access: Access,
        home: Option<PathBuf>,
        change: impl FnOnce(&Path, &str) -> Result<String, Error>,
    ) -> Result<Edit, Error> {
        let real = self::real(&self.options.sysroot, path);
        if let Some(home) = &home {
            write::refuse_links(&real, &self::real(&self.options.sysroot, home))?;
        }
        let present = write::read(&real)?;
        let old = present.map(|present| present.content).unwrap_or_default();
        let old = str::from_utf8(&old).map_err(|error| not_text(&real, &old, error))?;
        let content = change(&real, old)?.into_bytes();
        Ok(Edit { path: path.to_owned(), content, access, home })
    }

    /// A user's registries.conf stands in the place of the system's, and the drop-ins beside it win over both.
    fn rootless(&self) -> Result<Vec<Edit>, Error> {
        let user = self.user()?;
        let folder = user.home.join(".config/containers");
        let path = folder.join("registries.conf");
        let mut edits = Vec::new();
        if real(&self.options.sysroot, &path).is_file() {
            edits.push(self.edit(
                &path,
                self.private(&user),
                Some(user.home.clone()),
                |path, old| {
                    let Options { namespaces, unqualified, .. } = self.options;
                    registries::with_mirrors(path, old, &self.endpoint, namespaces, unqualified)
                },
            )?);
        }
        edits.extend(self.drop_ins(&folder.join("registries.conf.d"), Some(&user))?);
        Ok(edits)
    }

    /// Every containerd of the host: what it asks before the registry itself.
    fn containerd(&self) -> Result<Vec<Edit>, Error> {
        let mut edits = Vec::new();
        for certs_d in self.containerd_folders() {
            let authority = self.options.connection.pem();
            let authority = authority.map(|_| format!("../{}/ca.crt", self.endpoint));
            for namespace in &self.options.namespaces {
                let path = certs_d.join(&namespace.name).join(containerd::FILE);
                edits.push(self.system(path, |path, old| {
                    let authority = authority.as_deref();
                    containerd::with_host(path, old, &self.endpoint, namespace, authority)
                })?);
            }
        }
        Ok(edits)
    }

    fn containerd_folders(&self) -> Vec<&'static Path> {
        let microk8s = real(&self.options.sysroot, Path::new(containerd::MICROK8S)).is_dir();
        let mut folders = Vec::new();
        if self.wants(Target::Containerd) {
            folders.push(Path::new(containerd::CERTS_D));
        }
        if self.wants(Target::Microk8s) && microk8s {
            folders.push(Path::new(containerd::MICROK8S_CERTS_D));
        }
        folders
    }

    /// A drop-in wins over registries.conf, so what it says about our namespaces is changed in it.
    fn drop_ins(&self, folder: &Path, owner: Option<&User>) -> Result<Vec<Edit>, Error> {
        let mut edits = Vec::new();
        for path in drop_ins(&self.options.sysroot, folder)? {
            let real = self::real(&self.options.sysroot, &path);
            let old = fs::read(&real).map_err(Error::io("read", &real))?;
            let old = str::from_utf8(&old).map_err(|error| not_text(&real, &old, error))?;
            let changed = registries::with_mirrors_over(
                &real,
                old,
                &self.endpoint,
                &self.options.namespaces,
                &self.options.unqualified,
            )?;
            let Some(content) = changed else { continue };
            edits.push(match owner {
                None => self.system(path, |_, _| Ok(content))?,
                Some(user) => {
                    let home = Some(user.home.clone());
                    self.edit(&path, self.private(user), home, |_, _| Ok(content))?
                }
            });
        }
        Ok(edits)
    }

    /// The environment of the docker engine, and what makes systemd read it.
    fn proxy(&self) -> Result<Vec<Edit>, Error> {
        if self.options.proxied.is_empty() {
            return Ok(Vec::new());
        }
        let secret = Access { mode: 0o600, ..self.root()? };
        let environment = proxy::environment(&self.options.connection);
        Ok(vec![
            self.edit(Path::new(proxy::ENVIRONMENT), secret, None, |_, _| Ok(environment))?,
            self.system(proxy::DROP_IN, |_, _| Ok(proxy::drop_in()))?,
        ])
    }

    /// The owner of the sysroot owns what is created in it.
    fn root(&self) -> Result<Access, Error> {
        write::owner_of(&self.options.sysroot)
    }

    fn trust(&self) -> Result<Vec<Edit>, Error> {
        let Some(pem) = self.options.connection.pem() else {
            return Ok(Vec::new());
        };
        let mut paths = vec![self.system_ca()];
        for (target, folder) in
            [(Target::Podman, "/etc/containers/certs.d"), (Target::Docker, "/etc/docker/certs.d")]
        {
            if self.wants(target) {
                paths.push(Path::new(folder).join(&self.endpoint).join("ca.crt"));
            }
        }
        let folders = self.containerd_folders().into_iter();
        paths.extend(folders.map(|folder| folder.join(&self.endpoint).join("ca.crt")));
        if self.wants(Target::Docker) {
            let folders =
                self.options.proxied.iter().flat_map(|name| proxy::certificate_folders(name));
            let certs_d = Path::new("/etc/docker/certs.d");
            paths.extend(folders.map(|folder| certs_d.join(folder).join("ca.crt")));
        }
        let pem = format!("{}\n", pem.trim_end());
        paths.into_iter().map(|path| self.system(path, |_, _| Ok(pem.clone()))).collect()
    }

    /// A second registry on the same node has another port, and another certificate.
    fn system_ca(&self) -> PathBuf {
        let fedora = real(&self.options.sysroot, Path::new(trust::FEDORA)).is_dir();
        let folder = Path::new(if fedora { trust::FEDORA } else { trust::DEBIAN });
        let (alias, port) = (self.options.connection.alias(), self.options.connection.port);
        folder.join(match port {
            5000 => format!("{alias}.crt"),
            _ => format!("{alias}-{port}.crt"),
        })
    }

    /// docker and podman both read `~/.docker/config.json`; podman prefers its own in the run-time
    /// directory, where there is one.
    fn logins(&self) -> Result<Vec<Edit>, Error> {
        let user = self.user()?;
        let access = self.private(&user);
        let mut files = vec![(user.home.clone(), user.home.join(".docker/config.json"))];
        let runtime = Path::new("/run/user").join(user.uid.to_string());
        if self.wants(Target::Podman) && real(&self.options.sysroot, &runtime).is_dir() {
            files.push((runtime.clone(), runtime.join("containers/auth.json")));
        }
        let login = |(home, path): (PathBuf, PathBuf)| {
            self.edit(&path, access, Some(home), |path, old| {
                json::with_auth(path, old, &self.options.connection)
            })
        };
        let mut edits = files.into_iter().map(login).collect::<Result<Vec<_>, _>>()?;
        // A kubelet hands it to whatever runs its containers.
        if real(&self.options.sysroot, Path::new(KUBELET)).is_dir() {
            let access = Access { mode: 0o600, ..self.root()? };
            let path = Path::new(KUBELET).join("config.json");
            edits.push(self.edit(&path, access, None, |path, old| {
                json::with_auth(path, old, &self.options.connection)
            })?);
        }
        Ok(edits)
    }

    fn private(&self, user: &User) -> Access {
        Access { mode: 0o600, uid: user.uid, gid: user.gid }
    }

    fn user(&self) -> Result<User, Error> {
        let name = match &self.options.user {
            Some(name) => name.clone(),
            None => write::own_uid()?.to_string(),
        };
        let passwd = real(&self.options.sysroot, Path::new("/etc/passwd"));
        let text = fs::read_to_string(&passwd).map_err(Error::io("read", &passwd))?;
        hosts::find_user(&text, &name).ok_or(Error::NoUser { name, passwd })
    }
}

/// The drop-ins of registries.conf in the order in which they are read.
fn drop_ins(sysroot: &Path, place: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = real(sysroot, place);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", &folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("read", &folder))?.file_name();
        let is_conf = Path::new(&name).extension().is_some_and(|end| end == "conf");
        if is_conf && folder.join(&name).is_file() {
            paths.push(place.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

pub(super) fn not_text(path: &Path, bytes: &[u8], error: str::Utf8Error) -> Error {
    let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
    Error::Parse { path: path.to_owned(), line, message: "not UTF-8 text".to_owned() }
}
