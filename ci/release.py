"""The release manifest: one JSON file that names each image of a release by its digest, and what a signer signs.

Its exact bytes are signed, never a form of them: two spaces of indentation, keys and lists sorted, ASCII, one line feed at the end.
`check` accepts no other form, so that one release has one text; `differences` says where two of them part. docs/IMAGES.md says
what each member means.

    release.py check FILE                          whether FILE is a release manifest
    release.py differences STATED FOUND            where FOUND departs from STATED; exit status 1 if anywhere
    release.py here FILE                           whether this machine can make its bytes again: compilers, libraries
    release.py values FILE                         the reference values in FILE, as `teegate policy fill` reads them
"""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

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
    ("azure-vtpm", "pcr12"): 32,
    ("initdata", "sha256"): 32,
}
# Registers that pin one image together: with one of them missing, the others let another image through.
TOGETHER = [{("azure-vtpm", "pcr4"), ("azure-vtpm", "pcr9"), ("azure-vtpm", "pcr11"), ("azure-vtpm", "pcr12")}]
MEMBERS = {
    "": {"kind", "schema_version", "version", "source", "toolchain", "images", "measurements"},
    "source": {"commit", "modified", "cargo_lock_sha256"},
    "toolchain": {"rustc", "cc", "binutils", "zstd", "target"},
    "images": {"name", "version", "platform", "media_type", "digest", "size", "config_digest", "layer_digests", "packages", "program", "sbom"},
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
        "packages": packages(json.loads(sbom)),
        "program": {"path": f"/{program}", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)},
        "sbom": {
            "file": sbom_file,
            "media_type": "application/vnd.cyclonedx+json; version=1.6",
            "sha256": hashlib.sha256(sbom).hexdigest(),
            "size": len(sbom),
        },
    }


def packages(bom):
    """`NAME=VERSION` of each package of the distribution whose files lie in the image, as its SBOM says: what apt-get installs again."""
    return sorted(f"{part['name']}={part['version']}" for part in bom.get("components", []) if part.get("purl", "").startswith("pkg:deb/"))


def toolchain(target):
    """What turned the source into the bytes, beside the source."""
    rustc = dict(line.split(": ", 1) for line in tell("rustc", "-vV").splitlines() if ": " in line)
    return {
        "rustc": f"{rustc['release']} ({rustc['commit-hash']})",
        "cc": tell("cc", "--version").splitlines()[0],
        "binutils": tell("as", "--version").splitlines()[0],
        # Of the initrd of ci/uki.sh alone, so that images can be made without it.
        "zstd": tell("zstd", "--version").strip() if shutil.which("zstd") else None,
        "target": target,
    }


def tell(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True).stdout


def document(version, source, toolchain, images, measurements):
    """The exact bytes. `measurements` is the list of what was predicted; nothing is predicted here, so it may be empty."""
    data = written(
        {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "version": version,
            "source": source,
            "toolchain": toolchain,
            "images": sorted(images, key=image_order),
            "measurements": sorted(measurements, key=measurement_order),
        }
    )
    check(data)
    return data


def image_order(each):
    return each["name"], each["platform"]


def measurement_order(each):
    return each["platform"], each["register"], each["command"], each["value"]


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
    digests = set()
    for each in listed(value, "images"):
        members("images", each)
        members("program", each["program"])
        members("sbom", each["sbom"])
        for digest in [each["digest"], each["config_digest"], *each["layer_digests"]]:
            if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
                raise Release(f"images: `{str(digest)[:80]}` is no SHA-256")
        digits(each["program"]["sha256"], 32, "images.program.sha256")
        digits(each["sbom"]["sha256"], 32, "images.sbom.sha256")
        digests.add(each["digest"])
    once(value["images"], image_order, "images")
    if not digests:
        raise Release("images: none")
    for each in listed(value, "measurements"):
        members("measurements", each)
        register = (each["platform"], each["register"])
        if register not in MEASURES:
            raise Release(f"measurements: `{str(each['platform'])[:40]}` has no register `{str(each['register'])[:40]}`")
        digits(each["value"], MEASURES[register], f"measurements.{each['register']}")
        if not isinstance(each["covers"], list) or not set(each["covers"]) <= digests:
            raise Release(f"measurements.{each['register']}: `covers` names an image that is not of this release")
        if not isinstance(each["command"], str) or not each["command"]:
            raise Release(f"measurements.{each['register']}: `command` is no command")
    # Two values of one register are two machines or images, which two commands tell apart.
    once(value["measurements"], lambda each: measurement_order(each)[:3], "measurements")
    there = {(each["platform"], each["register"]) for each in value["measurements"]}
    for group in TOGETHER:
        if there & group and not group <= there:
            missing = ", ".join(f"{platform} {register}" for platform, register in sorted(group - there))
            raise Release(f"measurements: without {missing} the others pin no image")
    if written(value) != data:
        raise Release("the bytes are not in the one form: keys sorted, two spaces, ASCII, one line feed at the end, no key twice")
    return value


def once(values, order, name):
    """Sorted, and none twice."""
    keys = [order(each) for each in values]
    for before, after in zip(keys, keys[1:]):
        if before == after:
            raise Release(f"{name}: `{' '.join(after)[:120]}` twice")
        if before > after:
            raise Release(f"{name}: `{' '.join(after)[:120]}` stands behind `{' '.join(before)[:120]}`; they are sorted")


def differences(stated, found, where=""):
    """Each place where `found`, what was made or computed here, departs from `stated`, in words; none if they are the same release."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for key in sorted(stated.keys() | found.keys()):
            yield from differences(stated.get(key), found.get(key), f"{where}.{key}" if where else key)
    elif isinstance(stated, list) and isinstance(found, list) and all(isinstance(each, dict) for each in stated + found):
        # Told apart by what does not change with the bytes, so that one that is missing is not every one behind it.
        ours, theirs = ({named(each): each for each in values} for values in (found, stated))
        for name in sorted(ours.keys() | theirs.keys()):
            yield from differences(theirs.get(name), ours.get(name), f"{where} `{name}`")
    elif stated != found:
        yield f"{where}: stated is {told(stated)}, found is {told(found)}"


def here(stated, found, installed):
    """Whether a machine with the toolchain `found` and the packages `installed`, `{NAME=VERSION}`, can make these bytes: `Release` where other
    compilers make other programs, and in words what else will differ."""
    others = list(differences(stated["toolchain"], found, "toolchain"))
    if others:
        raise Release("\n  ".join(["this machine compiles other bytes, whatever the source is, so nothing can be compared", *others]))
    missing = sorted({package for image in stated["images"] for package in image["packages"]} - installed)
    return f"note: the programs can be compared, the images cannot: not installed here are {', '.join(missing)}" if missing else None


def named(each):
    return " ".join(str(each[key]) for key in ("name", "platform", "register", "command") if key in each)


def told(value):
    return "nothing" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def values(data):
    """The registers of a release's own unified kernel image in the form of measurements/REFERENCE-VALUES.md, for guests under a vTPM
    of either TEE; its bytes follow from the manifest's."""
    manifest = check(data)
    commit = manifest["source"]["commit"]
    registers = [each for each in manifest["measurements"] if each["platform"] == "azure-vtpm"]
    if not registers:
        raise Release("measurements: none of `azure-vtpm`, so there is no reference value")
    lines = [
        f"# The unified kernel image of enclave-app {manifest['version']}, at commit {commit}.",
        "# Written by `ci/release.py values` out of the release manifest beside it; `ci/reproduce.sh --check` computes both again.",
        "",
        "schema = 1",
        f'name = "teegate {manifest["version"]}, unified kernel image of enclave-app"',
    ]
    for tee in ("sev-snp", "tdx"):
        lines += ["", f"[{tee}]", f"source = {json.dumps(registers[0]['command'])}"]
        lines += [f'{each["register"]} = "{each["value"]}"' for each in sorted(registers, key=lambda each: int(each["register"][3:]))]
    return "\n".join(lines).encode() + b"\n"


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


def read(file):
    """The bytes of a manifest. The reference values that are written out of one lie beside it, under its name, and are none."""
    path = pathlib.Path(file)
    beside = path.with_suffix(".json")
    if path.suffix == ".toml" and beside.is_file():
        raise Release(f"{file} has the reference values that were written out of a release manifest; name that one, {beside}")
    return path.read_bytes()


def main(verb="", *files):
    contents = [read(file) for file in files]
    if verb == "check" and len(files) == 1:
        check(contents[0])
        print(f"{files[0]} sha256:{hashlib.sha256(contents[0]).hexdigest()} {len(contents[0])} bytes: what a signer signs")
    elif verb == "here" and len(files) == 1:
        stated = check(contents[0])
        # Where there is no dpkg there are none of its packages, and programs can be compared all the same.
        shown = tell("dpkg-query", "--show", "--showformat", "${Package}=${Version}\n") if shutil.which("dpkg-query") else ""
        installed = set(shown.split())
        note = here(stated, toolchain(stated["toolchain"]["target"]), installed)
        if note:
            print(note)
    elif verb == "values" and len(files) == 1:
        sys.stdout.write(values(contents[0]).decode())
    elif verb == "differences" and len(files) == 2:
        found = list(differences(*map(check, contents)))
        if found:
            raise Release("\n  ".join([f"{files[1]} departs from {files[0]}", *found]))
    else:
        sys.exit("release.py: expected `check FILE`, `differences STATED FOUND`, `here FILE` or `values FILE`")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Release, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"release: {error}")
