//! aws-chunked framing: what was framed comes out, however it arrives, and nothing else does harm.

use localtrail::aws::body::{self, ChunkDecoder, Part};
use proptest::prelude::proptest;

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::{config, entropy};

/// Content, trailers, and both framed.
struct Framed {
    content: Vec<u8>,
    trailers: Vec<(String, String)>,
    bytes: Vec<u8>,
}

fn framed(dice: &mut Dice<'_>) -> Framed {
    let mut framed = Framed {
        content: Vec::new(),
        trailers: Vec::new(),
        bytes: Vec::new(),
    };
    let signature = match dice.once_in(2) {
        true => ";chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        false => "",
    };
    for _ in 0..dice.below(5) {
        let chunk = dice.bytes(80);
        if chunk.is_empty() {
            continue;
        }
        // Hexadecimal digits come in both cases, and with zeros before them.
        let size = match dice.below(3) {
            0 => format!("{:x}", chunk.len()),
            1 => format!("{:X}", chunk.len()),
            _ => format!("{:08x}", chunk.len()),
        };
        framed
            .bytes
            .extend_from_slice(format!("{size}{signature}\r\n").as_bytes());
        framed.bytes.extend_from_slice(&chunk);
        framed.bytes.extend_from_slice(b"\r\n");
        framed.content.extend_from_slice(&chunk);
    }
    framed
        .bytes
        .extend_from_slice(format!("0{signature}\r\n").as_bytes());
    for at in 0..dice.below(4) {
        let (name, value) = (format!("x-amz-checksum-{at}"), dice.word(Place::Header));
        framed
            .bytes
            .extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        framed.trailers.push((name, value));
    }
    framed.bytes.extend_from_slice(b"\r\n");
    framed
}

/// Bytes in pieces of any length.
fn pieces<'a>(dice: &mut Dice<'_>, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(1 + dice.below(40)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn what_was_framed_comes_out(bytes in entropy(600)) {
        let mut dice = Dice::new(&bytes);
        let framed = framed(&mut dice);
        let mut decoder = ChunkDecoder::default();
        let mut content = Vec::new();
        for piece in pieces(&mut dice, &framed.bytes) {
            assert!(!decoder.is_complete(), "complete before the end");
            content.extend(decoder.push(piece).unwrap());
        }
        assert!(decoder.is_complete());
        assert_eq!(content, framed.content);
        assert_eq!(decoder.trailers(), framed.trailers);
    }

    #[test]
    fn a_body_cut_short_is_never_complete(bytes in entropy(600)) {
        let mut dice = Dice::new(&bytes);
        let framed = framed(&mut dice);
        let length = dice.below(framed.bytes.len());
        let mut decoder = ChunkDecoder::default();
        let content = decoder.push(&framed.bytes[..length]).unwrap();
        assert!(!decoder.is_complete());
        assert!(framed.content.starts_with(&content));
    }

    #[test]
    fn changed_framing_is_refused_or_read_the_same_in_any_pieces(bytes in entropy(600)) {
        let mut dice = Dice::new(&bytes);
        let one = framed(&mut dice).bytes;
        let changed = corpus::mutate(&mut dice, &one, &one);
        let mut at_once = ChunkDecoder::default();
        let whole = at_once.push(&changed);
        let mut decoder = ChunkDecoder::default();
        let mut content = Vec::new();
        let mut parts_in_all = 0;
        let read = pieces(&mut dice, &changed).into_iter().try_for_each(|piece| {
            decoder.read(piece, |part| {
                parts_in_all += 1;
                if let Part::Data(data) = part {
                    content.extend_from_slice(data);
                }
            })
        });
        assert_eq!(read.is_ok(), whole.is_ok());
        if let Ok(whole) = whole {
            assert_eq!(content, whole);
            assert_eq!(decoder.is_complete(), at_once.is_complete());
            assert_eq!(decoder.trailers(), at_once.trailers());
        }
        assert!(content.len() <= changed.len());
        assert!(parts_in_all <= 2 * changed.len() + 2);
    }

    #[test]
    fn nothing_is_unpacked_beyond_the_limit(bytes in entropy(600)) {
        let mut dice = Dice::new(&bytes);
        let request = Corpus::requests().mutated(&mut dice);
        let limit = dice.below(64);
        if let Some((mut parts, body)) = corpus::parse(&request) {
            let encoding = *dice.pick(&["gzip", "aws-chunked", "aws-chunked,gzip", "x-gzip", "br"]);
            parts.headers.insert("content-encoding", encoding.parse().unwrap());
            let content = body::decode(&parts.headers, &body, limit);
            assert!(content.is_none_or(|content| content.len() <= limit));
        }
    }
}
