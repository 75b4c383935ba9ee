//! What a verb that goes to a gateway says beside its result: notes, and how far a long upload is, to whoever looks at a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use teegate_client::Observer;

use crate::output;

/// An upload that takes no longer is not worth a line.
const WORTH_A_LINE: Duration = Duration::from_secs(1);
/// The line is written anew after so long.
const ANEW: Duration = Duration::from_millis(200);

/// Writes to standard error.
#[derive(Debug)]
pub(crate) struct Watcher {
    is_terminal: bool,
    upload: Mutex<Option<Upload>>,
}

/// One upload under way.
#[derive(Clone, Copy, Debug)]
struct Upload {
    began: Instant,
    /// When the line was written last, if there is one.
    written: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), upload: Mutex::new(None) }
    }
}

impl Observer for Watcher {
    fn note(&self, text: &str) {
        output::note(text);
    }

    fn uploaded(&self, bytes: usize, of: usize) {
        if !self.is_terminal {
            return;
        }
        let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
        // A terminal that is gone is nobody to tell.
        if let Some(line) = line(&mut upload, bytes, of, Instant::now()) {
            let _gone = write!(io::stderr().lock(), "{line}");
        }
    }
}

/// What to write now, if anything: the line over again, or, at the end, nothing in its place.
fn line(upload: &mut Option<Upload>, bytes: usize, of: usize, now: Instant) -> Option<String> {
    let current = upload.get_or_insert(Upload { began: now, written: None });
    if bytes >= of {
        return upload.take()?.written.map(|_| "\r\x1b[K".to_owned());
    }
    let is_due = match current.written {
        None => now.duration_since(current.began) >= WORTH_A_LINE,
        Some(last) => now.duration_since(last) >= ANEW,
    };
    if !is_due {
        return None;
    }
    current.written = Some(now);
    let percent = bytes.saturating_mul(100).checked_div(of).unwrap_or_default();
    Some(format!("\r\x1b[Ksealed, uploading: {} of {} ({percent} %)", size(bytes), size(of)))
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_upload_of_more_than_a_second_has_a_line_and_the_line_goes_away() {
        let (mut upload, begin) = (None, Instant::now());
        let after = |milliseconds| begin + Duration::from_millis(milliseconds);
        assert_eq!(line(&mut upload, 1 << 20, 4 << 20, begin), None);
        assert_eq!(line(&mut upload, 2 << 20, 4 << 20, after(999)), None);
        let shown = line(&mut upload, 2 << 20, 4 << 20, after(1_000)).unwrap();
        assert_eq!(shown, "\r\x1b[Ksealed, uploading: 2 MiB of 4 MiB (50 %)");
        assert_eq!(line(&mut upload, 3 << 20, 4 << 20, after(1_199)), None);
        assert!(line(&mut upload, 3 << 20, 4 << 20, after(1_200)).is_some());
        assert_eq!(line(&mut upload, 4 << 20, 4 << 20, after(1_300)).as_deref(), Some("\r\x1b[K"));
        // The next one begins anew, and a short one leaves nothing to take away.
        assert_eq!(line(&mut upload, 1, 2, after(1_400)), None);
        assert_eq!(line(&mut upload, 2, 2, after(1_500)), None);
    }
}
