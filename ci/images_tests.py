"""Tests of what ci/images.py is made of: layout, ELF, crates, SBOM, release manifest. Run by ci/test.sh; a second or so, no build, no network."""

import argparse
import hashlib
import io
import json
import pathlib
import re
import struct
import tarfile
import tempfile
import unittest
from unittest import mock

import crates
import debian
import elf
import images
import measured
import oci
import release
import sbom

CONFIG = {"architecture": "amd64", "os": "linux", "config": {"User": "65532:65532", "Entrypoint": ["/usr/bin/enclave-app"]}}
ANNOTATIONS = {"org.opencontainers.image.title": "enclave-app", "org.opencontainers.image.version": "1"}
PROGRAM = {"usr/bin/enclave-app": (b"program", oci.PROGRAM_MODE)}


class Layout(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.place = pathlib.Path(self.folder.name)

    def write(self, name, files, folders=()):
        return oci.write(self.place / name, [oci.layer(files, folders)], CONFIG, "1", ANNOTATIONS)

    def test_the_order_of_files_changes_nothing_and_a_byte_changes_the_digest(self):
        files = {"b/two": (b"2", 0o644), "a/one": (b"1", 0o644)}
        first = self.write("1", files)
        self.assertEqual(first, self.write("2", dict(reversed(files.items()))))
        self.assertNotEqual(first, self.write("3", {**files, "b/two": (b"3", 0o644)}))
        self.assertNotEqual(first, self.write("4", {**files, "b/two": (b"2", 0o755)}))

    def test_the_bytes_of_a_layer_are_fixed(self):
        data = oci.layer({"usr/bin/x": (b"program", 0o755)}, ["tmp"])
        self.assertEqual(hashlib.sha256(data).hexdigest(), "8819c48b4c3b22c43897046d03e6ed197646cb60fbc555b41e5c401bf85d4225")

    def test_another_reader_finds_what_was_written(self):
        long = "usr/share/" + "d" * 80 + "/" + "f" * 90
        data = oci.layer({long: (b"x" * 513, 0o644), "usr/empty": (b"", 0o755)}, ["tmp"])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            entries = {entry.name: entry for entry in tar}
            self.assertEqual(tar.extractfile(long).read(), b"x" * 513)
        self.assertEqual(list(entries), sorted(["tmp", "usr", "usr/empty", "usr/share", long.rpartition("/")[0], long]))
        self.assertTrue(all((entry.uid, entry.gid, entry.mtime) == (0, 0, 0) for entry in entries.values()))
        self.assertEqual([entries["tmp"].mode, entries["usr/empty"].mode], [0o755, 0o755])

    def test_paths_that_lead_elsewhere_are_refused(self):
        for path in ["/etc/passwd", "../x", "a/../b", "a//b", "./a", ""]:
            with self.subTest(path), self.assertRaisesRegex(oci.Layout, "no path from the root"):
                oci.layer({path: (b"", 0o644)})
        with self.assertRaisesRegex(oci.Layout, "a file and a folder"):
            oci.layer({"a": (b"", 0o644), "a/b": (b"", 0o644)})
        with self.assertRaisesRegex(oci.Layout, "too long"):
            oci.layer({"f" * 101: (b"", 0o644)})

    def test_a_changed_blob_is_noticed(self):
        self.write("1", PROGRAM)
        self.assertEqual(oci.read(self.place / "1")[3]["usr/bin/enclave-app"][1], b"program")
        _, manifest, _, _ = oci.read(self.place / "1")
        blob = self.place / "1/blobs/sha256" / manifest["layers"][0]["digest"].split(":")[1]
        blob.write_bytes(blob.read_bytes().replace(b"program", b"pr0gram"))
        with self.assertRaisesRegex(oci.Layout, f"blob {blob.name} has {blob.stat().st_size} bytes and sha256:"):
            oci.read(self.place / "1")

    def test_a_blob_too_many_is_noticed(self):
        self.write("1", PROGRAM)
        (self.place / "1/blobs/sha256/more").write_bytes(b"more")
        with self.assertRaisesRegex(oci.Layout, "1 blobs are named by nobody"):
            oci.read(self.place / "1")

    def test_what_is_unpacked_is_what_was_written(self):
        self.write("1", PROGRAM, ["tmp"])
        oci.unpack(self.place / "1", self.place / "tree")
        program = self.place / "tree/usr/bin/enclave-app"
        self.assertEqual((program.read_bytes(), program.stat().st_mode & 0o7777), (b"program", 0o755))
        self.assertTrue((self.place / "tree/tmp").is_dir())

    def test_the_release_manifest_says_what_the_layout_holds(self):
        named = self.write("1", PROGRAM)
        image = release.image(self.place / "1", "usr/bin/enclave-app", "enclave-app.cdx.json", b"{}")
        self.assertEqual((image["digest"], image["platform"], image["name"]), (named, "linux/amd64", "enclave-app"))
        self.assertEqual(image["program"], {"path": "/usr/bin/enclave-app", "sha256": hashlib.sha256(b"program").hexdigest(), "size": 7})
        self.assertEqual(release.check(manifest([image]))["images"], [image])

    def held(self, files, bounds=images.ANY_SIZE, user="65532:65532"):
        with tempfile.TemporaryDirectory() as folder:
            layout = pathlib.Path(folder) / "layout"
            config = {**CONFIG, "config": {**CONFIG["config"], "User": user}}
            oci.write(layout, [oci.layer(files)], config, "1", ANNOTATIONS)
            _, manifest, config, entries = oci.read(layout)
            images.hold("enclave-app", bounds, manifest, config, entries)

    def test_an_image_keeps_its_promises(self):
        self.held(PROGRAM)
        for shell in ["bin/sh", "bin/bash", "usr/bin/busybox", "usr/bin/dpkg", "usr/bin/env"]:
            with self.subTest(shell), self.assertRaisesRegex(images.Refused, "must not be in an image"):
                self.held({**PROGRAM, shell: (b"", 0o755)})
        for mode in [0o777, 0o4755, 0o664]:
            with self.subTest(mode), self.assertRaisesRegex(images.Refused, f"has mode {mode:o}"):
                self.held({**PROGRAM, "x": (b"", mode)})
        with self.assertRaisesRegex(images.Refused, "as 0:0"):
            self.held(PROGRAM, user="0:0")
        with self.assertRaisesRegex(images.Refused, "expected 0 to 100"):
            self.held(PROGRAM, (0, 100))
        with self.assertRaisesRegex(images.Refused, "expected 1000000 to"):
            self.held(PROGRAM, (1_000_000, 2_000_000))


def library(*needed, interpreter=None, runpath=None):
    """An ELF file of nothing but what it needs; written from the specification beside elf.py, not by it."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*needed, runpath or ""])
    at = 64 + 3 * 56
    places, dynamic = 1, b""
    for name in needed:
        dynamic += struct.pack("<qQ", 1, places)
        places += len(name) + 1
    if runpath:
        dynamic += struct.pack("<qQ", 29, places)
    loader = (interpreter or "").encode() + b"\0"
    dynamic += struct.pack("<qQqQqQ", 5, 0x1000 + at, 10, len(names), 0, 0)
    total = at + len(names) + len(dynamic) + len(loader)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    parts = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0, total, total, 4096)
    parts += struct.pack("<IIQQQQQQ", 2, 6, at + len(names), 0, 0, len(dynamic), len(dynamic), 8)
    parts += struct.pack("<IIQQQQQQ", 3 if interpreter else 0, 4, at + len(names) + len(dynamic), 0, 0, len(loader), len(loader), 1)
    return header + parts + names + dynamic + loader


class Elf(unittest.TestCase):
    def test_needed_libraries_are_followed(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "libb.so").write_bytes(library("libc.so", "ld.so"))
            (folder / "libc.so").write_bytes(library("ld.so"))
            (folder / "libunused.so").write_bytes(library())
            program = library("libb.so", interpreter="/lib64/ld.so")
            found, loader, machine = elf.closure([program], [folder])
            self.assertEqual((sorted(found), str(loader), machine), (["libb.so", "libc.so"], "/lib64/ld.so", "x86_64"))
            (folder / "libc.so").unlink()
            with self.assertRaisesRegex(elf.Elf, "libb.so needs `libc.so`, which lies in none of"):
                elf.closure([program], [folder])

    def test_other_places_for_libraries_are_refused(self):
        self.assertEqual(elf.read(library("liba.so", runpath="$ORIGIN"))[2], ["liba.so"])
        with self.assertRaisesRegex(elf.Elf, "`/home/x`"):
            elf.read(library("liba.so", runpath="/home/x"))

    def test_whatever_is_cut_off_is_an_error_or_needs_less(self):
        whole = library("liba.so", interpreter="/lib64/ld.so")
        for length in range(64 + 3 * 56):
            with self.subTest(length), self.assertRaises(elf.Elf):
                elf.read(whole[:length])
        with self.assertRaisesRegex(elf.Elf, "not an ELF file"):
            elf.read(b"#!/bin/sh\n")

    def test_a_program_of_this_machine_is_read(self):
        _, interpreter, needed = elf.read(pathlib.Path("/usr/bin/env").read_bytes())
        self.assertIn("ld-linux", interpreter)
        self.assertTrue(any(name.startswith("libc.so") for name in needed))


TREE = """0 app v1.0.0 (/src/app)
1 a v2.0.0
2 b v3.0.0
1 m v4.0.0 (proc-macro)
2 b v3.0.0
1 a v2.0.0 (*)
"""


class Crates(unittest.TestCase):
    def test_the_tree_of_cargo_becomes_who_needs_whom(self):
        app, a, b, m = ("app", "1.0.0"), ("a", "2.0.0"), ("b", "3.0.0"), ("m", "4.0.0")
        self.assertEqual(crates.read_tree(TREE), {app: {a, m}, a: {b}, b: set(), m: {b}})
        with self.assertRaisesRegex(ValueError, "expected a depth"):
            crates.read_tree("warning: something\n")

    def crate(self, folder, name, text):
        place = pathlib.Path(folder) / name
        place.mkdir()
        if text is not None:
            (place / "LICENSE-MIT").write_text(text)
        return crates.Crate(name, "1.0.0", "MIT", "00" * 32, place, True, [])

    def test_equal_licences_stand_once_and_missing_ones_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            every = [self.crate(folder, "a", "free\n"), self.crate(folder, "b", "free \r\n"), self.crate(folder, "c", None)]
            text = crates.licence_texts(every).decode()
        self.assertEqual(text.count("free"), 1)
        self.assertIn("a 1.0.0, LICENSE-MIT\nb 1.0.0, LICENSE-MIT\n", text)
        self.assertIn("No text is in the archives of:\n  c 1.0.0: MIT\n", text)


def bom(content=b"library"):
    every = [
        crates.Crate("app", "1.0.0", "MIT", None, pathlib.Path("."), True, [("a", "2.0.0")]),
        crates.Crate("a", "2.0.0", "MIT OR Apache-2.0", "ab" * 32, pathlib.Path("."), False, []),
    ]
    components = [(sbom.crate(each, "app", [sbom.file("usr/bin/app", b"program")]), each.needs) for each in every]
    package = {"name": "libc6", "version": "2.36-9+deb12u1", "architecture": "amd64", "source": "glibc", "source_version": "2.36-9+deb12u1"}
    other = sbom.debian({**package, "licence": "LGPL-2.1-or-later"}, ("debian", "debian-12"), [sbom.file("lib/libc.so.6", content)])
    return sbom.document("image", "1.0.0", "app", components, [other])


class Sbom(unittest.TestCase):
    def test_equal_contents_are_equal_bytes_and_others_have_another_serial_number(self):
        self.assertEqual(bom(), bom())
        self.assertNotEqual(json.loads(bom())["serialNumber"], json.loads(bom(b"other"))["serialNumber"])
        self.assertNotIn(b"timestamp", bom())

    def test_every_part_is_named_and_needed(self):
        value = json.loads(bom())
        self.assertEqual([each["scope"] for each in value["components"]], ["excluded", "required", "required"])
        libc = value["components"][2]
        self.assertEqual(libc["purl"], "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12")
        self.assertEqual(libc["externalReferences"][0]["url"], "https://snapshot.debian.org/package/glibc/2.36-9%2Bdeb12u1/")
        needs = {each["ref"]: each["dependsOn"] for each in value["dependencies"]}
        self.assertEqual(needs["pkg:cargo/app@1.0.0"], ["pkg:cargo/a@2.0.0"])
        self.assertEqual(needs["image:image@1.0.0"], ["pkg:cargo/app@1.0.0", libc["bom-ref"]])

    def test_what_lies_in_the_image_is_accounted_for(self):
        files = {"usr/bin/app": b"program", "lib/libc.so.6": b"library", "usr/share/doc/libc6/copyright": b"words"}
        images.accounted("image", json.loads(bom()), files)
        cases = {
            "with other bytes": {"lib/libc.so.6": b"other"},
            "does not stand in the SBOM": {"lib/more.so": b"\x7fELF"},
            "the licence of libc6": {"usr/share/doc/libc6/copyright": b""},
        }
        for words, change in cases.items():
            with self.subTest(words), self.assertRaisesRegex(images.Refused, words):
                images.accounted("image", json.loads(bom()), {**files, **change})


IMAGE = {
    "name": "enclave-app",
    "version": "0.1.0",
    "platform": "linux/amd64",
    "media_type": oci.MANIFEST,
    "digest": "sha256:" + "11" * 32,
    "size": 500,
    "config_digest": "sha256:" + "22" * 32,
    "layer_digests": ["sha256:" + "33" * 32],
    "packages": ["libc6=2.36-9+deb12u14"],
    "program": {"path": "/usr/bin/enclave-app", "sha256": "44" * 32, "size": 7},
    "sbom": {"file": "enclave-app.cdx.json", "media_type": "x", "sha256": "55" * 32, "size": 8},
}
SOURCE = {"commit": "66" * 20, "modified": False, "cargo_lock_sha256": "77" * 32}
TOOLCHAIN = {"rustc": "1.95.0", "cc": "gcc 12", "binutils": "2.40", "zstd": None, "target": "x"}
MEASURED = {"platform": "sev-snp", "register": "launch-digest", "value": "88" * 48, "covers": [IMAGE["digest"]], "command": "teegate predict"}


GATEWAY = {**IMAGE, "name": "teegate-gateway", "digest": "sha256:" + "99" * 32}
BOOTED = [
    {**MEASURED, "platform": "azure-vtpm", "register": register, "value": digits * 32, "command": "teegate predict pcr"}
    for register, digits in {"pcr4": "a4", "pcr9": "a9", "pcr11": "ab", "pcr12": "00"}.items()
]


def manifest(images=(IMAGE,), measurements=(), source=SOURCE):
    return release.document("0.1.0", source, TOOLCHAIN, list(images), list(measurements))


class Release(unittest.TestCase):
    def test_the_bytes_are_one_form_and_no_other(self):
        data = manifest(measurements=[MEASURED])
        self.assertEqual(release.check(data)["measurements"], [MEASURED])
        self.assertEqual(data, manifest(measurements=[dict(reversed(MEASURED.items()))]))
        again = json.dumps(json.loads(data)).encode()
        for other in [again, data + b"\n", data.rstrip(b"\n"), data.replace(b'"kind"', b'"kind": "x",\n  "kind"', 1)]:
            with self.subTest(other[:40]), self.assertRaisesRegex(release.Release, "not in the one form"):
                release.check(other)

    def test_what_is_unknown_missing_or_misspelt_is_refused(self):
        cases = [
            ("kind and schema version", json.loads(manifest()) | {"schema_version": 2}),
            ("members .*; expected", json.loads(manifest()) | {"more": 1}),
            ("source: members commit", json.loads(manifest()) | {"source": {"commit": "x"}}),
            ("images: none", json.loads(manifest()) | {"images": []}),
            ("is no SHA-256", json.loads(manifest()) | {"images": [{**IMAGE, "digest": "sha256:" + "AA" * 32}]}),
            ("twice", json.loads(manifest()) | {"images": [IMAGE, IMAGE]}),
            ("toolchain: members", json.loads(manifest()) | {"toolchain": {"rustc": "1.95.0", "target": "x"}}),
            ("no register `pcr4`", json.loads(manifest()) | {"measurements": [{**MEASURED, "register": "pcr4"}]}),
            ("is not 96 lower-case", json.loads(manifest()) | {"measurements": [{**MEASURED, "value": "88" * 32}]}),
            ("not of this release", json.loads(manifest()) | {"measurements": [{**MEASURED, "covers": ["sha256:" + "99" * 32]}]}),
        ]
        for words, value in cases:
            with self.subTest(words), self.assertRaisesRegex(release.Release, words):
                release.check(release.written(value))
        with self.assertRaisesRegex(release.Release, "not JSON"):
            release.check(b"\xff")

    def test_the_values_beside_a_manifest_are_not_taken_for_it(self):
        with tempfile.TemporaryDirectory() as folder:
            stated, values = pathlib.Path(folder, "0.1.0.json"), pathlib.Path(folder, "0.1.0.toml")
            values.write_text("schema = 1\n")
            # With nothing beside it there is nothing to name.
            self.assertEqual(release.read(values), b"schema = 1\n")
            stated.write_bytes(manifest())
            self.assertEqual(release.read(stated), manifest())
            with self.assertRaisesRegex(release.Release, re.escape(f"name that one, {stated}")):
                release.read(values)

    def test_an_image_or_a_measurement_that_stands_twice_or_elsewhere_is_refused(self):
        two = [{**MEASURED, "command": "teegate predict sev-snp --vcpus 2"}, {**MEASURED, "command": "teegate predict sev-snp --vcpus 4"}]
        whole = json.loads(manifest([IMAGE, GATEWAY], two))
        self.assertEqual(release.check(release.written(whole)), whole)
        cases = [
            ("images: `enclave-app linux/amd64` twice", {"images": [IMAGE, {**IMAGE, "digest": GATEWAY["digest"]}]}),
            ("images: .* they are sorted", {"images": [GATEWAY, IMAGE]}),
            ("measurements: `sev-snp launch-digest .*--vcpus 2` twice", {"measurements": [two[0], two[0]]}),
            ("measurements: `sev-snp launch-digest .*--vcpus 2` twice", {"measurements": [two[0], {**two[0], "value": "99" * 48}]}),
            ("measurements: .* they are sorted", {"measurements": two[::-1]}),
        ]
        for words, change in cases:
            with self.subTest(words), self.assertRaisesRegex(release.Release, words):
                release.check(release.written(whole | change))

    def test_registers_that_pin_an_image_together_stand_together(self):
        whole = json.loads(manifest(measurements=BOOTED))
        self.assertEqual(len(whole["measurements"]), 4)
        for left_out in BOOTED:
            rest = [each for each in whole["measurements"] if each["register"] != left_out["register"]]
            with self.subTest(left_out["register"]), self.assertRaisesRegex(release.Release, f"without azure-vtpm {left_out['register']} the others"):
                release.check(release.written(whole | {"measurements": rest}))

    def test_what_departs_from_a_statement_is_named(self):
        stated = json.loads(manifest([IMAGE, GATEWAY], [MEASURED, *BOOTED]))
        self.assertEqual(list(release.differences(stated, json.loads(release.written(stated)))), [])
        images, measured = stated["images"], stated["measurements"]
        other = {**images[0], "program": {**images[0]["program"], "sha256": "00" * 32}}
        place = "images `enclave-app linux/amd64`"
        cases = [
            ([f"{place}.program.sha256: stated is `{'44' * 32}`, found is `{'00' * 32}`"], {"images": [other, images[1]]}),
            (["images `teegate-gateway linux/amd64`: stated is `{", ", found is nothing"], {"images": images[:1]}),
            (["measurements `azure-vtpm pcr4 teegate predict pcr`", ", found is nothing"], {"measurements": [each for each in measured if each["register"] != "pcr4"]}),
            (["source.commit: stated is `66"], {"source": {**SOURCE, "commit": "67" * 20}}),
            (["toolchain.cc: stated is `gcc 12`, found is `gcc 13`"], {"toolchain": {**TOOLCHAIN, "cc": "gcc 13"}}),
        ]
        for words, change in cases:
            with self.subTest(words):
                (difference,) = release.differences(stated, stated | change)
                self.assertTrue(all(word in difference for word in words), difference)
        for register in range(len(measured)):
            value = measured[register]["value"]
            changed = [{**each, "value": ("1" if value[0] == "0" else "0") + value[1:]} if place == register else each for place, each in enumerate(measured)]
            with self.subTest(measured[register]["register"]):
                (difference,) = release.differences(stated, stated | {"measurements": changed})
                self.assertIn(f"{measured[register]['register']} ", difference)
                self.assertIn(f"stated is `{value}`", difference)

    def test_what_is_predicted_becomes_members_of_the_manifest(self):
        values = [{"field": each["register"], "value": each["value"], "of": "x"} for each in BOOTED]
        prediction = {"schema": "teegate/prediction/1", "kind": "pcr", "values": [*values, {"field": "pcr13", "value": "00" * 32, "of": "x"}]}
        found = images.covering(measured.members(prediction), [IMAGE])
        self.assertEqual(found, [{**each, "command": measured.COMMAND} for each in BOOTED])
        with self.assertRaisesRegex(SystemExit, "answers in `teegate/prediction/2`"):
            measured.members({**prediction, "schema": "teegate/prediction/2"})

    def test_a_machine_that_cannot_make_the_bytes_again_is_told_so(self):
        stated = json.loads(manifest())
        self.assertIsNone(release.here(stated, TOOLCHAIN, {"libc6=2.36-9+deb12u14", "bash=5"}))
        self.assertRegex(release.here(stated, TOOLCHAIN, {"libc6=2.36-9+deb12u15"}), r"the images cannot: not installed here are libc6=2.36-9\+deb12u14$")
        with self.assertRaisesRegex(release.Release, "nothing can be compared\n  toolchain.rustc: stated is `1.95.0`, found is `1.96.0`$"):
            release.here(stated, {**TOOLCHAIN, "rustc": "1.96.0"}, {"libc6=2.36-9+deb12u14"})

    def test_an_export_is_of_the_commit_that_it_was_made_of(self):
        commit = "66" * 20
        self.assertEqual((images.source(commit)["commit"], images.source(commit)["modified"]), (commit, False))
        for text in ["HEAD", commit[:-1], commit.replace("66", "6g")]:
            with self.subTest(text), self.assertRaisesRegex(argparse.ArgumentTypeError, "40 hexadecimal digits"):
                images.commit(text)

    def test_a_measurement_names_an_image_that_has_no_digest_yet(self):
        (covered,) = images.covering([{**MEASURED, "covers": ["enclave-app"]}], [IMAGE, GATEWAY])
        self.assertEqual(covered, MEASURED)
        with self.assertRaisesRegex(images.Refused, r"launch-digest covers \['enclave'\]; known are \['enclave-app', 'teegate-gateway'\]"):
            images.covering([{**MEASURED, "covers": ["enclave"]}], [IMAGE, GATEWAY])

    def test_reference_values_follow_from_the_manifest(self):
        text = release.values(manifest(measurements=[MEASURED, *BOOTED])).decode()
        table = 'source = "teegate predict pcr"\n' + "".join(f'{each["register"]} = "{each["value"]}"\n' for each in BOOTED)
        self.assertTrue(text.endswith(f"\n[sev-snp]\n{table}\n[tdx]\n{table}"), text)
        with self.assertRaisesRegex(release.Release, "no reference value"):
            release.values(manifest(measurements=[MEASURED]))

    def test_every_kept_release_is_one_and_its_values_are_those(self):
        for path in sorted((images.ROOT / "measurements/values").glob("*.json")):
            with self.subTest(path.name):
                data = path.read_bytes()
                kept = release.check(data)
                self.assertEqual((path.name, kept["source"]["modified"]), (f"{kept['version']}.json", False))
                self.assertEqual(path.with_suffix(".toml").read_bytes(), release.values(data))


class Debian(unittest.TestCase):
    def test_a_file_that_is_not_what_its_package_brought_is_noticed(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(debian, "DATABASE", pathlib.Path(folder)):
            came = hashlib.md5(b"library").hexdigest()
            (pathlib.Path(folder) / "libc6:amd64.md5sums").write_text(f"{came}  lib/libc.so.6\n")
            for names in [["/lib/libc.so.6"], ["/usr/lib/libc.so.6", "/lib/libc.so.6"]]:
                self.assertTrue(debian.is_what_came("libc6:amd64", names, b"library"))
            self.assertFalse(debian.is_what_came("libc6:amd64", ["/lib/libc.so.6"], b"other"))
            self.assertFalse(debian.is_what_came("libc6:amd64", ["/lib/libm.so.6"], b"library"))
            self.assertFalse(debian.is_what_came("libm", ["/lib/libc.so.6"], b"library"))

    def test_a_licence_is_that_of_a_copyright_file_that_still_says_so(self):
        said = "The following runtime libraries are licensed under the\nterms of the GNU General Public License (v3 or later) with\n  version 3.1 of the GCC\nRuntime Library Exception"
        self.assertEqual(debian.licence("libgcc-s1", said.encode()), "GPL-3.0-or-later WITH GCC-exception-3.1")
        with self.assertRaisesRegex(debian.Debian, "libgcc-s1/copyright no longer says"):
            debian.licence("libgcc-s1", said.replace("version 3.1", "version 3.2").encode())
        with self.assertRaisesRegex(debian.Debian, "no licence is known of the package libx"):
            debian.licence("libx", said.encode())
        self.assertLessEqual({part for each in debian.LICENCES.values() for part in each.split(" AND ")}, set(debian.WORDS))

    def test_a_licence_that_is_named_by_its_place_is_carried_along(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "GPL-3").write_bytes(b"text")
            (place / "base-files.md5sums").write_text(f"{hashlib.md5(b'text').hexdigest()}  {str(place)[1:]}/GPL-3\n")
            with mock.patch.object(debian, "COMMON", place), mock.patch.object(debian, "DATABASE", place):
                self.assertEqual(debian.texts([f"is in `{place}/GPL-3'.".encode(), b"nothing"]), {f"{place}/GPL-3"[1:]: b"text"})
                with self.assertRaisesRegex(debian.Debian, "LGPL-2.1, which a copyright file names, is not there"):
                    debian.texts([f"{place}/LGPL-2.1.".encode()])
                (place / "GPL-3").write_bytes(b"other")
                with self.assertRaisesRegex(debian.Debian, "not the file that base-files brought"):
                    debian.texts([f"{place}/GPL-3".encode()])

    def test_a_library_is_looked_for_under_both_names_of_its_folder(self):
        self.assertLessEqual({"/lib/none.so", "/usr/lib/none.so"}, set(debian.spellings("/usr/lib/none.so")))
        self.assertLessEqual({"/lib/none.so", "/usr/lib/none.so"}, set(debian.spellings("/lib/none.so")))


class Paths(unittest.TestCase):
    def test_a_path_of_the_builder_is_found(self):
        told = f"panicked at {images.ROOT}/gateway/src/main.rs".encode()
        self.assertEqual(images.paths_in(told).get(str(images.ROOT)), 1)
        self.assertEqual(images.paths_in(b"panicked at /teegate/gateway/src/main.rs"), {})


if __name__ == "__main__":
    unittest.main()
