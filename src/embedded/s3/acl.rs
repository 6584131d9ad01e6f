//! Access control lists: kept, given back, never applied.

use s3s::{S3Result, dto, s3_error};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bucket::{from_json, missing_acl, to_json};
use super::errors::internal;
use super::object::{check_version, find};
use super::{Cx, Shelf};

/// An ACL as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Acl {
    /// By name: `bucket-owner-full-control`.
    Canned(String),
    Grants(Vec<Grant>),
}

/// One line of an ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    grantee: Grantee,
    permission: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Grantee {
    /// A canonical user id.
    Id(String),
    Uri(String),
    Email(String),
}

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";

/// What the canned ACLs grant beside the owner's full control.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl>
const CANNED: &[(&str, &[(&str, &str)])] = &[
    ("private", &[]),
    ("public-read", &[(ALL_USERS, "READ")]),
    (
        "public-read-write",
        &[(ALL_USERS, "READ"), (ALL_USERS, "WRITE")],
    ),
    ("aws-exec-read", &[]),
    ("authenticated-read", &[(AUTHENTICATED_USERS, "READ")]),
    // Objects belong to the owner of their bucket here.
    ("bucket-owner-read", &[]),
    ("bucket-owner-full-control", &[]),
    (
        "log-delivery-write",
        &[(LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")],
    ),
];

/// What a request may say about an ACL.
#[derive(Default)]
pub(super) struct Requested<'a> {
    pub(super) canned: Option<&'a str>,
    pub(super) policy: Option<&'a dto::AccessControlPolicy>,
    /// The headers `x-amz-grant-…`, by permission.
    pub(super) grants: Vec<(&'static str, Option<&'a str>)>,
}

/// The `Requested` of an input, whose members are named alike in all operations that have them.
macro_rules! requested_grants {
    ($input:expr) => {
        vec![
            ("FULL_CONTROL", $input.grant_full_control.as_deref()),
            ("READ", $input.grant_read.as_deref()),
            ("READ_ACP", $input.grant_read_acp.as_deref()),
            ("WRITE_ACP", $input.grant_write_acp.as_deref()),
        ]
    };
}
pub(super) use requested_grants;

impl Acl {
    pub(super) fn private() -> Self {
        Self::Canned("private".to_owned())
    }

    /// The ACL that is asked for; `None`: none is.
    pub(super) fn requested(requested: &Requested<'_>) -> S3Result<Option<Self>> {
        let headers: Vec<(&str, &str)> = requested
            .grants
            .iter()
            .filter_map(|&(permission, value)| Some((permission, value?)))
            .collect();
        let ways = [
            requested.canned.is_some(),
            requested.policy.is_some(),
            !headers.is_empty(),
        ];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "Specifying both Canned ACLs and Header Grants is not allowed"
            ));
        }
        if let Some(name) = requested.canned {
            return if CANNED.iter().any(|(known, _)| *known == name) {
                Ok(Some(Self::Canned(name.to_owned())))
            } else {
                Err(s3_error!(
                    InvalidArgument,
                    "The canned ACL {name} is not valid"
                ))
            };
        }
        if let Some(policy) = requested.policy {
            let grants = policy.grants.iter().flatten().map(Grant::from_dto);
            return Ok(Some(Self::Grants(grants.collect::<S3Result<_>>()?)));
        }
        if headers.is_empty() {
            return Ok(None);
        }
        let mut grants = Vec::new();
        for (permission, value) in headers {
            for grantee in value.split(',') {
                grants.push(Grant {
                    grantee: Grantee::parse(grantee)?,
                    permission: permission.to_owned(),
                });
            }
        }
        Ok(Some(Self::Grants(grants)))
    }

    /// The lines of the ACL of something that `account` owns.
    pub(super) fn grants(&self, account: &str) -> Vec<dto::Grant> {
        match self {
            Self::Canned(name) => {
                let full = Grant {
                    grantee: Grantee::Id(canonical_id(account)),
                    permission: "FULL_CONTROL".to_owned(),
                };
                let others = CANNED
                    .iter()
                    .filter(|(known, _)| known == name)
                    .flat_map(|(_, grants)| *grants)
                    .map(|&(uri, permission)| Grant {
                        grantee: Grantee::Uri(uri.to_owned()),
                        permission: permission.to_owned(),
                    });
                std::iter::once(full)
                    .chain(others)
                    .map(|grant| grant.to_dto())
                    .collect()
            }
            Self::Grants(grants) => grants.iter().map(Grant::to_dto).collect(),
        }
    }
}

impl Grant {
    fn from_dto(grant: &dto::Grant) -> S3Result<Self> {
        let malformed = || s3_error!(MalformedACLError);
        let grantee = grant.grantee.as_ref().ok_or_else(malformed)?;
        let grantee = match (&grantee.id, &grantee.uri, &grantee.email_address) {
            (Some(id), _, _) => Grantee::Id(id.clone()),
            (_, Some(uri), _) => Grantee::Uri(uri.clone()),
            (_, _, Some(email)) => Grantee::Email(email.clone()),
            _ => return Err(malformed()),
        };
        let permission = grant.permission.as_ref().ok_or_else(malformed)?;
        Ok(Self {
            grantee,
            permission: permission.as_str().to_owned(),
        })
    }

    fn to_dto(&self) -> dto::Grant {
        let (kind, id, uri, email_address) = match &self.grantee {
            Grantee::Id(id) => (dto::Type::CANONICAL_USER, Some(id), None, None),
            Grantee::Uri(uri) => (dto::Type::GROUP, None, Some(uri), None),
            Grantee::Email(email) => (dto::Type::AMAZON_CUSTOMER_BY_EMAIL, None, None, Some(email)),
        };
        dto::Grant {
            grantee: Some(dto::Grantee {
                display_name: None,
                email_address: email_address.cloned(),
                id: id.cloned(),
                type_: dto::Type::from_static(kind),
                uri: uri.cloned(),
            }),
            permission: Some(dto::Permission::from(self.permission.clone())),
        }
    }
}

impl Grantee {
    /// Out of a header: `id="…"`, `uri="…"`, `emailAddress="…"`.
    fn parse(text: &str) -> S3Result<Self> {
        let invalid = || s3_error!(InvalidArgument, "Argument format not recognized");
        let (name, value) = text.split_once('=').ok_or_else(invalid)?;
        let value = value.trim().trim_matches('"').to_owned();
        match name.trim() {
            "id" => Ok(Self::Id(value)),
            "uri" => Ok(Self::Uri(value)),
            "emailAddress" => Ok(Self::Email(value)),
            _ => Err(invalid()),
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html>
pub(super) async fn get_object_acl(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetObjectAclInput,
) -> S3Result<dto::GetObjectAclOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    let object = find(shelf, &bucket.name, &input.key).await?;
    let acl: Acl = from_json(&object.acl)?;
    Ok(dto::GetObjectAclOutput {
        grants: Some(acl.grants(&bucket.account)),
        owner: Some(owner(&bucket.account)),
        ..Default::default()
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html>
pub(super) async fn put_object_acl(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutObjectAclInput,
) -> S3Result<dto::PutObjectAclOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    let requested = Requested {
        canned: input.acl.as_ref().map(dto::ObjectCannedACL::as_str),
        policy: input.access_control_policy.as_ref(),
        grants: requested_grants!(input),
    };
    let acl = to_json(&Acl::requested(&requested)?.ok_or_else(missing_acl)?)?;
    let done = shelf.store.object_set_acl(&bucket.name, &input.key, &acl);
    if !done.await.map_err(internal)? {
        return Err(s3_error!(NoSuchKey));
    }
    Ok(dto::PutObjectAclOutput::default())
}

/// The canonical user id of an account: 64 hexadecimal digits, always the same.
pub(super) fn canonical_id(account: &str) -> String {
    hex(&Sha256::digest(account))
}

pub(super) fn owner(account: &str) -> dto::Owner {
    dto::Owner {
        display_name: None,
        id: Some(canonical_id(account)),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
