//! What a field asks, in words that stand behind its subject.

use teegate_verifier::{Ask, Bits, Floor, Shown, UnixTime, Values};

/// Such as: *must be at least 1.55.29*.
pub(crate) fn in_words(ask: &Ask) -> String {
    match ask {
        Ask::Nothing => "is not asked".to_owned(),
        Ask::Needed => "needs a reference value".to_owned(),
        Ask::OneOf(values) => match values.as_slice() {
            [] => "may be nothing at all: the list is empty".to_owned(),
            [value] => format!("must be {value}"),
            _ => format!("must be one of {}", values.join(", ")),
        },
        Ask::NoneOf(values) if values.is_empty() => "may be any".to_owned(),
        Ask::NoneOf(values) => format!("must not be {}", values.join(" or ")),
        Ask::AtLeast(least) => format!("must be at least {least}"),
        Ask::NotBefore(first) => format!("must be at least {first}"),
        Ask::Version(least) => format!("must be at least {}", Shown::Version(least.clone())),
        Ask::Floors(floors) => {
            let floor = |(product, floor): (&&str, &Floor)| {
                let parts: Vec<_> = floor.iter().map(|(name, least)| format!("{name} {least}")).collect();
                format!("{} on {product}", parts.join(" "))
            };
            format!("must be at least {}", floors.iter().map(floor).collect::<Vec<_>>().join("; "))
        }
        Ask::Bits(bits) => bits_in_words(bits),
        Ask::Mask { required, allowed: u64::MAX } => format!("must contain the bits {required:#x}"),
        Ask::Mask { required, allowed } => {
            format!("must contain the bits {required:#x} and none outside {allowed:#x}")
        }
        Ask::Caller => "must be the 64 bytes that the caller names; without them nothing is accepted".to_owned(),
        Ask::Word(_, words) => (*words).to_owned(),
        Ask::NoneOpen { set, grace_days, except } => {
            let but = if except.is_empty() { String::new() } else { format!(", but {}", except.join(", ")) };
            match grace_days {
                0 => format!("may leave none open, by baseline {set}{but}"),
                days => format!("may leave none open for {days} days or more, by baseline {set}{but}"),
            }
        }
        Ask::AtMostDays(0) => "is refused at once".to_owned(),
        Ask::AtMostDays(days) => format!("is accepted for {days} days from the date of its TCB level"),
        Ask::Age(days) => format!("must have been issued less than {days} days ago"),
        Ask::Exceptions(exceptions) if exceptions.is_empty() => "is excepted by nothing".to_owned(),
        Ask::Exceptions(exceptions) => {
            let one = |(name, (statuses, until)): (&String, &(Values, UnixTime))| {
                format!("{name} (with {}, until {until})", statuses.join(", "))
            };
            let all: Vec<_> = exceptions.iter().map(one).collect();
            format!("is accepted while it is open to nothing but {}", all.join("; "))
        }
        // A form of a later release says itself what is expected.
        other => format!("must be {other}"),
    }
}

fn bits_in_words(bits: &Bits) -> String {
    let named = |mask| Bits::named(bits.names, mask).collect::<Vec<_>>().join(", ");
    let mut asked = Vec::new();
    if bits.required != 0 {
        asked.push(format!("must show {}", named(bits.required)));
    }
    if bits.forbidden != 0 {
        asked.push(format!("must not show {}", named(bits.forbidden)));
    }
    if bits.unknown_refused {
        asked.push("may show no bit that this release has no name for".to_owned());
    }
    asked.join("; ")
}
