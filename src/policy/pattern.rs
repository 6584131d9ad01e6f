//! Patterns of the policy language: `*` is any characters, `?` is one, `${key}` is what the request has of a condition
//! key. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use super::Request;

/// A pattern with its variables filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    /// Itself. What a variable stands for is made of these, so that its `*` is no wildcard.
    Char(char),
}

impl Token {
    fn of(char: char) -> Self {
        match char {
            '*' => Self::Any,
            '?' => Self::One,
            char => Self::Char(char),
        }
    }
}

impl Pattern {
    /// A pattern without variables.
    pub(super) fn plain(text: &str) -> Self {
        Self(text.chars().map(Token::of).collect())
    }

    /// A pattern, with variables if the policy's version has them; `None` where the request has no value, or several,
    /// for one of them.
    pub(super) fn parse(text: &str, request: &Request<'_>, has_variables: bool) -> Option<Self> {
        if !has_variables {
            return Some(Self::plain(text));
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (variable, after) = after.split_once('}')?;
            tokens.extend(before.chars().map(Token::of));
            tokens.extend(value_of(variable, request)?.chars().map(Token::Char));
            rest = after;
        }
        tokens.extend(rest.chars().map(Token::of));
        Some(Self(tokens))
    }

    /// The text that it stands for where wildcards have no meaning.
    pub(super) fn literal(&self) -> String {
        let char = |token: &Token| match token {
            Token::Any => '*',
            Token::One => '?',
            Token::Char(char) => *char,
        };
        self.0.iter().map(char).collect()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        matches(&self.0, &text)
    }

    pub(super) fn matches_ignoring_case(&self, text: &str) -> bool {
        Self::plain(&self.literal().to_lowercase()).matches(&text.to_lowercase())
    }

    /// Matches part by part, as the six parts of ARNs are; `None` where the pattern is no ARN.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
    pub(super) fn matches_arn(&self, text: &str) -> Option<bool> {
        if self.0 == [Token::Any] {
            return Some(true);
        }
        let parts: Vec<&[Token]> = self
            .0
            .splitn(6, |token| *token == Token::Char(':'))
            .collect();
        if parts.len() < 6 {
            return None;
        }
        let text: Vec<&str> = text.splitn(6, ':').collect();
        let is_same = |(part, text): (&&[Token], &&str)| {
            let text: Vec<char> = text.chars().collect();
            matches(part, &text)
        };
        Some(text.len() == 6 && parts.iter().zip(&text).all(is_same))
    }
}

/// The value of the variable `key`, or of `key, 'default'`. `${*}`, `${?}` and `${$}` are those characters themselves.
fn value_of<'a>(variable: &'a str, request: &'a Request<'_>) -> Option<&'a str> {
    if matches!(variable, "*" | "?" | "$") {
        return Some(variable);
    }
    let (key, default) = match variable.split_once(',') {
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (key.trim(), Some(default))
        }
        None => (variable, None),
    };
    match request.values(key).as_slice() {
        [value] => Some(value),
        [] => default,
        _ => None,
    }
}

/// Goes back to the last `*` only, which is enough: what an earlier one would take, the last one can.
fn matches(pattern: &[Token], text: &[char]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    // Where to go on if the rest does not match: behind the last `*`, and one character later than last time.
    let mut retry = None;
    while let Some(char) = text.get(in_text) {
        match pattern.get(at) {
            Some(Token::Any) => {
                at += 1;
                retry = Some((at, in_text));
            }
            Some(token) if *token == Token::One || *token == Token::Char(*char) => {
                at += 1;
                in_text += 1;
            }
            _ => match retry {
                Some((behind, from)) => {
                    (at, in_text) = (behind, from + 1);
                    retry = Some((behind, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|token| *token == Token::Any)
}

/// Whether one of `items` is so: `Some(true)` if one surely is, `None` if one may be.
pub(super) fn any<T>(items: &[T], is_so: impl Fn(&T) -> Option<bool>) -> Option<bool> {
    let mut found = Some(false);
    for item in items {
        match is_so(item) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

/// Whether all of `items` are so: `Some(false)` if one surely is not, `None` if one may not be.
pub(super) fn all<T>(items: &[T], is_so: impl Fn(&T) -> Option<bool>) -> Option<bool> {
    any(items, |item| is_so(item).map(|is_so| !is_so)).map(|none| !none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Caller;

    #[test]
    fn wildcards_match() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "axbxbxc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*?", "", false),
            ("*?", "é", true),
            ("abc", "ABC", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(
                Pattern::plain(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn arns_match_part_by_part() {
        let arn = "arn:aws:cloudtrail:us-east-1:111122223333:trail/a:b";
        for (pattern, expected) in [
            (arn, Some(true)),
            ("*", Some(true)),
            ("arn:aws:cloudtrail:*:111122223333:trail/*", Some(true)),
            ("arn:*:cloudtrail:us-?ast-1:*:trail/a:b", Some(true)),
            ("arn:aws:cloudtrail:*", None),
            ("arn:aws:*:trail/a:b:*:*", Some(false)),
            (
                "arn:aws:cloudtrail:us-east-1:111122223333:trail/A*",
                Some(false),
            ),
            ("trail/a", None),
        ] {
            assert_eq!(
                Pattern::plain(pattern).matches_arn(arn),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn variables_are_filled_in() {
        let request = Request {
            caller: Caller {
                service: "cloudtrail.amazonaws.com",
                account: None,
            },
            action: "s3:PutObject",
            resource: String::new(),
            context: vec![
                ("aws:SourceAccount", "111122223333".to_owned()),
                ("s3:prefix", "a*".to_owned()),
                ("aws:PrincipalServiceNamesList", "a".to_owned()),
                ("aws:PrincipalServiceNamesList", "b".to_owned()),
            ],
        };
        for (text, with, without) in [
            (
                "x/${aws:sourceaccount}/*",
                Some("x/111122223333/anything"),
                "x/${aws:sourceaccount}/a",
            ),
            ("${s3:prefix}", Some("a*"), "${s3:prefix}"),
            ("${*}${?}${$}", Some("*?$"), "${anything}${x}${$}"),
            (
                "${aws:nothing, 'some one'}",
                Some("some one"),
                "${aws:nothing, 'some one'}",
            ),
            ("${aws:nothing}", None, "${aws:nothing}"),
            (
                "${aws:PrincipalServiceNamesList}",
                None,
                "${aws:PrincipalServiceNamesList}",
            ),
            ("${aws:SourceAccount", None, "${aws:SourceAccount"),
        ] {
            let filled = Pattern::parse(text, &request, true);
            assert_eq!(filled.is_some(), with.is_some(), "{text}");
            assert!(
                filled
                    .zip(with)
                    .is_none_or(|(filled, with)| filled.matches(with)),
                "{text}"
            );
            let plain = Pattern::parse(text, &request, false).unwrap();
            assert!(plain.matches(without), "{text}");
        }
        let literal = Pattern::parse("${s3:prefix}", &request, true).unwrap();
        assert!(
            !literal.matches("ab"),
            "a variable's value has no wildcards"
        );
    }
}
