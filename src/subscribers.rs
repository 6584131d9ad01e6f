//! Carries what embedded SNS publishes to its HTTP subscribers: to this machine alone, and to hosts that
//! `--sns-delivery-hosts` names, so that a topic is no way to make requests elsewhere; for the same reason redirects are
//! not followed. Tries each message a few times and then drops it, as SNS does.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::client::Client;
use crate::embedded::sns::{self, HttpDelivery};

/// How long a subscriber may take.
const TIMEOUT: Duration = Duration::from_secs(15);
const TRIES: u32 = 3;

/// Where messages may go.
#[derive(Clone, Debug)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// This machine and `others`.
    pub fn new(others: Vec<String>) -> Self {
        Self(others)
    }

    fn allow(&self, uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost"
            || host
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback());
        loopback
            || self
                .0
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// Delivers until the last sender is gone.
pub async fn run(
    mut inbox: mpsc::Receiver<HttpDelivery>,
    client: Client<Full<Bytes>>,
    allowed: AllowedHosts,
) {
    while let Some(delivery) = inbox.recv().await {
        let (client, allowed) = (client.clone(), allowed.clone());
        tokio::spawn(async move { deliver(&delivery, &client, &allowed).await });
    }
}

async fn deliver(delivery: &HttpDelivery, client: &Client<Full<Bytes>>, allowed: &AllowedHosts) {
    let Ok(uri) = delivery.url.parse::<Uri>() else {
        warn!("a subscriber's endpoint is no URL: {}", delivery.url);
        return;
    };
    if !allowed.allow(&uri) {
        let host = uri.host().unwrap_or_default();
        warn!(
            "no notification to {host}: it is not this machine, nor named by --sns-delivery-hosts"
        );
        return;
    }
    // One that a topic had before such were refused.
    if sns::is_control(&delivery.url) {
        warn!("no notification to a control API");
        return;
    }
    for attempt in 1..=TRIES {
        let Some(request) = request(delivery, &uri) else {
            return;
        };
        match tokio::time::timeout(TIMEOUT, client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => return,
            Ok(Ok(answer)) => debug!(
                "try {attempt}: subscriber {uri} answered {}",
                answer.status()
            ),
            Ok(Err(error)) => debug!("try {attempt}: cannot reach subscriber {uri}: {error}"),
            Err(_) => debug!("try {attempt}: subscriber {uri} gave no answer"),
        }
    }
    warn!("gave up a notification to {uri}");
}

fn request(delivery: &HttpDelivery, uri: &Uri) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::post(uri.clone())
        .body(Full::new(Bytes::from(delivery.body.clone())))
        .ok()?;
    let authority = uri.authority()?.as_str();
    request
        .headers_mut()
        .insert(http::header::HOST, HeaderValue::from_str(authority).ok()?);
    for (name, value) in &delivery.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request
            .headers_mut()
            .insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metadata_address_is_called_only_where_it_is_named() {
        let allowed = AllowedHosts::new(vec!["169.254.169.254".to_owned()]);
        assert!(allowed.allow(&"http://169.254.169.254/latest".parse().unwrap()));
        assert!(!allowed.allow(&"http://169.254.170.2/v2".parse().unwrap()));
    }

    #[test]
    fn only_this_machine_and_named_hosts_are_called() {
        let allowed = AllowedHosts::new(vec!["collector.test".to_owned()]);
        for (url, expected) in [
            ("http://127.0.0.1:9000/x", true),
            ("http://localhost/x", true),
            ("http://[::1]:9000/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://Collector.Test/", true),
            ("http://192.0.2.1/", false),
            ("http://localhost.example/", false),
            // Where clouds keep the machine's own credentials.
            ("http://169.254.169.254/latest", false),
            ("http://[fd00:ec2::254]/latest", false),
            ("http://[fe80::1]/", false),
            ("http://metadata.google.internal/", false),
            // Other spellings of an address, and a name before the host that counts.
            ("http://2852039166/", false),
            ("http://0xa9fea9fe/", false),
            ("http://localhost@192.0.2.1/", false),
            ("http://127.0.0.1:80@192.0.2.1/", false),
            ("http://0.0.0.0/", false),
        ] {
            assert_eq!(allowed.allow(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
