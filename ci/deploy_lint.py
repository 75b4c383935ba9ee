"""The lint of what deploy/ renders, for ci/deploy.py.

Each rule is a sentence that the runbook relies on. A rule that can no longer fail is found out as well: after the lint passed, each mutation
below is applied to what was rendered and has to be refused by its own words.
"""

import copy
import re
import tomllib

# The platforms whose guests measure an initdata, and the one whose digest each overlay carries.
INITDATA = {"azure-peerpods": "azure-snp", "kata-qemu-snp": "kata-snp", "kata-qemu-tdx": "kata-tdx"}
RUNTIME_CLASS = {"azure-peerpods": "kata-remote", "kata-qemu-snp": "kata-qemu-snp", "kata-qemu-tdx": "kata-qemu-tdx"}
ANNOTATION = "io.katacontainers.config.hypervisor.cc_init_data"
PRIVATE = {"10.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
# Who may be asked beside the gateway's own list, by overlay: nobody, unless the platform needs it.
PUBLIC = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": sorted(PRIVATE)}}], "ports": [{"port": 443, "protocol": "TCP"}]}
DNS = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}
METADATA = {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80, "protocol": "TCP"}]}
TO_ENCLAVES = {
    "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "enclave-app"}}}],
    "ports": [{"port": 8443, "protocol": "TCP"}],
}
EGRESS = {
    ("teegate-gateway", None): [TO_ENCLAVES, DNS, PUBLIC],
    ("enclave-app", None): [],
    # A guest of Kata's on bare metal pulls its image over the network of the pod; an attester on a node's TPM asks Azure's metadata service.
    ("enclave-app", "kata-qemu-snp"): [DNS, PUBLIC],
    ("enclave-app", "kata-qemu-tdx"): [DNS, PUBLIC],
    ("enclave-app", "azure-cvm-nodepool"): [METADATA],
}
BY_DIGEST = re.compile(r"^[a-z0-9.:-]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}$")


def named(document):
    return f"{document['kind']} {document['metadata']['name']}"


def of(documents, kind, name=None):
    return [one for one in documents if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def lint(overlay, documents):
    """What each rendering has to be, whatever its platform, and what is of one platform."""
    complaints = []

    def hold(is_held, what):
        if not is_held:
            complaints.append(what)

    labels = of(documents, "Namespace")[0]["metadata"]["labels"]
    hold(labels.get("pod-security.kubernetes.io/enforce") == "restricted", "Namespace: PodSecurity is not `restricted`")
    for workload in of(documents, "Deployment"):
        name = named(workload)
        pod = workload["spec"]["template"]["spec"]
        hold(pod.get("automountServiceAccountToken") is False, f"{name}: a token is mounted")
        hold(pod.get("enableServiceLinks") is False, f"{name}: each Service adds variables")
        hold(not pod.get("hostNetwork") and not pod.get("hostPID") and not pod.get("hostIPC"), f"{name}: a namespace of the host")
        context = pod.get("securityContext", {})
        hold(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, f"{name}: it may run as root")
        hold(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name}: no seccomp profile")
        hold(not any("hostPath" in volume for volume in pod.get("volumes", [])), f"{name}: a path of the host")
        hold(len(pod["containers"]) == 1 and not pod.get("initContainers"), f"{name}: more than one container")
        for container in pod["containers"]:
            own = container.get("securityContext", {})
            hold(BY_DIGEST.match(container["image"]), f"{name}: `{container['image']}` is no image by digest")
            hold(own.get("allowPrivilegeEscalation") is False and not own.get("privileged"), f"{name}: privileges")
            hold(own.get("readOnlyRootFilesystem") is True, f"{name}: the root can be written")
            hold(own.get("capabilities", {}) == {"drop": ["ALL"]}, f"{name}: capabilities")
            hold("lifecycle" not in container, f"{name}: a command by `lifecycle`")
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                hold("exec" not in container.get(probe, {}), f"{name}: `{probe}` runs a command")
            hold("readinessProbe" in container and "livenessProbe" in container, f"{name}: a probe is missing")
            hold("memory" in container.get("resources", {}).get("limits", {}), f"{name}: no limit of memory")
            hold(not any("valueFrom" in one for one in container.get("env", [])), f"{name}: a variable from elsewhere")
    measured = of(documents, "Deployment", "enclave-app")[0]["spec"]["template"]
    hold(not measured["spec"].get("volumes"), "Deployment enclave-app: a volume is content that the host chooses")
    wanted = RUNTIME_CLASS.get(overlay)
    hold(measured["spec"].get("runtimeClassName") == wanted, f"Deployment enclave-app: runtimeClassName is not {wanted}")
    carried = ANNOTATION in measured["metadata"].get("annotations", {})
    hold(carried == (overlay in INITDATA), "Deployment enclave-app: initdata is missing, or where nothing measures it")
    complaints += network(overlay, documents) + names(overlay, documents)
    for workload in of(documents, "Deployment"):
        selector = workload["spec"]["selector"]["matchLabels"]
        budgets = [one for one in of(documents, "PodDisruptionBudget") if one["spec"]["selector"]["matchLabels"] == selector]
        hold(len(budgets) == 1, f"{named(workload)}: no disruption budget")
    scalers = of(documents, "HorizontalPodAutoscaler")
    hold(len(scalers) == (0 if overlay == "dev-no-tee" else 1), "HorizontalPodAutoscaler: not one")
    for scaler in scalers:
        metric = scaler["spec"]["metrics"][0]["object"]["metric"]["name"]
        hold(metric == "teegate_gateway_in_flight", f"{named(scaler)}: it scales by `{metric}`")
    secret = of(documents, "Certificate")[0]["spec"]["secretName"]
    gateway = of(documents, "Deployment", "teegate-gateway")[0]["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in gateway["volumes"] if "secret" in volume}
    hold(secret in secrets, "Certificate: the gateway does not mount it")
    hold(not of(documents, "Secret"), "a Secret is in the manifests")
    for webhook in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ClusterRole", "ClusterRoleBinding"):
        hold(not of(documents, webhook), f"a {webhook} is in the manifests")
    return complaints


def network(overlay, documents):
    complaints = []
    policies = {one["metadata"]["name"]: one["spec"] for one in of(documents, "NetworkPolicy")}
    deny = policies.pop("default-deny", {})
    if deny.get("podSelector") != {} or deny.get("policyTypes") != ["Ingress", "Egress"] or deny.get("ingress") or deny.get("egress"):
        complaints.append("NetworkPolicy default-deny: it does not deny everything")
    for name, spec in policies.items():
        expected = EGRESS.get((name, overlay), EGRESS.get((name, None)))
        found = [ordered(rule) for rule in spec.get("egress") or []]
        if found != expected:
            complaints.append(f"NetworkPolicy {name}: its egress is not exactly what {overlay} needs")
        if spec.get("policyTypes") != ["Ingress", "Egress"]:
            complaints.append(f"NetworkPolicy {name}: it says nothing of one direction")
    own = policies["enclave-app"]
    sources = [source for rule in own["ingress"] for source in rule.get("from", [{}])]
    if sources != [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "teegate-gateway"}}}]:
        complaints.append("NetworkPolicy enclave-app: others than the gateway reach it")
    operator = [rule for rule in policies["teegate-gateway"]["ingress"] if {"port": 9090, "protocol": "TCP"} in rule.get("ports", [])]
    if len(operator) != 1 or not operator[0].get("from"):
        complaints.append("NetworkPolicy teegate-gateway: everybody reaches the operator's port")
    return complaints


def ordered(rule):
    """The rule with the exceptions of its address blocks in order, which says nothing."""
    rule = copy.deepcopy(rule)
    for to in rule.get("to", []):
        if "except" in to.get("ipBlock", {}):
            to["ipBlock"]["except"].sort()
    return rule


def names(overlay, documents):
    """What names something else names what is there: ports, selectors, the Service that the gateway asks DNS for."""
    complaints = []
    pods = {one["metadata"]["name"]: one["spec"]["template"] for one in of(documents, "Deployment")}
    services = of(documents, "Service")
    for service in services:
        selector = service["spec"]["selector"]
        behind = [pod for pod in pods.values() if selector.items() <= pod["metadata"]["labels"].items()]
        if len(behind) != 1:
            complaints.append(f"{named(service)}: it leads to {len(behind)} workloads")
            continue
        known = {port["name"] for port in behind[0]["spec"]["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in known:
                complaints.append(f"{named(service)}: no container has the port `{port['targetPort']}`")
    for name, pod in pods.items():
        container = pod["spec"]["containers"][0]
        known = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe, {})
            port = (asked.get("httpGet") or asked.get("tcpSocket") or {}).get("port")
            if asked and port not in known:
                complaints.append(f"Deployment {name}: `{probe}` asks the port `{port}`, which is not there")
    for monitor in of(documents, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        chosen = [service for service in services if selector.items() <= service["metadata"].get("labels", {}).items()]
        offered = {port["name"] for service in chosen for port in service["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if len(chosen) != 1 or endpoint["port"] not in offered:
                complaints.append(f"{named(monitor)}: no one Service offers `{endpoint['port']}`")
            if (endpoint["port"], endpoint["path"]) != ("operator", "/metrics"):
                complaints.append("ServiceMonitor is not of the operator's port")
    for scaler in of(documents, "HorizontalPodAutoscaler"):
        target, metric = scaler["spec"]["scaleTargetRef"], scaler["spec"]["metrics"][0]["object"]["describedObject"]
        if not of(documents, target["kind"], target["name"]) or not of(documents, metric["kind"], metric["name"]):
            complaints.append(f"{named(scaler)}: it names what is not there")
    config = tomllib.loads(of(documents, "ConfigMap", "teegate-gateway")[0]["data"]["gateway.toml"])
    enclaves = of(documents, "Service", "enclave-app")[0]
    asked = {(source["name"], source["port"]) for source in config["discovery"]["dns"]}
    answer = f"enclave-app.{enclaves['metadata']['namespace']}.svc.cluster.local."
    if asked != {(answer, enclaves["spec"]["ports"][0]["port"])} or enclaves["spec"]["clusterIP"] != "None":
        complaints.append(f"gateway.toml: it asks for {sorted(asked)}, and the pods are `{answer}`")
    mounted = {volume["mountPath"] for volume in pods["teegate-gateway"]["spec"]["containers"][0]["volumeMounts"]}
    for path in re.findall(r'"(/[a-z./-]+)"', of(documents, "ConfigMap", "teegate-gateway")[0]["data"]["gateway.toml"]):
        if not any(path == place or path.startswith(place + "/") for place in mounted):
            complaints.append(f"gateway.toml: nothing is mounted at `{path}`")
    drain = config.get("drain_seconds", 30)
    if pods["teegate-gateway"]["spec"]["terminationGracePeriodSeconds"] <= drain:
        complaints.append("Deployment teegate-gateway: it is killed before it has drained")
    meshes = pods["enclave-app"]["metadata"]
    if meshes["labels"].get("sidecar.istio.io/inject") != "false" or meshes.get("annotations", {}).get("linkerd.io/inject") != "disabled":
        complaints.append("Deployment enclave-app: a service mesh may add a container")
    return complaints


def container_of(documents, name):
    return of(documents, "Deployment", name)[0]["spec"]["template"]["spec"]["containers"][0]


def pod_of(documents, name):
    return of(documents, "Deployment", name)[0]["spec"]["template"]["spec"]


def config_of(documents, old, new):
    data = of(documents, "ConfigMap", "teegate-gateway")[0]["data"]
    data["gateway.toml"] = data["gateway.toml"].replace(old, new)


def policy_of(documents, name):
    return of(documents, "NetworkPolicy", name)[0]["spec"]


# Each: what is changed, and the words that have to refuse it.
MUTATIONS = [
    (lambda d: container_of(d, "enclave-app").update(image="ghcr.io/example/enclave-app:1.0"), "is no image by digest"),
    (lambda d: container_of(d, "enclave-app")["securityContext"].update(readOnlyRootFilesystem=False), "the root can be written"),
    (lambda d: container_of(d, "enclave-app")["securityContext"].update(privileged=True), "privileges"),
    (lambda d: container_of(d, "enclave-app")["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["X"]}), "capabilities"),
    (lambda d: container_of(d, "enclave-app").update(readinessProbe={"exec": {"command": ["x"]}}), "runs a command"),
    (lambda d: container_of(d, "teegate-gateway").pop("livenessProbe"), "a probe is missing"),
    (lambda d: container_of(d, "teegate-gateway").update(env=[{"name": "A", "valueFrom": {}}]), "a variable from elsewhere"),
    (lambda d: container_of(d, "teegate-gateway").update(lifecycle={}), "a command by `lifecycle`"),
    (lambda d: container_of(d, "teegate-gateway")["resources"].pop("limits"), "no limit of memory"),
    (lambda d: pod_of(d, "enclave-app").update(volumes=[{"name": "v", "emptyDir": {}}]), "a volume is content"),
    (lambda d: pod_of(d, "teegate-gateway")["volumes"].append({"name": "h", "hostPath": {"path": "/"}}), "a path of the host"),
    (lambda d: pod_of(d, "enclave-app")["containers"].append(container_of(d, "teegate-gateway")), "more than one container"),
    (lambda d: pod_of(d, "enclave-app").update(automountServiceAccountToken=True), "a token is mounted"),
    (lambda d: pod_of(d, "enclave-app").pop("enableServiceLinks"), "adds variables"),
    (lambda d: pod_of(d, "enclave-app").update(hostPID=True), "a namespace of the host"),
    (lambda d: pod_of(d, "enclave-app")["securityContext"].update(runAsUser=0), "it may run as root"),
    (lambda d: pod_of(d, "enclave-app")["securityContext"].pop("seccompProfile"), "no seccomp profile"),
    (lambda d: pod_of(d, "enclave-app").pop("runtimeClassName"), "runtimeClassName is not kata-remote"),
    (lambda d: of(d, "Deployment", "enclave-app")[0]["spec"]["template"]["metadata"].pop("annotations"), "initdata is missing"),
    (lambda d: of(d, "Namespace")[0]["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"}), "not `restricted`"),
    (lambda d: policy_of(d, "default-deny").update(egress=[{}]), "does not deny everything"),
    (lambda d: policy_of(d, "teegate-gateway")["egress"].append({}), "teegate-gateway: its egress is not exactly"),
    (lambda d: policy_of(d, "teegate-gateway")["egress"][2]["to"][0]["ipBlock"].pop("except"), "teegate-gateway: its egress is not exactly"),
    (lambda d: policy_of(d, "teegate-gateway")["egress"][1]["to"][0].pop("podSelector"), "teegate-gateway: its egress is not exactly"),
    (lambda d: policy_of(d, "teegate-gateway")["ingress"][1].pop("from"), "everybody reaches the operator's port"),
    (lambda d: policy_of(d, "teegate-gateway").update(policyTypes=["Ingress"]), "nothing of one direction"),
    (lambda d: policy_of(d, "enclave-app")["ingress"][0].pop("from"), "others than the gateway"),
    (lambda d: policy_of(d, "enclave-app").update(egress=[METADATA]), "enclave-app: its egress is not exactly"),
    (lambda d: of(d, "Service", "teegate-gateway")[0]["spec"]["ports"][1].update(name="metrics"), "no one Service offers `operator`"),
    (lambda d: of(d, "ServiceMonitor")[0]["spec"]["endpoints"][0].update(port="https"), "ServiceMonitor is not of the operator's port"),
    (lambda d: of(d, "Service", "teegate-gateway")[0]["spec"]["ports"][0].update(targetPort="tls"), "no container has the port `tls`"),
    (lambda d: of(d, "Service", "enclave-app")[0]["spec"].update(selector={"app": "x"}), "it leads to 0 workloads"),
    (lambda d: container_of(d, "teegate-gateway")["readinessProbe"]["httpGet"].update(port="x"), "asks the port `x`"),
    (lambda d: of(d, "HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"].update(name="x"), "it names what is not there"),
    (lambda d: config_of(d, "enclave-app.teegate.", "enclave-app.other."), "and the pods are"),
    (lambda d: config_of(d, "/etc/teegate/policy/", "/etc/policy/"), "nothing is mounted at"),
    (lambda d: pod_of(d, "teegate-gateway").update(terminationGracePeriodSeconds=30), "killed before it has drained"),
    (lambda d: of(d, "Deployment", "enclave-app")[0]["spec"]["template"]["metadata"]["labels"].pop("sidecar.istio.io/inject"), "a service mesh may"),
    (lambda d: d.remove(of(d, "PodDisruptionBudget", "enclave-app")[0]), "no disruption budget"),
    (lambda d: d.remove(of(d, "HorizontalPodAutoscaler")[0]), "HorizontalPodAutoscaler: not one"),
    (lambda d: of(d, "HorizontalPodAutoscaler")[0]["spec"]["metrics"][0]["object"]["metric"].update(name="cpu"), "scales by `cpu`"),
    (lambda d: of(d, "Certificate")[0]["spec"].update(secretName="x"), "does not mount it"),
    (lambda d: d.append({"kind": "Secret", "metadata": {"name": "x"}}), "a Secret is in the manifests"),
    (lambda d: d.append({"kind": "ClusterRole", "metadata": {"name": "x"}}), "a ClusterRole is in the manifests"),
]


def mutations(rendered, schemas):
    complaints = []
    for index, (mutate, words) in enumerate(MUTATIONS):
        documents = copy.deepcopy(rendered["azure-peerpods"])
        mutate(documents)
        if not any(words in what for what in lint("azure-peerpods", documents)):
            complaints.append(f"lint: mutation {index} is not refused by `{words}`")
    unknown = copy.deepcopy(rendered["base"])
    pod_of(unknown, "enclave-app")["newField"] = 1
    if not schemas(unknown):
        complaints.append("schemas: an unknown field is taken")
    return complaints
