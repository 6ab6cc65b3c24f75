//! The one place where causes become a status and the specification's error document
//! (distribution-spec, "Error codes").

use std::io;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use super::Error;
use super::call::Call;
use super::watch::REQUEST_ID;
use crate::http::Unreachable;
use crate::oci::{self, OciEnvelope, OciError, OciErrorCode};
use crate::proxy;
use crate::serve::Body;
use crate::zuul::Origin;
use crate::{layers, pointers, storage};

/// `Docker-Content-Digest`
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Upload-UUID`
pub(super) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// An answer with no body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// An answer with bytes in memory.
pub(super) fn full(content_type: &str, bytes: impl Into<Bytes>) -> Response<Body> {
    let bytes = bytes.into();
    let mut response = empty(StatusCode::OK);
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::CONTENT_LENGTH, bytes.len());
    *response.body_mut() = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    response
}

/// An answer with a JSON document.
pub(super) fn json(document: &impl Serialize) -> Response<Body> {
    full("application/json", serde_json::to_vec(document).unwrap_or_default())
}

/// An answer with a page for people, and what it may load and do.
pub(super) fn page(html: String, policy: &str) -> Response<Body> {
    let mut response = full("text/html; charset=utf-8", html);
    set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::X_FRAME_OPTIONS, "DENY");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    response
}

/// Sets a header; a value that cannot stand in one is left out.
pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: impl ToString) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        response.headers_mut().append(name, value);
    }
}

/// The last touch on every answer.
pub(super) fn finish(call: &Call, result: Result<Response<Body>, Error>) -> Response<Body> {
    let mut response = result.unwrap_or_else(|error| error_response(&error, &call.method));
    set(&mut response, REQUEST_ID, &call.id);
    set(&mut response, API_VERSION, "registry/2.0");
    if call.method == Method::HEAD {
        *response.body_mut() = empty(StatusCode::OK).into_body();
    }
    response
}

fn error_response(error: &Error, method: &Method) -> Response<Body> {
    let (status, code) = meaning(error, method);
    // A fault of ours is in our log; what it says about our files is nobody else's business.
    let message = match status {
        StatusCode::INTERNAL_SERVER_ERROR => "the store failed".to_owned(),
        StatusCode::INSUFFICIENT_STORAGE if error.stored().is_some() => {
            "the disk of the store is full".to_owned()
        }
        _ => error.to_string(),
    };
    let reason = reason(status, method, &message);
    let mut response = match error {
        // The token endpoint follows RFC 6749, section 5.2.
        Error::GrantType(_) => json(&serde_json::json!({
            "error": "unsupported_grant_type",
            "error_description": message,
        })),
        error => {
            let detail = detail(error);
            json(&OciEnvelope { errors: vec![OciError { code, message, detail }] })
        }
    };
    *response.status_mut() = status;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    match error {
        Error::Unauthorized { challenge, .. } => {
            set(&mut response, header::WWW_AUTHENTICATE, challenge);
        }
        Error::LoginsBusy => set(&mut response, header::RETRY_AFTER, 1),
        Error::ProxyLogin => {
            set(&mut response, header::PROXY_AUTHENTICATE, "Basic realm=\"registry\"");
        }
        Error::Storage(storage::Error::TagKept { digest, .. }) => {
            set(&mut response, CONTENT_DIGEST, digest);
        }
        Error::Method { allowed } => set(&mut response, header::ALLOW, allowed),
        Error::WrongOffset { offset, location } => {
            set(&mut response, header::RANGE, received(*offset));
            set(&mut response, header::LOCATION, location);
        }
        _ => {}
    }
    if let Error::Layers(layers::Error::Resting { wait, .. }) = error {
        set(&mut response, header::RETRY_AFTER, wait.as_secs().max(1));
    }
    if let Some(storage::Error::RangeOutside { size }) = error.stored() {
        set(&mut response, header::CONTENT_RANGE, format!("bytes */{size}"));
    }
    response
}

/// What stands behind the status (RFC 9112, section 4). Of a failed CONNECT, and of a fault of a server,
/// engines written in Go show the status line alone.
fn reason(status: StatusCode, method: &Method, message: &str) -> Option<ReasonPhrase> {
    if method != Method::CONNECT && !status.is_server_error() {
        return None;
    }
    let message: String = message.chars().filter(|c| !c.is_control()).take(400).collect();
    format!("{} ({message})", status.canonical_reason()?).try_into().ok()
}

/// What an upload has, as the specification writes it: `0-0` also for nothing.
pub(super) fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn meaning(error: &Error, method: &Method) -> (StatusCode, OciErrorCode) {
    use OciErrorCode as Code;
    use StatusCode as Status;

    match error {
        Error::NoSuchPath => (Status::NOT_FOUND, Code::NotFound),
        Error::NoSuchUpload => (Status::NOT_FOUND, Code::BlobUploadUnknown),
        Error::Invalid(error) => invalid(error, method),
        Error::Host => (Status::BAD_REQUEST, Code::Unsupported),
        Error::ProxyLogin => (Status::PROXY_AUTHENTICATION_REQUIRED, Code::Unauthorized),
        Error::NoProxy => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
        Error::Misdirected { .. } => (Status::MISDIRECTED_REQUEST, Code::Unsupported),
        Error::Proxy(error) => proxied(error),
        Error::NamespaceConflict { .. } => (Status::BAD_REQUEST, Code::NameInvalid),
        Error::Method { .. } => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
        Error::Unauthorized { .. } => (Status::UNAUTHORIZED, Code::Unauthorized),
        Error::LoginsBusy => (Status::TOO_MANY_REQUESTS, Code::Toomanyrequests),
        Error::Denied { .. } => (Status::FORBIDDEN, Code::Denied),
        Error::Origin(_) => (Status::BAD_REQUEST, Code::Unsupported),
        Error::Tenant { .. } | Error::NoTenant => {
            (Status::FORBIDDEN, Code::Other(Origin::DENIED.to_owned()))
        }
        Error::OutsideImage { .. } => (Status::FORBIDDEN, Code::Denied),
        Error::Pointers(pointers::Error::TooMany) => (Status::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
        Error::Pointers(_) => (Status::INTERNAL_SERVER_ERROR, Code::Other("UNKNOWN".to_owned())),
        Error::Document(_) => (Status::BAD_REQUEST, Code::Unsupported),
        Error::TooMany { .. } => (Status::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
        Error::DigestMissing => (Status::BAD_REQUEST, Code::DigestInvalid),
        Error::Parameter { .. } => (Status::BAD_REQUEST, Code::Unsupported),
        Error::ContentRange(_) => (Status::BAD_REQUEST, Code::BlobUploadInvalid),
        Error::WrongOffset { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
        Error::TooLarge { .. } | Error::BlobTooLarge { .. } => {
            (Status::PAYLOAD_TOO_LARGE, Code::SizeInvalid)
        }
        Error::Body(error) => broken_off(error),
        Error::GrantType(_) => (Status::BAD_REQUEST, Code::Unsupported),
        Error::Unusable(_) => (Status::SERVICE_UNAVAILABLE, Code::Other("UNAVAILABLE".to_owned())),
        Error::Storage(error) => stored(error),
        Error::Layers(error) => lower(error),
    }
}

/// What does not go through the proxy, as a proxy says it (RFC 9110, sections 15.6.3 and 15.6.5).
fn proxied(error: &proxy::Error) -> (StatusCode, OciErrorCode) {
    use StatusCode as Status;
    use proxy::Error;

    let status = match error {
        Error::Authority(_) | Error::Ambiguous(_) => Status::BAD_REQUEST,
        Error::Busy => Status::SERVICE_UNAVAILABLE,
        Error::Port { .. } => Status::FORBIDDEN,
        Error::Unreachable { source: Unreachable::Forbidden(_), .. } => Status::FORBIDDEN,
        Error::Timeout { .. } => Status::GATEWAY_TIMEOUT,
        Error::Unreachable { .. }
        | Error::Connect { .. }
        | Error::Tls { .. }
        | Error::Broken { .. } => Status::BAD_GATEWAY,
        _ => Status::INTERNAL_SERVER_ERROR,
    };
    let code = match status {
        Status::FORBIDDEN => OciErrorCode::Denied,
        _ => OciErrorCode::Unsupported,
    };
    (status, code)
}

/// A tag that cannot be is not there; only who wants to write it is told why.
fn invalid(error: &oci::Error, method: &Method) -> (StatusCode, OciErrorCode) {
    match error {
        oci::Error::Tag { .. } if *method == Method::PUT => {
            (StatusCode::BAD_REQUEST, OciErrorCode::TagInvalid)
        }
        oci::Error::Tag { .. } => (StatusCode::NOT_FOUND, OciErrorCode::ManifestUnknown),
        oci::Error::Digest { .. } => (StatusCode::BAD_REQUEST, OciErrorCode::DigestInvalid),
        oci::Error::Name { .. } | oci::Error::Registry { .. } | oci::Error::Location { .. } => {
            (StatusCode::BAD_REQUEST, OciErrorCode::NameInvalid)
        }
        oci::Error::Manifest { .. } | oci::Error::Platform { .. } => {
            (StatusCode::BAD_REQUEST, OciErrorCode::ManifestInvalid)
        }
    }
}

fn lower(error: &layers::Error) -> (StatusCode, OciErrorCode) {
    use OciErrorCode as Code;
    use StatusCode as Status;
    use layers::Error;

    match error {
        Error::Storage(error) => stored(error),
        // Whoever reads from the layers makes a challenge of it.
        Error::LoginNeeded { .. } => (Status::UNAUTHORIZED, Code::Unauthorized),
        Error::BlobAbsent { .. } => (Status::NOT_FOUND, Code::BlobUnknown),
        Error::ManifestAbsent { .. } => (Status::NOT_FOUND, Code::ManifestUnknown),
        Error::Resting { .. } => (Status::TOO_MANY_REQUESTS, Code::Toomanyrequests),
        Error::TooLarge { .. } => (Status::BAD_GATEWAY, Code::SizeInvalid),
        Error::Full { .. } => {
            (Status::INSUFFICIENT_STORAGE, Code::Other("STORAGE_FULL".to_owned()))
        }
        _ => (Status::BAD_GATEWAY, Code::Unsupported),
    }
}

fn stored(error: &storage::Error) -> (StatusCode, OciErrorCode) {
    use OciErrorCode as Code;
    use StatusCode as Status;
    use storage::Error;

    match error {
        Error::RepositoryUnknown(_) => (Status::NOT_FOUND, Code::NameUnknown),
        Error::BlobUnknown { .. } => (Status::NOT_FOUND, Code::BlobUnknown),
        Error::BlobsMissing { .. } => (Status::BAD_REQUEST, Code::ManifestBlobUnknown),
        Error::BlobSize { .. } => (Status::BAD_REQUEST, Code::SizeInvalid),
        Error::ManifestUnknown { .. } => (Status::NOT_FOUND, Code::ManifestUnknown),
        Error::TagKept { .. } => (Status::PRECONDITION_FAILED, Code::Other("TAG_KEPT".to_owned())),
        Error::UploadUnknown { .. } => (Status::NOT_FOUND, Code::BlobUploadUnknown),
        Error::UploadBusy(_) => (Status::CONFLICT, Code::BlobUploadInvalid),
        Error::UploadOffset { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
        Error::DigestMismatch { .. } => (Status::BAD_REQUEST, Code::DigestInvalid),
        Error::RangeOutside { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::SizeInvalid),
        Error::BrokenOff(error) => broken_off(error),
        error if error.is_full() => {
            (Status::INSUFFICIENT_STORAGE, Code::Other("STORAGE_FULL".to_owned()))
        }
        _ => (Status::INTERNAL_SERVER_ERROR, Code::Other("UNKNOWN".to_owned())),
    }
}

fn broken_off(error: &io::Error) -> (StatusCode, OciErrorCode) {
    match error.kind() {
        io::ErrorKind::TimedOut => (StatusCode::REQUEST_TIMEOUT, OciErrorCode::BlobUploadInvalid),
        io::ErrorKind::FileTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, OciErrorCode::SizeInvalid),
        _ => (StatusCode::BAD_REQUEST, OciErrorCode::BlobUploadInvalid),
    }
}

fn detail(error: &Error) -> serde_json::Value {
    match error.stored() {
        Some(storage::Error::BlobsMissing { digests, .. }) => {
            serde_json::json!({ "digests": digests })
        }
        _ => serde_json::Value::Null,
    }
}
