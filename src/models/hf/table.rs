//! Which tensor of a folder is which parameter here, and how it lies there.

use crate::params::ParamSpec;

/// The tensors of a model, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

/// One tensor.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its name in the folder.
    pub file: String,
    /// Another name under which the same values may stand, beside it or in its place.
    pub alias: Option<String>,
    /// The parameter here.
    pub param: String,
    pub layout: Layout,
}

/// How a tensor lies in a file, seen from the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As the parameter.
    AsIs,
    /// `[1, values]`, a buffer of PyTorch's; here `[values]`.
    Row,
    /// `[outputs, inputs]`, PyTorch's `Linear`; here `[inputs, outputs]`.
    Transposed,
    /// `[filters, channels, size…]`, PyTorch's convolutions; here `[size…, channels, filters]`.
    Convolution,
    /// `Transposed`, or its bias: queries, keys and values of one head after the other, of so many; here all queries, all keys, all values.
    HeadByHead(usize),
}

impl Layout {
    /// The shape in the file of a parameter.
    pub fn in_file(self, spec: &ParamSpec) -> Vec<usize> {
        let mut dims = spec.shape.dims().to_vec();
        match self {
            Layout::AsIs => {}
            Layout::Row => dims.insert(0, 1),
            Layout::Convolution => {
                // Channels and filters change places, and come first.
                let taps = dims.len().saturating_sub(2);
                dims[taps..].reverse();
                dims.rotate_left(taps);
            }
            Layout::Transposed | Layout::HeadByHead(_) => dims.reverse(),
        }
        dims
    }

    /// Which value of a row of the file, a row for each output, input number `i` of the parameter is; `shape` is that in the file.
    pub fn column(self, i: usize, shape: &[usize]) -> usize {
        match self {
            Layout::Convolution => {
                let channels = shape.get(1).map_or(1, |channels| (*channels).max(1));
                let taps: usize = shape.iter().skip(2).product();
                i % channels * taps + i / channels
            }
            _ => i,
        }
    }

    /// Which of so many outputs of the parameter output number `i` of the file is.
    pub fn place(self, i: usize, outputs: usize) -> usize {
        match self {
            Layout::AsIs | Layout::Row | Layout::Transposed | Layout::Convolution => i,
            Layout::HeadByHead(heads) => {
                let width = (outputs / heads.max(1) / 3).max(1);
                let (head, kind) = (i / width / 3, i / width % 3);
                (kind * heads + head) * width + i % width
            }
        }
    }
}

impl Table {
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A tensor under one name.
    pub fn add(&mut self, file: impl Into<String>, param: impl Into<String>, layout: Layout) {
        self.rows.push(Row { file: file.into(), alias: None, param: param.into(), layout });
    }

    /// Another name of the tensor that was added last.
    pub fn alias(&mut self, name: impl Into<String>) {
        if let Some(row) = self.rows.last_mut() {
            row.alias = Some(name.into());
        }
    }

    /// The matrix of an embedding.
    pub fn embedding(&mut self, file: &str, param: &str) {
        self.add(format!("{file}.weight"), format!("{param}/embeddings"), Layout::AsIs);
    }

    /// Weight and bias of a linear layer, whose kernel lies so.
    pub fn dense(&mut self, file: &str, param: &str, bias: bool, layout: Layout) {
        self.add(format!("{file}.weight"), format!("{param}/kernel"), layout);
        if bias {
            let layout = if layout == Layout::Transposed { Layout::AsIs } else { layout };
            self.add(format!("{file}.bias"), format!("{param}/bias"), layout);
        }
    }

    /// Weight and bias of PyTorch's `Linear`.
    pub fn linear(&mut self, file: &str, param: &str, bias: bool) {
        self.dense(file, param, bias, Layout::Transposed);
    }

    /// Weight and bias of a convolution.
    pub fn convolution(&mut self, file: &str, param: &str) {
        self.add(format!("{file}.weight"), format!("{param}/kernel"), Layout::Convolution);
        self.add(format!("{file}.bias"), format!("{param}/bias"), Layout::AsIs);
    }

    /// Scale and shift of a layer norm.
    pub fn layer_norm(&mut self, file: &str, param: &str) {
        self.add(format!("{file}.weight"), format!("{param}/gamma"), Layout::AsIs);
        self.add(format!("{file}.bias"), format!("{param}/beta"), Layout::AsIs);
    }

    /// The scale of a root-mean-square norm.
    pub fn rms_norm(&mut self, file: &str, param: &str) {
        self.add(format!("{file}.weight"), format!("{param}/scale"), Layout::AsIs);
    }
}
