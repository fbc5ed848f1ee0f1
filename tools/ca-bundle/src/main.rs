//! Prints Mozilla's certificate authorities in PEM: what the image trusts.
//!
//! They come from a crate that `Cargo.lock` pins, so that the image is the same wherever it is built; a system's own bundle is of the day it
//! was installed, and with what its owner has added.

use std::io::{Result, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// PEM's own.
const LINE: usize = 64;

fn main() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for certificate in TLS_SERVER_ROOT_CERTS {
        let text = STANDARD.encode(certificate);
        writeln!(out, "-----BEGIN CERTIFICATE-----")?;
        for line in text.as_bytes().chunks(LINE) {
            out.write_all(line)?;
            writeln!(out)?;
        }
        writeln!(out, "-----END CERTIFICATE-----")?;
    }
    out.flush()
}
