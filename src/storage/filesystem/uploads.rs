use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;

use super::Inner;
use super::files::{self, failed};
use super::reader::Coming;
use crate::oci::{Algorithm, Digest, Digester, RepositoryName};
use crate::storage::{Error, UploadId, UploadState};

/// The uploads under way, by name.
#[derive(Default)]
pub(super) struct Uploads {
    sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
}

/// One upload. Whoever holds `writer` may change it.
pub(super) struct Session {
    repository: RepositoryName,
    offset: AtomicU64,
    touched: Mutex<Instant>,
    writer: Arc<tokio::sync::Mutex<UploadState>>,
}

/// The right to change an upload.
pub(super) struct Writer {
    session: Arc<Session>,
    state: OwnedMutexGuard<UploadState>,
    file: Option<File>,
}

impl Inner {
    pub(super) fn upload_create(&self, repository: &RepositoryName) -> Result<UploadId, Error> {
        let id = UploadId::random().map_err(|error| Error::Io {
            doing: "name an upload".to_owned(),
            source: io::Error::other(error),
        })?;
        self.uploads.insert(UploadState {
            id: id.clone(),
            repository: repository.clone(),
            offset: 0,
            digester: Digester::new(Algorithm::Sha256),
        });
        Ok(id)
    }

    /// Goes on to the next where one cannot be removed: its file goes at the next start then.
    pub(super) fn drop_idle_uploads(&self, idle: Duration) -> Result<(), Error> {
        let mut result = Ok(());
        for session in self.uploads.all() {
            // Held until it is gone, so that nobody starts to write to it.
            let Ok(state) = session.writer.try_lock() else { continue };
            if session.idle() >= idle {
                result = self.drop_upload(&state.id).and(result);
            }
        }
        result
    }

    pub(super) fn upload_offset(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<u64, Error> {
        let session = self.uploads.find(repository, id)?;
        Ok(session.offset.load(Ordering::Acquire))
    }

    /// The file of an upload, to be read while it is written.
    pub(super) fn upload_open(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Coming, Error> {
        self.uploads.find(repository, id)?;
        let path = self.layout.upload(id);
        match File::open(&path) {
            Ok(file) => Ok(Coming(Arc::new(file))),
            Err(error) if files::is_absent(&error) => {
                Err(Error::UploadUnknown { repository: repository.clone(), id: id.to_string() })
            }
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    /// Takes an upload for writing; refuses while another does.
    pub(super) fn writer(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Writer, Error> {
        let session = self.uploads.find(repository, id)?;
        let state = Arc::clone(&session.writer)
            .try_lock_owned()
            .map_err(|_| Error::UploadBusy(id.clone()))?;
        // It may have ended between the two steps.
        self.uploads.find(repository, id)?;
        session.touch();
        Ok(Writer { session, state, file: None })
    }

    /// Writes behind what is there; it counts once [`Writer::wrote`] says so.
    pub(super) fn write(&self, writer: &mut Writer, parts: &[Bytes]) -> Result<(), Error> {
        let path = self.layout.upload(&writer.state.id);
        let file = match writer.file.take() {
            Some(file) => file,
            None => self.open_upload(&path, writer.state.offset)?,
        };
        let mut offset = writer.state.offset;
        for part in parts {
            self.files.append(&file, &path, offset, part)?;
            offset += part.len() as u64;
        }
        writer.file = Some(file);
        Ok(())
    }

    /// What brings the bytes written so far to the disk, if they have to last.
    pub(super) fn early_sync(
        &self,
        writer: &Writer,
    ) -> Result<Option<impl FnOnce(&Self) -> Result<(), Error> + Send + use<>>, Error> {
        let Some(file) = writer.file.as_ref().filter(|_| self.files.commits()) else {
            return Ok(None);
        };
        let path = self.layout.upload(&writer.state.id);
        let file = file.try_clone().map_err(|e| failed("open", &path, e))?;
        Ok(Some(move |inner: &Self| inner.files.sync_data(&file, &path)))
    }

    /// The file of an upload. Bytes that were hashed once and are gone since must not turn into zeros.
    fn open_upload(&self, path: &Path, offset: u64) -> Result<File, Error> {
        let file = self.files.open(path)?;
        let length = file.metadata().map_err(|e| failed("look at", path, e))?.len();
        if length < offset {
            let what = format!("{}: {length} of {offset} bytes are left", path.display());
            return Err(Error::Damaged(what));
        }
        Ok(file)
    }

    /// However it ends, the upload is gone: of one that failed nobody knows what is on the disk, and
    /// its client starts anew.
    pub(super) fn upload_finish(&self, mut writer: Writer, digest: &Digest) -> Result<u64, Error> {
        let result = self.finish(&mut writer, digest);
        match result {
            Ok(_) => self.uploads.remove(writer.id()),
            Err(_) => self.give_up(writer.id())?,
        }
        result
    }

    fn finish(&self, writer: &mut Writer, digest: &Digest) -> Result<u64, Error> {
        self.write(writer, &[])?;
        let state = &writer.state;
        let path = self.layout.upload(&state.id);
        let Some(file) = writer.file.take() else {
            return Err(Error::Damaged(format!("{}: not there", path.display())));
        };
        // A write that failed half way may have left bytes behind the offset.
        self.files.cut(&file, &path, state.offset)?;
        let actual = match digest.algorithm() {
            Algorithm::Sha256 => state.digester.clone().finish(),
            algorithm => digest_of_file(&file, algorithm).map_err(|e| failed("read", &path, e))?,
        };
        if actual != *digest {
            return Err(Error::DigestMismatch { expected: digest.clone(), actual });
        }
        self.files.sync_data(&file, &path)?;
        self.keep(&path, &state.repository, digest, state.offset)?;
        // The same file has another name now.
        if let Ok(metadata) = file.metadata() {
            self.trust.add(digest, &metadata, true);
        }
        Ok(state.offset)
    }

    /// Drops an upload that failed, so that its space is free again. Why it failed is to be told, not
    /// that something of it stays until the next start.
    #[allow(clippy::unnecessary_wraps, reason = "as other work on files")]
    pub(super) fn give_up(&self, id: &UploadId) -> Result<(), Error> {
        if let Err(error) = self.drop_upload(id) {
            tracing::warn!(%error, "something of a failed upload stays until the next start");
        }
        Ok(())
    }

    pub(super) fn drop_upload(&self, id: &UploadId) -> Result<(), Error> {
        self.uploads.remove(id);
        self.files.remove(&self.layout.upload(id))?;
        Ok(())
    }

    /// Writes down each upload, once its writer is done.
    pub(super) async fn suspend_uploads(&self) -> Result<(), Error> {
        for session in self.uploads.all() {
            let state = session.writer.lock().await;
            let path = self.layout.upload(&state.id);
            if let Ok(file) = File::open(&path) {
                self.files.sync_data(&file, &path)?;
            }
            let text = serde_json::to_vec(&*state).map_err(|error| Error::Io {
                doing: format!("write down upload {}", state.id),
                source: error.into(),
            })?;
            self.files.write(&self.layout.upload_state(&state.id), &[&text])?;
        }
        Ok(())
    }

    /// Goes on with the uploads written down, and removes what others left.
    pub(super) fn resume_uploads(&self) -> Result<(), Error> {
        let folder = self.layout.uploads();
        let names = files::names(&folder)?.unwrap_or_default();
        for name in names.iter().filter(|name| name.ends_with(".json")) {
            let path = folder.join(name);
            let state = files::read(&path)?
                .and_then(|text| serde_json::from_slice::<UploadState>(&text).ok());
            if let Some(state) = state.filter(|state| self.has_bytes_of(state)) {
                self.uploads.insert(state);
            }
            self.files.remove(&path)?;
        }
        for name in names.iter().filter(|name| !name.ends_with(".json")) {
            if !self.uploads.contains(name) {
                self.files.remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    fn has_bytes_of(&self, state: &UploadState) -> bool {
        let length = self.layout.upload(&state.id).metadata().map_or(0, |file| file.len());
        length >= state.offset
    }
}

impl Uploads {
    fn insert(&self, state: UploadState) {
        let id = state.id.clone();
        let session = Session {
            repository: state.repository.clone(),
            offset: AtomicU64::new(state.offset),
            touched: Mutex::new(Instant::now()),
            writer: Arc::new(tokio::sync::Mutex::new(state)),
        };
        self.locked().insert(id, Arc::new(session));
    }

    /// An upload is known only in its own repository.
    fn find(&self, repository: &RepositoryName, id: &UploadId) -> Result<Arc<Session>, Error> {
        self.locked()
            .get(id)
            .filter(|session| session.repository == *repository)
            .cloned()
            .ok_or_else(|| Error::UploadUnknown {
                repository: repository.clone(),
                id: id.to_string(),
            })
    }

    fn contains(&self, name: &str) -> bool {
        name.parse().is_ok_and(|id: UploadId| self.locked().contains_key(&id))
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.locked().values().cloned().collect()
    }

    fn remove(&self, id: &UploadId) {
        self.locked().remove(id);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Writer {
    pub(super) fn id(&self) -> &UploadId {
        &self.state.id
    }

    pub(super) fn offset(&self) -> u64 {
        self.state.offset
    }

    pub(super) fn digester(&self) -> Digester {
        self.state.digester.clone()
    }

    /// So many more bytes are in the file, and with them the digest is this.
    pub(super) fn wrote(&mut self, length: u64, digester: Digester) {
        self.state.offset += length;
        self.state.digester = digester;
        self.session.offset.store(self.state.offset, Ordering::Release);
        self.session.touch();
    }
}

fn digest_of_file(mut file: &File, algorithm: Algorithm) -> io::Result<Digest> {
    file.rewind()?;
    let mut digester = Digester::new(algorithm);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(digester.finish());
        }
        digester.update(buffer.get(..count).unwrap_or_default());
    }
}
