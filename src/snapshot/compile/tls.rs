//! `tls` of a listener: its files are read, and judged against those that are in use.

use std::sync::Arc;

use crate::config::{
    CertificateFiles, ClientCertificates, Diagnostic, Diagnostics, Listener, Span, Spanned, TlsVersion,
    pem_bytes,
};
use crate::net::tls::{ClientTerms, Pair, Part, Serving, Terms, Tickets};
use crate::runtime::clock;
use crate::snapshot::tls::{ListenerTls, Shown};

/// Reads what `tls` of a listener names. `before` is what the listener shows now: where a file has been replaced by one
/// that is of no use, what it held goes on, and a warning says so.
pub(super) fn compile(
    listener: &Listener,
    before: Option<&ListenerTls>,
    out: &Diagnostics,
) -> Option<Arc<ListenerTls>> {
    let written = listener.tls.as_ref()?;
    let shown: Vec<Option<Shown>> =
        written.certificates.iter().map(|files| shown(files, before, out)).collect();
    let client = written.client.as_ref().map(|client| clients(client, before, out));
    let shown: Vec<Shown> = shown.into_iter().collect::<Option<_>>()?;
    let client = match client {
        Some(client) => Some(client?),
        None => None,
    };
    let failed = |why: String| out.add(Diagnostic::error(written.at, format!("TLS cannot be set up: {why}")));
    let tickets = match before.filter(|before| before.terms.client == client) {
        Some(before) => before.tickets.clone(),
        None => Tickets::new().map_err(failed).ok()?,
    };
    let pairs: Vec<Arc<Pair>> = shown.iter().map(|shown| Arc::clone(&shown.pair)).collect();
    let only_13 = written.min == TlsVersion::Tls13;
    let serving = Serving { pairs: &pairs, only_13, client: client.as_ref(), tickets: &tickets };
    let config = serving.compile().map_err(failed).ok()?;
    let terms = Terms {
        listener: listener.name.value.to_string(),
        certificates: shown.iter().map(|shown| shown.certificate.clone()).collect(),
        client,
        only_13,
    };
    let client_ca = written.client.as_ref().map(|client| client.ca.value.clone());
    Some(Arc::new(ListenerTls { config, terms: Arc::new(terms), shown, client_ca, tickets }))
}

/// One certificate with its key.
fn shown(files: &CertificateFiles, before: Option<&ListenerTls>, out: &Diagnostics) -> Option<Shown> {
    let CertificateFiles { certificate, key } = files;
    let in_use = before.and_then(|before| {
        before.shown.iter().find(|shown| shown.certificate == certificate.value && shown.key == key.value)
    });
    let keep = |span: Span, what: String, used: &Shown| {
        let what = format!("{what}: the one that was read before stays in use");
        out.add(Diagnostic::warning(span, what).help("replace it; it is read again when it changes"));
        Some(Shown {
            pair: Arc::clone(&used.pair),
            certificate: certificate.value.clone(),
            key: key.value.clone(),
        })
    };
    let now = now();
    let pair = pair(certificate, key);
    if pair.as_ref().is_ok_and(|pair| !pair.is_named) {
        let file = certificate.value.display();
        let what = format!("the certificate in `{file}` is for no host: it has no subjectAltName");
        let help = "have one issued with the names of its hosts: clients do not read the common name";
        out.add(Diagnostic::warning(certificate.span, what).help(help));
    }
    match pair {
        Ok(pair) if pair.holds_at(now) => Some(Shown {
            pair: Arc::new(pair),
            certificate: certificate.value.clone(),
            key: key.value.clone(),
        }),
        Ok(pair) => {
            let what = if now > pair.not_after {
                "this certificate has expired"
            } else {
                "this certificate does not hold yet"
            };
            if let Some(used) = in_use.filter(|used| used.pair.holds_at(now)) {
                return keep(certificate.span, what.to_owned(), used);
            }
            let help = "replace the file: clients refuse it until then";
            out.add(Diagnostic::warning(certificate.span, what).help(help));
            Some(Shown {
                pair: Arc::new(pair),
                certificate: certificate.value.clone(),
                key: key.value.clone(),
            })
        }
        Err((span, what, help)) => match in_use {
            Some(used) => keep(span, what, used),
            None => {
                out.add(Diagnostic::error(span, what).help(help));
                None
            }
        },
    }
}

fn pair(
    certificate: &Spanned<std::path::PathBuf>,
    key: &Spanned<std::path::PathBuf>,
) -> Result<Pair, (Span, String, &'static str)> {
    let read = |file: &Spanned<std::path::PathBuf>| {
        pem_bytes(&file.value).map_err(|what| (file.span, what, READABLE))
    };
    let (chain, secret) = (read(certificate), read(key));
    Pair::read(&chain?, &secret?).map_err(|bad| {
        let span = if bad.part == Part::Key { key.span } else { certificate.span };
        (span, bad.what, bad.help)
    })
}

/// The authorities of clients.
fn clients(
    written: &ClientCertificates,
    before: Option<&ListenerTls>,
    out: &Diagnostics,
) -> Option<ClientTerms> {
    let ClientCertificates { ca, required } = written;
    match pem_bytes(&ca.value).and_then(|pem| ClientTerms::read(pem, *required)) {
        Ok(terms) => Some(terms),
        Err(what) => {
            let same = before.filter(|before| before.client_ca.as_ref() == Some(&ca.value));
            let Some(used) = same.and_then(|before| before.terms.client.as_ref()) else {
                out.add(Diagnostic::error(ca.span, what).help(READABLE));
                return None;
            };
            let what = format!("{what}: the authorities that were read before stay in use");
            out.add(Diagnostic::warning(ca.span, what).help("replace it; it is read again when it changes"));
            Some(ClientTerms { ca: used.ca.clone(), required: *required })
        }
    }
}

const READABLE: &str = "name a PEM file that the gateway may read; paths start at the file that names them";

/// In seconds since 1970.
fn now() -> i64 {
    clock::since_epoch().as_secs().cast_signed()
}
