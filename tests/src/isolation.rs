//! A program of ours where there is no network at all.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::binary;

/// Runs `teegate` in a namespace that has no network but a loopback interface that is down; `None` where the kernel allows no
/// namespace.
pub fn without_network(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", script, "teegate"]).arg(binary("teegate")).args(arguments);
        command.current_dir(folder).env_clear().output().ok()
    };
    let empty = run(r#"test "$(grep -c : /proc/net/dev)" = 1 && test "$(grep -c . /proc/net/route)" -le 1"#)?;
    empty.status.success().then(|| run(r#""$@""#))?
}
