//! Choices made from bytes. What is made from fewer bytes, or smaller ones, is simpler: so proptest, which shrinks bytes,
//! shrinks requests, policies and whatever else is made here, and a seed makes the same ones again.

/// Text that means something to some parser, or ends something.
const PIECES: &[&str] = &[
    "a",
    "key",
    "0",
    "-1",
    "1e999",
    "é",
    "\u{1F600}",
    "\u{FFFD}",
    "%",
    "%2F",
    "%00",
    "+",
    " ",
    "/",
    "..",
    ".",
    ",",
    ";",
    ":",
    "=",
    "&",
    "'",
    "\"",
    "\\",
    "<",
    ">",
    "]]>",
    "&amp;",
    "&#0;",
    "*",
    "?",
    "${aws:x}",
    "{}",
    "[",
    "' or 1=1 --",
    "arn:aws:s3:::logs",
    "111122223333",
    "true",
    "null",
    "NaN",
    "\t",
    "\n",
    "\r\nx-injected: 1\r\n\r\n",
    "\0",
    "\u{b}",
    "\u{85}",
    "\u{202e}",
    "\u{feff}",
    "\u{ffff}",
];

/// Where a text stands, which says what it can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anything: JSON, CBOR, forms, query strings.
    Anywhere,
    /// What a document of XML 1.0 can hold.
    Xml,
    /// A token of a header.
    Header,
}

impl Place {
    fn holds(self, letter: char) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Xml => {
                matches!(letter, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
            }
            Self::Header => letter.is_ascii_graphic() && !matches!(letter, ',' | '"' | '\\'),
        }
    }
}

/// Bytes that are used up, one choice after the other; behind their end there are zeros.
pub(crate) struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) fn number(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Less than `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        match count {
            0..=256 => usize::from(self.byte()) % count,
            _ => self.number() as usize % count,
        }
    }

    /// True once in `times`; false when the bytes are used up.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(crate) fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[self.below(from.len())]
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.byte()).collect()
    }

    /// A text of a few pieces, which may be empty.
    pub(crate) fn text(&mut self, place: Place) -> String {
        let count = self.below(4);
        let pieces = (0..count).map(|_| *self.pick(PIECES));
        pieces
            .collect::<String>()
            .chars()
            .filter(|letter| place.holds(*letter))
            .collect()
    }

    /// A text that is not empty.
    pub(crate) fn word(&mut self, place: Place) -> String {
        let text = self.text(place);
        if text.is_empty() {
            "a".to_owned()
        } else {
            text
        }
    }
}
