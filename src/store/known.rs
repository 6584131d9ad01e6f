//! Rows kept in memory that are read far more often than they change: a read of the database is a trip to its thread and
//! back.
//!
//! Kept for one version of their table. Whoever changes the table moves the version on after the commit, and with it
//! all that was read before is forgotten; whoever reads notes the version first, so that a row that was read while it
//! changed is never found.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As many rows are kept at most, for callers ask for any account and region that they like; then all are forgotten. It
/// is more than the buckets that a test has in use, for which that would happen again and again. Nearly all rows are some
/// hundred bytes, a few megabytes together; buckets' policies, of 20 kB at most, are the longest of those read often.
const MOST: usize = 16_384;

#[derive(Debug)]
pub(super) struct Known<K, V> {
    version: AtomicU64,
    rows: Mutex<(u64, HashMap<K, V>)>,
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(0),
            rows: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Known<K, V> {
    /// To be asked for before the database is.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A change has been committed.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.rows_of(self.version()).1.get(key).cloned()
    }

    /// Keeps what was read after `version` had been asked for.
    pub(super) fn keep(&self, version: u64, key: K, value: V) {
        if version == self.version() {
            let mut rows = self.rows_of(version);
            if rows.1.len() >= MOST {
                rows.1.clear();
            }
            rows.1.insert(key, value);
        }
    }

    fn rows_of(&self, version: u64) -> MutexGuard<'_, (u64, HashMap<K, V>)> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.0 != version {
            *rows = (version, HashMap::new());
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_found_after_it() {
        let known = Known::default();
        let before = known.version();
        known.keep(before, 'a', 1);
        assert_eq!(known.get(&'a'), Some(1));
        known.changed();
        assert_eq!(known.get(&'a'), None);
        // Read before the change, kept after it.
        known.keep(before, 'a', 1);
        assert_eq!(known.get(&'a'), None);
        known.keep(known.version(), 'a', 2);
        assert_eq!(known.get(&'a'), Some(2));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let known = Known::default();
        for key in 0..MOST {
            known.keep(0, key, key);
        }
        assert_eq!(known.get(&0), Some(0));
        assert_eq!(known.get(&10_000), Some(10_000));
        known.keep(0, MOST, MOST);
        assert_eq!((known.get(&0), known.get(&MOST)), (None, Some(MOST)));
        assert_eq!(known.rows_of(0).1.len(), 1);
    }
}
