//! Whole behaviour: the real SDK against the router, in process, with time in the test's hands.
//!
//! One binary, since each further one links the world again. Reads the store directly only for what no API shows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod coverage;
mod delivery;
mod digests;
mod event_bus;
mod identity;
mod insights;
mod isolation;
mod kms;
mod layers;
mod logs;
mod lookup;
mod organizations;
mod outages;
mod own;
mod policies;
mod record;
mod regions;
mod secrets;
mod security;
mod selectors;
mod shared;
mod sign_in;
mod status;
mod trails;
mod verify;
