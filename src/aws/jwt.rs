//! Tokens of identity providers (JSON Web Tokens): whom the provider vouches for, and what AWS calls the provider.
//!
//! Read and never verified; the token itself is not kept. The rule: only the three claims that say who it is are looked
//! at.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// Providers that AWS knows by itself, with what their two attributes are called: the application's and the user's id.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("accounts.google.com", "aud", "sub"),
    ("cognito-identity.amazonaws.com", "aud", "sub"),
    ("graph.facebook.com", "app_id", "id"),
    ("www.amazon.com", "app_id", "user_id"),
];

/// What a token claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`, as it stands there: mostly a URL.
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`, the first where there are several; empty where there is none.
    pub audience: String,
}

impl Claims {
    /// `None`: it is no token, or does not say who it is.
    pub fn parse(token: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            iss: String,
            sub: String,
            #[serde(default)]
            aud: Value,
        }

        let mut parts = token.split('.');
        let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
        let claims = BASE64_URL_SAFE_NO_PAD
            .decode(claims.trim_end_matches('='))
            .ok()?;
        let Body { iss, sub, aud } = serde_json::from_slice(&claims).ok()?;
        let audience = match &aud {
            Value::Array(several) => several.first(),
            one => Some(one),
        };
        Some(Self {
            issuer: iss,
            subject: sub,
            audience: audience
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

/// What AWS calls the provider that issues tokens as `issuer`: a built-in one by its host, any other by the ARN that it
/// has in `account`. An ARN or a built-in provider's host stays as it is.
pub fn provider(issuer: &str, account: &str, partition: &str) -> String {
    let host = issuer
        .strip_prefix("https://")
        .or_else(|| issuer.strip_prefix("http://"))
        .unwrap_or(issuer)
        .trim_end_matches('/');
    if host.starts_with("arn:") || attribute_names(host).is_some() {
        return host.to_owned();
    }
    format!("arn:{partition}:iam::{account}:oidc-provider/{host}")
}

/// What a built-in provider's ids of the application and the user are called.
pub fn attribute_names(provider: &str) -> Option<(&'static str, &'static str)> {
    BUILT_IN
        .iter()
        .find(|(host, ..)| *host == provider)
        .map(|(_, application, user)| (*application, *user))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_says_who_it_is() {
        let token = |claims: Value| {
            let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
            format!("e30.{claims}.c2ln")
        };
        for (aud, audience) in [
            (json!("app"), "app"),
            (json!(["app", "other"]), "app"),
            (json!([]), ""),
            (Value::Null, ""),
        ] {
            let claims = Claims::parse(&token(json!({"iss": "i", "sub": "s", "aud": aud})));
            assert_eq!(claims.unwrap().audience, audience, "{aud}");
        }
        for bad in ["", "nothing", "a.b.c", "e30.e30.e30", "e30.e30"] {
            assert_eq!(Claims::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn providers_are_called_as_aws_calls_them() {
        let arn = "arn:aws:iam::111122223333:oidc-provider/id.example.com/id/A1";
        for (issuer, expected) in [
            ("https://accounts.google.com", "accounts.google.com"),
            ("accounts.google.com", "accounts.google.com"),
            ("www.amazon.com", "www.amazon.com"),
            ("https://id.example.com/id/A1", arn),
            ("https://id.example.com/id/A1/", arn),
            (arn, arn),
        ] {
            assert_eq!(provider(issuer, "111122223333", "aws"), expected);
        }
    }
}
