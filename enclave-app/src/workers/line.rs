//! What a worker does while its engine is ready: takes what waits, by itself or with others of its kind, runs it, answers.
//!
//! Whose turn it is and what is taken is decided by arrival: the first request that waits is always the next to run, and only
//! what may share its run ([`crate::batch`]) is taken along, out of turn for what stands between. A shared run that fails for
//! whatever reason has told nobody anything: its requests go back to the head of the queue, and each runs by itself. So
//! whoever makes runs fail is alone in the one that is its answer.
//!
//! Neither does it get the others' time: while others wait to be run again, each has its share of what is left. Who is not
//! through in its share goes last, once more, with what is left then.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bell::{Bell, Woken, wait};
use super::counts::Tally;
use super::queue::{Job, Queue, Turn};
use crate::batch::{Batching, Gathering, Joinable, fair_share};
use crate::engine::{Engine, EngineError, Loss, Part, Readiness};
use crate::secret::scrubbed;
use crate::tensor::Tensor;

/// Where the workers of one model stand in line for work.
pub(super) struct Line {
    pub(super) queue: Queue,
    /// Rung once, and heard by all.
    pub(super) end: Bell,
    pub(super) tally: Tally,
    name: String,
    /// One for each run that may begin.
    place: Bell,
    places: u32,
    batching: Option<Batching>,
    /// Where requests wait for others, one worker at a time gathers: two would each gather half.
    turn: Bell,
    /// Workers that have a place and nothing to do.
    free: AtomicUsize,
    /// Until when nothing is joined.
    apart_until: Mutex<Option<Instant>>,
    /// What the last shared run took that went well, in microseconds.
    pub(super) shared_time: AtomicU64,
    /// What a request takes of a worker's time, in microseconds, averaged over the last few.
    pub(super) pace: AtomicU64,
}

/// Why a thread has stopped serving.
pub(super) enum Left {
    /// The end was rung.
    Ended,
    /// The engine has to be loaded again, and nothing is lost.
    WornOut,
    /// The engine is gone.
    Lost(Loss),
}

/// Something that one worker has at a time, given back when it needs it no more.
struct Token<'l>(&'l Bell);

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// What a run is for.
enum Gathered {
    /// Whoever waited has gone away.
    Nothing,
    /// One request.
    One(Job),
    /// Several requests, and the rows of each.
    Several(Vec<Job>, Vec<usize>),
}

/// So many bytes are with a worker in some tenth of a millisecond.
const SOON_HANDED_OVER: usize = 256 << 10;

/// Requests whose runs have ended, and what came of them. Whoever waits for an answer is woken by it, and then has the
/// processor: so where the next request waits already, the engine gets that first. Answered when dropped.
#[derive(Default)]
struct Finished(Vec<(Job, Result<Vec<Tensor>, EngineError>)>);

impl Finished {
    fn push(&mut self, job: Job, result: Result<Vec<Tensor>, EngineError>) {
        self.0.push((job, result));
    }

    /// Answers them while the next run is under way, which has inputs of so many bytes. They do not wait until many are handed
    /// over.
    fn answer_during(&mut self, engine: &mut dyn Engine, bytes: usize) {
        if self.0.is_empty() {
            return;
        }
        let finished = std::mem::take(self);
        if bytes <= SOON_HANDED_OVER {
            engine.meanwhile(Box::new(move || drop(finished)));
        }
    }

    fn answer(&mut self) {
        self.0.drain(..).for_each(|(job, result)| job.answer(result));
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.answer();
    }
}

impl Line {
    pub(super) fn new(name: &str, queue: usize, places: u32, batching: Option<Batching>) -> std::io::Result<Self> {
        Ok(Self {
            queue: Queue::new(queue)?,
            end: Bell::new(0)?,
            tally: Tally::default(),
            name: name.to_owned(),
            place: Bell::new(places)?,
            places,
            batching,
            turn: Bell::new(1)?,
            free: AtomicUsize::default(),
            apart_until: Mutex::default(),
            shared_time: AtomicU64::default(),
            pace: AtomicU64::default(),
        })
    }

    /// Runs what comes, for as long as the engine is ready. Requests to `model` may share runs.
    pub(super) fn serve(&self, engine: &mut dyn Engine, model: Option<&Joinable>) -> Result<Infallible, Left> {
        self.wait_for(engine, &self.place)?;
        let _place = Token(&self.place);
        let mut finished = Finished::default();
        loop {
            match self.gather(engine, model, &mut finished)? {
                Gathered::Nothing => continue,
                Gathered::One(job) => self.alone(engine, job, &mut finished)?,
                Gathered::Several(jobs, rows) => self.together(engine, jobs, &rows, &mut finished)?,
            }
            match engine.readiness() {
                Readiness::Ready => {}
                Readiness::WornOut => return Err(Left::WornOut),
                Readiness::Gone => return Err(Left::Lost(ended())),
            }
        }
    }

    /// When what waits now is through, as far as can be foreseen.
    pub(super) fn patience(&self) -> Duration {
        let pace = self.pace.load(Ordering::Relaxed);
        let all = pace.saturating_mul(self.queue.len() as u64);
        Duration::from_micros(all / u64::from(self.places.max(1)))
    }

    /// Waits for the bell with an engine that stays ready.
    fn wait_for(&self, engine: &mut dyn Engine, bell: &Bell) -> Result<(), Left> {
        loop {
            match wait(&self.end, Some(bell), engine.watched(), None) {
                Woken::Rang => return Ok(()),
                Woken::Stirred if engine.is_ready() => {}
                Woken::Stirred => return Err(Left::Lost(ended())),
                Woken::Ended | Woken::TimedOut => return Err(Left::Ended),
            }
        }
    }

    /// The next request, and what may share its run. Nothing, when whoever waited has gone away.
    /// What has finished is answered before anything is waited for.
    fn gather(
        &self,
        engine: &mut dyn Engine,
        model: Option<&Joinable>,
        finished: &mut Finished,
    ) -> Result<Gathered, Left> {
        let delay = self.batching.map_or(Duration::ZERO, |batching| batching.max_delay);
        let _turn = if delay.is_zero() {
            None
        } else {
            finished.answer();
            Some(self.turn(engine)?)
        };
        self.free.fetch_add(1, Ordering::SeqCst);
        let waited = if self.queue.bell().take() {
            Ok(())
        } else {
            finished.answer();
            self.wait_for(engine, self.queue.bell())
        };
        let free = self.free.fetch_sub(1, Ordering::SeqCst);
        waited?;
        let Some(first) = self.queue.pop().and_then(Job::wanted) else { return Ok(Gathered::Nothing) };
        let needed = self.time_to_share(engine);
        let may_share = first.turn == Turn::First && !self.is_apart() && first.until >= Instant::now() + needed;
        let model = model.filter(|_| may_share);
        let gathering = model.and_then(|model| Gathering::begin(model, &first.inputs));
        let Some(mut gathering) = gathering else { return Ok(Gathered::One(first)) };
        // Nobody is waited for until there is no time left to share.
        let until = first.until.checked_sub(needed).map_or(first.arrived, |last| last.min(first.arrived + delay));
        let mut jobs = vec![first];
        let most = if delay.is_zero() { fair_share(1 + self.queue.len(), free) } else { usize::MAX };
        self.queue.join(&mut gathering, &mut jobs, most, Instant::now() + needed);
        // What may not share the run is not kept waiting for it.
        while !delay.is_zero() && !gathering.is_full() && self.queue.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            match wait(&self.end, Some(self.queue.bell()), engine.watched(), Some(left)) {
                Woken::Rang => {
                    self.queue.join(&mut gathering, &mut jobs, most, Instant::now() + needed);
                    // It rang for one that stays.
                    if !self.queue.is_empty() {
                        self.queue.bell().ring();
                    }
                }
                Woken::Stirred if engine.is_ready() => {}
                Woken::Stirred => {
                    self.queue.put_back(jobs);
                    return Err(Left::Lost(ended()));
                }
                Woken::TimedOut => break,
                Woken::Ended => return Err(Left::Ended),
            }
        }
        // Some may have left, or run out of time, while others were waited for.
        let jobs = jobs.into_iter().zip(gathering.rows().iter().copied());
        let (jobs, rows): (Vec<Job>, Vec<usize>) =
            jobs.filter_map(|(job, rows)| job.wanted().map(|job| (job, rows))).unzip();
        Ok(match <[Job; 1]>::try_from(jobs) {
            Ok([only]) => Gathered::One(only),
            Err(none) if none.is_empty() => Gathered::Nothing,
            Err(jobs) => Gathered::Several(jobs, rows),
        })
    }

    fn turn(&self, engine: &mut dyn Engine) -> Result<Token<'_>, Left> {
        self.wait_for(engine, &self.turn)?;
        Ok(Token(&self.turn))
    }

    /// The time that a request has to have left to share a run, half of which that run may take: otherwise many requests
    /// and nothing else would have workers ended.
    fn time_to_share(&self, engine: &dyn Engine) -> Duration {
        let last = Duration::from_micros(self.shared_time.load(Ordering::Relaxed));
        last.max(engine.least_time()).saturating_mul(2)
    }

    /// One long shared run is not to end sharing for good: with each run that is not shared it counts an eighth less.
    fn expect_less_of_shared_runs(&self) {
        let less = |time: u64| Some(time.saturating_sub(time.div_ceil(8)));
        let _ = self.shared_time.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn alone(&self, engine: &mut dyn Engine, job: Job, finished: &mut Finished) -> Result<(), Left> {
        finished.answer_during(engine, bytes_of(&job.inputs));
        let share = if job.turn == Turn::First { None } else { self.queue.share_of(&job, Instant::now()) };
        match share {
            Some(until) => self.in_its_share(engine, job, until, finished),
            None => self.to_its_end(engine, job, finished),
        }
    }

    /// Runs again while others wait for the same.
    fn in_its_share(
        &self,
        engine: &mut dyn Engine,
        mut job: Job,
        until: Instant,
        finished: &mut Finished,
    ) -> Result<(), Left> {
        let begun = Instant::now();
        let result = scrubbed(|| engine.run_kept(&job.inputs, until, &mut job.purse));
        self.tally.ran();
        self.keep_pace(begun.elapsed(), 1);
        let lost = lost(&result);
        if job.turn == Turn::Again && matches!(result, Err(EngineError::Lost(Loss::Deadline))) {
            job.turn = Turn::Last;
            self.queue.put_last(job);
        } else {
            finished.push(job, result);
        }
        lost
    }

    fn to_its_end(&self, engine: &mut dyn Engine, mut job: Job, finished: &mut Finished) -> Result<(), Left> {
        let inputs = std::mem::take(&mut job.inputs);
        let (bytes, begun) = (bytes_of(&inputs), Instant::now());
        let result = scrubbed(|| engine.run(inputs, job.until, &mut job.purse));
        job.purse.refund(bytes);
        self.tally.ran();
        self.keep_pace(begun.elapsed(), 1);
        self.expect_less_of_shared_runs();
        let lost = lost(&result);
        finished.push(job, result);
        lost
    }

    fn together(
        &self,
        engine: &mut dyn Engine,
        mut jobs: Vec<Job>,
        rows: &[usize],
        finished: &mut Finished,
    ) -> Result<(), Left> {
        finished.answer_during(engine, jobs.iter().map(|job| bytes_of(&job.inputs)).fold(0, usize::saturating_add));
        let now = Instant::now();
        let left = jobs.iter().map(|job| job.until.saturating_duration_since(now)).min().unwrap_or_default();
        let parts = jobs.iter_mut().zip(rows);
        let mut parts: Vec<Part<'_>> =
            parts.map(|(Job { inputs, purse, .. }, &rows)| Part { inputs, rows, purse }).collect();
        // Half of the time of whoever has the least: if it does not go well, the other half is for each by itself.
        let result = scrubbed(|| engine.run_parts(&mut parts, now + left / 2));
        self.tally.ran();
        self.tally.shared(jobs.len());
        self.keep_pace(now.elapsed(), jobs.len());
        let lost = lost(&result);
        match result {
            Ok(outputs) if outputs.len() == jobs.len() => {
                let taken = u64::try_from(now.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.shared_time.store(taken, Ordering::Relaxed);
                for (job, outputs) in jobs.into_iter().zip(outputs) {
                    finished.push(job, outputs.map_err(EngineError::NoMemory));
                }
            }
            // The engine's words may speak of anybody's values, so nobody gets them.
            Ok(_) | Err(_) => {
                self.stay_apart(jobs.len(), lost.is_err());
                jobs.iter_mut().for_each(|job| job.turn = Turn::Again);
                self.queue.put_back(jobs);
            }
        }
        lost
    }

    fn is_apart(&self) -> bool {
        let until = *self.apart_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Joins nothing for a while.
    fn stay_apart(&self, requests: usize, is_lost: bool) {
        let pause = self.batching.map_or(Duration::ZERO, |batching| batching.pause);
        *self.apart_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
        self.tally.failed_together(requests);
        let model = &self.name;
        tracing::warn!(model, requests, is_lost, ?pause, "a shared run failed: each of its requests runs by itself");
    }

    /// Four requests or so make the average.
    fn keep_pace(&self, time: Duration, requests: usize) {
        let each = u64::try_from(time.as_micros()).unwrap_or(u64::MAX) / (requests.max(1) as u64);
        let before = self.pace.load(Ordering::Relaxed);
        let after = if before == 0 { each } else { before - before / 4 + each / 4 };
        self.pace.store(after, Ordering::Relaxed);
    }
}

fn bytes_of(inputs: &[Tensor]) -> usize {
    inputs.iter().map(Tensor::bytes).fold(0, usize::saturating_add)
}

fn ended() -> Loss {
    Loss::Ended("while it had nothing to do".to_owned())
}

fn lost<T>(result: &Result<T, EngineError>) -> Result<(), Left> {
    match result {
        Err(EngineError::Lost(loss)) => Err(Left::Lost(loss.clone())),
        _ => Ok(()),
    }
}
