//! The RSA keys that digests are signed with: a region's own, each valid for 30 days, its successor beginning 20 days
//! after it, as AWS's do (facts 9.5). A key is made when it is first needed, off the threads that answer calls, and
//! kept in the database. Keys are random even where ids are seeded: a key that follows from a seed would be no secret.
//! The private part leaves this module only to the database; it is never printed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use md5::{Digest as _, Md5};

use crate::store::{DigestKey, Store};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long a key is valid.
const VALID_MS: i64 = 30 * DAY_MS;
/// How long after a key its successor begins, and signs in its place.
const SUCCESSOR_AFTER_MS: i64 = 20 * DAY_MS;

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Database(#[from] crate::store::Error),
    #[error("cannot {0} with a digest key")]
    Crypto(&'static str),
}

/// The keys of all regions. Clones share what they have read.
#[derive(Clone, Debug)]
pub struct Keys {
    store: Store,
    /// The key that each region signed with last.
    read: Arc<Mutex<HashMap<String, Arc<SigningKey>>>>,
}

/// A key that signs.
pub struct SigningKey {
    pair: KeyPair,
    fingerprint: String,
    start_ms: i64,
}

/// What the world may know of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// PKCS#1 DER.
    pub der: Vec<u8>,
    /// Hex MD5 of the DER.
    pub fingerprint: String,
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Keys {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            read: Arc::default(),
        }
    }

    /// The key that signs the region's digests at `at_ms`; made if there is none.
    pub async fn signing(&self, region: &str, at_ms: i64) -> Result<Arc<SigningKey>, KeyError> {
        let known = self.lock().get(region).map(Arc::clone);
        if let Some(key) = known.filter(|key| key.signs_at(at_ms)) {
            return Ok(key);
        }
        let key = self.current(region, at_ms).await?;
        let key = Arc::new(SigningKey {
            pair: KeyPair::from_pkcs8(&key.private_key).map_err(|_| KeyError::Crypto("sign"))?,
            fingerprint: key.fingerprint,
            start_ms: key.start_ms,
        });
        self.lock().insert(region.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    /// The region's keys that are valid at some time between the two (both inclusive), the oldest first. A region has a
    /// key at `now_ms`, whether one was needed yet or not.
    pub async fn public(
        &self,
        region: &str,
        since_ms: i64,
        until_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<PublicKey>, KeyError> {
        self.current(region, now_ms).await?;
        let keys = self.store.digest_keys(region, since_ms, until_ms).await?;
        Ok(keys
            .into_iter()
            .map(|key| PublicKey {
                der: key.public_key,
                fingerprint: key.fingerprint,
                start_ms: key.start_ms,
                end_ms: key.end_ms,
            })
            .collect())
    }

    /// Forgets what was read, because the database has been emptied.
    pub fn forget(&self) {
        self.lock().clear();
    }

    /// The newest key that is valid at `at_ms`, after one was made if it is time for that.
    async fn current(&self, region: &str, at_ms: i64) -> Result<DigestKey, KeyError> {
        let newest = self.newest(region, at_ms).await?;
        let start_ms = match &newest {
            Some(key) if at_ms < key.start_ms + SUCCESSOR_AFTER_MS => return Ok(key.clone()),
            Some(key) => key.start_ms + SUCCESSOR_AFTER_MS,
            None => at_ms - at_ms.rem_euclid(1_000),
        };
        let region = region.to_owned();
        let key = tokio::task::spawn_blocking({
            let region = region.clone();
            move || generate(region, start_ms)
        });
        let key = key.await.map_err(|_| KeyError::Crypto("be made"))??;
        self.store.digest_key_insert(&key).await?;
        // Someone else may have made one meanwhile, and then that is the one that was kept.
        Ok(self.newest(&region, at_ms).await?.unwrap_or(key))
    }

    async fn newest(&self, region: &str, at_ms: i64) -> Result<Option<DigestKey>, KeyError> {
        Ok(self.store.digest_keys(region, at_ms, at_ms).await?.pop())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<SigningKey>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signs each text with its key, in their order. A signature takes a core for a millisecond: they are made off the
/// runtime, and at the same time.
pub async fn sign(texts: Vec<(Arc<SigningKey>, String)>) -> Result<Vec<String>, KeyError> {
    let under_way: Vec<_> = texts
        .into_iter()
        .map(|(key, text)| tokio::task::spawn_blocking(move || key.sign(text.as_bytes())))
        .collect();
    let mut signatures = Vec::with_capacity(under_way.len());
    for signature in under_way {
        signatures.push(signature.await.map_err(|_| KeyError::Crypto("sign"))??);
    }
    Ok(signatures)
}

impl SigningKey {
    /// Hex MD5 of the public key's DER.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// RSASSA-PKCS1-v1_5 over SHA-256, as hex.
    pub fn sign(&self, text: &[u8]) -> Result<String, KeyError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text,
                &mut signature,
            )
            .map_err(|_| KeyError::Crypto("sign"))?;
        Ok(hex(&signature))
    }

    fn signs_at(&self, at_ms: i64) -> bool {
        (self.start_ms..self.start_ms + SUCCESSOR_AFTER_MS).contains(&at_ms)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint)
    }
}

fn generate(region: String, start_ms: i64) -> Result<DigestKey, KeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Crypto("be made"))?;
    let private_key = pair.as_der().map_err(|_| KeyError::Crypto("be made"))?;
    // PKCS#1, which is what ListPublicKeys shows.
    let public_key = pair.public_key().as_ref().to_vec();
    Ok(DigestKey {
        fingerprint: hex(&Md5::digest(&public_key)),
        region,
        start_ms,
        end_ms: start_ms + VALID_MS,
        public_key,
        private_key: private_key.as_ref().to_vec(),
    })
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const START: i64 = 1_800_000_000_000;

    async fn keys() -> (Keys, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let store = Store::open(&path, crate::store::Lifetime::Temporary)
            .await
            .unwrap();
        (Keys::new(store), folder)
    }

    #[tokio::test]
    async fn a_successor_signs_from_day_20_and_both_are_valid_to_day_30() {
        let (keys, _folder) = keys().await;
        let first = keys.signing("us-east-1", START).await.unwrap();
        let still = keys
            .signing("us-east-1", START + 20 * DAY_MS - 1)
            .await
            .unwrap();
        assert_eq!(still.fingerprint(), first.fingerprint());
        let second = keys
            .signing("us-east-1", START + 21 * DAY_MS)
            .await
            .unwrap();
        assert_ne!(second.fingerprint(), first.fingerprint());
        assert_eq!(second.start_ms, START + 20 * DAY_MS);

        for (day, expected) in [
            (0, vec![&first]),
            (19, vec![&first]),
            (20, vec![&first, &second]),
            (29, vec![&first, &second]),
            (31, vec![&second]),
        ] {
            let at = START + day * DAY_MS;
            let valid = keys.public("us-east-1", at, at, START).await.unwrap();
            let valid: Vec<_> = valid.iter().map(|key| key.fingerprint.as_str()).collect();
            let expected: Vec<_> = expected.iter().map(|key| key.fingerprint()).collect();
            assert_eq!(valid, expected, "day {day}");
        }
        // After a gap a key begins where it is needed.
        let late = keys
            .signing("us-east-1", START + 90 * DAY_MS)
            .await
            .unwrap();
        assert_eq!(late.start_ms, START + 90 * DAY_MS);
    }

    #[tokio::test]
    async fn each_region_has_its_own_key_and_the_database_keeps_it() {
        let (keys, _folder) = keys().await;
        let here = keys.signing("us-east-1", START).await.unwrap();
        let there = keys.signing("eu-west-1", START).await.unwrap();
        assert_ne!(here.fingerprint(), there.fingerprint());
        let again = Keys::new(keys.store.clone());
        let again = again.signing("us-east-1", START + 1).await.unwrap();
        assert_eq!(again.fingerprint(), here.fingerprint());

        let public = keys.public("us-east-1", START, START, START).await.unwrap();
        assert_eq!(public[0].der.len(), 270);
        assert_eq!(
            public[0].fingerprint,
            hex(&Md5::digest(&public[0].der)),
            "MD5 of the DER"
        );
        let signature = again.sign(b"text").unwrap();
        assert_eq!(signature.len(), 512);
        let bytes: Vec<u8> = (0..signature.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
            .collect();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public[0].der)
            .verify(b"text", &bytes)
            .unwrap();
    }

    #[tokio::test]
    async fn a_key_does_not_show_its_private_part() {
        let (keys, _folder) = keys().await;
        let key = keys.signing("us-east-1", START).await.unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey({})", key.fingerprint())
        );
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0x00, 0x1f, 0xa0, 0xff]), "001fa0ff");
    }
}
