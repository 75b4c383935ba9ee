"""The release manifest: one JSON file that names each image of a release by its digest, and what a signer signs.

Its exact bytes are signed, never a form of them: two spaces of indentation, keys sorted, ASCII, one line feed at the end.
`check` accepts no other form, so that one release has one text. docs/IMAGES.md says what each member means.
"""

import hashlib
import json
import re

import oci

KIND, SCHEMA_VERSION = "teegate-release", 1
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Lower-case hexadecimal, as many bytes as the platform measures with: SNP launch digest, TDX registers, a PCR of SHA-256, an initdata digest.
MEASURES = {
    ("sev-snp", "launch-digest"): 48,
    ("tdx", "mrtd"): 48,
    ("tdx", "rtmr0"): 48,
    ("tdx", "rtmr1"): 48,
    ("tdx", "rtmr2"): 48,
    ("azure-vtpm", "pcr4"): 32,
    ("azure-vtpm", "pcr8"): 32,
    ("azure-vtpm", "pcr9"): 32,
    ("azure-vtpm", "pcr11"): 32,
    ("initdata", "sha256"): 32,
}
MEMBERS = {
    "": {"kind", "schema_version", "version", "source", "toolchain", "images", "measurements"},
    "source": {"commit", "modified", "cargo_lock_sha256"},
    "toolchain": {"rustc", "target"},
    "images": {"name", "version", "platform", "media_type", "digest", "size", "config_digest", "layer_digests", "program", "sbom"},
    "program": {"path", "sha256", "size"},
    "sbom": {"file", "media_type", "sha256", "size"},
    "measurements": {"platform", "register", "value", "covers", "command"},
}


class Release(ValueError):
    """A release manifest that is not as it is described; the text says where."""


def written(value):
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def image(folder, program, sbom_file, sbom):
    """What the manifest says of the image whose layout is `folder`: read from the layout, every digest compared."""
    described, manifest, config, entries = oci.read(folder)
    _, content = entries[program]
    return {
        "name": manifest["annotations"]["org.opencontainers.image.title"],
        "version": manifest["annotations"]["org.opencontainers.image.version"],
        "platform": f"{config['os']}/{config['architecture']}",
        "media_type": described["mediaType"],
        "digest": described["digest"],
        "size": described["size"],
        "config_digest": manifest["config"]["digest"],
        "layer_digests": [layer["digest"] for layer in manifest["layers"]],
        "program": {"path": f"/{program}", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)},
        "sbom": {
            "file": sbom_file,
            "media_type": "application/vnd.cyclonedx+json; version=1.6",
            "sha256": hashlib.sha256(sbom).hexdigest(),
            "size": len(sbom),
        },
    }


def document(version, source, toolchain, images, measurements):
    """The exact bytes. `measurements` is the list of what was predicted; nothing is predicted here, so it may be empty."""
    data = written(
        {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "version": version,
            "source": source,
            "toolchain": toolchain,
            "images": sorted(images, key=lambda image: (image["name"], image["platform"])),
            "measurements": sorted(measurements, key=lambda each: tuple(str(each[key]) for key in sorted(each))),
        }
    )
    check(data)
    return data


def check(data):
    """The manifest that these bytes are, or `Release`: nothing unknown, nothing missing, no other spelling."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Release(f"not JSON: {error}") from error
    members("", value)
    if (value["kind"], value["schema_version"]) != (KIND, SCHEMA_VERSION):
        raise Release(f"kind and schema version are not `{KIND}` and {SCHEMA_VERSION}")
    members("source", value["source"])
    members("toolchain", value["toolchain"])
    digits(value["source"]["cargo_lock_sha256"], 32, "source.cargo_lock_sha256")
    names = set()
    for each in listed(value, "images"):
        members("images", each)
        members("program", each["program"])
        members("sbom", each["sbom"])
        for digest in [each["digest"], each["config_digest"], *each["layer_digests"]]:
            if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
                raise Release(f"images: `{str(digest)[:80]}` is no SHA-256")
        digits(each["program"]["sha256"], 32, "images.program.sha256")
        digits(each["sbom"]["sha256"], 32, "images.sbom.sha256")
        if (each["name"], each["platform"]) in names:
            raise Release(f"images: `{each['name']}` for {each['platform']} twice")
        names.add((each["name"], each["platform"]))
    if not names:
        raise Release("images: none")
    digests = {each["digest"] for each in value["images"]}
    for each in listed(value, "measurements"):
        members("measurements", each)
        length = MEASURES.get((each["platform"], each["register"]))
        if length is None:
            raise Release(f"measurements: `{str(each['platform'])[:40]}` has no register `{str(each['register'])[:40]}`")
        digits(each["value"], length, f"measurements.{each['register']}")
        if not isinstance(each["covers"], list) or not set(each["covers"]) <= digests:
            raise Release(f"measurements.{each['register']}: `covers` names an image that is not of this release")
    if written(value) != data:
        raise Release("the bytes are not in the one form: keys sorted, two spaces, ASCII, one line feed at the end, no key twice")
    return value


def members(where, value):
    expected = MEMBERS[where]
    if not isinstance(value, dict) or set(value) != expected:
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise Release(f"{where or 'the manifest'}: members {', '.join(found) if isinstance(found, list) else found}; expected {', '.join(sorted(expected))}"[:600])


def listed(value, name):
    if not isinstance(value[name], list):
        raise Release(f"{name}: not a list")
    return value[name]


def digits(value, length, where):
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * length}}}", value):
        raise Release(f"{where}: `{str(value)[:80]}` is not {2 * length} lower-case hexadecimal digits")
