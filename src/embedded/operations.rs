//! One table of operations per service, whatever the wire looks like.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Caller, Error};
use crate::aws::Params;

type Reply = Pin<Box<dyn Future<Output = Result<Params, Error>> + Send>>;
type Handler<S> = Box<dyn Fn(S, Caller, Params) -> Reply + Send + Sync>;

/// Every operation of the service `S` by its wire name.
pub(super) struct Operations<S> {
    service: &'static str,
    by_name: BTreeMap<&'static str, Handler<S>>,
}

impl<S: Clone + Send + 'static> Operations<S> {
    /// `service`: its name for people.
    pub(super) fn new(service: &'static str) -> Self {
        Self {
            service,
            by_name: BTreeMap::new(),
        }
    }

    pub(super) fn on<I, O, F>(mut self, name: &'static str, run: fn(S, Caller, I) -> F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize,
        F: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let handler = move |service: S, caller: Caller, params: Params| -> Reply {
            match serde_json::from_value(Value::Object(params)) {
                Ok(input) => {
                    let reply = run(service, caller, input);
                    Box::pin(async move { encode(&reply.await?) })
                }
                Err(e) => Box::pin(ready(Err(Error::new("ValidationError", e.to_string())))),
            }
        };
        let earlier = self.by_name.insert(name, Box::new(handler));
        assert!(earlier.is_none(), "{name} is registered twice");
        self
    }

    /// Runs an operation. One that is not in the table is `NotImplemented`, status 501: the service may well know it.
    pub(super) async fn call(
        &self,
        service: S,
        caller: &Caller,
        operation: &str,
        params: &Params,
    ) -> Result<Params, Error> {
        let Some(handler) = self.by_name.get(operation) else {
            let service = self.service;
            return Err(Error::new(
                "NotImplemented",
                format!(
                    "localtrail's embedded {service} does not implement {operation}. \
                    Start localtrail with --upstream to have an AWS emulator answer it."
                ),
            )
            .with_status(501));
        };
        handler(service, caller.clone(), params.clone()).await
    }
}

fn encode(output: &impl Serialize) -> Result<Params, Error> {
    match serde_json::to_value(output) {
        Ok(Value::Object(params)) => Ok(params),
        // `()`: the operation has no output.
        Ok(_) => Ok(Params::new()),
        Err(e) => Err(Error::internal(e)),
    }
}
