//! U-Net.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Part, Value};
use crate::layers::merging::Concatenate;
use crate::layers::{BatchNorm, Conv2d, Conv2dTranspose, MaxPooling2d, Padding};
use crate::tensor::Shape;

/// U-Net for images `[height, width, channels]`: a class for every pixel, `[height, width, classes]`.
///
/// Down: at each of `depth` levels two convolutions of 3×3 with ReLU, then a maximum over 2×2; the filters double from level to level.
/// At the bottom two convolutions more. Up: a transposed convolution of 2×2 that doubles the size and halves the filters, beside it what
/// came from the same level on the way down, and two convolutions. At the end a convolution of 1×1 with `classes` filters.
///
/// - Defaults: 64 filters at the first level, depth 4, no batch normalisation, softmax at the end, sigmoid for a single class.
/// - Heights and widths are multiples of 2^depth, 16 by default.
/// - Weights are `down_1/conv2d/kernel` … `bottom/…`, `up_1/…` (up_1 is the last), `head/…`; add a second one under a name.
///
/// Convolutions pad, in the place of the paper's, whose output is smaller than its input. Ronneberger et al.: "U-Net: Convolutional
/// Networks for Biomedical Image Segmentation", 2015.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::models::UNet;
///
/// let mut g = Graph::new();
/// let image = g.input("image", [16, 24, 3]);
/// let mask = g.add(UNet::new(1).filters(4).depth(3), image);
/// let (net, params) = g.build_net::<f32>(&[mask], 0)?;
/// assert_eq!(net.output_shapes(), [[16, 24, 1].into()]);
/// assert_eq!(params.specs()[0].name, "down_1/conv2d/kernel");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UNet {
    classes: usize,
    filters: usize,
    depth: usize,
    batch_norm: bool,
    activation: Activation,
}

impl UNet {
    /// With so many classes; 1 is a mask.
    pub fn new(classes: usize) -> Self {
        let activation = if classes == 1 { Activation::Sigmoid } else { Activation::Softmax };
        UNet { classes, filters: 64, depth: 4, batch_norm: false, activation }
    }

    /// Filters of the first level; 64 by default.
    pub fn filters(mut self, filters: usize) -> Self {
        self.filters = filters;
        self
    }

    /// How often the size is halved; 4 by default.
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Whether [`BatchNorm`] stands between each convolution of 3×3, which has no bias then, and its ReLU; no by default.
    pub fn batch_norm(mut self, yes: bool) -> Self {
        self.batch_norm = yes;
        self
    }

    /// The activation at the end; softmax by default, sigmoid for a single class.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The filters of each level and of the bottom.
    fn levels(&self) -> Result<Vec<usize>> {
        let too_many = || {
            let expected = format!("so small that {}·2^depth filters at the bottom are below 2^32", self.filters);
            Error::argument("UNet", "depth", expected, self.depth, "4 is usual")
        };
        for (name, n) in [("filters", self.filters), ("depth", self.depth)] {
            if n == 0 {
                return Err(Error::argument("UNet", name, "at least 1", 0, "64 filters and depth 4 are usual"));
            }
        }
        let level = |i: usize| self.filters.checked_shl(u32::try_from(i).ok()?).filter(|n| n >> i == self.filters);
        (0..=self.depth).map(|i| level(i).filter(|n| *n <= u32::MAX as usize).ok_or_else(too_many)).collect()
    }

    /// An error where images of this shape cannot be halved so often.
    fn check(&self, image: Shape) -> Result<()> {
        let step = 1usize << self.depth;
        match image.dims() {
            [height, width, _] if height % step == 0 && width % step == 0 => Ok(()),
            [height, width, _] => {
                let near = |size: &usize| match (size / step * step, size.div_ceil(step).saturating_mul(step)) {
                    (0, above) => format!("{above}"),
                    (below, above) if below == above => format!("{below}"),
                    (below, above) => format!("{below} or {above}"),
                };
                let expected = format!("images whose height and width are multiples of {step}, 2^depth");
                let hint = format!(
                    "a height of {} and a width of {} work: pad, crop or resize, or take a smaller depth",
                    near(height),
                    near(width)
                );
                Err(Error::shape("UNet", expected, image, hint))
            }
            _ => Err(Error::shape("UNet", "images [height, width, channels]", image, "a Reshape adds an axis of 1")),
        }
    }

    /// Two convolutions of 3×3.
    fn convolutions(&self, g: &mut Graph, filters: usize, x: Value) -> Value {
        (0..2).fold(x, |x, _| {
            let conv = Conv2d::new(filters, 3).padding(Padding::Same);
            if !self.batch_norm {
                return g.add(conv.activation(Activation::Relu), x);
            }
            let z = g.add(conv.use_bias(false), x);
            g.add(BatchNorm::new().activation(Activation::Relu), z)
        })
    }
}

impl Part for UNet {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        let checked = self.levels().and_then(|levels| {
            g.input_shape(x).map_or(Ok(()), |image| self.check(image))?;
            Ok(levels)
        });
        let levels = match checked {
            Ok(levels) => levels,
            Err(problem) => {
                g.refuse(problem);
                return x;
            }
        };
        let (mut x, mut skips) = (x, Vec::new());
        for (i, &filters) in levels[..self.depth].iter().enumerate() {
            let skip = g.scope(&format!("down_{}", i + 1), |g| self.convolutions(g, filters, x));
            skips.push(skip);
            x = g.add(MaxPooling2d::new(2), skip);
        }
        x = g.scope("bottom", |g| self.convolutions(g, levels[self.depth], x));
        for (i, skip) in skips.into_iter().enumerate().rev() {
            x = g.scope(&format!("up_{}", i + 1), |g| {
                let larger = g.add(Conv2dTranspose::new(levels[i], 2).strides(2), x);
                let both = g.op(Concatenate::new(), &[skip, larger]);
                self.convolutions(g, levels[i], both)
            });
        }
        g.add_named("head", Conv2d::new(self.classes, 1).activation(self.activation), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(net: UNet, image: [usize; 3]) -> Result<(crate::graph::Net, crate::Params)> {
        let mut g = Graph::new();
        let x = g.input("image", image);
        let y = g.add(net, x);
        g.build_net::<f32>(&[y], 0)
    }

    #[test]
    fn weights_are_those_of_the_paper() {
        let conv = |from: usize, to: usize| 9 * from * to + to;
        let two = |from, to| conv(from, to) + conv(to, to);
        let up = |from: usize| 4 * from * from / 2 + from / 2 + two(from, from / 2);
        let count = |net: UNet, image| built(net, image).unwrap().1.len();
        let expected = two(2, 3) + two(3, 6) + two(6, 12) + up(12) + up(6) + 3 * 5 + 5;
        assert_eq!(count(UNet::new(5).filters(3).depth(2), [8, 4, 2]), expected);
        // Four numbers of a batch norm in the place of a bias.
        let norms = 3 * 2 * (3 + 6 + 12 + 6 + 3);
        assert_eq!(count(UNet::new(5).filters(3).depth(2).batch_norm(true), [8, 4, 2]), expected + norms);
        // 31 million in the paper's size, by the same sum.
        let sum: usize = two(1, 64) + [64, 128, 256, 512].map(|n| two(n, 2 * n) + up(2 * n)).iter().sum::<usize>();
        assert_eq!(sum + 64 * 2 + 2, 31_030_658);
    }

    #[test]
    fn names_and_shapes() {
        let (net, params) = built(UNet::new(4).filters(2).depth(1), [6, 2, 3]).unwrap();
        assert_eq!(net.output_shapes(), [[6, 2, 4].into()]);
        let names: Vec<_> =
            params.specs().iter().map(|spec| spec.name.as_str()).filter(|n| n.contains("kernel")).collect();
        let expected = [
            "down_1/conv2d/kernel",
            "down_1/conv2d_1/kernel",
            "bottom/conv2d/kernel",
            "bottom/conv2d_1/kernel",
            "up_1/conv2d_transpose/kernel",
            "up_1/conv2d/kernel",
            "up_1/conv2d_1/kernel",
            "head/kernel",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn sizes_that_do_not_divide() {
        let error = |net: UNet, image| built(net, image).unwrap_err().to_string();
        assert_eq!(
            error(UNet::new(2), [100, 48, 3]),
            "UNet: expected images whose height and width are multiples of 16, 2^depth, got [100, 48, 3]; a height of 96 or 112 \
             and a width of 48 work: pad, crop or resize, or take a smaller depth"
        );
        assert!(error(UNet::new(2).depth(3), [8, 5, 3]).contains("a height of 8 and a width of 8 work"));
        for (net, setting) in [(UNet::new(2).depth(0), "depth"), (UNet::new(2).filters(0), "filters")] {
            assert!(error(net, [16, 16, 1]).contains(&format!("UNet: {setting} must be at least 1, got 0")));
        }
        for depth in [30, 63, 64, usize::MAX] {
            assert!(error(UNet::new(2).depth(depth), [16, 16, 1]).contains("UNet: depth must be"), "{depth}");
        }
        assert!(error(UNet::new(0).depth(1), [2, 2, 1]).contains("head"));
        let mut g = Graph::new();
        let x = g.input("row", [16]);
        let y = g.add(UNet::new(2), x);
        assert!(
            g.build_net::<f32>(&[y], 0).unwrap_err().to_string().contains("expected images [height, width, channels]")
        );
        // Behind another layer the skip is where it does not fit.
        let mut g = Graph::new();
        let x = g.input("image", [6, 6, 1]);
        let x = g.add(Conv2d::new(1, 2), x);
        let y = g.add(UNet::new(2).filters(2).depth(1), x);
        let message = g.build_net::<f32>(&[y], 0).unwrap_err().to_string();
        assert!(message.contains("up_1/concatenate"), "{message}");
    }
}
