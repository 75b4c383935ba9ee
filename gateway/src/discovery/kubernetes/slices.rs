//! EndpointSlices as the API server writes them, and what they say of a Service.
//!
//! Kubernetes API, `discovery.k8s.io/v1`, `EndpointSlice`: `endpoints[].addresses`, `endpoints[].conditions`, `ports[]`. Of an endpoint
//! that says nothing of itself the API asks to take that it is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::api::Trouble;
use crate::discovery::config::ServicePort;

/// So many slices and addresses of one Service are kept.
const MOST_SLICES: usize = 2_048;
const MOST_ADDRESSES: usize = 4_096;
const MOST_VERSION_BYTES: usize = 256;
const MOST_CONTINUE_BYTES: usize = 4_096;

/// All slices of a Service, by name, and the version up to which they are known.
#[derive(Default, Debug)]
pub(super) struct Slices {
    version: String,
    by_name: BTreeMap<String, Slice>,
}

/// What the slices say.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) sockets: BTreeSet<SocketAddr>,
    /// Why that may not be all.
    pub(super) doubt: Option<String>,
}

/// What follows after a page of a list.
pub(super) struct Page {
    pub(super) next: Option<String>,
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Event {
    Put(Box<Slice>),
    Removed(Box<Slice>),
    /// Nothing but a newer version.
    Bookmark(String),
    /// The version from which it goes on is forgotten.
    Gone,
    /// The server has trouble.
    Failed(String),
}

#[derive(Clone, Default, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice {
    metadata: Metadata,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Clone, Default, Deserialize, Debug)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    resource_version: String,
    r#continue: String,
}

#[derive(Clone, Deserialize, Debug)]
struct Endpoint {
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Option<Conditions>,
}

#[derive(Clone, Copy, Default, Deserialize, Debug)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Clone, Deserialize, Debug)]
struct Port {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

#[derive(Deserialize)]
struct List {
    kind: String,
    metadata: Metadata,
    items: Option<Vec<Slice>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: String,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
    reason: String,
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Trouble> {
    // The library's words would repeat what stands there.
    serde_json::from_str(text).map_err(|error| {
        Trouble::Garbled(format!("{what} is not understood: line {}, column {}", error.line(), error.column()))
    })
}

impl Event {
    pub(super) fn parse(line: &[u8]) -> Result<Self, Trouble> {
        const WHAT: &str = "an event of the watch";
        let text = std::str::from_utf8(line).map_err(|_| Trouble::Garbled(format!("{WHAT} is no text")))?;
        let Line { r#type, object } = parsed(text, WHAT)?;
        match r#type.as_str() {
            "ADDED" | "MODIFIED" => Ok(Self::Put(Box::new(parsed(object.get(), WHAT)?))),
            "DELETED" => Ok(Self::Removed(Box::new(parsed(object.get(), WHAT)?))),
            "BOOKMARK" => {
                parsed(object.get(), WHAT).map(|Bookmark { metadata }| Self::Bookmark(metadata.resource_version))
            }
            "ERROR" => {
                let Status { code, reason } = parsed(object.get(), WHAT)?;
                if code == 410 || reason == "Expired" || reason == "Gone" {
                    return Ok(Self::Gone);
                }
                Ok(Self::Failed(format!("the watch ended with status {code}")))
            }
            _ => Err(Trouble::Garbled(format!("{WHAT} is of an unknown type"))),
        }
    }
}

impl Slices {
    /// The version from which a watch goes on.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Takes one answer of a list.
    pub(super) fn add_page(&mut self, text: &[u8]) -> Result<Page, Trouble> {
        const WHAT: &str = "its list";
        let text = std::str::from_utf8(text).map_err(|_| Trouble::Garbled(format!("{WHAT} is no text")))?;
        let List { kind, metadata, items } = parsed(text, WHAT)?;
        if kind != "EndpointSliceList" {
            return Err(Trouble::Garbled(format!("{WHAT} is none of EndpointSlices")));
        }
        for slice in items.unwrap_or_default() {
            self.put(slice)?;
        }
        self.moved_to(metadata.resource_version)?;
        let next = metadata.r#continue;
        if next.len() > MOST_CONTINUE_BYTES {
            return Err(Trouble::Garbled(format!("{WHAT} goes on from more than {MOST_CONTINUE_BYTES} bytes")));
        }
        Ok(Page { next: Some(next).filter(|next| !next.is_empty()) })
    }

    /// Takes a change; whether it was more than a newer version.
    pub(super) fn take(&mut self, event: Event) -> Result<bool, Trouble> {
        match event {
            Event::Put(slice) => {
                self.moved_to(slice.metadata.resource_version.clone())?;
                self.put(*slice)?;
                Ok(true)
            }
            Event::Removed(slice) => {
                self.moved_to(slice.metadata.resource_version)?;
                Ok(self.by_name.remove(&slice.metadata.name).is_some())
            }
            Event::Bookmark(version) => self.moved_to(version).map(|()| false),
            Event::Gone | Event::Failed(_) => Ok(false),
        }
    }

    fn put(&mut self, slice: Slice) -> Result<(), Trouble> {
        if slice.metadata.name.is_empty() {
            return Err(Trouble::Garbled("an EndpointSlice has no name".to_owned()));
        }
        self.by_name.insert(slice.metadata.name.clone(), slice);
        if self.by_name.len() > MOST_SLICES {
            return Err(Trouble::Garbled(format!("the Service has more than {MOST_SLICES} EndpointSlices")));
        }
        Ok(())
    }

    fn moved_to(&mut self, version: String) -> Result<(), Trouble> {
        if version.is_empty() || version.len() > MOST_VERSION_BYTES {
            return Err(Trouble::Garbled("an answer has no version to go on from".to_owned()));
        }
        self.version = version;
        Ok(())
    }

    /// The addresses of endpoints that are ready and do not terminate, at `port`.
    pub(super) fn told(&self, port: Option<&ServicePort>) -> Told {
        let mut told = Told { sockets: BTreeSet::new(), doubt: None };
        if self.by_name.is_empty() {
            told.doubt = Some("the Service has no EndpointSlices: is it there, under this name?".to_owned());
        }
        for slice in self.by_name.values() {
            let ready = slice.endpoints.iter().flatten().filter(|endpoint| endpoint.takes_requests());
            let mut ready = ready.flat_map(|endpoint| &endpoint.addresses).peekable();
            if ready.peek().is_none() {
                continue;
            }
            let port = match slice.port(port) {
                Ok(port) => port,
                Err(why) => {
                    told.doubt.get_or_insert(why);
                    continue;
                }
            };
            for address in ready {
                match address.parse::<IpAddr>() {
                    Ok(_) if told.sockets.len() >= MOST_ADDRESSES => {
                        told.doubt
                            .get_or_insert_with(|| format!("the Service has more than {MOST_ADDRESSES} addresses"));
                    }
                    Ok(address) => {
                        told.sockets.insert(SocketAddr::new(address, port));
                    }
                    // A slice of host names (`addressType: FQDN`) is none that Kubernetes makes by itself.
                    Err(_) => {
                        told.doubt.get_or_insert_with(|| "an endpoint is no IP address".to_owned());
                    }
                }
            }
        }
        told
    }
}

impl Endpoint {
    fn takes_requests(&self) -> bool {
        let Conditions { ready, terminating } = self.conditions.unwrap_or_default();
        ready != Some(false) && terminating != Some(true)
    }
}

impl Slice {
    fn port(&self, wanted: Option<&ServicePort>) -> Result<u16, String> {
        let ports = self.ports.as_deref().unwrap_or_default();
        match (wanted, ports) {
            (Some(ServicePort::Number(number)), _) => Ok(*number),
            (Some(ServicePort::Name(name)), _) => {
                let named = ports.iter().find(|port| port.name.as_ref() == Some(name)).and_then(|port| port.port);
                named.ok_or_else(|| format!("no port of the Service is called `{name}`"))
            }
            (None, [Port { port: Some(port), .. }]) => Ok(*port),
            (None, _) => Err("the Service has no port, or several: name one (`port`)".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(items: &str) -> Slices {
        let mut slices = Slices::default();
        let list = format!(r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"7"}},"items":[{items}]}}"#);
        slices.add_page(list.as_bytes()).unwrap();
        slices
    }

    fn told(slices: &Slices, port: Option<ServicePort>) -> (Vec<String>, Option<String>) {
        let Told { sockets, doubt } = slices.told(port.as_ref());
        (sockets.iter().map(ToString::to_string).collect(), doubt)
    }

    #[test]
    fn an_endpoint_counts_while_it_is_ready_and_does_not_terminate() {
        let endpoint = |address: &str, conditions: &str| {
            let slice = format!(
                r#"{{"metadata":{{"name":"s"}},"addressType":"IPv4","ports":[{{"name":"","port":8443}}],
                    "endpoints":[{{"addresses":["{address}"]{conditions}}}]}}"#
            );
            told(&slices(&slice), None)
        };
        let is_in = |conditions: &str| !endpoint("10.0.0.1", conditions).0.is_empty();
        for (conditions, expected) in [
            ("", true),
            (r#","conditions":{}"#, true),
            (r#","conditions":null"#, true),
            (r#","conditions":{"ready":null}"#, true),
            (r#","conditions":{"ready":true,"serving":true,"terminating":false}"#, true),
            (r#","conditions":{"ready":false,"serving":false,"terminating":false}"#, false),
            (r#","conditions":{"ready":false,"serving":true,"terminating":true}"#, false),
            (r#","conditions":{"ready":true,"serving":true,"terminating":true}"#, false),
        ] {
            assert_eq!(is_in(conditions), expected, "{conditions}");
        }
        assert_eq!(endpoint("fd00::1", ""), (vec!["[fd00::1]:8443".into()], None));
        assert_eq!(endpoint("pod.example", ""), (vec![], Some("an endpoint is no IP address".into())));
    }

    #[test]
    fn the_port_is_the_only_one_or_the_one_that_is_meant() {
        let with = |ports: &str, port| {
            let slice =
                format!(r#"{{"metadata":{{"name":"s"}},"ports":{ports},"endpoints":[{{"addresses":["10.0.0.1"]}}]}}"#);
            told(&slices(&slice), port)
        };
        let two = r#"[{"name":"a","port":1},{"name":"b","port":2}]"#;
        let name = |name: &str| Some(ServicePort::Name(name.to_owned()));
        assert_eq!(with(two, name("b")).0, ["10.0.0.1:2"]);
        assert_eq!(with(two, Some(ServicePort::Number(9))).0, ["10.0.0.1:9"]);
        assert_eq!(with("null", Some(ServicePort::Number(9))).0, ["10.0.0.1:9"]);
        assert_eq!(with(two, None), (vec![], Some("the Service has no port, or several: name one (`port`)".into())));
        assert_eq!(with(two, name("c")), (vec![], Some("no port of the Service is called `c`".into())));
        assert_eq!(with("[]", None).1, Some("the Service has no port, or several: name one (`port`)".into()));
    }

    #[test]
    fn a_service_without_slices_is_doubted_and_one_without_endpoints_is_not() {
        assert!(told(&slices(""), None).1.unwrap().contains("has no EndpointSlices"));
        assert_eq!(told(&slices(r#"{"metadata":{"name":"s"},"endpoints":null,"ports":null}"#), None), (vec![], None));
    }

    #[test]
    fn what_is_no_list_and_no_event_is_named_and_not_repeated() {
        let of_list =
            |text: &str| format!("{:?}", Slices::default().add_page(text.as_bytes()).map(|_| ()).unwrap_err());
        for (text, said) in [
            ("secret", "its list is not understood: line 1, column 1"),
            (r#"{"kind":"Status","metadata":{},"items":[]}"#, "its list is none of EndpointSlices"),
            (r#"{"kind":"EndpointSliceList","metadata":{},"items":[]}"#, "no version to go on from"),
            (
                r#"{"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"},"items":[{"metadata":{}}]}"#,
                "an EndpointSlice has no name",
            ),
        ] {
            let error = of_list(text);
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
        let of_event = |text: &str| format!("{:?}", Event::parse(text.as_bytes()));
        assert_eq!(of_event(r#"{"type":"ERROR","object":{"code":410,"reason":"Expired"}}"#), "Ok(Gone)");
        assert!(of_event(r#"{"type":"ERROR","object":{"code":500}}"#).contains("ended with status 500"));
        assert!(of_event(r#"{"type":"WHAT","object":{}}"#).contains("of an unknown type"));
        assert!(of_event("secret").contains("not understood: line 1, column 1"));
    }

    #[test]
    fn the_number_of_slices_and_addresses_is_bounded() {
        let mut slices = Slices::default();
        let put = |slices: &mut Slices, number: usize| {
            let slice = format!(
                r#"{{"type":"ADDED","object":{{"metadata":{{"name":"s{number}","resourceVersion":"{number}"}},"ports":[{{"port":1}}],
                    "endpoints":[{{"addresses":["10.1.{}.{}","10.2.{}.{}","10.3.{}.{}"]}}]}}}}"#,
                number / 256,
                number % 256,
                number / 256,
                number % 256,
                number / 256,
                number % 256,
            );
            slices.take(Event::parse(slice.as_bytes()).unwrap()).map(|_| slices.version().to_owned())
        };
        for number in 0..MOST_SLICES {
            assert_eq!(put(&mut slices, number).unwrap(), number.to_string());
        }
        assert!(format!("{:?}", put(&mut slices, MOST_SLICES).unwrap_err()).contains("more than 2048 EndpointSlices"));
        let Told { sockets, doubt } = slices.told(None);
        assert_eq!((sockets.len(), doubt), (MOST_ADDRESSES, Some("the Service has more than 4096 addresses".into())));
    }
}
