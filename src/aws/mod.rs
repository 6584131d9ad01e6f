//! What AWS requests look like: models, routing, six wire protocols, signatures, tokens of identity providers, ARNs.
//!
//! Pure: values in, values out. Knows nothing of CloudTrail, of axum or of SQLite, does no I/O and reads no clock.
//! Whatever differs between services stands in `models.bin`, not in code.

pub mod arn;
pub mod body;
mod cbor;
mod decode;
pub mod encode;
mod json;
pub mod jwt;
pub mod model;
pub mod params;
mod query;
mod rest;
pub mod route;
pub mod saml;
pub mod sigv4;
#[cfg(test)]
mod testing;
mod text;
mod uri;
pub mod verify;
mod xml;

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use model::{Protocol, Service};
use serde::Deserialize;

/// Parameters of a call or its answer by the model's member names, in the order they were sent.
///
/// Timestamps are numbers (epoch seconds, fraction kept), blobs base64 strings, absent members absent; members that
/// the model does not know are dropped, as AWS drops them; a streaming body is left out.
pub type Params = serde_json::Map<String, serde_json::Value>;

/// The embedded models: an index of all services, each decoded when it is first asked for.
pub struct Models {
    /// In the order of their ids.
    entries: Vec<Entry>,
    by_id: HashMap<&'static str, usize>,
    by_signing_name: HashMap<&'static str, Vec<&'static str>>,
    by_endpoint_prefix: HashMap<&'static str, usize>,
}

/// What the index says of a service: as much as routing needs to choose one without decoding any.
struct Entry {
    id: &'static str,
    service_id: &'static str,
    signing_name: &'static str,
    endpoint_prefix: &'static str,
    api_version: &'static str,
    target_prefix: Option<&'static str>,
    json_version: Option<&'static str>,
    protocols: Vec<Protocol>,
    xml_namespace: Option<&'static str>,
    frame: &'static [u8],
    service: OnceLock<&'static Service>,
}

/// One line of the index in `models.bin`, in the order that `distill.py` writes.
#[derive(Deserialize)]
struct IndexLine<'a>(
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    &'a str,
    Option<&'a str>,
    usize,
);

#[derive(Deserialize)]
struct Index<'a> {
    #[serde(borrow)]
    services: Vec<IndexLine<'a>>,
}

static MODELS_BIN: &[u8] = include_bytes!("models.bin");

/// The models of this binary.
pub fn models() -> &'static Models {
    static MODELS: LazyLock<Models> =
        LazyLock::new(|| Models::read(MODELS_BIN).expect("models.bin is as distill.py wrote it"));
    &MODELS
}

impl Models {
    fn read(file: &'static [u8]) -> decode::Result<Self> {
        let broken = || "models.bin is cut short";
        let rest = file.strip_prefix(b"LTM1").ok_or_else(broken)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (index, mut frames) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(broken)?;
        // Leaked once: the names in it live as long as the process, and are borrowed from here.
        let index: &'static str = Box::leak(decode::inflate(index)?.into_boxed_str());
        let index: Index<'static> = serde_json::from_str(index)?;

        let mut entries = Vec::with_capacity(index.services.len());
        for line in index.services {
            let (frame, rest) = frames.split_at_checked(line.9).ok_or_else(broken)?;
            frames = rest;
            entries.push(Entry {
                id: line.0,
                service_id: line.1,
                signing_name: line.2,
                endpoint_prefix: line.3,
                api_version: line.4,
                target_prefix: line.5,
                json_version: line.6,
                protocols: decode::protocols(line.7),
                xml_namespace: line.8,
                frame,
                service: OnceLock::new(),
            });
        }

        let mut models = Self {
            by_id: HashMap::with_capacity(entries.len()),
            by_signing_name: HashMap::with_capacity(entries.len()),
            by_endpoint_prefix: HashMap::with_capacity(entries.len()),
            entries,
        };
        for (position, entry) in models.entries.iter().enumerate() {
            models.by_id.insert(entry.id, position);
            let ids = models.by_signing_name.entry(entry.signing_name);
            ids.or_default().push(entry.id);
            let prefix = models.by_endpoint_prefix.entry(entry.endpoint_prefix);
            prefix.or_insert(position);
        }
        // The one that gave the name its meaning comes first: rds before docdb and neptune.
        for (name, ids) in &mut models.by_signing_name {
            ids.sort_by_key(|id| id != name);
        }
        Ok(models)
    }

    /// The service with botocore's name `id`.
    pub fn service(&self, id: &str) -> Option<&'static Service> {
        self.entry(id).map(Entry::service)
    }

    /// botocore's names of all services, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.id)
    }

    /// Ids of the services signed with `name`: several for `rds` or `elasticloadbalancing`.
    pub fn signed_as(&self, name: &str) -> &[&'static str] {
        self.by_signing_name.get(name).map_or(&[], Vec::as_slice)
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id).map(|&position| &self.entries[position])
    }

    /// The service whose host names begin with `prefix`: `api.ecr`, `monitoring`.
    fn at_endpoint(&self, prefix: &str) -> Option<&Entry> {
        let position = self.by_endpoint_prefix.get(prefix)?;
        Some(&self.entries[*position])
    }
}

impl Entry {
    /// The decoded service; the first call decodes it.
    fn service(&self) -> &'static Service {
        self.service.get_or_init(|| {
            let service = decode::service(self).expect("models.bin is as distill.py wrote it");
            Box::leak(Box::new(service))
        })
    }

    fn speaks(&self, wanted: &[Protocol]) -> bool {
        self.protocols.iter().any(|own| wanted.contains(own))
    }
}

#[cfg(test)]
mod tests {
    use super::model::{Kind, Protocol};
    use super::models;

    #[test]
    fn every_service_decodes_and_points_at_shapes_it_has() {
        let mut operations = 0;
        for id in models().ids() {
            let service = models().service(id).unwrap();
            assert_eq!(&*service.id, id);
            let known = |shape: super::model::ShapeId| (shape.0 as usize) < service.shapes.len();
            for operation in &service.operations {
                operations += 1;
                assert_eq!(
                    service.operation(&operation.name).unwrap().uri,
                    operation.uri
                );
                assert!(operation.input.is_none_or(known), "{id}");
                assert!(operation.output.is_none_or(known), "{id}");
                assert!(operation.errors.iter().copied().all(known), "{id}");
            }
            for shape in &service.shapes {
                match &shape.kind {
                    Kind::Structure(structure) => {
                        assert!(structure.members.iter().all(|member| known(member.shape)));
                    }
                    Kind::List { element, .. } => assert!(known(element.shape)),
                    Kind::Map { key, value, .. } => assert!(known(key.shape) && known(value.shape)),
                    _ => {}
                }
            }
        }
        assert!(operations > 18_000, "{operations}");
    }

    #[test]
    fn services_are_found_by_their_signing_name() {
        assert_eq!(models().signed_as("rds"), ["rds", "docdb", "neptune"]);
        assert_eq!(models().signed_as("elasticloadbalancing"), ["elb", "elbv2"]);
        assert_eq!(models().signed_as("nothing"), [""; 0]);
        // No signingName in the model: the endpoint prefix counts.
        assert_eq!(models().signed_as("monitoring"), ["cloudwatch"]);
    }

    #[test]
    fn a_service_keeps_what_its_model_says() {
        let cloudwatch = models().service("cloudwatch").unwrap();
        assert_eq!(
            cloudwatch.protocols,
            [Protocol::Cbor, Protocol::Json, Protocol::Query]
        );
        let trail = models().service("cloudtrail").unwrap();
        assert_eq!(
            trail.target_prefix.as_deref(),
            Some("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101")
        );
        let input = trail.operation("CreateTrail").unwrap().input.unwrap();
        let input = trail.structure(input).unwrap();
        assert!(input.required.iter().any(|name| &**name == "S3BucketName"));
        let sts = models().service("sts").unwrap();
        let operation = sts.operation("AssumeRoleWithWebIdentity").unwrap();
        assert!(operation.unsigned);
        assert_eq!(
            operation.result_wrapper.as_deref(),
            Some("AssumeRoleWithWebIdentityResult")
        );
        let lookup = trail.shapes.iter().find(|s| &*s.name == "MaxResults");
        let constraints = lookup.unwrap().constraints.as_ref().unwrap();
        assert_eq!((constraints.min, constraints.max), (Some(1.0), Some(50.0)));
    }
}
