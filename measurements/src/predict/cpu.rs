//! The CPUID signature of a virtual processor, which QEMU puts into the registers that SEV-SNP measures.

use super::input::PredictError;

/// CPUID Fn0000_0001_EAX: family, model and stepping of the processor that the guest sees. AMD 25481, *CPUID Specification*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSignature(pub u32);

/// The processor models of QEMU that SEV-SNP guests run under, each with family, model and stepping.
const NAMED: &[(&str, (u32, u32, u32))] = &[
    ("EPYC", (23, 1, 2)),
    ("EPYC-v1", (23, 1, 2)),
    ("EPYC-v2", (23, 1, 2)),
    ("EPYC-IBPB", (23, 1, 2)),
    ("EPYC-v3", (23, 1, 2)),
    ("EPYC-v4", (23, 1, 2)),
    ("EPYC-Rome", (23, 49, 0)),
    ("EPYC-Rome-v1", (23, 49, 0)),
    ("EPYC-Rome-v2", (23, 49, 0)),
    ("EPYC-Rome-v3", (23, 49, 0)),
    ("EPYC-Milan", (25, 1, 1)),
    ("EPYC-Milan-v1", (25, 1, 1)),
    ("EPYC-Milan-v2", (25, 1, 1)),
    ("EPYC-Genoa", (25, 17, 0)),
    ("EPYC-Genoa-v1", (25, 17, 0)),
    ("EPYC-Turin", (26, 0, 0)),
];

/// The names that [`CpuSignature::named`] knows.
pub const CPU_NAMES: [&str; NAMED.len()] = {
    let mut names = [""; NAMED.len()];
    let mut at = 0;
    while at < names.len() {
        #[expect(clippy::indexing_slicing, reason = "a constant; both have this length, and the compiler would say so")]
        {
            names[at] = NAMED[at].0;
        }
        at += 1;
    }
    names
};

impl CpuSignature {
    /// Of family, model and stepping, as `lscpu` shows them.
    ///
    /// # Errors
    /// Where one of them does not fit into the signature.
    pub fn of(family: u32, model: u32, stepping: u32) -> Result<Self, PredictError> {
        for (what, value, most) in [("family", family, 0xF + 0xFF), ("model", model, 0xFF), ("stepping", stepping, 0xF)]
        {
            if value > most {
                return Err(PredictError::new(format!("a {what} of {value}, where a processor has at most {most}")));
            }
        }
        let (low, high) = if family > 0xF { (0xF, family - 0xF) } else { (family, 0) };
        Ok(Self(high << 20 | (model >> 4) << 16 | low << 8 | (model & 0xF) << 4 | stepping))
    }

    /// Of a processor model by the name that QEMU gives it.
    ///
    /// # Errors
    /// For a name that is not known; for `host`, because it says nothing about the machine that the guest will run on.
    pub fn named(name: &str) -> Result<Self, PredictError> {
        match NAMED.iter().find(|(known, _)| *known == name) {
            Some((_, (family, model, stepping))) => Self::of(*family, *model, *stepping),
            None if name == "host" => Err(PredictError::new(
                "the processor `host` is whatever the guest runs on: name family, model and stepping of that machine (`lscpu`)",
            )),
            None => Err(PredictError::new(format!(
                "no processor of this name: expected one of {}, or family, model and stepping",
                CPU_NAMES.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from another implementation: `fixtures/measurement`, `cpu_sigs`.
    #[test]
    fn names_and_numbers_give_the_signature_that_cpuid_shows() {
        for (name, signature) in [
            ("EPYC", 0x0080_0F12),
            ("EPYC-v4", 0x0080_0F12),
            ("EPYC-Rome", 0x0083_0F10),
            ("EPYC-Milan-v2", 0x00A0_0F11),
            ("EPYC-Genoa", 0x00A1_0F10),
            ("EPYC-Turin", 0x00B0_0F00),
        ] {
            assert_eq!(CpuSignature::named(name), Ok(CpuSignature(signature)), "{name}");
        }
        assert_eq!(CpuSignature::of(6, 0x8F, 8), Ok(CpuSignature(0x0008_06F8)));
        let host = CpuSignature::named("host").unwrap_err().to_string();
        assert!(host.contains("whatever the guest runs on"), "{host}");
        assert!(CpuSignature::named("EPYC-v9").unwrap_err().to_string().contains("EPYC-Genoa"));
        assert!(CpuSignature::of(25, 0x100, 0).unwrap_err().to_string().contains("a model of 256"));
    }
}
