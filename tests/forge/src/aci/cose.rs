//! A writer of CBOR (RFC 8949) and COSE_Sign1 (RFC 9052), just enough for endorsements and signed manifests. It writes what it is told.

/// A head: major type and argument, in the shortest form.
pub fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    match argument {
        0..=23 => vec![major | argument as u8],
        24..=0xFF => vec![major | 24, argument as u8],
        0x100..=0xFFFF => [&[major | 25], &(argument as u16).to_be_bytes()[..]].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[major | 26], &(argument as u32).to_be_bytes()[..]].concat(),
        _ => [&[major | 27], &argument.to_be_bytes()[..]].concat(),
    }
}

/// An integer.
pub fn number(value: i64) -> Vec<u8> {
    if value < 0 { head(1, (-1 - value) as u64) } else { head(0, value as u64) }
}

/// A byte string.
pub fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len() as u64), value.to_vec()].concat()
}

/// A text string.
pub fn text(value: &str) -> Vec<u8> {
    [head(3, value.len() as u64), value.as_bytes().to_vec()].concat()
}

/// An array of encoded items.
pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// A map of encoded pairs, in the order given.
pub fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut written = head(5, pairs.len() as u64);
    for (label, value) in pairs {
        written.extend_from_slice(label);
        written.extend_from_slice(value);
    }
    written
}

/// A tag around an encoded item.
pub fn tagged(tag: u64, item: &[u8]) -> Vec<u8> {
    [head(6, tag), item.to_vec()].concat()
}

/// What is signed: `Sig_structure`.
pub fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    array(&[text("Signature1"), bytes(protected), bytes(&[]), bytes(payload)])
}

/// The message; `unprotected` is an encoded map.
pub fn sign1(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    tagged(18, &array(&[bytes(protected), unprotected.to_vec(), bytes(payload), bytes(signature)]))
}
