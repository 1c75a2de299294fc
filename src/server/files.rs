//! How many files the process may have open, and how many of them are for clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Overload;
use crate::listener::connections::ConnectionCounts;
use crate::telemetry::OperatorLog;

/// Fewer open files than this are few for a gate: every request holds up to two.
const FEW_FILES: u64 = 4096;

/// This part of the open files is kept for services, logs and the process itself.
const RESERVED_PART: u64 = 4;

/// At least so many open files are kept for services, logs and the process itself.
const RESERVED_LEAST: u64 = 128;

/// Takes as many open files as the system grants without privilege. Gives the most client connections that they
/// leave room for.
pub(super) fn raise_open_files(log: &OperatorLog) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where the system refuses, the gate serves within what it has.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return u64::MAX };
    let most = for_clients(files);
    if files < FEW_FILES {
        log.warn(format_args!(
            "only {files} files may be open at a time, {most} of them by clients: raise the limit (ulimit -n, LimitNOFILE=)"
        ));
    }
    most
}

/// Client connections that so many open files leave room for.
fn for_clients(files: u64) -> u64 {
    files.saturating_sub((files / RESERVED_PART).max(RESERVED_LEAST)).max(1)
}

/// Warns where the configuration wants more connections than open files allow.
pub(super) fn check_max_connections(overload: &Overload, counts: &ConnectionCounts, log: &OperatorLog) {
    if let Some(wanted) = overload.max_connections.filter(|wanted| *wanted > counts.most()) {
        log.warn(format_args!(
            "`overload.max_connections` is {wanted}, but the limit of open files leaves room for {}",
            counts.most()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_files_is_reserved() {
        for (files, most) in [(1 << 20, 3 << 18), (1024, 768), (512, 384), (256, 128), (129, 1), (10, 1)] {
            assert_eq!(for_clients(files), most, "{files} files");
        }
    }
}
