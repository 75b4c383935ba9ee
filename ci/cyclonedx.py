"""Holds SBOMs against the schema of CycloneDX 1.6. Called by ci/cyclonedx.sh with its cache and the files.

    cyclonedx.py CACHE FILE...

Beyond the schema: each licence is an expression of SPDX identifiers, and what a dependency names is there. So that a check which
passes everything is noticed, three broken copies of each file have to be refused.
"""

import copy
import json
import pathlib
import re
import sys


def main():
    cache = pathlib.Path(sys.argv[1])
    sys.path.insert(0, str(cache))
    import fastjsonschema

    folder = cache / "cyclonedx/schema/_res"

    def schema(name):
        return json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_bytes())

    def resolve(address):
        return schema(address.rpartition("/")[2].partition(".SNAPSHOT")[0])

    # Formats are left alone: the schema's `iri-reference` is none that the validator knows.
    validate = fastjsonschema.compile(schema("bom-1.6"), handlers={"http": resolve, "https": resolve, "": resolve}, use_formats=False)
    spdx = schema("spdx")["enum"]

    def problem(value):
        try:
            validate(value)
        except fastjsonschema.JsonSchemaException as error:
            return f"{error}"[:300]
        return next(beyond(value, set(spdx)), None)

    for path in map(pathlib.Path, sys.argv[2:]):
        value = json.loads(path.read_bytes())
        found = problem(value)
        if found:
            sys.exit(f"cyclonedx: {path}: {found}")
        for words, broken in broken_copies(value):
            if not problem(broken):
                sys.exit(f"cyclonedx: {path}: the check lets pass {words}")
        print(f"cyclonedx: {path.name}: {len(value['components'])} components keep to the schema of CycloneDX {value['specVersion']}")


def beyond(value, spdx):
    """What the schema leaves open."""
    references = {value["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in value["components"])}
    for part in value["components"]:
        for licence in part.get("licenses", []):
            words = re.findall(r"[^\s()]+", licence["expression"])
            unknown = [word for word in words if word not in spdx and word not in ("AND", "OR", "WITH")]
            if unknown:
                yield f"{part['name']} is under `{licence['expression']}`, in which SPDX knows no {unknown}"
    for entry in value["dependencies"]:
        missing = {entry["ref"], *entry["dependsOn"]} - references
        if missing:
            yield f"dependencies name {sorted(missing)}, which is no component"


def broken_copies(value):
    unknown, licence, missing = (copy.deepcopy(value) for _ in range(3))
    unknown["components"][0]["type"] = "no-such-type"
    yield "an unknown type", unknown
    licence["components"][0]["licenses"] = [{"expression": "No-Such-Licence"}]
    yield "an unknown licence", licence
    missing["dependencies"][0]["dependsOn"] = ["no-such-component"]
    yield "a dependency on nothing", missing


if __name__ == "__main__":
    main()
