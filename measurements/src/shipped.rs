//! What a release ships beside code.

/// `genuine`: the hardware is genuine and the guest is not a debug guest. Not a reason to send anything.
pub const GENUINE: &str = include_str!("../policy/genuine.toml");

/// `strict`: everything on. A template: it is refused until reference values stand in it.
pub const STRICT: &str = include_str!("../policy/strict.toml");

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
