//! Names on the wire: paths, header fields and media types. Each stands here once.

/// The envelope of an enclave-app; with `?nonce=` freshly made.
pub const ENVELOPE_PATH: &str = "/.well-known/teegate";
/// Key configurations of RFC 9458 section 3, for stock clients (RFC 9540).
pub const OHTTP_KEYS_PATH: &str = "/.well-known/ohttp-gateway";
/// Where an enclave-app takes encapsulated requests.
pub const OHTTP_PATH: &str = "/ohttp";
/// The channel challenge that a gateway sends to an enclave-app.
pub const ATTEST_PATH: &str = "/attest";
/// Whether the process serves at all.
pub const HEALTH_PATH: &str = "/healthz";
/// Whether the process should receive traffic.
pub const READY_PATH: &str = "/readyz";
/// Currently attested instances of a gateway, with their envelopes.
pub const INSTANCES_PATH: &str = "/v1/instances";
/// With a digest behind it: a statement of a vendor that a gateway's verdict on an offered instance rested on.
pub const ENDORSEMENTS_PATH: &str = "/v1/endorsements/";
/// With `?nonce=`: the envelope of an attested instance that answers a client's own challenge, through a gateway.
pub const CHALLENGE_PATH: &str = "/v1/challenge";
/// The policy that a gateway's operator asks its clients to hold instances against.
pub const POLICY_PATH: &str = "/v1/policy";
/// The keys that sign a gateway's release receipts, now and next.
pub const RECEIPT_KEYS_PATH: &str = "/v1/receipt-keys";
/// Where a gateway takes encapsulated requests.
pub const RELAY_PATH: &str = "/v1/relay";

/// Outside the seal: hex digest of the manifest to whose key the request is sealed.
pub const TEEGATE_MANIFEST: &str = "teegate-manifest";
/// Outside the seal: for how many seconds the gateway may hold the ciphertext.
pub const TEEGATE_HOLD: &str = "teegate-hold";
/// Outside the seal, on a gateway's answer: its release receipt, as [`crate::receipt::Signed::to_header`] writes it.
pub const TEEGATE_RELEASE: &str = "teegate-release";

/// Inside the seal: hex digest of the manifest that the request was meant for; if present it must match.
/// The same name as outside, where it is only a hint for routing.
pub const SEALED_MANIFEST: &str = "teegate-manifest";
/// Inside the seal: the client's name for the request, repeated in the execution receipt.
pub const SEALED_REQUEST_ID: &str = "teegate-request-id";
/// Inside the seal: hex digest that the model has to have; if present it must match.
pub const SEALED_MODEL_SHA256: &str = "teegate-model-sha256";
/// Inside the seal, on the answer: the execution receipt, as [`crate::receipt::Signed::to_header`] writes it.
pub const SEALED_RECEIPT: &str = "teegate-receipt";
/// Inside the seal, on the answer: the salt of the digests in the execution receipt, base64url without padding.
pub const SEALED_RECEIPT_SALT: &str = "teegate-receipt-salt";

/// Encapsulated request, RFC 9458 section 9.2.
pub const OHTTP_REQUEST: &str = "message/ohttp-req";
/// Encapsulated response, RFC 9458 section 9.3.
pub const OHTTP_RESPONSE: &str = "message/ohttp-res";
/// Encapsulated request in chunks (chunked Oblivious HTTP).
pub const OHTTP_CHUNKED_REQUEST: &str = "message/ohttp-chunked-req";
/// Encapsulated response in chunks (chunked Oblivious HTTP).
pub const OHTTP_CHUNKED_RESPONSE: &str = "message/ohttp-chunked-res";
/// List of key configurations, RFC 9458 section 9.1.
pub const OHTTP_KEYS: &str = "application/ohttp-keys";
/// Envelope: CMW in JSON, RFC 9999.
pub const CMW_JSON: &str = "application/cmw+json";
/// Problem, RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";
