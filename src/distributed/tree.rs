//! In which order what belongs to logical shards is added up: a binary tree that depends on their number alone.
//!
//! A node is a stretch of shards, halved until it is one. A rank has consecutive shards; it adds up the largest nodes that lie within them,
//! its *roots*, and what is above is added by whoever has the roots of all. So every sum is the same one for any number of ranks, and a
//! rank sends one buffer, or a few, and not one for each shard.

use std::ops::Range;

/// The shards of a rank: consecutive ones, as many as others have, or one more.
pub(crate) fn shards_of(rank: usize, ranks: usize, shards: usize) -> Range<usize> {
    crate::data::Shard { number: rank, of: ranks }.rows(shards)
}

/// Where a node of two shards or more is halved.
fn middle(node: &Range<usize>) -> usize {
    node.start + node.len() / 2
}

/// The largest nodes of the tree over `shards` that lie within some shards, in their order.
pub(crate) fn roots(within: &Range<usize>, shards: usize) -> Vec<Range<usize>> {
    fn go(node: Range<usize>, within: &Range<usize>, out: &mut Vec<Range<usize>>) {
        if node.end <= within.start || within.end <= node.start || node.is_empty() {
            return;
        }
        if within.start <= node.start && node.end <= within.end {
            return out.push(node);
        }
        let at = middle(&node);
        go(node.start..at, within, out);
        go(at..node.end, within, out);
    }
    let mut out = Vec::new();
    go(0..shards, within, &mut out);
    out
}

/// The buffers that adding up a node takes: its height and one.
pub(crate) fn buffers(node: &Range<usize>) -> usize {
    match node.len() {
        0 | 1 => 1,
        _ => {
            let at = middle(node);
            buffers(&(node.start..at)).max(1 + buffers(&(at..node.end)))
        }
    }
}

/// Adds up a node into the first of the buffers: `leaf` fills one for a shard, `add` adds a second to a first.
pub(crate) fn add_up<B, E>(
    node: &Range<usize>,
    buffers: &mut [B],
    leaf: &mut impl FnMut(usize, &mut B) -> Result<(), E>,
    add: &mut impl FnMut(&mut B, &B),
) -> Result<(), E> {
    if node.len() <= 1 {
        return buffers.first_mut().map_or(Ok(()), |first| leaf(node.start, first));
    }
    let at = middle(node);
    add_up(&(node.start..at), buffers, leaf, add)?;
    let Some((first, rest)) = buffers.split_first_mut() else { return Ok(()) };
    add_up(&(at..node.end), rest, leaf, add)?;
    if let Some(second) = rest.first() {
        add(first, second);
    }
    Ok(())
}

/// Adds up all shards of a node but the last one. That one's buffer comes behind the filled ones, as many as are returned; added to those from
/// behind, each to the one before it, it makes the sum of [`add_up`].
pub(crate) fn add_up_before_last<B, E>(
    node: &Range<usize>,
    buffers: &mut [B],
    leaf: &mut impl FnMut(usize, &mut B) -> Result<(), E>,
    add: &mut impl FnMut(&mut B, &B),
) -> Result<usize, E> {
    let (mut node, mut filled) = (node.clone(), 0);
    while node.len() > 1 {
        let at = middle(&node);
        add_up(&(node.start..at), buffers.get_mut(filled..).unwrap_or(&mut []), leaf, add)?;
        (node, filled) = (at..node.end, filled + 1);
    }
    Ok(filled)
}

/// Adds up a node from pieces, which are nodes that cover it in their order, into the first of them.
pub(crate) fn add_pieces<B>(node: &Range<usize>, pieces: &mut [(Range<usize>, B)], add: &mut impl FnMut(&mut B, &B)) {
    if pieces.len() <= 1 {
        return;
    }
    let at = middle(node);
    let half = pieces.partition_point(|(piece, _)| piece.end <= at);
    let (left, right) = pieces.split_at_mut(half);
    add_pieces(&(node.start..at), left, add);
    add_pieces(&(at..node.end), right, add);
    if let (Some((_, first)), Some((_, second))) = (left.first_mut(), right.first()) {
        add(first, second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_shard_may_come_later() {
        for shards in 1..40 {
            let mut buffers = vec![String::new(); buffers(&(0..shards))];
            let leaf = &mut |shard: usize, out: &mut String| -> Result<(), ()> {
                *out = shard.to_string();
                Ok(())
            };
            let filled =
                add_up_before_last(&(0..shards), &mut buffers, leaf, &mut |a, b| *a = format!("({a}+{b})")).unwrap();
            let sums = buffers[..filled].iter().rev();
            let sum = sums.fold((shards - 1).to_string(), |last, before| format!("({before}+{last})"));
            assert_eq!(sum, whole(&(0..shards)));
        }
    }

    /// The sum as a text, with the parentheses of its order.
    fn whole(node: &Range<usize>) -> String {
        let mut buffers = vec![String::new(); buffers(node)];
        let leaf = &mut |shard: usize, out: &mut String| -> Result<(), ()> {
            *out = shard.to_string();
            Ok(())
        };
        add_up(node, &mut buffers, leaf, &mut |a, b| *a = format!("({a}+{b})")).unwrap();
        buffers.swap_remove(0)
    }

    #[test]
    fn the_order_of_a_sum_depends_on_the_shards_alone() {
        assert_eq!(whole(&(0..5)), "((0+1)+(2+(3+4)))");
        for shards in 1..40 {
            let expected = whole(&(0..shards));
            for ranks in 1..=shards + 3 {
                let mut pieces = Vec::new();
                let mut next = 0;
                for rank in 0..ranks {
                    let own = shards_of(rank, ranks, shards);
                    assert_eq!(own.start, next);
                    next = own.end;
                    let roots = roots(&own, shards);
                    assert!(roots.len() <= 2 * (usize::BITS - shards.leading_zeros()) as usize);
                    pieces.extend(roots.into_iter().map(|root| (root.clone(), whole(&root))));
                }
                assert_eq!(next, shards);
                add_pieces(&(0..shards), &mut pieces, &mut |a, b| *a = format!("({a}+{b})"));
                assert_eq!(pieces[0].1, expected, "{shards} shards on {ranks} ranks");
            }
        }
    }

    #[test]
    fn few_buffers_are_needed() {
        assert_eq!(buffers(&(0..1)), 1);
        assert_eq!(buffers(&(0..2)), 2);
        assert_eq!(buffers(&(0..12)), 5);
        assert_eq!(buffers(&(0..1024)), 11);
    }
}
