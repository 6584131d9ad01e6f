//! The account of callers whose access key does not tell it: configured, or else the one that the upstream's STS takes us
//! for, which is asked until it has told. Knows no caller and no key.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ::http::Uri;
use tokio::sync::Mutex;
use tracing::warn;

use crate::targets::Targets;

/// The account where nobody knows better.
const NO_ACCOUNT: &str = "000000000000";
/// How long the upstream may take to tell.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// One that takes longer than this to say nothing is not asked again for a while: calls would wait for it one by one.
const QUICK: Duration = Duration::from_millis(100);
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The account of everyone who does not say.
#[derive(Debug)]
pub struct DefaultAccount {
    targets: Targets,
    upstream: Option<Uri>,
    /// Region that the upstream is asked in.
    region: String,
    known: OnceLock<String>,
    /// When the upstream was last asked in vain and was slow, by the machine's time. Held while it is asked.
    slow_since: Mutex<Option<Instant>>,
}

impl DefaultAccount {
    pub fn new(
        configured: Option<&str>,
        upstream: Option<&Uri>,
        region: &str,
        targets: Targets,
    ) -> Self {
        let nobody_to_ask = upstream.is_none().then_some(NO_ACCOUNT);
        let known = configured.or(nobody_to_ask).map(str::to_owned);
        Self {
            targets,
            upstream: upstream.cloned(),
            region: region.to_owned(),
            known: known.map_or_else(OnceLock::new, OnceLock::from),
            slow_since: Mutex::default(),
        }
    }

    /// The account, where nobody has to be asked for it.
    pub fn known(&self) -> Option<&str> {
        self.known.get().map(String::as_str)
    }

    /// The account; `000000000000` as long as the upstream does not answer.
    pub async fn get(&self) -> &str {
        if let Some(account) = self.known() {
            return account;
        }
        let mut slow_since = self.slow_since.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(account) = self.known() {
            return account;
        }
        if slow_since.is_some_and(|since| since.elapsed() < ASK_AGAIN) {
            return NO_ACCOUNT;
        }
        let began = Instant::now();
        let told = self.ask().await;
        *slow_since = (told.is_none() && began.elapsed() > QUICK).then(Instant::now);
        match told {
            Some(account) => self.known.get_or_init(|| account),
            None => NO_ACCOUNT,
        }
    }

    /// What the upstream says for good.
    async fn ask(&self) -> Option<String> {
        let ask = self.targets.account(self.upstream.as_ref()?, &self.region);
        match tokio::time::timeout(ASK_TIMEOUT, ask).await.ok()? {
            Ok(account) => Some(account),
            // Not there yet.
            Err(error) if error.is_transient() => None,
            Err(error) => {
                warn!(
                    "the upstream's STS does not tell its account ({error}); taking {NO_ACCOUNT}"
                );
                Some(NO_ACCOUNT.to_owned())
            }
        }
    }
}
