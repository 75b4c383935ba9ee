"""Changes one rule at a time and looks whether a test notices. Behind ci/mutants.sh; the rules stand in ci/mutants.toml.

Each mutant is a place in a file, what stands there, and what a careless change would make of it. All of them are put into a
copy of the tree behind a run-time switch, so that one build serves for all; then each is switched on by itself, and the tests
that should keep its rule are run. A mutant that no test notices survives.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
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
    if wrong:
        sys.exit("\n".join(["mutants.toml does not fit the tree:", *wrong]))
    if arguments.list:
        print(f"{len(mutants)} mutants, each where mutants.toml says")
        return

    chosen = [mutant for mutant in mutants if not arguments.names or any(name in mutant["name"] for name in arguments.names)]
    work = root / "target/mutants"
    tree, switch = work / "main", work / "switch"
    copy(root, tree)
    (work / "shared").unlink(missing_ok=True)
    if (root.parent / "shared").is_dir():
        (work / "shared").symlink_to(root.parent / "shared")
    switch.unlink(missing_ok=True)
    for file in sorted({mutant["file"] for mutant in mutants}):
        plant(tree, file, [mutant for mutant in mutants if mutant["file"] == file], switch)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(work / "target"), "RUST_BACKTRACE": "0"}
    for name in ("RUSTFLAGS",):
        environment.pop(name, None)

    def cargo(tests, *more, timeout=None):
        command = ["cargo", "test", "--locked", "--quiet", *tests.split(" -- ")[0].split(), *more]
        if " -- " in tests:
            command += ["--", *tests.split(" -- ")[1].split()]
        try:
            done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return None, "timed out"
        return done.returncode, done.stdout + done.stderr

    suites = sorted({tests for mutant in chosen for tests in mutant["tests"]})
    print(f"building {len(suites)} test commands for {len(chosen)} mutants", flush=True)
    for tests in suites:
        status, output = cargo(tests)
        if status != 0:
            sys.exit(f"without any mutant `cargo test {tests}` does not pass:\n{output[-4000:]}")

    survived, killed = [], 0
    for mutant in chosen:
        switch.write_text(str(mutant["number"]))
        begun, found = time.monotonic(), None
        for tests in mutant["tests"]:
            status, output = cargo(tests, timeout=mutant.get("seconds", 300))
            if status != 0:
                found = failed_test(output)
                break
        took = time.monotonic() - begun
        if found:
            killed += 1
            print(f"killed    {mutant['name']}  ({found}, {took:.0f} s)", flush=True)
        else:
            survived.append(mutant)
            print(f"SURVIVED  {mutant['name']}  {mutant['file']}  {mutant.get('because', '')}", flush=True)
    switch.unlink(missing_ok=True)

    unexcused = [mutant for mutant in survived if "because" not in mutant]
    print(f"{killed} of {len(chosen)} killed; {len(survived)} survived, {len(unexcused)} of them without a reason in mutants.toml")
    if killed < 0.95 * len(chosen) or unexcused:
        sys.exit(1)


def misplaced(root, mutant):
    path = root / mutant["file"]
    if not path.is_file():
        return f"{mutant['name']}: no file {mutant['file']}"
    count = path.read_text().count(mutant["old"])
    return None if count == 1 else f"{mutant['name']}: `{mutant['old']}` stands {count} times in {mutant['file']}"


def copy(root, tree):
    """The files that git knows, without touching what has not changed, so that little is compiled again."""
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
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target)
    if (root / ".cache").is_dir() and not (tree / ".cache").exists():
        (tree / ".cache").symlink_to(root / ".cache")


def plant(tree, file, mutants, switch):
    path = tree / file
    text = path.read_text()
    crate = path.parent
    while not (crate / "Cargo.toml").is_file():
        crate = crate.parent
    for mutant in mutants:
        old, new, number = mutant["old"], mutant["new"], mutant["number"]
        if mutant.get("statement"):
            planted = f"if crate::mutant_is_on({number}) {{ {new} }} else {{ {old} }}"
        else:
            planted = f"(if crate::mutant_is_on({number}) {{ {new} }} else {{ {old} }})"
        text = text.replace(old, planted)
    path.write_text(text)
    for name in ("src/lib.rs", "src/main.rs"):
        home = crate / name
        if home.is_file() and "mutant_is_on" not in home.read_text():
            home.write_text(home.read_text() + SWITCH.replace("@FILE@", str(switch)))
    manifest = crate / "Cargo.toml"
    text = manifest.read_text()
    if "[lints]" in text:
        manifest.write_text(text.split("[lints]")[0])


def failed_test(output):
    if output == "timed out":
        return output
    names = [line.split()[1] for line in output.splitlines() if line.startswith("test ") and line.endswith("FAILED")]
    names += [line.split(" --- ")[0] for line in output.splitlines() if line.endswith(" --- FAILED")]
    return names[0] if names else "a test program ended badly"


main()
