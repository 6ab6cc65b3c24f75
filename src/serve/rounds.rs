use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::handed::{Handed, Terms};
use super::sent::{Metered, Wire};
use super::tunnel::{Dug, Line};
use super::{Handler, Peer};

/// How to get at the socket of a stream, where what is written to the one may be written to the other.
pub(super) type Socket<S> = Option<fn(&S) -> &TcpStream>;

/// How often is looked whether a connection is quiet. One that is for so long gives back what hyper needs
/// for its requests, which is most of what it costs; sooner, and clients that ask again at once would pay.
const LOOK: Duration = Duration::from_millis(50);

/// For how long a server that ends waits for the first request of a new connection.
const SILENT: Duration = Duration::from_secs(3);

/// How long the other side may take to hear that a connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Answers the requests that come on a stream; after CONNECT, runs the tunnel. hyper has the stream in
/// rounds: from the first byte of a request until the connection is quiet, ends, or has sent the head of
/// an answer that is a file.
pub(super) async fn speak<S, H>(
    stream: S,
    socket: Socket<S>,
    peer: Peer,
    handler: &Arc<H>,
    line: &Line,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let wire = Wire::default();
    let mut stream = Metered::new(stream, wire.clone());
    let mut is_new = true;
    while listen(&mut stream, is_new, line).await {
        is_new = false;
        // Boxed: a connection that waits should not have to hold its place.
        let round = Box::pin(round(stream, socket, peer, handler, &wire, line));
        stream = match round.await {
            Some(stream) => stream,
            None => return wire.close(),
        };
    }
    wire.close();
    let _ = timeout(FAREWELL, stream.shutdown()).await;
}

/// Waits for the first bytes of a request; says whether they came. A server that ends gives a connection
/// that has sent none yet a moment for its first.
async fn listen<S: AsyncRead + Unpin>(stream: &mut Metered<S>, is_new: bool, line: &Line) -> bool {
    if stream.has_unread() {
        return true;
    }
    let first = poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); 512];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok::<_, io::Error>(Bytes::copy_from_slice(buffer.filled())))
    });
    let first = timeout(line.limits.head, first);
    let end = async {
        line.signals.stop.cancelled().await;
        if is_new {
            let _ = timeout(SILENT, line.signals.abort.cancelled()).await;
        }
    };
    let first = tokio::select! {
        biased;
        first = first => first,
        () = end => return false,
    };
    match first {
        Ok(Ok(bytes)) if !bytes.is_empty() => {
            stream.unread(bytes);
            true
        }
        _ => false,
    }
}

/// What hyper does for one round. Gives the stream back if another may follow.
async fn round<S, H>(
    stream: Metered<S>,
    socket: Socket<S>,
    peer: Peer,
    handler: &Arc<H>,
    wire: &Wire,
    line: &Line,
) -> Option<Metered<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let limits = &line.limits;
    let (dug, handed) = (Dug::default(), Handed::default());
    let service = service_fn(|mut request| async {
        let upgrade = Dug::prepare(&mut request);
        let terms = Terms::of(&request).filter(|_| socket.is_some());
        let mut response = handler.answer(request, peer).await;
        dug.keep(upgrade, &mut response);
        Ok::<_, Infallible>(handed.divide(response, terms, wire))
    });
    wire.begin();
    let ended = {
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(limits.head_bytes.max(8192))
            .max_headers(limits.header_count)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        let over = loop {
            tokio::select! {
                // hyper first: what it has read already is answered also by a server that ends.
                biased;
                over = poll_fn(|context| poll(&mut connection, &mut looks, wire, context)) => break over,
                () = line.signals.stop.cancelled(), if !stopping => {
                    Pin::new(&mut connection).graceful_shutdown();
                    stopping = true;
                }
                () = line.signals.abort.cancelled(), if stopping => return None,
            }
        };
        match over {
            Some(ended) => Err(ended),
            None => Ok(connection.into_parts()?),
        }
    };
    match ended {
        Ok(parts) => {
            let mut stream = parts.io.into_inner();
            stream.unread(parts.read_buf);
            match (handed.take(), socket) {
                (Some(rest), Some(socket)) => return rest.send(stream, socket, line).await,
                _ => return Some(stream),
            }
        }
        Err(Ok(())) => dug.run(line).await,
        Err(Err(error)) => {
            tracing::debug!(address = %peer.address, %error, "the connection broke off");
        }
    }
    None
}

/// Lets hyper go on; ready with how the connection ended, or with nothing if hyper is not needed now.
fn poll<C: Future + Unpin>(
    connection: &mut C,
    looks: &mut Interval,
    wire: &Wire,
    context: &mut Context<'_>,
) -> Poll<Option<C::Output>> {
    if let Poll::Ready(ended) = Pin::new(connection).poll(context) {
        return Poll::Ready(Some(ended));
    }
    if wire.head_has_left() {
        return Poll::Ready(None);
    }
    while looks.poll_tick(context).is_ready() {
        if wire.is_quiet() {
            return Poll::Ready(None);
        }
    }
    Poll::Pending
}
