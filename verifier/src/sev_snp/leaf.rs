//! What AMD says of a key in a VCEK or VLEK certificate: AMD 57230, extensions under 1.3.6.1.4.1.3704.1.

use super::tcb::{Product, TcbVersion};
use crate::x509::certificate::Certificate;
use crate::x509::der::{Der, IA5_STRING, INTEGER};

/// 1.3.6.1.4.1.3704.1, and the arcs below it.
macro_rules! amd {
    ($($arc:literal),+) => {
        &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x9C, 0x78, 0x01, $($arc),+]
    };
}

/// The identity of the key: HWID and CSP_ID. Readable before the product is known.
pub(crate) fn identity(certificate: &Certificate) -> (Option<&[u8]>, Option<&str>) {
    let csp_id =
        certificate.extension(amd!(5)).map(|value| text(value).unwrap_or("(not an IA5String of 1 to 64 characters)"));
    (certificate.extension(amd!(4)), csp_id)
}

/// The product that the certificate names.
pub(crate) fn product_name(certificate: &Certificate) -> Option<&str> {
    text(certificate.extension(amd!(2))?)
}

/// The security patch levels in the structure of `product`; the error says which extension is not as it must be. They are read
/// once for each certificate that is held.
pub(crate) fn tcb(certificate: &Certificate, product: Product) -> Result<TcbVersion, String> {
    match certificate.read_once(|certificate| (product, read_tcb(certificate, product))) {
        Some((of, read)) if *of == product => read.clone(),
        _ => read_tcb(certificate, product),
    }
}

fn read_tcb(certificate: &Certificate, product: Product) -> Result<TcbVersion, String> {
    let number = |name: &str, oid: &[u8]| -> Result<Option<u8>, String> {
        let Some(value) = certificate.extension(oid) else { return Ok(None) };
        let mut der = Der::new(value);
        let level = der.unsigned(INTEGER).ok().filter(|_| der.is_empty()).and_then(|level| u8::try_from(level).ok());
        level.map(Some).ok_or_else(|| format!("{name} is not a number of 0 to 255"))
    };
    let required = |name: &str, oid: &[u8]| number(name, oid)?.ok_or_else(|| format!("{name} is absent"));

    let turin = product == Product::Turin;
    let structure = required("structVersion", amd!(1))?;
    if structure != u8::from(turin) {
        return Err(format!("structVersion is {structure}"));
    }
    let reserved: &[(&str, &[u8])] = if turin {
        &[("spl5", amd!(3, 5)), ("spl6", amd!(3, 6)), ("spl7", amd!(3, 7))]
    } else {
        &[("spl4", amd!(3, 4)), ("spl5", amd!(3, 5)), ("spl6", amd!(3, 6)), ("spl7", amd!(3, 7))]
    };
    for (name, oid) in reserved {
        let value = required(name, oid)?;
        if value != 0 {
            return Err(format!("the reserved {name} is {value}"));
        }
    }
    let (name, absent): (&str, &[u8]) = if turin { ("spl4", amd!(3, 4)) } else { ("fmcSPL", amd!(3, 9)) };
    if number(name, absent)?.is_some() {
        return Err(format!("{name} is present"));
    }
    Ok(TcbVersion {
        fmc: if turin { Some(required("fmcSPL", amd!(3, 9))?) } else { None },
        bootloader: required("blSPL", amd!(3, 1))?,
        tee: required("teeSPL", amd!(3, 2))?,
        snp: required("snpSPL", amd!(3, 3))?,
        microcode: required("ucodeSPL", amd!(3, 8))?,
    })
}

/// No product or provider has a longer name. A bound, because reports show them.
const MAX_TEXT: usize = 64;

/// An IA5String that fills `value`, and is not empty: reports show it.
fn text(value: &[u8]) -> Option<&str> {
    let mut der = Der::new(value);
    let content = der.content(IA5_STRING).ok()?;
    (der.is_empty() && content.is_ascii() && (1..=MAX_TEXT).contains(&content.len()))
        .then(|| std::str::from_utf8(content).ok())?
}
