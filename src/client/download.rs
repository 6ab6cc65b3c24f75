use std::collections::BTreeMap;
use std::mem;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};

use super::access::{Effort, Purpose};
use super::manifests::content_length;
use super::{Error, Repository};
use crate::http::{Response, Retries};
use crate::oci::{Descriptor, Digest, Digester};

/// The bytes of a blob. The last of them come only when length and digest are right: who passes
/// them on with a `Content-Length` has not completed anything when the stream fails.
pub type BlobStream = BoxStream<'static, Result<Bytes, Error>>;

/// A blob as a registry sends it, for who checks the digest himself.
pub struct OpenBlob {
    /// How many bytes the registry announces, and exactly so many come.
    pub size: u64,
    /// The bytes; their digest has not been looked at.
    pub bytes: BlobStream,
}

impl Repository {
    /// The size of a blob; `None` only when the registry says 404.
    ///
    /// # Errors
    /// Any other answer.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        self.blob_size_with(digest, self.effort()).await
    }

    pub(super) async fn blob_size_with(
        &self,
        digest: &Digest,
        effort: Effort,
    ) -> Result<Option<u64>, Error> {
        let doing = format!("looking for the blob {digest} in {}/{}", self.registry(), self.name());
        let purpose = self.purpose(&doing, self.scopes());
        let request = self.request(purpose, Method::HEAD, &format!("blobs/{digest}"))?;
        let Some(response) = self.look(purpose, request, effort).await? else {
            return Ok(None);
        };
        let size = content_length(&response);
        size.map(Some).ok_or_else(|| purpose.protocol("its answer to HEAD has no Content-Length"))
    }

    /// The bytes of a blob, checked on the way. Nothing is asked before the first poll. A
    /// connection that breaks is taken up again where it broke.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> BlobStream {
        let download = Download {
            doing: format!(
                "reading the blob {} ({} bytes) from {}/{}",
                blob.digest,
                blob.size,
                self.registry(),
                self.name()
            ),
            retries: self.http().retries(),
            repository: self.clone(),
            digester: Some(Digester::new(blob.digest.algorithm())),
            ended: false,
            blob: blob.clone(),
            taken: 0,
            taken_at_break: 0,
            skip: 0,
            connection: None,
            held: Bytes::new(),
        };
        download.stream()
    }

    /// Asks for a blob of which only the digest is known; `None` only when the registry says 404. A
    /// connection that breaks is taken up again where it broke.
    ///
    /// # Errors
    /// Any other answer, and one that does not tell the size.
    pub async fn open_blob(&self, digest: &Digest) -> Result<Option<OpenBlob>, Error> {
        let doing = format!("reading the blob {digest} from {}/{}", self.registry(), self.name());
        let purpose = self.purpose(&doing, self.scopes());
        let request = self.request(purpose, Method::GET, &format!("blobs/{digest}"))?;
        let Some(response) = self.look(purpose, request, self.effort()).await? else {
            return Ok(None);
        };
        let size = match content_length(&response) {
            Some(size) => size,
            None => self
                .blob_size(digest)
                .await?
                .ok_or_else(|| purpose.protocol("its answer has no Content-Length"))?,
        };
        let media_type = "application/octet-stream".to_owned();
        let digest = digest.clone();
        let (platform, artifact_type) = (None, None);
        let annotations = BTreeMap::new();
        let download = Download {
            retries: self.http().retries(),
            repository: self.clone(),
            digester: None,
            ended: false,
            blob: Descriptor { media_type, digest, size, platform, artifact_type, annotations },
            taken: 0,
            taken_at_break: 0,
            skip: 0,
            connection: Some(response.stream()),
            held: Bytes::new(),
            doing,
        };
        Ok(Some(OpenBlob { size, bytes: download.stream() }))
    }
}

struct Download {
    repository: Repository,
    blob: Descriptor,
    doing: String,
    retries: Retries,
    /// None where somebody else checks the digest.
    digester: Option<Digester>,
    /// Everything came, and is checked.
    ended: bool,
    /// Bytes taken in, those held back among them.
    taken: u64,
    taken_at_break: u64,
    /// Bytes to be passed over because the registry began anew instead of where it was asked to.
    skip: u64,
    connection: Option<BoxStream<'static, Result<Bytes, crate::http::Error>>>,
    /// The newest bytes: they may be the last.
    held: Bytes,
}

impl Download {
    /// So much progress, and a new break counts as the first one.
    const PROGRESS_BYTES: u64 = 1024 * 1024;

    fn stream(self) -> BlobStream {
        stream::try_unfold(self, |mut download| async {
            let next = download.next().await?;
            Ok(next.map(|bytes| (bytes, download)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.ended {
            let chunk = match &mut self.connection {
                Some(connection) => connection.next().await,
                None => {
                    let response = self.open().await?;
                    self.connection = Some(response.stream());
                    continue;
                }
            };
            match chunk {
                Some(Ok(chunk)) => {
                    let released = self.take(chunk)?;
                    if !released.is_empty() {
                        return Ok(Some(released));
                    }
                }
                Some(Err(error)) => self.broke(error).await?,
                None => {
                    self.finish()?;
                    let last = mem::take(&mut self.held);
                    return Ok((!last.is_empty()).then_some(last));
                }
            }
        }
        Ok(None)
    }

    async fn open(&mut self) -> Result<Response, Error> {
        let repository = self.repository.clone();
        let purpose = repository.purpose(&self.doing, repository.scopes());
        let path = format!("blobs/{}", self.blob.digest);
        let mut request = repository.request(purpose, Method::GET, &path)?;
        if self.taken > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.taken))
                .map_err(|_| purpose.protocol("the range cannot stand in a header"))?;
            request = request.header(RANGE, range);
        }
        let response = repository.send(purpose, request, Effort::Persistent).await?;
        self.skip = self.begin(purpose, &response, self.taken)?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            _ => return Err(purpose.http(response.into_error().await)),
        }
        let already = self.taken - self.skip;
        let total = content_length(&response).map(|length| length.saturating_add(already));
        match total {
            Some(total) if total != self.blob.size => {
                Err(purpose.damaged(format!("the registry has {total} bytes of it")))
            }
            _ => Ok(response),
        }
    }

    /// How many bytes come that are already there.
    fn begin(&self, purpose: Purpose<'_>, response: &Response, asked: u64) -> Result<u64, Error> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(asked);
        }
        let start = response.header(CONTENT_RANGE).and_then(|value| {
            let (start, _) = value.strip_prefix("bytes ")?.split_once('-')?;
            start.trim().parse::<u64>().ok()
        });
        match start {
            Some(start) if start == asked => Ok(0),
            _ => Err(purpose.protocol(format!("it was asked for the bytes from {asked} on"))),
        }
    }

    /// Takes bytes in and gives out those that are surely not the last, or all where their digest is
    /// somebody else's.
    fn take(&mut self, mut chunk: Bytes) -> Result<Bytes, Error> {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
        self.skip -= known as u64;
        let chunk = chunk.split_off(known);
        if chunk.is_empty() {
            return Ok(chunk);
        }
        self.taken += chunk.len() as u64;
        if self.taken > self.blob.size {
            return Err(self.damaged("the registry sends more".to_owned()));
        }
        let Some(digester) = &mut self.digester else {
            return Ok(chunk);
        };
        digester.update(&chunk);
        Ok(mem::replace(&mut self.held, chunk))
    }

    async fn broke(&mut self, error: crate::http::Error) -> Result<(), Error> {
        self.connection = None;
        if self.taken >= self.taken_at_break + Self::PROGRESS_BYTES {
            self.retries = self.repository.http().retries();
        }
        self.taken_at_break = self.taken;
        let paused = self.retries.pause(error).await;
        paused.map_err(|source| Error::Http { doing: self.doing.clone(), source })
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.taken < self.blob.size {
            return Err(self.damaged(format!("the registry sent only {} bytes", self.taken)));
        }
        if let Some(digester) = self.digester.take() {
            let found = digester.finish();
            if found != self.blob.digest {
                return Err(self.damaged(format!("its digest is {found}")));
            }
        }
        self.ended = true;
        Ok(())
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Damaged { doing: self.doing.clone(), reason }
    }
}
