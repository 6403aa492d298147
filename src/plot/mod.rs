//! Seeing it: curves in the terminal, and with the feature `plot` pictures as SVG and PNG.
//!
//! | what | how |
//! |---|---|
//! | curves in the terminal | [`history.plot()`](crate::model::History::plot), printed; always there |
//! | curves of a training | `Curves::of(&history)` |
//! | importances and other named values | `Bars::new(&labels, &values)?` |
//! | a table as colours | `HeatMap::new(&tensor)?` |
//! | a confusion matrix | `ConfusionPlot::of(&matrix)` |
//! | weights, outputs of layers | `Histograms::of_weights(&model)?`, `Histograms::of_activations(&model, &x)?` |
//! | layers, shapes, parameters | `ModelPlot::of(&model)?` |
//!
//! Each picture has `title`, `size`, `save(path)` for `.svg` and `.png`, `to_svg()` and `to_png()`. Colours are told apart by
//! every kind of colour vision; texts in PNG have Latin and Greek letters, in SVG those of the viewer.

#[cfg(feature = "plot")]
mod axis;
#[cfg(feature = "plot")]
mod bars;
#[cfg(feature = "plot")]
mod confusion_plot;
#[cfg(feature = "plot")]
mod curves;
#[cfg(feature = "plot")]
mod drawing;
#[cfg(feature = "plot")]
mod font;
#[cfg(feature = "plot")]
mod heat_map;
#[cfg(feature = "plot")]
mod histograms;
#[cfg(feature = "plot")]
mod layered;
#[cfg(feature = "plot")]
mod model_plot;
mod number;
#[cfg(feature = "plot")]
mod style;
mod terminal;

#[cfg(feature = "plot")]
pub use self::{
    bars::Bars,
    confusion_plot::ConfusionPlot,
    curves::Curves,
    drawing::{Drawing, Picture},
    heat_map::HeatMap,
    histograms::Histograms,
    model_plot::ModelPlot,
};
pub use terminal::TerminalPlot;
