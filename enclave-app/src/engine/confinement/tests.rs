#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers of these tests are small, or bits"
)]

use seccompiler::sock_filter;

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL: u32 = 0x8000_0000;

/// What a filter says of a call: the kernel's machine for filters, as far as these use it.
fn verdict(filter: &[sock_filter], arch: u32, call: u32, arguments: [u64; 6]) -> u32 {
    let mut data = vec![call, arch, 0, 0];
    data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (*argument >> 32) as u32]));
    let (mut at, mut value) = (0, 0_u32);
    loop {
        let sock_filter { code, jt, jf, k } = filter[at].clone();
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1 + match code {
            0x20 => {
                value = data[k as usize / 4];
                0
            }
            0x54 => {
                value &= k;
                0
            }
            0x05 => k as usize,
            0x15 => jump(value == k),
            0x25 => jump(value > k),
            0x35 => jump(value >= k),
            0x06 => return k,
            other => panic!("{other:#x}"),
        };
    }
}

fn arch() -> u32 {
    if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 }
}

/// The strictest of what both say: refusing with the number that the first to refuse gives, or allowing.
fn decided(call: i64, arguments: [u64; 6]) -> Result<(), u32> {
    for filter in filters().unwrap() {
        let verdict = verdict(&filter, arch(), call as u32, arguments);
        if verdict != ALLOW {
            assert_eq!(verdict & 0xffff_0000, ERRNO, "nobody is killed for {call}");
            return Err(verdict & 0xffff);
        }
    }
    Ok(())
}

const REFUSED: Result<(), u32> = Err(libc::EPERM.unsigned_abs());

#[test]
fn every_call_that_is_not_on_the_list_is_refused() {
    let conditional = [SYS_mmap, SYS_mprotect, SYS_madvise, SYS_clone, SYS_prctl, SYS_tgkill];
    for call in 0..2048 {
        // With nothing but ones, which no condition takes.
        let expected = if call == SYS_clone3 {
            Err(libc::ENOSYS.unsigned_abs())
        } else if ALLOWED.contains(&call) {
            Ok(())
        } else {
            REFUSED
        };
        assert_eq!(decided(call, [u64::MAX; 6]), expected, "{call}");
        if !conditional.contains(&call) {
            assert_eq!(decided(call, [0; 6]), expected, "{call}");
        }
        // The same numbers as calls of the x32 interface.
        assert_eq!(decided(call | 0x4000_0000, [0; 6]), REFUSED, "{call}");
    }
    for call in [
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_ptrace,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_openat2,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_seccomp,
        libc::SYS_memfd_secret,
        libc::SYS_shmget,
        libc::SYS_keyctl,
    ] {
        assert_eq!(decided(call, [0; 6]), REFUSED, "{call}");
    }
}

#[test]
fn memory_is_private_and_is_never_run() {
    let map = |prot: i32, flags: i32| decided(SYS_mmap, [0, 4096, prot as u64, flags as u64, u64::MAX, 0]);
    let (rw, anonymous) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    assert_eq!(map(rw, anonymous), Ok(()));
    assert_eq!(map(libc::PROT_NONE, anonymous | libc::MAP_NORESERVE | libc::MAP_STACK), Ok(()));
    assert_eq!(map(rw | PROT_EXEC, anonymous), REFUSED);
    assert_eq!(map(PROT_EXEC, libc::MAP_PRIVATE), REFUSED);
    assert_eq!(map(rw, libc::MAP_SHARED), REFUSED);
    assert_eq!(map(rw, libc::MAP_SHARED | libc::MAP_ANONYMOUS), REFUSED);
    assert_eq!(map(rw, libc::MAP_SHARED_VALIDATE), REFUSED);
    assert_eq!(map(rw, anonymous | MAP_GROWSDOWN), REFUSED);
    let protect = |prot: i32| decided(SYS_mprotect, [0, 4096, prot as u64, 0, 0, 0]);
    assert_eq!((protect(rw), protect(libc::PROT_NONE)), (Ok(()), Ok(())));
    assert_eq!((protect(PROT_EXEC), protect(rw | PROT_EXEC)), (REFUSED, REFUSED));
    for (advice, expected) in [
        (MADV_DONTNEED, Ok(())),
        (MADV_FREE, Ok(())),
        (MADV_HUGEPAGE, Ok(())),
        (MADV_NOHUGEPAGE, Ok(())),
        (libc::MADV_MERGEABLE, REFUSED),
        (libc::MADV_HWPOISON, REFUSED),
        (libc::MADV_SOFT_OFFLINE, REFUSED),
        (libc::MADV_DODUMP, REFUSED),
    ] {
        assert_eq!(decided(SYS_madvise, [0, 4096, advice as u64, 0, 0, 0]), expected, "{advice}");
    }
    assert_eq!(decided(libc::SYS_pkey_mprotect, [0; 6]), REFUSED);
}

#[test]
fn threads_are_made_and_processes_are_not() {
    let clone = |flags: i32| decided(SYS_clone, [u64::from(flags.cast_unsigned()), 0, 0, 0, 0, 0]);
    // What the C library asks for.
    let thread = CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    assert_eq!(clone(thread), Ok(()));
    for flags in [
        libc::SIGCHLD,
        CLONE_VM,
        CLONE_VM | libc::CLONE_VFORK,
        CLONE_THREAD,
        thread | CLONE_NEWUSER,
        thread | CLONE_NEWNET,
    ] {
        assert_eq!(clone(flags), REFUSED, "{flags:#x}");
    }
    assert_eq!(decided(SYS_prctl, [PR_SET_NAME as u64, 0, 0, 0, 0, 0]), Ok(()));
    for option in
        [libc::PR_SET_DUMPABLE, libc::PR_SET_PDEATHSIG, libc::PR_SET_SECCOMP, libc::PR_SET_PTRACER, libc::PR_SET_MM]
    {
        assert_eq!(decided(SYS_prctl, [option as u64, 0, 0, 0, 0, 0]), REFUSED, "{option}");
    }
}

#[test]
fn a_signal_goes_to_oneself_and_aborts() {
    let own = u64::from(std::process::id());
    let signal = |process: u64, number: i32| decided(SYS_tgkill, [process, 7, number as u64, 0, 0, 0]);
    assert_eq!(signal(own, SIGABRT), Ok(()));
    for (process, number) in [(own, libc::SIGKILL), (own + 1, SIGABRT), (1, SIGABRT), (0, SIGABRT), (own, 0)] {
        assert_eq!(signal(process, number), REFUSED, "{process} {number}");
    }
}

#[test]
fn another_architecture_ends_the_process() {
    for filter in filters().unwrap() {
        for arch in [0x4000_0003, 0x4000_0028, 0] {
            assert_eq!(verdict(&filter, arch, 0, [0; 6]), KILL, "{arch:#x}");
        }
    }
}
