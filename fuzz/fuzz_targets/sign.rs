//! A checksum that is right, as else nearly every input would be refused for its own.

/// How a file with a checksum goes on after the header's length.
const START: &[u8] = br#"{"__metadata__":{"crc32":""#;

pub fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = 8 + START.len();
    if bytes.len() >= at + 8 && bytes[8..].starts_with(START) {
        bytes[at..at + 8].copy_from_slice(b"00000000");
        let sum = crc32fast::hash(&bytes);
        bytes[at..at + 8].copy_from_slice(format!("{sum:08x}").as_bytes());
    }
    bytes
}
