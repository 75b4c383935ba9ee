//! The wall clock of a gateway jumps. The program is the one that is shipped, and the library that stands between it and its clock is
//! made here: it adds what stands in a file to CLOCK_REALTIME.

use std::path::{Path, PathBuf};
use std::process::Command;

use teegate_tests::harness::{Gateway, Program, eventually, note};

use super::load::{Held, LIMITS, Load, nothing_is_released, seconds};
use super::{Stage1, again};

/// `clock_gettime` is what Rust's standard library asks; everything else of the program is untouched.
const SHIFTED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *ahead;
__attribute__((constructor)) static void open_ahead(void) {
    const char *path = getenv("TEEGATE_CLOCK_AHEAD");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) _exit(97);
    void *page = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) _exit(98);
    close(file);
    ahead = page;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int outcome = syscall(SYS_clock_gettime, clock, now);
    if (outcome == 0 && clock == CLOCK_REALTIME) now->tv_sec += *ahead;
    return outcome;
}
"#;

/// How far the clock of the gateway is ahead.
struct Ahead(PathBuf);

impl Ahead {
    fn is(&self, seconds: i64) {
        // In place: the program looks at this very file.
        let file = std::fs::File::options().write(true).open(&self.0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0).unwrap();
    }
}

/// The library, where there is a C compiler.
fn shifted_clock(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SHIFTED_CLOCK).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    built.is_ok_and(|status| status.success()).then_some(library)
}

async fn is_ready(gateway: &Gateway) -> bool {
    gateway.ask("GET", "/readyz", &[], b"").await.status == 200
}

async fn becomes_ready(gateway: &Gateway, expected: bool, what: &str) {
    eventually(what, async || (is_ready(gateway).await == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_releases_nothing_that_it_should_not() {
    let stage = Stage1::set().await;
    let Some(library) = shifted_clock(stage.scratch.path()) else {
        note("skipped: steps of the clock: no C compiler, `cc`");
        return;
    };
    let ahead = Ahead(stage.scratch.path().join("ahead"));
    std::fs::write(&ahead.0, [0; 8]).unwrap();
    let mut gateway = stage.gateway(&stage.enclave.address, LIMITS).await;
    let config = again(&stage, "gateway", &gateway.address);
    let (library, path) = (library.display().to_string(), ahead.0.display().to_string());
    let environment = [("LD_PRELOAD", library.as_str()), ("TEEGATE_CLOCK_AHEAD", path.as_str())];
    let start = async || {
        let arguments = ["--config", config.as_str()];
        Program::start_in(&stage.scratch, "gateway-again", "teegate-gateway", &arguments, &environment).await
    };
    gateway.program.kill().await;
    gateway.program = start().await;
    gateway.attested().await;

    let load = Load::begin(&gateway).await;
    let held = Held::by(&gateway.program);
    let (mut back, mut around, mut beyond) = (0_u64, 0_u64, 0_u64);
    while beyond == 0 || load.is_due() {
        // A second more than what is tolerated, and one less.
        ahead.is(-61 - 1);
        back += 1;
        becomes_ready(&gateway, false, "a gateway whose clock was set back is not ready").await;
        nothing_is_released(&stage, &gateway, "by a clock that was set back").await;
        ahead.is(0);
        becomes_ready(&gateway, true, "its clock has caught up").await;
        load.goes_on("when the clock has caught up").await;

        for seconds in [25, -25, 10, -30, 0] {
            ahead.is(seconds);
            around += 1;
            load.goes_on("while the clock goes back and forth by less").await;
        }

        // Beyond the end of every manifest, and of what was proven.
        ahead.is(2 * 3_600);
        beyond += 1;
        becomes_ready(&gateway, false, "every manifest has ended").await;
        nothing_is_released(&stage, &gateway, "after the end of the manifest").await;
        // Back again is far behind what the clock has said: the gateway takes it for no better.
        ahead.is(0);
        assert!(!is_ready(&gateway).await, "a clock that was set back by two hours");
        nothing_is_released(&stage, &gateway, "by a clock that was two hours further").await;
        // Nothing but a start makes it forget that.
        gateway.program.kill().await;
        gateway.program = start().await;
        load.goes_on("after a start under the right time").await;
    }
    held.is_held_again_by(&gateway.program).await;
    let faults = format!("{back} steps back, {around} to and fro, {beyond} beyond all manifests, {} s", seconds());
    let Stage1 { scratch, enclave, guest: _guest } = stage;
    load.end("clock", &scratch, vec![("enclave", enclave)], &faults).await;
}
