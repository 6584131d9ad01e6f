//! How single values look in a record: dates, blobs, text that Java typed on its way, sizes and cuts.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value, json};

use crate::aws::Params;

/// Fields of this many bytes are cut (user agent, error code and message, request id).
const TEXT_LIMIT: usize = 1024;

/// Base64 of this many characters is some 100 KB when written byte by byte, which is more than a record takes.
const BUFFER_LIMIT: usize = 48 * 1024;

/// How a service's records show times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dates {
    /// `Apr 19, 2024, 4:00:00 AM`
    Comma,
    /// `Apr 19, 2024 4:00:00 AM`: services on an older Java.
    NoComma,
    /// Seconds since the epoch, with a fraction if there is one.
    Epoch,
    /// Milliseconds since the epoch.
    EpochMillis,
    /// `2024-04-19T04:00:00.000Z`
    Iso,
    /// `2024-04-19T04:00:00Z`, `2024-04-19T04:00:00.431264Z`: as the wire has it.
    IsoAsSent,
}

/// `seconds` is a number of seconds since the epoch; anything else is left as it is.
pub(super) fn date(seconds: Value, style: Dates) -> Value {
    let time = seconds.as_f64().and_then(from_epoch);
    let (Some(time), false) = (time, style == Dates::Epoch) else {
        return seconds;
    };
    match style {
        Dates::Comma => time.format("%b %-d, %Y, %-I:%M:%S %p").to_string().into(),
        Dates::NoComma => time.format("%b %-d, %Y %-I:%M:%S %p").to_string().into(),
        Dates::EpochMillis => time.timestamp_millis().into(),
        Dates::Iso => time.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
        Dates::IsoAsSent => time.to_rfc3339_opts(SecondsFormat::AutoSi, true).into(),
        Dates::Epoch => seconds,
    }
}

fn from_epoch(seconds: f64) -> Option<DateTime<Utc>> {
    // A float that does not fit is saturated, and such a date is refused below.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let micros = (seconds * 1e6).round() as i64;
    DateTime::from_timestamp_micros(micros)
}

/// A base64 blob as Java shows a `ByteBuffer`: `{"hb":[42,…],"offset":0,…}`, its bytes signed. One that is too long to
/// be written byte by byte stays base64.
pub(super) fn byte_buffer(base64: &str) -> Value {
    if base64.len() > BUFFER_LIMIT {
        return base64.into();
    }
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let length = bytes.len();
    let bytes: Vec<Value> = bytes
        .into_iter()
        .map(|byte| i8::from_ne_bytes([byte]).into())
        .collect();
    let mut buffer = one("hb", Value::Array(bytes));
    let fields = json!({
        "offset": 0, "isReadOnly": false, "bigEndian": true, "nativeByteOrder": false,
        "mark": -1, "position": 0, "limit": length, "capacity": length, "address": 0,
    });
    if let (Value::Object(buffer), Value::Object(fields)) = (&mut buffer, fields) {
        buffer.extend(fields);
    }
    buffer
}

/// A base64 blob that is text: the text; otherwise the base64.
pub(super) fn blob_text(base64: String) -> Value {
    STANDARD
        .decode(&base64)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or(base64)
        .into()
}

/// Text out of XML as `org.json` types it: `true`, `null` and what reads back as the same number.
pub(super) fn typed_text(text: Cow<'_, str>) -> Value {
    match &*text {
        "true" | "TRUE" | "True" => return true.into(),
        "false" | "FALSE" | "False" => return false.into(),
        "null" | "NULL" | "Null" => return Value::Null,
        _ => {}
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        if let Ok(number) = text.parse::<i64>()
            && number.to_string() == *text
        {
            return number.into();
        }
        if text.contains(['.', 'e', 'E'])
            && let Some(number) = text.parse().ok().and_then(Number::from_f64)
        {
            return number.into();
        }
    }
    text.into()
}

/// Lower-cases the first letter and nothing else: `DBInstanceIdentifier` → `dBInstanceIdentifier`.
pub(super) fn lower_first(mut name: String) -> String {
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    name
}

/// Upper-cases the first letter: `instanceId` → `InstanceId`.
pub(super) fn upper_first(name: &str) -> Cow<'_, str> {
    if name.starts_with(|first: char| first.is_ascii_lowercase()) {
        let mut name = name.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return name.into();
    }
    name.into()
}

/// Cut to what CloudTrail keeps of a text, at a character's end.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > TEXT_LIMIT {
        text.truncate(text.floor_char_boundary(TEXT_LIMIT));
    }
    text
}

/// The note in place of a field that would have had `size` bytes.
pub(super) fn omitted(size: usize, field: &str) -> Value {
    json!({"omitted": true, "originalSize": size, "reason": format!("{field} too large")})
}

/// Bytes of `value` as compact JSON, with its texts as `measure` has them: [`text_length`] or [`at_most`].
pub(super) fn json_length(value: &Value, measure: impl Fn(&str) -> usize + Copy) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_length(number),
        Value::String(text) => measure(text),
        Value::Array(items) => {
            let lengths = items.iter().map(|item| json_length(item, measure));
            lengths.sum::<usize>() + commas(items.len())
        }
        Value::Object(map) => {
            map.iter()
                .map(|(key, value)| measure(key) + 1 + json_length(value, measure))
                .sum::<usize>()
                + commas(map.len())
        }
    }
}

/// Brackets and the commas between `count` entries.
fn commas(count: usize) -> usize {
    2 + count.saturating_sub(1)
}

/// Bytes of `number` as JSON.
fn number_length(number: &Number) -> usize {
    match number.as_u64() {
        Some(number) => number.checked_ilog10().map_or(1, |log| log as usize + 1),
        None => number.to_string().len(),
    }
}

/// No fewer bytes than `text` has as JSON: each may become `\u001f`.
pub(super) fn at_most(text: &str) -> usize {
    2 + 6 * text.len()
}

/// Bytes of `text` as JSON, quotes included.
pub(super) fn text_length(text: &str) -> usize {
    2 + text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum::<usize>()
}

/// `null` where there is nothing.
pub(super) fn object(map: Params) -> Value {
    if map.is_empty() {
        Value::Null
    } else {
        Value::Object(map)
    }
}

/// An object of one member. `json!` would copy the value, and with it all that is below.
pub(super) fn one(name: impl Into<String>, value: Value) -> Value {
    let mut object = Params::with_capacity(1);
    object.insert(name.into(), value);
    Value::Object(object)
}

/// `{}`
pub(super) fn empty() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_the_service_writes_them() {
        for (seconds, style, expected) in [
            (
                json!(1_713_499_200),
                Dates::Comma,
                json!("Apr 19, 2024, 4:00:00 AM"),
            ),
            (
                json!(1_713_499_200),
                Dates::NoComma,
                json!("Apr 19, 2024 4:00:00 AM"),
            ),
            (
                json!(1_713_543_309),
                Dates::Comma,
                json!("Apr 19, 2024, 4:15:09 PM"),
            ),
            (
                json!(1_713_484_800),
                Dates::Comma,
                json!("Apr 19, 2024, 12:00:00 AM"),
            ),
            (
                json!(1_614_048_352.608),
                Dates::Epoch,
                json!(1_614_048_352.608),
            ),
            (
                json!(1_527_908_429.414),
                Dates::EpochMillis,
                json!(1_527_908_429_414_i64),
            ),
            (
                json!(1_713_499_200.5),
                Dates::Iso,
                json!("2024-04-19T04:00:00.500Z"),
            ),
            (
                json!(1_713_499_200),
                Dates::IsoAsSent,
                json!("2024-04-19T04:00:00Z"),
            ),
            (
                json!(1_688_992_033.431_264),
                Dates::IsoAsSent,
                json!("2023-07-10T12:27:13.431264Z"),
            ),
            (json!("no date"), Dates::Comma, json!("no date")),
            (json!(1e300), Dates::Comma, json!(1e300)),
        ] {
            assert_eq!(
                date(seconds.clone(), style),
                expected,
                "{seconds} {style:?}"
            );
        }
    }

    #[test]
    fn text_from_xml_is_typed_as_org_json_does() {
        for (text, expected) in [
            ("true", json!(true)),
            ("1", json!(1)),
            ("-1", json!(-1)),
            ("0", json!(0)),
            ("007", json!("007")),
            ("-", json!("-")),
            ("1.5", json!(1.5)),
            ("10.0.0.0/16", json!("10.0.0.0/16")),
            ("99999999999999999999", json!("99999999999999999999")),
            ("111122223333", json!(111_122_223_333_i64)),
            ("", json!("")),
            ("vpc-1", json!("vpc-1")),
        ] {
            assert_eq!(typed_text(text.into()), expected, "{text}");
        }
    }

    #[test]
    fn only_the_first_letter_changes() {
        for (name, expected) in [
            ("DBInstanceIdentifier", "dBInstanceIdentifier"),
            ("SAMLAssertion", "sAMLAssertion"),
            ("name", "name"),
            ("", ""),
            ("ätna", "ätna"),
        ] {
            assert_eq!(lower_first(name.to_owned()), expected);
        }
        assert_eq!(upper_first("dryRun"), "DryRun");
    }

    #[test]
    fn bytes_of_a_buffer_are_signed() {
        let buffer = byte_buffer("Kv8=");
        assert_eq!(buffer["hb"], json!([42, -1]));
        assert_eq!(buffer["capacity"], 2);
    }

    #[test]
    fn the_length_is_that_of_the_written_json() {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!({"a": [1, 2.5, true, false, null], "b\"": "x\ny\u{1}ü"}),
            json!([0, 9, 10, 99, 100, u64::MAX, -1, -10, i64::MIN]),
            json!(["ü", "a\\", "\u{7f}", "\u{1f}", " "]),
        ] {
            let length = json_length(&value, text_length);
            assert_eq!(length, value.to_string().len(), "{value}");
            assert!(json_length(&value, at_most) >= length, "{value}");
        }
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        assert_eq!(cut("ü".repeat(600)).len(), 1024);
        assert_eq!(cut(format!("x{}", "ü".repeat(600))).len(), 1023);
    }
}
