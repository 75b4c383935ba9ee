"""Writes and reads an image layout of the Open Container Initiative (image-spec 1.1): blobs by digest, one manifest, one index.

Everything that could differ between two machines is fixed here: order, times, owners and every byte of a tar header. `tarfile` of
the standard library is not used to write, since what it puts into unused fields differs between versions of Python; it is
what reads, so that writer and reader cannot agree on the same mistake. Layers are not compressed: zlib promises no bytes.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
BLOCK = 512
# Of a folder and of a file: nobody but root, who owns all of them, writes.
FOLDER_MODE, FILE_MODE, PROGRAM_MODE = 0o755, 0o644, 0o755


class Layout(ValueError):
    """What is not a layout as it is written here; the text says where."""


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def document(value):
    """The one form in which JSON is written here, so that equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def layer(files, folders=()):
    """The tar of `files`, {path: (bytes, mode)}, and of `folders`, with every folder above them, sorted; paths from the root, without `/` in front."""
    every = {parent: None for path in [*files, *folders] for parent in parents(path)}
    every |= {path: None for path in folders}
    for path, file in files.items():
        if path in every:
            raise Layout(f"`{path}` is a file and a folder")
        every[path] = file
    written = io.BytesIO()
    for path in sorted(every):
        if every[path] is None:
            written.write(header(path + "/", FOLDER_MODE, 0, b"5"))
            continue
        data, mode = every[path]
        written.write(header(path, mode, len(data), b"0"))
        written.write(data + bytes(-len(data) % BLOCK))
    written.write(bytes(2 * BLOCK))
    return written.getvalue()


def parents(path):
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Layout(f"`{path}` is no path from the root without `.` and `..`")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def header(path, mode, size, kind):
    """One header of POSIX.1-1988 (`ustar`), 512 bytes; owner root, time 0, no names."""
    name, prefix = split(path)
    fields = [
        (name, 100),
        (b"%07o\0" % mode, 8),
        (b"%07o\0" % 0, 8),  # owner
        (b"%07o\0" % 0, 8),  # group
        (b"%011o\0" % size, 12),
        (b"%011o\0" % 0, 12),  # time
        (b" " * 8, 8),  # checksum, counted as blanks
        (kind, 1),
        (b"", 100),  # target of a link
        (b"ustar\x0000", 8),
        (b"", 32),  # names of owner and group
        (b"", 32),
        (b"%07o\0" % 0, 8),  # device
        (b"%07o\0" % 0, 8),
        (prefix, 155),
        (b"", 12),
    ]
    block = b"".join(value.ljust(length, b"\0") for value, length in fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def split(path):
    """A path as `ustar` holds it: 100 bytes, and up to 155 before a `/`."""
    data = path.encode()
    if len(data) <= 100:
        return data, b""
    for place in [at for at, byte in enumerate(data[:-1]) if byte == ord("/")]:
        if place <= 155 and len(data) - place - 1 <= 100:
            return data[place + 1 :], data[:place]
    raise Layout(f"`{path}` is too long for a header of ustar")


def write(folder, layers, config, reference, annotations):
    """Writes the layout of one image into `folder`, which must not exist yet; returns the digest of its manifest.

    `layers` are tars, lowest first; `config` is what a runtime is told (`architecture`, `os`, `config`)."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, media_type):
        (blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    described = [blob(data, LAYER) for data in layers]
    root = {"type": "layers", "diff_ids": [layer["digest"] for layer in described]}
    time = "1970-01-01T00:00:00Z"
    history = [{"created": time, "created_by": "ci/images.py"} for _ in layers]
    configured = blob(document({**config, "created": time, "rootfs": root, "history": history}), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": configured, "layers": described, "annotations": annotations}
    described = blob(document(manifest), MANIFEST)
    named = {**described, "annotations": {"org.opencontainers.image.ref.name": reference}}
    (folder / "index.json").write_bytes(document({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}))
    (folder / "oci-layout").write_bytes(document({"imageLayoutVersion": "1.0.0"}))
    return described["digest"]


def read(folder):
    """Manifest's descriptor, manifest, config and entries `{path: (TarInfo, bytes)}` of a layout, every digest and length on the way compared."""
    index = json.loads((folder / "index.json").read_bytes())
    if json.loads((folder / "oci-layout").read_bytes()) != {"imageLayoutVersion": "1.0.0"}:
        raise Layout(f"{folder}: not a layout of version 1.0.0")
    if len(index["manifests"]) != 1:
        raise Layout(f"{folder}: {len(index['manifests'])} manifests, expected one")
    described = index["manifests"][0]
    manifest = json.loads(blob_of(folder, described, MANIFEST))
    config = json.loads(blob_of(folder, manifest["config"], CONFIG))
    ids = config["rootfs"]["diff_ids"]
    if ids != [layer["digest"] for layer in manifest["layers"]]:
        raise Layout(f"{folder}: the configuration names other layers than the manifest")
    entries = {}
    for description in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob_of(folder, description, LAYER)), mode="r:") as tar:
            for entry in tar:
                content = tar.extractfile(entry).read() if entry.isfile() else None
                if not entry.isdir() and entry.name in entries:
                    raise Layout(f"{folder}: `{entry.name}` stands in two layers")
                entries[entry.name] = (entry, content)
    named = {path.name for path in (folder / "blobs/sha256").iterdir()}
    expected = {entry["digest"].split(":")[1] for entry in [described, manifest["config"], *manifest["layers"]]}
    if named != expected:
        raise Layout(f"{folder}: {len(named - expected)} blobs are named by nobody")
    return described, manifest, config, entries


def blob_of(folder, description, media_type):
    name = re.fullmatch(r"sha256:([0-9a-f]{64})", description["digest"])
    if not name or description["mediaType"] != media_type:
        raise Layout(f"{folder}: `{description['digest'][:80]}` is no {media_type} with a SHA-256")
    data = (folder / "blobs/sha256" / name.group(1)).read_bytes()
    if digest(data) != description["digest"] or len(data) != description["size"]:
        raise Layout(f"{folder}: blob {name.group(1)} has {len(data)} bytes and {digest(data)}")
    return data


def unpack(folder, target):
    """The files of a layout into `target`, which must not exist; whoever runs this owns them."""
    _, _, _, entries = read(pathlib.Path(folder))
    target = pathlib.Path(target)
    target.mkdir(mode=FOLDER_MODE)
    for path, (entry, content) in entries.items():
        parents(path)
        if entry.isdir():
            (target / path).mkdir(exist_ok=True)
        elif entry.isfile():
            (target / path).write_bytes(content)
        else:
            raise Layout(f"{folder}: `{path}` is neither a file nor a folder")
        os.chmod(target / path, entry.mode)
