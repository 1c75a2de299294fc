//! Why a service could not be spoken to over TLS, in words for the operator, with what to do about it.

use std::fmt::Display;
use std::io;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};

use super::HandshakeError;

/// How the verifier calls a CA's own certificate in the place of a server's; it has no error of its own for that.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// An error of a handshake as one of the connection: one of the socket stays what it is.
pub(super) fn explained(error: HandshakeError, name: &ServerName<'_>) -> io::Error {
    match error {
        HandshakeError::Socket(error) => error,
        HandshakeError::Left => {
            let words = "TLS: it closed the connection during the handshake; does it speak TLS?";
            io::Error::new(io::ErrorKind::ConnectionReset, words)
        }
        HandshakeError::NotTls => io::Error::new(io::ErrorKind::InvalidData, NO_TLS),
        HandshakeError::Tls(error) => io::Error::new(io::ErrorKind::InvalidData, words(&error, name)),
    }
}

const NO_TLS: &str = "TLS: it does not speak TLS; is its URL `http://`?";

fn words(error: &Error, name: &ServerName<'_>) -> String {
    match error {
        Error::InvalidCertificate(error) => format!("TLS: {}", of_certificate(error, name)),
        Error::InvalidMessage(_) => NO_TLS.to_owned(),
        Error::AlertReceived(alert) => match of_alert(*alert) {
            "" => format!("TLS: it refused the handshake: {alert:?}"),
            why => format!("TLS: it refused the handshake: {why}"),
        },
        other => format!("TLS: {other}"),
    }
}

fn of_certificate(error: &CertificateError, name: &ServerName<'_>) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an unknown issuer: name the CA that signed it in `tls.ca`".to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is not signed by the CA of that name in `tls.ca`: has the CA been renewed?".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: is the clock right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for `{}`{}", name.to_str(), presented(error))
        }
        CertificateError::Other(other) if other.to_string() == CA_AS_SERVER => {
            "its certificate is that of a CA (CA:TRUE), which is not taken for a server's own. `openssl req -x509` makes \
             such certificates: add `-addext basicConstraints=critical,CA:FALSE`, or sign one for the server with it"
                .to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    }
}

/// What the certificate is for instead.
fn presented(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            // As the verifier writes them: `DnsName("a.test")`, `IpAddress(127.0.0.1)`.
            let inner = |name: &str| {
                let inner = name.split_once('(').map_or(name, |(_, rest)| rest);
                inner.trim_end_matches(')').trim_matches('"').to_owned()
            };
            let names: Vec<String> = presented.iter().map(|name| inner(name)).take(8).collect();
            format!(", but for `{}`: write the one that is meant in `tls.server_name`", names.join("`, `"))
        }
        _ => ": it names no host at all (subjectAltName; a common name alone does not count)".to_owned(),
    }
}

fn of_alert(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a client certificate, see `tls.certificate` and `tls.key`"
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate => "it does not take the client certificate",
        AlertDescription::HandshakeFailure => "no cipher in common, or it wants a client certificate",
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor TLS 1.3",
        AlertDescription::UnrecognisedName => "it knows no host of this name, see `tls.server_name`",
        AlertDescription::NoApplicationProtocol => "it does not speak HTTP/1.1",
        _ => "",
    }
}

/// Why the system's list cannot be used.
pub(super) fn system_roots_failure(error: Option<&impl Display>) -> String {
    match error {
        Some(error) => format!("the system's list of CAs cannot be read: {error}"),
        None => "the system has no list of CAs".to_owned(),
    }
}
