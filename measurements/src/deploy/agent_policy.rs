//! The policy that Kata's agent enforces on the host's requests: the rules are the same for every workload, the data at their end is
//! this one's.

use serde_json::{Value, json};

use super::container::Container;
use super::error::DeployError;

/// The rules. They name their data `containers`.
const RULES: &str = include_str!("agent_policy.rego");

/// What the engine of Kata's agent takes of one line (64 KiB), with room for the name of the data.
const MAX_LINE_BYTES: usize = 65_000;

/// The policy for one container and the pause container, in Rego as Kata's agent reads it.
pub(super) fn agent_policy(container: &Container) -> Result<String, DeployError> {
    let mut own =
        serde_json::to_value(container).map_err(|error| DeployError::new(format!("agent policy: {error}")))?;
    if let Value::Object(members) = &mut own {
        members.insert("kind".to_owned(), "container".into());
    }
    // The guest takes the pause image from its own, measured disk, and the process from that image.
    let pause = json!({
        "kind": "sandbox", "name": "", "image": "pause", "args": ["/pause"], "directory": "/", "env": [], "user": 0, "group": 0,
    });
    // Inside a literal string of TOML there is no way to write an apostrophe thrice.
    let data = json!([pause, own]).to_string().replace('\'', "\\u0027");
    if data.len() > MAX_LINE_BYTES {
        return Err(DeployError::new(format!(
            "agent policy: the container's command, arguments and variables make a line of {} bytes, where the guest's agent reads lines of \
             {MAX_LINE_BYTES}; put them into a file of the image",
            data.len()
        )));
    }
    Ok(format!("{RULES}containers := {data}\n"))
}
