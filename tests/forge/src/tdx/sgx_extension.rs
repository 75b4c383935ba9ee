//! The SGX extension of a PCK certificate, 1.2.840.113741.1.13.1: a SEQUENCE of SEQUENCE { OID, value } (Intel, SGX PCK Certificate and CRL Profile).

use crate::der;

/// OID of the extension; its members append one more arc.
pub const OID: &str = "1.2.840.113741.1.13.1";

/// What the extension says about the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SgxExtension {
    /// .1, 16 bytes.
    pub ppid: Vec<u8>,
    /// .2.1 to .2.16.
    pub components: [u8; 16],
    /// .2.17.
    pub pcesvn: u16,
    /// .2.18, 16 bytes; equal to the components.
    pub cpusvn: Vec<u8>,
    /// .3, 2 bytes.
    pub pceid: Vec<u8>,
    /// .4, 6 bytes.
    pub fmspc: Vec<u8>,
    /// .5: 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// .6, 16 bytes; Platform CA only.
    pub platform_instance_id: Option<Vec<u8>>,
    /// .7: dynamic platform, cached keys, SMT enabled; Platform CA only.
    pub configuration: Option<[bool; 3]>,
    /// Members to leave out, by the arcs behind [`OID`], such as `2.18` or `4`.
    pub dropped: Vec<String>,
    /// Members to write twice, likewise.
    pub duplicated: Vec<String>,
    /// Members whose value is replaced by this DER, likewise.
    pub replaced: Vec<(String, Vec<u8>)>,
    /// Encoded members to append to the extension.
    pub appended: Vec<Vec<u8>>,
}

impl SgxExtension {
    /// DER.
    pub fn to_der(&self) -> Vec<u8> {
        let mut tcb: Vec<(String, Vec<u8>)> = (1..)
            .zip(self.components)
            .map(|(number, component)| (format!("2.{number}"), der::integer(component.into())))
            .collect();
        tcb.push(("2.17".to_owned(), der::integer(self.pcesvn.into())));
        tcb.push(("2.18".to_owned(), der::octet_string(&self.cpusvn)));

        let mut members = vec![
            ("1".to_owned(), der::octet_string(&self.ppid)),
            ("2".to_owned(), self.sequence(tcb)),
            ("3".to_owned(), der::octet_string(&self.pceid)),
            ("4".to_owned(), der::octet_string(&self.fmspc)),
            ("5".to_owned(), der::element(der::tag::ENUMERATED, &[self.sgx_type])),
        ];
        members.extend(self.platform_instance_id.as_ref().map(|id| ("6".to_owned(), der::octet_string(id))));
        members.extend(self.configuration.map(|flags| {
            let flags = (1..).zip(flags).map(|(number, flag)| (format!("7.{number}"), der::boolean(flag)));
            ("7".to_owned(), self.sequence(flags.collect()))
        }));
        let mut content = self.encoded(members);
        content.extend(self.appended.clone());
        der::sequence(&content)
    }

    fn sequence(&self, members: Vec<(String, Vec<u8>)>) -> Vec<u8> {
        der::sequence(&self.encoded(members))
    }

    fn encoded(&self, members: Vec<(String, Vec<u8>)>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for (arcs, value) in members {
            let replaced = self.replaced.iter().find(|(name, _)| *name == arcs).map(|(_, value)| value);
            let member = member(&arcs, replaced.unwrap_or(&value));
            if !self.dropped.contains(&arcs) {
                out.push(member.clone());
            }
            if self.duplicated.contains(&arcs) {
                out.push(member);
            }
        }
        out
    }
}

/// One member: the OID with these arcs behind it, and an encoded value.
pub fn member(arcs: &str, value: &[u8]) -> Vec<u8> {
    der::sequence(&[der::oid(&format!("{OID}.{arcs}")), value.to_vec()])
}
