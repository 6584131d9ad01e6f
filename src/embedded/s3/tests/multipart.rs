//! Uploads in parts.

use bytes::Bytes;

use super::World;

const MIN_PART: usize = 5 * 1024 * 1024;

async fn start(world: &World, key: &str) -> String {
    let answer = world
        .send(
            "POST",
            &format!("/logs/{key}?uploads"),
            &[("x-amz-meta-a", "1")],
            "",
        )
        .await;
    answer.first("UploadId")
}

fn completion(parts: &[(u32, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(number, etag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        })
        .collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

#[tokio::test]
async fn parts_that_come_out_of_order_make_one_object() {
    let world = World::with_bucket().await;
    let id = start(&world, "big").await;
    let first = Bytes::from(vec![b'a'; MIN_PART]);
    let path = |number: u32| format!("/logs/big?partNumber={number}&uploadId={id}");
    let last = world
        .put(&path(9), "the end")
        .await
        .header("etag")
        .to_owned();
    world.put(&path(2), "replaced").await;
    let two = world
        .put(&path(2), first.clone())
        .await
        .header("etag")
        .to_owned();
    assert_eq!(
        world.get("/logs/big").await.error(),
        (404, "NoSuchKey".into())
    );

    let listed = world.get(&format!("/logs/big?uploadId={id}")).await;
    assert_eq!(listed.all("PartNumber"), ["2", "9"]);
    let paged = world
        .get(&format!("/logs/big?uploadId={id}&max-parts=1"))
        .await;
    assert_eq!(
        (
            paged.first("IsTruncated").as_str(),
            paged.first("NextPartNumberMarker").as_str()
        ),
        ("true", "2")
    );
    let paged = world
        .get(&format!("/logs/big?uploadId={id}&part-number-marker=2"))
        .await;
    assert_eq!(paged.all("PartNumber"), ["9"]);
    let uploads = world.get("/logs?uploads").await;
    assert_eq!(
        (uploads.all("Key"), uploads.all("UploadId")),
        (vec!["big".to_owned()], vec![id.clone()])
    );

    let upload = format!("/logs/big?uploadId={id}");
    for (parts, code) in [
        (
            vec![(9, last.as_str()), (2, two.as_str())],
            "InvalidPartOrder",
        ),
        (vec![(2, last.as_str()), (9, last.as_str())], "InvalidPart"),
        (vec![(2, two.as_str()), (3, last.as_str())], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        let refused = world.send("POST", &upload, &[], completion(&parts)).await;
        assert_eq!(refused.error(), (400, code.into()), "{parts:?}");
    }
    let parts = completion(&[(2, &two), (9, &last)]);
    let done = world.send("POST", &upload, &[], parts.clone()).await;
    // md5(md5(5 MiB of a) + md5("the end")) by another implementation.
    let etag = "\"dc2bc882b07e1e67a48bed8997ce6caf-2\"";
    assert_eq!(
        done.first("ETag").replace("&quot;", "\""),
        etag,
        "{}",
        done.text()
    );
    let got = world.get("/logs/big").await;
    assert_eq!(
        (got.header("etag"), got.header("x-amz-meta-a")),
        (etag, "1")
    );
    assert_eq!(got.body, [first.as_ref(), b"the end"].concat());
    let part = world.get("/logs/big?partNumber=2").await;
    assert_eq!(
        (part.text().as_str(), part.header("x-amz-mp-parts-count")),
        ("the end", "2")
    );
    assert_eq!(part.status, 206);
    assert_eq!(
        world.get("/logs/big?partNumber=3").await.error(),
        (416, "InvalidPartNumber".into())
    );
    let again = world.send("POST", &upload, &[], parts).await;
    assert_eq!(again.error(), (404, "NoSuchUpload".into()));
    assert_eq!(world.blobs(), 1);
}

#[tokio::test]
async fn small_parts_are_for_the_end_only() {
    let world = World::with_bucket().await;
    let id = start(&world, "a").await;
    let mut parts = Vec::new();
    for number in 1..=2 {
        let put = world
            .put(&format!("/logs/a?partNumber={number}&uploadId={id}"), "x")
            .await;
        parts.push((number, put.header("etag").to_owned()));
    }
    let both: Vec<(u32, &str)> = parts
        .iter()
        .map(|(number, etag)| (*number, etag.as_str()))
        .collect();
    let upload = format!("/logs/a?uploadId={id}");
    let refused = world.send("POST", &upload, &[], completion(&both)).await;
    assert_eq!(refused.error(), (400, "EntityTooSmall".into()));
    let done = world
        .send("POST", &upload, &[], completion(&both[1..]))
        .await;
    assert_eq!(done.status, 200);
    assert_eq!(world.get("/logs/a").await.text(), "x");
    assert_eq!(world.blobs(), 1);
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let world = World::with_bucket().await;
    let id = start(&world, "a").await;
    let part = format!("/logs/a?partNumber=1&uploadId={id}");
    world.put(&part, "x").await;
    assert_eq!(world.blobs(), 1);
    let upload = format!("/logs/a?uploadId={id}");
    assert_eq!(world.delete(&upload).await.status, 204);
    assert_eq!(world.blobs(), 0);
    for answer in [
        world.delete(&upload).await,
        world.put(&part, "x").await,
        world.get(&upload).await,
    ] {
        assert_eq!(answer.error(), (404, "NoSuchUpload".into()));
    }
    let id = start(&world, "a").await;
    let elsewhere = world
        .put(&format!("/logs/b?partNumber=1&uploadId={id}"), "x")
        .await;
    assert_eq!(elsewhere.error(), (404, "NoSuchUpload".into()));
    for number in ["0", "10001"] {
        let answer = world
            .put(&format!("/logs/a?partNumber={number}&uploadId={id}"), "x")
            .await;
        assert_eq!(answer.error(), (400, "InvalidArgument".into()), "{number}");
    }
    world
        .put(&format!("/logs/a?partNumber=1&uploadId={id}"), "x")
        .await;
    assert_eq!(world.delete("/logs").await.status, 204);
    assert_eq!(world.blobs(), 0);
}

#[tokio::test]
async fn parts_are_copied_from_objects() {
    let world = World::with_bucket().await;
    world.put("/logs/source", "0123456789").await;
    let id = start(&world, "a").await;
    let path = format!("/logs/a?partNumber=1&uploadId={id}");
    let source = ("x-amz-copy-source", "logs/source");
    let beyond = [source, ("x-amz-copy-source-range", "bytes=5-10")];
    assert_eq!(
        world.send("PUT", &path, &beyond, "").await.error(),
        (400, "InvalidArgument".into())
    );
    let range = [source, ("x-amz-copy-source-range", "bytes=2-4")];
    let etag = world.send("PUT", &path, &range, "").await.first("ETag");
    let done = world
        .send(
            "POST",
            &format!("/logs/a?uploadId={id}"),
            &[],
            completion(&[(1, &etag)]),
        )
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(world.get("/logs/a").await.text(), "234");
}

#[tokio::test]
async fn the_checksum_is_of_the_parts_or_of_the_whole() {
    let world = World::with_bucket().await;
    // Of the whole: CRC-64/NVME of "hello"; of the parts: SHA-256 of the SHA-256 of "hello", and their number.
    for (algorithm, header, value, kind) in [
        (
            None,
            "x-amz-checksum-crc64nvme",
            "M3eFcAZSQlc=",
            "FULL_OBJECT",
        ),
        (
            Some("SHA256"),
            "x-amz-checksum-sha256",
            "lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA=-1",
            "COMPOSITE",
        ),
    ] {
        let headers: Vec<(&str, &str)> = algorithm
            .iter()
            .map(|name| ("x-amz-checksum-algorithm", *name))
            .collect();
        let id = world
            .send("POST", "/logs/a?uploads", &headers, "")
            .await
            .first("UploadId");
        let put = world
            .put(&format!("/logs/a?partNumber=1&uploadId={id}"), "hello")
            .await;
        let etag = put.header("etag").to_owned();
        let done = world
            .send(
                "POST",
                &format!("/logs/a?uploadId={id}"),
                &[],
                completion(&[(1, &etag)]),
            )
            .await;
        assert_eq!(done.status, 200, "{}", done.text());
        let got = world
            .send("HEAD", "/logs/a", &[("x-amz-checksum-mode", "ENABLED")], "")
            .await;
        assert_eq!(
            (got.header(header), got.header("x-amz-checksum-type")),
            (value, kind)
        );
    }
}

#[tokio::test]
async fn uploads_are_listed_by_pages() {
    let world = World::with_bucket().await;
    for key in ["a", "b/1", "b/2", "b/2", "c"] {
        start(&world, key).await;
    }
    let all = world.get("/logs?uploads").await;
    assert_eq!(all.all("Key"), ["a", "b/1", "b/2", "b/2", "c"]);
    let rolled = world.get("/logs?uploads&delimiter=/").await;
    assert_eq!(
        (rolled.all("Key"), rolled.all("Prefix")),
        (
            vec!["a".to_owned(), "c".into()],
            vec!["b/".into(), String::new()]
        )
    );
    let mut keys = Vec::new();
    let mut marker = String::new();
    loop {
        let page = world
            .get(&format!("/logs?uploads&max-uploads=1{marker}"))
            .await;
        keys.extend(page.all("Key"));
        if page.first("IsTruncated") != "true" {
            break;
        }
        marker = format!(
            "&key-marker={}&upload-id-marker={}",
            page.first("NextKeyMarker"),
            page.first("NextUploadIdMarker")
        );
    }
    assert_eq!(keys, all.all("Key"));
}
