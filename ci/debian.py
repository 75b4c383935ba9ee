"""Which package of Debian (or Ubuntu) a file of this machine came with, asked of dpkg, and whether it still is what came."""

import hashlib
import pathlib
import re
import subprocess

DATABASE = pathlib.Path("/var/lib/dpkg/info")
COPYRIGHT = pathlib.Path("/usr/share/doc")
COMMON = pathlib.Path("/usr/share/common-licenses")
# What the copyright file of each package says of the files that are copied, as SPDX writes it: the shared libraries of glibc without its
# utilities and tests, the runtime libraries of gcc, the certificates of Mozilla's list.
LICENCES = {
    "ca-certificates": "MPL-2.0",
    "libc6": "BSD-3-Clause AND HPND AND ISC AND Inner-Net-2.0 AND LGPL-2.1-or-later AND SunPro",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libstdc++6": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
# The words of a copyright file that stand for each, with one blank between any two: where they are missing, the table above is of another text.
GCC = "licensed under the terms of the GNU General Public License (v3 or later) with version 3.1 of the GCC Runtime Library Exception"
WORDS = {
    "BSD-3-Clause": "All code incorporated from 4.4 BSD is distributed under the following license:",
    "GPL-3.0-or-later WITH GCC-exception-3.1": f"The following runtime libraries are {GCC}",
    "HPND": "that the name of Digital Equipment Corporation not be used in advertising",
    "ISC": "The ISC portions are under the following license:",
    "Inner-Net-2.0": "The Inner Net License, Version 2.00",
    "LGPL-2.1-or-later": "version 2.1 of the License, or (at your option) any later version.",
    "MPL-2.0": "Files: mozilla/certdata.txt",
    "SunPro": "Developed at SunPro, a Sun Microsystems, Inc. business.",
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
    copyright = (COPYRIGHT / name / "copyright").read_bytes()
    return {
        "name": name,
        "version": version,
        "architecture": architecture,
        "source": source,
        "source_version": source_version,
        "licence": licence(name, copyright),
        "copyright": copyright,
    }


def licence(name, copyright):
    """The SPDX expression of what is copied of a package, while its copyright file still says so."""
    if name not in LICENCES:
        raise Debian(f"no licence is known of the package {name}; read {COPYRIGHT}/{name}/copyright and add it to LICENCES in ci/debian.py")
    said = " ".join(copyright.decode(errors="replace").split())
    for part in LICENCES[name].split(" AND "):
        if WORDS[part] not in said:
            raise Debian(f"{COPYRIGHT}/{name}/copyright no longer says `{WORDS[part]}`, so {part} may be wrong; read it and correct ci/debian.py")
    return LICENCES[name]


def texts(copyrights):
    """`{path: bytes}` of the licences that copyright files name by their place in Debian instead of repeating them.

    Whoever gets a library of these terms has to get the text too, and an image has no other Debian beside it."""
    said = b"\n".join(copyrights).decode(errors="replace")
    named = sorted(set(re.findall(rf"{COMMON}/([A-Za-z0-9.-]*[A-Za-z0-9])", said)))
    found = {}
    for name in named:
        path = COMMON / name
        if not path.is_file():
            raise Debian(f"{path}, which a copyright file names, is not there; reinstall base-files")
        text = path.read_bytes()
        if not is_what_came("base-files", spellings(path), text):
            raise Debian(f"{path} is not the file that base-files brought; reinstall that package")
        found[str(path)[1:]] = text
    return found


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
