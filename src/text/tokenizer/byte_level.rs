//! Bytes as visible characters, as files of byte-level tokenizers write them (GPT-2's table).

use std::sync::LazyLock;

/// Bytes that stand for themselves: those that print in Latin-1.
fn prints(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character of each byte: itself where it prints, else from U+0100 on, in order.
static CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        if prints(byte as u8) {
            return byte as u8 as char;
        }
        next += 1;
        char::from_u32(next - 1).expect("the table ends at U+0143")
    })
});

static BYTES: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut bytes = [None; 0x144];
    for (byte, c) in CHARS.iter().enumerate() {
        bytes[*c as usize] = Some(byte as u8);
    }
    bytes
});

/// The visible character of a byte.
pub(super) fn char_of(byte: u8) -> char {
    CHARS[byte as usize]
}

/// The byte that a visible character stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    BYTES.get(c as usize).copied().flatten()
}

/// The bytes of a token; its own, if it has a character that stands for none (as added tokens may).
pub(super) fn bytes_of(token: &str) -> Vec<u8> {
    token.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Bytes written as visible characters.
pub(super) fn text_of(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes_of(&text_of(&all)), all);
        assert_eq!(
            (char_of(b' '), char_of(b'\n'), char_of(0xAD), byte_of('Ġ'), byte_of('字')),
            ('Ġ', 'Ċ', 'Ń', Some(b' '), None)
        );
    }
}
