//! What `compile` was given, as a file has it.

use super::trained_head::TrainedHead;
use crate::error::Result;
use crate::io::{Compiled, CompiledHead};
use crate::optimizers::Optimizer;
use crate::tensor::Float;

/// What `compile` was given, as JSON.
pub(super) fn compile_text<T: Float>(optimizer: &dyn Optimizer<T>, heads: &[TrainedHead<T>]) -> Result<String> {
    let head = |head: &TrainedHead<T>| {
        let mut metrics: Vec<_> = head.metrics.iter().map(|metric| metric.config()).collect();
        let weighted_metrics = metrics.split_off(head.unweighted);
        CompiledHead {
            output: head.name.clone(),
            loss: head.loss.as_ref().map(|loss| loss.config()),
            loss_weight: head.weight,
            metrics,
            weighted_metrics,
        }
    };
    Compiled { optimizer: optimizer.config(), heads: heads.iter().map(head).collect() }.text()
}
