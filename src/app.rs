//! App: builds every collaborator and wires them, in one place. Imported by `main`, `http` and tests alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::account::DefaultAccount;
use crate::api::{Operations, operations};
use crate::client::{self, Trust};
use crate::clock::{Clock, Ids};
use crate::config::{Config, Durability, Embedded};
use crate::delivery::{Delivery, EventBus};
use crate::embedded::s3::S3;
use crate::embedded::sns::Sns;
use crate::embedded::sts::Sts;
use crate::http;
use crate::http::connections::Limits;
use crate::keys::Keys;
use crate::record::keys::{Keys as CallerKeys, Learns};
use crate::record::proxy::Upstream;
use crate::record::{BucketOwners, Recorder, Settings};
use crate::store::{Lifetime, Store};
use crate::subscribers::{self, Allowed};
use crate::takers::Takers;
use crate::targets::{Credentials, Endpoints, Target, Targets};
use crate::worker::Worker;

/// Notifications to HTTP subscribers that may wait until they are sorted by where they go.
const NOTIFICATIONS: usize = 1_024;
/// How long calls under way may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that a running server is made of.
pub struct App {
    pub config: Config,
    pub clock: Clock,
    pub ids: Ids,
    pub store: Store,
    pub targets: Targets,
    pub keys: Keys,
    pub recorder: Recorder,
    pub worker: Worker,
    pub operations: &'static Operations,
    pub embedded: EmbeddedServices,
    pub upstream: Option<Upstream>,
    pub default_account: DefaultAccount,
    room: Room,
    _folder: Folder,
}

/// S3, SNS and STS of our own.
#[derive(Debug)]
pub struct EmbeddedServices {
    pub s3: S3,
    pub sns: Sns,
    pub sts: Sts,
}

/// The data folder: one SQLite file, objects beside it. Locked, since one process alone may own it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
    /// Removed with its content when dropped.
    _temporary: Option<TempDir>,
}

impl Folder {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let (path, temporary) = match &config.data_dir {
            Some(path) => (path.clone(), None),
            None => {
                let folder = tempfile::Builder::new().prefix("localtrail-").tempdir();
                let folder = folder.context("cannot make a temporary folder")?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let cannot = |what: &str| format!("cannot {what} the data folder {}", path.display());
        std::fs::create_dir_all(path.join("objects")).with_context(|| cannot("write"))?;
        let lock = File::create(path.join("lock")).with_context(|| cannot("write"))?;
        if let Err(error) = lock.try_lock() {
            match error {
                std::fs::TryLockError::WouldBlock => {
                    bail!("{} is in use by another localtrail", path.display())
                }
                std::fs::TryLockError::Error(error) => {
                    return Err(error).with_context(|| cannot("lock"));
                }
            }
        }
        Ok(Self {
            path,
            _lock: lock,
            _temporary: temporary,
        })
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Waits until the disk has the folder itself: what is synced in it would else be lost with its name.
    fn sync(&self) -> std::io::Result<()> {
        let path = self.path.canonicalize()?;
        for folder in std::iter::once(path.as_path()).chain(path.parent()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl App {
    /// Opens the data folder and builds the server. `address` is where callers find it: `http://127.0.0.1:4580`.
    pub async fn open(config: Config, address: &str) -> anyhow::Result<Arc<Self>> {
        let clock = config.time.map_or_else(Clock::running, Clock::frozen);
        let folder = Folder::open(&config)?;
        let lifetime = match (&config.data_dir, config.durability) {
            (Some(_), Durability::Full) => Lifetime::Synced,
            (Some(_), Durability::Normal) => Lifetime::Kept,
            (None, _) => Lifetime::Temporary,
        };
        let database = folder.join("localtrail.sqlite");
        let store = Store::open(&database, lifetime)
            .await
            .with_context(|| format!("cannot open the database {}", database.display()))?;
        let ids = match config.seed {
            None => Ids::random(),
            Some(seed) => {
                // Other ones after a restart: an event whose id is there already would not be stored.
                let newest = store.event_newest().await;
                Ids::seeded(seed ^ newest.context("cannot read the events")?.cast_unsigned())
            }
        };
        if lifetime == Lifetime::Synced {
            folder.sync().with_context(|| {
                format!("cannot sync the data folder {}", folder.path.display())
            })?;
        }

        let connector = client::connector(trust(&config))?;
        let (deliver, notifications) = mpsc::channel(NOTIFICATIONS);
        let allowed = Allowed::new(config.sns_delivery_hosts.clone(), http::CONTROL);
        tokio::spawn(subscribers::run(
            notifications,
            client::client(connector.clone()),
            allowed,
        ));
        let embedded = EmbeddedServices {
            s3: S3::new(
                store.clone(),
                clock.clone(),
                ids.clone(),
                folder.join("objects"),
                config.max_object,
            ),
            sns: Sns::new(store.clone(), clock.clone(), ids.clone(), deliver, address),
            sts: Sts::new(store.clone(), clock.clone(), ids.clone()),
        };
        embedded
            .s3
            .open()
            .await
            .context("cannot read the object folder")?;

        let targets = Targets::new(
            target(
                &config,
                Embedded::S3,
                config.s3_endpoint.as_ref(),
                &embedded.s3,
            ),
            target(
                &config,
                Embedded::Sns,
                config.sns_endpoint.as_ref(),
                &embedded.sns,
            ),
            endpoints(&config),
            client::client(connector.clone()),
            credentials(&config),
            config.bucket_policy_check,
            config.delivery_timeout(),
        );
        let settings = Settings {
            region: config.region.clone(),
            event_version: config.event_version.clone(),
            body_limit: config.max_recorded_body,
        };
        let takers = Takers::new(store.clone(), config.slot_ms());
        let recorder = Recorder::open(
            store.clone(),
            clock.clone(),
            ids.clone(),
            settings,
            takers.clone(),
            bucket_owners(&targets),
            caller_keys(&config)?,
        )
        .await
        .context("cannot read the identities")?;
        let keys = Keys::new(store.clone());
        let delivery = Delivery {
            store: store.clone(),
            targets: targets.clone(),
            keys: keys.clone(),
            ids: ids.clone(),
            takers,
            event_version: config.event_version.clone(),
            event_bus: EventBus::new(&config.event_source_prefix),
        };
        if targets.has_events() {
            store
                .event_bus_open()
                .await
                .context("cannot watch for events")?;
        }
        let worker = Worker::new(store.clone(), delivery, clock.clone(), config.slot_ms());
        let wanted = config.max_connections;
        let room = Room::of(wanted, config.upstream.is_some(), files());
        if (room.connections as u64) < u64::from(wanted) {
            let connections = room.connections;
            info!("the system allows {connections} connections, {wanted} are configured");
        }
        let upstream = config.upstream.clone().map(|endpoint| Upstream {
            endpoint,
            client: client::client(connector),
            timeout: config.upstream_timeout(),
            room: Arc::new(Semaphore::new(room.calls)),
        });
        let default_account = DefaultAccount::new(
            config.account_id.as_deref(),
            config.upstream.as_ref(),
            &config.region,
            targets.clone(),
        );
        Ok(Arc::new(Self {
            default_account,
            config,
            clock,
            ids,
            store,
            targets,
            keys,
            recorder,
            worker,
            operations: operations(),
            embedded,
            upstream,
            room,
            _folder: folder,
        }))
    }

    /// Serves on `listener` until `stop`, then lets what is under way end.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let worker = tokio::spawn({
            let (app, stop) = (Arc::clone(self), stop.clone());
            async move { app.worker.run(stop).await }
        });
        let router = http::router(Arc::clone(self));
        let limits = limits(&self.config, self.room);
        if !http::connections::serve(listener, router, limits, stop, GRACE).await {
            warn!(
                "gave up calls that did not end within {} s",
                GRACE.as_secs()
            );
        }
        // A step of the worker that is cut short here is run again after the next start.
        let _ = tokio::time::timeout(GRACE, worker).await;
    }

    /// The account of a caller: what is known of the access key says so, else it is the default.
    pub async fn account_of(&self, access_key: Option<&str>) -> String {
        let configured = access_key.and_then(|key| self.recorder.keys.account(key));
        if let Some(account) = configured.or_else(|| self.default_account.known()) {
            return account.to_owned();
        }
        // Whose key tells is not to wait for an upstream that does not.
        let told = access_key.map(|key| self.recorder.identities.of_key(key, "", ""));
        match told.map(|principal| principal.account.clone()) {
            Some(account) if !account.is_empty() => account,
            _ => self.default_account.get().await.to_owned(),
        }
    }

    /// Forgets events, trails, embedded objects and identities; the clock goes back to its start. After an error nothing
    /// is forgotten. To be run to its end.
    pub async fn reset(&self) -> Result<(), crate::store::Error> {
        let _paused = self.worker.pause().await;
        let blobs = self.store.reset().await?;
        self.embedded.s3.forget(blobs).await;
        self.recorder.forget();
        self.keys.forget();
        self.clock.reset();
        Ok(())
    }
}

/// Files that callers need not: the database, objects, connections to targets.
const OTHER_FILES: u64 = 512;
/// Of the files that callers need, calls to the upstream have one in so many: most connections are idle most of the time.
const FILES_PER_CALL: u64 = 4;

/// How many callers there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    connections: usize,
    /// To the upstream: each is a connection to it.
    calls: usize,
}

impl Room {
    /// As many as are `wanted`, where the system allows so many files.
    fn of(wanted: u32, has_upstream: bool, files: Option<u64>) -> Self {
        let wanted = u64::from(wanted);
        let size = |possible: u64| usize::try_from(possible.clamp(1, wanted)).unwrap_or(usize::MAX);
        let Some(files) = files.map(|files| files.saturating_sub(OTHER_FILES)) else {
            return Self {
                connections: size(wanted),
                calls: size(wanted),
            };
        };
        let calls = if has_upstream {
            files / FILES_PER_CALL
        } else {
            0
        };
        Self {
            connections: size(files - calls.min(wanted)),
            calls: size(calls),
        }
    }
}

/// The files that may be open at a time; `None`: as many as there are.
fn files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    // Where it cannot be raised, what there is has to do.
    setrlimit(Resource::Nofile, raised)
        .map_or(files, |()| raised)
        .current
}

fn limits(config: &Config, room: Room) -> Limits {
    Limits {
        connections: room.connections,
        head_bytes: config.max_head as usize,
        head_timeout: Duration::from_secs(config.head_timeout),
        body_timeout: Duration::from_secs(config.body_timeout),
    }
}

fn trust(config: &Config) -> Trust<'_> {
    let endpoints = [
        &config.upstream,
        &config.s3_endpoint,
        &config.sns_endpoint,
        &config.logs_endpoint,
        &config.events_endpoint,
        &config.kms_endpoint,
    ];
    let any_https = endpoints
        .into_iter()
        .flatten()
        .any(|endpoint| endpoint.scheme_str() == Some("https"));
    match &config.upstream_ca {
        Some(path) => Trust::File(Path::new(path)),
        None if any_https => Trust::System,
        None => Trust::Nobody,
    }
}

fn target<E: Clone>(
    config: &Config,
    service: Embedded,
    endpoint: Option<&::http::Uri>,
    embedded: &E,
) -> Target<E> {
    match (endpoint, &config.upstream) {
        (Some(endpoint), _) => Target::Endpoint(endpoint.clone()),
        (None, _) if config.embeds(service) => Target::Embedded(embedded.clone()),
        (None, Some(upstream)) => Target::Endpoint(upstream.clone()),
        (None, None) => Target::Nowhere,
    }
}

/// Of buckets that are embedded, the owner is known.
fn bucket_owners(targets: &Targets) -> BucketOwners {
    let targets = targets.clone();
    BucketOwners::new(move |bucket| Some(targets.bucket_place(bucket)?.account))
}

/// The access keys that callers are known by from the start.
fn caller_keys(config: &Config) -> anyhow::Result<CallerKeys> {
    let text = match &config.credentials {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the credentials {}", path.display()))?,
        None => String::new(),
    };
    let learns = match (config.verify_signatures, config.trust_sessions) {
        (false, _) => Learns::Nothing,
        (true, false) => Learns::Proven,
        (true, true) => Learns::All,
    };
    CallerKeys::new(&text, learns).context("cannot read the credentials")
}

/// Services that are never embedded: where an option says, else at the upstream.
fn endpoints(config: &Config) -> Endpoints {
    let or_upstream =
        |endpoint: &Option<::http::Uri>| endpoint.as_ref().or(config.upstream.as_ref()).cloned();
    Endpoints {
        logs: or_upstream(&config.logs_endpoint),
        events: or_upstream(&config.events_endpoint),
        kms: or_upstream(&config.kms_endpoint),
        organizations: config.upstream.clone(),
        organization: config.organization.clone(),
    }
}

fn credentials(config: &Config) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: config.delivery_access_key_id.clone()?,
        secret_access_key: config.delivery_secret_access_key.clone()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_have_the_files_that_the_system_allows() {
        for (has_upstream, files, connections, calls) in [
            (true, None, 16_384, 16_384),
            (true, Some(1_048_576), 16_384, 16_384),
            (true, Some(20_000), 14_616, 4_872),
            (false, Some(20_000), 16_384, 1),
            (true, Some(4_608), 3_072, 1_024),
            (true, Some(100), 1, 1),
        ] {
            let room = Room { connections, calls };
            assert_eq!(Room::of(16_384, has_upstream, files), room, "{files:?}");
        }
    }
}
