//! Runs ONNX models inside a TEE and holds the only keys that open a request.

pub mod attester;
pub mod config;
pub mod engine;
pub mod environment;
pub mod model;
pub mod oip;
pub mod onnx;
pub mod runtime;
pub mod tensor;
pub mod workers;
