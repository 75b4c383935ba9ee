//! What a person sees: the short form on a terminal, as wide as the terminal and no wider; all of it where a program reads along;
//! nothing where the exit status is the answer. The terminal is one of the kernel's, not a pretence.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{MILAN_AT, command, milan, status, stderr, stdout, teegate};

/// Runs the command with a terminal of this many columns as its standard output.
fn on_a_terminal(columns: u16, args: &[&str], set: &[(&str, &str)]) -> (i32, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let no_tty = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let slave = File::options().read(true).write(true).custom_flags(no_tty).open(OsStr::from_bytes(name.as_bytes()));
    let mut command = command(args);
    command.stdout(slave.unwrap()).env_remove("COLUMNS").env_remove("CLICOLOR_FORCE").env("TERM", "xterm");
    let mut child = command.envs(set.iter().copied()).spawn().unwrap();
    // It holds the other end too, and the terminal would never close.
    drop(command);
    let (mut master, mut text, mut piece) = (File::from(master), Vec::new(), [0; 4096]);
    // A terminal whose other end is closed answers with an error, and not with an end.
    while let Ok(length @ 1..) = master.read(&mut piece) {
        text.extend_from_slice(&piece[..length]);
    }
    let status = child.wait().unwrap().code().unwrap();
    (status, String::from_utf8(text).unwrap().replace('\r', ""))
}

/// Without the orders to the terminal.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('m').map_or("", |(_, rest)| rest))
}

fn widest(text: &str) -> usize {
    uncoloured(text).lines().map(|line| line.chars().count()).max().unwrap()
}

fn arguments<'a>(files: &'a [String; 3], more: &[&'a str]) -> Vec<&'a str> {
    let [report, vcek, chain] = files;
    let mut all = vec!["verify", report, "--endorsements", vcek, "--endorsements", chain, "--policy", "genuine"];
    all.extend(["--at", MILAN_AT]);
    all.extend(more);
    all
}

#[test]
fn a_terminal_gets_a_screenful_that_names_whatever_was_left_open() {
    let Some(files) = milan() else { return };
    let whole = stdout(&teegate(&arguments(&files, &[])));
    for columns in [60, 80, 200] {
        let (status, text) = on_a_terminal(columns, &arguments(&files, &[]), &[]);
        let shown = uncoloured(&text);
        assert_eq!(status, 0, "{text}");
        assert!(widest(&text) <= usize::from(columns).min(120), "{columns}: {shown}");
        assert!(shown.starts_with("ACCEPTED  satisfies `genuine` at "), "{shown}");
        assert!(text.lines().count() < 50, "{text}");
        let words: Vec<_> = shown.split_whitespace().collect();
        let open: Vec<_> = whole.split("(policy: `").skip(1).filter_map(|rest| rest.split('`').next()).collect();
        assert!(open.len() > 10, "{whole}");
        assert!(open.iter().all(|field| words.contains(field)), "{open:?}\n{shown}");
        for weakness in ["! ANY CODE ", "! NO CRL ", "! NOT FRESH ", "! OPEN HOLES ", "! REPLAY "] {
            assert!(shown.contains(&format!("\n{weakness}")), "{shown}");
        }
        // Two digests are compared group by group, and none is cut.
        let (_, digest) = whole.split_once("\n  code          not compared with anything: ").unwrap();
        let digest = digest.split('\n').next().unwrap();
        let beginning = |length| digest.get(..length).unwrap();
        assert!(shown.contains(beginning(8)) && !shown.contains(beginning(9)), "{shown}");
        assert!(words.concat().contains(digest), "{shown}");
    }
}

#[test]
fn a_terminal_gets_every_check_with_long_and_a_file_gets_a_screenful_with_short() {
    let Some(files) = milan() else { return };
    let piped = stdout(&teegate(&arguments(&files, &[])));
    let (status, long) = on_a_terminal(80, &arguments(&files, &["--long"]), &[]);
    assert!(status == 0 && widest(&long) <= 80 && widest(&piped) > 80, "{long}");
    let ids = |text: &str| -> Vec<String> {
        let is_check = |word: &&str| word.starts_with("snp.") || word.starts_with("policy.");
        text.lines().filter_map(|line| line.split_whitespace().nth(1).filter(is_check).map(str::to_owned)).collect()
    };
    assert!(ids(&piped).len() > 40, "{piped}");
    assert_eq!(ids(&uncoloured(&long)), ids(&piped));
    assert_eq!(stdout(&teegate(&arguments(&files, &["--long"]))), piped, "what is piped is whole already");

    let short = stdout(&command(&arguments(&files, &["--short"])).env("COLUMNS", "72").output().unwrap());
    assert!(short.starts_with("ACCEPTED  satisfies") && widest(&short) <= 72 && !short.contains('\u{1b}'), "{short}");
    let wide = stdout(&command(&arguments(&files, &["--short"])).env("COLUMNS", "100").output().unwrap());
    assert!((73..=100).contains(&widest(&wide)), "{wide}");
}

#[test]
fn a_rejection_on_a_terminal_says_what_failed_and_what_helps() {
    let Some(files) = milan() else { return };
    let (status, text) = on_a_terminal(80, &["verify", &files[0], "--policy", "genuine", "--at", MILAN_AT], &[]);
    let shown = uncoloured(&text);
    assert_eq!(status, 3, "{shown}");
    assert!(widest(&text) <= 80 && shown.starts_with("REJECTED  unauthentic: AMD was not shown to vouch"), "{shown}");
    assert!(shown.contains("\n✗ snp.chain.present\n    expected  "), "{shown}");
    assert!(shown.contains("\n    why       teegate verify --explain snp.chain.present\n"), "{shown}");
    assert!(shown.ends_with("\nevery check: --long; exit status 3\n"), "{shown}");
    assert!(text.starts_with("\u{1b}[1;31mREJECTED"), "{text}");
}

#[test]
fn colour_goes_where_it_is_wanted() {
    let Some(files) = milan() else { return };
    let (_, text) = on_a_terminal(80, &arguments(&files, &[]), &[]);
    assert!(text.starts_with("\u{1b}[33mACCEPTED"), "what is weakened is not green: {text}");
    for (more, set) in [(&[][..], &[("NO_COLOR", "1")][..]), (&["--color", "never"], &[]), (&[], &[("TERM", "dumb")])] {
        let (_, plain) = on_a_terminal(80, &arguments(&files, more), set);
        assert_eq!(plain, uncoloured(&text));
    }
    let piped = stdout(&teegate(&arguments(&files, &["--color", "always"])));
    assert!(piped.starts_with("\u{1b}[33mACCEPTED"), "{piped}");
    assert_eq!(uncoloured(&piped), stdout(&teegate(&arguments(&files, &[]))));
}

/// Made by the forge, under its own root, which the policy pins.
#[test]
fn a_status_below_the_best_is_never_green() {
    for (status, label) in [("OutOfDate", "! OUT OF DATE"), ("SWHardeningNeeded", "! TCB STATUS"), ("UpToDate", "")] {
        let set = teegate_forge::tdx().platform_status(status).build();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            folder.path().join(name).display().to_string()
        };
        let genuine = teegate_measurements::GENUINE;
        let policy = format!("{genuine}\n[trust_anchors]\nintel = ['''{}''']\n", set.root_pem);
        let (quote, collateral) =
            (write("quote.bin", &set.quote), write("c.json", set.dcap_collateral(true).as_bytes()));
        let (policy, at) = (write("policy.toml", policy.as_bytes()), teegate_forge::time::AT.to_string());
        let arguments = ["verify", &quote, "--endorsements", &collateral, "--policy", &policy, "--at", &at];
        let coloured = |more: &'static str| stdout(&teegate(&[&arguments[..], &["--color", "always", more]].concat()));
        let (long, short) = (coloured("--long"), coloured("--short"));
        let level = long.lines().find(|line| line.contains(" tdx.tcb.level ")).unwrap();
        assert_eq!(level.starts_with("  \u{1b}[33m✓"), status != "UpToDate", "{level}");
        let essential = format!("  TCB status    {}{status}; ", if status == "UpToDate" { "" } else { "\u{1b}[33m" });
        assert!(long.contains(&essential), "{long}");
        let own = long.lines().filter(|line| line.contains(status) && line.contains('✓') && line.contains(" tdx."));
        assert!(own.count() >= 2, "{long}");
        let green: Vec<_> = long.lines().filter(|line| line.starts_with("  \u{1b}[32m✓")).collect();
        assert!(green.iter().any(|line| line.contains(" tdx.signature ")), "{long}");
        assert_eq!(green.iter().any(|line| line.contains(status)), status == "UpToDate", "{green:?}");
        assert_eq!(short.contains("Intel's status of this platform is"), status != "UpToDate", "{short}");
        assert!(label.is_empty() || short.contains(&format!("\n\u{1b}[33m{label}")), "{short}");
        for text in [long, short] {
            assert!(text.starts_with("\u{1b}[33mACCEPTED"), "other roots are a weakness too: {text}");
        }
    }
}

#[test]
fn with_quiet_the_exit_status_is_the_answer() {
    let Some(files) = milan() else { return };
    for (arguments, expected) in
        [(arguments(&files, &["--quiet"]), 0), (vec!["verify", files[0].as_str(), "--policy", "genuine", "-q"], 3)]
    {
        let output = teegate(&arguments);
        assert_eq!((status(&output), stdout(&output), stderr(&output)), (expected, String::new(), String::new()));
    }
    let output = teegate(&["verify", "no-such-file", "--policy", "genuine", "-q"]);
    assert_eq!((status(&output), stdout(&output)), (1, String::new()));
    assert!(stderr(&output).starts_with("error: `no-such-file`"), "{}", stderr(&output));
}

#[test]
fn a_policy_that_is_nearly_a_known_one_is_named() {
    let Some(files) = milan() else { return };
    let near = teegate(&["verify", &files[0], "--policy", "genuin"]);
    assert_eq!(status(&near), 1);
    assert!(
        stderr(&near).contains("expected a TOML file, or one of `genuine`, `strict`, `azure-peer-pod`, `azure-cvm-node`, `aci`; did you mean `genuine`?"),
        "{}",
        stderr(&near)
    );
    let far = teegate(&["verify", &files[0], "--policy", "no-such-policy.toml"]);
    assert!(!stderr(&far).contains("did you mean"), "{}", stderr(&far));
}

#[test]
fn shells_and_man_get_what_the_command_line_takes() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = teegate(&["completions", shell]);
        let text = stdout(&script);
        assert_eq!(status(&script), 0, "{}", stderr(&script));
        for word in ["verify", "reference-values", "expect-recorded", "completions"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man");
    let written = teegate(&["man", "--into", into.to_str().unwrap()]);
    assert_eq!(status(&written), 0, "{}", stderr(&written));
    let page = |name: &str| std::fs::read_to_string(into.join(name)).unwrap();
    assert!(page("teegate.1").contains("\n.SH SUBCOMMANDS\n"), "{}", page("teegate.1"));
    let verify = page("teegate-verify.1");
    assert!(verify.contains("reference") && verify.contains("Exit status: 0 accepted"), "{verify}");
    assert!(page("teegate-bundle-verify.1").contains("expect"), "each command has its page");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let refused = teegate(&["man", "--into", folder.path().join("file").to_str().unwrap()]);
    assert_eq!(status(&refused), 1);
    assert!(stderr(&refused).contains("cannot be written into"), "{}", stderr(&refused));
}

#[test]
fn what_writes_a_file_or_counts_remarks_can_be_quiet_too() {
    let Some([report, vcek, chain]) = milan() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("case.json").display().to_string();
    let create =
        ["bundle", "create", &report, "--endorsements", &vcek, "--endorsements", &chain, "--policy", "genuine"];
    let create = [&create[..], &["--at", MILAN_AT, "--output", &output]].concat();
    let silent = |output: std::process::Output| (status(&output), stdout(&output), stderr(&output));
    let nothing = |status| (status, String::new(), String::new());
    assert_eq!(silent(teegate(&[&create[..], &["--quiet"]].concat())), nothing(0));
    assert_eq!(silent(teegate(&["bundle", "verify", &output, "-q"])), nothing(0));
    assert_eq!(silent(teegate(&["policy", "lint", "genuine", "-q"])), nothing(4));
    // Its twin speaks.
    assert!(!stdout(&teegate(&[&create[..], &["--force"]].concat())).is_empty());
}

#[test]
fn whatever_is_said_in_words_ends_at_the_width_of_the_terminal() {
    let Some([report, vcek, chain]) = milan() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("case.json").display().to_string();
    let create =
        ["bundle", "create", &report, "--endorsements", &vcek, "--endorsements", &chain, "--policy", "genuine"];
    assert_eq!(status(&teegate(&[&create[..], &["--at", MILAN_AT, "--output", &bundle]].concat())), 0);
    for arguments in [
        &["bundle", "verify", &bundle][..],
        &["bundle", "verify", &bundle, &bundle, "--long"],
        &["bundle", "show", &bundle],
        &[&create[..], &["--at", MILAN_AT, "--force", "--output", &bundle]].concat(),
        &["inspect", &report],
        &["verify", "--explain", "snp.chain.revocation"],
        &["policy", "explain", "genuine"],
        &["policy", "lint", "genuine"],
        &["policy", "diff", "genuine", "genuine"],
        &["verify", "--help"],
    ] {
        let (_, text) = on_a_terminal(72, arguments, &[]);
        // A command is there to be copied, and stays whole.
        let (commands, words): (Vec<_>, Vec<_>) =
            text.lines().partition(|line| line.trim_start().starts_with("cargo "));
        assert!(!words.is_empty() && widest(&words.join("\n")) <= 72, "{arguments:?}: {text}");
        assert_eq!(commands.len(), usize::from(arguments.contains(&"--explain")), "{text}");
    }
    // What a program reads is never broken.
    let (_, json) = on_a_terminal(72, &["inspect", &report, "--format", "json"], &[]);
    assert!(widest(&json) > 72 && serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
}
