"""Tests of ci/reproduce.sh on a small repository whose builder and image maker are stand-ins. Run by ci/test.sh; seconds, no build, no network."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import images_tests
import release

CI = pathlib.Path(__file__).resolve().parent
# What stands in for minutes of compiling: a program of these words.
BUILDER = """#!/bin/sh
mkdir -p "$1/release"
printf '%s' "{words}" >"$1/release/enclave-app"
"""
# What stands in for the images: the manifest of one image whose program is the one that was built.
MAKER = """import hashlib, pathlib, sys
sys.path.insert(0, {ci!r})
import images_tests, json, release
told = dict(zip(sys.argv[2::2], sys.argv[3::2]))
data = (pathlib.Path(told["--programs"]) / "enclave-app").read_bytes()
program = {{"path": "/usr/bin/enclave-app", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
image = {{**images_tests.IMAGE, "program": program}}
source = {{**images_tests.SOURCE, "commit": told["--commit"]}}
measurements = json.loads(pathlib.Path(told["--measurements"]).read_bytes())
out = pathlib.Path(told["--out"])
out.mkdir()
(out / "release.json").write_bytes(release.document("0.1.0", source, release.toolchain("x"), [image], measurements))
"""


class Reproduce(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "source"
        (self.root / "ci").mkdir(parents=True)
        (self.root / "target/debug").mkdir(parents=True)
        for name in ("reproduce.sh", "release.py", "oci.py"):
            shutil.copy(CI / name, self.root / "ci" / name)
        self.write("ci/onnxruntime.sh", "#!/bin/sh\n")
        self.write("target/debug/teegate", "#!/bin/sh\n")
        self.write("ci/images.py", MAKER.format(ci=str(CI)))
        # `covers` names no image here: the maker above does not look names up.
        booted = [{**each, "covers": []} for each in images_tests.BOOTED]
        self.write("ci/measured.py", f"print({json.dumps(json.dumps(booted))})\n")
        self.write(".gitignore", "/target\n/.cache\n")
        self.builds("a program")

    def write(self, name, text):
        (self.root / name).write_text(text)
        (self.root / name).chmod(0o755)

    def builds(self, words):
        """Commits a builder of these words, which the shell expands in the folder where it builds."""
        self.write("ci/release_programs.sh", BUILDER.format(words=words))
        name = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", words]):
            subprocess.run(["git", *name, *command], cwd=self.root, check=True)

    def run_it(self, *arguments, status=0):
        environment = {**os.environ, "TMPDIR": str(self.root.parent)}
        environment.pop("TEEGATE_PROGRAMS", None)
        command = [self.root / "ci/reproduce.sh", *arguments]
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(ran.returncode, status, ran.stdout)
        return ran.stdout

    def left(self):
        return [path.name for path in self.root.parent.iterdir() if path.name.startswith("teegate-reproduce.")]

    def test_two_folders_of_other_length_are_compared(self):
        self.assertIn("two folders, the same bytes", self.run_it("--program", "enclave-app"))
        self.assertEqual(self.left(), [])
        self.builds("in $1")
        said = self.run_it("--program", "enclave-app", status=1)
        self.assertIn("two folders gave other bytes", said)
        # What differs stays for a look.
        (kept,) = self.left()
        texts = [(self.root.parent / kept / turn / "programs/enclave-app").read_text() for turn in ("first", "second")]
        self.assertNotEqual(len(texts[0]), len(texts[1]))

    def test_a_commit_is_built_and_not_the_tree(self):
        self.write("ci/release_programs.sh", "#!/bin/sh\nexit 1\n")
        self.assertIn("two folders, the same bytes", self.run_it())

    def test_what_was_written_comes_out_again_and_nothing_else_does(self):
        self.run_it("--write", "HEAD")
        stated = self.root / "measurements/values/0.1.0.json"
        data = stated.read_bytes()
        self.assertEqual(stated.with_suffix(".toml").read_bytes(), release.values(data))
        # Whatever is committed afterwards, the file names its own commit.
        self.builds("another program")
        self.assertIn("comes out again, byte for byte", self.run_it("--check", stated))
        whole = json.loads(data)
        image, measured = whole["images"][0], whole["measurements"]
        other = {**measured[0], "value": "ee" * 32}
        cases = [
            ("program.sha256: stated is `ee", {"images": [{**image, "program": {**image["program"], "sha256": "ee" * 32}}]}),
            ("images `enclave-app linux/amd64`.digest: stated is", {"images": [{**image, "digest": "sha256:" + "ee" * 32}]}),
            ("images: none", {"images": []}),
            ("images: `enclave-app linux/amd64` twice", {"images": [image, image]}),
            (f"measurements `azure-vtpm {other['register']}", {"measurements": [other, *measured[1:]]}),
            ("measurements: without azure-vtpm", {"measurements": measured[1:]}),
            ("measurements `azure-vtpm pcr11", {"measurements": []}),
            (f"measurements: `azure-vtpm {other['register']} .*` twice", {"measurements": [measured[0], *measured]}),
            ("this machine compiles other bytes.*\n  toolchain.cc: stated is `tcc`", {"toolchain": {**whole["toolchain"], "cc": "tcc"}}),
            ("is no commit of this repository", {"source": {**whole["source"], "commit": "ee" * 20}}),
        ]
        for words, change in cases:
            with self.subTest(words):
                stated.write_bytes(release.written(whole | change))
                said = self.run_it("--check", stated, status=1)
                self.assertRegex(said, words)
                self.assertNotIn("comes out again", said)


if __name__ == "__main__":
    unittest.main()
