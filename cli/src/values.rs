//! The reference values that the user names: files in TOML or CoRIM, joined into one.

use std::path::{Path, PathBuf};

use clap::Args;
use teegate_measurements::{Filled, ReferenceValues};
use teegate_verifier::{Draft, Policy, Tee, UnixTime};

use crate::vouched::{SigstoreArgs, Vouched, read};
use crate::{instant, output, policy};

/// Reference values for what the policy leaves open.
#[derive(Args, Debug, Default)]
pub(crate) struct ValuesArgs {
    /// Reference values for the fields that the policy writes as "reference-value-needed": TOML or a CoRIM, told apart by
    /// content; may be given again
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_values: Vec<PathBuf>,
    /// Who must have signed each of them: PEM of a public key, or of certificates, the signer's first or a root alone. Then they
    /// must be signed CoRIMs; without it they count for whoever gave you the files
    #[arg(long, value_name = "KEY.pem|CHAIN.pem", requires = "reference_values")]
    pub(crate) signed_by: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) sigstore: SigstoreArgs,
}

impl ValuesArgs {
    /// The policy called `name`, filled in, and its text, which loads by itself.
    pub(crate) fn policy(&self, name: &str, at: Option<UnixTime>) -> Result<(Policy, String), String> {
        self.policy_of(name, policy::read_text(name)?, at)
    }

    /// The same of a text that was read already.
    pub(crate) fn policy_of(&self, name: &str, text: String, at: Option<UnixTime>) -> Result<(Policy, String), String> {
        let files = self.files(at)?;
        files.iter().for_each(|file| output::note(&file.kind()));
        let Some(values) = joined(files)? else {
            let policy = Policy::parse(&text).map_err(|error| policy::refused(name, &error))?;
            return Ok((policy, text));
        };
        let filled = fill(name, &text, &values)?;
        Ok((filled.policy().clone(), filled.text().to_owned()))
    }

    /// The text of the policy called `name`, filled in, and of each file of values a sentence: of which kind it is, and who signed it.
    /// With a TEE, its profiles alone, and of the values what is of it.
    pub(crate) fn filled(&self, name: &str, tee: Option<Tee>) -> Result<(String, Vec<String>), String> {
        let files = self.files(None)?;
        let said = files.iter().map(ValuesFile::kind).collect();
        let mut text = policy::read_text(name)?;
        if let Some(tee) = tee {
            text = teegate_measurements::only(&text, tee).map_err(|error| format!("policy `{name}`: {error}"))?;
        }
        let of_tee = |values: ReferenceValues| tee.map_or(values.clone(), |tee| values.of(tee));
        let text = match joined(files)?.map(of_tee) {
            Some(values) => fill(name, &text, &values)?.text().to_owned(),
            None => text,
        };
        Ok((text, said))
    }

    /// Two policies: the values fill whichever leaves something to them.
    pub(crate) fn both(&self, a: &str, b: &str) -> Result<[Policy; 2], String> {
        let Some(values) = self.load(None)? else { return Ok([policy::read(a)?, policy::read(b)?]) };
        let texts = [policy::read_text(a)?, policy::read_text(b)?];
        if !texts.iter().any(|text| ReferenceValues::are_asked_by(text)) {
            return Err(format!(
                "neither `{a}` nor `{b}` leaves a field to reference values, so those of `{}` would go unused",
                values.name()
            ));
        }
        let [one, other] = [(a, &texts[0]), (b, &texts[1])].map(|(name, text)| {
            if ReferenceValues::are_asked_by(text) {
                fill(name, text, &values).map(|filled| filled.policy().clone())
            } else {
                policy::read(name)
            }
        });
        Ok([one?, other?])
    }

    /// All of them, where any are named. A CoRIM must be valid at `at`, or now.
    pub(crate) fn load(&self, at: Option<UnixTime>) -> Result<Option<ReferenceValues>, String> {
        joined(self.files(at)?)
    }

    /// The same, file by file.
    fn files(&self, at: Option<UnixTime>) -> Result<Vec<ValuesFile>, String> {
        let vouched = Vouched::of(self.signed_by.as_deref(), &self.sigstore, self.reference_values.len())?;
        let one = |(index, path): (usize, &PathBuf)| {
            let now = at.map_or_else(instant::now, Ok)?;
            let bytes = read(path).map_err(|what| of_file(path, &what))?;
            let values = vouched.values(index, &bytes, now);
            let is_corim = bytes.first().is_some_and(|first| *first >= 0x80);
            values
                .map(|values| ValuesFile { path: path.clone(), is_corim, values })
                .map_err(|what| of_file(path, &swapped(&bytes).unwrap_or(what)))
        };
        self.reference_values.iter().enumerate().map(one).collect()
    }
}

/// What is wrong with a file of reference values that is a policy: it was given in the other's place.
fn swapped(bytes: &[u8]) -> Option<String> {
    let policy = Draft::parse(std::str::from_utf8(bytes).ok()?).ok()?;
    Some(format!(
        "it is a policy (`{}`), and no reference values: the policy is named first, or with `--policy`, and the file with its values behind \
         `--reference-values`",
        output::short(policy.document().name())
    ))
}

/// One file of them.
struct ValuesFile {
    path: PathBuf,
    /// It begins as CBOR does, and no text.
    is_corim: bool,
    values: ReferenceValues,
}

impl ValuesFile {
    /// Of which kind it is, and who signed it. A file is signed as a whole.
    fn kind(&self) -> String {
        let given = self.values.given();
        let count = if let [_] = given { "1 field".to_owned() } else { format!("{} fields", given.len()) };
        let form = if self.is_corim { "CoRIM" } else { "TOML" };
        let signed = given.iter().find_map(|given| given.signed_by()).map_or_else(
            || "unsigned: it counts for whoever gave you the file".to_owned(),
            |who| format!("signed by {who}"),
        );
        let what = format!("{count} of `{}`, {form}, {signed}", self.values.name());
        output::plain(&of_file(&self.path, &what))
    }
}

/// All of them as one.
fn joined(files: Vec<ValuesFile>) -> Result<Option<ReferenceValues>, String> {
    let mut joined: Option<ReferenceValues> = None;
    for ValuesFile { path, values, .. } in files {
        joined = Some(match joined {
            None => values,
            Some(earlier) => earlier.and(values).map_err(|error| of_file(&path, &error.to_string()))?,
        });
    }
    Ok(joined)
}

fn of_file(path: &Path, what: &str) -> String {
    format!("reference values `{}`: {what}", path.display())
}

/// The template with its values; what they did beside filling fields is said on standard error.
pub(crate) fn fill(name: &str, text: &str, values: &ReferenceValues) -> Result<Filled, String> {
    let filled = teegate_measurements::fill(text, values).map_err(|error| policy::refused_with_values(name, &error))?;
    filled.notes().iter().for_each(|note| output::note(note));
    Ok(filled)
}

/// Each value with the file's own name for itself and, where it was said, how to compute it again.
pub(crate) fn origins(values: Option<&ReferenceValues>) -> String {
    let Some(values) = values else { return String::new() };
    let mut text = "\nWhere the reference values come from\n".to_owned();
    for given in values.given() {
        let source = given.source().map_or_else(String::new, |source| format!(", computed with: {source}"));
        let signed = given.signed_by().map_or_else(|| ", unsigned".to_owned(), |who| format!(", signed by {who}"));
        let line = format!("{}.{}: `{}`{signed}{source}", given.tee(), given.field(), given.origin());
        text += &format!("  {}\n", output::plain(&line));
    }
    text
}

/// The same, for programs.
pub(crate) fn listed(values: Option<&ReferenceValues>) -> Vec<serde_json::Value> {
    let given = values.into_iter().flat_map(ReferenceValues::given);
    given
        .map(|given| {
            let field = format!("{}.{}", given.tee(), given.field());
            serde_json::json!({
                "field": field,
                "rule": given.rule(),
                "from": given.origin(),
                "signed_by": given.signed_by(),
                "source": given.source(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn toml(tables: &str) -> String {
        format!("schema = 1\nname = \"app\"\n{tables}")
    }

    #[test]
    fn files_are_joined_and_what_is_wrong_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let measurement = put("m.toml", toml(&format!("[sev-snp]\nmeasurement = \"{}\"", "22".repeat(48))).as_bytes());
        let host = put("h.toml", toml(&format!("[sev-snp]\nhost_data = \"{}\"", "11".repeat(32))).as_bytes());
        let args = |paths: &[&PathBuf]| ValuesArgs {
            reference_values: paths.iter().map(|path| (*path).clone()).collect(),
            ..ValuesArgs::default()
        };
        let (policy, text) = args(&[&measurement, &host]).policy("strict", None).unwrap();
        assert_eq!(policy.name(), "strict");
        // The text stands for itself: the profile that was left out is not in it, nor any hole.
        let explain = |policy: &Policy| teegate_measurements::explain(policy.document());
        assert_eq!(explain(&Policy::parse(&text).unwrap()), explain(&policy));
        // One of them is not enough, and the template says where it stops.
        let error = args(&[&measurement]).policy("strict", None).unwrap_err();
        assert!(
            error.starts_with(
                "policy `strict` is a template, and the reference values that are given do not make a policy of it: "
            ) && error.contains("`sev-snp.strict.host_data`")
                && !error.contains("give your reference values"),
            "{error}"
        );
        // Of one TEE, from values of both.
        let part = put("part.toml", toml(&format!("[tdx]\nmrtd = \"{}\"", "22".repeat(48))).as_bytes());
        let both = args(&[&measurement, &host, &part]);
        let error = both.filled("strict", None).unwrap_err();
        assert!(error.contains("`tdx.strict.rtmr0`"), "{error}");
        let (text, _) = both.filled("strict", Some(Tee::SevSnp)).unwrap();
        assert_eq!(explain(&Policy::parse(&text).unwrap()), explain(&policy));
        // A policy in the values' place is called one; its twin is what it should be.
        let own = put("own.toml", text.as_bytes());
        let error = args(&[&own]).load(None).unwrap_err();
        assert!(error.contains("own.toml`: it is a policy (`strict`), and no reference values: "), "{error}");
        let error = args(&[&host, &host]).load(None).unwrap_err();
        assert!(error.contains("h.toml`: `sev-snp.host_data`: given by `app` and by `app`"), "{error}");
        // Nothing is passed over in silence.
        let error = args(&[&host]).policy("genuine", None).unwrap_err();
        assert!(error.contains("[sev-snp.genuine] `host_data` is not asked"), "{error}");
        let error = args(&[&host]).both("genuine", "genuine").unwrap_err();
        assert!(error.contains("would go unused"), "{error}");
        let [a, b] = args(&[&measurement, &host]).both("strict", "genuine").unwrap();
        assert_eq!((a.name(), b.name()), ("strict", "genuine"));

        for (bytes, says) in [
            (vec![b' '; 1 << 20 | 1], "more than 1048576 bytes"),
            (vec![0xD2, 0x84], "CoRIM: a signed CoRIM"),
            (vec![0xD9, 0x01, 0xF5], "CoRIM: "),
            (vec![0xFF], "neither TOML"),
            (b"schema = 2".to_vec(), "schema 1 (line 1, column 10)"),
        ] {
            let wrong = put("wrong", &bytes);
            let error = args(&[&wrong]).load(None).unwrap_err();
            assert!(
                error.starts_with("reference values `") && error.contains("wrong`: ") && error.contains(says),
                "{error}"
            );
        }
        assert!(args(&[&folder.path().join("none")]).load(None).unwrap_err().contains("cannot be read"));
        let (_, said) = args(&[&measurement, &host]).filled("strict", None).unwrap();
        let of = |path: &Path| {
            let unsigned = "TOML, unsigned: it counts for whoever gave you the file";
            format!("reference values `{}`: 1 field of `app`, {unsigned}", path.display())
        };
        assert_eq!(said, [of(&measurement), of(&host)]);
        let origins = origins(args(&[&host]).load(None).unwrap().as_ref());
        assert!(origins.ends_with("  sev-snp.host_data: `app`, unsigned\n"), "{origins}");
    }

    /// Where a signer is named, what nobody signed is refused; and who is named is a public key or certificates.
    #[test]
    fn a_signer_that_is_named_lets_nothing_unsigned_in() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let values = put("v.toml", &toml(&format!("[sev-snp]\nhost_data = \"{}\"", "11".repeat(32))));
        let key = teegate_forge::keys::Key::p256().public_key_info();
        let key = teegate_forge::pem::certificate(&key).replace("CERTIFICATE", "PUBLIC KEY");
        let load = |signer: Option<PathBuf>| {
            let reference_values = vec![values.clone()];
            ValuesArgs { reference_values, signed_by: signer, ..ValuesArgs::default() }.load(None)
        };
        assert!(origins(load(None).unwrap().as_ref()).ends_with("`app`, unsigned\n"));
        for (pem, says) in [
            (key.clone(), "v.toml`: not signed, and a signer was named: expected a signed CoRIM"),
            (key.replace("PUBLIC", "PRIVATE"), "key.pem`: a private key"),
            ("words".to_owned(), "key.pem`: expected PEM: one `PUBLIC KEY`"),
        ] {
            let error = load(Some(put("key.pem", &pem))).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(load(Some(folder.path().join("none"))).unwrap_err().starts_with("signer `"));
    }

    /// The same command line, as clap reads it.
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        values: ValuesArgs,
    }

    /// A bundle vouches for the bytes of a file, whatever form they have, and for no other file; who signed is said.
    #[test]
    fn a_sigstore_bundle_vouches_for_the_file_that_it_was_made_for() {
        use teegate_forge::sigstore::{IDENTITY, ISSUER};
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let file = |name: &str, field: &str| {
            let table =
                format!("[sev-snp]\n{field} = \"{}\"", "11".repeat(if field == "measurement" { 48 } else { 32 }));
            let signed = teegate_forge::sigstore().with(|builder| builder.file = toml(&table).into_bytes());
            (put(name, &signed.file), signed)
        };
        let (one, first) = file("one.toml", "host_data");
        let (two, second) = file("two.toml", "measurement");
        let second = second.with(|builder| {
            builder.trusted = first.trusted.clone();
            builder.acting = first.acting.clone();
        });
        let root = put("root.json", first.build().trusted_root.as_bytes());
        let of_one = put("one.sigstore.json", first.build().bundle.as_bytes());
        let of_two = put("two.sigstore.json", second.build().bundle.as_bytes());
        let line = |options: &[[&str; 2]]| {
            let line = [&["teegate"][..], options.as_flattened()].concat();
            let line = <Line as clap::Parser>::try_parse_from(line).map_err(|error| error.to_string())?;
            Ok::<_, String>(line.values)
        };
        let load = |options: &[[&str; 2]]| line(options)?.load(None);
        let who =
            [["--trusted-root", &root], ["--certificate-identity", IDENTITY], ["--certificate-oidc-issuer", ISSUER]];
        let both = [
            ["--reference-values", &one],
            ["--reference-values", &two],
            ["--sigstore-bundle", &of_one],
            ["--sigstore-bundle", &of_two],
        ];
        let values = load(&[&both[..], &who].concat()).unwrap();
        let said = format!(
            "signed by the Sigstore identity `{IDENTITY}` (issuer `{ISSUER}`), logged at 2025-03-01T00:00:00Z in \
             `https://log.forged.example`"
        );
        assert_eq!(origins(values.as_ref()).matches(&said).count(), 2, "{}", origins(values.as_ref()));
        let kinds = |options: &[[&str; 2]]| {
            line(options).unwrap().files(None).unwrap().iter().map(ValuesFile::kind).collect::<Vec<_>>()
        };
        let of = |path: &str, who: &str| format!("reference values `{path}`: 1 field of `app`, TOML, {who}");
        assert_eq!(kinds(&[&both[..], &who].concat()), [of(&one, &said), of(&two, &said)]);
        assert_eq!(kinds(&both[..1]), [of(&one, "unsigned: it counts for whoever gave you the file")]);
        assert!(listed(values.as_ref()).iter().all(|one| one["signed_by"].as_str() == said.strip_prefix("signed by ")));

        let crossed = [both[1], both[0], both[2], both[3]];
        let other = [who[0], ["--certificate-identity", "b@example.com"], who[2]];
        for (options, says) in [
            ([&crossed[..], &who].concat(), "two.toml`: Sigstore bundle `"),
            ([&crossed[..], &who].concat(), "one.sigstore.json`: artifact mismatch: "),
            (
                [&both[..3], &who].concat(),
                "1 given with `--sigstore-bundle` and 2 with `--reference-values`: expected one",
            ),
            ([&both[..], &other].concat(), "`, expected the identity `b@example.com`"),
            (
                [&both[..], &[["--trusted-root", &of_one]], &who[1..]].concat(),
                "one.sigstore.json`: the media type `application/vnd.dev.sigstore.bundle",
            ),
            (
                [&[both[0], ["--sigstore-bundle", &root]][..], &who].concat(),
                "root.json`: no Sigstore bundle that is read",
            ),
            ([&[both[0], ["--sigstore-bundle", "none"]][..], &who].concat(), "Sigstore bundle `none`: cannot be read"),
            // Both names, the root and the values are needed; and it is one kind of signer or the other.
            ([&both[..], &who[..2]].concat(), "--certificate-oidc-issuer <URL>"),
            ([&both[..], &[who[0], who[2]]].concat(), "--certificate-identity <ID>"),
            ([&both[..], &who[1..]].concat(), "--trusted-root <FILE>"),
            (who.to_vec(), "--sigstore-bundle <FILE>"),
            ([&both[2..3], &who].concat(), "--reference-values <FILE>"),
            ([&both[..], &who, &[["--signed-by", &root]]].concat(), "cannot be used with"),
        ] {
            let error = load(&options).unwrap_err();
            assert!(error.contains(says), "{error}\nnot: {says}");
        }
    }
}
