//! A policy that somebody publishes: it counts under the digest that the user has from elsewhere, and is not read before that is compared.

use clap::Args;
use teegate_client::{Gateway, PolicyUrl};
use teegate_protocol::published::PolicyDigest;

use crate::policy;

/// The digest of a policy.
#[derive(Args, Debug)]
pub(crate) struct PinnedArgs {
    /// SHA-256 of the policy's bytes (64 hexadecimal digits); needed where `--policy` is an address, and compared for a file too
    #[arg(long, value_name = "HEX", value_parser = policy_digest)]
    policy_sha256: Option<PolicyDigest>,
}

impl PinnedArgs {
    /// The text of the policy called `name`, if it is the one that is pinned. An address that is the gateway's own is reached by the
    /// certificates that recognise the gateway.
    pub(crate) async fn text(&self, name: &str, gateway: Option<&Gateway>) -> Result<String, String> {
        if PolicyUrl::is_meant_by(name) {
            return self.fetched(name, gateway).await;
        }
        let text = policy::read_text(name)?;
        match self.policy_sha256 {
            Some(expected) if expected != PolicyDigest::of(text.as_bytes()) => Err(format!(
                "policy `{name}`: its SHA-256 is {}, and {expected} is pinned (`--policy-sha256`): see what has changed before you pin \
                 another",
                PolicyDigest::of(text.as_bytes())
            )),
            _ => Ok(text),
        }
    }

    async fn fetched(&self, name: &str, gateway: Option<&Gateway>) -> Result<String, String> {
        let failed = |what: &dyn std::fmt::Display| format!("policy `{name}`: {what}; nothing was sent");
        let url = PolicyUrl::parse(name).map_err(|error| failed(&error))?;
        let Some(pinned) = &self.policy_sha256 else {
            return Err(failed(&format!(
                "whoever answers there could answer anything: read it once, then pin what you read with `--policy-sha256`, which \
                 `curl -fsS {name} | sha256sum` computes"
            )));
        };
        let url = gateway.map_or_else(|| url.clone(), |gateway| url.clone().by(gateway));
        let bytes = url.fetch(pinned).await.map_err(|error| failed(&error))?;
        String::from_utf8(bytes).map_err(|_| failed(&"is not UTF-8 text"))
    }

    /// As it was written, for a command that is shown.
    pub(crate) fn written(&self) -> String {
        self.policy_sha256.map_or_else(String::new, |digest| format!(" --policy-sha256 {digest}"))
    }
}

fn policy_digest(text: &str) -> Result<PolicyDigest, String> {
    text.parse().map_err(|_| "expected 64 hexadecimal digits in lower case, as `sha256sum` prints them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinning(text: &[u8]) -> PinnedArgs {
        PinnedArgs { policy_sha256: Some(PolicyDigest::of(text)) }
    }

    #[tokio::test]
    async fn a_file_is_the_one_that_is_pinned_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, "schema = 1\n").unwrap();
        let name = path.display().to_string();
        for args in [pinning(b"schema = 1\n"), PinnedArgs { policy_sha256: None }] {
            assert_eq!(args.text(&name, None).await.unwrap(), "schema = 1\n");
        }
        let error = pinning(b"schema = 1").text(&name, None).await.unwrap_err();
        let found = PolicyDigest::of(b"schema = 1\n").to_string();
        assert!(error.contains(&format!("its SHA-256 is {found}")) && error.contains("--policy-sha256"), "{error}");
        let built_in = pinning(teegate_measurements::GENUINE.as_bytes()).text("genuine", None).await.unwrap();
        assert_eq!(built_in, teegate_measurements::GENUINE);
        let error = pinning(b"").text("genuine", None).await.unwrap_err();
        assert!(error.contains("policy `genuine`: its SHA-256 is "), "{error}");
    }

    #[tokio::test]
    async fn an_address_without_a_digest_is_refused_with_the_command_that_computes_it() {
        let url = "https://gateway.example/v1/policy";
        let error = PinnedArgs { policy_sha256: None }.text(url, None).await.unwrap_err();
        assert!(
            error.contains(&format!("`curl -fsS {url} | sha256sum`")) && error.contains("nothing was sent"),
            "{error}"
        );
        let error = pinning(b"").text("http://gateway.example/p", None).await.unwrap_err();
        assert!(error.contains("loopback addresses alone"), "{error}");
    }

    #[test]
    fn a_digest_has_one_form() {
        let digest = PolicyDigest::of(b"");
        assert_eq!(policy_digest(&digest.to_string()), Ok(digest));
        for wrong in ["", "ab", &digest.to_string().to_uppercase(), "sha256:00"] {
            assert!(policy_digest(wrong).unwrap_err().contains("sha256sum"), "{wrong}");
        }
    }
}
