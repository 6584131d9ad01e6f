//! URI templates of REST operations: `/{Bucket}/{Key+}?acl`.
//!
//! Knows paths and query strings, not services. Paths are taken as they came on the wire: a `%2F` inside a label is no
//! separator, and nothing is normalised.

use std::cmp::Reverse;
use std::ops::Range;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// A template, ready for matching.
#[derive(Debug, Default)]
pub(super) struct Template {
    segments: Box<[Segment]>,
    /// Literal query members; without a value any will do.
    query: Box<[Literal]>,
    /// What the operation requires beyond the template.
    needed: Vec<Needed>,
}

/// Name of a literal query member, and its value if it has one.
type Literal = (Box<str>, Option<Box<str>>);

#[derive(Debug)]
enum Segment {
    /// `{Key+}`: one or more segments.
    Greedy(Box<str>),
    /// `{Bucket}`.
    Label(Box<str>),
    Literal(Box<str>),
}

/// A required member outside of the body, by its wire name (headers in lower case).
#[derive(Debug)]
pub(super) enum Needed {
    Query(Box<str>),
    Header(Box<str>),
}

/// How well a template fits a request; the greatest fits best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    /// Per segment: 2 literal, 1 label, 0 greedy. The leftmost difference decides.
    path: Vec<u8>,
    literal_query: usize,
    missing: Reverse<usize>,
    present: usize,
}

/// The path and query string of a request, split once for all templates.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The path without its first slash.
    path: &'a str,
    /// Where its segments lie.
    parts: Vec<Range<usize>>,
    query: Vec<(String, String)>,
}

impl<'a> Target<'a> {
    pub(super) fn new(path: &'a str, query: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut start = 0;
        let parts = path.split('/').map(|part| {
            let range = start..start + part.len();
            start = range.end + 1;
            range
        });
        Self {
            path,
            parts: parts.collect(),
            query: parse_query(query),
        }
    }

    /// All segments, but for an empty one after a final slash.
    fn trimmed(&self) -> &[Range<usize>] {
        match self.parts.as_slice() {
            [rest @ .., last] if last.is_empty() => rest,
            all => all,
        }
    }

    fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Name and value of each member of a query string, decoded, in order. A bare `+` is a space: SDKs write plus signs as
/// `%2B`. Malformed UTF-8 becomes replacement characters.
pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// Undoes percent-encoding; malformed UTF-8 becomes replacement characters.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Template {
    pub(super) fn new(uri: &str, needed: Vec<Needed>) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let path = path.trim_matches('/');
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(|segment| {
            let label = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            match label {
                None => Segment::Literal(segment.into()),
                Some(label) => match label.strip_suffix('+') {
                    Some(label) => Segment::Greedy(label.into()),
                    None => Segment::Label(label.into()),
                },
            }
        });
        let query = query.split('&').filter(|member| !member.is_empty());
        let query = query.map(|member| match member.split_once('=') {
            Some((name, value)) => (name.into(), Some(value.into())),
            None => (member.into(), None),
        });
        Self {
            segments: segments.collect(),
            query: query.collect(),
            needed,
        }
    }

    /// How well the template fits; `None` if it does not.
    pub(super) fn fit(&self, target: &Target<'_>, headers: &HeaderMap) -> Option<Fit> {
        self.spans(target)?;
        let literal = |(name, value): &Literal| {
            let sent = target.query(name);
            sent.is_some_and(|sent| value.as_deref().is_none_or(|value| value == sent))
        };
        if !self.query.iter().all(literal) {
            return None;
        }
        let is_present = |needed: &&Needed| match needed {
            Needed::Query(name) => target.query(name).is_some(),
            Needed::Header(name) => headers.contains_key(&**name),
        };
        let present = self.needed.iter().filter(is_present).count();
        let path = self.segments.iter().map(|segment| match segment {
            Segment::Greedy(_) => 0,
            Segment::Label(_) => 1,
            Segment::Literal(_) => 2,
        });
        Some(Fit {
            path: path.collect(),
            literal_query: self.query.len(),
            missing: Reverse(self.needed.len() - present),
            present,
        })
    }

    /// Whether a query member belongs to the template itself.
    pub(super) fn is_literal(&self, name: &str) -> bool {
        self.query.iter().any(|(literal, _)| **literal == *name)
    }

    /// Labels with their decoded values; empty if the template does not fit the path.
    pub(super) fn labels<'t>(&'t self, target: &Target<'_>) -> Vec<(&'t str, String)> {
        let spans = self.spans(target).unwrap_or_default();
        let named = self
            .segments
            .iter()
            .zip(spans)
            .filter_map(|(segment, text)| match segment {
                Segment::Greedy(name) | Segment::Label(name) => Some((&**name, decode(text))),
                Segment::Literal(_) => None,
            });
        named.collect()
    }

    /// The text that each segment of the template stands for.
    fn spans<'a>(&self, target: &Target<'a>) -> Option<Vec<&'a str>> {
        let greedy = self
            .segments
            .iter()
            .position(|segment| matches!(segment, Segment::Greedy(_)));
        let count = self.segments.len();
        // The slash at the end belongs to a greedy label that ends the template: S3 keys may end in one.
        let parts = match greedy {
            Some(position) if position + 1 == count => &target.parts,
            _ => target.trimmed(),
        };
        let extra = parts.len().checked_sub(count)?;
        if extra > 0 && greedy.is_none() {
            return None;
        }
        let mut spans = Vec::with_capacity(count);
        let mut next = 0;
        for segment in &self.segments {
            let width = if matches!(segment, Segment::Greedy(_)) {
                extra + 1
            } else {
                1
            };
            let (first, last) = (parts.get(next)?, parts.get(next + width - 1)?);
            let span = target.path.get(first.start..last.end)?;
            next += width;
            let fits = match segment {
                Segment::Literal(literal) => &**literal == span || *decode(span) == **literal,
                Segment::Label(_) | Segment::Greedy(_) => !span.is_empty(),
            };
            if !fits {
                return None;
            }
            spans.push(span);
        }
        Some(spans)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::{prop, proptest};

    use super::{Needed, Target, Template, decode, parse_query};

    proptest! {
        #[test]
        fn what_is_percent_encoded_is_decoded(pairs in prop::collection::vec(("\\PC+", "\\PC*"), 0..5)) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            assert_eq!(parse_query(&query.join("&")), pairs);
            for (name, value) in pairs {
                assert_eq!(decode(&encode(&name)), name);
                let path = format!("/{}/{}", encode(&name), encode(&value));
                let template = Template::new("/{A}/{B+}", Vec::new());
                let labels = template.labels(&Target::new(&path, ""));
                let expected = [("A", name), ("B", value.clone())];
                assert_eq!(labels, if value.is_empty() { &[][..] } else { &expected[..] });
            }
        }

        #[test]
        fn any_path_is_matched_or_not(path: String, template in "(/(a|[{]x[}]|[{]y[+][}])){0,4}", query: String) {
            let template = Template::new(&template, Vec::new());
            let target = Target::new(&path, &query);
            let fits = template.fit(&target, &HeaderMap::new()).is_some();
            assert!(fits || template.labels(&target).is_empty());
        }
    }

    #[test]
    fn labels_are_taken_from_the_raw_path() {
        type Labels = &'static [(&'static str, &'static str)];
        let cases: &[(&str, &str, Option<Labels>)] = &[
            ("/", "/", Some(&[])),
            ("/", "/a", None),
            ("/a/b", "/a/b", Some(&[])),
            ("/a/b", "/a/b/", Some(&[])),
            ("/a/b/", "/a/b", Some(&[])),
            ("/{x}/b", "/1%2F2/b", Some(&[("x", "1/2")])),
            ("/{x}/b", "//b", None),
            ("/{x}", "/%C3%A9+%20", Some(&[("x", "é+ ")])),
            ("/{B}/{K+}", "/b/a//c/", Some(&[("B", "b"), ("K", "a//c/")])),
            ("/{B}/{K+}", "/b//c", Some(&[("B", "b"), ("K", "/c")])),
            ("/{B}/{K+}", "/b/", None),
            ("/{B}/{K+}", "/b", None),
            ("/{B}", "/b/", Some(&[("B", "b")])),
            ("/p/{A+}/q", "/p/1/2/3/q", Some(&[("A", "1/2/3")])),
            ("/p/{A+}/q", "/p/1/2/3/q/", Some(&[("A", "1/2/3")])),
            ("/p/{A+}/q", "/p/q", None),
            ("/.well-known/x", "/%2Ewell-known/x", Some(&[])),
            ("/{x}", "/%ff", Some(&[("x", "\u{fffd}")])),
        ];
        for (template, path, expected) in cases {
            let template_ = Template::new(template, Vec::new());
            let target = Target::new(path, "");
            let fits = template_.fit(&target, &HeaderMap::new()).is_some();
            assert_eq!(fits, expected.is_some(), "{template} {path}");
            let labels = template_.labels(&target);
            let labels: Vec<_> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
            assert_eq!(labels, expected.unwrap_or_default(), "{template} {path}");
        }
    }

    #[test]
    fn the_more_specific_template_fits_better() {
        // The first of each pair must win.
        let cases = [
            (("/a/b", "/a/{x}"), "/a/b", ""),
            (("/a/{x}/c", "/a/{x}/{y}"), "/a/b/c", ""),
            (("/a/{x+}/c", "/a/{x+}"), "/a/b/c", ""),
            (("/{b}?acl", "/{b}"), "/b", "acl"),
            (("/{b}?acl", "/{b}"), "/b", "acl="),
            (
                ("/{b}?select&select-type=2", "/{b}?select"),
                "/b",
                "select&select-type=2",
            ),
        ];
        for ((better, worse), path, query) in cases {
            let target = Target::new(path, query);
            let fit = |uri| Template::new(uri, Vec::new()).fit(&target, &HeaderMap::new());
            assert!(fit(better) > fit(worse), "{better} {worse}");
            assert!(fit(worse).is_some(), "{worse}");
        }
    }

    #[test]
    fn what_an_operation_requires_decides_between_equal_templates() {
        let with = |needed| Template::new("/{b}/{k+}", needed);
        let plain = with(Vec::new());
        let part = with(vec![Needed::Query("uploadId".into())]);
        let copy = with(vec![Needed::Header("x-amz-copy-source".into())]);
        let mut headers = HeaderMap::new();
        let sent = Target::new("/b/k", "uploadId=1");
        assert!(part.fit(&sent, &headers) > plain.fit(&sent, &headers));
        let bare = Target::new("/b/k", "");
        assert!(plain.fit(&bare, &headers) > part.fit(&bare, &headers));
        headers.insert("x-amz-copy-source", "a/b".parse().unwrap());
        assert!(copy.fit(&bare, &headers) > plain.fit(&bare, &headers));
    }
}
