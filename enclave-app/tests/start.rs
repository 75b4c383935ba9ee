//! What the program refuses before it listens, and the environment that it makes for itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/enclave.rs"]
mod enclave;
#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use enclave::{Folder, config, demonstration, program};

/// Runs the program, which must refuse to start, and returns what it says.
fn refused(edit: impl FnOnce(&mut std::process::Command), text: &str) -> String {
    let folder = Folder::new();
    let mut command = program(&folder.write("config.toml", text));
    edit(&mut command);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_wrong_at_the_start_is_named() {
    let nowhere = PathBuf::from("/nonexistent/libonnxruntime.so");
    let good = config(&nowhere, "http://127.0.0.1:1", &demonstration(), "");
    let none = |_: &mut std::process::Command| {};
    for (words, reason) in [
        (
            refused(
                |command| {
                    command.env("LD_PRELOAD", "");
                },
                &good,
            ),
            "environment: `LD_PRELOAD` is set",
        ),
        (
            refused(
                |command| {
                    command.env("LD_LIBRARY_PATH", "/x");
                },
                &good,
            ),
            "environment: `LD_LIBRARY_PATH` is set",
        ),
        (
            refused(
                |command| {
                    command.env("TEEGATE_LOG", "bodies");
                },
                &good,
            ),
            "`TEEGATE_LOG` is `bodies`, expected one of error, warn, info, debug, trace",
        ),
        (
            refused(
                |command| {
                    command.arg("--trust-me");
                },
                &good,
            ),
            "arguments are not understood",
        ),
        (refused(none, &format!("{good}\n[otlp]\nendpoint = \"x\"")), "unknown field `otlp`"),
        (refused(none, &good.replace("model.onnx", "none.onnx")), "model `m`: model file"),
        (refused(none, &good), "ONNX Runtime library `/nonexistent/libonnxruntime.so` cannot be read"),
        (
            refused(none, &good.replace("/nonexistent/libonnxruntime.so", env!("CARGO_BIN_EXE_enclave-app"))),
            "expected fc44112f",
        ),
    ] {
        assert!(words.contains(reason), "{reason}: {words}");
    }
    let folder = Folder::new();
    let external = folder.write("external.onnx", models::add_external());
    let words = refused(none, &config(&nowhere, "http://127.0.0.1:1", &external, ""));
    assert!(words.contains("model `m`: model keeps the data of tensor `w` in another file"), "{words}");
}

#[test]
fn a_model_that_cannot_share_runs_does_not_start_as_one_that_does() {
    let Some(library) = library::library() else { return };
    let folder = Folder::new();
    for (name, model, reason) in [
        ("fixed", models::add(), "`x` has a first dimension of 2, expected an open first dimension"),
        (
            "compares",
            models::compares_rows(),
            "a dimension that is not the first is called `n` like the rows, so it would grow with the requests of others",
        ),
        (
            "selects",
            models::selects_rows(),
            "it calls the first dimensions of its inputs and outputs by different names, `n`, `kept`",
        ),
    ] {
        let model = folder.write(name, model);
        let batching = "[models.batching]\nmax_rows = 8\nacross_callers = true";
        let words = refused(|_| {}, &config(&library, "http://127.0.0.1:1", &model, batching));
        let said = format!("model `m`: its requests can share no run (`models.batching`): {reason}");
        assert!(words.contains(&said), "{words}");
    }
}

#[test]
fn without_evidence_nothing_listens() {
    let Some(library) = library::library() else { return };
    // A guest API that says no says so again.
    let guest = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", guest.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in guest.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        }
    });
    let words = refused(|_| {}, &config(&library, &url, &demonstration(), ""));
    assert!(words.contains("refused with status 403 Forbidden: no"), "{words}");
    let text = config(&library, "", &demonstration(), "")
        .replace("source = \"coco\"\ncoco_url = \"\"", "source = \"configfs-tsm\"");
    if !std::path::Path::new("/sys/kernel/config/tsm/report").exists() {
        assert!(
            refused(|_| {}, &text)
                .contains("evidence: configfs-tsm (/sys/kernel/config/tsm/report) could not be asked")
        );
    }
}

/// The program behind a guest API that is not there yet, when it has said that it waits.
fn waiting(library: &std::path::Path, folder: &Folder, guest: &str) -> std::process::Child {
    let text = config(library, &format!("http://{guest}"), &demonstration(), "");
    let mut child = program(&folder.write("config.toml", text)).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.contains("the source of evidence is not ready and is waited for"));
    // What it says later goes nowhere, and must not end it.
    std::thread::spawn(move || lines.for_each(drop));
    assert!(said.is_some_and(|line| line.contains("could not be asked")), "it did not wait");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_api_that_comes_up_late_is_waited_for_and_an_end_is_not_put_off() {
    let Some(library) = library::library() else { return };
    // A port that is taken, and at which nobody listens yet.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let late = socket.local_addr().unwrap().to_string();
    let folders = [Folder::new(), Folder::new()];
    let mut child = waiting(&library, &folders[0], &late);
    let _guest = enclave::Guest::start_on(socket.listen(16).unwrap()).await;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("listening"), "{line}");

    let mut child = waiting(&library, &folders[1], "127.0.0.1:1");
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Runs the program in a mount namespace of its own, in which `folder` lies over `place`; `None`, said aloud, where this
/// machine does not let a test make one.
fn refused_with_over(folder: &Folder, place: &str) -> Option<String> {
    let unshare = |script: &str, arguments: &[&std::ffi::OsStr]| {
        let mut command = std::process::Command::new("unshare");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).args(arguments).output()
    };
    if !unshare("mount --bind /tmp /tmp", &[]).is_ok_and(|tried| tried.status.success()) {
        library::skipped("`unshare --map-root-user --mount` is not permitted here");
        return None;
    }
    let configuration = Folder::new();
    let nowhere = PathBuf::from("/nonexistent/libonnxruntime.so");
    let path = configuration.write("config.toml", config(&nowhere, "http://127.0.0.1:1", &demonstration(), ""));
    let output = unshare(
        "mount --bind \"$1\" \"$2\" && unset PATH PWD && exec \"$3\" --config \"$4\"",
        &[folder.0.as_ref(), place.as_ref(), env!("CARGO_BIN_EXE_enclave-app").as_ref(), path.as_ref()],
    );
    let output = output.unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    Some(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_library_for_every_process_is_fatal_and_so_is_another_proc() {
    let folder = Folder::new();
    // With nothing in the file, the next thing that is wrong is the library that is not there.
    folder.write("ld.so.preload", "");
    let Some(words) = refused_with_over(&folder, "/etc") else { return };
    assert!(words.contains("ONNX Runtime library `/nonexistent/libonnxruntime.so` cannot be read"), "{words}");
    // White space names no library, so the loader does nothing with it; that is not for this program to judge.
    folder.write("ld.so.preload", "\n");
    let words = refused_with_over(&folder, "/etc").unwrap();
    assert!(words.contains("`/etc/ld.so.preload` is not empty or cannot be read"), "{words}");
    let words = refused_with_over(&Folder::new(), "/proc").unwrap();
    assert!(words.contains("`/proc` is not the proc file system"), "{words}");
}

#[test]
fn the_environment_holds_what_the_program_chose_and_nothing_else() {
    let folder = Folder::new();
    let pipe = folder.0.join("config.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let chosen = [("MALLOC_MMAP_THRESHOLD_", "131072"), ("ORT_DISABLE_TELEMETRY", "1")];
    for brought in [
        &[][..],
        &[("HTTPS_PROXY", "http://127.0.0.1:1")],
        &[("ORT_DISABLE_TELEMETRY", "0")],
        &[chosen[1]],
        &[chosen[0], chosen[1], ("HTTPS_PROXY", "http://127.0.0.1:1")],
        &[("MALLOC_MMAP_THRESHOLD_", "1"), chosen[1]],
        &chosen,
    ] {
        let mut command = program(&pipe);
        command.arg("--print-config").envs(brought.iter().copied());
        let child = command.spawn().unwrap();
        // Opens when the program reads its configuration, and by then its environment is what it wants it to be.
        let writer = std::fs::File::options().write(true).open(&pipe).unwrap();
        let environment = std::fs::read_to_string(format!("/proc/{}/environ", child.id())).unwrap();
        drop(writer);
        let mut variables: Vec<_> = environment.split_terminator('\0').collect();
        variables.sort_unstable();
        let expected = ["MALLOC_MMAP_THRESHOLD_=131072", "ORT_DISABLE_TELEMETRY=1", "TEEGATE_LOG=trace"];
        assert_eq!(variables, expected, "{brought:?}");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "an empty configuration");
    }
}

#[test]
fn a_model_that_would_keep_start_up_busy_ends_it() {
    let Some(library) = library::library() else { return };
    let folder = Folder::new();
    let refusal = |levels: usize, extra: &str| {
        let model = folder.write("functions.onnx", models::nested_functions(levels));
        refused(|_| {}, &config(&library, "http://127.0.0.1:1", &model, extra))
    };
    let words = refusal(22, "");
    assert!(words.contains("model `m`: model has functions that expand to more than 65536 nodes"), "{words}");
    // What is just below the limit takes many seconds.
    let words = refusal(15, "[limits]\nload_deadline_seconds = 1");
    assert!(words.contains("model `m`: it was not loaded within 1 s (`limits.load_deadline_seconds`)"), "{words}");
    // The passing twin gets as far as its evidence.
    let words = refusal(8, "[limits]\nload_deadline_seconds = 60");
    assert!(words.contains("evidence: the CoCo guest API at 127.0.0.1:1 could not be asked"), "{words}");
}
