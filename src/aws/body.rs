//! What stands between a body's bytes and its content: `aws-chunked` framing and gzip.
//!
//! The signatures of chunks and trailers are shown, not checked: that is [`super::verify`]'s. Nothing here grows beyond a limit: neither what is
//! unpacked nor a line of the framing.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Bytes of a chunk's head or of a trailer. The longest known, a trailer with its signature, has some 100.
const MAX_LINE_BYTES: usize = 8 * 1024;
const MAX_TRAILERS: usize = 32;

/// Bytes of the content: aws-chunked framing removed, then gzip undone, to at most `limit` bytes.
/// `None`: broken, or longer than `limit`.
pub fn decode<'a>(headers: &HeaderMap, body: &'a [u8], limit: usize) -> Option<Cow<'a, [u8]>> {
    let mut content = Cow::Borrowed(body);
    if is_aws_chunked(headers) {
        let mut decoder = ChunkDecoder::default();
        let unframed = decoder.push(body).ok()?;
        if !decoder.is_complete() {
            return None;
        }
        content = Cow::Owned(unframed.into());
    }
    let is_zipped = encodings(headers).any(|encoding| encoding == "gzip" || encoding == "x-gzip");
    // The answer to a HEAD names the encoding of a body that does not come.
    if is_zipped && !content.is_empty() {
        let one_too_many = u64::try_from(limit).ok()?.checked_add(1)?;
        let mut unpacked = Vec::new();
        let mut decoder = MultiGzDecoder::new(&*content).take(one_too_many);
        decoder.read_to_end(&mut unpacked).ok()?;
        content = Cow::Owned(unpacked);
    }
    (content.len() <= limit).then_some(content)
}

/// Whether the body is framed as `aws-chunked`.
pub fn is_aws_chunked(headers: &HeaderMap) -> bool {
    let hash = headers.get("x-amz-content-sha256");
    let hash = hash.map_or(&b""[..], |value| value.as_bytes());
    // Not every client names the encoding. Event streams are signed in frames of their own.
    let is_streaming = hash.starts_with(b"STREAMING-") && !hash.ends_with(b"-EVENTS");
    is_streaming || encodings(headers).any(|encoding| encoding == "aws-chunked")
}

/// Members of `Content-Encoding`, in lower case.
fn encodings(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let members = lines.flat_map(|line| line.split(','));
    members.map(|member| member.trim().to_ascii_lowercase())
}

/// Removes aws-chunked framing from a body that arrives piece by piece.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    state: State,
    /// The line that has begun in an earlier piece.
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
}

/// One thing in a framed body.
#[derive(Debug)]
pub enum Part<'a> {
    /// The line before a chunk: `10000;chunk-signature=…`.
    Head(&'a [u8]),
    /// Bytes of a chunk.
    Data(&'a [u8]),
    /// A chunk is over; the last, empty one too.
    ChunkEnd,
    /// The body is over; the trailers are those of [`ChunkDecoder::trailers`].
    End(&'a [(String, String)]),
}

#[derive(Debug, Default)]
enum State {
    /// Before `10000;chunk-signature=…`.
    #[default]
    Head,
    /// In a chunk of which so many bytes are to come.
    Data(u64),
    /// Before the end of line that follows a chunk.
    DataEnd,
    Trailers,
    Complete,
}

impl ChunkDecoder {
    /// Content bytes of the next piece, in order.
    pub fn push(&mut self, piece: &[u8]) -> Result<Bytes, ChunkError> {
        let mut content = Vec::new();
        self.read(piece, |part| {
            if let Part::Data(data) = part {
                content.extend_from_slice(data);
            }
        })?;
        Ok(content.into())
    }

    /// Shows each part of the next piece, in order.
    pub fn read(
        &mut self,
        mut piece: &[u8],
        mut show: impl FnMut(Part<'_>),
    ) -> Result<(), ChunkError> {
        while !piece.is_empty() {
            match self.state {
                State::Data(left) => {
                    let length = usize::try_from(left).map_or(piece.len(), |l| l.min(piece.len()));
                    let (data, rest) = piece.split_at(length);
                    show(Part::Data(data));
                    piece = rest;
                    let left = left - data.len() as u64;
                    self.state = match left {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    };
                    if left == 0 {
                        show(Part::ChunkEnd);
                    }
                }
                State::Complete => {
                    if piece.iter().any(|byte| !byte.is_ascii_whitespace()) {
                        return Err(ChunkError("something follows the last chunk"));
                    }
                    break;
                }
                State::Head | State::DataEnd | State::Trailers => {
                    let Some(line) = self.take_line(&mut piece)? else {
                        break;
                    };
                    self.line_ended(&line, &mut show)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the final chunk and its trailers have been seen; a body that ends before is cut short.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Trailers seen after the last chunk: `x-amz-checksum-crc32`.
    pub fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// A line without its end, if it ends in this piece.
    fn take_line(&mut self, piece: &mut &[u8]) -> Result<Option<Vec<u8>>, ChunkError> {
        let end = piece.iter().position(|&byte| byte == b'\n');
        let (now, rest) = piece.split_at(end.map_or(piece.len(), |end| end + 1));
        *piece = rest;
        if self.line.len() + now.len() > MAX_LINE_BYTES {
            return Err(ChunkError("a line is too long"));
        }
        self.line.extend_from_slice(now);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        while line
            .last()
            .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
        {
            line.pop();
        }
        Ok(Some(line))
    }

    fn line_ended(
        &mut self,
        line: &[u8],
        show: &mut impl FnMut(Part<'_>),
    ) -> Result<(), ChunkError> {
        match self.state {
            State::Head => {
                let size = chunk_size(line)?;
                show(Part::Head(line));
                self.state = match size {
                    0 => State::Trailers,
                    size => State::Data(size),
                };
                if size == 0 {
                    show(Part::ChunkEnd);
                }
            }
            State::DataEnd if line.is_empty() => self.state = State::Head,
            State::DataEnd => return Err(ChunkError("a chunk is longer than its head says")),
            State::Trailers if line.is_empty() => {
                self.state = State::Complete;
                show(Part::End(&self.trailers));
            }
            State::Trailers => {
                let line = String::from_utf8_lossy(line);
                let (name, value) = line
                    .split_once(':')
                    .ok_or(ChunkError("a trailer has no colon"))?;
                if self.trailers.len() == MAX_TRAILERS {
                    return Err(ChunkError("there are too many trailers"));
                }
                let name = name.trim().to_ascii_lowercase();
                self.trailers.push((name, value.trim().to_owned()));
            }
            State::Data(_) | State::Complete => {}
        }
        Ok(())
    }
}

/// The size in a chunk's head, before the first semicolon.
fn chunk_size(line: &[u8]) -> Result<u64, ChunkError> {
    let broken = ChunkError("a chunk's size is no hexadecimal number");
    let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let Ok(size) = std::str::from_utf8(size) else {
        return Err(broken);
    };
    let size = size.trim();
    // `from_str_radix` takes a sign.
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(broken);
    }
    u64::from_str_radix(size, 16).map_err(|_| broken)
}

#[derive(Debug, thiserror::Error)]
#[error("broken aws-chunked framing: {0}")]
pub struct ChunkError(pub &'static str);

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderMap;

    use super::{ChunkDecoder, decode, is_aws_chunked};

    const SIGNED: &[u8] = b"5;chunk-signature=ad80\r\nhello\r\n6;chunk-signature=00\r\n world\r\n\
        0;chunk-signature=b6c6\r\n\r\n";
    const TRAILED: &[u8] = b"B\r\nhello\r\nworl\r\n0\r\nx-amz-checksum-crc32:i9aeUg==\r\n\
        X-Amz-Trailer-Signature:63bd\r\n\r\n";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn framing_is_removed_however_the_body_is_cut() {
        for (framed, content) in [
            (SIGNED, &b"hello world"[..]),
            (TRAILED, b"hello\r\nworl"),
            (b"0\r\n\r\n", b""),
        ] {
            for at in 0..=framed.len() {
                let mut decoder = ChunkDecoder::default();
                let mut seen = decoder.push(&framed[..at]).unwrap().to_vec();
                assert_eq!(decoder.is_complete(), at == framed.len());
                seen.extend(decoder.push(&framed[at..]).unwrap());
                assert_eq!(seen, content, "cut at {at}");
                assert!(decoder.is_complete());
            }
            let mut decoder = ChunkDecoder::default();
            let bytes = framed.iter().map(|byte| decoder.push(&[*byte]).unwrap());
            let seen: Vec<u8> = bytes.flatten().collect();
            assert_eq!(seen, content);
        }
    }

    #[test]
    fn trailers_are_kept() {
        let mut decoder = ChunkDecoder::default();
        decoder.push(TRAILED).unwrap();
        let trailers = decoder.trailers();
        let named: Vec<_> = trailers.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            named,
            [
                ("x-amz-checksum-crc32", "i9aeUg=="),
                ("x-amz-trailer-signature", "63bd")
            ]
        );
    }

    #[test]
    fn broken_framing_is_refused() {
        let long = [b"1;".as_slice(), &[b'x'; 10_000]].concat();
        let many = [b"0\r\n".as_slice(), &b"a:b\r\n".repeat(33)].concat();
        let cases: &[&[u8]] = &[
            b"x\r\n",
            b"\r\n",
            b"-1\r\n",
            b"+5\r\n",
            b"ffffffffffffffffff\r\n",
            b"2\r\nabc\r\n",
            b"0\r\nno colon\r\n",
            b"0\r\n\r\nmore",
            &long,
            &many,
        ];
        for case in cases {
            let result = ChunkDecoder::default().push(case);
            assert!(result.is_err(), "{}", String::from_utf8_lossy(case));
        }
    }

    #[test]
    fn content_is_unpacked_to_the_limit() {
        let chunked = headers(&[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")]);
        assert_eq!(decode(&chunked, SIGNED, 11).unwrap(), &b"hello world"[..]);
        assert_eq!(decode(&chunked, SIGNED, 10), None);
        assert_eq!(decode(&chunked, &SIGNED[..30], 100), None);

        let zipped = headers(&[("content-encoding", "gzip")]);
        assert_eq!(decode(&zipped, &gzip(b"{}"), 2).unwrap(), &b"{}"[..]);
        assert_eq!(decode(&zipped, &gzip(&vec![0; 1 << 20]), 1000), None);
        assert_eq!(decode(&zipped, b"no gzip", 1000), None);
        assert_eq!(decode(&zipped, b"", 1000).unwrap(), &b""[..]);

        let both = headers(&[("content-encoding", "aws-chunked,gzip")]);
        let packed = gzip(b"hello");
        let size = format!("{:x}\r\n", packed.len());
        let framed = [size.as_bytes(), &packed, b"\r\n0\r\n\r\n"];
        assert_eq!(decode(&both, &framed.concat(), 5).unwrap(), &b"hello"[..]);

        assert_eq!(
            decode(&HeaderMap::new(), b"as is", 5).unwrap(),
            &b"as is"[..]
        );
        assert_eq!(decode(&HeaderMap::new(), b"as is", 4), None);
    }

    #[test]
    fn framing_is_told_from_the_head() {
        let hash = "x-amz-content-sha256";
        for (pairs, expected) in [
            (&[("content-encoding", "aws-chunked")][..], true),
            (&[("content-encoding", "gzip, AWS-Chunked")], true),
            (&[(hash, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")], true),
            (&[(hash, "STREAMING-AWS4-HMAC-SHA256-EVENTS")], false),
            (&[(hash, "UNSIGNED-PAYLOAD")], false),
            (&[("content-encoding", "gzip")], false),
            (&[], false),
        ] {
            assert_eq!(is_aws_chunked(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
