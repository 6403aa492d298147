//! A model that writes token by token.

use super::built::Model;
use super::prefix::Prefix;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::generation::Decoder;
use crate::graph::{Course, Given, Until, Work};
use crate::kernels::parallel;
use crate::layer::{Cache, Pass};
use crate::tensor::{FREE, Float, Shape, Tensor};

const OP: &str = "decoder";
/// Tokens of a row, where no layer says how many positions there are.
const CONTEXT: usize = 2048;
/// Tokens of a prompt that go through the layers together.
const PIECE: usize = 512;
/// Tokens, a source and its mask.
const MOST_INPUTS: usize = 3;

/// A model as what a [`Generator`](crate::generation::Generator) searches on: keys and values of the tokens so far are kept, so that a further token
/// costs one step of each layer.
///
/// - Made by [`Model::decoder`]. The model has an input of token ids `[T]`, T free, and one output `[T, vocabulary]`: logits, or probabilities of a
///   softmax, which is left out. Attention to steps of that input is causal; all else looks at each step by itself.
/// - Of a model with two or three inputs, one or two are the source, which the other's steps attend to (an encoder–decoder), and its mask: see
///   [`set_sources`](Self::set_sources).
/// - Defaults: as many tokens in a row as there are positions, 2,048 where no layer counts them; prompts in pieces of 512.
/// - The logits have the bits that [`Model::predict`] gives for all tokens at once, whatever the pieces and whichever rows stand beside. From the second
///   token on nothing is allocated.
/// - Attention with a window keeps what its window needs, in a ring.
///
/// ```
/// use gradus::generation::{GenerationSettings, Generator};
/// use gradus::models::Gpt2;
/// let small = Gpt2 { vocabulary: 20, context: 32, features: 16, blocks: 2, heads: 2, ..Gpt2::default() };
/// let model = small.build(1)?;
/// let mut decoder = model.decoder()?;
/// let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(5));
/// // Prompts of different lengths, each as if it were alone.
/// let both = generator.generate(&mut decoder, &[&[1, 2, 3][..], &[4]])?;
/// assert_eq!(both[1][0].tokens, generator.generate(&mut decoder, &[[4]])?[0][0].tokens);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct ModelDecoder<'m, T: Float = f32> {
    model: &'m Model<T>,
    course: Course,
    vocabulary: usize,
    /// The most positions that all layers know.
    positions: usize,
    context: Option<usize>,
    piece: usize,
    work: Work<T>,
    cache: Option<Cache<T>>,
    /// The row of the cache that each row has.
    rows: Vec<u32>,
    /// What the rows of the cache hold.
    tokens: Vec<Vec<u32>>,
    /// What is computed together: a tensor for each input.
    x: Vec<Tensor<T>>,
    sources: Vec<Tensor<T>>,
    prefix: Option<Prefix<T>>,
    /// Work space of `reorder`.
    taken: Vec<bool>,
    moved: Vec<u32>,
}

impl<T: Float> Model<T> {
    /// This model with a cache of its own, to write token by token.
    ///
    /// # Errors
    /// [`Error::Config`] for several outputs, or an output that is neither logits nor their softmax; [`Error::Shape`] for one that is not
    /// `[T, vocabulary]`; [`Error::Layer`] for a layer that cannot go on, by name.
    #[inline(never)]
    pub fn decoder(&self) -> Result<ModelDecoder<'_, T>> {
        if self.net.outputs() != 1 {
            let (names, hint) = (self.net.output_names(), "cut the model down to its logits, with Model::part");
            let problem = format!("the model has {} outputs ({})", names.len(), names.join(", "));
            return Err(Error::Config { op: OP, problem, hint: hint.into() });
        }
        let output = self.net.output_shape(0);
        let [FREE, vocabulary] = *output.dims() else {
            let hint = "end with a row of logits for each step";
            return Err(Error::shape(OP, "an output [T, vocabulary], T free", output, hint));
        };
        if vocabulary == FREE {
            return Err(Error::shape(OP, "a vocabulary of known size", output, "end with a Dense or TiedDense"));
        }
        let courses: Vec<Result<Course>> = (0..self.net.inputs()).map(|input| self.net.course(input)).collect();
        let last = courses.len().saturating_sub(1);
        let found = courses.iter().rposition(Result::is_ok).unwrap_or(last);
        let course = courses.into_iter().nth(found).unwrap_or_else(|| self.net.course(0))?;
        let names = self.net.input_names();
        if self.net.token_ids(course.input() as u32).is_none() {
            let problem = format!("the input {} is no token ids", names[course.input()]);
            return Err(Error::Config { op: OP, problem, hint: "begin with an Embedding".into() });
        }
        if names.len() > MOST_INPUTS || (names.len() > 1) != course.has_source() {
            let problem = format!("the model has {} inputs ({})", names.len(), names.join(", "));
            let hint = "decoders take one of tokens, and a source that attention reads, with a mask at most";
            return Err(Error::Config { op: OP, problem, hint: hint.into() });
        }
        let mut work = Work::default();
        match self.net.ending(0) {
            Some(ending) if ending.activation == Activation::Softmax => {
                self.net.leave_out(&mut work, std::iter::once(ending));
            }
            None => {}
            // Logits below a cap are logits (Gemma 2).
            Some(ending) if matches!(ending.activation, Activation::Linear | Activation::SoftCap(_)) => {}
            Some(ending) => {
                let problem = format!("the output ends in {:?}", ending.activation);
                return Err(Error::Config { op: OP, problem, hint: "end with logits, or their softmax".into() });
            }
        }
        let positions = self.net.max_positions();
        Ok(ModelDecoder {
            model: self,
            course,
            vocabulary,
            positions,
            context: None,
            piece: PIECE,
            work,
            cache: None,
            rows: Vec::new(),
            tokens: Vec::new(),
            x: vec![Tensor::default(); names.len()],
            sources: Vec::new(),
            prefix: None,
            taken: Vec::new(),
            moved: Vec::new(),
        })
    }
}

impl<'m, T: Float> ModelDecoder<'m, T> {
    /// How many tokens a row may have, prompt and further ones together. Memory is taken as it is filled. What was kept is forgotten.
    pub fn context_length(mut self, context: usize) -> Self {
        (self.context, self.cache) = (Some(context), None);
        self
    }

    /// How many tokens of a prompt go through the layers together; no result depends on it. What was kept is forgotten.
    pub fn piece_length(mut self, piece: usize) -> Self {
        (self.piece, self.cache) = (piece, None);
        self
    }

    /// The sources of the next prompts, one `[1, …]` for each, as the model's other input takes them; each is encoded once. Where the model has two others
    /// (a source, and a mask of it) there are two for each prompt, one after the other, in the order of the inputs.
    ///
    /// # Errors
    /// [`Error::Config`] for a model without such an input; [`Error::Shape`] for a tensor that does not fit it, or is not one sample.
    pub fn set_sources(&mut self, sources: impl IntoIterator<Item = Tensor<T>>) -> Result<()> {
        let each = self.source_inputs();
        if each == 0 {
            let problem = "the model has no source".to_owned();
            return Err(Error::Config { op: OP, problem, hint: "prompts alone are its input".into() });
        }
        let sources: Vec<_> = sources.into_iter().collect();
        for (i, source) in sources.iter().enumerate() {
            let input = self.source_input(i % each);
            let (shape, name) = (self.model.net.input_shape(input), self.model.net.input_names()[input]);
            if !source.fits(&shape) || source.samples() != 1 {
                let expected = format!("sources of {}, one sample each", shape.of_samples());
                return Err(Error::shape(OP, expected, source.shape(), format!("pass what the input {name} takes")));
            }
        }
        self.sources = sources;
        Ok(())
    }

    /// [`set_sources`](Self::set_sources) from token ids.
    ///
    /// # Errors
    /// As there.
    pub fn set_source_tokens(&mut self, sources: &[impl AsRef<[u32]>]) -> Result<()> {
        let tensor = |tokens: &[u32]| Tensor::from_fn([1, tokens.len()], |i| T::of(f64::from(tokens[i])));
        self.set_sources(sources.iter().map(|tokens| tensor(tokens.as_ref())))
    }

    /// Computes what prompts begin with, once: what is given is kept for [`set_prefix`](Self::set_prefix), in memory or in a file.
    ///
    /// # Errors
    /// As for prompts; [`Error::Config`] where the model has a source.
    pub fn prefix(&mut self, tokens: &[u32]) -> Result<Prefix<T>> {
        if self.course.has_source() {
            let problem = "what a decoder keeps depends on the source".to_owned();
            return Err(Error::Config { op: OP, problem, hint: "pass whole prompts".into() });
        }
        let mut logits = vec![T::zero(); self.vocabulary];
        self.check_tokens(tokens, 0)?;
        self.prompt(&[tokens], &mut logits)?;
        let row = self.rows[0] as usize;
        let Some(cache) = &self.cache else { unreachable!("made by prompt") };
        let mut own = self.cache_for(tokens.len())?;
        own.reserve_rows(1)?;
        own.take_row(0, cache, row, tokens.len());
        Ok(Prefix::new(self.model, tokens, own))
    }

    /// A prefix from a file that [`Prefix::save`] wrote, of this model.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] for a file that cannot be read, is damaged, no prefix, or one of another model or other weights.
    #[cfg(feature = "files")]
    pub fn load_prefix(&self, path: impl AsRef<std::path::Path>) -> Result<Prefix<T>> {
        Prefix::read(path.as_ref(), self.model, |steps| self.cache_for(steps))
    }

    /// From now on prompts that begin with a prefix begin with what was computed for it, with the same bits; `None` for none.
    ///
    /// # Errors
    /// [`Error::Config`] for a prefix of another model, or of other weights.
    pub fn set_prefix(&mut self, prefix: impl Into<Option<Prefix<T>>>) -> Result<()> {
        let prefix = prefix.into();
        if let Some(prefix) = &prefix {
            prefix.check(self.model, &self.cache_for(1)?)?;
        }
        self.prefix = prefix;
        Ok(())
    }

    /// A cache of its own for so many steps, without rows.
    fn cache_for(&self, steps: usize) -> Result<Cache<T>> {
        self.model.net.cache(&self.course, steps, 1, self.piece)
    }

    /// How many inputs there are beside the rows' tokens.
    fn source_inputs(&self) -> usize {
        self.model.net.inputs() - 1
    }

    /// Which input such a one is.
    fn source_input(&self, number: usize) -> usize {
        number + usize::from(number >= self.course.input())
    }

    fn most(&self) -> usize {
        self.context.unwrap_or(if self.positions == usize::MAX { CONTEXT } else { self.positions })
    }

    /// The cache, with so many rows.
    fn take_cache(&mut self, rows: usize) -> Result<Cache<T>> {
        let most = self.most();
        if most > self.positions {
            let expected = format!("at most {}, as the model has so many positions", self.positions);
            let hint = "shorten the context, or build the model with more positions";
            return Err(Error::argument(OP, "context", expected, most, hint));
        }
        let each = self.source_inputs();
        if each > 0 && self.sources.len() != rows.saturating_mul(each) {
            let names: Vec<&str> = (0..each).map(|i| self.model.net.input_names()[self.source_input(i)]).collect();
            let expected = format!("a source for each of {rows} prompts ({})", names.join(", "));
            return Err(Error::shape(OP, expected, self.sources.len(), "call set_sources with as many"));
        }
        // What an encoder makes of a source has as many steps, or fewer; more are an error of the net.
        let steps = self.sources.iter().map(|source| source.shape().sample().first());
        let source = steps.max().filter(|_| each > 0).unwrap_or(1);
        let cache = self.cache.take().filter(|cache| cache.capacity() == most && !self.course.has_source());
        let mut cache = match cache {
            Some(cache) => cache,
            None => {
                self.tokens.clear();
                self.model.net.cache(&self.course, most, source, self.piece)?
            }
        };
        cache.reserve_rows(rows.max(self.tokens.len()))?;
        self.tokens.resize_with(cache.rows(), Vec::new);
        Ok(cache)
    }

    /// Checks that there is room for the logits of so many rows.
    fn check_logits(&self, rows: usize, logits: &[T]) -> Result<()> {
        if logits.len() >= rows.saturating_mul(self.vocabulary) {
            return Ok(());
        }
        let expected = format!("room for {rows} rows of {} logits", self.vocabulary);
        Err(Error::shape(OP, expected, logits.len(), "pass a slice [rows, vocabulary]"))
    }

    fn check_tokens(&self, tokens: &[u32], row: usize) -> Result<()> {
        if tokens.is_empty() {
            let hint = "begin with a token, such as the one that begins texts";
            return Err(Error::shape(OP, "prompts of one token or more", format!("none in row {row}"), hint));
        }
        if tokens.len() > self.most() {
            let expected = format!("prompts of at most {} tokens", self.most());
            let got = format!("{} in row {row}", tokens.len());
            return Err(Error::shape(OP, expected, got, "make the context longer, or the prompt shorter"));
        }
        Ok(())
    }

    /// How many tokens of a prompt are known: the row of the cache, and those there; its own row if it is free.
    fn best_known(&self, cache: &Cache<T>, prompt: &[u32]) -> Option<(usize, usize)> {
        let common = |row: usize| {
            let held = &self.tokens[row][..cache.steps(row).min(self.tokens[row].len())];
            held.iter().zip(prompt).take_while(|(a, b)| a == b).count().min(prompt.len() - 1)
        };
        let rows = (0..cache.rows()).map(|row| (row, common(row))).filter(|(_, common)| *common > 0);
        rows.max_by_key(|&(row, common)| (common, !self.taken[row]))
    }

    /// Gives a prompt a row of the cache that begins with as much of it as is known.
    fn row_for(&mut self, cache: &mut Cache<T>, prompt: &[u32]) -> usize {
        let known = if self.course.has_source() { None } else { self.best_known(cache, prompt) };
        let from_prefix = self.prefix.as_ref().map_or(0, |prefix| prefix.common(prompt).min(prompt.len() - 1));
        let free = |taken: &[bool]| taken.iter().position(|taken| !taken).unwrap_or(0);
        let row = match known {
            Some((row, common)) if common >= from_prefix && !self.taken[row] => {
                cache.truncate(row, common);
                row
            }
            Some((row, common)) if common >= from_prefix => {
                let own = free(&self.taken);
                cache.copy_row(row, own);
                cache.truncate(own, common);
                own
            }
            _ => {
                let own = free(&self.taken);
                cache.truncate(own, 0);
                if let Some(prefix) = self.prefix.as_ref().filter(|_| from_prefix > 0) {
                    prefix.copy_to(cache, own, from_prefix);
                }
                own
            }
        };
        self.taken[row] = true;
        row
    }

    /// One pass over tokens of some rows of the cache, which stand in `x`.
    fn pass(&mut self, cache: &mut Cache<T>, rows: &[u32], with_source: bool, until: Until) -> Result<()> {
        let x = &self.x;
        let pass = Pass::inference(&self.model.params);
        let Some(first) = x.first() else { return Ok(()) };
        let mut all = [first; MOST_INPUTS];
        all.iter_mut().zip(x).for_each(|(all, x)| *all = x);
        let x = &all[..x.len().min(MOST_INPUTS)];
        let (net, work, course) = (&self.model.net, &mut self.work, &self.course);
        let steps = x.iter().map(|x| x.len()).sum::<usize>();
        // On a thread of the pool all parts of all layers are handed on from there.
        parallel::enter(self.model.params.values_len().saturating_mul(steps), || {
            net.go_on(pass, work, course, cache, rows, x, with_source, until)
        })
    }

    /// The logits of the last steps of the pass.
    fn write(&self, logits: &mut [T]) {
        let y = self.model.net.output(&self.work, 0);
        let (steps, rows) = (y.shape().sample().first(), y.samples());
        for (row, logits) in logits.chunks_exact_mut(self.vocabulary).enumerate().take(rows) {
            logits.copy_from_slice(&y.as_slice()[((row + 1) * steps - 1) * self.vocabulary..][..self.vocabulary]);
        }
    }

    /// Puts tokens where the pass finds them, and in the place of a source that is not read anything that fits.
    fn set_x(&mut self, tokens: &[u32], steps: usize) {
        let (input, rows) = (self.course.input(), tokens.len() / steps.max(1));
        self.x[input].resize(Shape::from([rows, steps]));
        self.x[input].as_mut_slice().iter_mut().zip(tokens).for_each(|(x, token)| *x = T::of(f64::from(*token)));
        for i in 0..self.source_inputs() {
            let source = self.source_input(i);
            let shape = self.model.net.input_shape(source).counting_free(1);
            self.x[source].resize_batch(&shape, rows);
            self.x[source].as_mut_slice().fill(T::zero());
        }
    }

    fn prompt_row(&mut self, cache: &mut Cache<T>, number: usize, prompt: &[u32], logits: &mut [T]) -> Result<()> {
        let (row, most) = (self.row_for(cache, prompt), self.most());
        let known = cache.steps(row);
        self.rows.push(row as u32);
        let tokens = &mut self.tokens[row];
        tokens.clear();
        tokens.reserve(most);
        tokens.extend_from_slice(prompt);
        let pieces = prompt[known..].chunks(self.piece.max(1));
        let count = pieces.len();
        for (i, piece) in pieces.enumerate() {
            self.set_x(piece, piece.len());
            let with_source = i == 0 && self.course.has_source();
            let each = if with_source { self.source_inputs() } else { 0 };
            for i in 0..each {
                let input = self.source_input(i);
                self.x[input].copy_from(&self.sources[number * each + i]);
            }
            if i == 0 {
                self.check_memory()?;
            }
            let until = if i + 1 == count { Until::Last } else { Until::Kept };
            self.pass(cache, &[row as u32], with_source, until)?;
        }
        self.write(logits);
        Ok(())
    }

    /// Looks whether there is memory for a pass over inputs that stand in `x`.
    fn check_memory(&mut self) -> Result<()> {
        let Some((first, more)) = self.x.split_first() else { return Ok(()) };
        let x = Given::Batch(first, more);
        self.model.net.check_given(OP, x)?;
        self.model.net.check_room(OP, &mut self.work, None, x, &mut 0)
    }
}

impl<T: Float> Decoder<T> for ModelDecoder<'_, T> {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn context(&self) -> usize {
        self.most()
    }

    fn prompt(&mut self, rows: &[&[u32]], logits: &mut [T]) -> Result<()> {
        self.check_logits(rows.len(), logits)?;
        for (row, tokens) in rows.iter().enumerate() {
            self.check_tokens(tokens, row)?;
        }
        let mut cache = self.take_cache(rows.len())?;
        self.rows.clear();
        self.taken.clear();
        self.taken.resize(cache.rows(), false);
        let each = rows.iter().zip(logits.chunks_exact_mut(self.vocabulary)).enumerate();
        let mut done = Ok(());
        for (number, (prompt, logits)) in each {
            done = self.prompt_row(&mut cache, number, prompt, logits);
            if done.is_err() {
                break;
            }
        }
        self.cache = Some(cache);
        if done.is_err() {
            // No step goes on from rows of which some stand in the middle of their prompts.
            self.rows.clear();
        }
        done
    }

    fn step(&mut self, tokens: &[u32], logits: &mut [T]) -> Result<()> {
        self.check_logits(tokens.len(), logits)?;
        let cache = self.cache.take().filter(|_| tokens.len() == self.rows.len());
        let Some(mut cache) = cache else {
            let expected = format!("a token for each of {} rows", self.rows.len());
            return Err(Error::shape(OP, expected, tokens.len(), "call prompt before step"));
        };
        self.set_x(tokens, 1);
        let rows = std::mem::take(&mut self.rows);
        let done = self.pass(&mut cache, &rows, false, Until::Last);
        if done.is_ok() {
            rows.iter().zip(tokens).for_each(|(row, token)| self.tokens[*row as usize].push(*token));
            self.write(logits);
        }
        (self.rows, self.cache) = (rows, Some(cache));
        done
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<()> {
        if let Some(row) = parents.iter().find(|&&row| row >= self.rows.len()) {
            let expected = format!("numbers of rows below {}", self.rows.len());
            return Err(Error::shape(OP, expected, row, "name rows that are there"));
        }
        let Some(cache) = &mut self.cache else { return Ok(()) };
        cache.reserve_rows(parents.len())?;
        self.tokens.resize_with(cache.rows(), Vec::new);
        self.taken.clear();
        self.taken.resize(cache.rows(), false);
        // The first that goes on from a row has it; nobody's rows are free.
        parents.iter().for_each(|&parent| self.taken[self.rows[parent] as usize] = true);
        let mut used = std::mem::take(&mut self.moved);
        used.clear();
        for (i, &parent) in parents.iter().enumerate() {
            let from = self.rows[parent];
            if !parents[..i].contains(&parent) {
                used.push(from);
                continue;
            }
            let to = self.taken.iter().position(|taken| !taken).unwrap_or(0);
            self.taken[to] = true;
            cache.copy_row(from as usize, to);
            let [tokens, own] = self.tokens.get_disjoint_mut([from as usize, to]).unwrap_or_else(|_| unreachable!());
            own.clone_from(tokens);
            used.push(to as u32);
        }
        self.moved = std::mem::replace(&mut self.rows, used);
        Ok(())
    }
}
