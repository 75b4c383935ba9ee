//! What stands at the end of each `--help`: an example, and the statuses that the command ends with. A test walks the tree of
//! commands, finds both at each, and reads each example as the command line does.

pub(crate) const TEEGATE: &str = "\
Examples:
  teegate verify report.bin --endorsements certificates/ --policy genuine
  teegate verify --explain snp.chain.revocation

Exit status: 0 accepted, or answered; 1 could not run; rejected as 2 malformed (what was read and is no evidence, or an altered \
bundle, included), 3 unauthentic, 4 unacceptable. Of many files the highest counts. Some commands have more; their own help names \
them.";

pub(crate) const VERIFY: &str = "\
Examples:
  teegate verify report.bin --endorsements certificates/ --policy genuine
  teegate verify quote.bin --policy policy.toml --online
  teegate verify a.bin b.bin --policy policy.toml --online --format junit
  teegate verify quote.bin --endorsements all/ --policy policy.toml --quiet
  teegate verify --explain snp.chain.revocation

Exit status: 0 accepted; 1 could not run; rejected as 2 malformed (what was read and is no evidence included), 3 unauthentic, \
4 unacceptable. Of many files the highest counts.";

pub(crate) const INSPECT: &str = "\
Examples:
  teegate inspect quote.bin
  teegate inspect report.bin --format json
  teegate inspect ccel.bin

Exit status: 0 well-formed, which is not verified; 1 could not run; 2 malformed, or no evidence.";

pub(crate) const PREDICT: &str = "\
Examples:
  teegate predict tdx --firmware OVMF.fd
  teegate predict initdata initdata.toml --platform sev-snp

Exit status: 0 predicted; 1 could not run, or no prediction follows from the files.";

pub(crate) const PREDICT_SEV_SNP: &str = "\
Examples:
  teegate predict sev-snp --firmware OVMF.fd --vcpus 4 --cpu EPYC-v4
  teegate predict sev-snp --firmware OVMF.fd --vcpus 2 --vmm ec2
  teegate predict sev-snp --igvm paravisor.igvm --reference-values

Exit status: 0 predicted; 1 could not run, or no prediction follows from the files.";

pub(crate) const PREDICT_TDX: &str = "\
Examples:
  teegate predict tdx --firmware OVMF.fd --reference-values
  teegate predict tdx --firmware OVMF.fd --event-log ccel.bin
  teegate predict tdx --firmware OVMF.fd --memory 2G --kernel vmlinuz
  teegate predict tdx --firmware OVMF.fd --memory 2G --against ccel.bin

Exit status: 0 predicted; 1 could not run, or no prediction follows from the files; 4 an event of the log differs.";

pub(crate) const PREDICT_PCR: &str = "\
Examples:
  teegate predict pcr --uki guest.efi
  teegate predict pcr --uki guest.efi --bank sha384 --format json

Exit status: 0 predicted; 1 could not run, or no prediction follows from the files.";

pub(crate) const PREDICT_INITDATA: &str = "\
Examples:
  teegate predict initdata initdata.toml --platform azure-vtpm

Exit status: 0 predicted; 1 could not run, or no prediction follows from the files.";

pub(crate) const PREDICT_ACI_POLICY: &str = "\
Examples:
  teegate predict aci-policy policy.rego --reference-values

Exit status: 0 predicted; 1 could not run, or no prediction follows from the files.";

pub(crate) const FETCH: &str = "\
Examples:
  teegate fetch quote.bin --into collateral/
  teegate fetch quote.bin --into collateral/ --update both

Exit status: 0 everything needed is there; 1 could not run, or a file could not be written; 2 the evidence is malformed, or is \
none; 6 something could not be had.";

pub(crate) const RECORD: &str = "\
Examples:
  teegate record --into here
  teegate record --into here --nonce 00112233445566778899aabbccddeeff

Exit status: 0 recorded; 1 could not run, or no source of evidence is here.";

pub(crate) const BUNDLE: &str = "\
Examples:
  teegate bundle create quote.bin --endorsements all/ --policy p.toml -o c.json
  teegate bundle verify case.json

Exit status: 0 accepted, or shown; 1 could not run; rejected as 2 malformed (an altered bundle included), 3 unauthentic, \
4 unacceptable.";

pub(crate) const BUNDLE_CREATE: &str = "\
Examples:
  teegate bundle create quote.bin --endorsements all/ --policy p.toml -o c.json

Exit status: that of the verdict, which the bundle records: 0 accepted; rejected as 2 malformed, 3 unauthentic, 4 unacceptable. \
1 could not run, or the file could not be written.";

pub(crate) const BUNDLE_SHOW: &str = "\
Examples:
  teegate bundle show case.json

Exit status: 0 shown, which is not verified; 1 could not run; 2 no bundle, or an altered one.";

pub(crate) const BUNDLE_VERIFY: &str = "\
Examples:
  teegate bundle verify case.json
  teegate bundle verify case.json --expect-recorded
  teegate bundle verify a.json b.json --policy policy.toml --format sarif

Exit status: 0 accepted; 1 could not run, or not the verdict that the bundle records (--expect-recorded); rejected as 2 malformed \
(an altered bundle included), 3 unauthentic, 4 unacceptable. Of many files the highest counts.";

pub(crate) const WATCH: &str = "\
Examples:
  teegate watch bundles/
  teegate watch bundles/ --within 2w --format sarif

Nobody is asked: what a vendor revokes, or finds wanting, from now on is in none of the files.

Exit status: 0 all of it is accepted, and for longer than `--within`; 7 all of it is accepted now, and something will be refused \
within that time; 1 could not run, or the folder holds no bundle; refused now as 2 malformed (an altered bundle included), \
3 unauthentic, 4 unacceptable: of many the highest counts.";

pub(crate) const POLICY: &str = "\
Examples:
  teegate policy explain genuine
  teegate policy lint policy.toml
  teegate policy diff genuine policy.toml

Exit status: 0 answered (lint: nothing but notes, or all of it acknowledged); 1 could not run, or the policy is refused when it is \
loaded; lint: 4 for warnings and errors.";

pub(crate) const POLICY_EXPLAIN: &str = "\
Examples:
  teegate policy explain policy.toml
  teegate policy explain strict --reference-values values.toml

Exit status: 0 answered; 1 could not run, or the policy is refused when it is loaded.";

pub(crate) const POLICY_LINT: &str = "\
Examples:
  teegate policy lint policy.toml
  teegate policy lint policy.toml --accept accepted.toml --format sarif

Exit status: 0 nothing but notes, or all of it acknowledged; 1 could not run, or the policy is refused when it is loaded; 4 warnings or errors.";

pub(crate) const POLICY_DIFF: &str = "\
Examples:
  teegate policy diff old.toml new.toml

Exit status: 0 answered, whatever differs; 1 could not run, or a policy is refused when it is loaded.";

pub(crate) const POLICY_INIT: &str = "\
Examples:
  teegate policy init --from report.bin --output own.toml
  teegate policy init --from report.bin --endorsements certs/ --bound-to pod

Exit status: 0 written; 1 could not run, or no strict policy can expect what the evidence shows; 2 no evidence; with
`--endorsements` also 3, nobody vouches for the evidence, and 4, it is no genuine guest: then nothing is written.";

pub(crate) const POLICY_FILL: &str = "\
Examples:
  teegate policy fill strict --reference-values values.toml --output own.toml
  teegate policy fill strict --tee tdx --reference-values both.toml
  teegate policy fill own.toml --root amd=forged-root.pem --output forged.toml

Exit status: 0 written; 1 could not run, or the policy, the values or a root are refused.";

pub(crate) const POLICY_SCHEMA: &str = "\
Examples:
  teegate policy schema

Exit status: 0 written; 1 could not run.";

pub(crate) const INFER: &str = "\
Examples:
  teegate infer --gateway http://gw --model m --input in.json --policy p.toml
  teegate infer --gateway http://gw --model m --input scan.csv --policy p.toml
  teegate infer --gateway http://gw --model m --input in.npz --policy p.toml
  teegate infer --gateway http://gw --model m --input x=a.npy --policy p.toml

What a file of CSV, NumPy or raw elements has to be is asked of the model, inside the seal, before the input is sealed.

Exit status: 0 answered; 1 could not run, the input is not what the model takes, or no instance was there; 2, 3, 4 evidence was \
rejected (malformed, unauthentic, unacceptable); 5 a problem after the request had been sealed.";

pub(crate) const MODELS: &str = "\
Examples:
  teegate models --gateway http://gw --policy p.toml
  teegate models --gateway http://gw --policy p.toml breast-cancer

Exit status: 0 shown; 1 could not run, or no instance was there; 2, 3, 4 evidence was rejected (malformed, unauthentic, \
unacceptable); 5 a problem after a question had been sealed.";

pub(crate) const PROBE: &str = "\
Examples:
  teegate probe http://gw --policy genuine
  teegate probe http://gw --policy genuine --epoch
  teegate probe https://enclave:8443 --policy p.toml --online

Exit status: 0 accepted; 1 could not run, nobody shows evidence there, or a gateway's instance could not be challenged; 2 malformed, 3 unauthentic, 4 unacceptable: of several \
instances the highest counts.";

pub(crate) const PROXY: &str = "\
Examples:
  teegate proxy --gateway http://gw --policy p.toml --listen 8000
  teegate proxy --gateway http://gw --policy p.toml --listen unix:/run/me/tg
  teegate proxy --gateway http://gw --policy p.toml --model breast-cancer

Exit status: 0 told to leave (SIGTERM, SIGINT), and what was under way is answered; 1 could not run, or no instance was there at the \
start; 2, 3, 4 evidence was rejected at the start (malformed, unauthentic, unacceptable).";

pub(crate) const RECEIPT_KEYS: &str = "\
Examples:
  teegate receipt-keys --gateway https://gw
  teegate receipt-keys --gateway https://gw --format json

Exit status: 0 shown, and where a key is pinned, vouched for by it; 1 could not run, or the gateway signs with a key that is not \
pinned.";

pub(crate) const DEMO: &str = "\
Examples:
  teegate demo
  teegate demo --serve served

Exit status: 0 all of it went as it should, or it served until it was asked to end; 1 it did not, or could not run.";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  teegate completions bash
  teegate completions fish

Exit status: 0 written; 1 could not run.";

pub(crate) const MAN: &str = "\
Examples:
  teegate man --into man/

Exit status: 0 written; 1 could not run.";

pub(crate) const DEPLOY: &str = "\
Examples:
  teegate deploy initdata pod.yaml --platform azure-snp --into initdata/

Exit status: 0 written, or the files fit; 1 could not run, or the manifest is refused; 4 files and manifest differ.";

pub(crate) const DEPLOY_INITDATA: &str = "\
Examples:
  teegate deploy initdata pod.yaml --platform azure-snp --into init/
  teegate deploy initdata pod.yaml --platform azure-snp --into init/ --check
  teegate deploy initdata - --name Pod/app --platform kata-snp --into init/

Exit status: 0 written, or the files fit; 1 could not run, or the manifest is refused; 4 files and manifest differ, or `policy.toml` \
does not accept the new initdata.";
