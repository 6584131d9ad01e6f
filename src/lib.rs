//! localtrail: AWS CloudTrail on your own machine, in front of any AWS emulator.
//!
//! # Bird's eye view
//!
//! AWS requests come in at [`http`], the front door. Calls to CloudTrail are answered by [`api`], calls to S3, SNS and
//! STS by [`embedded`] services, all others by an upstream emulator that they are forwarded to. Every call, whoever
//! answered it, is [`record`]ed as an [`event`] and kept in the [`store`], with the trails that take it. From there the
//! [`worker`] has [`delivery`] cut log files and hand them to [`targets`], when the [`clock`] says so.
//!
//! # Code map, in reading order
//!
//! * [`config`] every knob; [`app`] builds and wires everything; `main` serves it until a signal.
//! * [`clock`] the only source of time and of ids.
//! * [`aws`] what AWS requests look like: service models (`models.bin`), routing, six wire protocols, signatures. Pure.
//! * [`event`] what CloudTrail writes down, and what selectors take. Pure.
//! * [`policy`] what bucket and topic policies allow CloudTrail. Pure.
//! * [`store`] SQLite; the only SQL. One writer commits for all calls that wait at the same time.
//! * [`takers`] which trails take an event, and the row that is stored of it.
//! * [`record`] from a call seen to an event stored; `proxy` forwards to the upstream, `identify` knows who calls,
//!   `keys` the secrets that they sign with.
//! * [`api`] the operations of CloudTrail, as rules: no HTTP, no SQL.
//! * [`account`] whose the callers are who do not say.
//! * [`keys`] what digests are signed with.
//! * [`delivery`] the steps from events stored to files, digests, log groups and event buses; [`worker`] runs what is due.
//! * [`embedded`] a small S3, SNS and STS; [`subscribers`] carries notifications to HTTP endpoints.
//! * [`targets`] the services that localtrail itself calls, embedded or at an endpoint; [`client`] is how.
//! * [`http`] doors, replies, the control API.
//!
//! # Who may import whom
//!
//! ```text
//! main → app → { http → { api, record },  worker → delivery } → targets → { embedded → store → event, policy } → aws
//!        clock, client, config: leaves
//! ```
//!
//! The full table is in `tests/it/layers.rs`, which keeps it.
//!
//! # Invariants
//!
//! 1. Only `store` contains SQL and mentions sqlx.
//! 2. Only `clock` reads time or makes ids; SQL never calls `now`.
//! 3. Only `http`, `record::proxy` and `app` touch axum; `aws` and `embedded` see `http`'s types and bytes.
//! 4. A call is answered even if it cannot be recorded; an answer does not end before its event is committed.
//! 5. An event and the trails that take it are written in one transaction, or neither is.
//! 6. A log file's key is stored before the first upload, so every retry writes the same object.
//! 7. No network call is made while a write transaction is open: SQLite has one writer.
//! 8. Delivery works only from the outbox; each step may run twice and deletes its row with its outcome.
//! 9. The clock only decides *when*: settling by hand does the same work as the running worker.
//! 10. No secret key, session token or password is written to a record, a log line or the event table.

pub mod account;
pub mod api;
pub mod app;
pub mod aws;
pub mod client;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod embedded;
pub mod event;
pub mod http;
pub mod keys;
pub mod policy;
pub mod record;
pub mod store;
pub mod subscribers;
pub mod takers;
pub mod targets;
pub mod worker;
