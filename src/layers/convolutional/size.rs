//! Sizes along one or two axes, padding, and where windows stand.

use std::fmt;

use crate::error::{Error, Result};
use crate::kernels::patches::{Axis, Window};
use crate::tensor::{FREE, Shape};

/// One number for each axis that a layer works along: `[length]` or `[height, width]`. Made from an array, or from one number
/// for all axes.
///
/// ```
/// use gradus::layers::Size;
/// assert_eq!(Size::<2>::from(3), Size::from([3, 3]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Size<const D: usize>(pub(crate) [usize; D]);

impl<const D: usize> From<usize> for Size<D> {
    fn from(size: usize) -> Self {
        Size([size; D])
    }
}

impl<const D: usize> From<[usize; D]> for Size<D> {
    fn from(sizes: [usize; D]) -> Self {
        Size(sizes)
    }
}

impl<const D: usize> Size<D> {
    /// As height and width; a sequence has height 1.
    pub(crate) fn plane(self) -> [usize; 2] {
        match self.0[..] {
            [height, width] => [height, width],
            [length] => [1, length],
            _ => [1, 1],
        }
    }
}

impl<const D: usize> fmt::Debug for Size<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(feature = "serde")]
impl<const D: usize> serde::Serialize for Size<D> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&self.0[..], serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de, const D: usize> serde::Deserialize<'de> for Size<D> {
    fn deserialize<E: serde::Deserializer<'de>>(deserializer: E) -> Result<Self, E::Error> {
        let sizes = <Vec<usize> as serde::Deserialize>::deserialize(deserializer)?;
        let n = sizes.len();
        let wrong = |_| serde::de::Error::custom(format!("{n} sizes where {D} are expected"));
        sizes.try_into().map(Size).map_err(wrong)
    }
}

/// What is added in front of and behind an axis before a window slides over it.
///
/// With k = (kernel size − 1)·dilation + 1, the input positions that a window spans:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Padding {
    /// Nothing: output size ⌊(n − k) / stride⌋ + 1.
    #[default]
    Valid,
    /// As many zeros as make the output size ⌈n / stride⌉, half of them in front, the odd one behind.
    Same,
    /// k − 1 zeros in front, so that no output depends on what comes later; for sequences. Output size ⌊(n − 1) / stride⌋ + 1.
    Causal,
}

/// Every size and step is from 1 to this, and so is the number of a window's taps, which are numbered with 32 bits.
const MAX_SIZE: usize = 1 << 31;

/// The input positions that a kernel of at least one tap reaches over.
pub(super) fn span(kernel: usize, dilation: usize) -> Option<usize> {
    (kernel - 1).checked_mul(dilation)?.checked_add(1)
}

/// Checks that all sizes of a setting are at least 1 and not absurd.
pub(crate) fn check_sizes<const D: usize>(op: &'static str, name: &'static str, sizes: Size<D>) -> Result<()> {
    match sizes.0.iter().find(|n| !(1..=MAX_SIZE).contains(n)) {
        None => Ok(()),
        Some(0) => Err(Error::argument(op, name, "at least 1", 0, "1 is the smallest size and step")),
        Some(n) => Err(Error::argument(op, name, format!("at most {MAX_SIZE}"), n, "make it smaller")),
    }
}

/// Checks the rank of a sample of `D` axes and channels, and that its values can be counted; gives it as height, width and
/// channels.
pub(crate) fn check_rank<const D: usize>(op: &'static str, input: Shape) -> Result<[usize; 3]> {
    input.open_len(op)?;
    let (expected, hint) = match D {
        1 => ("sequences [length, channels]", "add a Reshape, such as Reshape([-1, 1]) for a single channel"),
        _ => ("images [height, width, channels]", "add a Reshape that names all three, 1 for grey images"),
    };
    match *input.dims() {
        [height, width, channels] if D == 2 => Ok([height, width, channels]),
        [length, channels] if D == 1 => Ok([1, length, channels]),
        _ => Err(Error::shape(op, expected, input, hint)),
    }
}

/// The window of a layer over samples of this shape; along an axis of free size it has a free output, and stands nowhere.
pub(crate) fn window<const D: usize>(
    op: &'static str,
    input: Shape,
    kernel: Size<D>,
    strides: Size<D>,
    dilation: Size<D>,
    padding: Padding,
) -> Result<Window> {
    let [height, width, channels] = check_rank::<D>(op, input)?;
    check_sizes(op, "kernel_size", kernel)?;
    check_sizes(op, "strides", strides)?;
    check_sizes(op, "dilation_rate", dilation)?;
    if padding == Padding::Causal && D != 1 {
        let hint = "images have no past; use Padding::Same";
        return Err(Error::argument(op, "padding", "Valid or Same for images", "Causal", hint));
    }
    let axis = |i: usize, input: usize| {
        // A sequence's height is 1, whatever the padding.
        let [kernel, stride, dilation] = [kernel, strides, dilation].map(|s| s.plane()[i]);
        let too_far = || {
            let got = format!("{kernel} taps with dilation {dilation} and stride {stride} over {input} positions");
            Error::argument(op, "kernel_size", "one whose positions can be counted", got, "make them smaller")
        };
        let spans = span(kernel, dilation).ok_or_else(too_far)?;
        if input == FREE {
            return Ok(Axis { input, output: FREE, kernel, stride, dilation, before: 0 });
        }
        let before_and_after = match padding {
            Padding::Valid => [0, 0],
            Padding::Causal if i == 0 => [0, 0],
            Padding::Causal => [spans - 1, 0],
            Padding::Same => {
                let last = (input.div_ceil(stride).max(1) - 1).checked_mul(stride);
                let end = last.and_then(|last| last.checked_add(spans)).ok_or_else(too_far)?;
                let total = end.saturating_sub(input);
                [total / 2, total - total / 2]
            }
        };
        let padded = before_and_after.iter().try_fold(input, |n, &more| n.checked_add(more)).ok_or_else(too_far)?;
        if padded < spans || input == 0 {
            let along = if D == 1 { "length" } else { ["height", "width"][i] };
            let expected = format!(
                "a {along} of at least {spans}, which the window spans (kernel size {kernel}, dilation {dilation})"
            );
            let hint = "pad with Padding::Same, take a smaller kernel, or reduce the size less before";
            return Err(Error::shape(op, expected, input, hint));
        }
        let output = (padded - spans) / stride + 1;
        Ok(Axis { input, output, kernel, stride, dilation, before: before_and_after[0] })
    };
    let (height, width) = (axis(0, height)?, axis(1, width)?);
    let taps = kernel.0.iter().try_fold(1usize, |n, &k| n.checked_mul(k)).filter(|&taps| taps <= MAX_SIZE);
    if taps.is_none() {
        let expected = format!("one of at most {MAX_SIZE} taps");
        return Err(Error::argument(op, "kernel_size", expected, format!("{kernel:?}"), "make it smaller"));
    }
    Ok(Window { height, width, channels })
}

/// The output shape of a window, with other channels.
pub(crate) fn output<const D: usize>(window: &Window, channels: usize) -> Shape {
    match D {
        1 => Shape::from([window.width.output, channels]),
        _ => Shape::from([window.height.output, window.width.output, channels]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes() {
        for (n, kernel, stride, dilation, padding, output, before) in [
            (28, 3, 1, 1, Padding::Valid, 26, 0),
            (28, 3, 2, 1, Padding::Valid, 13, 0),
            (28, 3, 1, 1, Padding::Same, 28, 1),
            (28, 3, 2, 1, Padding::Same, 14, 0),
            (27, 3, 2, 1, Padding::Same, 14, 1),
            (5, 2, 1, 1, Padding::Same, 5, 0),
            (2, 2, 5, 3, Padding::Same, 1, 1),
            (10, 3, 1, 2, Padding::Causal, 10, 4),
            (10, 3, 3, 1, Padding::Causal, 4, 2),
            (1, 1, 1, 1, Padding::Valid, 1, 0),
        ] {
            let w =
                window("test", Shape::from([n, 2]), Size([kernel]), Size([stride]), Size([dilation]), padding).unwrap();
            assert_eq!(
                (w.width.output, w.width.before),
                (output, before),
                "{n} {kernel} {stride} {dilation} {padding:?}"
            );
            assert_eq!((w.height.output, w.height.before, w.channels), (1, 0, 2));
        }
    }

    #[test]
    fn impossible_windows() {
        let image = |shape: &[usize], kernel: [usize; 2], strides: [usize; 2], padding| {
            let shape = Shape::try_from(shape).unwrap();
            window("Conv2d", shape, Size(kernel), Size(strides), Size([1, 1]), padding).unwrap_err().to_string()
        };
        assert_eq!(
            image(&[3, 8, 1], [5, 3], [1, 1], Padding::Valid),
            "Conv2d: expected a height of at least 5, which the window spans (kernel size 5, dilation 1), got 3; pad with \
             Padding::Same, take a smaller kernel, or reduce the size less before"
        );
        assert!(
            image(&[3, 8], [1, 1], [1, 1], Padding::Valid).contains("images [height, width, channels], got [3, 8]")
        );
        assert!(image(&[3, 8, 1], [1, 1], [0, 1], Padding::Valid).contains("strides must be at least 1, got 0"));
        assert!(image(&[3, 8, 1], [1, 0], [1, 1], Padding::Same).contains("kernel_size must be at least 1"));
        assert!(image(&[3, 8, 1], [1, usize::MAX], [1, 1], Padding::Same).contains("at most 2147483648"));
        assert!(image(&[3, 8, 1], [1, 1], [1, 1], Padding::Causal).contains("Valid or Same for images"));
    }

    #[test]
    fn sizes_whose_products_wrap() {
        const HUGE: usize = 1 << 31;
        let image = Shape::from([5, 7, 3]);
        let of = |kernel, stride, dilation, padding| {
            window("test", image, Size([kernel; 2]), Size([stride; 2]), Size([dilation; 2]), padding)
        };
        let error = of(HUGE, 1, 1, Padding::Same).unwrap_err().to_string();
        assert!(error.contains("kernel_size must be one of at most 2147483648 taps"), "{error}");
        // Steps and gaps past the edge are of no account.
        let far = of(2, HUGE, HUGE, Padding::Same).unwrap();
        assert_eq!((far.height.output, far.width.output, far.taps()), (1, 1, 4));
        assert!(of(2, 1, HUGE, Padding::Valid).unwrap_err().is_shape());
        let wide = Shape::from([usize::MAX / 2, 7, 3]);
        assert!(window("test", wide, Size([1; 2]), Size([1; 2]), Size([1; 2]), Padding::Same).unwrap_err().is_shape());
    }
}
