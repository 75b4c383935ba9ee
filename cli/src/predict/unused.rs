//! Which options of `predict` count beside which: what the chosen inputs do not use is refused, since whoever gave it reads the value as
//! one that includes it. Relations that clap holds by itself are waived where options conflict, so all of them stand here.

use std::ffi::OsStr;

use clap::ArgMatches;
use clap::parser::ValueSource;

/// An option counts where one option of each of these is given too; by itself where there are none.
type Beside = &'static [&'static [&'static str]];

struct Row {
    option: &'static str,
    /// Of this value alone; of all of them where there is none.
    value: Option<&'static str>,
    beside: Beside,
}

const fn row(option: &'static str, beside: Beside) -> Row {
    Row { option, value: None, beside }
}

const fn choice(value: &'static str, beside: Beside) -> Row {
    Row { option: "build", value: Some(value), beside }
}

const ALONE: Beside = &[];
const FIRMWARE: Beside = &[&["firmware"]];
const KERNEL: Beside = &[&["kernel"]];
/// Firmware, and something that makes a boot of it.
const BOOT: Beside = &[&["firmware"], &["memory", "acpi", "acpi_tables", "kernel", "against"]];

const SEV_SNP: &[Row] = &[
    row("igvm", ALONE),
    row("firmware", ALONE),
    row("kernel", FIRMWARE),
    row("initrd", KERNEL),
    row("append", KERNEL),
    row("vcpus", FIRMWARE),
    row("cpu", FIRMWARE),
    row("cpu_family", FIRMWARE),
    row("cpu_model", &[&["firmware"], &["cpu_family"]]),
    row("cpu_stepping", &[&["firmware"], &["cpu_family"]]),
    row("guest_features", FIRMWARE),
    row("vmm", FIRMWARE),
];
const TDX: &[Row] = &[
    row("firmware", ALONE),
    row("event_log", ALONE),
    row("uki", ALONE),
    row("kernel", ALONE),
    row("page_order", FIRMWARE),
    row("memory", FIRMWARE),
    row("acpi", FIRMWARE),
    row("acpi_tables", &[&["firmware"], &["acpi_rsdp"], &["acpi_loader"]]),
    row("acpi_rsdp", &[&["acpi_tables"]]),
    row("acpi_loader", &[&["acpi_tables"]]),
    row("initrd", KERNEL),
    row("append", KERNEL),
    choice("secure-boot-absent", BOOT),
    choice("secure-boot-off", BOOT),
    choice("separator-rtmr0", KERNEL),
    choice("separator-rtmr1", KERNEL),
    choice("kernel-as-file", KERNEL),
    choice("kernel-by-qemu", KERNEL),
    row("against", &[&["firmware", "kernel"]]),
];
const PCR: &[Row] = &[row("uki", ALONE), row("bank", ALONE), row("tee", ALONE)];
const INITDATA: &[Row] = &[row("file", ALONE), row("platform", ALONE), row("tee", ALONE)];
const ACI_POLICY: &[Row] = &[row("file", ALONE)];
/// Of each of them.
const SHOWN: &[Row] =
    &[row("format", ALONE), row("reference_values", ALONE), row("name", &[&["reference_values"]]), row("color", ALONE)];

fn rows(command: &str) -> impl Iterator<Item = &'static Row> {
    let own = match command {
        "sev-snp" => SEV_SNP,
        "tdx" => TDX,
        "pcr" => PCR,
        "initdata" => INITDATA,
        "aci-policy" => ACI_POLICY,
        _ => &[],
    };
    own.iter().chain(SHOWN)
}

/// Of what was given to `predict`, the verb and why it is refused: an option that goes unused. None where each counts.
pub(super) fn refused(predict: &ArgMatches) -> Option<(&str, String)> {
    let (command, matches) = predict.subcommand()?;
    let given: Vec<&str> = matches
        .ids()
        .map(clap::Id::as_str)
        .filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .collect();
    let is_here = |row: &Row| {
        let mut raw = matches.get_raw(row.option).into_iter().flatten();
        given.contains(&row.option) && row.value.is_none_or(|value| raw.any(|own| own == OsStr::new(value)))
    };
    let unused = rows(command).filter(|row| is_here(row)).find_map(|row| {
        let missing: Vec<_> =
            row.beside.iter().filter(|one_of| !one_of.iter().any(|option| given.contains(option))).collect();
        (!missing.is_empty()).then_some((row, missing))
    });
    unused.map(|(row, missing)| {
        let value = row.value.map(|value| format!(" {value}")).unwrap_or_default();
        let missing: Vec<_> =
            missing.iter().map(|one_of| one_of.iter().map(|option| long(option)).collect::<Vec<_>>().join(" or ")).collect();
        let what = format!(
            "`--{}{value}` goes unused here, and the value would read as if it counted: it counts beside {}; leave it out, or give that",
            row.option.replace('_', "-"),
            missing.join(" and ")
        );
        (command, what)
    })
}

fn long(option: &str) -> String {
    format!("`--{}`", option.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// An option that nobody has thought about is in no row, and this fails: say beside what it counts.
    #[test]
    fn every_option_and_every_build_stands_in_the_table() {
        let mut command = crate::Command::command();
        command.build();
        let predict = command.get_subcommands().find(|below| below.get_name() == "predict").unwrap();
        let mut seen = 0;
        for below in predict.get_subcommands().filter(|below| below.get_name() != "help") {
            for argument in below.get_arguments().filter(|argument| argument.get_id() != "help") {
                let own: Vec<_> = rows(below.get_name()).filter(|row| argument.get_id() == row.option).collect();
                assert!(!own.is_empty(), "{} {}", below.get_name(), argument.get_id());
                seen += own.len();
                // Where only some values stand there, all of them do.
                if own.iter().any(|row| row.value.is_some()) {
                    let known: Vec<_> = own.iter().filter_map(|row| row.value).collect();
                    let values: Vec<_> =
                        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
                    assert_eq!(known, values);
                }
            }
            // And nothing stands there that is no option.
            for row in rows(below.get_name()) {
                let is_own = |id: &str| below.get_arguments().any(|argument| argument.get_id() == id);
                assert!(is_own(row.option), "{} {}", below.get_name(), row.option);
                assert!(row.beside.concat().iter().all(|id| is_own(id)), "{}", row.option);
            }
        }
        assert!(seen > 40, "{seen}");
    }
}
