//! Whether the file of a picture is there to its end: a decoder of JPEG fills up what is missing.

/// Whether a PNG or JPEG file has all its parts; other bytes have not.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png(bytes).is_some(),
        [0xFF, 0xD8, ..] => jpeg(bytes).is_some(),
        _ => false,
    }
}

/// Whether the last bytes are those of a whole file without anything behind it.
pub(super) fn ends_well(tail: &[u8]) -> bool {
    tail.ends_with(b"\0\0\0\0IEND\xAE\x42\x60\x82") || tail.ends_with(&[0xFF, 0xD9])
}

/// Chunks of length, name, data and checksum, up to IEND.
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (head, data) = rest.split_first_chunk::<8>()?;
        let [a, b, c, d, name @ ..] = *head;
        rest = data.get(u32::from_be_bytes([a, b, c, d]) as usize..)?.get(4..)?;
        if name == *b"IEND" {
            return Some(());
        }
    }
}

/// Segments, each with its length, and scans that reach to the next marker, up to the end of the image.
fn jpeg(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(2..)?;
    loop {
        // Between segments, and in a scan, everything up to a marker: 0xFF and neither zero (0xFF itself), nor a restart.
        let at = rest.windows(2).position(|w| w[0] == 0xFF && !matches!(w[1], 0 | 1 | 0xFF | 0xD0..=0xD7))?;
        if rest[at + 1] == 0xD9 {
            return Some(());
        }
        let segment = &rest[at + 2..];
        let (length, _) = segment.split_first_chunk::<2>()?;
        rest = segment.get(usize::from(u16::from_be_bytes(*length)).max(2)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_cut_anywhere() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x02abcdxxCRC_\0\0\0\0IEND\xAE\x42\x60\x82";
        // A segment that holds what looks like an end, fill bytes, a scan with a zero byte and a restart, another scan.
        let jpeg = b"\xFF\xD8\xFF\xE1\0\x06\xFF\xD9xx\xFF\xFF\xDA\0\x03z12\xFF\x00\xFF\xD034\xFF\xDA\0\x02yy\xFF\xD9";
        for whole in [&png[..], jpeg] {
            assert!(is_whole(whole) && ends_well(whole));
            assert!(is_whole(&[whole, b"more"].concat()));
            for len in 0..whole.len() {
                assert!(!is_whole(&whole[..len]), "{len}");
            }
        }
        assert!(!is_whole(b"BM") && !is_whole(b""));
    }
}
