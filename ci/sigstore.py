"""Holds our reader of Sigstore bundles against sigstore-python, answer by answer: on the bundles that `sigstore-verify` carries (of the
public and of the staging instance), on forged ones, and on each with one place changed. Run by ci/sigstore.sh.

    python3 ci/sigstore.py VERIFY TEST_DATA ROOTS FORGED

VERIFY is the example of that name, TEST_DATA and ROOTS are folders of the crates, FORGED is what the example `forged` wrote. Ends with 1
where the two disagree; where ours alone refuses on purpose, the place stands in NARROWER.
"""

import base64
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

from cryptography import x509
from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

ENTRY = ("verificationMaterial", "tlogEntries", 0)
# Where a change stands. Each is made alone.
PLACES = [
    ("messageSignature", "signature"),
    ("messageSignature", "messageDigest", "digest"),
    ("verificationMaterial", "certificate", "rawBytes"),
    (*ENTRY, "canonicalizedBody"),
    (*ENTRY, "integratedTime"),
    (*ENTRY, "logId", "keyId"),
    (*ENTRY, "inclusionPromise", "signedEntryTimestamp"),
    (*ENTRY, "inclusionProof", "hashes", 0),
    (*ENTRY, "inclusionProof", "rootHash"),
    (*ENTRY, "inclusionProof", "treeSize"),
    (*ENTRY, "inclusionProof", "checkpoint", "envelope"),
    ("verificationMaterial", "timestampVerificationData", "rfc3161Timestamps", 0, "signedTimestamp"),
]
# What the other passes over: a timestamp that does not hold, beside a promise that does; and the name of the log, where its second version
# needs none.
NARROWER = {"signedTimestamp", "keyId"}


def main():
    program, data, roots, forged = (pathlib.Path(argument) for argument in sys.argv[1:])
    cases = [
        (data / "bundles/cosign-v3-blob.txt", data / "bundles/cosign-v3-blob.sigstore.json", roots / "trusted_root.json"),
        (
            data / "upstream/sigstore-python/staging-rekor-v2.txt",
            data / "upstream/sigstore-python/staging-rekor-v2.txt.sigstore.json",
            roots / "trusted_root_staging.json",
        ),
        (forged / "v1", forged / "v1.sigstore.json", forged / "v1.root.json"),
        (forged / "v2", forged / "v2.sigstore.json", forged / "v2.root.json"),
    ]
    wrong = 0
    for file, bundle, root in cases:
        whole = json.loads(bundle.read_text())
        who = signer(whole)
        wrong += compare(program, file, whole, root, who, "as it is", True)
        for place in PLACES:
            changed = change(whole, place)
            if changed is not None:
                wrong += compare(program, file, changed, root, who, ".".join(map(str, place)), False)
        wrong += compare(program, file, whole, root, ("somebody@example.com", who[1]), "another identity", False)
        wrong += compare(program, file, whole, root, (who[0], "https://accounts.example.com"), "another issuer", False)
        wrong += compare(program, bundle, whole, root, who, "another file", False)
    sys.exit(1 if wrong else 0)


def signer(bundle):
    """Whoever it was: no name of a stranger is written down here."""
    der = base64.b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"])
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"))
    return list(names)[0].value, issuer.value.value[2:].decode()


def change(bundle, place):
    """The bundle with one character changed there; None where it has no such place."""
    changed = copy.deepcopy(bundle)
    inner = changed
    try:
        for name in place[:-1]:
            inner = inner[name]
        text = inner[place[-1]]
    except (KeyError, IndexError):
        return None
    at = max(len(text) - 12, 0)
    other = {"A": "B", "1": "2"}.get(text[at], "1" if text[at].isdigit() else "A")
    inner[place[-1]] = text[:at] + other + text[at + 1 :]
    return changed


def compare(program, file, bundle, root, who, what, good):
    ours, said = our_answer(program, file, bundle, root, who)
    theirs = their_answer(file, bundle, root, who)
    agreed = ours == theirs == good or (not ours and theirs and what.rsplit(".", 1)[-1] in NARROWER)
    words = {True: "accepted", False: "refused"}
    print(f"{'ok' if agreed else 'DIFFERENT'}  {file.name}, {what}: ours {words[ours]}, theirs {words[theirs]}; {said[:100]}")
    return not agreed


def our_answer(program, file, bundle, root, who):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as written:
        json.dump(bundle, written)
        written.flush()
        run = subprocess.run([program, file, written.name, root, *who], capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        sys.exit(f"{program} ended with {run.returncode}: {run.stderr}")
    said = run.stdout.strip()
    return run.returncode == 0, "accepted as it should be" if run.returncode == 0 else said


def their_answer(file, bundle, root, who):
    try:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(str(root)))
        policy = Identity(identity=who[0], issuer=who[1])
        verifier.verify_artifact(file.read_bytes(), Bundle.from_json(json.dumps(bundle)), policy)
    except (Error, ValueError):
        return False
    return True


main()
