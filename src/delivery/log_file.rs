//! A log file: which events go into one, what it is called, what its bytes are. Pure.

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, Utc};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use crate::keys::hex;
use crate::store::{Candidate, CutFile, LogFile, Partition, Slot};

/// Most JSON in one file, before compression (facts 4.2).
pub const MAX_BYTES: usize = 50_000_000;

/// JSON that is hashed and gzipped at a time.
const BLOCK_BYTES: usize = 128 << 10;

/// Where the log files of a trail go.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    pub trail_id: i64,
    pub bucket: &'a str,
    pub prefix: Option<&'a str>,
    /// Id of the organization, if the trail is one's.
    pub organization: Option<&'a str>,
}

/// Puts events into files, in order: one for each account and region, and another where one would grow past
/// `max_bytes` of JSON. Riders, records of own deliveries, go along where there is a file with room for them; they
/// make none. `unique` draws the last part of a file's name. Holds no event: a slot may have millions.
#[derive(Debug)]
pub struct Partitioner<'a, U> {
    to: Destination<'a>,
    slot: Slot,
    max_bytes: usize,
    unique: U,
    full: Vec<CutFile>,
    /// By account and region, with the size of its JSON.
    open: BTreeMap<(String, String), (usize, CutFile)>,
}

impl<'a, U: FnMut() -> String> Partitioner<'a, U> {
    pub fn new(to: Destination<'a>, slot: Slot, max_bytes: usize, unique: U) -> Self {
        Self {
            to,
            slot,
            max_bytes,
            unique,
            full: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// The open file of `place`, if `event` fits into it, which it then counts.
    fn admit(&mut self, place: &(String, String), event: &Candidate) -> Option<&mut CutFile> {
        // A record and the comma or bracket behind it.
        let bytes = event.bytes + 1;
        let (size, cut) = self.open.get_mut(place)?;
        if *size + bytes > self.max_bytes {
            return None;
        }
        *size += bytes;
        cut.file.events += 1;
        cut.file.oldest_ms = cut.file.oldest_ms.min(event.time_ms);
        cut.file.newest_ms = cut.file.newest_ms.max(event.time_ms);
        Some(cut)
    }
}

impl<U: FnMut() -> String + Send> Partition for Partitioner<'_, U> {
    fn event(&mut self, mut event: Candidate) {
        let account = std::mem::take(&mut event.account);
        let place = (account, std::mem::take(&mut event.region));
        if let Some(cut) = self.admit(&place, &event) {
            cut.file.last_event = event.id;
            return;
        }
        let (to, slot) = (self.to, self.slot);
        let (account, region) = place.clone();
        let file = LogFile {
            id: 0,
            trail_id: to.trail_id,
            key: key(to, &account, &region, slot.end_ms, &(self.unique)()),
            account,
            region,
            bucket: to.bucket.to_owned(),
            first_event: event.id,
            last_event: event.id,
            oldest_ms: event.time_ms,
            newest_ms: event.time_ms,
            slot_start_ms: slot.start_ms,
            slot_end_ms: slot.end_ms,
            events: 1,
        };
        let size = r#"{"Records":[]}"#.len() + event.bytes + 1;
        let cut = CutFile {
            file,
            riders: Vec::new(),
        };
        let before = self.open.insert(place, (size, cut));
        self.full.extend(before.map(|(_, full)| full));
    }

    fn rider(&mut self, mut rider: Candidate) {
        let account = std::mem::take(&mut rider.account);
        let place = (account, std::mem::take(&mut rider.region));
        if let Some(cut) = self.admit(&place, &rider) {
            cut.riders.push(rider.id);
        }
    }

    fn files(self) -> Vec<CutFile> {
        let open = self.open.into_values().map(|(_, file)| file);
        self.full.into_iter().chain(open).collect()
    }
}

/// Key of a log file (facts 4.1): `[prefix/]AWSLogs/[organization/]<account>/CloudTrail/<region>/YYYY/MM/DD/<name>`,
/// dated by the end of its slot, which lies behind every event in it.
fn key(to: Destination<'_>, account: &str, region: &str, slot_end_ms: i64, unique: &str) -> String {
    let end: DateTime<Utc> = DateTime::from_timestamp_millis(slot_end_ms).unwrap_or_default();
    let folder = |name: Option<&str>| name.map(|name| format!("{name}/")).unwrap_or_default();
    let (prefix, organization) = (folder(to.prefix), folder(to.organization));
    let (day, minute) = (end.format("%Y/%m/%d"), end.format("%Y%m%dT%H%MZ"));
    format!(
        "{prefix}AWSLogs/{organization}{account}/CloudTrail/{region}/{day}/{account}_CloudTrail_{region}_{minute}_{unique}.json.gz"
    )
}

/// Writes a log file's bytes, record by record: `{"Records":[…]}`, gzipped, the same bytes for the same records.
/// Hashes them on the way, before they are gzipped, as a digest will tell it.
#[derive(Debug)]
pub struct Encoder {
    gzip: GzEncoder<Vec<u8>>,
    sha256: Sha256,
    /// JSON that is neither hashed nor gzipped yet: handing records on one by one costs a third of the throughput.
    pending: Vec<u8>,
    empty: bool,
}

/// A log file, ready to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Gzipped.
    pub bytes: Vec<u8>,
    /// Hex SHA-256 of the JSON.
    pub sha256: String,
}

impl Encoder {
    pub fn new() -> std::io::Result<Self> {
        let gzip = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::default());
        Ok(Self {
            gzip,
            sha256: Sha256::new(),
            pending: br#"{"Records":["#.to_vec(),
            empty: true,
        })
    }

    /// Adds a record, which is compact JSON already.
    pub fn push(&mut self, record: &str) -> std::io::Result<()> {
        if !std::mem::take(&mut self.empty) {
            self.pending.push(b',');
        }
        self.pending.extend_from_slice(record.as_bytes());
        if self.pending.len() >= BLOCK_BYTES {
            self.hand_on()?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> std::io::Result<Encoded> {
        self.pending.extend_from_slice(b"]}");
        self.hand_on()?;
        Ok(Encoded {
            bytes: self.gzip.finish()?,
            sha256: hex(&self.sha256.finalize()),
        })
    }

    fn hand_on(&mut self) -> std::io::Result<()> {
        self.sha256.update(&self.pending);
        self.gzip.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const SLOT: Slot = Slot {
        start_ms: 1_795_359_600_000,
        end_ms: 1_795_359_900_000,
    };

    fn event(id: i64, region: &str, bytes: usize) -> Candidate {
        Candidate {
            id,
            account: "111122223333".to_owned(),
            region: region.to_owned(),
            time_ms: 1_000 - id,
            bytes,
        }
    }

    fn cut(events: &[Candidate], max_bytes: usize) -> Vec<(String, i64, i64, i64)> {
        let files = cut_with(events, &[], max_bytes).into_iter();
        files
            .map(|CutFile { file, .. }| {
                (file.region, file.first_event, file.last_event, file.events)
            })
            .collect()
    }

    fn cut_with(events: &[Candidate], riders: &[Candidate], max_bytes: usize) -> Vec<CutFile> {
        let to = Destination {
            trail_id: 3,
            bucket: "logs",
            prefix: Some("team/a"),
            organization: None,
        };
        let mut drawn = 0;
        let unique = || {
            drawn += 1;
            format!("{drawn:016}")
        };
        let mut files = Partitioner::new(to, SLOT, max_bytes, unique);
        for event in events {
            files.event(event.clone());
        }
        for rider in riders {
            files.rider(rider.clone());
        }
        files.files()
    }

    #[test]
    fn riders_go_along_but_make_no_file() {
        let events = [event(11, "us-east-1", 40), event(12, "us-east-1", 40)];
        let riders = [
            event(3, "us-east-1", 40),
            event(4, "eu-west-1", 40),
            event(13, "us-east-1", 40),
            event(14, "us-east-1", 40),
        ];
        let files = cut_with(&events, &riders, 180);
        let [CutFile { file, riders }] = files.as_slice() else {
            panic!("{files:?}")
        };
        // The one of another region waits, and so does the one that there is no room for.
        assert_eq!(riders, &[3, 13]);
        assert_eq!(
            (file.first_event, file.last_event, file.events),
            (11, 12, 4)
        );
        assert!(cut_with(&[], &[event(3, "us-east-1", 40)], 180).is_empty());
    }

    #[test]
    fn a_file_never_mixes_regions() {
        let events = [
            event(1, "us-east-1", 10),
            event(2, "eu-west-1", 10),
            event(5, "us-east-1", 10),
        ];
        let files = cut(&events, 1_000);
        assert_eq!(
            files,
            [
                ("eu-west-1".to_owned(), 2, 2, 1),
                ("us-east-1".to_owned(), 1, 5, 2)
            ]
        );
    }

    #[test]
    fn a_file_that_grows_too_large_is_split() {
        let events: Vec<_> = (1..=5).map(|id| event(id, "us-east-1", 40)).collect();
        let files = cut(&events, 100);
        assert_eq!(
            files.iter().map(|file| file.3).collect::<Vec<_>>(),
            [2, 2, 1]
        );
        // One event that is larger than a file still gets one.
        assert_eq!(cut(&[event(1, "us-east-1", 500)], 100).len(), 1);
    }

    #[test]
    fn a_file_knows_the_range_of_its_events() {
        let events: Vec<_> = (1..=5).map(|id| event(id, "us-east-1", 40)).collect();
        let files = cut_with(&events, &[event(9, "us-east-1", 40)], 1_000);
        let file = &files[0].file;
        assert_eq!((file.oldest_ms, file.newest_ms), (991, 999));
    }

    #[test]
    fn no_events_make_no_file() {
        assert!(cut(&[], 100).is_empty());
    }

    #[test]
    fn keys_are_as_aws_writes_them() {
        let name = "111122223333_CloudTrail_us-east-1_20261122T1505Z_7xgocspSowgK0Gto.json.gz";
        for (prefix, organization, folder) in [
            (None, None, "AWSLogs/"),
            (Some("team/a"), None, "team/a/AWSLogs/"),
            (
                Some("team"),
                Some("o-exampleorgid"),
                "team/AWSLogs/o-exampleorgid/",
            ),
        ] {
            let to = Destination {
                trail_id: 3,
                bucket: "logs",
                prefix,
                organization,
            };
            assert_eq!(
                key(
                    to,
                    "111122223333",
                    "us-east-1",
                    SLOT.end_ms,
                    "7xgocspSowgK0Gto"
                ),
                format!("{folder}111122223333/CloudTrail/us-east-1/2026/11/22/{name}"),
            );
        }
    }

    #[test]
    fn bytes_are_gzipped_compact_json() {
        let mut encoder = Encoder::new().unwrap();
        encoder.push(r#"{"eventID":"a"}"#).unwrap();
        encoder.push(r#"{"eventID":"b"}"#).unwrap();
        let encoded = encoder.finish().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(encoded.bytes.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(encoded.sha256, hex(&Sha256::digest(&text)));
        assert_eq!(text, r#"{"Records":[{"eventID":"a"},{"eventID":"b"}]}"#);
    }
}
