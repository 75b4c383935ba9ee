#!/usr/bin/env python3
"""Writes the inputs of `cli/tests/predict.rs` beside itself: firmware of a TD, a kernel and ACPI tables, as small as their readers allow. Nothing
of them runs. The firmware and the tables are seeds of `fuzz/corpus` as well."""

import pathlib
import struct

HERE = pathlib.Path(__file__).parent
OVMF_TABLE = bytes.fromhex("de82b596b21ff745baeaa366c55a082d")
TDX_METADATA = bytes.fromhex("35657ae44a989847865e4685a7bf8ec2")
CC_MEASUREMENT = bytes.fromhex("3d1a7596f472a641a794ed5d0e67ae6b")
VARIABLE_STORE = bytes.fromhex("782cf3aa7b949a43a1802e144ec37792")


def firmware():
    """A page of variables, none written, and a page of code whose end says where memory is needed, as OVMF's does."""
    volume = bytes(32) + struct.pack("<Q4sIH", 0x1000, b"_FVH", 0x4FEFF, 0x48)
    volume = volume.ljust(0x48, b"\0") + VARIABLE_STORE + struct.pack("<IBB6x", 0x800, 0x5A, 0xFE)
    sections = [
        (0x1000, 0x1000, 0xFFFFF000, 0x1000, 0, 1),
        (0, 0x1000, 0xFFFFE000, 0x1000, 1, 0),
        (0, 0, 0x810000, 0x10000, 3, 0),
        (0, 0, 0x80B000, 0x2000, 3, 0),
        (0, 0, 0x809000, 0x2000, 2, 0),
        (0, 0, 0x800000, 0x6000, 3, 0),
    ]
    metadata = b"TDVF" + struct.pack("<III", 16 + 32 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<IIQQII", *section) for section in sections)
    entries = struct.pack("<IH", 0x800, 22) + TDX_METADATA
    table = entries + struct.pack("<H", len(entries) + 18) + OVMF_TABLE
    code = (b"\x90" * 0x800 + metadata).ljust(0x1000 - 32 - len(table), b"\x90") + table + bytes(32)
    return volume.ljust(0x1000, b"\xff") + code


def kernel():
    """A PE image of one section, with the header of the boot protocol, 2.15, and the GUID by which a kernel asks for the registers of a TD."""
    head = bytearray(0x400)
    struct.pack_into("<2s58xI", head, 0, b"MZ", 0x40)
    struct.pack_into("<4sHHIIIHH", head, 0x40, b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0)
    struct.pack_into("<H", head, 0x58, 0x20B)
    struct.pack_into("<I", head, 0x58 + 60, len(head))
    struct.pack_into("<I", head, 0x58 + 108, 16)
    struct.pack_into("<8sIIII", head, 0x58 + 240, b".text", 0x200, 0x1000, 0x200, len(head))
    head[0x1F1] = 1
    struct.pack_into("<4sH", head, 0x202, b"HdrS", 0x20F)
    head[0x211], head[0x236] = 1, 3
    return bytes(head) + CC_MEASUREMENT.ljust(0x200, b"\x90")


def acpi():
    """Two tables, the pointer to them, and the commands that load both and set pointer and checksums."""
    table = lambda name: name + struct.pack("<I", 36) + bytes(28)
    tables = (table(b"DSDT") + table(b"RSDT")).ljust(128, b"\0")
    rsdp = b"RSD PTR \0TEEGAT\0" + struct.pack("<I", 36)
    load = lambda file: struct.pack("<I56sIB63x", 1, file, 16, 1)
    checksum = lambda file, at, length: struct.pack("<I56sIII56x", 3, file, at, 0, length)
    pointer = struct.pack("<I56s56sIB7x", 2, b"etc/acpi/rsdp", b"etc/acpi/tables", 16, 4)
    loader = load(b"etc/acpi/rsdp") + load(b"etc/acpi/tables") + pointer + checksum(b"etc/acpi/tables", 9, 36) + checksum(b"etc/acpi/rsdp", 8, 20)
    return {"acpi-tables": tables, "acpi-rsdp": rsdp, "table-loader": loader, "shape": b"nothing, by make.py: -machine q35\n"}


(HERE / "TDVF.fd").write_bytes(firmware())
(HERE / "bzImage").write_bytes(kernel())
for name, content in acpi().items():
    (HERE / "tables").mkdir(exist_ok=True)
    (HERE / "tables" / name).write_bytes(content)

CORPUS = HERE.parents[2] / "fuzz" / "corpus"
blobs = acpi()
loader = blobs["table-loader"]
(CORPUS / "acpi").mkdir(exist_ok=True)
(CORPUS / "acpi" / "tables").write_bytes(bytes([len(loader) // 128]) + loader + blobs["acpi-rsdp"] + blobs["acpi-tables"])
(CORPUS / "firmware" / "tdx-variables").write_bytes(firmware())
