//! A manifest of Kubernetes from which a pod's initdata is made. Its author is the user, but it may have come from a chart of
//! somebody else's.

use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_measurements::deploy::{Deployed, Deployment, Platform, Workload, drift};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[Target {
    name: "deployment",
    about: "the manifest of a workload, and the initdata, annotation and policy that are made of it",
    effort: Effort::Walk,
    run: deployment,
    mutate: mutate::text,
    words: &[
        "spec:\n",
        "runtimeClassName: ",
        "containers:\n",
        "image: ",
        "securityContext: ",
        "volumeMounts:\n",
        "env:\n",
        "kind: Pod\n",
        "annotations:\n",
        "- ",
        "  ",
    ],
    max_bytes: 2_048,
}];

/// What is made of a manifest fits it, on every platform.
fn deployment(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if hold::same(input, || Workload::parse(text, None)).is_none() {
        return;
    }
    for platform in Platform::ALL {
        match Deployment::of(text, None, platform) {
            Ok(made) if made.workload.annotation.is_none() => {
                let own = Deployed { initdata: &made.initdata, patch: &made.patch, policy: &made.policy };
                assert_eq!(drift(&made, own), [] as [String; 0], "what was made does not fit");
            }
            Ok(_) => {}
            Err(error) => hold::message(input, &error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// A seed that is refused at its door leads nowhere.
    #[test]
    fn seeds_are_read() {
        for (name, input) in seeds::of("deployment") {
            let text = String::from_utf8(input).unwrap();
            let made = Platform::ALL.iter().filter(|platform| Deployment::of(&text, None, **platform).is_ok()).count();
            assert!(made > 0, "{name}: {:?}", Deployment::of(&text, None, Platform::AzureSnp).err());
        }
    }
}
