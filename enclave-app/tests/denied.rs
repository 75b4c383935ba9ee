//! What a worker cannot do, tried from inside one by one: under the same limits and filters, set by the same functions, in the
//! same order. Each call is made twice, in two processes: once before, where it comes to something else, and once confined,
//! where it is refused.
//!
//! Calls that safe Rust cannot make (`bpf`, `perf_event_open`, `userfaultfd`, `io_uring_setup`, an `mmap` that is shared or
//! executable, a `tgkill` of somebody else) are judged by the filters' own program, in the unit tests of `confinement`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

use std::io::{IoSlice, IoSliceMut, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use teegate_enclave::engine::confinement;

/// What a call came to: nothing, or the number of an error.
type Came = Result<(), i32>;

fn of<T>(result: rustix::io::Result<T>) -> Came {
    result.map(drop).map_err(Errno::raw_os_error)
}

fn of_std<T>(result: std::io::Result<T>) -> Came {
    result.map(drop).map_err(|error| error.raw_os_error().unwrap())
}

fn of_nix<T>(result: nix::Result<T>) -> Came {
    result.map(drop).map_err(|error| error as i32)
}

/// Descriptors and numbers that a call needs, made while they can be.
struct Had {
    pair: [UnixStream; 2],
    listener: std::net::TcpListener,
    memory: std::fs::File,
    pages: memmap2::MmapMut,
    parent: rustix::process::Pid,
    /// The limit of core dumps, as it is.
    cores: rustix::process::Rlimit,
}

/// One test for each call.
macro_rules! denied {
    ($($name:ident: $call:expr;)*) => {
        const CALLS: &[(&str, fn(Had) -> Came)] = &[$((stringify!($name), $call)),*];
        $(#[test]
        fn $name() {
            is_denied(stringify!($name));
        })*
    };
}

denied! {
    socket_of_the_internet: |_| of(rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None));
    socket_of_this_machine: |_| of(rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None));
    socketpair: |_| of_std(UnixStream::pair());
    connect: |had| of(rustix::net::connect(&had.pair[0], &"127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap()));
    bind: |had| of(rustix::net::bind(&had.pair[0], &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()));
    listen: |had| of(rustix::net::listen(&had.listener, 1));
    accept: |had| of_std(had.listener.accept());
    sendto: |mut had| of_std(had.pair[0].write(b"x"));
    recvfrom: |had| of(rustix::net::recv(&had.pair[0], &mut [0; 1], rustix::net::RecvFlags::DONTWAIT));
    sendmsg_with_descriptors: |had| {
        let files = [had.memory.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&files)));
        of(rustix::net::sendmsg(&had.pair[0], &[IoSlice::new(b"x")], &mut control, rustix::net::SendFlags::empty()))
    };
    recvmsg_with_descriptors: |had| {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let flags = rustix::net::RecvFlags::DONTWAIT;
        of(rustix::net::recvmsg(&had.pair[0], &mut [IoSliceMut::new(&mut [0])], &mut control, flags))
    };
    open_to_read: |_| of_std(std::fs::File::open("/dev/null"));
    open_to_write: |_| of_std(std::fs::File::options().write(true).open("/dev/null"));
    open_its_own_memory: |_| of_std(std::fs::File::options().write(true).open("/proc/self/mem"));
    open_beside_a_descriptor: |had| of(rustix::fs::openat(&had.memory, "x", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()));
    read_a_folder: |_| of_std(std::fs::read_dir("/"));
    read_a_link: |_| of_std(std::fs::read_link("/proc/self/exe"));
    stat: |_| of(rustix::fs::stat("/"));
    access: |_| of(rustix::fs::access("/", rustix::fs::Access::EXISTS));
    unlink: |_| of(rustix::fs::unlink("/nowhere/x"));
    rename: |_| of(rustix::fs::rename("/nowhere/x", "/nowhere/y"));
    link: |_| of(rustix::fs::link("/nowhere/x", "/nowhere/y"));
    symlink: |_| of(rustix::fs::symlink("x", "/nowhere/y"));
    mkdir: |_| of(rustix::fs::mkdir("/nowhere/x", rustix::fs::Mode::empty()));
    chmod: |_| of(rustix::fs::chmod("/nowhere/x", rustix::fs::Mode::empty()));
    chdir: |_| of(rustix::process::chdir("/nowhere"));
    chroot: |_| of(rustix::process::chroot("/nowhere"));
    truncate_what_it_has: |had| of(rustix::fs::ftruncate(&had.memory, 10));
    seal_what_it_has: |had| of(rustix::fs::fcntl_add_seals(&had.memory, rustix::fs::SealFlags::WRITE));
    memfd_create: |_| of(rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::empty()));
    dup: |had| of(rustix::io::dup(&had.memory));
    fcntl: |had| of(rustix::io::fcntl_getfd(&had.memory));
    ioctl: |had| of(rustix::io::ioctl_fionbio(&had.pair[0], true));
    pipe: |_| of(rustix::pipe::pipe());
    eventfd: |_| of(rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()));
    epoll_create: |_| of(rustix::event::epoll::create(rustix::event::epoll::CreateFlags::empty()));
    inotify: |_| of(rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::empty()));
    poll: |_| of(rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })));
    fork: |_| of_std(Command::new("/proc/self/exe").arg("--list").output());
    execve: |_| of_std(Err::<(), _>(Command::new("/proc/self/exe").args(["--exact", "nothing-has-this-name"]).exec()));
    ptrace: |_| of_nix(nix::sys::ptrace::attach(nix::unistd::Pid::from_raw(i32::MAX)));
    kill_the_parent: |had| of(rustix::process::test_kill_process(had.parent));
    kill_itself: |_| of(rustix::process::test_kill_process(rustix::process::getpid()));
    pidfd_open: |had| of(rustix::process::pidfd_open(had.parent, rustix::process::PidfdFlags::empty()));
    read_the_memory_of_a_process: |_| {
        let (from, mut to) = ([1_u8; 8], [0_u8; 8]);
        let there = nix::sys::uio::RemoteIoVec { base: from.as_ptr().addr(), len: 8 };
        of_nix(nix::sys::uio::process_vm_readv(nix::unistd::getpid(), &mut [IoSliceMut::new(&mut to)], &[there]))
    };
    limit_the_parent: |had| of(rustix::process::prlimit(Some(had.parent), rustix::process::Resource::Core, had.cores));
    limit_itself: |had| of(rustix::process::setrlimit(rustix::process::Resource::Core, had.cores));
    become_dumpable: |_| of(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable));
    outlive_the_parent: |_| of(rustix::process::set_parent_process_death_signal(None));
    unshare: |_| of_nix(nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS));
    mount: |_| of_nix(nix::mount::mount(None::<&str>, "/nowhere", None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>));
    run_what_was_written: |had| of_std(had.pages.make_exec());
    choose_a_processor: |_| of(rustix::thread::sched_setaffinity(None, &rustix::thread::sched_getaffinity(None).unwrap()));
    priority: |_| of(rustix::process::setpriority_process(None, 19));
    session: |_| of(rustix::process::setsid());
}

/// What it can still do, in the same place: a filter that refuses everything would pass all of the above.
#[test]
fn what_a_run_needs_is_allowed() {
    assert_eq!(inside("still_computes", true), "confined still_computes ok\n");
}

fn still_computes(had: Had) -> Came {
    // Memory large enough to be mapped, threads, both ends of a file that is open, randomness, a clock.
    let large = std::hint::black_box(vec![1_u8; 32 << 20]);
    let sum = std::thread::spawn(move || large.iter().map(|byte| u64::from(*byte)).sum::<u64>()).join().unwrap();
    assert_eq!(sum, 32 << 20);
    let mut read = [0; 3];
    of(rustix::io::pwrite(&had.memory, b"abc", 2))?;
    of(rustix::io::pread(&had.memory, &mut read, 2))?;
    assert_eq!(&read, b"abc");
    of(rustix::io::write(&had.pair[0], b"x"))?;
    of(rustix::io::read(&had.pair[1], &mut read))?;
    getrandom::fill(&mut read).unwrap();
    std::thread::sleep(std::time::Duration::from_nanos(1));
    Ok(())
}

/// `abort` has to end a worker: it did not where no signal to oneself was allowed.
#[test]
fn abort_ends_it() {
    let output = start("abort", true);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6), "{output:?}");
}

fn is_denied(call: &str) {
    assert_eq!(inside(call, true), format!("confined {call} {}\n", Errno::PERM.raw_os_error()), "confined");
    // Two of them are the super-user's anyway.
    if ["mount", "chroot"].contains(&call) && !rustix::process::geteuid().is_root() {
        // Past the harness, which keeps what a passing test prints.
        let line = format!("note: not run: {call} without the filters, which needs the super-user\n");
        std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
        return;
    }
    let free = inside(call, false);
    // What replaced itself says nothing any more.
    if call != "execve" {
        assert!(free.starts_with(&format!("free {call} ")), "{free}");
    }
    assert!(!free.ends_with(&format!(" {}\n", Errno::PERM.raw_os_error())), "it is refused anyway: {free}");
}

fn start(call: &str, confined: bool) -> std::process::Output {
    let how = if confined { "how=confined" } else { "how=free" };
    let arguments = ["--exact", "process", "--nocapture", how, &format!("call={call}")];
    Command::new("/proc/self/exe").args(arguments).output().unwrap()
}

/// What a process says that makes this call.
fn inside(call: &str, confined: bool) -> String {
    let output = start(call, confined);
    assert!(output.status.success(), "{call}: {output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines()
        .filter(|line| line.starts_with("confined ") || line.starts_with("free "))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The process that makes a call; as a test it does nothing.
#[test]
fn process() {
    let asked = |name: &str| std::env::args().find_map(|argument| argument.strip_prefix(name).map(str::to_owned));
    let (Some(how), Some(call)) = (asked("how="), asked("call=")) else { return };
    let confined = how == "confined";
    if confined {
        confinement::begin().unwrap();
    }
    let memory = std::fs::File::from(rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap());
    memory.set_len(100).unwrap();
    let (one, other) = UnixStream::pair().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let had = Had {
        pair: [one, other],
        listener,
        memory,
        pages: memmap2::MmapMut::map_anon(4096).unwrap(),
        parent: rustix::process::getppid().unwrap(),
        cores: rustix::process::getrlimit(rustix::process::Resource::Core),
    };
    if confined {
        confinement::confine().unwrap();
    }
    let make = match call.as_str() {
        "still_computes" => still_computes,
        "abort" => std::process::abort(),
        _ => CALLS.iter().find_map(|(name, make)| (*name == call).then_some(*make)).unwrap(),
    };
    let came = match make(had) {
        Ok(()) => "ok".to_owned(),
        Err(number) => number.to_string(),
    };
    // In one piece, and past the harness.
    std::io::stdout().lock().write_all(format!("\n{how} {call} {came}\n").as_bytes()).unwrap();
}
