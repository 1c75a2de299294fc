//! `schema`: the JSON Schema of the configuration, from the tables that its readers use.

use crate::snapshot::schema;

use super::failure::Failure;
use super::output;

pub(super) fn schema() -> Result<(), Failure> {
    output::print(&format!("{:#}\n", schema::schema()));
    Ok(())
}
