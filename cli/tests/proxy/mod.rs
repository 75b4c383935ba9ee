//! `teegate proxy` before its door is open: signals, and the file of another door.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::{command, status, stderr, teegate};

#[test]
fn who_is_told_to_leave_while_nobody_answers_leaves() {
    for signal in ["-TERM", "-INT"] {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = format!("http://{}", silent.local_addr().unwrap());
        let mut starting = command(&["proxy", "--gateway", &gateway, "--policy", "genuine"]);
        let mut starting = starting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It has asked, and waits for 45 s.
        let (_question, _) = silent.accept().unwrap();
        let told = Command::new("kill").args([signal, &starting.id().to_string()]).status().unwrap();
        assert!(told.success());
        let mut said = String::new();
        starting.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(starting.wait().unwrap().code(), Some(0), "{said}");
        assert!(said.contains("told to leave before the door was open"), "{said}");
    }
}

#[test]
fn a_place_that_is_taken_leaves_the_file_of_who_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let (file, other) = (folder.path().join("ready"), folder.path().join("diary"));
    let ready = format!("{{\"listening\":\"{place}\"}}\n");
    fs::write(&file, &ready).unwrap();
    fs::write(&other, "dear diary").unwrap();
    let run = |place: &str, file: &std::path::Path| {
        let file = file.display().to_string();
        let asked = ["proxy", "--gateway", "http://127.0.0.1:1", "--policy", "genuine", "--listen", place];
        teegate(&[&asked[..], &["--ready-file", &file]].concat())
    };
    let output = run(&place, &file);
    assert_eq!(status(&output), 1, "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), ready);
    // A place that is free: then it is of an earlier run, and what is none of ours is nobody's to take away.
    let output = run("127.0.0.1:0", &other);
    assert!(stderr(&output).contains("it exists and is not that of an earlier run"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&other).unwrap(), "dear diary");
    run("127.0.0.1:0", &file);
    assert!(!file.exists());
}
