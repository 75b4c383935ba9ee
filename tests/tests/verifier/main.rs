//! The verifier against forged vendors, whose every field can be wrong, and against recorded hardware.
//!
//! A forged root is trusted only by the policies of these tests. What this proves is the plumbing, check by check;
//! what it cannot prove, that the vendors' silicon behaves as their documents say, stands in `recorded`.
//!
//! A file keeps its whole name in its folder, so that the name of a test says where it stands.

#[path = "support/case.rs"]
mod case;
#[path = "support/files.rs"]
mod files;
#[path = "support/subject.rs"]
mod subject;

#[path = "core/accepted.rs"]
mod accepted;
#[path = "core/alternatives.rs"]
mod alternatives;
#[path = "core/attacks.rs"]
mod attacks;
#[path = "core/carried.rs"]
mod carried;
#[path = "core/choosing.rs"]
mod choosing;
#[path = "core/envelope.rs"]
mod envelope;
#[path = "core/expired.rs"]
mod expired;
#[path = "core/junk.rs"]
mod junk;
#[path = "core/memory.rs"]
mod memory;
#[path = "core/memory_file.rs"]
mod memory_file;
#[path = "core/pools.rs"]
mod pools;
#[path = "core/recorded.rs"]
mod recorded;
#[path = "core/robustness.rs"]
mod robustness;
#[path = "core/rollback.rs"]
mod rollback;
#[path = "core/schema.rs"]
mod schema;
#[path = "core/shares.rs"]
mod shares;
#[path = "core/tamper.rs"]
mod tamper;
#[path = "core/until.rs"]
mod until;
#[path = "core/until_random.rs"]
mod until_random;
#[path = "core/words.rs"]
mod words;

#[path = "sev_snp/snp_bulletins.rs"]
mod snp_bulletins;
#[path = "sev_snp/snp_bytes.rs"]
mod snp_bytes;
#[path = "sev_snp/snp_chain.rs"]
mod snp_chain;
#[path = "sev_snp/snp_leaf.rs"]
mod snp_leaf;
#[path = "sev_snp/snp_policy.rs"]
mod snp_policy;

#[path = "tdx/tdx_accept.rs"]
mod tdx_accept;
#[path = "tdx/tdx_bytes.rs"]
mod tdx_bytes;
#[path = "tdx/tdx_chain.rs"]
mod tdx_chain;
#[path = "tdx/tdx_collateral.rs"]
mod tdx_collateral;
#[path = "tdx/tdx_log.rs"]
mod tdx_log;
#[path = "tdx/tdx_outlook.rs"]
mod tdx_outlook;
#[path = "tdx/tdx_policy.rs"]
mod tdx_policy;

#[path = "aci/aci.rs"]
mod aci;
#[path = "aci/aci_policy.rs"]
mod aci_policy;
#[path = "aci/aci_recorded.rs"]
mod aci_recorded;
#[path = "azure/azure_log.rs"]
mod azure_log;
#[path = "azure/azure_policy.rs"]
mod azure_policy;
#[path = "azure/azure_recorded.rs"]
mod azure_recorded;
#[path = "azure/azure_vtpm.rs"]
mod azure_vtpm;

#[path = "policy/loader.rs"]
mod loader;
#[path = "policy/policy_diff.rs"]
mod policy_diff;
#[path = "policy/policy_pins.rs"]
mod policy_pins;
#[path = "policy/policy_schema.rs"]
mod policy_schema;
#[path = "policy/policy_silent.rs"]
mod policy_silent;
#[path = "policy/policy_size.rs"]
mod policy_size;
#[path = "policy/policy_text.rs"]
mod policy_text;
#[path = "policy/policy_witness.rs"]
mod policy_witness;
#[path = "policy/profile.rs"]
mod profile;
#[path = "policy/seen.rs"]
mod seen;

#[path = "bundle/bundle.rs"]
mod bundle;
#[path = "bundle/bundle_command.rs"]
mod bundle_command;
#[path = "bundle/bundle_question.rs"]
mod bundle_question;
#[path = "bundle/corpus.rs"]
mod corpus;

#[path = "forms/formats.rs"]
mod formats;
#[path = "forms/forms.rs"]
mod forms;
#[path = "forms/forms_endorsements.rs"]
mod forms_endorsements;

#[path = "documents/coverage.rs"]
mod coverage;
#[path = "documents/documents.rs"]
mod documents;
#[path = "documents/readme_commands.rs"]
mod readme_commands;
