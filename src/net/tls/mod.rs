//! A listener's TLS: rustls with aws-lc-rs, TLS 1.2 and 1.3, resumption by tickets (TLS 1.3, and 1.2 with the
//! extension) and by a bounded cache of sessions (TLS 1.2 without).
//!
//! The keys of tickets are made with the settings, change every six hours, and exist only in memory. A session can
//! therefore be resumed for as long as the settings stay the same, also across reloads that don't change them. After a
//! reload that does, and in another process, also after a takeover, clients begin anew. A session with settings that
//! asked for no certificate can't be resumed with settings that do.
//!
//! Files are read once. An error in them is a [`TlsError`] that names the file and says what was expected; a
//! configuration's diagnostic shows it at the line that named the file.

mod certificates;
mod client;
mod der;
mod files;
pub mod identity;
pub mod ocsp;
mod settings;
mod source;

pub use certificates::Certificate;
pub use client::client_settings;
pub use files::{MAX_PEM, TlsError, load_certified_key, load_revoked, load_roots, load_staple};
pub use identity::ClientIdentity;
pub use settings::{Clients, Settings, load};
pub use source::TlsSource;
