//! What becomes of a panic in the parser of CEL.

use std::sync::OnceLock;

/// The gate catches what the parser of CEL does to the thread it runs on; so must this.
pub fn spare() {
    static ABORT: OnceLock<Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync>> = OnceLock::new();
    let _ = ABORT.set(std::panic::take_hook());
    std::panic::set_hook(Box::new(|info| {
        if std::thread::current().name() != Some("cel-parser") {
            ABORT.get().expect("it is set")(info);
        }
    }));
}
