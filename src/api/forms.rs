//! Forms of the names and ARNs that trails are set to. Pure: whether the thing exists is asked elsewhere.

use crate::api::error::{Error, Result};
use crate::aws::arn::{Arn, partition};

/// Whose trail, and where: bare names are taken to be of this account and region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
}

/// A trail named by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrailName<'a> {
    Bare(&'a str),
    Arn { arn: Arn<'a>, name: &'a str },
}

impl<'a> TrailName<'a> {
    /// Reads a name or an ARN.
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        if text.starts_with("arn:") {
            trail_arn(text)
        } else {
            trail_name(text)?;
            Ok(Self::Bare(text))
        }
    }
}

/// Reads the ARN of a trail.
pub(super) fn trail_arn(text: &str) -> Result<TrailName<'_>> {
    let invalid = || Error::trail_arn_invalid(text);
    let arn = Arn::parse(text).ok_or_else(invalid)?;
    let name = arn.resource.strip_prefix("trail/").ok_or_else(invalid)?;
    let fits = arn.service == "cloudtrail"
        && !arn.region.is_empty()
        && arn.partition == partition(arn.region)
        && is_account(arn.account)
        && trail_name(name).is_ok();
    if !fits {
        return Err(invalid());
    }
    Ok(TrailName::Arn { arn, name })
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-trail-naming-requirements.html>;
/// the sentences, as far as known, are those that moto's tests have from AWS, with AWS's grammar.
pub(super) fn trail_name(name: &str) -> Result<()> {
    const SPECIAL: [char; 3] = ['.', '-', '_'];
    let length = name.chars().count();
    let reason = if name.trim().is_empty() {
        "Trail name or ARN can not be blank.".to_owned()
    } else if length < 3 {
        format!(
            "Trail name too short. Minimum allowed length: 3 characters. \
             Specified name length: {length} characters."
        )
    } else if length > 128 {
        format!(
            "Trail name too long. Maximum allowed length: 128 characters. \
             Specified name length: {length} characters."
        )
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "Trail name must starts with a letter or number.".to_owned()
    } else if !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        "Trail name must ends with a letter or number.".to_owned()
    } else if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || SPECIAL.contains(&c))
    {
        "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), \
         hyphens (-), and underscores (_)."
            .to_owned()
    } else if name
        .as_bytes()
        .windows(2)
        .any(|pair| pair.iter().all(|&b| SPECIAL.contains(&char::from(b))))
    {
        "Trail name cannot have adjacent period (.), hyphen (-) or underscore (_).".to_owned()
    } else if is_ip_form(name) {
        "Trail name cannot be in IP address format.".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::trail_name(reason))
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-s3-bucket-naming-requirements.html>
pub(super) fn bucket(bucket: &str) -> Result<()> {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (3..=63).contains(&bucket.len())
        && bucket
            .split('.')
            .all(|label| label.starts_with(is_end) && label.ends_with(is_end))
        && bucket.chars().all(|c| is_end(c) || c == '.' || c == '-')
        && !is_ip_form(bucket);
    match fits {
        true => Ok(()),
        false => Err(Error::bucket_name(bucket)),
    }
}

/// A prefix of log file keys: at most 200 characters.
pub(super) fn prefix(prefix: &str) -> Result<()> {
    if prefix.chars().count() > 200 {
        return Err(Error::prefix(
            "The S3 key prefix is longer than 200 characters.",
        ));
    }
    if prefix.chars().any(char::is_control) {
        return Err(Error::prefix(
            "The S3 key prefix contains control characters.",
        ));
    }
    Ok(())
}

/// The ARN of a topic given by name or ARN. A name is one of the trail's account and home region.
pub(super) fn topic_arn(topic: &str, home: Home<'_>) -> Result<String> {
    let is_name = |name: &str| {
        (1..=256).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if is_name(topic) {
        return Ok(own_arn("sns", home, topic));
    }
    match Arn::parse(topic) {
        Some(arn)
            if arn.service == "sns"
                && !arn.region.is_empty()
                && is_account(arn.account)
                && is_name(arn.resource) =>
        {
            Ok(topic.to_owned())
        }
        _ => Err(Error::topic_name(topic)),
    }
}

/// A log group's ARN ends in `:*` and is of the trail's own account and home region.
pub(super) fn log_group(arn: &str, home: Home<'_>) -> Result<()> {
    let fits = Arn::parse(arn).is_some_and(|arn| {
        let group = arn
            .resource
            .strip_prefix("log-group:")
            .and_then(|group| group.strip_suffix(":*"));
        arn.service == "logs"
            && arn.region == home.region
            && arn.account == home.account
            && group.is_some_and(|group| {
                (1..=512).contains(&group.len())
                    && group
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_-/.#".contains(&b))
            })
    });
    match fits {
        true => Ok(()),
        false => Err(Error::log_group()),
    }
}

pub(super) fn logs_role(arn: &str) -> Result<()> {
    let fits = Arn::parse(arn).is_some_and(|arn| {
        arn.service == "iam"
            && arn.region.is_empty()
            && is_account(arn.account)
            && arn
                .resource
                .strip_prefix("role/")
                .is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
    });
    match fits {
        true => Ok(()),
        false => Err(Error::logs_role()),
    }
}

/// The ARN of a key given by id or ARN; that of an alias for an alias.
pub(super) fn kms_key(key: &str, home: Home<'_>) -> Result<String> {
    let is_word = |word: &str, also: &[u8]| {
        (1..=256).contains(&word.len())
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
    };
    let is_resource = |resource: &str| match resource.split_once('/') {
        Some(("key", id)) => is_word(id, b"-"),
        Some(("alias", name)) => is_word(name, b"/_-"),
        _ => false,
    };
    let resource = format!("key/{key}");
    if key.starts_with("alias/") && is_resource(key) {
        return Ok(own_arn("kms", home, key));
    }
    if is_key_id(key) {
        return Ok(own_arn("kms", home, &resource));
    }
    match Arn::parse(key) {
        Some(arn)
            if arn.service == "kms"
                && !arn.region.is_empty()
                && is_account(arn.account)
                && is_resource(arn.resource) =>
        {
            Ok(key.to_owned())
        }
        _ => Err(Error::kms_key(key)),
    }
}

/// A GUID, or the id of a multi-Region key: `mrk-` and 32 hexadecimal digits.
fn is_key_id(key: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    match key.strip_prefix("mrk-") {
        Some(id) => id.len() == 32 && is_hex(id),
        None => {
            let parts: Vec<&str> = key.split('-').collect();
            parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
                && parts.iter().all(|part| is_hex(part))
        }
    }
}

fn own_arn(service: &str, home: Home<'_>, resource: &str) -> String {
    Arn {
        partition: partition(home.region),
        service,
        region: home.region,
        account: home.account,
        resource,
    }
    .to_string()
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Four groups of up to three digits; whether they are below 256 does not matter.
fn is_ip_form(text: &str) -> bool {
    let mut groups = 0;
    text.split('.').all(|group| {
        groups += 1;
        (1..=3).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit())
    }) && groups == 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;
    use regex_lite::Regex;

    use super::*;

    const HOME: Home<'static> = Home {
        account: "111122223333",
        region: "us-east-1",
    };

    #[test]
    fn trail_names_follow_the_rules() {
        for good in [
            "abc",
            "a-b",
            "My.Trail_1-x",
            "1.2.3",
            "1.2.3.4.5",
            &"a".repeat(128),
        ] {
            assert!(trail_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        for (bad, reason) in [
            ("", "can not be blank"),
            ("  ", "can not be blank"),
            (
                "ab",
                "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 2 characters.",
            ),
            (
                &long,
                "Trail name too long. Maximum allowed length: 128 characters. Specified name length: 129 characters.",
            ),
            ("-abc", "must starts with"),
            ("éabc", "must starts with"),
            ("abc.", "must ends with"),
            ("a b", "can only contain"),
            ("aéc", "can only contain"),
            ("a\u{0}c", "can only contain"),
            ("a/c", "can only contain"),
            ("my-_ns", "adjacent"),
            ("my--ns", "adjacent"),
            ("192.0.2.1", "IP address format"),
            ("999.999.999.999", "IP address format"),
        ] {
            let error = trail_name(bad).unwrap_err();
            assert!(error.message().contains(reason), "{bad}: {error}");
        }
    }

    /// Forms as regular expressions, which the rules of this file are not made of.
    const TRAIL_NAME: &str = "^[A-Za-z0-9](?:[._-]?[A-Za-z0-9])*$";
    const BUCKET_NAME: &str =
        "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:[.][a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$";
    const IP: &str = "^[0-9]{1,3}(?:[.][0-9]{1,3}){3}$";

    fn is_like(form: &str, text: &str) -> bool {
        Regex::new(form).unwrap().is_match(text)
    }

    fn is_trail_name(text: &str) -> bool {
        is_like(TRAIL_NAME, text) && !is_like(IP, text) && (3..=128).contains(&text.len())
    }

    proptest! {
        #[test]
        fn names_of_trails_have_their_form(text in "[a-zA-Z0-9._ é/-]{0,12}", other: String, long in "[a-z0-9-]{120,135}") {
            for text in [text, other, long] {
                assert_eq!(trail_name(&text).is_ok(), is_trail_name(&text), "{text:?}");
                let arn = format!("arn:aws:cloudtrail:us-east-1:111122223333:trail/{text}");
                assert_eq!(trail_arn(&arn).is_ok(), is_trail_name(&text), "{text:?}");
            }
        }

        #[test]
        fn names_of_buckets_have_their_form(text in "[a-z0-9.-]{0,12}", other: String, long in "[a-z0-9]{58,68}") {
            for text in [text, other, long] {
                let is_name = is_like(BUCKET_NAME, &text) && !is_like(IP, &text) && (3..=63).contains(&text.len());
                assert_eq!(bucket(&text).is_ok(), is_name, "{text:?}");
            }
        }

        #[test]
        fn what_is_taken_is_an_arn_that_is_taken_again(text in "[a-z0-9:/*_-]{0,40}", other: String) {
            let arn = format!("arn:aws:{other}:us-east-1:111122223333:{text}");
            for text in [text, other, arn] {
                for form in [topic_arn, kms_key] {
                    if let Ok(arn) = form(&text, HOME) {
                        assert!(Arn::parse(&arn).is_some(), "{text:?}");
                        assert_eq!(form(&arn, HOME).ok(), Some(arn));
                    }
                }
                let _ = log_group(&text, HOME);
                let _ = logs_role(&text);
                let _ = prefix(&text);
                let _ = TrailName::parse(&text);
            }
        }
    }

    #[test]
    fn a_trail_is_named_by_name_or_arn() {
        assert_eq!(TrailName::parse("main").unwrap(), TrailName::Bare("main"));
        let arn = "arn:aws-cn:cloudtrail:cn-north-1:111122223333:trail/main";
        let TrailName::Arn { arn, name } = TrailName::parse(arn).unwrap() else {
            panic!("an ARN was read as a name");
        };
        assert_eq!((arn.region, name), ("cn-north-1", "main"));
        for bad in [
            "arn:",
            "arn:aws:cloudtrail:us-east-1:111122223333:main",
            "arn:aws:cloudtrail:us-east-1:111122223333:trail/",
            "arn:aws:cloudtrail:us-east-1:111122223333:trail/a b c",
            "arn:aws:cloudtrail:us-east-1:1111:trail/main",
            "arn:aws:cloudtrail::111122223333:trail/main",
            "arn:aws:cloudtrail:cn-north-1:111122223333:trail/main",
            "arn:aws:s3:us-east-1:111122223333:trail/main",
            "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/main",
        ] {
            let error = TrailName::parse(bad).unwrap_err();
            assert_eq!(
                error.code().as_str(),
                "CloudTrailARNInvalidException",
                "{bad}"
            );
        }
    }

    #[test]
    fn buckets_are_named_as_dns_labels() {
        for good in ["abc", "my-bucket.logs", "1bucket", &"a".repeat(63)] {
            assert!(bucket(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "ab",
            &long,
            "Abc",
            "a_c",
            "-abc",
            "abc-",
            "a..c",
            "a.-c",
            "192.0.2.1",
            "a\u{0}c",
        ] {
            assert!(bucket(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_have_up_to_200_characters() {
        assert!(prefix("a/b").is_ok());
        assert!(prefix(&"é".repeat(200)).is_ok());
        assert!(prefix(&"a".repeat(201)).is_err());
        assert!(prefix("a\nb").is_err());
    }

    #[test]
    fn topics_become_arns() {
        for (topic, expected) in [
            ("alerts", Some("arn:aws:sns:us-east-1:111122223333:alerts")),
            (
                "arn:aws:sns:eu-west-1:444455556666:alerts",
                Some("arn:aws:sns:eu-west-1:444455556666:alerts"),
            ),
            ("a topic", None),
            ("arn:aws:sqs:eu-west-1:444455556666:alerts", None),
            ("arn:aws:sns:eu-west-1:4444:alerts", None),
            ("arn:aws:sns:eu-west-1:444455556666:alerts:sub", None),
        ] {
            assert_eq!(topic_arn(topic, HOME).ok().as_deref(), expected, "{topic}");
        }
    }

    #[test]
    fn log_groups_and_roles_have_their_form() {
        for (arn, fits) in [
            (
                "arn:aws:logs:us-east-1:111122223333:log-group:CloudTrail/logs:*",
                true,
            ),
            (
                "arn:aws:logs:us-east-1:111122223333:log-group:CloudTrail/logs",
                false,
            ),
            (
                "arn:aws:logs:us-west-2:111122223333:log-group:logs:*",
                false,
            ),
            (
                "arn:aws:logs:us-east-1:444455556666:log-group:logs:*",
                false,
            ),
            ("arn:aws:logs:us-east-1:111122223333:log-group::*", false),
            ("logs", false),
        ] {
            assert_eq!(log_group(arn, HOME).is_ok(), fits, "{arn}");
        }
        assert!(logs_role("arn:aws:iam::111122223333:role/path/Logs").is_ok());
        for bad in [
            "Logs",
            "arn:aws:iam::111122223333:user/Logs",
            "arn:aws:iam::111122223333:role/",
        ] {
            assert!(logs_role(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_become_arns() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        for (key, expected) in [
            (
                id,
                Some("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
            ),
            (
                "mrk-1234abcd12ab34cd56ef1234567890ab",
                Some("arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"),
            ),
            (
                "alias/trails",
                Some("arn:aws:kms:us-east-1:111122223333:alias/trails"),
            ),
            (
                "arn:aws:kms:eu-west-1:444455556666:key/x",
                Some("arn:aws:kms:eu-west-1:444455556666:key/x"),
            ),
            (
                "arn:aws:kms:eu-west-1:444455556666:alias/x",
                Some("arn:aws:kms:eu-west-1:444455556666:alias/x"),
            ),
            ("trails", None),
            ("alias/", None),
            ("arn:aws:kms:eu-west-1:444455556666:grant/x", None),
        ] {
            assert_eq!(kms_key(key, HOME).ok().as_deref(), expected, "{key}");
        }
    }
}
