"""A software bill of materials of one image, CycloneDX 1.6, with the same bytes for the same contents.

What is in it: the program and the crates that it is built of, Rust's standard library, the packages of the copied system
libraries with their files, ONNX Runtime. There is no time in it, and its serial number follows from the rest.
"""

import hashlib
import json
import urllib.parse
import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/schema/bom-1.6.schema.json")


def sha256(data):
    return {"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}


def package_url(kind, *path, version, **qualifiers):
    """A package URL as `purl-spec` writes it."""
    quoted = "/".join(urllib.parse.quote(part, safe="") for part in path)
    ends = "&".join(f"{key}={urllib.parse.quote(qualifiers[key], safe=':')}" for key in sorted(qualifiers))
    return f"pkg:{kind}/{quoted}@{urllib.parse.quote(version, safe='')}" + (f"?{ends}" if ends else "")


def file(path, data):
    """A file of the image, by its path there."""
    return {"type": "file", "bom-ref": f"file:/{path}", "name": f"/{path}", "hashes": [sha256(data)]}


def crate(each, program, files):
    """A crate; the one whose name is `program` is the application, and its files are named."""
    component = {
        "type": "application" if each.name == program else "library",
        "bom-ref": crate_reference(each.name, each.version),
        "name": each.name,
        "version": each.version,
        "licenses": [{"expression": each.licence}],
        "purl": package_url("cargo", each.name, version=each.version),
        # "Excluded" is the specification's word for what is used and does not run with it: build scripts and macros.
        "scope": "required" if each.linked else "excluded",
    }
    if each.checksum:
        address = f"https://static.crates.io/crates/{each.name}/{each.name}-{each.version}.crate"
        hashes = [{"alg": "SHA-256", "content": each.checksum}]
        component["externalReferences"] = [{"type": "distribution", "url": address, "hashes": hashes}]
    if each.name == program:
        component["components"] = files
    return component


def crate_reference(name, version):
    return package_url("cargo", name, version=version)


def standard_library(rustc):
    """Rust's standard library, which every program links; `rustc` is what `rustc -vV` says, as a dictionary."""
    address = f"https://github.com/rust-lang/rust/tree/{rustc['commit-hash']}"
    return {
        "type": "library",
        "bom-ref": "rust-std",
        "name": "rust-std",
        "version": rustc["release"],
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": package_url("generic", "rust-std", version=rustc["release"]),
        "scope": "required",
        "externalReferences": [{"type": "vcs", "url": address}],
    }


def debian(package, distribution, files):
    """A package of the distribution of which `files` were taken; its source is named, as the licences of some of them ask."""
    vendor, release = distribution
    source, source_version = package["source"], package["source_version"]
    purl = package_url("deb", vendor, package["name"], version=package["version"], arch=package["architecture"], distro=release)
    component = {
        "type": "library",
        "bom-ref": purl,
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": package["licence"]}],
        "purl": purl,
        "scope": "required",
        "components": files,
        "properties": [{"name": "teegate:source-package", "value": f"{source} {source_version}"}],
    }
    if vendor == "debian":
        version = urllib.parse.quote(source_version, safe="")
        address = f"https://snapshot.debian.org/package/{source}/{version}/"
        component["externalReferences"] = [{"type": "source-distribution", "url": address}]
    return component


def onnxruntime(version, files):
    purl = package_url("pypi", "onnxruntime", version=version)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": "onnxruntime",
        "version": version,
        "licenses": [{"expression": "MIT"}],
        "purl": purl,
        "scope": "required",
        "components": files,
        "externalReferences": [{"type": "distribution", "url": f"https://pypi.org/project/onnxruntime/{version}/"}],
    }


def document(name, version, program, crates, others):
    """The bytes of the SBOM of image `name`. `program` is the name of its own crate among `crates`, components made by `crate`
    beside what each needs; `others` are components that the image needs beside them."""
    (own,) = [component for component, _ in crates if component["name"] == program]
    image = f"image:{name}@{version}"
    needs = {component["bom-ref"]: sorted(crate_reference(*key) for key in needed) for component, needed in crates}
    needs |= {component["bom-ref"]: [] for component in others}
    needs[image] = sorted([own["bom-ref"], *(component["bom-ref"] for component in others)])
    components = sorted([component for component, _ in crates] + others, key=lambda component: component["bom-ref"])
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": image, "name": name, "version": version},
            "tools": {"components": [{"type": "application", "name": "ci/sbom.py of teegate", "version": version}]},
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": needs[ref]} for ref in sorted(needs)],
    }
    contents = hashlib.sha256(written(bom)).hexdigest()
    return written({**bom, "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, contents)}"})


def written(value):
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True).encode() + b"\n"
