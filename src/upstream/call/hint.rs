//! A service that wants TLS and is spoken to without. Many say so in the body of a 400 (others with an alert of TLS,
//! which the codec finds): the log names the upstream.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::exchange::{Body, BodyStream, Error, Frame, Response};
use crate::runtime::clock;
use crate::telemetry::log::Level;
use crate::upstream::Upstream;

/// What nginx, Go's server and Apache write.
const WORDS: [&[u8]; 3] = [
    b"plain HTTP request was sent to HTTPS port",
    b"HTTP request to an HTTPS server",
    b"plain HTTP to an SSL-enabled server port",
];

/// How much of a body is looked through: the words stand at its beginning.
const LOOKED_AT: usize = 2048;

/// Has the first piece of the answer's body looked at.
#[cold]
#[inline(never)]
pub(super) fn look(upstream: &Arc<Upstream>, response: &mut Response) {
    response.body = match response.body.take() {
        Body::Stream(inner) => Body::Stream(Box::new(Looked { inner, upstream: Some(Arc::clone(upstream)) })),
        Body::Bytes(bytes) => {
            upstream.hint(&bytes);
            Body::Bytes(bytes)
        }
        other => other,
    };
}

struct Looked {
    inner: Box<dyn BodyStream>,
    /// Until the first piece has come.
    upstream: Option<Arc<Upstream>>,
}

impl BodyStream for Looked {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let frame = self.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(Frame::Data(data)))) = &frame
            && let Some(upstream) = self.upstream.take()
        {
            upstream.hint(data);
        }
        frame
    }

    fn remaining(&self) -> Option<u64> {
        self.inner.remaining()
    }

    fn ends_surely(&self) -> bool {
        self.inner.ends_surely()
    }
}

impl Upstream {
    fn hint(&self, body: &[u8]) {
        let beginning = &body[..body.len().min(LOOKED_AT)];
        let wants_tls = WORDS.iter().any(|words| memchr::memmem::find(beginning, words).is_some());
        if let (true, Some(log)) = (wants_tls, self.log.get()) {
            let name = &*self.settings.name;
            let message =
                format_args!("`{name}` answers 400 because TLS is not spoken to it: is its URL `https://`?");
            log.write_seldom(clock::now(), Level::Warn, ("plain", name), message, &[]);
        }
    }
}
