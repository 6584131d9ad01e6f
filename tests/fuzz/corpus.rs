//! The checked-in corpus, and what is made of it: flipped, cut, doubled and spliced bytes.
//!
//! A request of the corpus is a file as HTTP/1.1 has it, but with plain ends of line in its head.

use std::path::Path;

use http::Request;
use http::request::Parts;

use crate::dice::Dice;

/// What is put into the bytes, besides bytes of their own.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\xc1\x80",
    b"\r\n",
    b"\n",
    b"%",
    b"%ff",
    b"%2e%2e%2f",
    b"+",
    b"/",
    b"&",
    b"=",
    b".",
    b";",
    b":",
    b",",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"<",
    b">",
    b"<!DOCTYPE a>",
    b"]]>",
    b"&#x0;",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"1e400",
    b"null",
    b"ffffffffffffffff\r\n",
    b"*",
    b"?",
    b"${",
    b"\x9f",
    b"\xbf",
    b"\xfb",
];

/// All files of a subject's folder.
#[derive(Debug)]
pub(crate) struct Corpus(Vec<Vec<u8>>);

impl Corpus {
    pub(crate) fn read(subject: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(subject);
        let mut paths: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "{}", folder.display());
        Self(
            paths
                .iter()
                .map(|path| std::fs::read(path).unwrap())
                .collect(),
        )
    }

    pub(crate) fn requests() -> &'static Self {
        static REQUESTS: std::sync::LazyLock<Corpus> =
            std::sync::LazyLock::new(|| Corpus::read("requests"));
        &REQUESTS
    }

    pub(crate) fn all(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// One of the files, changed in a few places.
    pub(crate) fn mutated(&self, dice: &mut Dice<'_>) -> Vec<u8> {
        let (one, other) = (dice.pick(&self.0), dice.pick(&self.0));
        mutate(dice, one, other)
    }
}

/// `bytes`, changed in a few places; some of what comes in is from `other`.
pub(crate) fn mutate(dice: &mut Dice<'_>, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(32)).min(bytes.len());
        match dice.below(7) {
            0 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << dice.below(8)),
            1 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte = dice.byte()),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let doubled = bytes[at..end].repeat(1 + dice.below(20));
                bytes.splice(at..at, doubled);
            }
            5 => {
                let from = dice.below(other.len() + 1);
                let spliced = other[from..(from + dice.below(64)).min(other.len())].to_vec();
                bytes.splice(at..end, spliced);
            }
            _ => drop(bytes.splice(at..at, dice.pick(PIECES).iter().copied())),
        }
    }
    bytes
}

/// A request as it stands in a file of the corpus.
pub(crate) fn written(request: &Request<Vec<u8>>) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(request.body());
    text
}

/// Head and body of a request; `None` where the head is none.
pub(crate) fn parse(request: &[u8]) -> Option<(Parts, Vec<u8>)> {
    let end = request.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (&request[..end], &request[end + 2..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, uri) = (words.next()?, words.next()?);
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        request = request.header(name, value[1..].trim_ascii());
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some((parts, body.to_vec()))
}

#[test]
fn every_request_of_the_corpus_is_one() {
    for request in Corpus::requests().all() {
        assert!(
            parse(request).is_some(),
            "{}",
            String::from_utf8_lossy(request)
        );
    }
}
