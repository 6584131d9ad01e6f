//! A small S3, SNS and STS, so that localtrail runs alone.
//!
//! They answer as AWS does where a trail, a test or an SDK would notice, and keep all they are told in the store. They
//! do not authenticate (the front has done it) and do not authorize: policies, ACLs and public access blocks are kept
//! and given back, never applied (`targets` asks the policies before CloudTrail itself writes), and every account may
//! use every bucket and topic. Nothing here makes a network
//! call; what has to be sent is queued for someone who does.

mod operations;
pub mod s3;
pub mod sns;
pub mod sts;

use std::borrow::Cow;

/// Who calls, as the front worked it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The 12 digits of the account.
    pub account: String,
    /// The region that the request is signed for.
    pub region: String,
    /// `AIDA…`, `AROA…:session`, or the account's id for its root.
    pub principal_id: String,
    /// ARN of the user, the session, or the root.
    pub arn: Option<String>,
    pub access_key: Option<String>,
}

/// An error as the service puts it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// The code on the wire: `NoSuchBucket`, `NotFound`, `ValidationError`.
    pub code: Cow<'static, str>,
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl Error {
    /// An error with status 400.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status: 400,
        }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Something broke beneath: logged here, and the caller learns no more than that.
    pub(crate) fn internal(source: impl std::error::Error) -> Self {
        tracing::error!(error = %source, "an embedded service failed: {source}");
        Self::new(
            "InternalFailure",
            "We encountered an internal error. Please try again.",
        )
        .with_status(500)
    }
}
