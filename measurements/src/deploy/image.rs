//! The name of an image that can mean one image only.

/// Whether this is `registry/repository@sha256:…`, with 64 digits of lower-case hex.
pub(super) fn check(image: &str) -> Result<(), &'static str> {
    const BY_DIGEST: &str = "a tag means what the registry says today: write the image by digest, `registry/repository@sha256:…` \
                             (`skopeo inspect --format '{{.Digest}}' docker://IMAGE` shows it)";
    let (name, digest) = image.split_once("@sha256:").ok_or(BY_DIGEST)?;
    let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    if digest.len() != 64 || !digest.chars().all(is_hex) {
        return Err("expected 64 digits of lower-case hex after `@sha256:`");
    }
    let (registry, repository) = name
        .split_once('/')
        .ok_or("expected the registry as well, such as `ghcr.io/…`: each runtime has its own default")?;
    if !(registry.contains(['.', ':']) || registry == "localhost") {
        return Err("expected the registry as well, such as `ghcr.io/…`: each runtime has its own default");
    }
    if repository.contains(':') {
        return Err("a tag beside the digest says nothing and is written differently by each runtime: leave it out");
    }
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    let is_registry = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:".contains(c);
    if repository.is_empty() || !repository.chars().all(is_part) || !registry.chars().all(is_registry) {
        return Err("expected a name of lower-case letters, digits, `.`, `_`, `-` and `/`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_registry_and_digest() {
        let digest = "ab".repeat(32);
        assert_eq!(check(&format!("ghcr.io/example/enclave-app@sha256:{digest}")), Ok(()));
        assert_eq!(check(&format!("localhost:5000/enclave-app@sha256:{digest}")), Ok(()));
        for (image, why) in [
            ("ghcr.io/example/enclave-app:1.0".to_owned(), "by digest"),
            ("ghcr.io/example/enclave-app@sha256:ab".to_owned(), "64 digits"),
            (format!("ghcr.io/example/enclave-app@sha256:{}", digest.to_uppercase()), "64 digits"),
            (format!("enclave-app@sha256:{digest}"), "the registry"),
            (format!("example/enclave-app@sha256:{digest}"), "the registry"),
            (format!("ghcr.io/example/enclave-app:1.0@sha256:{digest}"), "a tag beside the digest"),
            (format!("ghcr.io/Example/app@sha256:{digest}"), "lower-case letters"),
        ] {
            let error = check(&image).unwrap_err();
            assert!(error.contains(why), "{image}: {error}");
        }
    }
}
