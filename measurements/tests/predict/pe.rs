//! PE images that a test builds: headers, and sections one behind the other.

const FILE_ALIGNMENT: usize = 0x200;
const HEADERS: usize = 0x400;
/// Where the optional header begins.
pub(crate) const OPTIONAL: usize = 0x40 + 24;
/// Where the entry of the certificate table stands.
pub(crate) const CERTIFICATES: usize = OPTIONAL + 112 + 4 * 8;

/// An image with these sections, and `behind` at its end, of which the last `signatures` bytes are signatures.
pub(crate) fn image(sections: &[(&str, &[u8])], behind: &[u8], signatures: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEADERS];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    put(0, b"MZ");
    put(0x3C, &word(0x40));
    put(0x40, b"PE\0\0");
    put(0x44, &[0x64, 0x86]);
    put(0x46, &u16::try_from(sections.len()).unwrap().to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(OPTIONAL, &0x20B_u16.to_le_bytes());
    put(OPTIONAL + 60, &word(HEADERS));
    put(OPTIONAL + 64, &[0xCC; 4]);
    put(OPTIONAL + 108, &word(16));
    let mut content = Vec::new();
    for (index, (name, data)) in sections.iter().enumerate() {
        let at = OPTIONAL + 240 + 40 * index;
        let raw = data.len().next_multiple_of(FILE_ALIGNMENT);
        put(at, name.as_bytes());
        put(at + 8, &word(data.len()));
        put(at + 12, &word(0x1000 * (index + 1)));
        put(at + 16, &word(raw));
        put(at + 20, &word(HEADERS + content.len()));
        content.extend_from_slice(data);
        content.resize(content.len() + raw - data.len(), 0);
    }
    put(CERTIFICATES, &word(HEADERS + content.len() + behind.len() - signatures));
    put(CERTIFICATES + 4, &word(signatures));
    [bytes, content, behind.to_vec()].concat()
}

/// `image` with more sections behind its own, as `objcopy --add-section` makes a unified kernel image out of a stub. The image must
/// have room for their headers; what stood behind its sections is left out.
pub(crate) fn with_sections(image: &[u8], sections: &[(&str, &[u8])]) -> Vec<u8> {
    let word = |at: usize| usize::try_from(u32::from_le_bytes(image[at..at + 4].try_into().unwrap())).unwrap();
    let half = |at: usize| usize::from(u16::from_le_bytes(image[at..at + 2].try_into().unwrap()));
    let pe = word(0x3C);
    let (number, optional) = (half(pe + 6), pe + 24);
    let table = optional + half(pe + 20);
    let mut end = (0..number).map(|index| word(table + 40 * index + 16) + word(table + 40 * index + 20)).max().unwrap();
    let mut bytes = image[..end].to_vec();
    assert!(table + 40 * (number + sections.len()) <= word(optional + 60), "no room for headers");
    for (index, (name, data)) in sections.iter().enumerate() {
        let raw = data.len().next_multiple_of(FILE_ALIGNMENT);
        let mut header = vec![0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        for (at, number) in [(8, data.len()), (12, 0x0100_0000 * (index + 1)), (16, raw), (20, end)] {
            header[at..at + 4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
        }
        let at = table + 40 * (number + index);
        bytes[at..at + 40].copy_from_slice(&header);
        bytes.extend_from_slice(data);
        end += raw;
        bytes.resize(end, 0);
    }
    let total = u16::try_from(number + sections.len()).unwrap();
    bytes[pe + 6..pe + 8].copy_from_slice(&total.to_le_bytes());
    bytes
}
