//! Signatures of chunks: each covers its chunk and the signature before it, so that none can be changed, left out or
//! moved.
//!
//! Hashes as the bytes pass and holds back none of them: a chunk may be as long as the body. For that reason the strings
//! to sign are made here and not by the crate's `sign_chunk`, which wants a chunk whole; key and HMAC are the crate's.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>

use aws_sigv4::sign::v4;
use sha2::{Digest, Sha256};

use super::{Refusal, hex, same};
use crate::aws::body::{ChunkDecoder, Part};

/// Name of the trailer that signs the others.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Checks a framed body piece by piece. Has no `Debug`, as it holds a key.
pub struct ChunkVerifier {
    decoder: ChunkDecoder,
    signatures: Signatures,
}

struct Signatures {
    key: Vec<u8>,
    /// Lines 2 and 3 of each string to sign: time and scope.
    time_and_scope: String,
    /// The signature before the one that comes next.
    previous: String,
    /// What the head of the current chunk says.
    claimed: String,
    hasher: Sha256,
    with_trailers: bool,
    all_hold: bool,
}

impl ChunkVerifier {
    pub fn new(
        key: &[u8],
        time: &str,
        scope: &str,
        seed_signature: &str,
        with_trailers: bool,
    ) -> Self {
        Self {
            decoder: ChunkDecoder::default(),
            signatures: Signatures {
                key: key.to_owned(),
                time_and_scope: format!("{time}\n{scope}"),
                previous: seed_signature.to_owned(),
                claimed: String::new(),
                hasher: Sha256::new(),
                with_trailers,
                all_hold: true,
            },
        }
    }

    /// Checks what ends in the next piece. Bytes of a chunk that goes on are not known to be good yet.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let signatures = &mut self.signatures;
        let read = self.decoder.read(piece, |part| signatures.see(&part));
        read.map_err(|_| Refusal::BrokenBody)?;
        match signatures.all_hold {
            true => Ok(()),
            false => Err(Refusal::Mismatch),
        }
    }

    /// Called when the body is over.
    pub fn end(&self) -> Result<(), Refusal> {
        match self.decoder.is_complete() {
            true => Ok(()),
            false => Err(Refusal::BrokenBody),
        }
    }
}

impl Signatures {
    fn see(&mut self, part: &Part<'_>) {
        match part {
            Part::Head(line) => {
                let line = String::from_utf8_lossy(line);
                let mut extensions = line.split(';').skip(1);
                let claimed = extensions.find_map(|it| it.trim().strip_prefix("chunk-signature="));
                claimed.unwrap_or_default().clone_into(&mut self.claimed);
            }
            Part::Data(data) => self.hasher.update(data),
            Part::ChunkEnd => {
                let chunk = std::mem::take(&mut self.hasher).finalize();
                let hashes = format!("{}\n{}", hex(&Sha256::digest(b"")), hex(&chunk));
                let claimed = std::mem::take(&mut self.claimed);
                self.check("AWS4-HMAC-SHA256-PAYLOAD", &hashes, &claimed);
            }
            Part::End(trailers) => self.see_trailers(trailers),
        }
    }

    fn see_trailers(&mut self, trailers: &[(String, String)]) {
        if !self.with_trailers {
            // Whatever stands here is signed by nobody.
            self.all_hold &= trailers.is_empty();
            return;
        }
        let (signatures, mut signed): (Vec<_>, Vec<_>) = trailers
            .iter()
            .partition(|(name, _)| name == TRAILER_SIGNATURE);
        signed.sort();
        let lines: String = signed
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let claimed = signatures.first().map_or("", |(_, value)| value.as_str());
        let hash = hex(&Sha256::digest(lines));
        self.check("AWS4-HMAC-SHA256-TRAILER", &hash, claimed);
    }

    fn check(&mut self, algorithm: &str, hashes: &str, claimed: &str) {
        let Self {
            time_and_scope,
            previous,
            ..
        } = self;
        let string_to_sign = format!("{algorithm}\n{time_and_scope}\n{previous}\n{hashes}");
        let expected = v4::calculate_signature(&self.key, string_to_sign.as_bytes());
        self.all_hold &= same(expected.as_bytes(), claimed.as_bytes());
        self.previous = expected;
    }
}
