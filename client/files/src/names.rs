//! Names of files made of the names that a model gives its tensors: no path, no hidden file, none twice.

use std::collections::BTreeSet;

use teegate_client::oip::Tensor;

/// The longest name of a file that is made of a tensor's name, without its ending.
const MAX_NAME: usize = 80;

/// A name for each tensor, in their order, each with `.npy` behind it.
pub fn file_names(tensors: &[Tensor]) -> Vec<String> {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' };
    let name = |tensor: &Tensor| {
        let name: String = tensor.name.chars().take(MAX_NAME).map(letter).collect();
        if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
    };
    distinct(tensors.iter().map(name))
}

/// A name for each tensor inside an archive, where whoever opens it looks for the model's own name: that, unless it could lead
/// somewhere when the archive is unpacked.
pub(crate) fn member_names(tensors: &[Tensor]) -> Vec<String> {
    let is_plain = |name: &str| {
        let leads_nowhere = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        leads_nowhere
            && name.len() <= MAX_MEMBER_NAME
            && !name.contains(['\\', ':'])
            && !name.contains(char::is_control)
    };
    let safe = file_names(tensors);
    let name = |(tensor, safe): (&Tensor, String)| {
        let made = || safe.strip_suffix(".npy").unwrap_or(&safe).to_owned();
        if is_plain(&tensor.name) { tensor.name.clone() } else { made() }
    };
    distinct(tensors.iter().zip(safe).map(name))
}

/// Far below what a zip archive can say (65,535 bytes).
const MAX_MEMBER_NAME: usize = 1_000;

/// The same names, numbered where one was there before.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names
        .map(|name| {
            let free = (1_usize..)
                .map(|number| if number == 1 { format!("{name}.npy") } else { format!("{name}-{number}.npy") })
                .find(|name| !taken.contains(name));
            let free = free.unwrap_or_default();
            taken.insert(free.clone());
            free
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_client::oip::TensorData;

    #[test]
    fn no_name_leads_out_of_the_folder_or_over_another() {
        let of = |names: &[&str]| -> Vec<Tensor> {
            let tensor =
                |name: &&str| Tensor { name: (*name).to_owned(), shape: vec![], data: TensorData::Uint8(vec![1]) };
            names.iter().map(tensor).collect()
        };
        let tensors = of(&["y", "y", "../../etc/passwd", "", ".hidden", "a b/c", "y-2", "ü"]);
        let expected =
            ["y.npy", "y-2.npy", "_.._.._etc_passwd.npy", "_.npy", "_.hidden.npy", "a_b_c.npy", "y-2-2.npy", "_-2.npy"];
        assert_eq!(file_names(&tensors), expected);
        assert_eq!(file_names(&of(&[&"x".repeat(500)]))[0].len(), 84);
        let expected =
            ["y.npy", "y-2.npy", "_.._.._etc_passwd.npy", "_.npy", ".hidden.npy", "a b/c.npy", "y-2-2.npy", "ü.npy"];
        assert_eq!(member_names(&tensors), expected);
        let made = ["_etc_passwd.npy", "C__x.npy", "a_.._b.npy", "a__b.npy"];
        assert_eq!(member_names(&of(&["/etc/passwd", "C:\\x", "a/../b", "a\n/b"])), made);
    }
}
