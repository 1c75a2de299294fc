//! `schema`: the JSON Schema of the configuration, from the tables that its readers use.

use crate::action;
use crate::config::{self, Holes, Kind};
use crate::policy::{self, authenticate, limit};

use super::{Failure, output};

pub(super) fn schema() -> Result<(), Failure> {
    let actions = Kind::schemas(action::kinds::KINDS);
    let body = |name: &str| {
        let found = actions.iter().find(|(kind, _)| *kind == name);
        found.map_or_else(Default::default, |(_, schema)| schema.clone())
    };
    let holes = Holes {
        policies: Kind::schemas(policy::kinds::KINDS),
        auth: authenticate::schema(),
        rate_limit: limit::schema(),
        aggregate: body("aggregate"),
        redirect: body("redirect"),
        respond: body("respond"),
    };
    output::print(&format!("{:#}\n", config::schema(holes)));
    Ok(())
}
