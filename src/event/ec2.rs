//! EC2's two layouts.
//!
//! *Flat*, for the operations that EC2 had when it still spoke SOAP: names of its WSDL, lists as
//! `"instancesSet":{"items":[{"instanceId":…}]}`, lists of Describe calls there even when empty. *Wrapped*, for all
//! later ones: `{"CreateNatGatewayRequest":{…}}` with the query's names, its XML turned into JSON as `org.json` does,
//! so that list elements are numbered. Which one an operation has shows in how its model spells `DryRun`.

use serde_json::map::Entry;
use serde_json::{Value, json};

use super::names::find;
use super::secrets::{Hide, Secrets};
use super::values::{self, Dates, date, empty, one, typed_text, upper_first};
use crate::aws::Params;
use crate::aws::model::{Kind, Member, Operation, Service, Shape, Structure};

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const REMOVED: &str = "<sensitiveDataRemoved>";

/// Operations without `DryRun` that are old enough to be flat.
const OLD_WITHOUT_DRY_RUN: &[&str] = &[
    "AssignPrivateIpAddresses",
    "CancelExportTask",
    "CancelReservedInstancesListing",
    "CreateInstanceExportTask",
    "CreateReservedInstancesListing",
    "CreateVpnConnectionRoute",
    "DeleteVpnConnectionRoute",
    "DescribeExportTasks",
    "DescribeReservedInstancesListings",
    "DescribeReservedInstancesModifications",
    "ModifyReservedInstances",
    "ModifySubnetAttribute",
    "ModifyVpcAttribute",
    "UnassignPrivateIpAddresses",
];

/// Wrappers not called `<operation>Request`.
const WRAPPERS: &[(&str, &str)] = &[("DeleteTransitGatewayVpcAttachment", "DelTGwVpcAttachReq")];

/// The WSDL's name of a list and of its elements, by the query's name of the list with a lower-case first letter.
/// A list that is not here is called `<name>Set` and its elements `<name>`, if it is not called so in the query too.
#[rustfmt::skip]
const SETS: &[(&str, (&str, &str))] = &[
    ("allocationId", ("allocationIdsSet", "allocationId")),
    ("attributeName", ("accountAttributeNameSet", "attributeName")),
    ("bundleId", ("bundlesSet", "bundleId")),
    ("customerGatewayId", ("customerGatewaySet", "customerGatewayId")),
    ("dhcpOptionsId", ("dhcpOptionsSet", "dhcpOptionsId")),
    ("executableBy", ("executableBySet", "user")),
    ("groupId", ("groupSet", "groupId")),
    ("imageId", ("imagesSet", "imageId")),
    ("instanceId", ("instancesSet", "instanceId")),
    ("keyName", ("keySet", "keyName")),
    ("owner", ("ownersSet", "owner")),
    ("publicIp", ("publicIpsSet", "publicIp")),
    ("reasonCode", ("reasonCodesSet", "reasonCode")),
    ("regionName", ("regionSet", "regionName")),
    ("reservedInstancesId", ("reservedInstancesSet", "reservedInstancesId")),
    ("reservedInstancesOfferingId", ("reservedInstancesOfferingsSet", "reservedInstancesOfferingId")),
    ("resourceId", ("resourcesSet", "resourceId")),
    ("restorableBy", ("sharedUsersSet", "user")),
    ("securityGroup", ("groupSet", "groupName")),
    ("securityGroupId", ("groupSet", "groupId")),
    ("snapshotId", ("snapshotSet", "snapshotId")),
    ("subnetId", ("subnetSet", "subnetId")),
    ("volumeId", ("volumeSet", "volumeId")),
    ("vpcId", ("vpcSet", "vpcId")),
    ("vpnConnectionId", ("vpnConnectionSet", "vpnConnectionId")),
    ("vpnGatewayId", ("vpnGatewaySet", "vpnGatewayId")),
    ("zoneId", ("availabilityZoneIdSet", "zoneId")),
    ("zoneName", ("availabilityZoneSet", "zoneName")),
    // Lists of structures.
    ("blockDeviceMapping", ("blockDeviceMapping", "")),
    ("groups", ("groups", "")),
    ("groupSet", ("groupSet", "groupId")),
    ("ipPermissions", ("ipPermissions", "")),
    ("ipRanges", ("ipRanges", "")),
    ("ipv6Address", ("ipv6AddressesSet", "")),
    ("ipv6Ranges", ("ipv6Ranges", "")),
    ("prefixListIds", ("prefixListIds", "")),
    ("add", ("add", "")),
    ("remove", ("remove", "")),
];

/// The same, where an operation has its own.
#[rustfmt::skip]
const OPERATION_SETS: &[(&str, &str, (&str, &str))] = &[
    ("DescribePlacementGroups", "groupId", ("placementGroupIdSet", "groupId")),
    ("DescribePlacementGroups", "groupName", ("placementGroupSet", "groupName")),
    ("DescribeSecurityGroups", "groupId", ("securityGroupIdSet", "groupId")),
    ("DescribeSecurityGroups", "groupName", ("securityGroupSet", "groupName")),
];

/// The WSDL's names of members that the query calls otherwise: (operation, query's name, WSDL's name).
#[rustfmt::skip]
const MEMBERS: &[(&str, &str, &str)] = &[
    ("CreateNetworkAclEntry", "icmp", "icmpTypeCode"),
    ("CreateNetworkAclEntry", "protocol", "aclProtocol"),
    ("CreateVolume", "availabilityZone", "zone"),
    ("DescribeImageAttribute", "attribute", "attributeType"),
    ("DescribeSnapshotAttribute", "attribute", "attributeType"),
    ("ModifyImageAttribute", "attribute", "attributeType"),
    ("ModifySnapshotAttribute", "attribute", "attributeType"),
    ("ReplaceNetworkAclEntry", "icmp", "icmpTypeCode"),
    ("ReplaceNetworkAclEntry", "protocol", "aclProtocol"),
    ("ResetSnapshotAttribute", "attribute", "attributeType"),
];

/// Members that are numbers in the query and text in the WSDL.
const TEXTS: &[(&str, &str)] = &[("CreateVolume", "size")];

/// Members that are not written down: in the WSDL they are elements of their own.
const DROPPED: &[(&str, &str)] = &[
    ("DescribeVolumeAttribute", "attribute"),
    ("DescribeVpcAttribute", "attribute"),
];

/// Operations whose lists hold `item` in place of `items`.
const OF_ITEM: &[&str] = &[
    "AssignPrivateIpAddresses",
    "DescribeClassicLinkInstances",
    "DescribeVpcClassicLink",
    "UnassignPrivateIpAddresses",
];

/// Operations that answer with `return` beside other members, though their model has none.
const RETURNING: &[&str] = &[
    "AssociateAddress",
    "CreateSecurityGroup",
    "DisassociateRouteTable",
];

/// Lists of answers that hold `item` in place of `items`.
const ANSWERS_OF_ITEM: &[&str] = &["privateIpAddressesSet"];

/// Lists of Describe calls that are left out when they were not sent; all others are there, empty.
#[rustfmt::skip]
const NOT_KEPT: &[(&str, &str)] = &[
    ("DescribeAvailabilityZones", "filterSet"),
    ("DescribeRegions", "filterSet"),
    ("DescribeSpotPriceHistory", "filterSet"),
];

/// What EC2 writes in addition, if it was not sent: (operation, name, JSON).
#[rustfmt::skip]
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("AttachVolume", "deleteOnTermination", "false"),
    ("AuthorizeSecurityGroupEgress", "ipPermissions", "{}"),
    ("AuthorizeSecurityGroupIngress", "ipPermissions", "{}"),
    ("CreateNetworkAclEntry", "icmpTypeCode", "{}"),
    ("CreateNetworkAclEntry", "portRange", "{}"),
    ("CreateNetworkInterface", "groupSet", "{}"),
    ("CreateNetworkInterface", "privateIpAddressesSet", "{}"),
    ("CreateVpc", "instanceTenancy", r#""default""#),
    ("DescribeAccountAttributes", "filterSet", "{}"),
    ("DescribeInstanceStatus", "includeAllInstances", "false"),
    ("DescribeKeyPairs", "includePublicKey", "false"),
    ("DetachVolume", "force", "false"),
    ("ReplaceNetworkAclEntry", "icmpTypeCode", "{}"),
    ("ReplaceNetworkAclEntry", "portRange", "{}"),
    ("RevokeSecurityGroupEgress", "ipPermissions", "{}"),
    ("RevokeSecurityGroupIngress", "ipPermissions", "{}"),
    ("RunInstances", "blockDeviceMapping", "{}"),
    ("RunInstances", "disableApiStop", "false"),
    ("RunInstances", "disableApiTermination", "false"),
    ("RunInstances", "monitoring", r#"{"enabled":false}"#),
    ("StopInstances", "force", "false"),
];

/// Members of RunInstances that stand in `instancesSet`.
const OF_INSTANCE: &[&str] = &["imageId", "minCount", "maxCount", "keyName"];

/// Whether `operation` has the flat layout.
pub(super) fn is_flat(service: &Service, operation: &Operation) -> bool {
    let dry_run = operation
        .input
        .and_then(|input| service.structure(input))
        .and_then(|structure| structure.member("DryRun"));
    match dry_run {
        Some(member) => member.wire_name.as_deref() == Some("dryRun"),
        None => OLD_WITHOUT_DRY_RUN.contains(&&*operation.name),
    }
}

/// `requestParameters`
pub(super) fn request(service: &Service, operation: &Operation, params: Params) -> Value {
    let layout = Layout::new(service, operation);
    let Some(input) = operation.input.map(|input| service.shape(input)) else {
        return Value::Null;
    };
    if is_flat(service, operation) {
        return values::object(layout.flat_request(input, params));
    }
    let name = find(WRAPPERS, &operation.name)
        .map_or_else(|| format!("{}Request", operation.name), str::to_owned);
    let inner = layout.wrapped(input, params);
    let inner = if inner.is_empty() {
        "".into()
    } else {
        Value::Object(inner)
    };
    one(name, inner)
}

/// `responseElements` of a call that changed something; `members` are the answer's, by the names of its XML.
pub(super) fn response(
    service: &Service,
    operation: &Operation,
    members: Option<Params>,
    request_id: &str,
) -> Value {
    let layout = Layout::new(service, operation);
    let flat = is_flat(service, operation);
    let mut members = members.unwrap_or_default();
    match operation.output.map(|output| service.shape(output)) {
        Some(output) => layout.answer(output, &mut members, flat),
        None => members.clear(),
    }
    if flat && let Some(returned) = returned(service, operation, &mut members) {
        members.shift_insert(0, "_return".to_owned(), returned);
    }
    members.shift_insert(0, "requestId".to_owned(), request_id.into());
    if flat {
        return Value::Object(members);
    }
    members.shift_insert(0, "xmlns".to_owned(), NAMESPACE.into());
    one(
        format!("{}Response", operation.name),
        Value::Object(members),
    )
}

/// Takes the answer's `return`, the WSDL's word for success, out of its members; `None` where it has none.
fn returned(service: &Service, operation: &Operation, members: &mut Params) -> Option<Value> {
    if let Some(returned) = members.shift_remove("return") {
        return Some(returned);
    }
    let output = operation
        .output
        .and_then(|output| service.structure(output));
    let is_returning = members.is_empty()
        || output.is_some_and(|output| output.member("Return").is_some())
        || RETURNING.contains(&&*operation.name);
    is_returning.then(|| true.into())
}

struct Layout<'a> {
    service: &'a Service,
    operation: &'a Operation,
    secrets: Secrets<'a>,
}

impl<'a> Layout<'a> {
    fn new(service: &'a Service, operation: &'a Operation) -> Self {
        Self {
            service,
            operation,
            secrets: Secrets::of(service, REMOVED),
        }
    }

    fn flat_request(&self, input: &Shape, params: Params) -> Params {
        let operation = &*self.operation.name;
        let mut members = self.flat(input, params);
        if operation.starts_with("Describe") {
            self.keep_empty_lists(input, &mut members);
        }
        match operation {
            "RunInstances" => gather_instance(&mut members),
            "ModifySnapshotAttribute" => gather_permission(&mut members, "createVolumePermission"),
            "ModifyImageAttribute" => gather_permission(&mut members, "launchPermission"),
            _ => {}
        }
        if operation.ends_with("SnapshotAttribute")
            && let Some(Value::String(attribute)) = members.get_mut("attributeType")
        {
            *attribute = upper_snake(attribute);
        }
        for (_, name) in DROPPED.iter().filter(|(it, _)| *it == operation) {
            members.shift_remove(*name);
        }
        for (_, name, default) in DEFAULTS.iter().filter(|(it, ..)| *it == operation) {
            if !members.contains_key(*name) {
                let default = serde_json::from_str(default).unwrap_or_default();
                members.insert((*name).to_owned(), default);
            }
        }
        members
    }

    /// Adds `{}` for every list of a Describe call that was not sent.
    fn keep_empty_lists(&self, input: &Shape, members: &mut Params) {
        let Kind::Structure(structure) = &input.kind else {
            return;
        };
        for member in &structure.members {
            let list = matches!(self.service.shape(member.shape).kind, Kind::List { .. });
            if list {
                let set = self.set(member).0;
                if !members.contains_key(&set)
                    && find_pair(NOT_KEPT, &self.operation.name, &set).is_none()
                {
                    members.insert(set, empty());
                }
            }
        }
    }

    /// Members of a structure by the WSDL's names.
    fn flat(&self, shape: &Shape, params: Params) -> Params {
        let Kind::Structure(structure) = &shape.kind else {
            return Params::new();
        };
        let mut members = Params::with_capacity(params.len());
        for (member, value) in self.shown(shape, structure, params) {
            let (name, value) = match value {
                Shown::Hidden(text) => (self.flat_name(member), text),
                Shown::Value(value) => self.flat_member(shape, member, value),
            };
            // Security groups by id and by name are one set.
            match (members.entry(name), value) {
                (Entry::Vacant(slot), value) => drop(slot.insert(value)),
                (Entry::Occupied(mut slot), value) => match (slot.get_mut(), value) {
                    (Value::Object(set), Value::Object(more)) => extend_items(set, more),
                    (slot, value) => *slot = value,
                },
            }
        }
        if &*shape.name == "IpPermission" {
            for list in ["groups", "ipRanges", "ipv6Ranges", "prefixListIds"] {
                members.entry(list).or_insert_with(empty);
            }
        }
        members
    }

    fn flat_member(&self, parent: &Shape, member: &Member, value: Value) -> (String, Value) {
        let shape = self.service.shape(member.shape);
        match (&shape.kind, value) {
            (Kind::List { element, .. }, Value::Array(items)) => {
                let element = self.service.shape(element.shape);
                // Tags of a specification came too late for the WSDL.
                if &*parent.name == "TagSpecification" {
                    let items = items.into_iter().map(|it| self.flat_value(element, it));
                    return ("tags".to_owned(), items.collect());
                }
                let (set, name) = self.set(member);
                let items: Vec<Value> = items
                    .into_iter()
                    .map(|item| match item {
                        Value::Object(_) => self.flat_value(element, item),
                        scalar => one(name.as_str(), self.flat_value(element, scalar)),
                    })
                    .collect();
                let items = match items.is_empty() {
                    true => empty(),
                    false if OF_ITEM.contains(&&*self.operation.name) && set != "filterSet" => {
                        one("item", Value::Array(items))
                    }
                    false => one("items", Value::Array(items)),
                };
                (set, items)
            }
            (_, value) => {
                let name = self.flat_name(member);
                let value = self.flat_value(shape, value);
                if find_pair(TEXTS, &self.operation.name, &name).is_some() {
                    return (name, value.to_string().into());
                }
                (name, value)
            }
        }
    }

    fn flat_value(&self, shape: &Shape, value: Value) -> Value {
        match (&shape.kind, value) {
            (Kind::Structure(_), Value::Object(params)) => Value::Object(self.flat(shape, params)),
            (Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. }, _) => Value::Null,
            (Kind::Timestamp(_), value) => date(value, Dates::EpochMillis),
            _ if shape.sensitive => REMOVED.into(),
            (_, value) => value,
        }
    }

    fn flat_name(&self, member: &Member) -> String {
        let name = member.lower_wire();
        MEMBERS
            .iter()
            .find(|(operation, it, _)| *operation == &*self.operation.name && *it == name)
            .map_or(name, |(.., wsdl)| (*wsdl).to_owned())
    }

    /// The WSDL's name of a list, and of its elements if they are no structures.
    fn set(&self, member: &Member) -> (String, String) {
        let name = member.lower_wire();
        let listed = OPERATION_SETS
            .iter()
            .find(|(operation, it, _)| *operation == &*self.operation.name && *it == name)
            .map(|(.., set)| *set)
            .or_else(|| find(SETS, &name));
        match listed {
            Some((set, element)) => (set.to_owned(), element.to_owned()),
            // Some are called by the WSDL's name in the query too.
            None => match name.strip_suffix("Set") {
                Some(element) => (name.clone(), element.to_owned()),
                None => (format!("{name}Set"), name),
            },
        }
    }

    /// Members by the query's names, lists numbered.
    fn wrapped(&self, shape: &Shape, params: Params) -> Params {
        let Kind::Structure(structure) = &shape.kind else {
            return Params::new();
        };
        self.shown(shape, structure, params)
            .filter_map(|(member, value)| {
                let name = match (&member.query_name, &member.wire_name) {
                    (Some(name), _) | (None, Some(name)) => upper_first(name).into_owned(),
                    (None, None) => upper_first(&member.name).into_owned(),
                };
                let value = match value {
                    Shown::Hidden(text) => text,
                    Shown::Value(value) => {
                        self.wrapped_value(self.service.shape(member.shape), value)?
                    }
                };
                Some((name, value))
            })
            .collect()
    }

    /// `None` for an empty list: the query has nothing to send for it.
    fn wrapped_value(&self, shape: &Shape, value: Value) -> Option<Value> {
        Some(match (&shape.kind, value) {
            (Kind::Structure(_), Value::Object(params)) => {
                Value::Object(self.wrapped(shape, params))
            }
            (Kind::List { element, .. }, Value::Array(items)) => {
                let element = self.service.shape(element.shape);
                let numbered = items.into_iter().enumerate().filter_map(|(index, item)| {
                    let tag = index + 1;
                    Some(match self.wrapped_value(element, item)? {
                        Value::Object(mut members) => {
                            members.insert("tag".to_owned(), tag.into());
                            Value::Object(members)
                        }
                        content => json!({"tag": tag, "content": content}),
                    })
                });
                one_or_all(numbered.collect())?
            }
            (Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. }, _) => return None,
            (Kind::Timestamp(_), value) => date(value, Dates::Iso),
            _ if shape.sensitive => REMOVED.into(),
            (_, Value::String(text)) => typed_text(text.into()),
            (_, value) => value,
        })
    }

    /// Makes an answer's members, which go by the names of its XML already, the record's.
    fn answer(&self, shape: &Shape, members: &mut Params, flat: bool) {
        let Kind::Structure(structure) = &shape.kind else {
            members.clear();
            return;
        };
        members.retain(|name, value| {
            let Some(member) = structure.wired(name.as_bytes()) else {
                return false;
            };
            let of = self.service.shape(member.shape);
            match self.secrets.hide(&shape.name, member, of) {
                Some(Hide::Drop) => return false,
                Some(Hide::Text(text)) => *value = text.into(),
                Some(_) => *value = empty(),
                None => self.answer_value(of, value, flat),
            }
            if flat
                && ANSWERS_OF_ITEM.contains(&name.as_str())
                && let Some(items) = value.get_mut("items")
            {
                *value = one("item", items.take());
            }
            true
        });
    }

    fn answer_value(&self, shape: &Shape, value: &mut Value, flat: bool) {
        match (&shape.kind, &mut *value) {
            (Kind::Structure(_), Value::Object(members)) => self.answer(shape, members, flat),
            (Kind::List { element, .. }, Value::Array(items)) => {
                let of = self.service.shape(element.shape);
                for item in &mut *items {
                    self.answer_value(of, item, flat);
                }
                *value = match (items.is_empty(), flat) {
                    (true, true) => empty(),
                    (true, false) => "".into(),
                    (false, true) => one("items", value.take()),
                    (false, false) => one(
                        element.wire_name.as_deref().unwrap_or("item"),
                        one_or_all(std::mem::take(items)).unwrap_or_default(),
                    ),
                };
            }
            (Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. }, _) => *value = Value::Null,
            (Kind::Timestamp(_), _) => {
                let dates = if flat { Dates::EpochMillis } else { Dates::Iso };
                *value = date(value.take(), dates);
            }
            _ if shape.sensitive => *value = REMOVED.into(),
            (_, Value::String(text)) if !flat => *value = typed_text(std::mem::take(text).into()),
            _ => {}
        }
    }

    /// The members that the model knows and that may be shown, or what stands in their place.
    fn shown<'s>(
        &'s self,
        parent: &'s Shape,
        structure: &'s Structure,
        params: Params,
    ) -> impl Iterator<Item = (&'s Member, Shown)> {
        params.into_iter().filter_map(move |(name, value)| {
            let member = structure.member(&name)?;
            let shape = self.service.shape(member.shape);
            let shown = match self.secrets.hide(&parent.name, member, shape) {
                Some(Hide::Drop) => return None,
                Some(Hide::Text(text)) => Shown::Hidden(text.into()),
                Some(_) => Shown::Hidden(empty()),
                None => Shown::Value(value),
            };
            Some((member, shown))
        })
    }
}

/// A member's value, or what stands for it.
enum Shown {
    Value(Value),
    Hidden(Value),
}

/// The only element alone, several as an array: so reads XML that has been turned into JSON.
fn one_or_all(mut items: Vec<Value>) -> Option<Value> {
    match items.len() {
        0 => None,
        1 => items.pop(),
        _ => Some(Value::Array(items)),
    }
}

fn find_pair<'a>(
    table: &'a [(&str, &str)],
    first: &str,
    second: &str,
) -> Option<&'a (&'a str, &'a str)> {
    table.iter().find(|(a, b)| *a == first && *b == second)
}

/// Adds the items of one set to another's.
fn extend_items(set: &mut Params, mut more: Params) {
    let more = more.get_mut("items").map(Value::take);
    if let (Some(Value::Array(items)), Some(Value::Array(more))) = (set.get_mut("items"), more) {
        items.extend(more);
    }
}

/// `createVolumePermission` → `CREATE_VOLUME_PERMISSION`
fn upper_snake(name: &str) -> String {
    let mut upper = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for character in name.chars() {
        if after_lower && character.is_ascii_uppercase() {
            upper.push('_');
        }
        after_lower = character.is_ascii_lowercase();
        upper.push(character.to_ascii_uppercase());
    }
    upper
}

/// RunInstances says what to run in a list of one.
fn gather_instance(members: &mut Params) {
    let mut instance = Params::with_capacity(OF_INSTANCE.len());
    for name in OF_INSTANCE {
        if let Some(value) = members.get_mut(*name) {
            instance.insert((*name).to_owned(), value.take());
        }
    }
    members.retain(|name, _| !OF_INSTANCE.contains(&name.as_str()));
    members.shift_insert(
        0,
        "instancesSet".to_owned(),
        one("items", Value::Array(vec![Value::Object(instance)])),
    );
}

/// The query's `OperationType`, `UserIds` and `UserGroups` are one member in the WSDL:
/// `"launchPermission":{"add":{"items":[{"userId":…}]}}`.
fn gather_permission(members: &mut Params, name: &str) {
    let Some(operation) = members.shift_remove("operationType") else {
        return;
    };
    let mut items = Vec::new();
    for (set, key) in [("userIdSet", "userId"), ("userGroupSet", "group")] {
        let sent = members.shift_remove(set);
        let sent = sent.as_ref().and_then(|set| set.get("items")?.as_array());
        for item in sent.into_iter().flatten() {
            let value = item.as_object().and_then(|item| item.values().next());
            items.push(json!({ key: value }));
        }
    }
    let operation = operation.as_str().unwrap_or("add").to_owned();
    if !items.is_empty() {
        members.insert(
            name.to_owned(),
            one(operation, one("items", Value::Array(items))),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestCall, request_parameters};
    use super::*;

    #[test]
    fn requests_of_both_layouts() {
        let filter = json!([{"Name": "vpc-id", "Values": ["vpc-1"]}]);
        let filter_set =
            json!({"items": [{"name": "vpc-id", "valueSet": {"items": [{"value": "vpc-1"}]}}]});
        for (operation, params, expected) in [
            (
                "DescribeInstances",
                json!({}),
                json!({"instancesSet": {}, "filterSet": {}}),
            ),
            (
                "DescribeInstances",
                json!({"InstanceIds": ["i-1", "i-2"], "Filters": filter}),
                json!({"instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]},
                       "filterSet": filter_set}),
            ),
            (
                "DescribeSecurityGroups",
                json!({"GroupIds": ["sg-1"]}),
                json!({"securityGroupIdSet": {"items": [{"groupId": "sg-1"}]},
                       "securityGroupSet": {}, "filterSet": {}}),
            ),
            (
                "DescribeImages",
                json!({"Owners": ["self"], "ExecutableUsers": ["all"]}),
                json!({"ownersSet": {"items": [{"owner": "self"}]},
                       "executableBySet": {"items": [{"user": "all"}]}, "imagesSet": {}, "filterSet": {}}),
            ),
            (
                "RunInstances",
                json!({"ImageId": "ami-1", "MinCount": 1, "MaxCount": 2, "InstanceType": "t3.micro",
                       "UserData": "c2VjcmV0", "SecurityGroupIds": ["sg-1"], "SecurityGroups": ["default"],
                       "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]}),
                json!({"instancesSet": {"items": [{"imageId": "ami-1", "minCount": 1, "maxCount": 2}]},
                       "instanceType": "t3.micro", "userData": "<sensitiveDataRemoved>",
                       "groupSet": {"items": [{"groupId": "sg-1"}, {"groupName": "default"}]},
                       "tagSpecificationSet": {"items": [
                           {"resourceType": "instance", "tags": [{"key": "k", "value": "v"}]}]},
                       "blockDeviceMapping": {}, "disableApiStop": false, "disableApiTermination": false,
                       "monitoring": {"enabled": false}}),
            ),
            (
                "RunInstances",
                json!({"ImageId": "ami-1", "Monitoring": {"Enabled": true}, "DisableApiTermination": true,
                       "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-1"],
                       "PrivateIpAddresses": [{"Primary": true, "PrivateIpAddress": "192.0.2.1"}]}]}),
                json!({"instancesSet": {"items": [{"imageId": "ami-1"}]},
                       "monitoring": {"enabled": true}, "disableApiTermination": true,
                       "networkInterfaceSet": {"items": [{"deviceIndex": 0,
                           "groupSet": {"items": [{"groupId": "sg-1"}]},
                           "privateIpAddressesSet": {"items": [{"primary": true, "privateIpAddress": "192.0.2.1"}]}}]},
                       "blockDeviceMapping": {}, "disableApiStop": false}),
            ),
            (
                "AuthorizeSecurityGroupIngress",
                json!({"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 22,
                       "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}]}),
                json!({"groupId": "sg-1", "ipPermissions": {"items": [{"ipProtocol": "tcp", "fromPort": 22,
                       "toPort": 22, "ipRanges": {"items": [{"cidrIp": "192.0.2.0/24"}]},
                       "groups": {}, "ipv6Ranges": {}, "prefixListIds": {}}]}}),
            ),
            (
                "ModifySnapshotAttribute",
                json!({"SnapshotId": "snap-1", "Attribute": "createVolumePermission",
                       "OperationType": "add", "UserIds": ["111122223333"]}),
                json!({"snapshotId": "snap-1", "attributeType": "CREATE_VOLUME_PERMISSION",
                       "createVolumePermission": {"add": {"items": [{"userId": "111122223333"}]}}}),
            ),
            (
                "CreateVolume",
                json!({"AvailabilityZone": "eu-west-1a", "Size": 8}),
                json!({"zone": "eu-west-1a", "size": "8"}),
            ),
            (
                "DescribeSpotPriceHistory",
                json!({"StartTime": 1_527_908_429.414}),
                json!({"startTime": 1_527_908_429_414_i64, "instanceTypeSet": {},
                       "productDescriptionSet": {}}),
            ),
            (
                "CreateNatGateway",
                json!({"SubnetId": "subnet-1", "TagSpecifications": [{"ResourceType": "natgateway",
                       "Tags": [{"Key": "a", "Value": "true"}, {"Key": "b", "Value": "1"}]}]}),
                json!({"CreateNatGatewayRequest": {"SubnetId": "subnet-1", "TagSpecification": {
                       "ResourceType": "natgateway", "tag": 1, "Tag": [
                           {"Key": "a", "Value": true, "tag": 1}, {"Key": "b", "Value": 1, "tag": 2}]}}}),
            ),
            (
                "CreateVpcEndpoint",
                json!({"VpcId": "vpc-1", "SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": []}),
                json!({"CreateVpcEndpointRequest": {"VpcId": "vpc-1", "SubnetId": [
                       {"tag": 1, "content": "subnet-1"}, {"tag": 2, "content": "subnet-2"}]}}),
            ),
            (
                "GetEbsEncryptionByDefault",
                json!({}),
                json!({"GetEbsEncryptionByDefaultRequest": ""}),
            ),
            (
                "DeleteTransitGatewayVpcAttachment",
                json!({"TransitGatewayAttachmentId": "tgw-attach-1"}),
                json!({"DelTGwVpcAttachReq": {"TransitGatewayAttachmentId": "tgw-attach-1"}}),
            ),
        ] {
            assert_eq!(
                request_parameters("ec2", operation, params.clone()),
                expected,
                "{operation} {params}"
            );
        }
    }

    #[test]
    fn answers_of_both_layouts() {
        for (operation, answer, expected) in [
            (
                "DeleteVolume",
                json!({}),
                json!({"requestId": "request-1", "_return": true}),
            ),
            (
                "AuthorizeSecurityGroupIngress",
                json!({"Return": true, "SecurityGroupRules": [{"SecurityGroupRuleId": "sgr-1", "IsEgress": false}]}),
                json!({"requestId": "request-1", "_return": true, "securityGroupRuleSet": {
                       "items": [{"securityGroupRuleId": "sgr-1", "isEgress": false}]}}),
            ),
            (
                "RevokeSecurityGroupEgress",
                json!({"Return": false}),
                json!({"requestId": "request-1", "_return": false}),
            ),
            // Emulators that answer by the model leave it out.
            (
                "CreateSecurityGroup",
                json!({"GroupId": "sg-1"}),
                json!({"requestId": "request-1", "_return": true, "groupId": "sg-1"}),
            ),
            (
                "ModifySecurityGroupRules",
                json!({"Return": true}),
                json!({"ModifySecurityGroupRulesResponse": {
                       "xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/", "requestId": "request-1", "return": true}}),
            ),
            (
                "CreateSnapshot",
                json!({"SnapshotId": "snap-1", "StartTime": 1_618_897_295, "VolumeSize": 8}),
                json!({"requestId": "request-1", "snapshotId": "snap-1",
                       "startTime": 1_618_897_295_000_i64, "volumeSize": 8}),
            ),
            (
                "CreateNetworkInterface",
                json!({"NetworkInterface": {"NetworkInterfaceId": "eni-1", "Groups": [{"GroupId": "sg-1"}],
                       "PrivateIpAddresses": [{"Primary": true, "PrivateIpAddress": "192.0.2.1"}]}}),
                json!({"requestId": "request-1", "networkInterface": {"networkInterfaceId": "eni-1",
                       "groupSet": {"items": [{"groupId": "sg-1"}]},
                       "privateIpAddressesSet": {"item": [{"primary": true, "privateIpAddress": "192.0.2.1"}]}}}),
            ),
            (
                "CreateKeyPair",
                json!({"KeyName": "k", "KeyMaterial": "-----BEGIN"}),
                json!({"requestId": "request-1", "keyName": "k",
                       "keyMaterial": "<sensitiveDataRemoved>"}),
            ),
            (
                "CreateNatGateway",
                json!({"NatGateway": {"NatGatewayId": "nat-1", "CreateTime": 1_618_815_436,
                       "Tags": [{"Key": "a", "Value": "true"}]}}),
                json!({"CreateNatGatewayResponse": {
                       "xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/", "requestId": "request-1",
                       "natGateway": {"natGatewayId": "nat-1", "createTime": "2021-04-19T06:57:16.000Z",
                                      "tagSet": {"item": {"key": "a", "value": true}}}}}),
            ),
            // An element that its list calls otherwise.
            (
                "CreateLaunchTemplateVersion",
                json!({"LaunchTemplateVersion": {"LaunchTemplateData": {
                       "NetworkInterfaces": [{"Groups": ["sg-1"]}]}}}),
                json!({"CreateLaunchTemplateVersionResponse": {
                       "xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/", "requestId": "request-1",
                       "launchTemplateVersion": {"launchTemplateData": {
                           "networkInterfaceSet": {"item": {"groupSet": {"groupId": "sg-1"}}}}}}}),
            ),
        ] {
            let event = TestCall::new("ec2", operation, json!({}))
                .answered(&answer)
                .record();
            assert_eq!(event.response_elements, expected, "{operation}");
        }
    }
}
