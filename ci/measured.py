"""What hardware will measure of the unified kernel image that ci/uki.sh makes of a release's programs: the list that ci/images.py takes
as `--measurements`, on standard output.

    measured.py TEEGATE PROGRAMS

The registers of a vTPM, which `teegate predict pcr` computes, and nothing else. The stub and the kernel of that image know the protocol of a
TPM and not that of confidential guests (EFI_CC_MEASUREMENT_PROTOCOL), so no RTMR of a TD holds what `teegate predict tdx --uki` computes for
those that do. MRTD and launch digest of the firmware alone pin nothing of ours.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import release

ROOT = pathlib.Path(__file__).resolve().parent.parent
# As somebody with a checkout of the commit and a folder of its programs types it.
COMMAND = "ci/uki.sh --programs target/images/release --out guest.efi && teegate predict pcr --uki guest.efi"


def main(teegate, programs):
    with tempfile.TemporaryDirectory() as folder:
        uki = pathlib.Path(folder) / "guest.efi"
        subprocess.run([ROOT / "ci/uki.sh", "--programs", programs, "--out", uki], stdout=sys.stderr, check=True)
        asked = subprocess.run([teegate, "predict", "pcr", "--uki", uki, "--format", "json"], stdout=subprocess.PIPE, check=True)
    print(json.dumps(members(json.loads(asked.stdout))))


def members(prediction):
    """What was predicted as a manifest has it, of the image of enclave-app: the registers that the manifest knows."""
    if prediction["schema"] != "teegate/prediction/1":
        sys.exit(f"measured: `teegate predict` answers in `{prediction['schema']}`, expected teegate/prediction/1")
    of = {"platform": "azure-vtpm", "covers": ["enclave-app"], "command": COMMAND}
    known = [value for value in prediction["values"] if (of["platform"], value["field"]) in release.MEASURES]
    return [{**of, "register": value["field"], "value": value["value"]} for value in known]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("measured.py: expected TEEGATE PROGRAMS")
    try:
        main(*sys.argv[1:])
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"measured: {error}")
