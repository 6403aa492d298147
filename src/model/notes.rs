//! What a model carries for those who predict with it.

use super::built::Model;
use crate::data::Scaler;
use crate::error::{Error, Result};
use crate::io::Beside;
use crate::tensor::Float;

impl<T: Float> Model<T> {
    /// Names the classes, in the order of their numbers; they are saved with the model.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("gradus_doc_notes_{}.safetensors", std::process::id()));
    /// # #[cfg(feature = "files")] {
    /// use gradus::prelude::*;
    /// let iris = iris();
    /// let scaler = StandardScaler::fit(&iris.x)?;
    /// let mut model = Sequential::new([4]).add(Dense::new(3).activation(Activation::Softmax)).build(1)?;
    /// model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    /// model.fit(&scaler.transform(&iris.x)?, &iris.y, &Fit::default().verbose(Verbose::Silent))?;
    /// model.set_class_names(["setosa", "versicolor", "virginica"])?;
    /// model.set_scaler(scaler)?;
    /// model.set_preprocessing("sepal length and width, petal length and width, in cm")?;
    /// model.save(&path)?;
    ///
    /// // The program that serves needs nothing but the file.
    /// let model = Model::load(&path)?;
    /// let mut x = Tensor::from([[5.1f32, 3.5, 1.4, 0.2]]);
    /// if let Some(scaler) = model.scaler() {
    ///     x = scaler.transform(&x)?;
    /// }
    /// let class = model.predict_classes(&x)?[0];
    /// assert!(["setosa", "versicolor", "virginica"].contains(&model.class_names()[class].as_str()));
    /// # std::fs::remove_file(&path).unwrap();
    /// # }
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a name twice or empty, for more than 2¹⁷ bytes of names, and where a model of one output has another number
    /// of classes: as many as the output's last axis is long, or two for a single number. None take the names away.
    pub fn set_class_names(&mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<()> {
        self.note("set_class_names", |beside| beside.notes.class_names = names.into_iter().map(Into::into).collect())
    }

    /// The names of the classes by their numbers; none where nobody has named them.
    pub fn class_names(&self) -> &[String] {
        &self.beside.notes.class_names
    }

    /// Keeps the scaler that inputs have to go through before they are predicted from; it is saved with the model. The model does not
    /// apply it.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than 4096 features.
    pub fn set_scaler(&mut self, scaler: impl Into<Scaler>) -> Result<()> {
        let scaler = scaler.into();
        self.note("set_scaler", |beside| beside.notes.scaler = Some(scaler))
    }

    /// The scaler that inputs have to go through, if the model carries one.
    pub fn scaler(&self) -> Option<&Scaler> {
        self.beside.notes.scaler.as_ref()
    }

    /// Keeps a text that says how inputs are prepared; it is saved with the model.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than 2¹⁶ bytes.
    pub fn set_preprocessing(&mut self, text: impl Into<String>) -> Result<()> {
        let text = text.into();
        self.note("set_preprocessing", |beside| beside.notes.preprocessing = text)
    }

    /// What was said of how inputs are prepared; empty where nothing was.
    pub fn preprocessing(&self) -> &str {
        &self.beside.notes.preprocessing
    }

    /// Takes notes, if they are sound.
    fn note(&mut self, op: &'static str, f: impl FnOnce(&mut Beside)) -> Result<()> {
        let before = self.beside.notes.clone();
        f(&mut self.beside);
        let checked = self.check_notes(op);
        if checked.is_err() {
            self.beside.notes = before;
        }
        checked
    }

    /// Checks the notes, also against the model's output.
    pub(crate) fn check_notes(&self, op: &'static str) -> Result<()> {
        let notes = &self.beside.notes;
        notes.check(op)?;
        let (names, width) = (notes.class_names.len(), self.output_shape().last());
        if names == 0 || self.net.outputs() != 1 || names == width || (width == 1 && names == 2) {
            return Ok(());
        }
        let expected = format!("as many as there are classes, {}", if width == 1 { 2 } else { width });
        Err(Error::argument(op, "class_names", expected, names, "name each output, in order"))
    }
}
