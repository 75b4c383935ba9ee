package agent_policy

import future.keywords.every
import future.keywords.if
import future.keywords.in

# One workload, one container beside the pause container. The agent asks `data.agent_policy.NAME` for each request by its name. What has no
# rule is refused: a result that is undefined is a refusal.

default CreateSandboxRequest := false
default CreateContainerRequest := false
default CopyFileRequest := false
default UpdateInterfaceRequest := false
default UpdateRoutesRequest := false
default AddARPNeighborsRequest := false

# Nothing of the host's enters or leaves a container that runs: no command, no input, no output, no other limits, no mount, no policy.
default ExecProcessRequest := false
default WriteStreamRequest := false
default ReadStreamRequest := false
default CloseStdinRequest := false
default TtyWinResizeRequest := false
default UpdateContainerRequest := false
default UpdateEphemeralMountsRequest := false
default SetPolicyRequest := false
default SetGuestDateTimeRequest := false
default ReseedRandomDevRequest := false
default AddSwapRequest := false
default GetDiagnosticDataRequest := false

# The life of what was admitted. None of these carries code or content.
default StartContainerRequest := true
default WaitProcessRequest := true
default SignalProcessRequest := true
default StatsContainerRequest := true
default RemoveContainerRequest := true
default DestroySandboxRequest := true
default GuestDetailsRequest := true
default GetOOMEventRequest := true
default OnlineCPUMemRequest := true

# What this policy does not know has to be unset: a field that a later agent adds says nothing here, or the request is refused.
known(value, names) if every name, said in value { is_known(name, said, names) }

is_known(name, _, names) if name in names

is_known(_, said, _) if said in [null, false, 0, "", [], {}]

CreateSandboxRequest if {
    known(input, fields.sandbox)
    input.sandbox_pidns == false
    input.guest_hook_path == ""
    count(input.kernel_modules) == 0
    count(input.storages) <= 1
    every storage in input.storages {
        known(storage, fields.storage)
        storage.driver == "ephemeral"
        storage.source == "shm"
        storage.fstype == "tmpfs"
        storage.mount_point == "/run/kata-containers/sandbox/shm"
        count(storage.driver_options) == 0
        object.get(storage, "fs_group", null) == null
        object.get(storage, "shared", false) == false
        every option in storage.options {
            regex.match(`^(noexec|nosuid|nodev|mode=1777|size=[0-9]{1,12})$`, option)
        }
    }
}

CreateContainerRequest if {
    some own in containers
    input.OCI.Annotations["io.kubernetes.cri.container-type"] == own.kind
    common(own)
    process(own)
    storage_of(own)
}

# What both containers have in common. The guest makes the process of the pause container from its own, measured image.
common(own) if {
    known(input, fields.container)
    known(input.OCI, fields.oci)
    known(input.OCI.Root, ["Path", "Readonly"])
    known(input.OCI.Linux, fields.linux)
    known(input.OCI.Linux.Resources, fields.resources)
    regex.match(`^[0-9a-f]{64}$`, input.container_id)
    input.sandbox_pidns == false
    object.get(input, "string_user", null) == null
    object.get(input, "stdin_port", null) == null
    object.get(input, "stdout_port", null) == null
    object.get(input, "stderr_port", null) == null
    count(input.shared_mounts) == 0
    count(input.devices) == 0
    oci := input.OCI
    oci.Root.Path == root_path
    oci.Root.Readonly == true
    regex.match(`^[a-z0-9.-]{0,253}$`, oci.Hostname)
    object.get(oci, "Hooks", null) == null
    object.get(oci, "Solaris", null) == null
    object.get(oci, "Windows", null) == null
    every key, _ in oci.Annotations { annotation_key(key) }
    linux := oci.Linux
    object.get(linux, "Seccomp", null) == null
    object.get(linux, "IntelRdt", null) == null
    count(linux.Devices) == 0
    count(linux.Resources.Devices) == 0
    count(linux.UIDMappings) == 0
    count(linux.GIDMappings) == 0
    linux.MountLabel == ""
    linux.RootfsPropagation == ""
    every key, value in linux.Sysctl { sysctl[key] == value }
    not contains(linux.CgroupsPath, "..")
    every namespace in linux.Namespaces { namespace_is_known(namespace) }
    "mount" in {namespace.Type | some namespace in linux.Namespaces}
    every path in masked { path in linux.MaskedPaths }
    every path in linux.MaskedPaths { may_be_masked(path) }
    {path | some path in linux.ReadonlyPaths} == {path | some path in read_only}
    every mount in oci.Mounts { mount_is_known(mount) }
    count({mount.destination | some mount in oci.Mounts}) == count(oci.Mounts)
}

# A mask is a mount of nothing, so that the host may not choose its place: over a configuration it would be an empty one.
may_be_masked(path) if path in masked

may_be_masked(path) if regex.match(`^/proc/interrupts$|^/sys/devices/virtual/powercap$|^/sys/devices/system/cpu/cpu[0-9]{1,4}/thermal_throttle$`, path)

namespace_is_known(namespace) if {
    namespace.Type in ["ipc", "uts", "mount", "pid", "cgroup", "network"]
    namespace.Path == ""
}

# Where the guest is a machine of its own with a network of its own beside the pod's.
namespace_is_known(namespace) if {
    namespace.Type == "network"
    namespace.Path == "/run/netns/podns"
}

process(own) if {
    started := input.OCI.Process
    known(started, fields.process)
    known(started.User, ["UID", "GID", "AdditionalGids", "Username"])
    started.Args == own.args
    started.Cwd == own.directory
    started.Terminal == false
    started.SelinuxLabel == ""
    every variable in started.Env { variable_is_known(variable, own) }
    every variable in own.env { variable in started.Env }
    count({split(variable, "=")[0] | some variable in started.Env}) == count(started.Env)
    rights(own, started)
}

rights(own, started) if own.kind == "sandbox"

rights(own, started) if {
    own.kind == "container"
    started.NoNewPrivileges == true
    started.User.UID == own.user
    started.User.GID == own.group
    started.User.Username == ""
    every number in started.User.AdditionalGids { number == own.group }
    every limit in started.Rlimits { limit.Type == "RLIMIT_NOFILE" }
    is_object(started.Capabilities)
    every _, granted in started.Capabilities { count(granted) == 0 }
}

# The agent pulls what `source` names, whatever else the request says of images.
storage_of(own) if {
    count(input.storages) == 1
    storage := input.storages[0]
    known(storage, fields.storage)
    storage.driver == "image_guest_pull"
    storage.source == own.image
    storage.fstype == "overlay"
    storage.mount_point == root_path
    count(storage.options) == 0
    object.get(storage, "fs_group", null) == null
    object.get(storage, "shared", false) == false
    driver_options(own, storage.driver_options)
    image_name(own)
}

driver_options(own, options) if count(options) == 0

driver_options(own, options) if {
    count(options) == 1
    startswith(options[0], "image_guest_pull=")
    volume := json.unmarshal(trim_prefix(options[0], "image_guest_pull="))
    object.keys(volume) == {"metadata"}
    of_kind(volume.metadata, own)
}

# The agent asks either key what it unpacks: the pause image of the guest, or what it pulls.
of_kind(metadata, own) if {
    own.kind == "sandbox"
    metadata["io.kubernetes.cri.container-type"] == "sandbox"
}

of_kind(metadata, own) if {
    own.kind == "container"
    object.get(metadata, "io.kubernetes.cri.container-type", "container") == "container"
    object.get(metadata, "io.kubernetes.cri-o.ContainerType", "container") == "container"
}

image_name(own) if own.kind == "sandbox"

image_name(own) if {
    own.kind == "container"
    input.OCI.Annotations["io.kubernetes.cri.image-name"] == own.image
    input.OCI.Annotations["io.kubernetes.cri.container-name"] == own.name
}

root_path := concat("", ["/run/kata-containers/", input.container_id, "/rootfs"])

annotation_key(key) if startswith(key, "io.kubernetes.cri.")

annotation_key(key) if key in [
    "io.katacontainers.config.hypervisor.cc_init_data",
    "io.katacontainers.pkg.oci.bundle_path",
    "io.katacontainers.pkg.oci.container_type",
    "nerdctl/network-namespace",
]

# What the manifest says, and what kubelet and runtime add to it, in exactly their form: the address of the cluster's API and the name
# of the pod.
variable_is_known(variable, own) if variable in own.env

variable_is_known(variable, own) if {
    own.kind == "sandbox"
    startswith(variable, "PATH=")
}

variable_is_known(variable, own) if {
    own.kind == "container"
    some form in added_variables
    regex.match(form, variable)
}

added_variables := [
    `^HOSTNAME=[a-z0-9.-]{1,63}$`,
    `^KUBERNETES_SERVICE_HOST=[0-9a-f.:]{2,45}$`,
    `^KUBERNETES_SERVICE_PORT(_HTTPS)?=[0-9]{1,5}$`,
    `^KUBERNETES_PORT(_443_TCP)?=tcp://[0-9a-f.:\[\]]{2,47}:[0-9]{1,5}$`,
    `^KUBERNETES_PORT_443_TCP_ADDR=[0-9a-f.:]{2,45}$`,
    `^KUBERNETES_PORT_443_TCP_PORT=[0-9]{1,5}$`,
    `^KUBERNETES_PORT_443_TCP_PROTO=tcp$`,
]

mount_is_known(mount) if {
    known(mount, fields.mount)
    some fixed in fixed_mounts
    mount.destination == fixed.destination
    mount.source == fixed.source
    mount.type_ == fixed.type_
    {option | some option in mount.options} - cgroup_options == {option | some option in fixed.options}
}

# Files that the host writes and that hold no code; CopyFileRequest lets in these and no other.
mount_is_known(mount) if {
    known(mount, fields.mount)
    file := host_files[mount.destination]
    mount.type_ == "bind"
    every option in mount.options { option in ["rbind", "rprivate", "rw", "ro", "nosuid", "nodev", "noexec"] }
    "rbind" in mount.options
    regex.match(concat("", [`^/run/kata-containers/shared/containers/`, input.container_id, `-[0-9a-z]{16}-`, file, `$`]), mount.source)
}

# A regular file by its mode (S_IFREG is 0o100000), which is what the agent goes by, and without the bits above the nine of access.
CopyFileRequest if {
    known(input, ["path", "file_size", "file_mode", "dir_mode", "uid", "gid", "offset", "file_type"])
    input.file_mode >= 32768
    input.file_mode < 33280
    object.get(input, "file_type", "Regular") == "Regular"
    regex.match(`^/run/kata-containers/shared/containers/[0-9a-f]{64}-[0-9a-z]{16}-(hosts|hostname|resolv\.conf|termination-log)$`, input.path)
}

# The loopback interface is where the guest's own services answer. The agent finds an interface by its hardware address, read leniently, and
# a route's by a name that may end early: hence forms that leave one way to write a thing.
UpdateInterfaceRequest if {
    known(input, ["interface"])
    known(input.interface, ["device", "name", "IPAddresses", "mtu", "hwAddr", "pciPath", "devicePath", "type_", "raw_flags"])
    is_device(input.interface.name)
    is_device_or_none(input.interface.device)
    regex.match(`^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$`, input.interface.hwAddr)
    input.interface.hwAddr != "00:00:00:00:00:00"
    input.interface.raw_flags in [0, 128]
    every own in input.interface.IPAddresses { is_address(own.address) }
}

UpdateRoutesRequest if {
    known(input, ["routes"])
    known(input.routes, ["Routes"])
    every route in input.routes.Routes {
        known(route, ["dest", "gateway", "device", "source", "scope", "family", "flags", "mtu"])
        is_device(route.device)
        is_address_or_none(route.source)
        is_address_or_none(route.gateway)
        is_destination(route.dest)
    }
}

AddARPNeighborsRequest if {
    known(input, ["neighbors"])
    known(input.neighbors, ["ARPNeighbors"])
    every neighbour in input.neighbors.ARPNeighbors {
        known(neighbour, ["toIPAddress", "device", "lladdr", "state", "flags"])
        is_device(neighbour.device)
        neighbour.state in [2, 128]
        neighbour.flags in [0, 8, 128]
        is_address(neighbour.toIPAddress.address)
    }
}

is_device(name) if {
    regex.match(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`, name)
    name != "lo"
}

is_device_or_none(name) if name == ""

is_device_or_none(name) if is_device(name)

# Dotted, and neither of the loopback network nor of none; or of version 6 with a first group that is not zero, which leaves out the loopback
# address and the dotted ones in each of their spellings.
is_address(text) if {
    regex.match(`^[1-9][0-9]{0,2}(\.[0-9]{1,3}){3}$`, text)
    not startswith(text, "127.")
}

is_address(text) if regex.match(`^[1-9a-fA-F][0-9a-fA-F]{0,3}:[0-9a-fA-F:]{1,35}$`, text)

is_address_or_none(text) if text == ""

is_address_or_none(text) if is_address(text)

is_destination(text) if text in ["", "0.0.0.0/0", "::/0"]

is_destination(text) if {
    parts := split(text, "/")
    count(parts) <= 2
    is_address(parts[0])
    every mask in array.slice(parts, 1, 2) { regex.match(`^[1-9][0-9]{0,2}$`, mask) }
}

fields := {
    "sandbox": ["hostname", "dns", "storages", "sandbox_pidns", "sandbox_id", "guest_hook_path", "kernel_modules"],
    "container": ["container_id", "exec_id", "string_user", "devices", "storages", "OCI", "sandbox_pidns", "shared_mounts", "stdin_port", "stdout_port", "stderr_port"],
    "storage": ["driver", "driver_options", "source", "fstype", "options", "mount_point", "fs_group", "shared"],
    "oci": ["Version", "Process", "Root", "Hostname", "Mounts", "Hooks", "Annotations", "Linux", "Solaris", "Windows"],
    "process": ["Terminal", "ConsoleSize", "User", "Args", "Env", "Cwd", "Capabilities", "Rlimits", "NoNewPrivileges", "ApparmorProfile", "OOMScoreAdj", "SelinuxLabel"],
    "linux": ["UIDMappings", "GIDMappings", "Sysctl", "Resources", "CgroupsPath", "Namespaces", "Devices", "Seccomp", "RootfsPropagation", "MaskedPaths", "ReadonlyPaths", "MountLabel", "IntelRdt"],
    "resources": ["Devices", "Memory", "CPU", "Pids", "BlockIO", "HugepageLimits", "Network"],
    "mount": ["destination", "source", "type_", "options"],
}

sysctl := {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}

cgroup_options := {"nsdelegate", "memory_recursiveprot"}

host_files := {
    "/dev/termination-log": "termination-log",
    "/etc/hostname": "hostname",
    "/etc/hosts": "hosts",
    "/etc/resolv.conf": `resolv\.conf`,
}

masked := ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"]

read_only := ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

fixed_mounts := [
    {"destination": "/proc", "source": "proc", "type_": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "source": "tmpfs", "type_": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "source": "devpts", "type_": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/mqueue", "source": "mqueue", "type_": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev/shm", "source": "/run/kata-containers/sandbox/shm", "type_": "bind", "options": ["rbind"]},
    {"destination": "/sys", "source": "sysfs", "type_": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "source": "cgroup", "type_": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
]

