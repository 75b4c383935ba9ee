//! The archives in which systemd-stub hands sections of its image to the guest, as files under `/.extra`: each is one in the format `newc` of
//! cpio, behind the initrd, and the kernel measures all of it as its initrd.
//!
//! systemd, `src/boot/cpio.c` (`pack_cpio_literal`); Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// Directory, read and searched by all.
const FOLDER: u32 = 0o040_555;
/// File, read by all.
const FILE: u32 = 0o100_444;
const TRAILER: &[u8] = b"TRAILER!!!";

/// The archive of one file: its folder, the file, and what ends an archive.
pub(super) fn extra(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    entry(&mut archive, 1, FOLDER, b".extra", b"");
    entry(&mut archive, 2, FILE, format!(".extra/{name}").as_bytes(), content);
    entry(&mut archive, 0, 0, TRAILER, b"");
    archive
}

/// How many zeros stand between an initrd and the first archive behind it: each begins at a multiple of four.
pub(super) fn filling(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

fn entry(archive: &mut Vec<u8>, inode: u32, mode: u32, name: &[u8], content: &[u8]) {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    // Inode, mode, user, group, links, time, size, four halves of device numbers, length of the name with its zero, no checksum.
    let fields = [inode, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        // The last entry is a text of the stub's, with its one letter in upper case.
        let digits = if name == TRAILER { format!("{field:08X}") } else { format!("{field:08x}") };
        archive.extend_from_slice(digits.as_bytes());
    }
    archive.extend_from_slice(name);
    archive.push(0);
    archive.resize(archive.len() + filling(archive.len()), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len() + filling(archive.len()), 0);
}
