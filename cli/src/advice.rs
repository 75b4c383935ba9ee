//! What is wrong with a pile of statements, said before the verdict speaks of one certificate or date: the wrong platform's TCB info,
//! another enclave's identity, answers that were saved without their headers. Read off what the statements say of themselves; no
//! verdict rests on it.

use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Endorsements, Hint, HintKind, Needs, TdxNeeds, hints_of, needs_of};

use crate::output::{self, short};

/// Notes on standard error what of `pool` cannot be what `evidence` needs.
pub(crate) fn give(evidence: &OwnedEvidence, pool: &Endorsements) {
    advice(evidence, pool).iter().for_each(|advice| output::note(advice));
}

fn advice(evidence: &OwnedEvidence, pool: &Endorsements) -> Vec<String> {
    // A report needs no signed JSON, and malformed evidence nothing.
    let Ok(Needs::Tdx(needs)) = needs_of(&evidence.as_evidence(pool)) else { return Vec::new() };
    let hints: Vec<Hint> = hints_of(pool).into_iter().flatten().collect();
    [tcb_info(&needs, &hints), identity(&hints), signer(&hints)].into_iter().flatten().collect()
}

/// The certificate that signs TCB info and identities.
const SIGNER: &str = "Intel SGX TCB Signing";

const FETCH: &str = "`teegate fetch EVIDENCE --into DIR` asks Intel for what this evidence needs";

fn tcb_info(needs: &TdxNeeds, hints: &[Hint]) -> Option<String> {
    let own = needs.platform?.fmspc;
    let others: Vec<_> = hints
        .iter()
        .filter_map(|hint| match hint.kind {
            HintKind::TcbInfo(fmspc) if hint.name == "TDX" => Some(fmspc),
            _ => None,
        })
        .collect();
    let other = others.first().filter(|_| !others.contains(&own))?;
    Some(format!(
        "no TCB info of this platform, FMSPC {own}, was supplied, and one of another, FMSPC {other}, was; {FETCH}"
    ))
}

fn identity(hints: &[Hint]) -> Option<String> {
    let identities = || hints.iter().filter(|hint| hint.kind == HintKind::QeIdentity);
    let other = identities().next().filter(|_| identities().all(|hint| hint.name != "TD_QE"))?;
    Some(format!(
        "the QE identity that was supplied is of `{}`, and a TD's quote needs that of `TD_QE` (`/tdx/certification/v4/qe/identity`); \
         {FETCH}",
        short(&other.name)
    ))
}

fn signer(hints: &[Hint]) -> Option<String> {
    let signed = hints.iter().any(|hint| matches!(hint.kind, HintKind::TcbInfo(_) | HintKind::QeIdentity));
    let known = hints.iter().any(|hint| matches!(hint.kind, HintKind::Certificate { .. }) && hint.name == SIGNER);
    (signed && !known).then(|| {
        format!(
            "signed collateral was supplied without the certificate of its signer, `{SIGNER}`: Intel sends that only in the header \
             `TCB-Info-Issuer-Chain` (of a QE identity, `SGX-Enclave-Identity-Issuer-Chain`), so saved answers without headers lack \
             it; save them with `curl -i`, or {FETCH}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_forge::tdx::TdxSet;
    use teegate_intake::evidence::recognise;
    use teegate_verifier::Tee;

    fn pool(set: &TdxSet, identity: &str, signer: bool) -> Endorsements {
        let mut pool = Endorsements::new();
        pool.add_tcb_info(set.tcb_info.body.clone(), set.tcb_info.signature);
        pool.add_qe_identity(set.qe_identity.body.replace("TD_QE", identity), set.qe_identity.signature);
        set.crls().into_iter().for_each(|der| pool.add_crl(der));
        if signer {
            set.certificates().into_iter().for_each(|der| pool.add_certificate(der));
        }
        pool
    }

    #[test]
    fn each_mistake_is_named_with_the_command_that_helps_and_a_whole_set_with_none() {
        let (set, other) = (teegate_forge::tdx().build(), teegate_forge::tdx().fmspc([9, 0, 0, 0, 0, 1]).build());
        let evidence = recognise(&set.quote, Some(Tee::Tdx)).unwrap();
        assert_eq!(advice(&evidence, &pool(&set, "TD_QE", true)), [""; 0]);
        for (pool, expected) in [
            (
                pool(&other, "TD_QE", true),
                "FMSPC b0c06f000000, was supplied, and one of another, FMSPC 090000000001, was",
            ),
            (pool(&set, "QE", true), "is of `QE`, and a TD's quote needs that of `TD_QE`"),
            (pool(&set, "TD_QE", false), "only in the header `TCB-Info-Issuer-Chain`"),
        ] {
            let advice = advice(&evidence, &pool);
            let [advice] = &advice[..] else { panic!("{advice:?}") };
            assert!(advice.contains(expected) && advice.contains("teegate fetch EVIDENCE --into DIR"), "{advice}");
        }
        // Beside the right one, another's does no harm.
        let mut both = pool(&other, "QE", true);
        both.extend(&pool(&set, "TD_QE", true));
        assert_eq!(advice(&evidence, &both), [""; 0]);
        let report = recognise(&teegate_forge::snp().report(), Some(Tee::SevSnp)).unwrap();
        assert_eq!(advice(&report, &pool(&other, "QE", false)), [""; 0]);
    }
}
