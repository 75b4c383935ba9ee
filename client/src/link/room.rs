//! Room that many answers share: taken as their bytes come, given back when who has the answer is done with it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted together, so that a semaphore counts far enough.
const UNIT_BYTES: usize = 1024;

/// So many bytes, for all. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// The room of one answer while it is read.
pub(super) struct Taken {
    left: Arc<Semaphore>,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

/// The room of an answer that is here, taken until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct AnswerRoom(
    #[expect(dead_code, reason = "taken as long as it is there")] Option<Arc<OwnedSemaphorePermit>>,
);

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS))))
    }

    pub(super) fn nothing(&self) -> Taken {
        Taken { left: Arc::clone(&self.0), bytes: 0, permit: None }
    }
}

impl Taken {
    /// Takes as much as `more` bytes need; false where others have it.
    pub(super) fn grow_by(&mut self, more: usize) -> bool {
        self.bytes = self.bytes.saturating_add(more);
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = u32::try_from(self.bytes.div_ceil(UNIT_BYTES).saturating_sub(held)).unwrap_or(u32::MAX);
        if units == 0 {
            return true;
        }
        let Ok(taken) = Arc::clone(&self.left).try_acquire_many_owned(units) else { return false };
        match &mut self.permit {
            Some(permit) => permit.merge(taken),
            none => *none = Some(taken),
        }
        true
    }

    pub(super) fn kept(self) -> AnswerRoom {
        AnswerRoom(self.permit.map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_as_it_is_needed_and_given_back_with_the_answer() {
        let room = Room::new(3 << 10);
        let (mut one, mut other) = (room.nothing(), room.nothing());
        assert!(one.grow_by(1) && one.grow_by(1023) && other.grow_by(2048));
        assert!(!one.grow_by(1), "others have it");
        let kept = other.kept();
        let clone = kept.clone();
        drop(kept);
        assert!(!room.nothing().grow_by(1024), "an answer that is here still takes it");
        drop(clone);
        assert!(room.nothing().grow_by(2048));
    }
}
