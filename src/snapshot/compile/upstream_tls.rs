//! How TLS is spoken to upstreams: the files are judged here, where their configuration is compiled.

use std::sync::Arc;

use crate::config::{Diagnostic, Diagnostics, Span, UpstreamSettings};
use crate::net::tls::client::{ClientSettings, ClientTls, Part, SystemRoots, Unusable};
use crate::upstream::Upstream;

/// How TLS is spoken to an upstream, if it is: as before where its settings say the same, so that its connections stay.
/// What is wrong with them is reported at their place, or at that of the upstream (`at`).
pub(super) fn client(
    name: &str,
    written: &UpstreamSettings,
    at: Option<Span>,
    before: Option<&Upstream>,
    system: &SystemRoots,
    out: &Diagnostics,
) -> Option<Arc<ClientTls>> {
    let tls = written.tls.as_ref()?;
    let same = before.filter(|before| before.settings().written.tls.as_ref() == Some(tls));
    let made = match same.and_then(Upstream::tls) {
        Some(before) => Ok(Arc::clone(before)),
        None => {
            let server_name = tls.server_name.as_ref().map(|name| name.value.bare());
            let identity = tls.identity.as_ref();
            let settings = ClientSettings {
                ca: tls.ca.as_ref().map(|ca| ca.pem.as_bytes()),
                identity: identity.map(|(certificate, key)| (certificate.pem.as_bytes(), key.pem.as_bytes())),
                server_name: server_name.as_deref(),
                unverified: !tls.verify,
            };
            ClientTls::new(settings, system).map(Arc::new)
        }
    };
    let add = |span: Option<Span>, what: String, help: &str| {
        let diagnostic = match span.or(at) {
            Some(span) => Diagnostic::error(span, what),
            None => Diagnostic::placeless(format!("`{name}`: {what}")),
        };
        out.add(diagnostic.help(help));
    };
    let made = match made {
        Ok(made) => made,
        Err(wrong) => {
            for Unusable { part, what, help } in wrong {
                let identity = tls.identity.as_ref();
                let span = match part {
                    Part::Ca => tls.ca.as_ref().map(|ca| ca.path.span),
                    Part::Certificate => identity.map(|(certificate, _)| certificate.path.span),
                    Part::Key => identity.map(|(_, key)| key.path.span),
                    Part::ServerName => tls.server_name.as_ref().map(|name| name.span),
                    Part::System => None,
                };
                add(span, what, help);
            }
            return None;
        }
    };
    for url in written.endpoints.urls() {
        let host = url.host.bare();
        if !made.can_verify(&host) {
            let what = format!("no certificate can be made for the host `{host}`");
            add(None, what, "write the host that the certificate is for as `tls.server_name`");
        }
    }
    Some(made)
}
