use super::*;
use crate::lint::lint;
use crate::reference::ReferenceValues;
use teegate_encoding::hex;
use teegate_verifier::{BoundTo, Draft, Severity, Wrapping};

const DIGEST: &str = "eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1";

fn manifest() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: enclave-app }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: enclave-app
  namespace: teegate
spec:
  replicas: 2
  template:
    spec:
      runtimeClassName: kata-remote
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {{ runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 }}
      containers:
        - name: enclave-app
          image: ghcr.io/example/enclave-app@sha256:{DIGEST}
          command: [/usr/bin/enclave-app]
          args: [--config, /etc/teegate/enclave-app.toml]
          workingDir: /
          env:
            - {{ name: PATH, value: /usr/bin }}
          readinessProbe: {{ tcpSocket: {{ port: 8443 }} }}
          resources: {{ limits: {{ memory: 2Gi }} }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{ drop: [ALL] }}
"
    )
}

fn made(platform: Platform) -> Deployment {
    let class = platform.runtime_class();
    Deployment::of(&manifest().replace("kata-remote", class), None, platform).unwrap()
}

#[test]
fn manifest_initdata_annotation_and_policy_are_of_one_piece() {
    for (platform, algorithm, field, length) in [
        (Platform::AzureSnp, "sha256", "pcr8", 32),
        (Platform::AzureTdx, "sha256", "pcr8", 32),
        (Platform::KataSnp, "sha256", "host_data", 32),
        (Platform::KataTdx, "sha384", "mrconfigid", 48),
    ] {
        let made = made(platform);
        assert!(made.initdata.contains(&format!("algorithm = \"{algorithm}\"")), "{}", made.initdata);
        assert_eq!((made.measured.field, made.measured.value.len()), (field, length));
        let draft = Draft::parse(&made.policy).unwrap();
        let expected = format!("{field} = \"{}\"", hex::encode(&made.measured.value));
        assert!(made.policy.contains(&expected), "{}", made.policy);
        assert!(draft.needed().iter().all(|needed| needed.field.name != field));
        assert!(!draft.needed().is_empty(), "the launch measurement is not known here");
        let profile = &draft.document().profiles()[0];
        let (tee, wrapping) = platform.evidence();
        assert_eq!((profile.tee(), profile.wrapping(), profile.bound_to()), (tee, wrapping, Some(BoundTo::Workload)));
        let remarks = lint(&made.policy, &ReferenceValues::default(), &crate::SHIPPED).unwrap();
        assert!(remarks.iter().all(|remark| remark.severity != Severity::Error), "{remarks:?}");
        let deployed = Deployed { initdata: &made.initdata, patch: &made.patch, policy: &made.policy };
        assert_eq!(drift(&made, deployed), [] as [String; 0]);
    }
    assert_eq!(Platform::KataSnp.evidence().1, Wrapping::Raw);
}

#[test]
fn the_initdata_reads_back_as_what_was_asked_for() {
    let made = made(Platform::AzureSnp);
    let outer: toml::Table = toml::from_str(&made.initdata).unwrap();
    let data = outer["data"].as_table().unwrap();
    let names: Vec<_> = data.keys().map(String::as_str).collect();
    assert_eq!(names, ["aa.toml", "cdh.toml", "policy.rego"]);
    let hub: toml::Table = toml::from_str(data["cdh.toml"].as_str().unwrap()).unwrap();
    let images: serde_json::Value =
        serde_json::from_str(hub["image"]["image_security_policy"].as_str().unwrap()).unwrap();
    assert_eq!(images["default"][0]["type"], "reject");
    let own = images["transports"]["docker"].as_object().unwrap();
    assert_eq!(own.keys().collect::<Vec<_>>(), [&format!("ghcr.io/example/enclave-app@sha256:{DIGEST}")]);
    toml::from_str::<toml::Table>(data["aa.toml"].as_str().unwrap()).unwrap();
    assert_eq!(initdata::unpacked(&made.annotation).unwrap(), made.initdata);
    assert!(made.annotation.len() < 8 << 10, "{}", made.annotation.len());
    // An apostrophe ends no string.
    let quoted = manifest().replace("value: /usr/bin", "value: \"/usr/bin'''\"");
    let quoted = Deployment::of(&quoted, None, Platform::AzureSnp).unwrap();
    toml::from_str::<toml::Table>(&quoted.initdata).unwrap();
    assert_ne!(quoted.measured, made.measured);
}

#[test]
fn files_that_no_longer_fit_are_named() {
    let made = made(Platform::AzureSnp);
    let other = Deployment::of(&manifest().replace("eac8fbc1", "0123abcd"), None, Platform::AzureSnp).unwrap();
    let deployed = Deployed { initdata: &made.initdata, patch: &made.patch, policy: &made.policy };
    let found = drift(&other, deployed);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("initdata.toml is not") && found[1].starts_with("patch.yaml carries another"),
        "{found:?}"
    );
    assert!(found[2].contains("policy.toml, [sev-snp.own]: `pcr8` does not accept this initdata"), "{found:?}");
    // Both values, while the new one is rolled out.
    let value = |of: &Deployment| format!("\"{}\"", hex::encode(&of.measured.value));
    let rolling = made.policy.replace(&value(&made), &format!("[{}, {}]", value(&made), value(&other)));
    let rolled = Deployed { initdata: &other.initdata, patch: &other.patch, policy: &rolling };
    assert_eq!(drift(&other, rolled), [] as [String; 0]);
    // The annotation in the manifest itself.
    let stale = manifest().replace(
        "  template:\n",
        &format!(
            "  template:\n    metadata:\n      annotations:\n        {}: \"{}\"\n",
            workload::ANNOTATION,
            other.annotation
        ),
    );
    let stale = Deployment::of(&stale, None, Platform::AzureSnp).unwrap();
    let found = drift(&stale, deployed);
    assert_eq!(found, ["the manifest's own annotation carries another initdata than its pod asks for"]);
    let broken = Deployed { patch: "a: 1", policy: "[", ..deployed };
    let found = drift(&made, broken);
    assert!(
        found[0].contains("`metadata` is missing") && found[1].starts_with("policy.toml: TOML parse error at line 1"),
        "{found:?}"
    );
}

/// Each with the place and what to do; the passing twin is the manifest itself.
#[test]
fn a_manifest_that_leaves_something_to_the_host_is_refused() {
    made(Platform::AzureSnp);
    let image = format!("@sha256:{DIGEST}");
    for (old, new, place, why) in [
        (image.as_str(), ":1.0", "`spec.template.spec.containers[0].image` (line 20, column 18)", "by digest"),
        ("ghcr.io/", "", ".image`", "the registry"),
        (
            "        - name: enclave-app\n",
            "        - name: other\n        - name: enclave-app\n",
            "spec`",
            "2 containers",
        ),
        (
            "      containers:",
            "      volumes: [{ name: v, hostPath: { path: / } }]\n      containers:",
            ".volumes`",
            "hostPath",
        ),
        (
            "      containers:",
            "      initContainers: [{ name: i }]\n      containers:",
            ".initContainers`",
            "keys attested",
        ),
        ("      containers:", "      hostPID: true\n      containers:", ".hostPID`", "own namespaces"),
        (
            "      containers:",
            "      newField: 1\n      containers:",
            ".newField`",
            "does not know that it is harmless",
        ),
        (
            "{ name: PATH, value: /usr/bin }",
            "{ name: PATH, valueFrom: { secretKeyRef: { name: s, key: k } } }",
            ".env[0].valueFrom`",
            "chosen after",
        ),
        ("{ name: PATH, value: /usr/bin }", "{ name: LD_PRELOAD, value: /x.so }", ".env[0].name`", "dynamic loader"),
        ("{ name: PATH, value: /usr/bin }", "{ name: A, value: b }", ".env`", "`PATH` is missing"),
        ("{ name: PATH, value: /usr/bin }", "{ name: PATH, value: $(HOME)/bin }", ".value`", "kubelet would put"),
        ("{ name: PATH, value: /usr/bin }", "{ name: HOSTNAME, value: b }", ".name`", "kubelet sets it"),
        ("{ name: PATH, value: /usr/bin }", "{ name: PATH, value: 1 }", ".value`", "in quotes"),
        (
            "          env:",
            "          envFrom: [{ secretRef: { name: s } }]\n          env:",
            ".envFrom`",
            "into `env`",
        ),
        (
            "          env:",
            "          volumeMounts: [{ name: v, mountPath: /m }]\n          env:",
            ".volumeMounts`",
            "into the image",
        ),
        (
            "          env:",
            "          lifecycle: { preStop: { exec: { command: [x] } } }\n          env:",
            ".lifecycle`",
            "every command",
        ),
        ("          env:", "          tty: true\n          env:", ".tty`", "every stream"),
        ("tcpSocket: { port: 8443 }", "exec: { command: [x] }", ".readinessProbe.exec`", "tcpSocket"),
        ("          command: [/usr/bin/enclave-app]\n", "", "containers[0]`", "`command` is missing"),
        ("          workingDir: /\n", "", "containers[0]`", "`workingDir` is missing"),
        ("enableServiceLinks: false", "enableServiceLinks: true", ".enableServiceLinks`", "write `false`"),
        ("      automountServiceAccountToken: false\n", "", "spec`", "`automountServiceAccountToken` is missing"),
        ("runAsUser: 65532, ", "", ".securityContext`", "`runAsUser` and `runAsGroup`"),
        ("runAsUser: 65532, ", "runAsUser: 0, ", ".runAsUser`", "0 is root"),
        ("runAsNonRoot: true, ", "fsGroup: 1, ", ".fsGroup`", "one group"),
        ("runAsNonRoot: true, ", "sysctls: [{ name: a, value: b }], ", ".sysctls`", "admits none"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", ".readOnlyRootFilesystem`", "write `true`"),
        (
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
            ".allowPrivilegeEscalation`",
            "write `false`",
        ),
        (
            "            allowPrivilegeEscalation: false\n",
            "            allowPrivilegeEscalation: false\n            privileged: true\n",
            ".privileged`",
            "write `false`",
        ),
        ("drop: [ALL]", "drop: [ALL], add: [NET_RAW]", ".capabilities.add`", "no capability"),
        ("memory: 2Gi", "nvidia.com/gpu: 1", ".limits.nvidia.com/gpu`", "no device"),
        (
            "runtimeClassName: kata-remote",
            "runtimeClassName: kata-qemu-snp",
            "runtimeClassName is `kata-qemu-snp`",
            "expected `kata-remote`",
        ),
        ("      runtimeClassName: kata-remote\n", "", "spec`", "`runtimeClassName` is missing"),
        ("kind: Service", "kind: Deployment", "spec`", "a second workload"),
        ("kind: Deployment", "kind: Job", "manifest", "no Pod, Deployment or StatefulSet"),
        ("apiVersion: apps/v1", "apiVersion: apps/v1beta1", "`apiVersion` (line 5", "expected `apps/v1`"),
        (
            "  template:\n",
            "  template:\n    metadata: { annotations: { io.katacontainers.config.hypervisor.kernel_params: x } }\n",
            "kernel_params`",
            "leave it out",
        ),
    ] {
        let changed = manifest().replacen(old, new, 1);
        assert_ne!(changed, manifest(), "{old}");
        let changed = if old == "kind: Service" {
            // Beside the first: the same one again.
            format!("{0}---\n{0}", manifest())
        } else {
            changed
        };
        let error = Deployment::of(&changed, None, Platform::AzureSnp).unwrap_err().to_string();
        let is_second = old == "kind: Service";
        if is_second {
            let twice = Deployment::of(&changed, Some("enclave-app"), Platform::AzureSnp).unwrap_err().to_string();
            assert!(
                twice.contains("a second workload")
                    && twice.ends_with("they are told apart by nothing: take one of them out"),
                "{twice}"
            );
            let renamed = changed.replacen("  name: enclave-app\n", "  name: other\n", 1);
            assert_eq!(
                Deployment::of(&renamed, Some("enclave-app"), Platform::AzureSnp).unwrap().workload.name,
                "enclave-app"
            );
        }
        assert!((is_second || error.contains(place)) && error.contains(why), "{old} -> {new}: {error}");
    }
}

/// Kubernetes knows a name by its kind and its namespace: two workloads may share one.
#[test]
fn of_two_workloads_with_one_name_the_kind_says_which() {
    let deployment = manifest();
    let stateful = deployment.split_once("---\n").unwrap().1.replace("kind: Deployment", "kind: StatefulSet");
    let both = format!("{deployment}---\n{stateful}");
    let of = |manifest: &str, name| Deployment::of(manifest, name, Platform::AzureSnp);
    for name in [None, Some("enclave-app")] {
        assert_eq!(
            of(&both, name).unwrap_err().to_string(),
            "manifest: a second workload: `Deployment/enclave-app` (line 5) and `StatefulSet/enclave-app` (line 33); initdata is of one, \
             so say of which, such as `--name Deployment/enclave-app`"
        );
    }
    for (name, kind) in [
        ("Deployment/enclave-app", "Deployment"),
        ("StatefulSet/enclave-app", "StatefulSet"),
        ("statefulset/enclave-app", "StatefulSet"),
        ("Deployment/teegate/enclave-app", "Deployment"),
    ] {
        assert_eq!(of(&both, Some(name)).unwrap().workload.kind, kind);
    }
    for (name, why) in [
        ("Pod/enclave-app", "it holds no Pod, Deployment or StatefulSet that is `Pod/enclave-app`"),
        ("Deployment/other/enclave-app", "that is `Deployment/other/enclave-app`"),
        ("Service/enclave-app", "`--name Service/enclave-app`: expected the name of a workload, or its kind before it"),
        ("Deployment/", "expected the name of a workload"),
        ("Pod//enclave-app", "expected the name of a workload"),
        ("Pod/a/b/c", "expected the name of a workload"),
    ] {
        let refused = of(&both, Some(name)).unwrap_err().to_string();
        assert!(refused.contains(why), "{name}: {refused}");
    }
    // The same kind in two namespaces.
    let other = deployment.split_once("---\n").unwrap().1.replace("namespace: teegate", "namespace: blue");
    let both = format!("{deployment}---\n{other}");
    let refused = of(&both, Some("Deployment/enclave-app")).unwrap_err().to_string();
    assert!(
        refused.contains("`Deployment/teegate/enclave-app` (line 5) and `Deployment/blue/enclave-app` (line 33)"),
        "{refused}"
    );
    let blue = of(&both, Some("Deployment/blue/enclave-app")).unwrap();
    assert_eq!(blue.workload.namespace.as_deref(), Some("blue"));
}

#[test]
fn a_pod_in_json_gives_the_same_measurement_as_in_a_deployment() {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "enclave-app" },
        "spec": {
            "runtimeClassName": "kata-remote", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "containers": [{
                "name": "enclave-app", "image": format!("ghcr.io/example/enclave-app@sha256:{DIGEST}"), "workingDir": "/",
                "command": ["/usr/bin/enclave-app", "--config", "/etc/teegate/enclave-app.toml"],
                "env": [{ "name": "PATH", "value": "/usr/bin" }],
                "securityContext": {
                    "runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    });
    let made = Deployment::of(&pod.to_string(), None, Platform::AzureSnp).unwrap();
    assert_eq!(made.measured, self::made(Platform::AzureSnp).measured);
    assert!(made.patch.contains("kind: Pod\n") && made.patch.contains("\n  annotations:\n"), "{}", made.patch);
}
