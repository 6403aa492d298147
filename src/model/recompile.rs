//! Compiling a model as a file says.

use super::built::Model;
use super::head::Head;
use super::registry::Registry;
use crate::error::Result;
use crate::io::{Compiled, CompiledHead};
use crate::tensor::Float;

impl<T: Float> Model<T> {
    /// Compiles the model as a value says.
    pub(super) fn recompile(&mut self, compiled: Compiled, registry: &Registry<T>) -> Result<()> {
        let optimizer = registry.optimizer(compiled.optimizer)?;
        let head = |head: CompiledHead| {
            let metrics = |list: Vec<_>| list.into_iter().map(|metric| registry.metric(metric)).collect::<Result<_>>();
            Ok(Head {
                name: Some(head.output),
                loss: head.loss.map(|loss| registry.loss(loss)).transpose()?.map(Into::into),
                weight: head.loss_weight,
                metrics: metrics(head.metrics)?,
                weighted_metrics: metrics(head.weighted_metrics)?,
            })
        };
        let heads: Vec<Head<T>> = compiled.heads.into_iter().map(head).collect::<Result<_>>()?;
        self.compile_list(optimizer, heads)
    }
}
