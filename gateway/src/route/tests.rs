//! Requests through the endpoints, against instances in memory.
