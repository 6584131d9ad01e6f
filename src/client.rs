//! The HTTP client: how localtrail calls an upstream, a target or a subscriber. Knows TLS and connections, not AWS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A pool of connections for requests with bodies of type `B`.
pub type Client<B> = hyper_util::client::legacy::Client<Connector, B>;

/// Opens connections, plain or TLS.
pub type Connector = HttpsConnector<HttpConnector>;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are dropped before the usual emulators close them, so that none is used as it dies.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Whom an https endpoint may be.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// No endpoint is https: certificates are not even read.
    Nobody,
    /// The certificates that the system trusts.
    System,
    /// Those in a PEM file.
    File(&'a Path),
}

/// A connector whose https connections trust `trust`.
pub fn connector(trust: Trust<'_>) -> anyhow::Result<Connector> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Nobody => {}
        Trust::System => {
            // A certificate that cannot be read is one that nothing can be signed by.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::File(path) => {
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| format!("cannot read certificates from {}", path.display()))?;
            anyhow::ensure!(
                !certificates.is_empty(),
                "no certificate in {}",
                path.display()
            );
            for certificate in certificates {
                roots
                    .add(certificate)
                    .with_context(|| format!("bad certificate in {}", path.display()))?;
            }
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(roots)
    .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http))
}

/// A client over `connector`.
pub fn client<B>(connector: Connector) -> Client<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_timer(TokioTimer::new())
        .build(connector)
}
