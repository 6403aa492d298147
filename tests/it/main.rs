//! The crate from outside: one program, so that what it uses of the crate is compiled once.

mod bad_input;
mod batches;
mod bits;
mod by_rows;
mod callbacks;
#[cfg(all(feature = "text", feature = "files"))]
mod chat;
mod child;
mod data;
mod dataset;
mod decoding;
mod distributed;
#[cfg(feature = "tools")]
mod explain;
#[cfg(feature = "files")]
mod files;
mod free_sizes;
mod generation;
#[cfg(feature = "files")]
mod gguf;
#[cfg(feature = "files")]
mod gguf_models;
mod gradients;
mod graph_models;
mod graphs;
#[cfg(feature = "files")]
mod heads;
#[cfg(feature = "files")]
mod hf;
#[cfg(feature = "files")]
mod hf_vision;
#[cfg(feature = "files")]
mod hostile;
#[cfg(feature = "image")]
mod images;
#[cfg(all(feature = "keras", feature = "npz"))]
mod keras_attention;
#[cfg(all(feature = "keras", feature = "npz"))]
mod keras_compiled;
mod keras_example;
#[cfg(all(feature = "keras", feature = "npz"))]
mod keras_files;
#[cfg(all(feature = "keras", feature = "npz"))]
mod keras_free_sizes;
#[cfg(all(feature = "keras", feature = "npz"))]
mod keras_graphs;
mod layers;
mod lora;
mod losses;
mod masks;
mod merging;
mod metrics;
mod moment_storage;
#[cfg(feature = "text")]
mod objectives;
mod operators;
#[cfg(feature = "tools")]
mod parts;
#[cfg(feature = "files")]
mod peft;
#[cfg(feature = "plot")]
mod plots;
mod positions;
#[cfg(all(feature = "progress", target_os = "linux"))]
mod progress;
mod random_models;
mod recompute;
#[cfg(feature = "files")]
mod registry;
mod rooms;
#[cfg(feature = "tools")]
mod selection;
#[cfg(all(feature = "files", feature = "tools"))]
mod system;
mod tables;
#[cfg(all(feature = "text", feature = "files"))]
mod text;
#[cfg(feature = "text")]
mod text_data;
#[cfg(all(feature = "text", feature = "files"))]
mod text_front;
#[cfg(all(feature = "text", feature = "files"))]
mod tokenizers;
mod training_loop;
mod training_options;
mod units;
mod vision;
mod weight_storage;
mod weights;

/// Tests of files that mean harm ask how much memory reading them took.
#[global_allocator]
static ALLOCATOR: support::counting::Counting = support::counting::Counting;
