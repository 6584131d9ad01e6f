//! Every knob of the program: flag, environment variable, unit and default. Checked once, immutable afterwards.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Parser, Subcommand, ValueEnum};
use http::Uri;

/// AWS CloudTrail on your own machine, in front of any AWS emulator.
#[derive(Debug, Parser)]
#[command(name = "localtrail", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve(Config),
}

impl CommandLine {
    pub fn config(self) -> Config {
        match self.command {
            Some(Command::Serve(config)) => config,
            None => self.config,
        }
    }
}

/// How the server is to run. Every option is also read from `LOCALTRAIL_<NAME>`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Address to listen on; port 0 picks a free one.
    #[arg(
        long,
        env = "LOCALTRAIL_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4580"
    )]
    pub listen: SocketAddr,

    /// Folder that keeps everything. Without it, a temporary one that is removed on exit.
    #[arg(long, env = "LOCALTRAIL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// What a power cut may cost in a kept data folder. normal: what came last, which the disk did not have yet. full:
    /// nothing, for each commit and each embedded object waits for the disk. The death of the process costs nothing in
    /// either.
    #[arg(
        long,
        env = "LOCALTRAIL_DURABILITY",
        value_name = "normal|full",
        default_value = "normal",
        hide_possible_values = true
    )]
    pub durability: Durability,

    /// The emulator behind the door: calls that localtrail does not answer itself go there.
    #[arg(long, env = "LOCALTRAIL_UPSTREAM", value_name = "URL", value_parser = Endpoint)]
    pub upstream: Option<Uri>,

    /// PEM file with the certificates to trust for https endpoints [default: the system's].
    #[arg(long, env = "LOCALTRAIL_UPSTREAM_CA", value_name = "FILE")]
    pub upstream_ca: Option<PathBuf>,

    /// Seconds without any progress after which the upstream counts as hanging; the caller then gets a 504.
    #[arg(long, env = "LOCALTRAIL_UPSTREAM_TIMEOUT", value_name = "SECONDS", default_value = "50",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub upstream_timeout: u64,

    /// Services answered by the embedded ones: s3, sns, sts, or none [default: all without an upstream, none with one].
    #[arg(
        long,
        env = "LOCALTRAIL_EMBEDDED",
        value_name = "LIST",
        value_delimiter = ','
    )]
    embedded: Option<Vec<EmbeddedChoice>>,

    /// S3 that log files are written to [default: the embedded one, else the upstream].
    #[arg(long, env = "LOCALTRAIL_S3_ENDPOINT", value_name = "URL", value_parser = Endpoint)]
    pub s3_endpoint: Option<Uri>,

    /// SNS that notifications are published to [default: the embedded one, else the upstream].
    #[arg(long, env = "LOCALTRAIL_SNS_ENDPOINT", value_name = "URL", value_parser = Endpoint)]
    pub sns_endpoint: Option<Uri>,

    /// CloudWatch Logs that records of trails with a log group are sent to [default: the upstream].
    #[arg(long, env = "LOCALTRAIL_LOGS_ENDPOINT", value_name = "URL", value_parser = Endpoint)]
    pub logs_endpoint: Option<Uri>,

    /// EventBridge that events of trails are put on, within seconds [default: the upstream].
    #[arg(long, env = "LOCALTRAIL_EVENTS_ENDPOINT", value_name = "URL", value_parser = Endpoint)]
    pub events_endpoint: Option<Uri>,

    /// What the source of those events begins with, for an EventBridge that keeps `aws` for itself.
    #[arg(
        long,
        env = "LOCALTRAIL_EVENT_SOURCE_PREFIX",
        value_name = "TEXT",
        default_value = "aws"
    )]
    pub event_source_prefix: String,

    /// KMS whose keys encrypt log files [default: the upstream].
    #[arg(long, env = "LOCALTRAIL_KMS_ENDPOINT", value_name = "URL", value_parser = Endpoint)]
    pub kms_endpoint: Option<Uri>,

    /// Access key that localtrail's own calls to endpoints are signed with [default: the trail's account id].
    #[arg(
        long,
        env = "LOCALTRAIL_DELIVERY_ACCESS_KEY_ID",
        value_name = "ID",
        requires = "delivery_secret_access_key"
    )]
    pub delivery_access_key_id: Option<String>,

    /// Secret of that access key.
    #[arg(
        long,
        env = "LOCALTRAIL_DELIVERY_SECRET_ACCESS_KEY",
        value_name = "SECRET",
        hide_env_values = true,
        requires = "delivery_access_key_id"
    )]
    pub delivery_secret_access_key: Option<Secret>,

    /// Account of callers whose access key does not say [default: the upstream's own, else 000000000000].
    #[arg(long, env = "LOCALTRAIL_ACCOUNT_ID", value_name = "ID", value_parser = account_id)]
    pub account_id: Option<String>,

    /// The organization for organization trails: `o-exampleorgid:MANAGEMENT[,MEMBER…]` [default: the upstream's].
    #[arg(long, env = "LOCALTRAIL_ORGANIZATION", value_name = "ID:ACCOUNTS", value_parser = organization)]
    pub organization: Option<Organization>,

    /// Region of calls that are not signed.
    #[arg(long, env = "LOCALTRAIL_REGION", value_name = "REGION", default_value = "us-east-1", value_parser = region)]
    pub region: String,

    /// Refuse calls whose signature (SigV4) does not verify. Secrets come from --credentials, and from the answers of IAM
    /// and STS that pass by since the start.
    #[arg(
        long,
        env = "LOCALTRAIL_VERIFY_SIGNATURES",
        requires = "credentials",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub verify_signatures: bool,

    /// With --verify-signatures: take keys of sessions that were made with an unverified token, or of roles of other
    /// accounts, as proof too.
    #[arg(
        long,
        env = "LOCALTRAIL_TRUST_SESSIONS",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub trust_sessions: bool,

    /// Access keys that callers have: profiles as in ~/.aws/credentials. `account_id` in a profile is its key's account.
    #[arg(long, env = "LOCALTRAIL_CREDENTIALS", value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// Length of a delivery slot, in seconds.
    #[arg(long, env = "LOCALTRAIL_DELIVERY_INTERVAL", value_name = "SECONDS", default_value = "300",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub delivery_interval: u32,

    /// Seconds that one of localtrail's own calls of a service may take, the upload of a log file included.
    #[arg(long, env = "LOCALTRAIL_DELIVERY_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub delivery_timeout: u64,

    /// Start with the clock standing at this time.
    #[arg(long, env = "LOCALTRAIL_TIME", value_name = "RFC3339", value_parser = time)]
    pub time: Option<DateTime<Utc>>,

    /// Seed of all ids: the same calls then give the same bytes.
    #[arg(long, env = "LOCALTRAIL_SEED", value_name = "N")]
    pub seed: Option<u64>,

    /// Trails that an account may have in a region.
    #[arg(long, env = "LOCALTRAIL_TRAILS_PER_REGION", value_name = "N", default_value = "5",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub trails_per_region: u32,

    /// eventVersion of the records written, 1.02 to 1.11.
    #[arg(long, env = "LOCALTRAIL_EVENT_VERSION", value_name = "V", default_value = "1.11", value_parser = event_version)]
    pub event_version: String,

    /// Whether the policies of a trail's bucket and topic have to let CloudTrail in, as in AWS: when a trail is made or
    /// changed, and at each delivery. Off is for emulators that keep no policies.
    #[arg(
        long,
        env = "LOCALTRAIL_BUCKET_POLICY_CHECK",
        value_name = "off|on",
        default_value = "on"
    )]
    pub bucket_policy_check: PolicyCheck,

    /// Bytes of a body, request or answer, that are kept to make its record. Longer ones pass whole all the same.
    #[arg(
        long,
        env = "LOCALTRAIL_MAX_RECORDED_BODY",
        value_name = "BYTES",
        default_value = "1048576"
    )]
    pub max_recorded_body: usize,

    /// Connections of callers at a time; one more is told 503.
    #[arg(long, env = "LOCALTRAIL_MAX_CONNECTIONS", value_name = "N", default_value = "16384",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Bytes of a request's head; a longer one is answered with 431.
    #[arg(long, env = "LOCALTRAIL_MAX_HEAD", value_name = "BYTES", default_value = "65536",
          value_parser = clap::value_parser!(u32).range(8_192..=16_777_216))]
    pub max_head: u32,

    /// Seconds that a request's head may take to come, and a connection may be idle, before it is closed.
    #[arg(long, env = "LOCALTRAIL_HEAD_TIMEOUT", value_name = "SECONDS", default_value = "60",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub head_timeout: u64,

    /// Seconds that a body may stand still, a request's or that of an answer that is not taken, before the call is given
    /// up.
    #[arg(long, env = "LOCALTRAIL_BODY_TIMEOUT", value_name = "SECONDS", default_value = "60",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub body_timeout: u64,

    /// Bytes of a body that is read whole. A longer one is refused with 413, if the call is to CloudTrail, SNS or STS
    /// (packed or unpacked); with MaxMessageLengthExceeded, if it is to the embedded S3 and brings no object.
    #[arg(long, env = "LOCALTRAIL_MAX_BODY", value_name = "BYTES", default_value = "2097152",
          value_parser = clap::value_parser!(u32).range(1_024..=268_435_456))]
    pub max_body: u32,

    /// Bytes of an object, or of a part of one, that embedded S3 takes in one call; a longer one is refused with
    /// EntityTooLarge. S3's own limit unless told otherwise.
    #[arg(
        long,
        env = "LOCALTRAIL_MAX_OBJECT",
        value_name = "BYTES",
        default_value = "5368709120"
    )]
    pub max_object: usize,

    /// Token that the control API asks for; without one it answers callers on this machine only.
    #[arg(
        long,
        env = "LOCALTRAIL_CONTROL_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub control_token: Option<Secret>,

    /// Hosts besides this machine that embedded SNS may send notifications to.
    #[arg(
        long,
        env = "LOCALTRAIL_SNS_DELIVERY_HOSTS",
        value_name = "HOSTS",
        value_delimiter = ','
    )]
    pub sns_delivery_hosts: Vec<String>,
}

/// An organization and its accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// `o-exampleorgid`
    pub id: String,
    pub management_account: String,
    pub member_accounts: Vec<String>,
}

/// A value that must not show in logs.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A service that localtrail can answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    S3,
    Sns,
    Sts,
}

/// Whether bucket and topic policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyCheck {
    Off,
    On,
}

/// What is waited for before a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// The operating system has it: it survives the process.
    Normal,
    /// The disk has it: it survives the machine.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EmbeddedChoice {
    S3,
    Sns,
    Sts,
    None,
}

impl Config {
    /// Whether `service` is answered by the embedded one.
    pub fn embeds(&self, service: Embedded) -> bool {
        let Some(list) = &self.embedded else {
            return self.upstream.is_none();
        };
        let choice = match service {
            Embedded::S3 => EmbeddedChoice::S3,
            Embedded::Sns => EmbeddedChoice::Sns,
            Embedded::Sts => EmbeddedChoice::Sts,
        };
        list.contains(&choice)
    }

    pub fn body_limit(&self) -> usize {
        self.max_body as usize
    }

    pub fn upstream_timeout(&self) -> Duration {
        Duration::from_secs(self.upstream_timeout)
    }

    pub fn delivery_timeout(&self) -> Duration {
        Duration::from_secs(self.delivery_timeout)
    }

    /// Length of a delivery slot in milliseconds.
    pub fn slot_ms(&self) -> i64 {
        i64::from(self.delivery_interval) * 1_000
    }
}

/// Reads the URL of an endpoint. One with a user in it is refused by itself: nobody would be told the password, but for
/// those who read errors and logs, this error's own line among them.
#[derive(Clone, Debug)]
struct Endpoint;

impl TypedValueParser for Endpoint {
    type Value = Uri;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Uri, clap::Error> {
        if !value.as_encoded_bytes().contains(&b'@') {
            return endpoint.parse_ref(command, argument, value);
        }
        let option = argument.map(ToString::to_string).unwrap_or_default();
        let message =
            format!("invalid value for '{option}': a URL without user and password is allowed\n");
        Err(clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command))
    }
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let allowed = "an http:// or https:// URL without a path is allowed";
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("{error}; {allowed}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https")
        || uri.authority().is_none()
        || !matches!(uri.path(), "" | "/")
    {
        return Err(allowed.to_owned());
    }
    Ok(uri)
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("12 digits are allowed".to_owned())
}

fn organization(text: &str) -> Result<Organization, String> {
    let allowed = "an organization such as o-exampleorgid:111122223333,444455556666 is allowed, its management account \
                   first";
    let (id, accounts) = text.split_once(':').ok_or(allowed)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_id = id
        .strip_prefix("o-")
        .is_some_and(|rest| (10..=32).contains(&rest.len()) && rest.bytes().all(fits));
    let accounts: Result<Vec<String>, String> = accounts.split(',').map(account_id).collect();
    match accounts.map_err(|_| allowed)?.split_first() {
        Some((management_account, member_accounts)) if is_id => Ok(Organization {
            id: id.to_owned(),
            management_account: management_account.clone(),
            member_accounts: member_accounts.to_vec(),
        }),
        _ => Err(allowed.to_owned()),
    }
}

fn region(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !text.is_empty() && text.len() <= 32 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("a region such as us-east-1 is allowed".to_owned())
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|error| format!("{error}; a time such as 2026-11-22T15:00:00Z is allowed"))
}

fn event_version(text: &str) -> Result<String, String> {
    let minor = text
        .strip_prefix("1.")
        .filter(|minor| minor.len() == 2)
        .and_then(|minor| minor.parse::<u8>().ok());
    if minor.is_some_and(|minor| (2..=11).contains(&minor)) {
        return Ok(text.to_owned());
    }
    Err("1.02 to 1.11 are allowed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Config, clap::Error> {
        let words = std::iter::once("localtrail").chain(args.split_whitespace());
        CommandLine::try_parse_from(words).map(CommandLine::config)
    }

    #[test]
    fn serve_is_the_default_command() {
        for args in ["--region eu-west-1", "serve --region eu-west-1"] {
            assert_eq!(parse(args).unwrap().region, "eu-west-1", "{args}");
        }
    }

    #[test]
    fn services_are_embedded_unless_there_is_an_upstream() {
        for (args, s3, sts) in [
            ("", true, true),
            ("--upstream http://127.0.0.1:5000", false, false),
            (
                "--upstream http://127.0.0.1:5000 --embedded s3",
                true,
                false,
            ),
            ("--embedded none", false, false),
        ] {
            let config = parse(args).unwrap();
            assert_eq!(
                (config.embeds(Embedded::S3), config.embeds(Embedded::Sts)),
                (s3, sts),
                "{args}"
            );
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for args in [
            "--listen here",
            "--upstream ftp://127.0.0.1",
            "--upstream http://127.0.0.1/path",
            "--upstream http://user@127.0.0.1",
            "--account-id 12",
            "--region US",
            "--delivery-interval 0",
            "--time yesterday",
            "--event-version 1.12",
            "--event-version 2.02",
            "--embedded s4",
            "--trails-per-region 0",
            "--max-body 1000",
            "--max-object -1",
            "--bucket-policy-check maybe",
            "--durability some",
            "--organization o-exampleorgid",
            "--organization exampleorgid:111122223333",
            "--organization o-exampleorgid:111122223333,4",
            "--delivery-access-key-id only",
            "--verify-signatures",
        ] {
            assert!(parse(args).is_err(), "{args}");
        }
    }

    #[test]
    fn a_password_in_the_url_of_an_endpoint_is_refused_and_not_repeated() {
        for option in [
            "--upstream",
            "--s3-endpoint",
            "--sns-endpoint",
            "--logs-endpoint",
            "--events-endpoint",
            "--kms-endpoint",
        ] {
            for url in ["http://user:PW@127.0.0.1", "http://user:PW@[::1/path"] {
                let refused = parse(&format!("{option} {url}")).unwrap_err();
                let text = refused.to_string();
                assert!(text.contains(option) && text.contains("password"), "{text}");
                assert!(!text.contains("PW"), "{text}");
                assert!(refused.use_stderr());
            }
        }
    }
}
