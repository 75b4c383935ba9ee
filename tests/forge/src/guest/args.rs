//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use teegate_forge::snp::Product;

pub(crate) const USAGE: &str = "\
usage: forge-guest --listen ADDRESS --tee snp|tdx --dir DIR [options]

  --listen ADDRESS      loopback address and port to serve on (port 0: any)
  --tee snp|tdx         which hardware to forge
  --dir DIR             where roots/, endorsements/ and values.json are written
  --product NAME        snp: milan, genoa (default), siena or turin
  --measurement HEX     launch measurement (MEASUREMENT or MRTD), 48 bytes
  --debug               a debug guest
  --event-log WHICH     tdx: a guest that booted by a log which it hands out with its evidence: own, none (it keeps it back) or
                        another (that of another boot). Without the option: a guest of which there is no log. With --paravisor, on either
                        TEE, the log of the vTPM: it is written to `event-log.bin` in DIR, or kept back
  --no-cert-chain       snp: evidence without certificates, as from a host that provides none
  --services ADDRESS    loopback address and port to serve this device's vendor on as well: its key service (KDS) and THIM, or
                        its provisioning service (PCS); port 0: any. The first line names it as `services`
  --paravisor           an Azure confidential VM instead of the guest API: a vTPM (swtpm) behind a forged paravisor. The first line names
                        the device as `device`, and --listen is where the metadata service of its host listens
  --defect FILE         with --paravisor: what FILE names is wrong with it (teegate_forge::paravisor::DEFECTS), and nothing while it is not
                        there; read again at every command
  --replay              always answer with the first evidence, whatever is asked
  --fail-after N        answer 500 after N pieces of evidence
  --fail-when FILE      answer 500 while FILE exists
  --hold-when FILE      answer only once FILE does not exist";

/// What a guest with a log of its boot hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventLog {
    Own,
    None,
    Another,
}

/// Which hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tee {
    Snp,
    Tdx,
}

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) tee: Tee,
    pub(crate) dir: PathBuf,
    pub(crate) product: Product,
    pub(crate) measurement: Option<[u8; 48]>,
    pub(crate) debug: bool,
    pub(crate) event_log: Option<EventLog>,
    pub(crate) cert_chain: bool,
    pub(crate) services: Option<SocketAddr>,
    pub(crate) paravisor: bool,
    pub(crate) defect: Option<PathBuf>,
    pub(crate) replay: bool,
    pub(crate) fail_after: Option<u64>,
    pub(crate) fail_when: Option<PathBuf>,
    pub(crate) hold_when: Option<PathBuf>,
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let (mut listen, mut tee, mut dir) = (None, None, None);
    let mut args = Args {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tee: Tee::Snp,
        dir: PathBuf::new(),
        product: Product::Genoa,
        measurement: None,
        debug: false,
        event_log: None,
        cert_chain: true,
        services: None,
        paravisor: false,
        defect: None,
        replay: false,
        fail_after: None,
        fail_when: None,
        hold_when: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--listen" => listen = Some(address(&word, &value()?)?),
            "--tee" => tee = Some(tee_of(&value()?)?),
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--product" => args.product = product(&value()?)?,
            "--measurement" => args.measurement = Some(measurement(&value()?)?),
            "--debug" => args.debug = true,
            "--event-log" => args.event_log = Some(event_log(&value()?)?),
            "--no-cert-chain" => args.cert_chain = false,
            "--services" => args.services = Some(address(&word, &value()?)?),
            "--paravisor" => args.paravisor = true,
            "--defect" => args.defect = Some(PathBuf::from(value()?)),
            "--replay" => args.replay = true,
            "--fail-after" => {
                let text = value()?;
                args.fail_after = Some(text.parse().map_err(|_| format!("--fail-after: `{text}` is not a count"))?);
            }
            "--fail-when" => args.fail_when = Some(PathBuf::from(value()?)),
            "--hold-when" => args.hold_when = Some(PathBuf::from(value()?)),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    args.listen = listen.ok_or("--listen is missing")?;
    args.tee = tee.ok_or("--tee is missing")?;
    args.dir = dir.ok_or("--dir is missing")?;
    Ok(args)
}

/// Loopback alone, as the real API: whoever reaches it can have anything attested.
fn address(option: &str, text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| format!("{option}: `{text}` is not an address and port"))?;
    if !address.ip().is_loopback() {
        return Err(format!("{option}: {address} is not a loopback address"));
    }
    Ok(address)
}

fn tee_of(text: &str) -> Result<Tee, String> {
    match text {
        "snp" => Ok(Tee::Snp),
        "tdx" => Ok(Tee::Tdx),
        other => Err(format!("--tee: `{other}` is neither snp nor tdx")),
    }
}

fn event_log(text: &str) -> Result<EventLog, String> {
    match text {
        "own" => Ok(EventLog::Own),
        "none" => Ok(EventLog::None),
        "another" => Ok(EventLog::Another),
        other => Err(format!("--event-log: `{other}` is not own, none or another")),
    }
}

fn product(text: &str) -> Result<Product, String> {
    match text {
        "milan" => Ok(Product::Milan),
        "genoa" => Ok(Product::Genoa),
        "siena" => Ok(Product::Siena),
        "turin" => Ok(Product::Turin),
        other => Err(format!("--product: `{other}` is not milan, genoa, siena or turin")),
    }
}

fn measurement(text: &str) -> Result<[u8; 48], String> {
    let mut bytes = [0; 48];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|error| format!("--measurement: expected 96 hex digits: {error}"))?;
    Ok(bytes)
}
