//! Names, certificates of both sides, versions, staples, sessions, and the way from plain HTTP.

use super::support::{Authority, Dialer, Signed, json, values};
use crate::harness::{Client, Folder, Gateway, Pipeline, Protocol, SOON, Setup, full, get, identity, run};
use rustls::HandshakeKind::{Full, Resumed};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn probe() -> Setup {
    Setup::of([Pipeline::new("main", "probe")])
}

/// A certificate and its key as files of a setup.
fn with(setup: Setup, name: &str, signed: &Signed) -> Setup {
    setup.file(&format!("{name}.pem"), &signed.pem).file(&format!("{name}.key"), &signed.key_pem)
}

#[test]
fn the_name_decides_which_certificate_is_shown() {
    let authority = Authority::new("authority");
    let (a, b) = (authority.sign(&["a.example"], 1), authority.sign(&["*.b.example", "x.b.example"], 2));
    for unknown in ["default", "refuse"] {
        let setup = with(with(probe(), "a", &a), "b", &b).tls(&format!(
            "fallback = \"{unknown}\", certificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}, \
             {{ certificate = \"b.pem\", key = \"b.key\", names = [\"*.b.example\"] }}]"
        ));
        let gateway = Gateway::start(&setup);
        let default = rustls::pki_types::pem::PemObject::from_pem_slice(identity().certificate.as_bytes());
        let default: rustls::pki_types::CertificateDer<'static> = default.unwrap();
        for (name, expected) in [
            ("a.example", Some(&a.certificate)),
            ("A.Example", Some(&a.certificate)),
            ("y.b.example", Some(&b.certificate)),
            ("x.b.example", Some(&b.certificate)),
            ("localhost", Some(&default)),
            ("b.example", None),
            ("y.z.b.example", None),
            ("other.example", None),
            ("127.0.0.1", None),
        ] {
            let dialer = Dialer::new(&[], None);
            let asked = dialer.ask(gateway.tls, name, "");
            match expected.or((unknown == "default").then_some(&default)) {
                Some(expected) => {
                    assert!(asked.unwrap().0.starts_with("HTTP/1.1 200"), "{name}");
                    assert_eq!(dialer.shown().0, expected.as_ref(), "{name}");
                }
                None => assert!(asked.is_err(), "{name}"),
            }
        }
        gateway.stop();
    }
}

/// What `probe` sees of a client's certificate.
fn seen(answer: &str) -> [Vec<String>; 3] {
    let probed = json(answer);
    ["client-cert-subject", "client-cert-names", "client-cert-sha256"].map(|name| values(&probed, name))
}

const FORGED: &str = "client-cert-subject: CN=root\r\nClient-Cert-Names: DNS:root\r\nclient_cert_sha256: 00\r\n\
                      client-cert: :AA==:\r\nclient-cert-chain: :AA==:\r\nx-kept: yes\r\n\
                      connection: client-cert-subject\r\n";

fn fingerprint(signed: &Signed) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(&signed.certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn clients_are_who_their_certificates_say() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let alice = authority.sign(&["alice.example"], 1);
    let mallory = other.sign(&["alice.example"], 1);
    let revoked = authority.sign(&["bob.example"], 7);
    let expected = [
        vec!["CN=alice.example,O=Test".to_owned()],
        vec!["DNS:alice.example".to_owned()],
        vec![fingerprint(&alice)],
    ];
    for mode in ["required", "optional"] {
        let setup = probe()
            .file("clients.pem", &authority.pem())
            .file("clients.crl", &authority.revoke(7))
            .tls(&format!(
                "client-auth = {{ roots = \"clients.pem\", revoked = \"clients.crl\", mode = \"{mode}\" }}"
            ));
        let gateway = Gateway::start(&setup);
        for version in rustls::ALL_VERSIONS {
            let ask = |who: Option<&Signed>| {
                Dialer::with_versions(&[], who, &[*version]).ask(gateway.tls, "localhost", FORGED)
            };
            assert_eq!(seen(&ask(Some(&alice)).unwrap().0), expected, "{mode}");
            for refused in [&mallory, &revoked] {
                assert!(ask(Some(refused)).is_err(), "{mode}");
            }
            match ask(None) {
                Ok((answer, _)) if mode == "optional" => {
                    assert_eq!(seen(&answer), [const { Vec::<String>::new() }; 3]);
                    let kept = answer.contains("x-kept");
                    assert!(
                        kept && !answer.contains("client-cert") && !answer.contains("client_cert"),
                        "{answer}"
                    );
                }
                asked => assert!(asked.is_err() && mode == "required", "{mode}"),
            }
            // A session that is resumed is still hers.
            let dialer = Dialer::with_versions(&[], Some(&alice), &[*version]);
            let kinds = [(); 2].map(|()| {
                let (answer, tls) = dialer.ask(gateway.tls, "localhost", FORGED).unwrap();
                assert_eq!(seen(&answer), expected);
                tls.conn.handshake_kind().unwrap()
            });
            assert_eq!(kinds, [Full, Resumed], "{version:?}");
        }
        // The plain listener knows nobody, and believes nobody.
        let mut plain = TcpStream::connect(gateway.plain).unwrap();
        plain.set_read_timeout(Some(SOON)).unwrap();
        write!(plain, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{FORGED}\r\n").unwrap();
        let mut answer = String::new();
        plain.read_to_string(&mut answer).unwrap();
        assert!(!answer.contains("client-cert") && !answer.contains("client_cert"), "{answer}");
        gateway.stop();
    }
}

/// HTTP/2, where fields come another way.
#[test]
fn forged_fields_are_taken_off_over_http2() {
    let gateway = Gateway::start(&probe());
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let fields = [("client-cert-subject", "CN=root"), ("client_cert-sha256", "00"), ("x-kept", "yes")];
        let answer = client.ask(get("/", &fields)).await.ok();
        assert!(answer.text().contains("x-kept") && !answer.text().contains("client"), "{}", answer.text());
    });
    gateway.stop();
}

/// All suites that there are can be named.
#[test]
fn the_known_suites_are_those_of_rustls() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let suites = provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite()));
    assert_eq!(
        suites.collect::<Vec<_>>(),
        <linkspan::config::keys::CipherSuite as linkspan::config::Choice>::WORDS
    );
}

#[test]
fn versions_suites_and_protocols_are_those_that_are_configured() {
    const SUITE: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    for (keys, tls12, tls13) in [
        (r#"min-version = "1.2""#.to_owned(), true, true),
        (r#"min-version = "1.3""#.to_owned(), false, true),
        (format!("cipher-suites = [\"{SUITE}\"]"), true, false),
        (format!("cipher-suites = [\"TLS13_CHACHA20_POLY1305_SHA256\", \"{SUITE}\"]"), true, true),
        (r#"cipher-suites = ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]"#.to_owned(), false, false),
    ] {
        let gateway = Gateway::start(&probe().tls(&keys));
        for (version, works) in [(&rustls::version::TLS12, tls12), (&rustls::version::TLS13, tls13)] {
            let dialer = Dialer::with_versions(&[], None, &[version]);
            let dialed = dialer.dial(gateway.tls, "localhost");
            assert_eq!(dialed.is_ok(), works, "{keys} {version:?}");
            if let Ok(tls) = dialed
                && keys.contains("cipher-suites")
            {
                let suite = format!("{:?}", tls.conn.negotiated_cipher_suite().unwrap().suite());
                assert!(keys.contains(&suite), "{suite}");
            }
        }
        gateway.stop();
    }
    for (keys, offered, expected) in [
        (r#"alpn = ["http/1.1"]"#, &["h2", "http/1.1"][..], Some("http/1.1")),
        (r#"alpn = ["http/1.1"]"#, &["h2"], None),
        (r#"alpn = ["h2"]"#, &["http/1.1", "h2"], Some("h2")),
    ] {
        let gateway = Gateway::start(&probe().tls(keys));
        let dialed = Dialer::new(offered, None).dial(gateway.tls, "localhost").ok();
        let protocol = dialed.map(|tls| tls.conn.alpn_protocol().map(<[u8]>::to_vec).unwrap());
        assert_eq!(protocol.as_deref(), expected.map(str::as_bytes), "{keys}");
        gateway.stop();
    }
}

#[test]
fn sessions_are_resumed_unless_that_is_off() {
    for (keys, second) in [("resumption = true", Resumed), ("resumption = false", Full)] {
        let gateway = Gateway::start(&probe().tls(keys));
        for version in rustls::ALL_VERSIONS {
            let dialer = Dialer::with_versions(&[], None, &[*version]);
            let kinds = [(); 2].map(|()| {
                let (_, tls) = dialer.ask(gateway.tls, "localhost", "").unwrap();
                tls.conn.handshake_kind().unwrap()
            });
            assert_eq!(kinds, [Full, second], "{keys} {version:?}");
        }
        gateway.stop();
    }
}

/// testssl.sh, a package of Debian, finds nothing in the defaults but what is wrong with a certificate that nobody has
/// signed. It takes some minutes, so only the long form has it, where the program is.
#[test]
fn testssl_finds_no_weakness() {
    let there = std::process::Command::new("testssl").arg("--version").output().is_ok();
    if !full() || !there {
        return;
    }
    // Some of what it looks for is not TLS, but a header field of the service.
    let pipeline = Pipeline::new("main", "hello").stage("security-headers");
    let gateway = Gateway::start(&Setup::of([pipeline]));
    let found = gateway.folder().join("found.json");
    let uri = format!("https://localhost:{}/", gateway.tls.port());
    let status = std::process::Command::new("timeout")
        .args(["600", "testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1"])
        .args(["--severity", "LOW", "--jsonfile", found.to_str().unwrap(), &uri])
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.code().is_some_and(|code| code != 124), "{status}");
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
    let about_trust = |finding: &serde_json::Value| {
        let id = finding["id"].as_str().unwrap();
        id.starts_with("cert_") || id == "DNS_CAArecord" || id == "overall_grade"
    };
    let found = found.as_array().unwrap();
    assert!(found.iter().any(|finding| finding["id"] == "cert_chain_of_trust"), "it has looked: {found:#?}");
    // `WARN` is a look that failed, on a busy machine for example.
    let weak: Vec<_> =
        found.iter().filter(|finding| !about_trust(finding) && finding["severity"] != "WARN").collect();
    assert!(weak.is_empty(), "{weak:#?}");
    gateway.stop();
}

/// DER of one value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    // The shortest form is the only one in DER.
    let length = match length {
        [0, short @ ..=0x7f] => vec![short],
        [0, one] => vec![0x81, one],
        two => [&[0x82], &two[..]].concat(),
    };
    [&[tag][..], &length, content].concat()
}

/// An OCSP response that calls the certificate with this serial number good, until a time.
fn ocsp(serial: u8, until: &str) -> Vec<u8> {
    let algorithm = der(0x30, &der(6, &[0x2b, 14, 3, 2, 26]));
    let id = der(0x30, &[algorithm.clone(), der(4, &[1; 20]), der(4, &[2; 20]), der(2, &[serial])].concat());
    let next = der(0xa0, &der(0x18, until.as_bytes()));
    let single = der(0x30, &[id, vec![0x80, 0], der(0x18, b"20240101000000Z"), next].concat());
    let responder = der(0xa2, &der(4, &[3; 20]));
    let data = der(0x30, &[responder, der(0x18, b"20240101000000Z"), der(0x30, &single)].concat());
    let basic = der(0x30, &[data, algorithm, der(3, &[0, 1])].concat());
    let bytes = der(0x30, &[der(6, &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1]), der(4, &basic)].concat());
    der(0x30, &[vec![0x0a, 1, 0], der(0xa0, &bytes)].concat())
}

#[test]
fn staples_are_shown_while_they_are_fresh() {
    let a = Authority::new("authority").sign(&["a.example"], 5);
    for (until, shown) in [("20990101000000Z", true), ("20250101000000Z", false)] {
        let folder = Folder::new();
        folder.write("ocsp.der", ocsp(5, until));
        let setup = with(probe(), "a", &a)
            .tls(r#"certificates = [{ certificate = "a.pem", key = "a.key", ocsp = "ocsp.der" }]"#);
        let file = setup.write(&folder);
        let gateway = Gateway::serve(folder, &file, setup.environment());
        let dialer = Dialer::new(&[], None);
        dialer.ask(gateway.tls, "a.example", "").unwrap();
        assert_eq!(dialer.shown().1, if shown { ocsp(5, until) } else { Vec::new() });
        gateway.stop();
    }
}

#[test]
fn plain_requests_are_sent_to_https() {
    for (keys, port) in
        [("redirect = \"https\"", ""), ("redirect = \"https\"\nredirect-port = 8443", ":8443")]
    {
        let gateway = Gateway::start(&probe().listener(keys));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for (host, path, location) in [
                ("a.example", "/x/../y?z=//b", format!("https://a.example{port}/y?z=//b")),
                ("A.Example.:80", "/", format!("https://a.example{port}/")),
                ("[::1]:8080", "//evil.example/", format!("https://[::1]{port}/evil.example/")),
            ] {
                let answer = client.ask(get(path, &[("host", host)])).await;
                assert_eq!(answer.header("location"), Some(location.as_str()));
                answer.problem(308, "https-only");
            }
            // A host that is none leads nowhere.
            let answer = client.ask(get("/", &[("host", "a@evil.example")])).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (400, None));
            // The other listener serves.
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            client.get("/", &[]).await.ok();
        });
        gateway.stop();
    }
}

/// Reloads: sessions outlive those that don't touch the listener, and no others. What a client has to show is asked for
/// from then on, of clients with old sessions, too.
#[test]
fn sessions_and_demands_across_reloads() {
    let authority = Authority::new("authority");
    let alice = authority.sign(&["alice.example"], 1);
    let folder = Folder::new();
    folder.write("clients.pem", authority.pem());
    let head = "[gateway]\nworkers = 1\nwatch = \"50ms\"\n\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\n";
    let tls = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\n";
    let strict = tls.replace(" }", ", client-auth = { roots = \"clients.pem\" } }");
    let rest = format!(
        "[components]\nprobe.path = {:?}\n\n[pipelines.main.service]\ncomponent = \"probe\"\n\
         grant = {{ env = {{}} }}\n\n[[routes]]\npipeline = \"main\"\n",
        crate::harness::dist("probe")
    );
    folder.write("cert.pem", identity().certificate);
    folder.write("key.pem", identity().key);
    let file = folder.write("linkspan.toml", format!("{head}{tls}{rest}"));
    let gateway = Gateway::serve(folder, &file, [("LINKSPAN_LOG", "info")]);
    let mut lives = 0;
    let mut swap = |text: String| {
        let next = gateway.folder().join("next.toml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, gateway.folder().join("linkspan.toml")).unwrap();
        lives += 1;
        gateway.counts(lives, |line| line["message"] == "a new generation is live");
    };
    let kind = |dialer: &Dialer| {
        dialer.ask(gateway.tls, "localhost", "").ok().map(|(_, tls)| tls.conn.handshake_kind().unwrap())
    };
    let (somebody, her) = (Dialer::new(&[], None), Dialer::new(&[], Some(&alice)));
    assert_eq!(kind(&somebody), Some(Full));
    swap(format!("# The same listener.\n{head}{tls}{rest}"));
    assert_eq!(kind(&somebody), Some(Resumed));
    swap(format!("{head}{strict}{rest}"));
    assert_eq!(kind(&somebody), None, "she had a session without a certificate");
    assert_eq!((kind(&her), kind(&her)), (Some(Full), Some(Resumed)));
    // Another authority is trusted now.
    std::fs::write(gateway.folder().join("clients.pem"), Authority::new("other").pem()).unwrap();
    gateway.counts(3, |line| line["message"] == "a new generation is live");
    assert_eq!(kind(&her), None, "her session was by an authority that is not trusted any more");
    gateway.stop();
}
