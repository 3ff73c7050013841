//! The bodies of answers (protocol section 3).

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, SecondsFormat};
use serde::{Serialize, Serializer};

use super::{FieldError, Rejection};
use crate::ids::OrderNumber;

/// The body of a 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Answer {
    /// To order.created, first or repeated: `{"status":"created","number":…,"expectedAssemblyTime":…}`.
    Created {
        /// The partner's order number; the same in every repeat.
        number: OrderNumber,
        /// When the order will be picked; the same in every repeat. Written in whole seconds with a
        /// numeric offset, as SM writes its own times.
        #[serde(rename = "expectedAssemblyTime", serialize_with = "with_offset")]
        expected_assembly_time: DateTime<FixedOffset>,
    },
    /// To any other accepted event: `{"status":"ok"}`, with `number` when the order has one.
    Ok {
        /// The partner's order number, once the order's document exists.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<OrderNumber>,
    },
}

fn with_offset<S: Serializer>(time: &DateTime<FixedOffset>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, false))
}

/// The body of every 4xx and 5xx, in the shape that SM itself uses:
/// `{"code":400,"errors":[{"type":"validation","field":"payload.positions[0].price","message":"…"}]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The HTTP status.
    pub code: u16,
    /// What is wrong; never empty.
    pub errors: Vec<ErrorItem>,
}

/// One error of an [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorItem {
    /// The class of the error, for machines.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The part of the request that is wrong: a path into the body, `body`, the name of a header,
    /// `method` or `path`; empty when the request is not at fault.
    pub field: Cow<'static, str>,
    /// What is wrong, for people. Never holds a value of the request.
    pub message: Cow<'static, str>,
}

impl ErrorBody {
    fn one(code: u16, kind: &'static str, field: &'static str, message: &'static str) -> Self {
        Self {
            code,
            errors: vec![ErrorItem {
                kind,
                field: field.into(),
                message: message.into(),
            }],
        }
    }

    /// 400: the body can never be read.
    #[must_use]
    pub fn validation(rejection: &Rejection) -> Self {
        let item = |error: &FieldError| ErrorItem {
            kind: "validation",
            field: error.field.clone().into(),
            message: error.message.clone().into(),
        };
        Self {
            code: 400,
            errors: rejection.errors.iter().map(item).collect(),
        }
    }

    /// 403: the token is wrong or missing; which of the two is nobody's business.
    #[must_use]
    pub fn authentication() -> Self {
        Self::one(
            403,
            "authentication",
            "Client-Token",
            "the header Client-Token is missing or wrong",
        )
    }

    /// 404: no such address.
    #[must_use]
    pub fn not_found() -> Self {
        Self::one(404, "not_found", "path", "there is nothing at this address")
    }

    /// 405: a method other than the one that the address is for.
    #[must_use]
    pub fn method_not_allowed(allowed: &str) -> Self {
        let message = format!("only {allowed} is allowed here");
        let item = ErrorItem {
            kind: "method_not_allowed",
            field: "method".into(),
            message: message.into(),
        };
        Self {
            code: 405,
            errors: vec![item],
        }
    }

    /// 413: the body is over the limit.
    #[must_use]
    pub fn too_large() -> Self {
        Self::one(413, "too_large", "body", "the body is larger than this service accepts")
    }

    /// 429: this node, or the order's own queue, is full.
    #[must_use]
    pub fn overload() -> Self {
        Self::one(429, "overload", "", "too many requests at this moment; repeat later")
    }

    /// 503: the event could not be stored in time, or this node is going down.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::one(
            503,
            "unavailable",
            "",
            "the event could not be stored at this moment; repeat later",
        )
    }
}
