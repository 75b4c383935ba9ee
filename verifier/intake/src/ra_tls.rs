//! Certificates that carry evidence in an extension (RA-TLS): named, with the command that takes the evidence out. They are not read as
//! evidence, because what they are made for, binding the key of a connection, is not what would be judged.

use teegate_encoding::der::{Der, OCTET_STRING, SEQUENCE, context};

use crate::first_bytes::is_whole;
use crate::statement::Statement;

/// Extensions that hold evidence, by their object identifier, and whose each is. Any other that holds a whole report or quote is named
/// as well.
const EXTENSIONS: [(&str, &str); 4] = [
    ("1.2.840.113741.1337.6", "Intel's RA-TLS"),
    ("1.3.6.1.4.1.62397.1.1", "dstack's quote"),
    ("2.23.133.5.4.9", "TCG DICE, as in interoperable RA-TLS"),
    ("1.2.840.113556.10.1.1", "Open Enclave"),
];
/// What is below it says which cloud.
const CONSTELLATION: &str = "1.3.9900.";

/// What the first of these certificates that carries evidence is. `is_pem` chooses the words of the command.
pub(crate) fn describe(statements: &[Statement], is_pem: bool) -> Option<String> {
    let certificates = || {
        statements.iter().filter_map(|statement| match statement {
            Statement::Certificate(der) => Some(der.as_slice()),
            _ => None,
        })
    };
    let (number, (whose, place)) =
        certificates().enumerate().find_map(|(number, der)| Some((number, carried(der)?)))?;
    let mut words = format!("an RA-TLS certificate, with evidence in the extension {whose}");
    if let Some(offset) = place {
        let form = if is_pem { "" } else { " -inform DER" };
        // The command reads the first block of a file.
        let first = if number == 0 {
            String::new()
        } else {
            format!(", in certificate {}: with that one alone in FILE", number.saturating_add(1))
        };
        words.push_str(&format!(
            "{first}; `openssl asn1parse{form} -in FILE -strparse {offset} -noout -out evidence.bin` takes it out, and its report data \
             then has to be held against the certificate's key"
        ));
    }
    Some(words)
}

/// The extension that carries evidence, and where in the DER the OCTET STRING stands whose content is a report or quote.
fn carried(der: &[u8]) -> Option<(String, Option<usize>)> {
    let mut fields = Der::new(der).nested(SEQUENCE).ok()?.nested(SEQUENCE).ok()?;
    let mut extensions = loop {
        let field = fields.any().ok()?;
        if field.tag == context(3) {
            break Der::new(field.content).nested(SEQUENCE).ok()?;
        }
    };
    while !extensions.is_empty() {
        let mut extension = extensions.nested(SEQUENCE).ok()?;
        let oid = dotted(extension.any().ok()?.content)?;
        let mut value = extension.any().ok()?;
        if value.tag != OCTET_STRING {
            value = extension.element(OCTET_STRING).ok()?;
        }
        // Some write the evidence as the value, some a second OCTET STRING around it.
        let inner = Der::new(value.content).element(OCTET_STRING).ok();
        let evidence = [Some(value), inner].into_iter().flatten().find(|element| is_whole(element.content).is_some());
        let whose = EXTENSIONS.iter().find(|(known, _)| *known == oid).map(|(_, whose)| *whose);
        let whose = whose.or_else(|| oid.starts_with(CONSTELLATION).then_some("Constellation's attested TLS"));
        if whose.is_none() && evidence.is_none() {
            continue;
        }
        let name = whose.map_or_else(|| oid.clone(), |whose| format!("{oid}, {whose}"));
        return Some((name, evidence.map(|element| element.whole.as_ptr().addr() - der.as_ptr().addr())));
    }
    None
}

/// An object identifier in its dotted form (ITU-T X.690, section 8.19), if it is none of an absurd length.
fn dotted(content: &[u8]) -> Option<String> {
    const LONGEST: usize = 32;
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in content.iter().take(LONGEST) {
        arc = arc.checked_mul(128)? | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            arcs.push(std::mem::take(&mut arc));
        }
    }
    let (first, rest) = arcs.split_first()?;
    let top = (first / 40).min(2);
    let arcs = [top, first - top * 40].into_iter().chain(rest.iter().copied());
    Some(arcs.map(|arc| arc.to_string()).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_encoding::hex;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        match (high, low) {
            (0, 0..=0x7F) => [&[tag, low][..], content].concat(),
            (0, _) => [&[tag, 0x81, low][..], content].concat(),
            _ => [&[tag, 0x82, high, low][..], content].concat(),
        }
    }

    /// A certificate in shape only, with these extensions.
    fn certificate(extensions: &[(&str, Vec<u8>)]) -> Statement {
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(oid, value)| der(0x30, &[der(6, &hex::decode(oid).unwrap()), der(4, value)].concat()))
            .collect();
        let before = hex::decode("a003020102020107300030003000300030 00".replace(' ', "")).unwrap();
        let fields = [before, der(0xA3, &der(0x30, &extensions))].concat();
        Statement::Certificate(der(0x30, &der(0x30, &fields)))
    }

    fn quote() -> Vec<u8> {
        [&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[7; 700]].concat()
    }

    #[test]
    fn the_place_of_the_evidence_is_that_of_its_octet_string() {
        for (oid, value, name) in [
            ("2a864886f84d8a3906", quote(), "1.2.840.113741.1337.6, Intel's RA-TLS"),
            ("2b0601040183e73d0101", der(4, &quote()), "1.3.6.1.4.1.62397.1.1, dstack's quote"),
            ("2b0601040183c71e0101", quote(), "1.3.6.1.4.1.58270.1.1"),
        ] {
            let found = certificate(&[("551d13", vec![0x30, 0]), (oid, value)]);
            let Statement::Certificate(bytes) = &found else { unreachable!() };
            let place = bytes.windows(8).position(|window| window == &quote()[..8]).unwrap() - 4;
            let words = describe(std::slice::from_ref(&found), true).unwrap();
            assert!(
                words.starts_with(&format!("an RA-TLS certificate, with evidence in the extension {name}; ")),
                "{words}"
            );
            assert!(
                words.contains(&format!("`openssl asn1parse -in FILE -strparse {place} -noout -out evidence.bin`")),
                "{words}"
            );
            let behind = describe(&[certificate(&[]), found.clone()], true).unwrap();
            assert!(
                behind.contains(&format!("{name}, in certificate 2: with that one alone in FILE; `openssl")),
                "{behind}"
            );
            assert!(describe(&[found], false).unwrap().contains("asn1parse -inform DER -in FILE"));
        }
    }

    #[test]
    fn other_forms_are_named_and_other_certificates_are_not() {
        for (oid, name) in [
            ("678105050409", "2.23.133.5.4.9, TCG DICE"),
            ("2a864886f7140a0101", "1.2.840.113556.10.1.1, Open Enclave"),
            ("2bcd2c0401", "1.3.9900.4.1, Constellation's attested TLS"),
            ("2a864886f84d8a3906", "1.2.840.113741.1337.6, Intel's RA-TLS"),
        ] {
            let words = describe(&[certificate(&[]), certificate(&[(oid, vec![1, 2, 3])])], true).unwrap();
            assert!(words.contains(name) && !words.contains("openssl"), "{words}");
        }
        assert_eq!(describe(&[certificate(&[("551d13", vec![0x30, 0])]), certificate(&[])], true), None);
        assert_eq!(describe(&[Statement::Crl(vec![0x30, 0])], true), None);
        let Statement::Certificate(whole) = certificate(&[("2a864886f84d8a3906", quote())]) else { unreachable!() };
        for end in 0..whole.len() {
            assert_eq!(describe(&[Statement::Certificate(whole[..end].to_vec())], true), None);
        }
    }
}
