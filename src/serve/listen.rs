use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Handler;
use super::connection::Shared;

/// When the system has no more files to give, a pause lets connections end.
const PAUSE: Duration = Duration::from_millis(50);

/// Binds every address.
///
/// # Errors
/// Names the address that could not be bound.
pub async fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Binds the port on every address of the host: IPv6 and IPv4, or IPv4 alone where there is no IPv6.
///
/// # Errors
/// The port is taken, or may not be taken.
pub async fn bind_any(port: u16) -> io::Result<Vec<TcpListener>> {
    match bind(&[SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]).await {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
            ) =>
        {
            bind(&[SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]).await
        }
        result => result,
    }
}

/// How many files the system lets this process open.
#[must_use]
pub fn file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Asks the system for as many open files as it allows; each connection is one.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Accepts connections until told to stop. The next is accepted only when there is a slot for it.
pub(super) async fn accept<H: Handler>(
    listener: TcpListener,
    shared: Arc<Shared<H>>,
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
) {
    let stop = shared.line.signals.stop.clone();
    let next = async || {
        let slot = Arc::clone(&slots).acquire_owned().await;
        (slot, listener.accept().await)
    };
    while let Some((slot, accepted)) = stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, address)) => {
                let shared = Arc::clone(&shared);
                tracker.spawn(async move {
                    shared.serve(stream, address).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    for (stream, address) in let_in(listener) {
        let (shared, slots) = (Arc::clone(&shared), Arc::clone(&slots));
        tracker.spawn(async move {
            let slot = slots.acquire_owned().await;
            shared.serve(stream, address).await;
            drop(slot);
        });
    }
}

/// The connections the system has made for a listener that ends; with it they would be reset, and their
/// clients think they are being served.
fn let_in(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let next = || {
        let (stream, address) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address))
    };
    std::iter::from_fn(next).collect()
}
