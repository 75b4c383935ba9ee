//! Nothing but a place for `tests/agent_policy.rs`: the engine of Kata's agent takes about two minutes of processor time to compile, and
//! in a package of its own nobody else's tests wait for it.
