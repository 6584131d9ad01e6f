//! Scalars that the wire writes as text: numbers, booleans, timestamps.
//!
//! What does not fit its type stays the text it was: a record shows what the caller sent, not what it should have sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use serde_json::{Number, Value};

use super::model::{Kind, TimestampFormat};

/// A scalar of `kind` that the wire wrote as `text`. Structures, lists and maps are no scalars and stay text.
pub(super) fn scalar(kind: &Kind, text: &str) -> Value {
    typed(kind, text).unwrap_or_else(|| text.into())
}

fn typed(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Boolean => match text.trim() {
            "true" | "True" | "TRUE" => Some(true.into()),
            "false" | "False" | "FALSE" => Some(false.into()),
            _ => None,
        },
        Kind::Integer | Kind::Long => text.trim().parse::<i64>().ok().map(Into::into),
        // NaN and the infinities are no JSON numbers and stay text.
        Kind::Float | Kind::Double => Number::from_f64(text.trim().parse().ok()?).map(Into::into),
        Kind::Timestamp(_) => timestamp(text.trim()).map(Into::into),
        _ => None,
    }
}

/// Epoch seconds of a timestamp in any of the three formats; services and clients mix them.
pub(super) fn timestamp(text: &str) -> Option<Number> {
    if let Ok(seconds) = text.parse::<f64>() {
        return epoch(seconds);
    }
    let time = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_rfc2822(text))
        .map(|time| time.to_utc())
        // Older clients leave the zone out; it is UTC.
        .or_else(|_| {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|t| t.and_utc())
        })
        .ok()?;
    match time.timestamp_subsec_micros() {
        0 => Some(time.timestamp().into()),
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds fit a double until the year 2255"
        )]
        _ => Number::from_f64(time.timestamp_micros() as f64 / 1e6),
    }
}

/// Epoch seconds: an integer if they are whole.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
pub(super) fn epoch(seconds: f64) -> Option<Number> {
    if seconds.fract() == 0.0 && seconds.abs() < 1e15 {
        Some((seconds as i64).into())
    } else {
        Number::from_f64(seconds)
    }
}

/// Writes epoch seconds in a wire format; what is no time is written as it is.
pub(super) fn write_timestamp(value: &Value, format: TimestampFormat) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float casts to the nearest integer there is, and an impossible time is none"
    )]
    let time = value
        .as_f64()
        .and_then(|seconds| DateTime::from_timestamp_micros((seconds * 1e6).round() as i64));
    let Some(time) = time else {
        return value.clone();
    };
    let format_text = match format {
        TimestampFormat::Unix => return value.clone(),
        TimestampFormat::Iso8601 if time.timestamp_subsec_micros() == 0 => {
            time.to_rfc3339_opts(SecondsFormat::Secs, true)
        }
        TimestampFormat::Iso8601 => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        TimestampFormat::Rfc822 => time.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    };
    format_text.into()
}

/// A scalar as text of XML, forms and headers.
pub(super) fn write_scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{scalar, write_timestamp};
    use crate::aws::model::{Kind, TimestampFormat};

    #[test]
    fn text_is_typed_by_the_model_or_stays_text() {
        let time = Kind::Timestamp(None);
        let cases: &[(&Kind, &str, Value)] = &[
            (&Kind::Boolean, "true", json!(true)),
            (&Kind::Boolean, "yes", json!("yes")),
            (&Kind::Integer, "-7", json!(-7)),
            (&Kind::Integer, "abc", json!("abc")),
            (&Kind::Integer, "1.5", json!("1.5")),
            (
                &Kind::Long,
                "99999999999999999999",
                json!("99999999999999999999"),
            ),
            (&Kind::Double, "0.5", json!(0.5)),
            (&Kind::Float, "NaN", json!("NaN")),
            (&Kind::Float, "-Infinity", json!("-Infinity")),
            (&Kind::String, " 7 ", json!(" 7 ")),
            (&time, "1398796238", json!(1_398_796_238)),
            (&time, "1398796238.5", json!(1_398_796_238.5)),
            (&time, "2014-04-29T18:30:38Z", json!(1_398_796_238)),
            (&time, "2014-04-29T18:30:38.250Z", json!(1_398_796_238.25)),
            (&time, "2014-04-29T20:30:38+02:00", json!(1_398_796_238)),
            (&time, "2014-04-29T18:30:38", json!(1_398_796_238)),
            (&time, "Tue, 29 Apr 2014 18:30:38 GMT", json!(1_398_796_238)),
            (&time, "yesterday", json!("yesterday")),
            (&time, "", json!("")),
            (&time, "NaN", json!("NaN")),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(scalar(kind, text), *expected, "{text}");
        }
    }

    #[test]
    fn timestamps_are_written_in_three_formats() {
        let time = json!(1_398_796_238);
        for (format, expected) in [
            (TimestampFormat::Iso8601, json!("2014-04-29T18:30:38Z")),
            (
                TimestampFormat::Rfc822,
                json!("Tue, 29 Apr 2014 18:30:38 GMT"),
            ),
            (TimestampFormat::Unix, time.clone()),
        ] {
            assert_eq!(write_timestamp(&time, format), expected);
        }
        let fraction = write_timestamp(&json!(1_398_796_238.25), TimestampFormat::Iso8601);
        assert_eq!(fraction, json!("2014-04-29T18:30:38.250Z"));
        assert_eq!(
            write_timestamp(&json!("soon"), TimestampFormat::Iso8601),
            json!("soon")
        );
    }
}
