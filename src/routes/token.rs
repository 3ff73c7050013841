//! The caller's token (protocol section 1).

use actix_web::http::header::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

static CLIENT_TOKEN: HeaderName = HeaderName::from_static("client-token");

/// The accepted values of the header `Client-Token`, kept as digests.
#[derive(Clone)]
pub struct ClientTokens(Vec<[u8; 32]>);

impl ClientTokens {
    /// Accepts exactly these.
    #[must_use]
    pub fn new(tokens: &[SecretString]) -> Self {
        Self(
            tokens
                .iter()
                .map(|token| digest(token.expose_secret().as_bytes()))
                .collect(),
        )
    }

    /// Whether the request carries one of them. Digests have one length and every one of them is
    /// compared, so that the time tells nothing of the tokens.
    #[must_use]
    pub fn accept(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(&CLIENT_TOKEN);
        let (Some(token), None) = (given.next(), given.next()) else {
            return false;
        };
        let token = digest(token.as_bytes());
        self.0
            .iter()
            .fold(Choice::from(0), |found, accepted| found | accepted.ct_eq(&token))
            .into()
    }
}

/// Tokens are kept and compared as digests only.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    blake3::hash(bytes).into()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn accepts(given: &[&str]) -> bool {
        let tokens = ClientTokens::new(&["old".into(), "new".into()]);
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(CLIENT_TOKEN.clone(), HeaderValue::from_str(value).unwrap());
        }
        tokens.accept(&headers)
    }

    #[test]
    fn each_accepted_token_opens_and_nothing_else_does() {
        assert!(accepts(&["old"]));
        assert!(accepts(&["new"]));
        for refused in ["", "ol", "oldd", "OLD", "old,new", "old new"] {
            assert!(!accepts(&[refused]), "{refused:?}");
        }
    }

    #[test]
    fn an_absent_or_repeated_header_is_refused() {
        assert!(!accepts(&[]));
        assert!(!accepts(&["old", "old"]));
    }
}
