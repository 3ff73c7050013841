//! The two listeners: hooks from SM, and operations.

mod access;
pub(crate) mod actions;
pub mod hook;
pub mod ops;
pub(crate) mod page;
mod token;

pub use access::{NoAccess, OpsAccess};
pub use token::ClientTokens;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder};
use orderhook_domain::protocol::answer::ErrorBody;

/// The body of an error in the shape that SM itself uses (protocol section 3).
fn error_response(body: &ErrorBody) -> HttpResponse {
    let status = StatusCode::from_u16(body.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.insert_header((RETRY_AFTER, "1"));
    }
    json_response(&mut response, body)
}

/// 405 with the one method that is allowed (RFC 9110 section 15.5.6).
fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let mut response = error_response(&ErrorBody::method_not_allowed(allowed));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Serialising our own plain structs into memory cannot fail; if it did, an empty body with the same
/// status is still a true answer.
fn json_response<T: serde::Serialize>(response: &mut HttpResponseBuilder, body: &T) -> HttpResponse {
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    match serde_json::to_vec(body) {
        Ok(bytes) => response.body(bytes),
        Err(_) => response.finish(),
    }
}
