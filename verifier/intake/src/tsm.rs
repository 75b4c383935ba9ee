//! The files of a configfs-tsm report in one document: JSON, or CBOR with the same names (`outblob`, `auxblob`, `provider`, …), as agents
//! send them (Veraison's ratsd among others). `outblob` is the evidence, `auxblob` the certificate table of an SNP host.
//!
//! The rest is the sender's account of how the report was asked for; the signed bytes say what counts, and it is not looked at.

use teegate_encoding::cbor::{Item, Reader};
use teegate_protocol::certificate_table::is_empty_table;

use crate::encoded::{self, Decoded};
use crate::endorsements;
use crate::error::Defect;
use crate::json::{Members, of_evidence};
use crate::statement::Statement;
use crate::words::shown;

/// The blobs of one report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blobs {
    pub(crate) outblob: Vec<u8>,
    pub(crate) auxblob: Option<Vec<u8>>,
    pub(crate) form: &'static str,
}

/// More members than the kernel has files.
const MAX_MEMBERS: u64 = 16;

/// Takes the blobs out of an object that has them.
pub(crate) fn from_json(members: &Members<'_>) -> Result<Blobs, Defect> {
    let blob = |name: &str| {
        let text = members.text(name).map_err(of_evidence)?;
        match encoded::decode(&text) {
            Some(Decoded { bytes, .. }) => Ok(bytes),
            None => Err(broken(format!("`{name}` is neither base64 nor hexadecimal"))),
        }
    };
    let has_aux = members.raw("auxblob").is_ok_and(|text| !matches!(text, "null" | "\"\""));
    Ok(Blobs {
        outblob: blob("outblob")?,
        auxblob: if has_aux { Some(blob("auxblob")?) } else { None },
        form: "configfs-tsm report in JSON",
    })
}

/// Takes the blobs out of a CBOR map that has them; `None` where the bytes are none.
pub(crate) fn from_cbor(bytes: &[u8]) -> Result<Option<Blobs>, Defect> {
    let mut reader = Reader::new(bytes);
    let Ok(Item::Map(members @ 1..=MAX_MEMBERS)) = reader.next() else { return Ok(None) };
    let (mut outblob, mut auxblob) = (None, None);
    for _ in 0..members {
        let (name, value) = match (reader.next(), reader.next()) {
            (Ok(Item::Text(name)), Ok(value)) => (name, value),
            _ if outblob.is_some() => {
                return Err(broken(NOT_FLAT.to_owned()));
            }
            _ => return Ok(None),
        };
        let twice = match (name, value) {
            ("outblob", Item::Bytes(blob)) => outblob.replace(blob).map(|_| "outblob"),
            ("auxblob", Item::Bytes(blob)) => auxblob.replace(blob).map(|_| "auxblob"),
            (_, Item::Bytes(_) | Item::Text(_) | Item::Unsigned(_) | Item::Negative(_)) => None,
            _ if outblob.is_some() => return Err(broken(NOT_FLAT.to_owned())),
            _ => return Ok(None),
        };
        if let Some(twice) = twice {
            return Err(broken(format!("`{twice}` stands twice")));
        }
    }
    let Some(outblob) = outblob else { return Ok(None) };
    reader.end().map_err(|error| broken(error.to_string()))?;
    let auxblob = auxblob.filter(|blob| !blob.is_empty()).map(<[u8]>::to_vec);
    Ok(Some(Blobs { outblob: outblob.to_vec(), auxblob, form: "configfs-tsm report in CBOR" }))
}

const NOT_FLAT: &str = "a member is no name with bytes, text or a number";

/// What an `auxblob` holds. A host that supplies no certificates leaves it empty, or holds only the entry that ends the table.
pub(crate) fn statements(auxblob: &[u8]) -> Result<Vec<Statement>, Defect> {
    if is_empty_table(auxblob) || auxblob.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    endorsements::statements(auxblob)
}

fn broken(defect: String) -> Defect {
    Defect::Broken {
        kind: "configfs-tsm report",
        defect: shown(&defect),
        remedy: "pass the folder below `/sys/kernel/config/tsm/report/`, or its file `outblob`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_encoding::hex;

    fn json(text: &str) -> Result<Blobs, String> {
        from_json(&Members::parse(text).unwrap()).map_err(|defect| defect.to_string())
    }

    #[test]
    fn json_gives_both_blobs_in_any_spelling_and_passes_over_the_rest() {
        let expected = |auxblob: Option<&[u8]>| {
            Ok(Blobs {
                outblob: vec![0xFB, 0xFF],
                auxblob: auxblob.map(<[u8]>::to_vec),
                form: "configfs-tsm report in JSON",
            })
        };
        assert_eq!(
            json(r#"{"outblob":"-_8","auxblob":"AAE=","provider":"sev_guest\n","generation":1}"#),
            expected(Some(&[0, 1]))
        );
        for rest in ["", r#","auxblob":null"#, r#","auxblob":"""#, r#","service_provider":"svsm""#] {
            assert_eq!(json(&format!(r#"{{"outblob":"fbff"{rest}}}"#)), expected(None), "{rest}");
        }
        assert!(json(r#"{"outblob":"*"}"#).unwrap_err().contains("`outblob` is neither base64 nor hexadecimal"));
        assert!(json(r#"{"outblob":"fb","auxblob":[1]}"#).unwrap_err().contains("`auxblob` is not a string"));
    }

    #[test]
    fn cbor_gives_the_same_and_other_maps_are_left_to_others() {
        let outblob = "676f7574626c6f6242fbff";
        let read = |text: &str| from_cbor(&hex::decode(text).unwrap()).map_err(|defect| defect.to_string());
        let expected = |auxblob: Option<&[u8]>| {
            let auxblob = auxblob.map(<[u8]>::to_vec);
            Ok(Some(Blobs { outblob: vec![0xFB, 0xFF], auxblob, form: "configfs-tsm report in CBOR" }))
        };
        assert_eq!(read(&format!("a1{outblob}")), expected(None));
        assert_eq!(
            read(&format!("a3{outblob}67617578626c6f6242000168{}63736576", hex::encode("provider"))),
            expected(Some(&[0, 1]))
        );
        assert_eq!(read(&format!("a2{outblob}67617578626c6f6240")), expected(None));
        assert!(read(&format!("a2{outblob}{outblob}")).unwrap_err().contains("`outblob` stands twice"));
        for other in ["f6", "80", "a0"] {
            assert!(read(&format!("a2{outblob}6161{other}")).unwrap_err().contains(NOT_FLAT), "{other}");
        }
        assert!(read(&format!("a1{outblob}00")).unwrap_err().contains("1 bytes follow its end"));
        for other in ["a0", "a1616101", "a1676f7574626c6f6281", "82", "", "a16161"] {
            assert_eq!(read(other), Ok(None), "{other}");
        }
    }
}
