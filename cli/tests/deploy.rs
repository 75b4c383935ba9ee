//! `teegate deploy initdata` from outside: what an operator types, what is written, and what is refused with which status.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DIGEST: &str = "eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1";
const FILES: [&str; 3] = ["initdata.toml", "patch.yaml", "policy.toml"];

fn teegate(folder: &Path, args: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teegate"));
    command.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Some(input) = input else { return command.stdin(Stdio::null()).output().unwrap() };
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // Whoever refuses its arguments reads nothing.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The verb, on the manifest in the folder.
fn initdata(folder: &Path, more: &[&str]) -> Output {
    let mut args = vec!["deploy", "initdata", "pod.yaml", "--platform", "azure-snp", "--into", "out"];
    args.extend(more);
    teegate(folder, &args, None)
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn manifest() -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: enclave-app, namespace: teegate }}
spec:
  runtimeClassName: kata-remote
  automountServiceAccountToken: false
  enableServiceLinks: false
  containers:
    - name: enclave-app
      image: ghcr.io/example/enclave-app@sha256:{DIGEST}
      command: [/usr/bin/enclave-app]
      args: [--config, /etc/teegate/enclave-app.toml]
      workingDir: /
      env: [{{ name: PATH, value: /usr/bin }}]
      securityContext:
        runAsUser: 65532
        runAsGroup: 65532
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {{ drop: [ALL] }}
"
    )
}

/// A folder with the manifest in it.
fn stage() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pod.yaml"), manifest()).unwrap();
    folder
}

/// What the folder of the output holds, or nothing where there is none.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder.join("out")) else { return Vec::new() };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn help_shows_what_to_type_and_what_each_status_says() {
    let folder = tempfile::tempdir().unwrap();
    let help = stdout(&teegate(folder.path(), &["deploy", "initdata", "--help"], None));
    // Lines are broken to the width of the screen.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        " teegate deploy initdata pod.yaml --platform azure-snp --into init/ ",
        "`-` is standard input",
        "0 written, or the files fit; 1 could not run, or the manifest is refused; 4 files and manifest differ",
        "azure-snp",
        "azure-tdx",
        "kata-snp",
        "kata-tdx",
        "--check",
        "--force",
        "--name <[KIND/]NAME>",
    ] {
        assert!(help.contains(part), "`{part}` is not in\n{help}");
    }
    let above = stdout(&teegate(folder.path(), &["deploy", "--help"], None));
    assert!(above.contains("\n  initdata ") && above.contains("4 files and"), "{above}");
    // The places where a shell and a reader of manuals look.
    let completions = stdout(&teegate(folder.path(), &["completions", "bash"], None));
    assert!(
        completions.contains("deploy initdata") || completions.contains("deploy__subcmd__initdata"),
        "no completion"
    );
    assert_eq!(status(&teegate(folder.path(), &["man", "--into", "man"], None)), Some(0));
    let page = fs::read_to_string(folder.path().join("man/teegate-deploy-initdata.1")).unwrap();
    assert!(page.contains("Pod/app") && page.contains("azure\\-snp"), "{page}");
}

#[test]
fn three_files_are_written_that_fit_each_other() {
    let folder = stage();
    let output = initdata(folder.path(), &[]);
    assert_eq!(status(&output), Some(0), "{}", stderr(&output));
    let names: Vec<_> = contents(folder.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, FILES.map(|name| folder.path().join("out").join(name)), "nothing else is left there");
    let said = stdout(&output);
    let value = said.lines().find_map(|line| line.strip_prefix("pcr8 = ")).unwrap();
    assert_eq!(value.len(), 64, "{said}");
    assert!(
        said.starts_with(&format!("Pod enclave-app: enclave-app runs ghcr.io/example/enclave-app@sha256:{DIGEST}\n"))
    );
    let text = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap();
    assert!(text("policy.toml").contains(&format!("\npcr8 = \"{value}\"\n")));
    assert!(text("patch.yaml").contains("io.katacontainers.config.hypervisor.cc_init_data: \"H4sI"));
    // The value is the one that another verb computes of the file.
    let predicted = teegate(
        folder.path(),
        &["predict", "initdata", "out/initdata.toml", "--platform", "azure-vtpm", "--tee", "snp"],
        None,
    );
    assert!(stdout(&predicted).contains(value), "{} {}", stdout(&predicted), stderr(&predicted));
    // And the policy is one that its own verbs read.
    let explained = teegate(folder.path(), &["policy", "explain", "out/policy.toml"], None);
    assert_eq!(status(&explained), Some(0), "{}", stderr(&explained));
    // The same manifest gives the same bytes, and they fit.
    let before = contents(folder.path());
    assert_eq!(status(&initdata(folder.path(), &[])), Some(0));
    assert_eq!(contents(folder.path()), before);
    assert_eq!(status(&initdata(folder.path(), &["--check"])), Some(0));
}

#[test]
fn a_manifest_comes_in_by_standard_input_as_well() {
    let folder = stage();
    let args = ["deploy", "initdata", "-", "--platform", "azure-snp", "--into", "out"];
    let output = teegate(folder.path(), &args, Some(&manifest()));
    assert_eq!(status(&output), Some(0), "{}", stderr(&output));
    let by_input = contents(folder.path());
    fs::remove_dir_all(folder.path().join("out")).unwrap();
    assert_eq!(status(&initdata(folder.path(), &[])), Some(0));
    assert_eq!(contents(folder.path()), by_input);
    let refused = teegate(folder.path(), &args, Some("kind: Service\n"));
    assert_eq!(status(&refused), Some(1));
    assert!(stderr(&refused).contains("standard input"), "{}", stderr(&refused));
}

#[test]
fn the_answer_comes_as_json_too() {
    let folder = stage();
    let output = initdata(folder.path(), &["--format", "json"]);
    assert_eq!(status(&output), Some(0), "{}", stderr(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = |pointer: &str| answer.pointer(pointer).unwrap().clone();
    assert_eq!(said("/workload/kind"), "Pod");
    assert_eq!(said("/workload/name"), "enclave-app");
    assert_eq!(said("/workload/container"), "enclave-app");
    assert_eq!(said("/workload/image"), format!("ghcr.io/example/enclave-app@sha256:{DIGEST}"));
    assert_eq!(said("/platform"), "azure-snp");
    assert_eq!(said("/measured/field"), "pcr8");
    assert_eq!(said("/measured/value").as_str().unwrap().len(), 64);
    assert!(said("/annotation_bytes").as_u64().unwrap() > 1000);
    assert_eq!(said("/differences"), serde_json::json!([]));
    // What differs is data as well, and the status says so.
    let other = manifest().replace("eac8fbc1", "0123abcd");
    fs::write(folder.path().join("pod.yaml"), other).unwrap();
    let output = initdata(folder.path(), &["--check", "--format", "json"]);
    assert_eq!(status(&output), Some(4));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let differences = answer.pointer("/differences").unwrap().as_array().unwrap();
    assert_eq!(differences.len(), 3, "{answer}");
    assert!(differences.iter().all(serde_json::Value::is_string), "{answer}");
}

#[test]
fn files_that_no_longer_fit_end_with_4_and_stay_as_they_are() {
    let folder = stage();
    assert_eq!(status(&initdata(folder.path(), &[])), Some(0));
    let before = contents(folder.path());
    fs::write(folder.path().join("pod.yaml"), manifest().replace("eac8fbc1", "0123abcd")).unwrap();
    let checked = initdata(folder.path(), &["--check"]);
    assert_eq!(status(&checked), Some(4));
    for part in
        ["initdata.toml is not that of the manifest", "patch.yaml carries another", "`pcr8` does not accept this"]
    {
        assert!(stderr(&checked).contains(part), "{}", stderr(&checked));
    }
    assert_eq!(contents(folder.path()), before);
    // Written is nothing either, as long as the policy of its author accepts only the old one.
    let kept = initdata(folder.path(), &[]);
    assert_eq!(status(&kept), Some(4));
    assert!(stderr(&kept).contains("`out/policy.toml`") && stderr(&kept).contains("add \""), "{}", stderr(&kept));
    assert_eq!(contents(folder.path()), before);
    // Both values, and it is written; the policy stays its author's.
    let policy = folder.path().join("out/policy.toml");
    let message = stderr(&kept);
    let new = message.split("add \"").nth(1).unwrap().split('"').next().unwrap();
    let text = fs::read_to_string(&policy).unwrap();
    let old = text.lines().find(|line| line.starts_with("pcr8 = ")).unwrap().to_owned();
    let both = old.replace("= ", "= [").to_owned() + &format!(", \"{new}\"]");
    fs::write(&policy, text.replace(&old, &both)).unwrap();
    let rolled = initdata(folder.path(), &[]);
    assert_eq!(status(&rolled), Some(0), "{}", stderr(&rolled));
    assert!(fs::read_to_string(&policy).unwrap().contains(&both));
    assert_eq!(status(&initdata(folder.path(), &["--check"])), Some(0));
    // With `--force` the policy is a first one again.
    assert_eq!(status(&initdata(folder.path(), &["--force"])), Some(0));
    assert!(fs::read_to_string(&policy).unwrap().contains(&format!("\npcr8 = \"{new}\"\n")));
}

/// Each with its status and its reason; nothing is written, and what is there stays.
#[test]
fn a_manifest_that_is_refused_leaves_no_file() {
    for (old, new, why) in [
        (format!("@sha256:{DIGEST}"), ":1.0".to_owned(), "`spec.containers[0].image` (line 10, column 14)"),
        ("      command: [/usr/bin/enclave-app]\n".to_owned(), String::new(), "`command` is missing"),
        ("enableServiceLinks: false".to_owned(), "enableServiceLinks: true".to_owned(), "write `false`"),
        ("{ name: PATH, value: /usr/bin }".to_owned(), "{ name: LD_PRELOAD, value: /x }".to_owned(), "dynamic loader"),
        (
            "  containers:".to_owned(),
            "  volumes: [{ name: v, emptyDir: {} }]\n  containers:".to_owned(),
            "the host chooses",
        ),
        ("  containers:".to_owned(), "  shareProcessNamespace: true\n  containers:".to_owned(), "own namespaces"),
        ("runAsUser: 65532".to_owned(), "runAsUser: 0".to_owned(), "0 is root"),
        ("kata-remote".to_owned(), "kata-qemu-snp".to_owned(), "expected `kata-remote` for the platform azure-snp"),
        ("kind: Pod".to_owned(), "kind: Job".to_owned(), "no Pod, Deployment or StatefulSet"),
        ("spec:".to_owned(), "spec: &a".to_owned(), "anchors and aliases are not taken"),
        ("kind: Pod".to_owned(), "kind: [".to_owned(), "no YAML"),
    ] {
        let folder = stage();
        let changed = manifest().replace(&old, &new);
        assert_ne!(changed, manifest(), "{old}");
        fs::write(folder.path().join("pod.yaml"), &changed).unwrap();
        let refused = initdata(folder.path(), &[]);
        assert_eq!(status(&refused), Some(1), "{old}: {}", stdout(&refused));
        assert!(
            stderr(&refused).contains("`pod.yaml`") && stderr(&refused).contains(why),
            "{old}: {}",
            stderr(&refused)
        );
        assert_eq!((stdout(&refused).as_str(), contents(folder.path()).len()), ("", 0), "{old}");
        // Beside files of an earlier run, with `--force` too.
        fs::write(folder.path().join("pod.yaml"), manifest()).unwrap();
        assert_eq!(status(&initdata(folder.path(), &[])), Some(0));
        let before = contents(folder.path());
        fs::write(folder.path().join("pod.yaml"), &changed).unwrap();
        assert_eq!(status(&initdata(folder.path(), &["--force"])), Some(1), "{old}");
        assert_eq!(contents(folder.path()), before, "{old}");
    }
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let folder = stage();
    let asked = |args: &[&str]| {
        let output = teegate(folder.path(), &[&["deploy", "initdata"], args].concat(), None);
        assert_eq!((status(&output), stdout(&output).as_str()), (Some(1), ""), "{args:?}");
        stderr(&output)
    };
    assert!(
        asked(&["none.yaml", "--platform", "azure-snp", "--into", "out"])
            .contains("`none.yaml` cannot be read: No such file")
    );
    assert!(asked(&["pod.yaml", "--platform", "azure", "--into", "out"]).contains("possible values: azure-snp"));
    assert!(asked(&["pod.yaml", "--into", "out"]).contains("--platform <PLATFORM>"));
    assert!(asked(&["pod.yaml", "--platform", "azure-snp"]).contains("--into <DIR>"));
    let both = asked(&["pod.yaml", "--platform", "azure-snp", "--into", "out", "--check", "--force"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let unwritten = asked(&["pod.yaml", "--platform", "azure-snp", "--into", "out", "--check"]);
    assert!(
        unwritten.contains("`out/initdata.toml` cannot be read: No such file")
            && unwritten.contains("without `--check`"),
        "{unwritten}"
    );
    // Somebody's own file of that name, and no policy beside it that says where it comes from.
    fs::create_dir_all(folder.path().join("own")).unwrap();
    fs::write(folder.path().join("own/initdata.toml"), "mine").unwrap();
    let kept = asked(&["pod.yaml", "--platform", "azure-snp", "--into", "own"]);
    assert!(kept.contains("`own/initdata.toml` is there already") && kept.contains("--force"), "{kept}");
    assert_eq!(fs::read_to_string(folder.path().join("own/initdata.toml")).unwrap(), "mine");
    let forced = ["deploy", "initdata", "pod.yaml", "--platform", "azure-snp", "--into", "own", "--force"];
    assert_eq!(status(&teegate(folder.path(), &forced, None)), Some(0));
    // A file in the folder's place, and a folder in a file's.
    assert!(
        asked(&["pod.yaml", "--platform", "azure-snp", "--into", "pod.yaml"]).contains("`pod.yaml/policy.toml`: Not a")
    );
    fs::create_dir_all(folder.path().join("out/patch.yaml")).unwrap();
    let refused = asked(&["pod.yaml", "--platform", "azure-snp", "--into", "out", "--force"]);
    assert!(refused.contains("`out/patch.yaml` cannot be written: it is a folder"), "{refused}");
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1, "the others wait until all can be written");
    // More than is read, and no text.
    fs::write(folder.path().join("large.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(asked(&["large.yaml", "--platform", "azure-snp", "--into", "new"]).contains("more than 1048576 bytes"));
    fs::write(folder.path().join("binary.yaml"), [0xff, 0xfe]).unwrap();
    assert!(asked(&["binary.yaml", "--platform", "azure-snp", "--into", "new"]).contains("UTF-8"));
    assert!(!folder.path().join("new").exists());
}

/// What `kubectl get pod NAME -o yaml` shows of a pod that runs: defaults of the API server, the webhook of peer pods, a status.
#[test]
fn a_pod_that_runs_is_held_against_the_files_and_a_sidecar_is_found() {
    let folder = stage();
    assert_eq!(status(&initdata(folder.path(), &[])), Some(0));
    let patch = fs::read_to_string(folder.path().join("out/patch.yaml")).unwrap();
    let annotation = patch.split("cc_init_data: \"").nth(1).unwrap().split('"').next().unwrap();
    let live = format!(
        "apiVersion: v1
kind: Pod
metadata:
  annotations:
    io.katacontainers.config.hypervisor.cc_init_data: {annotation}
    linkerd.io/inject: disabled
  creationTimestamp: \"2026-11-29T22:00:00Z\"
  generateName: enclave-app-5c9d-
  labels:
    pod-template-hash: 5c9d
  name: enclave-app-5c9d-x2
  namespace: teegate
  ownerReferences:
  - apiVersion: apps/v1
    blockOwnerDeletion: true
    kind: ReplicaSet
    name: enclave-app-5c9d
    uid: 3cfbfd7a-3065-4862-805e-3f5e4142bcbd
  resourceVersion: \"1234\"
spec:
  automountServiceAccountToken: false
  containers:
  - args:
    - --config
    - /etc/teegate/enclave-app.toml
    command:
    - /usr/bin/enclave-app
    env:
    - name: PATH
      value: /usr/bin
    image: ghcr.io/example/enclave-app@sha256:{DIGEST}
    imagePullPolicy: IfNotPresent
    name: enclave-app
    resources:
      limits:
        kata.peerpods.io/vm: \"1\"
      requests:
        kata.peerpods.io/vm: \"1\"
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop:
        - ALL
      readOnlyRootFilesystem: true
      runAsGroup: 65532
      runAsUser: 65532
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
    workingDir: /
  dnsPolicy: ClusterFirst
  enableServiceLinks: false
  nodeName: aks-nodepool1-1
  overhead:
    cpu: 250m
  preemptionPolicy: PreemptLowerPriority
  priority: 0
  restartPolicy: Always
  runtimeClassName: kata-remote
  schedulerName: default-scheduler
  securityContext: {{}}
  serviceAccount: default
  serviceAccountName: default
  terminationGracePeriodSeconds: 45
  tolerations:
  - effect: NoExecute
    key: node.kubernetes.io/not-ready
    operator: Exists
    tolerationSeconds: 300
status:
  phase: Running
  podIPs:
  - ip: 10.244.0.14
"
    );
    let args = ["deploy", "initdata", "-", "--platform", "azure-snp", "--into", "out", "--check"];
    let checked = teegate(folder.path(), &args, Some(&live));
    assert_eq!(status(&checked), Some(0), "{}", stderr(&checked));
    // A mesh was there after all, a token, and another annotation.
    let sidecar = live.replace("  dnsPolicy:", "  - image: mesh\n    name: proxy\n  dnsPolicy:");
    let token = live.replace("  dnsPolicy:", "  volumes:\n  - name: kube-api-access\n  dnsPolicy:");
    let identity = live.replace("    env:\n", "    env:\n    - name: AZURE_CLIENT_ID\n      value: \"1\"\n");
    for (changed, wanted, why) in [
        (sidecar, Some(1), "2 containers: expected one"),
        (token, Some(1), "content that the host chooses"),
        (identity, Some(4), "initdata.toml is not that of the manifest"),
    ] {
        assert_ne!(changed, live);
        let refused = teegate(folder.path(), &args, Some(&changed));
        assert_eq!(status(&refused), wanted, "{}", stderr(&refused));
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
    }
}
