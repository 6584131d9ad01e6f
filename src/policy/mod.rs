//! Resource policies, decided as AWS decides them: the policy document of a bucket or topic, a request, a decision.
//!
//! Pure. Fetches nothing and refuses nobody: `targets` fetches policies and asks here before CloudTrail writes.
//! Identity policies, ACLs, organizations and public access blocks are not looked at.
//!
//! The rule: an explicit Deny wins, and without an Allow nothing is allowed. What cannot be decided here (an operator
//! of dates or binaries, a policy variable that the request does not have, a number or ARN that is none) never lets
//! anyone in: a Deny that it stands in applies, an Allow does not. A condition key that the request does not have is
//! decided as in AWS: a condition on it is false, a negated one true, `…IfExists` true.
//!
//! Written here because the crate there is, `iam-rs` 0.8, cannot read `Principal` with two kinds of names, a policy
//! without `Version`, or `ForAllValues:…IfExists`, lets `{"AWS":"*"}` match no service, and takes the wildcards of
//! `ArnEquals` literally.

pub mod cloudtrail;
mod condition;
mod pattern;
pub mod templates;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::aws::arn::Arn;
use condition::{Values, conditions_hold};
use pattern::{Pattern, any};

/// The version of the policy language that has variables; the one before it, and the default, takes them literally.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html>
const WITH_VARIABLES: &str = "2012-10-17";

/// A policy document.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    #[serde(default)]
    version: String,
    statement: OneOrMany<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: Effect,
    #[serde(flatten)]
    principal: PrincipalRule,
    #[serde(flatten)]
    action: ActionRule,
    #[serde(flatten)]
    resource: ResourceRule,
    /// Operator → key → values.
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, Values>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, Deserialize)]
enum PrincipalRule {
    Principal(Principals),
    NotPrincipal(Principals),
}

#[derive(Clone, Debug, Deserialize)]
enum ActionRule {
    Action(OneOrMany<String>),
    NotAction(OneOrMany<String>),
}

#[derive(Clone, Debug, Deserialize)]
enum ResourceRule {
    Resource(OneOrMany<String>),
    NotResource(OneOrMany<String>),
}

/// `"*"`, or names by kind: `{"AWS": […], "Service": "cloudtrail.amazonaws.com"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Principals {
    All(String),
    ByKind(BTreeMap<String, OneOrMany<String>>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Who asks: a service, which may have asked as an account of AWS's own before there were service principals.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// `cloudtrail.amazonaws.com`
    pub service: &'a str,
    /// 12 digits.
    pub account: Option<&'a str>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub caller: Caller<'a>,
    /// `s3:PutObject`
    pub action: &'static str,
    /// ARN of the bucket, object or topic.
    pub resource: String,
    /// Condition keys and their values; a key with several values stands there several times.
    pub context: Vec<(&'static str, String)>,
}

impl Request<'_> {
    /// All values of a condition key, whose letter case does not matter.
    fn values(&self, key: &str) -> Vec<&str> {
        let named = |(name, _): &&(&'static str, String)| name.eq_ignore_ascii_case(key);
        let values = self.context.iter().filter(named);
        values.map(|(_, value)| value.as_str()).collect()
    }
}

/// How a policy decides on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// By a Deny.
    Denied,
    /// No statement allows it.
    NotAllowed,
}

/// The document is no policy.
#[derive(Debug, thiserror::Error)]
#[error("not a policy: {0}")]
pub struct MalformedPolicy(#[from] serde_json::Error);

impl Policy {
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        Ok(serde_json::from_str(text)?)
    }

    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let has_variables = self.version == WITH_VARIABLES;
        let mut decision = Decision::NotAllowed;
        for statement in self.statement.as_slice() {
            match (statement.effect, statement.applies(request, has_variables)) {
                (Effect::Deny, Some(true) | None) => return Decision::Denied,
                (Effect::Allow, Some(true)) => decision = Decision::Allowed,
                (Effect::Deny, Some(false)) | (Effect::Allow, Some(false) | None) => {}
            }
        }
        decision
    }
}

impl Statement {
    /// Whether the statement is about the request; `None` where that cannot be decided.
    fn applies(&self, request: &Request<'_>, has_variables: bool) -> Option<bool> {
        let principal = match &self.principal {
            PrincipalRule::Principal(named) => named.name(request.caller),
            PrincipalRule::NotPrincipal(named) => !named.name(request.caller),
        };
        let acts = |actions: &OneOrMany<String>| {
            let mut actions = actions.as_slice().iter();
            actions.any(|action| Pattern::plain(action).matches_ignoring_case(request.action))
        };
        let action = match &self.action {
            ActionRule::Action(actions) => acts(actions),
            ActionRule::NotAction(actions) => !acts(actions),
        };
        if !principal || !action {
            return Some(false);
        }
        let is_at = |resources: &OneOrMany<String>| {
            any(resources.as_slice(), |resource| {
                let pattern = Pattern::parse(resource, request, has_variables)?;
                Some(pattern.matches(&request.resource))
            })
        };
        let resource = match &self.resource {
            ResourceRule::Resource(resources) => is_at(resources),
            ResourceRule::NotResource(resources) => is_at(resources).map(|is_at| !is_at),
        };
        match resource {
            Some(false) => Some(false),
            Some(true) => conditions_hold(&self.condition, request, has_variables),
            // A condition that does not hold still decides it.
            None => conditions_hold(&self.condition, request, has_variables).filter(|holds| !holds),
        }
    }
}

impl Principals {
    /// Whether they name the caller. `"*"` and `{"AWS":"*"}` are the same to AWS: everyone, services too.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
    fn name(&self, caller: Caller<'_>) -> bool {
        let by_kind = match self {
            Self::All(all) => return all == "*",
            Self::ByKind(by_kind) => by_kind,
        };
        let named = |kind: &str, is_caller: &dyn Fn(&str) -> bool| {
            let names = by_kind.get(kind).map(OneOrMany::as_slice);
            names.is_some_and(|names| names.iter().any(|name| is_caller(name)))
        };
        named("AWS", &|name| name == "*" || is_root(name, caller.account))
            || named("Service", &|name| name == caller.service)
    }
}

/// Whether `name` is the account: `111122223333` or `arn:aws:iam::111122223333:root`.
fn is_root(name: &str, account: Option<&str>) -> bool {
    let Some(account) = account else {
        return false;
    };
    let is_arn = |arn: Arn<'_>| {
        (arn.service, arn.region, arn.account, arn.resource) == ("iam", "", account, "root")
    };
    name == account || Arn::parse(name).is_some_and(is_arn)
}
