//! Whole behaviour: the real SDK against the router, in process, with time in the test's hands.
//!
//! One binary, since each further one links the world again. Reads the store directly only for what no API shows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod coverage;
mod delivery;
mod digests;
mod layers;
mod lookup;
mod record;
mod trails;
