//! The embedded S3 through its one entrance, request by request.

mod buckets;
mod multipart;
mod objects;

use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;

use super::S3;
use crate::clock::{Clock, Ids};
use crate::embedded::Caller;
use crate::store::Store;

/// An S3 of its own in a temporary folder, at 2027-01-15T08:00:00Z.
struct World {
    s3: S3,
    clock: Clock,
    caller: Caller,
    folder: TempDir,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// The content of each element of that name; the answers have none within its like.
    fn all(&self, element: &str) -> Vec<String> {
        let text = self.text();
        text.split(&format!("<{element}>"))
            .skip(1)
            .filter_map(|rest| rest.split_once(&format!("</{element}>")))
            .map(|(content, _)| content.to_owned())
            .collect()
    }

    fn first(&self, element: &str) -> String {
        self.all(element).into_iter().next().unwrap_or_default()
    }

    /// Status and error code.
    fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.first("Code"))
    }
}

impl World {
    /// Where every content has a file.
    async fn new() -> Self {
        Self::keeping(0).await
    }

    async fn keeping(small_bytes: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let store = Store::open(&folder.path().join("db"), crate::store::Lifetime::Kept)
            .await
            .expect("a store");
        let clock = Clock::frozen(DateTime::from_timestamp(1_800_000_000, 0).expect("a time"));
        let objects = folder.path().join("objects");
        Self {
            s3: S3::keeping(
                store,
                clock.clone(),
                Ids::seeded(1),
                objects,
                small_bytes,
                64 << 20,
            ),
            clock,
            caller: Caller {
                account: "111122223333".to_owned(),
                region: "us-east-1".to_owned(),
                principal_id: "111122223333".to_owned(),
                arn: None,
                access_key: None,
            },
            folder,
        }
    }

    /// With a bucket `logs`.
    async fn with_bucket() -> Self {
        let world = Self::new().await;
        assert_eq!(world.put("/logs", "").await.status, 200);
        world
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_as(&self.caller, method, path, headers, body)
            .await
    }

    async fn send_as(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:4566")
            .header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let response = self.s3.call(caller.clone(), request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send("PUT", path, &[], body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    /// How many files have content.
    fn blobs(&self) -> usize {
        let objects = self.folder.path().join("objects");
        std::fs::read_dir(objects).expect("the folder").count()
    }
}
