//! What a release ships beside code.

/// `genuine`: the hardware is genuine and the guest is not a debug guest. Not a reason to send anything.
pub const GENUINE: &str = include_str!("../policy/genuine.toml");

/// `strict`: everything on. A template: it is refused until reference values stand in it.
pub const STRICT: &str = include_str!("../policy/strict.toml");

/// `azure-peer-pod`: a pod that is an Azure confidential VM of its own, under the vTPM of its paravisor. A template.
pub const AZURE_PEER_POD: &str = include_str!("../policy/azure-peer-pod.toml");

/// `azure-cvm-node`: a node that is an Azure confidential VM, which speaks for all that runs there. A template.
pub const AZURE_CVM_NODE: &str = include_str!("../policy/azure-cvm-node.toml");

/// `aci`: a container group of Confidential ACI, with an endorsed utility VM. A template.
pub const ACI: &str = include_str!("../policy/aci.toml");

/// Every policy that is shipped, by its name.
pub const POLICIES: [(&str, &str); 5] = [
    ("genuine", GENUINE),
    ("strict", STRICT),
    ("azure-peer-pod", AZURE_PEER_POD),
    ("azure-cvm-node", AZURE_CVM_NODE),
    ("aci", ACI),
];

/// What recorded platforms showed whose evidence was accepted, one table a record. No bytes of the records themselves.
pub const SEEN: &str = include_str!("../seen.toml");

/// What a policy is held against.
pub const SHIPPED: Shipped<'static> = Shipped { strict: STRICT, seen: SEEN };

/// What a release ships that a policy is held against.
#[derive(Clone, Copy, Debug)]
pub struct Shipped<'a> {
    /// The text of the strictest policy: a floor below its floors is weak.
    pub strict: &'a str,
    /// What recorded hardware showed, in TOML: a rule that none of it satisfies may be a mistake.
    pub seen: &'a str,
}
