"""What an ELF program or library asks the loader for: its interpreter and the libraries that it needs, read and never run.

64 bits, little endian: System V ABI, chapters 4 and 5. `ldd` answers the same by starting the program's own loader.
"""

import pathlib
import struct

LOAD, DYNAMIC, INTERP = 1, 2, 3
NEEDED, STRTAB, STRSZ, RPATH, RUNPATH = 1, 5, 10, 15, 29
MACHINES = {62: "x86_64", 183: "aarch64"}


class Elf(ValueError):
    """A file that is no program or library of a kind that is read here."""


def read(data):
    """`(machine, interpreter or None, [needed])` of an ELF file's bytes."""
    try:
        return parse(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Elf(f"an ELF file that ends early or is damaged: {error}") from error


def parse(data):
    if data[:6] != b"\x7fELF\x02\x01":
        raise Elf("not an ELF file of 64 bits, little endian")
    (machine,) = struct.unpack_from("<H", data, 18)
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    if machine not in MACHINES:
        raise Elf(f"for machine {machine}; known are {MACHINES}")
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + size * place) for place in range(count)]
    dynamic, interpreter = [], None
    for kind, _, at, _, _, length, _, _ in headers:
        if kind == INTERP:
            interpreter = text(data[at : at + length], 0)
        elif kind == DYNAMIC:
            dynamic = list(struct.iter_unpack("<qQ", data[at : at + length - length % 16]))
    values = dict(dynamic)
    if not dynamic:
        return MACHINES[machine], interpreter, []
    at = place_of(headers, values.get(STRTAB, 0))
    strings = data[at : at + values.get(STRSZ, 0)]
    for tag, value in dynamic:
        # `$ORIGIN` is the folder of the library itself, where an image holds none but this.
        if tag in (RPATH, RUNPATH) and text(strings, value) != "$ORIGIN":
            raise Elf(f"looks for libraries in `{text(strings, value)[:80]}` (RPATH or RUNPATH), which no image has")
    return MACHINES[machine], interpreter, [text(strings, value) for tag, value in dynamic if tag == NEEDED]


def place_of(headers, address):
    """Where in the file lies what is loaded at `address`."""
    for kind, _, at, start, _, length, _, _ in headers:
        if kind == LOAD and start <= address < start + length:
            return at + address - start
    raise Elf("its names lie in no part that is loaded")


def text(data, at):
    return data[at : data.index(b"\0", at)].decode("ascii") if b"\0" in data[at:] else data[at:].decode("ascii")


def closure(programs, folders):
    """Every library that `programs`, a list of bytes, need, and what these need: `{name: path}`, with the loader under its full path.

    Looked for in `folders`, in their order; one that is missing is an error that says who needs it."""
    loader = next((interpreter for _, interpreter, _ in map(read, programs) if interpreter), None)
    found, todo, machines = {}, [(f"program {place}", data) for place, data in enumerate(programs)], set()
    while todo:
        who, data = todo.pop()
        machine, _, needed = read(data)
        machines.add(machine)
        for name in needed:
            if "/" in name:
                raise Elf(f"{who} needs `{name}`, a path")
            if name in found or (loader and name == pathlib.PurePath(loader).name):
                continue
            path = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if path is None:
                raise Elf(f"{who} needs `{name}`, which lies in none of {', '.join(map(str, folders))}")
            found[name] = path
            todo.append((name, path.read_bytes()))
    if len(machines) != 1 or loader is None:
        raise Elf(f"programs for {sorted(machines)} with the loader {loader}; expected one machine and one loader")
    return found, pathlib.Path(loader), machines.pop()
