//! What making a record costs: from a call's bytes to the record's, through the functions that the recorder calls.
//!
//! ```text
//! cargo bench --bench record
//! ```
//!
//! `-- --counted` makes 100 records of each call and measures nothing, for a tool that counts instructions:
//! `valgrind --tool=callgrind --toggle-collect='*Seen::record*' target/release/deps/record-… --counted ec2`. Words after
//! that choose calls by their names.
//!
//! Prints the median time of each call, and how the least time grows when the call's list grows tenfold: about 10 where
//! the work is linear. (The least, because a long call is more often interrupted on a busy machine.) Times are of this
//! machine; nothing is asserted. Network and database are not part of it.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use localtrail::aws::route::Route;
use localtrail::aws::sigv4::{self, Signature};
use localtrail::aws::{body, params, route};
use localtrail::event::{Exchange, Outcome, Principal, build};
use mimalloc::MiMalloc;

/// The program's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ACCOUNT: &str = "111122223333";
const BODY_LIMIT: usize = 1 << 20;
const WARM_UP: usize = 50;
const ROUNDS: usize = 2_000;
/// Elements in the lists of the shorter and of the longer call.
const SHORT: usize = 50;
const LONG: usize = 500;

/// A call and its answer, as the door has seen them.
struct Seen {
    parts: Parts,
    signature: Signature,
    request: String,
    response_headers: HeaderMap,
    response: String,
}

impl Seen {
    fn new(
        head: &[(&str, &str)],
        uri: &str,
        service: &str,
        request: String,
        response: String,
    ) -> Self {
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEKEY000001/20261122/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let method = if service == "s3" { "PUT" } else { "POST" };
        let mut parts = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "localhost:4580")
            .header(
                "user-agent",
                "aws-cli/2.32.0 md/awscrt#0.28.4 ua/2.1 os/linux md/arch#x86_64 lang/python#3.13.9",
            )
            .header("authorization", credential)
            .header("x-amz-date", "20261122T150130Z");
        for (name, value) in head {
            parts = parts.header(*name, *value);
        }
        let (parts, ()) = parts.body(()).expect("a request").into_parts();
        let signature = sigv4::parse(&parts)
            .expect("a signature")
            .expect("a signature");
        Self {
            parts,
            signature,
            request,
            response_headers: HeaderMap::new(),
            response,
        }
    }

    /// The record, as it is stored. A function of its own for tools that look for it.
    #[inline(never)]
    fn record(&self, principal: &Principal, time: DateTime<Utc>) -> String {
        self.made(principal, time)
    }

    fn made(&self, principal: &Principal, time: DateTime<Utc>) -> String {
        let request =
            body::decode(&self.parts.headers, self.request.as_bytes(), BODY_LIMIT).expect("a body");
        let Route::Call(call) = route::find(&self.parts, Some(&self.signature), &request) else {
            panic!("no operation is known for this call")
        };
        let response = body::decode(&self.response_headers, self.response.as_bytes(), BODY_LIMIT)
            .expect("a body");
        let answer = build::answer(&call, StatusCode::OK, &self.response_headers, &response);
        let exchange = Exchange {
            call,
            parts: &self.parts,
            signature: Some(&self.signature),
            params: params::request(&call, &self.parts, &request).ok(),
            body: Some(&request),
            outcome: Outcome::Success(answer),
            response_headers: &self.response_headers,
            bytes_in: self.request.len() as u64,
            bytes_out: self.response.len() as u64,
            time,
            source_ip: [192, 0, 2, 10].into(),
            request_id: "5f1c4c3e-0000-4000-8000-000000000000".to_owned(),
            event_id: "5f1c4c3e-0000-4000-8000-000000000001".to_owned(),
            region: "us-east-1",
            account: ACCOUNT,
            tls: None,
        };
        serde_json::to_string(&build::build(exchange, principal, "1.11")).expect("a record")
    }
}

/// One text for each index, joined.
fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (1..=count).map(one).collect()
}

/// A call of JSON: SSM's GetParameters, of so many names.
fn json(count: usize) -> Seen {
    let names = each(count, |it| format!(r#""/app/p{it}","#));
    let found = each(count, |it| {
        format!(r#"{{"Name":"/app/p{it}","Type":"String","Value":"v","Version":1}},"#)
    });
    Seen::new(
        &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonSSM.GetParameters"),
        ],
        "/",
        "ssm",
        format!(r#"{{"Names":[{}]}}"#, names.trim_end_matches(',')),
        format!(r#"{{"Parameters":[{}]}}"#, found.trim_end_matches(',')),
    )
}

/// A call of the query protocol: IAM's CreateRole, with so many tags.
fn query(count: usize) -> Seen {
    let mut request = "Action=CreateRole&Version=2010-05-08&RoleName=app&AssumeRolePolicyDocument=%7B%22Version%22%3A%222012-10-17%22%7D".to_owned();
    for it in 1..=count {
        let _ = write!(
            request,
            "&Tags.member.{it}.Key=k{it}&Tags.member.{it}.Value=v{it}"
        );
    }
    let tags = each(count, |it| {
        format!("<member><Key>k{it}</Key><Value>v{it}</Value></member>")
    });
    let response = format!(
        "<CreateRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><CreateRoleResult><Role><Path>/</Path>\
         <RoleName>app</RoleName><RoleId>AROAEXAMPLEROLE000001</RoleId><Arn>arn:aws:iam::111122223333:role/app</Arn>\
         <CreateDate>2026-11-22T15:01:30Z</CreateDate><AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22%7D\
         </AssumeRolePolicyDocument><Tags>{tags}</Tags></Role></CreateRoleResult><ResponseMetadata>\
         <RequestId>r</RequestId></ResponseMetadata></CreateRoleResponse>"
    );
    Seen::new(
        &[("content-type", "application/x-www-form-urlencoded")],
        "/",
        "iam",
        request,
        response,
    )
}

/// S3's PutObject of so many KiB.
fn put_object(kib: usize) -> Seen {
    let headers = [
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-acl", "private"),
    ];
    let mut seen = Seen::new(
        &headers,
        "/logs/2026/11/22/app.log",
        "s3",
        "x".repeat(kib << 10),
        String::new(),
    );
    seen.response_headers.insert(
        "x-amz-server-side-encryption",
        http::HeaderValue::from_static("AES256"),
    );
    seen
}

/// S3's PutBucketTagging, whose XML is written down, with so many tags.
fn put_tagging(count: usize) -> Seen {
    let tags = each(count, |it| {
        format!("<Tag><Key>k{it}</Key><Value>v{it}</Value></Tag>")
    });
    let request = format!(
        "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>{tags}</TagSet></Tagging>"
    );
    Seen::new(&[], "/logs?tagging", "s3", request, String::new())
}

/// EC2's RunInstances of so many instances, each with its tag.
fn run_instances(count: usize) -> Seen {
    let mut request = format!(
        "Action=RunInstances&Version=2016-11-15&ImageId=ami-0123456789abcdef0&InstanceType=t3.micro&KeyName=k&MinCount=1\
         &MaxCount={count}&SubnetId=subnet-0123456789abcdef0&SecurityGroupId.1=sg-0123456789abcdef0&EbsOptimized=false\
         &IamInstanceProfile.Name=app&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda&BlockDeviceMapping.1.Ebs.VolumeSize=8\
         &TagSpecification.1.ResourceType=instance&ClientToken=c"
    );
    for it in 1..=count {
        let _ = write!(
            request,
            "&TagSpecification.1.Tag.{it}.Key=k{it}&TagSpecification.1.Tag.{it}.Value=v{it}"
        );
    }
    let instances = each(count, |it| {
        format!(
            "<item><instanceId>i-{it:017x}</instanceId><imageId>ami-0123456789abcdef0</imageId><instanceState><code>0</code>\
             <name>pending</name></instanceState><privateDnsName>ip-192-0-2-1.ec2.internal</privateDnsName><dnsName/><reason/>\
             <keyName>k</keyName><amiLaunchIndex>{it}</amiLaunchIndex><productCodes/><instanceType>t3.micro</instanceType>\
             <launchTime>2026-11-22T15:01:30.000Z</launchTime><placement><availabilityZone>us-east-1a</availabilityZone>\
             <groupName/><tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring>\
             <subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId>\
             <privateIpAddress>192.0.2.1</privateIpAddress><sourceDestCheck>true</sourceDestCheck><groupSet><item>\
             <groupId>sg-0123456789abcdef0</groupId><groupName>default</groupName></item></groupSet>\
             <architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>\
             <blockDeviceMapping/><virtualizationType>hvm</virtualizationType><tagSet><item><key>k</key><value>v</value></item>\
             </tagSet><hypervisor>xen</hypervisor><networkInterfaceSet/><ebsOptimized>false</ebsOptimized></item>"
        )
    });
    let response = format!(
        "<RunInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\
         <reservationId>r-0123456789abcdef0</reservationId><ownerId>111122223333</ownerId><groupSet/>\
         <instancesSet>{instances}</instancesSet></RunInstancesResponse>"
    );
    Seen::new(
        &[("content-type", "application/x-www-form-urlencoded")],
        "/",
        "ec2",
        request,
        response,
    )
}

/// Least and median time of making a call's record.
fn times(seen: &Seen, rounds: usize) -> (f64, f64) {
    let principal = Principal::root(ACCOUNT, "aws");
    let time = DateTime::from_timestamp(1_795_359_690, 0).expect("a time");
    // Decodes the service's model, which is not to be measured.
    black_box(seen.made(&principal, time));
    let mut times: Vec<Duration> = (0..WARM_UP + rounds)
        .map(|_| {
            let began = Instant::now();
            black_box(black_box(seen).record(&principal, time));
            began.elapsed()
        })
        .skip(WARM_UP)
        .collect();
    times.sort_unstable();
    (micros(times[0]), micros(times[times.len() / 2]))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn main() {
    type Make = fn(usize) -> Seen;
    let calls: [(&str, Make); 5] = [
        ("ssm GetParameters (json)", json),
        ("iam CreateRole (query)", query),
        ("s3 PutObject (rest-xml)", put_object),
        ("s3 PutBucketTagging (rest-xml)", put_tagging),
        ("ec2 RunInstances (ec2)", run_instances),
    ];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| {
        let mut wanted = words.iter().filter(|word| !word.starts_with("--"));
        let first = wanted.next();
        first.is_none_or(|first| {
            name.contains(first.as_str()) || wanted.any(|it| name.contains(it.as_str()))
        })
    };
    let calls = calls.into_iter().filter(|(name, _)| is_chosen(name));
    if words.iter().any(|word| word == "--counted") {
        for (_, make) in calls {
            times(&make(1), 100 - WARM_UP);
        }
        return;
    }
    println!("call                             one, p50   {SHORT}, least  {LONG}, least  ratio");
    for (name, make) in calls {
        let (_, one) = times(&make(1), ROUNDS);
        let (short, _) = times(&make(SHORT), ROUNDS / 10);
        let (long, _) = times(&make(LONG), ROUNDS / 10);
        let ratio = long / short;
        println!("{name:<32} {one:>6.1} µs {short:>8.1} µs {long:>8.1} µs {ratio:>6.1}");
    }
}
