//! A question to the kernel, on a thread of its own.
//!
//! A driver may hold a call for as long as it likes, and nothing in a process can end the call. A TPM's does all of its work inside of
//! `write`, a TSM's inside of `read`, and neither looks at a deadline of ours. So whoever asks waits beside the thread and may give up
//! at any time; and the thread is not one of the runtime's, whose end would wait for it. Linux itself ends a process only when its last
//! call has returned: that wait is nobody's here.
//!
//! A thread that is given up still has its turn until the kernel answers. Who asks meanwhile is refused at once, so that threads cannot
//! pile up behind it.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use tokio::sync::oneshot;

use crate::AttesterError;

/// Asks `source` on a thread of its own, and waits for the answer, or not.
pub(crate) async fn apart<T: Send + 'static>(
    source: &str,
    question: impl FnOnce() -> Result<T, AttesterError> + Send + 'static,
) -> Result<T, AttesterError> {
    let (answer, answered) = oneshot::channel();
    // Whoever asked may have gone away meanwhile.
    let asked = move || drop(answer.send(question()));
    let asked = std::thread::Builder::new().name("evidence".to_owned()).spawn(asked).map(drop);
    if let Err(error) = asked {
        let reason = format!("there is no thread for the question: {error}");
        return Err(AttesterError::Unreachable { source: source.to_owned(), reason });
    }
    answered.await.unwrap_or(Err(AttesterError::Ended))
}

/// One question at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<()>>);

impl Turn {
    /// The turn, until what is returned is dropped; refused where somebody has it.
    pub(crate) fn take(&self, source: &str) -> Result<MutexGuard<'_, ()>, AttesterError> {
        match self.0.try_lock() {
            Ok(turn) => Ok(turn),
            Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let reason = "it has not answered the last question yet".to_owned();
                Err(AttesterError::Unreachable { source: source.to_owned(), reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_runtime_ends_while_the_question_still_waits() {
        let turn = Turn::default();
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (held, ended) = (turn.clone(), Arc::new(Mutex::new(false)));
        let at_the_end = Arc::clone(&ended);
        let asked = runtime.spawn(apart("the driver", move || {
            let _turn = held.take("the driver")?;
            begun.send(()).unwrap();
            // An error is the test's, which has failed before.
            let _told = may_end.recv();
            *at_the_end.lock().unwrap() = true;
            Ok(())
        }));
        runtime.block_on(tokio::task::yield_now());
        has_begun.recv().unwrap();
        let waiting = turn.clone();
        let refused = apart("the driver", move || waiting.take("the driver").map(drop));
        // At once, and not when it may end.
        let refused = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), refused).await });
        let refused = refused.unwrap().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "evidence: the driver could not be asked: it has not answered the last question yet"
        );
        assert!(refused.may_pass());
        // A thread of the runtime's would be waited for here, and for ever.
        drop((asked, runtime));
        assert!(!*ended.lock().unwrap());
        let still = turn.take("the driver").map(drop).unwrap_err();
        assert_eq!(still, refused, "the thread that was given up has its turn still");
        end.send(()).unwrap();
        while turn.take("the driver").is_err() {
            std::thread::yield_now();
        }
        assert!(*ended.lock().unwrap());
    }

    #[tokio::test]
    async fn an_answer_comes_back_and_a_defect_is_an_end() {
        assert_eq!(apart("x", || Ok(7)).await, Ok(7));
        assert_eq!(apart("x", || Err::<(), _>(AttesterError::TimedOut)).await, Err(AttesterError::TimedOut));
        let turn = Turn::default();
        let held = turn.clone();
        let defect = apart("x", move || {
            let _turn = held.take("x")?;
            std::panic::resume_unwind(Box::new("a defect"));
            #[expect(unreachable_code, reason = "it says what the question would give")]
            Ok(())
        });
        assert_eq!(defect.await, Err(AttesterError::Ended));
        // Who had the turn has gone, and the next one has it.
        turn.take("x").map(drop).unwrap();
    }
}
