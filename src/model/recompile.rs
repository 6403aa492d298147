//! Compiling a model as a file says.

use super::built::Model;
use super::head::Head;
use super::registry::Registry;
use crate::error::Result;
use crate::io::{Compiled, CompiledHead};
use crate::memory;
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
        self.check_room_for_sums(&heads)?;
        self.compile_list(optimizer, heads)
    }

    /// Looks for the memory that metrics sum in, which a short file can ask much of.
    fn check_room_for_sums(&self, heads: &[Head<T>]) -> Result<()> {
        let mut sums = 0usize;
        for (i, name) in self.net.output_names().iter().enumerate() {
            let batch = self.net.output_shape(i).with_batch(1);
            for head in heads.iter().filter(|head| head.name.as_ref() == Some(name)) {
                for metric in head.metrics.iter().chain(&head.weighted_metrics) {
                    metric.check(batch, batch)?;
                    sums = sums.saturating_add(metric.sums(batch));
                }
            }
        }
        memory::check_room::<f64>("load", format_args!("the {sums} sums of metrics"), sums)
    }
}
