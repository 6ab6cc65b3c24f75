use std::mem;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};

use super::access::{Effort, Purpose};
use super::download::BlobStream;
use super::manifests::{content_length, encoding};
use super::{Error, Repository};
use crate::http::{Request, Response, Retries};
use crate::oci::{Descriptor, Digester};

/// A blob on its way, which is taken up again where its connection breaks.
pub(super) struct Download {
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
    /// Where an answer ended that seemed to be whole.
    ended_at: Option<u64>,
    /// Bytes to be passed over because the registry began anew instead of where it was asked to.
    skip: u64,
    /// Whether the registry gives the parts it is asked for, as far as is known.
    ranges: bool,
    connection: Option<Connection>,
    /// The newest bytes: they may be the last.
    held: Bytes,
}

impl Download {
    /// So much progress, and a new break counts as the first one.
    const PROGRESS_BYTES: u64 = 1024 * 1024;

    pub(super) fn new(repository: &Repository, doing: String, blob: Descriptor) -> Self {
        Self {
            retries: repository.http().retries(),
            repository: repository.clone(),
            digester: Some(Digester::new(blob.digest.algorithm())),
            blob,
            doing,
            ended: false,
            taken: 0,
            taken_at_break: 0,
            ended_at: None,
            skip: 0,
            ranges: true,
            connection: None,
            held: Bytes::new(),
        }
    }

    /// For who checks the digest himself.
    pub(super) fn unchecked(self) -> Self {
        Self { digester: None, ..self }
    }

    pub(super) fn stream(self) -> BlobStream {
        stream::try_unfold(self, |mut download| async {
            let next = download.next().await?;
            Ok(next.map(|bytes| (bytes, download)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.ended {
            let chunk = match &mut self.connection {
                Some(connection) => connection.bytes.next().await,
                None => {
                    let response = self.open().await?;
                    self.connect(response);
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
                None if self.taken < self.blob.size => self.ended_early().await?,
                None => {
                    self.finish()?;
                    let last = mem::take(&mut self.held);
                    return Ok((!last.is_empty()).then_some(last));
                }
            }
        }
        Ok(None)
    }

    /// Asks for what is missing; for all where the registry does not give the part it is asked for.
    async fn open(&mut self) -> Result<Response, Error> {
        let repository = self.repository.clone();
        let doing = self.doing.clone();
        let purpose = repository.purpose(&doing, repository.scopes());
        loop {
            let from = if self.ranges { self.taken } else { 0 };
            let request = self.request(purpose, from)?;
            let response = repository.send(purpose, request, Effort::Persistent).await?;
            let start = match response.status() {
                StatusCode::OK => Some(0),
                StatusCode::PARTIAL_CONTENT => start(&response).filter(|start| *start == from),
                StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => None,
                _ => return Err(purpose.http(response.into_error().await)),
            };
            match start {
                Some(start) => return self.measure(purpose, response, start),
                None if from > 0 => self.ranges = false,
                None => return Err(purpose.protocol("it sends a part that nobody asked for")),
            }
        }
    }

    fn request(&self, purpose: Purpose<'_>, from: u64) -> Result<Request, Error> {
        let path = format!("blobs/{}", self.blob.digest);
        let request = self.repository.request(purpose, Method::GET, &path)?;
        if from == 0 {
            return Ok(request);
        }
        let range = HeaderValue::from_str(&format!("bytes={from}-"));
        let range = range.map_err(|_| purpose.protocol("the range cannot stand in a header"))?;
        Ok(request.header(RANGE, range))
    }

    /// Sees to it that exactly the missing bytes are taken of an answer that begins at `start`.
    fn measure(
        &mut self,
        purpose: Purpose<'_>,
        response: Response,
        start: u64,
    ) -> Result<Response, Error> {
        self.skip = self.taken.saturating_sub(start);
        let total = content_length(&response).map(|length| length.saturating_add(start));
        match total {
            Some(total) if total != self.blob.size => Err(purpose
                .damaged(format!("the registry has {total} bytes of it{}", encoding(&response)))),
            _ => Ok(response),
        }
    }

    /// Goes on with this answer.
    pub(super) fn connect(&mut self, response: Response) {
        let (host, encoding) = (response.host().to_owned(), encoding(&response));
        self.connection = Some(Connection { host, encoding, bytes: response.stream() });
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

    /// An answer that does not say how long it is ends with its connection, however that ends.
    async fn ended_early(&mut self) -> Result<(), Error> {
        if self.ended_at.replace(self.taken) == Some(self.taken) {
            return Err(self.damaged(format!("the registry sent only {} bytes", self.taken)));
        }
        let reason = format!("it ended after {} of {} bytes", self.taken, self.blob.size);
        let host = self.connection.take().map(|connection| connection.host).unwrap_or_default();
        self.broke(crate::http::Error::Broken { host, reason }).await
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
        if let Some(digester) = self.digester.take() {
            let found = digester.finish();
            if found != self.blob.digest {
                return Err(self.damaged(format!("its digest is {found}")));
            }
        }
        self.ended = true;
        Ok(())
    }

    fn damaged(&self, mut reason: String) -> Error {
        if let Some(connection) = &self.connection {
            reason.push_str(&connection.encoding);
        }
        Error::Damaged { doing: self.doing.clone(), reason }
    }
}

/// The bytes of an answer, and of whom.
struct Connection {
    host: String,
    /// For errors.
    encoding: String,
    bytes: BoxStream<'static, Result<Bytes, crate::http::Error>>,
}

/// Where the part begins that an answer is.
fn start(response: &Response) -> Option<u64> {
    let range = response.header(CONTENT_RANGE)?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.trim().parse().ok()
}
