//! Amazon Resource Names.

/// `arn:partition:service:region:account:resource`, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// All after the fifth colon: `trail/main`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        (arn == "arn" && !partition.is_empty() && !service.is_empty() && !resource.is_empty())
            .then_some(Self {
                partition,
                service,
                region,
                account,
                resource,
            })
    }
}

impl std::fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// Whether a region could be called so. What a caller calls one becomes part of keys and rows.
pub fn is_region(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}

/// The partition that a region lies in: `aws`, `aws-cn`, `aws-us-gov`.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::Arn;

    #[test]
    fn arns_are_read_and_written() {
        let text = "arn:aws:cloudtrail:us-east-1:111122223333:trail/a:b";
        let arn = Arn::parse(text).unwrap();
        assert_eq!((arn.account, arn.resource), ("111122223333", "trail/a:b"));
        assert_eq!(arn.to_string(), text);
        for bad in ["", "arn:aws:s3", "x:aws:s3:::b", "arn:aws:s3:::"] {
            assert_eq!(Arn::parse(bad), None, "{bad}");
        }
    }
}
