//! What is delivered: digests say what they were made of, and log files hold the records that were put into them.

use chrono::DateTime;
use flate2::read::GzDecoder;
use localtrail::delivery::digest::{self, Subject};
use localtrail::delivery::log_file::Encoder;
use localtrail::store::{DigestedFile, Link};
use proptest::prelude::proptest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::dice::{Dice, Place};
use crate::{config, entropy};

/// A time, most likely one of this century.
fn time_ms(dice: &mut Dice<'_>) -> i64 {
    match dice.once_in(8) {
        true => *dice.pick(&[0, -1, i64::MAX, i64::MIN, 253_402_300_800_000]),
        false => i64::from(dice.number()) * 1_000 + i64::from(dice.byte()),
    }
}

fn text(dice: &mut Dice<'_>) -> String {
    dice.text(Place::Anywhere)
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn a_digest_says_what_it_was_made_of(bytes in entropy(400)) {
        let mut dice = Dice::new(&bytes);
        let files: Vec<DigestedFile> = (0..dice.below(4))
            .map(|id| DigestedFile {
                id: i64::try_from(id).unwrap(),
                account: "111122223333".to_owned(),
                region: "us-east-1".to_owned(),
                bucket: text(&mut dice),
                key: text(&mut dice),
                sha256: text(&mut dice),
                oldest_ms: time_ms(&mut dice),
                newest_ms: time_ms(&mut dice),
                delivered_ms: 0,
            })
            .collect();
        let previous = dice.once_in(2).then(|| Link {
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            run_id: 1,
            bucket: text(&mut dice),
            key: text(&mut dice),
            sha256: text(&mut dice),
            signature: "5088".to_owned(),
            end_ms: 0,
        });
        let (name, bucket, prefix) = (text(&mut dice), dice.word(Place::Header), text(&mut dice));
        let subject = Subject {
            account: "111122223333",
            organization: dice.once_in(2).then_some("o-exampleorgid"),
            trail_name: &name,
            home_region: "eu-west-1",
            region: "us-east-1",
            bucket: &bucket,
            prefix: dice.once_in(2).then_some(&prefix),
            is_backfill: dice.once_in(2),
            start_ms: time_ms(&mut dice),
            end_ms: time_ms(&mut dice),
        };
        let named: Vec<&DigestedFile> = files.iter().collect();
        let draft = digest::draft(subject, &named, previous.as_ref(), "fingerprint").unwrap();
        let body: Value = serde_json::from_str(&draft.body).unwrap();
        assert_eq!(body["digestS3Object"], draft.key);
        assert_eq!(body["digestS3Bucket"], bucket);
        assert_eq!(body["previousDigestS3Object"].as_str(), previous.as_ref().map(|link| link.key.as_str()));
        let listed = body["logFiles"].as_array().unwrap();
        let told: Vec<_> = listed.iter().map(|file| (&file["s3Object"], &file["hashValue"])).collect();
        assert_eq!(told.len(), files.len());
        assert!(told.iter().zip(&files).all(|((key, hash), file)| **key == *file.key && **hash == *file.sha256));

        // What is signed is four things, which are taken apart again from both ends.
        let hash = localtrail::aws::verify::hex(&Sha256::digest(&draft.body));
        let signature = previous.map_or_else(|| "null".to_owned(), |link| link.signature);
        let rest = draft.string_to_sign.strip_suffix(&format!("\n{hash}\n{signature}")).unwrap();
        let (end, path) = rest.split_once('\n').unwrap();
        assert_eq!(path, format!("{bucket}/{}", draft.key));
        assert_eq!(end, body["digestEndTime"]);
        assert!(DateTime::parse_from_rfc3339(end).is_ok() || time_is_far(subject.end_ms), "{end}");
    }

    #[test]
    fn a_log_file_holds_its_records(bytes in entropy(400)) {
        let mut dice = Dice::new(&bytes);
        let records: Vec<Value> = (0..dice.below(6)).map(|_| Value::from(text(&mut dice))).collect();
        let mut encoder = Encoder::new().unwrap();
        for record in &records {
            encoder.push(&record.to_string()).unwrap();
        }
        let file = encoder.finish().unwrap();
        let json = std::io::read_to_string(GzDecoder::new(&*file.bytes)).unwrap();
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["Records"], Value::from(records));
        assert_eq!(file.sha256, localtrail::aws::verify::hex(&Sha256::digest(&json)));
    }
}

/// Beyond the years that RFC 3339 has.
fn time_is_far(ms: i64) -> bool {
    !(-62_167_219_200_000..253_402_300_800_000).contains(&ms)
}
