//! One run on the rows of several requests. Their elements are written one after the other behind one head, and each gets the
//! rows of its own out of every output: gathering and splitting copies nothing that would not be copied anyway.

use std::time::Instant;

use super::super::message::Message;
use super::super::shared_memory::{Borrowed, HEAD_BYTES, Head, SharedMemory, TransferError};
use super::super::{EngineError, Loss, Part, PartOutputs, Signature};
use super::{Limits, Running, judge};
use crate::tensor::{Datatype, Tensor};

impl Running {
    pub(super) fn run_parts(
        &mut self,
        parts: &mut [Part<'_>],
        kill_at: Instant,
        signature: &Signature,
        limits: &Limits,
    ) -> Result<Vec<PartOutputs>, EngineError> {
        let rows = parts.iter().fold(0_usize, |rows, part| rows.saturating_add(part.rows));
        let written = write(&self.memory, parts, rows, signature);
        self.exchange(signature.inputs.len(), written, kill_at, |running, answer| {
            running.outputs_follow(answer, signature, limits)?;
            let mut outputs: Vec<PartOutputs> = parts.iter().map(|_| Ok(Vec::new())).collect();
            let read = read(&running.memory, answer, parts, &mut outputs, rows, signature, limits);
            if let Err(error) = read {
                // Each runs again, and pays again.
                for (part, outputs) in parts.iter_mut().zip(&outputs) {
                    part.purse.refund(outputs.iter().flatten().map(Tensor::bytes).sum());
                }
                return Err(error);
            }
            Ok(outputs)
        })
    }
}

/// Hands the inputs over. Before the first byte is written it is known that all of them fit, together and beside each other.
fn write(memory: &SharedMemory, parts: &[Part<'_>], rows: usize, signature: &Signature) -> Result<u64, TransferError> {
    let mut to = memory.inputs();
    let mut bytes = 0_usize;
    let mut heads = Vec::with_capacity(signature.inputs.len());
    for (place, (index, expected)) in (0..).zip(&signature.inputs).enumerate() {
        let mut elements = 0_usize;
        let mut shape = None;
        for part in parts {
            let input = part.inputs.get(place).filter(|input| input.name == expected.name);
            let input = input.filter(|input| input.elements.datatype() == expected.datatype);
            let input = input.ok_or(TransferError::Outside)?;
            elements = elements.saturating_add(input.elements.len());
            shape = shape.or(input.shape.with_rows(rows, expected.datatype).ok());
        }
        let shape = shape.filter(|shape| shape.elements() == elements).ok_or(TransferError::Outside)?;
        let own = bytes_of(elements, expected.datatype).ok_or(TransferError::Outside)?;
        bytes = bytes.saturating_add(HEAD_BYTES).saturating_add(own);
        heads.push(Head::new(index, expected.datatype, shape.dimensions(), own).ok_or(TransferError::Outside)?);
    }
    if to.left() < bytes as u64 {
        return Err(TransferError::Outside);
    }
    for (place, head) in heads.iter().enumerate() {
        to.write_head(head)?;
        for input in parts.iter().filter_map(|part| part.inputs.get(place)) {
            to.write_elements(&Borrowed::from(&input.elements))?;
        }
    }
    Ok(to.since(&memory.inputs()))
}

/// The outputs, judged as a whole by the signature and by the number of rows, and then split.
fn read(
    memory: &SharedMemory,
    answer: &Message,
    parts: &mut [Part<'_>],
    outputs: &mut [PartOutputs],
    rows: usize,
    signature: &Signature,
    limits: &Limits,
) -> Result<(), EngineError> {
    let breach = |what| EngineError::Lost(Loss::Breach(what));
    let mut from = memory.outputs().limit(answer.length);
    let mut left = limits.output_bytes;
    for (index, expected) in (0..).zip(&signature.outputs) {
        let head = from.read_head().map_err(|_| breach("outputs that end too early"))?;
        let shape = judge(&head, index, expected).map_err(breach)?;
        let bytes = head.bytes(expected.datatype, shape.elements());
        let bytes = bytes.ok_or_else(|| breach("an output of another length than its elements"))?;
        left = left.checked_sub(bytes as u64).ok_or_else(|| breach("outputs larger than they may be"))?;
        // Where they lie is known before there is memory for them.
        if from.left() < bytes as u64 {
            return Err(breach("outputs that end too early"));
        }
        if shape.rows() != Some(rows) {
            return Err(EngineError::Failed("an output has not as many rows as the inputs".to_owned()));
        }
        for (part, outputs) in parts.iter_mut().zip(&mut *outputs) {
            let shape = shape.with_rows(part.rows, expected.datatype);
            let shape = shape.map_err(|_| breach("an output of an impossible shape"))?;
            let bytes = bytes_of(shape.elements(), expected.datatype).ok_or_else(|| breach(NOT_ROWS))?;
            if let Ok(Err(shortage)) = outputs.as_ref().map(|_| part.purse.spend(bytes)) {
                // What it has already is of no use to it, and if the run fails yet, it pays again.
                let held = outputs.iter().flatten().map(Tensor::bytes).sum();
                *outputs = Err(shortage);
                part.purse.refund(held);
            }
            let Ok(outputs) = outputs else {
                from.skip(bytes).map_err(|_| breach("outputs that end too early"))?;
                continue;
            };
            let elements = from.read_elements(expected.datatype, shape.elements(), bytes).map_err(|error| {
                part.purse.refund(bytes);
                EngineError::Lost(Loss::System(error.to_string()))
            })?;
            outputs.push(Tensor { name: expected.name.clone(), shape, elements });
        }
    }
    if from.left() > 0 {
        return Err(breach("bytes after the last output"));
    }
    Ok(())
}

/// No model with such an output shares runs.
const NOT_ROWS: &str = "an output whose rows cannot be told apart by their bytes";

/// Bytes of so many elements; `None` where their number does not say it.
fn bytes_of(elements: usize, datatype: Datatype) -> Option<usize> {
    elements.checked_mul(datatype.size()?)
}
