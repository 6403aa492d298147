//! TensorBoard's event files: records with checksums, each an `Event` of protocol buffers.
//!
//! A record is the length of its data (8 bytes, little-endian), the checksum of these 8 bytes, the data, and their
//! checksum. Fields of messages, as tensorflow/core/framework/summary.proto and core/util/event.proto number them:
//! Event: wall_time 1, step 2, file_version 3, summary 5. Summary: value 1. Value: tag 1, simple_value 2, histo 5.
//! HistogramProto: min 1, max 2, num 3, sum 4, sum_squares 5, bucket_limit 6, bucket 7.

use std::fs::{File, create_dir_all};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::tensor::Float;

/// Equal parts of the range of a histogram, as many as Keras's callback makes.
const BUCKETS: usize = 30;

/// The remainders of CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) for each byte.
const REMAINDERS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut r, mut bit) = (byte as u32, 0);
        while bit < 8 {
            r = if r & 1 == 1 { r >> 1 ^ 0x82F6_3B78 } else { r >> 1 };
            bit += 1;
        }
        table[byte] = r;
        byte += 1;
    }
    table
};

/// CRC-32C, turned by 15 bits and shifted so that checksums of data with checksums in them stay good.
fn checksum(data: &[u8]) -> [u8; 4] {
    let crc = !data.iter().fold(!0u32, |r, &byte| REMAINDERS[usize::from(r as u8 ^ byte)] ^ r >> 8);
    crc.rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

/// Seven bits a byte, the lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field that is left out is 0.
fn integer(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        varint(out, value);
    }
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    if value != 0.0 {
        out.push(field << 3 | 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn doubles(out: &mut Vec<u8>, field: u8, values: &[f64]) {
    out.push(field << 3 | 2);
    varint(out, 8 * values.len() as u64);
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

/// A HistogramProto; a bucket goes up to its limit, the last includes it.
fn histogram<T: Float>(out: &mut Vec<u8>, values: &[T]) {
    let all = || values.iter().map(|v| v.as_f64());
    let (min, max) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let width = max / BUCKETS as f64 - min / BUCKETS as f64;
    let (mut limits, mut counts) = ([max; BUCKETS], [0.0; BUCKETS]);
    let used = if width > 0.0 { BUCKETS } else { 1 };
    for (i, limit) in limits[..used - 1].iter_mut().enumerate() {
        *limit = min + width * (i + 1) as f64;
    }
    for v in all() {
        let bucket = if used > 1 { ((v / width - min / width) as usize).min(used - 1) } else { 0 };
        counts[bucket] += 1.0;
    }
    double(out, 1, min);
    double(out, 2, max);
    double(out, 3, values.len() as f64);
    double(out, 4, all().sum());
    double(out, 5, all().map(|v| v * v).sum());
    doubles(out, 6, &limits[..used]);
    doubles(out, 7, &counts[..used]);
}

/// One open file and room for the message that is being made.
#[derive(Debug)]
pub(super) struct EventFile {
    pub path: PathBuf,
    file: BufWriter<File>,
    inner: Vec<u8>,
    outer: Vec<u8>,
}

impl EventFile {
    /// A new file in the folder, which is made where there is none, named by the time in seconds since 1970.
    pub fn create(folder: &Path, now: f64, host: &str) -> io::Result<Self> {
        create_dir_all(folder)?;
        let name = format!("events.out.tfevents.{:010}.{host}", now as u64);
        let mut path = folder.join(&name);
        let mut again = 0u32;
        let file = loop {
            match File::create_new(&path) {
                // Two runs within a second.
                Err(e) if e.kind() == ErrorKind::AlreadyExists && again < 1000 => {
                    again += 1;
                    path = folder.join(format!("{name}.{again}"));
                }
                other => break other?,
            }
        };
        let file = BufWriter::new(file);
        let mut events = EventFile { path, file, inner: Vec::new(), outer: Vec::new() };
        double(&mut events.outer, 1, now);
        bytes(&mut events.outer, 3, b"brain.Event:2");
        events.record()?;
        Ok(events)
    }

    pub fn scalar(&mut self, now: f64, step: u64, tag: &str, value: f64) -> io::Result<()> {
        self.inner.clear();
        bytes(&mut self.inner, 1, tag.as_bytes());
        self.inner.push(2 << 3 | 5);
        self.inner.extend_from_slice(&(value as f32).to_le_bytes());
        self.event(now, step)
    }

    pub fn histogram<T: Float>(&mut self, now: f64, step: u64, tag: &str, values: &[T]) -> io::Result<()> {
        self.inner.clear();
        bytes(&mut self.inner, 1, tag.as_bytes());
        self.outer.clear();
        histogram(&mut self.outer, values);
        bytes(&mut self.inner, 5, &self.outer);
        self.event(now, step)
    }

    /// An event with a summary of the one value in `inner`.
    fn event(&mut self, now: f64, step: u64) -> io::Result<()> {
        self.outer.clear();
        bytes(&mut self.outer, 1, &self.inner);
        std::mem::swap(&mut self.inner, &mut self.outer);
        self.outer.clear();
        double(&mut self.outer, 1, now);
        integer(&mut self.outer, 2, step);
        bytes(&mut self.outer, 5, &self.inner);
        self.record()
    }

    /// Writes `outer`.
    fn record(&mut self) -> io::Result<()> {
        let len = (self.outer.len() as u64).to_le_bytes();
        self.file.write_all(&len)?;
        self.file.write_all(&checksum(&len))?;
        self.file.write_all(&self.outer)?;
        self.file.write_all(&checksum(&self.outer))
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        // CRC-32C of "123456789" is 0xE3069283, of 32 zeros 0x8A9136AA (RFC 3720, B.4).
        for (data, crc) in [(&b"123456789"[..], 0xE306_9283u32), (&[0; 32], 0x8A91_36AA)] {
            let masked = crc.rotate_right(15).wrapping_add(0xA282_EAD8);
            assert_eq!(checksum(data), masked.to_le_bytes());
        }
    }

    #[test]
    fn varints() {
        let of = |value| {
            let mut out = Vec::new();
            varint(&mut out, value);
            out
        };
        assert_eq!((of(0), of(127), of(300)), (vec![0], vec![127], vec![0xAC, 2]));
        assert_eq!(of(u64::MAX).len(), 10);
    }

    #[test]
    fn histograms() {
        let counts = |values: &[f64], buckets: usize| {
            let mut out = Vec::new();
            histogram(&mut out, values);
            let numbers = out[out.len() - 8 * buckets..].chunks_exact(8);
            numbers.map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(counts(&[0.5, 0.5], 1), [2.0]);
        let even: Vec<f64> = (0..=60).map(f64::from).collect();
        let mut expected = vec![2.0; 30];
        expected[29] = 3.0;
        assert_eq!(counts(&even, 30), expected);
        assert_eq!(counts(&[-f64::MAX, f64::MAX], 30).iter().sum::<f64>(), 2.0);
    }
}
