//! Whether the scans of a JPEG hold all blocks of the picture: a decoder fills up what is missing, also where an end was put behind it.
//!
//! Only for pictures whose scans are decoded one block after the other (baseline and extended sequential, Huffman coded); progressive
//! and other ones are taken as they are. Coefficients are passed over. ITU-T T.81, annexes B and F.

/// The segments that are read.
const SOF: [u8; 2] = [0xC0, 0xC1];
const DHT: u8 = 0xC4;
const SOS: u8 = 0xDA;
const EOI: u8 = 0xD9;
const DRI: u8 = 0xDD;

/// Whether no block is missing; `true` where that cannot be told.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    Scans::default().read(bytes).unwrap_or(true)
}

/// What the segments before a scan say.
#[derive(Default)]
struct Scans {
    /// Width and height in pixels, and the components with their numbers of blocks in a unit.
    size: [usize; 2],
    components: Vec<(u8, [usize; 2])>,
    /// Those for the first coefficient of a block and those for the others.
    tables: [[Option<Table>; 4]; 2],
    restart: usize,
}

impl Scans {
    /// Whether all scans are complete; none where it cannot be told.
    fn read(&mut self, bytes: &[u8]) -> Option<bool> {
        let mut rest = bytes.get(2..)?;
        loop {
            let at = rest.windows(2).position(|w| w[0] == 0xFF && !matches!(w[1], 0 | 1 | 0xFF | 0xD0..=0xD7))?;
            let (marker, segment) = (rest[at + 1], rest.get(at + 2..)?);
            if marker == EOI {
                return Some(true);
            }
            let length = usize::from(u16::from_be_bytes(*segment.first_chunk()?)).max(2);
            let body = segment.get(2..length)?;
            rest = segment.get(length..)?;
            match marker {
                DHT => self.tables(body)?,
                DRI => self.restart = usize::from(u16::from_be_bytes(*body.first_chunk()?)),
                SOS if !self.scan(body, rest)? => return Some(false),
                SOS => {}
                marker if SOF.contains(&marker) => self.frame(body)?,
                // Frames of other kinds.
                0xC2..=0xCF => return None,
                _ => {}
            }
        }
    }

    fn frame(&mut self, body: &[u8]) -> Option<()> {
        let (&[_, a, b, c, d, n], each) = body.split_first_chunk()?;
        self.size = [u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b])].map(usize::from);
        let parts = each.as_chunks::<3>().0.iter().take(usize::from(n));
        self.components = parts.map(|&[id, hv, _]| (id, [usize::from(hv >> 4), usize::from(hv & 15)])).collect();
        let valid = self.components.iter().all(|(_, hv)| hv.iter().all(|v| (1..=4).contains(v)));
        (valid && !self.components.is_empty() && !self.size.contains(&0)).then_some(())
    }

    fn tables(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let n: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let (symbols, rest) = rest.split_at_checked(n)?;
            *self.tables.get_mut(usize::from(kind >> 4))?.get_mut(usize::from(kind & 15))? =
                Some(Table::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }

    /// Whether a scan has all its blocks; none where a table is missing.
    fn scan(&self, body: &[u8], data: &[u8]) -> Option<bool> {
        let (&n, rest) = body.split_first()?;
        let most = [0, 1].map(|axis| self.components.iter().map(|(_, hv)| hv[axis]).max().unwrap_or(1));
        let mut units = [0, 1].map(|axis| self.size[axis].div_ceil(8 * most[axis]));
        // For each block of a unit its two tables.
        let mut blocks = Vec::new();
        for [id, tables] in rest.as_chunks::<2>().0.iter().take(usize::from(n)) {
            let hv = self.components.iter().find(|(own, _)| own == id)?.1;
            let of = |class: usize, number: u8| self.tables[class].get(usize::from(number))?.as_ref();
            let pair = (of(0, tables >> 4)?, of(1, tables & 15)?);
            if n == 1 {
                // Alone a component has no blocks beyond its own edge.
                units = [0, 1].map(|axis| (self.size[axis] * hv[axis]).div_ceil(most[axis]).div_ceil(8));
                blocks.push(pair);
            } else {
                blocks.extend(std::iter::repeat_n(pair, hv[0] * hv[1]));
            }
        }
        let mut bits = Bits { rest: data, value: 0, len: 0 };
        let units = units[0] * units[1];
        let decoded = (0..units).take_while(|&unit| {
            let restarts = self.restart > 0 && unit > 0 && unit % self.restart == 0;
            (!restarts || bits.restart().is_some()) && blocks.iter().all(|(dc, ac)| block(&mut bits, dc, ac).is_some())
        });
        // The last unit may lack what a sloppy writer has not filled up.
        Some(decoded.count() + 1 >= units)
    }
}

/// Passes over a block; none where the data end.
fn block(bits: &mut Bits<'_>, dc: &Table, ac: &Table) -> Option<()> {
    let size = dc.symbol(bits)?;
    bits.skip(u32::from(size))?;
    let mut k = 1;
    while k < 64 {
        let symbol = ac.symbol(bits)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        match (zeros, size) {
            // The rest of the block is zero.
            (0..15, 0) => break,
            _ => bits.skip(u32::from(size))?,
        }
        k += u32::from(zeros) + 1;
    }
    Some(())
}

/// The bits of a scan up to the next marker.
struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits are the lower `len`.
    value: u64,
    len: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.len <= 48 {
            let (byte, used) = match *self.rest {
                [0xFF, 0, ..] => (0xFF, 2),
                [0xFF, ..] | [] => return,
                [byte, ..] => (byte, 1),
            };
            self.rest = &self.rest[used..];
            (self.value, self.len) = (self.value << 8 | u64::from(byte), self.len + 8);
        }
    }

    /// The next 16 bits, zeros where there are none.
    fn peek(&mut self) -> usize {
        if self.len < 16 {
            self.fill();
        }
        let bits = if self.len >= 16 { self.value >> (self.len - 16) } else { self.value << (16 - self.len) };
        (bits & 0xFFFF) as usize
    }

    fn skip(&mut self, n: u32) -> Option<()> {
        if self.len < n {
            self.fill();
        }
        self.len = self.len.checked_sub(n)?;
        Some(())
    }

    /// Goes on behind a restart marker, which must be next.
    fn restart(&mut self) -> Option<()> {
        self.len = 0;
        while let [0xFF, 0xFF, ..] = self.rest {
            self.rest = &self.rest[1..];
        }
        let [0xFF, 0xD0..=0xD7, rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(())
    }
}

/// A Huffman code.
struct Table {
    /// Length and symbol by the next `FAST` bits; length 0 for longer codes.
    fast: Vec<(u8, u8)>,
    /// By length: the end of its codes, and what is added to a code for its place among the symbols.
    longer: [(usize, isize); 17],
    symbols: Vec<u8>,
}

const FAST: usize = 9;

impl Table {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Table { fast: vec![(0, 0); 1 << FAST], longer: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut place) = (0usize, 0usize);
        for (length, &count) in (1..).zip(counts) {
            let count = usize::from(count);
            table.longer[length] = (code + count, place as isize - code as isize);
            for (code, &symbol) in (code..).zip(symbols.get(place..place + count)?) {
                if length <= FAST {
                    let free = FAST - length;
                    table.fast.get_mut(code << free..(code + 1) << free)?.fill((length as u8, symbol));
                }
            }
            (code, place) = ((code + count) << 1, place + count);
        }
        Some(table)
    }

    /// The next symbol; none where the data end, or what comes is no code.
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let next = bits.peek();
        let (length, symbol) = self.fast[next >> (16 - FAST)];
        if length > 0 {
            bits.skip(u32::from(length))?;
            return Some(symbol);
        }
        for length in FAST + 1..=16 {
            let (code, (end, shift)) = (next >> (16 - length), self.longer[length]);
            if code < end {
                bits.skip(length as u32)?;
                return self.symbols.get(usize::try_from(code as isize + shift).ok()?).copied();
            }
        }
        None
    }
}
