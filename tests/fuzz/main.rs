//! Random input for everything that reads what callers send: properties that hold for all of it.
//!
//! ```text
//! cargo test --test fuzz                                          a few hundred cases each
//! PROPTEST_CASES=1000000 cargo test --release --test fuzz         as many as that
//! LOCALTRAIL_REQUESTS=1000000 cargo test --release --test fuzz hostile -- --nocapture
//! ```
//!
//! Input is made from bytes (`dice`): valid requests of any operation from the models (`requests`), mutations of the
//! files in `corpus/`. The last line sends that many requests to the program itself. A case that fails is printed, made
//! small, and becomes a test where the fault was.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests, and long ones tell how they fare"
)]

mod chunks;
mod corpus;
mod deliveries;
mod dice;
mod hostile;
mod policies;
mod protocols;
mod records;
mod requests;
mod selectors;
mod signatures;

use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::test_runner::RngSeed;

/// Runs of each property, unless `PROPTEST_CASES` says otherwise. Always the same ones then: the suite is not to fail by
/// chance, the long runs are to find what it has not.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if asked { default.cases } else { cases },
        rng_seed: if asked {
            default.rng_seed
        } else {
            RngSeed::Fixed(1)
        },
        failure_persistence: None,
        ..default
    }
}

/// Bytes to choose by.
fn entropy(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}
