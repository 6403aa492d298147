//! The order in which the calls of a model can be computed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::parts::Tensor;

/// A call: the entry's place, and which of its calls.
pub(super) type Node = (usize, usize);

/// The calls that the outputs need, those that stand first in the file first where the order leaves a choice; else a circle. `read` says
/// what each call of each entry reads.
pub(super) fn order(read: &[Vec<Vec<Tensor>>], outputs: &[Tensor]) -> Result<Vec<Node>, Vec<Node>> {
    let mut first = Vec::new();
    let mut calls = Vec::new();
    for (e, of) in read.iter().enumerate() {
        first.push(calls.len());
        calls.extend((0..of.len()).map(|c| (e, c)));
    }
    let node = |t: &Tensor| first[t.entry] + t.call;
    let reads = |n: usize| {
        let (e, c) = calls[n];
        read[e][c].iter().map(node)
    };
    let mut needed = vec![false; calls.len()];
    let mut open: Vec<usize> = outputs.iter().map(node).collect();
    while let Some(n) = open.pop() {
        if !std::mem::replace(&mut needed[n], true) {
            open.extend(reads(n));
        }
    }
    let (mut waits, mut readers) = (vec![0usize; calls.len()], vec![Vec::new(); calls.len()]);
    for n in (0..calls.len()).filter(|&n| needed[n]) {
        for read in reads(n) {
            waits[n] += 1;
            readers[read].push(n);
        }
    }
    let mut ready: BinaryHeap<_> = (0..calls.len()).filter(|&n| needed[n] && waits[n] == 0).map(Reverse).collect();
    let mut out = Vec::new();
    while let Some(Reverse(n)) = ready.pop() {
        out.push(calls[n]);
        for &reader in &readers[n] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    // What still waits has a circle before it: back from one, along what waits too, until a call comes again.
    let Some(mut n) = (0..calls.len()).find(|&n| waits[n] > 0) else { return Ok(out) };
    let (mut place, mut way) = (vec![None; calls.len()], Vec::new());
    loop {
        if let Some(begin) = place[n] {
            return Err(way.split_off(begin));
        }
        place[n] = Some(way.len());
        way.push(calls[n]);
        match reads(n).find(|&read| waits[read] > 0) {
            Some(read) => n = read,
            None => return Err(way),
        }
    }
}

/// The order in which Keras calls what the outputs need: what stands furthest from them first. `read` says what each call of each entry reads, masks
/// too.
pub(super) fn as_called(read: &[Vec<Vec<Tensor>>], outputs: &[Tensor]) -> Vec<Node> {
    let reads = |&(e, c): &Node| &read[e][c][..];
    let node = |t: &Tensor| (t.entry, t.call);
    // Each behind all that it reads.
    let (mut met, mut behind) = (HashSet::new(), Vec::new());
    for output in outputs {
        let mut way = Vec::new();
        if met.insert(node(output)) {
            way.push((node(output), 0));
        }
        while let Some((n, next)) = way.last_mut() {
            match reads(n).get(*next) {
                Some(t) => {
                    *next += 1;
                    if met.insert(node(t)) {
                        way.push((node(t), 0));
                    }
                }
                None => {
                    behind.push(*n);
                    way.pop();
                }
            }
        }
    }
    let (mut depths, mut of_entries, mut out) = (HashMap::new(), vec![0usize; read.len()], Vec::new());
    for n in behind.iter().rev() {
        let depth = *depths.entry(*n).or_insert_with(|| {
            out.push(*n);
            0
        });
        // A layer that is called several times stands where its furthest call so far stands.
        let depth = depth.max(of_entries[n.0]);
        of_entries[n.0] = depth;
        depths.insert(*n, depth);
        for t in reads(n) {
            let of_read = depths.entry(node(t)).or_insert_with(|| {
                out.push(node(t));
                0
            });
            *of_read = (*of_read).max(depth + 1);
        }
    }
    out.sort_by_key(|n| Reverse(depths[n]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(entry: usize, call: usize) -> Tensor {
        Tensor { entry, call, output: 0 }
    }

    #[test]
    fn first_in_the_file_first() {
        // Entry 0 is called on entry 2 as well, entry 3 leads nowhere.
        let reads =
            [vec![vec![], vec![tensor(2, 0)]], vec![vec![]], vec![vec![tensor(1, 0)]], vec![vec![tensor(1, 0)]]];
        let outputs = [tensor(0, 1), tensor(0, 0)];
        assert_eq!(order(&reads, &outputs), Ok(vec![(0, 0), (1, 0), (2, 0), (0, 1)]));
    }

    #[test]
    fn furthest_from_the_outputs_first() {
        // Entry 1 is near, entries 2 and 3 are a way of two.
        let reads = vec![vec![vec![]], vec![vec![tensor(0, 0)]], vec![vec![tensor(0, 0)]], vec![vec![tensor(2, 0)]]];
        assert_eq!(as_called(&reads, &[tensor(1, 0), tensor(3, 0)]), [(0, 0), (2, 0), (3, 0), (1, 0)]);
        assert_eq!(as_called(&reads, &[tensor(3, 0), tensor(1, 0)]), [(0, 0), (2, 0), (1, 0), (3, 0)]);
        // What nobody needs is not called, and a circle by way of masks has an end.
        assert_eq!(as_called(&reads, &[tensor(1, 0)]), [(0, 0), (1, 0)]);
        let mut circle = reads;
        circle[0][0] = vec![tensor(3, 0)];
        assert_eq!(as_called(&circle, &[tensor(3, 0)]).len(), 3);
        // A layer called twice stands where its furthest call does.
        let twice = [vec![vec![]], vec![vec![tensor(0, 0)], vec![tensor(2, 0)]], vec![vec![tensor(1, 0)]]];
        assert_eq!(as_called(&twice, &[tensor(1, 1)]), [(0, 0), (1, 0), (2, 0), (1, 1)]);
        let n = 50_000;
        let long: Vec<_> = (0..n).map(|e| vec![if e + 1 < n { vec![tensor(e + 1, 0)] } else { Vec::new() }]).collect();
        assert_eq!(as_called(&long, &[tensor(0, 0)]).len(), n);
    }

    #[test]
    fn circles_are_found() {
        let reads =
            [vec![vec![tensor(2, 0)]], vec![vec![tensor(0, 0)]], vec![vec![tensor(1, 0)]], vec![vec![tensor(2, 0)]]];
        let mut circle = order(&reads, &[tensor(3, 0)]).unwrap_err();
        circle.sort_unstable();
        assert_eq!(circle, [(0, 0), (1, 0), (2, 0)]);
        let own = [vec![vec![tensor(0, 0)]]];
        assert_eq!(order(&own, &[tensor(0, 0)]), Err(vec![(0, 0)]));
    }

    #[test]
    fn long_chains() {
        let n = 50_000;
        let reads: Vec<_> = (0..n).map(|e| vec![if e + 1 < n { vec![tensor(e + 1, 0)] } else { Vec::new() }]).collect();
        assert_eq!(order(&reads, &[tensor(0, 0)]).unwrap().len(), n);
    }
}
