//! What the demonstration says when it is ready: where it is, and what to try.

use std::fmt::Write;

use crate::server::Ready;

/// The text for a gateway that is ready, with a token for `user`.
pub(super) fn intro(ready: &Ready, token: &str, user: &str) -> String {
    let gateway = ready.listeners.first().map_or_else(String::new, |(_, address)| address.to_string());
    let mut out =
        format!("Portcullis serves three small services (users, orders, catalog) on http://{gateway}\n\n");
    out.push_str(concat!(
        "  /api/users/*                   -> users     token, 100 requests a minute\n",
        "  /api/orders/*                  -> orders    token, 100 requests a minute\n",
        "  /api/catalog/*                 -> catalog   100 requests a minute\n",
        "  GET /api/dashboard/{userId}    -> all three at once, for the token's own user alone\n",
        "  GET /api/home/{userId}         -> the same for a phone: small, and whatever is there\n\n",
    ));
    let _ = writeln!(out, "A token for user {user}:\n{token}\n\nTry these in another terminal:\n");
    let bearer = format!("-H 'Authorization: Bearer {token}' ");
    let mut line = |what: &str, credentials: &str, path: &str| {
        let _ = writeln!(out, "# {what}\ncurl -i {credentials}http://{gateway}{path}");
    };
    line("a user", &bearer, &format!("/api/users/{user}"));
    line("an order", &bearer, "/api/orders/1001");
    line("the catalog needs no token", "", "/api/catalog/DK-0042");
    line("three services, one answer", &bearer, &format!("/api/dashboard/{user}"));
    line("a section is missing, and the answer says so", &bearer, &format!("/api/home/{user}"));
    line("401: no token", "", &format!("/api/users/{user}"));
    line("403: somebody else's dashboard", &bearer, "/api/dashboard/7");
    line("404: no such route", &bearer, "/api/nowhere");
    let _ = writeln!(
        out,
        "# 429: more than 100 requests in a minute\n\
         for i in $(seq 120); do curl -s -o /dev/null -w '%{{http_code}}\\n' http://{gateway}/api/catalog/DK-0042; \
         done | sort | uniq -c"
    );
    if let Some(admin) = ready.admin {
        let _ = writeln!(
            out,
            "# the gateway about itself\ncurl -s http://{admin}/metrics\ncurl -s http://{admin}/routes"
        );
    }
    out.push_str("\n`portcullis demo --save demo.yaml` writes the configuration to a file.\nCtrl-C ends it. Requests as they come:\n");
    out
}
