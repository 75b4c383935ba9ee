"""Writes the files beside it, with NumPy 2.4.6: `python3 make.py`. The tests read them; nothing else does."""

import pathlib
import zipfile

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def save(name, array, version=None, allow_pickle=False):
    with open(FOLDER / f"{name}.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version, allow_pickle=allow_pickle)


count = np.arange(24).reshape(2, 3, 4)
save("plain", np.array([[1.5, -2.0, np.inf]], "<f4"))
save("version-2", np.array([[1.5, -2.0, np.inf]], "<f4"), version=(2, 0))
save("version-3", np.array([[1.5, -2.0, np.inf]], "<f4"), version=(3, 0))
save("big-endian", np.array([[1.5, -2.0, np.inf]], ">f4"))
save("half", np.array([1.5, -2.0, np.inf], "<f2"))
save("fortran", np.asfortranarray(count.astype("<i2")))
save("fortran-big-endian", np.asfortranarray(count.astype(">i2")))
save("truth", np.array([True, False]))
save("scalar", np.array(7, "<i8"))
save("empty", np.zeros((0, 3), "<f8"))
save("bytes", np.array([b"ab", b"", b"c\0d"]))
save("text", np.array(["ab", "", "\u00fc\U0001f600"]))
save("text-big-endian", np.array(["ab", "", "\u00fc\U0001f600"]).astype(">U2"))
save("text-fortran", np.asfortranarray(np.array([["a", "b"], ["c", "d"]])))
save("bfloat16", np.array([b"\x80\x3f", b"\x00\xc0"], "V2"))
save("objects", np.array([{"a": 1}], object), allow_pickle=True)
save("records", np.array([(1, 2.0)], [("a", "<i4"), ("b", "<f4")]))
save("complex", np.array([1j]))
save("dates", np.array(["2026-01-01"], "datetime64[D]"))
save("void", np.array([b"abc"], "V3"))

features, age = np.array([[1.5, -2.0]], "<f4"), np.array([41], "<i8")
np.savez(FOLDER / "stored.npz", features=features, age=age)
np.savez_compressed(FOLDER / "deflated.npz", features=features, age=age)
np.savez(FOLDER / "unnamed.npz", features)
np.savez_compressed(FOLDER / "bomb.npz", zeros=np.zeros(1 << 20, "u1"))
with zipfile.ZipFile(FOLDER / "other.npz", "w") as archive:
    archive.writestr("readme.txt", "no array")
