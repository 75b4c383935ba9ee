"""Which package of Debian (or Ubuntu) a file of this machine came with, asked of dpkg, and whether it still is what came."""

import hashlib
import pathlib
import subprocess

DATABASE = pathlib.Path("/var/lib/dpkg/info")
# What the copyright file of each package says of the files that are copied, as SPDX writes it.
LICENCES = {
    "ca-certificates": "MPL-2.0",
    "libc6": "LGPL-2.1-or-later",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libstdc++6": "GPL-3.0-or-later WITH GCC-exception-3.1",
}


class Debian(ValueError):
    """A file that no package answers for."""


def spellings(path):
    """`/lib` may be a link to `/usr/lib`, and the file a link to another; dpkg knows some by the one name and some by the other."""
    bare = [name.removeprefix("/usr") for name in (str(path), str(pathlib.Path(path).resolve()))]
    return [*bare, *("/usr" + name for name in bare)]


def package_of(path):
    """Name, with the architecture where dpkg says it, of the package that `path` came with; its bytes are compared with what dpkg noted."""
    names, known = spellings(path), set()
    for name in names:
        asked = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False)
        known |= {line.split(": ")[0] for line in asked.stdout.splitlines() if line.endswith(": " + name)}
    if len(known) != 1:
        raise Debian(f"{path} came with {sorted(known) or 'no package'}, expected one; is this machine a Debian or Ubuntu?")
    package = known.pop()
    if not is_what_came(package, names, pathlib.Path(path).read_bytes()):
        raise Debian(f"{path} is not the file that {package} brought; reinstall that package")
    return package


def is_what_came(package, names, data):
    """Whether the package's list of MD5 sums, made against accidents and not against attackers, has these bytes under one of the names."""
    lists = [DATABASE / f"{package}.md5sums", DATABASE / f"{package.split(':')[0]}.md5sums"]
    sums = next((path.read_text() for path in lists if path.is_file()), "")
    noted = {"/" + line[34:]: line[:32] for line in sums.splitlines()}
    return hashlib.md5(data).hexdigest() in {noted.get(name) for name in names}


def described(package):
    """What an SBOM says of a package: name, version, architecture, source package with its version, licence, copyright file."""
    form = "${Package}\\n${Version}\\n${Architecture}\\n${source:Package}\\n${source:Version}"
    answer = subprocess.run(["dpkg-query", "--show", "--showformat", form, package], capture_output=True, text=True, check=True)
    name, version, architecture, source, source_version = answer.stdout.split("\n")
    if name not in LICENCES:
        raise Debian(f"no licence is known of the package {name}; read /usr/share/doc/{name}/copyright and add it to LICENCES in ci/debian.py")
    return {
        "name": name,
        "version": version,
        "architecture": architecture,
        "source": source,
        "source_version": source_version,
        "licence": LICENCES[name],
        "copyright": pathlib.Path(f"/usr/share/doc/{name}/copyright").read_bytes(),
    }


def certificates():
    """The CA certificates of Mozilla's list as the package ca-certificates brings them, one file, and none that this machine added."""
    folder = pathlib.Path("/usr/share/ca-certificates/mozilla")
    paths = sorted(folder.glob("*.crt"))
    if not paths:
        raise Debian(f"{folder} holds no certificate; install ca-certificates")
    texts = []
    for path in paths:
        text = path.read_bytes()
        if not is_what_came("ca-certificates", [str(path)], text):
            raise Debian(f"{path} is not the file that ca-certificates brought; reinstall that package")
        texts.append(text if text.endswith(b"\n") else text + b"\n")
    return b"".join(texts)


def release():
    """`debian-12`: the distribution, as package URLs name it, and its id alone."""
    lines = [line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line]
    values = {key: value.strip('"') for key, value in lines}
    return values.get("ID", "debian"), f"{values.get('ID', 'debian')}-{values.get('VERSION_ID', 'unknown')}"
