#!/usr/bin/env python3
"""Boots images on several versions of systemd-stub, and writes what their guests read of a TPM: `boots.json`.

    boot.py DEBIAN VERSION=STUB ... > boots.json

DEBIAN is the folder of ci/debian.sh (`.cache/debian`); STUB is `linuxx64.efi.stub` out of a package `systemd-boot-efi`. Needs qemu-system-x86_64 and
swtpm, and some 20 seconds a boot. `initrd.bin` is an archive of `init.c` alone, and a zero behind it, so that it ends at no multiple of four:

    gcc -Os -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -fno-asynchronous-unwind-tables \\
        -Wl,--build-id=none,-z,noseparate-code,-N -s -o init init.c
"""

import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[3] / "ci"))
import uki  # noqa: E402

KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
# Every section that a stub hands on; none of them; and some without bytes, which are as if they were not there.
SECTIONS = {
    "all": {".osrel": "ID=x\n", ".uname": "6.1.0-56-cloud-amd64", ".pcrsig": '{"sha256":[]}', ".pcrpkey": KEY},
    "none": {},
    "empty": {".osrel": "", ".uname": "", ".pcrsig": "", ".pcrpkey": KEY},
}
CMDLINE = "console=ttyS0 panic=-1"


def section(image, wanted):
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    count, optional = struct.unpack_from("<H", image, pe + 6)[0], struct.unpack_from("<H", image, pe + 20)[0]
    for at in range(pe + 24 + optional, pe + 24 + optional + 40 * count, 40):
        size, _, _, offset = struct.unpack_from("<IIII", image, at + 8)
        if image[at : at + 8].rstrip(b"\0") == wanted:
            return image[offset : offset + size]
    return b""


def booted(image, debian):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "esp/EFI/BOOT").mkdir(parents=True)
        (folder / "tpm").mkdir()
        (folder / "esp/EFI/BOOT/BOOTX64.EFI").write_bytes(image)
        for file in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
            shutil.copy(debian / "usr/share/OVMF" / file, folder / file)
        # It ends with the machine.
        control = ["--ctrl", f"type=unixio,path={folder}/sock", "--daemon", "--terminate"]
        subprocess.run(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}/tpm", *control], check=True)
        machine = ["qemu-system-x86_64", "-machine", "q35", "-m", "512", "-nodefaults", "-display", "none", "-serial", f"file:{folder}/serial", "-no-reboot"]
        for unit, file in enumerate(("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")):
            machine += ["-drive", f"if=pflash,format=raw,unit={unit},file={folder}/{file}"]
        machine += ["-chardev", f"socket,id=c,path={folder}/sock", "-tpmdev", "emulator,id=t,chardev=c", "-device", "tpm-crb,tpmdev=t"]
        machine += ["-drive", f"format=raw,file=fat:rw:{folder}/esp,if=none,id=h", "-device", "ide-hd,drive=h"]
        subprocess.run(machine, check=True, timeout=300)
        said = (folder / "serial").read_text(errors="replace")
    # The kernel writes to the same line now and then.
    found = {name: re.search(rf"RESULT {name} [^\n]*?([0-9A-F]{{64}})", said) for name in ("pcr4", "pcr9", "pcr11", "pcr12")}
    if None in found.values():
        sys.exit(f"the guest did not say all registers; its console ends with: {said[-2000:]}")
    return {name: match[1].lower() for name, match in found.items()}


def main():
    debian = pathlib.Path(sys.argv[1])
    kernel, initrd = (debian / "boot" / f"vmlinuz-{uki.KERNEL}").read_bytes(), (HERE / "initrd.bin").read_bytes()
    boots = []
    for version, file in (argument.split("=", 1) for argument in sys.argv[2:]):
        stub = pathlib.Path(file).read_bytes()
        for name, own in SECTIONS.items():
            own = {".cmdline": CMDLINE, **own}
            if version == "252":
                own.pop(".uname", None)  # it does not know this section
            parts = [(key, value.encode()) for key, value in own.items()]
            image = uki.joined(stub, [*parts, (".initrd", initrd), (".linux", kernel)])
            magic, sbat = (section(stub, wanted).decode() for wanted in (b".sdmagic", b".sbat"))
            boots.append({"sections": name, "sdmagic": magic, "sbat": sbat.rstrip("\0"), "sbat_bytes": len(sbat), "of": own, **booted(image, debian)})
            print(version, name, boots[-1], file=sys.stderr)
    json.dump(boots, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
