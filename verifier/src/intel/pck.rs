//! Which platform a PCK certificate stands for: its SGX extension, 1.2.840.113741.1.13.1
//! (Intel SGX PCK Certificate and CRL Profile).

use crate::bytes::{Fmspc, Ppid};
use crate::x509::certificate::Certificate;
use crate::x509::der::{Der, DerError, ENUMERATED, INTEGER, OCTET_STRING, OID, Result, SEQUENCE};

/// The platform and the TCB that its PCK was derived for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pck {
    pub(crate) ppid: Ppid,
    /// The 16 SGX TCB component SVNs.
    pub(crate) components: [u8; 16],
    pub(crate) pce_svn: u16,
    pub(crate) cpu_svn: [u8; 16],
    pub(crate) pce_id: [u8; 2],
    pub(crate) fmspc: Fmspc,
    /// 0 standard, 1 scalable, 2 scalable with integrity.
    pub(crate) sgx_type: u32,
    /// Issued by the Platform CA alone.
    pub(crate) platform: Option<PlatformInstance>,
}

/// What the Platform CA adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlatformInstance {
    pub(crate) id: [u8; 16],
    pub(crate) dynamic_platform: bool,
    pub(crate) cached_keys: bool,
    pub(crate) smt_enabled: bool,
}

/// 1.2.840.113741.1.13.1
const SGX: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF8, 0x4D, 0x01, 0x0D, 0x01];

/// 1.2.840.113741.1.13.1.2
const TCB: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF8, 0x4D, 0x01, 0x0D, 0x01, 0x02];
/// 1.2.840.113741.1.13.1.7
const CONFIGURATION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF8, 0x4D, 0x01, 0x0D, 0x01, 0x07];

/// What the extension says; it is read once for each certificate that is held.
pub(crate) fn parse(certificate: &Certificate) -> Result<Pck> {
    certificate.read_once(read).cloned().unwrap_or_else(|| read(certificate))
}

/// Reads the extension; everything must be there once, and nothing else.
fn read(certificate: &Certificate) -> Result<Pck> {
    let value = certificate.extension(SGX).ok_or(DerError("no SGX extension"))?;
    let mut members = Members::open(&mut Der::new(value), SGX)?;
    let ppid = Ppid(octets(members.take(1)?)?);
    let mut tcb = Members::from(members.take(2)?, TCB)?;
    let pce_id = octets(members.take(3)?)?;
    let fmspc = Fmspc(octets(members.take(4)?)?);
    let sgx_type = single(members.take(5)?, |der| der.unsigned(ENUMERATED))?;
    let platform = match (members.take(6), members.take(7)) {
        (Ok(id), Ok(configuration)) => {
            let mut configuration = Members::from(configuration, CONFIGURATION)?;
            let mut flag = |member| single(configuration.take(member)?, |der| der.boolean());
            let platform = PlatformInstance {
                id: octets(id)?,
                dynamic_platform: flag(1)?,
                cached_keys: flag(2)?,
                smt_enabled: flag(3)?,
            };
            configuration.end()?;
            Some(platform)
        }
        (Err(_), Err(_)) => None,
        _ => return Err(DerError("a platform instance without its configuration, or the reverse")),
    };
    members.end()?;

    let mut components = [0; 16];
    for (component, member) in components.iter_mut().zip(1..) {
        let svn = single(tcb.take(member)?, |der| der.unsigned(INTEGER))?;
        *component = u8::try_from(svn).map_err(|_| DerError("a component SVN above 255"))?;
    }
    let pce_svn = single(tcb.take(17)?, |der| der.unsigned(INTEGER))?;
    let cpu_svn = octets(tcb.take(18)?)?;
    tcb.end()?;
    if cpu_svn != components {
        return Err(DerError("a CPUSVN that differs from the 16 components"));
    }
    let pce_svn = u16::try_from(pce_svn).map_err(|_| DerError("a PCESVN above 65535"))?;
    Ok(Pck { ppid, components, pce_svn, cpu_svn, pce_id, fmspc, sgx_type, platform })
}

/// `SEQUENCE OF SEQUENCE { OID, value }` whose OIDs are a prefix and one number: the values by their numbers, from 1 on.
struct Members<'a>([Option<Der<'a>>; MAX_MEMBERS]);

/// The TCB sequence has eighteen; nothing has more.
const MAX_MEMBERS: usize = 18;

const UNKNOWN: DerError = DerError("an unknown member of the SGX extension");

impl<'a> Members<'a> {
    fn open(der: &mut Der<'a>, prefix: &[u8]) -> Result<Self> {
        let list = der.nested(SEQUENCE)?;
        der.end()?;
        Self::read(list, prefix)
    }

    /// The members of a member.
    fn from(mut value: Der<'a>, prefix: &[u8]) -> Result<Self> {
        Self::open(&mut value, prefix)
    }

    fn read(mut list: Der<'a>, prefix: &[u8]) -> Result<Self> {
        let mut members = Self([None; MAX_MEMBERS]);
        while !list.is_empty() {
            let content = list.content(SEQUENCE)?;
            let mut pair = Der::new(content);
            let oid = pair.content(OID)?;
            let Some([number]) = oid.strip_prefix(prefix) else { return Err(UNKNOWN) };
            let place = members.place(*number).ok_or(UNKNOWN)?;
            if place.replace(pair).is_some() {
                return Err(DerError("a member of the SGX extension twice"));
            }
        }
        Ok(members)
    }

    fn place(&mut self, number: u8) -> Option<&mut Option<Der<'a>>> {
        self.0.get_mut(usize::from(number).checked_sub(1)?)
    }

    /// Takes the value of one member out.
    fn take(&mut self, number: u8) -> Result<Der<'a>> {
        let value = self.place(number).and_then(Option::take);
        value.ok_or(DerError("a member of the SGX extension is absent"))
    }

    /// Insists that everything was taken.
    fn end(&self) -> Result<()> {
        if self.0.iter().all(Option::is_none) { Ok(()) } else { Err(UNKNOWN) }
    }
}

fn single<T>(mut value: Der<'_>, read: impl FnOnce(&mut Der<'_>) -> Result<T>) -> Result<T> {
    let read = read(&mut value)?;
    value.end()?;
    Ok(read)
}

fn octets<const N: usize>(value: Der<'_>) -> Result<[u8; N]> {
    single(value, |der| {
        let content = der.content(OCTET_STRING)?;
        content.try_into().map_err(|_| DerError("an octet string of another length than expected"))
    })
}
