//! Answers of a TPM and of a guest's driver, in the words of their specifications, of Azure's metadata service, a container group's
//! security context, and a manifest of Kubernetes.

use teegate_encoding::base64;
use teegate_forge::azure::{Attest, default_pcrs};
use teegate_forge::pem;

use crate::forged::{SNP, Seeds};

/// `TPM_ST_NO_SESSIONS` and `TPM_ST_SESSIONS`.
const PLAIN: u16 = 0x8001;
const AUTHORISED: u16 = 0x8002;

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short bytes").to_be_bytes()[..], bytes].concat()
}

/// One answer behind its length.
fn answer(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = 10 + body.len();
    let framed = u16::try_from(length).expect("a short answer").to_le_bytes();
    let length = u32::try_from(length).expect("a short answer").to_be_bytes();
    [&framed[..], &tag.to_be_bytes(), &length, &code.to_be_bytes(), body].concat()
}

/// Parameters behind their length, and the answer to the empty password.
fn authorised(parameters: &[u8]) -> Vec<u8> {
    let length = u32::try_from(parameters.len()).expect("short parameters").to_be_bytes();
    answer(AUTHORISED, 0, &[&length[..], parameters, &[0, 0, 1, 0, 0]].concat())
}

fn eight_registers(from: usize) -> Vec<u8> {
    let values: Vec<u8> = default_pcrs()[from..from + 8].iter().flat_map(|value| sized(value)).collect();
    let mut bits = [0; 3];
    bits[from / 8] = 0xFF;
    answer(PLAIN, 0, &[&[0, 0, 0, 7][..], &[0, 0, 0, 1, 0, 0x0B, 3], &bits, &[0, 0, 0, 8], &values].concat())
}

pub(super) fn of(target: &str) -> Seeds {
    let message = Attest::new(&[7; 64], &default_pcrs()).to_bytes();
    match target {
        "tpm_answers" => {
            let index = [&[0x01, 0x40, 0, 1, 0, 0x0B][..], &[0, 2, 0, 2], &sized(&[]), &[4, 0x4C]].concat();
            let public = answer(PLAIN, 0, &[sized(&index), sized(&[3; 34])].concat());
            let quote = [&sized(&message)[..], &[0, 0x14, 0, 0x0B], &sized(&[5; 256])].concat();
            // Of RSA, by SHA-256; fixed, restricted, and it signs; no policy.
            let kind = [&[0, 1, 0, 0x0B][..], &[0, 5, 0, 0x72], &sized(&[])].concat();
            // No symmetric algorithm, RSASSA with SHA-256, 2,048 bits, and no exponent.
            let signs = [0, 0x10, 0, 0x14, 0, 0x0B, 8, 0, 0, 0, 0, 0];
            let key = [&kind[..], &signs, &sized(&[0xC5; 256])].concat();
            let key = answer(PLAIN, 0, &[sized(&key), sized(&[3; 34]), sized(&[4; 34])].concat());
            let framed = u16::try_from(message.len()).expect("a short quote").to_le_bytes();
            vec![
                ("index", [&[0], &public[..]].concat()),
                ("no-index", [&[0], &answer(PLAIN, 0x18B, &[])[..]].concat()),
                ("read", [&[1], &authorised(&sized(&[1; 1_024]))[..], &authorised(&sized(&[2; 76]))].concat()),
                ("quote", [&[2], &authorised(&quote)[..]].concat()),
                ("registers", [&[3], &eight_registers(0)[..], &eight_registers(8), &eight_registers(16)].concat()),
                ("written", [&[4], &authorised(&[])[..], &authorised(&[])].concat()),
                ("attested", [&[5], &framed[..], &message].concat()),
                ("key", [&[6], &key[..]].concat()),
            ]
        }
        "sev_guest_response" => {
            let behind = |status: u32, size: u32| [&status.to_le_bytes()[..], &size.to_le_bytes(), &[0; 24]].concat();
            vec![
                ("report", [&behind(0, 1_184)[..], &SNP.report].concat()),
                ("invalid", behind(0x16, 0)),
                ("no-key", behind(0x27, 0)),
            ]
        }
        "metadata_service" => {
            let line = |text: String| text.replace('\n', "\\n");
            let chain = pem::chain(&[&SNP.intermediate, &SNP.ark]);
            let certificates = format!(
                r#"c{{"vcekCert":"{}","tcbm":"DB16000000000004","certificateChain":"{}","cacheControl":"86400"}}"#,
                line(pem::certificate(&SNP.vek)),
                line(chain)
            );
            vec![("certificates", certificates.into_bytes()), ("quote", br#"q{"quote":"cXVvdGU"}"#.to_vec())]
        }
        "aci_context" => {
            let context = teegate_forge::aci().build();
            let texts = context.files().map(|(_, text)| text);
            let certificates = base64::encode(br#"{"vcekCert":"","certificateChain":""}"#);
            vec![
                ("whole", [&texts[0], &texts[1], &certificates].map(String::as_str).join("\0").into_bytes()),
                ("policy", texts[0].clone().into_bytes()),
            ]
        }
        "deployment" => {
            vec![("deployment.yaml", DEPLOYMENT.as_bytes().to_vec()), ("pod.json", POD.as_bytes().to_vec())]
        }
        _ => Vec::new(),
    }
}

const DEPLOYMENT: &str = "apiVersion: v1
kind: Service
metadata: { name: app }
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
spec:
  template:
    spec:
      runtimeClassName: kata-remote
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 }
      containers:
        - name: app
          image: registry.example/app@sha256:eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1
          command: [/usr/bin/app]
          args: [--config, /etc/app.toml]
          workingDir: /
          env:
            - { name: PATH, value: /usr/bin }
          resources: { limits: { memory: 2Gi } }
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
";

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": {
  "runtimeClassName": "kata-qemu-tdx", "automountServiceAccountToken": false, "enableServiceLinks": false,
  "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532},
  "containers": [{"name": "app",
    "image": "registry.example/app@sha256:eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1eac8fbc1",
    "command": ["/usr/bin/app"], "workingDir": "/", "env": [{"name": "PATH", "value": "/usr/bin"}],
    "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
      "capabilities": {"drop": ["ALL"]}}}]}}
"#;
