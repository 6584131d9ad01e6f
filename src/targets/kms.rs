//! KMS as localtrail uses it: the keys that log files are encrypted with. The encrypting itself is S3's.

use serde_json::{Value, json};

use super::{JsonCall, TargetError, Targets};
use crate::aws::arn::Arn;

/// A key, as far as trails care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey {
    /// Of the key itself, also where an alias was asked for.
    pub arn: String,
    pub is_enabled: bool,
    /// It encrypts and decrypts with one and the same key: no other can be used for data keys.
    pub is_symmetric: bool,
}

/// What every use of a key for a trail is bound to.
pub(super) fn encryption_context(trail_arn: &str) -> Value {
    json!({ "aws:cloudtrail:arn": trail_arn })
}

impl Targets {
    /// Whether there is a KMS at all.
    pub fn has_kms(&self) -> bool {
        self.0.endpoints.kms.is_some()
    }

    /// The key that the ARN of a key or of an alias names.
    pub async fn kms_key(&self, arn: Arn<'_>) -> Result<KmsKey, TargetError> {
        let input = json!({ "KeyId": arn.to_string() });
        let answer = self.kms(arn, "DescribeKey", &input).await?;
        let key = &answer["KeyMetadata"];
        // Its name of old: see KeySpec in the API reference of DescribeKey.
        let spec = key["KeySpec"]
            .as_str()
            .or(key["CustomerMasterKeySpec"].as_str());
        Ok(KmsKey {
            arn: key["Arn"]
                .as_str()
                .map_or_else(|| arn.to_string(), ToOwned::to_owned),
            is_enabled: key["Enabled"] != false
                && key["KeyState"]
                    .as_str()
                    .is_none_or(|state| state == "Enabled"),
            is_symmetric: spec.is_none_or(|spec| spec == "SYMMETRIC_DEFAULT"),
        })
    }

    /// Asks for a data key as CloudTrail does when a trail begins to use a key. It is thrown away.
    pub async fn kms_data_key(&self, arn: Arn<'_>, trail_arn: &str) -> Result<(), TargetError> {
        let input = json!({
            "KeyId": arn.to_string(),
            "KeySpec": "AES_256",
            "EncryptionContext": encryption_context(trail_arn),
        });
        self.kms(arn, "GenerateDataKeyWithoutPlaintext", &input)
            .await
            .map(drop)
    }

    async fn kms(
        &self,
        key: Arn<'_>,
        operation: &'static str,
        input: &Value,
    ) -> Result<Value, TargetError> {
        let call = JsonCall {
            service: "kms",
            operation,
            endpoint: self.0.endpoints.kms.as_ref(),
            account: key.account,
            region: key.region,
        };
        self.call_json(call, input).await
    }
}
