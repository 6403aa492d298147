//! Sequential models as lists of layers.

use super::made::Step;
use super::parts::{Kind, Level, Part};
use crate::layers::config::ContainerConfig;
use crate::layers::{LayerConfig, NamedConfig};

/// The layers of a model of layers one after the other; none where there is a graph inside or a layer is called twice.
pub(super) fn chain(level: &Level, parts: &[Part], trainable: bool) -> Option<Vec<NamedConfig>> {
    if !level.sequential {
        return None;
    }
    let entries = level.entries.iter().map(|entry| (entry, &parts[entry.part]));
    let entries = entries.filter(|(_, part)| !matches!(part.kind, Kind::Input(_)));
    let layers = entries.map(|(entry, part)| {
        let layer = match &part.kind {
            _ if part.calls > 1 => return None,
            Kind::Layer(made) => match &made.step {
                Step::Layer(layer) => (**layer).clone(),
                Step::Join(_) => return None,
            },
            Kind::Model(inner) => LayerConfig::Block(ContainerConfig::new(chain(inner, parts, true)?)),
            _ => return None,
        };
        Some(NamedConfig {
            name: Some(entry.name.clone()),
            trainable: part.trainable && trainable,
            learning_rate_factor: 1.0,
            layer,
        })
    });
    layers.collect()
}
