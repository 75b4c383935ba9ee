//! Overrides collected by a builder and applied to the finished template, in the order they were asked for.

use std::sync::Arc;

/// One override.
type Edit<T> = Arc<dyn Fn(&mut T) + Send + Sync>;

/// The overrides of one template.
pub(crate) struct Edits<T>(Vec<Edit<T>>);

impl<T> Edits<T> {
    pub(crate) fn push(&mut self, edit: impl Fn(&mut T) + Send + Sync + 'static) {
        self.0.push(Arc::new(edit));
    }

    pub(crate) fn apply(&self, mut template: T) -> T {
        for edit in &self.0 {
            edit(&mut template);
        }
        template
    }
}

impl<T> Clone for Edits<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Edits<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
