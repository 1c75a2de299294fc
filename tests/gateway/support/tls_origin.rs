//! A scripted service behind TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::PATIENCE;
use super::pki::Pki;

impl Pki {
    /// A server that shows the certificate of that name, and speaks HTTP/1.1 or HTTP/2.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        self.serving(name, rustls::ALL_VERSIONS, false)
    }

    /// The same in these versions; `asks`: clients need a certificate that `ca` has signed.
    pub(crate) fn serving(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        asks: bool,
    ) -> ServerConfig {
        let read =
            |file: String| CertificateDer::pem_slice_iter(&self.read(&file)).collect::<Result<Vec<_>, _>>();
        let chain = read(format!("{name}.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&self.read(&format!("{name}.key"))).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(read("ca.pem".to_owned()).unwrap().remove(0)).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        // HTTP/1.1 rather: what these services answer is written by hand.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        if versions == [&rustls::version::TLS12] {
            config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        }
        config
    }
}

/// What a handshake has come to.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// The name that was asked for (SNI).
    pub(crate) name: Option<String>,
    pub(crate) alpn: String,
    pub(crate) version: ProtocolVersion,
    pub(crate) resumed: bool,
    /// Whether the client has shown a certificate.
    pub(crate) certified: bool,
}

#[derive(Default)]
struct State {
    agreed: Mutex<Vec<Agreed>>,
    /// Handshakes that failed, in the words of the server.
    failed: Mutex<Vec<String>>,
    requests: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// A service behind TLS. It ends when dropped.
pub(crate) struct TlsOrigin {
    address: SocketAddr,
    state: Arc<State>,
}

/// One connection of a service, at a request.
pub(crate) struct Talk {
    stream: StreamOwned<ServerConnection, TcpStream>,
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    /// The number of the request on this connection, from 0.
    pub(crate) turn: usize,
    /// The head of the request.
    pub(crate) head: String,
    over: bool,
}

impl Talk {
    pub(crate) fn say(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush());
    }

    /// An answer with a body.
    pub(crate) fn answer(&mut self, body: &str) {
        self.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    }

    /// Ends the connection as TLS ends it.
    pub(crate) fn close(&mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
        self.over = true;
    }

    /// Ends the connection below TLS.
    pub(crate) fn cut(&mut self) {
        self.over = true;
    }

    fn read_head(&mut self) -> bool {
        self.head.clear();
        let mut byte = [0];
        while !self.head.ends_with("\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => self.head.push(char::from(byte[0])),
                _ => return false,
            }
        }
        true
    }
}

impl TlsOrigin {
    /// Calls the script once a request head.
    pub(crate) fn serve(
        config: ServerConfig,
        script: impl Fn(&mut Talk) + Send + Sync + 'static,
    ) -> TlsOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = TlsOrigin { address: listener.local_addr().unwrap(), state: Arc::default() };
        let (state, config, script) = (Arc::clone(&origin.state), Arc::new(config), Arc::new(script));
        std::thread::spawn(move || {
            let connections = listener.incoming().map_while(Result::ok);
            for (connection, socket) in
                connections.take_while(|_| !state.stopped.load(Ordering::SeqCst)).enumerate()
            {
                let (state, config, script) = (Arc::clone(&state), Arc::clone(&config), Arc::clone(&script));
                std::thread::spawn(move || serve(socket, (config, connection), &state, &*script));
            }
        });
        origin
    }

    /// Answers 200 with the request's head, always.
    pub(crate) fn echo(config: ServerConfig) -> TlsOrigin {
        TlsOrigin::serve(config, |talk| {
            let head = talk.head.clone();
            talk.answer(&head);
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL by its address.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The handshakes that came to something.
    pub(crate) fn agreed(&self) -> Vec<Agreed> {
        self.state.agreed.lock().unwrap().clone()
    }

    pub(crate) fn failed(&self) -> Vec<String> {
        self.state.failed.lock().unwrap().clone()
    }

    /// The heads of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    socket: TcpStream,
    (config, connection): (Arc<ServerConfig>, usize),
    state: &State,
    script: &(dyn Fn(&mut Talk) + Send + Sync),
) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    while stream.conn.is_handshaking() {
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            state.failed.lock().unwrap().push(error.to_string());
            return;
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    state.agreed.lock().unwrap().push(Agreed {
        name: stream.conn.server_name().map(str::to_owned),
        alpn: stream.conn.alpn_protocol().map(text).unwrap_or_default(),
        version: stream.conn.protocol_version().unwrap(),
        resumed: stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        certified: stream.conn.peer_certificates().is_some(),
    });
    let mut talk = Talk { stream, connection, turn: 0, head: String::new(), over: false };
    while !talk.over && talk.read_head() {
        state.requests.lock().unwrap().push(talk.head.clone());
        script(&mut talk);
        talk.turn += 1;
    }
}
