//! Keys and values of steps before, from which passes go on.

use super::AttentionSteps;
use crate::error::Result;
use crate::memory;
use crate::tensor::Float;

/// The steps so far of some rows, as attention keeps them: keys and values of every node, made by [`Net::cache`](crate::graph::Net::cache) for passes
/// that [go on](crate::graph::Net::go_on).
///
/// Rows may hold different numbers of steps. Clones are independent.
#[derive(Clone, Debug)]
pub struct Cache<T = f32> {
    /// The net that it belongs to.
    pub(crate) net: u64,
    /// Steps that a row has room for.
    capacity: usize,
    /// The most steps of a pass.
    piece: usize,
    /// Steps that each row holds.
    lens: Vec<usize>,
    /// By the number of the node; without places where a node keeps nothing.
    pub(crate) entries: Vec<Entry<T>>,
    /// The positions of all steps of a pass.
    positions: Vec<T>,
}

/// What one node keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry<T> {
    /// Keys, and values, `[rows, places, width]`.
    pub planes: [Vec<T>; 2],
    pub widths: [usize; 2],
    /// Steps of a row; where those are fewer than it has, a step takes the place of the one so many before it.
    pub places: usize,
    /// Which steps are seen, `[rows, places]`; empty where all are.
    pub seen: Vec<bool>,
    is_masked: bool,
    /// How many steps of an encoder each row has, where those are what is kept.
    source: Option<Vec<usize>>,
}

impl<T: Float> Entry<T> {
    /// Room for a node's steps, or with `is_source` for an encoder's.
    pub fn new(of: AttentionSteps, places: usize, is_masked: bool, is_source: bool) -> Self {
        let source = is_source.then(Vec::new);
        Entry { widths: of.widths, places, is_masked, source, ..Entry::default() }
    }

    /// Whether an encoder's steps are kept, which are there once and for all.
    pub fn is_source(&self) -> bool {
        self.source.is_some()
    }

    /// Steps that are there of a row that has so many.
    fn held(&self, row: usize, len: usize) -> usize {
        self.source.as_ref().map_or(len.min(self.places), |source| source[row])
    }

    fn resize(&mut self, rows: usize) -> Result<()> {
        let steps = rows.saturating_mul(self.places);
        for (plane, width) in self.planes.iter_mut().zip(self.widths) {
            let len = steps.saturating_mul(width);
            if len > plane.len() {
                memory::check_room::<T>("cache", format_args!("keys and values of {rows} rows"), len)?;
                // Zeros that nobody has written take no memory yet.
                let mut more = vec![T::zero(); len];
                more[..plane.len()].copy_from_slice(plane);
                *plane = more;
            }
        }
        if self.is_masked && steps > self.seen.len() {
            memory::resize("cache", "masks of its steps", &mut self.seen, steps, true)?;
        }
        if let Some(source) = &mut self.source {
            source.resize(rows.max(source.len()), 0);
        }
        Ok(())
    }

    /// The steps of one row, which has so many, to another.
    fn duplicate(&mut self, from: usize, to: usize, len: usize) {
        let (held, places) = (self.held(from, len), self.places);
        for (plane, width) in self.planes.iter_mut().zip(self.widths) {
            plane.copy_within(from * places * width..(from * places + held) * width, to * places * width);
        }
        if self.is_masked {
            self.seen.copy_within(from * places..from * places + held, to * places);
        }
        if let Some(source) = &mut self.source {
            source[to] = source[from];
        }
    }

    /// The steps of a row of another cache, as many as are wanted.
    fn take(&mut self, to: usize, other: &Entry<T>, from: usize, len: usize) {
        let held = other.held(from, len);
        for ((plane, others), width) in self.planes.iter_mut().zip(&other.planes).zip(self.widths) {
            let others = &others[from * other.places * width..][..held * width];
            plane[to * self.places * width..][..held * width].copy_from_slice(others);
        }
        if self.is_masked {
            self.seen[to * self.places..][..held].copy_from_slice(&other.seen[from * other.places..][..held]);
        }
        if let (Some(source), Some(other)) = (&mut self.source, &other.source) {
            source[to] = other[from];
        }
    }

    /// Writes steps of a row from position `at` on, where `seen` says which count.
    pub fn write(&mut self, row: usize, at: usize, steps: [&[T]; 2], seen: impl Fn(usize) -> bool) {
        let (places, n) = (self.places, steps[0].len() / self.widths[0].max(1));
        for ((plane, steps), width) in self.planes.iter_mut().zip(steps).zip(self.widths) {
            let mut done = 0;
            while done < n {
                // Up to the end of the ring.
                let place = (at + done) % places;
                let part = (places - place).min(n - done);
                let to = (row * places + place) * width;
                plane[to..to + part * width].copy_from_slice(&steps[done * width..][..part * width]);
                done += part;
            }
        }
        if self.is_masked {
            (0..n).for_each(|i| self.seen[row * places + (at + i) % places] = seen(i));
        }
        if let Some(source) = &mut self.source {
            source[row] = n;
        }
    }

    /// Which steps of all rows are seen, where any are not.
    pub fn mask(&self) -> Option<&[bool]> {
        self.is_masked.then_some(&self.seen)
    }
}

impl<T: Float> Cache<T> {
    pub(crate) fn new(net: u64, capacity: usize, piece: usize, entries: Vec<Entry<T>>) -> Self {
        Cache { net, capacity, piece, lens: Vec::new(), entries, positions: Vec::new() }
    }

    /// How many steps a row has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The most steps that a pass may add.
    pub(crate) fn piece(&self) -> usize {
        self.piece
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.lens.len()
    }

    /// How many steps a row holds; 0 for a row that is not there.
    pub fn steps(&self, row: usize) -> usize {
        self.lens.get(row).copied().unwrap_or(0)
    }

    /// Makes room for so many rows; those that are new hold no steps.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is no memory for them.
    pub fn reserve_rows(&mut self, rows: usize) -> Result<()> {
        if rows > self.lens.len() {
            self.entries.iter_mut().try_for_each(|entry| entry.resize(rows))?;
            self.lens.resize(rows, 0);
        }
        Ok(())
    }

    /// Forgets the steps of a row behind its first `len`. Steps that are gone from a window's ring cannot come back: then all are forgotten. How
    /// many are left.
    ///
    /// # Panics
    /// As a slice does for a row that is not there.
    pub fn truncate(&mut self, row: usize, len: usize) -> usize {
        let now = self.lens[row];
        if len < now {
            let lost = |entry: &Entry<T>| entry.places > 0 && !entry.is_source() && now > entry.places;
            self.lens[row] = if self.entries.iter().any(lost) { 0 } else { len };
        }
        self.lens[row]
    }

    /// Row `to` becomes what row `from` is.
    ///
    /// # Panics
    /// As a slice does for a row that is not there.
    pub fn copy_row(&mut self, from: usize, to: usize) {
        let len = self.lens[from];
        self.entries.iter_mut().filter(|entry| entry.places > 0).for_each(|entry| entry.duplicate(from, to, len));
        self.lens[to] = len;
    }

    /// Whether rows of another cache can be taken over.
    pub(crate) fn is_like(&self, other: &Cache<T>) -> bool {
        let alike = |(a, b): (&Entry<T>, &Entry<T>)| {
            a.widths == b.widths && a.is_masked == b.is_masked && a.source.is_some() == b.source.is_some()
        };
        self.entries.len() == other.entries.len() && self.entries.iter().zip(&other.entries).all(alike)
    }

    /// Row `to` gets the first steps of a row of a [like](Self::is_like) cache, as many as that holds and `most` allows, if they are still there and
    /// there is room; how many it has now.
    pub(crate) fn take_row(&mut self, to: usize, other: &Cache<T>, from: usize, most: usize) -> usize {
        let held = other.lens[from];
        let len = held.min(most).min(self.capacity);
        let fits = |(own, other): (&Entry<T>, &Entry<T>)| {
            let whole_ring = len == held && own.places == other.places;
            own.places == 0 || other.is_source() || whole_ring || (len <= own.places && held <= other.places)
        };
        if !self.entries.iter().zip(&other.entries).all(fits) {
            self.lens[to] = 0;
            return 0;
        }
        let pairs = self.entries.iter_mut().zip(&other.entries).filter(|(own, _)| own.places > 0);
        pairs.for_each(|(own, other)| own.take(to, other, from, len));
        self.lens[to] = len;
        len
    }

    /// What a row keeps, by the number of the node and a name: the values of as many steps as there are.
    #[cfg(feature = "files")]
    pub(crate) fn parts(&self, row: usize) -> impl Iterator<Item = (String, Vec<T>)> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.places > 0);
        entries.flat_map(move |(node, entry)| {
            let held = entry.held(row, self.lens[row]);
            let steps =
                |i: usize| entry.planes[i][row * entry.places * entry.widths[i]..][..held * entry.widths[i]].to_vec();
            let seen = entry.is_masked.then(|| {
                let seen = &entry.seen[row * entry.places..][..held];
                (format!("{node}/seen"), seen.iter().map(|seen| T::of(f64::from(u8::from(*seen)))).collect())
            });
            [(format!("{node}/keys"), steps(0)), (format!("{node}/values"), steps(1))].into_iter().chain(seen)
        })
    }

    /// Gives a row so many steps, with what `read` writes under these names.
    ///
    /// # Errors
    /// Those of `read`; the row holds no steps then.
    #[cfg(feature = "files")]
    pub(crate) fn read_parts(
        &mut self,
        row: usize,
        len: usize,
        mut read: impl FnMut(String, &mut [T]) -> Result<()>,
    ) -> Result<()> {
        self.lens[row] = 0;
        for (node, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| entry.places > 0) {
            let (held, places) = (entry.held(row, len), entry.places);
            for ((plane, width), name) in entry.planes.iter_mut().zip(entry.widths).zip(["keys", "values"]) {
                read(format!("{node}/{name}"), &mut plane[row * places * width..][..held * width])?;
            }
            if entry.is_masked {
                let mut seen = vec![T::zero(); held];
                read(format!("{node}/seen"), &mut seen)?;
                entry.seen[row * places..].iter_mut().zip(seen).for_each(|(own, seen)| *own = seen != T::zero());
            }
        }
        self.lens[row] = len;
        Ok(())
    }

    /// Takes notice of a pass over so many steps of each of these rows.
    pub(crate) fn begin(&mut self, rows: &[u32], steps: usize) {
        self.positions.clear();
        let lens = &self.lens;
        self.positions.extend(rows.iter().flat_map(|&row| {
            let first = lens[row as usize];
            (first..first + steps).map(|position| T::of(position as f64))
        }));
    }

    /// The positions of all steps of the pass.
    pub(crate) fn positions(&self) -> &[T] {
        &self.positions
    }

    /// Takes notice that rows hold so many steps more.
    pub(crate) fn advance(&mut self, rows: &[u32], steps: usize) {
        rows.iter().for_each(|&row| self.lens[row as usize] += steps);
    }

    /// Of an entry's row before a pass over so many steps: the position of the first, and how many keys there are with them.
    pub(crate) fn of_row(&self, entry: &Entry<T>, row: usize, steps: usize) -> [usize; 2] {
        match &entry.source {
            Some(source) => [0, source[row]],
            None => [self.lens[row], self.lens[row] + steps],
        }
    }
}

/// A cache in a pass.
#[derive(Debug)]
pub(crate) struct Going<'a, T> {
    pub cache: &'a mut Cache<T>,
    /// The row of the cache that each row of the batch goes on from.
    pub rows: &'a [u32],
    /// Whether an encoder's steps come with the pass.
    pub with_source: bool,
    /// The node that computes.
    pub node: usize,
}
