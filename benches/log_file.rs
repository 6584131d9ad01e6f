//! What a log file costs beyond its compression: the encoder (joining the stored records, SHA-256, gzip) against the
//! gzip library alone on the same bytes, in turns within one run. Prints medians of throughputs and of the turns' ratios;
//! asserts nothing.
//!
//! `cargo bench --bench log_file`

#![expect(clippy::unwrap_used, reason = "what fails here ends the measurement")]
#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::{Compression, GzBuilder};
use localtrail::delivery::log_file::{Encoded, Encoder};
use serde_json::json;

const RECORDS: usize = 20_000;
const ROUNDS: usize = 31;

fn main() {
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    let whole = format!(r#"{{"Records":[{}]}}"#, records.join(","));
    let megabytes = whole.len() as f64 / 1e6;
    println!(
        "{RECORDS} records, {megabytes:.1} MB of JSON, {} B each",
        whole.len() / RECORDS
    );

    let (mut encoder_times, mut library_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (library_time, bytes) = timed(|| gzip(whole.as_bytes()));
        let (encoder_time, encoded) = timed(|| encode(&records));
        assert_eq!(inflated(&encoded.bytes), inflated(&bytes), "the same JSON");
        library_times.push(library_time.as_secs_f64());
        encoder_times.push(encoder_time.as_secs_f64());
        // Of neighbours: the machine's own pace changes from one moment to another.
        ratios.push(library_time.as_secs_f64() / encoder_time.as_secs_f64());
    }
    println!(
        "gzip library alone   {:7.1} MB/s",
        megabytes / median(library_times)
    );
    println!(
        "log file encoder     {:7.1} MB/s",
        megabytes / median(encoder_times)
    );
    println!("ratio                {:7.3}", median(ratios));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn encode(records: &[String]) -> Encoded {
    let mut encoder = Encoder::new().unwrap();
    for record in records {
        encoder.push(record).unwrap();
    }
    encoder.finish().unwrap()
}

fn inflated(bytes: &[u8]) -> String {
    std::io::read_to_string(flate2::read::GzDecoder::new(bytes)).unwrap()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let (began, wall) = (on_cpu(), Instant::now());
    let made = work();
    let took = match (began, on_cpu()) {
        (Some(began), Some(ended)) => ended - began,
        _ => wall.elapsed(),
    };
    (took, made)
}

/// How long this thread has run, where Linux tells it: what else the machine does is left out.
fn on_cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = stat.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Records like those of a busy account: of a few services, their ids all different.
fn record(number: usize) -> String {
    let (source, name, parameters) = match number % 3 {
        0 => (
            "s3.amazonaws.com",
            "PutObject",
            json!({ "bucketName": "data", "key": format!("in/{number:08}.json"), "Host": "data.s3.amazonaws.com" }),
        ),
        1 => (
            "sts.amazonaws.com",
            "AssumeRole",
            json!({ "roleArn": "arn:aws:iam::111122223333:role/worker", "roleSessionName": format!("job-{number}"), "durationSeconds": 3600 }),
        ),
        _ => (
            "ec2.amazonaws.com",
            "DescribeInstances",
            json!({ "instancesSet": { "items": [{ "instanceId": format!("i-{number:017x}") }] }, "filterSet": {} }),
        ),
    };
    // Digits that repeat no sooner than the records end, as those of random ids do.
    let unique = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLEEXAMPLE123",
            "arn": "arn:aws:iam::111122223333:user/alice",
            "accountId": "111122223333",
            "accessKeyId": "AKIAEXAMPLEEXAMPLE12",
            "userName": "alice",
        },
        "eventTime": format!("2026-11-22T{:02}:{:02}:{:02}Z", number / 3600 % 24, number / 60 % 60, number % 60),
        "eventSource": source,
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": format!("192.0.2.{}", unique % 256),
        "userAgent": "aws-cli/2.15.0 Python/3.11.6 Linux/6.5.0 exe/x86_64.ubuntu.22 prompt/off",
        "requestParameters": parameters,
        "responseElements": null,
        "requestID": format!("{unique:016x}-{:016x}", unique.rotate_left(17)),
        "eventID": format!("{:016x}-{:016x}", unique.rotate_left(31), unique.rotate_left(47)),
        "readOnly": number % 3 == 2,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
        "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": "s3.amazonaws.com" },
    })
    .to_string()
}
