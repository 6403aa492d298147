//! A model's front door for texts.

use std::sync::Arc;

use super::built::Model;
use super::fit_options::Fit;
use super::history::{History, Scores};
use super::predictor::Predictor;
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::{FREE, Float, Shape, Tensor};
use crate::text::{TextFront, Width};

/// Values of inputs that are written out together.
const TOGETHER: usize = 1 << 20;

impl<T: Float> Model<T> {
    /// Gives the model a front door, through which it takes texts: what turns them into its input. It is saved with the model, so that the
    /// program that serves needs nothing but the file.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("gradus_doc_texts_{}.safetensors", std::process::id()));
    /// # #[cfg(feature = "files")] {
    /// use gradus::prelude::*;
    /// use gradus::text::TextVectorization;
    /// let texts = ["what a fine film", "a fine evening", "what a bore", "a dull bore"];
    /// let labels = Tensor::from([[1.0], [1.0], [0.0], [0.0]]);
    /// let front = TextVectorization::new().adapt(&texts)?;
    /// let mut model = Sequential::new([FREE])
    ///     .add(Embedding::new(front.vocabulary_size(), 8).mask_zero(true))
    ///     .add(GlobalAveragePooling1d::new())
    ///     .add(Dense::new(1).activation(Activation::Sigmoid))
    ///     .build(1)?;
    /// model.compile(Adam::default().learning_rate(0.1), BinaryCrossentropy::default(), [BinaryAccuracy::default()])?;
    /// model.set_text_front(front)?;
    /// model.fit_texts(&texts, &labels, &Fit::default().epochs(20).verbose(Verbose::Silent))?;
    /// model.save(&path)?;
    ///
    /// let model = Model::load(&path)?;
    /// assert_eq!(model.predict_text_classes(&["a fine bore, not dull", "fine"])?.len(), 2);
    /// assert_eq!(model.predict_text_classes(&["what a fine evening!"])?, [1]);
    /// # std::fs::remove_file(&path).unwrap();
    /// # }
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a front that has no vocabulary yet, or a model of several inputs; [`Error::Shape`] where the model's input has
    /// another shape than the front's rows, and [`Error::Argument`] where the front has more ids than the model's
    /// [`Embedding`](crate::layers::Embedding), or gives it features in their place. The model is unchanged then.
    pub fn set_text_front(&mut self, front: impl Into<TextFront>) -> Result<()> {
        self.set_front("set_text_front", front.into())
    }

    #[inline(never)]
    pub(crate) fn set_front(&mut self, op: &'static str, front: TextFront) -> Result<()> {
        front.check_for::<T>()?;
        let inputs = self.input_shapes();
        let [input] = inputs[..] else {
            let names = self.input_names().join(", ");
            let problem = format!("the model has {} inputs ({names}), texts are one", inputs.len());
            let hint = "turn the texts into a tensor with front.transform(&texts), and pass it with the others";
            return Err(Error::Config { op, problem, hint: hint.into() });
        };
        let row = front.output_shape();
        if !(input == row || input == Shape::from([FREE])) {
            let hint = match (front.width(), &front) {
                (Width::Free, TextFront::Tokenizer(_)) if input.rank() == 1 => {
                    let length = input.last();
                    format!(
                        "let the model's input be [FREE], or give the tokenizer a padding of PaddingStrategy::Fixed({length}) and \
                         Truncation::to({length})"
                    )
                }
                (Width::Free, _) if input.rank() == 1 => {
                    format!("set output_sequence_length({}), or let the model's input be [FREE]", input.last())
                }
                (Width::Free, _) => "let the model's input be [FREE]: Sequential::new([FREE])".into(),
                _ => format!("let the model's input be {row}: Sequential::new({row})"),
            };
            return Err(Error::shape(op, format!("a front that gives the model's input {input}"), row, hint));
        }
        let known = self.net.token_ids(0);
        if front.ids().is_none() && known.is_some() {
            let ids = match &front {
                TextFront::HashedNgrams(_) => "take HashedNgrams::ids(steps)",
                _ => "set output_mode(OutputMode::Int) before adapt",
            };
            let hint = format!("{ids}, or a Dense in the place of the Embedding");
            let expected = "one that gives ids, which the model's embedding takes";
            return Err(Error::argument(op, "front", expected, "features", hint));
        }
        if let (Some(ids), Some(known)) = (front.ids(), known)
            && ids > known
        {
            let expected = format!("one of at most {known} ids, as many as the model's embedding has");
            let fewer = match &front {
                TextFront::TextVectorization(_) => format!("bound the vocabulary with max_tokens({known})"),
                TextFront::HashedNgrams(_) => format!("take HashedNgrams::new({known})"),
                TextFront::Tokenizer(_) => "take the tokenizer that the model was built for".into(),
            };
            let hint = format!("build the model with Embedding::new({ids}, …), or {fewer}");
            return Err(Error::argument(op, "front", expected, ids, hint));
        }
        self.beside.front = Some(Arc::new(front));
        Ok(())
    }

    /// What turns texts into the model's input, if it has a front door.
    pub fn text_front(&self) -> Option<&TextFront> {
        self.beside.front.as_deref()
    }

    /// The outputs for texts, `[texts, …output]`.
    ///
    /// The output of a text does not depend, to the bit, on the others in the call: where the front gives ids of any number, each text is
    /// predicted with as many steps as it has tokens, and one where it has none, so that nothing is filled up. A model that was trained on texts
    /// that were filled up should not see what filled them: [`Embedding::mask_zero`](crate::layers::Embedding::mask_zero).
    ///
    /// # Errors
    /// As [`predict`](Self::predict), with the text; [`Error::Config`] for a model without a front door.
    pub fn predict_texts(&self, texts: &[impl AsRef<str>]) -> Result<Tensor<T>> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.predict_front("predict_texts", &texts)
    }

    /// The class of each text, by the rules of [`predict_classes`](Self::predict_classes).
    ///
    /// # Errors
    /// As [`predict_classes`](Self::predict_classes); [`Error::Config`] for a model without a front door.
    pub fn predict_text_classes(&self, texts: &[impl AsRef<str>]) -> Result<Vec<usize>> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.classes_of(|| self.predict_front("predict_text_classes", &texts))
    }

    /// [`fit`](Self::fit) on texts: they go through the front door once, before the first epoch. Where ids are of any number, all are filled up
    /// to the longest text; where that, or features of a large vocabulary, would take too much memory,
    /// [`TextSource`](crate::text::TextSource) writes out a batch at a time, for [`fit_dataset`](Self::fit_dataset). With callbacks:
    /// [`fit_with`](Self::fit_with) on what [`TextFront::transform`] gives.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::Config`] for a model without a front door; [`Error::Memory`] where there is no room for all texts.
    pub fn fit_texts<'a>(
        &mut self,
        texts: &[impl AsRef<str>],
        y: impl Into<Tensors<'a, T>>,
        how: &Fit<'_, T>,
    ) -> Result<History> {
        let x = self.front("fit_texts")?.transform(texts)?;
        self.fit_tensors((&x).into(), y.into(), how, &mut [])
    }

    /// [`evaluate`](Self::evaluate) on texts, filled up as by [`fit_texts`](Self::fit_texts): without a mask, what fills up short ones counts.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate) and [`fit_texts`](Self::fit_texts).
    pub fn evaluate_texts<'a>(&self, texts: &[impl AsRef<str>], y: impl Into<Tensors<'a, T>>) -> Result<Scores> {
        let x = self.front("evaluate_texts")?.transform(texts)?;
        self.evaluate_tensors((&x).into(), y.into(), None)
    }

    fn front(&self, op: &'static str) -> Result<&Arc<TextFront>> {
        self.beside.front.as_ref().ok_or_else(|| Error::Config {
            op,
            problem: "the model has no front door for texts".into(),
            hint: "give it one with model.set_text_front(…), or pass tensors to predict, fit and evaluate".into(),
        })
    }

    #[inline(never)]
    pub(crate) fn predict_front(&self, op: &'static str, texts: &[&str]) -> Result<Tensor<T>> {
        let front = self.front(op)?;
        let encoded = front.encode(texts)?;
        let width = |i: usize| front.width().of(encoded.row(i));
        // Texts of the same size go together.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| width(i));
        let (mut x, mut out) = (Tensor::default(), Tensor::default());
        let mut predictor = self.predictor()?;
        let mut y = Tensor::default();
        for same in order.chunk_by(|&a, &b| width(a) == width(b)) {
            let width = width(same[0]);
            for part in same.chunks((TOGETHER / width).max(1)) {
                memory::check_room::<T>(
                    op,
                    format_args!("{} texts of {width} values", part.len()),
                    part.len() * width,
                )?;
                x.resize([part.len(), width]);
                for (row, &i) in x.as_mut_slice().chunks_exact_mut(width).zip(part) {
                    front.write(encoded.row(i), row);
                }
                if let Err(error) = predictor.predict_into(&x, &mut y) {
                    let texts = part.iter().map(|&i| (i, texts[i]));
                    return Err(Self::blame_text(op, &mut predictor, &x, texts, error));
                }
                let sample = y.shape().sample();
                if out.is_empty() {
                    out = Tensor::try_full(sample.batched(texts.len())?, T::zero())?;
                } else if out.shape().sample() != sample {
                    let hint = "predict texts of one length at a time, or set output_sequence_length";
                    return Err(Error::shape(op, format!("outputs of shape {}", out.shape().sample()), sample, hint));
                }
                for (row, &i) in part.iter().enumerate() {
                    out.row_mut(i).copy_from_slice(y.row(row));
                }
            }
        }
        if texts.is_empty() {
            // No samples give no outputs, as in `predict`.
            return self.predict(&Tensor::zeros(self.net.input_shape(0).counting_free(1).batched(0)?));
        }
        Ok(out)
    }

    /// An error of some rows as that of the first text that has it: rows are in another order than texts.
    #[cold]
    fn blame_text<'t>(
        op: &'static str,
        predictor: &mut Predictor<'_, T>,
        x: &Tensor<T>,
        texts: impl Iterator<Item = (usize, &'t str)>,
        error: Error,
    ) -> Error {
        if !matches!(error, Error::Config { .. }) {
            return error;
        }
        let (mut row, mut y) = (Tensor::default(), Tensor::default());
        row.resize([1, x.shape().sample().len()]);
        for (at, (i, text)) in texts.enumerate() {
            row.as_mut_slice().copy_from_slice(x.row(at));
            if predictor.predict_into(&row, &mut y).is_err() {
                let shown: String = text.chars().take(40).collect();
                let problem = format!(
                    "the output of text {i}, {shown:?}, is NaN: a number inside overflows, or is a mean over no steps, where all are \
                     masked"
                );
                let hint = "leave out texts without tokens; mask_zero masks id 0, which some tokenizers give to a token: build the \
                            model without it then";
                return Error::Config { op, problem, hint: hint.into() };
            }
        }
        error
    }

    /// Takes the front door that a file holds.
    #[cfg(feature = "files")]
    pub(super) fn read_text_front(&mut self, archive: &mut crate::io::Archive<'_>, settings: &str) -> Result<()> {
        let array = |name: &str| {
            let name = format!("{}{name}", crate::io::TEXT_PREFIX);
            let stored = archive.arrays().iter().find(|stored| stored.name == name).cloned();
            stored.map(|stored| archive.value(&stored)).transpose()
        };
        let read = TextFront::read(settings, array).and_then(|front| self.set_front("load", front));
        read.map_err(|e| Error::file(archive.path(), format!("bad text front: {e}"), "save the model again"))
    }
}
