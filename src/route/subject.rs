//! What a `match` reads, of an exchange.

use std::net::IpAddr;

use crate::exchange::Exchange;

use super::predicate::Subject;

impl Subject for Exchange {
    fn any_header(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.request.headers.all(name).any(visit)
    }

    fn query(&self) -> Option<&str> {
        self.request.target.query()
    }

    fn host(&self) -> Option<&str> {
        Some(self.request.host())
    }

    fn client_ip(&self) -> IpAddr {
        self.client.ip
    }
}
