//! The checksums of S3: what a request asks for, computed on the way, compared, kept.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use s3s::{S3Result, dto, s3_error};
use serde::{Deserialize, Serialize};

/// An algorithm of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// Each algorithm, its name in requests, and the header with its value.
const ALGORITHMS: [(Algorithm, &str, &str); 5] = [
    (Algorithm::Crc32, "CRC32", "x-amz-checksum-crc32"),
    (Algorithm::Crc32c, "CRC32C", "x-amz-checksum-crc32c"),
    (
        Algorithm::Crc64Nvme,
        "CRC64NVME",
        "x-amz-checksum-crc64nvme",
    ),
    (Algorithm::Sha1, "SHA1", "x-amz-checksum-sha1"),
    (Algorithm::Sha256, "SHA256", "x-amz-checksum-sha256"),
];

impl Algorithm {
    /// By its name in requests: `CRC32C`.
    pub(super) fn parse(name: &str) -> S3Result<Self> {
        ALGORITHMS
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|&(algorithm, ..)| algorithm)
            .ok_or_else(|| {
                s3_error!(
                    InvalidRequest,
                    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: \
                    [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
                )
            })
    }

    pub(super) fn name(self) -> &'static str {
        ALGORITHMS
            .iter()
            .find(|(known, ..)| *known == self)
            .map_or("", |&(_, name, _)| name)
    }
}

/// The checksum of an object or a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// base64; of a multipart object followed by `-` and the number of parts, unless `full_object`.
    pub(super) value: String,
    pub(super) full_object: bool,
}

impl Checksum {
    pub(super) fn kind(&self) -> dto::ChecksumType {
        dto::ChecksumType::from_static(if self.full_object {
            dto::ChecksumType::FULL_OBJECT
        } else {
            dto::ChecksumType::COMPOSITE
        })
    }
}

/// Spreads an `Option<Checksum>` over the members that an output has for the algorithms.
macro_rules! checksum_into {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                $crate::embedded::s3::checksum::Algorithm::Crc32 => $output.checksum_crc32 = value,
                $crate::embedded::s3::checksum::Algorithm::Crc32c => {
                    $output.checksum_crc32c = value
                }
                $crate::embedded::s3::checksum::Algorithm::Crc64Nvme => {
                    $output.checksum_crc64nvme = value
                }
                $crate::embedded::s3::checksum::Algorithm::Sha1 => $output.checksum_sha1 = value,
                $crate::embedded::s3::checksum::Algorithm::Sha256 => {
                    $output.checksum_sha256 = value
                }
            }
        }
    };
}
pub(super) use checksum_into;

/// Computes one checksum.
pub(super) struct Hasher {
    algorithm: Algorithm,
    inner: ChecksumHasher,
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let mut inner = ChecksumHasher::default();
        match algorithm {
            Algorithm::Crc32 => inner.crc32 = Some(s3s::crypto::Crc32::new()),
            Algorithm::Crc32c => inner.crc32c = Some(s3s::crypto::Crc32c::new()),
            Algorithm::Crc64Nvme => inner.crc64nvme = Some(s3s::crypto::Crc64Nvme::new()),
            Algorithm::Sha1 => inner.sha1 = Some(s3s::crypto::Sha1::new()),
            Algorithm::Sha256 => inner.sha256 = Some(s3s::crypto::Sha256::new()),
        }
        Self { algorithm, inner }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.inner.update(data);
    }

    pub(super) fn finish(self) -> Checksum {
        let sum = self.inner.finalize();
        let value = match self.algorithm {
            Algorithm::Crc32 => sum.checksum_crc32,
            Algorithm::Crc32c => sum.checksum_crc32c,
            Algorithm::Crc64Nvme => sum.checksum_crc64nvme,
            Algorithm::Sha1 => sum.checksum_sha1,
            Algorithm::Sha256 => sum.checksum_sha256,
        };
        Checksum {
            algorithm: self.algorithm,
            value: value.unwrap_or_default(),
            full_object: true,
        }
    }
}

/// The checksum of a multipart object out of those of its parts.
pub(super) fn composite(algorithm: Algorithm, parts: &[Checksum]) -> Checksum {
    let mut hasher = Hasher::new(algorithm);
    for part in parts {
        hasher.update(&BASE64_STANDARD.decode(&part.value).unwrap_or_default());
    }
    Checksum {
        value: format!("{}-{}", hasher.finish().value, parts.len()),
        algorithm,
        full_object: false,
    }
}

/// What a request says about the content it carries.
pub(super) struct Expected {
    /// The algorithm it names, or that of the value it gives, or what S3 takes of itself.
    pub(super) algorithm: Algorithm,
    value: Option<String>,
    md5: Option<Vec<u8>>,
}

impl Expected {
    /// From the head of a request. `default` is for one that names no algorithm.
    pub(super) fn new(headers: &HeaderMap, default: Algorithm) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let md5 = match text("content-md5") {
            None => None,
            Some(value) => match BASE64_STANDARD.decode(value) {
                Ok(md5) if md5.len() == 16 => Some(md5),
                _ => return Err(s3_error!(InvalidDigest)),
            },
        };
        let given = ALGORITHMS
            .iter()
            .find_map(|&(algorithm, _, header)| Some((algorithm, text(header)?)));
        if let Some((algorithm, value)) = given {
            return Ok(Self {
                algorithm,
                value: Some(value.to_owned()),
                md5,
            });
        }
        let trailer = text("x-amz-trailer").and_then(|trailer| {
            ALGORITHMS
                .iter()
                .find(|(.., header)| header.eq_ignore_ascii_case(trailer.trim()))
        });
        let algorithm = match (trailer, text("x-amz-sdk-checksum-algorithm")) {
            (Some(&(algorithm, ..)), _) => algorithm,
            (None, Some(name)) => Algorithm::parse(&name.to_ascii_uppercase())?,
            (None, None) => default,
        };
        Ok(Self {
            algorithm,
            value: None,
            md5,
        })
    }

    /// The checksum, if the content is what the request says. `trailers` are those of its body.
    pub(super) fn check(
        self,
        md5: &[u8; 16],
        hasher: Hasher,
        trailers: Option<&HeaderMap>,
    ) -> S3Result<Checksum> {
        if self.md5.is_some_and(|expected| expected != md5) {
            return Err(s3_error!(BadDigest));
        }
        let checksum = hasher.finish();
        let trailer = ALGORITHMS
            .iter()
            .find(|(algorithm, ..)| *algorithm == self.algorithm)
            .and_then(|&(.., header)| trailers?.get(header)?.to_str().ok());
        let expected = self.value.as_deref().or(trailer);
        if expected.is_some_and(|expected| expected != checksum.value) {
            let name = self.algorithm.name();
            return Err(s3_error!(
                BadDigest,
                "The {name} you specified did not match the calculated checksum."
            ));
        }
        Ok(checksum)
    }
}
