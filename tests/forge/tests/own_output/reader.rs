//! A reader for what the forge writes: enough DER to take a certificate or CRL apart.

/// One element: its tag, its content, and its whole encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The first element and what follows it.
pub(crate) fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, length) = (*bytes.first()?, *bytes.get(1)?);
    let (header, length) = if length < 0x80 {
        (2, usize::from(length))
    } else {
        let count = usize::from(length & 0x7F);
        if count == 0 || count > 3 {
            return None;
        }
        let digits = bytes.get(2..2 + count)?;
        (2 + count, digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
    };
    let whole = bytes.get(..header + length)?;
    Some((Element { tag, content: &whole[header..], whole }, &bytes[header + length..]))
}

/// The elements that fill `bytes` exactly, if they do.
pub(crate) fn all(mut bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = first(bytes)?;
        out.push(element);
        bytes = rest;
    }
    Some(out)
}

/// The elements inside an element.
pub(crate) fn children<'a>(element: &Element<'a>) -> Vec<Element<'a>> {
    all(element.content).expect("constructed")
}

/// A certificate or CRL: signed bytes, signature algorithm, signature.
pub(crate) struct Signed<'a> {
    pub(crate) tbs: Element<'a>,
    pub(crate) algorithm: Element<'a>,
    pub(crate) signature: &'a [u8],
}

pub(crate) fn signed(der: &[u8]) -> Signed<'_> {
    let (outer, rest) = first(der).expect("an element");
    assert!(rest.is_empty(), "bytes behind the certificate");
    let [tbs, algorithm, signature] = children(&outer)[..] else { panic!("not three parts") };
    assert_eq!(signature.content[0], 0);
    Signed { tbs, algorithm, signature: &signature.content[1..] }
}

/// The subject's public key bits of a certificate.
pub(crate) fn public_key(certificate: &[u8]) -> &[u8] {
    let tbs = signed(certificate).tbs;
    let info = children(&tbs)[6];
    &children(&info)[1].content[1..]
}

/// The content of an extension's OCTET STRING, by the content of its OID.
pub(crate) fn extension<'a>(certificate: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    let tbs = signed(certificate).tbs;
    let extensions = children(&tbs).into_iter().find(|element| element.tag == 0xA3)?;
    let list = children(&extensions)[0];
    let wanted = children(&list).into_iter().map(|one| children(&one)).find(|one| one[0].content == oid)?;
    Some(wanted.last()?.content)
}
