//! Who may use the operations listener (`ORDERHOOK_OPS_TOKEN`).
//!
//! Without a token everybody who reaches the listener may look, and nobody may change anything or read a
//! raw body. With a token everything under `/api` needs it as `Authorization: Bearer …`. The page keeps it
//! for its tab and sends it with every request: there is no cookie, so no other site can act in the name
//! of whoever is logged in. `/`, `/openapi.json`, `/livez`, `/readyz` and `/metrics` hold nothing personal and
//! stay open, so that a load balancer and Prometheus need no secret.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use orderhook_domain::protocol::answer::{ErrorBody, ErrorItem};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::error_response;
use super::token::digest;
use crate::app::Node;

/// The accepted bearer token, kept as its digest; `None` when none is set.
#[derive(Clone)]
pub struct OpsAccess(Option<[u8; 32]>);

/// Why a request may not change anything or read a raw body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAccess {
    /// No token is set, so nobody may.
    ReadOnly,
    /// The token is wrong or missing.
    Token,
    /// It is not said who acts.
    Operator,
}

/// Longer names are cut by nobody: they are refused.
const MAX_OPERATOR_CHARS: usize = 64;

impl OpsAccess {
    /// Accepts this token; an empty one means that none is set.
    #[must_use]
    pub fn new(token: &SecretString) -> Self {
        let token = token.expose_secret();
        Self((!token.is_empty()).then(|| digest(token.as_bytes())))
    }

    /// Whether anybody may change anything.
    #[must_use]
    pub const fn can_act(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the request may look.
    #[must_use]
    pub fn may_look(&self, headers: &HeaderMap) -> bool {
        self.0.is_none_or(|accepted| carries(headers, &accepted))
    }

    /// Whether the request may read what is personal.
    ///
    /// # Errors
    /// [`NoAccess::ReadOnly`] or [`NoAccess::Token`].
    pub fn may_read_bodies(&self, headers: &HeaderMap) -> Result<(), NoAccess> {
        let accepted = self.0.ok_or(NoAccess::ReadOnly)?;
        carries(headers, &accepted).then_some(()).ok_or(NoAccess::Token)
    }

    /// Who acts, if the request may change something.
    ///
    /// # Errors
    /// [`NoAccess`].
    pub fn may_act(&self, headers: &HeaderMap) -> Result<String, NoAccess> {
        self.may_read_bodies(headers)?;
        operator(headers).ok_or(NoAccess::Operator)
    }
}

/// Whether the request carries this token. Digests have one length, so that the time tells nothing of it.
fn carries(headers: &HeaderMap, accepted: &[u8; 32]) -> bool {
    let mut given = headers.get_all(AUTHORIZATION);
    let (Some(given), None) = (given.next(), given.next()) else {
        return false;
    };
    let Some((scheme, token)) = given.to_str().ok().and_then(|given| given.split_once(' ')) else {
        return false;
    };
    let same = digest(token.trim().as_bytes()).ct_eq(accepted);
    scheme.eq_ignore_ascii_case("bearer") && same.into()
}

/// The name in `X-Operator`, percent-encoded because headers are ASCII and names are not.
fn operator(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get("x-operator")?.to_str().ok()?;
    let name = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().count() <= MAX_OPERATOR_CHARS && !name.chars().any(char::is_control);
    is_name.then(|| name.to_owned())
}

impl NoAccess {
    /// What the caller is told.
    pub(super) fn response(self) -> HttpResponse {
        match self {
            Self::ReadOnly => refusal(
                403,
                "read_only",
                "",
                "this listener only shows: set ORDERHOOK_OPS_TOKEN on the node to allow this",
            ),
            Self::Token => unauthorized(),
            Self::Operator => refusal(
                400,
                "validation",
                "X-Operator",
                "the header X-Operator must say who acts, percent-encoded, in at most 64 characters",
            ),
        }
    }
}

/// An error of this listener in the shape that all errors have.
pub(super) fn refusal(code: u16, kind: &'static str, field: &'static str, message: &'static str) -> HttpResponse {
    error_response(&ErrorBody {
        code,
        errors: vec![ErrorItem {
            kind,
            field: field.into(),
            message: message.into(),
        }],
    })
}

fn unauthorized() -> HttpResponse {
    let mut response = refusal(
        401,
        "authentication",
        "Authorization",
        "the bearer token is missing or wrong",
    );
    let challenge = HeaderValue::from_static("Bearer realm=\"orderhook operations\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Lets a request through that may look.
pub(super) async fn guard<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let node = request.app_data::<web::Data<Node>>();
    if node.is_none_or(|node| !node.access.may_look(request.headers())) {
        let (request, _payload) = request.into_parts();
        return Ok(ServiceResponse::new(request, unauthorized().map_into_right_body()));
    }
    Ok(next.call(request).await?.map_into_left_body())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn without_a_token_everybody_may_look_and_nobody_may_act() {
        let access = OpsAccess::new(&"".into());
        let asked = headers(&[("authorization", "Bearer "), ("x-operator", "anna")]);
        assert!(access.may_look(&asked) && !access.can_act());
        assert_eq!(access.may_act(&asked), Err(NoAccess::ReadOnly));
        assert_eq!(access.may_read_bodies(&asked), Err(NoAccess::ReadOnly));
    }

    #[test]
    fn with_a_token_exactly_that_one_opens() {
        let access = OpsAccess::new(&"correct-horse-battery".into());
        for right in ["Bearer correct-horse-battery", "bearer  correct-horse-battery"] {
            assert!(access.may_look(&headers(&[("authorization", right)])), "{right}");
        }
        for wrong in [
            "",
            "correct-horse-battery",
            "Bearer",
            "Bearer ",
            "Bearer correct-horse",
            "Basic correct-horse-battery",
            "Bearer correct-horse-battery x",
        ] {
            let asked = headers(&[("authorization", wrong)]);
            assert!(!access.may_look(&asked), "{wrong:?}");
            assert_eq!(access.may_act(&asked), Err(NoAccess::Token), "{wrong:?}");
        }
        let twice = [("authorization", "Bearer correct-horse-battery"); 2];
        assert!(!access.may_look(&headers(&twice)));
        assert!(!access.may_look(&headers(&[])));
    }

    #[test]
    fn who_acts_must_say_who_that_is() {
        let access = OpsAccess::new(&"correct-horse-battery".into());
        let act = |operator: &str| {
            access.may_act(&headers(&[
                ("authorization", "Bearer correct-horse-battery"),
                ("x-operator", operator),
            ]))
        };
        assert_eq!(act("anna"), Ok("anna".to_owned()));
        assert_eq!(act("%D0%90%D0%BD%D0%BD%D0%B0"), Ok("Анна".to_owned()));
        for nobody in ["", "  ", "%0A", "a%00b", "%ff", &"x".repeat(65)] {
            assert_eq!(act(nobody), Err(NoAccess::Operator), "{nobody:?}");
        }
    }
}
