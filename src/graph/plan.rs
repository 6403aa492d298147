//! Which nodes a pass goes through, and where its values and gradients lie: found once, from the wiring alone.

use std::ops::Range;

/// A node's wiring: the places of its inputs and outputs among the values of the graph.
#[derive(Clone, Debug)]
pub(super) struct Wires {
    pub inputs: Vec<u32>,
    pub outputs: Range<u32>,
}

/// Where the values of a forward pass lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The register of each value; inputs that no operation reads and no output is have none.
    pub registers: Vec<Option<u32>>,
    /// The registers of each node's inputs, those of inputs of the graph that have none left at 0, and of its outputs.
    pub nodes: Vec<[Vec<u32>; 2]>,
    /// Values of a sample that each register holds at most.
    pub sizes: Vec<usize>,
}

impl Layout {
    /// The register of a value.
    pub fn register(&self, value: u32) -> Option<usize> {
        self.registers.get(value as usize).copied().flatten().map(|register| register as usize)
    }

    /// A register for every value, for passes after which backward may follow.
    pub fn keeping<'a>(nodes: impl Iterator<Item = &'a Wires>, lens: &[usize]) -> Self {
        Layout::new(nodes, (0..lens.len() as u32).map(Some).collect(), lens.to_vec())
    }

    /// Registers that values take turns in, for inference: a value's is free again behind its last reader. Outputs have their own, as
    /// callers exchange them; `copied` says which inputs have one at all.
    pub fn lean<'a>(
        nodes: impl ExactSizeIterator<Item = &'a Wires> + Clone,
        lens: &[usize],
        copied: &[bool],
        outputs: &[u32],
    ) -> Self {
        let mut last = vec![0; lens.len()];
        for (at, node) in nodes.clone().enumerate() {
            node.inputs.iter().for_each(|&v| last[v as usize] = at);
            node.outputs.clone().for_each(|v| last[v as usize] = at);
        }
        outputs.iter().for_each(|&v| last[v as usize] = nodes.len());
        let mut pool = Pool::default();
        let mut registers = vec![None; lens.len()];
        for (v, _) in copied.iter().enumerate().filter(|(_, copied)| **copied) {
            registers[v] = Some(pool.take(lens[v]));
        }
        for (at, node) in nodes.clone().enumerate() {
            for v in node.outputs.clone() {
                let len = lens[v as usize];
                registers[v as usize] = Some(if outputs.contains(&v) { pool.grow(len) } else { pool.take(len) });
            }
            let mut read: Vec<u32> = node.inputs.iter().copied().chain(node.outputs.clone()).collect();
            read.sort_unstable();
            read.dedup();
            for v in read.into_iter().filter(|&v| last[v as usize] == at) {
                registers[v as usize].into_iter().for_each(|register| pool.give_back(register));
            }
        }
        Layout::new(nodes, registers, pool.sizes)
    }

    fn new<'a>(nodes: impl Iterator<Item = &'a Wires>, registers: Vec<Option<u32>>, sizes: Vec<usize>) -> Self {
        let of = |v: u32| registers[v as usize].unwrap_or(0);
        let places =
            |node: &Wires| [node.inputs.iter().map(|&v| of(v)).collect(), node.outputs.clone().map(of).collect()];
        Layout { nodes: nodes.map(places).collect(), registers, sizes }
    }
}

/// Registers that are taken and given back.
#[derive(Debug, Default)]
struct Pool {
    sizes: Vec<usize>,
    free: Vec<u32>,
}

impl Pool {
    /// The smallest free register that is large enough, else the largest, which grows, else a new one.
    fn take(&mut self, len: usize) -> u32 {
        let size = |register: &u32| self.sizes[*register as usize];
        let fits = (0..self.free.len()).filter(|&i| size(&self.free[i]) >= len).min_by_key(|&i| size(&self.free[i]));
        let found = fits.or_else(|| (0..self.free.len()).max_by_key(|&i| size(&self.free[i])));
        match found {
            Some(i) => {
                let register = self.free.swap_remove(i);
                let size = &mut self.sizes[register as usize];
                *size = (*size).max(len);
                register
            }
            None => self.grow(len),
        }
    }

    /// A new register.
    fn grow(&mut self, len: usize) -> u32 {
        self.sizes.push(len);
        self.sizes.len() as u32 - 1
    }

    fn give_back(&mut self, register: u32) {
        self.free.push(register);
    }
}

/// The way back through a net: which nodes a gradient reaches and where gradients lie, for what is trained and asked for now.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// The net that it belongs to.
    pub(super) net: u64,
    /// The register of each output's gradient; none where nothing depends on it.
    pub(super) outputs: Vec<Option<u32>>,
    /// Of a value that is several outputs, the registers of the first one's gradient and of another one's, which is added to it.
    pub(super) again: Vec<(u32, u32)>,
    /// The register of each input's gradient, where it is asked for and any arrives.
    pub(super) inputs: Vec<Option<u32>>,
    /// Values of a sample that each register holds at most.
    pub(super) sizes: Vec<usize>,
    /// Which registers take gradients of which values.
    pub(super) holds: Vec<(u32, u32)>,
}

/// The backward pass of a node.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub node: usize,
    /// The registers of its outputs' gradients, and whether any has arrived; where none has it is zero.
    pub dy: Vec<(u32, bool)>,
    /// Where the inputs' gradients go.
    pub dx: Vec<Dx>,
}

/// Where the gradient of an input goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dx {
    /// Nobody needs it.
    Nowhere,
    /// To this register, as the first.
    Write(u32),
    /// To the second register, to be added to the first.
    Add(u32, u32),
}

impl Plan {
    /// Whether a node has a gradient to hand on.
    pub(crate) fn goes_through(&self, node: usize) -> bool {
        self.steps.iter().any(|step| step.node == node && step.dx.iter().any(|dx| *dx != Dx::Nowhere))
    }

    /// The way back from those `outputs` whose gradient is `given`, to the nodes that are `trained` and the inputs that are `asked` for.
    pub(super) fn new<'a>(
        nodes: impl DoubleEndedIterator<Item = &'a Wires> + ExactSizeIterator + Clone,
        lens: &[usize],
        trained: &[bool],
        asked: &[bool],
        outputs: &[u32],
        given: &[bool],
    ) -> Plan {
        // Whether anything that a gradient is wanted for takes part in a value.
        let mut depends = vec![false; lens.len()];
        depends[..asked.len()].copy_from_slice(asked);
        for (node, trained) in nodes.clone().zip(trained) {
            let any = *trained || node.inputs.iter().any(|&v| depends[v as usize]);
            node.outputs.clone().for_each(|v| depends[v as usize] = any);
        }
        let (mut pool, mut holds) = (Pool::default(), Vec::new());
        let mut take = |pool: &mut Pool, v: u32| {
            let register = pool.take(lens[v as usize]);
            holds.push((register, v));
            register
        };
        let mut at: Vec<Option<u32>> = vec![None; lens.len()];
        let mut plan = Plan::default();
        for (&v, &given) in outputs.iter().zip(given) {
            let register = (given && depends[v as usize]).then(|| take(&mut pool, v));
            plan.outputs.push(register);
            match (at[v as usize], register) {
                (Some(first), Some(register)) => plan.again.push((first, register)),
                (None, register) => at[v as usize] = register,
                _ => {}
            }
        }
        plan.again.iter().for_each(|&(_, register)| pool.give_back(register));
        for (i, node) in nodes.enumerate().rev() {
            let (arrives, goes_on) = (|v: u32| at[v as usize].is_some(), |v: &u32| depends[*v as usize]);
            if !node.outputs.clone().any(arrives) || !(trained[i] || node.inputs.iter().any(goes_on)) {
                continue;
            }
            let mut spare = Vec::new();
            let mut dy = Vec::new();
            for v in node.outputs.clone() {
                let arrived = at[v as usize].is_some();
                dy.push((*at[v as usize].get_or_insert_with(|| take(&mut pool, v)), arrived));
            }
            let mut dx = Vec::new();
            for &v in &node.inputs {
                dx.push(match (goes_on(&v), at[v as usize]) {
                    (false, _) => Dx::Nowhere,
                    (true, None) => Dx::Write(*at[v as usize].insert(take(&mut pool, v))),
                    (true, Some(register)) => {
                        spare.push(take(&mut pool, v));
                        Dx::Add(register, spare[spare.len() - 1])
                    }
                });
            }
            spare.into_iter().chain(dy.iter().map(|(register, _)| *register)).for_each(|r| pool.give_back(r));
            plan.steps.push(Step { node: i, dy, dx });
        }
        plan.inputs = (0..asked.len()).map(|v| at[v].filter(|_| asked[v])).collect();
        (plan.sizes, plan.holds) = (pool.sizes, holds);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wires(list: &[(&[u32], Range<u32>)]) -> Vec<Wires> {
        list.iter().map(|(inputs, outputs)| Wires { inputs: inputs.to_vec(), outputs: outputs.clone() }).collect()
    }

    #[test]
    fn a_chain_takes_turns_in_two_registers() {
        let nodes = wires(&[(&[0], 1..2), (&[1], 2..3), (&[2], 3..4), (&[3], 4..5)]);
        let layout = Layout::lean(nodes.iter(), &[7, 5, 3, 5, 2], &[false], &[4]);
        assert_eq!(layout.sizes, [5, 3, 2]);
        assert_eq!(layout.register(0), None);
        let plan = Plan::new(nodes.iter(), &[7, 5, 3, 5, 2], &[true; 4], &[false], &[4], &[true]);
        assert_eq!(plan.sizes.len(), 2);
        assert_eq!(plan.steps.iter().map(|step| step.node).collect::<Vec<_>>(), [3, 2, 1, 0]);
        assert_eq!(plan.steps[3].dx, [Dx::Nowhere]);
    }

    #[test]
    fn gradients_stop_where_nothing_is_trained() {
        // A frozen branch, and one that leads to no output.
        let nodes = wires(&[(&[0], 2..3), (&[1], 3..4), (&[2, 3], 4..5), (&[3], 5..6)]);
        let lens = [4; 6];
        let plan = Plan::new(nodes.iter(), &lens, &[false, true, false, true], &[false, false], &[4], &[true]);
        assert_eq!(plan.steps.iter().map(|step| step.node).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(plan.steps[0].dx[0], Dx::Nowhere);
        let none = Plan::new(nodes.iter(), &lens, &[false; 4], &[false, false], &[4], &[true]);
        assert!(none.steps.is_empty() && none.outputs == [None]);
        let asked = Plan::new(nodes.iter(), &lens, &[false; 4], &[true, false], &[4], &[true]);
        assert!(asked.inputs[0].is_some() && asked.inputs[1].is_none());
    }

    #[test]
    fn readers_of_one_value_are_added_up() {
        let nodes = wires(&[(&[0], 1..2), (&[1, 1], 2..3), (&[1], 3..4), (&[2, 3], 4..5)]);
        let plan = Plan::new(nodes.iter(), &[4; 5], &[true; 4], &[false], &[4], &[true]);
        let adds = plan.steps.iter().flat_map(|step| &step.dx).filter(|dx| matches!(dx, Dx::Add(..))).count();
        assert_eq!(adds, 2);
        // No step's registers overlap.
        for step in &plan.steps {
            let mut all: Vec<u32> = step.dy.iter().map(|(register, _)| *register).collect();
            for dx in &step.dx {
                match *dx {
                    Dx::Nowhere => {}
                    Dx::Write(register) => all.push(register),
                    Dx::Add(_, spare) => all.push(spare),
                }
            }
            let n = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), n);
        }
    }
}
