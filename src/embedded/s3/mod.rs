//! The embedded S3: buckets, objects, multipart uploads.
//!
//! The wire is the protocol crate's (`s3s`); rows are the store's; content lies in files (`blobs.rs`). There are no
//! versions, no object lock, no replication, and no encryption: their headers are kept and given back. Whoever calls
//! may do everything (see [`super`]). A call that is not in the table below is answered with `NotImplemented`.
//!
//! The rule: a write is streamed to a file of its own, then one transaction makes it visible, then what it replaced
//! is removed. A reader sees the object before or after, never between.

mod acl;
mod attributes;
mod blobs;
mod bucket;
mod checksum;
mod errors;
mod list;
mod multipart;
mod object;
mod read;
mod tagging;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::validation::NameValidation;
use s3s::{S3Error, S3Request, S3Response, S3Result, dto, s3_error};

pub use self::attributes::ObjectAttributes;
use self::blobs::Blobs;
use self::errors::internal;
use super::{Caller, Error};
use crate::clock::{Clock, Ids};
use crate::store::{Bucket, Lifetime, Store};

/// Longest content that lies in the row of its object: most log files, and every digest of a quiet hour.
const SMALL_BYTES: usize = 64 * 1024;

/// Longest form of a browser, fields and object: the protocol crate holds it in memory.
pub const MOST_FORM_BYTES: usize = 16 << 20;

/// The embedded S3. Clones share everything.
#[derive(Clone, Debug)]
pub struct S3 {
    shelf: Arc<Shelf>,
    service: S3Service,
}

/// What the operations work on.
#[derive(Debug)]
struct Shelf {
    store: Store,
    clock: Clock,
    ids: Ids,
    blobs: Blobs,
    /// Most content in one call.
    most_bytes: usize,
    /// All buckets by name: whether one exists is asked with every trail that is made, whose it is with every call.
    places: RwLock<HashMap<String, BucketPlace>>,
}

/// Whose a bucket is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlace {
    /// 12 digits.
    pub account: String,
    pub region: String,
}

impl S3 {
    /// Content that is not small will lie in the folder `objects`, which is made if need be and belongs to the store's
    /// database. A call brings at most `most_bytes` of it.
    pub fn new(store: Store, clock: Clock, ids: Ids, objects: PathBuf, most_bytes: usize) -> Self {
        Self::keeping(store, clock, ids, objects, SMALL_BYTES, most_bytes)
    }

    /// Content of up to `small_bytes` lies in the rows of objects.
    fn keeping(
        store: Store,
        clock: Clock,
        ids: Ids,
        objects: PathBuf,
        small_bytes: usize,
        most_bytes: usize,
    ) -> Self {
        let synced = store.lifetime() == Lifetime::Synced;
        let blobs = Blobs::new(objects, ids.clone(), small_bytes, synced);
        let shelf = Arc::new(Shelf {
            store,
            clock,
            ids,
            blobs,
            most_bytes,
            places: RwLock::default(),
        });
        let mut service = S3ServiceBuilder::new(Handler(Arc::clone(&shelf)));
        service.set_validation(AnyName);
        service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits(
            most_bytes,
        )))));
        let service = service.build();
        Self { shelf, service }
    }

    /// Answers one S3 request.
    ///
    /// It is path-style (`/bucket/key`), without signature (header or query) and without aws-chunked framing; a
    /// checksum that came in a trailer is taken from the trailers of the body. All that is no object's content is held
    /// in memory, so the caller sees to it that it is short. The answer has no request id.
    pub async fn call<B>(&self, caller: Caller, request: Request<B>) -> Response<s3s::Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let trailers = Trailers::default();
        let seen = trailers.clone();
        let mut request = request.map(|body| {
            let body =
                body.map_err(Into::into)
                    .map_frame(move |frame| match frame.into_trailers() {
                        Ok(trailers) => {
                            seen.set(trailers.clone());
                            http_body::Frame::trailers(trailers)
                        }
                        Err(frame) => frame,
                    });
            s3s::Body::http_body_unsync(body)
        });
        adjust(request.headers_mut());
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(trailers);
        match self.service.call(request).await {
            Ok(response) => errors::finish(&method, &path, response),
            Err(e) => {
                let source: Box<dyn std::error::Error + Send + Sync> = e.into();
                tracing::error!(error = %source, "the embedded S3 failed: {source}");
                let mut response = Response::new(s3s::Body::empty());
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    /// Learns what buckets there are and removes content that no object has: what a crash left behind. To be called
    /// before anything else, and only then.
    pub async fn open(&self) -> Result<(), Error> {
        if !self.shelf.store.has_past() {
            return Ok(());
        }
        let places = self
            .shelf
            .store
            .bucket_places()
            .await
            .map_err(Error::internal)?;
        let places = places
            .into_iter()
            .map(|(name, account, region)| (name, BucketPlace { account, region }));
        self.shelf.places_mut().extend(places);
        let named = self.shelf.store.blob_all().await.map_err(Error::internal)?;
        self.shelf.blobs.sweep(named).await.map_err(Error::internal)
    }

    /// Forgets what buckets there are, and removes content that the store has forgotten: to be called when it has been
    /// reset.
    pub async fn forget(&self, blobs: Vec<String>) {
        self.shelf.places_mut().clear();
        self.shelf.blobs.remove(blobs).await;
    }

    /// Whether there is a bucket of that name, whosever it is.
    pub fn bucket_exists(&self, bucket: &str) -> bool {
        self.bucket_place(bucket).is_some()
    }

    /// Whose the bucket of that name is, and where; `None` if there is none.
    pub fn bucket_place(&self, bucket: &str) -> Option<BucketPlace> {
        let places = self.shelf.places.read();
        places
            .unwrap_or_else(PoisonError::into_inner)
            .get(bucket)
            .cloned()
    }

    /// The bucket's policy, if it has one. `NoSuchBucket` if there is no bucket.
    pub async fn bucket_policy(&self, bucket: &str) -> Result<Option<String>, Error> {
        let policy = self.shelf.store.bucket_setting_get(bucket, "policy");
        let policy = policy.await.map_err(Error::internal)?;
        Ok(policy.ok_or_else(|| no_bucket(bucket))?)
    }

    /// Writes an object as PutObject does. `NoSuchBucket` if there is no bucket.
    pub async fn object_put(
        &self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        attributes: ObjectAttributes,
    ) -> Result<(), Error> {
        object::put(&self.shelf, bucket, key, bytes, attributes).await?;
        Ok(())
    }
}

/// The protocol crate's limits, where calls bring at most `most_bytes` of content. How long a document may be is for the
/// caller to say, and a form comes in one piece, fields and object together.
fn limits(most_bytes: usize) -> S3Config {
    let mut limits = S3Config::default();
    limits.xml_max_body_size = usize::MAX;
    limits.post_object_max_file_size = most_bytes.min(MOST_FORM_BYTES) as u64;
    limits.form_max_fields_size = MOST_FORM_BYTES;
    limits
}

/// Puts right what the protocol crate would refuse where S3 does not.
fn adjust(headers: &mut HeaderMap) {
    // A length that counts the framing.
    if let Some(length) = headers.remove("x-amz-decoded-content-length") {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    // S3 passes over a range that it does not understand, several ranges among them.
    let range = headers.get(header::RANGE).map(HeaderValue::to_str);
    if range.is_some_and(|range| range.map_or(true, |range| dto::Range::parse(range).is_err())) {
        headers.remove(header::RANGE);
    }
}

/// The trailers of a request's body, once they have come.
#[derive(Clone, Debug, Default)]
struct Trailers(Arc<Mutex<Option<HeaderMap>>>);

impl Trailers {
    fn set(&self, trailers: HeaderMap) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trailers);
    }

    fn take(&self) -> Option<HeaderMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Names are checked where a bucket is looked up, so that the error has S3's sentence.
struct AnyName;

impl NameValidation for AnyName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        !name.is_empty()
    }
}

/// All that an operation may want to know of its request but the input.
struct Cx {
    caller: Caller,
    headers: HeaderMap,
    trailers: Trailers,
}

impl Cx {
    fn split<I>(request: S3Request<I>) -> S3Result<(Self, I)> {
        let mut extensions = request.extensions;
        let (Some(caller), Some(trailers)) = (extensions.remove(), extensions.remove()) else {
            return Err(s3_error!(InternalError));
        };
        let cx = Self {
            caller,
            headers: request.headers,
            trailers,
        };
        Ok((cx, request.input))
    }

    /// The bucket that a request is about.
    async fn bucket(&self, shelf: &Shelf, name: &str) -> S3Result<Bucket> {
        let bucket = shelf.bucket(name).await?;
        let expected = self.headers.get("x-amz-expected-bucket-owner");
        if expected.is_some_and(|expected| expected != bucket.account.as_str()) {
            return Err(s3_error!(AccessDenied));
        }
        Ok(bucket)
    }
}

impl Shelf {
    fn places_mut(&self) -> RwLockWriteGuard<'_, HashMap<String, BucketPlace>> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }

    async fn bucket(&self, name: &str) -> S3Result<Bucket> {
        match self.store.bucket_get(name).await.map_err(internal)? {
            Some(bucket) => Ok(bucket),
            None => Err(no_bucket(name)),
        }
    }
}

/// There is no bucket of that name, or can be none.
fn no_bucket(name: &str) -> S3Error {
    if s3s::path::check_bucket_name(name) {
        s3_error!(NoSuchBucket)
    } else {
        s3_error!(InvalidBucketName)
    }
}

/// What the protocol crate calls.
struct Handler(Arc<Shelf>);

/// The operations: where each is, and what comes in and goes out.
macro_rules! operations {
    ($($module:ident::$name:ident($input:ident) -> $output:ident;)*) => {
        #[async_trait::async_trait]
        impl s3s::S3 for Handler {
            $(async fn $name(
                &self,
                request: S3Request<dto::$input>,
            ) -> S3Result<S3Response<dto::$output>> {
                let (cx, input) = Cx::split(request)?;
                $module::$name(&self.0, &cx, input).await.map(S3Response::new)
            })*
        }
    };
}

operations! {
    bucket::create_bucket(CreateBucketInput) -> CreateBucketOutput;
    bucket::delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    bucket::head_bucket(HeadBucketInput) -> HeadBucketOutput;
    bucket::list_buckets(ListBucketsInput) -> ListBucketsOutput;
    bucket::get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    bucket::get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput;
    bucket::put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput;
    bucket::delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput;
    bucket::get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput;
    bucket::put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput;
    bucket::get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput;
    bucket::put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput;
    bucket::delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput;
    bucket::get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput;
    bucket::put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput;
    bucket::delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput;
    bucket::get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput;
    bucket::put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput;
    bucket::delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput;
    bucket::get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput;
    bucket::put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput;
    bucket::delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput;
    bucket::get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput;
    bucket::put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput;
    bucket::delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput;
    bucket::get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput;
    bucket::put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput;
    bucket::delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput;
    bucket::get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
    bucket::put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput;
    object::put_object(PutObjectInput) -> PutObjectOutput;
    read::get_object(GetObjectInput) -> GetObjectOutput;
    read::head_object(HeadObjectInput) -> HeadObjectOutput;
    object::copy_object(CopyObjectInput) -> CopyObjectOutput;
    object::delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    object::delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    acl::get_object_acl(GetObjectAclInput) -> GetObjectAclOutput;
    acl::put_object_acl(PutObjectAclInput) -> PutObjectAclOutput;
    tagging::get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput;
    tagging::put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput;
    tagging::delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput;
    list::list_objects(ListObjectsInput) -> ListObjectsOutput;
    list::list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    list::list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput;
    multipart::create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    multipart::upload_part(UploadPartInput) -> UploadPartOutput;
    multipart::upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    multipart::complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    multipart::abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    multipart::list_parts(ListPartsInput) -> ListPartsOutput;
    multipart::list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
}

/// A time as the protocol crate has it: S3 knows whole seconds only.
fn timestamp(ms: i64) -> dto::Timestamp {
    let since = Duration::from_secs(u64::try_from(ms / 1000).unwrap_or_default());
    dto::Timestamp::from(SystemTime::UNIX_EPOCH + since)
}
