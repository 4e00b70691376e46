//! Headers of the PROXY protocol: their reading does not depend on what follows, and stays within its bounds.

use super::{MAX_BINARY, MAX_TEXT, read_binary, read_text};
use futures::executor::block_on;

/// The first byte chooses the version.
pub fn run(data: &[u8]) {
    let Some((&version, bytes)) = data.split_first() else { return };
    let is_text = version % 2 == 0;
    let read = |bytes: &[u8]| {
        let mut rest = bytes;
        let outcome = match is_text {
            true => block_on(read_text(&mut rest)),
            false => block_on(read_binary(&mut rest)),
        };
        (outcome.ok(), bytes.len() - rest.len())
    };
    let (outcome, taken) = read(bytes);
    assert!(taken <= if is_text { MAX_TEXT + 1 } else { 16 + MAX_BINARY }, "{taken} bytes were read");
    if let Some(addresses) = outcome {
        assert_eq!(read(&bytes[..taken]), (Some(addresses), taken), "the header alone is another");
        let followed = [&bytes[..taken], b"\r\nGET / HTTP/1.1"].concat();
        assert_eq!(read(&followed), (Some(addresses), taken), "what follows changes it");
        if let Some((source, destination)) = addresses {
            let is_plain = |ip: std::net::IpAddr| ip == ip.to_canonical();
            assert!(is_plain(source.ip()) && is_plain(destination.ip()), "{source} {destination}");
        }
    }
}
