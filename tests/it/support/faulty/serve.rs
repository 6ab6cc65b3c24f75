//! Connections, with and without TLS.

use std::path::Path;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Inner;
use super::behind::Behind;
use super::wire::{Script, Wire};

pub fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let inner = Arc::clone(&inner);
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                None => serve(connection, inner).await,
                Some(tls) => {
                    if let Ok(connection) = tls.accept(connection).await {
                        serve(connection, inner).await;
                    }
                }
            }
        });
    }
}

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    inner: Arc<Inner>,
) {
    let script = Arc::new(Script::default());
    let connection = Wire::new(connection, Arc::clone(&script));
    let behind = Arc::new(match inner.registry {
        Some(address) => Behind::registry(address),
        None => Behind::Memory(Arc::clone(&inner.memory)),
    });
    let service = service_fn(move |request| {
        let (inner, behind) = (Arc::clone(&inner), Arc::clone(&behind));
        let script = Arc::clone(&script);
        async move { inner.answer(request, &behind, &script).await }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let _ = builder.half_close(false).serve_connection(TokioIo::new(connection), service).await;
}
