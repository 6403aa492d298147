//! Passes that go on from steps before: which nodes compute with each step, and what they keep.

use super::given::Given;
use super::net::Net;
use super::node::Code;
use super::work::Work;
use crate::error::{Error, Result};
use crate::layer::cache::{Entry, Going};
use crate::layer::{AttentionSteps, Cache, Continuation, Pass, Slot};
use crate::tensor::{FREE, Float, Tensor};

const OP: &str = "decoder";

/// How a net goes on along the steps of one of its inputs, found once by [`Net::course`].
#[derive(Clone, Debug)]
pub struct Course {
    net: u64,
    /// The input whose steps come piece by piece.
    input: usize,
    /// The nodes that compute with each piece.
    moves: Vec<bool>,
    /// What nodes keep, and whether that is an encoder's steps.
    kept: Vec<Option<(AttentionSteps, bool)>>,
    /// The node behind which a step's values need no other step's, where the last step alone can go on, and the values that are read there.
    cut: Option<(usize, Vec<u32>)>,
}

/// What a pass that goes on computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// What is kept, and no outputs.
    Kept,
    /// The outputs of the last step.
    Last,
    /// The outputs of all steps.
    All,
}

impl Course {
    /// The input whose steps come piece by piece, by position.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Whether anything comes from the other inputs: an encoder's steps.
    pub fn has_source(&self) -> bool {
        self.kept.iter().flatten().any(|(_, is_source)| *is_source)
    }
}

impl<T: Float> Net<T> {
    /// How the net goes on along the steps of an input, by position.
    ///
    /// # Errors
    /// [`Error::Layer`] with the node's name where one computes from steps that nothing keeps; [`Error::Shape`] for an input whose samples do not
    /// begin with a free number of steps.
    pub fn course(&self, input: usize) -> Result<Course> {
        let Some((name, shape)) = self.inputs.get(input) else {
            let expected = format!("below {}", self.inputs.len());
            return Err(Error::argument(OP, "input", expected, input, "name an input of the model"));
        };
        if shape.dims().first() != Some(&FREE) {
            let expected = format!("the input {name} with a free number of steps");
            return Err(Error::shape(OP, expected, shape, "build the model with FREE in the place of the number"));
        }
        let mut values = vec![false; self.shapes.len()];
        values[input] = true;
        let (mut moves, mut kept) = (vec![false; self.nodes.len()], vec![None; self.nodes.len()]);
        for (index, node) in self.nodes.iter().enumerate() {
            let from: Vec<bool> = node.wires.inputs.iter().map(|&v| values[v as usize]).collect();
            if !from.contains(&true) {
                continue;
            }
            moves[index] = true;
            node.wires.outputs.clone().for_each(|v| values[v as usize] = true);
            kept[index] = self.keeps(index, &from).map_err(|(problem, hint)| {
                let source = Box::new(Error::Config { op: OP, problem, hint: hint.to_owned() });
                Error::Layer { index, name: node.name.clone(), source }
            })?;
        }
        let cut = self.cut(&moves, &kept);
        Ok(Course { net: self.id, input, moves, kept, cut })
    }

    /// What a node keeps, some of whose inputs come piece by piece.
    #[allow(clippy::type_complexity)]
    fn keeps(&self, index: usize, from: &[bool]) -> Result<Option<(AttentionSteps, bool)>, (String, &'static str)> {
        let node = &self.nodes[index];
        let (class, continuation) = match &node.code {
            Code::Layer(layer) => (layer.class(), layer.continuation()),
            Code::Op(op) => (op.class(), op.continuation()),
        };
        let steps = |v: u32| self.shapes[v as usize].dims().first() == Some(&FREE);
        if !node.wires.outputs.clone().all(steps) {
            let problem = format!("{class} brings the steps of a sample together");
            return Err((problem, "end the model with an output for each step"));
        }
        match continuation {
            Continuation::Steps if !from.contains(&false) => {
                let ranks = |v: &u32| self.shapes[*v as usize].rank();
                let rank = ranks(&node.wires.inputs[0]);
                let is_embedding = matches!(&node.code, Code::Layer(layer) if layer.token_ids().is_some());
                if (rank > 1 || is_embedding) && node.wires.inputs.iter().all(|v| ranks(v) == rank) {
                    return Ok(None);
                }
                let problem = format!("{class} goes along the steps of a sample");
                Err((problem, "let each step be a row of features, [steps, features]"))
            }
            Continuation::Steps => {
                let problem = format!("{class} joins steps that come one by one with values that are there at once");
                Err((problem, "let an encoder's steps be read by attention alone"))
            }
            Continuation::Attention(of) => {
                let is_source = from[0] && !from[1..].contains(&true) && from.len() > 1;
                let hint = "an input of the model that says more of each step goes with fit and predict alone";
                if !is_source && from.contains(&false) {
                    return Err((format!("{class} attends to steps of two kinds at once"), hint));
                }
                if !is_source && !of.causal {
                    let hint = "make it causal, or predict with all steps at once";
                    return Err((format!("{class} attends to steps that are not there yet"), hint));
                }
                let keys = node.wires.inputs[usize::from(is_source)];
                if of.even && self.masks.of(keys).is_some() {
                    let hint = "let it give zeros where nothing is seen: even_where_empty(false)";
                    return Err((
                        format!("{class} gives a masked step the mean of all steps, of those to come too"),
                        hint,
                    ));
                }
                if is_source && of.window.is_some() {
                    return Err((
                        format!("{class} has a window over another sequence's steps"),
                        "leave out the window",
                    ));
                }
                Ok(Some((of, is_source)))
            }
            Continuation::Whole => {
                let problem = format!("{class} needs all steps at once");
                Err((problem, "a layer of your own that takes each step by itself says Continuation::Steps"))
            }
        }
    }

    /// The node behind which the last step can go on alone, and the values that are read there.
    fn cut(&self, moves: &[bool], kept: &[Option<(AttentionSteps, bool)>]) -> Option<(usize, Vec<u32>)> {
        let last = kept.iter().rposition(Option::is_some)?;
        if !self.masks.is_empty() {
            return None;
        }
        let made = |v: u32| self.nodes[..=last].iter().any(|node| node.wires.outputs.contains(&v));
        let behind = self.nodes.iter().zip(moves).skip(last + 1).filter(|(_, moves)| **moves);
        let mut read: Vec<u32> = behind.flat_map(|(node, _)| node.wires.inputs.iter().copied()).collect();
        read.extend(&self.outputs);
        read.sort_unstable();
        read.dedup();
        if read.iter().any(|&v| (v as usize) < self.inputs.len()) {
            return None;
        }
        read.retain(|&v| made(v));
        Some((last, read))
    }

    /// A cache without rows, for `capacity` steps of each and `source` of an encoder's, and for passes over at most `piece` steps.
    ///
    /// # Errors
    /// [`Error::Argument`] for a course of another net, or sizes of 0.
    pub fn cache(&self, course: &Course, capacity: usize, source: usize, piece: usize) -> Result<Cache<T>> {
        self.check_course(course)?;
        for (name, size) in [("capacity", capacity), ("piece", piece)] {
            if size == 0 {
                return Err(Error::argument(OP, name, "at least 1", size, "name a number of steps"));
            }
        }
        let entries = course.kept.iter().zip(&self.nodes).map(|(kept, node)| match *kept {
            None => Entry::default(),
            Some((of, is_source)) => {
                // A ring holds what the window of a piece's first step sees and the piece, in whole tiles.
                let ring = of.window.map(|window| window.saturating_add(piece).div_ceil(64).saturating_mul(64));
                let is_masked = self.masks.of(node.wires.inputs[usize::from(is_source)]).is_some();
                let places = match (is_source, ring) {
                    (true, _) => source.max(1),
                    (false, Some(ring)) if !is_masked => ring.min(capacity),
                    _ => capacity,
                };
                Entry::new(of, places, is_masked, is_source)
            }
        });
        let entries: Vec<Entry<T>> = entries.collect();
        let is_ring = entries.iter().any(|entry| entry.places > 0 && !entry.is_source() && entry.places < capacity);
        Ok(Cache::new(self.id, capacity, if is_ring { piece } else { usize::MAX }, entries))
    }

    fn check_course(&self, course: &Course) -> Result<()> {
        if course.net == self.id {
            return Ok(());
        }
        Err(Error::argument(OP, "course", "one of this net", "that of another", "call course on this net"))
    }

    /// Computes more steps of some rows of a cache, each from where it stands: row i of the batch goes on from row `rows[i]`. Of the inputs, that of the
    /// course has the new steps; the others are read if `with_source`, else any tensors that fit stand for them.
    ///
    /// What the net gives for these steps has the bits that one pass over all steps gives.
    ///
    /// ```
    /// use gradus::graph::{Graph, Until, Work};
    /// use gradus::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [FREE, 4]);
    /// let y = g.add(MultiHeadAttention::new(2, 2).causal(true), x);
    /// let (net, params) = g.build_net::<f32>(&[y], 1)?;
    /// let (course, mut work) = (net.course(0)?, Work::default());
    /// let mut cache = net.cache(&course, 8, 1, 8)?;
    /// cache.reserve_rows(1)?;
    /// let step = |i: usize| Tensor::from_fn([1, 1, 4], |k| (i * 4 + k) as f32 / 12.0);
    /// for i in 0..3 {
    ///     net.go_on(Pass::inference(&params), &mut work, &course, &mut cache, &[0], &[&step(i)], false, Until::All)?;
    /// }
    /// let last = net.output(&work, 0).clone();
    ///
    /// let all = Tensor::from_fn([1, 3, 4], |k| k as f32 / 12.0);
    /// net.forward(&mut Pass::inference(&params), &mut work, &[&all])?;
    /// assert_eq!(net.output(&work, 0).as_slice()[8..], *last.as_slice());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Shape`] for more steps than the cache has room for, and rows that are not there or twice. Nothing has
    /// changed then.
    #[allow(clippy::too_many_arguments)]
    #[inline(never)]
    pub fn go_on(
        &self,
        pass: Pass<'_, T>,
        work: &mut Work<T>,
        course: &Course,
        cache: &mut Cache<T>,
        rows: &[u32],
        x: &[&Tensor<T>],
        with_source: bool,
        until: Until,
    ) -> Result<()> {
        self.check_course(course)?;
        self.check_inputs(OP, x)?;
        let steps = x[course.input].shape().sample().first();
        self.check_rows(cache, rows, x, steps)?;
        self.prepare(work, Given::Refs(x))?;
        if with_source {
            self.check_source(course, cache, work)?;
        }
        for &row in rows {
            self.check_positions(cache.steps(row as usize), work)?;
        }
        let until = if steps == 1 && until == Until::Last { Until::All } else { until };
        if until == Until::Last {
            let last = |(i, x): (usize, &&Tensor<T>)| {
                let shape = x.shape().sample();
                if i == course.input { shape.with_first(1) } else { shape }
            };
            work.last_sizes.of_shapes(self.id, &self.shapes, self.named(), x.iter().enumerate().map(last))?;
        }
        if rows.is_empty() || steps == 0 {
            return Ok(());
        }
        cache.begin(rows, steps);
        self.run_on(pass, work, course, Going { cache, rows, with_source, node: 0 }, Given::Refs(x), until);
        cache.advance(rows, steps);
        Ok(())
    }

    /// Checks that there is room for an encoder's steps, after [`prepare`](Self::prepare).
    fn check_source(&self, course: &Course, cache: &Cache<T>, work: &Work<T>) -> Result<()> {
        for ((kept, entry), node) in course.kept.iter().zip(&cache.entries).zip(&self.nodes) {
            let Some((_, true)) = kept else { continue };
            let steps = work.sizes.shapes()[node.wires.inputs[1] as usize].first();
            if steps > entry.places {
                let expected = format!("at most {} steps of the encoder", entry.places);
                return Err(Error::shape(OP, expected, steps, "make a cache for as many"));
            }
        }
        Ok(())
    }

    fn check_rows(&self, cache: &Cache<T>, rows: &[u32], x: &[&Tensor<T>], steps: usize) -> Result<()> {
        if cache.net != self.id {
            return Err(Error::argument(OP, "cache", "one of this net", "that of another", "call cache on this net"));
        }
        if rows.len() != x[0].samples() {
            let expected = format!("a row of the cache for each of {} samples", x[0].samples());
            return Err(Error::shape(OP, expected, rows.len(), "name a row for each"));
        }
        for (i, &row) in rows.iter().enumerate() {
            if row as usize >= cache.rows() || rows[..i].contains(&row) {
                let expected = format!("rows below {}, each once", cache.rows());
                return Err(Error::shape(OP, expected, format!("{rows:?}"), "reserve rows, or copy one"));
            }
            let before = cache.steps(row as usize);
            if steps > cache.piece() {
                let expected = format!("at most {} steps at once, as its windows' rings hold", cache.piece());
                return Err(Error::shape(OP, expected, steps, "make a cache for longer pieces"));
            }
            if before.saturating_add(steps) > cache.capacity() {
                let expected = format!("at most {} steps in a row", cache.capacity());
                let hint = "make the context longer, or the text shorter";
                return Err(Error::shape(OP, expected, format!("{steps} behind {before}"), hint));
            }
        }
        Ok(())
    }

    /// The nodes of a pass that has been checked.
    fn run_on<'p>(
        &self,
        mut pass: Pass<'p, T>,
        work: &mut Work<T>,
        course: &Course,
        going: Going<'p, T>,
        x: Given<'_, T>,
        until: Until,
    ) {
        let layout = self.layout(false);
        if work.net != self.id {
            work.handed.forget();
        }
        (work.net, work.samples, work.kept) = (self.id, x.samples(), false);
        work.given.clear();
        let Work { values, slots, out, left_out, sizes, last_sizes, masks, common, .. } = work;
        if values.len() < layout.sizes.len() {
            values.resize_with(layout.sizes.len(), Tensor::default);
        }
        slots.resize_with(slots.len().max(1), Slot::new);
        for (i, x) in x.iter().enumerate().filter(|(i, _)| self.copied[*i]) {
            if let Some(register) = layout.register(i as u32) {
                values[register].copy_from(x);
            }
        }
        std::mem::swap(&mut pass.masks, masks);
        std::mem::swap(&mut pass.common, common);
        let with_source = going.with_source;
        let mut going = Some(going);
        let mut shapes = sizes.shapes();
        for i in (0..self.nodes.len()).filter(|&i| with_source || course.moves[i]) {
            // An encoder begins at its first step.
            if course.moves[i] {
                pass.going = going.take().map(|going| Going { node: i, ..going });
            }
            pass.logits = left_out.contains(&i);
            self.compute(i, layout, &mut pass, &mut slots[0], values, out, shapes, x);
            going = pass.going.take().or(going);
            match (&course.cut, until) {
                (Some((last, _)), Until::Kept) if *last == i => break,
                (Some((last, read)), Until::Last) if *last == i => {
                    let registers = read.iter().filter_map(|&v| layout.register(v));
                    registers.for_each(|register| keep_last(&mut values[register]));
                    shapes = last_sizes.shapes();
                }
                _ => {}
            }
        }
        std::mem::swap(&mut pass.common, common);
        std::mem::swap(&mut pass.masks, masks);
    }
}

/// The last step of each sample alone.
fn keep_last<T: Float>(x: &mut Tensor<T>) {
    let (samples, sample) = (x.samples(), x.shape().sample());
    let (steps, width) = (sample.first(), sample.len() / sample.first().max(1));
    let values = x.as_mut_slice();
    for i in 0..samples {
        values.copy_within(((i + 1) * steps - 1) * width..(i + 1) * steps * width, i * width);
    }
    x.resize_batch(&sample.with_first(1), samples);
}
