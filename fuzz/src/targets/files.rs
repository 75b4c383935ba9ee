//! The readers of inputs: tables, NumPy arrays and archives of them, held against what models take.

use teegate_client::oip::{Datatype, Metadata, Tensor};
use teegate_files::{Format, Header, Reading, Source, fit, npy, npz};
use teegate_fuzz_engine::{Effort, Target, mutate};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "npy",
        about: "NumPy arrays",
        effort: Effort::Reader,
        run: npy_array,
        mutate: mutate::bytes,
        words: &["NUMPY", "<f4", "|S1", "<U2", "True", "False", "'shape': (", "(1, 2), ", "'descr': ", "0"],
        max_bytes: 512,
    },
    Target {
        name: "npz",
        about: "zip archives of NumPy arrays",
        effort: Effort::Walk,
        run: npz_archive,
        mutate: mutate::few_bytes,
        words: &["PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "PK\x06\x06", "PK\x06\x07", ".npy", "\x08\0"],
        max_bytes: 1_024,
    },
    Target {
        name: "table",
        about: "CSV as the inputs of models that take one or several",
        effort: Effort::Walk,
        run: table,
        mutate: mutate::text,
        words: &[",", ";", "\t", " ", "\"", "\"\"", "\r\n", "\n", "nan", "-inf", "1e39", "0.0", "x", "y", "\u{feff}"],
        max_bytes: 512,
    },
];

/// What comes out of an archive in this target; the bound of what memory it takes.
const LIMIT: u64 = 16 * 1024;

/// As its bytes, so that a NaN is itself.
fn outline(tensor: &Tensor) -> (Vec<u64>, Datatype, Option<Vec<u8>>) {
    assert_eq!(
        tensor.shape.iter().product::<u64>(),
        u64::try_from(tensor.data.len()).unwrap_or(u64::MAX),
        "a shape that does not count its elements"
    );
    (tensor.shape.clone(), tensor.data.datatype(), tensor.data.to_le_bytes())
}

fn named(name: &str, npy::Array { shape, data }: npy::Array) -> Tensor {
    Tensor { name: name.to_owned(), shape, data }
}

fn npy_array(input: &[u8]) {
    let read = || npy::read(input).map(|array| outline(&named("y", array)));
    if hold::same(input, read).is_none() {
        return;
    }
    let Ok(array) = npy::read(input) else { return };
    let tensor = named("y", array);
    // NumPy has no `BF16`, which is written wider.
    if let Ok(bytes) = npy::write(&tensor)
        && tensor.data.datatype() != Datatype::Bf16
    {
        let again = npy::read(&bytes).map(|array| outline(&named("y", array)));
        assert_eq!(again, Ok(outline(&tensor)), "written and read again");
    }
}

fn npz_archive(input: &[u8]) {
    let read = || {
        let arrays = npz::read(input, LIMIT)?;
        Ok::<_, teegate_files::FileError>(
            arrays.into_iter().map(|(name, array)| named(&name, array)).collect::<Vec<_>>(),
        )
    };
    let outlines = || read().map(|tensors| tensors.iter().map(outline).collect::<Vec<_>>());
    let Some(outlines) = hold::same(input, outlines) else { return };
    let size: usize = outlines.iter().filter_map(|(_, _, bytes)| bytes.as_ref().map(Vec::len)).sum();
    // Before an element of `BYTES` stands its length, and NumPy's letters take up to four bytes each.
    assert!(u64::try_from(size).is_ok_and(|size| size <= 5 * LIMIT), "more came out than was asked for");
    if let Ok(tensors) = read()
        && tensors.iter().all(|tensor| tensor.data.datatype() != Datatype::Bf16)
        && let Ok(bytes) = npz::write(&tensors)
    {
        let again = npz::read(&bytes, 64 * LIMIT)
            .map(|arrays| arrays.into_iter().map(|(_, array)| outline(&named("y", array))).collect());
        assert_eq!(again, Ok(outlines), "written and read again");
    }
}

/// The first byte says of which type the inputs are, of which shape, and whether there is a header.
fn table(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    let number = usize::from(*first);
    let datatype = Datatype::ALL[number % Datatype::ALL.len()];
    let shape = ["[-1,-1]", "[-1]", "[-1,1,2]", "[]"][number / 16 % 4];
    let header = [Header::Auto, Header::Yes, Header::No][number / 64 % 3];
    let one = |name: &str| format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape}}}"#);
    for inputs in [one("x"), format!("{},{}", one("x"), one("y"))] {
        let metadata = format!(r#"{{"name":"m","inputs":[{inputs}],"outputs":[]}}"#);
        let metadata = Metadata::parse(metadata.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let read = || {
            let reading = Reading { header, shape: None };
            let source = Source::read("file", None, Format::Csv, text.to_vec(), &reading, LIMIT)?;
            fit(vec![source], &metadata).map(|tensors| tensors.iter().map(outline).collect::<Vec<_>>())
        };
        hold::same(input, read);
    }
    hold::same(input, || Format::recognise("file", text));
}
