"""Makes a unified kernel image whose initramfs is a whole guest. Called by ci/uki.sh, which brings what it is made of.

    uki.py --programs DIR --out FILE [--cmdline TEXT] [--extra FILE]

UAPI Group, *Unified Kernel Image (UKI)*; Microsoft, *PE Format*; Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.
Every byte of the archive and of the image's headers is written here, so that no release of cpio or objcopy has a say.
"""

import argparse
import hashlib
import pathlib
import struct
import subprocess
import sys
import tempfile

import elf

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEBIAN = ROOT / ".cache/debian"
RUNTIME = ROOT / ".cache/onnxruntime/lib/libonnxruntime.so"
KERNEL = "6.1.0-56-cloud-amd64"  # of the package that ci/debian.sh pins
CMDLINE = "console=ttyS0 quiet panic=-1 rdinit=/init"
OSREL = b"ID=teegate-guest\nVERSION_ID=1\n"
# Debian's cloud kernel has virtio as modules, each of which needs those before it.
MODULES = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
    "drivers/char/hw_random/virtio-rng.ko",
]
FOLDERS = ["dev", "extra", "proc", "run", "sys", "tmp"]
PROGRAM, FILE = 0o755, 0o644
FOLDER_TYPE, FILE_TYPE = 0o040000, 0o100000


class Refused(ValueError):
    """What ends this with one sentence."""


def guest(programs, extra):
    """The files of the initramfs: `{path: (bytes, mode)}`."""
    program, runtime = stripped(programs / "enclave-app"), RUNTIME.read_bytes()
    libraries, loader, machine = elf.closure([program, runtime], [pathlib.Path("/lib/x86_64-linux-gnu"), pathlib.Path("/usr/lib/x86_64-linux-gnu")])
    if machine != "x86_64":
        raise Refused(f"enclave-app is for {machine}; the pinned kernel is for x86_64")
    files = {
        "init": ((ROOT / "ci/guest/init").read_bytes(), PROGRAM),
        "bin/busybox": ((DEBIAN / "bin/busybox").read_bytes(), PROGRAM),
        "bin/enclave-app": (program, PROGRAM),
        "etc/group": (b"nonroot:x:65532:\n", FILE),
        "etc/passwd": (b"nonroot:x:65532:65532::/:/nonexistent\n", FILE),
        "etc/teegate/enclave-app.toml": ((ROOT / "ci/guest/enclave-app.toml").read_bytes(), FILE),
        "models/breast-cancer/model.onnx": ((ROOT / "enclave-app/models/breast-cancer/model.onnx").read_bytes(), FILE),
        "opt/teegate/lib/libonnxruntime.so": (runtime, PROGRAM),
        str(loader)[1:]: (loader.read_bytes(), PROGRAM),
    }
    for name, path in libraries.items():
        files[f"lib/x86_64-linux-gnu/{name}"] = (path.read_bytes(), PROGRAM)
    for place, name in enumerate(MODULES):
        module = DEBIAN / "lib/modules" / KERNEL / "kernel" / name
        files[f"modules/{place:02}-{module.name}"] = (module.read_bytes(), FILE)
    if extra:
        files[f"extra/{extra.name}"] = (extra.read_bytes(), FILE)
    return files


def stripped(path):
    """A program without its symbols, as it is shipped."""
    if not path.is_file():
        raise Refused(f"{path} is not there; `cargo build --locked --release --package teegate-enclave --bin enclave-app` builds it")
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / path.name
        subprocess.run(["strip", "--strip-all", "-o", target, path], check=True)
        return target.read_bytes()


def archive(files):
    """A cpio archive in the form `newc`, everything at time 0 and of root, sorted, so that a folder stands before what is in it."""
    entries = {parent: (b"", FOLDER_TYPE | PROGRAM) for path in files for parent in parents(path)}
    entries |= {path: (b"", FOLDER_TYPE | PROGRAM) for path in FOLDERS}
    entries |= {path: (data, FILE_TYPE | mode) for path, (data, mode) in files.items()}
    parts = [entry(number, path, *entries[path]) for number, path in enumerate(sorted(entries), 1)]
    return b"".join([*parts, entry(0, "TRAILER!!!", b"", 0)])


def parents(path):
    return [str(parent) for parent in pathlib.PurePosixPath(path).parents if str(parent) != "."]


def entry(number, path, data, mode):
    name = path.encode("ascii") + b"\0"
    links = 2 if mode & FOLDER_TYPE else 1
    # Inode, mode, user, group, links, time, size, four halves of device numbers, length of the name, a checksum that is not used.
    fields = [number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return aligned(head, 4) + aligned(data, 4)


def aligned(data, to):
    return data + bytes(-len(data) % to)


def up(number, to):
    return -(-number // to) * to


def compressed(data):
    # One thread: with several the bytes depend on how many there are. Level 3: under emulation the reading counts, not the size.
    return subprocess.run(["zstd", "--quiet", "-3", "--single-thread", "--no-check", "--stdout"], input=data, capture_output=True, check=True).stdout


def joined(stub, sections):
    """The stub with these sections behind its own, each on a page of its own."""
    image = bytearray(stub)
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    if image[:2] != b"MZ" or image[pe : pe + 4] != b"PE\0\0":
        raise Refused("the stub is no PE image")
    count, optional_size = struct.unpack_from("<H", image, pe + 6)[0], struct.unpack_from("<H", image, pe + 20)[0]
    optional = pe + 24
    table = optional + optional_size
    section_alignment, file_alignment = struct.unpack_from("<II", image, optional + 32)
    (headers,) = struct.unpack_from("<I", image, optional + 60)
    if table + 40 * (count + len(sections)) > headers:
        raise Refused("the stub has no room for the headers of the sections")
    last = table + 40 * (count - 1)
    size, address, raw, at = struct.unpack_from("<IIII", image, last + 8)
    place = address + size
    # Behind its sections the stub has symbols for a debugger. Between sections they would be bytes that some hash and others do not.
    del image[at + raw :]
    struct.pack_into("<II", image, pe + 12, 0, 0)
    for number, (name, data) in enumerate(sections):
        # The stub's own lie closer; a page is what systemd-stub and the kernel expect.
        place = up(place, max(section_alignment, 4096))
        image.extend(bytes(-len(image) % file_alignment))
        at, raw = len(image), up(len(data), file_alignment)
        image.extend(aligned(data, file_alignment))
        # Initialised data, readable.
        header = struct.pack("<8sIIIIIIHHI", name.encode(), len(data), place, raw, at, 0, 0, 0, 0, 0x4000_0040)
        struct.pack_into("<40s", image, table + 40 * (count + number), header)
        place += len(data)
    struct.pack_into("<H", image, pe + 6, count + len(sections))
    struct.pack_into("<I", image, optional + 56, up(place, section_alignment))
    # The time of the build and the checksum: no firmware looks at either of them.
    struct.pack_into("<I", image, pe + 8, 0)
    struct.pack_into("<I", image, optional + 64, 0)
    return bytes(image)


def made(arguments):
    cmdline = arguments.cmdline.encode("ascii")
    initrd = compressed(archive(guest(arguments.programs, arguments.extra)))
    kernel = (DEBIAN / "boot" / f"vmlinuz-{KERNEL}").read_bytes()
    stub = (DEBIAN / "usr/lib/systemd/boot/efi/linuxx64.efi.stub").read_bytes()
    # The kernel last, as ukify has it: it is what is read when all else is known.
    return joined(stub, [(".osrel", OSREL), (".cmdline", cmdline), (".initrd", initrd), (".linux", kernel)]), initrd


def main():
    parser = argparse.ArgumentParser(prog="uki.sh")
    parser.add_argument("--programs", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--cmdline", default=CMDLINE, metavar="TEXT")
    parser.add_argument("--extra", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        image, initrd = made(arguments)
        arguments.out.write_bytes(image)
    except (Refused, elf.Elf, OSError, UnicodeEncodeError) as error:
        sys.exit(f"uki: {error}")
    zstd = subprocess.run(["zstd", "--version"], capture_output=True, text=True, check=True).stdout.split(",")[0].strip("* \n")
    print(f"uki: sha256 {hashlib.sha256(image).hexdigest()} {len(image)} bytes {arguments.out}")
    print(f"uki: kernel {KERNEL}, initrd of {len(initrd)} bytes by {zstd}, command line `{arguments.cmdline}`")


if __name__ == "__main__":
    main()
