//! What a worker may still do when it reads the model: compute, ask for memory, and speak to its parent.
//!
//! Two filters of the kernel (seccomp) lie over every thread that there is and will be. The first answers `clone3` with
//! `ENOSYS`, because a filter cannot look at its flags; the C library then uses `clone`. The second is a list of what is
//! allowed. Whatever stands in neither is answered with `EPERM` and kills nobody: the library's own error message opens
//! `/etc/localtime`, and healthy workers died of that when it was tried.
//!
//! No path, no socket, no process, no executable memory and nothing shared can be had from inside. What is left is written
//! down once, in [`ALLOWED`] and [`Condition`], and a test runs the filters on every number of a system call.

use std::collections::BTreeMap;

use libc::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_THREAD,
    CLONE_VM, MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MAP_GROWSDOWN, MAP_PRIVATE, MAP_TYPE,
    PR_SET_NAME, PROT_EXEC, SIGABRT, SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep, SYS_clone, SYS_clone3, SYS_close,
    SYS_exit, SYS_exit_group, SYS_futex, SYS_getcpu, SYS_getpid, SYS_getrandom, SYS_gettid, SYS_madvise, SYS_mmap,
    SYS_mprotect, SYS_mremap, SYS_munmap, SYS_nanosleep, SYS_prctl, SYS_pread64, SYS_pwrite64, SYS_read,
    SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_getaffinity,
    SYS_sched_yield, SYS_set_robust_list, SYS_sigaltstack, SYS_tgkill, SYS_write,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// What may be called with whatever arguments: reading and writing what is open, memory, threads, signals to oneself,
/// clocks and randomness.
pub const ALLOWED: [i64; 28] = [
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_pwrite64,
    SYS_close,
    SYS_munmap,
    SYS_mremap,
    SYS_brk,
    SYS_futex,
    SYS_clone3, // The first filter has answered already.
    SYS_set_robust_list,
    SYS_rseq,
    SYS_exit,
    SYS_exit_group,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_getcpu,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_restart_syscall,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_getpid,
    SYS_gettid,
    SYS_getrandom,
];

/// What may be called with some arguments only: the call, and for each argument that is looked at the bits of it and what
/// they have to be. Of several conditions of one call one has to hold.
struct Condition(i64, Vec<(u8, i32, i32)>);

/// Why a worker is not confined.
#[derive(Debug)]
pub enum ConfinementError {
    /// A descriptor that was left open cannot be closed.
    Inherited(i32),
    /// The kernel refused.
    System(&'static str, rustix::io::Errno),
    /// The filters could not be made.
    Filter(BackendError),
    /// The filters could not be installed.
    Install(seccompiler::Error),
}

impl std::fmt::Display for ConfinementError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inherited(number) => {
                write!(f, "descriptor {number} was left open by whoever started enclave-app, and cannot be closed")
            }
            Self::System(what, error) => write!(f, "{what}: {error}"),
            Self::Filter(error) => write!(f, "seccomp filter: {error}"),
            Self::Install(error) => write!(f, "seccomp filter could not be installed: {error}"),
        }
    }
}

impl std::error::Error for ConfinementError {}

/// The first steps of a worker, before it has anything: it ends with the thread that started it, nobody may look into it, it
/// is the first to go when memory is short, and nothing is open but what every program has. There is one thread yet.
///
/// # Errors
/// When the kernel refuses.
pub fn begin() -> Result<(), ConfinementError> {
    let system = |what| move |error| ConfinementError::System(what, error);
    // Raising it is always allowed; where `/proc` cannot be written it stays as it is.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(system("parent death signal"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(system("not dumpable"))?;
    limit(Resource::Core, 0)?;
    close_inherited()?;
    Ok(())
}

/// The last step before the model is read: no new descriptor, no new privilege, and the filters, over every thread.
///
/// # Errors
/// When the kernel refuses.
pub fn confine() -> Result<(), ConfinementError> {
    limit(Resource::Nofile, 0)?;
    for filter in filters()? {
        // Takes the right to gain privileges as well.
        seccompiler::apply_filter_all_threads(&filter).map_err(ConfinementError::Install)?;
    }
    Ok(())
}

/// The filters for this process, in the order in which they are installed. The kernel asks all of them and takes the strictest answer.
///
/// # Errors
/// For an architecture that is not known.
pub fn filters() -> Result<[BpfProgram; 2], ConfinementError> {
    let compile = |rules: BTreeMap<i64, Vec<SeccompRule>>, mismatch, matched| {
        let target = std::env::consts::ARCH.try_into()?;
        SeccompFilter::new(rules, mismatch, matched, target)?.try_into()
    };
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let no_clone3 = compile(BTreeMap::from([(SYS_clone3, vec![])]), SeccompAction::Allow, errno(libc::ENOSYS));
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.into_iter().map(|call| (call, vec![])).collect();
    for Condition(call, arguments) in conditions(rustix::process::getpid().as_raw_nonzero().get()) {
        let bits = |bits: i32| u64::from(bits.cast_unsigned());
        let conditions = arguments.into_iter().map(|(argument, mask, value)| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits(mask)), bits(value))
        });
        let rule = conditions.collect::<Result<_, _>>().and_then(SeccompRule::new);
        rules.entry(call).or_default().push(rule.map_err(ConfinementError::Filter)?);
    }
    let allowed = compile(rules, errno(libc::EPERM), SeccompAction::Allow);
    Ok([no_clone3.map_err(ConfinementError::Filter)?, allowed.map_err(ConfinementError::Filter)?])
}

fn conditions(process: i32) -> [Condition; 9] {
    const ALL: i32 = -1;
    const EXECUTABLE: (u8, i32, i32) = (2, PROT_EXEC, 0);
    // What is shared, and what grows like a stack, is not counted by the limit of a run.
    const PRIVATE: (u8, i32, i32) = (3, MAP_TYPE | MAP_GROWSDOWN, MAP_PRIVATE);
    const THREAD: i32 = CLONE_VM | CLONE_THREAD;
    const NAMESPACES: i32 =
        CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS;
    [
        Condition(SYS_mmap, vec![EXECUTABLE, PRIVATE]),
        Condition(SYS_mprotect, vec![EXECUTABLE]),
        // What allocators give back and ask for; not what merges pages with those of others, or damages them.
        Condition(SYS_madvise, vec![(2, ALL, MADV_DONTNEED)]),
        Condition(SYS_madvise, vec![(2, ALL, MADV_FREE)]),
        Condition(SYS_madvise, vec![(2, ALL, MADV_HUGEPAGE)]),
        Condition(SYS_madvise, vec![(2, ALL, MADV_NOHUGEPAGE)]),
        Condition(SYS_clone, vec![(0, THREAD | NAMESPACES, THREAD)]),
        Condition(SYS_prctl, vec![(0, ALL, PR_SET_NAME)]),
        // `abort` has to end the process, or it waits for ever.
        Condition(SYS_tgkill, vec![(0, ALL, process), (2, ALL, SIGABRT)]),
    ]
}

fn limit(resource: Resource, most: u64) -> Result<(), ConfinementError> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::setrlimit(resource, limit).map_err(|error| ConfinementError::System("limit", error))
}

/// Closes every descriptor but the three of every program: what `execve` did not close was left open by whoever started
/// the parent, who could read there what a worker writes.
fn close_inherited() -> Result<(), ConfinementError> {
    for number in descriptors()?.into_iter().filter(|number| *number > 2) {
        // The folder itself was open while it was read, and is not any more.
        let _ = nix::unistd::close(number);
    }
    let left = descriptors()?.into_iter().find(|number| {
        let path = format!("/proc/self/fd/{number}");
        *number > 2 && std::fs::read_link(path).is_ok()
    });
    left.map_or(Ok(()), |number| Err(ConfinementError::Inherited(number)))
}

/// The numbers of what is open, among them one that is open only to read them.
fn descriptors() -> Result<Vec<i32>, ConfinementError> {
    let unreadable = |_| ConfinementError::System("/proc/self/fd", rustix::io::Errno::IO);
    let entries = std::fs::read_dir("/proc/self/fd").map_err(unreadable)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>();
    Ok(names.map_err(unreadable)?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests;
