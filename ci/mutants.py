"""Changes one rule at a time and looks whether a test notices. Behind ci/mutants.sh; the rules stand in ci/mutants.toml.

Each mutant is a place in a file, what stands there, and what a careless change would make of it. All of them are put into a
copy of the tree behind a run-time switch, so that one build serves for all; then each is switched on by itself, and the tests
that should keep its rule are run. A mutant that no test notices survives.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

SWITCH = '''
/// Whether the mutant of this number is switched on. Exists only in the copy of the tree that ci/mutants.sh makes.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, reason = "no part of the product")]
pub fn mutant_is_on(number: u32) -> bool {
    static ON: std::sync::LazyLock<Option<u32>> = std::sync::LazyLock::new(|| {
        std::fs::read_to_string("@FILE@").ok().and_then(|text| text.trim().parse().ok())
    });
    *ON == Some(number)
}
'''


def main():
    parser = argparse.ArgumentParser(prog="mutants.sh", description=__doc__)
    parser.add_argument("names", nargs="*", help="run only mutants whose name holds one of these")
    parser.add_argument("--list", action="store_true", help="check that each place is found, and run nothing")
    arguments = parser.parse_args()

    root = pathlib.Path(__file__).resolve().parent.parent
    with open(root / "ci/mutants.toml", "rb") as file:
        mutants = tomllib.load(file)["mutant"]
    for number, mutant in enumerate(mutants, 1):
        mutant["number"] = number
    wrong = [complaint for mutant in mutants if (complaint := misplaced(root, mutant))]
    names = [mutant["name"] for mutant in mutants]
    wrong += [f"{name}: the name stands twice" for name in sorted(set(names)) if names.count(name) > 1]
    program = re.compile(r"-p [\w-]+ (--lib|(--bin|--test) [\w-]+)( -- .+)?")
    for mutant in mutants:
        wrong += [f"{mutant['name']}: `{tests}` names no test program" for tests in mutant["tests"] if not program.fullmatch(tests)]
    if wrong:
        sys.exit("\n".join(["mutants.toml does not fit the tree:", *wrong]))
    if arguments.list:
        # What stands once may stand no more when the ones before it are in place, and a switch fits where an expression does.
        texts = planted(root, mutants, pathlib.Path("switch"))
        if wrong := [complaint for name, text in texts.items() if (complaint := misspelt(name, text))]:
            sys.exit("\n".join(["mutants.toml makes no Rust of:", *wrong]))
        print(f"{len(mutants)} mutants, each where mutants.toml says")
        return

    chosen = [mutant for mutant in mutants if not arguments.names or any(name in mutant["name"] for name in arguments.names)]
    if not chosen:
        sys.exit("no mutant has such a name")
    work = root / "target/mutants"
    tree, switch = work / "main", work / "switch"
    (work / "shared").unlink(missing_ok=True)
    switch.unlink(missing_ok=True)
    copy(root, tree, planted(root, mutants, switch))
    if (root.parent / "shared").is_dir():
        (work / "shared").symlink_to(root.parent / "shared")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(work / "target"), "RUST_BACKTRACE": "0"}
    environment.pop("RUSTFLAGS", None)

    tests = sorted({tests for mutant in chosen for tests in mutant["tests"]})
    print(f"building what {len(tests)} sets of tests need, for {len(chosen)} mutants", flush=True)
    binaries = build(tree, environment, tests)
    for one in tests:
        status, output = run(binaries, environment, one, 1800)
        if status != 0:
            sys.exit(f"without any mutant `cargo test {one}` does not pass:\n{output[-4000:]}")
        if not any(int(count) for count in re.findall(r"(\d+) passed", output)):
            sys.exit(f"`cargo test {one}` runs no test")

    survived, hung, killed = [], 0, 0
    for mutant in chosen:
        switch.write_text(str(mutant["number"]))
        begun, found = time.monotonic(), None
        for one in mutant["tests"]:
            status, output = run(binaries, environment, one, mutant.get("seconds", 120))
            if status != 0:
                found = failed_test(status, output)
                break
        took = time.monotonic() - begun
        if found:
            killed += 1
            hung += found == HUNG
            print(f"killed    {mutant['name']}  ({found}, {took:.0f} s)", flush=True)
        else:
            survived.append(mutant)
            print(f"SURVIVED  {mutant['name']}  {mutant['file']}  {mutant.get('because', '')}", flush=True)
    switch.unlink(missing_ok=True)

    unexcused = [mutant for mutant in survived if "because" not in mutant]
    print(f"{killed} of {len(chosen)} killed, {hung} of them by hanging; {len(survived)} survived, "
          f"{len(unexcused)} of them without a reason in mutants.toml")
    if killed < 0.95 * len(chosen) or unexcused:
        sys.exit(1)


def build(tree, environment, tests):
    """The test programs that these sets of tests need, by package and target. All at once, so that each crate is compiled once."""
    programs = [one.split(" -- ")[0].split() for one in tests]
    packages, targets = ({tuple(words[part]) for words in programs} for part in (slice(2), slice(2, None)))
    chosen = [word for words in sorted(packages) + sorted(targets) for word in words]
    command = ["cargo", "test", "--locked", "--no-run", "--message-format", "json-render-diagnostics", *chosen]
    # Tests that start programs build those that are not there; the ones of an earlier run have other mutants.
    for path in pathlib.Path(environment["CARGO_TARGET_DIR"], "debug").glob("*"):
        if path.is_file() and os.access(path, os.X_OK):
            path.unlink()
    done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("the tree with the mutants in it does not compile")
    binaries = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-artifact" or not message["profile"]["test"] or not message["executable"]:
            continue
        folder = pathlib.Path(message["manifest_path"]).parent
        package = tomllib.loads((folder / "Cargo.toml").read_text())["package"]["name"]
        kind, name = message["target"]["kind"][0], message["target"]["name"]
        target = {"lib": "--lib", "test": f"--test {name}", "bin": f"--bin {name}"}.get(kind, kind)
        binaries[f"-p {package} {target}"] = (folder, message["executable"])
    return binaries


def run(binaries, environment, tests, seconds):
    """Runs one set of tests as cargo would, and kills it with everything that it started when its time is over."""
    program, _, filters = tests.partition(" -- ")
    if program not in binaries:
        sys.exit(f"no test program `{program}`; there are\n" + "\n".join(sorted(binaries)))
    folder, executable = binaries[program]
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen([executable, *filters.split()], cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={**environment, "CARGO_MANIFEST_DIR": str(folder)})
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        output.seek(0)
        return status, output.read()


def misplaced(root, mutant):
    path = root / mutant["file"]
    if not path.is_file():
        return f"{mutant['name']}: no file {mutant['file']}"
    count = path.read_text().count(mutant["old"])
    return None if count == 1 else f"{mutant['name']}: `{mutant['old']}` stands {count} times in {mutant['file']}"


def misspelt(name, text):
    """What a parser says of a file with its mutants, if that is no Rust. Says nothing where rustfmt is not there."""
    if name.suffix != ".rs" or not shutil.which("rustfmt"):
        return None
    done = subprocess.run(["rustfmt", "--edition", "2024"], input=text, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ") or " --> " in line]
    return f"{name}: {' '.join(said[:2])}" if done.returncode != 0 and said else None


def copy(root, tree, planted):
    """The files that git knows, as planted, without touching what has not changed, so that little is compiled again."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, check=True
    )
    wanted = {pathlib.Path(name) for name in listed.stdout.decode().split("\0") if name and (root / name).is_file()}
    tree.mkdir(parents=True, exist_ok=True)
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.relative_to(tree) not in wanted and ".cache" not in path.parts:
            path.unlink()
    for name in wanted:
        target = tree / name
        content = planted[name].encode() if name in planted else (root / name).read_bytes()
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        shutil.copymode(root / name, target)
    if (root / ".cache").is_dir() and not (tree / ".cache").exists():
        (tree / ".cache").symlink_to(root / ".cache")


def planted(root, mutants, switch):
    """The texts of the files in which mutants stand, with all of them behind their switches; and what that needs."""
    texts = {}

    def change(path, edit):
        name = path.relative_to(root)
        texts[name] = edit(texts[name] if name in texts else path.read_text())

    for mutant in mutants:
        old, new, number = mutant["old"], mutant["new"], mutant["number"]
        either = f"if crate::mutant_is_on({number}) {{ {new} }} else {{ {old} }}"
        if old not in texts.get(pathlib.Path(mutant["file"]), (root / mutant["file"]).read_text()):
            sys.exit(f"{mutant['name']}: a mutant before it has changed its place; put this one first")
        # An arm of a match keeps its pattern: only what it yields is behind the switch.
        pattern, arrow, _ = old.partition(" => ")
        if arrow and new.startswith(pattern + arrow):
            one, other = (side.removeprefix(pattern + arrow).rstrip(",") for side in (new, old))
            ending = "," if old.endswith(",") else ""
            either = f"{pattern}{arrow}(if crate::mutant_is_on({number}) {{ {one} }} else {{ {other} }}){ending}"
        elif not mutant.get("statement"):
            either = f"({either})"
        change(root / mutant["file"], lambda text: text.replace(old, either))
        if "constant" in mutant:
            # A switch is asked at run time.
            constant = mutant["constant"]
            change(root / mutant["file"], lambda text: text.replace(f"const {constant}", constant))
        crate = (root / mutant["file"]).parent
        while not (crate / "Cargo.toml").is_file():
            crate = crate.parent
        for home in (crate / "src/lib.rs", crate / "src/main.rs"):
            if home.is_file():
                asked = SWITCH.replace("@FILE@", str(switch))
                change(home, lambda text: text if asked in text else PLEASES_NOBODY + text + asked)
        change(crate / "Cargo.toml", lambda text: text.replace("[lints]\nworkspace = true\n", ""))
    return texts


# What is planted need not please the lints.
PLEASES_NOBODY = "#![allow(warnings)]\n"

HUNG = "it hung"


def failed_test(status, output):
    if status is None:
        return HUNG
    names = [line.split()[1] for line in output.splitlines() if line.startswith("test ") and line.endswith("FAILED")]
    return names[0] if names else "a test program ended badly"


main()
