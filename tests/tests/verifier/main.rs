//! The verifier against forged vendors, whose every field can be wrong, and against recorded hardware.
//!
//! A forged root is trusted only by the policies of these tests. What this proves is the plumbing, check by check;
//! what it cannot prove, that the vendors' silicon behaves as their documents say, stands in `recorded`.

mod accepted;
mod attacks;
mod bundle;
mod bundle_command;
mod bundle_question;
mod carried;
mod case;
mod corpus;
mod coverage;
mod expired;
mod files;
mod formats;
mod loader;
mod memory;
mod memory_file;
mod policy_diff;
mod policy_schema;
mod policy_text;
mod policy_witness;
mod pools;
mod profile;
mod readme_commands;
mod recorded;
mod robustness;
mod rollback;
mod schema;
mod seen;
mod snp_bulletins;
mod snp_bytes;
mod snp_chain;
mod snp_leaf;
mod snp_policy;
mod subject;
mod tamper;
mod tdx_accept;
mod tdx_bytes;
mod tdx_chain;
mod tdx_collateral;
mod tdx_log;
mod tdx_outlook;
mod tdx_policy;
