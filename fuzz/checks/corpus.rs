//! Runs the corpus of a fuzz target as an ordinary test.

use std::{env, fs, panic, path::Path};

/// Calls `check` with each file of `fuzz/corpus/<target>`; there are `least` of them.
pub fn each(target: &str, least: usize, check: impl Fn(&[u8]) + panic::RefUnwindSafe) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if let Err(panic) = panic::catch_unwind(|| check(&bytes)) {
            eprintln!("with {}", path.display());
            panic::resume_unwind(panic);
        }
        count += 1;
    }
    assert!(count >= least, "{count} files");
}
