//! Models that label pictures.

#[cfg(feature = "image")]
use std::path::Path;

use super::face::opened_as;
use super::family::Task;
#[cfg(feature = "image")]
use super::image_processor::ImageProcessor;
use super::pretrained::Pretrained;
#[cfg(feature = "image")]
use super::sequence_classifier::Classified;
#[cfg(feature = "image")]
use crate::error::Error;
use crate::error::Result;
use crate::tensor::Float;
#[cfg(feature = "image")]
use crate::tensor::Tensor;

/// A classifier of pictures: `[height, width, channels]`, prepared as its folder says, become logits `[classes]`.
///
/// Python's `AutoModelForImageClassification`. Its input is `pixel_values`, with channels last as everywhere in this crate; sides and channels are those of
/// `config.json` (`image_size`, `num_channels`). How a file becomes that stands in `preprocessor_config.json`, see `ImageProcessor` (feature `image`).
///
/// ```no_run
/// use gradus::models::hf::ImageClassifier;
/// let classifier = ImageClassifier::from_pretrained("models/vit-base-patch16-224")?;
/// # #[cfg(feature = "image")]
/// for found in classifier.classify(&["cat.jpg", "street.png"])? {
///     println!("{} {:.3}", found.label, found.score);
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Trained on classes of one's own, from a model of any others:
///
/// ```no_run
/// # #[cfg(feature = "image")] {
/// use gradus::models::hf::{ImageClassifier, OpenOptions};
/// use gradus::prelude::*;
/// let options = OpenOptions::default().labels(["bee", "wasp"]);
/// let mut classifier = ImageClassifier::<f32>::open("models/vit-base-patch16-224-in21k", &options)?;
/// let x = classifier.inputs(&["photos/0.jpg", "photos/1.jpg"])?;
/// let y = Tensor::from_labels(&[0, 1]);
/// let loss = SparseCategoricalCrossentropy::default().from_logits(true);
/// classifier.model_mut().compile(AdamW::default().learning_rate(5e-5), loss, [Accuracy::default()])?;
/// classifier.model_mut().fit(&x, &y, &Fit::default().epochs(3))?;
/// classifier.save_pretrained("models/my-classifier")?;
/// # }
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct ImageClassifier<T: Float = f32>(Pretrained<T>);

opened_as!(ImageClassifier, Task::ImageClassification);

impl<T: Float> ImageClassifier<T> {
    /// The names of the classes.
    ///
    /// # Errors
    /// As [`Config::labels`](super::Config::labels).
    pub fn labels(&self) -> Result<Vec<String>> {
        self.config().labels()
    }
}

#[cfg(feature = "image")]
impl<T: Float> ImageClassifier<T> {
    /// How the folder says that pictures are prepared.
    ///
    /// # Errors
    /// As [`ImageProcessor::open`]; [`Error::File`] where what it gives does not fit the model.
    pub fn processor(&self) -> Result<ImageProcessor> {
        let processor = ImageProcessor::open(self.folder())?;
        let &[height, width, channels] = self.model().input_shape().dims() else {
            return Err(self.config().wrong("the model takes no pictures", "open it as what it is"));
        };
        match processor.size() {
            Some(size) if size != [height, width] => {
                let problem = format!(
                    "pictures become {size:?}, and the model takes {height} by {width} (image_size of config.json)"
                );
                Err(Error::file(
                    processor.path(),
                    problem,
                    "let both files say one size: positions of others are not built",
                ))
            }
            _ => processor.channels(channels),
        }
    }

    /// Pictures of files as the model takes them, `[pictures, height, width, channels]`: to predict with, or to train on.
    ///
    /// # Errors
    /// Those of [`processor`](Self::processor); [`Error::Io`] and [`Error::File`] for a file that is no picture, is damaged, or has another size where
    /// the folder says that pictures are not resized.
    pub fn inputs<P: AsRef<Path> + Sync>(&self, files: &[P]) -> Result<Tensor<T>> {
        let &[height, width, _] = self.model().input_shape().dims() else { return Ok(Tensor::default()) };
        self.processor()?.read_all(files, [height, width])
    }

    /// The logits `[pictures, classes]` of files.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs).
    pub fn logits<P: AsRef<Path> + Sync>(&self, files: &[P]) -> Result<Tensor<T>> {
        let classes = self.model().output_shape().last();
        let mut logits = Vec::with_capacity(files.len() * classes);
        for files in files.chunks(super::face::TOGETHER) {
            logits.extend_from_slice(self.model().predict(&self.inputs(files)?)?.as_slice());
        }
        Tensor::new([files.len(), classes], logits)
    }

    /// The most likely class of each file's picture.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn classify<P: AsRef<Path> + Sync>(&self, files: &[P]) -> Result<Vec<Classified>> {
        let (labels, logits) = (self.labels()?, self.logits(files)?);
        let best = |i: usize| {
            let (class, score) = super::face::largest(&super::face::softmax(logits.row(i)));
            Classified { label: labels[class].clone(), class, score }
        };
        Ok((0..files.len()).map(best).collect())
    }
}
