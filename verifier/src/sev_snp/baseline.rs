//! AMD's security bulletins, as far as a report can show whether a platform has answered them.
//!
//! AMD publishes no signed TCB feed. This table stands in its place: one row for each bulletin and product, with the date,
//! what it fixes, and the figure that a report shows once it is fixed. A figure stands here only where AMD wrote it itself,
//! in the CVE record that it issued for the bulletin or in kernel code of its own that names the bulletin. Where there is
//! no such figure (AMD names a platform firmware package, which no report shows, or has withdrawn the figure) the row says
//! [`Answer::NotShown`]: the report then lists the bulletin as one that it cannot judge. Nothing is guessed.
//!
//! Rows are only ever added, under the number of the baseline that they came with. A policy names the baseline that it
//! was written for, and a bulletin counts from its publication, so that a verdict stays what it was.

use super::report::{FirmwareVersion, Report};
use super::tcb::{Product, TcbVersion};
use crate::time::UnixTime;

/// One bulletin, for one product.
pub(crate) struct Row {
    /// The first baseline that holds it.
    since: u32,
    pub(crate) bulletin: &'static str,
    product: Product,
    /// When AMD published it, in seconds of Unix time (midnight UTC).
    published: u64,
    pub(crate) fixes: &'static str,
    answer: Answer,
}

/// What a report shows once a bulletin is answered.
enum Answer {
    /// The running firmware is of this version or a later one.
    Firmware(FirmwareVersion),
    /// As `Firmware`, and ALIAS_CHECK_COMPLETE is set in PLATFORM_INFO.
    FirmwareAndAliasCheck(FirmwareVersion),
    /// The SNP component of the reported and of the current TCB is at least this.
    Snp(u8),
    /// Nothing that AMD has said and not withdrawn.
    NotShown,
}

/// What the baseline says of one platform at one time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Bulletins that the platform has not answered, with the time of publication and what the report shows instead.
    pub(crate) open: Vec<Open>,
    /// Bulletins that it has not answered either and that are published only later than the time of the verdict.
    pub(crate) coming: Vec<Open>,
    /// Bulletins of this product that no report can show as answered.
    pub(crate) not_shown: Vec<&'static str>,
}

/// A bulletin that is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) bulletin: &'static str,
    pub(crate) published: UnixTime,
    pub(crate) fixes: &'static str,
    pub(crate) shows: String,
}

/// Where the platform stands at `now` by the rows of `baseline`.
pub(crate) fn standing(
    report: &Report<'_>,
    product: Product,
    [reported, current]: [&TcbVersion; 2],
    baseline: u32,
    now: UnixTime,
) -> Standing {
    let mut standing = Standing::default();
    for row in ROWS.iter().filter(|row| row.product == product && row.since <= baseline) {
        let published = UnixTime::from_seconds(row.published);
        match row.missing(report, reported, current) {
            Missing::Nothing => {}
            Missing::Unknown if published <= now => standing.not_shown.push(row.bulletin),
            Missing::Unknown => {}
            Missing::Shown(shows) => {
                let open = Open { bulletin: row.bulletin, published, fixes: row.fixes, shows };
                if published <= now { standing.open.push(open) } else { standing.coming.push(open) }
            }
        }
    }
    standing
}

enum Missing {
    Nothing,
    Unknown,
    Shown(String),
}

impl Row {
    fn missing(&self, report: &Report<'_>, reported: &TcbVersion, current: &TcbVersion) -> Missing {
        let firmware = |least: FirmwareVersion| {
            (report.current_firmware < least)
                .then(|| format!("firmware {} runs, {least} answers it", report.current_firmware))
        };
        let missing = match self.answer {
            Answer::NotShown => return Missing::Unknown,
            Answer::Firmware(least) => firmware(least),
            Answer::FirmwareAndAliasCheck(least) => firmware(least).or_else(|| {
                (report.platform_info >> 5 & 1 == 0).then(|| "ALIAS_CHECK_COMPLETE is 0, 1 answers it".to_owned())
            }),
            Answer::Snp(least) => {
                let lower = reported.snp.min(current.snp);
                (lower < least).then(|| format!("SNP {lower} in the reported or current TCB, {least} answers it"))
            }
        };
        missing.map_or(Missing::Nothing, Missing::Shown)
    }
}

/// What is known against a product as a whole, and that nothing in a report can answer: since when, and what it is.
pub(crate) fn unanswerable(product: Product, now: UnixTime) -> Option<&'static str> {
    (product == Product::Milan && now.seconds() >= MILAN_SEED_PUBLISHED).then_some(MILAN_SEED)
}

/// 2026-05-13.
const MILAN_SEED_PUBLISHED: u64 = 1_778_630_400;
const MILAN_SEED: &str = "Milan: a software-only attack, published on 2026-05-13 (arXiv 2605.12990; AMD-SB-3045), extracts the seed of a \
     chip's VCEKs, and whoever has it signs reports of any TCB for that chip. No floor, version or bit in a report \
     excludes it: deny the product (denied_products), or name the chips whose custody you trust (chip_ids)";

const fn firmware(build: u8) -> FirmwareVersion {
    FirmwareVersion { major: 1, minor: 55, build }
}

const fn row(bulletin: &'static str, product: Product, published: u64, fixes: &'static str, answer: Answer) -> Row {
    Row { since: 1, bulletin, product, published, fixes, answer }
}

/// In the order of publication. `verifier/BASELINE.md` gives the source of each figure.
const ROWS: &[Row] = {
    use Answer::{Firmware, FirmwareAndAliasCheck, NotShown, Snp};
    use Product::{Genoa, Milan, Turin};
    &[
        row("AMD-SB-1021", Milan, NOV_2021, ENCRYPTED_FIRMWARE, NotShown),
        row("AMD-SB-3005", Milan, NOV_2023, CACHE_WARP, NotShown),
        row("AMD-SB-3011", Milan, AUG_05_2024, DECOMMISSIONED, NotShown),
        row("AMD-SB-3011", Genoa, AUG_05_2024, DECOMMISSIONED, NotShown),
        row("AMD-SB-3003", Milan, AUG_13_2024, IOMMU_FAULTS, NotShown),
        row("AMD-SB-3003", Genoa, AUG_13_2024, IOMMU_FAULTS, NotShown),
        row("AMD-SB-3015", Milan, DEC_2024, BAD_RAM, FirmwareAndAliasCheck(firmware(22))),
        row("AMD-SB-3015", Genoa, DEC_2024, BAD_RAM, FirmwareAndAliasCheck(firmware(38))),
        row("AMD-SB-3019", Milan, FEB_2025, MICROCODE_SIGNATURE, NotShown),
        row("AMD-SB-3019", Genoa, FEB_2025, MICROCODE_SIGNATURE, NotShown),
        row("AMD-SB-7033", Turin, MAR_2025, MICROCODE_SIGNATURE, NotShown),
        row("AMD-SB-3014", Milan, SEP_2025, GUEST_ENTROPY, NotShown),
        row("AMD-SB-3014", Genoa, SEP_2025, GUEST_ENTROPY, NotShown),
        row("AMD-SB-3014", Turin, SEP_2025, GUEST_ENTROPY, NotShown),
        row("AMD-SB-3020", Milan, OCT_2025, RMP_INITIALISATION, NotShown),
        row("AMD-SB-3020", Genoa, OCT_2025, RMP_INITIALISATION, NotShown),
        row("AMD-SB-3020", Turin, OCT_2025, RMP_INITIALISATION, NotShown),
        row("AMD-SB-3027", Genoa, JAN_2026, STACK_WARP, NotShown),
        row("AMD-SB-3027", Turin, JAN_2026, STACK_WARP, NotShown),
        row("AMD-SB-3023", Milan, FEB_2026, SEV_ES_GUESTS, Snp(0x1B)),
        row("AMD-SB-3023", Genoa, FEB_2026, SEV_ES_GUESTS, Snp(0x1B)),
        row("AMD-SB-3023", Turin, FEB_2026, SEV_ES_GUESTS, Snp(0x04)),
        row("AMD-SB-3016", Milan, APR_2026, IOMMU_WRITES, Firmware(firmware(35))),
        row("AMD-SB-3016", Genoa, APR_2026, IOMMU_WRITES, Firmware(firmware(49))),
        row("AMD-SB-3034", Milan, APR_2026, FABRIC_ROUTES, NotShown),
        row("AMD-SB-3034", Genoa, APR_2026, FABRIC_ROUTES, NotShown),
        row("AMD-SB-3034", Turin, APR_2026, FABRIC_ROUTES, NotShown),
        row("AMD-SB-3030", Milan, MAY_2026, UNLOCKED_REGISTERS, NotShown),
        row("AMD-SB-3030", Genoa, MAY_2026, UNLOCKED_REGISTERS, NotShown),
        row("AMD-SB-3030", Turin, MAY_2026, UNLOCKED_REGISTERS, NotShown),
        row("AMD-SB-3039", Genoa, JUN_2026, STALE_READS, NotShown),
        row("AMD-SB-3039", Turin, JUN_2026, STALE_READS, NotShown),
    ]
};

const NOV_2021: u64 = 1_636_416_000; // 2021-11-09
const NOV_2023: u64 = 1_699_920_000; // 2023-11-14
const AUG_05_2024: u64 = 1_722_816_000; // 2024-08-05
const AUG_13_2024: u64 = 1_723_507_200; // 2024-08-13
const DEC_2024: u64 = 1_735_603_200; // 2024-12-31: the month is known, the day is not
const FEB_2025: u64 = 1_738_540_800; // 2025-02-03
const MAR_2025: u64 = 1_741_132_800; // 2025-03-05
const SEP_2025: u64 = 1_757_116_800; // 2025-09-06: the CVE records; the bulletin is of August, its day not known
const OCT_2025: u64 = 1_760_400_000; // 2025-10-14
const JAN_2026: u64 = 1_768_521_600; // 2026-01-16
const FEB_2026: u64 = 1_770_681_600; // 2026-02-10
const APR_2026: u64 = 1_776_124_800; // 2026-04-14
const MAY_2026: u64 = MILAN_SEED_PUBLISHED; // 2026-05-13
const JUN_2026: u64 = 1_780_963_200; // 2026-06-09

const ENCRYPTED_FIRMWARE: &str = "encrypted firmware was loaded without an integrity check (CVE-2021-26315)";
const CACHE_WARP: &str =
    "a host could drop cache lines, and so take back what a guest wrote (CVE-2023-20592, CacheWarp)";
const DECOMMISSIONED: &str = "a host could read the memory of a guest that had ended (CVE-2023-31355)";
const IOMMU_FAULTS: &str = "IOMMU faults went past the RMP checks (CVE-2023-20584, CVE-2023-31356)";
const BAD_RAM: &str = "memory modules could alias a guest's memory (CVE-2024-21944, BadRAM)";
const MICROCODE_SIGNATURE: &str =
    "a host could load microcode that AMD did not sign (CVE-2024-56161, CVE-2024-36347, EntrySign)";
const GUEST_ENTROPY: &str = "weak entropy in guests, memory overwritten at cache start, microcode load (CVE-2024-21977, CVE-2024-36331, CVE-2025-0032)";
const RMP_INITIALISATION: &str = "a host could write to the RMP while it was set up (CVE-2025-0033, RMPocalypse)";
const STACK_WARP: &str =
    "a host could move a guest's stack pointer from the sibling thread (CVE-2025-29943, StackWarp)";
const SEV_ES_GUESTS: &str =
    "an SEV-ES guest could be used against an SNP guest (CVE-2025-48514; on Turin also CVE-2025-29948, CVE-2025-29952)";
const IOMMU_WRITES: &str = "a host could have the IOMMU write into a guest's memory (CVE-2023-20585)";
const FABRIC_ROUTES: &str = "routes of the fabric stayed open while the RMP was set up (CVE-2025-54510, Fabricked)";
const UNLOCKED_REGISTERS: &str = "a host could run code in the security processor through unlocked registers (CVE-2025-61971, CVE-2025-61972, BreakFAST)";
const STALE_READS: &str = "a host could have the security processor read stale memory (CVE-2025-54509, Staleus)";

/// The table in Markdown; `BASELINE.md` holds this text between its sources, and a test holds it to that.
pub(crate) fn table() -> String {
    let mut text =
        "| bulletin | published | product | fixed | once fixed, a report shows |\n|---|---|---|---|---|\n".to_owned();
    for row in ROWS {
        let day = UnixTime::from_seconds(row.published).to_string();
        let answer = match row.answer {
            Answer::Firmware(least) => format!("firmware {least} or later"),
            Answer::FirmwareAndAliasCheck(least) => format!("firmware {least} or later, and ALIAS_CHECK_COMPLETE"),
            Answer::Snp(least) => format!("SNP {least} or more in the reported and the current TCB"),
            Answer::NotShown => "nothing that AMD has said: not judged".to_owned(),
        };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {answer} |\n",
            row.bulletin,
            day.split('T').next().unwrap_or_default(),
            row.product.name(),
            row.fixes,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sev_snp::profile::JUDGED;
    use std::collections::BTreeMap;

    /// What a policy may except is what is judged here.
    #[test]
    fn policies_know_what_the_table_judges() {
        let judged: BTreeMap<_, _> = ROWS
            .iter()
            .filter(|row| !matches!(row.answer, Answer::NotShown))
            .map(|row| (row.bulletin, row.since))
            .collect();
        assert_eq!(judged.into_iter().collect::<Vec<_>>(), JUDGED);
    }
}
