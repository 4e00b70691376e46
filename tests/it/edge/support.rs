//! Authorities, clients that say just what they are told to, and raw frames of HTTP/2.

use crate::harness::SOON;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

/// Whoever signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate that an authority has signed.
pub struct Signed {
    pub certificate: CertificateDer<'static>,
    pub pem: String,
    key: KeyPair,
    pub key_pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for DNS names; the first one is its common name.
    pub fn sign(&self, names: &[&str], serial: u64) -> Signed {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Test");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.subject_alt_names =
            names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.0).unwrap();
        Signed { certificate: made.der().clone(), pem: made.pem(), key_pem: key.serialize_pem(), key }
    }

    /// A list that revokes the certificate with this serial number.
    pub fn revoke(&self, serial: u64) -> String {
        let at = rcgen::date_time_ymd(2024, 1, 1);
        let revoked = rcgen::RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: at,
            reason_code: None,
            invalidity_date: None,
        };
        let params = rcgen::CertificateRevocationListParams {
            this_update: at,
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// What the server showed.
#[derive(Debug, Default)]
pub struct Shown(Mutex<(Vec<u8>, Vec<u8>)>);

/// Takes any certificate, and remembers it.
#[derive(Debug)]
struct Recorder(Arc<rustls::crypto::CryptoProvider>, Arc<Shown>);

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.1.0.lock().unwrap() = (certificate.to_vec(), staple.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client of TLS that takes any certificate; its sessions are its own.
#[derive(Clone)]
pub struct Dialer {
    pub config: Arc<ClientConfig>,
    shown: Arc<Shown>,
}

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Dialer {
    /// With protocols to offer, and a certificate to show.
    pub fn new(alpn: &[&str], identity: Option<&Signed>) -> Self {
        Self::with_versions(alpn, identity, rustls::ALL_VERSIONS)
    }

    pub fn with_versions(
        alpn: &[&str],
        identity: Option<&Signed>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let shown = Arc::new(Shown::default());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Recorder(provider, Arc::clone(&shown))));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(signed) => {
                let key = PrivateKeyDer::try_from(signed.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![signed.certificate.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config), shown }
    }

    /// Does the handshake. With TLS 1.3 a client learns only later that its certificate was refused.
    pub fn dial(&self, address: SocketAddr, name: &str) -> io::Result<Tls> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(SOON))?;
        tcp.set_write_timeout(Some(SOON))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name).unwrap(), tcp);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// The certificate that the last full handshake has shown, and its staple.
    pub fn shown(&self) -> (Vec<u8>, Vec<u8>) {
        self.shown.0.lock().unwrap().clone()
    }

    /// A request of HTTP/1.1, its answer, and how the session began.
    pub fn ask(&self, address: SocketAddr, name: &str, fields: &str) -> io::Result<(String, Tls)> {
        let mut tls = self.dial(address, name)?;
        write!(tls, "GET /x?y HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n{fields}\r\n")?;
        let mut answer = Vec::new();
        tls.read_to_end(&mut answer)?;
        Ok((String::from_utf8(answer).unwrap(), tls))
    }
}

/// The body of an answer, as JSON.
pub fn json(answer: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}

/// The values of a field in what `probe` answers.
pub fn values(probed: &serde_json::Value, name: &str) -> Vec<String> {
    let pairs = probed["headers"].as_array().unwrap().iter();
    let named = pairs.filter(|pair| pair[0] == name);
    named.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

// ---- HTTP/2 -------------------------------------------------------------------------------------------------------------

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A request's fields for `localhost`, by the static table (RFC 7541): `GET /` or `POST /` over https.
pub fn fields(post: bool) -> Vec<u8> {
    let mut block = vec![if post { 0x83 } else { 0x82 }, 0x87, 0x84, 0x41, 9];
    block.extend_from_slice(b"localhost");
    block
}

/// A connection of HTTP/2 on which nothing has been sent but its beginning, with an initial window for its streams.
pub fn h2(address: SocketAddr, window: u32) -> Tls {
    try_h2(address, window).unwrap()
}

/// The same for a client that may be cut meanwhile.
pub fn try_h2(address: SocketAddr, window: u32) -> io::Result<Tls> {
    let mut tls = Dialer::new(&["h2"], None).dial(address, "localhost")?;
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"h2"[..]));
    let mut setting = vec![0, 4];
    setting.extend_from_slice(&window.to_be_bytes());
    tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    tls.write_all(&frame(SETTINGS, 0, 0, &setting))?;
    Ok(tls)
}

/// The next frame: its type and payload.
pub fn next_frame(tls: &mut Tls) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 9];
    tls.read_exact(&mut header)?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let mut payload = vec![0; length as usize];
    tls.read_exact(&mut payload)?;
    Ok((header[3], payload))
}
