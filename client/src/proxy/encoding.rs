//! `Content-Encoding`, RFC 9110 section 8.4, taken off before a request is sealed: stock clients compress on demand, and an
//! enclave-app answers 415 to what it would have to expand.
//!
//! `gzip` is RFC 1952, one member or several; `deflate` is the zlib format of RFC 1950. What comes out is bounded while it comes.

use std::io::Read as _;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use http::{StatusCode, header};

use super::said::Said;

/// One encoding that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// So much is expanded before it is asked whether there is room for it.
const STEP_BYTES: usize = 64 * 1024;

impl Encoding {
    /// What the fields of a request say; 415 for anything that is not read here.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Said> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        let (first, second) = (named.next(), named.next());
        let Some(first) = first else { return Ok(Self::Identity) };
        let word = first.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        match (word.as_str(), second) {
            ("identity" | "", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("deflate", None) => Ok(Self::Deflate),
            _ => Err(Said::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "`Content-Encoding` is not one that is read here: `gzip`, `deflate` or none, and one only",
            )
            .with(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, identity"))),
        }
    }

    /// The body without it. `room` is asked, for all the bytes that there are by then, before there are more.
    pub(super) fn take_off(
        self,
        body: Vec<u8>,
        mut room: impl FnMut(usize) -> Result<(), Said>,
    ) -> Result<Vec<u8>, Said> {
        let mut reader: Box<dyn std::io::Read + '_> = match self {
            Self::Identity => return Ok(body),
            Self::Gzip => Box::new(MultiGzDecoder::new(body.as_slice())),
            Self::Deflate => Box::new(ZlibDecoder::new(body.as_slice())),
        };
        let mut plain = Vec::new();
        loop {
            let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
            let read = reader.by_ref().take(step).read_to_end(&mut plain);
            let read = read.map_err(|_| {
                Said::new(
                    StatusCode::BAD_REQUEST,
                    "the body is not what its `Content-Encoding` says, or ends too early",
                )
            })?;
            if read == 0 {
                return Ok(plain);
            }
            room(plain.len())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn any(_: usize) -> Result<(), Said> {
        Ok(())
    }

    fn of(values: &[&str]) -> Result<Encoding, u16> {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| {
            headers.append(CONTENT_ENCODING, value.parse().unwrap());
        });
        Encoding::of(&headers).map_err(|said| said.status())
    }

    #[test]
    fn one_encoding_is_read_and_another_is_told() {
        for (word, encoding) in [
            ("gzip", Encoding::Gzip),
            ("GZip", Encoding::Gzip),
            ("deflate", Encoding::Deflate),
            ("identity", Encoding::Identity),
        ] {
            assert_eq!(of(&[word]), Ok(encoding));
        }
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["zstd"]] {
            assert_eq!(of(values), Err(415), "{values:?}");
        }
    }

    #[test]
    fn what_was_compressed_comes_out_whole() {
        let plain: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(Encoding::Gzip.take_off(gzip(&plain), any).unwrap(), plain);
        let (one, other) = plain.split_at(77);
        assert_eq!(Encoding::Gzip.take_off([gzip(one), gzip(other)].concat(), any).unwrap(), plain, "two members");
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).unwrap();
        assert_eq!(Encoding::Deflate.take_off(encoder.finish().unwrap(), any).unwrap(), plain);
        assert_eq!(Encoding::Identity.take_off(plain.clone(), any).unwrap(), plain);
        assert!(Encoding::Gzip.take_off(gzip(b""), any).unwrap().is_empty());
    }

    #[test]
    fn a_bomb_stops_where_there_is_no_more_room() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        let mut most = 0;
        let refused = Encoding::Gzip
            .take_off(bomb, |bytes| {
                most = bytes;
                if bytes > 1 << 20 { Err(Said::new(StatusCode::PAYLOAD_TOO_LARGE, "no room")) } else { Ok(()) }
            })
            .unwrap_err();
        assert_eq!((refused.status(), refused.message()), (413, "no room"));
        assert!(most <= (1 << 20) + STEP_BYTES, "{most}");
    }

    #[test]
    fn what_is_not_compressed_or_cut_is_told() {
        let whole = gzip(b"0123456789");
        for body in [b"plain".to_vec(), whole[..whole.len() - 1].to_vec(), [&whole[..], b"more"].concat(), Vec::new()] {
            let refused = Encoding::Gzip.take_off(body.clone(), any).map(drop).unwrap_err();
            assert_eq!(refused.status(), 400, "{body:?}");
        }
        assert_eq!(Encoding::Deflate.take_off(b"plain".to_vec(), any).unwrap_err().status(), 400);
    }
}
