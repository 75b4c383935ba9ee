//! Whether one rule accepts all that another accepts, as far as their forms alone can say.

use teegate_verifier::{Ask, Bits, Value};

/// Whether all that `other` accepts is accepted by `own` as well. `false` also where that cannot be told.
pub(crate) fn covers(own: &Ask, other: &Ask) -> bool {
    match (own, other) {
        (own, other) if own == other || own.is_waived() => true,
        (Ask::OneOf(own), Ask::OneOf(other)) => other.are_within(own),
        (Ask::NoneOf(own), Ask::NoneOf(other)) => own.are_within(other),
        (Ask::AtLeast(own), Ask::AtLeast(other)) => own <= other,
        (Ask::NotBefore(own), Ask::NotBefore(other)) => own <= other,
        (Ask::AtLeast(least), Ask::OneOf(values)) => {
            values.as_slice().iter().all(|value| matches!(value, Value::Number(number) if number >= least))
        }
        (Ask::Version(own), Ask::Version(other)) => own <= other,
        (Ask::Floors(own), Ask::Floors(other)) => other.iter().all(|(product, floor)| {
            own.get(product).is_some_and(|least| least.iter().zip(floor).all(|((_, least), (_, floor))| least <= floor))
        }),
        (Ask::Bits(own), Ask::Bits(other)) => are_within(own, other),
        (Ask::Mask { required, allowed }, Ask::Mask { required: asked, allowed: may }) => {
            required & !asked == 0 && may & !allowed == 0
        }
        (Ask::Word(own, _), Ask::Word(other, _)) => own <= other,
        (
            Ask::NoneOpen { set, grace_days, except },
            Ask::NoneOpen { set: other_set, grace_days: other_days, except: others },
        ) => set <= other_set && grace_days >= other_days && others.are_within(except),
        (Ask::AtMostDays(own), Ask::AtMostDays(other)) | (Ask::Age(own), Ask::Age(other)) => own >= other,
        (Ask::Exceptions(own), Ask::Exceptions(other)) => other.iter().all(|(name, (statuses, until))| {
            own.get(name).is_some_and(|(own, own_until)| statuses.are_within(own) && own_until >= until)
        }),
        _ => false,
    }
}

/// Whether `own` asks nothing that `other` does not.
const fn are_within(own: &Bits, other: &Bits) -> bool {
    own.required & !other.required == 0
        && own.forbidden & !other.forbidden == 0
        && (!own.unknown_refused || other.unknown_refused)
}
