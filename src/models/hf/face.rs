//! What the kinds of models have in common beside what they hold.

/// The doors that every kind of model has.
macro_rules! opened_as {
    ($face:ident, $task:expr) => {
        impl $face {
            /// Opens a folder, with numbers of single precision.
            ///
            /// # Errors
            /// [`Error::Io`](crate::Error::Io) and [`Error::File`](crate::Error::File) for what cannot be read, is damaged or not built, with the file and what in
            /// it; see [the module](super).
            pub fn from_pretrained(folder: impl AsRef<std::path::Path>) -> crate::Result<Self> {
                Self::open(folder, &super::OpenOptions::default())
            }
        }

        impl<T: crate::Float> $face<T> {
            /// [`from_pretrained`](Self::from_pretrained) with settings, for any type of numbers.
            ///
            /// # Errors
            /// As there.
            pub fn open(folder: impl AsRef<std::path::Path>, options: &super::OpenOptions) -> crate::Result<Self> {
                Self::open_at(folder.as_ref(), options)
            }

            /// A model as `config.json` of a folder describes it, with weights that are drawn ([`OpenOptions::seed`](super::OpenOptions::seed)) as the recipe of
            /// [`models`](crate::models) draws them, to be trained from the start; those that the folder may have are not read. Its tokenizer is opened, and
            /// `save_pretrained` writes a folder that Python opens. Python: `AutoModel….from_config`.
            ///
            /// # Errors
            /// As [`open`](Self::open), but for weights; those of sizes that cannot work.
            pub fn from_config(
                folder: impl AsRef<std::path::Path>,
                options: &super::OpenOptions,
            ) -> crate::Result<Self> {
                Self::open_at(folder.as_ref(), &options.drawn())
            }

            #[inline(never)]
            fn open_at(folder: &std::path::Path, options: &super::OpenOptions) -> crate::Result<Self> {
                super::Pretrained::open(folder, $task, options, |_| Ok(())).map($face)
            }
        }

        super::face::dereferenced!($face);
    };
}

/// What holds a [`Pretrained`] and adds to it.
macro_rules! dereferenced {
    ($face:ident) => {
        impl<T: crate::Float> std::ops::Deref for $face<T> {
            type Target = super::Pretrained<T>;

            fn deref(&self) -> &super::Pretrained<T> {
                &self.0
            }
        }

        impl<T: crate::Float> std::ops::DerefMut for $face<T> {
            fn deref_mut(&mut self) -> &mut super::Pretrained<T> {
                &mut self.0
            }
        }

        impl<T: crate::Float> From<$face<T>> for crate::Model<T> {
            /// The model alone.
            fn from(face: $face<T>) -> Self {
                face.0.into_model()
            }
        }
    };
}

pub(super) use {dereferenced, opened_as};

/// Rows of texts or pictures that go through a model together.
#[cfg(any(feature = "text", feature = "image"))]
pub(super) const TOGETHER: usize = 32;

/// eᶻ / Σ eᶻ.
#[cfg(any(feature = "text", feature = "image"))]
pub(super) fn softmax<T: crate::Float>(z: &[T]) -> Vec<f64> {
    let top = z.iter().fold(f64::NEG_INFINITY, |top, z| top.max(z.as_f64()));
    let powers: Vec<f64> = z.iter().map(|z| (z.as_f64() - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// The place of the largest value, the first of equals, and the value.
#[cfg(any(feature = "text", feature = "image"))]
pub(super) fn largest(values: &[f64]) -> (usize, f64) {
    let better = |best: (usize, f64), (i, v): (usize, &f64)| if *v > best.1 { (i, *v) } else { best };
    values.iter().enumerate().fold((0, f64::NEG_INFINITY), better)
}

#[cfg(all(test, any(feature = "text", feature = "image")))]
mod tests {
    use super::*;

    #[test]
    fn probabilities() {
        let p = softmax(&[1000.0f32, 1000.0 + 3f32.ln(), f32::NEG_INFINITY]);
        assert!((p[0] - 0.25).abs() < 1e-4 && (p[1] - 0.75).abs() < 1e-4 && p[2] == 0.0, "{p:?}");
        assert_eq!(largest(&p).0, 1);
        assert_eq!(largest(&[0.5, 0.5]), (0, 0.5));
    }
}
