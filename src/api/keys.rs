//! ListPublicKeys: the public keys that the digests of the called region are verified with.
//!
//! Keys belong to a region, not to an account. How they are made and when they change is said in
//! [`keys`](crate::keys).

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::{BASE64, Code, Cx, Timestamp};
use crate::keys::KeyError;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPublicKeysInput {
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPublicKeysOutput {
    public_key_list: Vec<PublicKeyOutput>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKeyOutput {
    /// Base 64 of PKCS#1 DER.
    value: String,
    validity_start_time: Timestamp,
    validity_end_time: Timestamp,
    fingerprint: String,
}

/// Keys that are valid at some time of the range, whose ends are now where they are not given. There is one page only,
/// and so no token that is right.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_ListPublicKeys.html>
pub(super) async fn list_public_keys(
    cx: Cx,
    input: ListPublicKeysInput,
) -> Result<ListPublicKeysOutput> {
    if input.next_token.is_some() {
        return Err(Error::token());
    }
    let now_ms = cx.clock.now_ms();
    let [since_ms, until_ms] =
        [input.start_time, input.end_time].map(|time| time.map_or(now_ms, |Timestamp(ms)| ms));
    if since_ms > until_ms {
        return Err(Error::time_range());
    }
    let keys = cx
        .keys
        .public(&cx.region, since_ms, until_ms, now_ms)
        .await?;
    let public_key_list = keys
        .into_iter()
        .map(|key| PublicKeyOutput {
            value: BASE64.encode(key.der),
            validity_start_time: Timestamp(key.start_ms),
            validity_end_time: Timestamp(key.end_ms),
            fingerprint: key.fingerprint,
        })
        .collect();
    Ok(ListPublicKeysOutput { public_key_list })
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Database(error) => error.into(),
            KeyError::Crypto(_) => Self::new(Code::InternalFailure, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::super::testing::Api;
    use super::*;

    const START: f64 = 1_800_000_000.0;
    const DAY: f64 = 86_400.0;

    #[tokio::test]
    async fn a_region_has_a_key_from_the_first_call_on() {
        let mut api = Api::new().await;
        let here = api.call("ListPublicKeys", json!({})).await;
        let [key] = here["PublicKeyList"].as_array().unwrap().as_slice() else {
            panic!("{here}")
        };
        assert_eq!(key["ValidityStartTime"], json!(START));
        assert_eq!(key["ValidityEndTime"], json!(START + 30.0 * DAY));
        let value = key["Value"].as_str().unwrap();
        assert!(value.starts_with("MIIBCgKCAQEA"), "{value}");
        assert_eq!(BASE64.decode(value).unwrap().len(), 270);
        assert_eq!(key["Fingerprint"].as_str().unwrap().len(), 32);
        assert_eq!(api.call("ListPublicKeys", json!({})).await, here);
        api.go("111122223333", "eu-west-1");
        assert_ne!(api.call("ListPublicKeys", json!({})).await, here);
    }

    #[tokio::test]
    async fn keys_are_those_whose_validity_meets_the_range() {
        let api = Api::new().await;
        api.call("ListPublicKeys", json!({})).await;
        api.cx.clock.set(api.cx.clock.now() + TimeDelta::days(25));
        for (input, keys) in [
            (json!({}), 2),
            (json!({ "StartTime": START - 2.0 * DAY }), 2),
            (
                json!({ "StartTime": START - 2.0 * DAY, "EndTime": START - DAY }),
                0,
            ),
            (json!({ "StartTime": START - DAY, "EndTime": START }), 1),
            (json!({ "EndTime": START + 60.0 * DAY }), 2),
            (
                json!({ "StartTime": START + 31.0 * DAY, "EndTime": START + 32.0 * DAY }),
                1,
            ),
        ] {
            let answer = api.call("ListPublicKeys", input.clone()).await;
            assert_eq!(
                answer["PublicKeyList"].as_array().unwrap().len(),
                keys,
                "{input}"
            );
        }
        for (input, code) in [
            (
                json!({ "StartTime": START, "EndTime": START - 1.0 }),
                "InvalidTimeRangeException",
            ),
            (json!({ "EndTime": START }), "InvalidTimeRangeException"),
            (json!({ "NextToken": "x" }), "InvalidTokenException"),
        ] {
            let refused = api.refused("ListPublicKeys", input.clone()).await;
            assert!(refused.starts_with(code), "{input}: {refused}");
        }
    }
}
